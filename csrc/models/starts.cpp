#include "models/starts.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "exec/parallel.hpp"
#include "isa/dispatch.hpp"
#include "vemfast/poll.hpp"
#include "vemfast/random.hpp"

namespace vemfast::models {

namespace {

// Rows of one leaf of the scan; a fixed number, so that sums have a fixed order.
constexpr std::size_t kScanRows = 2048;

template <class T>
void scan_sums(const detail::RowsView& rows, std::size_t first, std::size_t n, const double* centre,
               double* out) {
    // out: weight, sums (D), squares (D) about `centre`; a bad row makes its sum non-finite.
    const std::size_t D = rows.n_features;
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

std::size_t draw(const std::vector<double>& mass, double total, double u) {
    const double target = u * total;
    double cumulated = 0;
    std::size_t last = 0;
    for (std::size_t i = 0; i < mass.size(); ++i) {
        if (!(mass[i] > 0))
            continue;
        cumulated += mass[i];
        last = i;
        if (cumulated >= target)
            return i;
    }
    return last;
}

double lloyd_step(const std::vector<double>& columns, const double* x, std::size_t n, std::size_t D,
                  const double* weights, std::size_t K, std::vector<double>& distances,
                  std::vector<double>& nearest, std::vector<std::size_t>& label,
                  const std::int32_t* known, double* centres) {
    for (std::size_t k = 0; k < K; ++k) {
        interruption_point();
        kernels().mixture.distances(columns.data(), n, D, centres + k * D, 1, distances.data());
        for (std::size_t i = 0; i < n; ++i) {
            const bool closer = known != nullptr && known[i] >= 0
                                    ? static_cast<std::size_t>(known[i]) == k
                                    : k == 0 || distances[i] < nearest[i];
            nearest[i] = closer ? distances[i] : nearest[i];
            label[i] = closer ? k : label[i];
        }
    }
    std::vector<double> sums(K * D, 0.0);
    std::vector<double> mass(K, 0.0);
    double inertia = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const std::size_t k = label[i];
        inertia += weights[i] * nearest[i];
        mass[k] += weights[i];
        for (std::size_t d = 0; d < D; ++d)
            sums[k * D + d] += weights[i] * x[i * D + d];
    }
    for (std::size_t k = 0; k < K; ++k) {
        if (!(mass[k] > 0))
            continue;  // an empty cluster keeps its centre
        for (std::size_t d = 0; d < D; ++d)
            centres[k * D + d] = sums[k * D + d] / mass[k];
    }
    return inertia;
}

// The means of the rows of known label, for the clusters that have such rows.
std::vector<bool> known_centres(const double* x, std::size_t n, std::size_t D,
                                const double* weights, std::size_t K, const std::int32_t* labels,
                                double* centres) {
    std::vector<double> mass(K, 0.0);
    std::fill(centres, centres + K * D, 0.0);
    for (std::size_t i = 0; i < n; ++i) {
        if (labels[i] < 0)
            continue;
        const auto k = static_cast<std::size_t>(labels[i]);
        mass[k] += weights[i];
        for (std::size_t d = 0; d < D; ++d)
            centres[k * D + d] += weights[i] * x[i * D + d];
    }
    std::vector<bool> found(K);
    for (std::size_t k = 0; k < K; ++k) {
        found[k] = mass[k] > 0;
        for (std::size_t d = 0; found[k] && d < D; ++d)
            centres[k * D + d] /= mass[k];
    }
    return found;
}

}  // namespace

std::size_t kmeans(const double* x, std::size_t n, std::size_t D, const double* weights,
                   std::size_t K, std::uint64_t seed, int max_iter, double* centres,
                   const std::int32_t* labels) {
    random::Stream stream(seed, 0, random::kStartStream, 0);
    std::vector<double> columns(n * D);  // feature-major: the distance kernel's layout
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t d = 0; d < D; ++d)
            columns[d * n + i] = x[i * D + d];
    }
    const std::size_t trials = 2 + static_cast<std::size_t>(std::log(static_cast<double>(K)));
    std::vector<double> nearest(n, std::numeric_limits<double>::infinity());
    std::vector<double> mass(weights, weights + n);
    std::vector<double> distances(trials * n);
    std::vector<double> candidates(trials * D);
    std::vector<bool> has_known(K, false);
    std::size_t distinct = 0;
    if (labels != nullptr) {
        has_known = known_centres(x, n, D, weights, K, labels, centres);
        for (std::size_t k = 0; k < K; ++k) {
            if (!has_known[k])
                continue;
            ++distinct;
            kernels().mixture.distances(columns.data(), n, D, centres + k * D, 1, distances.data());
            for (std::size_t i = 0; i < n; ++i)
                nearest[i] = std::min(nearest[i], distances[i]);
        }
        for (std::size_t i = 0; i < n; ++i) {
            if (labels[i] >= 0)
                nearest[i] = 0;  // no seed
            mass[i] = distinct > 0 ? weights[i] * nearest[i] : weights[i];
        }
    }
    double total = 0;
    for (const double w : mass)
        total += w;
    bool is_first = distinct == 0;
    for (std::size_t k = 0; k < K; ++k) {
        if (has_known[k])
            continue;
        interruption_point();
        const bool covered = !is_first && !(total > 0);  // every row coincides with a centre
        const std::size_t count = is_first ? 1 : trials;
        is_first = false;
        for (std::size_t c = 0; c < count; ++c) {
            const double u = stream.uniform();
            const std::size_t row =
                covered ? std::min(n - 1, static_cast<std::size_t>(u * static_cast<double>(n)))
                        : draw(mass, total, u);
            std::copy(x + row * D, x + (row + 1) * D, candidates.data() + c * D);
        }
        kernels().mixture.distances(columns.data(), n, D, candidates.data(), count,
                                    distances.data());
        std::size_t best = 0;
        double best_potential = std::numeric_limits<double>::infinity();
        for (std::size_t c = 0; c < count; ++c) {
            double potential = 0;
            for (std::size_t i = 0; i < n; ++i)
                potential += weights[i] * std::min(nearest[i], distances[c * n + i]);
            if (potential < best_potential) {
                best_potential = potential;
                best = c;
            }
        }
        std::copy(candidates.data() + best * D, candidates.data() + (best + 1) * D,
                  centres + k * D);
        for (std::size_t i = 0; i < n; ++i) {
            nearest[i] = std::min(nearest[i], distances[best * n + i]);
            mass[i] = weights[i] * nearest[i];
        }
        total = best_potential;
        distinct += covered ? 0 : 1;
    }
    std::vector<std::size_t> label(n);
    double previous = std::numeric_limits<double>::infinity();
    for (int iteration = 0; iteration < max_iter; ++iteration) {
        const double inertia =
            lloyd_step(columns, x, n, D, weights, K, distances, nearest, label, labels, centres);
        if (!(inertia < previous * (1.0 - 1e-4)))
            break;
        previous = inertia;
    }
    return distinct;
}

namespace {

// Rows on which k-means looks for centres. More rows would not find better ones for the price: the
// fit itself then sees them all.
constexpr std::size_t kStartRows = 20'000;

// Of the draws of one start: after the centres' own (iteration 0 of the stream).
constexpr std::uint32_t kRowDraws = 1;

template <class T>
void copy_rows(const detail::RowsView& rows, const std::vector<std::size_t>& chosen,
               const double* origin, const double* scale, double* out) {
    const T* data = static_cast<const T*>(rows.data);
    for (const std::size_t index : chosen) {
        const T* row = data + static_cast<std::ptrdiff_t>(index) * rows.row_stride;
        for (std::size_t i = 0; i < rows.n_features; ++i)
            *out++ =
                (static_cast<double>(row[static_cast<std::ptrdiff_t>(i) * rows.column_stride]) -
                 origin[i]) /
                scale[i];
    }
}

}  // namespace

void start_centres(const detail::RowsView& rows, const double* origin, const double* metric,
                   std::size_t K, std::uint64_t seed, int max_iter, double* centres) {
    const std::size_t D = rows.n_features;
    const auto weight_of = [&rows](std::size_t row) {
        return rows.weights == nullptr
                   ? 1.0
                   : rows.weights[static_cast<std::ptrdiff_t>(row) * rows.weight_stride];
    };
    std::vector<std::size_t> chosen;
    chosen.reserve(rows.n_rows);
    for (std::size_t row = 0; row < rows.n_rows; ++row) {
        if (weight_of(row) > 0)
            chosen.push_back(row);
    }
    if (const std::size_t total = chosen.size(); total > kStartRows) {
        for (std::size_t i = 0; i < kStartRows; ++i) {
            const std::size_t begin = i * total / kStartRows;
            const std::size_t end = (i + 1) * total / kStartRows;
            const double u = random::uniform(seed, kRowDraws, i, random::kStartStream);
            chosen[i] =
                chosen[begin + static_cast<std::size_t>(u * static_cast<double>(end - begin))];
        }
        chosen.resize(kStartRows);
    }
    std::vector<double> weights;
    weights.reserve(chosen.size());
    for (const std::size_t row : chosen)
        weights.push_back(weight_of(row));
    std::vector<double> scale(D);
    for (std::size_t i = 0; i < D; ++i)
        scale[i] = std::sqrt(metric[i]);
    std::vector<double> x(chosen.size() * D);
    if (rows.is_float)
        copy_rows<float>(rows, chosen, origin, scale.data(), x.data());
    else
        copy_rows<double>(rows, chosen, origin, scale.data(), x.data());
    kmeans(x.data(), chosen.size(), D, weights.data(), K, seed, max_iter, centres);
    for (std::size_t i = 0; i < K * D; ++i)
        centres[i] *= scale[i % D];
}

}  // namespace vemfast::models
