// Scores of Gaussian components over one tile of rows, all covariance types.
//
// A tile is feature-major: x[i * ld + n] is feature i of row n, already centred on the origin, so
// that the vector lanes run over rows and nothing is shuffled. Rows come in chunks of
// kChunkRows<T> (kChunkVectors vectors); the caller pads the tile to whole chunks. Scores are
// component-major, s[k * ld + n]. x, s and the workspace do not alias.
//
// Preconditions: ld >= n_padded, n_padded a multiple of kChunkRows<T>.
#pragma once

#include "../kernels/task.hpp"
#include "../math/log.hpp"
#include "../math/vec.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

using namespace vemfast::detail;  // plain data only

// Vectors of rows that one register tile holds. With kGroup = 4 outputs this makes 16
// accumulators on AVX-512 (32 registers) and 8 elsewhere (16 registers): in both cases at
// least latency (4) x issue width (2) independent chains.
constexpr int kChunkVectors = kVectorBytes == 64 ? 4 : 2;
template <class T>
constexpr std::size_t kChunkRows = kChunkVectors * kLanes<T>;

// Squared distances are capped here, so that a row whose square overflows (or is NaN after
// inf - inf) gets a very low, finite score, and responsibilities still sum to one.
template <class T>
constexpr T kLargestSquare = sizeof(T) == 8 ? T(1e300) : T(1e37);

template <class T>
inline Vec<T> cap_square(Vec<T> q) {
    return min<T>(q, splat<T>(kLargestSquare<T>));  // NaN gives the cap, too
}

// J outputs y_j = shift_j + sum_{i <= j} factor_ji x_i, j = j0 .. j0 + J - 1, over one chunk of
// rows. `factor` is the group's block of the packed triangle: for each i the J values of the
// group, i = 0 .. j0 + J - 1; the last J rows are the triangle itself, unrolled without its zeros.
template <class T, int J>
inline void triangle_group(const T* x, std::size_t ld, const T* factor, const T* shift,
                           std::size_t j0, Vec<T> (&y)[J][kChunkVectors]) {
    constexpr int R = kChunkVectors;
    constexpr std::size_t W = kLanes<T>;
#pragma GCC unroll 8
    for (int j = 0; j < J; ++j) {
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r)
            y[j][r] = splat<T>(shift[j]);
    }
    for (std::size_t i = 0; i < j0; ++i) {
        Vec<T> row[R];
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r)
            row[r] = load<T>(x + i * ld + r * W);
#pragma GCC unroll 8
        for (int j = 0; j < J; ++j) {
            const Vec<T> f = splat<T>(factor[i * J + j]);
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r)
                y[j][r] = mul_add<T>(f, row[r], y[j][r]);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < J; ++i) {
        Vec<T> row[R];
#pragma GCC unroll 8
        for (int r = 0; r < R; ++r)
            row[r] = load<T>(x + (j0 + i) * ld + r * W);
#pragma GCC unroll 8
        for (int j = i; j < J; ++j) {
            const Vec<T> f = splat<T>(factor[(j0 + i) * J + j]);
#pragma GCC unroll 8
            for (int r = 0; r < R; ++r)
                y[j][r] = mul_add<T>(f, row[r], y[j][r]);
        }
    }
}

template <class T, int J>
inline void add_group_squares(const T* x, std::size_t ld, const T* factor, const T* shift,
                              std::size_t j0, Vec<T> (&q)[kChunkVectors]) {
    Vec<T> y[J][kChunkVectors];
    triangle_group<T, J>(x, ld, factor, shift, j0, y);
#pragma GCC unroll 8
    for (int j = 0; j < J; ++j) {
#pragma GCC unroll 8
        for (int r = 0; r < kChunkVectors; ++r)
            q[r] = mul_add<T>(y[j][r], y[j][r], q[r]);
    }
}

template <class T, int J>
inline void store_group(const T* x, std::size_t ld, const T* factor, const T* shift, std::size_t j0,
                        T* out) {
    Vec<T> y[J][kChunkVectors];
    triangle_group<T, J>(x, ld, factor, shift, j0, y);
#pragma GCC unroll 8
    for (int j = 0; j < J; ++j) {
#pragma GCC unroll 8
        for (int r = 0; r < kChunkVectors; ++r)
            store<T>(out + (j0 + j) * ld + r * kLanes<T>, y[j][r]);
    }
}

// Score of one chunk from its squared distances.
template <class T>
inline void store_scores(const GaussianScores<T>& table, std::size_t k,
                         const Vec<T> (&q)[kChunkVectors], T* s) {
#pragma GCC unroll 8
    for (int r = 0; r < kChunkVectors; ++r) {
        const Vec<T> square = cap_square<T>(q[r]);
        Vec<T> score;
        if (table.student) {
            score = splat<T>(table.constant[k]) -
                    splat<T>(table.tail[k]) *
                        vlog<T>(splat<T>(T(1)) + square * splat<T>(table.tail_scale[k]));
        } else {
            score = splat<T>(table.constant[k]) - splat<T>(T(0.5)) * square;
        }
        store<T>(s + r * kLanes<T>, score);
    }
}

// Full: y = C^-1 (x - m), q = |y|^2. Flops a row and component: D^2 + 3D or so.
template <class T>
static void score_full(const GaussianScores<T>& table, const T* x, std::size_t ld,
                       std::size_t n_padded, T* s) {
    const std::size_t D = table.n_features;
    const std::size_t factor_size = packed_triangle_size(D);
    for (std::size_t n = 0; n < n_padded; n += kChunkRows<T>) {
        for (std::size_t k = 0; k < table.n_components; ++k) {
            Vec<T> q[kChunkVectors] = {};
            const T* factor = table.factor + k * factor_size;
            const T* shift = table.shift + k * D;
            std::size_t j0 = 0;
            for (; j0 + 4 <= D; j0 += 4) {
                add_group_squares<T, 4>(x + n, ld, factor, shift + j0, j0, q);
                factor += (j0 + 4) * 4;
            }
            switch (D - j0) {
                case 1:
                    add_group_squares<T, 1>(x + n, ld, factor, shift + j0, j0, q);
                    break;
                case 2:
                    add_group_squares<T, 2>(x + n, ld, factor, shift + j0, j0, q);
                    break;
                case 3:
                    add_group_squares<T, 3>(x + n, ld, factor, shift + j0, j0, q);
                    break;
                default:
                    break;
            }
            store_scores<T>(table, k, q, s + k * ld + n);
        }
    }
}

// The same for few features: a component's numbers stay in registers over all rows.
template <class T, int D>
static void score_few(const GaussianScores<T>& table, const T* x, std::size_t ld,
                      std::size_t n_padded, T* s) {
    for (std::size_t k = 0; k < table.n_components; ++k) {
        const T* factor = table.factor + k * packed_triangle_size(D);
        Vec<T> shift[D];
        Vec<T> root[D * D];
#pragma GCC unroll 3
        for (int j = 0; j < D; ++j)
            shift[j] = splat<T>(table.shift[k * D + static_cast<std::size_t>(j)]);
#pragma GCC unroll 9
        for (int i = 0; i < D * D; ++i)
            root[i] = splat<T>(factor[i]);
        const Vec<T> constant = splat<T>(table.constant[k]);
        T* out = s + k * ld;
        for (std::size_t n = 0; n < n_padded; n += kLanes<T>) {
            Vec<T> y[D];
#pragma GCC unroll 3
            for (int j = 0; j < D; ++j)
                y[j] = shift[j];
#pragma GCC unroll 3
            for (int i = 0; i < D; ++i) {
                const Vec<T> row = load<T>(x + static_cast<std::size_t>(i) * ld + n);
#pragma GCC unroll 3
                for (int j = i; j < D; ++j)
                    y[j] = mul_add<T>(root[i * D + j], row, y[j]);
            }
            Vec<T> q = {};
#pragma GCC unroll 3
            for (int j = 0; j < D; ++j)
                q = mul_add<T>(y[j], y[j], q);
            store<T>(out + n, constant - splat<T>(T(0.5)) * cap_square<T>(q));
        }
    }
}

// Tied: y = C^-1 x once a row (into `y`, D x ld), then q_k = |y - v_k|^2.
template <class T>
static void whiten(const T* factor, std::size_t D, const T* x, std::size_t ld, std::size_t n_padded,
                   T* y) {
    const T zero[4] = {};
    for (std::size_t n = 0; n < n_padded; n += kChunkRows<T>) {
        const T* group = factor;
        std::size_t j0 = 0;
        for (; j0 + 4 <= D; j0 += 4) {
            store_group<T, 4>(x + n, ld, group, zero, j0, y + n);
            group += (j0 + 4) * 4;
        }
        switch (D - j0) {
            case 1:
                store_group<T, 1>(x + n, ld, group, zero, j0, y + n);
                break;
            case 2:
                store_group<T, 2>(x + n, ld, group, zero, j0, y + n);
                break;
            case 3:
                store_group<T, 3>(x + n, ld, group, zero, j0, y + n);
                break;
            default:
                break;
        }
    }
}

// C components' squared distances |x - m_k|^2 over one chunk; the rows' loads are shared.
template <class T, int C>
inline void squared_distances(const T* x, std::size_t ld, const T* means, std::size_t D,
                              Vec<T> (&q)[C][kChunkVectors]) {
    for (std::size_t i = 0; i < D; ++i) {
        Vec<T> row[kChunkVectors];
#pragma GCC unroll 8
        for (int r = 0; r < kChunkVectors; ++r)
            row[r] = load<T>(x + i * ld + r * kLanes<T>);
#pragma GCC unroll 4
        for (int c = 0; c < C; ++c) {
            const Vec<T> mean = splat<T>(means[c * D + i]);
#pragma GCC unroll 8
            for (int r = 0; r < kChunkVectors; ++r) {
                const Vec<T> d = row[r] - mean;
                q[c][r] = mul_add<T>(d, d, q[c][r]);
            }
        }
    }
}

// Components whose distances are computed together: as many as the registers carry.
constexpr int kComponents = 4;

template <class T, int C>
inline void score_spherical_chunk(const GaussianScores<T>& table, const T* x, std::size_t ld,
                                  std::size_t k, bool unit, T* s) {
    Vec<T> q[C][kChunkVectors] = {};
    squared_distances<T, C>(x, ld, table.shift + k * table.n_features, table.n_features, q);
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c) {
        const Vec<T> precision = splat<T>(unit ? T(1) : table.factor[k + c]);
#pragma GCC unroll 8
        for (int r = 0; r < kChunkVectors; ++r)
            q[c][r] *= precision;
        store_scores<T>(table, k + c, q[c], s + (k + c) * ld);
    }
}

// Spherical: q_k = precision_k |x - m_k|^2; with `unit` the precision is one (whitened rows).
template <class T>
static void score_spherical(const GaussianScores<T>& table, const T* x, std::size_t ld,
                            std::size_t n_padded, bool unit, T* s) {
    const std::size_t K = table.n_components;
    for (std::size_t n = 0; n < n_padded; n += kChunkRows<T>) {
        std::size_t k = 0;
        for (; k + kComponents <= K; k += kComponents)
            score_spherical_chunk<T, kComponents>(table, x + n, ld, k, unit, s + n);
        for (; k < K; ++k)
            score_spherical_chunk<T, 1>(table, x + n, ld, k, unit, s + n);
    }
}

template <class T, int C>
inline void score_diag_chunk(const GaussianScores<T>& table, const T* x, std::size_t ld,
                             std::size_t k, T* s) {
    const std::size_t D = table.n_features;
    const T* factor = table.factor + k * D;
    const T* shift = table.shift + k * D;
    Vec<T> q[C][kChunkVectors] = {};
    for (std::size_t i = 0; i < D; ++i) {
        Vec<T> row[kChunkVectors];
#pragma GCC unroll 8
        for (int r = 0; r < kChunkVectors; ++r)
            row[r] = load<T>(x + i * ld + r * kLanes<T>);
#pragma GCC unroll 4
        for (int c = 0; c < C; ++c) {
            const Vec<T> f = splat<T>(factor[c * D + i]);
            const Vec<T> b = splat<T>(shift[c * D + i]);
#pragma GCC unroll 8
            for (int r = 0; r < kChunkVectors; ++r) {
                const Vec<T> t = mul_add<T>(f, row[r], b);
                q[c][r] = mul_add<T>(t, t, q[c][r]);
            }
        }
    }
#pragma GCC unroll 4
    for (int c = 0; c < C; ++c)
        store_scores<T>(table, k + c, q[c], s + (k + c) * ld);
}

// Product of univariate Student densities: the sum of D logarithms a row and component.
template <class T>
inline void score_diag_student_chunk(const GaussianScores<T>& table, const T* x, std::size_t ld,
                                     std::size_t k, T* s) {
    const std::size_t D = table.n_features;
    Vec<T> total[kChunkVectors] = {};
    for (std::size_t i = 0; i < D; ++i) {
        const Vec<T> f = splat<T>(table.factor[k * D + i]);
        const Vec<T> b = splat<T>(table.shift[k * D + i]);
#pragma GCC unroll 8
        for (int r = 0; r < kChunkVectors; ++r) {
            const Vec<T> t = mul_add<T>(f, load<T>(x + i * ld + r * kLanes<T>), b);
            const Vec<T> square = cap_square<T>(t * t);
            total[r] += vlog<T>(splat<T>(T(1)) + square * splat<T>(table.tail_scale[k]));
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < kChunkVectors; ++r)
        store<T>(s + k * ld + r * kLanes<T>,
                 splat<T>(table.constant[k]) - splat<T>(table.tail[k]) * total[r]);
}

// Diagonal: t_i = a_i x_i - a_i m_i, q = sum t_i^2: two multiply-adds a feature.
template <class T>
static void score_diag(const GaussianScores<T>& table, const T* x, std::size_t ld,
                       std::size_t n_padded, T* s) {
    const std::size_t K = table.n_components;
    for (std::size_t n = 0; n < n_padded; n += kChunkRows<T>) {
        std::size_t k = 0;
        if (table.student) {
            for (; k < K; ++k)
                score_diag_student_chunk<T>(table, x + n, ld, k, s + n);
        }
        for (; k + kComponents <= K; k += kComponents)
            score_diag_chunk<T, kComponents>(table, x + n, ld, k, s + n);
        for (; k < K; ++k)
            score_diag_chunk<T, 1>(table, x + n, ld, k, s + n);
    }
}

// Scores of every component; `whitened` (D x ld) is workspace for the tied type.
template <class T>
static void score(const GaussianScores<T>& table, const T* x, std::size_t ld, std::size_t n_padded,
                  T* whitened, T* s) {
    switch (table.kind) {
        case Covariance::full:
            if (!table.student && table.n_features == 1)
                return score_few<T, 1>(table, x, ld, n_padded, s);
            if (!table.student && table.n_features == 2)
                return score_few<T, 2>(table, x, ld, n_padded, s);
            if (!table.student && table.n_features == 3)
                return score_few<T, 3>(table, x, ld, n_padded, s);
            return score_full<T>(table, x, ld, n_padded, s);
        case Covariance::tied:
            whiten<T>(table.factor, table.n_features, x, ld, n_padded, whitened);
            return score_spherical<T>(table, whitened, ld, n_padded, true, s);
        case Covariance::diag:
            return score_diag<T>(table, x, ld, n_padded, s);
        case Covariance::spherical:
        case Covariance::tied_spherical:
            return score_spherical<T>(table, x, ld, n_padded, false, s);
    }
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
