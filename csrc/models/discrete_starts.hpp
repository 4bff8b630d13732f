// First components of the discrete families: groups of rows by k-means.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "families/indexed.hpp"
#include "kernels/indexed_task.hpp"
#include "vemfast/version.hpp"

namespace vemfast::models {

// Dense rows as points (n_rows x F): bits, counts or indicators of codes; NaN where missing.
std::vector<double> indexed_points(const detail::IndexedRows& rows,
                                   const detail::IndexedShape& shape);

// Rows (n x F, NaN where missing) with positive weights, and where known the component of each (-1
// elsewhere), or null.
struct StartRows {
    double* x = nullptr;  // filled where missing
    std::size_t n = 0;
    const double* weights = nullptr;
    const std::int32_t* labels = nullptr;
};

// Probabilities or rates (F x K) of groups that k-means++ and at most `lloyd` of Lloyd's iterations
// find, each smoothed by one row at the mean of all. To that mean one row at `usual` (F) is added,
// so that what no row here has is not impossible. With `roots` distances are those of square roots.
VEMFAST_API void start_table(const StartRows& rows, std::size_t F, std::size_t K,
                             const double* usual, bool roots, std::uint64_t seed, int lloyd,
                             double* table);

}  // namespace vemfast::models
