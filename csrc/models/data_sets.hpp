// Many data sets side by side: small ones one a thread, large ones with all threads to themselves.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "exec/parallel.hpp"
#include "vemfast/poll.hpp"

namespace vemfast::models {

// Multiply-adds of an E-step above which a data set has all threads to itself.
constexpr double kLargeWork = 1 << 24;

// Calls fit_one(i, slot, n_threads, poll) for each data set; work(i) are multiply-adds of an E-step
// over it. On threads that are not the caller's there is nobody to ask, but interruption_point()
// heeds what the caller was told.
template <class Work, class FitOne>
void for_data_sets(std::size_t n, int n_threads, const Poll& poll, Work&& work, FitOne&& fit_one) {
    const PollScope asked(poll);
    std::vector<std::size_t> small;
    small.reserve(n);
    for (std::size_t i = 0; i < n; ++i) {
        if (work(i) >= kLargeWork)
            fit_one(i, 0, n_threads, poll);
        else
            small.push_back(i);
    }
    const Poll nobody;
    exec::parallel_for(
        static_cast<std::int64_t>(small.size()), n_threads, poll, [&](std::int64_t item, int slot) {
            fit_one(small[static_cast<std::size_t>(item)], slot, 1, slot == 0 ? poll : nobody);
        });
}

}  // namespace vemfast::models
