// Entry points of the kernels of networks of one level.
#pragma once

#include <cstddef>

#include "kernels/vae_task.hpp"

namespace vemfast {

// A strip is `panel_columns` columns of a product's result. Kernels compute the rows [first, end)
// of one strip: of the batch, or for `weights` of W. All of these are independent of each other.
// `panel` is a thread's own memory of panel_floats floats.
struct VaeKernels {
    std::size_t panel_rows;  // of a tile: shares of whole tiles lose nothing
    std::size_t panel_columns;
    std::size_t panel_floats;
    void (*layer)(const detail::LayerTask& task, std::size_t strip, std::size_t first,
                  std::size_t end);
    void (*likelihood)(const detail::LikelihoodTask& task, std::size_t strip, std::size_t first,
                       std::size_t end);
    void (*inputs)(const detail::InputsTask& task, std::size_t strip, std::size_t first,
                   std::size_t end, float* panel);
    // The intercepts' gradients come with row 0.
    void (*weights)(const detail::WeightsTask& task, std::size_t strip, std::size_t first,
                    std::size_t end, float* panel);
    // Whether all |gradient[i]|, first <= i < end, are below the limit (NaN is not).
    bool (*below)(const float* gradient, std::size_t first, std::size_t end, float limit);
    void (*adam)(const detail::AdamTask& task, std::size_t first, std::size_t end);
    // `weights` and then `adam`; the gradient, of (end - first) * panel_columns floats, goes by way
    // of a thread's own memory.
    void (*step)(const detail::StepTask& task, std::size_t strip, std::size_t first,
                 std::size_t end, float* panel, float* gradient);
    // out[i] = log(1 + x[i]), x >= 0.
    void (*log1p)(const float* x, std::size_t n, float* out);
};

}  // namespace vemfast
