// Scores of the diagonal and spherical kinds where features are missing: the observed features'
// share of the distance, for rows along the vector lanes.
//
// Missing values of the tile x are zero and marked by one in the tile `missing`, so that a term
// f x + b (1 - missing) vanishes exactly. What the integrated features add to the score comes last.
#pragma once

#include "../families/gaussian_score.hpp"
#include "task.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

// C components of the diagonal kind over one chunk of rows: s receives c_k - q / 2 plus the gains.
template <class T, int C>
inline void score_diag_missing_chunk(const GaussianScores<T>& table, const MissingScores& extra,
                                     const T* x, const T* missing, std::size_t ld, std::size_t k,
                                     T* s) {
    const std::size_t D = table.n_features;
    Vec<T> q[C][kChunkVectors] = {};
    Vec<T> gain[C][kChunkVectors] = {};
    for (std::size_t i = 0; i < D; ++i) {
        for (int r = 0; r < kChunkVectors; ++r) {
            const Vec<T> row = load<T>(x + i * ld + r * kLanes<T>);
            const Vec<T> gone = load<T>(missing + i * ld + r * kLanes<T>);
#pragma GCC unroll 4
            for (int c = 0; c < C; ++c) {
                const Vec<T> f = splat<T>(table.factor[(k + c) * D + i]);
                const Vec<T> b = splat<T>(table.shift[(k + c) * D + i]);
                const Vec<T> t = mul_add<T>(f, row, b - b * gone);
                const Vec<T> g = splat<T>(static_cast<T>(extra.gain[i * extra.stride + k + c]));
                if (table.student) {
                    const Vec<T> square = cap_square<T>(t * t);
                    q[c][r] += vlog<T>(splat<T>(T(1)) + square * splat<T>(table.tail_scale[k + c]));
                } else {
                    q[c][r] = mul_add<T>(t, t, q[c][r]);
                }
                gain[c][r] = mul_add<T>(g, gone, gain[c][r]);
            }
        }
    }
    for (int c = 0; c < C; ++c) {
        const T slope = table.student ? table.tail[k + c] : T(0.5);
        for (int r = 0; r < kChunkVectors; ++r) {
            const Vec<T> base = splat<T>(table.constant[k + c]) + gain[c][r];
            store<T>(s + (k + c) * ld + r * kLanes<T>,
                     base - splat<T>(slope) * cap_square<T>(q[c][r]));
        }
    }
}

// One component of a spherical kind over one chunk: s receives -q / 2 alone.
template <class T, int C>
inline void score_spherical_missing_chunk(const GaussianScores<T>& table, const T* x,
                                          const T* missing, std::size_t ld, std::size_t k, T* s) {
    const std::size_t D = table.n_features;
    Vec<T> q[C][kChunkVectors] = {};
    for (std::size_t i = 0; i < D; ++i) {
        for (int r = 0; r < kChunkVectors; ++r) {
            const Vec<T> row = load<T>(x + i * ld + r * kLanes<T>);
            const Vec<T> gone = load<T>(missing + i * ld + r * kLanes<T>);
#pragma GCC unroll 4
            for (int c = 0; c < C; ++c) {
                const Vec<T> mean = splat<T>(table.shift[(k + c) * D + i]);
                const Vec<T> d = row - (mean - mean * gone);
                q[c][r] = mul_add<T>(d, d, q[c][r]);
            }
        }
    }
    for (int c = 0; c < C; ++c) {
        const Vec<T> precision = splat<T>(table.factor[k + c]);
        for (int r = 0; r < kChunkVectors; ++r)
            store<T>(s + (k + c) * ld + r * kLanes<T>,
                     splat<T>(T(-0.5)) * cap_square<T>(q[c][r] * precision));
    }
}

template <class T>
static void score_axis_missing(const GaussianScores<T>& table, const MissingScores& extra,
                               const T* x, const T* missing, std::size_t ld, std::size_t n_padded,
                               T* s) {
    const std::size_t K = table.n_components;
    const bool diag = table.kind == Covariance::diag;
    for (std::size_t n = 0; n < n_padded; n += kChunkRows<T>) {
        std::size_t k = 0;
        if (diag) {
            for (; k + 2 <= K; k += 2)
                score_diag_missing_chunk<T, 2>(table, extra, x + n, missing + n, ld, k, s + n);
            for (; k < K; ++k)
                score_diag_missing_chunk<T, 1>(table, extra, x + n, missing + n, ld, k, s + n);
            continue;
        }
        for (; k + kComponents <= K; k += kComponents)
            score_spherical_missing_chunk<T, kComponents>(table, x + n, missing + n, ld, k, s + n);
        for (; k < K; ++k)
            score_spherical_missing_chunk<T, 1>(table, x + n, missing + n, ld, k, s + n);
    }
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
