// Mixtures made of attributes, and the attributes of a Gaussian fit.
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "api/chosen.hpp"
#include "api/file.hpp"
#include "math/dense.hpp"
#include "vemfast/mixture.hpp"
#include "vemfast/require.hpp"

namespace vemfast {

namespace {

template <class Enum>
std::string word_of(const std::vector<std::string_view>& words, Enum value) {
    return std::string(words.at(static_cast<std::size_t>(value)));
}

// Of a covariance (D x D): the upper factor U of its inverse U U^T, and the inverse. Throws
// std::invalid_argument where it is not positive definite.
void invert_covariance(const double* covariance, std::size_t n, double* upper, double* inverse) {
    std::vector<double> lower(covariance, covariance + n * n);
    require(detail::cholesky(lower.data(), n), "covariances_ must be positive definite");
    std::vector<double> factor(n * n);
    detail::invert_lower(lower.data(), n, factor.data());
    detail::gram_lower(factor.data(), n, inverse);
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j)
            upper[i * n + j] = factor[j * n + i];
    }
}

// The attributes with precisions_ and precisions_cholesky_ of a GaussianMixture, which follow from
// the covariances.
Attributes with_precisions(Attributes of) {
    if (of.class_name != "GaussianMixture" || of.arrays.contains("precisions_") ||
        !of.arrays.contains("covariances_"))
        return of;
    const Array& covariances = of.arrays.at("covariances_");
    const std::size_t D = of.n_features;
    const auto given = of.parameters.find("covariance_type");
    const auto* type =
        given == of.parameters.end() ? nullptr : std::get_if<std::string>(&given->second);
    Array roots = covariances;
    Array precisions = covariances;
    if (type != nullptr && *type != "full" && *type != "tied") {
        for (std::size_t i = 0; i < covariances.values.size(); ++i) {
            roots.values[i] = 1.0 / std::sqrt(covariances.values[i]);
            precisions.values[i] = roots.values[i] * roots.values[i];
        }
    } else {
        require(D >= 1 && covariances.values.size() % (D * D) == 0, "covariances_ has ",
                covariances.values.size(), " numbers, which are no matrices of ", D, " x ", D);
        for (std::size_t at = 0; at < covariances.values.size(); at += D * D)
            invert_covariance(covariances.values.data() + at, D, roots.values.data() + at,
                              precisions.values.data() + at);
    }
    of.arrays["precisions_cholesky_"] = std::move(roots);
    of.arrays["precisions_"] = std::move(precisions);
    return of;
}

// The starts and priors that were given, by the names that Python has for them; there is none for
// the covariances of a start.
void add_options(Attributes& out, const GaussianMixtureOptions& options) {
    out.parameters["init_params"] = word_of(api::kStarts, options.start);
    const auto number = [&](const char* name, const std::optional<double>& value) {
        if (value)
            out.parameters[name] = *value;
    };
    if (options.marginalize)
        out.parameters["missing"] = std::string("marginalize");
    number("weight_concentration_prior", options.weight_concentration_prior);
    number("mean_precision_prior", options.mean_precision_prior);
    number("degrees_of_freedom_prior", options.degrees_of_freedom_prior);
    const auto array = [&](const char* name, const std::vector<std::int64_t>& shape,
                           const std::vector<double>& values) {
        if (!values.empty())
            out.arrays[std::string("parameter.") + name] = {shape, values};
    };
    const auto K = static_cast<std::int64_t>(options.n_components);
    const auto D = static_cast<std::int64_t>(out.n_features);
    array("weights_init", {K}, options.weights_init);
    array("means_init", {K, D}, options.means_init);
    array("mean_prior", {D}, options.mean_prior);
    const auto type = options.covariance_type;
    if (type == CovarianceType::full || type == CovarianceType::tied)
        array("covariance_prior", {D, D}, options.covariance_prior);
    else if (type == CovarianceType::diag)
        array("covariance_prior", {D}, options.covariance_prior);
    else if (!options.covariance_prior.empty())
        out.parameters["covariance_prior"] = options.covariance_prior.front();
}

Attributes attributes_of(const GaussianMixtureFit& fit, const GaussianMixtureOptions& options) {
    const auto n = [](std::size_t size) { return static_cast<std::int64_t>(size); };
    const std::int64_t K = n(fit.shape.n_components);
    const std::int64_t D = n(fit.shape.n_features);
    const auto type = static_cast<std::size_t>(options.covariance_type);
    const std::vector<std::vector<std::int64_t>> shapes{{K, D, D}, {D, D}, {K, D}, {K}, {}};
    Attributes out{"GaussianMixture", fit.shape.n_features, {}, {}, {}};
    out.parameters = {{"n_components", K},
                      {"covariance_type", word_of(api::kCovarianceTypes, options.covariance_type)},
                      {"inference", word_of(api::kInferences, options.inference)},
                      {"tol", options.tol},
                      {"max_iter", std::int64_t{options.max_iter}},
                      {"n_init", std::int64_t{options.n_init}},
                      {"reg_covar", options.reg_covar},
                      {"equal_weights", options.equal_weights},
                      {"weight_concentration_prior_type",
                       std::string(options.dirichlet_process ? "dirichlet_process" : "dirichlet")}};
    out.arrays = {{"origin_", {{D}, fit.origin}},
                  {"weights_", {{K}, fit.weights}},
                  {"means_", {{K, D}, fit.means}},
                  {"covariances_", {shapes[type], fit.covariances}}};
    add_options(out, options);
    if (!fit.lower_bounds.empty())
        api::add_trace(fit.lower_bounds, fit.stop_reason, out);
    if (!fit.concentration.empty()) {
        const bool sticks = fit.shape.concentration > fit.shape.n_components;
        const bool shared = fit.shape.degrees_of_freedom == 1 &&
                            (options.covariance_type == CovarianceType::tied ||
                             options.covariance_type == CovarianceType::tied_spherical);
        const std::vector<std::int64_t> none;
        out.arrays["weight_concentration_"] = {
            sticks ? std::vector<std::int64_t>{2, K} : std::vector<std::int64_t>{K},
            fit.concentration};
        out.arrays["mean_precision_"] = {{K}, fit.mean_precision};
        out.arrays["degrees_of_freedom_"] = {shared ? none : std::vector<std::int64_t>{K},
                                             fit.degrees_of_freedom};
    }
    return out;
}

}  // namespace

inline namespace abi1 {

Mixture::Mixture(const Attributes& attributes)
    : Mixture(api::make_file(with_precisions(attributes), api::kMixtures)) {}

Mixture::Mixture(const GaussianMixtureFit& fit, const GaussianMixtureOptions& options)
    : Mixture(attributes_of(fit, options)) {}

}  // namespace abi1
}  // namespace vemfast
