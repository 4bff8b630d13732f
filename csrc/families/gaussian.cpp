// Posteriors and modes of Gaussian components, and the support of their covariances.
#include "gaussian.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "../math/dense.hpp"
#include "../math/scratch.hpp"
#include "gaussian_roots.hpp"

namespace vemfast::detail {

namespace {

// Counts below this are none: their reciprocals overflow.
constexpr double kLeastCount = 1e-290;

}  // namespace

Gaussian::Gaussian(Covariance kind, std::size_t n_components, std::size_t n_features,
                   GaussianPrior prior, std::vector<double> column_scale, double reg_covar)
    : kind_(kind),
      K_(n_components),
      D_(n_features),
      prior_(std::move(prior)),
      column_scale_(std::move(column_scale)),
      mean_scale_(0.0),
      reg_covar_(reg_covar) {
    root_scale_.reserve(column_scale_.size());
    for (const double s : column_scale_) {
        mean_scale_ += s;
        root_scale_.push_back(std::sqrt(s));
    }
    mean_scale_ /= static_cast<double>(D_);
    prior_.mean.resize(D_, 0.0);
    prior_.scale.resize(covariance_size(), 0.0);
}

std::size_t Gaussian::covariance_size() const {
    if (matrix())
        return D_ * D_;
    return kind_ == Covariance::diag ? D_ : 1;
}

const double* Gaussian::scatter_of(const double* scatter, std::size_t k) const {
    return scatter + k * scatter_size(kind_, 1, D_);
}

// scale = Psi_0 + S (for the spherical kinds S / D).
void Gaussian::start_scale(const double* scatter, double* scale) const {
    std::copy(prior_.scale.begin(), prior_.scale.end(), scale);
    if (matrix()) {
        for (std::size_t i = 0; i < D_; ++i) {
            for (std::size_t j = 0; j <= i; ++j, ++scatter) {
                scale[i * D_ + j] += *scatter;
                if (i != j)
                    scale[j * D_ + i] += *scatter;
            }
        }
    } else if (kind_ == Covariance::diag) {
        for (std::size_t i = 0; i < D_; ++i)
            scale[i] += scatter[i];
    } else {
        scale[0] += scatter[0] / static_cast<double>(D_);
    }
}

// scale += factor m m^T, in the covariance's own shape.
void Gaussian::add_outer(double factor, const double* mean, double* scale) const {
    if (matrix()) {
        for (std::size_t i = 0; i < D_; ++i) {
            const double left = factor * mean[i];
            for (std::size_t j = 0; j < D_; ++j)
                scale[i * D_ + j] += left * mean[j];
        }
    } else if (kind_ == Covariance::diag) {
        for (std::size_t i = 0; i < D_; ++i)
            scale[i] += factor * mean[i] * mean[i];
    } else {
        double square = 0;
        for (std::size_t i = 0; i < D_; ++i)
            square += mean[i] * mean[i];
        scale[0] += factor * square / static_cast<double>(D_);
    }
}

// scale += factor (left right^T + right left^T) / 2, in the covariance's own shape.
void Gaussian::add_cross(double factor, const double* left, const double* right,
                         double* scale) const {
    if (matrix()) {
        for (std::size_t i = 0; i < D_; ++i) {
            for (std::size_t j = 0; j < D_; ++j)
                scale[i * D_ + j] += 0.5 * factor * (left[i] * right[j] + left[j] * right[i]);
        }
    } else if (kind_ == Covariance::diag) {
        for (std::size_t i = 0; i < D_; ++i)
            scale[i] += factor * left[i] * right[i];
    } else {
        double product = 0;
        for (std::size_t i = 0; i < D_; ++i)
            product += left[i] * right[i];
        scale[0] += factor * product / static_cast<double>(D_);
    }
}

// Psi_0 + sum_n r (x - m)(x - m)^T + kappa_0 (m - m_0)(m - m_0)^T for means that are given: what
// the mode of the covariances is made of when the means are not free.
void Gaussian::scale_about(const double* counts, const double* sums, const double* scatter,
                           const double* means, double* scale) const {
    const double kappa0 = prior_.mean_precision;
    std::vector<double> away(D_);
    for (std::size_t k = 0; k < K_; ++k) {
        const double* mean = means + k * D_;
        double* own = shared() ? scale : scale + k * covariance_size();
        if (k == 0 || !shared())
            start_scale(scatter_of(scatter, shared() ? 0 : k), own);
        add_cross(-2.0, sums + k * D_, mean, own);
        add_outer(counts[k], mean, own);
        for (std::size_t i = 0; i < D_; ++i)
            away[i] = mean[i] - prior_.mean[i];
        if (kappa0 > 0)
            add_outer(kappa0, away.data(), own);
        const bool is_whole = !shared() || k + 1 == K_;
        if (prior_.covariance_is_proper && is_whole)
            keep_above_prior(own);
    }
}

// Psi = Psi_0 + B with B a scatter, so Psi >= Psi_0; but B is a difference, and where rows are
// degenerate in float32 or lie very far apart its rounding can exceed the smallest eigenvalues of
// Psi_0. Where Psi is not positive definite, the eigenvalues of B in the metric of Psi_0 that are
// below zero are such rounding: they become zero.
void Gaussian::keep_above_prior(double* scale) const {
    if (!matrix()) {
        for (std::size_t i = 0; i < covariance_size(); ++i)
            scale[i] = std::max(scale[i], prior_.scale[i]);
        return;
    }
    Scratch trial(scale, D_ * D_);
    if (cholesky(trial.data(), D_))
        return;
    Scratch root(D_ * D_);  // C C^T = Psi_0
    root_of(prior_.scale.data(), D_, kShared, root.data());
    Scratch inverse(D_ * D_);
    invert_lower(root.data(), D_, inverse.data());
    Scratch half(D_ * D_, 0.0);  // C^-1 B
    for (std::size_t i = 0; i < D_; ++i) {
        for (std::size_t p = 0; p <= i; ++p) {
            for (std::size_t j = 0; j < D_; ++j)
                half[i * D_ + j] +=
                    inverse[i * D_ + p] * (scale[p * D_ + j] - prior_.scale[p * D_ + j]);
        }
    }
    for (std::size_t i = 0; i < D_; ++i) {  // C^-1 B C^-T
        for (std::size_t j = 0; j < D_; ++j) {
            double sum = 0;
            for (std::size_t p = 0; p <= j; ++p)
                sum += half[i * D_ + p] * inverse[j * D_ + p];
            trial[i * D_ + j] = sum;
        }
    }
    Scratch values(D_);
    Scratch vectors(D_ * D_);
    symmetric_eigen(trial.data(), D_, values.data(), vectors.data());
    std::copy(prior_.scale.begin(), prior_.scale.end(), scale);
    Scratch direction(D_);
    for (std::size_t e = 0; e < D_; ++e) {
        if (!(values[e] > 0))
            continue;
        for (std::size_t i = 0; i < D_; ++i) {
            direction[i] = 0;
            for (std::size_t p = 0; p <= i; ++p)
                direction[i] += root[i * D_ + p] * vectors[e * D_ + p];
        }
        for (std::size_t i = 0; i < D_; ++i) {
            for (std::size_t j = 0; j < D_; ++j)
                scale[i * D_ + j] += values[e] * direction[i] * direction[j];
        }
    }
}

void Gaussian::posterior(const double* counts, const double* sums, const double* scatter,
                         GaussianFields<double> out) const {
    const double kappa0 = prior_.mean_precision;
    const std::size_t size = covariance_size();
    if (shared())
        start_scale(scatter, out.scale);
    double total = 0;
    for (std::size_t k = 0; k < K_; ++k) {
        const double kappa = kappa0 + counts[k];
        const double inverse = kappa > kLeastCount ? 1.0 / kappa : 0.0;
        double* mean = out.means + k * D_;
        for (std::size_t i = 0; i < D_; ++i)
            mean[i] = (kappa0 * prior_.mean[i] + sums[k * D_ + i]) * inverse;
        double* scale = shared() ? out.scale : out.scale + k * size;
        if (!shared())
            start_scale(scatter_of(scatter, k), scale);
        if (kappa0 > 0)
            add_outer(kappa0, prior_.mean.data(), scale);
        add_outer(-kappa, mean, scale);
        if (prior_.covariance_is_proper && !shared())
            keep_above_prior(scale);
        if (out.precision != nullptr)
            out.precision[k] = kappa;
        if (out.freedom != nullptr && !shared())
            out.freedom[k] = prior_.degrees_of_freedom + counts[k];
        total += counts[k];
    }
    if (prior_.covariance_is_proper && shared())
        keep_above_prior(out.scale);
    if (out.freedom != nullptr && shared())
        out.freedom[0] = prior_.degrees_of_freedom + total;
}

// The mode of a covariance is its scale divided by this.
double Gaussian::mode_divisor(double count) const {
    const double d = static_cast<double>(D_);
    const double means = prior_.mean_precision > 0 ? (shared() ? static_cast<double>(K_) : 1.0) : 0;
    const double nu = prior_.degrees_of_freedom;
    const bool proper = prior_.covariance_is_proper;
    if (matrix())
        return count + means + (proper ? nu + d + 1.0 : 0.0);
    if (kind_ == Covariance::diag)
        return count + means + (proper ? nu + 2.0 : 0.0);
    return count + means + (proper ? nu + 2.0 / d : 0.0);
}

// Eigenvalues of diag(1/s) Sigma diag(1/s) that are below this are rounding of the subtraction
// S - N m m^T, not a spread.
double Gaussian::rounding_level(const double* means, std::size_t n_means) const {
    double largest = 0;
    for (std::size_t k = 0; k < n_means; ++k) {
        for (std::size_t i = 0; i < D_; ++i) {
            const double m = means[k * D_ + i];
            largest = std::max(largest, m * m / column_scale_[i]);
        }
    }
    return 8.0 * static_cast<double>(D_) * std::numeric_limits<double>::epsilon() * (1.0 + largest);
}

// The exact maximum over the support Sigma >= reg_covar diag(s^2) has the eigenvectors of the
// unconstrained one, in that metric, and its eigenvalues clipped.
void Gaussian::clip(double* covariance, std::size_t index, double rounding) const {
    if (!matrix()) {
        const std::size_t size = covariance_size();
        for (std::size_t i = 0; i < size; ++i) {
            const double unit = kind_ == Covariance::diag ? column_scale_[i] : mean_scale_;
            if (reg_covar_ > 0) {
                covariance[i] = std::max(covariance[i], reg_covar_ * unit);
            } else if (!(covariance[i] > rounding * unit)) {
                not_positive_definite(index);
            }
        }
        return;
    }
    Scratch scaled(D_ * D_);
    const double* unit = root_scale_.data();
    for (std::size_t i = 0; i < D_; ++i) {
        for (std::size_t j = 0; j < D_; ++j)
            scaled[i * D_ + j] = covariance[i * D_ + j] / (unit[i] * unit[j]);
    }
    Scratch trial(scaled.data(), D_ * D_);
    for (std::size_t i = 0; i < D_; ++i)
        trial[i * D_ + i] -= reg_covar_;
    if (cholesky(trial.data(), D_, reg_covar_ > 0 ? 0.0 : rounding))
        return;
    if (!(reg_covar_ > 0))
        not_positive_definite(index);
    Scratch values(D_);
    symmetric_eigen(scaled.data(), D_, values.data(), trial.data());
    std::fill(covariance, covariance + D_ * D_, 0.0);
    for (std::size_t e = 0; e < D_; ++e) {
        const double value = std::max(values[e], reg_covar_);
        const double* vector = trial.data() + e * D_;
        for (std::size_t i = 0; i < D_; ++i) {
            const double left = value * vector[i] * unit[i];
            for (std::size_t j = 0; j <= i; ++j)
                covariance[i * D_ + j] += left * vector[j] * unit[j];
        }
    }
    for (std::size_t i = 0; i < D_; ++i) {
        for (std::size_t j = 0; j < i; ++j)
            covariance[j * D_ + i] = covariance[i * D_ + j];
    }
}

void Gaussian::mode(const double* counts, const double* sums, const double* scatter,
                    bool keeps_means, GaussianFields<double> out) const {
    const std::size_t size = covariance_size();
    Scratch means(K_ * D_);
    std::copy_n(out.means, K_ * D_, means.data());
    Scratch scale(n_covariances() * size);
    if (keeps_means)
        scale_about(counts, sums, scatter, means.data(), scale.data());
    else
        posterior(counts, sums, scatter, {means.data(), nullptr, nullptr, scale.data()});
    double total = 0;
    for (std::size_t k = 0; k < K_; ++k) {
        total += counts[k];
        // Under a shared covariance a proper prior ties an empty component's mean to Sigma, so the
        // mean moves to its mode, m_0.
        const bool moves = counts[k] > kLeastCount || (shared() && prior_.mean_precision > 0);
        if (!moves)
            continue;
        const double* mean = means.data() + k * D_;
        std::copy(mean, mean + D_, out.means + k * D_);
        if (shared())
            continue;
        double* covariance = out.scale + k * size;
        const double inverse = 1.0 / mode_divisor(counts[k]);
        for (std::size_t i = 0; i < size; ++i)
            covariance[i] = scale[k * size + i] * inverse;
        clip(covariance, k, rounding_level(mean, 1));
    }
    if (!shared())
        return;
    const double inverse = 1.0 / mode_divisor(total);
    for (std::size_t i = 0; i < size; ++i)
        out.scale[i] = scale[i] * inverse;
    clip(out.scale, kShared, rounding_level(means.data(), K_));
}

void Gaussian::widest(double* covariances) const {
    const std::size_t size = covariance_size();
    std::fill(covariances, covariances + n_covariances() * size, 0.0);
    for (std::size_t c = 0; c < n_covariances(); ++c) {
        double* covariance = covariances + c * size;
        if (matrix()) {
            for (std::size_t i = 0; i < D_; ++i)
                covariance[i * D_ + i] = column_scale_[i];
        } else if (kind_ == Covariance::diag) {
            std::copy(column_scale_.begin(), column_scale_.end(), covariance);
        } else {
            covariance[0] = mean_scale_;
        }
    }
}

std::vector<std::size_t> Gaussian::at_edge(const double* covariances) const {
    std::vector<std::size_t> out;
    if (!(reg_covar_ > 0))
        return out;
    const double edge = reg_covar_ * (1.0 + 1e-3);
    for (std::size_t c = 0; c < n_covariances(); ++c) {
        const double* covariance = covariances + c * covariance_size();
        bool inside = true;
        if (matrix()) {
            Scratch trial(D_ * D_);
            for (std::size_t i = 0; i < D_; ++i) {
                for (std::size_t j = 0; j < D_; ++j)
                    trial[i * D_ + j] =
                        covariance[i * D_ + j] / std::sqrt(column_scale_[i] * column_scale_[j]);
                trial[i * D_ + i] -= edge;
            }
            inside = cholesky(trial.data(), D_);
        } else {
            for (std::size_t i = 0; i < covariance_size(); ++i) {
                const double unit = kind_ == Covariance::diag ? column_scale_[i] : mean_scale_;
                inside = inside && covariance[i] > edge * unit;
            }
        }
        if (!inside)
            out.push_back(c);
    }
    return out;
}

}  // namespace vemfast::detail
