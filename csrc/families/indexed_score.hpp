// Scores of an indexed family over one tile of rows.
//
// The scores of a row stay in registers while its entries go by: one load and one addition (a fused
// multiply-add with values) a vector of components and entry. With many components they are taken
// in strips of at most kStripVectors vectors; with few, several entries are added side by side,
// because one chain of additions would wait for its own latency.
#pragma once

#include "impossible.hpp"
#include "indexed_entries.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

// Vectors of components held in registers at a time: of 16 (32 on AVX-512), one is left for a value
// and one for an operand.
constexpr std::size_t kStripVectors = 14;

// Entries that are added side by side, so that there are about eight chains.
template <int V>
constexpr int kChains = V >= 5   ? 1
                        : V >= 3 ? 2
                        : V == 2 ? 4
                                 : 8;

// sum over i < n of value[i] row(i)[0..V vectors), in registers: sum[0] holds the result.
template <class T, int V, bool Valued, class Row>
inline void sum_rows(std::size_t n, const T* value, Row row, Vec<T> (&sum)[kChains<V>][V]) {
    constexpr int U = kChains<V>;
    constexpr std::size_t W = kLanes<T>;
    const auto add = [&](std::size_t i, int u) {
        const T* from = row(i);
        if constexpr (Valued) {
            const Vec<T> factor = splat<T>(value[i]);
#pragma GCC unroll 16
            for (int v = 0; v < V; ++v)
                sum[u][v] = mul_add<T>(factor, load<T>(from + v * W), sum[u][v]);
        } else {
#pragma GCC unroll 16
            for (int v = 0; v < V; ++v)
                sum[u][v] += load<T>(from + v * W);
        }
    };
    std::size_t i = 0;
    for (; i + U <= n; i += U) {
#pragma GCC unroll 8
        for (int u = 0; u < U; ++u)
            add(i + static_cast<std::size_t>(u), u);
    }
    for (; i < n; ++i)
        add(i, 0);
#pragma GCC unroll 8
    for (int u = 1; u < U; ++u) {
#pragma GCC unroll 16
        for (int v = 0; v < V; ++v)
            sum[0][v] += sum[u][v];
    }
}

// Calls body(V, first component) with V a compile-time constant for each strip of ld components:
// strips of nearly equal width.
template <class T, int V, class Body>
inline void strip_of_width(std::size_t width, std::size_t k, Body& body) {
    if constexpr (V > 1) {
        if (width < static_cast<std::size_t>(V))
            return strip_of_width<T, V - 1>(width, k, body);
    }
    body.template operator()<V>(k);
}

template <class T, class Body>
inline void for_each_strip(std::size_t ld, Body body) {
    const std::size_t vectors = ld / kLanes<T>;
    const std::size_t strips = (vectors + kStripVectors - 1) / kStripVectors;
    std::size_t from = 0;
    for (std::size_t i = 0; i < strips; ++i) {
        const std::size_t to = vectors * (i + 1) / strips;
        strip_of_width<T, kStripVectors>(to - from, from * kLanes<T>, body);
        from = to;
    }
}

template <class T, int V, bool Valued>
static void score_strip(const IndexedScores<T>& scores, const TileEntries<T>& entries,
                        std::size_t k, T* s) {
    constexpr std::size_t W = kLanes<T>;
    const std::size_t ld = scores.ld;
    const T* table = scores.table + k;
    for (std::size_t n = 0; n < entries.n_rows; ++n) {
        const std::int32_t* index = entries.index + entries.begin[n];
        Vec<T> sum[kChains<V>][V] = {};
#pragma GCC unroll 16
        for (int v = 0; v < V; ++v)
            sum[0][v] = load<T>(scores.constant + k + v * W);
        sum_rows<T, V, Valued>(
            entries.begin[n + 1] - entries.begin[n],
            Valued ? entries.value + entries.begin[n] : nullptr,
            [&](std::size_t i) { return table + static_cast<std::size_t>(index[i]) * ld; }, sum);
#pragma GCC unroll 16
        for (int v = 0; v < V; ++v)
            store<T>(s + n * ld + k + v * W, max<T>(sum[0][v], splat<T>(kImpossible<T>)));
    }
}

// Scores by row, s[n * ld + k].
template <class T>
static void indexed_score(const IndexedScores<T>& scores, const TileEntries<T>& entries, T* s) {
    for_each_strip<T>(scores.ld, [&]<int V>(std::size_t k) {
        if (entries.value != nullptr)
            score_strip<T, V, true>(scores, entries, k, s);
        else
            score_strip<T, V, false>(scores, entries, k, s);
    });
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
