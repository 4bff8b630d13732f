#include "simplex.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "vemfast/require.hpp"
#include "vemfast/special.hpp"

namespace vemfast::detail {

Simplex::Simplex(std::size_t size, std::vector<double> prior,
                 const std::vector<unsigned char>& support, std::vector<double> frozen)
    : size_(size), prior_(std::move(prior)), frozen_(std::move(frozen)) {
    if (frozen_.empty())
        frozen_.assign(size_, std::numeric_limits<double>::quiet_NaN());
    for (std::size_t k = 0; k < size_; ++k) {
        if (!std::isnan(frozen_[k])) {
            require(frozen_[k] >= 0 && frozen_[k] <= 1, "a frozen probability is ", frozen_[k]);
            left_ -= frozen_[k];
        } else if (support.empty() || support[k] != 0) {
            free_.push_back(k);
        }
    }
    // .1 + .2 + .3 + .4 exceeds 1 by rounding, which takes nothing from the free entries.
    constexpr double kRounding = 1e-6;
    if (free_.empty())
        require(std::abs(left_) < kRounding, "a row without free entries sums to ", 1.0 - left_);
    else
        require(left_ > -kRounding, "the frozen entries of a row sum to ", 1.0 - left_,
                ", more than 1");
    left_ = std::max(left_, 0.0);
}

void Simplex::fill_fixed(double* out) const {
    for (std::size_t k = 0; k < size_; ++k)
        out[k] = std::isnan(frozen_[k]) ? 0.0 : frozen_[k];
}

void Simplex::mode(const double* counts, const double* previous, double* out) const {
    std::vector<double> share(free_.size());
    double total = 0;
    for (std::size_t i = 0; i < free_.size(); ++i) {
        const double more = is_flat() ? 0.0 : prior_[free_[i]] - 1.0;
        share[i] = std::max(counts[free_[i]] + more, 0.0);
        total += share[i];
    }
    if (!(total > 0) && previous != nullptr) {
        for (std::size_t i = 0; i < free_.size(); ++i)
            total += share[i] = previous[free_[i]];
    }
    if (!(total > 0)) {
        std::fill(share.begin(), share.end(), 1.0);
        total = static_cast<double>(free_.size());
    }
    fill_fixed(out);
    for (std::size_t i = 0; i < free_.size(); ++i)
        out[free_[i]] = left_ * (share[i] / total);
}

void Simplex::posterior(const double* counts, double* out) const {
    std::fill(out, out + size_, 0.0);
    for (const std::size_t k : free_)
        out[k] = counts[k] + (is_flat() ? 1.0 : prior_[k]);
}

void Simplex::sample(const double* counts, random::Stream& stream, double* out) const {
    fill_fixed(out);
    if (free_.size() == 1)
        out[free_[0]] = left_;
    if (free_.size() < 2)
        return;
    std::vector<double> draw(free_.size());
    for (std::size_t i = 0; i < free_.size(); ++i)
        draw[i] = counts[free_[i]] + (is_flat() ? 1.0 : prior_[free_[i]]);
    stream.dirichlet(draw.data(), draw.size(), draw.data());
    for (std::size_t i = 0; i < free_.size(); ++i)
        out[free_[i]] = left_ * draw[i];
}

void Simplex::expected_log(const double* concentration, double* out) const {
    for (std::size_t k = 0; k < size_; ++k)
        out[k] = std::log(std::isnan(frozen_[k]) ? 0.0 : frozen_[k]);
    double total = 0;
    for (const std::size_t k : free_)
        total += concentration[k];
    const double both = free_.size() > 1 ? special::digamma(total) : 0.0;
    for (const std::size_t k : free_) {
        const double share = free_.size() > 1 ? special::digamma(concentration[k]) - both : 0.0;
        out[k] = share + std::log(left_);
    }
}

void Simplex::log_of(const double* point, double* out) const {
    for (std::size_t k = 0; k < size_; ++k)
        out[k] = std::log(point[k]);
}

void Simplex::mean(const double* concentration, double* out) const {
    double total = 0;
    for (const std::size_t k : free_)
        total += concentration[k];
    fill_fixed(out);
    for (const std::size_t k : free_)
        out[k] = left_ * (concentration[k] / total);
}

double Simplex::log_prior(const double* point) const {
    if (is_flat() || free_.size() < 2 || !(left_ > 0))
        return 0.0;
    double total = 0;
    double sum = 0;
    for (const std::size_t k : free_) {
        total += prior_[k];
        sum -= special::lgamma(prior_[k]);
        if (prior_[k] != 1.0)
            sum += (prior_[k] - 1.0) * std::log(point[k] / left_);
    }
    return sum + special::lgamma(total);
}

double Simplex::kl(const double* concentration) const {
    if (free_.size() < 2)
        return 0.0;
    double total = 0;
    double prior_total = 0;
    for (const std::size_t k : free_) {
        total += concentration[k];
        prior_total += is_flat() ? 1.0 : prior_[k];
    }
    const double both = special::digamma(total);
    double sum = special::lgamma(total) - special::lgamma(prior_total);
    for (const std::size_t k : free_) {
        const double prior = is_flat() ? 1.0 : prior_[k];
        sum += special::lgamma(prior) - special::lgamma(concentration[k]) +
               (concentration[k] - prior) * (special::digamma(concentration[k]) - both);
    }
    return sum;
}

}  // namespace vemfast::detail
