// The sequences of a part of a chain's steps, which is worked through in tiles: tiles run over the
// ends of sequences, and a long sequence over those of tiles.
#pragma once

#include "../latents/chain.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

class ChainRuns {
  protected:
    // Steps [lo, hi) of the part, of one sequence.
    struct Run {
        std::size_t sequence, lo, hi;
        bool begins, ends;  // lo is its first step, hi - 1 its last
    };

    Run run_of(std::size_t sequence, std::size_t lo, std::size_t hi) const {
        const std::size_t first = first_of(sequence);
        const auto end = static_cast<std::size_t>(part_.ends[sequence]);
        const std::size_t from = first > part_.first + lo ? first - part_.first : lo;
        const std::size_t to = end < part_.first + hi ? end - part_.first : hi;
        return {sequence, from, to, from + part_.first == first, to + part_.first == end};
    }

    // Calls body for each sequence of steps [lo, lo + n) in order. Tiles come in order.
    template <class Body>
    void for_runs(std::size_t lo, std::size_t n, Body body) {
        if (lo == 0)
            sequence_ = part_.first_sequence;
        std::size_t at = lo;
        while (at < lo + n) {
            const Run run = run_of(sequence_, at, lo + n);
            body(run);
            at = run.hi;
            if (run.ends)
                ++sequence_;
        }
    }

    // The same from the last to the first; tiles come from the last.
    template <class Body>
    void for_runs_back(std::size_t lo, std::size_t n, Body body) {
        if (lo + n == part_.n_steps)
            sequence_ = part_.first_sequence + part_.n_sequences - 1;
        std::size_t at = lo + n;
        while (at > lo) {
            const Run run = run_of(sequence_, lo, at);
            body(run);
            at = run.lo;
            if (run.begins && at + part_.first > 0)
                --sequence_;
        }
    }

    template <class Body>
    void for_sequences(Body body) {
        for (std::size_t i = 0; i < part_.n_sequences; ++i)
            body(run_of(part_.first_sequence + i, 0, part_.n_steps));
    }

    ChainPart part_;

  private:
    std::size_t first_of(std::size_t sequence) const {
        return sequence == 0 ? 0 : static_cast<std::size_t>(part_.ends[sequence - 1]);
    }

    std::size_t sequence_ = 0;  // that the next tile begins with
};

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
