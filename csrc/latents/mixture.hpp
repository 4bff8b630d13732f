// The local step of a mixture: scores of one tile become weighted responsibilities or labels.
//
// Scores are component-major, s[k * ld + n]; rows run along the vector lanes, one cache line of
// rows at a time, so each pass over the components reads whole lines. No rule assumes that the
// scores are normalised: exponentials of expected log parameters sum to less than one.
#pragma once

#include <cstdint>

#include "../kernels/task.hpp"
#include "../math/exp.hpp"
#include "../math/log.hpp"
#include "../math/philox.hpp"
#include "../math/vec.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

using namespace vemfast::detail;  // plain data only

// Vectors in one cache line of rows.
constexpr int kLineVectors = 64 / kVectorBytes;
template <class T>
constexpr std::size_t kLineRows = kLineVectors * kLanes<T>;

// Responsibilities below e to this power (1e-278, 1e-26) are zero: smaller ones would add nothing
// to any sum, and their products with the data would be denormal numbers, which cost a hundred
// times a normal one.
template <class T>
constexpr T kFarBelow = sizeof(T) == 8 ? T(-640) : T(-60);

// exp(below), below <= 0; `below` is raised to where the result is zero, which keeps (-inf) * 0
// out of the entropy.
template <class T>
inline Vec<T> share_of(Vec<T>& below) {
    below = max<T>(below, splat<T>(kFarBelow<T>));
    return select<T>(below > splat<T>(kFarBelow<T>), vexp_normal<T>(below), splat<T>(T(0)));
}

// Whether no row of a line has a share of a component: then there is nothing to compute or to add.
template <class T>
inline bool all_far_below(const T* cell, const Vec<T> (&largest)[kLineVectors]) {
    BitVec<T> near = {};
#pragma GCC unroll 4
    for (int v = 0; v < kLineVectors; ++v)
        near |= (BitVec<T>)(load<T>(cell + v * kLanes<T>) - largest[v] > splat<T>(kFarBelow<T>));
    return !any_bit<T>(near);
}

struct TileBound {
    double local_bound = 0;
    double entropy = 0;
    std::size_t zero_lines = 0;  // lines of rows, by components, that may have no share
};

inline double sum_as_double(Vec<double> v) {
    return horizontal_sum<double>(v);
}
inline double sum_as_double(Vec<float> v) {
    const auto halves = to_double(v);
    return horizontal_sum<double>(halves.low + halves.high);
}

template <class T>
inline void row_maxima(const T* s, std::size_t ld, std::size_t K, Vec<T> (&largest)[kLineVectors]) {
#pragma GCC unroll 4
    for (int v = 0; v < kLineVectors; ++v)
        largest[v] = load<T>(s + v * kLanes<T>);
    for (std::size_t k = 1; k < K; ++k) {
#pragma GCC unroll 4
        for (int v = 0; v < kLineVectors; ++v)
            largest[v] = max<T>(largest[v], load<T>(s + k * ld + v * kLanes<T>));
    }
}

// sum_n w_n log(total_n), lane by lane, for totals between 1 and K. Where the weights are one (or
// zero) totals are multiplied, and only the logarithm of eight vectors' product is taken: 1024^8
// is still a float.
template <class T>
class LogSum {
  public:
    explicit LogSum(std::size_t K) : joins_(K <= 1024) {}

    void add_line(const Vec<T> (&total)[kLineVectors], const T* w) {
        Vec<T> weight[kLineVectors];
        BitVec<T> other = {};
#pragma GCC unroll 4
        for (int v = 0; v < kLineVectors; ++v) {
            weight[v] = load<T>(w + v * kLanes<T>);
            other |= (BitVec<T>)(weight[v] * weight[v] != weight[v]);
        }
        if (!joins_ || any_bit<T>(other)) {
#pragma GCC unroll 4
            for (int v = 0; v < kLineVectors; ++v)
                sum_ = mul_add<T>(weight[v], vlog<T>(total[v]), sum_);
            return;
        }
#pragma GCC unroll 4
        for (int v = 0; v < kLineVectors; ++v)
            product_ *= select<T>(weight[v] > splat<T>(T(0)), total[v], splat<T>(T(1)));
        if (++lines_ == kJoinedLines)
            join();
    }

    Vec<T> sum() {
        join();
        return sum_;
    }

  private:
    static constexpr int kJoinedLines = 8 / kLineVectors;

    void join() {
        sum_ += vlog<T>(product_);
        product_ = splat<T>(T(1));
        lines_ = 0;
    }

    bool joins_;
    int lines_ = 0;
    Vec<T> product_ = splat<T>(T(1));
    Vec<T> sum_ = {};
};

// Exact posterior: s becomes w softmax(s). Adds sum w logsumexp(s) and the entropy of q(T).
// log_density (n_padded), where given, receives logsumexp(s).
template <class T>
static TileBound local_exact(T* s, std::size_t ld, std::size_t K, const T* w, std::size_t n_padded,
                             T* log_density) {
    Vec<T> bound = {};
    Vec<T> entropy = {};
    LogSum<T> logs(K);
    // Looking for what can be passed over pays where half of it can; else one line of sixteen is
    // looked at, and stands for the others.
    std::size_t zero_lines = 0;
    std::size_t next_look = 0;
    for (std::size_t n = 0; n < n_padded; n += kLineRows<T>) {
        T* column = s + n;
        Vec<T> largest[kLineVectors];
        row_maxima<T>(column, ld, K, largest);
        Vec<T> total[kLineVectors] = {};
        Vec<T> product[kLineVectors] = {};
        const auto add_share = [&](T* line) {
#pragma GCC unroll 4
            for (int v = 0; v < kLineVectors; ++v) {
                T* cell = line + v * kLanes<T>;
                Vec<T> below = load<T>(cell) - largest[v];
                const Vec<T> e = share_of<T>(below);
                store<T>(cell, e);
                total[v] += e;
                product[v] = mul_add<T>(e, below, product[v]);
            }
        };
        if (n < next_look) {
            for (std::size_t k = 0; k < K; ++k)
                add_share(column + k * ld);
        } else {
            std::size_t zeros = 0;
            for (std::size_t k = 0; k < K; ++k) {
                T* line = column + k * ld;
                if (!all_far_below<T>(line, largest)) {
                    add_share(line);
                    continue;
                }
                ++zeros;
#pragma GCC unroll 4
                for (int v = 0; v < kLineVectors; ++v)
                    store<T>(line + v * kLanes<T>, Vec<T>{});
            }
            const std::size_t left = (n_padded - n) / kLineRows<T>;
            const std::size_t lines = 2 * zeros > K ? 1 : left < 16 ? left : 16;
            zero_lines += zeros * lines;
            next_look = n + lines * kLineRows<T>;
        }
        Vec<T> scale[kLineVectors];
#pragma GCC unroll 4
        for (int v = 0; v < kLineVectors; ++v) {
            const Vec<T> weight = load<T>(w + n + v * kLanes<T>);
            scale[v] = weight / total[v];
            bound = mul_add<T>(weight, largest[v], bound);
            entropy = mul_add<T>(scale[v], -product[v], entropy);
            if (log_density != nullptr)
                store<T>(log_density + n + v * kLanes<T>, largest[v] + vlog<T>(total[v]));
        }
        logs.add_line(total, w + n);
        for (std::size_t k = 0; k < K; ++k) {
#pragma GCC unroll 4
            for (int v = 0; v < kLineVectors; ++v) {
                T* cell = column + k * ld + v * kLanes<T>;
                store<T>(cell, load<T>(cell) * scale[v]);
            }
        }
    }
    const double log_totals = sum_as_double(logs.sum());
    return {sum_as_double(bound) + log_totals, sum_as_double(entropy) + log_totals, zero_lines};
}

// Single best label: the first of the largest scores. Adds sum w max<T>(s); q(T) has no entropy.
template <class T>
static TileBound local_hard(const T* s, std::size_t ld, std::size_t K, const T* w,
                            std::size_t n_padded, std::int32_t* labels) {
    // Four chains of comparisons side by side: two vectors of rows, even and odd components.
    constexpr int V = 2;
    Vec<T> bound = {};
    for (std::size_t n = 0; n < n_padded; n += V * kLanes<T>) {
        Vec<T> best[2][V];
        Vec<T> label[2][V];
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) {
            best[0][v] = load<T>(s + n + v * kLanes<T>);
            best[1][v] = splat<T>(-__builtin_inf());
            label[0][v] = splat<T>(T(0));
            label[1][v] = splat<T>(T(K));
        }
        const auto challenge = [&](std::size_t k, int parity) {
            const Vec<T> mark = splat<T>(static_cast<T>(k));
            const T* row = s + k * ld + n;
#pragma GCC unroll 4
            for (int v = 0; v < V; ++v) {
                const Vec<T> value = load<T>(row + v * kLanes<T>);
                label[parity][v] = select<T>(value > best[parity][v], mark, label[parity][v]);
                best[parity][v] = max<T>(value, best[parity][v]);
            }
        };
        std::size_t k = 1;
        for (; k + 1 < K; k += 2) {
            challenge(k, 1);
            challenge(k + 1, 0);
        }
        if (k < K)
            challenge(k, 1);
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) {
            // Of equal scores the lower component: the even one unless the odd one is greater, or
            // equal with the lower number.
            const auto odd = (best[1][v] > best[0][v]) |
                             ((best[1][v] == best[0][v]) & (label[1][v] < label[0][v]));
            const Vec<T> top = max<T>(best[0][v], best[1][v]);
            const Vec<T> winner = select<T>(odd, label[1][v], label[0][v]);
            bound = mul_add<T>(load<T>(w + n + v * kLanes<T>), top, bound);
            for (std::size_t lane = 0; lane < kLanes<T>; ++lane)
                labels[n + v * kLanes<T> + lane] = static_cast<std::int32_t>(winner[lane]);
        }
    }
    return {sum_as_double(bound), 0.0};
}

// Uniforms of consecutive rows. In float the draw is kept below one, where rounding could put it.
template <class T>
inline Vec<T> row_uniforms(std::uint64_t seed, std::uint32_t iteration, std::uint64_t row) {
    const Vec<double> first = philox_uniforms(seed, iteration, row, kRowStream);
    if constexpr (sizeof(T) == 8) {
        return first;
    } else {
        const Vec<double> second =
            philox_uniforms(seed, iteration, row + kLanes<double>, kRowStream);
        return min<float>(narrow(first, second), splat<float>(1.0F - 0x1p-23F));
    }
}

// One draw a row by inversion: the number of components whose cumulated probability is at most
// u times the total. Adds sum w logsumexp(s): what a Gibbs trace reports is log p(X | theta).
template <class T>
static TileBound local_sampled(T* s, std::size_t ld, std::size_t K, const T* w,
                               std::size_t n_padded, std::uint64_t seed, std::uint32_t iteration,
                               std::uint64_t first_row, std::int32_t* labels) {
    Vec<T> bound = {};
    const T last = static_cast<T>(K - 1);
    for (std::size_t n = 0; n < n_padded; n += kLineRows<T>) {
        T* column = s + n;
        Vec<T> largest[kLineVectors];
        row_maxima<T>(column, ld, K, largest);
        Vec<T> total[kLineVectors] = {};
        for (std::size_t k = 0; k < K; ++k) {
#pragma GCC unroll 4
            for (int v = 0; v < kLineVectors; ++v) {
                T* cell = column + k * ld + v * kLanes<T>;
                Vec<T> below = load<T>(cell) - largest[v];
                const Vec<T> e = share_of<T>(below);
                store<T>(cell, e);
                total[v] += e;
            }
        }
        Vec<T> threshold[kLineVectors];
#pragma GCC unroll 4
        for (int v = 0; v < kLineVectors; ++v) {
            bound += load<T>(w + n + v * kLanes<T>) * (largest[v] + vlog<T>(total[v]));
            const Vec<T> u = row_uniforms<T>(
                seed, iteration, first_row + n + static_cast<std::size_t>(v) * kLanes<T>);
            threshold[v] = u * total[v];
        }
        Vec<T> cumulated[kLineVectors] = {};
        Vec<T> label[kLineVectors] = {};
        for (std::size_t k = 0; k < K; ++k) {
#pragma GCC unroll 4
            for (int v = 0; v < kLineVectors; ++v) {
                cumulated[v] += load<T>(column + k * ld + v * kLanes<T>);
                label[v] += select<T>(cumulated[v] <= threshold[v], splat<T>(T(1)), splat<T>(T(0)));
            }
        }
#pragma GCC unroll 4
        for (int v = 0; v < kLineVectors; ++v) {
            for (std::size_t lane = 0; lane < kLanes<T>; ++lane)
                labels[n + v * kLanes<T> + lane] =
                    static_cast<std::int32_t>(label[v][lane] < last ? label[v][lane] : last);
        }
    }
    return {sum_as_double(bound), 0.0};
}

// Random responsibilities of a start: K uniforms a row, normalised, times the weight.
template <class T>
static void local_random(T* s, std::size_t ld, std::size_t K, const T* w, std::size_t n_rows,
                         std::size_t n_padded, std::uint64_t seed, std::uint64_t first_row) {
    for (std::size_t n = 0; n < n_rows; ++n) {
        T total = 0;
        for (std::size_t k = 0; k < K; ++k) {
            const T u = static_cast<T>(
                philox_uniform(seed, static_cast<std::uint32_t>(k), first_row + n, kStartStream));
            s[k * ld + n] = u;
            total += u;
        }
        const T scale = w[n] / total;
        for (std::size_t k = 0; k < K; ++k)
            s[k * ld + n] *= scale;
    }
    for (std::size_t n = n_rows; n < n_padded; ++n) {
        for (std::size_t k = 0; k < K; ++k)
            s[k * ld + n] = 0;
    }
}

// Responsibilities of a start that are given, rows x K, times the weight.
template <class T>
static void local_given(T* s, std::size_t ld, std::size_t K, const T* w, std::size_t n_rows,
                        std::size_t n_padded, const double* given) {
    for (std::size_t n = 0; n < n_padded; ++n) {
        for (std::size_t k = 0; k < K; ++k)
            s[k * ld + n] = n < n_rows ? w[n] * static_cast<T>(given[n * K + k]) : T(0);
    }
}

// Rows whose component is known: no other component scores there, so that every rule gives them
// to their own, and the bound is that of the rows with their labels. Their own score stays finite:
// where a component of weight zero is known to have a row, the bound is far below all others.
template <class T>
static void clamp_scores(T* s, std::size_t ld, std::size_t K, const std::int32_t* labels,
                         std::size_t n_rows) {
    constexpr T kNever = -static_cast<T>(__builtin_inf());
    constexpr T kLeast = sizeof(T) == 8 ? T(-1e300) : T(-1e37);
    for (std::size_t n = 0; n < n_rows; ++n) {
        if (labels[n] < 0)
            continue;
        for (std::size_t k = 0; k < K; ++k) {
            T& cell = s[k * ld + n];
            if (static_cast<std::int32_t>(k) != labels[n])
                cell = kNever;
            else if (!(cell > kLeast))
                cell = kLeast;
        }
    }
}

// The same for responsibilities.
template <class T>
static void clamp_shares(T* s, std::size_t ld, std::size_t K, const T* w,
                         const std::int32_t* labels, std::size_t n_rows) {
    for (std::size_t n = 0; n < n_rows; ++n) {
        if (labels[n] < 0)
            continue;
        for (std::size_t k = 0; k < K; ++k)
            s[k * ld + n] = static_cast<std::int32_t>(k) == labels[n] ? w[n] : T(0);
    }
}

// What the local step of a tile is told beside the scores.
struct LocalStep {
    LocalRule rule;
    const std::int32_t* given_labels;  // of the view's rows, -1 where unknown; or null
    std::uint64_t offset;              // global index of the view's first row
    std::uint64_t seed;
    std::uint32_t iteration;
    const double* responsibilities = nullptr;  // of the view's rows, for LocalRule::given
};

inline bool needs_scores(LocalRule rule) {
    return rule == LocalRule::exact || rule == LocalRule::hard || rule == LocalRule::sampled;
}

// Whether the rule leaves one label a row; otherwise responsibilities, in the scores' place.
inline bool gives_labels(LocalRule rule) {
    return rule == LocalRule::hard || rule == LocalRule::sampled || rule == LocalRule::labels;
}

// The local step of rows [row, row + n_rows) of the view, padded to n_padded with weight zero.
template <class T>
static TileBound apply_rule(const LocalStep& step, T* s, std::size_t ld, std::size_t K, const T* w,
                            std::size_t row, std::size_t n_rows, std::size_t n_padded,
                            std::int32_t* labels) {
    const std::int32_t* known = step.given_labels == nullptr ? nullptr : step.given_labels + row;
    if (known != nullptr && needs_scores(step.rule))
        clamp_scores<T>(s, ld, K, known, n_rows);
    switch (step.rule) {
        case LocalRule::exact:
            return local_exact<T>(s, ld, K, w, n_padded, nullptr);
        case LocalRule::hard:
            return local_hard<T>(s, ld, K, w, n_padded, labels);
        case LocalRule::sampled:
            return local_sampled<T>(s, ld, K, w, n_padded, step.seed, step.iteration,
                                    step.offset + row, labels);
        case LocalRule::labels:
            for (std::size_t n = 0; n < n_rows; ++n)
                labels[n] = known[n];
            return {};
        case LocalRule::random:
            local_random<T>(s, ld, K, w, n_rows, n_padded, step.seed, step.offset + row);
            break;
        case LocalRule::given:
            local_given<T>(s, ld, K, w, n_rows, n_padded, step.responsibilities + row * K);
            break;
    }
    if (known != nullptr)
        clamp_shares<T>(s, ld, K, w, known, n_rows);
    // Nobody has looked for lines without a share; there may be many.
    return {0, 0, step.rule == LocalRule::given ? K * n_padded / kLineRows<T> : 0};
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
