// _core.random: the native draws, so that the NumPy twin can be held to them.
#include "bindings/bind.hpp"
#include "isa/dispatch.hpp"
#include "vemfast/random.hpp"

namespace vemfast::bindings {

namespace {

using Doubles = py::array_t<double, py::array::c_style>;
using random::Stream;

// The uniforms of `count` consecutive rows, from the kernels' vector code.
Doubles uniforms(std::uint64_t seed, std::uint32_t iteration, std::uint64_t first_row,
                 std::uint32_t stream, std::size_t count) {
    Doubles out(static_cast<py::ssize_t>(count));
    kernels().special.uniforms(seed, iteration, first_row, stream, count, out.mutable_data());
    return out;
}

template <class Draw>
Doubles repeat(std::size_t count, Draw draw) {
    Doubles out(static_cast<py::ssize_t>(count));
    double* to = out.mutable_data();
    for (std::size_t i = 0; i < count; ++i)
        to[i] = draw();
    return out;
}

}  // namespace

void bind_random(py::module_& m) {
    auto part = m.def_submodule("random", "Counter-based random numbers.");
    part.def("philox", &random::philox, py::arg("counter"), py::arg("key"));
    part.def("uniform", &random::uniform, py::arg("seed"), py::arg("iteration"), py::arg("row"),
             py::arg("stream"));
    part.def("uniforms", &uniforms, py::arg("seed"), py::arg("iteration"), py::arg("first_row"),
             py::arg("stream"), py::arg("count"));
    py::class_<Stream>(part, "Stream")
        .def(py::init<std::uint64_t, std::uint32_t, std::uint32_t, std::size_t>(), py::arg("seed"),
             py::arg("iteration"), py::arg("stream"), py::arg("index"))
        .def("uniform", &Stream::uniform)
        .def("normal", &Stream::normal)
        .def("gamma", &Stream::gamma, py::arg("shape"))
        .def("log_gamma_draw", &Stream::log_gamma_draw, py::arg("shape"))
        .def("log_gamma_of_small", &Stream::log_gamma_of_small, py::arg("shape"))
        .def("chi2", &Stream::chi2, py::arg("degrees_of_freedom"))
        .def(
            "dirichlet",
            [](Stream& stream, const Doubles& concentration) {
                Doubles out(concentration.size());
                stream.dirichlet(concentration.data(),
                                 static_cast<std::size_t>(concentration.size()),
                                 out.mutable_data());
                return out;
            },
            py::arg("concentration"))
        .def(
            "normals",
            [](Stream& stream, std::size_t count) {
                return repeat(count, [&] { return stream.normal(); });
            },
            py::arg("count"))
        .def(
            "gammas",
            [](Stream& stream, double shape, std::size_t count) {
                return repeat(count, [&] { return stream.gamma(shape); });
            },
            py::arg("shape"), py::arg("count"));
}

}  // namespace vemfast::bindings
