// Latent Dirichlet allocation: an admixture of topics over words, on every rung but exact EM.
//
// Parameters and statistics are flat buffers of doubles, by word, the topic last:
//   statistics  [local_bound, entropy, sstats (V x K), log_theta (K), documents]
//   point       [topics (V x K), alpha (K), eta_scale]
//   posterior   [lambda (V x K), alpha (K), eta_scale]
// The prior of the topics is eta_scale times the model's eta.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "exec/memory.hpp"
#include "families/dirichlet_categorical.hpp"
#include "kernels/lda_task.hpp"
#include "models/rules.hpp"
#include "vemfast/poll.hpp"
#include "vemfast/version.hpp"

namespace vemfast::models {

enum class Learn : int { no, vector, symmetric };

// Words of a leaf of the sums over the vocabulary: it fixes their order.
constexpr std::size_t kLeafWords = 64;

inline double count_at(const detail::Documents& documents, std::int64_t entry) {
    return documents.counts_are_float
               ? static_cast<double>(static_cast<const float*>(documents.counts)[entry])
               : static_cast<const double*>(documents.counts)[entry];
}

// log Gamma(sum alpha) - sum log Gamma(alpha_k) of K numbers.
double dirichlet_normaliser(const double* alpha, std::size_t K);

// What a pass over the documents needs of the parameters, in the precision of the pass.
struct LdaTable {
    std::size_t n_components = 0;
    std::size_t n_words = 0;
    std::size_t ld = 0;
    bool is_float = true;
    exec::Memory rows;   // V x ld floats or doubles
    exec::Memory alpha;  // ld
    std::vector<double> shift;
    std::vector<double> alpha_exact;
    double alpha_sum = 0;
    double log_normaliser = 0;

    std::size_t stats_size() const { return 2 + n_words * n_components + n_components + 1; }
    std::size_t scratch_size() const { return 2 * n_components + 128; }
    void set_alpha(const double* values);
    template <class T>
    detail::TopicRows<T> view() const {
        return {n_components,
                n_words,
                ld,
                static_cast<const T*>(rows.get()),
                shift.data(),
                static_cast<const T*>(alpha.get()),
                alpha_exact.data(),
                alpha_sum,
                log_normaliser};
    }
};

class VEMFAST_API LatentDirichlet {
  public:
    // alpha (K) is what an update without previous parameters starts from.
    LatentDirichlet(std::size_t n_components, std::size_t n_words, bool is_float,
                    std::vector<double> alpha, std::vector<double> eta, Learn learn_alpha,
                    bool learn_eta);

    std::size_t n_components() const { return topics_.n_components(); }
    std::size_t n_words() const { return topics_.n_words(); }
    std::size_t params_size() const { return topics_.size() + n_components() + 1; }
    std::size_t stats_size() const { return 2 + params_size(); }

    LdaTable prepare(Kind kind, const double* params, int n_threads, const Poll& poll) const;

    const detail::DirichletCategorical& topics() const { return topics_; }
    // What alpha is, or where it begins.
    const std::vector<double>& first_alpha() const { return alpha_; }
    bool is_float() const { return is_float_; }
    bool learns_eta() const { return learn_eta_; }
    // An empty table for so many words.
    LdaTable table_of(const double* alpha, std::size_t n_words) const;
    // alpha (K) moves to what the sums of E[log theta] (K) of so many documents say, if learned.
    void learn_alpha(const double* log_theta, double documents, double* alpha) const;

    // `previous` gives alpha and eta_scale, and what a topic without tokens keeps; null before the
    // first update.
    void update(ParameterRule rule, Kind previous_kind, const double* previous, const double* stats,
                std::uint64_t seed, std::uint32_t iteration, int n_threads, const Poll& poll,
                double* out) const;

    // log prior of a point, -KL(q || p) of a posterior.
    double global_term(Kind kind, const double* params, int n_threads, const Poll& poll) const;
    // <stats, natural parameters>: the expected log joint of words, topics and proportions.
    double expected_log_joint(Kind kind, const double* params, const double* stats, int n_threads,
                              const Poll& poll) const;

  private:
    const double* alpha_of(const double* params) const { return params + topics_.size(); }
    double scale_of(const double* params) const { return params[topics_.size() + n_components()]; }
    void learn(ParameterRule rule, const double* stats, int n_threads, const Poll& poll,
               double* out) const;

    detail::DirichletCategorical topics_;
    bool is_float_;
    std::vector<double> alpha_;
    Learn learn_alpha_;
    bool learn_eta_;
};

// Rows [first, first + n) of a table: from probabilities of words, or from pseudo-counts and the
// digamma of their column sums; n x K. `scratch` has room for table.scratch_size() doubles.
void fill_rows(Kind kind, const double* topics, const double* digamma_sums, std::size_t first,
               std::size_t n, double* scratch, LdaTable& table);

// The choices of one pass over the documents.
struct LdaPass {
    detail::DocumentRule rule = detail::DocumentRule::factorised;
    int max_inner = 100;
    double inner_tol = 1e-3;
    std::uint64_t seed = 0;
    std::uint32_t iteration = 0;
    int n_threads = 1;
};

// The states of the documents, of the table's precision (gamma) or int32 (topics of tokens); null
// `before` is a cold start. `before` and `after` may be the same memory.
struct LdaState {
    const void* before = nullptr;
    void* after = nullptr;
};

// Tokens before each document and in all (n_documents + 1). Throws where a count is no whole
// number.
VEMFAST_API std::vector<std::int64_t> count_tokens(const detail::Documents& documents);

// One E-step: stats (table.stats_size()) and the states. first_token is what count_tokens returns,
// for the hard and the sampled rule.
VEMFAST_API void e_step(const LdaTable& table, const detail::Documents& documents,
                        const LdaPass& pass, const std::int64_t* first_token, LdaState state,
                        const Poll& poll, double* stats);

// gamma (n_documents x K) and each document's share of the bound, by the factorised rule.
VEMFAST_API void infer(const LdaTable& table, const detail::Documents& documents,
                       const LdaPass& pass, LdaState state, const Poll& poll, double* bounds);

// Proportions E[theta] (n_documents x K) by the same iteration from a cold start; or gamma, where
// they are not to add up to one.
VEMFAST_API void proportions(const LdaTable& table, const detail::Documents& documents,
                             const LdaPass& pass, bool add_up, const Poll& poll, double* out);

// out_d = sum_w c_dw log(theta_d . beta_w): theta (n_documents x K), topics (n_words x K).
VEMFAST_API void log_predictive(const detail::Documents& documents, const double* theta,
                                const double* topics, std::size_t n_components, int n_threads,
                                const Poll& poll, double* out);

}  // namespace vemfast::models
