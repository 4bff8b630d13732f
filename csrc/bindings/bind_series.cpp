// Hidden Markov models of many data sets in one call.
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "bindings/bind.hpp"
#include "bindings/native_call.hpp"
#include "bindings/rows.hpp"
#include "models/series_fit.hpp"
#include "vemfast/require.hpp"

namespace vemfast::bindings {

namespace {

using models::HiddenMarkov;
using models::SeriesFits;

// Sequences of many data sets; the arguments must outlive it.
models::SeriesData series_data(const models::HmmRows& rows, const Offsets& lengths,
                               const Offsets& sets, const OptionalVector& weights,
                               const Seeds& seeds) {
    models::SeriesData data;
    data.rows = rows;
    data.sequences.lengths = lengths.data();
    data.sequences.n = static_cast<std::size_t>(lengths.size());
    if (weights)
        data.sequences.weights = sized(*weights, data.sequences.n, "weights");
    data.n_sets = count_sets(sets, seeds, lengths.size());
    data.sets = sets.data();
    std::int64_t steps = 0;
    for (std::size_t s = 0; s < data.sequences.n; ++s) {
        require(data.sequences.lengths[s] > 0, "lengths must be positive");
        steps += data.sequences.lengths[s];
    }
    require(static_cast<std::size_t>(steps) == data.rows.n_steps(), "lengths add up to ", steps,
            ", but there are ", data.rows.n_steps(), " steps");
    return data;
}

models::SeriesOptions series_options(const HiddenMarkov& like, std::string_view local_rule,
                                     std::string_view parameter_rule, double tol, int max_iter,
                                     int n_init, const Vector& start, const Vector& transitions) {
    models::SeriesOptions options;
    options.factorised = local_rule == "factorised";
    if (!options.factorised)
        options.local_rule = parse_local_rule(local_rule);
    options.parameter_rule = parse_parameter_rule(parameter_rule);
    require(options.parameter_rule != models::ParameterRule::sampled,
            "fits of many data sets are not sampled");
    require(tol >= 0 && max_iter >= 1 && n_init >= 1, "tol must be >= 0, max_iter and n_init >= 1");
    options.tol = tol;
    options.max_iter = max_iter;
    options.n_init = n_init;
    const std::size_t K = like.n_states();
    sized(start, K, "start");
    sized(transitions, K * K, "transitions");
    require(like.n_mix() == 1, "states of several components are fitted one data set at a time");
    options.start = to_vector(start);
    options.transitions = to_vector(transitions);
    return options;
}

py::dict to_dict(SeriesFits&& fits) {
    py::dict failures;
    for (const auto& [index, message] : fits.failures)
        failures[py::int_(index)] = message;
    py::dict out;
    out["params"] = handed_over(std::move(fits.params));
    out["chain_means"] = handed_over(std::move(fits.chain_means));
    out["origin"] = handed_over(std::move(fits.origins));
    out["lower_bound"] = handed_over(std::move(fits.lower_bound));
    out["n_iter"] = handed_over(std::move(fits.n_iter));
    out["stop_reason"] = handed_over(std::move(fits.stop_reason));
    out["degenerate"] = handed_over(std::move(fits.degenerate));
    out["lower_bounds"] = handed_over(std::move(fits.lower_bounds));
    out["trace"] = handed_over(std::move(fits.trace));
    out["messages"] = std::move(failures);
    return out;
}

py::dict fit_gaussian(const HiddenMarkov& like, const py::array& X, const Offsets& lengths,
                      const Offsets& sets, const OptionalVector& weights, const Seeds& seeds,
                      int n_threads, std::string_view local_rule, std::string_view parameter_rule,
                      double tol, int max_iter, int n_init, const Vector& start,
                      const Vector& transitions, std::string_view covariance_type, bool by_kmeans,
                      double reg_covar, const OptionalVector& means_init,
                      const OptionalVector& covariances_init,
                      std::optional<double> mean_precision_prior, const OptionalVector& mean_prior,
                      std::optional<double> degrees_of_freedom_prior,
                      const OptionalVector& covariance_prior) {
    const auto* const* family = std::get_if<const models::GaussianMixture*>(&like.emission());
    require(family != nullptr, "the model's emissions are not Gaussian");
    const auto options =
        series_options(like, local_rule, parameter_rule, tol, max_iter, n_init, start, transitions);
    GaussianMixtureOptions emission;
    emission.n_components = like.n_states();
    emission.covariance_type = parse_covariance<CovarianceType>(covariance_type);
    emission.inference = options.parameter_rule == models::ParameterRule::posterior
                             ? Inference::mean_field
                             : Inference::em;
    emission.reg_covar = reg_covar;
    emission.start = by_kmeans ? Start::kmeans : Start::kmeans_plusplus;
    emission.means_init = or_nothing(means_init);
    emission.covariances_init = or_nothing(covariances_init);
    emission.mean_precision_prior = mean_precision_prior;
    emission.mean_prior = or_nothing(mean_prior);
    emission.degrees_of_freedom_prior = degrees_of_freedom_prior;
    emission.covariance_prior = or_nothing(covariance_prior);
    const auto view = rows_view(X, std::nullopt, std::nullopt, 0, (*family)->n_features());
    const auto data = series_data({view, view.is_float}, lengths, sets, weights, seeds);
    const std::uint64_t* states = seeds.data();
    return to_dict(call_native([&](const Poll& poll) {
        return models::fit_series(like, data, options, &emission, states, n_threads, poll);
    }));
}

py::dict fit_discrete(const HiddenMarkov& like, const py::array& X, const OptionalVector& base,
                      bool is_float, const Offsets& lengths, const Offsets& sets,
                      const OptionalVector& weights, const Seeds& seeds, int n_threads,
                      std::string_view family, std::string_view local_rule,
                      std::string_view parameter_rule, double tol, int max_iter, int n_init,
                      const Vector& start, const Vector& transitions, bool by_kmeans,
                      const OptionalVector& table, const OptionalVector& shapes) {
    const auto* const* mixture = std::get_if<const models::DiscreteMixture*>(&like.emission());
    require(mixture != nullptr, "the model's emissions are not discrete");
    const auto& shape = (*mixture)->shape();
    require(!shape.marginalize, "many data sets at once have no missing values");
    const auto options =
        series_options(like, local_rule, parameter_rule, tol, max_iter, n_init, start, transitions);
    models::DiscreteSeriesOptions emission;
    emission.lloyd = by_kmeans ? 100 : 0;
    if (table) {
        sized(*table, shape.n_values * shape.n_components, "the table");
        emission.table = to_vector(*table);
    }
    if (shapes) {
        sized(*shapes, shape.n_values, "the shapes");
        emission.shapes = to_vector(*shapes);
    }
    const auto kind = parse_family(family);
    const auto view = view_rows(X, kind, shape.n_features, std::nullopt, base);
    const auto data = series_data({view, is_float}, lengths, sets, weights, seeds);
    const std::uint64_t* states = seeds.data();
    return to_dict(call_native([&](const Poll& poll) {
        return models::fit_series(like, data, options, &emission, states, n_threads, poll);
    }));
}

}  // namespace

void bind_series(py::module_& m) {
    m.def("fit_gaussian_series", &fit_gaussian, py::arg("model"), py::arg("X"), py::arg("lengths"),
          py::arg("sets"), py::arg("weights"), py::arg("random_states"), py::arg("n_threads"),
          py::kw_only(), py::arg("local_rule"), py::arg("parameter_rule"), py::arg("tol"),
          py::arg("max_iter"), py::arg("n_init"), py::arg("start"), py::arg("transitions"),
          py::arg("covariance_type"), py::arg("by_kmeans"), py::arg("reg_covar"),
          py::arg("means_init"), py::arg("covariances_init"), py::arg("mean_precision_prior"),
          py::arg("mean_prior"), py::arg("degrees_of_freedom_prior"), py::arg("covariance_prior"));
    m.def("fit_discrete_series", &fit_discrete, py::arg("model"), py::arg("rows"), py::arg("base"),
          py::arg("is_float"), py::arg("lengths"), py::arg("sets"), py::arg("weights"),
          py::arg("random_states"), py::arg("n_threads"), py::kw_only(), py::arg("family"),
          py::arg("local_rule"), py::arg("parameter_rule"), py::arg("tol"), py::arg("max_iter"),
          py::arg("n_init"), py::arg("start"), py::arg("transitions"), py::arg("by_kmeans"),
          py::arg("table"), py::arg("shapes"));
}

}  // namespace vemfast::bindings
