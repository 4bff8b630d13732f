// What the kernels of latent Dirichlet allocation are told: plain data only (see task.hpp).
//
// Topics are the fast axis everywhere. Row w of the topics is the K-vector of word w, padded to
// whole vectors: B_wk = exp(E[log beta_wk] - m_w) (a point: beta_wk / max_k beta_wk), m_w the
// largest of the row, so that no row underflows whatever the size of the vocabulary. What lies
// behind the K topics is zero, in the rows and in alpha.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vemfast::detail {

// What the local step does with the topics of a document's tokens.
enum class DocumentRule : int { factorised, hard, sampled };

// Documents as word counts: entries [indptr[d], indptr[d + 1]) belong to document d, words
// ascending and each once, counts positive.
struct Documents {
    std::size_t n_documents = 0;
    const std::int64_t* indptr = nullptr;   // n_documents + 1
    const std::int32_t* indices = nullptr;  // words
    const void* counts = nullptr;           // float or double
    bool counts_are_float = false;
    const double* weights = nullptr;  // n_documents, or null for weight one
    std::uint64_t offset = 0;         // global number of the first document: keys the draws
};

template <class T>
struct TopicRows {
    std::size_t n_components = 0;
    std::size_t n_words = 0;
    std::size_t ld = 0;                   // of rows: n_components padded to whole vectors
    const T* rows = nullptr;              // n_words x ld: B
    const double* shift = nullptr;        // n_words: m, -inf for a word that no topic has
    const T* alpha = nullptr;             // ld
    const double* alpha_exact = nullptr;  // n_components
    double alpha_sum = 0;
    double log_normaliser = 0;  // log Gamma(sum alpha) - sum log Gamma(alpha_k)
};

// One pass over the documents. The state of the factorised rule is gamma, n_documents x K; that of
// the others one topic a token, in the order of the entries. A null input is a cold start.
template <class T>
struct LdaTask {
    Documents documents;
    TopicRows<T> topics;
    DocumentRule rule = DocumentRule::factorised;
    int max_inner = 100;
    double inner_tol = 1e-3;
    std::uint64_t seed = 0;
    std::uint32_t iteration = 0;
    const T* gamma_before = nullptr;
    T* gamma = nullptr;
    const std::int32_t* labels_before = nullptr;
    std::int32_t* labels = nullptr;
    const std::int64_t* first_token = nullptr;  // n_documents + 1
    double* bounds = nullptr;                   // n_documents
    double* shares = nullptr;                   // n_documents x K: gamma in double,
    bool shares_add_up = true;                  // or E[theta]
    // What the statistics of one chunk of documents are made of. Rows and entries count from the
    // chunk's first ones. Null: no statistics are wanted.
    std::size_t first_document = 0;
    std::int64_t first_entry = 0;
    T* proportions = nullptr;             // documents x ld: e, of the factorised rule
    T* ratios = nullptr;                  // entries: w_d c / norm
    std::int64_t* entry_token = nullptr;  // entries: the first token of each, of the other rules
};

// The chunk's entries by word: those of word w are [begin[w], begin[w + 1]), in order of documents.
struct WordIndex {
    const std::int64_t* begin = nullptr;      // n_words + 1
    const std::uint32_t* document = nullptr;  // counted from the chunk's first
    const std::uint32_t* entry = nullptr;     // likewise
};

// Sums of a group of documents, in one buffer of doubles: [bound, log_theta (K)].
static inline std::size_t lda_partial_size(std::size_t n_components) {
    return 1 + n_components;
}

}  // namespace vemfast::detail
