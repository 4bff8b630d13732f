// The exceptions of the library. Bad arguments are std::invalid_argument (see require.hpp).
#pragma once

#include <cstddef>
#include <new>
#include <stdexcept>

#include "vemfast/version.hpp"

namespace vemfast {

// The arithmetic broke down (an objective fell, a covariance lost its positive definiteness).
class VEMFAST_API NumericalError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

// The caller's poll asked for a stop; whatever was being computed is discarded.
class VEMFAST_API Interrupted : public std::runtime_error {
  public:
    Interrupted() : std::runtime_error("interrupted") {}
};

// An allocation whose size depends on the caller's data failed. The message says how large it was.
class VEMFAST_API OutOfMemory : public std::bad_alloc {
  public:
    explicit OutOfMemory(std::size_t bytes) noexcept;
    const char* what() const noexcept override { return message_; }

  private:
    char message_[64] = {};  // no string: that could want memory in its turn
};

}  // namespace vemfast
