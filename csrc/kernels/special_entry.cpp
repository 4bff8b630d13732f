// The special functions of this level over arrays, as the table wants them.
#include "../isa/special_kernels.hpp"
#include "../math/digamma.hpp"
#include "../math/exp.hpp"
#include "../math/exp_digamma.hpp"
#include "../math/lgamma.hpp"
#include "../math/log.hpp"
#include "../math/logsumexp.hpp"
#include "../math/philox.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

// out[i] = Function(x[i]). The tail goes through the same vector code, filled up with ones, so that
// an element's result does not depend on where it stands.
template <class T, Vec<T> (*Function)(Vec<T>)>
void map_array(const T* x, std::size_t n, T* out) {
    std::size_t i = 0;
    for (; i + kLanes<T> <= n; i += kLanes<T>)
        store<T>(out + i, Function(load<T>(x + i)));
    if (i < n)
        store_partial<T>(out + i, Function(load_partial<T>(x + i, n - i, T(1))), n - i);
}

template <class T>
void logsumexp_rows(const T* s, std::size_t n_rows, std::size_t n_columns, T* out) {
    for (std::size_t i = 0; i < n_rows; ++i)
        out[i] = logsumexp<T>(s + i * n_columns, n_columns);
}

void uniform_array(std::uint64_t seed, std::uint32_t iteration, std::uint64_t first_row,
                   std::uint32_t stream, std::size_t n, double* out) {
    for (std::size_t i = 0; i < n; i += kLanes<double>) {
        const Vec<double> u = philox_uniforms(seed, iteration, first_row + i, stream);
        store_partial<double>(out + i, u, n - i < kLanes<double> ? n - i : kLanes<double>);
    }
}

template <class T>
constexpr SpecialEntry<T> special_entry() {
    return {
        .exp = &map_array<T, &vexp<T>>,
        .exp_nonpositive = &map_array<T, &vexp_nonpositive<T>>,
        .log = &map_array<T, &vlog<T>>,
        .digamma = &map_array<T, &vdigamma<T>>,
        .exp_digamma = &map_array<T, &vexp_digamma<T>>,
        .lgamma = &map_array<T, &vlgamma<T>>,
        .logsumexp = &logsumexp_rows<T>,
    };
}

}  // namespace

extern const SpecialKernels special_kernels;
constinit const SpecialKernels special_kernels{special_entry<float>(), special_entry<double>(),
                                               &uniform_array};

}  // namespace vemfast::VEMFAST_LEVEL
