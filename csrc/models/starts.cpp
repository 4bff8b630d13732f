#include "models/starts.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "exec/parallel.hpp"
#include "models/rows_view.hpp"
#include "vemfast/poll.hpp"
#include "vemfast/random.hpp"

namespace vemfast::models {

namespace {

// Rows of one leaf of the scan; a fixed number, so that sums have a fixed order.
constexpr std::size_t kScanRows = 2048;

// `scan_sums` for few features: four rows at a time, so that none waits for the one before it.
template <class T, std::size_t D>
void scan_few(const detail::RowsView& rows, std::size_t first, std::size_t n, const double* centre,
              double* out) {
    constexpr std::size_t kWays = 4;
    const T* row =
        static_cast<const T*>(rows.data) + static_cast<std::ptrdiff_t>(first) * rows.row_stride;
    const double* weight =
        rows.weights == nullptr
            ? nullptr
            : rows.weights + static_cast<std::ptrdiff_t>(first) * rows.weight_stride;
    double mass[kWays] = {};
    double sums[kWays][D] = {};
    double squares[kWays][D] = {};
    double about[D];
    std::copy_n(centre, D, about);
    const auto add = [&](std::size_t r, std::size_t way) {
        const auto at = static_cast<std::ptrdiff_t>(r);
        const double w = weight == nullptr ? 1.0 : weight[at * rows.weight_stride];
        const T* from = row + at * rows.row_stride;
        mass[way] += w;
        for (std::size_t i = 0; i < D; ++i) {
            const double x =
                static_cast<double>(from[static_cast<std::ptrdiff_t>(i) * rows.column_stride]) -
                about[i];
            sums[way][i] += w * x;
            squares[way][i] += w * x * x;
        }
    };
    std::size_t r = 0;
    for (; r + kWays <= n; r += kWays) {
        for (std::size_t way = 0; way < kWays; ++way)
            add(r + way, way);
    }
    for (; r < n; ++r)
        add(r, 0);
    out[0] += (mass[0] + mass[1]) + (mass[2] + mass[3]);
    for (std::size_t i = 0; i < D; ++i) {
        out[1 + i] += (sums[0][i] + sums[1][i]) + (sums[2][i] + sums[3][i]);
        out[1 + D + i] += (squares[0][i] + squares[1][i]) + (squares[2][i] + squares[3][i]);
    }
}

// out: weight, sums (D), squares (D) about `centre`; a bad row makes its sum non-finite.
template <class T>
void scan_sums(const detail::RowsView& rows, std::size_t first, std::size_t n, const double* centre,
               double* out) {
    const std::size_t D = rows.n_features;
    if (D == 1)
        return scan_few<T, 1>(rows, first, n, centre, out);
    if (D == 2)
        return scan_few<T, 2>(rows, first, n, centre, out);
    if (D == 3)
        return scan_few<T, 3>(rows, first, n, centre, out);
    const T* row =
        static_cast<const T*>(rows.data) + static_cast<std::ptrdiff_t>(first) * rows.row_stride;
    double* sums = out + 1;
    double* squares = sums + D;
    for (std::size_t r = 0; r < n; ++r, row += rows.row_stride) {
        const double w =
            rows.weights == nullptr
                ? 1.0
                : rows.weights[static_cast<std::ptrdiff_t>(first + r) * rows.weight_stride];
        out[0] += w;
        for (std::size_t i = 0; i < D; ++i) {
            const double x =
                static_cast<double>(row[static_cast<std::ptrdiff_t>(i) * rows.column_stride]) -
                centre[i];
            sums[i] += w * x;
            squares[i] += w * x * x;
        }
    }
}

// The same over the values that are not NaN; out: weights (D), sums (D), squares (D).
template <class T>
void scan_observed(const detail::RowsView& rows, std::size_t first, std::size_t n,
                   const double* centre, double* out) {
    const std::size_t D = rows.n_features;
    const T* row =
        static_cast<const T*>(rows.data) + static_cast<std::ptrdiff_t>(first) * rows.row_stride;
    for (std::size_t r = 0; r < n; ++r, row += rows.row_stride) {
        const double w =
            rows.weights == nullptr
                ? 1.0
                : rows.weights[static_cast<std::ptrdiff_t>(first + r) * rows.weight_stride];
        for (std::size_t i = 0; i < D; ++i) {
            const double value =
                static_cast<double>(row[static_cast<std::ptrdiff_t>(i) * rows.column_stride]);
            if (std::isnan(value))
                continue;
            const double x = value - centre[i];
            out[i] += w;
            out[D + i] += w * x;
            out[2 * D + i] += w * x * x;
        }
    }
}

template <class T>
void find_extremes(const detail::RowsView& rows, const double* centre, bool marginalize,
                   RowScan& scan) {
    const T* row = static_cast<const T*>(rows.data);
    for (std::size_t r = 0; r < rows.n_rows; ++r, row += rows.row_stride) {
        for (std::size_t i = 0; i < rows.n_features; ++i) {
            const double x =
                static_cast<double>(row[static_cast<std::ptrdiff_t>(i) * rows.column_stride]);
            if (marginalize && std::isnan(x))
                continue;
            if (!std::isfinite(x)) {
                scan.bad_row = static_cast<std::int64_t>(r);
                return;
            }
            const double distance = std::abs(x - centre[i]);
            if (distance > scan.largest || !std::isfinite(distance)) {
                scan.largest = distance;
                scan.largest_row = static_cast<std::int64_t>(r);
            }
        }
    }
}

// Weight, sums and squares of every column: 3 D numbers.
std::vector<double> scan_pass(const detail::RowsView& rows, int n_threads, const Poll& poll,
                              const double* centre, bool marginalize) {
    const std::size_t D = rows.n_features;
    std::vector<double> out(3 * D);
    const std::size_t size = marginalize ? 3 * D : 1 + 2 * D;
    const auto leaves = static_cast<std::int64_t>((rows.n_rows + kScanRows - 1) / kScanRows);
    exec::map_reduce(
        leaves, static_cast<std::int64_t>(size), n_threads, poll,
        [&](std::int64_t leaf, int, double* sums) {
            const std::size_t first = static_cast<std::size_t>(leaf) * kScanRows;
            const std::size_t n = std::min(kScanRows, rows.n_rows - first);
            const auto scan = rows.is_float
                                  ? (marginalize ? &scan_observed<float> : &scan_sums<float>)
                                  : (marginalize ? &scan_observed<double> : &scan_sums<double>);
            scan(rows, first, n, centre, sums);
        },
        out.data() + (3 * D - size));
    if (!marginalize)
        std::fill_n(out.begin(), D, out[D - 1]);
    return out;
}

bool all_finite(const std::vector<double>& values) {
    return std::all_of(values.begin(), values.end(), [](double v) { return std::isfinite(v); });
}

}  // namespace

std::size_t scan_leaf_rows() {
    return kScanRows;
}

std::vector<double> scan_sums(const detail::RowsView& rows, const double* centre, int n_threads,
                              const Poll& poll, bool marginalize) {
    return scan_pass(rows, n_threads, poll, centre, marginalize);
}

void scan_mean(const std::vector<double>& first, double* mean) {
    const std::size_t D = first.size() / 3;
    for (std::size_t i = 0; i < D; ++i)
        mean[i] = first[D + i] / first[i];
}

void scan_moments(const std::vector<double>& second, double* mean, double* variance) {
    const std::size_t D = second.size() / 3;
    for (std::size_t i = 0; i < D; ++i) {
        const double correction = second[D + i] / second[i];
        mean[i] += correction;
        variance[i] = second[2 * D + i] / second[i] - correction * correction;
        if (variance[i] < 0)  // not std::max, which would hide that a column has no value
            variance[i] = 0;
    }
}

RowScan find_extremes(const detail::RowsView& rows, const double* centre, bool marginalize) {
    RowScan scan;
    if (rows.is_float)
        find_extremes<float>(rows, centre, marginalize, scan);
    else
        find_extremes<double>(rows, centre, marginalize, scan);
    return scan;
}

RowScan scan_rows(const detail::RowsView& rows, int n_threads, const Poll& poll, double* mean,
                  double* variance, bool marginalize) {
    const std::vector<double> zero(rows.n_features, 0.0);
    const std::vector<double> first = scan_pass(rows, n_threads, poll, zero.data(), marginalize);
    scan_mean(first, mean);
    // The second pass, about the mean, is what keeps an offset out of the variance.
    const std::vector<double> second = scan_pass(rows, n_threads, poll, mean, marginalize);
    scan_moments(second, mean, variance);
    // Squares that overflow and bad rows both show here; only then is the slow search worth it.
    return all_finite(second) && all_finite(first) ? RowScan{}
                                                   : find_extremes(rows, mean, marginalize);
}

namespace {

// Rows on which k-means looks for centres. More rows would not find better ones for the price: the
// fit itself then sees them all.
constexpr std::size_t kStartRows = 20'000;

// Of the draws of one start: after the centres' own (iteration 0 of the stream).
constexpr std::uint32_t kRowDraws = 1;

// Rows `chosen` (null: the first n), in units of 1 / inverse.
template <class T>
void copy_rows(const detail::RowsView& rows, const std::size_t* chosen, std::size_t n,
               const double* origin, const double* inverse, double* out) {
    const T* data = static_cast<const T*>(rows.data);
    for (std::size_t r = 0; r < n; ++r) {
        const std::size_t index = chosen == nullptr ? r : chosen[r];
        const T* row = data + static_cast<std::ptrdiff_t>(index) * rows.row_stride;
        for (std::size_t i = 0; i < rows.n_features; ++i)
            *out++ =
                (static_cast<double>(row[static_cast<std::ptrdiff_t>(i) * rows.column_stride]) -
                 origin[i]) *
                inverse[i];
    }
}

}  // namespace

std::vector<std::size_t> start_rows(std::size_t n, const double* weights, std::size_t limit,
                                    std::uint64_t seed, std::ptrdiff_t stride) {
    std::vector<std::size_t> chosen;
    chosen.reserve(n);
    for (std::size_t row = 0; row < n; ++row) {
        if (weights == nullptr || weights[static_cast<std::ptrdiff_t>(row) * stride] > 0)
            chosen.push_back(row);
    }
    if (const std::size_t total = chosen.size(); total > limit) {
        for (std::size_t i = 0; i < limit; ++i) {
            const std::size_t begin = i * total / limit;
            const std::size_t end = (i + 1) * total / limit;
            const double u = random::uniform(seed, kRowDraws, i, random::kStartStream);
            chosen[i] =
                chosen[begin + static_cast<std::size_t>(u * static_cast<double>(end - begin))];
        }
        chosen.resize(limit);
    }
    return chosen;
}

std::size_t most_start_rows(std::size_t n_numbers, std::size_t n_components) {
    constexpr std::size_t kNumbers = std::size_t{1} << 23;
    return std::min(std::max(kNumbers / n_numbers, 8 * n_components), kStartRows);
}

StartPoints start_points(const detail::RowsView& rows, const double* origin, const double* metric,
                         std::uint64_t seed) {
    const std::size_t D = rows.n_features;
    StartPoints out;
    out.rows = start_rows(rows.n_rows, rows.weights, kStartRows, seed, rows.weight_stride);
    std::vector<double> unit(D);
    for (std::size_t i = 0; i < D; ++i)
        unit[i] = std::sqrt(metric[i]);
    for (const std::size_t row : out.rows) {
        const auto at = static_cast<std::ptrdiff_t>(row);
        out.weights.push_back(rows.weights == nullptr ? 1.0
                                                      : rows.weights[at * rows.weight_stride]);
        for (std::size_t i = 0; i < D; ++i) {
            const double x = value_at(rows, row, i);
            out.x.push_back(std::isnan(x) ? 0.0 : (x - origin[i]) / unit[i]);
        }
    }
    return out;
}

std::vector<std::int32_t> nearest_centres(const double* x, std::size_t n, std::size_t D,
                                          const std::vector<double>& centres) {
    const std::size_t K = centres.size() / D;
    std::vector<double> half_norms(K, 0.0);
    for (std::size_t i = 0; i < K * D; ++i)
        half_norms[i / D] += 0.5 * centres[i] * centres[i];
    std::vector<std::int32_t> out(n, 0);
    for (std::size_t r = 0; r < n; ++r) {
        double most = 0;
        for (std::size_t k = 0; k < K; ++k) {
            double product = -half_norms[k];
            for (std::size_t i = 0; i < D; ++i)
                product += x[r * D + i] * centres[k * D + i];
            if (k == 0 || product > most) {
                most = product;
                out[r] = static_cast<std::int32_t>(k);
            }
        }
    }
    return out;
}

void start_centres(const detail::RowsView& rows, const double* origin, const double* metric,
                   std::size_t K, std::uint64_t seed, int max_iter, double* centres) {
    const std::size_t D = rows.n_features;
    const bool takes_all = rows.weights == nullptr && rows.n_rows <= kStartRows;
    const std::vector<std::size_t> chosen =
        takes_all ? std::vector<std::size_t>()
                  : start_rows(rows.n_rows, rows.weights, kStartRows, seed, rows.weight_stride);
    const std::size_t n = takes_all ? rows.n_rows : chosen.size();
    std::vector<double> x(n * D + n + 2 * D);
    double* weights = x.data() + n * D;
    double* unit = weights + n;
    double* inverse = unit + D;
    for (std::size_t r = 0; r < n; ++r)
        weights[r] =
            rows.weights == nullptr
                ? 1.0
                : rows.weights[static_cast<std::ptrdiff_t>(chosen[r]) * rows.weight_stride];
    for (std::size_t i = 0; i < D; ++i) {
        unit[i] = std::sqrt(metric[i]);
        inverse[i] = 1.0 / unit[i];
    }
    const auto copy = rows.is_float ? &copy_rows<float> : &copy_rows<double>;
    copy(rows, takes_all ? nullptr : chosen.data(), n, origin, inverse, x.data());
    kmeans(x.data(), n, D, weights, K, seed, max_iter, centres);
    for (std::size_t k = 0; k < K; ++k) {
        for (std::size_t i = 0; i < D; ++i)
            centres[k * D + i] *= unit[i];
    }
}

}  // namespace vemfast::models
