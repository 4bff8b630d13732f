// Functions of networks, for vectors of float: activations with their slopes, softplus and the
// logistic function. Errors are absolute, some 1e-7 of max(1, |f|): what networks in single
// precision want.
#pragma once

#include "exp.hpp"
#include "log.hpp"
#include "vec.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

struct WithSlope {
    Vec<float> value, slope;
};

inline Vec<float> magnitude(Vec<float> x) {
    return from_bits<float>(as_bits<float>(x) & splat_bits<float>(0x7fffffff));
}

// log(1 + exp(x)), and its derivative 1 / (1 + exp(-x)), from one exponential of -|x|.
inline WithSlope vsoftplus(Vec<float> x) {
    const Vec<float> one = splat<float>(1);
    const Vec<float> e = vexp_nonpositive<float>(-magnitude(x));
    const Vec<float> above = one + e;
    const Vec<float> value =
        max<float>(x, splat<float>(0)) + log_normal<float>(above, splat<float>(0));
    return {value, select<float>(x >= splat<float>(0), one, e) / above};
}

inline WithSlope vtanh(Vec<float> x) {
    const Vec<float> one = splat<float>(1);
    const Vec<float> size = magnitude(x);
    const Vec<float> e = vexp_nonpositive<float>(-(size + size));
    const Vec<float> h = (one - e) / (one + e);
    const Vec<float> value = select<float>(x >= splat<float>(0), h, -h);
    return {value, one - h * h};
}

inline WithSlope vrelu(Vec<float> x) {
    const Vec<float> zero = splat<float>(0);
    return {max<float>(x, zero), select<float>(x > zero, splat<float>(1), zero)};
}

// x Phi(x). Phi from the complementary error function of Abramowitz and Stegun 7.1.26 (1.5e-7).
inline WithSlope vgelu(Vec<float> x) {
    constexpr float kCoefficients[] = {0.0F,         0.254829592F,  -0.284496736F,
                                       1.421413741F, -1.453152027F, 1.061405429F};
    const Vec<float> one = splat<float>(1);
    const Vec<float> scaled = magnitude(x) * splat<float>(0.70710678F * 0.3275911F);
    const Vec<float> t = one / (one + scaled);
    const Vec<float> bell = vexp_nonpositive<float>(x * x * splat<float>(-0.5F));
    const Vec<float> tail = splat<float>(0.5F) * polynomial<float>(t, t * t, kCoefficients) * bell;
    const Vec<float> phi = select<float>(x >= splat<float>(0), one - tail, tail);
    return {x * phi, phi + x * bell * splat<float>(0.39894228F)};
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
