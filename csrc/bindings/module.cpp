// The extension module vemfast._core: a list of its parts.
#include "bindings/bind.hpp"
#include "isa/dispatch.hpp"

PYBIND11_MODULE(_core, m) {
    using namespace vemfast;
    m.doc() = "The native core of vemfast; use the package, not this module.";
    try {
        kernels();  // an unusable instruction-set level is an error now, not in the middle of a fit
    } catch (const std::exception& error) {
        throw pybind11::import_error(error.what());
    }
    bindings::bind_errors(m);
    bindings::bind_config(m);
    bindings::bind_discrete(m);
    bindings::bind_lda(m);
    bindings::bind_mixture(m);
    bindings::bind_fit(m);
    bindings::bind_hmm(m);
    bindings::bind_random(m);
    bindings::bind_series(m);
    bindings::bind_discrete_fit(m);
    bindings::bind_special(m);
    bindings::bind_vae(m);
}
