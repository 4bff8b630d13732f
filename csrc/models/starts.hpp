// What a fit needs before its first iteration: a scan of the rows, and centres to start from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/task.hpp"
#include "vemfast/poll.hpp"
#include "vemfast/version.hpp"

namespace vemfast::models {

struct RowScan {
    std::int64_t bad_row = -1;      // first row with NaN or infinity, or -1
    double largest = 0;             // largest |x - mean|
    std::int64_t largest_row = -1;  // where it stands
};

// Weighted column means and variances (two passes, fixed tree), and the first row that is not
// finite. With a bad row, mean and variance are not meaningful. With `marginalize`, NaN is a
// missing value and left out; both are NaN for a column without any value.
VEMFAST_API RowScan scan_rows(const detail::RowsView& rows, int n_threads, const Poll& poll,
                              double* mean, double* variance, bool marginalize = false);

// The same in steps, for rows that come in parts: a pass about zero, scan_mean, a pass about that,
// scan_moments. A pass over rows: [weights (D), sums (D), squares (D)] about `centre`, which add up
// over parts: the bits are those of the whole if parts are subtrees of leaves of scan_leaf_rows()
// rows.
VEMFAST_API std::size_t scan_leaf_rows();
VEMFAST_API std::vector<double> scan_sums(const detail::RowsView& rows, const double* centre,
                                          int n_threads, const Poll& poll,
                                          bool marginalize = false);
VEMFAST_API void scan_mean(const std::vector<double>& first, double* mean);
VEMFAST_API void scan_moments(const std::vector<double>& second, double* mean, double* variance);
VEMFAST_API RowScan find_extremes(const detail::RowsView& rows, const double* centre,
                                  bool marginalize = false);

// Greedy k-means++ (Arthur and Vassilvitskii 2007; best of 2 + log K candidates a step), then at
// most `max_iter` of Lloyd's iterations, on contiguous rows x (n x D) with positive weights.
// centres: K x D. Returns the number of distinct centres found (fewer than K: so few distinct
// rows). With interruption points.
//
// With `labels` (n, -1 where unknown) a cluster starts at the mean of the rows known to be its own,
// which stay in it; only clusters without such rows are seeded (constrained k-means: Basu, Banerjee
// and Mooney 2002).
VEMFAST_API std::size_t kmeans(const double* x, std::size_t n, std::size_t D, const double* weights,
                               std::size_t K, std::uint64_t seed, int max_iter, double* centres,
                               const std::int32_t* labels = nullptr);

// The rows of positive weight, or where these are more than `limit`, one drawn from each of so many
// equal stretches of them.
VEMFAST_API std::vector<std::size_t> start_rows(std::size_t n, const double* weights,
                                                std::size_t limit, std::uint64_t seed,
                                                std::ptrdiff_t stride = 1);

// How many rows of so many numbers a start of discrete components looks at.
VEMFAST_API std::size_t most_start_rows(std::size_t n_numbers, std::size_t n_components);

// Centres (K x D, relative to `origin`) by `kmeans` in units of sqrt(metric) (D), on the rows of
// positive weight, or where there are more than 20,000 of these, on one drawn from each of 20,000
// equal stretches.
VEMFAST_API void start_centres(const detail::RowsView& rows, const double* origin,
                               const double* metric, std::size_t K, std::uint64_t seed,
                               int max_iter, double* centres);

// Those rows as points: relative to `origin` in units of sqrt(metric). What is missing lies at the
// origin.
struct StartPoints {
    std::vector<std::size_t> rows;  // their numbers
    std::vector<double> x;          // n x D
    std::vector<double> weights;
};
StartPoints start_points(const detail::RowsView& rows, const double* origin, const double* metric,
                         std::uint64_t seed);

// The centre (of K x D) that is nearest to each of the rows x (n x D).
std::vector<std::int32_t> nearest_centres(const double* x, std::size_t n, std::size_t D,
                                          const std::vector<double>& centres);

}  // namespace vemfast::models
