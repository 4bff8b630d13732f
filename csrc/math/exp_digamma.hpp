// exp(digamma(x)) for vectors of positive numbers, with one exponential and no logarithm: the
// inner loop of latent Dirichlet allocation.
//
// With the shift of digamma.hpp, exp(psi(x)) = exp(psi(w + 1/2)) exp(-R - 1/x), and
//     exp(psi(w + 1/2)) = w (1 + t p(t)),  t = 1/w^2,  p a minimax polynomial (coefficients.py).
// The rounding error of R + 1/x is kept, because the exponential would multiply by it.
// Worst error for x >= 1: 4 eps in double, 3 in float. Below that the exponent grows like 1/x and
// the rounding errors of its parts with it; the result underflows to 0 below x = 0.0014 (double)
// and 0.0116 (float), where a caller that takes logarithms or divides must clamp. inf at inf, 0 at
// 0, NaN for NaN and for negative numbers.
#pragma once

#include "digamma.hpp"
#include "exp.hpp"
#include "vec.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

template <class T>
inline Vec<T> vexp_digamma(Vec<T> x) {
    const auto [w, sum, reciprocal] = shift_digamma<T>(x);
    const Vec<T> inverse = splat<T>(1) / w;
    const Vec<T> t = inverse * inverse;
    const Vec<T> series = polynomial<T>(t, t * t, DigammaTable<T>::kExpTail);
    const Vec<T> large = mul_add<T>(w * t, series, w);
    // Far above any exponent that leaves something; the cap keeps 1/0 out of the differences.
    const Vec<T> capped = min<T>(splat<T>(10000), reciprocal);
    const Vec<T> larger = max<T>(sum, capped);
    const Vec<T> smaller = min<T>(sum, capped);
    const Vec<T> exponent = larger + smaller;
    const Vec<T> lost = smaller - (exponent - larger);
    const Vec<T> decay = vexp_nonpositive<T>(-exponent);
    return for_nonnegative<T>(x, large * mul_add<T>(-lost, decay, decay));
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
