// Passes over the sequences of a hidden Markov model.
//
// Short sequences are joined into leaves of some thousand steps; one of middle length is a leaf of
// its own, whose forward and backward vectors fit into memory that does not depend on it. A long
// one is cut into chunks: first the forward and the backward recursion run over the whole of it,
// side by side, and leave a vector at the end of each chunk; then the chunks are leaves. Nothing
// depends on the number of threads.
#include <algorithm>
#include <limits>
#include <numeric>

#include "exec/parallel.hpp"
#include "models/hmm_log.hpp"
#include "models/hmm_steps.hpp"
#include "models/row_pass.hpp"
#include "vemfast/random.hpp"
#include "vemfast/require.hpp"

namespace vemfast::models {

using detail::ChainOutcome;
using detail::ChainPart;
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

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

// States of a sequence in a pass: its numbers left the range of the scaled recursion, or it has no
// weight and nobody looks at it.
constexpr std::uint8_t kFailed = 1;
constexpr std::uint8_t kLeftOut = 2;

std::size_t longest(const std::vector<ChainLeaf>& leaves) {
    std::size_t most = 1;
    for (const ChainLeaf& leaf : leaves)
        most = std::max(most, leaf.n_steps);
    return most;
}

// Likelihoods of long sequences up to this size are kept instead of made three times; and rows of
// best paths beyond it are made chunk by chunk.
constexpr std::size_t kKeptBytes = std::size_t{48} << 20;

// The passes over one family and precision.
template <class StepsOf>
class Runner {
  public:
    Runner(const HmmTable& table, const HmmRows& rows, const Sequences& sequences,
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

    // Statistics of the exact posterior into `stats` (or, if null, posteriors into `posteriors`,
    // or nothing but the log normalisers).
    void exact(double* stats, double* posteriors) {
        prepare_long();
        std::vector<std::uint8_t> late(plan_.leaves.size());
        do {
            std::fill(late.begin(), late.end(), 0);
            const auto leaf = [&](std::int64_t index, int slot, double* out) {
                const auto i = static_cast<std::size_t>(index);
                late[i] = exact_leaf(plan_.leaves[i], slot, out, posteriors) ? 0 : 1;
            };
            for_leaves(leaf, stats);
            for (std::size_t i = 0; i < late.size(); ++i) {
                if (late[i] != 0)
                    failed_[plan_.leaves[i].first_sequence] = kFailed;
            }
            ++rounds_;
        } while (std::accumulate(late.begin(), late.end(), 0) > 0);
    }

    // Log normalisers.
    void score() {
        if (table_.has_zeros())  // what underflows may matter: see chain.hpp
            return exact(nullptr, nullptr);
        for_items(plan_.sequences.size(), [&](std::size_t i, int slot) {
            const ChainLeaf& leaf = plan_.sequences[i];
            filter(leaf, slot, nullptr);
            for (std::size_t s = leaf.first_sequence; s < leaf.first_sequence + leaf.n_sequences;
                 ++s) {
                if (failed_[s] == kFailed)
                    log_chain(s, slot);
            }
        });
    }

    // Best paths; log joints into log_normalisers().
    void decode(std::int32_t* labels) {
        for_items(plan_.sequences.size(), [&](std::size_t i, int slot) {
            const ChainLeaf& leaf = plan_.sequences[i];
            if (!is_long(i))
                call_decode(part_of(leaf), -1, slot, labels, nullptr);
            else
                decode_long(leaf, slot, labels);
            for (std::size_t s = leaf.first_sequence; s < leaf.first_sequence + leaf.n_sequences;
                 ++s) {
                if (!(log_normaliser_[s] > kMinusInfinity) && failed_[s] != kLeftOut)
                    log_chain(s, slot);
            }
        });
    }

    // Drawn paths.
    void draw(std::int32_t* labels) {
        for_items(plan_.sequences.size(), [&](std::size_t i, int slot) {
            const ChainLeaf& leaf = plan_.sequences[i];
            if (!is_long(i))
                call_draw(part_of(leaf), -1, slot, labels);
            else
                draw_long(leaf, slot, labels);
            for (std::size_t s = leaf.first_sequence; s < leaf.first_sequence + leaf.n_sequences;
                 ++s) {
                if (failed_[s] != kFailed)
                    continue;
                const LogChain chain = log_chain(s, slot);
                if (impossible_[s] >= 0)
                    continue;
                const std::size_t first = first_of(s);
                std::vector<double> uniforms(length_of(s));
                for (std::size_t t = 0; t < uniforms.size(); ++t)
                    uniforms[t] =
                        random::uniform(pass_.seed, pass_.iteration, sequences_.offset + first + t,
                                        random::kRowStream);
                chain.draw(uniforms.data(), labels + first);
            }
        });
        for (std::uint8_t& failed : failed_)
            failed = failed == kLeftOut ? kLeftOut : 0;
    }

    // The factorised rule.
    void sweep(const detail::ChainSweeps& sweeps, double* stats) {
        const auto leaf = [&](std::int64_t index, int slot, double* out) {
            const ChainLeaf& own = plan_.sequences[static_cast<std::size_t>(index)];
            const std::size_t s = own.first_sequence;
            const ChainOutcome outcome{nullptr, &failed_[s], nullptr};
            entry_.sweep(table_.chain(), of_.steps, sizes_, part_of(own), sequences_.weights,
                         sweeps, outcome, workspaces_.of(slot), out);
            for (std::size_t i = s; i < s + own.n_sequences; ++i) {
                if (failed_[i] == kFailed)
                    log_chain(i, slot);
            }
        };
        exec::map_reduce(static_cast<std::int64_t>(plan_.sequences.size()),
                         static_cast<std::int64_t>(table_.model().stats_size()), pass_.n_threads,
                         poll_, leaf, stats);
    }

    // Statistics of labels.
    void count(const std::int32_t* labels, double* stats) {
        const auto leaf = [&](std::int64_t index, int slot, double* out) {
            const ChainLeaf& own = plan_.leaves[static_cast<std::size_t>(index)];
            const ChainOutcome outcome{nullptr, &failed_[own.first_sequence], nullptr};
            entry_.count(table_.chain(), of_.steps, sizes_, part_of(own), sequences_.weights,
                         outcome, labels, workspaces_.of(slot), out);
            add_bounds(own, out);
        };
        for_leaves(leaf, stats);
    }

    void scores(double* out) {
        for_items(plan_.leaves.size(), [&](std::size_t i, int slot) {
            const ChainPart part = part_of(plan_.leaves[i]);
            entry_.scores(table_.chain(), of_.steps, sizes_, part, workspaces_.of(slot),
                          out + part.first * table_.n_states());
        });
    }

    const std::vector<double>& log_normalisers() const { return log_normaliser_; }

    void require_possible() const {
        for (std::size_t s = 0; s < sequences_.n; ++s)
            require(impossible_[s] < 0, "sequence ", s, " impossible from t=", impossible_[s],
                    ": no path through the states that the start and transition probabilities "
                    "allow can have made it");
    }

  private:
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

    // A long sequence: vectors at the ends of its chunks, and likelihoods that are kept.
    struct LongState {
        std::vector<double> forward, backward;
        double* kept = nullptr;
        double* shift = nullptr;
    };

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

    // ---- long sequences --------------------------------------------------------------------

    // Both recursions over each long sequence, side by side.
    void prepare_long() {
        const std::size_t n = plan_.long_ones.size();
        long_.resize(n);
        if (n == 0)
            return;
        keep_likelihoods();
        std::vector<std::uint8_t> broken(n, 0);
        for_items(2 * n, [&](std::size_t item, int slot) {
            const std::size_t i = item / 2;
            const ChainLeaf& leaf = plan_.sequences[plan_.long_ones[i]];
            LongState& state = long_[i];
            const std::size_t size = plan_.n_chunks(leaf) * ld_;
            ChainPart part = part_of(leaf);
            part.kept = state.kept;
            part.kept_shift = state.shift;
            const std::size_t s = leaf.first_sequence;
            if (item % 2 == 0) {
                state.forward.resize(size);
                const ChainOutcome outcome{&log_normaliser_[s], &failed_[s], nullptr};
                entry_.filter(table_.chain(), of_.steps, sizes_, part, outcome, plan_.shape.chunk,
                              workspaces_.of(slot), state.forward.data());
            } else {
                state.backward.resize(size);
                const ChainOutcome outcome{nullptr, &broken[i], nullptr};
                entry_.smooth(table_.chain(), of_.steps, sizes_, part, outcome, plan_.shape.chunk,
                              workspaces_.of(slot), state.backward.data());
            }
        });
        for (std::size_t i = 0; i < n; ++i) {
            const std::size_t s = plan_.sequences[plan_.long_ones[i]].first_sequence;
            if (broken[i] != 0 && failed_[s] == 0)
                failed_[s] = kFailed;
        }
    }

    void keep_likelihoods() {
        std::size_t steps = 0;
        for (const std::size_t i : plan_.long_ones)
            steps += plan_.sequences[i].n_steps;
        if (steps * ld_ * sizeof(double) > kKeptBytes)
            return;
        kept_ = exec::allocate(steps * (ld_ + 1) * sizeof(double));
        double* likelihoods = static_cast<double*>(kept_.get());
        double* shift = likelihoods + steps * ld_;
        std::vector<std::pair<std::size_t, std::size_t>> chunks;
        for (std::size_t i = 0; i < long_.size(); ++i) {
            const ChainLeaf& leaf = plan_.sequences[plan_.long_ones[i]];
            long_[i].kept = likelihoods;
            long_[i].shift = shift;
            likelihoods += leaf.n_steps * ld_;
            shift += leaf.n_steps;
            for (std::size_t c = 0; c < plan_.n_chunks(leaf); ++c)
                chunks.emplace_back(i, c);
        }
        for_items(chunks.size(), [&](std::size_t item, int slot) {
            const auto [i, c] = chunks[item];
            const std::size_t first = c * plan_.shape.chunk;
            const ChainLeaf leaf = plan_.chunk_of(plan_.sequences[plan_.long_ones[i]], c);
            entry_.keep(table_.chain(), of_.steps, sizes_, part_of(leaf), workspaces_.of(slot),
                        long_[i].kept + first * ld_, long_[i].shift + first);
        });
    }

    LongState& long_of(const ChainLeaf& leaf) {
        for (std::size_t i = 0; i < long_.size(); ++i) {
            if (plan_.sequences[plan_.long_ones[i]].first_sequence == leaf.first_sequence)
                return long_[i];
        }
        return long_.front();  // never
    }

    void filter(const ChainLeaf& leaf, int slot, double* checkpoints) {
        const std::size_t s = leaf.first_sequence;
        const ChainOutcome outcome{&log_normaliser_[s], &failed_[s], nullptr};
        entry_.filter(table_.chain(), of_.steps, sizes_, part_of(leaf), outcome, plan_.shape.chunk,
                      workspaces_.of(slot), checkpoints);
    }

    void call_decode(const ChainPart& part, std::int32_t next, int slot, std::int32_t* labels,
                     double* last) {
        entry_.decode(table_.chain(), of_.steps, sizes_, part, next, workspaces_.of(slot),
                      &log_normaliser_[part.first_sequence], labels, last);
    }

    void decode_long(const ChainLeaf& leaf, int slot, std::int32_t* labels) {
        const std::size_t size = (leaf.n_steps + 1) * ld_ * sizeof(double);
        if (size <= kKeptBytes) {
            const exec::Memory memory = exec::allocate(size);
            ChainPart part = part_of(leaf);
            part.kept = static_cast<double*>(memory.get());
            return call_decode(part, -1, slot, labels, nullptr);
        }
        const std::size_t n = plan_.n_chunks(leaf);
        std::vector<double> rows(n * ld_);
        for (std::size_t c = 0; c < n; ++c)
            call_decode(chunk_part(plan_.chunk_of(leaf, c), rows.data(), nullptr), -1, slot,
                        nullptr, &rows[c * ld_]);
        for (std::size_t c = n; c-- > 0;) {
            const ChainLeaf chunk = plan_.chunk_of(leaf, c);
            const std::int32_t next = c + 1 == n ? -1 : labels[chunk.first + chunk.n_steps];
            call_decode(chunk_part(chunk, rows.data(), nullptr), next, slot, labels, nullptr);
        }
    }

    void call_draw(const ChainPart& part, std::int32_t next, int slot, std::int32_t* labels) {
        const std::size_t s = part.first_sequence;
        const ChainOutcome outcome{&log_normaliser_[s], &failed_[s], nullptr};
        entry_.draw(table_.chain(), of_.steps, sizes_, part, next, pass_.seed, pass_.iteration,
                    sequences_.offset, outcome, workspaces_.of(slot), labels);
    }

    void draw_long(const ChainLeaf& leaf, int slot, std::int32_t* labels) {
        const std::size_t n = plan_.n_chunks(leaf);
        std::vector<double> rows(n * ld_);
        filter(leaf, slot, rows.data());
        for (std::size_t c = n; c-- > 0 && failed_[leaf.first_sequence] == 0;) {
            const ChainLeaf chunk = plan_.chunk_of(leaf, c);
            const std::int32_t next = c + 1 == n ? -1 : labels[chunk.first + chunk.n_steps];
            call_draw(chunk_part(chunk, rows.data(), nullptr), next, slot, labels);
        }
    }

    // ---- leaves ----------------------------------------------------------------------------

    // False: the long sequence of this chunk is to be done again in logarithms.
    bool exact_leaf(const ChainLeaf& leaf, int slot, double* stats, double* posteriors) {
        const std::size_t s = leaf.first_sequence;
        if (leaf.is_chunk) {
            if (failed_[s] == 0) {
                LongState& state = long_of(leaf);
                ChainPart part = chunk_part(leaf, state.forward.data(), state.backward.data());
                // Likelihoods that are kept are used up; a second round makes them again.
                if (state.kept != nullptr && rounds_ == 0) {
                    const std::size_t first = leaf.chunk * plan_.shape.chunk;
                    part.kept = state.kept + first * ld_;
                    part.kept_shift = state.shift + first;
                }
                double unused = 0;
                std::uint8_t failed = 0;
                const ChainOutcome outcome{&unused, &failed, posteriors};
                if (!call_leaf(part, outcome, slot, stats) || failed != 0)
                    return false;
            } else if (leaf.chunk == 0 && failed_[s] == kFailed) {
                log_statistics(s, slot, stats, posteriors);
            }
            if (leaf.chunk == 0)
                add_bounds(leaf, stats);
            return true;
        }
        const ChainOutcome outcome{&log_normaliser_[s], &failed_[s], posteriors};
        while (!call_leaf(part_of(leaf), outcome, slot, stats)) {
            if (stats != nullptr)
                std::fill_n(stats, table_.model().stats_size(), 0.0);
        }
        for (std::size_t i = s; i < s + leaf.n_sequences; ++i) {
            if (failed_[i] == kFailed)
                log_statistics(i, slot, stats, posteriors);
        }
        add_bounds(leaf, stats);
        return true;
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
        ChainPart part = part_of({first_of(s), length_of(s), s, 1});
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
    std::vector<LongState> long_;
    exec::Memory kept_;
    int rounds_ = 0;
};

// Calls run with the runner of the family and precision.
template <class Run>
void with_runner(const HmmTable& table, const HmmRows& rows, const Sequences& sequences,
                 const HmmPass& pass, const Poll& poll, Run run, bool whole = false) {
    if (table.gaussian() != nullptr) {
        if (rows.is_float && !table.gaussian()->needs_double()) {
            Runner<GaussianStepsOf<float>> runner(table, rows, sequences, pass, poll, whole);
            run(runner);
        } else {
            Runner<GaussianStepsOf<double>> runner(table, rows, sequences, pass, poll, whole);
            run(runner);
        }
    } else if (rows.is_float) {
        Runner<IndexedStepsOf<float>> runner(table, rows, sequences, pass, poll, whole);
        run(runner);
    } else {
        Runner<IndexedStepsOf<double>> runner(table, rows, sequences, pass, poll, whole);
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
