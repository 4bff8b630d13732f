// The recursions of chain.hpp and chain_path.hpp for few states: those of a step are one vector,
// and the matrix stays in registers. A step then waits for the one before it for a handful of
// operations, and for no memory.
#pragma once

#include "chain_path.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

// Lane I of v in all lanes.
template <int I>
inline Vec<double> lane(Vec<double> v) {
#if VEMFAST_VECTOR_BYTES == 16
    return __builtin_shufflevector(v, v, I, I);
#elif VEMFAST_VECTOR_BYTES == 32
    return __builtin_shufflevector(v, v, I, I, I, I);
#else
    return __builtin_shufflevector(v, v, I, I, I, I, I, I, I, I);
#endif
}

// Calls body.operator()<I>() for each lane.
template <int I = 0, class Body>
inline void for_lanes(Body body) {
    if constexpr (I < static_cast<int>(kLanes<double>)) {
        body.template operator()<I>();
        for_lanes<I + 1>(body);
    }
}

// Rows of one vector; behind the matrix they are `pad`.
struct MatrixRows {
    Vec<double> row[kLanes<double>];

    MatrixRows(const double* matrix, std::size_t n_rows, double pad) {
        for_lanes([&]<int I> {
            row[I] = I < n_rows ? load<double>(matrix + I * kLanes<double>) : splat<double>(pad);
        });
    }
};

// Sum over i of from_i M_i o more. What has to wait for `from` is short.
inline Vec<double> lanes_product(Vec<double> from, const MatrixRows& matrix, Vec<double> more) {
    Vec<double> even = {}, odd = {};
    for_lanes([&]<int I> {
        const Vec<double> factor = matrix.row[I] * more;
        Vec<double>& sum = I % 2 == 0 ? even : odd;
        sum = I < 2 ? lane<I>(from) * factor : mul_add<double>(lane<I>(from), factor, sum);
    });
    return even + odd;
}

// Maximum over i of from_i + M_i.
inline Vec<double> lanes_best(Vec<double> from, const MatrixRows& matrix) {
    Vec<double> even = {}, odd = {};
    for_lanes([&]<int I> {
        const Vec<double> value = lane<I>(from) + matrix.row[I];
        Vec<double>& best = I % 2 == 0 ? even : odd;
        best = I < 2 ? value : max<double>(best, value);
    });
    return max<double>(even, odd);
}

inline void forward_in_registers(const ChainTables& chain, const double* b, double* a, double* r,
                                 std::size_t n, bool begins, ForwardState& state) {
    constexpr std::size_t W = kLanes<double>;
    const MatrixRows rows(chain.transitions, chain.n_states, 0.0);
    Vec<double> last = begins ? Vec<double>{} : load<double>(a - W);
    ForwardState now = state;
    for (std::size_t t = 0; t < n; ++t) {
        const bool first = begins && t == 0;
        const double scale = first ? 1.0 : inverse_root_power(now.sum_before);
        const Vec<double> likelihood = load<double>(b + t * W) * splat<double>(scale);
        last =
            first ? load<double>(chain.start) * likelihood : lanes_product(last, rows, likelihood);
        store<double>(a + t * W, last);
        r[t] = scale;
        now.exponent += exponent_of(scale);
        now.sum_before = first ? 1.0 : now.sum;
        now.sum = horizontal_sum<double>(last);
        now.smallest = now.sum < now.smallest ? now.sum : now.smallest;
        now.largest = now.sum > now.largest ? now.sum : now.largest;
    }
    state = now;
}

inline void backward_in_registers(const ChainTables& chain, const double* a, double* b,
                                  const double* r, std::size_t n, double weight, double* h,
                                  double* g) {
    constexpr std::size_t W = kLanes<double>;
    const MatrixRows columns(chain.transposed, chain.n_states, 0.0);
    const Vec<double> w = splat<double>(weight);
    const Vec<double> one = splat<double>(1.0);
    Vec<double> later = load<double>(h);
    for (std::size_t t = n; t-- > 0;) {
        const Vec<double> u = (load<double>(b + t * W) * splat<double>(r[t])) * later;
        store<double>(g + t * W, (load<double>(a + t * W) * w) * later);
        store<double>(b + t * W, u * w);
        later = lanes_product(u, columns, one);
    }
    store<double>(h, later);
}

inline void best_in_registers(const ChainTables& chain, double* d, std::size_t n, bool begins) {
    constexpr std::size_t W = kLanes<double>;
    const MatrixRows rows(chain.log_transitions, chain.n_states, -__builtin_inf());
    Vec<double> last = begins ? Vec<double>{} : load<double>(d - W);
    for (std::size_t t = 0; t < n; ++t) {
        const Vec<double> before =
            begins && t == 0 ? load<double>(chain.log_start) : lanes_best(last, rows);
        last = load<double>(d + t * W) + before;
        store<double>(d + t * W, last);
    }
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
