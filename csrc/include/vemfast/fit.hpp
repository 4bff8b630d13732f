// Fits without Python: one Gaussian mixture, or thousands of small ones in parallel.
//
// The loop is that of the batch schedule: E-step, objective, stopping rule, update; an empty
// component is re-seeded where the objective does not fall by it. Numbers are those of the Python
// estimators, iteration by iteration. Formulas: docs/formulas/gaussian_mixture.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "vemfast/poll.hpp"
#include "vemfast/version.hpp"
#include "vemfast/views.hpp"

namespace vemfast {

// The rows of one data set, used in place, with weights (none: one a row).
struct Rows {
    Rows() = default;
    explicit Rows(MatrixView<const double> X, VectorView<const double> row_weights = {})
        : data(X.data),
          n(X.rows),
          n_features(X.columns),
          row_stride(X.row_stride),
          column_stride(X.column_stride),
          weights(row_weights) {}
    // Floats are scored in float, and statistics kept in double.
    explicit Rows(MatrixView<const float> X, VectorView<const double> row_weights = {})
        : data(X.data),
          n(X.rows),
          n_features(X.columns),
          row_stride(X.row_stride),
          column_stride(X.column_stride),
          is_float(true),
          weights(row_weights) {}

    const void* data = nullptr;
    std::int64_t n = 0;
    std::int64_t n_features = 0;
    std::ptrdiff_t row_stride = 0;  // elements
    std::ptrdiff_t column_stride = 1;
    bool is_float = false;
    VectorView<const double> weights;  // n, or a null pointer
};

enum class CovarianceType : int { full, tied, diag, spherical, tied_spherical };
// Of a mixture variational_em is em, as its posterior factorises by itself; the model keeps the
// name.
enum class Inference : int { em, hard_em, mean_field, variational_em };
enum class Start : int { kmeans, kmeans_plusplus, random };
enum class StopReason : int { tolerance, max_iter, failed, callback };

// Where a fit stands: called after each E-step on the calling thread; returns true to stop.
struct FitProgress {
    int iteration;     // 0: the start
    double objective;  // nats, of all rows
};
using FitCallback = std::function<bool(const FitProgress&)>;

// Names, meaning and defaults as of the Python estimator GaussianMixture. Empty vectors and absent
// numbers are its None. Starts and priors hold for every data set, in the data's coordinates.
struct GaussianMixtureOptions {
    std::size_t n_components = 1;
    CovarianceType covariance_type = CovarianceType::full;
    Inference inference = Inference::em;
    double tol = 1e-3;  // nats a row
    int max_iter = 100;
    int n_init = 1;
    double reg_covar = 1e-6;
    Start start = Start::kmeans;
    std::vector<double> weights_init;      // K
    std::vector<double> means_init;        // K x D
    std::vector<double> covariances_init;  // in the shape of the covariance type
    bool equal_weights = false;
    bool dirichlet_process = false;  // mean_field
    std::optional<double> weight_concentration_prior;
    std::optional<double> mean_precision_prior;
    std::vector<double> mean_prior;  // D
    std::optional<double> degrees_of_freedom_prior;
    std::vector<double> covariance_prior;  // in the shape of one covariance
    bool marginalize = false;              // NaN is a missing value (missing='marginalize')
    FitCallback callback;                  // of fit(); fit_many() takes none
};

// The shapes of one fit's parameters, and of every fit's in GaussianMixtureFits.
struct GaussianMixtureShape {
    std::size_t n_components = 0;
    std::size_t n_features = 0;
    std::size_t covariances = 0;         // doubles: K D D, D D, K D, K or 1
    std::size_t concentration = 0;       // mean_field: K, or 2 K (sticks); else 0
    std::size_t mean_precision = 0;      // mean_field: K; else 0
    std::size_t degrees_of_freedom = 0;  // mean_field: K, or 1 where the covariance is shared
};

struct GaussianMixtureFit {
    GaussianMixtureShape shape;
    std::vector<double> weights;      // K; mean_field: E[weights]
    std::vector<double> means;        // K x D
    std::vector<double> covariances;  // mean_field: inverse of the expected precision
    std::vector<double> concentration, mean_precision, degrees_of_freedom;
    std::vector<double> origin;        // D: the data's mean, about which the fit computed
    std::vector<double> lower_bounds;  // the objective in nats, the start first
    StopReason stop_reason = StopReason::max_iter;
    bool degenerate = false;  // a component without rows, or a covariance at its support's edge

    double lower_bound() const { return lower_bounds.back(); }
    int n_iter() const { return static_cast<int>(lower_bounds.size()) - 1; }
    bool converged() const { return stop_reason == StopReason::tolerance; }
};

// Fits one mixture. Of several starts the one of highest objective is kept. The result does not
// depend on n_threads. Throws std::invalid_argument (data or options), NumericalError (the
// objective fell by more than rounding, or a covariance is singular), Interrupted.
VEMFAST_API GaussianMixtureFit fit(const Rows& rows, const GaussianMixtureOptions& options,
                                   std::uint64_t random_state = 0, int n_threads = 1,
                                   const Poll& poll = {});

// Arrays over the fits, fit by fit.
struct GaussianMixtureFits {
    GaussianMixtureShape shape;
    std::size_t n_fits = 0;
    // NaN where a fit failed.
    std::vector<double> weights, means, covariances;
    std::vector<double> concentration, mean_precision, degrees_of_freedom;
    std::vector<double> origins;
    std::vector<double> lower_bound;
    std::vector<std::int32_t> n_iter;
    std::vector<std::int8_t> stop_reason;  // StopReason
    std::vector<std::uint8_t> degenerate;
    std::vector<double> lower_bounds;  // the traces, one after another
    std::vector<std::int64_t> trace;   // n_fits + 1: where each begins
    // Which fits failed, in order, and why.
    std::vector<std::pair<std::int64_t, std::string>> failures;
};

// Fits one mixture to each data set, the data sets in parallel: the i-th result is that of
// fit(data[i], options, random_states[i]). A data set that cannot be fitted is reported and stops
// nothing. All data sets have the features of `n_features`. Throws std::invalid_argument for bad
// options, Interrupted.
VEMFAST_API GaussianMixtureFits fit_many(std::span<const Rows> data, std::size_t n_features,
                                         const GaussianMixtureOptions& options,
                                         std::span<const std::uint64_t> random_states,
                                         int n_threads = 1, const Poll& poll = {});

}  // namespace vemfast
