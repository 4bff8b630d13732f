// The E-step of latent Dirichlet allocation over a group of documents: their states, bounds, and
// what the statistics of a chunk are then made of (lda_statistics.hpp).
#pragma once

#include "../latents/admixture_bound.hpp"
#include "../latents/admixture_cold.hpp"
#include "../latents/admixture_infer.hpp"
#include "../latents/admixture_tokens.hpp"
#include "denormals.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

// A document whose rows take more bytes than this reads them in their places.
constexpr std::size_t kGatherBytes = std::size_t{1} << 20;

// Words of the largest document whose rows are gathered.
template <class T>
inline std::size_t gathered_words(std::size_t longest, std::size_t ld) {
    const std::size_t most = kGatherBytes / (ld * sizeof(T));
    return longest < most ? longest : most;
}

// Workspace of one thread, carved from one allocation that begins on a cache line.
template <class T>
struct LdaWorkspace {
    T* rows;    // gathered_words x ld
    T* ones;    // ld
    T* counts;  // longest document, padded to groups
    T* norms;   // likewise
    PresentSpace<T> present;
    T* gamma;   // ld; tokens by topic
    T* e;       // ld
    T* totals;  // 2 ld
    std::size_t bytes;
};

template <class T>
inline LdaWorkspace<T> carve_lda(void* memory, std::size_t longest, std::size_t ld) {
    std::size_t used = 0;
    const auto take = [&]<class Item>(Item*& pointer, std::size_t count) {
        if (memory != nullptr)
            pointer = reinterpret_cast<Item*>(static_cast<char*>(memory) + used);
        used += to_multiple(count * sizeof(Item), 64);
    };
    const std::size_t words = whole_groups(longest, kGroupWords<T>);
    LdaWorkspace<T> space{};
    const std::size_t gathered = whole_groups(gathered_words<T>(longest, ld), kGroupWords<T>);
    take(space.rows, gathered * ld);
    take(space.ones, ld);
    take(space.counts, words);
    take(space.norms, words);
    const std::size_t present = whole_groups(ld, kGroupWords<T>);
    take(space.present.rows, gathered * (ld / 2));
    take(space.present.alpha, present);
    take(space.present.gamma, present);
    take(space.present.e, present);
    take(space.present.totals, present);
    take(space.present.topics, present);
    take(space.present.places, present);
    take(space.gamma, ld);
    take(space.e, ld);
    take(space.totals, 2 * ld);
    space.bytes = used;
    return space;
}

template <class T>
inline std::size_t lda_workspace_bytes(std::size_t longest, std::size_t ld) {
    return carve_lda<T>(nullptr, longest, ld).bytes;
}

template <class T>
inline void load_counts(const Documents& documents, std::int64_t first, std::size_t n,
                        std::size_t n_padded, T* counts) {
    if (documents.counts_are_float) {
        const float* from = static_cast<const float*>(documents.counts) + first;
        for (std::size_t i = 0; i < n; ++i)
            counts[i] = static_cast<T>(from[i]);
    } else {
        const double* from = static_cast<const double*>(documents.counts) + first;
        for (std::size_t i = 0; i < n; ++i)
            counts[i] = static_cast<T>(from[i]);
    }
    for (std::size_t i = n; i < n_padded; ++i)
        counts[i] = T(0);
}

inline double weight_of(const Documents& documents, std::size_t d) {
    return documents.weights == nullptr ? 1.0 : documents.weights[d];
}

// The rows of the words, copied into the workspace where they fit.
template <class T>
static WordRows<T> word_rows(const TopicRows<T>& topics, const std::int32_t* words, std::size_t n,
                             std::size_t n_padded, std::size_t longest,
                             const LdaWorkspace<T>& space) {
    const std::size_t ld = topics.ld;
    if (n > gathered_words<T>(longest, ld))
        return {topics.rows, ld, words, n, space.ones};
    for (std::size_t i = 0; i < n; ++i) {
        const T* from = topics.rows + static_cast<std::size_t>(words[i]) * ld;
        T* to = space.rows + i * ld;
        for (std::size_t k = 0; k < ld; k += kLanes<T>)
            store<T>(to + k, load<T>(from + k));
    }
    for (std::size_t i = n * ld; i < n_padded * ld; ++i)
        space.rows[i] = T(1);
    return {space.rows, ld, nullptr, n, space.ones};
}

// What one document adds: -inf times a weight of zero is nothing.
inline void add_bound(double weight, double bound, double* partial) {
    if (weight != 0)
        partial[0] += weight * bound;
}

// The proportions E[theta], or gamma, in double. What lies behind the K topics is zero.
template <class T>
inline void write_shares(const T* gamma, std::size_t K, bool add_up, double* shares) {
    constexpr std::size_t L = kLanes<double>;
    Vec<double> sums = {};
    for (std::size_t k = 0; add_up && k < K; k += L)
        sums += load_double(gamma + k);
    const Vec<double> divisor = splat<double>(add_up ? horizontal_sum<double>(sums) : 1.0);
    std::size_t k = 0;
    for (; k + L <= K; k += L)
        store<double>(shares + k, load_double(gamma + k) / divisor);
    for (; k < K; ++k)
        shares[k] = static_cast<double>(gamma[k]) / divisor[0];
}

// From the gamma that is there, or from ones, to the fixed point; where they are wanted, e and the
// norms at it.
template <class T>
static void infer_proportions(Document<T>& doc, const LdaTask<T>& task, const std::int32_t* words,
                              std::size_t longest, const LdaWorkspace<T>& space, bool wants_norms) {
    const TopicRows<T>& topics = task.topics;
    const std::size_t K = topics.n_components;
    PresentSpace<T> present = space.present;
    if (task.gamma_before == nullptr && doc.n <= gathered_words<T>(longest, topics.ld)) {
        present.rows = space.rows;
        doc.rows = {topics.rows, topics.ld, words, doc.n, space.ones};
        if (infer_cold<T>(doc, K, task.max_inner, task.inner_tol, wants_norms, present))
            return;
        for (std::size_t k = 0; k < K; ++k)
            doc.gamma[k] = T(1);
        present.rows = space.present.rows;
    }
    doc.rows = word_rows<T>(topics, words, doc.n, doc.n_padded, longest, space);
    if (doc.rows.index != nullptr)
        present.rows = nullptr;  // there is no room
    infer_document<T>(doc, K, task.max_inner, task.inner_tol, present);
}

template <class T>
static void factorised_document(const LdaTask<T>& task, std::size_t d, std::size_t longest,
                                const LdaWorkspace<T>& space, double* partial) {
    const TopicRows<T>& topics = task.topics;
    const std::size_t K = topics.n_components;
    const std::int64_t first = task.documents.indptr[d];
    const std::int32_t* words = task.documents.indices + first;
    Document<T> doc{};
    doc.n = static_cast<std::size_t>(task.documents.indptr[d + 1] - first);
    doc.n_padded = whole_groups(doc.n, kGroupWords<T>);
    doc.counts = space.counts;
    doc.norms = space.norms;
    doc.alpha = topics.alpha;
    doc.gamma = space.gamma;
    doc.e = space.e;
    doc.totals = space.totals;
    load_counts<T>(task.documents, first, doc.n, doc.n_padded, space.counts);
    for (std::size_t k = 0; k < topics.ld; ++k) {
        if (k >= K)
            doc.gamma[k] = T(0);
        else if (doc.n == 0)  // q(theta) is the prior
            doc.gamma[k] = topics.alpha[k];
        else
            doc.gamma[k] = task.gamma_before == nullptr ? T(1) : task.gamma_before[d * K + k];
    }
    const bool wants_bound = task.bounds != nullptr || partial != nullptr;
    if (doc.n > 0)
        infer_proportions<T>(doc, task, words, longest, space, wants_bound);
    for (std::size_t k = 0; task.gamma != nullptr && k < K; ++k)
        task.gamma[d * K + k] = doc.gamma[k];
    if (task.shares != nullptr)
        write_shares<T>(doc.gamma, K, task.shares_add_up, task.shares + d * K);
    if (!wants_bound)
        return;

    double count = 0;
    for (std::size_t i = 0; i < doc.n; ++i)
        count += static_cast<double>(doc.counts[i]);
    const double weight = weight_of(task.documents, d);
    double* log_theta = partial == nullptr ? nullptr : partial + 1;
    const auto [digamma_sum, minus_kl] = proportion_terms<T>(doc.gamma, topics, weight, log_theta);
    double bound = 0;
    if (doc.n > 0) {
        const double log_norms = log_norm_sum<T>(doc, words, topics.shift);
        bound = log_norms + count * (static_cast<double>(doc.log_scale) - digamma_sum) + minus_kl;
    }
    if (task.bounds != nullptr)
        task.bounds[d] = bound;
    if (partial == nullptr)
        return;
    add_bound(weight, bound, partial);
    T* e = task.proportions + (d - task.first_document) * topics.ld;
    for (std::size_t k = 0; k < topics.ld; ++k)
        e[k] = doc.n == 0 ? T(0) : doc.e[k];
    T* ratios = task.ratios + (first - task.first_entry);
    for (std::size_t i = 0; i < doc.n; ++i)
        ratios[i] = static_cast<T>(weight) * doc.counts[i] / doc.norms[i];
}

// Log probability of the tokens' words under their topics.
template <class T>
static double log_words(const TokenDocument<T>& doc, const TopicRows<T>& topics) {
    double sum = 0;
    const std::int32_t* z = doc.z;
    for (std::size_t i = 0; i < doc.n; ++i) {
        const std::size_t word = static_cast<std::size_t>(doc.words[i]);
        const T* row = topics.rows + word * topics.ld;
        const std::int64_t count = static_cast<std::int64_t>(doc.counts[i]);
        for (std::int64_t token = 0; token < count; ++token, ++z) {
            const double share = static_cast<double>(row[*z]);
            sum += vlog<double>(splat<double>(share))[0] + topics.shift[word];
        }
    }
    return sum;
}

template <class T>
static void token_document(const LdaTask<T>& task, std::size_t d, const LdaWorkspace<T>& space,
                           double* partial) {
    const TopicRows<T>& topics = task.topics;
    const std::int64_t first = task.documents.indptr[d];
    const std::int64_t token = task.first_token[d];
    const std::int64_t n_tokens = task.first_token[d + 1] - token;
    TokenDocument<T> doc{};
    doc.words = task.documents.indices + first;
    doc.n = static_cast<std::size_t>(task.documents.indptr[d + 1] - first);
    doc.counts = space.counts;
    doc.z = task.labels + token;
    doc.number = space.gamma;
    doc.scratch = space.totals;
    load_counts<T>(task.documents, first, doc.n, doc.n, space.counts);
    for (std::size_t k = 0; k < topics.ld; ++k)
        doc.number[k] = T(0);
    const bool is_cold = task.labels_before == nullptr;
    for (std::int64_t i = 0; !is_cold && i < n_tokens; ++i) {
        doc.z[i] = task.labels_before[token + i];
        doc.number[doc.z[i]] += T(1);
    }
    if (task.rule == DocumentRule::hard)
        hard_document<T>(doc, topics, is_cold, task.max_inner);
    else
        sample_document<T>(doc, topics, is_cold,
                           {task.seed, task.iteration, kRowStream, task.documents.offset + d});

    // q(theta) given z is Dirichlet(alpha + n), and log p(z | alpha) is log normaliser of alpha -
    // that of alpha + n: the terms of gamma = alpha + n with a = gamma.
    const double weight = weight_of(task.documents, d);
    double log_labels = topics.log_normaliser;
    const double sum = topics.alpha_sum + static_cast<double>(n_tokens);
    const double digamma_sum = digamma_of(sum);
    for (std::size_t k = 0; k < topics.n_components; k += kLanes<double>) {
        const std::size_t left = topics.n_components - k;
        const std::size_t count = left < kLanes<double> ? left : kLanes<double>;
        Vec<double> gamma = splat<double>(1.0);
        for (std::size_t i = 0; i < count; ++i)
            gamma[i] = topics.alpha_exact[k + i] + static_cast<double>(doc.number[k + i]);
        const Vec<double> psi = vdigamma<double>(gamma);
        const Vec<double> log_gamma = vlgamma<double>(gamma);
        for (std::size_t i = 0; i < count; ++i) {
            partial[1 + k + i] += weight * (psi[i] - digamma_sum);
            log_labels += log_gamma[i];
        }
    }
    log_labels -= lgamma_of(sum);
    const double bound = n_tokens == 0 ? 0.0 : log_labels + log_words<T>(doc, topics);
    if (task.bounds != nullptr)
        task.bounds[d] = bound;
    add_bound(weight, bound, partial);
    std::int64_t* entry_token = task.entry_token + (first - task.first_entry);
    std::int64_t next = token;
    for (std::size_t i = 0; i < doc.n; ++i) {
        entry_token[i] = next;
        next += static_cast<std::int64_t>(doc.counts[i]);
    }
}

// Documents [first, end): states, bounds and the chunk's parts of the statistics. Adds to `partial`
// (lda_partial_size), which is null where only states and bounds are wanted.
template <class T>
static void lda_documents(const LdaTask<T>& task, std::size_t first, std::size_t end,
                          std::size_t longest, void* memory, double* partial) {
    const unsigned mode = flush_denormals();
    const LdaWorkspace<T> space = carve_lda<T>(memory, longest, task.topics.ld);
    for (std::size_t k = 0; k < task.topics.ld; ++k)
        space.ones[k] = T(1);
    for (std::size_t d = first; d < end; ++d) {
        if (task.rule == DocumentRule::factorised)
            factorised_document<T>(task, d, longest, space, partial);
        else
            token_document<T>(task, d, space, partial);
    }
    restore_mode(mode);
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
