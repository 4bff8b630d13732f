// The mixture kernels of this level, as the table wants them.
#include "../isa/mixture_kernels.hpp"
#include "kmeans.hpp"
#include "mixture_estep.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

// The packed triangle that `triangle_group` reads: groups of kGroup rows of the lower triangular
// factor, column by column.
static void pack_triangle(const double* lower, std::size_t n, double* out) {
    for (std::size_t j0 = 0; j0 < n; j0 += detail::kGroup) {
        const std::size_t width = at_most(n - j0, detail::kGroup);
        for (std::size_t i = 0; i < j0 + width; ++i) {
            for (std::size_t j = 0; j < width; ++j)
                *out++ = i <= j0 + j ? lower[(j0 + j) * n + i] : 0.0;
        }
    }
}

template <class T>
constexpr MixtureEntry<T> mixture_entry() {
    return {&mixture_estep<T>, &mixture_assign<T>, &workspace_bytes<T>, &missing_bytes<T>};
}

}  // namespace

extern const MixtureKernels mixture_kernels;
constinit const MixtureKernels mixture_kernels{mixture_entry<float>(),
                                               mixture_entry<double>(),
                                               &pack_triangle,
                                               &cluster_distances,
                                               &seed_potentials,
                                               &take_seed,
                                               &cluster_few};

}  // namespace vemfast::VEMFAST_LEVEL
