// The passes of a hidden Markov chain over one part of the steps: forward and backward with the
// statistics, the log normaliser alone, the best or a drawn path, the statistics of given labels.
//
// A part is whole sequences, or a piece of a long one whose forward vector before and backward
// vector at the end are known. It is worked through in tiles of steps: score and exponentiate one,
// run the forward recursion over it; then backwards, tile by tile, the backward recursion, the
// pairs, the emissions' statistics. Tiles run over the ends of sequences.
#pragma once

#include "../latents/chain_path.hpp"
#include "../latents/chain_sweep.hpp"
#include "chain_emission.hpp"
#include "chain_recursions.hpp"
#include "chain_runs.hpp"
#include "chain_space.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

template <class Emission>
class ChainPass : ChainSpace, ChainRuns {
  public:
    using Steps = typename Emission::Steps;

    // Bytes of the workspace of one thread.
    static std::size_t bytes(const ChainTables& chain, const Steps& steps,
                             const ChainSizes& sizes) {
        return ChainPass(chain, steps, sizes, nullptr).used() + Emission::bytes(steps);
    }

    ChainPass(const ChainTables& chain, const Steps& steps, const ChainSizes& sizes, void* memory)
        : ChainSpace(chain, sizes, memory), steps_(&steps) {
        a_ = take_rows(most_);
        b_ = take(most_ * ld_);
        r_ = take(most_ + kLanes<double>);
        shift_ = take(tile_);
        w_ = take(tile_);
        g_ = take(tile_ * ld_);
        h_ = take(2 * ld_);
        pairs_ = take(K_ * ld_);
    }

    // Statistics (or posteriors, with stats null) of a part. Sequences without a normal number of
    // their own are marked in `outcome`; false if that is found on the way back, when some
    // statistics may have been added already.
    bool leaf(const ChainPart& part, const double* weights, const ChainOutcome& outcome,
              double* stats) {
        Emission emission(*steps_, behind());
        part_ = part;
        forward(emission, outcome, true, nullptr, 0);
        return backward(emission, weights, outcome, stats);
    }

    // Log normalisers alone; of a chunk what it adds to that of its sequence. With `every` > 0 the
    // part is one sequence, and the vectors of the last step of each run of so many steps go to
    // `checkpoints`, ld each.
    void filter(const ChainPart& part, const ChainOutcome& outcome, std::size_t every,
                double* checkpoints) {
        Emission emission(*steps_, behind());
        part_ = part;
        forward(emission, outcome, false, checkpoints, every);
    }

    // The backward vectors of one whole sequence, at the last step of each run of `every` steps but
    // the last run; marks the sequence if there is none.
    void smooth(const ChainPart& part, const ChainOutcome& outcome, std::size_t every,
                double* checkpoints) {
        Emission emission(*steps_, behind());
        part_ = part;
        start_backward(h_);
        const std::size_t n_tiles = (part.n_steps + tile_ - 1) / tile_;
        for (std::size_t i = n_tiles; i-- > 0;) {
            const std::size_t lo = i * tile_;
            const std::size_t n = at_most(part.n_steps - lo, tile_);
            const double* b = likelihoods(emission, lo, n, b_);
            if (lo + n < part.n_steps && (lo + n) % every == 0)
                copy(h_, checkpoints + ((lo + n) / every - 1) * ld_);
            run_backward_alone(*chain_, b, n, h_);
        }
        if (!is_normal_sum(sum_states(h_, ld_)))
            outcome.failed[0] = 1;
    }

    // Likelihoods and shifts of the part's steps, to keep.
    void keep(const ChainPart& part, double* b, double* shift) {
        Emission emission(*steps_, behind());
        for (std::size_t lo = 0; lo < part.n_steps; lo += tile_) {
            const std::size_t n = at_most(part.n_steps - lo, tile_);
            emission.likelihoods(part.first + lo, n, b + lo * ld_, ld_, shift + lo);
        }
    }

    // Scores by step, n_steps x K.
    void scores(const ChainPart& part, double* out) {
        Emission emission(*steps_, behind());
        for (std::size_t lo = 0; lo < part.n_steps; lo += tile_) {
            const std::size_t n = at_most(part.n_steps - lo, tile_);
            emission.scores(part.first + lo, n, b_, ld_);
            write_rows(b_, n, out + lo * K_);
        }
    }

    // Best paths. With `part.kept` the rows of all steps lie there, behind room for one more; else
    // a piece of a sequence goes on from the row `part.forward`, and without `labels` only its last
    // row is wanted, in `last`. `next`: the state after the piece, or -1.
    void decode(const ChainPart& part, std::int32_t next, double* log_joint, std::int32_t* labels,
                double* last) {
        Emission emission(*steps_, behind());
        part_ = part;
        double* rows = part.kept != nullptr ? part.kept + ld_ : a_;
        begin_rows(rows);
        for (std::size_t lo = 0; lo < part.n_steps; lo += tile_) {
            chain_->pause();
            const std::size_t n = at_most(part.n_steps - lo, tile_);
            double* d = labels == nullptr ? rows : rows + lo * ld_;
            emission.scores(part.first + lo, n, d, ld_);
            for_runs(lo, n, [&](const Run& run) {
                run_best(*chain_, d + (run.lo - lo) * ld_, run.hi - run.lo, run.begins);
                const double* row = d + (run.hi - 1 - lo) * ld_;
                if (run.ends && log_joint != nullptr)
                    log_joint[run.sequence - part_.first_sequence] =
                        best_state(row, nullptr, ld_).value;
                if (last != nullptr && run.hi == part.n_steps)
                    copy(row, last);
            });
            if (labels == nullptr)
                copy(rows + (n - 1) * ld_, rows - ld_);
        }
        if (labels == nullptr)
            return;
        for_sequences([&](const Run& run) {
            const double* d = rows + run.lo * ld_;
            const std::size_t n = run.hi - run.lo;
            std::int32_t* to = labels + part.first + run.lo;
            if (!run.ends)
                return trace_best(*chain_, d, n, static_cast<std::size_t>(next), to);
            const std::size_t state = best_state(d + (n - 1) * ld_, nullptr, ld_).state;
            to[n - 1] = static_cast<std::int32_t>(state);
            trace_best(*chain_, d, n - 1, state, to);
        });
    }

    // Paths drawn from the posterior; `offset`: global index of step 0. `next` as above.
    void draw(const ChainPart& part, std::int32_t next, std::uint64_t seed, std::uint32_t iteration,
              std::uint64_t offset, const ChainOutcome& outcome, std::int32_t* labels) {
        Emission emission(*steps_, behind());
        part_ = part;
        forward(emission, outcome, true, nullptr, 0);
        for (std::size_t t = 0; t < part.n_steps; t += kLanes<double>)
            store<double>(r_ + t,
                          philox_uniforms(seed, iteration, offset + part.first + t, kRowStream));
        for_sequences([&](const Run& run) {
            if (outcome.failed[run.sequence - part_.first_sequence] != 0)
                return;
            const double* a = a_ + run.lo * ld_;
            const double* u = r_ + run.lo;
            std::size_t n = run.hi - run.lo;
            std::int32_t* to = labels + part.first + run.lo;
            std::size_t state = static_cast<std::size_t>(next);
            if (run.ends) {
                --n;
                state = draw_state(a + n * ld_, nullptr, K_, u[n]);
                to[n] = static_cast<std::int32_t>(state);
            }
            if (state == K_ || !trace_drawn(*chain_, a, n, state, u, to))
                outcome.failed[run.sequence - part_.first_sequence] = 1;
        });
    }

    // Statistics of a part whose steps have `labels`.
    void count(const ChainPart& part, const double* weights, const ChainOutcome& outcome,
               const std::int32_t* labels, double* stats) {
        Emission emission(*steps_, behind());
        part_ = part;
        double* starts = stats + 2;
        double* transitions = starts + K_;
        for (std::size_t lo = 0; lo < part.n_steps; lo += tile_) {
            const std::size_t n = at_most(part.n_steps - lo, tile_);
            for_runs(lo, n, [&](const Run& run) {
                const double w = weight_of(run, weights, outcome);
                const std::int32_t* z = labels + part.first;
                for (std::size_t t = run.lo; t < run.hi; ++t) {
                    w_[t - lo] = w;
                    const auto k = static_cast<std::size_t>(z[t]);
                    if (t == run.lo && run.begins)
                        starts[k] += w;
                    else
                        transitions[K_ * before(z, t) + k] += w;
                }
            });
            emission.accumulate_labels(part.first + lo, n, labels + part.first + lo, w_,
                                       emission_stats(stats));
        }
    }

    // The factorised rule over whole sequences: statistics, and the entropy of q (of missing
    // values, too) and the base measures in stats[1].
    void sweep(const ChainPart& part, const double* weights, const ChainSweeps& sweeps,
               const ChainOutcome& outcome, double* stats) {
        Emission emission(*steps_, behind());
        part_ = part;
        clear(pairs_, K_ * ld_);
        clear(a_ - ld_, ld_);
        for (std::size_t lo = 0; lo < part.n_steps; lo += tile_)
            emission.scores(part.first + lo, at_most(part.n_steps - lo, tile_), b_ + lo * ld_, ld_);
        read_rows(sweeps.before, a_);
        for_sequences([&](const Run& run) {
            double* q = a_ + run.lo * ld_;
            const std::size_t n = run.hi - run.lo;
            const bool cold = sweeps.before == nullptr;
            // What has no weight keeps its state.
            const bool idle = weights != nullptr && !(weights[run.sequence] > 0);
            const bool fine = run_sweeps(*chain_, b_ + run.lo * ld_, q, n, cold,
                                         idle ? 0 : sweeps.n_sweeps, sweeps.tolerance, h_);
            if (!fine) {
                clear(q, n * ld_);
                if (!idle)
                    outcome.failed[run.sequence - part_.first_sequence] = 1;
            }
        });
        write_rows(a_, part.n_steps, sweeps.after + part.first * K_);
        for (std::size_t lo = 0; lo < part.n_steps; lo += tile_) {
            const std::size_t n = at_most(part.n_steps - lo, tile_);
            double* u = b_ + lo * ld_;
            for_runs(lo, n, [&](const Run& run) {
                const double w = weight_of(run, weights, outcome);
                for (std::size_t t = run.lo - lo; t < run.hi - lo; ++t) {
                    const double* q = a_ + (lo + t) * ld_;
                    w_[t] = w;
                    if (w > 0)
                        stats[1] +=
                            w * (emission.base(part_.first + lo + t) - negative_entropy(q, ld_));
                    const bool first = run.begins && t + lo == run.lo;
                    for (std::size_t k = 0; k < ld_; ++k) {
                        g_[t * ld_ + k] = w * q[k];
                        u[t * ld_ + k] = first ? 0.0 : w * q[k];
                    }
                    for (std::size_t k = 0; first && k < K_; ++k)
                        stats[2 + k] += w * q[k];
                }
            });
            add_pairs(a_ + lo * ld_ - ld_, u, K_, ld_, n, pairs_);
            stats[1] += emission.accumulate(part.first + lo, n, g_, ld_, w_, emission_stats(stats));
        }
        double* transitions = stats + 2 + K_;
        for (std::size_t i = 0; i < K_; ++i) {
            for (std::size_t j = 0; j < K_; ++j)
                transitions[i * K_ + j] += pairs_[i * ld_ + j];
        }
    }

    // Adds the statistics of the emissions under given shares (n_steps x K), weights included.
    void add_shares(const ChainPart& part, const double* shares, const double* weights,
                    double* stats) {
        Emission emission(*steps_, behind());
        for (std::size_t lo = 0; lo < part.n_steps; lo += tile_) {
            const std::size_t n = at_most(part.n_steps - lo, tile_);
            for (std::size_t t = 0; t < n; ++t) {
                for (std::size_t k = 0; k < ld_; ++k)
                    g_[t * ld_ + k] = k < K_ ? shares[(lo + t) * K_ + k] : 0.0;
                w_[t] = weights[lo + t];
            }
            emission.accumulate(part.first + lo, n, g_, ld_, w_, emission_stats(stats));
        }
    }

  private:
    double* emission_stats(double* stats) const { return stats + K_ + K_ * K_; }

    double weight_of(const Run& run, const double* weights, const ChainOutcome& outcome) const {
        if (outcome.failed[run.sequence - part_.first_sequence] != 0)
            return 0.0;
        return weights == nullptr ? 1.0 : weights[run.sequence];
    }

    static std::size_t before(const std::int32_t* labels, std::size_t t) {
        return static_cast<std::size_t>(*(labels + t - 1));
    }

    static void clear(double* from, std::size_t count) {
        for (std::size_t i = 0; i < count; ++i)
            from[i] = 0;
    }

    void write_rows(const double* rows, std::size_t n, double* out) const {
        for (std::size_t t = 0; t < n; ++t) {
            for (std::size_t k = 0; k < K_; ++k)
                out[t * K_ + k] = rows[t * ld_ + k];
        }
    }

    // Rows of all steps of the part; zero where there are none.
    void read_rows(const double* from, double* rows) const {
        for (std::size_t t = 0; t < part_.n_steps; ++t) {
            for (std::size_t k = 0; k < ld_; ++k)
                rows[t * ld_ + k] =
                    from == nullptr || k >= K_ ? 0.0 : from[(part_.first + t) * K_ + k];
        }
    }

    void begin_rows(double* rows) {
        if (part_.forward != nullptr)
            copy(part_.forward, rows - ld_);
        else
            clear(rows - ld_, ld_);
    }

    void start_backward(double* h) const {
        for (std::size_t k = 0; k < ld_; ++k)
            h[k] = k < K_ ? 1.0 : 0.0;
    }

    double* likelihoods(Emission& emission, std::size_t lo, std::size_t n, double* room) {
        chain_->pause();
        if (part_.kept != nullptr) {
            for (std::size_t t = 0; t < n; ++t)
                shift_[t] = part_.kept_shift[lo + t];
            return part_.kept + lo * ld_;
        }
        emission.likelihoods(part_.first + lo, n, room, ld_, shift_);
        return room;
    }

    // The forward recursion; the rows a and b of all steps stay if `whole`.
    void forward(Emission& emission, const ChainOutcome& outcome, bool whole, double* checkpoints,
                 std::size_t every) {
        begin_rows(a_);
        ForwardState state;
        if (part_.forward != nullptr)
            state.sum = state.sum_before = sum_states(part_.forward, ld_);
        const double before = state.sum;
        double shift = 0;
        for (std::size_t lo = 0; lo < part_.n_steps; lo += tile_) {
            const std::size_t n = at_most(part_.n_steps - lo, tile_);
            double* b = likelihoods(emission, lo, n, whole ? b_ + lo * ld_ : b_);
            double* a = whole ? a_ + lo * ld_ : a_;
            double* r = whole ? r_ + lo : r_;
            for_runs(lo, n, [&](const Run& run) {
                const std::size_t at = run.lo - lo;
                const std::size_t count = run.hi - run.lo;
                if (run.begins) {
                    state = {};
                    shift = 0;
                }
                if (outcome.failed[run.sequence - part_.first_sequence] != 0) {
                    clear(a + at * ld_, count * ld_);
                    return;
                }
                run_forward(*chain_, b + at * ld_, a + at * ld_, r + at, count, run.begins, state);
                for (std::size_t t = at; t < at + count; ++t)
                    shift += shift_[t];
                if (!run.ends && run.hi != part_.n_steps)
                    return;
                if (!is_normal(state)) {
                    outcome.failed[run.sequence - part_.first_sequence] = 1;
                    const std::size_t from = run_of(run.sequence, 0, run.hi).lo;
                    if (whole)
                        clear(a_ + from * ld_, (run.hi - from) * ld_);
                } else {
                    constexpr double kLog2 = 0.693147180559945309417;
                    outcome.log_normaliser[run.sequence - part_.first_sequence] =
                        __builtin_log(state.sum / before) -
                        kLog2 * static_cast<double>(state.exponent) + shift;
                }
            });
            if (checkpoints != nullptr && (lo + n) % every == 0)
                copy(a + (n - 1) * ld_, checkpoints + ((lo + n) / every - 1) * ld_);
            if (!whole)
                copy(a + (n - 1) * ld_, a_ - ld_);
        }
    }

    // h so that a . h = 1 at the step whose forward vector is `a`.
    bool align(const double* a) {
        const double product = dot(a, h_, ld_);
        if (!is_normal_sum(product))
            return false;
        divide(h_, product, ld_);
        return true;
    }

    bool backward(Emission& emission, const double* weights, const ChainOutcome& outcome,
                  double* stats) {
        clear(pairs_, K_ * ld_);
        bool fine = true;
        const std::size_t n_tiles = (part_.n_steps + tile_ - 1) / tile_;
        for (std::size_t i = n_tiles; i-- > 0;) {
            const std::size_t lo = i * tile_;
            const std::size_t n = at_most(part_.n_steps - lo, tile_);
            double* b = (part_.kept != nullptr ? part_.kept : b_) + lo * ld_;
            const double* a = a_ + lo * ld_;
            for_runs_back(lo, n, [&](const Run& run) {
                const std::size_t at = run.lo - lo;
                const std::size_t count = run.hi - run.lo;
                const double w = weight_of(run, weights, outcome);
                for (std::size_t t = at; t < at + count; ++t)
                    w_[t] = w;
                if (outcome.failed[run.sequence - part_.first_sequence] != 0) {
                    clear(b + at * ld_, count * ld_);
                    clear(g_ + at * ld_, count * ld_);
                    return;
                }
                if (run.ends)
                    start_backward(h_);
                else if (run.hi == part_.n_steps)
                    copy(part_.backward, h_);
                bool normal = align(a + (at + count - 1) * ld_);
                run_backward(*chain_, a + at * ld_, b + at * ld_, r_ + run.lo, count, w, h_,
                             g_ + at * ld_);
                // Numbers that are not finite stay so.
                if (run.begins) {
                    normal = normal && is_normal_sum(sum_states(h_, ld_));
                    clear(b + at * ld_, ld_);  // no pair ends in the first step
                    for (std::size_t k = 0; stats != nullptr && k < K_; ++k)
                        stats[2 + k] += g_[at * ld_ + k];
                }
                if (!normal) {
                    outcome.failed[run.sequence - part_.first_sequence] = 1;
                    fine = false;
                }
            });
            if (!fine)
                return false;
            if (outcome.posteriors != nullptr)
                write_rows(g_, n, outcome.posteriors + (part_.first + lo) * K_);
            if (stats == nullptr)
                continue;
            add_pairs(a - ld_, b, K_, ld_, n, pairs_);
            emission.accumulate(part_.first + lo, n, g_, ld_, w_, emission_stats(stats));
        }
        double* transitions = stats == nullptr ? nullptr : stats + 2 + K_;
        for (std::size_t i = 0; transitions != nullptr && i < K_; ++i) {
            for (std::size_t j = 0; j < K_; ++j)
                transitions[i * K_ + j] += chain_->transitions[i * ld_ + j] * pairs_[i * ld_ + j];
        }
        return true;
    }

    const Steps* steps_;
    double* a_;
    double* b_;
    double* r_;
    double* shift_;
    double* w_;
    double* g_;
    double* h_;
    double* pairs_;
};

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
