// Passes over the sequences of a hidden Markov model.
//
// Short sequences are joined into leaves of some thousand steps; one of middle length is a leaf of
// its own, whose forward and backward vectors fit into memory that does not depend on it. A long
// one is cut into chunks. What comes from the neighbours at the ends of a chunk is found from the
// steps near them, where the chain mixes well enough (kernels/chain_join.hpp); else the forward and
// the backward recursion run over the whole of the sequence first, side by side, and leave a vector
// at the end of each chunk. Then the chunks are leaves. Nothing depends on the number of threads.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "models/hmm_runner.hpp"

namespace vemfast::models {

using detail::LocalRule;

ChainPlan::ChainPlan(std::size_t n_states, const Sequences& from) : shape(n_states) {
    std::int64_t end = 0;
    bool open = false;  // whether the last leaf takes more sequences
    for (std::size_t s = 0; s < from.n; ++s) {
        const auto first = static_cast<std::size_t>(end);
        const auto steps = static_cast<std::size_t>(from.lengths[s]);
        end += from.lengths[s];
        ends.push_back(end);
        const ChainLeaf own{first, steps, s, 1};
        if (steps > shape.whole) {
            long_ones.push_back(sequences.size());
            sequences.push_back(own);
            for (std::size_t c = 0; c < n_chunks(own); ++c)
                leaves.push_back(chunk_of(own, c));
            open = false;
            continue;
        }
        if (open) {
            leaves.back().n_steps = sequences.back().n_steps += steps;
            leaves.back().n_sequences = ++sequences.back().n_sequences;
        } else {
            leaves.push_back(own);
            sequences.push_back(own);
        }
        open = leaves.back().n_steps < shape.chunk;
    }
}

namespace {

// Calls run with the runner of the family and precision.
template <class Run>
void with_runner(const HmmTable& table, const HmmRows& rows, const Sequences& sequences,
                 const HmmPass& pass, const Poll& poll, Run run, bool whole = false) {
    if (table.gaussian() != nullptr) {
        if (rows.is_float && !table.gaussian()->needs_double()) {
            HmmRunner<GaussianStepsOf<float>> runner(table, rows, sequences, pass, poll, whole);
            run(runner);
        } else {
            HmmRunner<GaussianStepsOf<double>> runner(table, rows, sequences, pass, poll, whole);
            run(runner);
        }
    } else if (rows.is_float) {
        HmmRunner<IndexedStepsOf<float>> runner(table, rows, sequences, pass, poll, whole);
        run(runner);
    } else {
        HmmRunner<IndexedStepsOf<double>> runner(table, rows, sequences, pass, poll, whole);
        run(runner);
    }
}

}  // namespace

void hmm_e_step(const HmmTable& table, const HmmRows& rows, const Sequences& sequences,
                const HmmPass& pass, const Poll& poll, double* stats) {
    with_runner(table, rows, sequences, pass, poll, [&](auto& runner) {
        if (pass.rule == LocalRule::exact) {
            runner.exact(stats, nullptr);
        } else {
            std::vector<std::int32_t> labels(rows.n_steps(), 0);
            if (pass.rule == LocalRule::hard)
                runner.decode(labels.data());
            else
                runner.draw(labels.data());
            runner.require_possible();
            runner.count(labels.data(), stats);
        }
        runner.require_possible();
    });
    stats[1] = stats[0] - table.model().expected_log_joint(table.kind(), table.params(), stats);
}

void hmm_sweep(const HmmTable& table, const HmmRows& rows, const Sequences& sequences,
               const detail::ChainSweeps& sweeps, int n_threads, const Poll& poll, double* stats) {
    HmmPass pass;
    pass.n_threads = n_threads;
    with_runner(
        table, rows, sequences, pass, poll,
        [&](auto& runner) {
            runner.sweep(sweeps, stats);
            runner.require_possible();
        },
        true);
    stats[0] = stats[1] + table.model().expected_log_joint(table.kind(), table.params(), stats);
}

void hmm_score(const HmmTable& table, const HmmRows& rows, const Sequences& sequences,
               int n_threads, const Poll& poll, double* out) {
    HmmPass pass;
    pass.n_threads = n_threads;
    with_runner(table, rows, sequences, pass, poll, [&](auto& runner) {
        runner.score();
        std::copy(runner.log_normalisers().begin(), runner.log_normalisers().end(), out);
    });
}

void hmm_decode(const HmmTable& table, const HmmRows& rows, const Sequences& sequences,
                int n_threads, const Poll& poll, std::int32_t* labels, double* log_joint) {
    HmmPass pass;
    pass.n_threads = n_threads;
    with_runner(table, rows, sequences, pass, poll, [&](auto& runner) {
        runner.decode(labels);
        runner.require_possible();
        std::copy(runner.log_normalisers().begin(), runner.log_normalisers().end(), log_joint);
    });
}

void hmm_posteriors(const HmmTable& table, const HmmRows& rows, const Sequences& sequences,
                    int n_threads, const Poll& poll, double* out) {
    HmmPass pass;
    pass.n_threads = n_threads;
    with_runner(table, rows, sequences, pass, poll, [&](auto& runner) {
        runner.exact(nullptr, out);
        runner.require_possible();
    });
}

void hmm_scores(const HmmTable& table, const HmmRows& rows, const Sequences& sequences,
                int n_threads, const Poll& poll, double* out) {
    HmmPass pass;
    pass.n_threads = n_threads;
    with_runner(table, rows, sequences, pass, poll, [&](auto& runner) { runner.scores(out); });
}

}  // namespace vemfast::models
