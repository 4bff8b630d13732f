// The discrete mixtures for Python: parameters and statistics are one-dimensional float64 arrays;
// rows are a strided matrix of bytes, codes or counts, or the three arrays of a CSR matrix, used in
// place.
#include <string_view>

#include "bindings/arguments.hpp"
#include "bindings/bind.hpp"
#include "bindings/contract.hpp"
#include "bindings/native_call.hpp"
#include "bindings/rows.hpp"
#include "models/discrete_mixture.hpp"
#include "models/discrete_starts.hpp"
#include "vemfast/require.hpp"

namespace vemfast::bindings {

namespace {

using detail::IndexedFamily;
using detail::IndexedRows;
using detail::LocalRule;
using models::DiscreteMixture;
using models::IndexedTable;

DiscreteMixture make_mixture(std::string_view family, std::size_t n_components,
                             std::size_t n_features, std::size_t n_indexed,
                             const Offsets& column_offsets, std::string_view weight_type,
                             double weight_concentration, bool prior_proper, const Vector& prior_a,
                             const Vector& prior_b, bool marginalize) {
    const IndexedFamily kind = parse_family(family);
    const bool codes = kind == IndexedFamily::categorical;
    detail::IndexedShape shape{n_components, n_features, n_indexed, {}, marginalize};
    if (codes) {
        require(static_cast<std::size_t>(column_offsets.size()) == n_features + 1,
                "column_offsets has ", column_offsets.size(), " numbers for ", n_features,
                " columns");
        shape.column_offsets.assign(column_offsets.data(),
                                    column_offsets.data() + column_offsets.size());
        require(shape.column_offsets.back() == static_cast<std::int64_t>(n_indexed),
                "column_offsets ends at ", shape.column_offsets.back(),
                ", not at n_indexed=", n_indexed);
    } else {
        require(n_indexed == n_features, "n_indexed must be n_features=", n_features);
    }
    sized(prior_a, n_indexed, "prior_a");
    sized(prior_b, codes ? 0 : n_indexed, "prior_b");
    detail::IndexedPrior prior{prior_proper, to_vector(prior_a), to_vector(prior_b)};
    return {{parse_weights(weight_type), weight_concentration, n_components},
            detail::make_indexed(kind, std::move(shape), std::move(prior))};
}

Vector e_step(const IndexedTable& table, const Data& data, bool is_float,
              const OptionalVector& weights, const OptionalVector& base,
              const OptionalLabels& labels, std::uint64_t offset, std::string_view rule,
              std::uint64_t seed, std::uint32_t iteration, int n_threads) {
    const auto local_rule = parse_local_rule(rule);
    IndexedRows rows = view_rows(data, table.family, table.shape.n_features, weights, base);
    rows.offset = offset;
    const std::size_t K = table.shape.n_components;
    if (labels)
        rows.labels = sized_labels(*labels, rows.n_rows);
    require(local_rule != LocalRule::given, "responsibilities go to indexed_given_step");
    if (labels || local_rule == LocalRule::labels)
        check_labels(rows.labels, rows.n_rows, K, local_rule == LocalRule::labels);
    Vector stats(static_cast<py::ssize_t>(detail::indexed_stats_size(K, table.shape.n_indexed())));
    double* out = stats.mutable_data();
    call_native([&](const Poll& poll) {
        models::e_step(table, rows, is_float, local_rule, seed, iteration, n_threads, poll, out);
    });
    return stats;
}

// The statistics under responsibilities that are given, n x K; rows with a label are their own's.
Vector given_step(const IndexedTable& table, const Data& data, bool is_float,
                  const OptionalVector& weights, const OptionalVector& base,
                  const OptionalLabels& labels, const Vector& responsibilities, int n_threads) {
    IndexedRows rows = view_rows(data, table.family, table.shape.n_features, weights, base);
    const std::size_t K = table.shape.n_components;
    if (labels) {
        rows.labels = sized_labels(*labels, rows.n_rows);
        check_labels(rows.labels, rows.n_rows, K, false);
    }
    rows.responsibilities = sized(responsibilities, rows.n_rows * K, "responsibilities");
    Vector stats(static_cast<py::ssize_t>(detail::indexed_stats_size(K, table.shape.n_indexed())));
    double* out = stats.mutable_data();
    call_native([&](const Poll& poll) {
        models::e_step(table, rows, is_float, LocalRule::given, 0, 0, n_threads, poll, out);
    });
    return stats;
}

py::object assign(const IndexedTable& table, const Data& data, bool is_float,
                  const OptionalVector& base, std::string_view output, int n_threads) {
    const IndexedRows rows =
        view_rows(data, table.family, table.shape.n_features, std::nullopt, base);
    AssignArray result(output, rows.n_rows, table.shape.n_components);
    call_native([&](const Poll& poll) {
        models::assign(table, rows, is_float, result.out, n_threads, poll);
    });
    return result.array;
}

Vector log_base_measure(const Data& data, std::size_t n_features, int n_threads) {
    const IndexedRows rows =
        view_rows(data, IndexedFamily::poisson, n_features, std::nullopt, std::nullopt);
    Vector result(static_cast<py::ssize_t>(rows.n_rows));
    double* out = result.mutable_data();
    call_native([&](const Poll& poll) { models::log_base_measure(rows, n_threads, poll, out); });
    return result;
}

// Probabilities or rates of groups of rows (NaN where missing), n_indexed x K.
Vector start_table(const Vector& rows, const Vector& weights, const OptionalLabels& labels,
                   const Vector& usual, std::size_t n_components, bool roots, std::uint64_t seed,
                   int lloyd) {
    require(rows.ndim() == 2, "rows must have two dimensions, got ", rows.ndim());
    const auto n = static_cast<std::size_t>(rows.shape(0));
    const auto F = static_cast<std::size_t>(rows.shape(1));
    std::vector<double> x = to_vector(rows);
    models::StartRows from{x.data(), n, sized(weights, n, "weights"), nullptr};
    if (labels) {
        from.labels = sized_labels(*labels, n);
        check_labels(from.labels, n, n_components, false);
    }
    const double* common = sized(usual, F, "usual");
    Vector table({rows.shape(1), static_cast<py::ssize_t>(n_components)});
    double* out = table.mutable_data();
    call_native([&](const Poll&) {
        models::start_table(from, F, n_components, common, roots, seed, lloyd, out);
    });
    return table;
}

}  // namespace

void bind_discrete(py::module_& m) {
    m.def("discrete_start_table", &start_table);
    [[maybe_unused]] const py::class_<IndexedTable> table(m, "IndexedTable");

    py::class_<DiscreteMixture> mixture(m, "DiscreteMixture");
    mixture.def(py::init(&make_mixture), py::kw_only(), py::arg("family"), py::arg("n_components"),
                py::arg("n_features"), py::arg("n_indexed"), py::arg("column_offsets"),
                py::arg("weight_type"), py::arg("weight_concentration"), py::arg("prior_proper"),
                py::arg("prior_a"), py::arg("prior_b"), py::arg("marginalize"));
    bind_contract(mixture);
    bind_mean_weights(mixture);

    m.def("indexed_e_step", &e_step);
    m.def("indexed_given_step", &given_step);
    m.def("indexed_assign", &assign);
    m.def("indexed_log_base_measure", &log_base_measure);
    m.def("indexed_block_rows", [](std::size_t n_indexed, std::size_t n_components, bool is_float) {
        return models::indexed_block_shape(n_indexed, n_components, is_float).leaf_rows;
    });
}

}  // namespace vemfast::bindings
