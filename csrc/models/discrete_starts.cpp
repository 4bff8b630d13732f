#include "models/discrete_starts.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "models/starts.hpp"

namespace vemfast::models {

using detail::IndexedRows;
using detail::Storage;

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kMissingBit = 255;  // a missing code is below zero

template <class T>
double element(const IndexedRows& rows, std::size_t row, std::size_t column) {
    const auto at = static_cast<std::ptrdiff_t>(row) * rows.row_stride +
                    static_cast<std::ptrdiff_t>(column) * rows.column_stride;
    return static_cast<double>(static_cast<const T*>(rows.data)[at]);
}

double value_at(const IndexedRows& rows, std::size_t row, std::size_t column) {
    switch (rows.storage) {
        case Storage::bytes:
            return element<std::uint8_t>(rows, row, column);
        case Storage::codes:
            return element<std::int32_t>(rows, row, column);
        case Storage::float_counts:
            return element<float>(rows, row, column);
        default:
            return element<double>(rows, row, column);
    }
}

// The mean of each column and one row more; what is missing becomes it.
std::vector<double> fill_missing(const StartRows& rows, std::size_t F, const double* usual) {
    std::vector<double> sums(usual, usual + F);
    std::vector<double> present(F, 1.0);
    for (std::size_t r = 0; r < rows.n; ++r) {
        const double* x = rows.x + r * F;
        for (std::size_t f = 0; f < F; ++f) {
            if (std::isnan(x[f]))
                continue;
            sums[f] += rows.weights[r] * x[f];
            present[f] += rows.weights[r];
        }
    }
    for (std::size_t f = 0; f < F; ++f)
        sums[f] /= present[f];
    for (std::size_t i = 0; i < rows.n * F; ++i)
        rows.x[i] = std::isnan(rows.x[i]) ? sums[i % F] : rows.x[i];
    return sums;
}

}  // namespace

std::vector<double> indexed_points(const IndexedRows& rows, const detail::IndexedShape& shape) {
    const std::size_t F = shape.n_values;
    std::vector<double> points(rows.n_rows * F, 0.0);
    for (std::size_t r = 0; r < rows.n_rows; ++r) {
        for (std::size_t d = 0; d < rows.n_features; ++d) {
            const double value = value_at(rows, r, d);
            const bool is_bit = rows.storage == Storage::bytes;
            if (shape.column_offsets.empty()) {
                points[r * F + d] = is_bit && value == kMissingBit ? kNaN : value;
                continue;
            }
            double* codes = points.data() + r * F + shape.column_offsets[d];
            if (value < 0)
                std::fill_n(codes, shape.column_offsets[d + 1] - shape.column_offsets[d], kNaN);
            else
                codes[static_cast<std::size_t>(value)] = 1.0;
        }
    }
    return points;
}

void start_table(const StartRows& rows, std::size_t F, std::size_t K, const double* usual,
                 bool roots, std::uint64_t seed, int lloyd, double* table) {
    const std::vector<double> mean = fill_missing(rows, F, usual);
    std::vector<double> root;
    if (roots) {  // the variance of a count grows with its mean, that of its root hardly does
        root.resize(rows.n * F);
        std::transform(rows.x, rows.x + rows.n * F, root.begin(),
                       [](double x) { return std::sqrt(x); });
    }
    const double* points = roots ? root.data() : rows.x;
    std::vector<double> centres(K * F);
    kmeans(points, rows.n, F, rows.weights, K, seed, lloyd, centres.data(), rows.labels);
    const std::vector<std::int32_t> group = nearest_centres(points, rows.n, F, centres);
    std::vector<double> weight(K, 1.0);
    for (std::size_t f = 0; f < F; ++f)
        std::fill_n(table + f * K, K, mean[f]);
    for (std::size_t r = 0; r < rows.n; ++r) {
        const bool known = rows.labels != nullptr && rows.labels[r] >= 0;
        const std::size_t k =
            known ? static_cast<std::size_t>(rows.labels[r]) : static_cast<std::size_t>(group[r]);
        weight[k] += rows.weights[r];
        for (std::size_t f = 0; f < F; ++f)
            table[f * K + k] += rows.weights[r] * rows.x[r * F + f];
    }
    for (std::size_t i = 0; i < F * K; ++i)
        table[i] /= weight[i % K];
}

}  // namespace vemfast::models
