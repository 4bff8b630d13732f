// The passes of a hidden Markov model: see hmm_pass.cpp.
#pragma once

#include <numeric>

#include "models/hmm_leaves.hpp"
#include "vemfast/random.hpp"

namespace vemfast::models {

// Likelihoods of long sequences up to this size are kept instead of made three times; and rows of
// best paths beyond it are made chunk by chunk.
inline constexpr std::size_t kKeptBytes = std::size_t{48} << 20;

template <class StepsOf>
class HmmRunner : public HmmLeaves<StepsOf> {
    using Base = HmmLeaves<StepsOf>;
    using typename Base::ChainOutcome;
    using typename Base::ChainPart;

  public:
    using Base::Base;

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
        add_shares();
    }

    // Log normalisers.
    void score() {
        if (table_.has_zeros())  // what underflows may matter: see chain.hpp
            return exact(nullptr, nullptr);
        join_long(Wanted::forward);
        for_items(plan_.leaves.size(), [&](std::size_t i, int slot) {
            const ChainLeaf& leaf = plan_.leaves[i];
            if (leaf.is_chunk && long_of(leaf).joined)
                return score_chunk(leaf, slot);
            if (leaf.chunk > 0)
                return;
            filter(whole_of(leaf), slot, nullptr);
            const std::size_t end = leaf.first_sequence + leaf.n_sequences;
            for (std::size_t s = leaf.first_sequence; s < end; ++s) {
                if (failed_[s] == kFailed)
                    log_chain(s, slot);
            }
        });
        for (const LongState& state : long_) {
            if (state.joined && !all_near(state)) {
                failed_[state.sequence] = kFailed;
                log_chain(state.sequence, 0);
            }
        }
        add_shares();
    }

    // Best paths; log joints into log_normalisers().
    void decode(std::int32_t* labels) {
        join_long(Wanted::best);
        for_items(plan_.leaves.size(), [&](std::size_t i, int slot) {
            const ChainLeaf& leaf = plan_.leaves[i];
            if (leaf.is_chunk && long_of(leaf).joined)
                decode_chunk(leaf, slot, labels);
        });
        for_items(plan_.sequences.size(), [&](std::size_t i, int slot) {
            const ChainLeaf& leaf = plan_.sequences[i];
            if (!is_long(i))
                call_decode(part_of(leaf), -1, slot, labels, nullptr);
            else if (!join_paths(long_of(leaf), slot, labels))
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
                call_draw(part_of(leaf), -1, slot, &log_normaliser_[leaf.first_sequence], labels);
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

  private:
    using Base::add_bounds;
    using Base::call_leaf;
    using Base::chunk_part;
    using Base::entry_;
    using Base::failed_;
    using Base::filter;
    using Base::first_of;
    using Base::for_items;
    using Base::for_leaves;
    using Base::impossible_;
    using Base::is_long;
    using Base::ld_;
    using Base::length_of;
    using Base::log_chain;
    using Base::log_normaliser_;
    using Base::log_statistics;
    using Base::of_;
    using Base::part_of;
    using Base::pass_;
    using Base::plan_;
    using Base::poll_;
    using Base::sequences_;
    using Base::sizes_;
    using Base::table_;
    using Base::weight_of;
    using Base::workspaces_;

    // ---- long sequences --------------------------------------------------------------------

    // A long sequence: vectors at the ends of its chunks (rows of best paths in `forward`), and
    // either what each chunk adds to the log normaliser, or likelihoods that are kept.
    struct LongState {
        std::size_t sequence = 0;
        bool joined = false;
        std::vector<double> forward, backward, shares;
        std::vector<std::uint8_t> apart;  // of the chunks
        double* kept = nullptr;
        double* shift = nullptr;
    };

    enum class Wanted { forward, both, best };

    const ChainLeaf& whole_of(const LongState& state) const {
        return plan_.sequences[plan_.long_ones[static_cast<std::size_t>(&state - long_.data())]];
    }

    // What is at the ends of the chunks, from the steps near them; a sequence where that does not
    // tell is not `joined`.
    void join_long(Wanted wanted) {
        const std::size_t n = plan_.long_ones.size();
        long_.resize(n);
        const bool possible = table_.n_states() <= detail::kJoinedStates && !table_.has_zeros();
        for (std::size_t i = 0; i < n; ++i) {
            LongState& state = long_[i];
            const ChainLeaf& leaf = whole_of(state);
            const std::size_t chunks = plan_.n_chunks(leaf);
            state.sequence = leaf.first_sequence;
            state.joined = possible && failed_[state.sequence] == 0;
            state.forward.resize(chunks * ld_);
            state.backward.resize(wanted == Wanted::both ? chunks * ld_ : 0);
            state.shares.resize(chunks);
            state.apart.assign(chunks, 0);
        }
        const auto look = [&](std::size_t i, std::size_t c, int slot) {
            LongState& state = long_[i];
            const ChainPart part = part_of(whole_of(state));
            const std::size_t at = (c + 1) * plan_.shape.chunk;
            double* forward = &state.forward[c * ld_];
            void* memory = workspaces_.of(slot);
            bool found = false;
            if (wanted == Wanted::best)
                found =
                    entry_.join_best(table_.chain(), of_.steps, sizes_, part, at, memory, forward);
            else
                found = entry_.join(table_.chain(), of_.steps, sizes_, part, at, memory, forward,
                                    wanted == Wanted::both ? &state.backward[c * ld_] : nullptr);
            state.apart[c] = found ? 0 : 1;
        };
        // Those in the middle first: most chains that do not mix cost one look.
        for_items(n, [&](std::size_t i, int slot) {
            if (long_[i].joined)
                look(i, plan_.n_chunks(whole_of(long_[i])) / 2 - 1, slot);
        });
        std::vector<std::pair<std::size_t, std::size_t>> ends;
        for (std::size_t i = 0; i < n; ++i) {
            const std::size_t chunks = plan_.n_chunks(whole_of(long_[i]));
            const bool goes_on = long_[i].joined && all_near(long_[i]);
            for (std::size_t c = 0; goes_on && c + 1 < chunks; ++c) {
                if (c != chunks / 2 - 1)
                    ends.emplace_back(i, c);
            }
        }
        for_items(ends.size(), [&](std::size_t item, int slot) {
            look(ends[item].first, ends[item].second, slot);
        });
        for (LongState& state : long_)
            state.joined = state.joined && all_near(state);
    }

    static bool all_near(const LongState& state) {
        return std::accumulate(state.apart.begin(), state.apart.end(), 0) == 0;
    }

    // Log normalisers of the sequences whose chunks have them in shares.
    void add_shares() {
        for (const LongState& state : long_) {
            if (state.joined && failed_[state.sequence] == 0)
                log_normaliser_[state.sequence] =
                    std::accumulate(state.shares.begin(), state.shares.end(), 0.0);
        }
    }

    // Where a long sequence could not be joined: both recursions over it, side by side.
    void prepare_long() {
        join_long(Wanted::both);
        std::vector<std::size_t> apart;
        for (std::size_t i = 0; i < long_.size(); ++i) {
            if (!long_[i].joined)
                apart.push_back(i);
        }
        if (apart.empty())
            return;
        keep_likelihoods(apart);
        std::vector<std::uint8_t> broken(long_.size(), 0);
        for_items(2 * apart.size(), [&](std::size_t item, int slot) {
            const std::size_t i = apart[item / 2];
            LongState& state = long_[i];
            const ChainLeaf& leaf = whole_of(state);
            ChainPart part = part_of(leaf);
            part.kept = state.kept;
            part.kept_shift = state.shift;
            const std::size_t s = leaf.first_sequence;
            if (item % 2 == 0) {
                const ChainOutcome outcome{&log_normaliser_[s], &failed_[s], nullptr};
                entry_.filter(table_.chain(), of_.steps, sizes_, part, outcome, plan_.shape.chunk,
                              workspaces_.of(slot), state.forward.data());
            } else {
                const ChainOutcome outcome{nullptr, &broken[i], nullptr};
                entry_.smooth(table_.chain(), of_.steps, sizes_, part, outcome, plan_.shape.chunk,
                              workspaces_.of(slot), state.backward.data());
            }
        });
        for (const std::size_t i : apart) {
            std::uint8_t& failed = failed_[long_[i].sequence];
            if (broken[i] != 0 && failed == 0)
                failed = kFailed;
        }
    }

    void keep_likelihoods(const std::vector<std::size_t>& apart) {
        std::size_t steps = 0;
        for (const std::size_t i : apart)
            steps += whole_of(long_[i]).n_steps;
        if (steps * ld_ * sizeof(double) > kKeptBytes)
            return;
        kept_ = exec::allocate(steps * (ld_ + 1) * sizeof(double));
        double* likelihoods = static_cast<double*>(kept_.get());
        double* shift = likelihoods + steps * ld_;
        std::vector<std::pair<std::size_t, std::size_t>> chunks;
        for (const std::size_t i : apart) {
            const ChainLeaf& leaf = whole_of(long_[i]);
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
            const ChainLeaf leaf = plan_.chunk_of(whole_of(long_[i]), c);
            entry_.keep(table_.chain(), of_.steps, sizes_, part_of(leaf), workspaces_.of(slot),
                        long_[i].kept + first * ld_, long_[i].shift + first);
        });
    }

    LongState& long_of(const ChainLeaf& leaf) {
        for (LongState& state : long_) {
            if (state.sequence == leaf.first_sequence)
                return state;
        }
        return long_.front();  // never
    }

    // A whole sequence where only its first chunk is at hand.
    ChainLeaf whole_of(const ChainLeaf& leaf) {
        return leaf.is_chunk ? whole_of(long_of(leaf)) : leaf;
    }

    void score_chunk(const ChainLeaf& leaf, int slot) {
        LongState& state = long_of(leaf);
        const ChainOutcome outcome{&state.shares[leaf.chunk], &state.apart[leaf.chunk], nullptr};
        entry_.filter(table_.chain(), of_.steps, sizes_,
                      chunk_part(leaf, state.forward.data(), nullptr), outcome, plan_.shape.chunk,
                      workspaces_.of(slot), nullptr);
    }

    void decode_chunk(const ChainLeaf& leaf, int slot, std::int32_t* labels) {
        LongState& state = long_of(leaf);
        const auto end = static_cast<std::size_t>(plan_.ends[leaf.first_sequence]);
        const bool found = entry_.decode_chunk(
            table_.chain(), of_.steps, sizes_, chunk_part(leaf, state.forward.data(), nullptr),
            end - leaf.first - leaf.n_steps, workspaces_.of(slot), &state.shares[leaf.chunk],
            labels);
        state.apart[leaf.chunk] = found ? 0 : 1;
    }

    // The log joint of a path that is there chunk by chunk; false if it is not. A chunk whose paths
    // have not met behind it goes on from the first state of the next one.
    bool join_paths(LongState& state, int slot, std::int32_t* labels) {
        if (!state.joined)
            return false;
        const ChainLeaf& leaf = whole_of(state);
        std::vector<double> last(ld_);
        for (std::size_t c = plan_.n_chunks(leaf); c-- > 0;) {
            if (state.apart[c] == 0)
                continue;
            const ChainLeaf chunk = plan_.chunk_of(leaf, c);
            const std::int32_t* next = labels + chunk.first + chunk.n_steps;
            call_decode(chunk_part(chunk, state.forward.data(), nullptr), *next, slot, labels,
                        last.data());
            state.shares[c] = last[static_cast<std::size_t>(next[-1])];
        }
        double sum = state.shares[0];
        for (std::size_t c = 1; c < plan_.n_chunks(leaf); ++c) {
            const auto before =
                static_cast<std::size_t>(labels[leaf.first + c * plan_.shape.chunk - 1]);
            sum += state.shares[c] - state.forward[(c - 1) * ld_ + before];
        }
        log_normaliser_[state.sequence] = sum;
        return true;
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

    void call_draw(const ChainPart& part, std::int32_t next, int slot, double* log_normaliser,
                   std::int32_t* labels) {
        const ChainOutcome outcome{log_normaliser, &failed_[part.first_sequence], nullptr};
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
            double of_chunk = 0;
            call_draw(chunk_part(chunk, rows.data(), nullptr), next, slot, &of_chunk, labels);
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
                double& share = state.shares[leaf.chunk];
                std::uint8_t failed = 0;
                const ChainOutcome outcome{&share, &failed, posteriors};
                if (!call_leaf(part, outcome, slot, stats) || failed != 0)
                    return false;
                if (state.joined) {
                    if (stats != nullptr)
                        stats[0] += weight_of(s) * share;
                    return true;
                }
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

    std::vector<LongState> long_;
    exec::Memory kept_;
    int rounds_ = 0;
};

}  // namespace vemfast::models
