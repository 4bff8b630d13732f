// What the kernels of a hidden Markov chain are told: plain data only (see task.hpp).
//
// Vectors over the states are padded to `ld`, a multiple of the level's lanes; what lies behind the
// states is zero (probabilities) or -inf (logarithms). Nothing needs to sum to one.
#pragma once

#include <cstddef>
#include <cstdint>

#include "indexed_task.hpp"
#include "task.hpp"

namespace vemfast::detail {

struct ChainTables {
    std::size_t n_states = 0;
    std::size_t ld = 0;
    const double* start = nullptr;        // ld
    const double* transitions = nullptr;  // K x ld, row i: from state i
    const double* transposed = nullptr;   // K x ld, row j: into state j
    const double* log_start = nullptr;    // their logarithms, for the best path
    const double* log_transitions = nullptr;
    const double* log_transposed = nullptr;
    // The same with -1e300 for log 0 among the states, for products with shares.
    const double* sweep_start = nullptr;
    const double* sweep_transitions = nullptr;
    const double* sweep_transposed = nullptr;
    // Asked every some thousand steps whether to go on; throws if not.
    void (*pause)() = nullptr;
};

// The emissions of all steps: rows without weights.
template <class T>
struct GaussianSteps {
    MixtureTask<T> task;
    std::size_t tile_steps = 0;
    // Components of a state, side by side, and the logarithms of their weights (K n_mix).
    std::size_t n_mix = 1;
    const T* log_mix = nullptr;
    const std::int32_t* labels = nullptr;  // the state that a step is known to have, or -1; or null
};

template <class T>
struct IndexedSteps {
    IndexedTask<T> task;
    IndexedSizes sizes;
    const std::int32_t* labels = nullptr;
};

// Scores that somebody else has made.
struct ScoredSteps {
    const double* scores = nullptr;  // n_steps x n_states
    std::size_t n_states = 0;
};

// Consecutive steps of one leaf: whole sequences, or a part of one.
struct ChainPart {
    std::size_t first = 0;    // step
    std::size_t n_steps = 0;  //
    std::size_t first_sequence = 0;
    std::size_t n_sequences = 0;
    const std::int64_t* ends = nullptr;  // of all sequences: the step behind the last
    // Null where the part begins (ends) with a whole sequence; else the forward vector of the step
    // before the part and the backward vector of its last step, ld each, in any scale.
    const double* forward = nullptr;
    const double* backward = nullptr;
    // The steps' likelihoods and shifts, if they were kept; likelihoods are overwritten.
    double* kept = nullptr;
    const double* kept_shift = nullptr;
};

// What a pass says of each sequence of a part.
struct ChainOutcome {
    double* log_normaliser = nullptr;
    // Set where the numbers of the scaled recursion leave the normal range; a sequence that has it
    // set is passed over.
    std::uint8_t* failed = nullptr;
    double* posteriors = nullptr;  // n_steps x K, in the place of statistics; or null
};

// What the forward recursion carries from one run of steps to the next.
struct ForwardState {
    double sum = 1;         // S of the last step
    double sum_before = 1;  // and of the one before
    double smallest = 1;    // of all S
    double largest = 1;
    std::int64_t exponent = 0;  // sum of log2 r
};

// Coordinate sweeps of the factorised rule; state: q of all steps, n_steps x K.
struct ChainSweeps {
    const double* before = nullptr;  // null: a cold start
    double* after = nullptr;
    int n_sweeps = 0;
    double tolerance = 0;
};

// Most states for which chunks of a long sequence are joined at their ends (chain_join.hpp), the
// steps between two looks, which are scored at once as a tile is, and most steps that are looked at
// on either side of an end.
constexpr std::size_t kJoinedStates = 8;
constexpr std::size_t kWindow = 64;
constexpr std::size_t kLongestWindow = 2048;

// Sizes of the workspace of one thread.
struct ChainSizes {
    std::size_t most_steps = 0;  // of one part
    std::size_t tile_steps = 0;
};

// Statistics in one buffer of doubles: [local_bound, entropy, starts (K), transitions (K x K)],
// then those of the emission's mixture without their first two numbers.
static inline std::size_t chain_stats_size(std::size_t n_states) {
    return 2 + n_states + n_states * n_states;
}

}  // namespace vemfast::detail
