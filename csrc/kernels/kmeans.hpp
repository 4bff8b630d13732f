// The inner loops of k-means and its seeding, on feature-major rows: lanes run over rows, and every
// sum is one chain a lane, in the order of the rows.
#pragma once

#include <cstddef>

#include "../math/vec.hpp"
#include "task.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

using detail::ClusterRows;

// Squared distances of one vector of rows to a centre.
inline Vec<double> square_to(const double* x, std::size_t ld, std::size_t D, const double* centre) {
    Vec<double> q = {};
    for (std::size_t d = 0; d < D; ++d) {
        const Vec<double> t = load<double>(x + d * ld) - splat<double>(centre[d]);
        q = mul_add<double>(t, t, q);
    }
    return q;
}

// out[i] = |x_i - centre|^2.
static void cluster_distances(const ClusterRows& rows, const double* centre, double* out) {
    for (std::size_t i = 0; i < rows.n; i += kLanes<double>)
        store<double>(out + i, square_to(rows.x + i, rows.n, rows.D, centre));
}

// For each candidate (n_candidates x D): its distances (n_candidates x n), and what the weighted
// sum of squares to the nearest seed would be with it.
static void seed_potentials(const ClusterRows& rows, const double* nearest,
                            const double* candidates, std::size_t n_candidates, double* distances,
                            double* potentials) {
    for (std::size_t c = 0; c < n_candidates; ++c) {
        const double* candidate = candidates + c * rows.D;
        double* to = distances + c * rows.n;
        Vec<double> potential = {};
        for (std::size_t i = 0; i < rows.n; i += kLanes<double>) {
            const Vec<double> q = square_to(rows.x + i, rows.n, rows.D, candidate);
            store<double>(to + i, q);
            potential = mul_add<double>(load<double>(rows.weights + i),
                                        min<double>(q, load<double>(nearest + i)), potential);
        }
        potentials[c] = horizontal_sum<double>(potential);
    }
}

// nearest = min(nearest, distances), mass = weight times that.
static void take_seed(const ClusterRows& rows, const double* distances, double* nearest,
                      double* mass) {
    for (std::size_t i = 0; i < rows.n; i += kLanes<double>) {
        const Vec<double> q = min<double>(load<double>(distances + i), load<double>(nearest + i));
        store<double>(nearest + i, q);
        store<double>(mass + i, q * load<double>(rows.weights + i));
    }
}

// Each row goes to the first of its nearest centres, and is added to that one's sum by masks: no
// row waits for the one before it to be added. C is K, or zero where K is not known beforehand.
template <int D, int C>
static double assign_few(const ClusterRows& rows, const double* centres, std::size_t n_clusters,
                         double* sums, double* mass) {
    constexpr int kMost = C > 0 ? C : static_cast<int>(detail::kFewClusters);
    const int K = C > 0 ? C : static_cast<int>(n_clusters);
    Vec<double> total[kMost][D + 1] = {};  // mass, sums
    Vec<double> inertia = {};
    for (std::size_t i = 0; i < rows.n; i += kLanes<double>) {
        Vec<double> x[D];
#pragma GCC unroll 4
        for (int d = 0; d < D; ++d)
            x[d] = load<double>(rows.x + static_cast<std::size_t>(d) * rows.n + i);
        Vec<double> square[kMost];
        Vec<double> best = splat<double>(__builtin_inf());
#pragma GCC unroll 4
        for (int k = 0; k < K; ++k) {
            Vec<double> q = {};
#pragma GCC unroll 4
            for (int d = 0; d < D; ++d) {
                const Vec<double> t = x[d] - splat<double>(centres[k * D + d]);
                q = mul_add<double>(t, t, q);
            }
            square[k] = q;
            best = min<double>(q, best);
        }
        const Vec<double> w = load<double>(rows.weights + i);
        inertia = mul_add<double>(w, best, inertia);
        BitVec<double> left = as_bits<double>(w);  // the weight, until a cluster has taken the row
#pragma GCC unroll 4
        for (int k = 0; k < K; ++k) {
            const BitVec<double> own = left & (BitVec<double>)(square[k] == best);
            left &= ~(BitVec<double>)(square[k] == best);
            const Vec<double> share = from_bits<double>(own);
            total[k][0] += share;
#pragma GCC unroll 4
            for (int d = 0; d < D; ++d)
                total[k][d + 1] = mul_add<double>(share, x[d], total[k][d + 1]);
        }
    }
    for (int k = 0; k < K; ++k) {
        mass[k] = horizontal_sum<double>(total[k][0]);
        for (int d = 0; d < D; ++d)
            sums[k * D + d] = horizontal_sum<double>(total[k][d + 1]);
    }
    return horizontal_sum<double>(inertia);
}

template <int D>
inline double assign_any(const ClusterRows& rows, const double* centres, std::size_t K,
                         double* sums, double* mass) {
    if (K == 2)
        return assign_few<D, 2>(rows, centres, K, sums, mass);
    if (K == 3)
        return assign_few<D, 3>(rows, centres, K, sums, mass);
    return assign_few<D, 0>(rows, centres, K, sums, mass);
}

// The weighted rows of each cluster, summed (sums: K x D, mass: K), and the weighted sum of squares
// to the centres. For at most kFewClusters and kFewFeatures.
static double cluster_few(const ClusterRows& rows, const double* centres, std::size_t K,
                          double* sums, double* mass) {
    static_assert(detail::kFewFeatures == 4);
    switch (rows.D) {
        case 1:
            return assign_any<1>(rows, centres, K, sums, mass);
        case 2:
            return assign_any<2>(rows, centres, K, sums, mass);
        case 3:
            return assign_any<3>(rows, centres, K, sums, mass);
        default:
            return assign_any<4>(rows, centres, K, sums, mass);
    }
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
