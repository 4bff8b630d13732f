// How a long computation asks its caller whether to go on.
#pragma once

#include <functional>

namespace vemfast {

// Returns true to stop. Called on the calling thread only, at most every 50 ms, between blocks; an
// empty function is never called.
using Poll = std::function<bool()>;

}  // namespace vemfast
