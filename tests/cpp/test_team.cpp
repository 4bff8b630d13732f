// The laws of a team: shares cover everything once, stages do not overlap, and all stop together.
#include <atomic>
#include <chrono>
#include <cstddef>
#include <thread>
#include <vector>

#include "check.hpp"
#include "exec/parallel.hpp"
#include "exec/team.hpp"
#include "vemfast/errors.hpp"

namespace {

using vemfast::Poll;
using vemfast::exec::Shares;
using vemfast::exec::Team;

constexpr int kThreads[] = {1, 2, 3, 8};

TEST_CASE(shares_cover_everything_once) {
    for (const int n_threads : kThreads) {
        Shares shares(n_threads);
        for (const std::size_t n : {0UL, 1UL, 2UL, 7UL, 100UL}) {
            std::vector<std::atomic<int>> seen(n);
            vemfast::exec::team(shares, {}, [&](Team& member) {
                for (std::size_t i = member.begin(n); i < member.end(n); ++i)
                    ++seen[i];
            });
            for (const auto& times : seen)
                CHECK(times == 1);
        }
    }
}

TEST_CASE(items_are_shared_out_once_each) {
    for (const int n_threads : kThreads) {
        Shares shares(n_threads);
        for (int again = 0; again < 20; ++again) {
            constexpr std::size_t kItems[] = {0, 1, 7, 100, 3};
            std::vector<std::vector<std::atomic<int>>> seen;
            for (const std::size_t n : kItems)
                seen.emplace_back(n);
            vemfast::exec::team(shares, {}, [&](Team& member) {
                for (std::size_t stage = 0; stage < seen.size(); ++stage) {
                    // A late thread finds its share done, or does what is left of it.
                    if (member.slot() == again % 3)
                        std::this_thread::sleep_for(std::chrono::microseconds(100));
                    member.share_out(kItems[stage], [&](std::size_t i) { ++seen[stage][i]; });
                }
            });
            for (const auto& stage : seen) {
                for (const auto& times : stage)
                    CHECK(times == 1);
            }
        }
    }
}

TEST_CASE(who_is_done_helps) {
    Shares shares(2);
    std::atomic<int> by_helper = 0, size = 0;
    vemfast::exec::team(shares, {}, [&](Team& member) {
        size = member.size();
        member.share_out(100, [&](std::size_t i) {
            // The first thread holds on to the first item of its share, and the other does the
            // rest (and that one, too, where it comes first).
            if (member.slot() == 0) {
                for (int wait = 0; i == 0 && size == 2 && by_helper < 49 && wait < 5000; ++wait)
                    std::this_thread::sleep_for(std::chrono::milliseconds(1));
            } else if (i < 50) {
                ++by_helper;
            }
        });
    });
    CHECK(size == 1 || by_helper >= 49);
}

TEST_CASE(a_stage_sees_all_of_the_one_before) {
    constexpr std::size_t kN = 64;
    for (const int n_threads : kThreads) {
        Shares shares(n_threads);
        std::vector<int> now(kN, 0), next(kN, 0);
        std::atomic<int> wrong = 0;
        vemfast::exec::team(shares, {}, [&](Team& member) {
            for (int stage = 0; stage < 200; ++stage) {
                const std::vector<int>& from = stage % 2 == 0 ? now : next;
                std::vector<int>& to = stage % 2 == 0 ? next : now;
                for (std::size_t i = member.begin(kN); i < member.end(kN); ++i) {
                    to[i] = from[kN - 1 - i] + 1;
                    wrong += from[kN - 1 - i] == stage ? 0 : 1;
                }
                if (!member.barrier())
                    ++wrong;
            }
        });
        CHECK(wrong == 0);
        CHECK(now == std::vector<int>(kN, 200));
    }
}

TEST_CASE(all_turn_back_at_the_same_barrier) {
    for (const int n_threads : kThreads) {
        Shares shares(n_threads);
        std::atomic<bool> ask = false;
        const Poll poll = [&] { return ask.load(); };
        std::vector<int> passed(8, -1);
        int size = 0;
        bool interrupted = false;
        try {
            vemfast::exec::team(shares, poll, [&](Team& member) {
                int barriers = 0;
                while (member.barrier()) {
                    if (++barriers == 3 && member.slot() == 0)
                        ask = true;
                    if (member.slot() == 0 && barriers > 3)
                        std::this_thread::sleep_for(std::chrono::milliseconds(5));
                }
                passed[static_cast<std::size_t>(member.slot())] = barriers;
                if (member.slot() == 0)
                    size = member.size();
            });
        } catch (const vemfast::Interrupted&) {
            interrupted = true;
        }
        CHECK(interrupted);
        CHECK(passed[0] >= 3);
        for (int slot = 0; slot < size; ++slot)
            CHECK(passed[static_cast<std::size_t>(slot)] == passed[0]);
    }
}

TEST_CASE(inside_of_a_region_a_team_is_one_thread) {
    std::atomic<int> wrong = 0, teams = 0;
    vemfast::exec::parallel_for(4, 2, {}, [&](std::int64_t, int) {
        Shares shares(2);
        vemfast::exec::team(shares, {}, [&](Team& member) {
            ++teams;
            wrong += member.size() == 1 && member.barrier() ? 0 : 1;
        });
    });
    CHECK(teams == 4);
    CHECK(wrong == 0);
}

}  // namespace
