#include "models/rows_view.hpp"

#include "vemfast/require.hpp"

namespace vemfast::models {

detail::RowsView view_of(const Rows& rows) {
    detail::RowsView view;
    view.data = rows.data;
    view.row_stride = rows.row_stride;
    view.column_stride = rows.column_stride;
    view.n_rows = static_cast<std::size_t>(rows.n);
    view.n_features = static_cast<std::size_t>(rows.n_features);
    view.is_float = rows.is_float;
    view.weights = rows.weights.data;
    view.weight_stride = rows.weights.stride;
    return view;
}

detail::RowsView view_to_fit(const Rows& rows) {
    require(rows.n >= 0 && rows.n_features >= 0, "X has ", rows.n, " rows and ", rows.n_features,
            " features");
    require(rows.data != nullptr || rows.n == 0, "X has ", rows.n,
            " rows, but its pointer is null");
    require(rows.weights.data == nullptr || rows.weights.size == rows.n, "there are ",
            rows.weights.size, " weights for ", rows.n, " rows");
    return view_of(rows);
}

}  // namespace vemfast::models
