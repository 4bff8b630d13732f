// Hidden Markov models: a Markov chain over the components of a mixture family, on every rung.
//
// Parameters and statistics are flat buffers of doubles:
//   statistics  [local_bound, entropy, starts (K), transitions (K x K), the emission's]
//   point       [startprob (K), transmat (K x K), mix_weights (K x n_mix, if that is above 1), the
//                emission's]
//   posterior   [concentrations of start (K) and transitions (K x K), the emission's]
// The emission's are those of a mixture whose weights are `none`, without the two header numbers.
// State k has the components k n_mix to (k + 1) n_mix of the mixture; above one component a state
// only points are known.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <variant>
#include <vector>

#include "exec/memory.hpp"
#include "families/simplex.hpp"
#include "kernels/chain_task.hpp"
#include "models/discrete_mixture.hpp"
#include "models/gaussian_mixture.hpp"
#include "models/rules.hpp"
#include "vemfast/poll.hpp"
#include "vemfast/version.hpp"

namespace vemfast::models {

class HiddenMarkov;

// What a pass scores steps with: made from parameters.
class VEMFAST_API HmmTable {
  public:
    HmmTable(const HiddenMarkov& model, Kind kind, const double* params);

    const HiddenMarkov& model() const { return *model_; }
    Kind kind() const { return kind_; }
    const double* params() const { return params_.data(); }
    const detail::ChainTables& chain() const { return chain_; }
    std::size_t n_states() const { return chain_.n_states; }
    // Logarithms of the components' weights, if states have several.
    const std::vector<double>& log_mix() const { return log_mix_; }
    // Whether the chain cannot go from every state to every other in one step.
    bool has_zeros() const { return has_zeros_; }
    const ScoreTable* gaussian() const { return std::get_if<ScoreTable>(&emission_); }
    const IndexedTable* indexed() const { return std::get_if<IndexedTable>(&emission_); }

  private:
    const HiddenMarkov* model_;
    Kind kind_;
    std::vector<double> params_;
    std::vector<double> log_mix_;
    std::variant<ScoreTable, IndexedTable> emission_;
    std::shared_ptr<void> memory_;
    detail::ChainTables chain_;
    bool has_zeros_ = false;
};

using Emissions = std::variant<const GaussianMixture*, const DiscreteMixture*>;

// When the sweeps of the factorised rule end: after so many, or when no q moves by as much.
struct SweepLimits {
    int n_sweeps = 10;
    double tolerance = 1e-6;
};

class VEMFAST_API HiddenMarkov {
  public:
    // The emission must outlive the model, and the model its tables.
    HiddenMarkov(Emissions emission, detail::Simplex start,
                 std::vector<detail::Simplex> transitions, SweepLimits sweeps = {},
                 std::vector<detail::Simplex> mix = {});

    std::size_t n_states() const { return transitions_.size(); }
    std::size_t n_mix() const { return mix_.empty() ? 1 : mix_[0].size(); }
    std::size_t stats_size() const;
    std::size_t params_size(Kind kind) const;
    // The same chain over other emissions.
    HiddenMarkov over(Emissions emission) const {
        HiddenMarkov other(*this);
        other.emission_ = emission;
        return other;
    }
    // Where the emission's parameters begin.
    std::size_t emission_at() const { return chain_size() + mix_size(); }
    const Emissions& emission() const { return emission_; }
    const SweepLimits& sweeps() const { return sweeps_; }

    HmmTable prepare(Kind kind, const double* params) const { return {*this, kind, params}; }

    void update(ParameterRule rule, Kind previous_kind, const double* previous, const double* stats,
                std::uint64_t seed, std::uint32_t iteration, double* out) const;

    double global_term(Kind kind, const double* params) const;

    // <statistics, natural parameters>.
    double expected_log_joint(Kind kind, const double* params, const double* stats) const;

    // Logarithms of the start (K) and the transitions (K x K), expected ones of a posterior.
    void log_chain(Kind kind, const double* params, double* start, double* transitions) const;

    // E[start], then E[transitions].
    void mean_chain(const double* posterior, double* out) const;

  private:
    std::size_t chain_size() const { return n_states() * (n_states() + 1); }
    std::size_t mix_size() const { return mix_.empty() ? 0 : n_states() * n_mix(); }

    Emissions emission_;
    detail::Simplex start_;
    std::vector<detail::Simplex> transitions_;
    std::vector<detail::Simplex> mix_;  // empty: one component a state
    SweepLimits sweeps_;
};

// The rows of all steps, in the storage of the family.
struct HmmRows {
    std::variant<detail::RowsView, detail::IndexedRows> rows;
    bool is_float = false;  // precision of the scores

    std::size_t n_steps() const {
        return std::visit([](const auto& view) { return view.n_rows; }, rows);
    }
};

struct Sequences {
    const std::int64_t* lengths = nullptr;
    std::size_t n = 0;
    const double* weights = nullptr;       // n, or null
    const std::int32_t* labels = nullptr;  // of the steps: the known state, -1; or null
    std::uint64_t offset = 0;              // global index of the first step
};

struct HmmPass {
    detail::LocalRule rule = detail::LocalRule::exact;
    std::uint64_t seed = 0;
    std::uint32_t iteration = 0;
    int n_threads = 1;
};

// Statistics of all sequences under a rule: exact, hard or sampled.
VEMFAST_API void hmm_e_step(const HmmTable& table, const HmmRows& rows, const Sequences& sequences,
                            const HmmPass& pass, const Poll& poll, double* stats);

// Statistics under the factorised rule. `before` (n_steps x K, or null: a cold start) is where the
// sweeps start, `after` where they end.
VEMFAST_API void hmm_sweep(const HmmTable& table, const HmmRows& rows, const Sequences& sequences,
                           const detail::ChainSweeps& sweeps, int n_threads, const Poll& poll,
                           double* stats);

// Log normaliser of each sequence, -inf for one that is impossible.
VEMFAST_API void hmm_score(const HmmTable& table, const HmmRows& rows, const Sequences& sequences,
                           int n_threads, const Poll& poll, double* out);

// Best paths, and their log joints by sequence.
VEMFAST_API void hmm_decode(const HmmTable& table, const HmmRows& rows, const Sequences& sequences,
                            int n_threads, const Poll& poll, std::int32_t* labels,
                            double* log_joint);

// Posterior of the state of each step, n_steps x K.
VEMFAST_API void hmm_posteriors(const HmmTable& table, const HmmRows& rows,
                                const Sequences& sequences, int n_threads, const Poll& poll,
                                double* out);

// Scores of the steps, n_steps x K.
VEMFAST_API void hmm_scores(const HmmTable& table, const HmmRows& rows, const Sequences& sequences,
                            int n_threads, const Poll& poll, double* out);

}  // namespace vemfast::models
