// Sufficient statistics of Gaussian components over one tile of rows.
//
// The weighted responsibilities r (component-major, r[k * ld + n], zero on padded rows) and the
// feature-major tile x meet in one micro-kernel, `gram`: C_ij += sum_n a_i[n] b_j[n], a register
// tile of row-vector accumulators whose lanes are summed once a tile. Every covariance type is
// such a product:
//   full       a = r_k x_i (built four rows at a time, they stay in L1), b = x_j, j <= i
//   diag       a = r_k, b = [x, x^2]
//   spherical  a = r_k, b = [x, |x|^2]
//   tied       a = r_k, b = x; and once a tile the scatter of all rows, a = w x_i, b = x_j
// Sums within a tile are of type T; across tiles they are added into double statistics.
//
// On separated data most vectors of rows have no responsibility above zero for a component. The
// others are then moved together (`pack_rows`) before they are summed. Every accumulator is one
// chain over the vectors in their order, and a sum that starts at zero is not changed by the zeros
// left out, so the bits are those of the sum over all rows.
#pragma once

#include "../kernels/task.hpp"
#include "../math/vec.hpp"
#include "gaussian_score.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

// Register tile of `gram`: kGramA x kGramB accumulators beside their operands; 16 of the 32
// registers of AVX-512, 12 of 16 elsewhere.
constexpr int kGramA = 4;
constexpr int kGramB = kVectorBytes == 64 ? 4 : 3;

// out[i * kGramB + j] = sum_n a_i[n] b_j[n], i < A, j < B, over n_padded rows.
template <class T, int A, int B>
inline void gram(const T* a, std::size_t lda, const T* b, std::size_t ldb, std::size_t n_padded,
                 T* out) {
    constexpr int W = static_cast<int>(kLanes<T>);
    constexpr int kSums = A * B;
    constexpr int kStages = (kSums + W - 1) / W;
    Vec<T> sum[kStages][W] = {};
    for (std::size_t n = 0; n < n_padded; n += W) {
        Vec<T> right[B];
#pragma GCC unroll 8
        for (int j = 0; j < B; ++j)
            right[j] = load<T>(b + j * ldb + n);
#pragma GCC unroll 8
        for (int i = 0; i < A; ++i) {
            const Vec<T> left = load<T>(a + i * lda + n);
#pragma GCC unroll 8
            for (int j = 0; j < B; ++j)
                sum[(i * B + j) / W][(i * B + j) % W] =
                    mul_add<T>(left, right[j], sum[(i * B + j) / W][(i * B + j) % W]);
        }
    }
    T flat[kStages * W];
#pragma GCC unroll 8
    for (int stage = 0; stage < kStages; ++stage)
        store<T>(flat + stage * W, reduce_lanes<T>(sum[stage]));
#pragma GCC unroll 8
    for (int i = 0; i < A; ++i) {
#pragma GCC unroll 8
        for (int j = 0; j < B; ++j)
            out[i * kGramB + j] = flat[i * B + j];
    }
}

template <class T, int A>
inline void gram_columns(const T* a, std::size_t lda, const T* b, std::size_t ldb,
                         std::size_t n_padded, std::size_t columns, T* out) {
    if (columns >= static_cast<std::size_t>(kGramB))
        return gram<T, A, kGramB>(a, lda, b, ldb, n_padded, out);
    if (columns == 2)
        return gram<T, A, 2>(a, lda, b, ldb, n_padded, out);
    if constexpr (kGramB > 3) {
        if (columns == 3)
            return gram<T, A, 3>(a, lda, b, ldb, n_padded, out);
    }
    return gram<T, A, 1>(a, lda, b, ldb, n_padded, out);
}

// The lower triangle of `gram` where a and b are the same four features: ten sums instead of
// sixteen. out[i * kGramA + j], j <= i.
template <class T>
inline void gram_diagonal(const T* a, const T* b, std::size_t ld, std::size_t n_padded, T* out) {
    constexpr int W = static_cast<int>(kLanes<T>);
    constexpr int A = kGramA;
    constexpr int kSums = A * (A + 1) / 2;
    constexpr int kStages = (kSums + W - 1) / W;
    Vec<T> sum[kStages][W] = {};
    for (std::size_t n = 0; n < n_padded; n += W) {
        Vec<T> right[A];
#pragma GCC unroll 8
        for (int j = 0; j < A; ++j)
            right[j] = load<T>(b + j * ld + n);
#pragma GCC unroll 8
        for (int i = 0; i < A; ++i) {
            const Vec<T> left = load<T>(a + i * ld + n);
#pragma GCC unroll 8
            for (int j = 0; j <= i; ++j) {
                Vec<T>& cell = sum[(i * (i + 1) / 2 + j) / W][(i * (i + 1) / 2 + j) % W];
                cell = mul_add<T>(left, right[j], cell);
            }
        }
    }
    T flat[kStages * W];
#pragma GCC unroll 8
    for (int stage = 0; stage < kStages; ++stage)
        store<T>(flat + stage * W, reduce_lanes<T>(sum[stage]));
    for (int i = 0; i < A; ++i) {
        for (int j = 0; j <= i; ++j)
            out[i * A + j] = flat[i * (i + 1) / 2 + j];
    }
}

template <class T>
inline void gram_any(const T* a, std::size_t lda, std::size_t height, const T* b, std::size_t ldb,
                     std::size_t columns, std::size_t n_padded, T* out) {
    switch (height) {
        case 1:
            return gram_columns<T, 1>(a, lda, b, ldb, n_padded, columns, out);
        case 2:
            return gram_columns<T, 2>(a, lda, b, ldb, n_padded, columns, out);
        case 3:
            return gram_columns<T, 3>(a, lda, b, ldb, n_padded, columns, out);
        default:
            return gram_columns<T, 4>(a, lda, b, ldb, n_padded, columns, out);
    }
}

inline std::size_t at_most(std::size_t left, std::size_t bound) {
    return left < bound ? left : bound;
}

// Columns of the next tile of `gram`: kGramB, but two and two rather than three and one.
inline std::size_t next_width(std::size_t left) {
    return kGramB == 3 && left == 4 ? 2 : at_most(left, kGramB);
}

// out[k * out_ld + j] += sum_n r_k[n] b_j[n], K x columns.
template <class T>
static void accumulate_product(const T* r, std::size_t ld, std::size_t K, const T* b,
                               std::size_t columns, std::size_t n_padded, double* out,
                               std::size_t out_ld) {
    T tile[kGramA * kGramB];
    for (std::size_t k = 0; k < K; k += kGramA) {
        const std::size_t height = at_most(K - k, kGramA);
        std::size_t width = 0;
        for (std::size_t j = 0; j < columns; j += width) {
            width = next_width(columns - j);
            gram_any<T>(r + k * ld, ld, height, b + j * ld, ld, width, n_padded, tile);
            for (std::size_t i = 0; i < height; ++i) {
                for (std::size_t c = 0; c < width; ++c)
                    out[(k + i) * out_ld + j + c] += static_cast<double>(tile[i * kGramB + c]);
            }
        }
    }
}

// Sum of one row vector, in double.
template <class T>
inline double row_sum(const T* r, std::size_t n_padded) {
    Vec<T> sum[2] = {};
    const std::size_t W = kLanes<T>;
    std::size_t n = 0;
    for (; n + 2 * W <= n_padded; n += 2 * W) {
        sum[0] += load<T>(r + n);
        sum[1] += load<T>(r + n + W);
    }
    for (; n < n_padded; n += W)
        sum[0] += load<T>(r + n);
    return static_cast<double>(horizontal_sum<T>(sum[0] + sum[1]));
}

// target_i = r x_i, i < A, over n_padded rows; adds their sums to `sums` where it is given.
template <class T, int A>
inline void weigh(const T* r, const T* x, std::size_t ld, std::size_t n_padded, T* target,
                  double* sums) {
    Vec<T> sum[A] = {};
    for (std::size_t n = 0; n < n_padded; n += kLanes<T>) {
        const Vec<T> weight = load<T>(r + n);
#pragma GCC unroll 4
        for (int i = 0; i < A; ++i) {
            const Vec<T> product = weight * load<T>(x + i * ld + n);
            store<T>(target + i * ld + n, product);
            sum[i] += product;
        }
    }
    if (sums == nullptr)
        return;
#pragma GCC unroll 4
    for (int i = 0; i < A; ++i)
        sums[i] += static_cast<double>(horizontal_sum<T>(sum[i]));
}

template <class T>
inline void weigh_any(std::size_t n_features, const T* r, const T* x, std::size_t ld,
                      std::size_t n_padded, T* target, double* sums) {
    switch (n_features) {
        case 1:
            return weigh<T, 1>(r, x, ld, n_padded, target, sums);
        case 2:
            return weigh<T, 2>(r, x, ld, n_padded, target, sums);
        case 3:
            return weigh<T, 3>(r, x, ld, n_padded, target, sums);
        default:
            return weigh<T, 4>(r, x, ld, n_padded, target, sums);
    }
}

// Packed lower triangle of sum_n r[n] x x^T, and sums += sum_n r[n] x when `sums` is given.
// `weighted` is workspace for kGramA rows.
template <class T>
static void accumulate_triangle(const T* r, const T* x, std::size_t ld, std::size_t D,
                                std::size_t n_padded, T* weighted, double* sums, double* triangle) {
    T tile[kGramA * kGramA];
    for (std::size_t i0 = 0; i0 < D; i0 += kGramA) {
        const std::size_t height = at_most(D - i0, kGramA);
        weigh_any<T>(height, r, x + i0 * ld, ld, n_padded, weighted,
                     sums == nullptr ? nullptr : sums + i0);
        // Whole groups of four have a triangle of their own on the diagonal.
        const bool whole = height == static_cast<std::size_t>(kGramA);
        const std::size_t columns = whole ? i0 : i0 + height;
        std::size_t width = 0;
        for (std::size_t j0 = 0; j0 < columns; j0 += width) {
            width = next_width(columns - j0);
            gram_any<T>(weighted, ld, height, x + j0 * ld, ld, width, n_padded, tile);
            for (std::size_t i = 0; i < height; ++i) {
                double* out = triangle + (i0 + i) * (i0 + i + 1) / 2;
                for (std::size_t c = 0; c < width && j0 + c <= i0 + i; ++c)
                    out[j0 + c] += static_cast<double>(tile[i * kGramB + c]);
            }
        }
        if (!whole)
            continue;
        gram_diagonal<T>(weighted, x + i0 * ld, ld, n_padded, tile);
        for (std::size_t i = 0; i < height; ++i) {
            double* out = triangle + (i0 + i) * (i0 + i + 1) / 2 + i0;
            for (std::size_t c = 0; c <= i; ++c)
                out[c] += static_cast<double>(tile[i * kGramA + c]);
        }
    }
}

// Count, sums and packed triangle of one component in one pass, for few features: all accumulators
// stay in registers. The same sums in the same order as above, and so the same bits.
template <class T, int D>
inline void add_moments(const T* r, const T* x, std::size_t ld, std::size_t n_padded, double* count,
                        double* sums, double* triangle) {
    constexpr std::size_t W = kLanes<T>;
    constexpr int kPairs = D * (D + 1) / 2;
    Vec<T> mass[2] = {};
    Vec<T> sum[D] = {};
    Vec<T> square[kPairs] = {};
    const auto add = [&](std::size_t n, Vec<T>& to) {
        const Vec<T> weight = load<T>(r + n);
        Vec<T> row[D];
        to += weight;
#pragma GCC unroll 3
        for (int i = 0; i < D; ++i) {
            row[i] = load<T>(x + static_cast<std::size_t>(i) * ld + n);
            const Vec<T> product = weight * row[i];
            sum[i] += product;
#pragma GCC unroll 3
            for (int j = 0; j <= i; ++j) {
                Vec<T>& cell = square[i * (i + 1) / 2 + j];
                cell = mul_add<T>(product, row[j], cell);
            }
        }
    };
    std::size_t n = 0;
    for (; n + 2 * W <= n_padded; n += 2 * W) {
        add(n, mass[0]);
        add(n + W, mass[1]);
    }
    for (; n < n_padded; n += W)
        add(n, mass[0]);
    *count += static_cast<double>(horizontal_sum<T>(mass[0] + mass[1]));
#pragma GCC unroll 3
    for (int i = 0; i < D; ++i)
        sums[i] += static_cast<double>(horizontal_sum<T>(sum[i]));
#pragma GCC unroll 6
    for (int p = 0; p < kPairs; ++p)
        triangle[p] += static_cast<double>(horizontal_sum<T>(square[p]));
}

// The most features of `accumulate_few`.
constexpr std::size_t kFewAxes = 3;

template <class T>
static void accumulate_few(const T* r, const T* x, std::size_t ld, std::size_t k0, std::size_t K,
                           std::size_t D, std::size_t n_padded, const StatsLayout& layout,
                           double* stats) {
    for (std::size_t k = 0; k < K; ++k) {
        const T* of = r + k * ld;
        double* count = stats + layout.counts + k0 + k;
        double* sums = stats + layout.sums + (k0 + k) * D;
        double* triangle = stats + layout.scatter + (k0 + k) * (D * (D + 1) / 2);
        if (D == 1)
            add_moments<T, 1>(of, x, ld, n_padded, count, sums, triangle);
        else if (D == 2)
            add_moments<T, 2>(of, x, ld, n_padded, count, sums, triangle);
        else
            add_moments<T, 3>(of, x, ld, n_padded, count, sums, triangle);
    }
}

// Feature rows that the product of the diagonal and spherical types needs beside x itself: the
// squares (D rows) or their sum (one row), written behind the D rows of the tile.
template <class T>
static void append_squares(Covariance kind, T* x, std::size_t ld, std::size_t D,
                           std::size_t n_padded) {
    const std::size_t W = kLanes<T>;
    if (kind == Covariance::diag) {
        for (std::size_t i = 0; i < D; ++i) {
            for (std::size_t n = 0; n < n_padded; n += W) {
                const Vec<T> v = load<T>(x + i * ld + n);
                store<T>(x + (D + i) * ld + n, v * v);
            }
        }
    } else if (kind == Covariance::spherical || kind == Covariance::tied_spherical) {
        for (std::size_t n = 0; n < n_padded; n += W) {
            Vec<T> sum = {};
            for (std::size_t i = 0; i < D; ++i) {
                const Vec<T> v = load<T>(x + i * ld + n);
                sum = mul_add<T>(v, v, sum);
            }
            store<T>(x + D * ld + n, sum);
        }
    }
}

// Rows of the tile, appended squares included.
inline std::size_t tile_features(Covariance kind, std::size_t D) {
    switch (kind) {
        case Covariance::diag:
            return 2 * D;
        case Covariance::spherical:
        case Covariance::tied_spherical:
            return D + 1;
        default:
            return D;
    }
}

// Workspace of `accumulate_packed`.
template <class T>
struct PackedRows {
    T* r;                 // kGramA x ld
    T* x;                 // tile_features x ld
    std::uint32_t* list;  // ld
};

// Moves the vectors of rows in which one of the K rows of r is not zero together, in their order.
// Returns the number of rows that are left; n_padded, without moving any, where that is too many to
// be worth the copy.
template <class T>
static std::size_t pack_rows(const T* r, const T* x, std::size_t ld, std::size_t K,
                             std::size_t features, std::size_t n_padded,
                             const PackedRows<T>& packed) {
    std::size_t count = 0;
    for (std::size_t n = 0; n < n_padded; n += kLanes<T>) {
        BitVec<T> bits = as_bits<T>(load<T>(r + n));
        for (std::size_t k = 1; k < K; ++k)
            bits |= as_bits<T>(load<T>(r + k * ld + n));
        packed.list[count] = static_cast<std::uint32_t>(n);
        count += any_bit<T>(bits) ? 1 : 0;
    }
    const std::size_t left = count * kLanes<T>;
    if (3 * left > 2 * n_padded)
        return n_padded;
    const auto pack = [&](const T* from, std::size_t height, T* to) {
        for (std::size_t i = 0; i < height; ++i) {
            for (std::size_t c = 0; c < count; ++c)
                store<T>(to + i * ld + c * kLanes<T>, load<T>(from + i * ld + packed.list[c]));
        }
    };
    pack(r, K, packed.r);
    pack(x, features, packed.x);
    return left;
}

// Adds the sums and scatters of components k0 .. k0 + K - 1, K <= kGramA (full: K = 1).
template <class T>
static void accumulate_moments(Covariance kind, const T* r, const T* x, std::size_t ld,
                               std::size_t k0, std::size_t K, std::size_t D, std::size_t n_padded,
                               T* weighted, const StatsLayout& layout, double* stats) {
    double* sums = stats + layout.sums + k0 * D;
    double* scatter = stats + layout.scatter;
    if (kind == Covariance::full)
        return accumulate_triangle<T>(r, x, ld, D, n_padded, weighted, sums,
                                      scatter + k0 * (D * (D + 1) / 2));
    accumulate_product<T>(r, ld, K, x, D, n_padded, sums, D);
    if (kind == Covariance::diag)
        accumulate_product<T>(r, ld, K, x + D * ld, D, n_padded, scatter + k0 * D, D);
    else if (kind == Covariance::spherical)
        accumulate_product<T>(r, ld, K, x + D * ld, 1, n_padded, scatter + k0, 1);
}

// Adds the statistics of components k0 .. k0 + K - 1 under responsibilities r (K x ld).
// For the tied types only counts and sums: their scatter is that of all rows (`accumulate_tied`).
// With `packed`, rows whose responsibilities are zero are passed over: the same bits.
template <class T>
static void accumulate(Covariance kind, const T* r, const T* x, std::size_t ld, std::size_t k0,
                       std::size_t K, std::size_t D, std::size_t n_padded, T* weighted,
                       const StatsLayout& layout, double* stats,
                       const PackedRows<T>* packed = nullptr) {
    if (kind == Covariance::full && D <= kFewAxes && packed == nullptr)
        return accumulate_few<T>(r, x, ld, k0, K, D, n_padded, layout, stats);
    for (std::size_t k = 0; k < K; ++k)
        stats[layout.counts + k0 + k] += row_sum<T>(r + k * ld, n_padded);
    const std::size_t group = kind == Covariance::full ? 1 : kGramA;
    for (std::size_t k = 0; k < K; k += group) {
        const std::size_t height = at_most(K - k, group);
        const T* of = r + k * ld;
        const std::size_t left =
            packed == nullptr
                ? n_padded
                : pack_rows<T>(of, x, ld, height, tile_features(kind, D), n_padded, *packed);
        const bool moved = left < n_padded;
        if (left > 0)
            accumulate_moments<T>(kind, moved ? packed->r : of, moved ? packed->x : x, ld, k0 + k,
                                  height, D, left, weighted, layout, stats);
    }
}

// Scatter of all rows of the tile under the row weights w (zero on padded rows).
template <class T>
static void accumulate_tied(Covariance kind, const T* w, const T* x, std::size_t ld, std::size_t D,
                            std::size_t n_padded, T* weighted, const StatsLayout& layout,
                            double* stats) {
    if (kind == Covariance::tied)
        accumulate_triangle<T>(w, x, ld, D, n_padded, weighted, nullptr, stats + layout.scatter);
    else if (kind == Covariance::tied_spherical)
        accumulate_product<T>(w, ld, 1, x + D * ld, 1, n_padded, stats + layout.scatter, 1);
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
