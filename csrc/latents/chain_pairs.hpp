// Sums of the pairs of consecutive states: one product over many steps.
#pragma once

#include "../math/vec.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

// out[i * ld + j] += sum_t a[t * ld + i] u[t * ld + j], rows i0 .. i0 + I, V vectors of columns.
template <int I, int V>
inline void pair_tile(const double* a, const double* u, std::size_t ld, std::size_t n,
                      double* out) {
    constexpr std::size_t W = kLanes<double>;
    Vec<double> sum[I][V] = {};
    for (std::size_t t = 0; t < n; ++t) {
        Vec<double> right[V];
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v)
            right[v] = load<double>(u + t * ld + v * W);
#pragma GCC unroll 8
        for (int i = 0; i < I; ++i) {
            const Vec<double> left = splat<double>(a[t * ld + i]);
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v)
                sum[i][v] = mul_add<double>(left, right[v], sum[i][v]);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < I; ++i) {
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) {
            double* cell = out + i * ld + v * W;
            store<double>(cell, load<double>(cell) + sum[i][v]);
        }
    }
}

template <int V>
inline void pair_columns(const double* a, const double* u, std::size_t K, std::size_t ld,
                         std::size_t n, double* out) {
    std::size_t i = 0;
    for (; i + 4 <= K; i += 4)
        pair_tile<4, V>(a + i, u, ld, n, out + i * ld);
    for (; i < K; ++i)
        pair_tile<1, V>(a + i, u, ld, n, out + i * ld);
}

// out (K x ld) += sum over n steps of the outer products of a[t - 1] and u[t], the rows of a being
// one step behind. In runs of steps that stay in the first-level cache.
static void sum_pairs(const double* a, const double* u, std::size_t K, std::size_t ld,
                      std::size_t n, double* out) {
    constexpr std::size_t W = kLanes<double>;
    constexpr std::size_t kBytes = std::size_t{16} << 10;
    const std::size_t fit = kBytes / (2 * ld * sizeof(double));
    const std::size_t run = fit < 16 ? 16 : fit;
    for (std::size_t t = 0; t < n; t += run) {
        const std::size_t count = n - t < run ? n - t : run;
        const double* left = a + t * ld;
        const double* right = u + t * ld;
        std::size_t j = 0;
        for (; j + 2 * W <= ld; j += 2 * W)
            pair_columns<2>(left, right + j, K, ld, count, out + j);
        if (j < ld)
            pair_columns<1>(left, right + j, K, ld, count, out + j);
    }
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
