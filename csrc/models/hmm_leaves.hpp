// The leaves of a hidden Markov model's passes: how they are shared among threads, what the kernels
// are told of them, and sequences that have to be worked through in logarithms.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "exec/parallel.hpp"
#include "models/hmm_log.hpp"
#include "models/hmm_steps.hpp"
#include "models/row_pass.hpp"
#include "vemfast/require.hpp"

namespace vemfast::models {

inline constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

// States of a sequence in a pass: its numbers left the range of the scaled recursion, or it has no
// weight and nobody looks at it.
inline constexpr std::uint8_t kFailed = 1;
inline constexpr std::uint8_t kLeftOut = 2;

inline std::size_t longest(const std::vector<ChainLeaf>& leaves) {
    std::size_t most = 1;
    for (const ChainLeaf& leaf : leaves)
        most = std::max(most, leaf.n_steps);
    return most;
}

// Over one family and precision.
template <class StepsOf>
class HmmLeaves {
  public:
    HmmLeaves(const HmmTable& table, const HmmRows& rows, const Sequences& sequences,
              const HmmPass& pass, const Poll& poll, bool whole = false)
        : table_(table),
          sequences_(sequences),
          pass_(pass),
          poll_(poll),
          plan_(table.n_states(), sequences),
          of_(table, rows, sequences, pass, plan_.shape.tile),
          entry_(StepsOf::entry()),
          sizes_{whole ? longest(plan_.sequences) : longest(plan_.leaves), plan_.shape.tile},
          ld_(table.chain().ld),
          log_normaliser_(sequences.n, 0.0),
          failed_(sequences.n, 0),
          impossible_(sequences.n, -1) {
        for (std::size_t s = 0; s < sequences.n; ++s)
            failed_[s] = weight_of(s) > 0 ? 0 : kLeftOut;
        workspaces_.reserve(std::max(pass.n_threads, 1),
                            entry_.workspace_bytes(table.chain(), of_.steps, sizes_));
    }

    const std::vector<double>& log_normalisers() const { return log_normaliser_; }

    void require_possible() const {
        for (std::size_t s = 0; s < sequences_.n; ++s)
            require(impossible_[s] < 0, "sequence ", s, " impossible from t=", impossible_[s],
                    ": no path through the states that the start and transition probabilities "
                    "allow can have made it");
    }

  protected:
    using ChainOutcome = detail::ChainOutcome;
    using ChainPart = detail::ChainPart;

    // ---- work in parallel ------------------------------------------------------------------

    template <class Item>
    void for_items(std::size_t n, Item&& item) {
        exec::parallel_for(
            static_cast<std::int64_t>(n), pass_.n_threads, poll_,
            [&](std::int64_t i, int slot) { item(static_cast<std::size_t>(i), slot); });
    }

    template <class Leaf>
    void for_leaves(Leaf& leaf, double* stats) {
        const auto n = static_cast<std::int64_t>(plan_.leaves.size());
        if (stats == nullptr)
            exec::parallel_for(n, pass_.n_threads, poll_,
                               [&](std::int64_t i, int slot) { leaf(i, slot, nullptr); });
        else
            exec::map_reduce(n, static_cast<std::int64_t>(table_.model().stats_size()),
                             pass_.n_threads, poll_, leaf, stats);
    }

    // ---- parts -----------------------------------------------------------------------------

    std::size_t first_of(std::size_t sequence) const {
        return sequence == 0 ? 0 : static_cast<std::size_t>(plan_.ends[sequence - 1]);
    }
    std::size_t length_of(std::size_t sequence) const {
        return static_cast<std::size_t>(sequences_.lengths[sequence]);
    }
    double weight_of(std::size_t sequence) const {
        return sequences_.weights == nullptr ? 1.0 : sequences_.weights[sequence];
    }
    bool is_long(std::size_t i) const {
        return plan_.sequences[i].n_steps > plan_.shape.whole &&
               plan_.sequences[i].n_sequences == 1;
    }

    ChainPart part_of(const ChainLeaf& leaf) const {
        ChainPart part;
        part.first = leaf.first;
        part.n_steps = leaf.n_steps;
        part.first_sequence = leaf.first_sequence;
        part.n_sequences = leaf.n_sequences;
        part.ends = plan_.ends.data();
        return part;
    }

    // The part of a chunk, with what is known at its ends.
    ChainPart chunk_part(const ChainLeaf& leaf, const double* forward,
                         const double* backward) const {
        ChainPart part = part_of(leaf);
        if (leaf.chunk > 0)
            part.forward = forward + (leaf.chunk - 1) * ld_;
        const bool ends =
            leaf.first + leaf.n_steps == static_cast<std::size_t>(plan_.ends[leaf.first_sequence]);
        if (!ends && backward != nullptr)
            part.backward = backward + leaf.chunk * ld_;
        return part;
    }

    void filter(const ChainLeaf& leaf, int slot, double* checkpoints) {
        const std::size_t s = leaf.first_sequence;
        const ChainOutcome outcome{&log_normaliser_[s], &failed_[s], nullptr};
        entry_.filter(table_.chain(), of_.steps, sizes_, part_of(leaf), outcome, plan_.shape.chunk,
                      workspaces_.of(slot), checkpoints);
    }

    bool call_leaf(const ChainPart& part, const ChainOutcome& outcome, int slot, double* stats) {
        return entry_.leaf(table_.chain(), of_.steps, sizes_, part, sequences_.weights, outcome,
                           workspaces_.of(slot), stats);
    }

    void add_bounds(const ChainLeaf& leaf, double* stats) const {
        if (stats == nullptr || leaf.chunk > 0)
            return;
        for (std::size_t s = leaf.first_sequence; s < leaf.first_sequence + leaf.n_sequences; ++s) {
            if (weight_of(s) > 0)
                stats[0] += weight_of(s) * log_normaliser_[s];
        }
    }

    // ---- in logarithms ---------------------------------------------------------------------

    LogChain log_chain(std::size_t s, int slot) {
        const std::size_t K = table_.n_states();
        const ChainPart part = part_of({first_of(s), length_of(s), s, 1});
        std::vector<double> scores(part.n_steps * K);
        entry_.scores(table_.chain(), of_.steps, sizes_, part, workspaces_.of(slot), scores.data());
        LogChain chain(table_.chain(), std::move(scores));
        log_normaliser_[s] = chain.log_normaliser();
        if (!(log_normaliser_[s] > kMinusInfinity))
            impossible_[s] = static_cast<std::int64_t>(chain.impossible_from());
        return chain;
    }

    void log_statistics(std::size_t s, int slot, double* stats, double* posteriors) {
        const std::size_t K = table_.n_states();
        const LogChain chain = log_chain(s, slot);
        if (impossible_[s] >= 0 || (stats == nullptr && posteriors == nullptr))
            return;
        double* pairs = stats == nullptr ? nullptr : stats + 2 + K;
        const double weight = weight_of(s);
        std::vector<double> shares = chain.posteriors(weight, pairs);
        if (posteriors != nullptr)
            std::copy(shares.begin(), shares.end(), posteriors + first_of(s) * K);
        if (stats == nullptr)
            return;
        for (double& share : shares)
            share *= weight;
        for (std::size_t k = 0; k < K; ++k)
            stats[2 + k] += shares[k];
        const std::vector<double> weights(length_of(s), weight);
        entry_.add_shares(table_.chain(), of_.steps, sizes_,
                          part_of({first_of(s), length_of(s), s, 1}), shares.data(), weights.data(),
                          workspaces_.of(slot), stats);
    }

    const HmmTable& table_;
    const Sequences& sequences_;
    HmmPass pass_;
    const Poll& poll_;
    ChainPlan plan_;
    StepsOf of_;
    const ChainEntry<typename StepsOf::Steps>& entry_;
    detail::ChainSizes sizes_;
    std::size_t ld_;
    std::vector<double> log_normaliser_;
    std::vector<std::uint8_t> failed_;
    std::vector<std::int64_t> impossible_;
    Workspaces workspaces_;
};

}  // namespace vemfast::models
