#include "poisson.hpp"

#include <algorithm>
#include <cmath>

#include "vemfast/special.hpp"

namespace vemfast::detail {

namespace {

using special::digamma;
using special::lgamma;

}  // namespace

IndexedNatural Poisson::natural(const double* point) const {
    std::vector<double> table(F_ * K_);
    std::vector<double> constants(F_ * K_);
    for (std::size_t i = 0; i < F_ * K_; ++i) {
        table[i] = log_or_floor(point[i]);
        constants[i] = -point[i];
    }
    return with_missing(std::move(table), constants);
}

IndexedNatural Poisson::expected_natural(const double* q) const {
    const double* rate = q + F_ * K_;
    std::vector<double> table(F_ * K_);
    std::vector<double> constants(F_ * K_);
    for (std::size_t i = 0; i < F_ * K_; ++i) {
        table[i] = digamma(q[i]) - std::log(rate[i]);
        constants[i] = -q[i] / rate[i];
    }
    return with_missing(std::move(table), constants);
}

void Poisson::posterior(const IndexedStats& stats, double* out) const {
    double* rate = out + F_ * K_;
    for (std::size_t d = 0; d < D_; ++d) {
        for (std::size_t k = 0; k < K_; ++k) {
            out[d * K_ + k] = prior_.a[d] + stats.sums[d * K_ + k];
            rate[d * K_ + k] = prior_.b[d] + trials(stats, d, k);
        }
    }
}

void Poisson::mean(const double* q, double* out) const {
    for (std::size_t i = 0; i < F_ * K_; ++i)
        out[i] = q[i] / q[F_ * K_ + i];
}

void Poisson::mode(const IndexedStats& stats, double* out) const {
    for (std::size_t d = 0; d < D_; ++d) {
        const double more = prior_.is_proper ? prior_.a[d] - 1.0 : 0.0;
        const double rows = prior_.is_proper ? prior_.b[d] : 0.0;
        for (std::size_t k = 0; k < K_; ++k) {
            const double total = trials(stats, d, k) + rows;
            if (stats.counts[k] > kNoData && total > kNoData)
                out[d * K_ + k] = (stats.sums[d * K_ + k] + more) / total;
        }
    }
}

void Poisson::start(double* out) const {
    std::fill(out, out + F_ * K_, 1.0);
}

double Poisson::log_density(const double* point) const {
    double sum = 0;
    for (std::size_t d = 0; d < D_; ++d) {
        const double shape = prior_.a[d];
        const double rate = prior_.b[d];
        const double norm = shape * std::log(rate) - lgamma(shape);
        for (std::size_t k = 0; k < K_; ++k) {
            const double theta = point[d * K_ + k];
            sum += norm - rate * theta;
            if (shape != 1.0)
                sum += (shape - 1.0) * std::log(theta);
        }
    }
    return sum;
}

double Poisson::kl(const double* q) const {
    double sum = 0;
    for (std::size_t d = 0; d < D_; ++d) {
        const double shape0 = prior_.a[d];
        const double rate0 = prior_.b[d];
        const double norm = lgamma(shape0);
        for (std::size_t k = 0; k < K_; ++k) {
            const double shape = q[d * K_ + k];
            const double rate = q[(F_ + d) * K_ + k];
            sum += (shape - shape0) * digamma(shape) - lgamma(shape) + norm +
                   shape0 * std::log(rate / rate0) + shape * (rate0 / rate - 1.0);
        }
    }
    return sum;
}

void Poisson::sample_component(const double* q, std::size_t k, random::Stream& stream,
                               double* out) const {
    for (std::size_t d = 0; d < D_; ++d) {
        const double draw = std::exp(stream.log_gamma_draw(q[d * K_ + k]));
        out[d * K_ + k] = std::max(draw / q[(F_ + d) * K_ + k], 1e-300);
    }
}

}  // namespace vemfast::detail
