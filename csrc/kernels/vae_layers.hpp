// Layers of networks, forward and backward: products with their edges fused in. A strip of columns
// is finished (bias, activation, likelihood, gradients) while it is still in the cache.
#pragma once

#include "../math/activation.hpp"
#include "../math/gemm.hpp"
#include "../math/lgamma.hpp"
#include "vae_task.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

static_assert(detail::kVaePad % kPanelColumns == 0);

inline constexpr std::size_t kPanelFloats = kMostDepth * kPanelColumns;

struct StripVectors {
    Vec<float> part[2];
};

inline StripVectors load_strip(const float* from) {
    return {{load<float>(from), load<float>(from + kLanes<float>)}};
}

// The sums h W of rows of one strip, without the intercepts.
inline void layer_sums(const detail::LayerTask& task, std::size_t strip, std::size_t first,
                       std::size_t end) {
    const float* panel = task.coefs + strip * task.inputs * kPanelColumns;
    const std::size_t step = block_depth(task.inputs);
    for (std::size_t k = 0; k < task.inputs; k += step) {
        const std::size_t depth = task.inputs - k < step ? task.inputs - k : step;
        multiply_strip<false>({task.h + first * task.h_ld + k, task.h_ld}, end - first,
                              panel + k * kPanelColumns, depth, k > 0,
                              task.out + first * task.ld + strip * kPanelColumns, task.ld);
    }
}

template <class Function>
inline void activate_strip(const detail::LayerTask& task, std::size_t strip, std::size_t first,
                           std::size_t end, Function function) {
    constexpr std::size_t L = kLanes<float>;
    const StripVectors bias = load_strip(task.intercepts + strip * kPanelColumns);
    for (std::size_t i = first; i < end; ++i) {
        const std::size_t at = i * task.ld + strip * kPanelColumns;
        for (std::size_t half = 0; half < 2; ++half) {
            float* out = task.out + at + half * L;
            const WithSlope found = function(load<float>(out) + bias.part[half]);
            store<float>(out, found.value);
            store<float>(task.slope + at + half * L, found.slope);
        }
    }
}

static void vae_layer(const detail::LayerTask& task, std::size_t strip, std::size_t first,
                      std::size_t end) {
    layer_sums(task, strip, first, end);
    switch (task.activation) {
        case detail::Activation::tanh:
            return activate_strip(task, strip, first, end, vtanh);
        case detail::Activation::relu:
            return activate_strip(task, strip, first, end, vrelu);
        case detail::Activation::gelu:
            return activate_strip(task, strip, first, end, vgelu);
        case detail::Activation::softplus:
            return activate_strip(task, strip, first, end, vsoftplus);
        case detail::Activation::identity:
            return activate_strip(task, strip, first, end,
                                  [](Vec<float> x) { return WithSlope{x, splat<float>(1)}; });
    }
}

// log p of numbers, and its derivatives by the outputs and by the log variances.
struct Density {
    Vec<float> value, of_output, of_log_variance;
};

template <detail::Likelihood kind>
inline Density density(Vec<float> x, Vec<float> a, Vec<float> precision, Vec<float> normaliser) {
    const Vec<float> zero = splat<float>(0);
    if constexpr (kind == detail::Likelihood::bernoulli) {
        const WithSlope found = vsoftplus(a);
        return {mul_add<float>(x, a, -found.value), x - found.slope, zero};
    } else if constexpr (kind == detail::Likelihood::poisson) {
        const Vec<float> rate = vexp<float>(a);
        return {mul_add<float>(x, a, -rate) - vlgamma<float>(x + splat<float>(1)), x - rate, zero};
    } else {
        const Vec<float> rest = x - a, half = splat<float>(0.5F);
        const Vec<float> scaled = rest * precision;
        const Vec<float> squares = scaled * rest;
        return {normaliser - half * squares, scaled, half * (squares - splat<float>(1))};
    }
}

// What only the Gaussian likelihood has, a number a column.
template <detail::Likelihood kind>
inline StripVectors gaussian_vectors(const float* from, std::size_t first) {
    if constexpr (kind == detail::Likelihood::gaussian)
        return load_strip(from + first);
    return {};
}

template <detail::Likelihood kind>
static void likelihood_strip(const detail::LikelihoodTask& task, std::size_t strip,
                             std::size_t first_row, std::size_t end_row) {
    constexpr std::size_t L = kLanes<float>;
    const detail::LayerTask& layer = task.layer;
    const std::size_t width = layer.outputs, first = strip * kPanelColumns;
    const StripVectors bias = load_strip(layer.intercepts + first);
    StripVectors exists{};
    for (std::size_t half = 0; half < 2; ++half) {
        for (std::size_t lane = 0; lane < L; ++lane)
            exists.part[half][lane] = first + half * L + lane < width ? 1.0F : 0.0F;
    }
    const StripVectors precision = gaussian_vectors<kind>(task.precisions, first);
    const StripVectors normaliser = gaussian_vectors<kind>(task.normalisers, first);
    // Summed up where the likelihood is Gaussian.
    [[maybe_unused]] StripVectors of_log_variance{};  // NOLINT(misc-const-correctness)
    for (std::size_t i = first_row; i < end_row; ++i) {
        const Vec<float> weight = splat<float>(static_cast<float>(task.weights[i]));
        Vec<double> total = splat<double>(0);
        for (std::size_t half = 0; half < 2; ++half) {
            const std::size_t at = i * layer.ld + first + half * L;
            const Vec<float> seen = task.observed == nullptr
                                        ? exists.part[half]
                                        : exists.part[half] * load<float>(task.observed + at);
            const Density found = density<kind>(load<float>(task.x + at),
                                                load<float>(layer.out + at) + bias.part[half],
                                                precision.part[half], normaliser.part[half]);
            const auto is_seen = seen > splat<float>(0);
            const Vec<float> none = splat<float>(0);
            const DoubleHalves value = to_double(select<float>(is_seen, found.value, none));
            total += value.low + value.high;
            store<float>(layer.out + at, select<float>(is_seen, found.of_output, none) * weight);
            if constexpr (kind == detail::Likelihood::gaussian)
                of_log_variance.part[half] +=
                    select<float>(is_seen, found.of_log_variance, none) * weight;
        }
        task.densities[strip * task.rows + i] = horizontal_sum<double>(total);
    }
    if constexpr (kind == detail::Likelihood::gaussian) {
        for (std::size_t half = 0; half < 2; ++half)
            store<float>(task.of_log_variances + first + half * L, of_log_variance.part[half]);
    }
}

static void vae_likelihood(const detail::LikelihoodTask& task, std::size_t strip, std::size_t first,
                           std::size_t end) {
    layer_sums(task.layer, strip, first, end);
    switch (task.likelihood) {
        case detail::Likelihood::bernoulli:
            return likelihood_strip<detail::Likelihood::bernoulli>(task, strip, first, end);
        case detail::Likelihood::gaussian:
            return likelihood_strip<detail::Likelihood::gaussian>(task, strip, first, end);
        case detail::Likelihood::poisson:
            return likelihood_strip<detail::Likelihood::poisson>(task, strip, first, end);
    }
}

static void vae_inputs(const detail::InputsTask& task, std::size_t strip, std::size_t first,
                       std::size_t end, float* panel) {
    constexpr std::size_t L = kLanes<float>;
    const std::size_t column = strip * kPanelColumns;
    const std::size_t left = task.inputs - column;
    const std::size_t step = block_depth(task.outputs);
    for (std::size_t k = 0; k < task.outputs; k += step) {
        const std::size_t depth = task.outputs - k < step ? task.outputs - k : step;
        pack_turned(task.coefs, task.inputs, column, left < kPanelColumns ? left : kPanelColumns, k,
                    depth, panel);
        multiply_strip<false>({task.gradient + first * task.gradient_ld + k, task.gradient_ld},
                              end - first, panel, depth, k > 0, task.out + first * task.ld + column,
                              task.ld);
    }
    if (task.slope == nullptr)
        return;
    for (std::size_t i = first; i < end; ++i) {
        for (std::size_t half = 0; half < 2; ++half) {
            const std::size_t at = i * task.ld + column + half * L;
            store<float>(task.out + at, load<float>(task.out + at) * load<float>(task.slope + at));
        }
    }
}

// The gradients of rows of a strip of W.
inline void coefs_gradient(const detail::WeightsTask& task, std::size_t strip, std::size_t first,
                           std::size_t end, float* panel, float* out) {
    const float* gradient = task.gradient + strip * kPanelColumns;
    const std::size_t step = block_depth(task.rows);
    for (std::size_t k = 0; k < task.rows; k += step) {
        const std::size_t depth = task.rows - k < step ? task.rows - k : step;
        pack_strip(gradient + k * task.ld, task.ld, depth, panel);
        multiply_strip<true>({task.h + k * task.h_ld + first, task.h_ld}, end - first, panel, depth,
                             k > 0, out, kPanelColumns);
    }
}

inline void intercepts_gradient(const detail::WeightsTask& task, std::size_t strip, float* out) {
    constexpr std::size_t L = kLanes<float>;
    const float* gradient = task.gradient + strip * kPanelColumns;
    StripVectors total{};
    for (std::size_t i = 0; i < task.rows; ++i) {
        for (std::size_t half = 0; half < 2; ++half)
            total.part[half] += load<float>(gradient + i * task.ld + half * L);
    }
    for (std::size_t half = 0; half < 2; ++half)
        store<float>(out + half * L, total.part[half]);
}

static void vae_weights(const detail::WeightsTask& task, std::size_t strip, std::size_t first,
                        std::size_t end, float* panel) {
    coefs_gradient(task, strip, first, end, panel,
                   task.of_coefs + (strip * task.inputs + first) * kPanelColumns);
    if (first == 0)
        intercepts_gradient(task, strip, task.of_intercepts + strip * kPanelColumns);
}

static bool vae_below(const float* gradient, std::size_t first, std::size_t end, float limit) {
    int wrong = 0;
#pragma omp simd reduction(+ : wrong)
    for (std::size_t i = first; i < end; ++i)
        wrong += __builtin_fabsf(gradient[i]) < limit ? 0 : 1;
    return wrong == 0;
}

// Beside an epsilon of 1e-12 or more, numbers this small do not move a weight; the subnormal ones
// that the moments of an unused weight end in would cost a hundred times the time. (The same in
// vemfast/reference/vae.py.)
inline constexpr float kLeastMoment = 1e-18F;
inline constexpr float kLeastSquare = 1e-30F;

// A step of the n weights from `at`.
inline void adam_step(const detail::AdamTask& task, const float* gradient, std::size_t at,
                      std::size_t n) {
    float* weights = task.weights + at;
    float* mean = task.first + at;
    float* square = task.second + at;
    const float scale = task.scale, rate = task.rate, root_scale = task.root_scale;
    const float one_minus_1 = task.one_minus_1, one_minus_2 = task.one_minus_2;
    const float epsilon = task.epsilon;
#pragma omp simd
    for (std::size_t i = 0; i < n; ++i) {
        const float given = gradient[i] * scale;
        const float g = __builtin_fabsf(given) < kLeastMoment ? 0 : given;
        const float moved = mean[i] + one_minus_1 * (g - mean[i]);
        const float m = __builtin_fabsf(moved) < kLeastMoment ? 0 : moved;
        const float grown = square[i] + one_minus_2 * (g * g - square[i]);
        const float v = grown < kLeastSquare ? kLeastSquare : grown;
        mean[i] = m;
        square[i] = v;
        weights[i] += rate * m / (__builtin_sqrtf(v) * root_scale + epsilon);
    }
}

static void vae_adam(const detail::AdamTask& task, std::size_t first, std::size_t end) {
    adam_step(task, task.gradient + first, first, end - first);
}

static void vae_step(const detail::StepTask& task, std::size_t strip, std::size_t first,
                     std::size_t end, float* panel, float* gradient) {
    const std::size_t at = task.coefs + (strip * task.layer.inputs + first) * kPanelColumns;
    coefs_gradient(task.layer, strip, first, end, panel, gradient);
    adam_step(task.adam, gradient, at, (end - first) * kPanelColumns);
    if (first > 0)
        return;
    intercepts_gradient(task.layer, strip, gradient);
    adam_step(task.adam, gradient, task.intercepts + strip * kPanelColumns, kPanelColumns);
}

static void vae_log1p(const float* x, std::size_t n, float* out) {
    constexpr std::size_t L = kLanes<float>;
    const Vec<float> one = splat<float>(1), zero = splat<float>(0);
    std::size_t i = 0;
    for (; i + L <= n; i += L)
        store<float>(out + i, log_normal<float>(load<float>(x + i) + one, zero));
    if (i < n) {
        const Vec<float> tail = load_partial<float>(x + i, n - i, 0.0F);
        store_partial<float>(out + i, log_normal<float>(tail + one, zero), n - i);
    }
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
