// How a long computation asks its caller whether to go on.
#pragma once

#include <functional>

#include "vemfast/version.hpp"

namespace vemfast {

// Returns true to stop. Called on the calling thread only, at most every 50 ms, between blocks; an
// empty function is never called.
using Poll = std::function<bool()>;

// For its life, what interruption_point() asks on this thread. It must outlive the scope.
class VEMFAST_API PollScope {
  public:
    explicit PollScope(const Poll& poll);
    ~PollScope();
    PollScope(const PollScope&) = delete;
    PollScope& operator=(const PollScope&) = delete;

  private:
    const Poll* outer_;
};

// Throws Interrupted if the caller of this thread's computation wants it to stop. For the O(K)
// work, between components: with many features one of them can take long. Costs a look at the
// clock; asks at most every 50 ms, and never outside a PollScope. On other threads of a parallel
// region it throws once the caller of the region has been told to stop.
VEMFAST_API void interruption_point();

}  // namespace vemfast
