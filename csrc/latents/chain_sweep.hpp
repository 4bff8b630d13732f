// The factorised rule of a hidden Markov chain: q(z_1) ... q(z_T), one step after the other set to
// its optimum given its neighbours.
#pragma once

#include "../math/exp.hpp"
#include "../math/log.hpp"
#include "chain.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

// A smaller q is zero, so that the product of two is no denormal number.
constexpr double kLeastOfStep = 1e-140;

constexpr std::size_t kStepsBetweenPauses = 256;

// row = exp(row) normalised; false if no state can have the step.
inline bool normalise_logs(double* row, std::size_t ld) {
    constexpr std::size_t W = kLanes<double>;
    Vec<double> tops = load<double>(row);
    for (std::size_t k = W; k < ld; k += W)
        tops = max<double>(tops, load<double>(row + k));
    double top = tops[0];
    for (std::size_t lane = 1; lane < W; ++lane)
        top = tops[lane] > top ? tops[lane] : top;
    if (!(top > -__builtin_inf()))
        return false;
    Vec<double> total = {};
    for (std::size_t k = 0; k < ld; k += W) {
        const Vec<double> e = vexp_nonpositive<double>(load<double>(row + k) - splat<double>(top));
        store<double>(row + k, e);
        total += e;
    }
    const Vec<double> scale = splat<double>(1.0 / horizontal_sum<double>(total));
    for (std::size_t k = 0; k < ld; k += W) {
        const Vec<double> q = load<double>(row + k) * scale;
        store<double>(row + k, select<double>(q < splat<double>(kLeastOfStep), Vec<double>{}, q));
    }
    return true;
}

// Sum of q log q over a row.
inline double negative_entropy(const double* q, std::size_t ld) {
    constexpr std::size_t W = kLanes<double>;
    Vec<double> sum = {};
    for (std::size_t k = 0; k < ld; k += W) {
        const Vec<double> p = load<double>(q + k);
        const Vec<double> positive = max<double>(p, splat<double>(kLeastOfStep));
        sum = mul_add<double>(p, vlog<double>(positive), sum);
    }
    return horizontal_sum<double>(sum);
}

// One sequence of n steps, in place of q. `cold`: the first pass looks at the steps before alone,
// and is not one of n_sweeps. False if some step is impossible.
template <int V>
static bool sweep_sequence(const ChainTables& chain, const double* scores, double* q, std::size_t n,
                           bool cold, int n_sweeps, double tolerance, double* row) {
    constexpr std::size_t W = kLanes<double>;
    const std::size_t K = chain.n_states;
    const std::size_t ld = V > 0 ? V * W : chain.ld;
    for (int sweep = cold ? -1 : 0; sweep < n_sweeps; ++sweep) {
        Vec<double> change = {};
        for (std::size_t t = 0; t < n; ++t) {
            if (t % kStepsBetweenPauses == 0)
                chain.pause();
            double* own = q + t * ld;
            for_chain_strips<V>(ld, [&]<int S>(std::size_t at) {
                Vec<double> sum[S];
#pragma GCC unroll 8
                for (int v = 0; v < S; ++v) {
                    sum[v] = load<double>(scores + t * ld + at + v * W);
                    if (t == 0)
                        sum[v] += load<double>(chain.sweep_start + at + v * W);
                }
                Vec<double> more[S];
                if (t > 0) {
                    row_product<S>(own - ld, chain.sweep_transitions + at, K, ld, more);
#pragma GCC unroll 8
                    for (int v = 0; v < S; ++v)
                        sum[v] += more[v];
                }
                if (sweep >= 0 && t + 1 < n) {
                    row_product<S>(own + ld, chain.sweep_transposed + at, K, ld, more);
#pragma GCC unroll 8
                    for (int v = 0; v < S; ++v)
                        sum[v] += more[v];
                }
#pragma GCC unroll 8
                for (int v = 0; v < S; ++v)
                    store<double>(row + at + v * W, sum[v]);
            });
            if (!normalise_logs(row, ld))
                return false;
            for (std::size_t k = 0; k < ld; k += W) {
                const Vec<double> difference = load<double>(row + k) - load<double>(own + k);
                change = max<double>(change, max<double>(difference, -difference));
                store<double>(own + k, load<double>(row + k));
            }
        }
        double largest = 0;
        for (std::size_t lane = 0; lane < W; ++lane)
            largest = change[lane] > largest ? change[lane] : largest;
        if (sweep >= 0 && largest < tolerance)
            break;
    }
    return true;
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
