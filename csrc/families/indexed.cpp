#include "indexed.hpp"

#include <cmath>
#include <utility>

#include "bernoulli.hpp"
#include "categorical.hpp"
#include "poisson.hpp"
#include "vemfast/poll.hpp"

namespace vemfast::detail {

namespace {

constexpr double kLogZero = -1e300;

// A smaller share of a component's rows is what rounding leaves of "all rows lack the feature".
constexpr double kNoTrials = 1e-12;

}  // namespace

double log_or_floor(double x) {
    return x > 0 ? std::log(x) : kLogZero;
}

Indexed::Indexed(IndexedShape shape, IndexedPrior prior)
    : shape_(std::move(shape)),
      prior_(std::move(prior)),
      K_(shape_.n_components),
      D_(shape_.n_features),
      F_(shape_.n_values) {}

double Indexed::trials(const IndexedStats& stats, std::size_t d, std::size_t k) const {
    const double count = stats.counts[k];
    if (!shape_.marginalize)
        return count;
    const double present = count - stats.sums[(F_ + d) * K_ + k];
    return present > kNoTrials * count ? present : 0.0;
}

IndexedNatural Indexed::with_missing(std::vector<double> table,
                                     const std::vector<double>& constants) const {
    IndexedNatural out{std::vector<double>(K_, 0.0), std::move(table)};
    for (std::size_t d = 0; d < D_; ++d) {
        for (std::size_t k = 0; k < K_; ++k)
            out.constant[k] += constants[d * K_ + k];
    }
    if (shape_.marginalize) {
        out.table.reserve(2 * F_ * K_);
        for (const double constant : constants)
            out.table.push_back(-constant);
    }
    return out;
}

void Indexed::sample(const IndexedStats& stats, std::uint64_t seed, std::uint32_t iteration,
                     double* out) const {
    std::vector<double> q(posterior_size());
    posterior(stats, q.data());
    for (std::size_t k = 0; k < K_; ++k) {
        interruption_point();
        random::Stream stream(seed, iteration, random::kParameterStream, k + 1);
        sample_component(q.data(), k, stream, out);
    }
}

double Indexed::expected_log_density(const IndexedNatural& natural,
                                     const IndexedStats& stats) const {
    double total = 0;
    for (std::size_t k = 0; k < K_; ++k) {
        if (stats.counts[k] > 0)
            total += stats.counts[k] * natural.constant[k];
    }
    for (std::size_t f = 0; f < shape_.n_indexed(); ++f) {
        double of_feature = 0;
        for (std::size_t k = 0; k < K_; ++k) {
            if (stats.counts[k] > 0)
                of_feature += stats.sums[f * K_ + k] * natural.table[f * K_ + k];
        }
        total += of_feature;
    }
    return total;
}

std::unique_ptr<Indexed> make_indexed(IndexedFamily family, IndexedShape shape,
                                      IndexedPrior prior) {
    switch (family) {
        case IndexedFamily::bernoulli:
            return std::make_unique<Bernoulli>(std::move(shape), std::move(prior));
        case IndexedFamily::poisson:
            return std::make_unique<Poisson>(std::move(shape), std::move(prior));
        case IndexedFamily::categorical:
            return std::make_unique<Categorical>(std::move(shape), std::move(prior));
    }
    return nullptr;
}

}  // namespace vemfast::detail
