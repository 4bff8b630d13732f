// The fused E-step of a Gaussian mixture over one leaf of rows, and the assignment pass.
//
// A leaf is cut into tiles that stay in cache through the passes: load and centre (the transpose
// happens here), score, local rule, accumulate. The N x K matrix never exists. Statistics are
// added tile by tile in row order, so a leaf's result does not depend on threads.
#pragma once

#include <cstdint>

#include "../families/gaussian_accumulate.hpp"
#include "../families/gaussian_score.hpp"
#include "../latents/mixture.hpp"
#include "missing_estep.hpp"
#include "task.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

// A tile row is padded by one cache line, so that the K (or D) entries of one row of data do not
// fall into the same cache set.
template <class T>
constexpr std::size_t kRowPad = 64 / sizeof(T);

// Rows are padded to whole register chunks and whole cache lines.
template <class T>
constexpr std::size_t kPadRows = kChunkRows<T> > kLineRows<T> ? kChunkRows<T> : kLineRows<T>;

inline std::size_t round_up(std::size_t n, std::size_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

// Workspace of one thread, carved from one allocation. Everything is of type T but the labels.
template <class T>
struct TileWorkspace {
    std::size_t ld;
    T* x;                  // tile_features x ld
    T* s;                  // K x ld: scores, then responsibilities
    T* w;                  // ld: row weights, zero on padded rows
    T* weighted;           // kGramA x ld
    T* spare;              // tile_features x ld: whitened rows (tied), or the rows of one label
    T* density;            // ld
    std::int32_t* labels;  // ld
    std::int32_t* order;   // ld: rows sorted by label
    std::int32_t* begin;   // K + 1
    T* packed;             // kGramA x ld: responsibilities of the rows that are not passed over
    std::uint32_t* list;   // ld: where they were
};

template <class T>
inline std::size_t workspace_bytes(std::size_t tile_rows, std::size_t features, std::size_t K) {
    const std::size_t ld = round_up(tile_rows, 64) + kRowPad<T>;
    return sizeof(T) * ld * (2 * features + K + 2 * kGramA + 2) +
           sizeof(std::int32_t) * (3 * ld + K + 1) + 128;
}

template <class T>
inline TileWorkspace<T> carve(void* memory, std::size_t tile_rows, std::size_t features,
                              std::size_t K) {
    TileWorkspace<T> space;
    space.ld = round_up(tile_rows, 64) + kRowPad<T>;
    const std::size_t past_line = reinterpret_cast<std::uintptr_t>(memory) % 64;
    T* next = reinterpret_cast<T*>(static_cast<char*>(memory) + (64 - past_line) % 64);
    space.x = next;
    next += features * space.ld;
    space.spare = next;
    next += features * space.ld;
    space.s = next;
    next += K * space.ld;
    space.weighted = next;
    next += kGramA * space.ld;
    space.packed = next;
    next += kGramA * space.ld;
    space.w = next;
    next += space.ld;
    space.density = next;
    next += space.ld;
    space.labels = reinterpret_cast<std::int32_t*>(next);
    space.order = space.labels + space.ld;
    space.begin = space.order + space.ld;
    space.list = reinterpret_cast<std::uint32_t*>(space.begin + K + 1);
    return space;
}

// D features of rows that lie one behind the other: with a constant stride the loop is vectorised.
template <class T, class Source, int D>
static void load_dense(const Source* __restrict source, std::size_t n, const double* origin,
                       T* __restrict x, std::size_t ld) {
    for (int i = 0; i < D; ++i) {
        const double centre = origin[i];
        T* __restrict to = x + static_cast<std::size_t>(i) * ld;
        for (std::size_t r = 0; r < n; ++r)
            to[r] = static_cast<T>(static_cast<double>(source[r * D + i]) - centre);
    }
}

template <class T, class Source>
static void load_strided(const RowsView& rows, const Source* source, std::size_t n,
                         const double* origin, T* x, std::size_t ld) {
    const std::size_t D = rows.n_features;
    constexpr std::size_t kRows = 16;  // rows read together: each cache line is used up while hot
    for (std::size_t n0 = 0; n0 < n; n0 += kRows) {
        const std::size_t count = at_most(n - n0, kRows);
        for (std::size_t i = 0; i < D; ++i) {
            const Source* from = source + static_cast<std::ptrdiff_t>(n0) * rows.row_stride +
                                 static_cast<std::ptrdiff_t>(i) * rows.column_stride;
            T* to = x + i * ld + n0;
            for (std::size_t r = 0; r < count; ++r)
                to[r] = static_cast<T>(
                    static_cast<double>(from[static_cast<std::ptrdiff_t>(r) * rows.row_stride]) -
                    origin[i]);
        }
    }
}

// Transposes `n` rows into the tile, minus the origin; padded rows are zero. The difference is
// taken in double: float data far from zero keeps its spread.
template <class T, class Source>
static void load_tile(const RowsView& rows, std::size_t first, std::size_t n, std::size_t n_padded,
                      const double* origin, T* x, std::size_t ld) {
    const Source* source = static_cast<const Source*>(rows.data) +
                           static_cast<std::ptrdiff_t>(first) * rows.row_stride;
    const std::size_t D = rows.n_features;
    const bool dense = rows.column_stride == 1 && rows.row_stride == static_cast<std::ptrdiff_t>(D);
    if (dense && D == 1)
        load_dense<T, Source, 1>(source, n, origin, x, ld);
    else if (dense && D == 2)
        load_dense<T, Source, 2>(source, n, origin, x, ld);
    else if (dense && D == 3)
        load_dense<T, Source, 3>(source, n, origin, x, ld);
    else
        load_strided<T, Source>(rows, source, n, origin, x, ld);
    for (std::size_t i = 0; i < D; ++i) {
        for (std::size_t r = n; r < n_padded; ++r)
            x[i * ld + r] = 0;
    }
}

template <class T>
static void load_rows(const RowsView& rows, std::size_t first, std::size_t n, std::size_t n_padded,
                      const double* origin, const TileWorkspace<T>& space) {
    if (rows.is_float)
        load_tile<T, float>(rows, first, n, n_padded, origin, space.x, space.ld);
    else
        load_tile<T, double>(rows, first, n, n_padded, origin, space.x, space.ld);
    for (std::size_t r = 0; r < n; ++r)
        space.w[r] =
            rows.weights == nullptr
                ? T(1)
                : static_cast<T>(
                      rows.weights[static_cast<std::ptrdiff_t>(first + r) * rows.weight_stride]);
    for (std::size_t r = n; r < n_padded; ++r)
        space.w[r] = 0;
}

// Statistics under one label a row: rows are bucketed by label and each bucket is a dense tile of
// one component, so the work is that of one component a row, with the same kernels.
template <class T>
static void accumulate_labels(const MixtureTask<T>& task, const TileWorkspace<T>& space,
                              std::size_t n, std::size_t features, const StatsLayout& layout,
                              double* stats) {
    const std::size_t K = task.scores.n_components;
    const std::size_t D = task.scores.n_features;
    for (std::size_t k = 0; k <= K; ++k)
        space.begin[k] = 0;
    for (std::size_t r = 0; r < n; ++r)
        ++space.begin[space.labels[r] + 1];
    for (std::size_t k = 0; k < K; ++k)
        space.begin[k + 1] += space.begin[k];
    for (std::size_t r = 0; r < n; ++r)
        space.order[space.begin[space.labels[r]]++] = static_cast<std::int32_t>(r);
    T* gathered_w = space.density;
    std::size_t from = 0;
    for (std::size_t k = 0; k < K; ++k) {
        const std::size_t to = static_cast<std::size_t>(space.begin[k]);  // end of bucket k now
        const std::size_t count = to - from;
        if (count == 0)
            continue;
        const std::size_t padded = round_up(count, kLanes<T>);
        const std::int32_t* order = space.order + from;
        for (std::size_t i = 0; i < features; ++i) {
            const T* source = space.x + i * space.ld;
            T* target = space.spare + i * space.ld;
            for (std::size_t r = 0; r < count; ++r)
                target[r] = source[order[r]];
            for (std::size_t r = count; r < padded; ++r)
                target[r] = 0;
        }
        for (std::size_t r = 0; r < count; ++r)
            gathered_w[r] = space.w[order[r]];
        for (std::size_t r = count; r < padded; ++r)
            gathered_w[r] = 0;
        stats[layout.counts + k] += row_sum<T>(gathered_w, padded);
        accumulate_moments<T>(task.statistics, gathered_w, space.spare, space.ld, k, 1, D, padded,
                              space.weighted, layout, stats);
        from = to;
    }
}

// Rows whose K scores fit into the first-level cache: they are scored and normalised together.
// Depends on K and the type only, as everything that orders a sum.
template <class T>
inline std::size_t strip_rows(std::size_t K) {
    constexpr std::size_t kBytes = std::size_t{24} << 10;
    const std::size_t fit = kBytes / (K * sizeof(T)) / 64 * 64;
    return fit < 64 ? 64 : fit;
}

// Scores and local rule of rows [r, r + n_strip) of the tile, whose first row is `row` of the
// view and whose first `n` rows are real. Responsibilities stay in their place in space.s, where
// the scores already are if `scored`.
template <class T>
static TileBound local_step(const MixtureTask<T>& task, const TileWorkspace<T>& space,
                            std::size_t r, std::size_t row, std::size_t n_strip, std::size_t n,
                            bool scored) {
    T* s = space.s + r;
    if (needs_scores(task.rule) && !scored)
        score<T>(task.scores, space.x + r, space.ld, n_strip, space.spare + r, s);
    const LocalStep step{task.rule, task.rows.labels, task.rows.offset,
                         task.seed, task.iteration,   task.rows.responsibilities};
    return apply_rule<T>(step, s, space.ld, task.scores.n_components, space.w + r, row + r,
                         at_most(n_strip, n > r ? n - r : 0), n_strip, space.labels + r);
}

// Workspace for missing values, behind that of the tile. The tile's must be carved for `features`.
template <class T>
inline std::size_t missing_bytes(std::size_t tile_rows, std::size_t D, std::size_t K, bool matrix) {
    MissingWorkspace<T> space{};
    const std::size_t ld = round_up(tile_rows, 64) + kRowPad<T>;
    return carve_missing<T>(nullptr, ld, tile_rows, D, K, matrix, space) + 128;
}

template <class T>
static MissingWorkspace<T> missing_workspace(const MixtureTask<T>& task, void* memory,
                                             std::size_t tile_rows, std::size_t features,
                                             std::size_t ld) {
    MissingWorkspace<T> space{};
    if (task.missing == nullptr)
        return space;
    const std::size_t K = task.scores.n_components;
    const std::size_t behind = round_up(workspace_bytes<T>(tile_rows, features, K), 64);
    char* start = static_cast<char*>(memory) + behind;
    start += (64 - reinterpret_cast<std::uintptr_t>(start) % 64) % 64;
    carve_missing<T>(start, ld, tile_rows, task.scores.n_features, K, is_matrix(task.scores.kind),
                     space);
    return space;
}

// Adds the statistics of a tile whose responsibilities (or labels, as the rule gives them) are in
// its workspace. `missing`: the tile has missing values and was scored by score_missing. `skips`:
// many responsibilities are zero.
template <class T>
static void add_statistics(const MixtureTask<T>& task, const MissingTile<T>& tile,
                           const TileWorkspace<T>& space, MissingWorkspace<T>& holes,
                           std::size_t row, bool missing, bool skips, double* stats) {
    const std::size_t K = task.scores.n_components;
    const std::size_t D = task.scores.n_features;
    const std::size_t n_padded = tile.n_padded;
    const StatsLayout layout = stats_layout(task.statistics, K, D);
    const PackedRows<T> packed{space.packed, space.spare, space.list};
    const bool by_label = gives_labels(task.rule);
    if (missing && by_label)
        complete_by_label<T>(task, tile, row, holes);
    append_squares<T>(task.statistics, space.x, space.ld, D, n_padded);
    if (by_label)
        accumulate_labels<T>(task, space, tile.n, tile_features(task.statistics, D), layout, stats);
    else if (missing && task.scores.kind == Covariance::full)
        accumulate_completed<T>(task, tile, space.weighted, holes, layout, stats,
                                skips ? &packed : nullptr);
    else
        accumulate<T>(task.statistics, space.s, space.x, space.ld, 0, K, D, n_padded,
                      space.weighted, layout, stats, skips ? &packed : nullptr);
    accumulate_tied<T>(task.statistics, space.w, space.x, space.ld, D, n_padded, space.weighted,
                       layout, stats);
    if (missing)
        add_missing_moments<T>(task, tile, by_label, holes, layout, stats);
}

// Adds the statistics of rows [first, first + n_rows) to `stats` (layout as in task.hpp).
template <class T>
static void mixture_estep(const MixtureTask<T>& task, std::size_t first, std::size_t n_rows,
                          std::size_t tile_rows, void* memory, double* stats) {
    const std::size_t K = task.scores.n_components;
    const std::size_t D = task.scores.n_features;
    const std::size_t features = tile_features(task.statistics, D);
    const TileWorkspace<T> space = carve<T>(memory, tile_rows, features, K);
    MissingWorkspace<T> holes = missing_workspace<T>(task, memory, tile_rows, features, space.ld);
    const std::size_t strip = strip_rows<T>(K);
    for (std::size_t done = 0; done < n_rows; done += tile_rows) {
        const std::size_t n = at_most(n_rows - done, tile_rows);
        const std::size_t n_padded = round_up(n, kPadRows<T>);
        const std::size_t row = first + done;
        load_rows<T>(task.rows, row, n, n_padded, task.scores.origin, space);
        const MissingTile<T> tile{space.x,      space.s,  space.w, space.spare,
                                  space.labels, space.ld, n,       n_padded};
        const bool missing =
            task.missing != nullptr && any_missing<T>(space.x, space.ld, D, n_padded);
        if (missing)
            score_missing<T>(task, tile, holes);
        TileBound bound;
        for (std::size_t r = 0; r < n_padded; r += strip) {
            const TileBound part =
                local_step<T>(task, space, r, row, at_most(strip, n_padded - r), n, missing);
            bound.local_bound += part.local_bound;
            bound.entropy += part.entropy;
            bound.zero_lines += part.zero_lines;
        }
        // With fewer features looking for the rows costs what it saves.
        const bool skips = D >= 4 && 4 * bound.zero_lines * kLineRows<T> > K * n_padded;
        add_statistics<T>(task, tile, space, holes, row, missing, skips, stats);
        stats[0] += bound.local_bound;
        stats[1] += bound.entropy;
    }
}

// Labels, responsibilities, log-densities or raw scores of rows [first, first + n_rows).
template <class T>
static void mixture_assign(const MixtureTask<T>& task, std::size_t first, std::size_t n_rows,
                           std::size_t tile_rows, void* memory, const AssignOutputs& out) {
    const std::size_t K = task.scores.n_components;
    const std::size_t D = task.scores.n_features;
    const std::size_t features = tile_features(task.statistics, D);
    const TileWorkspace<T> space = carve<T>(memory, tile_rows, features, K);
    MissingWorkspace<T> holes = missing_workspace<T>(task, memory, tile_rows, features, space.ld);
    for (std::size_t done = 0; done < n_rows; done += tile_rows) {
        const std::size_t n = at_most(n_rows - done, tile_rows);
        const std::size_t n_padded = round_up(n, kPadRows<T>);
        const std::size_t row = first + done;
        load_rows<T>(task.rows, row, n, n_padded, task.scores.origin, space);
        for (std::size_t r = 0; r < n_padded; ++r)
            space.w[r] = T(1);
        const MissingTile<T> tile{space.x,      space.s,  space.w, space.spare,
                                  space.labels, space.ld, n,       n_padded};
        const bool missing =
            task.missing != nullptr && any_missing<T>(space.x, space.ld, D, n_padded);
        if (missing)
            score_missing<T>(task, tile, holes);
        else
            score<T>(task.scores, space.x, space.ld, n_padded, space.spare, space.s);
        if (out.scores != nullptr) {
            for (std::size_t r = 0; r < n; ++r) {
                for (std::size_t k = 0; k < K; ++k)
                    out.scores[(row + r) * K + k] = static_cast<double>(space.s[k * space.ld + r]);
            }
        }
        if (out.labels != nullptr) {
            local_hard<T>(space.s, space.ld, K, space.w, n_padded, space.labels);
            for (std::size_t r = 0; r < n; ++r)
                out.labels[row + r] = space.labels[r];
        }
        if (out.responsibilities == nullptr && out.log_density == nullptr && out.imputed == nullptr)
            continue;
        local_exact<T>(space.s, space.ld, K, space.w, n_padded, space.density);
        if (out.imputed != nullptr && missing)
            impute_tile<T>(task, tile, row, holes, out.imputed);
        if (out.log_density != nullptr) {
            // A capped square means that the row is farther than the type can say.
            constexpr T kUnreachable = -kLargestSquare<T> / 4;
            for (std::size_t r = 0; r < n; ++r)
                out.log_density[row + r] = space.density[r] > kUnreachable
                                               ? static_cast<double>(space.density[r])
                                               : -__builtin_inf();
        }
        if (out.responsibilities != nullptr) {
            for (std::size_t r = 0; r < n; ++r) {
                for (std::size_t k = 0; k < K; ++k)
                    out.responsibilities[(row + r) * K + k] =
                        static_cast<double>(space.s[k * space.ld + r]);
            }
        }
    }
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
