// What the kernels of networks are told: plain data only (see task.hpp).
//
// Matrices are row-major. Those of a batch (inputs, outputs, gradients) have rows padded to a
// multiple of kVaePad floats, so that every strip of columns has whole vectors; weights are not
// padded. What lies in the padding is finite and never read as data.
#pragma once

#include <cstddef>

namespace vemfast::detail {

inline constexpr std::size_t kVaePad = 32;  // at least the widest strip of any level

// In the order of ACTIVATIONS and LIKELIHOODS of vemfast/models/vae_config.py.
enum class Activation : int { tanh, relu, gelu, softplus, identity };
enum class Likelihood : int { bernoulli, gaussian, poisson };

// Sums of one layer, h W + b, and what the activation makes of them.
struct LayerTask {
    const float* packed = nullptr;  // h: rows x inputs, in panels
    std::size_t rows = 0;
    std::size_t inputs = 0;
    std::size_t outputs = 0;
    const float* coefs = nullptr;       // inputs x outputs
    const float* intercepts = nullptr;  // outputs
    Activation activation = Activation::identity;
    float* out = nullptr;    // rows x ld: the activation
    float* slope = nullptr;  // rows x ld: its derivative
    std::size_t ld = 0;
};

// The decoder's last layer, and with it log p(x|z) and its gradient by the layer's sums.
struct LikelihoodTask {
    LayerTask layer;  // `out` receives the gradient, times the rows' weights
    Likelihood likelihood = Likelihood::bernoulli;
    const float* x = nullptr;         // rows x ld, 0 where missing
    const float* observed = nullptr;  // rows x ld: 1, and 0 where missing; null: all are there
    const double* weights = nullptr;  // rows
    // Gaussian, ld each: 1 / variance, and -(log 2 pi + log variance) / 2.
    const float* precisions = nullptr;
    const float* normalisers = nullptr;
    float* of_log_variances = nullptr;  // ld: summed over rows
    double* densities = nullptr;        // strips x rows: each strip's share of log p(x|z)
};

// The gradient by a layer's inputs: G W^T, times the slope of the layer below.
struct InputsTask {
    const float* packed = nullptr;  // G: rows x outputs, in panels
    std::size_t rows = 0;
    std::size_t inputs = 0;
    std::size_t outputs = 0;
    const float* coefs = nullptr;  // inputs x outputs
    const float* slope = nullptr;  // rows x ld; null: there is no activation
    float* out = nullptr;          // rows x ld
    std::size_t ld = 0;
};

// The gradients by a layer's weights: h^T G, and the sums of G's columns.
struct WeightsTask {
    const float* packed = nullptr;  // h^T: inputs x rows, in panels
    std::size_t rows = 0;
    std::size_t inputs = 0;
    std::size_t outputs = 0;
    const float* gradient = nullptr;  // G: rows x ld
    std::size_t ld = 0;
    float* of_coefs = nullptr;       // inputs x outputs
    float* of_intercepts = nullptr;  // outputs
};

// A step of Adam along `scale` times the gradient.
struct AdamTask {
    const float* gradient = nullptr;
    float* weights = nullptr;
    float* first = nullptr;
    float* second = nullptr;
    float scale = 1;
    float rate = 0;         // learning rate / (1 - decay1^t)
    float root_scale = 1;   // (1 - decay2^t)^-1/2
    float one_minus_1 = 0;  // 1 - decay1
    float one_minus_2 = 0;
    float epsilon = 0;
};

}  // namespace vemfast::detail
