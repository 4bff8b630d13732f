// Two ways to share work among threads (a third, for stages that follow from each other, is in
// team.hpp). Which one a computation uses depends on the shape of
// what it writes, never on the number of threads: map_reduce for small statistics that every block
// adds to, parallel_for for large outputs of which every item owns a part.
//
// Both give the same bits for any number of threads. Both hand out consecutive `slot` numbers below
// n_slots(), by which a caller finds the workspace of the thread that it runs on. What a leaf or an
// item throws, bad_alloc included, stops the work and is rethrown on the calling thread; of several
// failures the one of the lowest index. Interrupted is thrown when `poll` asks for a stop.
#pragma once

#include <algorithm>
#include <cstdint>

#include "exec/function_ref.hpp"
#include "vemfast/poll.hpp"
#include "vemfast/version.hpp"

namespace vemfast::exec {

// How many slots n_items can be given to.
inline int n_slots(std::int64_t n_items, int n_threads) {
    return static_cast<int>(std::max<std::int64_t>(1, std::min<std::int64_t>(n_threads, n_items)));
}

// Adds one leaf's statistics to the zeroed `accumulator`.
using Leaf = FunctionRef<void(std::int64_t leaf, int slot, double* accumulator)>;

// Sums the statistics of the leaves into result[0..size), which is overwritten.
//
// The sum is a fixed binary tree over the leaf index: node (level, i) is node (level - 1, 2 i) plus
// node (level - 1, 2 i + 1), and where the right one does not exist the left one moves up as it is.
// Leaves are taken in ascending order by whichever thread is free; the thread that finishes the
// second of two siblings adds them and goes on with the parent. Buffers are reused: a serial call
// holds at most ceil(log2 n_leaves) of them beside `result`, a parallel one as many more as threads
// are at work, unless one thread is held up for long (then up to log2 n_leaves for each thread).
VEMFAST_API void map_reduce(std::int64_t n_leaves, std::int64_t size, int n_threads,
                            const Poll& poll, Leaf leaf, double* result);

// Calls item(i, slot) for each i in 0..n-1. Items must write to disjoint places.
VEMFAST_API void parallel_for(std::int64_t n_items, int n_threads, const Poll& poll,
                              FunctionRef<void(std::int64_t item, int slot)> item);

}  // namespace vemfast::exec
