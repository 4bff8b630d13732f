// Scores of a tile whose rows have missing features, all covariance types: the missing features are
// integrated out, which leaves the score at their conditional means and a gain that depends on the
// component and the pattern. Formulas: docs/formulas/gaussian_mixture.md, section 11.
//
// Rows with missing values are taken run by run (missing_patterns.hpp). A run's small factors are
// made for all components at once (missing_lanes.hpp), then each of its rows is completed for all
// of them. The distances of full covariances are left to the kernel of complete rows, which sees
// the tile as each component completes it; so complete rows cost what they cost anywhere.
#pragma once

#include "../families/gaussian_score.hpp"
#include "missing_axis.hpp"
#include "missing_lanes.hpp"
#include "missing_patterns.hpp"
#include "task.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

// The part of a tile that the functions below read and write; fields as in TileWorkspace.
template <class T>
struct MissingTile {
    T* x;
    T* s;
    const T* w;
    T* spare;
    std::int32_t* labels;
    std::size_t ld;
    std::size_t n;         // rows
    std::size_t n_padded;  // and with padding
};

template <class T>
struct MissingWorkspace {
    Patterns patterns;
    std::int32_t* first;    // ld
    std::int32_t* feature;  // D: of the run at work
    double* lower;          // packed D x stride
    double* inverse;        // packed D x stride
    double* moments;        // packed D x stride, or K x D: what the tile adds to the scatter
    double* lanes;          // D x stride
    double* row;            // 8 D
    double* share;          // stride: responsibilities of a run
    double* own;            // stride: responsibilities of a row
    double* log_det;        // stride
    // Matrix kinds. full: the completed values, K x value_ld, by entry. tied: entry x stride, at
    // the entries of a run's first row what a component's mean adds to the completed values.
    double* value;
    std::size_t value_ld;
    double* gain;  // K x gain_ld: 0, then the gain of each run
    std::size_t gain_ld;
    T* missing;  // D x ld: one where the value is missing (diagonal and spherical kinds)
    T* number;   // ld: missing features of a row
    T* adjust;   // ld: gains of one component
    T* zeros;    // K
};

// Cuts one allocation into pieces, each at a cache line; without memory it only counts.
class Cutter {
  public:
    explicit Cutter(void* memory) : next_(static_cast<char*>(memory)) {}

    template <class U>
    void cut(U*& out, std::size_t count) {
        const std::size_t bytes = (count * sizeof(U) + 63) / 64 * 64;
        if (next_ != nullptr)
            out = reinterpret_cast<U*>(next_ + used_);
        used_ += bytes;
    }
    std::size_t used() const { return used_; }

  private:
    char* next_;
    std::size_t used_ = 0;
};

inline bool is_matrix(Covariance kind) {
    return kind == Covariance::full || kind == Covariance::tied;
}

// `memory` null: only the bytes are counted, which the result's second part is.
template <class T>
static std::size_t carve_missing(void* memory, std::size_t ld, std::size_t tile_rows, std::size_t D,
                                 std::size_t K, bool matrix, MissingWorkspace<T>& space) {
    const std::size_t stride = (K + kLaneQuantum - 1) / kLaneQuantum * kLaneQuantum;
    const std::size_t most = tile_rows * D;
    Patterns& p = space.patterns;
    p.ld = ld;
    p.words = (D + 63) / 64;
    for (p.n_slots = 64; p.n_slots < 2 * tile_rows;)
        p.n_slots *= 2;
    Cutter cutter(memory);
    cutter.cut(p.mask, p.words * ld);
    cutter.cut(p.count, ld);
    cutter.cut(p.entry, ld + 1);
    cutter.cut(p.run, ld);
    cutter.cut(p.order, ld);
    cutter.cut(p.begin, ld + 1);
    cutter.cut(p.cell, most);
    cutter.cut(p.slot, p.n_slots);
    cutter.cut(space.first, ld);
    cutter.cut(space.feature, D);
    cutter.cut(space.row, 8 * D);
    cutter.cut(space.share, stride);
    cutter.cut(space.own, stride);
    cutter.cut(space.log_det, stride);
    cutter.cut(space.number, ld);
    cutter.cut(space.adjust, ld);
    cutter.cut(space.zeros, K);
    cutter.cut(space.missing, matrix ? 0 : D * ld);
    const std::size_t triangle = matrix ? D * (D + 1) / 2 * stride : 0;
    cutter.cut(space.lower, triangle);
    cutter.cut(space.inverse, triangle);
    cutter.cut(space.moments, matrix ? triangle : K * D);
    cutter.cut(space.lanes, D * stride);
    cutter.cut(space.value, matrix ? stride * (most + 2 * kLaneQuantum) : 0);
    cutter.cut(space.gain, matrix ? K * (tile_rows + 2 * kLaneQuantum) : 0);
    return cutter.used();
}

// out[k] = start[k] - sum_j weights[j * stride + k] x[j], k < V vectors.
template <int V>
inline void subtract_products(const double* weights, std::size_t stride, const double* x,
                              std::size_t D, const double* start, double* out) {
    constexpr std::size_t W = kLanes<double>;
    Vec<double> sum[V];
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v)
        sum[v] = load<double>(start + v * W);
    for (std::size_t j = 0; j < D; ++j) {
        const Vec<double> minus = splat<double>(-x[j]);
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v)
            sum[v] = mul_add<double>(load<double>(weights + j * stride + v * W), minus, sum[v]);
    }
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v)
        store<double>(out + v * W, sum[v]);
}

inline void subtract_all_products(const double* weights, std::size_t stride, const double* x,
                                  std::size_t D, const double* start, double* out) {
    constexpr std::size_t W = kLanes<double>;
    std::size_t k = 0;
    for (; k + 8 * W <= stride; k += 8 * W)
        subtract_products<8>(weights + k, stride, x, D, start + k, out + k);
    for (; k + 2 * W <= stride; k += 2 * W)
        subtract_products<2>(weights + k, stride, x, D, start + k, out + k);
    for (; k + W <= stride; k += W)
        subtract_products<1>(weights + k, stride, x, D, start + k, out + k);
}

// Row n of the tile, as doubles.
template <class T>
inline void gather_row(const MissingTile<T>& tile, std::size_t n, std::size_t D, double* row) {
    for (std::size_t i = 0; i < D; ++i)
        row[i] = static_cast<double>(tile.x[i * tile.ld + n]);
}

// Factor of the precisions' block of a run.
template <class T>
inline void factor_run(const MissingScores& extra, bool shared, std::size_t D, const Run& run,
                       const MissingWorkspace<T>& space, double* log_det) {
    factor_lanes(extra.precision, D, shared ? kLaneQuantum : extra.stride, run.feature, run.m,
                 space.row, space.lower, log_det);
}

// Gains of a run for all components.
template <class T>
inline void set_gains(const MissingScores& extra, bool shared, std::size_t K, const Run& run,
                      std::size_t index, const MissingWorkspace<T>& space) {
    const double* by_number = extra.gain + run.m * extra.stride;
    for (std::size_t k = 0; k < K; ++k)
        space.gain[k * space.gain_ld + 1 + index] =
            by_number[k] - 0.5 * space.log_det[shared ? 0 : k];
}

// Full covariances: conditional means of the missing values under every component,
//     x^_m = Lambda_mm^-1 (Lambda mu - Lambda x)_m at x_m = 0.
template <class T>
static void complete_full(const MissingScores& extra, std::size_t K, std::size_t D,
                          const MissingTile<T>& tile, const MissingWorkspace<T>& space) {
    const Patterns& p = space.patterns;
    const std::size_t stride = extra.stride;
    for (std::size_t q = 0; q < p.n_runs; ++q) {
        const Run run = run_of(p, q, space.feature);
        factor_run(extra, false, D, run, space, space.log_det);
        set_gains(extra, false, K, run, q, space);
        for (std::size_t r = 0; r < run.n_rows; ++r) {
            const auto n = static_cast<std::size_t>(run.rows[r]);
            gather_row(tile, n, D, space.row);
            for (std::size_t a = 0; a < run.m; ++a) {
                const auto i = static_cast<std::size_t>(run.feature[a]);
                subtract_all_products(extra.precision + i * D * stride, stride, space.row, D,
                                      extra.pull + i * stride, space.lanes + a * stride);
            }
            solve_lanes<false>(space.lower, stride, run.m, space.lanes);
            double* value = space.value + p.entry[n];
            for (std::size_t a = 0; a < run.m; ++a) {
                const double* lane = space.lanes + a * stride;
                for (std::size_t k = 0; k < K; ++k)
                    value[k * space.value_ld + a] = lane[k];
            }
        }
    }
}

// Puts the values that component k expects into the place of entries [from, to).
template <class T>
inline void fill(const MissingWorkspace<T>& space, std::size_t k, std::size_t from, std::size_t to,
                 T* x) {
    const double* value = space.value + k * space.value_ld;
    for (std::size_t e = from; e < to; ++e)
        x[space.patterns.cell[e]] = static_cast<T>(value[e]);
}

// The view of component k alone of full covariances; `raw`: without constants and tails.
template <class T>
inline GaussianScores<T> component(const GaussianScores<T>& table, std::size_t k, bool raw,
                                   const T* zeros) {
    GaussianScores<T> one = table;
    const std::size_t D = table.n_features;
    one.n_components = 1;
    one.student = false;
    one.constant = raw ? zeros : table.constant + k;
    one.factor = table.factor + k * packed_triangle_size(D);
    one.shift = table.shift + k * D;
    return one;
}

// Tied covariance: the values completed for a component are t + c_k, t the row's own and c_k of the
// run. t goes into the tile, c_k into space.value.
template <class T>
static void complete_tied(const MissingScores& extra, std::size_t K, std::size_t D,
                          const MissingTile<T>& tile, const MissingWorkspace<T>& space) {
    const Patterns& p = space.patterns;
    const std::size_t stride = extra.stride;
    for (std::size_t q = 0; q < p.n_runs; ++q) {
        const Run run = run_of(p, q, space.feature);
        factor_run(extra, true, D, run, space, space.log_det);
        set_gains(extra, true, K, run, q, space);
        double* c = space.value + static_cast<std::size_t>(p.entry[run.rows[0]]) * stride;
        for (std::size_t a = 0; a < run.m; ++a) {
            const double* pull = extra.pull + static_cast<std::size_t>(run.feature[a]) * stride;
            for (std::size_t k = 0; k < stride; ++k)
                c[a * stride + k] = pull[k];
        }
        solve_lanes<true>(space.lower, stride, run.m, c);
        for (std::size_t r = 0; r < run.n_rows; ++r) {
            const auto n = static_cast<std::size_t>(run.rows[r]);
            gather_row(tile, n, D, space.row);
            // One system, in the lanes of a shared factor.
            for (std::size_t a = 0; a < run.m; ++a) {
                const double* from =
                    extra.precision + static_cast<std::size_t>(run.feature[a]) * D * kLaneQuantum;
                double sum = 0;
                for (std::size_t j = 0; j < D; ++j)
                    sum -= from[j * kLaneQuantum] * space.row[j];
                for (std::size_t lane = 0; lane < kLaneQuantum; ++lane)
                    space.lanes[a * kLaneQuantum + lane] = sum;
            }
            solve_lanes<true>(space.lower, kLaneQuantum, run.m, space.lanes);
            for (std::size_t a = 0; a < run.m; ++a)
                tile.x[static_cast<std::size_t>(run.feature[a]) * tile.ld + n] =
                    static_cast<T>(space.lanes[a * kLaneQuantum]);
        }
    }
}

// out[k] = sum_j (y_j - (centre_j[k] - sum_a root_ja c_a[k]))^2, k < V vectors. The root is a lower
// triangle, and the run's features ascend.
template <int V>
inline void tied_squares(const double* centre, const double* c, std::size_t stride,
                         const double* root, std::size_t D, const Run& run, const double* y,
                         double* out) {
    constexpr std::size_t W = kLanes<double>;
    Vec<double> square[V] = {};
    for (std::size_t j = 0; j < D; ++j) {
        Vec<double> d[V];
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v)
            d[v] = load<double>(centre + j * stride + v * W);
        for (std::size_t a = 0; a < run.m && static_cast<std::size_t>(run.feature[a]) <= j; ++a) {
            const Vec<double> f =
                splat<double>(-root[j * D + static_cast<std::size_t>(run.feature[a])]);
#pragma GCC unroll 8
            for (int v = 0; v < V; ++v)
                d[v] = mul_add<double>(f, load<double>(c + a * stride + v * W), d[v]);
        }
#pragma GCC unroll 8
        for (int v = 0; v < V; ++v) {
            d[v] = splat<double>(y[j]) - d[v];
            square[v] = mul_add<double>(d[v], d[v], square[v]);
        }
    }
#pragma GCC unroll 8
    for (int v = 0; v < V; ++v)
        store<double>(out + v * W, square[v]);
}

inline void all_tied_squares(const double* centre, const double* c, std::size_t stride,
                             const double* root, std::size_t D, const Run& run, const double* y,
                             double* out) {
    constexpr std::size_t W = kLanes<double>;
    std::size_t k = 0;
    for (; k + 4 * W <= stride; k += 4 * W)
        tied_squares<4>(centre + k, c + k, stride, root, D, run, y, out + k);
    for (; k + 2 * W <= stride; k += 2 * W)
        tied_squares<2>(centre + k, c + k, stride, root, D, run, y, out + k);
    for (; k + W <= stride; k += W)
        tied_squares<1>(centre + k, c + k, stride, root, D, run, y, out + k);
}

inline void set_tied_centres(const MissingScores& extra, std::size_t D, const Run& run,
                             const double* c, double* centre) {
    constexpr std::size_t W = kLanes<double>;
    const std::size_t stride = extra.stride;
    for (std::size_t j = 0; j < D; ++j) {
        for (std::size_t k = 0; k < stride; k += W) {
            Vec<double> sum = load<double>(extra.centre + j * stride + k);
            for (std::size_t a = 0; a < run.m && static_cast<std::size_t>(run.feature[a]) <= j;
                 ++a) {
                const double f = extra.root[j * D + static_cast<std::size_t>(run.feature[a])];
                sum = mul_add<double>(splat<double>(-f), load<double>(c + a * stride + k), sum);
            }
            store<double>(centre + j * stride + k, sum);
        }
    }
}

// Distances under a tied covariance: |F x - F (mu_k - c_k)|^2 with the tile's t at the missing
// values. Tile.spare holds the whitened tile. Scores become -q / 2, with the constants unless
// `raw`.
template <class T>
static void score_tied_runs(const GaussianScores<T>& table, const MissingScores& extra, bool raw,
                            const MissingTile<T>& tile, const MissingWorkspace<T>& space) {
    const Patterns& p = space.patterns;
    const std::size_t D = table.n_features;
    for (std::size_t q = 0; q < p.n_runs; ++q) {
        const Run run = run_of(p, q, space.feature);
        const double* c =
            space.value + static_cast<std::size_t>(p.entry[run.rows[0]]) * extra.stride;
        // Rows that share a run share its centres F (mu_k - c_k), with the bits of a row alone.
        const double* centre = extra.centre;
        Run rest = run;
        if (run.n_rows > 1) {
            set_tied_centres(extra, D, run, c, space.lanes);
            centre = space.lanes;
            rest.m = 0;
        }
        for (std::size_t r = 0; r < run.n_rows; ++r) {
            const auto n = static_cast<std::size_t>(run.rows[r]);
            for (std::size_t j = 0; j < D; ++j)
                space.row[j] = static_cast<double>(tile.spare[j * tile.ld + n]);
            all_tied_squares(centre, c, extra.stride, extra.root, D, rest, space.row, space.own);
            for (std::size_t k = 0; k < table.n_components; ++k) {
                const T square = static_cast<T>(space.own[k]);
                const T capped = square < kLargestSquare<T> ? square : kLargestSquare<T>;
                tile.s[k * tile.ld + n] = (raw ? T(0) : table.constant[k]) - T(0.5) * capped;
            }
        }
    }
}

// Adds the gains; where the table is Student's, makes its score of the distances: the tail has one
// half less for each feature that is missing.
template <class T>
static void finish_scores(const GaussianScores<T>& table, const MissingScores& extra,
                          const MissingTile<T>& tile, const MissingWorkspace<T>& space) {
    constexpr std::size_t W = kLanes<T>;
    const Patterns& p = space.patterns;
    const bool matrix = is_matrix(table.kind);
    const bool raw = table.student || !matrix;
    for (std::size_t n = 0; n < tile.n_padded; ++n) {
        space.number[n] = n < tile.n ? static_cast<T>(p.count[n]) : T(0);
        space.adjust[n] = 0;
    }
    for (std::size_t k = 0; k < table.n_components; ++k) {
        for (std::size_t n = 0; n < tile.n; ++n)
            space.adjust[n] = static_cast<T>(
                matrix ? space.gain[k * space.gain_ld + static_cast<std::size_t>(p.run[n] + 1)]
                       : extra.gain[static_cast<std::size_t>(p.count[n]) * extra.stride + k]);
        T* s = tile.s + k * tile.ld;
        const Vec<T> constant = splat<T>(raw ? table.constant[k] : T(0));
        for (std::size_t n = 0; n < tile.n_padded; n += W) {
            Vec<T> score = load<T>(s + n);
            if (table.student) {
                const Vec<T> tail =
                    splat<T>(table.tail[k]) - splat<T>(T(0.5)) * load<T>(space.number + n);
                score =
                    -tail * vlog<T>(splat<T>(T(1)) - splat<T>(T(2) * table.tail_scale[k]) * score);
            }
            store<T>(s + n, score + load<T>(space.adjust + n) + constant);
        }
    }
}

// Takes the missing values of the tile out of it (they become the origin), completes the rows and
// writes the scores of all rows and components to tile.s.
template <class T>
static void score_missing(const MixtureTask<T>& task, const MissingTile<T>& tile,
                          MissingWorkspace<T>& space) {
    const GaussianScores<T>& table = task.scores;
    const MissingScores& extra = *task.missing;
    const std::size_t K = table.n_components;
    const std::size_t D = table.n_features;
    const std::size_t ld = tile.ld;
    Patterns& p = space.patterns;
    find_patterns<T>(tile.x, tile.n, D, space.first, p);
    if (!is_matrix(table.kind)) {
        for (std::size_t i = 0; i < D; ++i) {
            for (std::size_t n = 0; n < tile.n_padded; ++n)
                space.missing[i * ld + n] = 0;
        }
        for (std::size_t e = 0; e < p.n_entries; ++e)
            space.missing[p.cell[e]] = 1;
        score_axis_missing<T>(table, extra, tile.x, space.missing, ld, tile.n_padded, tile.s);
        if (table.kind != Covariance::diag)
            finish_scores(table, extra, tile, space);
        return;
    }
    // Rows of components start in different cache sets.
    space.value_ld = (p.n_entries / kLaneQuantum + 2) * kLaneQuantum;
    space.gain_ld = (p.n_runs / kLaneQuantum + 2) * kLaneQuantum;
    for (std::size_t k = 0; k < K; ++k) {
        space.gain[k * space.gain_ld] = 0;
        space.zeros[k] = 0;
    }
    const bool raw = table.student;
    if (table.kind == Covariance::tied) {
        complete_tied(extra, K, D, tile, space);
        GaussianScores<T> plain = table;
        plain.student = false;
        plain.constant = raw ? space.zeros : table.constant;
        score<T>(plain, tile.x, ld, tile.n_padded, tile.spare, tile.s);
        score_tied_runs(table, extra, raw, tile, space);
    } else {
        complete_full(extra, K, D, tile, space);
        constexpr std::size_t kStrip = 64;  // rows that stay in the first-level cache for all k
        for (std::size_t r = 0; r < tile.n_padded; r += kStrip) {
            const std::size_t rows = tile.n_padded - r < kStrip ? tile.n_padded - r : kStrip;
            const std::size_t end = r + rows < tile.n ? r + rows : tile.n;
            const std::size_t begin = r < tile.n ? r : tile.n;
            for (std::size_t k = 0; k < K; ++k) {
                fill(space, k, static_cast<std::size_t>(p.entry[begin]),
                     static_cast<std::size_t>(p.entry[end]), tile.x);
                score_full<T>(component(table, k, raw, space.zeros), tile.x + r, ld, rows,
                              tile.s + k * ld + r);
            }
        }
    }
    finish_scores(table, extra, tile, space);
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
