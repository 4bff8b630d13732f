// What the kernels of networks are told: plain data only (see task.hpp).
//
// Matrices of a batch (inputs, outputs, gradients) are row-major, their rows padded to a multiple
// of kVaePad floats, so that every strip of columns has whole vectors. Weights lie in panels: strip
// by strip, `inputs` rows of panel_columns numbers each, zeros in the columns that do not exist;
// intercepts are padded with zeros likewise. Padding of gradients is zero; other padding is
// finite, and in no result.
#pragma once

#include <cstddef>

namespace vemfast::detail {

inline constexpr std::size_t kVaePad = 32;  // at least the widest strip of any level

// In the order of ACTIVATIONS and LIKELIHOODS of vemfast/models/vae_config.py.
enum class Activation : int { tanh, relu, gelu, softplus, identity };
enum class Likelihood : int { bernoulli, gaussian, poisson };

// Sums of one layer, h W + b, and what the activation makes of them.
struct LayerTask {
    const float* h = nullptr;  // rows x h_ld
    std::size_t h_ld = 0;
    std::size_t inputs = 0;
    std::size_t outputs = 0;
    const float* coefs = nullptr;       // W, in panels
    const float* intercepts = nullptr;  // padded
    Activation activation = Activation::identity;
    float* out = nullptr;    // rows x ld: the activation
    float* slope = nullptr;  // rows x ld: its derivative
    std::size_t ld = 0;
};

// The decoder's last layer, and with it log p(x|z) and its gradient by the layer's sums.
struct LikelihoodTask {
    LayerTask layer;  // `out` receives the gradient, times the rows' weights
    std::size_t rows = 0;
    Likelihood likelihood = Likelihood::bernoulli;
    const float* x = nullptr;         // rows x ld, 0 where missing
    const float* observed = nullptr;  // rows x ld: 1, and 0 where missing; null: all are there
    const double* weights = nullptr;  // rows
    // Gaussian, ld each: 1 / variance, and -(log 2 pi + log variance) / 2.
    const float* precisions = nullptr;
    const float* normalisers = nullptr;
    float* of_log_variances = nullptr;  // ld: summed over the rows of a call
    double* densities = nullptr;        // strips x rows: each strip's share of log p(x|z)
};

// The gradient by a layer's inputs: G Wᵀ, times the slope of the layer below.
struct InputsTask {
    const float* gradient = nullptr;  // G: rows x gradient_ld
    std::size_t gradient_ld = 0;
    std::size_t inputs = 0;
    std::size_t outputs = 0;
    const float* coefs = nullptr;  // W, in panels
    const float* slope = nullptr;  // rows x ld; null: there is no activation
    float* out = nullptr;          // rows x ld
    std::size_t ld = 0;
};

// The gradients by a layer's weights: hᵀ G, and the sums of G's columns.
struct WeightsTask {
    const float* h = nullptr;  // rows x h_ld
    std::size_t h_ld = 0;
    std::size_t rows = 0;
    std::size_t inputs = 0;
    const float* gradient = nullptr;  // G: rows x ld
    std::size_t ld = 0;
    float* of_coefs = nullptr;       // as W, in panels
    float* of_intercepts = nullptr;  // padded
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

// Both at once, a piece of a strip after the other: the gradients are used while they are in the
// cache, and kept nowhere.
struct StepTask {
    WeightsTask layer;      // whose places for gradients nothing is written to
    AdamTask adam;          // whose gradients nothing is read of
    std::size_t coefs = 0;  // where the layer's numbers are among the weights
    std::size_t intercepts = 0;
};

}  // namespace vemfast::detail
