// Sufficient statistics of an indexed family over one tile of rows.
//
// sums[f] += v r[n] for every entry (f, v) of row n, r being the row's K responsibilities. Row by
// row that is a load and a store of a row of sums for each entry. Instead the tile's entries are
// sorted by feature, so that a row of sums stays in registers while the responsibilities of its
// rows, which the first-level cache holds, are added: one load an entry and vector, as in the
// scores. A tile with few entries for many features is not worth sorting and goes row by row.
//
// Both ways add a feature that all rows have in the order in which they add the counts, so that the
// two are equal to the bit, and a probability of one is exactly one.
#pragma once

#include "indexed_score.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

// Entries of one tile by feature: rows [begin[f], begin[f + 1]), in order.
template <class T>
struct TileFeatures {
    std::uint32_t* begin;   // n_indexed + 2
    std::int32_t* present;  // n_indexed: the features that have entries, in order
    std::uint16_t* row;
    T* value;  // where the entries have values
};

inline void add_lanes(double* to, Vec<double> v) {
    store<double>(to, load<double>(to) + v);
}
inline void add_lanes(double* to, Vec<float> v) {
    const auto halves = to_double(v);
    add_lanes(to, halves.low);
    add_lanes(to + kLanes<double>, halves.high);
}

// to[0..count) += the lanes of V vectors. Those behind `count` are zero, and are added, too, where
// there is `room` for them: that changes nothing.
template <class T, int V>
inline void add_vectors(const Vec<T>* sum, std::size_t count, std::size_t room, double* to) {
    constexpr std::size_t W = kLanes<T>;
    if (room >= V * W) {
#pragma GCC unroll 16
        for (int v = 0; v < V; ++v)
            add_lanes(to + v * W, sum[v]);
        return;
    }
    T lanes[V * W];
    for (int v = 0; v < V; ++v)
        store<T>(lanes + v * W, sum[v]);
    for (std::size_t i = 0; i < count; ++i)
        to[i] += static_cast<double>(lanes[i]);
}

// Sorts the entries by feature, rows in order (a counting sort). Returns how many features have
// any.
template <class T>
static std::size_t sort_by_feature(const TileEntries<T>& entries, std::size_t n_indexed,
                                   const TileFeatures<T>& features) {
    std::uint32_t* next = features.begin + 1;  // next[f]: where feature f's next entry goes
    for (std::size_t f = 0; f <= n_indexed; ++f)
        next[f] = 0;
    const std::size_t size = entries.size();
    for (std::size_t i = 0; i < size; ++i)
        ++next[entries.index[i] + 1];
    for (std::size_t f = 0; f < n_indexed; ++f)
        next[f + 1] += next[f];
    for (std::size_t n = 0; n < entries.n_rows; ++n) {
        for (std::size_t i = entries.begin[n]; i < entries.begin[n + 1]; ++i) {
            const std::uint32_t place = next[entries.index[i]]++;
            features.row[place] = static_cast<std::uint16_t>(n);
            if (entries.value != nullptr)
                features.value[place] = entries.value[i];
        }
    }
    features.begin[0] = 0;
    std::size_t n_present = 0;
    for (std::size_t f = 0; f < n_indexed; ++f) {
        features.present[n_present] = static_cast<std::int32_t>(f);
        n_present += features.begin[f + 1] != features.begin[f];
    }
    return n_present;
}

template <class T, int V, bool Valued>
static void accumulate_strip(const TileFeatures<T>& features, std::size_t n_present,
                             std::size_t n_indexed, const T* r, std::size_t ld, std::size_t k,
                             std::size_t K, std::size_t n_rows, double* counts) {
    const std::size_t width = V * kLanes<T> < K - k ? V * kLanes<T> : K - k;
    double* sums = counts + K;
    {
        Vec<T> sum[kChains<V>][V] = {};
        sum_rows<T, V, false>(n_rows, nullptr, [&](std::size_t n) { return r + n * ld + k; }, sum);
        add_vectors<T, V>(sum[0], width, K * (n_indexed + 1) - k, counts + k);
    }
    for (std::size_t next = 0; next < n_present; ++next) {
        const auto f = static_cast<std::size_t>(features.present[next]);
        const std::size_t from = features.begin[f];
        const std::size_t size = features.begin[f + 1] - from;
        const std::uint16_t* row = features.row + from;
        Vec<T> sum[kChains<V>][V] = {};
        sum_rows<T, V, Valued>(
            size, Valued ? features.value + from : nullptr,
            [&](std::size_t i) { return r + row[i] * ld + k; }, sum);
        add_vectors<T, V>(sum[0], width, K * (n_indexed - f) - k, sums + f * K + k);
    }
}

// One row after the other. `row` holds K doubles.
template <class T>
static void accumulate_rows(const TileEntries<T>& entries, const T* r, std::size_t ld,
                            std::size_t K, double* row, double* counts) {
    for (std::size_t n = 0; n < entries.n_rows; ++n) {
        for (std::size_t k = 0; k < K; ++k) {
            row[k] = static_cast<double>(r[n * ld + k]);
            counts[k] += row[k];
        }
        for (std::size_t i = entries.begin[n]; i < entries.begin[n + 1]; ++i) {
            const double value =
                entries.value == nullptr ? 1.0 : static_cast<double>(entries.value[i]);
            double* to = counts + K * (static_cast<std::size_t>(entries.index[i]) + 1);
            for (std::size_t k = 0; k < K; ++k)
                to[k] += value * row[k];
        }
    }
}

// Adds to n_rows_of[f], where it is given, the number of entries (f, v).
template <class T>
static void count_rows_of(const TileEntries<T>& entries, std::uint32_t* n_rows_of) {
    const std::size_t size = n_rows_of == nullptr ? 0 : entries.size();
    for (std::size_t i = 0; i < size; ++i)
        ++n_rows_of[entries.index[i]];
}

// Adds the tile to counts (K) and to the sums (n_indexed x K) that lie behind them; see
// count_rows_of for n_rows_of.
// r: responsibilities times weights, by row, zero behind the components.
template <class T>
static void indexed_accumulate(const TileEntries<T>& entries, std::size_t n_indexed, const T* r,
                               std::size_t ld, std::size_t K, const TileFeatures<T>& features,
                               double* row, double* counts, std::uint32_t* n_rows_of) {
    if (4 * entries.size() < n_indexed) {
        count_rows_of<T>(entries, n_rows_of);
        return accumulate_rows<T>(entries, r, ld, K, row, counts);
    }
    const std::size_t n_present = sort_by_feature<T>(entries, n_indexed, features);
    for (std::size_t f = 0; n_rows_of != nullptr && f < n_indexed; ++f)
        n_rows_of[f] += features.begin[f + 1] - features.begin[f];
    for_each_strip<T>(ld, [&]<int V>(std::size_t k) {
        if (entries.value != nullptr)
            accumulate_strip<T, V, true>(features, n_present, n_indexed, r, ld, k, K,
                                         entries.n_rows, counts);
        else
            accumulate_strip<T, V, false>(features, n_present, n_indexed, r, ld, k, K,
                                          entries.n_rows, counts);
    });
}

// The same under one label a row: one number an entry.
template <class T>
static void indexed_accumulate_labels(const TileEntries<T>& entries, const std::int32_t* labels,
                                      const T* w, std::size_t K, double* counts,
                                      std::uint32_t* n_rows_of) {
    count_rows_of<T>(entries, n_rows_of);
    for (std::size_t n = 0; n < entries.n_rows; ++n) {
        double* of_label = counts + labels[n];
        const double weight = static_cast<double>(w[n]);
        *of_label += weight;
        for (std::size_t i = entries.begin[n]; i < entries.begin[n + 1]; ++i) {
            const double value =
                entries.value == nullptr ? 1.0 : static_cast<double>(entries.value[i]);
            of_label[K * (static_cast<std::size_t>(entries.index[i]) + 1)] += value * weight;
        }
    }
}

// Takes the sums over patterns of bits apart: counts (K) and the sums of the features behind them
// take what `of_patterns` (counts, then a row of sums a pattern) holds for n_rows rows. A feature
// that all rows have takes the counts themselves, so that the two are equal to the bit here, too.
inline void add_patterns(const double* of_patterns, const std::uint32_t* rows_of_pattern,
                         std::size_t n_features, std::size_t n_rows, std::size_t K,
                         double* counts) {
    for (std::size_t k = 0; k < K; ++k)
        counts[k] += of_patterns[k];
    for (std::size_t d = 0; d < n_features; ++d) {
        const std::size_t bit = std::size_t{1} << d % kGroupBits;
        const std::size_t first = d / kGroupBits * kPatterns;
        double* to = counts + (1 + d) * K;
        std::size_t rows = 0;
        for (std::size_t p = 0; p < kPatterns; ++p)
            rows += (p & bit) != 0 ? rows_of_pattern[first + p] : 0;
        for (std::size_t p = 0; p < kPatterns; ++p) {
            if (rows == n_rows || (p & bit) == 0 || rows_of_pattern[first + p] == 0)
                continue;
            const double* from = of_patterns + (1 + first + p) * K;
            for (std::size_t k = 0; k < K; ++k)
                to[k] += from[k];
        }
        for (std::size_t k = 0; rows == n_rows && k < K; ++k)
            to[k] += of_patterns[k];
    }
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
