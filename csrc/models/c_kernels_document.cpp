// vemfast/kernels.h: the E-step of one document of latent Dirichlet allocation.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "exec/memory.hpp"
#include "isa/dispatch.hpp"
#include "models/c_kernels.hpp"
#include "models/lda.hpp"

namespace vemfast::models {

namespace {

// A document, and room for what its kernel reads and writes. Its words are numbered from 0, each
// with the row of its topics, whose largest number is one.
struct DocumentSpace {
    std::size_t n, K, ld;
    std::vector<double> rows, shift, alpha, proportions, ratios, sums;
    std::vector<std::int32_t> words;

    DocumentSpace(std::size_t n_words, std::size_t n_topics)
        : n(n_words),
          K(n_topics),
          ld(whole_vectors<double>(n_topics)),
          rows(n_words * ld, 0.0),
          shift(n_words),
          alpha(ld, 0.0),
          proportions(ld),
          ratios(n_words),
          sums(detail::lda_partial_size(n_topics), 0.0),
          words(n_words) {
        std::iota(words.begin(), words.end(), 0);
    }

    // False: no topic has the word.
    bool set_row(std::size_t i, const double* topics) {
        const double largest = *std::max_element(topics, topics + K);
        if (!(largest > 0))
            return false;
        shift[i] = std::log(largest);
        for (std::size_t k = 0; k < K; ++k)
            rows[i * ld + k] = topics[k] / largest;
        return true;
    }
};

detail::TopicRows<double> view_of(const DocumentSpace& space, const double* alpha) {
    detail::TopicRows<double> topics;
    topics.n_components = space.K;
    topics.n_words = space.n;
    topics.ld = space.ld;
    topics.rows = space.rows.data();
    topics.shift = space.shift.data();
    topics.alpha = space.alpha.data();
    topics.alpha_exact = alpha;
    topics.alpha_sum = std::accumulate(alpha, alpha + space.K, 0.0);
    topics.log_normaliser = models::dirichlet_normaliser(alpha, space.K);
    return topics;
}

struct DocumentOutputs {
    double* gamma;
    double* shares;
    double* log_theta;
    double* bound;
};

int run_document(DocumentSpace& space, const double* counts, const double* alpha, int max_inner,
                 double inner_tol, bool is_warm, const DocumentOutputs& out) {
    const std::int64_t indptr[] = {0, static_cast<std::int64_t>(space.n)};
    std::copy_n(alpha, space.K, space.alpha.begin());
    const std::vector<double> before(out.gamma, out.gamma + (is_warm ? space.K : 0));
    double bound = 0;
    detail::LdaTask<double> task;
    task.documents.n_documents = 1;
    task.documents.indptr = indptr;
    task.documents.indices = space.words.data();
    task.documents.counts = counts;
    task.topics = view_of(space, alpha);
    task.max_inner = max_inner;
    task.inner_tol = inner_tol;
    task.gamma_before = is_warm ? before.data() : nullptr;
    task.gamma = out.gamma;
    task.bounds = &bound;
    task.proportions = space.proportions.data();
    task.ratios = space.ratios.data();
    const LdaEntry<double>& entry = kernels().lda.on_double;
    const exec::Memory memory = exec::allocate(entry.workspace_bytes(space.n, space.ld));
    entry.documents(task, 0, 1, space.n, memory.get(), space.sums.data());
    for (std::size_t i = 0; out.shares != nullptr && i < space.n; ++i) {
        for (std::size_t k = 0; k < space.K; ++k)
            out.shares[i * space.K + k] =
                space.ratios[i] * space.proportions[k] * space.rows[i * space.ld + k];
    }
    if (out.log_theta != nullptr)
        std::copy(space.sums.begin() + 1, space.sums.end(), out.log_theta);
    if (out.bound != nullptr)
        *out.bound = bound;
    return VEMFAST_KERNEL_OK;
}

}  // namespace

}  // namespace vemfast::models

using namespace vemfast::models;  // the function below has no namespace

int vemfast_lda_document(const double* topics, ptrdiff_t n_words, ptrdiff_t K, const int32_t* words,
                         const double* counts, ptrdiff_t n, const double* alpha, int max_inner,
                         double inner_tol, int is_warm, double* gamma, double* shares,
                         double* log_theta, double* bound) {
    if (n_words < 1 || K < 1 || n < 0 || max_inner < 1)
        return VEMFAST_KERNEL_SIZE;
    if (topics == nullptr || alpha == nullptr || gamma == nullptr ||
        (n > 0 && (words == nullptr || counts == nullptr)))
        return VEMFAST_KERNEL_NULL;
    const auto size = static_cast<std::size_t>(n);
    const auto n_topics = static_cast<std::size_t>(K);
    if (!all_positive(counts, size) || !all_positive(alpha, n_topics) || !(inner_tol >= 0) ||
        (is_warm != 0 && !all_positive(gamma, n_topics)))
        return VEMFAST_KERNEL_VALUE;
    return guarded([&]() -> int {
        DocumentSpace space(size, n_topics);
        for (std::size_t i = 0; i < size; ++i) {
            if (words[i] < 0 || words[i] >= n_words)
                return VEMFAST_KERNEL_INDEX;
            const double* row = topics + static_cast<std::size_t>(words[i]) * n_topics;
            if (!all_not_negative(row, n_topics))
                return VEMFAST_KERNEL_VALUE;
            if (!space.set_row(i, row))
                return VEMFAST_KERNEL_IMPOSSIBLE;
        }
        return run_document(space, counts, alpha, max_inner, inner_tol, is_warm != 0,
                            {gamma, shares, log_theta, bound});
    });
}
