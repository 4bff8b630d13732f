// The iteration of one document's topic proportions, from a start to its fixed point.
//
// Topics that vanish from a document cost as much as others, and soon most have: gamma_k - alpha_k
// falls like e_k, to nothing that is left to iterate. When half of the topics are that far, the
// rows of the others are packed together and iterated alone. A topic's share of a word is at most
// (gamma_k - alpha_k) / c_w, so the norms lose no more than rounding; those at the end are of all
// topics.
#pragma once

#include "admixture.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

using namespace vemfast::detail;  // plain data only

// A topic has vanished where gamma - alpha is under this: far below what the precision shows of a
// document, and so far below alpha^2, about 1/psi'(alpha), that the iteration cannot bring it back:
// it multiplies a small difference by itself times psi'(alpha).
template <class T>
inline Vec<T> vanishing(Vec<T> alpha) {
    return min<T>(splat<T>(sizeof(T) == 8 ? T(1e-13) : T(1e-7)), splat<T>(T(0.01)) * alpha * alpha);
}

template <class T>
inline std::size_t count_present(const Document<T>& doc) {
    Vec<T> present = {};
    for (std::size_t k = 0; k < doc.rows.ld; k += kLanes<T>) {
        const Vec<T> alpha = load<T>(doc.alpha + k);
        const auto is_present = load<T>(doc.gamma + k) - alpha > vanishing<T>(alpha);
        present += select<T>(is_present, splat<T>(T(1)), splat<T>(T(0)));
    }
    return static_cast<std::size_t>(horizontal_sum<T>(present));
}

// Room for the present topics of a document; `rows` is null where there is none.
template <class T>
struct PackedSpace {
    T* rows;               // n_padded x ld / 2
    T* alpha;              // ld
    T* gamma;              // ld
    T* e;                  // ld
    std::int32_t* topics;  // ld: which topics the packed ones are
    std::int32_t* from;    // ld: and where they were before
};

// The document without its vanished topics, of which there are so many that the rows fit. `doc` may
// itself be packed into the same space: rows and topics move down.
template <class T>
static Document<T> pack_present(const Document<T>& doc, std::size_t present, bool is_packed,
                                const PackedSpace<T>& space) {
    Document<T> packed = doc;
    const std::size_t ld = whole_groups(present, kLanes<T>);
    packed.rows = {space.rows, ld, nullptr, doc.n, doc.rows.ones};
    packed.alpha = space.alpha;
    packed.gamma = space.gamma;
    packed.e = space.e;
    std::size_t count = 0;
    for (std::size_t k = 0; k < doc.rows.ld; ++k) {
        const T alpha = doc.alpha[k];
        const bool is_present = doc.gamma[k] - alpha > vanishing<T>(splat<T>(alpha))[0];
        if (!is_present)
            continue;
        space.from[count] = static_cast<std::int32_t>(k);
        space.topics[count] = is_packed ? space.topics[k] : static_cast<std::int32_t>(k);
        space.alpha[count] = alpha;
        space.gamma[count] = doc.gamma[k];
        space.e[count++] = doc.e[k];
    }
    for (std::size_t k = count; k < ld; ++k)
        space.alpha[k] = space.gamma[k] = space.e[k] = T(0);
    const T* row[kGroupWords<T>];
    for (std::size_t first = 0; first < doc.n_padded; first += kGroupWords<T>) {
        group_rows<T>(doc.rows, first, row);
        for (std::size_t i = 0; i < kGroupWords<T>; ++i) {
            T* to = space.rows + (first + i) * ld;
            for (std::size_t k = 0; k < count; ++k)
                to[k] = row[i][space.from[k]];
            for (std::size_t k = count; k < ld; ++k)
                to[k] = T(0);
        }
    }
    return packed;
}

enum class Ended : int { done, norm_too_small, mostly_vanished };

struct Steps {
    int left;
    int before_packing;
};

// Moves gamma until its mean change is small or no steps are left, unless something is to be done
// about the document first.
template <class T>
inline Ended iterate(Document<T>& doc, T enough, Steps& steps, std::size_t& present) {
    while (steps.left > 0) {
        if (!take_totals<T>(doc))
            return Ended::norm_too_small;
        --steps.left;
        --steps.before_packing;
        const T change = move_gamma<T>(doc);
        take_shares<T>(doc);
        if (change < enough)
            break;
        if (steps.before_packing < 0) {
            present = count_present<T>(doc);
            if (2 * whole_groups(present, kLanes<T>) <= doc.rows.ld && present > 0)
                return Ended::mostly_vanished;
        }
    }
    return Ended::done;
}

// From the gamma that is there to the fixed point, and e and the norms at it.
template <class T>
static void infer_document(Document<T>& doc, std::size_t K, int max_inner, double inner_tol,
                           const PackedSpace<T>& space) {
    constexpr int kNever = 1 << 30;
    constexpr int kBeforePacking = 3;  // a warm start is often done by then
    const T enough = static_cast<T>(inner_tol) * static_cast<T>(K);
    Steps steps{max_inner, space.rows == nullptr ? kNever : kBeforePacking};
    std::size_t present = 0;
    take_shares<T>(doc);
    Ended ended = iterate<T>(doc, enough, steps, present);
    Document<T> packed = doc;
    bool is_packed = false;
    while (ended == Ended::mostly_vanished) {
        packed = pack_present<T>(packed, present, is_packed, space);
        is_packed = true;
        const std::size_t count = present;
        ended = iterate<T>(packed, enough, steps, present);
        for (std::size_t k = 0; k < count; ++k)
            doc.gamma[space.topics[k]] = packed.gamma[k];
    }
    if (is_packed)
        take_shares<T>(doc);
    if (ended == Ended::done && take_norms<T>(doc))
        return;
    doc.careful = true;
    steps.before_packing = kNever;
    take_shares<T>(doc);
    iterate<T>(doc, enough, steps, present);
    take_norms<T>(doc);
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
