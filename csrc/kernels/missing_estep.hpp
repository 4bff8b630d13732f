// Statistics of a tile whose rows have missing features, after its scores (missing_scores.hpp) and
// the local rule.
//
// Sums and scatter are those of the completed rows, and the scatter also takes the conditional
// covariance Lambda_mm^-1 of what was integrated out; under sampled labels the missing values are
// drawn instead. The entropy takes that of the missing values, so that with the natural form of the
// statistics it is the local bound.
#pragma once

#include "../families/gaussian_accumulate.hpp"
#include "../math/philox.hpp"
#include "missing_scores.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

// Two uniforms a missing value: the stream is this plus twice the feature.
inline constexpr std::uint32_t kMissingStream = 0x10000;

// Standard normal of a global row and feature, by Box and Muller.
inline double missing_normal(std::uint64_t seed, std::uint32_t iteration, std::uint64_t row,
                             std::uint32_t feature) {
    const std::uint32_t stream = kMissingStream + 2 * feature;
    const double u1 = philox_uniform(seed, iteration, row, stream);
    const double u2 = philox_uniform(seed, iteration, row, stream + 1);
    return __builtin_sqrt(-2.0 * __builtin_log(u1)) * __builtin_cos(6.28318530717958647692 * u2);
}

inline std::size_t label_of(const std::int32_t* labels, std::size_t n) {
    return static_cast<std::size_t>(labels[n]);
}

// Adds draws of the missing values about their conditional means: L^-T diag(1/sqrt(d)) z has the
// covariance Lambda_mm^-1.
template <class T>
static void draw_run(const MixtureTask<T>& task, const MissingTile<T>& tile, const Run& run,
                     std::size_t row, const MissingWorkspace<T>& space) {
    const MissingScores& extra = *task.missing;
    const bool shared = task.scores.kind == Covariance::tied;
    const std::size_t stride = shared ? kLaneQuantum : extra.stride;
    factor_run<T>(extra, shared, task.scores.n_features, run, space, nullptr);
    double* u = space.row;
    for (std::size_t r = 0; r < run.n_rows; ++r) {
        const auto n = static_cast<std::size_t>(run.rows[r]);
        const double* factor = space.lower + (shared ? 0 : label_of(tile.labels, n));
        for (std::size_t a = run.m; a-- > 0;) {
            const auto i = static_cast<std::uint32_t>(run.feature[a]);
            const double z =
                missing_normal(task.seed, task.iteration, task.rows.offset + row + n, i);
            u[a] = z * __builtin_sqrt(factor[packed(a, a) * stride]);
            for (std::size_t b = a + 1; b < run.m; ++b)
                u[a] -= factor[packed(b, a) * stride] * u[b];
            tile.x[i * tile.ld + n] += static_cast<T>(u[a]);
        }
    }
}

// Completes rows by the component of their label: by its conditional means, or under sampled labels
// by draws. `row` is the tile's first row in the view.
template <class T>
static void complete_by_label(const MixtureTask<T>& task, const MissingTile<T>& tile,
                              std::size_t row, const MissingWorkspace<T>& space) {
    const Patterns& p = space.patterns;
    const MissingScores& extra = *task.missing;
    const Covariance kind = task.scores.kind;
    const bool draws = task.rule == LocalRule::sampled;
    for (std::size_t q = 0; q < p.n_runs; ++q) {
        const Run run = run_of(p, q, space.feature);
        const auto start = static_cast<std::size_t>(p.entry[run.rows[0]]);
        for (std::size_t r = 0; r < run.n_rows; ++r) {
            const auto n = static_cast<std::size_t>(run.rows[r]);
            const std::size_t k = label_of(tile.labels, n);
            for (std::size_t a = 0; a < run.m; ++a) {
                const auto i = static_cast<std::size_t>(run.feature[a]);
                T& x = tile.x[i * tile.ld + n];
                if (kind == Covariance::full) {
                    const auto e = static_cast<std::size_t>(p.entry[n]) + a;
                    x = static_cast<T>(space.value[k * space.value_ld + e]);
                } else if (kind == Covariance::tied) {
                    x += static_cast<T>(space.value[(start + a) * extra.stride + k]);
                } else {
                    double value = extra.mean[i * extra.stride + k];
                    if (draws) {
                        const double* precision =
                            extra.precision + (kind == Covariance::diag ? i * extra.stride : 0);
                        value +=
                            missing_normal(task.seed, task.iteration, task.rows.offset + row + n,
                                           static_cast<std::uint32_t>(i)) /
                            __builtin_sqrt(precision[k]);
                    }
                    x = static_cast<T>(value);
                }
            }
        }
        if (draws && is_matrix(kind))
            draw_run(task, tile, run, row, space);
    }
}

// Full covariances under responsibilities: each component sees the tile as it completes it.
template <class T>
static void accumulate_completed(const MixtureTask<T>& task, const MissingTile<T>& tile,
                                 T* weighted, const MissingWorkspace<T>& space,
                                 const StatsLayout& layout, double* stats,
                                 const PackedRows<T>* packed) {
    for (std::size_t k = 0; k < task.scores.n_components; ++k) {
        fill(space, k, 0, space.patterns.n_entries, tile.x);
        accumulate<T>(Covariance::full, tile.s + k * tile.ld, tile.x, tile.ld, k, 1,
                      task.scores.n_features, tile.n_padded, weighted, layout, stats, packed);
    }
}

// space.share = what every component has of a run's rows.
template <class T>
inline void share_of_run(const MissingTile<T>& tile, const Run& run, bool by_label, std::size_t K,
                         std::size_t stride, const MissingWorkspace<T>& space) {
    for (std::size_t k = 0; k < stride; ++k)
        space.share[k] = 0;
    for (std::size_t r = 0; r < run.n_rows; ++r) {
        const auto n = static_cast<std::size_t>(run.rows[r]);
        if (by_label) {
            space.share[label_of(tile.labels, n)] += static_cast<double>(tile.w[n]);
        } else {
            for (std::size_t k = 0; k < K; ++k)
                space.share[k] += static_cast<double>(tile.s[k * tile.ld + n]);
        }
    }
}

// The entropy of a run's missing values: gain + m / 2 for every component's share.
template <class T>
inline double run_entropy(const MissingWorkspace<T>& space, std::size_t K, std::size_t run,
                          std::size_t m) {
    double sum = 0;
    for (std::size_t k = 0; k < K; ++k)
        sum += space.share[k] *
               (space.gain[k * space.gain_ld + 1 + run] + 0.5 * static_cast<double>(m));
    return sum;
}

// Full covariances: the conditional covariances, and the entropy.
template <class T>
static void add_full_moments(const MixtureTask<T>& task, const MissingTile<T>& tile, bool by_label,
                             const MissingWorkspace<T>& space, const StatsLayout& layout,
                             double* stats) {
    constexpr std::size_t W = kLanes<double>;
    const MissingScores& extra = *task.missing;
    const Patterns& p = space.patterns;
    const std::size_t stride = extra.stride;
    const std::size_t K = task.scores.n_components;
    const std::size_t D = task.scores.n_features;
    const std::size_t triangle = D * (D + 1) / 2;
    for (std::size_t at = 0; at < triangle * stride; ++at)
        space.moments[at] = 0;
    for (std::size_t q = 0; q < p.n_runs; ++q) {
        const Run run = run_of(p, q, space.feature);
        share_of_run(tile, run, by_label, K, stride, space);
        stats[1] += run_entropy(space, K, q, run.m);
        factor_run<T>(extra, false, D, run, space, nullptr);
        invert_lanes(space.lower, stride, run.m, space.inverse);
        for (std::size_t a = 0; a < run.m; ++a) {
            for (std::size_t b = 0; b <= a; ++b) {
                const double* from = space.inverse + packed(a, b) * stride;
                double* to = space.moments + packed(static_cast<std::size_t>(run.feature[a]),
                                                    static_cast<std::size_t>(run.feature[b])) *
                                                 stride;
                for (std::size_t k = 0; k < stride; k += W)
                    store<double>(to + k,
                                  mul_add<double>(load<double>(space.share + k),
                                                  load<double>(from + k), load<double>(to + k)));
            }
        }
    }
    double* scatter = stats + layout.scatter;
    for (std::size_t k = 0; k < K; ++k) {
        for (std::size_t at = 0; at < triangle; ++at)
            scatter[k * triangle + at] += space.moments[at * stride + k];
    }
}

inline double dot_lanes(const double* a, const double* b, std::size_t stride) {
    constexpr std::size_t W = kLanes<double>;
    Vec<double> sum = {};
    for (std::size_t k = 0; k < stride; k += W)
        sum = mul_add<double>(load<double>(a + k), load<double>(b + k), sum);
    return horizontal_sum<double>(sum);
}

// Tied covariance under responsibilities: the tile holds t at the missing values, to which
// component k adds c_k. What that changes in sums and scatter, for one run.
template <class T>
static void add_tied_run(const MixtureTask<T>& task, const MissingTile<T>& tile, const Run& run,
                         const MissingWorkspace<T>& space, const StatsLayout& layout,
                         double* stats) {
    const std::size_t stride = task.missing->stride;
    const std::size_t K = task.scores.n_components;
    const std::size_t D = task.scores.n_features;
    const double* c =
        space.value + static_cast<std::size_t>(space.patterns.entry[run.rows[0]]) * stride;
    double* scatter = stats + layout.scatter;
    for (std::size_t a = 0; a < run.m; ++a) {
        const auto i = static_cast<std::size_t>(run.feature[a]);
        double* weighted = space.lanes + a * stride;
        for (std::size_t k = 0; k < stride; ++k)
            weighted[k] = space.share[k] * c[a * stride + k];
        for (std::size_t k = 0; k < K; ++k)
            stats[layout.sums + k * D + i] += weighted[k];
        for (std::size_t b = 0; b <= a; ++b)
            scatter[packed(i, static_cast<std::size_t>(run.feature[b]))] +=
                dot_lanes(weighted, c + b * stride, stride);
    }
    for (std::size_t k = K; k < stride; ++k)
        space.own[k] = 0;
    const double* own = run.n_rows == 1 ? space.share : space.own;
    for (std::size_t r = 0; r < run.n_rows; ++r) {
        const auto n = static_cast<std::size_t>(run.rows[r]);
        for (std::size_t k = 0; k < K && own == space.own; ++k)
            space.own[k] = static_cast<double>(tile.s[k * tile.ld + n]);
        gather_row(tile, n, D, space.row);
        for (std::size_t a = 0; a < run.m; ++a) {
            const auto i = static_cast<std::size_t>(run.feature[a]);
            const double mean = dot_lanes(own, c + a * stride, stride);
            double* line = scatter + packed(i, 0);
            for (std::size_t j = 0; j < i; ++j)
                line[j] += mean * space.row[j];
            line[i] += 2.0 * mean * space.row[i];  // both of its halves
            for (std::size_t j = i + 1; j < D; ++j)
                scatter[packed(j, i)] += mean * space.row[j];
        }
    }
}

template <class T>
static void add_tied_moments(const MixtureTask<T>& task, const MissingTile<T>& tile, bool by_label,
                             const MissingWorkspace<T>& space, const StatsLayout& layout,
                             double* stats) {
    const MissingScores& extra = *task.missing;
    const std::size_t K = task.scores.n_components;
    double* scatter = stats + layout.scatter;
    for (std::size_t q = 0; q < space.patterns.n_runs; ++q) {
        const Run run = run_of(space.patterns, q, space.feature);
        share_of_run(tile, run, by_label, K, extra.stride, space);
        stats[1] += run_entropy(space, K, q, run.m);
        if (!by_label)
            add_tied_run(task, tile, run, space, layout, stats);
        double total = 0;
        for (std::size_t k = 0; k < K; ++k)
            total += space.share[k];
        factor_run<T>(extra, true, task.scores.n_features, run, space, nullptr);
        invert_lanes(space.lower, kLaneQuantum, run.m, space.inverse);
        for (std::size_t a = 0; a < run.m; ++a) {
            for (std::size_t b = 0; b <= a; ++b)
                scatter[packed(static_cast<std::size_t>(run.feature[a]),
                               static_cast<std::size_t>(run.feature[b]))] +=
                    total * space.inverse[packed(a, b) * kLaneQuantum];
        }
    }
}

// Adds `value` where feature i of component k has its variance in the scatter.
inline void add_to_variance(Covariance kind, std::size_t D, std::size_t k, std::size_t i,
                            double value, double* scatter) {
    switch (kind) {
        case Covariance::full:
            scatter[k * (D * (D + 1) / 2) + packed(i, i)] += value;
            break;
        case Covariance::tied:
            scatter[packed(i, i)] += value;
            break;
        case Covariance::diag:
            scatter[k * D + i] += value;
            break;
        case Covariance::spherical:
            scatter[k] += value;
            break;
        case Covariance::tied_spherical:
            scatter[0] += value;
            break;
    }
}

// Diagonal and spherical scores: with R_ki what component k has of the rows that miss feature i,
// the sums take R mu (rows completed by label have it), the scatter R (mu^2 + 1 / Lambda).
// Statistics of another kind than the scores come from the tables of a start; where those do not
// label rows, their means are at the origin.
template <class T>
static void add_axis_moments(const MixtureTask<T>& task, const MissingTile<T>& tile, bool by_label,
                             const MissingWorkspace<T>& space, const StatsLayout& layout,
                             double* stats) {
    const MissingScores& extra = *task.missing;
    const Patterns& p = space.patterns;
    const std::size_t K = task.scores.n_components;
    const std::size_t D = task.scores.n_features;
    const bool diag = task.scores.kind == Covariance::diag;
    for (std::size_t at = 0; at < K * D; ++at)
        space.moments[at] = 0;
    if (by_label) {
        for (std::size_t n = 0; n < tile.n; ++n) {
            for (std::int32_t e = p.entry[n]; e < p.entry[n + 1]; ++e) {
                const std::size_t i = static_cast<std::size_t>(p.cell[e]) / tile.ld;
                space.moments[label_of(tile.labels, n) * D + i] += static_cast<double>(tile.w[n]);
            }
        }
    } else {
        accumulate_product<T>(tile.s, tile.ld, K, space.missing, D, tile.n_padded, space.moments,
                              D);
    }
    for (std::size_t k = 0; k < K; ++k) {
        for (std::size_t i = 0; i < D; ++i) {
            const double share = space.moments[k * D + i];
            if (share == 0)
                continue;
            const double mean = by_label ? 0.0 : extra.mean[i * extra.stride + k];
            const double precision = extra.precision[(diag ? i * extra.stride : 0) + k];
            const double gain = extra.gain[(diag ? i : 1) * extra.stride + k];
            stats[1] += share * (gain + 0.5);
            stats[layout.sums + k * D + i] += share * mean;
            add_to_variance(task.statistics, D, k, i, share * (mean * mean + 1.0 / precision),
                            stats + layout.scatter);
        }
    }
}

// What the missing values add beyond the statistics of the rows as they stand in the tile. Nothing
// where they were drawn.
template <class T>
static void add_missing_moments(const MixtureTask<T>& task, const MissingTile<T>& tile,
                                bool by_label, const MissingWorkspace<T>& space,
                                const StatsLayout& layout, double* stats) {
    if (task.rule == LocalRule::sampled)
        return;
    if (task.scores.kind == Covariance::full)
        add_full_moments(task, tile, by_label, space, layout, stats);
    else if (task.scores.kind == Covariance::tied)
        add_tied_moments(task, tile, by_label, space, layout, stats);
    else
        add_axis_moments(task, tile, by_label, space, layout, stats);
}

// Responsibility-weighted conditional means of the missing values of the tile: tile.s holds the
// responsibilities, `row` is the tile's first row in the view.
template <class T>
static void impute_tile(const MixtureTask<T>& task, const MissingTile<T>& tile, std::size_t row,
                        const MissingWorkspace<T>& space, double* imputed) {
    const Patterns& p = space.patterns;
    const MissingScores& extra = *task.missing;
    const std::size_t K = task.scores.n_components;
    const std::size_t D = task.scores.n_features;
    for (std::size_t n = 0; n < tile.n; ++n) {
        if (p.run[n] < 0)
            continue;
        const auto start =
            static_cast<std::size_t>(p.entry[p.order[p.begin[p.run[n]]]]) * extra.stride;
        for (std::int32_t e = p.entry[n]; e < p.entry[n + 1]; ++e) {
            const std::size_t i = static_cast<std::size_t>(p.cell[e]) / tile.ld;
            const auto a = static_cast<std::size_t>(e - p.entry[n]);
            double sum = 0;
            for (std::size_t k = 0; k < K; ++k) {
                double value = extra.mean[i * extra.stride + k];
                if (task.scores.kind == Covariance::full)
                    value = space.value[k * space.value_ld + static_cast<std::size_t>(e)];
                else if (task.scores.kind == Covariance::tied)
                    value = space.value[start + a * extra.stride + k] +
                            static_cast<double>(tile.x[p.cell[e]]);
                sum += static_cast<double>(tile.s[k * tile.ld + n]) * value;
            }
            imputed[(row + n) * D + i] = sum + task.scores.origin[i];
        }
    }
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
