// Entry points of the kernels of networks of one level.
#pragma once

#include <cstddef>

#include "kernels/vae_task.hpp"

namespace vemfast {

// A strip is `panel_columns` columns of a product's result; strips are independent of each other.
// `panel` is a thread's own memory of panel_floats floats.
struct VaeKernels {
    std::size_t panel_rows;
    std::size_t panel_columns;
    std::size_t panel_floats;
    // Panels [first, end) of an M x K matrix with these strides, to be a product's left factor.
    void (*pack)(const float* a, std::size_t row_stride, std::size_t column_stride, std::size_t M,
                 std::size_t K, std::size_t first, std::size_t end, float* out);
    void (*layer)(const detail::LayerTask& task, std::size_t strip, float* panel);
    void (*likelihood)(const detail::LikelihoodTask& task, std::size_t strip, float* panel);
    void (*inputs)(const detail::InputsTask& task, std::size_t strip, float* panel);
    void (*weights)(const detail::WeightsTask& task, std::size_t strip, float* panel);
    // Whether all |gradient[i]|, first <= i < end, are below the limit (NaN is not).
    bool (*below)(const float* gradient, std::size_t first, std::size_t end, float limit);
    void (*adam)(const detail::AdamTask& task, std::size_t first, std::size_t end);
    // out[i] = log(1 + x[i]), x >= 0.
    void (*log1p)(const float* x, std::size_t n, float* out);
};

}  // namespace vemfast
