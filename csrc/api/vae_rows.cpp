#include "api/vae_rows.hpp"

#include <cmath>

#include "api/rows.hpp"
#include "models/rows_view.hpp"
#include "vemfast/require.hpp"

namespace vemfast::api {

using detail::Likelihood;

namespace {

constexpr double kLargest = 1e10;  // of a number in x: beyond, squares leave single precision

void check_range(const detail::RowsView& view, Likelihood likelihood) {
    const bool bernoulli = likelihood == Likelihood::bernoulli;
    const bool gaussian = likelihood == Likelihood::gaussian;
    for (std::size_t n = 0; n < view.n_rows; ++n) {
        for (std::size_t d = 0; d < view.n_features; ++d) {
            const double x = models::value_at(view, n, d);
            const bool fits = (gaussian || !(x < 0)) && !(bernoulli && x > 1);
            require(fits, "X contains ", x, " at row ", n, ", column ", d,
                    bernoulli ? ", but likelihood='bernoulli' takes 0 to 1"
                              : ", but likelihood='poisson' takes counts >= 0");
            require(!(std::abs(x) > kLargest), "X contains ", x, " at row ", n, ", column ", d,
                    ", too large for single precision; standardise X");
        }
    }
}

}  // namespace

CheckedVaeRows::CheckedVaeRows(const Rows& rows, std::size_t n_features, Likelihood likelihood,
                               bool takes_nan) {
    const auto view = checked_rows(rows, n_features, takes_nan);
    const std::size_t D = view.n_features;
    check_range(view, likelihood);
    view_.n_rows = view.n_rows;
    view_.storage = view.is_float ? models::Storage::float32 : models::Storage::float64;
    view_.values = view.data;
    view_.row_stride = view.row_stride;
    if (D <= 1 || view.column_stride == 1)
        return;
    view_.row_stride = static_cast<std::ptrdiff_t>(D);  // the numbers of a row lie apart
    for (std::size_t i = 0; i < view.n_rows * D; ++i) {
        const double x = models::value_at(view, i / D, i % D);
        if (view.is_float)
            floats_.push_back(static_cast<float>(x));
        else
            doubles_.push_back(x);
    }
    view_.values = view.is_float ? static_cast<const void*>(floats_.data()) : doubles_.data();
}

}  // namespace vemfast::api
