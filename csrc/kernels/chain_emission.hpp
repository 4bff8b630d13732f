// The emissions of a chain: the families of the mixtures, whose scores and statistics go by
// component, seen step by step.
//
// An emission has `steps` (what it is told) and, for at most tile_steps steps at a time,
//   likelihoods   exp(score - shift) by step, n x ld, shift the largest score of the step
//   scores        the scores themselves, -inf where a state cannot have made the step
//   accumulate    adds the statistics under weighted shares by step, or under one label a step,
//                 and returns the entropy of missing values
// A step that no state can have made has likelihoods of zero.
#pragma once

#include "../families/gaussian_accumulate.hpp"
#include "../families/impossible.hpp"
#include "../latents/chain.hpp"
#include "../latents/mixture.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

// A likelihood below e to this power, relative to that of the step's best state, is zero: its
// products with the other numbers would be denormal.
constexpr double kFaintest = -690;

// exp(below), below <= 0. In double also for scores in float, whose exponentials would be zero from
// a hundred nats below the best state on, where a path may still have to go.
inline Vec<double> likelihood_of(Vec<double> below) {
    return select<double>(below > splat<double>(kFaintest), vexp_nonpositive<double>(below),
                          Vec<double>{});
}

inline void as_doubles(Vec<double> v, Vec<double> (&out)[1]) {
    out[0] = v;
}
inline void as_doubles(Vec<float> v, Vec<double> (&out)[2]) {
    const auto halves = to_double(v);
    out[0] = halves.low;
    out[1] = halves.high;
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
