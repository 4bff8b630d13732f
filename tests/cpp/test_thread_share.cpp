// Regions that run at the same time divide the processors.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "check.hpp"
#include "exec/parallel.hpp"
#include "exec/thread_share.hpp"
#include "exec/threads.hpp"

namespace {

using vemfast::exec::ThreadShare;

TEST_CASE(alone_a_region_gets_what_it_wants) {
    for (const int wanted : {1, 2, 64}) {
        const ThreadShare share(wanted);
        CHECK(share.granted() == wanted);
    }
}

TEST_CASE(beside_others_a_region_gets_what_they_leave) {
    const ThreadShare first(1000);
    {
        const ThreadShare second(8);
        CHECK(second.granted() == 1);
        const ThreadShare third(1);
        CHECK(third.granted() == 1);
    }
    const ThreadShare fourth(8);
    CHECK(fourth.granted() == 1);
}

TEST_CASE(a_share_that_ends_is_given_back) {
    {
        const ThreadShare first(1000);
    }
    const ThreadShare second(8);
    CHECK(second.granted() == 8);
}

// Eight callers that each ask for eight threads: without the division, sixty-four would run.
TEST_CASE(many_callers_do_not_multiply_their_threads) {
    constexpr int kCallers = 8;
    std::atomic<int> running = 0;
    std::atomic<int> most = 0;
    const auto item = [&](std::int64_t, int) {
        const int now = ++running;
        int before = most;
        while (before < now && !most.compare_exchange_weak(before, now)) {
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        --running;
    };
    std::vector<std::thread> callers;
    callers.reserve(kCallers);
    for (int i = 0; i < kCallers; ++i) {
        callers.emplace_back(
            [&item] { vemfast::exec::parallel_for(64, 8, vemfast::Poll(), item); });
    }
    for (std::thread& caller : callers)
        caller.join();
    // One of them may have begun alone, with all that it wanted.
    CHECK(most <= kCallers + 8);
    CHECK(most >= 2);
}

}  // namespace
