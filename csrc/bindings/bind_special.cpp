// _core.special: functions of contiguous float32 or float64 arrays. vemfast/special.py converts.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "bindings/bind.hpp"
#include "bindings/native_call.hpp"
#include "isa/dispatch.hpp"
#include "vemfast/errors.hpp"
#include "vemfast/require.hpp"
#include "vemfast/special.hpp"

namespace vemfast::bindings {

namespace {

// Elements between two questions whether to stop: some milliseconds of work.
constexpr std::size_t kChunk = std::size_t{1} << 20;

// Whether x is float32; throws unless it is an array that the kernels can read.
bool is_float(const py::array& x) {
    const bool is_float = x.dtype().equal(py::dtype::of<float>());
    require(is_float || x.dtype().equal(py::dtype::of<double>()),
            "expected a native float32 or float64 array");
    const auto address = reinterpret_cast<std::uintptr_t>(x.data());
    require((x.flags() & py::array::c_style) != 0 &&
                address % static_cast<std::uintptr_t>(x.itemsize()) == 0,
            "expected an aligned C-contiguous array");
    return is_float;
}

// work(first, count) over all of 0..n-1, in chunks, without the GIL and open to Ctrl-C.
template <class Work>
void in_chunks(std::size_t n, std::size_t chunk, Work work) {
    call_native([&](const Poll& poll) {
        for (std::size_t i = 0; i < n; i += chunk) {
            if (i > 0 && poll())
                throw Interrupted();
            work(i, std::min(chunk, n - i));
        }
        return 0;
    });
}

template <class T>
py::array map(const py::array& x, typename SpecialEntry<T>::Map function) {
    py::array_t<T> out(std::vector<py::ssize_t>(x.shape(), x.shape() + x.ndim()));
    const T* from = static_cast<const T*>(x.data());
    T* to = out.mutable_data();
    in_chunks(static_cast<std::size_t>(x.size()), kChunk,
              [&](std::size_t i, std::size_t n) { function(from + i, n, to + i); });
    return out;
}

template <class T>
py::array logsumexp(const py::array& x, const SpecialEntry<T>& entry) {
    require(x.ndim() == 2 && x.shape(1) > 0, "expected a matrix with at least one column");
    py::array_t<T> out(x.shape(0));
    const auto columns = static_cast<std::size_t>(x.shape(1));
    const T* from = static_cast<const T*>(x.data());
    T* to = out.mutable_data();
    in_chunks(static_cast<std::size_t>(x.shape(0)), std::max<std::size_t>(kChunk / columns, 1),
              [&](std::size_t i, std::size_t n) {
                  entry.logsumexp(from + i * columns, n, columns, to + i);
              });
    return out;
}

}  // namespace

void bind_special(py::module_& m) {
    auto part = m.def_submodule("special", "Special functions of arrays.");
    const auto bind = [&part](const char* name, auto member_float, auto member_double) {
        part.def(
            name,
            [=](const py::array& x) {
                const SpecialKernels& table = kernels().special;
                return is_float(x) ? map<float>(x, table.on_float.*member_float)
                                   : map<double>(x, table.on_double.*member_double);
            },
            py::arg("x"));
    };
    using F = SpecialEntry<float>;
    using D = SpecialEntry<double>;
    bind("exp", &F::exp, &D::exp);
    bind("exp_nonpositive", &F::exp_nonpositive, &D::exp_nonpositive);
    bind("log", &F::log, &D::log);
    bind("digamma", &F::digamma, &D::digamma);
    bind("exp_digamma", &F::exp_digamma, &D::exp_digamma);
    bind("lgamma", &F::lgamma, &D::lgamma);
    part.def(
        "logsumexp",
        [](const py::array& x) {
            const SpecialKernels& table = kernels().special;
            return is_float(x) ? logsumexp<float>(x, table.on_float)
                               : logsumexp<double>(x, table.on_double);
        },
        py::arg("x"));

    // The scalar functions of vemfast/special.hpp, for their tests.
    part.def("scalar_digamma", &special::digamma);
    part.def("scalar_lgamma", &special::lgamma);
    part.def("multivariate_digamma", &special::multivariate_digamma);
    part.def("multivariate_lgamma", &special::multivariate_lgamma);
}

}  // namespace vemfast::bindings
