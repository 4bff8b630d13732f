// How a binding calls the core: without the GIL, and open to Ctrl-C.
#pragma once

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

// Calls compute(poll) with the GIL released. The arguments that `compute` captures by reference
// must be plain memory: views into arrays that the caller's Python objects keep alive.
template <class Compute>
auto call_native(Compute&& compute) {
    const Poll poll = signal_pending;
    auto result = [&] {
        const py::gil_scoped_release without_gil;
        return std::forward<Compute>(compute)(poll);
    }();
    warn_if_threads_lost();
    return result;
}

}  // namespace vemfast::bindings
