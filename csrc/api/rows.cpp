#include "api/rows.hpp"

#include <cmath>
#include <string>

#include "models/discrete_mixture.hpp"
#include "models/rows_view.hpp"
#include "vemfast/require.hpp"

namespace vemfast::api {

namespace {

using detail::IndexedFamily;

bool is_of_family(const IndexedReader& reader, double value, std::size_t column) {
    switch (reader.family) {
        case IndexedFamily::bernoulli:
            return reader.binarize || value == 0 || value == 1;
        case IndexedFamily::poisson:
            return value >= 0 && value == std::floor(value);
        case IndexedFamily::categorical:
            break;
    }
    return value >= 0 && value == std::floor(value) &&
           value < static_cast<double>(reader.n_categories[column]);
}

void refuse(const IndexedReader& reader, double value, std::size_t row, std::size_t column) {
    std::string wanted = "0 or 1";
    if (reader.family == IndexedFamily::poisson)
        wanted = "a count, a whole number >= 0";
    else if (reader.family == IndexedFamily::categorical)
        wanted = "a code from 0 to " + std::to_string(reader.n_categories[column] - 1) +
                 "; encode it as one of those, or fit with more codes";
    require(false, "X contains ", value, " at row ", row, ", column ", column, ", which is not ",
            wanted);
}

}  // namespace

detail::RowsView checked_rows(const Rows& rows, std::size_t n_features, bool takes_nan) {
    require(rows.n >= 0 && rows.n_features >= 0, "X has ", rows.n, " rows and ", rows.n_features,
            " features");
    const auto view = models::view_of(rows);
    require(view.n_features == n_features, "X has ", view.n_features,
            " features, but the model has ", n_features);
    require(view.data != nullptr || view.n_rows == 0, "X has ", view.n_rows,
            " rows, but its pointer is null");
    for (std::size_t n = 0; n < view.n_rows; ++n) {
        for (std::size_t d = 0; d < n_features; ++d) {
            const double value = models::value_at(view, n, d);
            const bool is_nan = std::isnan(value);
            if (std::isfinite(value) || (is_nan && takes_nan)) [[likely]]
                continue;
            require(false, "X contains ", is_nan ? "NaN" : "infinity (inf)", " at row ", n,
                    ", column ", d, "; drop or impute such rows",
                    is_nan ? ", or fit with missing='marginalize'" : "");
        }
    }
    return view;
}

IndexedData::IndexedData(const IndexedReader& reader, const Rows& rows)
    : family_(reader.family), is_float_(rows.is_float) {
    const auto from = checked_rows(rows, reader.n_features, reader.takes_nan);
    const std::size_t D = from.n_features;
    const std::size_t size = from.n_rows * D;
    view_.n_rows = from.n_rows;
    view_.n_features = D;
    view_.row_stride = static_cast<std::ptrdiff_t>(D);
    view_.column_stride = 1;
    const auto fill = [&](auto& out, auto&& convert) {
        out.resize(size);
        for (std::size_t i = 0; i < size; ++i) {
            const double value = models::value_at(from, i / D, i % D);
            if (!std::isnan(value) && !is_of_family(reader, value, i % D)) [[unlikely]]
                refuse(reader, value, i / D, i % D);
            out[i] = convert(value);
        }
        view_.data = out.data();
    };
    if (family_ == IndexedFamily::bernoulli) {
        constexpr std::uint8_t kMissing = 255;
        const double edge = reader.binarize.value_or(0.0);
        view_.storage = detail::Storage::bytes;
        fill(bits_, [&](double x) -> std::uint8_t {
            return std::isnan(x) ? kMissing : x > edge ? 1 : 0;
        });
    } else if (family_ == IndexedFamily::categorical) {
        view_.storage = detail::Storage::codes;
        fill(codes_, [](double x) { return std::isnan(x) ? -1 : static_cast<std::int32_t>(x); });
    } else if (is_float_) {
        view_.storage = detail::Storage::float_counts;
        fill(floats_, [](double x) { return static_cast<float>(x); });
    } else {
        view_.storage = detail::Storage::double_counts;
        fill(doubles_, [](double x) { return x; });
    }
}

const detail::IndexedRows& IndexedData::with_base(int n_threads, const Poll& poll) {
    if (family_ == IndexedFamily::poisson && base_.empty()) {
        base_.resize(view_.n_rows);
        models::log_base_measure(view_, n_threads, poll, base_.data());
        view_.base = base_.data();
    }
    return view_;
}

}  // namespace vemfast::api
