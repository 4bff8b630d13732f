// The exceptions of the library. Bad arguments are std::invalid_argument (see require.hpp).
#pragma once

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

}  // namespace vemfast
