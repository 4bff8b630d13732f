// How the library was built and what it found on this machine.
#include "bindings/bind.hpp"
#include "exec/threads.hpp"
#include "isa/dispatch.hpp"
#include "vemfast/version.hpp"

namespace vemfast::bindings {

namespace {

const char* compiler() {
#if defined(__clang__)
    return "clang " __clang_version__;
#elif defined(__GNUC__)
    return "gcc " __VERSION__;
#else
    return "unknown";
#endif
}

py::dict build_info() {
    py::dict info;
    info["version"] = VEMFAST_VERSION;
    info["level"] = kernels().level;
    info["levels"] = available_levels();
    info["vector_bytes"] = kernels().vector_bytes;
    info["compiler"] = compiler();
    info["openmp"] = exec::openmp_version();
    info["build_type"] = VEMFAST_BUILD_TYPE;
    return info;
}

}  // namespace

void bind_config(py::module_& m) {
    m.attr("__version__") = VEMFAST_VERSION;
    m.def("build_info", &build_info, "How the library was built and which level it chose.");
    m.def("max_threads", &exec::max_threads,
          "Threads that OpenMP may use and that the machine has.");
}

}  // namespace vemfast::bindings
