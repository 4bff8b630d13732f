// How the regions of one process that run at the same time divide the machine.
#pragma once

#include "vemfast/version.hpp"

namespace vemfast::exec {

// The threads that one region may use while this lives, its caller included: all that it wants if
// it is alone, else what the others leave of the processors, and one at least. So fits in several
// threads of a caller do not multiply. Results do not depend on it.
class VEMFAST_API ThreadShare {
  public:
    explicit ThreadShare(int wanted);
    ~ThreadShare();
    ThreadShare(const ThreadShare&) = delete;
    ThreadShare& operator=(const ThreadShare&) = delete;

    int granted() const { return granted_; }

  private:
    int granted_ = 1;
};

}  // namespace vemfast::exec
