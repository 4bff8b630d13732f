// The products of networks by themselves.
#include <algorithm>

#include "exec/memory.hpp"
#include "exec/parallel.hpp"
#include "isa/dispatch.hpp"
#include "models/vae.hpp"

namespace vemfast::models {

namespace {

constexpr std::size_t kPanelsOfAnItem = 8;

std::size_t items(std::size_t n, std::size_t step) {
    return (n + step - 1) / step;
}

}  // namespace

void product(ProductKind kind, const float* a, const float* b, std::size_t M, std::size_t K,
             std::size_t N, int n_threads, const Poll& poll, float* c) {
    const VaeKernels& kernels = vemfast::kernels().vae;
    const std::size_t panels = items(M, kernels.panel_rows);
    const std::size_t strips = items(N, kernels.panel_columns);
    const std::size_t wide = strips * kernels.panel_columns;  // rows of the result with padding
    const int slots = exec::n_slots(static_cast<std::int64_t>(strips), n_threads);
    const std::size_t packed_floats = items(panels * kernels.panel_rows * K, 16) * 16;
    const std::size_t panel = items(kernels.panel_floats, 16) * 16;
    const exec::Memory memory =
        exec::allocate(sizeof(float) * (packed_floats + panel * static_cast<std::size_t>(slots) +
                                        2 * M * wide + 2 * N));
    auto* packed = static_cast<float*>(memory.get());
    float* own = packed + packed_floats;
    float* out = own + panel * static_cast<std::size_t>(slots);
    float* slope = out + M * wide;
    float* intercepts = slope + M * wide;
    std::fill_n(intercepts, 2 * N, 0.0F);
    const bool left = kind == ProductKind::left_transposed;
    exec::parallel_for(static_cast<std::int64_t>(items(panels, kPanelsOfAnItem)), n_threads, poll,
                       [&](std::int64_t item, int) {
                           const std::size_t first =
                               static_cast<std::size_t>(item) * kPanelsOfAnItem;
                           kernels.pack(a, left ? 1 : K, left ? M : 1, M, K, first,
                                        std::min(panels, first + kPanelsOfAnItem), packed);
                       });
    exec::parallel_for(
        static_cast<std::int64_t>(strips), n_threads, poll, [&](std::int64_t item, int slot) {
            const auto strip = static_cast<std::size_t>(item);
            float* thread = own + static_cast<std::size_t>(slot) * panel;
            if (kind == ProductKind::plain)
                kernels.layer({packed, M, K, N, b, intercepts, detail::Activation::identity, out,
                               slope, wide},
                              strip, thread);
            else if (kind == ProductKind::right_transposed)
                kernels.inputs({packed, M, N, K, b, nullptr, out, wide}, strip, thread);
            else
                kernels.weights({packed, K, M, N, b, N, c, intercepts}, strip, thread);
        });
    if (left)
        return;
    for (std::size_t m = 0; m < M; ++m)
        std::copy_n(out + m * wide, N, c + m * N);
}

}  // namespace vemfast::models
