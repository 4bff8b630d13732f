// Entry points of the kernels of hidden Markov models of one level.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/chain_task.hpp"

namespace vemfast {

// Every function works on one part of the steps; `memory` has workspace_bytes(chain, steps, sizes).
template <class Steps>
struct ChainEntry {
    using Tables = detail::ChainTables;
    using Part = detail::ChainPart;
    using Sizes = detail::ChainSizes;
    using Outcome = detail::ChainOutcome;

    std::size_t (*workspace_bytes)(const Tables& chain, const Steps& steps, const Sizes& sizes);
    // Forward and backward. False: a sequence was marked as failed while statistics were added.
    bool (*leaf)(const Tables& chain, const Steps& steps, const Sizes& sizes, const Part& part,
                 const double* weights, const Outcome& outcome, void* memory, double* stats);
    // Log normalisers; forward vectors at the end of every so many steps.
    void (*filter)(const Tables& chain, const Steps& steps, const Sizes& sizes, const Part& part,
                   const Outcome& outcome, std::size_t every, void* memory, double* checkpoints);
    // Backward vectors there, of one sequence.
    void (*smooth)(const Tables& chain, const Steps& steps, const Sizes& sizes, const Part& part,
                   const Outcome& outcome, std::size_t every, void* memory, double* checkpoints);
    // The forward and (unless null) the backward vector of step `at` - 1 of one sequence, from the
    // steps near it; false: they do not tell. See chain_join.hpp.
    bool (*join)(const Tables& chain, const Steps& steps, const Sizes& sizes, const Part& part,
                 std::size_t at, void* memory, double* forward, double* backward);
    // The same of best paths: the row of that step, up to a constant.
    bool (*join_best)(const Tables& chain, const Steps& steps, const Sizes& sizes, const Part& part,
                      std::size_t at, void* memory, double* row);
    // Best path through a chunk that has `left` steps of its sequence behind it, and its last entry
    // in the chunk's rows; false: the steps behind the chunk do not tell.
    bool (*decode_chunk)(const Tables& chain, const Steps& steps, const Sizes& sizes,
                         const Part& part, std::size_t left, void* memory, double* log_joint,
                         std::int32_t* labels);
    // Likelihoods (n_steps x ld) and shifts.
    void (*keep)(const Tables& chain, const Steps& steps, const Sizes& sizes, const Part& part,
                 void* memory, double* likelihoods, double* shift);
    // Scores, n_steps x K.
    void (*scores)(const Tables& chain, const Steps& steps, const Sizes& sizes, const Part& part,
                   void* memory, double* out);
    // Best paths into labels, or (labels null) the last row of best log joints into `last`.
    void (*decode)(const Tables& chain, const Steps& steps, const Sizes& sizes, const Part& part,
                   std::int32_t next, void* memory, double* log_joint, std::int32_t* labels,
                   double* last);
    // Paths drawn from the posterior.
    void (*draw)(const Tables& chain, const Steps& steps, const Sizes& sizes, const Part& part,
                 std::int32_t next, std::uint64_t seed, std::uint32_t iteration,
                 std::uint64_t offset, const Outcome& outcome, void* memory, std::int32_t* labels);
    // Statistics of labels.
    void (*count)(const Tables& chain, const Steps& steps, const Sizes& sizes, const Part& part,
                  const double* weights, const Outcome& outcome, const std::int32_t* labels,
                  void* memory, double* stats);
    // The factorised rule, over whole sequences.
    void (*sweep)(const Tables& chain, const Steps& steps, const Sizes& sizes, const Part& part,
                  const double* weights, const detail::ChainSweeps& sweeps, const Outcome& outcome,
                  void* memory, double* stats);
    // Statistics of the emissions under given shares times weights, n_steps x K, and the weights.
    void (*add_shares)(const Tables& chain, const Steps& steps, const Sizes& sizes,
                       const Part& part, const double* shares, const double* weights, void* memory,
                       double* stats);
};

struct GaussianChainKernels {
    ChainEntry<detail::GaussianSteps<float>> on_float;
    ChainEntry<detail::GaussianSteps<double>> on_double;
};

struct ScoredChainKernels {
    ChainEntry<detail::ScoredSteps> on_double;
};

struct IndexedChainKernels {
    ChainEntry<detail::IndexedSteps<float>> on_float;
    ChainEntry<detail::IndexedSteps<double>> on_double;
};

}  // namespace vemfast
