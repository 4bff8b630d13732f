#include "bindings/native_call.hpp"

#include "exec/fork_guard.hpp"

namespace vemfast::bindings {

namespace {

// At the interpreter's end a daemon thread may not take the GIL any more.
bool is_finalizing() {
#if PY_VERSION_HEX >= 0x030D0000
    return Py_IsFinalizing() != 0;
#else
    return _Py_IsFinalizing() != 0;
#endif
}

}  // namespace

bool signal_pending() {
    if (is_finalizing()) {
        return true;
    }
    const py::gil_scoped_acquire with_gil;
    return PyErr_CheckSignals() != 0;
}

void warn_if_threads_lost() {
    if (exec::take_fork_notice() &&
        PyErr_WarnEx(PyExc_RuntimeWarning,
                     "this process was forked while OpenMP could not give up its threads, so "
                     "vemfast runs on one thread here; start processes with the 'spawn' or "
                     "'forkserver' method to keep all threads",
                     1) != 0) {
        throw py::error_already_set();
    }
}

}  // namespace vemfast::bindings
