// Discrete mixtures of many data sets in one call.
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "bindings/bind.hpp"
#include "bindings/native_call.hpp"
#include "bindings/rows.hpp"
#include "models/discrete_fit.hpp"
#include "vemfast/require.hpp"

namespace vemfast::bindings {

namespace {

using models::DiscreteFits;
using models::DiscreteMixture;

py::dict to_dict(DiscreteFits&& fits) {
    py::dict failures;
    for (const auto& [index, message] : fits.failures)
        failures[py::int_(index)] = message;
    py::dict out;
    out["params"] = handed_over(std::move(fits.params));
    out["mean_weights"] = handed_over(std::move(fits.mean_weights));
    out["lower_bound"] = handed_over(std::move(fits.lower_bound));
    out["n_iter"] = handed_over(std::move(fits.n_iter));
    out["stop_reason"] = handed_over(std::move(fits.stop_reason));
    out["degenerate"] = handed_over(std::move(fits.degenerate));
    out["lower_bounds"] = handed_over(std::move(fits.lower_bounds));
    out["trace"] = handed_over(std::move(fits.trace));
    out["messages"] = std::move(failures);
    return out;
}

// The rows of all data sets; the arguments must outlive it.
models::DiscreteData data_of(const detail::IndexedRows& rows, bool is_float, const Offsets& sets,
                             const Seeds& seeds) {
    const std::size_t n = count_sets(sets, seeds, static_cast<std::int64_t>(rows.n_rows));
    require(!detail::is_csr(rows.storage), "many data sets at once are dense");
    return {rows, is_float, sets.data(), n};
}

py::dict fit_all(const DiscreteMixture& like, const py::array& X, const OptionalVector& base,
                 bool is_float, const Offsets& sets, const OptionalVector& weights,
                 const Seeds& seeds, int n_threads, std::string_view family,
                 std::string_view local_rule, std::string_view parameter_rule, double tol,
                 int max_iter, int n_init, std::string_view start,
                 const OptionalVector& weights_init, const OptionalVector& table,
                 const OptionalVector& shapes) {
    const detail::IndexedShape& shape = like.shape();
    require(!shape.marginalize, "many data sets at once have no missing values");
    models::DiscreteFitOptions options;
    options.local_rule = parse_local_rule(local_rule);
    options.parameter_rule = parse_parameter_rule(parameter_rule);
    require(options.parameter_rule != models::ParameterRule::sampled,
            "fits of many data sets are not sampled");
    require(tol >= 0 && max_iter >= 1 && n_init >= 1, "tol must be >= 0, max_iter and n_init >= 1");
    options.tol = tol;
    options.max_iter = max_iter;
    options.n_init = n_init;
    options.start = parse_start(start);
    if (weights_init)
        sized(*weights_init, shape.n_components, "weights_init");
    if (table)
        sized(*table, shape.n_values * shape.n_components, "the table");
    if (shapes)
        sized(*shapes, shape.n_values, "the shapes");
    options.weights = or_nothing(weights_init);
    options.table = or_nothing(table);
    options.shapes = or_nothing(shapes);
    const auto kind = parse_family(family);
    const auto rows = view_rows(X, kind, shape.n_features, weights, base);
    const auto data = data_of(rows, is_float, sets, seeds);
    const std::uint64_t* states = seeds.data();
    return to_dict(call_native([&](const Poll& poll) {
        return models::fit_discrete_mixtures(like, data, options, states, n_threads, poll);
    }));
}

}  // namespace

void bind_discrete_fit(py::module_& m) {
    m.def("fit_discrete_mixtures", &fit_all, py::arg("model"), py::arg("rows"), py::arg("base"),
          py::arg("is_float"), py::arg("sets"), py::arg("weights"), py::arg("random_states"),
          py::arg("n_threads"), py::kw_only(), py::arg("family"), py::arg("local_rule"),
          py::arg("parameter_rule"), py::arg("tol"), py::arg("max_iter"), py::arg("n_init"),
          py::arg("start"), py::arg("weights_init"), py::arg("table"), py::arg("shapes"));
}

}  // namespace vemfast::bindings
