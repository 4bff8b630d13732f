// Forking a process that has run parallel regions.
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <set>
#include <thread>

#include "check.hpp"
#include "exec/fork_guard.hpp"
#include "exec/parallel.hpp"

namespace {

using vemfast::Poll;
using vemfast::exec::parallel_for;
using vemfast::exec::take_fork_notice;

const Poll kNoPoll;

// How many threads took part.
std::size_t threads_used(int n_threads) {
    std::mutex mutex;
    std::set<std::thread::id> threads;
    parallel_for(40, n_threads, kNoPoll, [&](std::int64_t, int) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        const std::lock_guard lock(mutex);
        threads.insert(std::this_thread::get_id());
    });
    return threads.size();
}

// Runs `body` in a forked child, which a hang would end by SIGALRM; true if it returned true.
template <class Body>
bool in_forked_child(Body body) {
    const pid_t child = fork();
    if (child == 0) {
        alarm(20);
        _exit(body() ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST_CASE(a_child_forked_between_regions_has_all_threads) {
    CHECK(threads_used(4) == 4);
    CHECK(in_forked_child([] { return threads_used(4) == 4 && !take_fork_notice(); }));
    CHECK(threads_used(4) == 4);
}

TEST_CASE(a_grandchild_has_all_threads) {
    CHECK(threads_used(3) == 3);
    CHECK(in_forked_child([] {
        return threads_used(3) == 3 && in_forked_child([] { return threads_used(3) == 3; });
    }));
}

TEST_CASE(another_threads_region_survives_a_fork_and_does_not_hold_it_up) {
    CHECK(threads_used(2) == 2);
    std::atomic<bool> done = false;
    std::thread other([&done] {
        while (!done) {
            threads_used(2);
        }
    });
    bool children_fine = true;
    for (int i = 0; i < 20; ++i) {
        children_fine = children_fine && in_forked_child([] { return threads_used(2) == 2; });
        std::this_thread::sleep_for(std::chrono::microseconds(300 * i));
    }
    done = true;
    other.join();
    CHECK(children_fine);
    CHECK(threads_used(2) == 2);
}

TEST_CASE(a_child_forked_inside_a_region_does_without_threads_and_says_so_once) {
    std::atomic<bool> child_fine = true;
    parallel_for(8, 2, kNoPoll, [&child_fine](std::int64_t item, int) {
        if (item == 3) {
            child_fine = in_forked_child([] {
                const bool alone = threads_used(2) == 1;
                return alone && take_fork_notice() && !take_fork_notice();
            });
        }
    });
    CHECK(child_fine);
    CHECK(threads_used(2) == 2);
}

}  // namespace
