#include "bernoulli.hpp"

#include <algorithm>
#include <cmath>

#include "vemfast/special.hpp"

namespace vemfast::detail {

namespace {

using special::digamma;
using special::lgamma;

// The largest number below one: log(1 - p) stays finite.
constexpr double kLargest = 1.0 - 0x1p-53;

double log_beta(double a, double b) {
    return lgamma(a) + lgamma(b) - lgamma(a + b);
}

// factor * log(x), zero where the factor is.
double times_log(double factor, double log_x) {
    return factor == 0.0 ? 0.0 : factor * log_x;
}

}  // namespace

IndexedNatural Bernoulli::natural(const double* point) const {
    std::vector<double> table(F_ * K_);
    std::vector<double> constants(F_ * K_);
    for (std::size_t i = 0; i < F_ * K_; ++i) {
        const double p = std::min(point[i], kLargest);
        constants[i] = std::log1p(-p);
        table[i] = log_or_floor(p) - constants[i];
    }
    return with_missing(std::move(table), constants);
}

IndexedNatural Bernoulli::expected_natural(const double* q) const {
    const double* b = q + F_ * K_;
    std::vector<double> table(F_ * K_);
    std::vector<double> constants(F_ * K_);
    for (std::size_t i = 0; i < F_ * K_; ++i) {
        const double of_b = digamma(b[i]);
        table[i] = digamma(q[i]) - of_b;
        constants[i] = of_b - digamma(q[i] + b[i]);
    }
    return with_missing(std::move(table), constants);
}

void Bernoulli::posterior(const IndexedStats& stats, double* out) const {
    double* b = out + F_ * K_;
    for (std::size_t d = 0; d < D_; ++d) {
        for (std::size_t k = 0; k < K_; ++k) {
            const std::size_t i = d * K_ + k;
            out[i] = prior_.a[d] + stats.sums[i];
            b[i] = prior_.b[d] + std::max(trials(stats, d, k) - stats.sums[i], 0.0);
        }
    }
}

void Bernoulli::mean(const double* q, double* out) const {
    for (std::size_t i = 0; i < F_ * K_; ++i)
        out[i] = q[i] / (q[i] + q[F_ * K_ + i]);
}

void Bernoulli::mode(const IndexedStats& stats, double* out) const {
    for (std::size_t d = 0; d < D_; ++d) {
        const double ones = prior_.is_proper ? prior_.a[d] - 1.0 : 0.0;
        const double both = prior_.is_proper ? prior_.a[d] + prior_.b[d] - 2.0 : 0.0;
        for (std::size_t k = 0; k < K_; ++k) {
            const double total = trials(stats, d, k) + both;
            if (stats.counts[k] > kNoData && total > kNoData)
                out[d * K_ + k] =
                    std::clamp((stats.sums[d * K_ + k] + ones) / total, 0.0, kLargest);
        }
    }
}

void Bernoulli::start(double* out) const {
    std::fill(out, out + F_ * K_, 0.5);
}

double Bernoulli::log_density(const double* point) const {
    double sum = 0;
    for (std::size_t d = 0; d < D_; ++d) {
        const double a = prior_.a[d];
        const double b = prior_.b[d];
        const double norm = log_beta(a, b);
        for (std::size_t k = 0; k < K_; ++k) {
            const double p = std::min(point[d * K_ + k], kLargest);
            sum += times_log(a - 1.0, std::log(p)) + times_log(b - 1.0, std::log1p(-p)) - norm;
        }
    }
    return sum;
}

double Bernoulli::kl(const double* q) const {
    double sum = 0;
    for (std::size_t d = 0; d < D_; ++d) {
        const double a0 = prior_.a[d];
        const double b0 = prior_.b[d];
        const double norm = log_beta(a0, b0);
        for (std::size_t k = 0; k < K_; ++k) {
            const double a = q[d * K_ + k];
            const double b = q[(F_ + d) * K_ + k];
            const double both = digamma(a + b);
            sum += (a - a0) * (digamma(a) - both) + (b - b0) * (digamma(b) - both) -
                   log_beta(a, b) + norm;
        }
    }
    return sum;
}

void Bernoulli::sample_component(const double* q, std::size_t k, random::Stream& stream,
                                 double* out) const {
    for (std::size_t d = 0; d < D_; ++d) {
        const double a = stream.log_gamma_draw(q[d * K_ + k]);
        const double b = stream.log_gamma_draw(q[(F_ + d) * K_ + k]);
        out[d * K_ + k] = std::clamp(1.0 / (1.0 + std::exp(b - a)), 1e-300, kLargest);
    }
}

}  // namespace vemfast::detail
