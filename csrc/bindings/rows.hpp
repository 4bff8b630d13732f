// The rows that the bindings of the mixtures take, in place: strided matrices, or the three arrays
// of a CSR matrix.
#pragma once

#include <cstdint>
#include <optional>
#include <tuple>
#include <utility>
#include <variant>

#include "bindings/arguments.hpp"
#include "bindings/bind.hpp"
#include "kernels/indexed_task.hpp"
#include "models/gaussian_mixture.hpp"
#include "vemfast/require.hpp"

namespace vemfast::bindings {

using Indices = py::array_t<std::int32_t, py::array::c_style>;
// indptr, indices, values or None
using SparseArrays = std::tuple<Offsets, Indices, std::optional<py::array>>;
using Data = std::variant<SparseArrays, py::array>;

// Where each of many data sets begins among `total` rows or sequences, and the end; a random state
// for each.
inline std::size_t count_sets(const Offsets& sets, const Seeds& seeds, std::int64_t total) {
    require(sets.size() >= 1 && sets.data()[0] == 0 && sets.data()[sets.size() - 1] == total,
            "sets must go from 0 to ", total);
    require(seeds.size() == sets.size() - 1, "there are ", seeds.size(), " random states for ",
            sets.size() - 1, " data sets");
    for (py::ssize_t i = 0; i + 1 < sets.size(); ++i)
        require(sets.data()[i] < sets.data()[i + 1], "data set ", i, " is empty");
    return static_cast<std::size_t>(sets.size()) - 1;
}

// A view of the rows; `X`, `weights` and `labels` must outlive it.
inline detail::RowsView rows_view(const py::array& X, const OptionalVector& weights,
                                  const OptionalLabels& labels, std::uint64_t offset,
                                  std::size_t n_features) {
    require(X.ndim() == 2, "X must have two dimensions, got ", X.ndim());
    const bool is_float = X.dtype().equal(py::dtype::of<float>());
    require(is_float || X.dtype().equal(py::dtype::of<double>()),
            "X must be native float32 or float64");
    detail::RowsView rows;
    rows.data = X.data();
    const auto item = X.itemsize();
    require(X.strides(0) % item == 0 && X.strides(1) % item == 0 &&
                reinterpret_cast<std::uintptr_t>(rows.data) % static_cast<std::size_t>(item) == 0,
            "X must be aligned");
    rows.row_stride = X.strides(0) / item;
    rows.column_stride = X.strides(1) / item;
    rows.n_rows = static_cast<std::size_t>(X.shape(0));
    rows.n_features = static_cast<std::size_t>(X.shape(1));
    require(rows.n_features == n_features, "X has ", rows.n_features,
            " features, but the model has ", n_features);
    rows.is_float = is_float;
    rows.offset = offset;
    if (weights)
        rows.weights = sized(*weights, rows.n_rows, "weights");
    if (labels)
        rows.labels = sized_labels(*labels, rows.n_rows);
    return rows;
}

inline void view_sparse(const SparseArrays& arrays, detail::IndexedRows& rows) {
    const auto& [indptr, indices, values] = arrays;
    require(indptr.size() >= 1, "indptr is empty");
    rows.n_rows = static_cast<std::size_t>(indptr.size()) - 1;
    rows.indptr = indptr.data();
    rows.indices = indices.data();
    rows.storage = detail::Storage::csr_ones;
    if (!values)
        return;
    const bool is_float = values->dtype().equal(py::dtype::of<float>());
    require(is_float || values->dtype().equal(py::dtype::of<double>()),
            "values must be native float32 or float64");
    // The flag, because an array of nothing may have any stride.
    require(values->ndim() == 1 && (values->flags() & py::array::c_style) != 0 &&
                values->size() == indices.size(),
            "values must be contiguous, one for each index");
    rows.storage = is_float ? detail::Storage::csr_float : detail::Storage::csr_double;
    rows.values = values->data();
}

inline void view_dense(const py::array& X, detail::IndexedFamily family,
                       detail::IndexedRows& rows) {
    require(X.ndim() == 2, "rows must have two dimensions, got ", X.ndim());
    const py::dtype dtype = X.dtype();
    const bool counts = family == detail::IndexedFamily::poisson;
    if (!counts && dtype.equal(py::dtype::of<std::uint8_t>())) {
        rows.storage = detail::Storage::bytes;
    } else if (family == detail::IndexedFamily::categorical &&
               dtype.equal(py::dtype::of<std::int32_t>())) {
        rows.storage = detail::Storage::codes;
    } else if (counts && dtype.equal(py::dtype::of<float>())) {
        rows.storage = detail::Storage::float_counts;
    } else {
        require(counts && dtype.equal(py::dtype::of<double>()),
                "rows must be uint8 (bits, codes), int32 (codes), or float32 or float64 (counts)");
        rows.storage = detail::Storage::double_counts;
    }
    rows.data = X.data();
    const auto item = X.itemsize();
    require(X.strides(0) % item == 0 && X.strides(1) % item == 0 &&
                reinterpret_cast<std::uintptr_t>(rows.data) % static_cast<std::size_t>(item) == 0,
            "rows must be aligned");
    rows.row_stride = X.strides(0) / item;
    rows.column_stride = X.strides(1) / item;
    rows.n_rows = static_cast<std::size_t>(X.shape(0));
    rows.n_features = static_cast<std::size_t>(X.shape(1));
}

// A view of the rows; the arguments must outlive it. Indices and codes are trusted to be in range:
// blocks of rows are checked when they are made.
inline detail::IndexedRows view_rows(const Data& data, detail::IndexedFamily family,
                                     std::size_t n_features, const OptionalVector& weights,
                                     const OptionalVector& base) {
    detail::IndexedRows rows;
    if (const auto* sparse = std::get_if<SparseArrays>(&data)) {
        require(family != detail::IndexedFamily::categorical, "codes are dense");
        view_sparse(*sparse, rows);
        rows.n_features = n_features;
    } else {
        view_dense(std::get<py::array>(data), family, rows);
    }
    require(rows.n_features == n_features, "the rows have ", rows.n_features,
            " features, but the model has ", n_features);
    if (weights)
        rows.weights = sized(*weights, rows.n_rows, "weights");
    if (base)
        rows.base = sized(*base, rows.n_rows, "the base measure");
    return rows;
}

// The model with what its iterations use again.
struct BoundMixture : models::GaussianMixture {
    explicit BoundMixture(models::GaussianMixture&& model)
        : models::GaussianMixture(std::move(model)) {}
    mutable models::SpaceKeeper keeper;
};

}  // namespace vemfast::bindings
