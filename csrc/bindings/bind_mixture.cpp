// The Gaussian mixture for Python: parameters and statistics are one-dimensional float64 arrays,
// rows are strided float32 or float64 matrices used in place.
#include <array>
#include <memory>
#include <string_view>
#include <utility>

#include "bindings/arguments.hpp"
#include "bindings/bind.hpp"
#include "bindings/contract.hpp"
#include "bindings/native_call.hpp"
#include "bindings/rows.hpp"
#include "models/gaussian_mixture.hpp"
#include "models/starts.hpp"
#include "vemfast/require.hpp"

namespace vemfast::bindings {

namespace {

using detail::Covariance;
using detail::LocalRule;
using models::GaussianMixture;
using models::Kind;
using models::ParameterRule;
using models::ScoreTable;

std::unique_ptr<BoundMixture> make_mixture(std::size_t n_components, std::size_t n_features,
                                           std::string_view covariance_type,
                                           std::string_view weight_type,
                                           double weight_concentration, double mean_precision,
                                           const Vector& mean, bool covariance_is_proper,
                                           double degrees_of_freedom, const Vector& scale,
                                           const Vector& origin, const Vector& column_scale,
                                           double reg_covar, bool marginalize, bool keeps_means) {
    detail::GaussianPrior prior;
    prior.mean_precision = mean_precision;
    prior.mean.assign(mean.data(), sized(mean, n_features, "the prior mean") + n_features);
    prior.covariance_is_proper = covariance_is_proper;
    prior.degrees_of_freedom = covariance_is_proper ? degrees_of_freedom : 0.0;
    if (covariance_is_proper)
        prior.scale = to_vector(scale);
    sized(column_scale, n_features, "the column scale");
    sized(origin, n_features, "the origin");
    detail::Gaussian components(parse_covariance<Covariance>(covariance_type), n_components,
                                n_features, prior, to_vector(column_scale), reg_covar);
    require(!covariance_is_proper ||
                static_cast<std::size_t>(scale.size()) == components.covariance_size(),
            "the prior scale has ", scale.size(), " numbers where the model has ",
            components.covariance_size());
    return std::make_unique<BoundMixture>(
        GaussianMixture({parse_weights(weight_type), weight_concentration, n_components},
                        std::move(components), to_vector(origin), marginalize, keeps_means));
}

Vector e_step(const ScoreTable& table, std::string_view statistics, const py::array& X,
              const OptionalVector& weights, const OptionalLabels& labels, std::uint64_t offset,
              std::string_view rule, std::uint64_t seed, std::uint32_t iteration, int n_threads) {
    const auto kind = parse_covariance<Covariance>(statistics);
    const auto local_rule = parse_local_rule(rule);
    const auto rows = rows_view(X, weights, labels, offset, table.n_features());
    const std::size_t K = table.n_components();
    require(local_rule != LocalRule::given, "responsibilities go to mixture_given_step");
    if (labels || local_rule == LocalRule::labels)
        check_labels(rows.labels, rows.n_rows, K, local_rule == LocalRule::labels);
    Vector stats(static_cast<py::ssize_t>(detail::stats_layout(kind, K, table.n_features()).size));
    double* out = stats.mutable_data();
    call_native([&](const Poll& poll) {
        models::e_step(table, kind, rows, local_rule, seed, iteration, n_threads, poll, out);
    });
    return stats;
}

// The statistics under responsibilities that are given, n x K; rows with a label are their own's.
Vector given_step(const ScoreTable& table, std::string_view statistics, const py::array& X,
                  const OptionalVector& weights, const OptionalLabels& labels,
                  const Vector& responsibilities, int n_threads) {
    const auto kind = parse_covariance<Covariance>(statistics);
    auto rows = rows_view(X, weights, labels, 0, table.n_features());
    const std::size_t K = table.n_components();
    if (labels)
        check_labels(rows.labels, rows.n_rows, K, false);
    rows.responsibilities = sized(responsibilities, rows.n_rows * K, "responsibilities");
    Vector stats(static_cast<py::ssize_t>(detail::stats_layout(kind, K, table.n_features()).size));
    double* out = stats.mutable_data();
    call_native([&](const Poll& poll) {
        models::e_step(table, kind, rows, LocalRule::given, 0, 0, n_threads, poll, out);
    });
    return stats;
}

// One iteration of the batch schedule in one call: the update that `stats` ask for, if there are
// any, and statistics and objective at its result. None where the update leaves a component of a
// point without rows: somebody may want to propose another one then.
py::object iterate(const BoundMixture& model, std::string_view kind, const Vector& params,
                   const OptionalVector& stats, const py::array& X, const OptionalVector& weights,
                   std::uint64_t offset, std::string_view local_rule,
                   std::string_view parameter_rule, std::uint64_t seed, std::uint32_t iteration,
                   int n_threads) {
    const Kind from = parse_kind(kind);
    const auto rule = parse_parameter_rule(parameter_rule);
    const auto local = parse_local_rule(local_rule);
    const double* last = sized(params, model.params_size(from), "params");
    const auto rows = rows_view(X, weights, std::nullopt, offset, model.n_features());
    const double* given = stats ? sized(*stats, model.stats_size(), "stats") : nullptr;
    if (given != nullptr && rule == ParameterRule::point && model.has_empty_component(given))
        return py::none();
    const Kind to = given == nullptr                   ? from
                    : rule == ParameterRule::posterior ? Kind::posterior
                                                       : Kind::point;
    Vector next = params;
    double* updated = nullptr;
    if (given != nullptr) {
        next = Vector(static_cast<py::ssize_t>(model.params_size(to)));
        updated = next.mutable_data();
    }
    Vector found(static_cast<py::ssize_t>(model.stats_size()));
    double* out = found.mutable_data();
    const double objective = call_native([&](const Poll& poll) {
        if (updated != nullptr)
            model.update(rule, from, last, given, seed, iteration, updated);
        auto space = model.keeper.take();
        const double value = model.evaluate(to, updated != nullptr ? updated : last, rows, local,
                                            seed, iteration, n_threads, poll, *space, out);
        model.keeper.put_back(std::move(space));
        return value;
    });
    return py::make_tuple(std::move(next), std::move(found), objective);
}

py::object assign(const ScoreTable& table, const py::array& X, std::string_view output,
                  int n_threads) {
    const auto rows = rows_view(X, std::nullopt, std::nullopt, 0, table.n_features());
    AssignArray result(output, rows.n_rows, table.n_components());
    call_native(
        [&](const Poll& poll) { models::assign(table, rows, result.out, n_threads, poll); });
    return result.array;
}

// Writes the expected values of what is missing in X into `out`, which has its shape.
void impute(const ScoreTable& table, const py::array& X,
            py::array_t<double, py::array::c_style>& out, int n_threads) {
    const auto rows = rows_view(X, std::nullopt, std::nullopt, 0, table.n_features());
    require(table.missing() != nullptr, "the table was not made to integrate out missing values");
    require(out.ndim() == 2 && out.shape(0) == X.shape(0) && out.shape(1) == X.shape(1),
            "out must have the shape of X");
    detail::AssignOutputs outputs;
    outputs.imputed = out.mutable_data();
    call_native([&](const Poll& poll) { models::assign(table, rows, outputs, n_threads, poll); });
}

}  // namespace

void bind_mixture(py::module_& m) {
    [[maybe_unused]] const py::class_<ScoreTable> score_table(m, "ScoreTable");

    py::class_<BoundMixture> mixture(m, "GaussianMixture");
    bind_contract(mixture);
    bind_mean_weights(mixture);
    mixture
        .def(py::init(&make_mixture), py::kw_only(), py::arg("n_components"), py::arg("n_features"),
             py::arg("covariance_type"), py::arg("weight_type"), py::arg("weight_concentration"),
             py::arg("mean_precision"), py::arg("mean"), py::arg("covariance_is_proper"),
             py::arg("degrees_of_freedom"), py::arg("scale"), py::arg("origin"),
             py::arg("column_scale"), py::arg("reg_covar"), py::arg("marginalize") = false,
             py::arg("keeps_means") = false)
        .def("predictive",
             [](const BoundMixture& model, const Vector& params) {
                 const double* data = sized(params, model.params_size(Kind::posterior), "params");
                 return call_native([&](const Poll&) { return model.predictive(data); });
             })
        .def("iterate", &iterate)
        .def("precision_factors",
             [](const BoundMixture& model, const Vector& params) {
                 return to_array(model.precision_factors(
                     sized(params, model.params_size(Kind::point), "params")));
             })
        .def("at_edge", [](const BoundMixture& model, const Vector& params) {
            return model.at_edge(sized(params, model.params_size(Kind::point), "params"));
        });

    // Scores that give a row to the nearest of some centres, K x D, under squared units `metric`.
    m.def(
        "nearest_table",
        [](const Vector& centres, const Vector& metric, const Vector& origin, bool marginalize) {
            require(centres.ndim() == 2, "centres must have two dimensions, got ", centres.ndim());
            const auto K = static_cast<std::size_t>(centres.shape(0));
            const auto D = static_cast<std::size_t>(centres.shape(1));
            sized(metric, D, "the metric");
            sized(origin, D, "the origin");
            return models::nearest_table(K, centres.data(), to_vector(metric), to_vector(origin),
                                         marginalize);
        },
        py::arg("centres"), py::arg("metric"), py::arg("origin"), py::arg("marginalize") = false);
    m.def("mixture_e_step", &e_step);
    m.def("mixture_given_step", &given_step);
    m.def("mixture_assign", &assign);
    m.def("mixture_block_rows",
          [](std::size_t n_features, std::size_t n_components, bool is_float) {
              return models::block_shape(n_features, n_components, is_float).leaf_rows;
          });
    m.def(
        "kmeans_plusplus",
        [](const Vector& X, const Vector& weights, std::size_t n_clusters, std::uint64_t seed,
           int max_iter, const OptionalLabels& labels) {
            require(X.ndim() == 2, "X must have two dimensions, got ", X.ndim());
            const auto n = static_cast<std::size_t>(X.shape(0));
            const auto D = static_cast<std::size_t>(X.shape(1));
            sized(weights, n, "weights");
            const std::int32_t* known = labels ? sized_labels(*labels, n) : nullptr;
            if (known != nullptr)
                check_labels(known, n, n_clusters, false);
            Vector centres({static_cast<py::ssize_t>(n_clusters), X.shape(1)});
            double* out = centres.mutable_data();
            const double* rows = X.data();
            const double* row_weights = weights.data();
            const std::size_t distinct = call_native([&](const Poll&) {
                return models::kmeans(rows, n, D, row_weights, n_clusters, seed, max_iter, out,
                                      known);
            });
            return py::make_tuple(centres, distinct);
        },
        py::arg("X"), py::arg("weights"), py::arg("n_clusters"), py::arg("seed"),
        py::arg("max_iter"), py::arg("labels") = py::none());
    m.def("mixture_impute", &impute);
    // Centres relative to the origin, K x D; see models/starts.hpp.
    m.def("start_centres",
          [](const py::array& X, const OptionalVector& weights, const Vector& origin,
             const Vector& metric, std::size_t n_clusters, std::uint64_t seed, int max_iter) {
              const auto rows =
                  rows_view(X, weights, std::nullopt, 0, static_cast<std::size_t>(origin.size()));
              const double* centre = origin.data();
              const double* unit = sized(metric, rows.n_features, "the metric");
              Vector centres({static_cast<py::ssize_t>(n_clusters), origin.size()});
              double* out = centres.mutable_data();
              call_native([&](const Poll&) {
                  models::start_centres(rows, centre, unit, n_clusters, seed, max_iter, out);
              });
              return centres;
          });
    m.def("scan_rows", [](const py::array& X, const OptionalVector& weights, int n_threads,
                          bool marginalize) {
        const auto rows = rows_view(X, weights, std::nullopt, 0,
                                    static_cast<std::size_t>(X.ndim() == 2 ? X.shape(1) : 0));
        const auto D = static_cast<py::ssize_t>(rows.n_features);
        Vector mean(D);
        Vector variance(D);
        double* mean_data = mean.mutable_data();
        double* variance_data = variance.mutable_data();
        const models::RowScan scan = call_native([&](const Poll& poll) {
            return models::scan_rows(rows, n_threads, poll, mean_data, variance_data, marginalize);
        });
        return py::make_tuple(scan.bad_row, scan.largest, scan.largest_row, mean, variance);
    });
    m.attr("scan_leaf_rows") = models::scan_leaf_rows();
    m.def("scan_sums", [](const py::array& X, const OptionalVector& weights, const Vector& centre,
                          int n_threads, bool marginalize) {
        const auto D = static_cast<std::size_t>(centre.size());
        const auto rows = rows_view(X, weights, std::nullopt, 0, D);
        const double* about = centre.data();
        return to_array(call_native([&](const Poll& poll) {
            return models::scan_sums(rows, about, n_threads, poll, marginalize);
        }));
    });
    m.def("scan_mean", [](const Vector& first) {
        Vector mean(first.size() / 3);
        models::scan_mean(to_vector(first), mean.mutable_data());
        return mean;
    });
    // Mean and variance from the mean of the first pass and the sums about it.
    m.def("scan_moments", [](const Vector& second, const Vector& centre) {
        Vector mean(centre.size(), centre.data());
        Vector variance(centre.size());
        sized(second, 3 * static_cast<std::size_t>(centre.size()), "the sums");
        models::scan_moments(to_vector(second), mean.mutable_data(), variance.mutable_data());
        return py::make_tuple(mean, variance);
    });
    m.def("find_extremes", [](const py::array& X, const Vector& centre, bool marginalize) {
        const auto D = static_cast<std::size_t>(centre.size());
        const auto rows = rows_view(X, std::nullopt, std::nullopt, 0, D);
        const double* about = centre.data();
        const models::RowScan scan = call_native(
            [&](const Poll&) { return models::find_extremes(rows, about, marginalize); });
        return py::make_tuple(scan.bad_row, scan.largest, scan.largest_row);
    });
}

}  // namespace vemfast::bindings
