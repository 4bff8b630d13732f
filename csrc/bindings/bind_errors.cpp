// C++ exceptions to Python's. pybind11 itself knows std::invalid_argument (ValueError) and
// std::bad_alloc (MemoryError).
#include <exception>
#include <utility>

#include "bindings/bind.hpp"
#include "vemfast/errors.hpp"

namespace vemfast::bindings {

namespace {

void translate(std::exception_ptr thrown) {
    try {
        std::rethrow_exception(std::move(thrown));
    } catch (const Interrupted&) {
        // Usually a KeyboardInterrupt is pending already; whatever a signal handler raised passes.
        if (PyErr_Occurred() == nullptr) {
            PyErr_SetNone(PyExc_KeyboardInterrupt);
        }
    } catch (const NumericalError& error) {
        const auto type = py::module_::import("vemfast.errors").attr("NumericalError");
        py::set_error(type, error.what());
    }
}

}  // namespace

void bind_errors(py::module_& /*m*/) {
    py::register_local_exception_translator(&translate);
}

}  // namespace vemfast::bindings
