#include "exec/thread_share.hpp"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <mutex>

#include "exec/threads.hpp"

namespace vemfast::exec {

namespace {

std::atomic<int> busy = 0;  // threads of all shares that live

// A forked child has none of its parent's threads.
void forget_in_children() {
    static std::once_flag installed;
    std::call_once(installed, [] { pthread_atfork(nullptr, nullptr, [] { busy.store(0); }); });
}

}  // namespace

ThreadShare::ThreadShare(int wanted) {
    forget_in_children();
    int others = busy.load(std::memory_order_relaxed);
    do {
        // Not above zero: alone, or in a child whose parent forked inside a region.
        granted_ = others <= 0 ? wanted : std::clamp(processors() - others, 1, wanted);
    } while (!busy.compare_exchange_weak(others, others + granted_, std::memory_order_relaxed));
}

ThreadShare::~ThreadShare() {
    busy.fetch_sub(granted_, std::memory_order_relaxed);
}

}  // namespace vemfast::exec
