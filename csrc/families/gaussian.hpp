// Gaussian components: the O(K) half of every covariance type under the conjugate
// normal-inverse-Wishart prior and its tied, diagonal and spherical forms.
// Coordinates are centred on the model's origin. Formulas: docs/formulas/gaussian_mixture.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "../kernels/task.hpp"
#include "vemfast/random.hpp"
#include "vemfast/version.hpp"

namespace vemfast::detail {

struct GaussianPrior {
    double mean_precision = 0.0;  // kappa_0; zero: flat
    std::vector<double> mean;     // m_0 (D), centred
    bool covariance_is_proper = false;
    double degrees_of_freedom = 0.0;  // nu_0
    std::vector<double> scale;        // Psi_0: D x D, D x D (tied), D, 1, 1
};

// Pointers into a parameter buffer; `freedom` and `precision` are null for a point, whose `scale`
// is its covariance.
template <class Double>
struct GaussianFields {
    Double* means;      // K x D
    Double* precision;  // K: kappa_k
    Double* freedom;    // K, or 1 where the covariance is shared
    Double* scale;      // per component or shared
};

class VEMFAST_API Gaussian {
  public:
    Gaussian(Covariance kind, std::size_t n_components, std::size_t n_features, GaussianPrior prior,
             std::vector<double> column_scale, double reg_covar);

    Covariance kind() const { return kind_; }
    std::size_t n_components() const { return K_; }
    std::size_t n_features() const { return D_; }
    bool shared() const { return kind_ == Covariance::tied || kind_ == Covariance::tied_spherical; }
    bool matrix() const { return kind_ == Covariance::full || kind_ == Covariance::tied; }
    std::size_t n_covariances() const { return shared() ? 1 : K_; }
    std::size_t covariance_size() const;  // doubles of one covariance
    const GaussianPrior& prior() const { return prior_; }
    const std::vector<double>& column_scale() const { return column_scale_; }
    bool is_flat() const { return !(prior_.mean_precision > 0) && !prior_.covariance_is_proper; }

    // Conjugate posterior given statistics (counts, sums, scatter).
    void posterior(const double* counts, const double* sums, const double* scatter,
                   GaussianFields<double> out) const;

    // Posterior mode, eigenvalues clipped at the support's edge. Components whose count is not
    // positive keep what `out` holds; with `keeps_means` all means do, and the covariances are
    // those of the mode given them. Throws NumericalError where reg_covar = 0 and a covariance is
    // singular.
    void mode(const double* counts, const double* sums, const double* scatter, bool keeps_means,
              GaussianFields<double> out) const;

    // Draw from the conjugate posterior.
    void sample(const double* counts, const double* sums, const double* scatter, std::uint64_t seed,
                std::uint32_t iteration, GaussianFields<double> out) const;

    // Covariances as wide as the data: where a component without data starts.
    void widest(double* covariances) const;

    // Scores c_k - |F_k x - b_k|^2 / 2: factor F (lower triangular K x D x D, D x D; diagonals
    // K x D; precision K), b = F m (spherical kinds: the mean itself), and c without log weights.
    // For a posterior, the expected score.
    struct Factors {
        std::vector<double> constant, factor, shift;
    };
    Factors factors(GaussianFields<const double> fields, bool is_posterior) const;
    // The same into memory that is used again.
    void factors(GaussianFields<const double> fields, bool is_posterior, Factors& out) const;

    // Log prior of a point and KL(q || p) of a posterior, given their factors.
    double log_prior(GaussianFields<const double> point, const Factors& factors) const;
    double kl(GaussianFields<const double> posterior, const Factors& factors) const;

    // Posterior predictive Student-t densities: constant - tail log1p(tail_scale |F x - b|^2).
    // `gain`, (D + 1) x K: what integrating out so many features adds to the constant.
    struct StudentFactors : Factors {
        std::vector<double> tail, tail_scale, gain;
    };
    StudentFactors predictive(GaussianFields<const double> posterior) const;

    // <statistics, natural parameters>: sum_k N_k c_k - tr(E[Lambda_k] M_k) / 2.
    double expected_log_density(const Factors& factors, const double* counts, const double* sums,
                                const double* scatter) const;

    // Covariances at the edge of the support.
    std::vector<std::size_t> at_edge(const double* covariances) const;

  private:
    std::size_t freedom_index(std::size_t k) const { return shared() ? 0 : k; }
    const double* scatter_of(const double* scatter, std::size_t k) const;
    void start_scale(const double* scatter, double* scale) const;
    void keep_above_prior(double* scale) const;
    void add_outer(double factor, const double* mean, double* scale) const;
    void add_cross(double factor, const double* left, const double* right, double* scale) const;
    void scale_about(const double* counts, const double* sums, const double* scatter,
                     const double* means, double* scale) const;
    double mode_divisor(double count) const;
    void clip(double* covariance, std::size_t index, double rounding) const;
    double rounding_level(const double* means, std::size_t n_means) const;
    double mahalanobis_root(const double* factor, const double* point, double* out) const;
    double expected_log_precision(double freedom, double log_scale) const;
    double log_determinant(const double* covariance) const;

    Covariance kind_;
    std::size_t K_, D_;
    GaussianPrior prior_;
    std::vector<double> column_scale_;  // s^2 (D)
    std::vector<double> root_scale_;    // s (D)
    double mean_scale_;                 // its mean, for the spherical kinds
    double reg_covar_;
};

}  // namespace vemfast::detail
