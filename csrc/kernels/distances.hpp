// Squared Euclidean distances from every row to a few centres: the inner loop of k-means++.
#pragma once

#include <cstddef>

#include "../math/vec.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

// x is feature-major (D x n), centres are n_centres x D; out[c * n + i] = |x_i - centre_c|^2.
static void squared_distances_to(const double* x, std::size_t n, std::size_t D,
                                 const double* centres, std::size_t n_centres, double* out) {
    constexpr std::size_t W = kLanes<double>;
    for (std::size_t c = 0; c < n_centres; ++c) {
        const double* centre = centres + c * D;
        double* to = out + c * n;
        std::size_t i = 0;
        for (; i + W <= n; i += W) {
            Vec<double> q = {};
            for (std::size_t d = 0; d < D; ++d) {
                const Vec<double> t = load<double>(x + d * n + i) - splat<double>(centre[d]);
                q = mul_add<double>(t, t, q);
            }
            store<double>(to + i, q);
        }
        for (; i < n; ++i) {
            double q = 0;
            for (std::size_t d = 0; d < D; ++d) {
                const double t = x[d * n + i] - centre[d];
                q += t * t;
            }
            to[i] = q;
        }
    }
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
