#include "categorical.hpp"

#include <algorithm>
#include <cmath>

#include "vemfast/special.hpp"

namespace vemfast::detail {

namespace {

using special::digamma;
using special::lgamma;

// Calls body(first code, end code) for every column.
template <class Body>
void for_each_column(const IndexedShape& shape, Body body) {
    for (std::size_t d = 0; d < shape.n_features; ++d)
        body(static_cast<std::size_t>(shape.column_offsets[d]),
             static_cast<std::size_t>(shape.column_offsets[d + 1]));
}

// Sum of values[f * K + k] over the codes of a column.
double column_sum(const double* values, std::size_t from, std::size_t to, std::size_t K,
                  std::size_t k) {
    double sum = 0;
    for (std::size_t f = from; f < to; ++f)
        sum += values[f * K + k];
    return sum;
}

}  // namespace

IndexedNatural Categorical::natural(const double* point) const {
    IndexedNatural out{std::vector<double>(K_, 0.0), std::vector<double>(F_ * K_)};
    for (std::size_t i = 0; i < F_ * K_; ++i)
        out.table[i] = log_or_floor(point[i]);
    return out;
}

IndexedNatural Categorical::expected_natural(const double* q) const {
    IndexedNatural out{std::vector<double>(K_, 0.0), std::vector<double>(F_ * K_)};
    for_each_column(shape_, [&](std::size_t from, std::size_t to) {
        for (std::size_t k = 0; k < K_; ++k) {
            const double all = digamma(column_sum(q, from, to, K_, k));
            for (std::size_t f = from; f < to; ++f)
                out.table[f * K_ + k] = digamma(q[f * K_ + k]) - all;
        }
    });
    return out;
}

void Categorical::posterior(const IndexedStats& stats, double* out) const {
    for (std::size_t f = 0; f < F_; ++f) {
        for (std::size_t k = 0; k < K_; ++k)
            out[f * K_ + k] = prior_.a[f] + stats.sums[f * K_ + k];
    }
}

void Categorical::mean(const double* q, double* out) const {
    for_each_column(shape_, [&](std::size_t from, std::size_t to) {
        for (std::size_t k = 0; k < K_; ++k) {
            const double all = column_sum(q, from, to, K_, k);
            for (std::size_t f = from; f < to; ++f)
                out[f * K_ + k] = q[f * K_ + k] / all;
        }
    });
}

void Categorical::mode(const IndexedStats& stats, double* out) const {
    const auto mass = [&](std::size_t f, std::size_t k) {
        return stats.sums[f * K_ + k] + (prior_.is_proper ? prior_.a[f] - 1.0 : 0.0);
    };
    for_each_column(shape_, [&](std::size_t from, std::size_t to) {
        for (std::size_t k = 0; k < K_; ++k) {
            double total = 0;
            for (std::size_t f = from; f < to; ++f)
                total += mass(f, k);
            if (!(stats.counts[k] > kNoData && total > kNoData))
                continue;
            for (std::size_t f = from; f < to; ++f)
                out[f * K_ + k] = mass(f, k) / total;
        }
    });
}

void Categorical::start(double* out) const {
    for_each_column(shape_, [&](std::size_t from, std::size_t to) {
        std::fill(out + from * K_, out + to * K_, 1.0 / static_cast<double>(to - from));
    });
}

double Categorical::log_density(const double* point) const {
    double sum = 0;
    for_each_column(shape_, [&](std::size_t from, std::size_t to) {
        double all = 0;
        double norm = 0;
        for (std::size_t f = from; f < to; ++f) {
            all += prior_.a[f];
            norm -= lgamma(prior_.a[f]);
        }
        sum += static_cast<double>(K_) * (norm + lgamma(all));
        for (std::size_t f = from; f < to; ++f) {
            for (std::size_t k = 0; k < K_ && prior_.a[f] != 1.0; ++k)
                sum += (prior_.a[f] - 1.0) * std::log(point[f * K_ + k]);
        }
    });
    return sum;
}

double Categorical::kl(const double* q) const {
    double sum = 0;
    for_each_column(shape_, [&](std::size_t from, std::size_t to) {
        double all = 0;
        double norm = 0;
        for (std::size_t f = from; f < to; ++f) {
            all += prior_.a[f];
            norm += lgamma(prior_.a[f]);
        }
        norm -= lgamma(all);
        for (std::size_t k = 0; k < K_; ++k) {
            const double total = column_sum(q, from, to, K_, k);
            const double of_total = digamma(total);
            sum += lgamma(total) + norm;
            for (std::size_t f = from; f < to; ++f) {
                const double alpha = q[f * K_ + k];
                sum += (alpha - prior_.a[f]) * (digamma(alpha) - of_total) - lgamma(alpha);
            }
        }
    });
    return sum;
}

void Categorical::sample_component(const double* q, std::size_t k, random::Stream& stream,
                                   double* out) const {
    std::vector<double> logs(F_);
    for (std::size_t f = 0; f < F_; ++f)
        logs[f] = stream.log_gamma_draw(q[f * K_ + k]);
    for_each_column(shape_, [&](std::size_t from, std::size_t to) {
        const double largest = *std::max_element(&logs[from], &logs[from] + (to - from));
        double total = 0;
        for (std::size_t f = from; f < to; ++f)
            total += std::exp(logs[f] - largest);
        const double log_total = largest + std::log(total);
        // Kept above zero, where the density of a draw is finite.
        for (std::size_t f = from; f < to; ++f)
            out[f * K_ + k] = std::exp(std::max(logs[f] - log_total, -690.0));
    });
}

}  // namespace vemfast::detail
