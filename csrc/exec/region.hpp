// The one parallel region of the library, for the other files of this folder.
#pragma once

#include <atomic>
#include <cstdint>

#include "exec/function_ref.hpp"
#include "vemfast/poll.hpp"

namespace vemfast::exec {

// For its life, a flag by which this thread's region says that it was interrupted;
// interruption_point() heeds it, so that an item that takes long ends on other threads than the
// caller's, too. Those of outer regions count as well.
class StopScope {
  public:
    explicit StopScope(const std::atomic<bool>& flag);
    ~StopScope();
    StopScope(const StopScope&) = delete;
    StopScope& operator=(const StopScope&) = delete;

    bool stopped() const {
        return flag_.load(std::memory_order_relaxed) || (outer_ != nullptr && outer_->stopped());
    }

  private:
    const std::atomic<bool>& flag_;
    const StopScope* outer_;
};

// Calls work(item, slot) once for each item in 0..n_items-1 on at most n_threads threads, which
// take items in ascending order; `slot` numbers the thread, and the calling thread has slot 0.
// Beside other regions of the process it makes do with the processors that they leave. With one
// thread, inside somebody else's parallel region, or in a forked child that cannot have threads,
// the items run inline.
//
// An exception thrown by an item ends the region: items already taken are finished, no other is
// taken, and the exception of the lowest failing item is rethrown here. That is the same one for
// any number of threads, because all items below it had been taken. When `poll` asks for a stop,
// Interrupted is thrown instead; items that ask interruption_point() then end early.
void for_each_item(std::int64_t n_items, int n_threads, const Poll& poll,
                   FunctionRef<void(std::int64_t, int)> work);

}  // namespace vemfast::exec
