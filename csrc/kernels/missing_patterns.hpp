// Which features of a tile's rows are missing (NaN), and which rows share a pattern.
//
// Rows of one pattern make a run; what depends on the pattern alone is computed once a run. Runs
// are numbered by their first row and rows keep their order within a run, so every sum over them
// has a fixed order.
#pragma once

#include <cstdint>

#include "../math/vec.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

// Bits of the mask of one row are spread over `words` words; word w of row n is mask[w * ld + n].
struct Patterns {
    std::size_t ld = 0;
    std::size_t words = 0;
    std::uint64_t* mask = nullptr;
    std::int32_t* count = nullptr;  // ld: missing features of the row
    std::int32_t* entry = nullptr;  // ld + 1: number of the row's first missing value
    std::int32_t* run = nullptr;    // ld: run of the row, or -1 where nothing is missing
    std::int32_t* order = nullptr;  // ld: rows with missing values, run by run
    std::int32_t* begin = nullptr;  // ld + 1: first position of each run in `order`
    std::int32_t* cell = nullptr;   // ld x D: place in the tile (feature * ld + row) of each value
    std::int32_t* slot = nullptr;   // n_slots: hash table of runs
    std::size_t n_slots = 0;        // a power of two, at least twice the rows of a tile
    std::size_t n_runs = 0;
    std::size_t n_entries = 0;
};

// Whether any value of the tile is missing. Only NaN differs from itself.
template <class T>
static bool any_missing(const T* x, std::size_t ld, std::size_t D, std::size_t n_padded) {
    IVec<T> found = {};
    for (std::size_t i = 0; i < D; ++i) {
        for (std::size_t n = 0; n < n_padded; n += kLanes<T>) {
            const Vec<T> v = load<T>(x + i * ld + n);
            found |= (v != v);  // NOLINT(misc-redundant-expression): NaN is not itself
        }
    }
    for (std::size_t lane = 0; lane < kLanes<T>; ++lane) {
        if (found[lane] != 0)
            return true;
    }
    return false;
}

inline bool same_pattern(const Patterns& p, std::size_t a, std::size_t b) {
    for (std::size_t w = 0; w < p.words; ++w) {
        if (p.mask[w * p.ld + a] != p.mask[w * p.ld + b])
            return false;
    }
    return true;
}

// The run of row n, whose number is new where no earlier row has its pattern. `first` receives the
// first row of each run.
inline std::int32_t find_run(Patterns& p, std::size_t n, std::int32_t* first) {
    std::uint64_t hash = 0;
    for (std::size_t w = 0; w < p.words; ++w) {
        hash = (hash ^ p.mask[w * p.ld + n]) * 0x9E3779B97F4A7C15U;
        hash ^= hash >> 29;
    }
    for (std::size_t at = hash & (p.n_slots - 1);; at = (at + 1) & (p.n_slots - 1)) {
        if (p.slot[at] < 0) {
            p.slot[at] = static_cast<std::int32_t>(p.n_runs);
            first[p.n_runs] = static_cast<std::int32_t>(n);
            return static_cast<std::int32_t>(p.n_runs++);
        }
        if (same_pattern(p, n, static_cast<std::size_t>(first[p.slot[at]])))
            return p.slot[at];
    }
}

// Fills `p` for the first n rows of the tile and puts zero, the origin, in the place of each
// missing value. `first` is workspace for ld numbers.
template <class T>
static void find_patterns(T* x, std::size_t n, std::size_t D, std::int32_t* first, Patterns& p) {
    const std::size_t ld = p.ld;
    for (std::size_t w = 0; w < p.words; ++w) {
        std::uint64_t* mask = p.mask + w * ld;
        for (std::size_t r = 0; r < n; ++r)
            mask[r] = 0;
        for (std::size_t i = 64 * w; i < D && i < 64 * (w + 1); ++i) {
            T* row = x + i * ld;
            for (std::size_t r = 0; r < n; ++r) {
                mask[r] |= static_cast<std::uint64_t>(__builtin_isnan(row[r])) << (i - 64 * w);
                row[r] = __builtin_isnan(row[r]) ? T(0) : row[r];
            }
        }
    }
    for (std::size_t at = 0; at < p.n_slots; ++at)
        p.slot[at] = -1;
    p.n_runs = 0;
    p.n_entries = 0;
    for (std::size_t r = 0; r < n; ++r) {
        p.entry[r] = static_cast<std::int32_t>(p.n_entries);
        for (std::size_t w = 0; w < p.words; ++w) {
            for (std::uint64_t left = p.mask[w * ld + r]; left != 0; left &= left - 1) {
                const auto i = 64 * w + static_cast<std::size_t>(__builtin_ctzll(left));
                p.cell[p.n_entries++] = static_cast<std::int32_t>(i * ld + r);
            }
        }
        p.count[r] = static_cast<std::int32_t>(p.n_entries) - p.entry[r];
        p.run[r] = p.count[r] == 0 ? -1 : find_run(p, r, first);
    }
    p.entry[n] = static_cast<std::int32_t>(p.n_entries);
    // Counting sort of the rows by run.
    for (std::size_t q = 0; q <= p.n_runs; ++q)
        p.begin[q] = 0;
    for (std::size_t r = 0; r < n; ++r) {
        if (p.run[r] >= 0)
            ++p.begin[p.run[r] + 1];
    }
    for (std::size_t q = 0; q < p.n_runs; ++q)
        p.begin[q + 1] += p.begin[q];
    for (std::size_t r = 0; r < n; ++r) {
        if (p.run[r] >= 0)
            p.order[p.begin[p.run[r]]++] = static_cast<std::int32_t>(r);
    }
    for (std::size_t q = p.n_runs; q > 0; --q)
        p.begin[q] = p.begin[q - 1];
    p.begin[0] = 0;
}

// One run: its rows and its missing features, in ascending order.
struct Run {
    const std::int32_t* rows;
    std::size_t n_rows;
    const std::int32_t* feature;
    std::size_t m;
};

// `feature` (D numbers) receives the features of the run.
inline Run run_of(const Patterns& p, std::size_t index, std::int32_t* feature) {
    const std::int32_t* rows = p.order + p.begin[index];
    const std::size_t m = static_cast<std::size_t>(p.count[rows[0]]);
    const std::int32_t* cell = p.cell + p.entry[rows[0]];
    for (std::size_t a = 0; a < m; ++a)
        feature[a] = cell[a] / static_cast<std::int32_t>(p.ld);
    return {rows, static_cast<std::size_t>(p.begin[index + 1] - p.begin[index]), feature, m};
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
