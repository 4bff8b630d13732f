// The iteration of a document that starts from a gamma of ones.
//
// All topics then have the same share, so the norms of the first step are the sums of the rows, and
// one reading of each word's row does what else takes three: it makes the totals of this step, and
// lays the rows down turned round, topics as rows that are left out as they vanish.
#pragma once

#include "admixture_infer.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

using namespace vemfast::detail;  // plain data only

// All topics at the shares of a gamma of ones, up to a factor.
template <class T>
inline PresentTopics<T> all_topics(const Document<T>& doc, std::size_t K,
                                   const PresentSpace<T>& space) {
    PresentTopics<T> topics{space, K, doc.n_padded, doc.counts, doc.norms};
    for (std::size_t k = 0; k < K; ++k) {
        space.topics[k] = space.places[k] = static_cast<std::int32_t>(k);
        space.alpha[k] = doc.alpha[k];
        space.gamma[k] = space.e[k] = T(1);
    }
    pad_present<T>(topics);
    return topics;
}

// Some words' rows, from `row`, turned round into `to`, the first of their columns; and
// totals += sum of ratio_i row_i. The rows after these, `next`, are on their way meanwhile.
template <class T>
inline void turn_group(const T* const (&row)[kGroupWords<T>],
                       const T* const (&next)[kGroupWords<T>], const T* ratios, std::size_t ld,
                       T* totals, T* to, std::size_t to_ld) {
    constexpr std::size_t L = kLanes<T>;
    for (std::size_t k = 0; k < ld; k += L) {
        Vec<T> even = load<T>(totals + k);
        Vec<T> odd = {};
#pragma GCC unroll 16
        for (std::size_t i = 0; i < kGroupWords<T>; ++i)
            __builtin_prefetch(next[i] + k);
#pragma GCC unroll 4
        for (std::size_t first = 0; first < kGroupWords<T>; first += L) {
            Vec<T> square[L];
#pragma GCC unroll 16
            for (std::size_t i = 0; i < L; ++i) {
                square[i] = load<T>(row[first + i] + k);
                Vec<T>& sum = i % 2 == 0 ? even : odd;
                sum = mul_add<T>(square[i], splat<T>(ratios[first + i]), sum);
            }
            transpose_lanes<T>(square);
#pragma GCC unroll 16
            for (std::size_t i = 0; i < L; ++i)
                store<T>(to + (k + transposed_column<T>(i)) * to_ld + first, square[i]);
        }
        store<T>(totals + k, even + odd);
    }
}

// The totals of the first step, and the rows turned round; false if the sum of a row is too small.
template <class T>
static bool take_first_totals(const PresentTopics<T>& topics, const WordRows<T>& rows) {
    const PresentSpace<T>& space = topics.space;
    for (std::size_t k = 0; k < whole_groups(rows.ld, kGroupWords<T>); k += kLanes<T>)
        store<T>(space.totals + k, splat<T>(T(0)));
    const T* row[kGroupWords<T>] = {};
    const T* next[kGroupWords<T>] = {};
    T ratios[kGroupWords<T>];
    Vec<T> least = splat<T>(T(1));
    group_rows<T>(rows, 0, next);
    for (std::size_t first = 0; first < topics.n_padded; first += kGroupWords<T>) {
        for (std::size_t i = 0; i < kGroupWords<T>; ++i)
            row[i] = next[i];
        group_rows<T>(rows, first + kGroupWords<T>, next);
        Vec<T> sums[kGroupWords<T>] = {};
        for (std::size_t k = 0; k < rows.ld; k += kLanes<T>) {
#pragma GCC unroll 16
            for (std::size_t i = 0; i < kGroupWords<T>; ++i)
                sums[i] += load<T>(row[i] + k);
        }
        for (std::size_t i = 0; i < kGroupWords<T>; i += kLanes<T>) {
            const Vec<T> norm = reduce_lanes<T>(sums + i);
            least = min<T>(least, norm);
            store<T>(ratios + i, load<T>(topics.counts + first + i) / norm);
        }
        turn_group<T>(row, next, ratios, rows.ld, space.totals, space.rows + first,
                      topics.n_padded);
    }
    bool fine = true;
    for (std::size_t lane = 0; lane < kLanes<T>; ++lane)
        fine = fine && least[lane] >= kSmallNorm<T>;
    return fine;
}

// The norms of all topics at the shares of the document; false if one of them is too small.
template <class T>
static bool take_turned_norms(Document<T>& doc, std::size_t K, const PresentSpace<T>& space) {
    const PresentTopics<T> topics = all_topics<T>(doc, K, space);
    for (std::size_t k = 0; k < K; ++k)
        space.e[k] = doc.e[k];
    const WordRows<T> rows = topics.rows();
    for (std::size_t w = 0; w < doc.n_padded; w += kLanes<T>)
        store<T>(doc.norms + w, splat<T>(0));
    const T* row[kGroupWords<T>] = {};
    for (std::size_t first = 0; first < K; first += kGroupWords<T>) {
        group_rows<T>(rows, first, row);
        group_totals<T>(row, space.e + first, doc.n_padded, doc.norms);
    }
    Vec<T> least = splat<T>(T(1));
    for (std::size_t w = 0; w < doc.n_padded; w += kLanes<T>)
        least = min<T>(least, load<T>(doc.norms + w));
    bool fine = true;
    for (std::size_t lane = 0; lane < kLanes<T>; ++lane)
        fine = fine && least[lane] >= kSmallNorm<T>;
    return fine;
}

// From ones to the fixed point; where they are wanted, e and the norms at it. `doc.rows` are those
// of all words, `space` has room for its own turned round. False if a norm is too small: nothing is
// found then, and the document wants care.
template <class T>
static bool infer_cold(Document<T>& doc, std::size_t K, int max_inner, double inner_tol,
                       bool wants_norms, const PresentSpace<T>& space) {
    const T enough = static_cast<T>(inner_tol) * static_cast<T>(K);
    Steps steps{max_inner, 0};
    PresentTopics<T> topics = all_topics<T>(doc, K, space);
    if (!take_first_totals<T>(topics, doc.rows))
        return false;
    if (take_step<T>(topics, enough, steps, doc.gamma))
        write_gamma<T>(topics, doc.gamma);
    else if (iterate<T>(topics, enough, steps, doc.gamma) != Ended::done)
        return false;
    if (!wants_norms)
        return true;
    take_shares<T>(doc);
    return take_turned_norms<T>(doc, K, space);
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
