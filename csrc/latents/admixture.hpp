// The local step of an admixture: one document's topic proportions, q(theta) = Dirichlet(gamma).
//
// With e_k = exp(psi(gamma_k)) and B the rows of the document's words, phi_wk is proportional to
// e_k B_wk and need not be stored (Hoffman, Blei, Bach 2010):
//     norm_w = sum_k e_k B_wk,   gamma_k <- alpha_k + e_k sum_w (c_w / norm_w) B_wk,
// until the mean of |change of gamma_k| is under a tolerance. One iteration reads each row once
// from the second-level cache and once more from the first: words go in groups, whose products with
// e and whose sums share the loads of e and of the totals.
//
// Any common factor of e cancels. Where e would underflow (all gamma_k tiny) or a word's norm
// would, e is taken relative to its largest element and floored: `careful`.
#pragma once

#include "../kernels/lda_task.hpp"
#include "../math/digamma.hpp"
#include "../math/exp_digamma.hpp"
#include "../math/vec.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

using namespace vemfast::detail;  // plain data only

// Words of one group: eight chains of sums keep the multipliers busy.
template <class T>
constexpr std::size_t kGroupWords = kLanes<T> < 8 ? 8 : kLanes<T>;

// A norm below the first makes a document `careful`; then no e is below the second, whose
// reciprocal times any count is a number.
template <class T>
constexpr T kSmallNorm = sizeof(T) == 8 ? T(1e-280) : T(1e-25);
template <class T>
constexpr T kLeastShare = sizeof(T) == 8 ? T(1e-290) : T(1e-30);

inline std::size_t whole_groups(std::size_t n, std::size_t group) {
    return (n + group - 1) / group * group;
}

// Rows of a document's words. The rows of the words that fill up the last group are all ones.
template <class T>
struct WordRows {
    const T* base;
    std::size_t ld;
    const std::int32_t* index;  // null: rows are consecutive
    std::size_t n;
    const T* ones;

    const T* operator[](std::size_t i) const {
        if (index == nullptr)
            return base + i * ld;
        return i < n ? base + static_cast<std::size_t>(index[i]) * ld : ones;
    }
};

// One document: what its iteration reads and changes. Arrays over words are padded to groups,
// arrays over topics to vectors; counts of padding are zero.
template <class T>
struct Document {
    WordRows<T> rows;
    std::size_t n;  // distinct words
    std::size_t n_padded;
    const T* counts;  // n_padded
    T* norms;         // n_padded
    const T* alpha;   // ld
    T* gamma;         // ld
    T* e;             // ld
    T* totals;        // ld
    bool careful = false;
    T log_scale = 0;  // e is exp(psi(gamma) - log_scale)
};

template <class T>
inline void group_rows(const WordRows<T>& rows, std::size_t first,
                       const T* (&row)[kGroupWords<T>]) {
    if (rows.index == nullptr) {
        const T* next = rows.base + first * rows.ld;
        for (std::size_t i = 0; i < kGroupWords<T>; ++i, next += rows.ld)
            row[i] = next;
        return;
    }
    for (std::size_t i = 0; i < kGroupWords<T>; ++i)
        row[i] = rows[first + i];
}

// norms[0..kGroupWords) = rows times e.
template <class T>
inline void group_norms(const T* const (&row)[kGroupWords<T>], const T* e, std::size_t ld,
                        T* norms) {
    constexpr std::size_t G = kGroupWords<T>;
    Vec<T> sums[G] = {};
    for (std::size_t k = 0; k < ld; k += kLanes<T>) {
        const Vec<T> share = load<T>(e + k);
#pragma GCC unroll 16
        for (std::size_t i = 0; i < G; ++i)
            sums[i] = mul_add<T>(load<T>(row[i] + k), share, sums[i]);
    }
    for (std::size_t i = 0; i < G; i += kLanes<T>)
        store<T>(norms + i, reduce_lanes<T>(sums + i));
}

// totals += sum over the group of ratio_i row_i. Two chains, of even and of odd words.
template <class T>
inline void group_totals(const T* const (&row)[kGroupWords<T>], const T* ratios, std::size_t ld,
                         T* totals) {
    constexpr std::size_t G = kGroupWords<T>;
    Vec<T> ratio[G];
#pragma GCC unroll 16
    for (std::size_t i = 0; i < G; ++i)
        ratio[i] = splat<T>(ratios[i]);
    for (std::size_t k = 0; k < ld; k += kLanes<T>) {
        Vec<T> even = load<T>(totals + k);
        Vec<T> odd = {};
#pragma GCC unroll 8
        for (std::size_t i = 0; i < G; i += 2) {
            even = mul_add<T>(load<T>(row[i] + k), ratio[i], even);
            odd = mul_add<T>(load<T>(row[i + 1] + k), ratio[i + 1], odd);
        }
        store<T>(totals + k, even + odd);
    }
}

// e from gamma. exp(psi) of the padding, where gamma is zero, is zero.
template <class T>
inline void take_shares(Document<T>& doc) {
    const std::size_t ld = doc.rows.ld;
    if (!doc.careful) {
        for (std::size_t k = 0; k < ld; k += kLanes<T>)
            store<T>(doc.e + k, vexp_digamma<T>(load<T>(doc.gamma + k)));
        return;
    }
    Vec<T> largest = splat<T>(static_cast<T>(-__builtin_inf()));
    for (std::size_t k = 0; k < ld; k += kLanes<T>)
        largest = max<T>(largest, vdigamma<T>(load<T>(doc.gamma + k)));
    T top = largest[0];
    for (std::size_t lane = 1; lane < kLanes<T>; ++lane)
        top = largest[lane] > top ? largest[lane] : top;
    for (std::size_t k = 0; k < ld; k += kLanes<T>) {
        const Vec<T> gamma = load<T>(doc.gamma + k);
        const Vec<T> share = vexp_nonpositive<T>(vdigamma<T>(gamma) - splat<T>(top));
        const Vec<T> floored = max<T>(share, splat<T>(kLeastShare<T>));
        store<T>(doc.e + k, select<T>(gamma > splat<T>(0), floored, splat<T>(0)));
    }
    doc.log_scale = top;
}

// norms at the present e; false if one of them is too small. A `careful` document never fails: the
// norm of a word that no topic has becomes the floor.
template <class T>
inline bool take_norms(Document<T>& doc) {
    const T* row[kGroupWords<T>];
    Vec<T> least = splat<T>(T(1));
    for (std::size_t first = 0; first < doc.n_padded; first += kGroupWords<T>) {
        group_rows<T>(doc.rows, first, row);
        T* norms = doc.norms + first;
        group_norms<T>(row, doc.e, doc.rows.ld, norms);
        for (std::size_t i = 0; i < kGroupWords<T>; i += kLanes<T>) {
            const Vec<T> norm = load<T>(norms + i);
            least = min<T>(least, norm);
            if (doc.careful)
                store<T>(norms + i, max<T>(norm, splat<T>(kLeastShare<T>)));
        }
    }
    bool fine = true;
    for (std::size_t lane = 0; lane < kLanes<T>; ++lane)
        fine = fine && least[lane] >= kSmallNorm<T>;
    return fine || doc.careful;
}

// totals_k = sum_w (c_w / norm_w) B_wk, the norms on the way; false if one of them is too small.
template <class T>
inline bool take_totals(Document<T>& doc) {
    const std::size_t ld = doc.rows.ld;
    for (std::size_t k = 0; k < ld; k += kLanes<T>)
        store<T>(doc.totals + k, splat<T>(0));
    const T* row[kGroupWords<T>] = {};
    T ratios[kGroupWords<T>];
    Vec<T> least = splat<T>(T(1));
    for (std::size_t first = 0; first < doc.n_padded; first += kGroupWords<T>) {
        group_rows<T>(doc.rows, first, row);
        group_norms<T>(row, doc.e, ld, ratios);
        for (std::size_t i = 0; i < kGroupWords<T>; i += kLanes<T>) {
            Vec<T> norm = load<T>(ratios + i);
            least = min<T>(least, norm);
            if (doc.careful)
                norm = max<T>(norm, splat<T>(kLeastShare<T>));
            store<T>(ratios + i, load<T>(doc.counts + first + i) / norm);
        }
        group_totals<T>(row, ratios, ld, doc.totals);
    }
    bool fine = true;
    for (std::size_t lane = 0; lane < kLanes<T>; ++lane)
        fine = fine && least[lane] >= kSmallNorm<T>;
    return fine || doc.careful;
}

// gamma <- alpha + e totals; the sum of the absolute changes.
template <class T>
inline T move_gamma(const T* e, const T* totals, const T* alpha, std::size_t ld, T* gamma) {
    Vec<T> change = {};
    for (std::size_t k = 0; k < ld; k += kLanes<T>) {
        const Vec<T> next = mul_add<T>(load<T>(e + k), load<T>(totals + k), load<T>(alpha + k));
        const Vec<T> before = load<T>(gamma + k);
        change += max<T>(next - before, before - next);
        store<T>(gamma + k, next);
    }
    return horizontal_sum<T>(change);
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
