// The one header through which pybind11 enters; one bind_<header>.cpp for each part of the library.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

namespace vemfast::bindings {

namespace py = pybind11;

void bind_errors(py::module_& m);
void bind_config(py::module_& m);
void bind_discrete(py::module_& m);
void bind_fit(py::module_& m);
void bind_hmm(py::module_& m);
void bind_lda(py::module_& m);
void bind_mixture(py::module_& m);
void bind_random(py::module_& m);
void bind_series(py::module_& m);
void bind_discrete_fit(py::module_& m);
void bind_special(py::module_& m);
void bind_vae(py::module_& m);

}  // namespace vemfast::bindings
