// The steps of a hidden Markov model as the kernels see them, and how they are cut.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "isa/dispatch.hpp"
#include "models/hmm.hpp"
#include "models/indexed_pass.hpp"

namespace vemfast::models {

// Sizes that depend on the number of states alone: they fix the order of sums.
struct ChainShape {
    static constexpr std::size_t kQuantum = 64;  // steps; no tile has fewer
    static_assert(kQuantum >= detail::kWindow, "the workspace of an emission is for a tile");

    std::size_t tile;   // steps that stay in cache
    std::size_t chunk;  // a piece of a long sequence; short ones are joined up to as many steps
    std::size_t whole;  // the longest sequence that is worked through in one piece

    explicit ChainShape(std::size_t n_states) {
        const std::size_t row = 8 * ((n_states + 7) / 8 * 8);
        tile = std::clamp((std::size_t{64} << 10) / row / kQuantum * kQuantum, kQuantum,
                          std::size_t{512});
        const std::size_t fit = (std::size_t{1} << 20) / (2 * row) / tile * tile;
        chunk = std::clamp(fit, 4 * tile, std::size_t{8192} / tile * tile);
        whole = std::max(4 * chunk, (std::size_t{8} << 20) / (2 * row));
    }
};

// One leaf of the sum: whole sequences, or chunk `chunk` of a long one.
struct ChainLeaf {
    std::size_t first, n_steps;
    std::size_t first_sequence, n_sequences;
    std::size_t chunk = 0;
    bool is_chunk = false;
};

struct ChainPlan {
    ChainShape shape;
    std::vector<std::int64_t> ends;      // of the sequences
    std::vector<ChainLeaf> leaves;       // in the order of the steps
    std::vector<ChainLeaf> sequences;    // the same with long sequences in one piece
    std::vector<std::size_t> long_ones;  // of `sequences`

    ChainPlan(std::size_t n_states, const Sequences& from);

    std::size_t n_chunks(const ChainLeaf& sequence) const {
        return (sequence.n_steps + shape.chunk - 1) / shape.chunk;
    }
    ChainLeaf chunk_of(const ChainLeaf& sequence, std::size_t c) const {
        const std::size_t first = c * shape.chunk;
        return {sequence.first + first,
                std::min(shape.chunk, sequence.n_steps - first),
                sequence.first_sequence,
                1,
                c,
                true};
    }
};

template <class T>
struct GaussianStepsOf {
    using Steps = detail::GaussianSteps<T>;
    ScoreArrays<T> narrow;
    std::vector<T> log_mix;
    Steps steps;

    GaussianStepsOf(const HmmTable& table, const HmmRows& rows, const Sequences& sequences,
                    const HmmPass& pass, std::size_t tile) {
        const ScoreTable& scores = *table.gaussian();
        const auto* family = std::get<const GaussianMixture*>(table.model().emission());
        steps.task = {std::get<detail::RowsView>(rows.rows),
                      scores.view(narrow),
                      family->covariance(),
                      pass.rule,
                      pass.seed,
                      pass.iteration,
                      scores.missing()};
        steps.task.rows.offset = sequences.offset;
        steps.tile_steps = tile;
        steps.labels = sequences.labels;
        steps.n_mix = table.model().n_mix();
        for (const double weight : table.log_mix())
            log_mix.push_back(static_cast<T>(weight));
        steps.log_mix = log_mix.data();
    }
    static const ChainEntry<Steps>& entry() {
        if constexpr (sizeof(T) == 4)
            return kernels().gaussian_chain.on_float;
        else
            return kernels().gaussian_chain.on_double;
    }
};

template <class T>
struct IndexedStepsOf {
    using Steps = detail::IndexedSteps<T>;
    PackedTable<T> packed;
    Steps steps;

    IndexedStepsOf(const HmmTable& table, const HmmRows& rows, const Sequences& sequences,
                   const HmmPass& /*pass*/, std::size_t tile)
        : packed(*table.indexed(), 0) {
        const auto& view = std::get<detail::IndexedRows>(rows.rows);
        steps.task = task_for<T>(*table.indexed(), packed, view, 0);
        steps.sizes = indexed_sizes(*table.indexed(), view, tile, 0);
        steps.labels = sequences.labels;
        if (detail::is_csr(view.storage)) {
            // Tiles may begin anywhere.
            for (std::size_t n = 0; n < view.n_rows; ++n) {
                const std::int64_t end = view.indptr[std::min(n + tile, view.n_rows)];
                const auto size = static_cast<std::size_t>(end - view.indptr[n]);
                steps.sizes.n_entries = std::max(steps.sizes.n_entries, size);
            }
            require_few_entries(steps.sizes);
        }
    }
    static const ChainEntry<Steps>& entry() {
        if constexpr (sizeof(T) == 4)
            return kernels().indexed_chain.on_float;
        else
            return kernels().indexed_chain.on_double;
    }
};

}  // namespace vemfast::models
