// Paths through a hidden Markov chain: the best one (Viterbi), and one drawn from the posterior.
//
// Both go forward with one row a step (the best log joint of a path that ends in each state; the
// filtered weights), and then back from the last step, where each choice needs one row of the
// transposed matrix.
#pragma once

#include "chain.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

// out_j = max_i (from_i + M_ij), V vectors of columns of the K x ld matrix M.
template <int V>
inline void best_product(const double* from, const double* matrix, std::size_t K, std::size_t ld,
                         Vec<double> (&out)[V]) {
    constexpr std::size_t W = kLanes<double>;
    constexpr std::size_t U = kProductChains<V>;
    Vec<double> best[U][V];
#pragma GCC unroll 8
    for (std::size_t u = 0; u < U; ++u) {
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v)
            best[u][v] = splat<double>(-__builtin_inf());
    }
    std::size_t i = 0;
    for (; i + U <= K; i += U) {
#pragma GCC unroll 8
        for (std::size_t u = 0; u < U; ++u) {
            const Vec<double> left = splat<double>(from[i + u]);
            const double* row = matrix + (i + u) * ld;
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v)
                best[u][v] = max<double>(best[u][v], left + load<double>(row + v * W));
        }
    }
    for (; i < K; ++i) {
        const Vec<double> left = splat<double>(from[i]);
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v)
            best[0][v] = max<double>(best[0][v], left + load<double>(matrix + i * ld + v * W));
    }
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
        out[v] = best[0][v];
        for (std::size_t u = 1; u < U; ++u)
            out[v] = max<double>(out[v], best[u][v]);
    }
}

// Steps [0, n): the rows of d, scores, become best log joints. d[-ld] holds the row of the step
// before unless `begins`.
template <int V>
static void best_run(const ChainTables& chain, double* d, std::size_t n, bool begins) {
    constexpr std::size_t W = kLanes<double>;
    const std::size_t K = chain.n_states;
    const std::size_t ld = V > 0 ? V * W : chain.ld;
    for (std::size_t t = 0; t < n; ++t) {
        double* row = d + t * ld;
        const bool first = begins && t == 0;
        for_chain_strips<V>(ld, [&]<int S>(std::size_t at) {
            Vec<double> before[S];
            if (first) {
#pragma GCC unroll 8
                for (int v = 0; v < S; ++v)
                    before[v] = load<double>(chain.log_start + at + v * W);
            } else {
                best_product<S>(row - ld, chain.log_transitions + at, K, ld, before);
            }
#pragma GCC unroll 8
            for (int v = 0; v < S; ++v) {
                double* cell = row + at + v * W;
                store<double>(cell, load<double>(cell) + before[v]);
            }
        });
    }
}

struct BestState {
    double value;
    std::size_t state;
};

// The largest of a_k (+ more_k where it is given), and the lowest state that has it.
inline BestState best_state(const double* a, const double* more, std::size_t ld) {
    constexpr std::size_t W = kLanes<double>;
    const auto at = [&](std::size_t k) {
        const Vec<double> v = load<double>(a + k);
        return more == nullptr ? v : v + load<double>(more + k);
    };
    Vec<double> best = at(0);
    for (std::size_t k = W; k < ld; k += W)
        best = max<double>(best, at(k));
    double top = best[0];
    for (std::size_t lane = 1; lane < W; ++lane)
        top = best[lane] > top ? best[lane] : top;
    for (std::size_t k = 0; k < ld; k += W) {
        const Vec<double> v = at(k);
        for (std::size_t lane = 0; lane < W; ++lane) {
            if (v[lane] == top)
                return {top, k + lane};
        }
    }
    return {top, 0};
}

// The best states of steps n - 1 down to 0, given that of step n.
inline void trace_best(const ChainTables& chain, const double* d, std::size_t n, std::size_t next,
                       std::int32_t* labels) {
    for (std::size_t t = n; t-- > 0;) {
        const double* into = chain.log_transposed + next * chain.ld;
        next = best_state(d + t * chain.ld, into, chain.ld).state;
        labels[t] = static_cast<std::int32_t>(next);
    }
}

// The number of states whose cumulated weight a_k (times more_k) is at most u times the total, and
// at most the last state that has weight; n_states where the total is not a normal number.
inline std::size_t draw_state(const double* a, const double* more, std::size_t n_states, double u) {
    const auto weight = [&](std::size_t k) { return more == nullptr ? a[k] : a[k] * more[k]; };
    double total = 0;
    std::size_t last = 0;
    for (std::size_t k = 0; k < n_states; ++k) {
        total += weight(k);
        if (weight(k) > 0)
            last = k;
    }
    if (!(total > 0x1p-1000) || !(total < 0x1p1000))
        return n_states;
    double cumulated = 0;
    for (std::size_t k = 0; k < last; ++k) {
        cumulated += weight(k);
        if (cumulated > u * total)
            return k;
    }
    return last;
}

// The states of steps n - 1 down to 0 drawn given that of step n; u: the steps' uniforms. False if
// numbers left the normal range.
inline bool trace_drawn(const ChainTables& chain, const double* a, std::size_t n, std::size_t next,
                        const double* u, std::int32_t* labels) {
    for (std::size_t t = n; t-- > 0;) {
        next =
            draw_state(a + t * chain.ld, chain.transposed + next * chain.ld, chain.n_states, u[t]);
        if (next == chain.n_states)
            return false;
        labels[t] = static_cast<std::int32_t>(next);
    }
    return true;
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
