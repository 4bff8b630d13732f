// The iteration of one document's topic proportions, from a start to its fixed point.
//
// Topics that vanish from a document cost as much as others, and soon most have: gamma_k - alpha_k
// falls like e_k, to nothing that is left to iterate. When half of the topics are that far, the
// others are iterated alone, and those of them that vanish later are left out as they go: their
// rows turn round, words the fast axis, so that a topic is a row that can be left out, and the two
// products of a step change places. A topic's share of a word is at most (gamma_k - alpha_k) / c_w,
// so the norms lose no more than rounding; those at the end are of all topics.
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
inline std::size_t count_present(const T* gamma, const T* alpha, std::size_t ld) {
    Vec<T> present = {};
    for (std::size_t k = 0; k < ld; k += kLanes<T>) {
        const Vec<T> prior = load<T>(alpha + k);
        const auto is_there = load<T>(gamma + k) - prior > vanishing<T>(prior);
        present += select<T>(is_there, splat<T>(T(1)), splat<T>(T(0)));
    }
    return static_cast<std::size_t>(horizontal_sum<T>(present));
}

// Room for the present topics of a document; `rows` is null where there is none. All but `rows` are
// of ld, padded to groups.
template <class T>
struct PresentSpace {
    T* rows;  // ld / 2 x n_padded; of a document that starts from ones ld x n_padded
    T* alpha;
    T* gamma;
    T* e;
    T* totals;
    std::int32_t* topics;  // which topics the present ones are
    std::int32_t* places;  // and the numbers of their rows
};

// A document's present topics: topic i is row places[i] of B turned round, n_padded words long.
template <class T>
struct PresentTopics {
    PresentSpace<T> space;
    std::size_t count;
    std::size_t n_padded;
    const T* counts;
    T* norms;

    std::size_t padded() const { return whole_groups(count, kGroupWords<T>); }
    // What fills up the last group is any row; its share is zero.
    WordRows<T> rows() const { return {space.rows, n_padded, space.places, count, space.rows}; }
};

template <class T>
inline bool is_present(T gamma, T alpha) {
    return gamma - alpha > vanishing<T>(splat<T>(alpha))[0];
}

template <class T>
inline void pad_present(PresentTopics<T>& topics) {
    for (std::size_t k = topics.count; k < topics.padded(); ++k)
        topics.space.alpha[k] = topics.space.gamma[k] = topics.space.e[k] = T(0);
}

// The topics that have not vanished; there are so many others that the rows fit.
template <class T>
static PresentTopics<T> present_topics(const Document<T>& doc, const PresentSpace<T>& space) {
    PresentTopics<T> topics{space, 0, doc.n_padded, doc.counts, doc.norms};
    for (std::size_t k = 0; k < doc.rows.ld; ++k) {
        if (!is_present<T>(doc.gamma[k], doc.alpha[k]))
            continue;
        const std::size_t i = topics.count++;
        space.topics[i] = static_cast<std::int32_t>(k);
        space.places[i] = static_cast<std::int32_t>(i);
        space.alpha[i] = doc.alpha[k];
        space.gamma[i] = doc.gamma[k];
        space.e[i] = doc.e[k];
    }
    pad_present<T>(topics);
    const T* row[kGroupWords<T>] = {};
    for (std::size_t first = 0; first < doc.n_padded; first += kGroupWords<T>) {
        group_rows<T>(doc.rows, first, row);
        for (std::size_t i = 0; i < topics.count; ++i) {
            const auto k = static_cast<std::size_t>(space.topics[i]);
            T* to = space.rows + i * doc.n_padded + first;
#pragma GCC unroll 16
            for (std::size_t word = 0; word < kGroupWords<T>; ++word)
                to[word] = row[word][k];
        }
    }
    return topics;
}

// Leaves out the topics that have vanished meanwhile; their gamma goes to the document. Which ones
// they are nobody can foresee, so there is no branch on it.
template <class T>
inline void leave_vanished(PresentTopics<T>& topics, T* gamma) {
    const PresentSpace<T>& space = topics.space;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < topics.count; ++i) {
        const T own = space.gamma[i];
        const T prior = space.alpha[i];
        const std::int32_t topic = space.topics[i];
        gamma[topic] = own;
        space.topics[kept] = topic;
        space.places[kept] = space.places[i];
        space.alpha[kept] = prior;
        space.gamma[kept] = own;
        space.e[kept] = space.e[i];
        kept += is_present<T>(own, prior) ? 1 : 0;
    }
    topics.count = kept;
    pad_present<T>(topics);
}

// ratios_w = c_w / norm_w in the place of the norms, then totals_k = sum_w ratio_w B_wk; false if a
// norm is too small.
template <class T>
inline bool take_totals(PresentTopics<T>& topics) {
    const WordRows<T> rows = topics.rows();
    for (std::size_t w = 0; w < topics.n_padded; w += kLanes<T>)
        store<T>(topics.norms + w, splat<T>(0));
    const T* row[kGroupWords<T>] = {};
    for (std::size_t first = 0; first < topics.count; first += kGroupWords<T>) {
        group_rows<T>(rows, first, row);
        group_totals<T>(row, topics.space.e + first, topics.n_padded, topics.norms);
    }
    Vec<T> least = splat<T>(T(1));
    for (std::size_t w = 0; w < topics.n_padded; w += kLanes<T>) {
        const Vec<T> norm = load<T>(topics.norms + w);
        least = min<T>(least, norm);
        store<T>(topics.norms + w, load<T>(topics.counts + w) / norm);
    }
    for (std::size_t lane = 0; lane < kLanes<T>; ++lane)
        if (!(least[lane] >= kSmallNorm<T>))
            return false;
    for (std::size_t first = 0; first < topics.count; first += kGroupWords<T>) {
        group_rows<T>(rows, first, row);
        group_norms<T>(row, topics.norms, topics.n_padded, topics.space.totals + first);
    }
    return true;
}

enum class Ended : int { done, norm_too_small, mostly_vanished };

struct Steps {
    int left;
    int before_packing;
};

// Moves gamma until its mean change is small or no steps are left, unless something is to be done
// about the document first.
template <class T>
inline Ended iterate(Document<T>& doc, T enough, Steps& steps) {
    while (steps.left > 0) {
        if (!take_totals<T>(doc))
            return Ended::norm_too_small;
        --steps.left;
        --steps.before_packing;
        const T change = move_gamma<T>(doc.e, doc.totals, doc.alpha, doc.rows.ld, doc.gamma);
        take_shares<T>(doc);
        if (change < enough)
            break;
        if (steps.before_packing < 0) {
            const std::size_t present = count_present<T>(doc.gamma, doc.alpha, doc.rows.ld);
            if (2 * whole_groups(present, kGroupWords<T>) <= doc.rows.ld && present > 0)
                return Ended::mostly_vanished;
        }
    }
    return Ended::done;
}

// A step of the present topics, whose totals are there; whether it is the last. `gamma` is that of
// the document, for topics that vanish.
template <class T>
inline bool take_step(PresentTopics<T>& topics, T enough, Steps& steps, T* gamma) {
    const PresentSpace<T>& space = topics.space;
    const std::size_t padded = topics.padded();
    --steps.left;
    const T change = move_gamma<T>(space.e, space.totals, space.alpha, padded, space.gamma);
    if (change < enough)
        return true;
    for (std::size_t k = 0; k < padded; k += kLanes<T>)
        store<T>(space.e + k, vexp_digamma<T>(load<T>(space.gamma + k)));
    const std::size_t present = count_present<T>(space.gamma, space.alpha, padded);
    if (whole_groups(present, kGroupWords<T>) < padded && present > 0)
        leave_vanished<T>(topics, gamma);
    return false;
}

template <class T>
inline void write_gamma(const PresentTopics<T>& topics, T* gamma) {
    for (std::size_t i = 0; i < topics.count; ++i)
        gamma[topics.space.topics[i]] = topics.space.gamma[i];
}

// The same with the present topics alone, which become fewer on the way. The document gets its
// gamma, but no shares.
template <class T>
static Ended iterate(PresentTopics<T>& topics, T enough, Steps& steps, T* gamma) {
    Ended ended = Ended::done;
    while (steps.left > 0) {
        if (!take_totals<T>(topics)) {
            ended = Ended::norm_too_small;
            break;
        }
        if (take_step<T>(topics, enough, steps, gamma))
            break;
    }
    write_gamma<T>(topics, gamma);
    return ended;
}

// From the gamma that is there to the fixed point, and e and the norms at it.
template <class T>
static void infer_document(Document<T>& doc, std::size_t K, int max_inner, double inner_tol,
                           const PresentSpace<T>& space) {
    constexpr int kNever = 1 << 30;
    constexpr int kBeforePacking = 3;  // a warm start is often done by then
    const T enough = static_cast<T>(inner_tol) * static_cast<T>(K);
    Steps steps{max_inner, space.rows == nullptr ? kNever : kBeforePacking};
    take_shares<T>(doc);
    Ended ended = iterate<T>(doc, enough, steps);
    if (ended == Ended::mostly_vanished) {
        PresentTopics<T> present = present_topics<T>(doc, space);
        ended = iterate<T>(present, enough, steps, doc.gamma);
        take_shares<T>(doc);
    }
    if (ended == Ended::done && take_norms<T>(doc))
        return;
    doc.careful = true;
    steps.before_packing = kNever;
    take_shares<T>(doc);
    iterate<T>(doc, enough, steps);
    take_norms<T>(doc);
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
