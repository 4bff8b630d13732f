// The fused E-step of a mixture of an indexed family over one leaf of rows, and the assignment
// pass.
//
// A leaf is cut into tiles whose responsibilities stay in the first-level cache: list the entries
// of the rows, score them by row, turn the scores to one row a component for the local rule and the
// responsibilities back, add them up by feature.
#pragma once

#include <cstdint>

#include "../families/indexed_accumulate.hpp"
#include "../latents/mixture.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

inline std::size_t padded_to(std::size_t n, std::size_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

// The local rules take one line of rows or two vectors at a time.
template <class T>
constexpr std::size_t kPaddedRows = kLineRows<T> > 2 * kLanes<T> ? kLineRows<T> : 2 * kLanes<T>;

// Workspace of one thread, carved from one allocation that begins on a cache line.
template <class T>
struct IndexedWorkspace {
    EntryBuffer<T> entries;
    TileFeatures<T> features;
    std::size_t ld;        // of s
    T* r;                  // tile_rows x table's ld: scores, then responsibilities, by row
    T* s;                  // K x ld: the same by component
    T* w;                  // ld: row weights, zero on padded rows
    T* density;            // ld
    double* row;           // K
    std::int32_t* labels;  // ld
    double* pattern_sums;  // (1 + n_indexed) x K, with groups of bits: counts and sums of one leaf
    std::uint32_t* pattern_rows;  // n_indexed: rows of the leaf that have the pattern
    std::size_t bytes;
};

template <class T>
inline IndexedWorkspace<T> carve_indexed(void* memory, const IndexedSizes& sizes) {
    std::size_t used = 0;
    const auto take = [&]<class Item>(Item*& pointer, std::size_t count) {
        if (memory != nullptr)  // without: only the bytes are asked for
            pointer = reinterpret_cast<Item*>(static_cast<char*>(memory) + used);
        used += padded_to(count * sizeof(Item), 64);
    };
    const std::size_t K = sizes.n_components;
    const std::size_t entries = sizes.n_entries + kEntrySlack;
    IndexedWorkspace<T> space{};
    // Padded by a cache line, so that the K scores of one row do not share a cache set.
    space.ld = padded_to(sizes.tile_rows, 64) + 64 / sizeof(T);
    take(space.entries.begin, sizes.tile_rows + 1);
    take(space.entries.index, entries);
    take(space.entries.value, entries);
    take(space.features.begin, sizes.n_indexed + 2);
    take(space.features.present, sizes.n_indexed + 1);
    take(space.features.row, entries);
    take(space.features.value, entries);
    take(space.r, sizes.tile_rows * padded_to(K, kLanes<T>));
    take(space.s, K * space.ld);
    take(space.w, space.ld);
    take(space.density, space.ld);
    take(space.row, K);
    take(space.labels, space.ld);
    if (sizes.n_groups > 0) {
        take(space.pattern_sums, (1 + sizes.n_indexed) * K);
        take(space.pattern_rows, sizes.n_indexed);
    }
    char* dense = nullptr;
    take(dense, sizes.tile_rows * sizes.n_features * sizes.item);
    space.entries.dense = dense;
    take(space.entries.bytes, sizes.n_groups > 0 ? sizes.n_features : 0);
    space.bytes = used;
    return space;
}

template <class T>
inline std::size_t indexed_workspace_bytes(const IndexedSizes& sizes) {
    return carve_indexed<T>(nullptr, sizes).bytes;
}

// s[k * ld + n] = r[n * r_ld + k]; padded rows are zero.
template <class T>
static void by_component(const T* r, std::size_t r_ld, std::size_t n, std::size_t n_padded,
                         std::size_t K, T* s, std::size_t ld) {
    constexpr std::size_t kRows = 8;
    std::size_t first = 0;
    for (; first + kRows <= n; first += kRows) {
        for (std::size_t k = 0; k < K; ++k) {
            for (std::size_t i = 0; i < kRows; ++i)
                s[k * ld + first + i] = r[(first + i) * r_ld + k];
        }
    }
    for (std::size_t k = 0; k < K; ++k) {
        for (std::size_t i = first; i < n; ++i)
            s[k * ld + i] = r[i * r_ld + k];
        for (std::size_t i = n; i < n_padded; ++i)
            s[k * ld + i] = 0;
    }
}

// r[n * r_ld + k] = s[k * ld + n]; what lies behind the components is zero.
template <class T>
static void by_row(const T* s, std::size_t ld, std::size_t n, std::size_t K, T* r,
                   std::size_t r_ld) {
    constexpr std::size_t kRows = 8;
    for (std::size_t first = 0; first < n; first += kRows) {
        const std::size_t end = first + kRows < n ? first + kRows : n;
        for (std::size_t k = 0; k < K; ++k) {
            for (std::size_t i = first; i < end; ++i)
                r[i * r_ld + k] = s[k * ld + i];
        }
        for (std::size_t i = first; i < end; ++i) {
            for (std::size_t k = K; k < r_ld; ++k)
                r[i * r_ld + k] = 0;
        }
    }
}

template <class T>
static void load_weights(const double* weights, std::size_t first, std::size_t n,
                         std::size_t n_padded, T* w) {
    for (std::size_t i = 0; i < n; ++i)
        w[i] = weights == nullptr ? T(1) : static_cast<T>(weights[first + i]);
    for (std::size_t i = n; i < n_padded; ++i)
        w[i] = 0;
}

// Sum of the weighted log base measures of rows [first, first + n).
inline double base_measure(const IndexedRows& rows, std::size_t first, std::size_t n) {
    double sum = 0;
    for (std::size_t i = first; rows.base != nullptr && i < first + n; ++i)
        sum += rows.base[i] * (rows.weights == nullptr ? 1.0 : rows.weights[i]);
    return sum;
}

// Adds the statistics of rows [first, first + n_rows) to `stats` (layout as in indexed_task.hpp).
template <class T>
static void indexed_estep(const IndexedTask<T>& task, std::size_t first, std::size_t n_rows,
                          const IndexedSizes& sizes, void* memory, double* stats) {
    const IndexedScores<T>& scores = task.scores;
    const std::size_t K = scores.n_components;
    const IndexedWorkspace<T> space = carve_indexed<T>(memory, sizes);
    const LocalStep step{task.rule, task.rows.labels, task.rows.offset,
                         task.seed, task.iteration,   task.rows.responsibilities};
    const bool grouped = sizes.n_groups > 0;
    double* counts = stats + 2;
    if (grouped) {
        counts = space.pattern_sums;
        for (std::size_t i = 0; i < (1 + sizes.n_indexed) * K; ++i)
            counts[i] = 0;
        for (std::size_t i = 0; i < sizes.n_indexed; ++i)
            space.pattern_rows[i] = 0;
    }
    for (std::size_t done = 0; done < n_rows; done += sizes.tile_rows) {
        const std::size_t left = n_rows - done;
        const std::size_t n = left < sizes.tile_rows ? left : sizes.tile_rows;
        const std::size_t n_padded = padded_to(n, kPaddedRows<T>);
        const std::size_t row = first + done;
        const TileEntries<T> entries = tile_entries<T>(task, row, n, space.entries);
        load_weights<T>(task.rows.weights, row, n, n_padded, space.w);
        if (needs_scores(task.rule)) {
            indexed_score<T>(scores, entries, space.r);
            by_component<T>(space.r, scores.ld, n, n_padded, K, space.s, space.ld);
        }
        const TileBound bound =
            apply_rule<T>(step, space.s, space.ld, K, space.w, row, n, n_padded, space.labels);
        if (gives_labels(task.rule)) {
            indexed_accumulate_labels<T>(entries, space.labels, space.w, K, counts,
                                         space.pattern_rows);
        } else {
            by_row<T>(space.s, space.ld, n, K, space.r, scores.ld);
            indexed_accumulate<T>(entries, scores.n_indexed, space.r, scores.ld, K, space.features,
                                  space.row, counts, space.pattern_rows);
        }
        const double base = base_measure(task.rows, row, n);
        const bool reachable = bound.local_bound > static_cast<double>(kUnreachable<T>);
        stats[0] += reachable ? bound.local_bound + base : -__builtin_inf();
        stats[1] += bound.entropy + base;
    }
    if (grouped)
        add_patterns(space.pattern_sums, space.pattern_rows, task.rows.n_features, n_rows, K,
                     stats + 2);
}

// Labels, responsibilities, log-densities or scores (without base measure) of rows
// [first, first + n_rows).
template <class T>
static void indexed_assign(const IndexedTask<T>& task, std::size_t first, std::size_t n_rows,
                           const IndexedSizes& sizes, void* memory, const AssignOutputs& out) {
    const IndexedScores<T>& scores = task.scores;
    const std::size_t K = scores.n_components;
    const IndexedWorkspace<T> space = carve_indexed<T>(memory, sizes);
    for (std::size_t done = 0; done < n_rows; done += sizes.tile_rows) {
        const std::size_t left = n_rows - done;
        const std::size_t n = left < sizes.tile_rows ? left : sizes.tile_rows;
        const std::size_t n_padded = padded_to(n, kPaddedRows<T>);
        const std::size_t row = first + done;
        const TileEntries<T> entries = tile_entries<T>(task, row, n, space.entries);
        load_weights<T>(nullptr, row, n, n_padded, space.w);
        indexed_score<T>(scores, entries, space.r);
        by_component<T>(space.r, scores.ld, n, n_padded, K, space.s, space.ld);
        if (out.scores != nullptr) {
            for (std::size_t i = 0; i < n; ++i) {
                for (std::size_t k = 0; k < K; ++k)
                    out.scores[(row + i) * K + k] = static_cast<double>(space.r[i * scores.ld + k]);
            }
        }
        if (out.labels != nullptr) {
            local_hard<T>(space.s, space.ld, K, space.w, n_padded, space.labels);
            for (std::size_t i = 0; i < n; ++i)
                out.labels[row + i] = space.labels[i];
        }
        if (out.responsibilities == nullptr && out.log_density == nullptr)
            continue;
        local_exact<T>(space.s, space.ld, K, space.w, n_padded, space.density);
        for (std::size_t i = 0; out.log_density != nullptr && i < n; ++i) {
            const double base = task.rows.base == nullptr ? 0.0 : task.rows.base[row + i];
            out.log_density[row + i] = space.density[i] > kUnreachable<T>
                                           ? static_cast<double>(space.density[i]) + base
                                           : -__builtin_inf();
        }
        for (std::size_t i = 0; out.responsibilities != nullptr && i < n; ++i) {
            for (std::size_t k = 0; k < K; ++k)
                out.responsibilities[(row + i) * K + k] =
                    static_cast<double>(space.s[k * space.ld + i]);
        }
    }
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
