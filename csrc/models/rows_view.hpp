// The rows of a caller as the models see them.
#pragma once

#include <cstddef>

#include "kernels/task.hpp"
#include "vemfast/fit.hpp"

namespace vemfast::models {

detail::RowsView view_of(const Rows& rows);

// The same; throws std::invalid_argument where they are no rows, or have another number of weights.
detail::RowsView view_to_fit(const Rows& rows);

inline double value_at(const detail::RowsView& rows, std::size_t row, std::size_t column) {
    const auto at = static_cast<std::ptrdiff_t>(row) * rows.row_stride +
                    static_cast<std::ptrdiff_t>(column) * rows.column_stride;
    return rows.is_float ? static_cast<double>(static_cast<const float*>(rows.data)[at])
                         : static_cast<const double*>(rows.data)[at];
}

}  // namespace vemfast::models
