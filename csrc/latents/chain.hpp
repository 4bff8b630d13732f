// The recursions of a hidden Markov chain over consecutive steps of one sequence, in double.
//
// States run along the vector lanes: a step's vector of ld numbers is V registers (V > 0), or a row
// in memory that is taken in strips (V = 0, many states).
//
// Forward: a_t = (a_{t-1} A) o b_t r_t. With S_t the sum of a_t,
// log p(x_1..t) = log S_t - sum log r + shifts,
// and r_t is a power of two near S_{t-2}^(-1/2): exact, without division or logarithm,
// and not in the chain of operations that wait for each other. (log2 S_t = log2 S_{t-1} - half of
// log2 S_{t-2} + log2 of the step's own factor: a damped recursion, about twice that of the
// factor.) Backward: the vectors h_t with a_t . h_t = 1, so that a_t o h_t is the posterior;
// h_{t-1} = A u_t, u_t = b_t o h_t r_t, and a_{t-1}(i) A(i, j) u_t(j) is the posterior of the pair.
//
// Nothing here can tell a state that cannot be reached from one whose weight underflowed. That can
// only matter where the other direction overflows, or nothing is left: the sums that are not normal
// numbers then are noticed, and the sequence is done again in logarithms.
#pragma once

#include "../kernels/chain_task.hpp"
#include "../math/vec.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

using namespace vemfast::detail;  // plain data only

// Registers of states that a recursion holds at once.
constexpr int kChainVectors = 8;

// Independent chains of multiply-adds, so that their latency is hidden.
template <int V>
constexpr int kProductChains = V >= 8   ? 1
                               : V >= 4 ? 2
                                        : 4;

// out = from M, V vectors of columns of the K x ld matrix M.
template <int V>
inline void row_product(const double* from, const double* matrix, std::size_t K, std::size_t ld,
                        Vec<double> (&out)[V]) {
    constexpr std::size_t W = kLanes<double>;
    constexpr std::size_t U = kProductChains<V>;
    Vec<double> sum[U][V] = {};
    std::size_t i = 0;
    for (; i + U <= K; i += U) {
#pragma GCC unroll 8
        for (std::size_t u = 0; u < U; ++u) {
            const Vec<double> factor = splat<double>(from[i + u]);
            const double* row = matrix + (i + u) * ld;
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v)
                sum[u][v] = mul_add<double>(factor, load<double>(row + v * W), sum[u][v]);
        }
    }
    for (; i < K; ++i) {
        const Vec<double> factor = splat<double>(from[i]);
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v)
            sum[0][v] = mul_add<double>(factor, load<double>(matrix + i * ld + v * W), sum[0][v]);
    }
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v) {
        if constexpr (U == 4)
            out[v] = (sum[0][v] + sum[1][v]) + (sum[2][v] + sum[3][v]);
        else if constexpr (U == 2)
            out[v] = sum[0][v] + sum[1][v];
        else
            out[v] = sum[0][v];
    }
}

// Calls body.operator()<V>(offset) for strips that cover `ld` lanes; V > 0: one strip of V.
template <int V, class Body>
inline void chain_strip_of(std::size_t vectors, std::size_t at, Body& body) {
    if constexpr (V > 1) {
        if (vectors < static_cast<std::size_t>(V))
            return chain_strip_of<V - 1>(vectors, at, body);
    }
    body.template operator()<V>(at);
}

template <int V, class Body>
inline void for_chain_strips(std::size_t ld, Body body) {
    if constexpr (V > 0) {
        body.template operator()<V>(std::size_t{0});
    } else {
        const std::size_t vectors = ld / kLanes<double>;
        for (std::size_t at = 0; at < vectors; at += kChainVectors) {
            const std::size_t left = vectors - at;
            chain_strip_of<kChainVectors>(left < kChainVectors ? left : kChainVectors,
                                          at * kLanes<double>, body);
        }
    }
}

// 2^-floor(e / 2) for a normal x in [2^e, 2^(e + 1)).
inline double inverse_root_power(double x) {
    std::int64_t bits;
    __builtin_memcpy(&bits, &x, sizeof bits);
    const std::int64_t half = ((bits >> 52) - 1023) >> 1;
    bits = (1023 - half) << 52;
    double out;
    __builtin_memcpy(&out, &bits, sizeof out);
    return out;
}

// The exponent of a power of two.
inline std::int64_t exponent_of(double power) {
    std::uint64_t bits;
    __builtin_memcpy(&bits, &power, sizeof bits);
    return static_cast<std::int64_t>(bits >> 52) - 1023;
}

// Sums that are outside have lost digits, or everything.
constexpr double kSmallestSum = 0x1p-960;
constexpr double kLargestSum = 0x1p960;

inline bool is_normal_sum(double x) {
    return x > kSmallestSum && x < kLargestSum;  // not NaN
}

// Steps [0, n) of the rows b (likelihoods), a (out) and r (out). a[-ld] holds the vector of the
// step before unless `begins`.
template <int V>
static void forward_run(const ChainTables& chain, const double* b, double* a, double* r,
                        std::size_t n, bool begins, ForwardState& state) {
    constexpr std::size_t W = kLanes<double>;
    const std::size_t K = chain.n_states;
    const std::size_t ld = V > 0 ? V * W : chain.ld;
    double sum = state.sum;
    double sum_before = state.sum_before;
    double smallest = state.smallest;
    double largest = state.largest;
    std::int64_t exponent = state.exponent;
    for (std::size_t t = 0; t < n; ++t) {
        const bool first = begins && t == 0;
        const double scale = first ? 1.0 : inverse_root_power(sum_before);
        const Vec<double> factor = splat<double>(scale);
        const double* likelihood = b + t * ld;
        double* to = a + t * ld;
        Vec<double> total = {};
        for_chain_strips<V>(ld, [&]<int S>(std::size_t at) {
            Vec<double> predicted[S];
            if (first) {
#pragma GCC unroll 8
                for (int v = 0; v < S; ++v)
                    predicted[v] = load<double>(chain.start + at + v * W);
            } else {
                row_product<S>(to - ld, chain.transitions + at, K, ld, predicted);
            }
            Vec<double> part = {};
#pragma GCC unroll 8
            for (int v = 0; v < S; ++v) {
                const Vec<double> next =
                    predicted[v] * (load<double>(likelihood + at + v * W) * factor);
                store<double>(to + at + v * W, next);
                part += next;
            }
            total += part;
        });
        r[t] = scale;
        exponent += exponent_of(scale);
        sum_before = first ? 1.0 : sum;
        sum = horizontal_sum<double>(total);
        smallest = sum < smallest ? sum : smallest;
        largest = sum > largest ? sum : largest;
    }
    state = {sum, sum_before, smallest, largest, exponent};
}

// Whether all went well.
inline bool is_normal(const ForwardState& state) {
    return is_normal_sum(state.smallest) && is_normal_sum(state.largest) &&
           is_normal_sum(state.sum);
}

// a . h over the states.
inline double dot(const double* a, const double* h, std::size_t ld) {
    Vec<double> sum = {};
    for (std::size_t k = 0; k < ld; k += kLanes<double>)
        sum = mul_add<double>(load<double>(a + k), load<double>(h + k), sum);
    return horizontal_sum<double>(sum);
}

inline double sum_states(const double* a, std::size_t ld) {
    Vec<double> sum = {};
    for (std::size_t k = 0; k < ld; k += kLanes<double>)
        sum += load<double>(a + k);
    return horizontal_sum<double>(sum);
}

// h = h / divisor.
inline void divide(double* h, double divisor, std::size_t ld) {
    const Vec<double> factor = splat<double>(1.0 / divisor);
    for (std::size_t k = 0; k < ld; k += kLanes<double>)
        store<double>(h + k, load<double>(h + k) * factor);
}

// Steps n - 1 down to 0: h holds h_{n-1} and becomes that of the step before step 0. The rows of b
// become w u_t, those of g w a_t o h_t.
template <int V>
static void backward_run(const ChainTables& chain, const double* a, double* b, const double* r,
                         std::size_t n, double weight, double* h, double* g) {
    constexpr std::size_t W = kLanes<double>;
    const std::size_t K = chain.n_states;
    const std::size_t ld = V > 0 ? V * W : chain.ld;
    const Vec<double> w = splat<double>(weight);
    for (std::size_t t = n; t-- > 0;) {
        const Vec<double> factor = splat<double>(r[t]);
        // u without the weight goes to the ld numbers behind h; then h = A u.
        for_chain_strips<V>(ld, [&]<int S>(std::size_t at) {
#pragma GCC unroll 8
            for (int v = 0; v < S; ++v) {
                const std::size_t k = at + v * W;
                const Vec<double> later = load<double>(h + k);
                const Vec<double> u = (load<double>(b + t * ld + k) * factor) * later;
                store<double>(g + t * ld + k, (load<double>(a + t * ld + k) * w) * later);
                store<double>(b + t * ld + k, u * w);
                store<double>(h + ld + k, u);
            }
        });
        for_chain_strips<V>(ld, [&]<int S>(std::size_t at) {
            Vec<double> earlier[S];
            row_product<S>(h + ld, chain.transposed + at, K, ld, earlier);
#pragma GCC unroll 8
            for (int v = 0; v < S; ++v)
                store<double>(h + at + v * W, earlier[v]);
        });
    }
}

// The backward vectors without the forward ones, scaled by themselves: h becomes that of the step
// before step 0. h has room for 2 ld numbers.
template <int V>
static void backward_alone(const ChainTables& chain, const double* b, std::size_t n, double* h) {
    constexpr std::size_t W = kLanes<double>;
    const std::size_t K = chain.n_states;
    const std::size_t ld = V > 0 ? V * W : chain.ld;
    double sum = sum_states(h, ld);
    double sum_before = sum;
    for (std::size_t t = n; t-- > 0;) {
        const Vec<double> factor = splat<double>(inverse_root_power(sum_before));
        for_chain_strips<V>(ld, [&]<int S>(std::size_t at) {
#pragma GCC unroll 8
            for (int v = 0; v < S; ++v) {
                const std::size_t k = at + v * W;
                store<double>(h + ld + k,
                              (load<double>(b + t * ld + k) * factor) * load<double>(h + k));
            }
        });
        Vec<double> total = {};
        for_chain_strips<V>(ld, [&]<int S>(std::size_t at) {
            Vec<double> earlier[S];
            row_product<S>(h + ld, chain.transposed + at, K, ld, earlier);
#pragma GCC unroll 8
            for (int v = 0; v < S; ++v) {
                store<double>(h + at + v * W, earlier[v]);
                total += earlier[v];
            }
        });
        sum_before = sum;
        sum = horizontal_sum<double>(total);
    }
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
