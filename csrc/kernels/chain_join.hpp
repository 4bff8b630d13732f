// What is known of a long sequence at the ends of its chunks, from the steps near them alone, so
// that the chunks can be worked through side by side.
//
// Over a window of steps the forward recursion runs from each state by itself. If the chain mixes,
// all of the vectors at the end of the window are multiples of one another, to within rounding:
// then that is the direction of the forward vector there, whatever was before the window (each
// vector that the recursion could come with is a sum of those it was tried with, and a step does
// not lead directions apart). Their sizes, one a starting state, are the backward vector before the
// window, whatever follows it. The same holds for best paths in the place of sums, which meet.
//
// Nothing is assumed: what is not found within kLongestWindow steps is said to be unknown.
#pragma once

#include "../latents/chain_path.hpp"
#include "chain_emission.hpp"
#include "chain_recursions.hpp"
#include "chain_space.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

// Vectors whose ratio varies by less over the states have one direction.
constexpr double kSameDirection = 0x1p-44;

// Of logarithms, relative to their size.
constexpr double kSameShape = 0x1p-40;

// Steps behind a chunk within which best paths must have met.
constexpr std::size_t kAhead = 512;

template <class Emission>
class ChainJoin : ChainSpace {
  public:
    using Steps = typename Emission::Steps;

    static std::size_t bytes(const ChainTables& chain, const Steps& steps,
                             const ChainSizes& sizes) {
        return ChainJoin(chain, steps, sizes, nullptr).used() + Emission::bytes(steps);
    }

    ChainJoin(const ChainTables& chain, const Steps& steps, const ChainSizes& sizes, void* memory)
        : ChainSpace(chain, sizes, memory), steps_(&steps) {
        if (K_ > kJoinedStates)
            return;
        rows_ = take_rows(most_ + kAhead);
        b_ = take(kWindow * ld_);
        r_ = take(kWindow);
        shift_ = take(kWindow);
        from_ = take(K_ * ld_);
    }

    // The forward and (unless null) the backward vector of step `at` - 1 of the sequence `part`.
    bool vectors(const ChainPart& part, std::size_t at, double* forward, double* backward) {
        Emission emission(*steps_, behind());
        const bool found = look_back(at, [&](std::size_t steps) {
            begin(0.0, 1.0);
            for (std::size_t lo = at - steps; lo < at; lo += kWindow)
                advance(emission, part.first + lo, kWindow);
            return one_direction();
        });
        if (!found)
            return false;
        copy(vector_of(0), forward);
        if (backward == nullptr)
            return true;
        begin(0.0, 1.0);
        for (std::size_t lo = at; lo < part.n_steps; lo += kWindow) {
            if (lo > at && one_direction())
                break;
            if (lo - at >= kLongestWindow)
                return false;
            advance(emission, part.first + lo, at_most(part.n_steps - lo, kWindow));
        }
        if (!normal_)
            return false;
        std::int64_t least = exponents_[0];
        for (std::size_t i = 1; i < K_; ++i)
            least = exponents_[i] < least ? exponents_[i] : least;
        for (std::size_t i = 0; i < ld_; ++i)
            backward[i] = i < K_ ? sum_of(i) * power_of_two(least - exponents_[i]) : 0.0;
        return true;
    }

    // The row of best log joints of step `at` - 1 of the sequence `part`, up to a constant.
    bool best_row(const ChainPart& part, std::size_t at, double* row) {
        Emission emission(*steps_, behind());
        const bool found = look_back(at, [&](std::size_t steps) {
            begin(-__builtin_inf(), 0.0);
            for (std::size_t lo = at - steps; lo < at; lo += kWindow)
                advance_best(emission, part.first + lo);
            return one_shape();
        });
        if (!found)
            return false;
        const double top = best_state(vector_of(0), nullptr, ld_).value;
        for (std::size_t k = 0; k < ld_; ++k)
            row[k] = vector_of(0)[k] - top;
        return true;
    }

    // The best path through a chunk that goes on from the row `part.forward` (null: begins the
    // sequence), with `left` steps of the sequence behind it; `log_joint`: the chunk's last entry
    // in its rows. False if paths to it from different states have not met.
    bool decode(const ChainPart& part, std::size_t left, double* log_joint, std::int32_t* labels) {
        Emission emission(*steps_, behind());
        if (part.forward != nullptr)
            copy(part.forward, rows_ - ld_);
        const std::size_t n = part.n_steps + at_most(left, kAhead);
        for (std::size_t lo = 0; lo < n; lo += tile_) {
            const std::size_t count = at_most(n - lo, tile_);
            double* d = rows_ + lo * ld_;
            emission.scores(part.first + lo, count, d, ld_);
            run_best(*chain_, d, count, lo == 0 && part.forward == nullptr);
        }
        std::size_t t = n - 1;
        std::size_t states[kJoinedStates];  // of step t, that may be on the best path
        std::size_t among = left > kAhead ? K_ : 1;
        for (std::size_t k = 0; k < K_; ++k)
            states[k] = among > 1 ? k : best_state(rows_ + t * ld_, nullptr, ld_).state;
        for (; t >= part.n_steps; --t) {
            bool met = true;
            for (std::size_t k = 0; k < among; ++k) {
                const double* into = chain_->log_transposed + states[k] * ld_;
                states[k] = best_state(rows_ + (t - 1) * ld_, into, ld_).state;
                met = met && states[k] == states[0];
            }
            among = met ? 1 : among;
        }
        if (among > 1)
            return false;
        std::int32_t* to = labels + part.first;
        to[t] = static_cast<std::int32_t>(states[0]);
        *log_joint = rows_[t * ld_ + states[0]];
        trace_best(*chain_, rows_, t, states[0], to);
        return true;
    }

  private:
    // Tries windows before step `at`, longer and longer ones.
    template <class Try>
    static bool look_back(std::size_t at, Try attempt) {
        for (std::size_t steps = 2 * kWindow; steps <= at && steps <= kLongestWindow; steps *= 4) {
            if (attempt(steps))
                return true;
        }
        return false;
    }

    // One vector a state, `other` but for that state.
    void begin(double other, double own) {
        for (std::size_t i = 0; i < K_; ++i) {
            for (std::size_t k = 0; k < ld_; ++k)
                vector_of(i)[k] = k == i ? own : other;
            exponents_[i] = 0;
        }
        normal_ = true;
    }

    void advance(Emission& emission, std::size_t row, std::size_t n) {
        emission.likelihoods(row, n, b_, ld_, shift_);
        for (std::size_t i = 0; i < K_; ++i) {
            copy(vector_of(i), rows_ - ld_);
            ForwardState state;
            state.sum = state.sum_before = sum_of(i);
            run_forward(*chain_, b_, rows_, r_, n, false, state);
            exponents_[i] += state.exponent;
            normal_ = normal_ && is_normal(state);
            copy(rows_ + (n - 1) * ld_, vector_of(i));
        }
    }

    void advance_best(Emission& emission, std::size_t row) {
        emission.scores(row, kWindow, b_, ld_);
        for (std::size_t i = 0; i < K_; ++i) {
            copy(vector_of(i), rows_ - ld_);
            for (std::size_t k = 0; k < kWindow * ld_; ++k)
                rows_[k] = b_[k];
            run_best(*chain_, rows_, kWindow, false);
            copy(rows_ + (kWindow - 1) * ld_, vector_of(i));
        }
    }

    // Whether all vectors are multiples of the first.
    bool one_direction() const {
        const double* one = vector_of(0);
        for (std::size_t i = 1; normal_ && i < K_; ++i) {
            const double* other = vector_of(i);
            double least = 0x1p1000, most = 0;
            for (std::size_t k = 0; k < K_; ++k) {
                if ((one[k] > 0) != (other[k] > 0))
                    return false;
                const double ratio = one[k] > 0 ? other[k] / one[k] : least;
                least = ratio < least ? ratio : least;
                most = one[k] > 0 && ratio > most ? ratio : most;
            }
            if (!(most - least <= kSameDirection * most))
                return false;
        }
        return normal_;
    }

    // Whether all rows differ by constants.
    bool one_shape() const {
        const double* one = vector_of(0);
        const double top = best_state(one, nullptr, ld_).value;
        for (std::size_t i = 1; i < K_; ++i) {
            const double* other = vector_of(i);
            const double shift = best_state(other, nullptr, ld_).value - top;
            for (std::size_t k = 0; k < K_; ++k) {
                const double difference = other[k] - one[k] - shift;
                const double size = kSameShape * (1 + magnitude(one[k]) + magnitude(other[k]));
                const bool both = one[k] == -__builtin_inf() && other[k] == -__builtin_inf();
                if (!both && !(magnitude(difference) <= size && size < __builtin_inf()))
                    return false;
            }
        }
        return top > -__builtin_inf();
    }

    static double magnitude(double x) { return x < 0 ? -x : x; }

    static double power_of_two(std::int64_t exponent) {  // at most 1
        if (exponent < -1000)
            return 0;
        const std::int64_t bits = (exponent + 1023) << 52;
        double power;
        __builtin_memcpy(&power, &bits, sizeof power);
        return power;
    }

    double* vector_of(std::size_t i) { return from_ + i * ld_; }
    const double* vector_of(std::size_t i) const { return from_ + i * ld_; }
    double sum_of(std::size_t i) const { return sum_states(vector_of(i), ld_); }

    const Steps* steps_;
    double* rows_ = nullptr;
    double* b_ = nullptr;
    double* r_ = nullptr;
    double* shift_ = nullptr;
    double* from_ = nullptr;
    std::int64_t exponents_[kJoinedStates] = {};
    bool normal_ = true;
};

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
