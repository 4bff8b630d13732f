// digamma(x), the derivative of log Gamma, for vectors of positive numbers.
//
// Arguments below 16 are shifted up by N (8 for double, 4 for float):
//     psi(x) = psi(x + N) - R - 1/x,  R = sum_{0 < i < N} 1/(x + i).
// R = D'(x)/D(x) with D(x) = (x + 1) ... (x + N - 1), whose coefficients are positive: nothing
// cancels. 1/x stands alone because it is the largest term for small x, where inside the rational
// function it would carry the rounding errors of all the others.
// For the shifted argument w + 1/2 the series in 1/w has even powers only:
//     psi(w + 1/2) = log w + t p(t),  t = 1/w^2,  p a minimax polynomial (coefficients.py).
// Worst error 5 eps of max(1, |psi|); near the root 1.4616 the relative accuracy is poor by
// nature. digamma(0) = -inf, digamma(inf) = inf, NaN for NaN and for negative numbers.
#pragma once

#include "log.hpp"
#include "vec.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

template <class T>
struct DigammaTable;

template <>
struct DigammaTable<double> {
    static constexpr double kShift = 8;
    static constexpr double kTail[] = {0x1.5555555554c83p-5, -0x1.ddddddcac8bcfp-8,
                                       0x1.f7df46d8df681p-9, -0x1.0edc87c2f37b7p-8,
                                       0x1.e93a08e623003p-8, -0x1.139f1a6325203p-6};
    static constexpr double kExpTail[] = {0x1.5555555554c9fp-5, -0x1.a4fa4f9221259p-8,
                                          0x1.d1a1556d5f05cp-9, -0x1.0307820e2dc9ap-8,
                                          0x1.dc764fe3169c9p-8, -0x1.0ebfea8dacdbep-6};
};

template <>
struct DigammaTable<float> {
    static constexpr float kShift = 4;
    static constexpr float kTail[] = {0x1.5554aep-5f, -0x1.dc4b1ep-8f, 0x1.b0f5f8p-9f};
    static constexpr float kExpTail[] = {0x1.5554b6p-5f, -0x1.a37aep-8f, 0x1.8e0936p-9f};
};

// D(x) and its derivative, for 0 <= x <= 16.
inline Vec<double> rising_product(Vec<double> x, Vec<double> x2) {
    constexpr double kCoefficients[] = {5040, 13068, 13132, 6769, 1960, 322, 28, 1};
    return polynomial<double>(x, x2, kCoefficients);
}

inline Vec<float> rising_product(Vec<float> x, Vec<float> x2) {
    constexpr float kCoefficients[] = {6, 11, 6, 1};
    return polynomial<float>(x, x2, kCoefficients);
}

inline Vec<double> rising_slope(Vec<double> x, Vec<double> x2) {
    constexpr double kCoefficients[] = {13068, 26264, 20307, 7840, 1610, 168, 7};
    return polynomial<double>(x, x2, kCoefficients);
}

inline Vec<float> rising_slope(Vec<float> x, Vec<float> x2) {
    constexpr float kCoefficients[] = {11, 12, 3};
    return polynomial<float>(x, x2, kCoefficients);
}

// The shifted argument less a half, and what to subtract: R and 1/x, or zeros where the argument
// was large enough.
template <class T>
struct ShiftedDigamma {
    Vec<T> w;
    Vec<T> sum;
    Vec<T> reciprocal;
};

template <class T>
inline ShiftedDigamma<T> shift_digamma(Vec<T> x) {
    constexpr T kShift = DigammaTable<T>::kShift;
    const Vec<T> zero = splat<T>(0);
    const auto is_small = x < splat<T>(16);
    const Vec<T> w = x + select<T>(is_small, splat<T>(kShift - T(0.5)), splat<T>(T(-0.5)));
    const Vec<T> near = min<T>(splat<T>(16), x);
    const Vec<T> near2 = near * near;
    const Vec<T> sum = rising_slope(near, near2) / rising_product(near, near2);
    const Vec<T> reciprocal = splat<T>(1) / (x + zero);  // + 0 makes 0 of -0
    return {w, select<T>(is_small, sum, zero), select<T>(is_small, reciprocal, zero)};
}

// `value` where the function is defined: x itself at +inf, NaN for NaN and for negative x.
template <class T>
inline Vec<T> for_nonnegative(Vec<T> x, Vec<T> value) {
    const Vec<T> defined =
        select<T>(x >= splat<T>(0), value, splat<T>(static_cast<T>(__builtin_nan(""))));
    return select<T>(x == splat<T>(static_cast<T>(__builtin_inf())), x, defined);
}

template <class T>
inline Vec<T> vdigamma(Vec<T> x) {
    const auto [w, sum, reciprocal] = shift_digamma<T>(x);
    const Vec<T> inverse = splat<T>(1) / w;
    const Vec<T> t = inverse * inverse;
    const Vec<T> series = mul_add<T>(t, polynomial<T>(t, t * t, DigammaTable<T>::kTail), -sum);
    const Vec<T> large = log_normal<T>(w, splat<T>(0));
    return for_nonnegative<T>(x, (large + series) - reciprocal);
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
