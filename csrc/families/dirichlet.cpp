#include "dirichlet.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "vemfast/special.hpp"

namespace vemfast::detail {

namespace {

// Under a concentration below one a drawn weight can be smaller than any number. Kept at 1e-300,
// where it makes no difference to a row, its density stays finite.
double positive_exp(double log_weight) {
    return std::exp(std::max(log_weight, -690.0));
}

}  // namespace

void Weights::mode(const double* counts, double* weights) const {
    if (type == WeightPrior::none)
        return;
    const double prior = type == WeightPrior::dirichlet ? concentration - 1.0 : 0.0;
    double total = 0;
    for (std::size_t k = 0; k < n_components; ++k) {
        weights[k] = type == WeightPrior::equal ? 1.0 : std::max(counts[k] + prior, 0.0);
        total += weights[k];
    }
    for (std::size_t k = 0; k < n_components; ++k)
        weights[k] /= total;
}

void Weights::posterior(const double* counts, double* out) const {
    const std::size_t K = n_components;
    if (type == WeightPrior::dirichlet_process) {
        double behind = 0;  // counts of the sticks behind this one
        for (std::size_t k = K; k-- > 0;) {
            out[k] = 1.0 + counts[k];
            out[K + k] = concentration + behind;
            behind += counts[k];
        }
        return;
    }
    for (std::size_t k = 0; k < posterior_size(); ++k)
        out[k] = type == WeightPrior::equal ? 1.0 : concentration + counts[k];
}

void Weights::sample(const double* counts, random::Stream& stream, double* weights) const {
    const std::size_t K = n_components;
    if (type == WeightPrior::none)
        return;
    if (type == WeightPrior::equal) {
        std::fill(weights, weights + K, 1.0 / static_cast<double>(K));
        return;
    }
    if (type == WeightPrior::dirichlet_process) {
        double behind = std::accumulate(counts, counts + K, 0.0);
        double log_left = 0;
        for (std::size_t k = 0; k + 1 < K; ++k) {
            behind = std::max(behind - counts[k], 0.0);
            const double a = stream.log_gamma_draw(1.0 + counts[k]);
            const double b = stream.log_gamma_draw(concentration + behind);
            const double largest = std::max(a, b);
            const double log_sum =
                largest + std::log(std::exp(a - largest) + std::exp(b - largest));
            weights[k] = positive_exp(log_left + a - log_sum);
            log_left += b - log_sum;
        }
        weights[K - 1] = positive_exp(log_left);  // the truncated process ends with a whole stick
        return;
    }
    for (std::size_t k = 0; k < K; ++k)
        weights[k] = stream.log_gamma_draw(concentration + counts[k]);
    const double largest = *std::max_element(weights, weights + K);
    double total = 0;
    for (std::size_t k = 0; k < K; ++k)
        total += weights[k] = positive_exp(weights[k] - largest);
    for (std::size_t k = 0; k < K; ++k)
        weights[k] /= total;
}

void Weights::expected_log(const double* q, double* out) const {
    const std::size_t K = n_components;
    if (type == WeightPrior::none) {
        std::fill(out, out + K, 0.0);
        return;
    }
    if (type == WeightPrior::equal) {
        std::fill(out, out + K, -std::log(static_cast<double>(K)));
        return;
    }
    if (type == WeightPrior::dirichlet_process) {
        double left = 0;
        for (std::size_t k = 0; k < K; ++k) {
            const double both = special::digamma(q[k] + q[K + k]);
            out[k] = special::digamma(q[k]) - both + left;
            left += special::digamma(q[K + k]) - both;
        }
        return;
    }
    const double both = special::digamma(std::accumulate(q, q + K, 0.0));
    for (std::size_t k = 0; k < K; ++k)
        out[k] = special::digamma(q[k]) - both;
}

void Weights::log_of(const double* weights, double* out) const {
    for (std::size_t k = 0; k < n_components; ++k)
        out[k] = type == WeightPrior::none ? 0.0 : std::log(weights[k]);
}

void Weights::mean(const double* q, double* out) const {
    const std::size_t K = n_components;
    double left = 1.0;
    double total = 0;
    for (std::size_t k = 0; k < K; ++k) {
        out[k] = q[k];
        if (type == WeightPrior::dirichlet_process) {
            const double both = q[k] + q[K + k];
            out[k] = left * q[k] / both;
            left *= q[K + k] / both;
        }
        total += out[k];
    }
    for (std::size_t k = 0; k < K; ++k)
        out[k] /= total;
}

double Weights::log_prior(const double* weights) const {
    const auto K = static_cast<double>(n_components);
    if (type == WeightPrior::dirichlet) {
        double sum = special::lgamma(K * concentration) - K * special::lgamma(concentration);
        if (concentration == 1.0)
            return sum;
        for (std::size_t k = 0; k < n_components; ++k)
            sum += (concentration - 1.0) * std::log(weights[k]);
        return sum;
    }
    if (type == WeightPrior::dirichlet_process) {
        // Density of the K - 1 free sticks v_k ~ Beta(1, gamma); v_K = 1. The last weight is the
        // product of all 1 - v_k, which 1 - sum of the others would lose.
        double sum = (K - 1.0) * std::log(concentration);
        if (concentration != 1.0)
            sum += (concentration - 1.0) * std::log(weights[n_components - 1]);
        return sum;
    }
    return 0.0;
}

double Weights::kl(const double* q) const {
    const std::size_t K = n_components;
    if (type == WeightPrior::equal || type == WeightPrior::none)
        return 0.0;
    const double alpha = concentration;
    if (type == WeightPrior::dirichlet_process) {
        double sum = 0;  // Beta(a, b) against Beta(1, gamma), stick by stick
        for (std::size_t k = 0; k < K; ++k) {
            const double a = q[k];
            const double b = q[K + k];
            const double both = special::digamma(a + b);
            sum += special::lgamma(a + b) - special::lgamma(a) - special::lgamma(b) -
                   std::log(alpha) + (a - 1.0) * (special::digamma(a) - both) +
                   (b - alpha) * (special::digamma(b) - both);
        }
        return sum;
    }
    const double total = std::accumulate(q, q + K, 0.0);
    const double both = special::digamma(total);
    double sum = special::lgamma(total) - special::lgamma(static_cast<double>(K) * alpha) +
                 static_cast<double>(K) * special::lgamma(alpha);
    for (std::size_t k = 0; k < K; ++k)
        sum += (q[k] - alpha) * (special::digamma(q[k]) - both) - special::lgamma(q[k]);
    return sum;
}

}  // namespace vemfast::detail
