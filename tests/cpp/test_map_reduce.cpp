// The laws of the two parallel primitives.
#include <cfenv>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <new>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "check.hpp"
#include "exec/parallel.hpp"
#include "vemfast/errors.hpp"
#include "vemfast/poll.hpp"

namespace {

using vemfast::Poll;
using vemfast::exec::map_reduce;
using vemfast::exec::n_slots;
using vemfast::exec::parallel_for;

const Poll kNoPoll;
constexpr int kThreads[] = {1, 2, 3, 4, 7, 8, 16, 64};
constexpr std::int64_t kSizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 31, 64, 100, 257};

// Values for which floating-point addition is far from associative.
double value(std::int64_t leaf, std::int64_t field) {
    const auto x = static_cast<double>(leaf * 7919 + field * 104729);
    return std::sin(x) * std::pow(10.0, static_cast<double>((leaf + field) % 17));
}

constexpr std::int64_t kFields = 5;

const auto fill_leaf = [](std::int64_t leaf, int /*slot*/, double* accumulator) {
    for (std::int64_t field = 0; field < kFields; ++field) {
        accumulator[field] += value(leaf, field);
    }
};

// The tree by its definition: node (level, i) of the nodes below, the odd one out moves up.
std::vector<double> tree_sum(std::int64_t n_leaves) {
    std::vector<std::vector<double>> nodes;
    for (std::int64_t leaf = 0; leaf < n_leaves; ++leaf) {
        nodes.emplace_back(kFields, 0.0);
        fill_leaf(leaf, 0, nodes.back().data());
    }
    while (nodes.size() > 1) {
        std::vector<std::vector<double>> parents;
        for (std::size_t i = 0; i < nodes.size(); i += 2) {
            parents.push_back(nodes[i]);
            if (i + 1 < nodes.size()) {
                for (std::size_t field = 0; field < kFields; ++field) {
                    parents.back()[field] += nodes[i + 1][field];
                }
            }
        }
        nodes = std::move(parents);
    }
    return nodes.empty() ? std::vector<double>(kFields, 0.0) : nodes[0];
}

bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

std::vector<double> reduce(std::int64_t n_leaves, int n_threads) {
    std::vector<double> result(kFields, std::nan(""));  // overwritten, whatever was there
    map_reduce(n_leaves, kFields, n_threads, kNoPoll, fill_leaf, result.data());
    return result;
}

TEST_CASE(the_tree_is_the_same_for_any_number_of_threads) {
    for (const std::int64_t n_leaves : kSizes) {
        const std::vector<double> expected = tree_sum(n_leaves);
        for (const int n_threads : kThreads) {
            CHECK(same_bits(reduce(n_leaves, n_threads), expected));
        }
    }
}

// The mutation that the law above must catch: a sum in leaf order is another number.
TEST_CASE(a_running_sum_has_other_bits) {
    std::vector<double> running(kFields, 0.0);
    for (std::int64_t leaf = 0; leaf < 257; ++leaf) {
        fill_leaf(leaf, 0, running.data());
    }
    CHECK(!same_bits(running, tree_sum(257)));
}

TEST_CASE(no_leaves_give_zero) {
    CHECK(same_bits(reduce(0, 4), std::vector<double>(kFields, 0.0)));
}

TEST_CASE(threads_that_finish_out_of_order_do_not_change_the_sum) {
    const auto uneven_leaf = [](std::int64_t leaf, int slot, double* accumulator) {
        if (leaf % 8 == 0) {
            std::this_thread::sleep_for(std::chrono::microseconds(500));
        }
        fill_leaf(leaf, slot, accumulator);
    };
    std::vector<double> result(kFields);
    map_reduce(100, kFields, 4, kNoPoll, uneven_leaf, result.data());
    CHECK(same_bits(result, tree_sum(100)));
}

TEST_CASE(every_leaf_runs_once_in_a_valid_slot) {
    for (const int n_threads : kThreads) {
        std::mutex mutex;
        std::multiset<std::int64_t> seen;
        bool slots_valid = true;
        double result = 0;
        map_reduce(
            100, 1, n_threads, kNoPoll,
            [&](std::int64_t leaf, int slot, double* accumulator) {
                const std::lock_guard lock(mutex);
                seen.insert(leaf);
                slots_valid = slots_valid && slot >= 0 && slot < n_slots(100, n_threads);
                accumulator[0] += 1;
            },
            &result);
        CHECK(slots_valid);
        CHECK(seen.size() == 100);
        CHECK(std::set<std::int64_t>(seen.begin(), seen.end()).size() == 100);
        CHECK(result == 100);
    }
}

TEST_CASE(a_serial_call_holds_few_buffers) {
    std::set<const double*> buffers;
    double result = 0;
    map_reduce(
        1000, 1, 1, kNoPoll,
        [&](std::int64_t, int, double* accumulator) { buffers.insert(accumulator); }, &result);
    CHECK(buffers.size() <= 11);  // the result, and one for each of the ten levels
}

TEST_CASE(the_error_of_the_lowest_failing_leaf_is_rethrown) {
    for (const int n_threads : kThreads) {
        std::string message;
        try {
            double result = 0;
            map_reduce(
                200, 1, n_threads, kNoPoll,
                [](std::int64_t leaf, int, double*) {
                    if (leaf >= 37) {
                        throw std::invalid_argument("leaf " + std::to_string(leaf));
                    }
                },
                &result);
        } catch (const std::invalid_argument& error) {
            message = error.what();
        }
        CHECK(message == "leaf 37");
    }
}

TEST_CASE(running_out_of_memory_in_a_leaf_is_an_exception) {
    double result = 0;
    const auto leaf = [](std::int64_t index, int, double*) {
        if (index == 3) {
            throw std::bad_alloc();
        }
    };
    CHECK_THROWS(map_reduce(10, 1, 4, kNoPoll, leaf, &result), std::bad_alloc);
}

TEST_CASE(a_poll_that_says_stop_interrupts) {
    for (const int n_threads : {1, 2, 4}) {
        const auto caller = std::this_thread::get_id();
        int calls = 0;
        bool on_calling_thread = true;
        const Poll poll = [&] {
            ++calls;
            on_calling_thread = on_calling_thread && std::this_thread::get_id() == caller;
            return calls == 2;
        };
        const auto slow_item = [](std::int64_t, int) {
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        };
        CHECK_THROWS(parallel_for(1000, n_threads, poll, slow_item), vemfast::Interrupted);
        CHECK(calls == 2);
        CHECK(on_calling_thread);
    }
}

TEST_CASE(an_interrupt_ends_long_items_on_other_threads) {
    const Poll poll = [] { return true; };
    const auto work = [&] {
        const vemfast::PollScope asked(poll);
        parallel_for(2, 2, poll, [](std::int64_t item, int) {
            while (item == 1)
                vemfast::interruption_point();
        });
    };
    CHECK_THROWS(work(), vemfast::Interrupted);
}

TEST_CASE(an_exception_in_the_poll_is_rethrown) {
    const Poll poll = []() -> bool { throw std::domain_error("poll"); };
    const auto slow_item = [](std::int64_t, int) {
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    };
    CHECK_THROWS(parallel_for(1000, 2, poll, slow_item), std::domain_error);
}

TEST_CASE(parallel_for_visits_every_item_once) {
    for (const int n_threads : kThreads) {
        std::vector<int> visits(500, 0);
        parallel_for(500, n_threads, kNoPoll,
                     [&](std::int64_t item, int) { ++visits[static_cast<std::size_t>(item)]; });
        CHECK(visits == std::vector<int>(500, 1));
    }
}

TEST_CASE(workers_round_as_the_calling_thread_does) {
    std::fesetround(FE_UPWARD);
    const std::vector<double> serial = reduce(100, 1);
    const std::vector<double> parallel = reduce(100, 4);
    std::fesetround(FE_TONEAREST);
    CHECK(same_bits(parallel, serial));
    CHECK(!same_bits(serial, tree_sum(100)));
}

TEST_CASE(regions_within_regions_run_inline) {
    std::vector<double> results(8, 0.0);
    parallel_for(8, 4, kNoPoll, [&](std::int64_t item, int) {
        const std::vector<double> inner = reduce(64, 4);
        results[static_cast<std::size_t>(item)] = inner[0];
    });
    CHECK(results == std::vector<double>(8, tree_sum(64)[0]));
}

}  // namespace
