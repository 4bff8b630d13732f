// From options and one look at the data to a configured model. The defaults of the priors follow
// scikit-learn's BayesianGaussianMixture, and scale with the data.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "math/dense.hpp"
#include "math/pairwise_sum.hpp"
#include "models/batch_fit.hpp"
#include "models/rows_view.hpp"
#include "models/starts.hpp"
#include "vemfast/require.hpp"

namespace vemfast::models {

namespace {

using detail::Covariance;
using Options = GaussianMixtureOptions;

Covariance covariance_of(const Options& options) {
    return static_cast<Covariance>(options.covariance_type);
}

bool is_matrix(const Options& options) {
    return options.covariance_type == CovarianceType::full ||
           options.covariance_type == CovarianceType::tied;
}

bool is_shared(const Options& options) {
    return options.covariance_type == CovarianceType::tied ||
           options.covariance_type == CovarianceType::tied_spherical;
}

std::size_t covariance_size(const Options& options, std::size_t n_features) {
    if (is_matrix(options))
        return n_features * n_features;
    return options.covariance_type == CovarianceType::diag ? n_features : 1;
}

bool is_posterior(const Options& options) {
    return options.inference == Inference::mean_field;
}

bool has_covariance_prior(const Options& options) {
    return is_posterior(options) || !options.covariance_prior.empty() ||
           options.degrees_of_freedom_prior;
}

void check_size(const char* name, const std::vector<double>& values, std::size_t size) {
    require(values.empty() || values.size() == size, name, " has ", values.size(),
            " numbers; expected ", size);
    for (const double value : values)
        require(std::isfinite(value), name, " must be finite");
}

bool is_positive_definite(const double* matrix, std::size_t n) {
    std::vector<double> trial(matrix, matrix + n * n);
    return detail::cholesky(trial.data(), n);
}

void check_covariances(const char* name, const std::vector<double>& values, std::size_t n_features,
                       bool matrix) {
    const std::size_t size = matrix ? n_features * n_features : 1;
    for (std::size_t i = 0; i < values.size(); i += size)
        require(matrix ? is_positive_definite(values.data() + i, n_features) : values[i] > 0, name,
                matrix ? " must be symmetric and positive definite" : " must be > 0");
}

void check_priors(const Options& options, std::size_t D, const PriorNames& names) {
    const bool point = !is_posterior(options);
    const auto positive = [](const char* name, const std::optional<double>& value) {
        require(!value || *value > 0, name, " must be > 0; got ", value.value_or(0));
    };
    positive("weight_concentration_prior", options.weight_concentration_prior);
    positive(names.mean_precision, options.mean_precision_prior);
    require(!options.equal_weights || !options.weight_concentration_prior,
            "weight_concentration_prior has no effect with equal_weights; give one of them");
    require(!point || !options.dirichlet_process,
            "a Dirichlet process has no useful mode; use mean_field");
    require(!point || options.weight_concentration_prior.value_or(1.0) >= 1.0,
            "weight_concentration_prior=", options.weight_concentration_prior.value_or(1.0),
            " < 1 has no mode; use a value >= 1, or mean_field");
    require(!point || options.mean_prior.empty() || options.mean_precision_prior, names.mean,
            " has no effect unless ", names.mean_precision, " says how strong it is");
    const double least = is_matrix(options) ? static_cast<double>(D) - 1.0 : 0.0;
    require(!options.degrees_of_freedom_prior || *options.degrees_of_freedom_prior > least,
            names.degrees_of_freedom, " must be > ", least, "; got ",
            options.degrees_of_freedom_prior.value_or(0));
    check_size(names.mean, options.mean_prior, D);
    check_size(names.covariance, options.covariance_prior, covariance_size(options, D));
    check_covariances(names.covariance, options.covariance_prior, D, is_matrix(options));
}

}  // namespace

std::vector<double> given_weights(std::vector<double> weights, bool equal) {
    if (weights.empty())
        return weights;
    for (const double weight : weights)
        require(weight >= 0, "weights_init must be >= 0; got ", weight, " among them");
    const double total = detail::pairwise_sum(weights);
    require(std::abs(total - 1.0) <= 1e-6, "weights_init must sum to 1; it sums to ", total);
    const auto [least, most] = std::minmax_element(weights.begin(), weights.end());
    require(!equal || *most - *least <= 1e-12,
            "weights_init differs from 1 / n_components, but equal_weights is set");
    constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
    if (std::abs(total - 1.0) > static_cast<double>(weights.size()) * kEpsilon) {
        for (double& weight : weights)
            weight /= total;
    }
    return weights;
}

void check_options(const Options& options, std::size_t n_features, const PriorNames& names) {
    const std::size_t K = options.n_components;
    require(K >= 1, "n_components must be >= 1");
    require(n_features >= 1, "the data have no features");
    require(options.max_iter >= 1, "max_iter must be >= 1; got ", options.max_iter);
    require(options.n_init >= 1, "n_init must be >= 1; got ", options.n_init);
    require(options.tol >= 0, "tol must be >= 0; got ", options.tol);
    require(options.reg_covar >= 0 && options.reg_covar < 1, "reg_covar must be in [0, 1); got ",
            options.reg_covar);
    check_size("weights_init", options.weights_init, K);
    given_weights(options.weights_init, options.equal_weights);
    check_size("means_init", options.means_init, K * n_features);
    check_size("covariances_init", options.covariances_init,
               (is_shared(options) ? 1 : K) * covariance_size(options, n_features));
    check_covariances("covariances_init", options.covariances_init, n_features, is_matrix(options));
    check_priors(options, n_features, names);
}

GaussianMixtureShape shape_of(const Options& options, std::size_t n_features) {
    GaussianMixtureShape shape;
    const std::size_t K = options.n_components;
    const std::size_t groups = is_shared(options) ? 1 : K;
    shape.n_components = K;
    shape.n_features = n_features;
    shape.covariances = groups * covariance_size(options, n_features);
    if (is_posterior(options)) {
        shape.concentration = options.dirichlet_process && !options.equal_weights ? 2 * K : K;
        shape.mean_precision = K;
        shape.degrees_of_freedom = groups;
    }
    return shape;
}

// ---- the data ------------------------------------------------------------------------------

namespace {

double mean_of(const std::vector<double>& values) {
    double sum = 0;
    for (const double value : values)
        sum += value;
    return sum / static_cast<double>(values.size());
}

}  // namespace

// The largest weight must be above, and their sum below: outside, products with the data leave the
// numbers. Scores of float rows take float weights.
Weight check_weights(const detail::RowsView& rows) {
    if (rows.weights == nullptr)
        return {static_cast<double>(rows.n_rows), rows.n_rows};
    Weight found;
    double largest = 0;
    for (std::size_t n = 0; n < rows.n_rows; ++n) {
        const double w = rows.weights[static_cast<std::ptrdiff_t>(n) * rows.weight_stride];
        require(std::isfinite(w) && w >= 0, "sample_weight must be finite and >= 0; sample_weight[",
                n, "] is ", w);
        found.total += w;
        found.positive += w > 0 ? 1 : 0;
        largest = std::max(largest, w);
    }
    require(found.positive > 0, "sample_weight is zero everywhere; at least one row needs weight");
    const double low = rows.is_float ? 1e-30 : 1e-100;
    const double high = rows.is_float ? 1e30 : 1e100;
    require(largest >= low && found.total <= high, "sample_weight is out of range: its largest is ",
            largest, " and its sum ", found.total, ", where ",
            rows.is_float ? "float32" : "float64", " rows take ", low, " to ", high,
            "; weights count rows, so rescale them");
    return found;
}

std::vector<std::size_t> unobserved_rows(const detail::RowsView& rows) {
    std::vector<std::size_t> out;
    for (std::size_t n = 0; n < rows.n_rows; ++n) {
        std::size_t d = 0;
        while (d < rows.n_features && std::isnan(value_at(rows, n, d)))
            ++d;
        if (d == rows.n_features)
            out.push_back(n);
    }
    return out;
}

std::vector<double> drop_unobserved(detail::RowsView& rows) {
    check_weights(rows);
    const std::vector<std::size_t> unobserved = unobserved_rows(rows);
    if (unobserved.empty())
        return {};
    std::vector<double> weights(rows.n_rows, 1.0);
    for (std::size_t n = 0; rows.weights != nullptr && n < rows.n_rows; ++n)
        weights[n] = rows.weights[static_cast<std::ptrdiff_t>(n) * rows.weight_stride];
    for (const std::size_t n : unobserved)
        weights[n] = 0.0;
    require(std::any_of(weights.begin(), weights.end(), [](double w) { return w > 0; }),
            "X has no observed value in any row of positive weight: all of them are NaN");
    rows.weights = weights.data();
    rows.weight_stride = 1;
    return weights;
}

namespace {

void check_rows(const detail::RowsView& rows, const Options& options, const Weight& weight,
                bool weightless) {
    require(weightless || weight.positive >= options.n_components,
            "n_components=", options.n_components,
            " needs at least as many rows, but X has n_samples=", weight.positive,
            weight.positive == rows.n_rows ? "" : " of positive weight");
    require(options.reg_covar > 0 || weight.positive >= 2 || !options.covariance_prior.empty(),
            "n_samples=", weight.positive,
            " has no variance; give more rows, or set reg_covar > 0");
}

void check_scan(const detail::RowsView& rows, const RowScan& scan, bool marginalize) {
    if (scan.bad_row >= 0) {
        const auto row = static_cast<std::size_t>(scan.bad_row);
        const auto fits = [&](double x) {
            return std::isfinite(x) || (marginalize && std::isnan(x));
        };
        std::size_t column = 0;
        while (fits(value_at(rows, row, column)))
            ++column;
        const bool is_nan = std::isnan(value_at(rows, row, column));
        require(false, "X contains ", is_nan ? "NaN" : "infinity (inf)", " at row ", scan.bad_row,
                ", column ", column, "; drop or impute such rows",
                is_nan ? ", or fit with missing='marginalize'" : "");
    }
    require(scan.largest_row < 0, "X is too large at row ", scan.largest_row, ": it lies ",
            scan.largest, " from the mean, and its square overflows; rescale the data or remove ",
            "the row");
}

// Variances; a constant column takes the mean of the others, or 1.
void fill_constant_columns(const std::vector<double>& mean, std::vector<double>& variance) {
    // Rounding of the mean gives a constant column a variance of its own, this small.
    const auto is_constant = [&](std::size_t i) {
        return variance[i] <= 1e-28 * (mean[i] * mean[i]);
    };
    std::vector<std::size_t> constant;
    std::vector<double> others;
    for (std::size_t i = 0; i < variance.size(); ++i) {
        if (is_constant(i))
            constant.push_back(i);
        else
            others.push_back(variance[i]);
    }
    const double usual = constant.empty() || others.empty() ? 1.0 : mean_of(others);
    for (const std::size_t i : constant)
        variance[i] = usual;
}

// The empirical covariance with n - 1, eigenvalues of the correlations clipped at reg_covar.
std::vector<double> empirical_covariance(const detail::RowsView& rows, const Options& options,
                                         const std::vector<double>& origin,
                                         const std::vector<double>& column_scale, double weight,
                                         int n_threads, const Poll& poll) {
    const std::size_t D = rows.n_features;
    const double excess = weight / std::max(weight - 1.0, 1.0);
    std::vector<double> scale(column_scale);
    for (double& variance : scale)
        variance *= excess;
    if (options.covariance_type == CovarianceType::diag)
        return scale;
    if (!is_matrix(options))
        return {mean_of(scale)};
    const std::vector<double> centre(D, 0.0);
    std::vector<double> stats(detail::stats_layout(Covariance::tied, 1, D).size);
    e_step(nearest_table(1, centre.data(), column_scale, origin, options.marginalize),
           Covariance::tied, rows, detail::LocalRule::hard, 0, 0, n_threads, poll, stats.data());
    const double* packed = stats.data() + detail::stats_layout(Covariance::tied, 1, D).scatter;
    std::vector<double> unit(D);
    for (std::size_t i = 0; i < D; ++i)
        unit[i] = std::sqrt(column_scale[i]);
    std::vector<double> correlation(D * D);
    for (std::size_t i = 0; i < D; ++i) {
        for (std::size_t j = 0; j <= i; ++j, ++packed) {
            const double value = *packed / weight / (unit[i] * unit[j]);
            correlation[i * D + j] = correlation[j * D + i] = value;
        }
    }
    std::vector<double> trial(correlation);
    for (std::size_t i = 0; i < D; ++i)
        trial[i * D + i] -= options.reg_covar;
    if (!(options.reg_covar > 0) || !detail::cholesky(trial.data(), D)) {
        std::vector<double> values(D);
        std::vector<double> vectors(D * D);
        trial = correlation;
        detail::symmetric_eigen(trial.data(), D, values.data(), vectors.data());
        const auto [least, most] = std::minmax_element(values.begin(), values.end());
        constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
        require(options.reg_covar > 0 || *least > 8.0 * static_cast<double>(D) * kEpsilon * *most,
                "the empirical covariance, the default of covariance_prior, is singular; set ",
                "reg_covar > 0 or give a covariance_prior");
        if (*least < options.reg_covar) {
            std::fill(correlation.begin(), correlation.end(), 0.0);
            for (std::size_t e = 0; e < D; ++e) {
                const double value = std::max(values[e], options.reg_covar);
                for (std::size_t i = 0; i < D; ++i) {
                    for (std::size_t j = 0; j < D; ++j)
                        correlation[i * D + j] += value * vectors[e * D + i] * vectors[e * D + j];
                }
            }
        }
    }
    for (std::size_t i = 0; i < D; ++i) {
        for (std::size_t j = 0; j < D; ++j)
            correlation[i * D + j] = correlation[i * D + j] * (unit[i] * unit[j]) * excess;
    }
    return correlation;
}

detail::Weights weights_of(const Options& options) {
    const auto K = options.n_components;
    const auto& given = options.weight_concentration_prior;
    if (options.equal_weights)
        return {detail::WeightPrior::equal, 1.0, K};
    if (is_posterior(options))
        return {options.dirichlet_process ? detail::WeightPrior::dirichlet_process
                                          : detail::WeightPrior::dirichlet,
                given.value_or(1.0 / static_cast<double>(K)), K};
    return {given ? detail::WeightPrior::dirichlet : detail::WeightPrior::flat, given.value_or(1.0),
            K};
}

}  // namespace

Setup configure(const detail::RowsView& rows, const Options& options, int n_threads,
                const Poll& poll, bool weightless) {
    const std::size_t D = rows.n_features;
    const Weight weight = check_weights(rows);
    check_rows(rows, options, weight, weightless);
    std::vector<double> origin(D);
    std::vector<double> scale(D);
    const bool marginalize = options.marginalize;
    check_scan(rows, scan_rows(rows, n_threads, poll, origin.data(), scale.data(), marginalize),
               marginalize);
    const auto unseen =
        std::find_if(origin.begin(), origin.end(), [](double mean) { return std::isnan(mean); });
    require(unseen == origin.end(), "X has no observed value in column ", unseen - origin.begin(),
            ": all its rows of positive weight are NaN there; drop the column");
    fill_constant_columns(origin, scale);

    detail::GaussianPrior prior;
    prior.mean_precision = options.mean_precision_prior.value_or(is_posterior(options) ? 1.0 : 0.0);
    if (!options.mean_prior.empty()) {
        prior.mean = options.mean_prior;
        for (std::size_t i = 0; i < D; ++i)
            prior.mean[i] -= origin[i];
    }
    prior.covariance_is_proper = has_covariance_prior(options);
    if (prior.covariance_is_proper) {
        prior.degrees_of_freedom =
            options.degrees_of_freedom_prior.value_or(static_cast<double>(D));
        prior.scale =
            options.covariance_prior.empty()
                ? empirical_covariance(rows, options, origin, scale, weight.total, n_threads, poll)
                : options.covariance_prior;
    }
    std::vector<double> metric = scale;
    if (options.covariance_type == CovarianceType::spherical ||
        options.covariance_type == CovarianceType::tied_spherical)
        std::fill(metric.begin(), metric.end(), mean_of(scale));
    detail::Gaussian components(covariance_of(options), options.n_components, D, std::move(prior),
                                std::move(scale), options.reg_covar);
    const detail::Weights weights =
        weightless ? detail::Weights{detail::WeightPrior::none, 1.0, options.n_components}
                   : weights_of(options);
    return {GaussianMixture(weights, std::move(components), origin, marginalize), origin,
            std::move(metric), weight.total};
}

}  // namespace vemfast::models
