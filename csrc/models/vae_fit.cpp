#include "models/vae_fit.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "models/batch_loop.hpp"
#include "vemfast/errors.hpp"
#include "vemfast/random.hpp"

namespace vemfast::models {

using detail::Likelihood;

namespace {

double value_at(const VaeRows& rows, std::size_t row, std::size_t column) {
    const auto at =
        static_cast<std::ptrdiff_t>(row) * rows.row_stride + static_cast<std::ptrdiff_t>(column);
    return rows.storage == Storage::float32
               ? static_cast<double>(static_cast<const float*>(rows.values)[at])
               : static_cast<const double*>(rows.values)[at];
}

double weight_of(const VaeRows& rows, std::size_t row) {
    return rows.weights == nullptr ? 1.0 : rows.weights[row];
}

// Weighted means and variances of the columns.
struct Moments {
    Moments(const VaeRows& rows, std::size_t D) : mean(D, 0.0), variance(D, 0.0) {
        double total = 0;
        for (std::size_t n = 0; n < rows.n_rows; ++n) {
            const double w = weight_of(rows, n);
            total += w;
            for (std::size_t d = 0; d < D; ++d) {
                const double x = value_at(rows, n, d);
                mean[d] += w * x;
                variance[d] += w * (x * x);
            }
        }
        for (std::size_t d = 0; d < D; ++d) {
            mean[d] /= total;
            variance[d] = std::max(variance[d] / total - mean[d] * mean[d], 0.0);
        }
    }
    std::vector<double> mean, variance;
};

// Uniform in +-sqrt(6 / (in + out)) (Glorot, Bengio 2010), two numbers from a call of Philox;
// intercepts are 0 but the decoder's last ones, which are the columns' means as the likelihood sees
// them, so that training starts from the best model without z.
std::vector<float> first_weights(const VaeNetwork& network, const VaeRows& rows,
                                 const VaeFitOptions& options, std::uint64_t seed) {
    const VaeShape& shape = network.shape();
    std::vector<float> out(network.size(), 0.0F);
    std::uint32_t number = 0;  // of an array of weights: intercepts count
    const auto draw = [&](const std::vector<Layer>& layers) {
        for (const Layer& layer : layers) {
            const double limit = std::sqrt(6.0 / static_cast<double>(layer.inputs + layer.outputs));
            for (std::size_t i = 0; i < layer.inputs * layer.outputs; ++i) {
                const random::Words words = random::philox(
                    {static_cast<std::uint32_t>(i / 2), number, 0, random::kStartStream}, seed);
                const double u = (static_cast<double>(words[i % 2 * 2]) + 0.5) * 0x1p-32;
                out[layer.offset + i] = static_cast<float>(limit * (2.0 * u - 1.0));
            }
            number += 2;
        }
    };
    draw(network.encoder());
    draw(network.decoder());
    const Moments of(rows, shape.n_features);
    const Layer& last = network.decoder().back();
    float* intercepts = out.data() + last.offset + last.inputs * last.outputs;
    for (std::size_t d = 0; d < shape.n_features; ++d) {
        double value = of.mean[d];
        if (shape.likelihood == Likelihood::bernoulli) {
            const double p = std::clamp(value, 1e-3, 1.0 - 1e-3);
            value = std::log(p) - std::log1p(-p);
        } else if (shape.likelihood == Likelihood::poisson) {
            value = std::log(std::max(value, 1e-3));
        }
        intercepts[d] = static_cast<float>(value);
    }
    const double common = std::accumulate(of.variance.begin(), of.variance.end(), 0.0) /
                          static_cast<double>(shape.n_features);
    for (std::size_t i = 0; i < shape.n_variances; ++i) {
        const double own = options.spherical ? common : of.variance[i];
        out[network.size() - shape.n_variances + i] =
            static_cast<float>(std::log(std::max(own, options.variance_floor)));
    }
    return out;
}

// The objective of all rows, estimated from the last batch.
double first_bound(const VaeNetwork& network, const std::vector<float>& weights,
                   const VaeRows& rows, const VaePass& pass, const Poll& poll) {
    const std::size_t n = std::min(pass.batch_size, rows.n_rows);
    const std::size_t first = rows.n_rows - n;
    VaeRows batch = rows;
    batch.n_rows = n;
    batch.offset = first;
    batch.weights = rows.weights == nullptr ? nullptr : rows.weights + first;
    const std::size_t item = rows.storage == Storage::float32 ? sizeof(float) : sizeof(double);
    batch.values = static_cast<const char*>(rows.values) +
                   static_cast<std::ptrdiff_t>(first * item) * rows.row_stride;
    std::vector<double> gradient(network.size(), 0.0);
    const VaeSums sums = network.gradient(weights.data(), batch, pass, poll, gradient.data());
    double whole = 0;
    double part = 0;
    for (std::size_t row = 0; row < rows.n_rows; ++row)
        (row < first ? whole : part) += weight_of(rows, row);
    whole += part;
    return sums.bound * (whole / part);
}

void check_finite(double bound, std::size_t iteration) {
    if (!std::isfinite(bound))
        throw NumericalError("the objective is " + std::to_string(bound) + " at iteration " +
                             std::to_string(iteration) +
                             "; standardise X or lower learning_rate_init");
}

}  // namespace

VaeFitted fit_vae(const VaeNetwork& network, const VaeRows& rows, const VaeFitOptions& options,
                  std::uint64_t random_state, int n_threads, const Poll& poll) {
    const std::uint64_t seed = start_seed(random_state, 0);
    VaeFitted out;
    out.weights = first_weights(network, rows, options, seed);
    std::vector<float> first(network.size(), 0.0F);
    std::vector<float> second(network.size(), 0.0F);
    VaeTraining training{out.weights.data(), first.data(), second.data()};
    VaePass pass{options.rule, seed, 0, options.batch_size, n_threads};
    const auto kl_weight = [&](int epoch) {
        const double share = options.kl_warmup == 0
                                 ? 1.0
                                 : std::min(static_cast<double>(epoch) / options.kl_warmup, 1.0);
        return options.rule.kl_weight * share;
    };
    pass.rule.kl_weight = kl_weight(1);
    out.lower_bounds.push_back(first_bound(network, out.weights, rows, pass, poll));
    const std::vector<VaeRows> blocks{rows};
    std::vector<std::int64_t> order(rows.n_rows);
    std::vector<double> keys(rows.n_rows);
    for (int epoch = 1;; ++epoch) {
        interruption_point();
        check_finite(out.lower_bounds.back(), out.lower_bounds.size() - 1);
        if (options.callback && options.callback({epoch - 1, out.lower_bounds.back()})) {
            out.stop_reason = StopReason::callback;
            return out;
        }
        if (epoch > options.max_iter)
            return out;
        pass.iteration = static_cast<std::uint32_t>(epoch);
        pass.rule.kl_weight = kl_weight(epoch);
        for (std::size_t row = 0; row < rows.n_rows; ++row)
            keys[row] = random::uniform(seed, pass.iteration, row, random::kShuffleStream);
        std::iota(order.begin(), order.end(), 0);
        std::stable_sort(order.begin(), order.end(), [&keys](std::int64_t a, std::int64_t b) {
            return keys[static_cast<std::size_t>(a)] < keys[static_cast<std::size_t>(b)];
        });
        const VaeSums sums =
            network.sweep(training, options.adam, blocks, order.data(), rows.n_rows, pass, poll);
        if (training.failures >= kMostFailures)
            throw NumericalError(
                "the bound or its gradient is not finite " + std::to_string(kMostFailures) +
                " times in a row, though the learning rate was halved; standardise X or lower "
                "learning_rate_init");
        out.lower_bounds.push_back(sums.bound);
    }
}

}  // namespace vemfast::models
