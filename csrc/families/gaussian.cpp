#include "gaussian.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "../math/dense.hpp"
#include "../math/scratch.hpp"
#include "vemfast/errors.hpp"
#include "vemfast/special.hpp"

namespace vemfast::detail {

namespace {

constexpr double kLog2Pi = 1.8378770664093454836;

// Stands for the index of a component where all share one covariance.
constexpr std::size_t kShared = std::numeric_limits<std::size_t>::max();

// Counts below this are none: their reciprocals overflow.
constexpr double kLeastCount = 1e-290;

[[noreturn]] void not_positive_definite(std::size_t component) {
    const bool is_shared = component == kShared;
    throw NumericalError((is_shared ? "all components" : "component " + std::to_string(component)) +
                         ": covariance not positive definite; set reg_covar > 0, use fewer "
                         "components, or give a covariance_prior");
}

// Lower triangular root of a covariance; throws where it is singular.
void root_of(const double* covariance, std::size_t n, std::size_t component, double* root) {
    std::copy(covariance, covariance + n * n, root);
    if (!cholesky(root, n))
        not_positive_definite(component);
}

void inverse_root_of(const double* covariance, std::size_t n, std::size_t component,
                     double* log_det, double* inverse) {
    Scratch root(n * n);
    root_of(covariance, n, component, root.data());
    if (log_det != nullptr)
        *log_det = 2.0 * log_diagonal(root.data(), n);
    invert_lower(root.data(), n, inverse);
}

double log_positive(double value, std::size_t component) {
    if (!(value > 0.0))
        not_positive_definite(component);
    return std::log(value);
}

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

namespace {

// Sigma drawn from the inverse Wishart by Bartlett's decomposition of its inverse.
void draw_inverse_wishart(const double* scale, double freedom, std::size_t D, std::size_t component,
                          random::Stream& stream, double* covariance) {
    Scratch inverse(D * D);
    inverse_root_of(scale, D, component, nullptr, inverse.data());
    Scratch root(D * D);
    gram_lower(inverse.data(), D, root.data());  // Psi^-1
    if (!cholesky(root.data(), D))
        not_positive_definite(component);
    Scratch bartlett(D * D, 0.0);
    for (std::size_t i = 0; i < D; ++i) {
        for (std::size_t j = 0; j < i; ++j)
            bartlett[i * D + j] = stream.normal();
        bartlett[i * D + i] = std::sqrt(stream.chi2(freedom - static_cast<double>(i)));
    }
    Scratch product(D * D, 0.0);
    for (std::size_t i = 0; i < D; ++i) {
        for (std::size_t p = 0; p <= i; ++p) {
            const double left = root[i * D + p];
            for (std::size_t j = 0; j <= p; ++j)
                product[i * D + j] += left * bartlett[p * D + j];
        }
    }
    invert_lower(product.data(), D, root.data());
    gram_lower(root.data(), D, covariance);
}

}  // namespace

void Gaussian::sample(const double* counts, const double* sums, const double* scatter,
                      std::uint64_t seed, std::uint32_t iteration,
                      GaussianFields<double> out) const {
    const std::size_t size = covariance_size();
    const double d = static_cast<double>(D_);
    Scratch precision(K_, 0.0);
    Scratch freedom(n_covariances(), 0.0);
    Scratch scale(n_covariances() * size, 0.0);
    posterior(counts, sums, scatter, {out.means, precision.data(), freedom.data(), scale.data()});
    const auto draw_covariance = [&](std::size_t c, random::Stream& stream) {
        double* covariance = out.scale + c * size;
        const double* psi = scale.data() + c * size;
        if (matrix()) {
            draw_inverse_wishart(psi, freedom[c], D_, c, stream, covariance);
        } else if (kind_ == Covariance::diag) {
            for (std::size_t i = 0; i < D_; ++i)
                covariance[i] = 0.5 * psi[i] / stream.gamma(0.5 * freedom[c]);
        } else {
            covariance[0] = 0.5 * d * psi[0] / stream.gamma(0.5 * d * freedom[c]);
        }
    };
    Scratch root(matrix() ? size : 0);
    if (shared()) {
        random::Stream stream(seed, iteration, random::kParameterStream, K_ + 1);
        draw_covariance(0, stream);
        if (matrix())
            root_of(out.scale, D_, 0, root.data());
    }
    Scratch noise(D_);
    for (std::size_t k = 0; k < K_; ++k) {
        random::Stream stream(seed, iteration, random::kParameterStream, k + 1);
        if (!shared()) {
            draw_covariance(k, stream);
            if (matrix())
                root_of(out.scale + k * size, D_, k, root.data());
        }
        for (std::size_t i = 0; i < D_; ++i)
            noise[i] = stream.normal();
        const double* covariance = out.scale + (shared() ? 0 : k * size);
        const double width = 1.0 / std::sqrt(precision[k]);
        for (std::size_t i = 0; i < D_; ++i) {
            double step = 0;
            if (matrix()) {
                for (std::size_t j = 0; j <= i; ++j)
                    step += root[i * D_ + j] * noise[j];
            } else {
                step = std::sqrt(covariance[kind_ == Covariance::diag ? i : 0]) * noise[i];
            }
            out.means[k * D_ + i] += width * step;
        }
    }
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

double Gaussian::expected_log_precision(double freedom, double log_scale) const {
    const double d = static_cast<double>(D_);
    if (matrix())
        return special::multivariate_digamma(0.5 * freedom, static_cast<int>(D_)) +
               d * std::log(2.0) - log_scale;
    if (kind_ == Covariance::diag)
        return d * (special::digamma(0.5 * freedom) + std::log(2.0)) - log_scale;
    return d * (special::digamma(0.5 * d * freedom) - std::log(0.5 * d)) - log_scale;
}

// log |Sigma| of one covariance in its own shape.
double Gaussian::log_determinant(const double* covariance) const {
    if (matrix()) {
        Scratch root(D_ * D_);
        root_of(covariance, D_, 0, root.data());
        return 2.0 * log_diagonal(root.data(), D_);
    }
    if (kind_ == Covariance::diag) {
        double sum = 0;
        for (std::size_t i = 0; i < D_; ++i)
            sum += log_positive(covariance[i], 0);
        return sum;
    }
    return static_cast<double>(D_) * log_positive(covariance[0], 0);
}

// out = F point, with F in the shape of the covariance's factor; returns |out|^2.
double Gaussian::mahalanobis_root(const double* factor, const double* point, double* out) const {
    double square = 0;
    for (std::size_t i = 0; i < D_; ++i) {
        double value = 0;
        if (matrix()) {
            for (std::size_t j = 0; j <= i; ++j)
                value += factor[i * D_ + j] * point[j];
        } else {
            value = factor[kind_ == Covariance::diag ? i : 0] * point[i];
        }
        out[i] = value;
        square += value * value;
    }
    return square;
}

Gaussian::Factors Gaussian::factors(GaussianFields<const double> fields, bool is_posterior) const {
    Factors out;
    factors(fields, is_posterior, out);
    return out;
}

void Gaussian::factors(GaussianFields<const double> fields, bool is_posterior, Factors& out) const {
    const double d = static_cast<double>(D_);
    const std::size_t size = covariance_size();
    out.constant.resize(K_);
    out.shift.resize(K_ * D_);
    out.factor.resize(n_covariances() * size);
    Scratch half_log_precision(n_covariances());
    for (std::size_t c = 0; c < n_covariances(); ++c) {
        const double* scale = fields.scale + c * size;
        double* factor = out.factor.data() + c * size;
        const double nu = is_posterior ? fields.freedom[c] : 1.0;
        double log_det = 0;
        if (matrix()) {
            inverse_root_of(scale, D_, c, &log_det, factor);
            const double root = std::sqrt(nu);
            for (std::size_t i = 0; i < size; ++i)
                factor[i] *= root;
        } else if (kind_ == Covariance::diag) {
            for (std::size_t i = 0; i < D_; ++i) {
                log_det += log_positive(scale[i], c);
                factor[i] = std::sqrt(nu / scale[i]);
            }
        } else {
            log_det = d * log_positive(scale[0], c);
            factor[0] = nu / scale[0];
        }
        half_log_precision[c] =
            0.5 * (is_posterior ? expected_log_precision(nu, log_det) : -log_det);
    }
    const bool spherical = !matrix() && kind_ != Covariance::diag;
    for (std::size_t k = 0; k < K_; ++k) {
        const std::size_t c = freedom_index(k);
        const double* mean = fields.means + k * D_;
        out.constant[k] = half_log_precision[c] - 0.5 * d * kLog2Pi;
        if (is_posterior)
            out.constant[k] -= 0.5 * d / fields.precision[k];
        if (spherical)
            std::copy(mean, mean + D_, out.shift.begin() + static_cast<std::ptrdiff_t>(k * D_));
        else
            mahalanobis_root(out.factor.data() + c * size, mean, out.shift.data() + k * D_);
    }
}

Gaussian::StudentFactors Gaussian::predictive(GaussianFields<const double> fields) const {
    const double d = static_cast<double>(D_);
    const double log_pi = kLog2Pi - std::log(2.0);
    const std::size_t size = covariance_size();
    // Factors of a point whose covariance is Psi (spherical: D Psi), without its own constants.
    std::vector<double> scale(fields.scale, fields.scale + n_covariances() * size);
    const bool spherical = !matrix() && kind_ != Covariance::diag;
    if (spherical) {
        for (double& psi : scale)
            psi *= d;
    }
    StudentFactors out;
    static_cast<Factors&>(out) = factors({fields.means, nullptr, nullptr, scale.data()}, false);
    out.tail.resize(K_);
    out.tail_scale.resize(K_);
    out.gain.resize((D_ + 1) * K_);
    for (std::size_t k = 0; k < K_; ++k) {
        const double kappa = fields.precision[k];
        const double nu = fields.freedom[freedom_index(k)];
        double& constant = out.constant[k];  // -log |Psi| / 2 - D log(2 pi) / 2 so far
        constant += 0.5 * d * (kLog2Pi - log_pi + std::log(kappa / (kappa + 1.0)));
        out.tail_scale[k] = kappa / (kappa + 1.0);
        if (kind_ == Covariance::diag) {
            out.tail[k] = 0.5 * (nu + 1.0);
            constant += d * (special::lgamma(0.5 * (nu + 1.0)) - special::lgamma(0.5 * nu));
        } else {
            const double freedom = spherical ? d * nu : nu + 1.0 - d;
            out.tail[k] = 0.5 * (freedom + d);
            constant += special::lgamma(0.5 * (freedom + d)) - special::lgamma(0.5 * freedom);
        }
        // Fewer features have the same freedom: only the normaliser and the tail change.
        const double per_feature = 0.5 * (log_pi + std::log((kappa + 1.0) / kappa));
        for (std::size_t m = 0; m <= D_; ++m) {
            const double less = static_cast<double>(m);
            const double of_one = special::lgamma(out.tail[k]);
            const double norm = kind_ == Covariance::diag
                                    ? less * (special::lgamma(0.5 * nu) - of_one)
                                    : special::lgamma(out.tail[k] - 0.5 * less) - of_one;
            out.gain[m * K_ + k] = norm + less * per_feature;
        }
    }
    return out;
}

double Gaussian::log_prior(GaussianFields<const double> point, const Factors& f) const {
    const double d = static_cast<double>(D_);
    const std::size_t size = covariance_size();
    const double kappa0 = prior_.mean_precision;
    const double nu = prior_.degrees_of_freedom;
    if (is_flat())
        return 0.0;
    const bool spherical = !matrix() && kind_ != Covariance::diag;
    double total = 0;
    Scratch difference(D_);
    Scratch root(D_);
    if (kappa0 > 0) {
        for (std::size_t k = 0; k < K_; ++k) {
            for (std::size_t i = 0; i < D_; ++i)
                difference[i] = point.means[k * D_ + i] - prior_.mean[i];
            const double* factor = f.factor.data() + freedom_index(k) * size;
            double square = mahalanobis_root(factor, difference.data(), root.data());
            if (spherical)
                square /= factor[0];  // the factor is the precision, not its root
            total += f.constant[k] + 0.5 * d * std::log(kappa0) - 0.5 * kappa0 * square;
        }
    }
    if (!prior_.covariance_is_proper)
        return total;
    const double log_psi0 = log_determinant(prior_.scale.data());
    for (std::size_t c = 0; c < n_covariances(); ++c) {
        const double* covariance = point.scale + c * size;
        const double* factor = f.factor.data() + c * size;
        const double log_det = log_determinant(covariance);
        if (matrix()) {
            double trace = 0;  // tr(Psi_0 Sigma^-1) = sum_j f_j^T Psi_0 f_j
            for (std::size_t j = 0; j < D_; ++j) {
                for (std::size_t a = 0; a <= j; ++a) {
                    for (std::size_t b = 0; b <= j; ++b)
                        trace += factor[j * D_ + a] * prior_.scale[a * D_ + b] * factor[j * D_ + b];
                }
            }
            total += 0.5 * nu * (log_psi0 - d * std::log(2.0)) -
                     special::multivariate_lgamma(0.5 * nu, static_cast<int>(D_)) -
                     0.5 * (nu + d + 1.0) * log_det - 0.5 * trace;
        } else if (kind_ == Covariance::diag) {
            total += 0.5 * nu * (log_psi0 - d * std::log(2.0)) - d * special::lgamma(0.5 * nu) -
                     (0.5 * nu + 1.0) * log_det;
            for (std::size_t i = 0; i < D_; ++i)
                total -= 0.5 * prior_.scale[i] / covariance[i];
        } else {
            const double a = 0.5 * d * nu;
            const double b = 0.5 * d * prior_.scale[0];
            total += a * std::log(b) - special::lgamma(a) - (a + 1.0) * std::log(covariance[0]) -
                     b / covariance[0];
        }
    }
    return total;
}

double Gaussian::kl(GaussianFields<const double> q, const Factors& f) const {
    const double d = static_cast<double>(D_);
    const std::size_t size = covariance_size();
    const double kappa0 = prior_.mean_precision;
    const double nu0 = prior_.degrees_of_freedom;
    const bool spherical = !matrix() && kind_ != Covariance::diag;
    double total = 0;
    Scratch difference(D_);
    Scratch root(D_);
    for (std::size_t k = 0; k < K_; ++k) {
        for (std::size_t i = 0; i < D_; ++i)
            difference[i] = q.means[k * D_ + i] - prior_.mean[i];
        const double* factor = f.factor.data() + freedom_index(k) * size;
        double square = mahalanobis_root(factor, difference.data(), root.data());
        if (spherical)
            square /= factor[0];
        const double ratio = kappa0 / q.precision[k];
        total += 0.5 * (d * (ratio - std::log(ratio) - 1.0) + kappa0 * square);
    }
    const double log_psi0 = log_determinant(prior_.scale.data());
    for (std::size_t c = 0; c < n_covariances(); ++c) {
        const double nu = q.freedom[c];
        const double* scale = q.scale + c * size;
        const double* factor = f.factor.data() + c * size;
        const double log_psi = log_determinant(scale);
        if (matrix()) {
            double trace = 0;  // nu tr(Psi_0 Psi^-1): the factor carries sqrt(nu)
            for (std::size_t j = 0; j < D_; ++j) {
                for (std::size_t a = 0; a <= j; ++a) {
                    for (std::size_t b = 0; b <= j; ++b)
                        trace += factor[j * D_ + a] * prior_.scale[a * D_ + b] * factor[j * D_ + b];
                }
            }
            const int n = static_cast<int>(D_);
            total += 0.5 * (nu - nu0) * special::multivariate_digamma(0.5 * nu, n) - 0.5 * d * nu +
                     0.5 * trace + special::multivariate_lgamma(0.5 * nu0, n) -
                     special::multivariate_lgamma(0.5 * nu, n) + 0.5 * nu0 * (log_psi - log_psi0);
        } else {
            // Inverse gamma(a, b) against (a0, b0), `terms` independent ones.
            const double terms = kind_ == Covariance::diag ? d : 1.0;
            const double half = kind_ == Covariance::diag ? 0.5 : 0.5 * d;
            const double a = half * nu;
            const double a0 = half * nu0;
            const double log_ratio =  // sum over terms of log b - log b0
                kind_ == Covariance::diag ? log_psi - log_psi0 : (log_psi - log_psi0) / d;
            total += terms * ((a - a0) * special::digamma(a) - special::lgamma(a) +
                              special::lgamma(a0)) +
                     a0 * log_ratio;
            for (std::size_t i = 0; i < size; ++i)
                total += a * (prior_.scale[i] - scale[i]) / scale[i];
        }
    }
    return total;
}

double Gaussian::expected_log_density(const Factors& f, const double* counts, const double* sums,
                                      const double* scatter) const {
    const std::size_t size = covariance_size();
    const bool spherical = !matrix() && kind_ != Covariance::diag;
    Scratch root(D_);
    double total = 0;
    for (std::size_t k = 0; k < K_; ++k) {
        if (counts[k] <= 0)
            continue;
        const double* factor = f.factor.data() + freedom_index(k) * size;
        const double* shift = f.shift.data() + k * D_;
        const double scale = spherical ? factor[0] : 1.0;
        double square = 0;  // sum_n r |F x - b|^2 less its term in the scatter
        if (spherical)
            std::copy(sums + k * D_, sums + (k + 1) * D_, root.data());
        else
            mahalanobis_root(factor, sums + k * D_, root.data());
        for (std::size_t i = 0; i < D_; ++i)
            square += shift[i] * (counts[k] * shift[i] - 2.0 * root[i]);
        total += counts[k] * f.constant[k] - 0.5 * scale * square;
    }
    for (std::size_t c = 0; c < n_covariances(); ++c) {
        if (!shared() && counts[c] <= 0)
            continue;
        const double* factor = f.factor.data() + c * size;
        const double* s = scatter_of(scatter, c);
        double trace = 0;
        if (matrix()) {
            for (std::size_t j = 0; j < D_; ++j) {
                const double* row = factor + j * D_;
                const double* packed = s;
                for (std::size_t a = 0; a <= j; ++a) {
                    for (std::size_t b = 0; b < a; ++b)
                        trace += 2.0 * row[a] * row[b] * packed[b];
                    trace += row[a] * row[a] * packed[a];
                    packed += a + 1;
                }
            }
        } else if (kind_ == Covariance::diag) {
            for (std::size_t i = 0; i < D_; ++i)
                trace += factor[i] * factor[i] * s[i];
        } else {
            trace = factor[0] * s[0];
        }
        total -= 0.5 * trace;
    }
    return total;
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
