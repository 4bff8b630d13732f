// How a binding calls the core: without the GIL, and open to Ctrl-C.
#pragma once

#include <type_traits>
#include <utility>

#include "bindings/bind.hpp"
#include "vemfast/poll.hpp"

namespace vemfast::bindings {

// Takes the GIL and lets Python run its signal handlers; true if one of them raised. The exception
// stays pending in the thread, and the translation of Interrupted lets it through. On any thread
// but Python's main one there is nothing to run and this is always false.
bool signal_pending();

// Warns once in a forked child that had to do without threads.
void warn_if_threads_lost();

// Calls compute(poll) with the GIL released; its interruption points ask the same poll. The
// arguments that `compute` captures by reference must be plain memory: views into arrays that the
// caller's Python objects keep alive.
template <class Compute>
auto call_native(Compute&& compute) {
    const Poll poll = signal_pending;
    const auto without_gil = [&] {
        const py::gil_scoped_release released;
        const PollScope asked(poll);
        return std::forward<Compute>(compute)(poll);
    };
    if constexpr (std::is_void_v<decltype(without_gil())>) {
        without_gil();
        warn_if_threads_lost();
    } else {
        auto result = without_gil();  // NOLINT(misc-const-correctness): returned by move
        warn_if_threads_lost();
        return result;
    }
}

}  // namespace vemfast::bindings
