// Scores of Gaussian components, their posterior predictive, and their terms of the objective.
#include <algorithm>
#include <cmath>

#include "../math/dense.hpp"
#include "../math/scratch.hpp"
#include "gaussian.hpp"
#include "gaussian_roots.hpp"
#include "vemfast/special.hpp"

namespace vemfast::detail {

namespace {

constexpr double kLog2Pi = 1.8378770664093454836;

}  // namespace

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

}  // namespace vemfast::detail
