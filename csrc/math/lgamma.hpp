// log Gamma(x) for vectors of positive numbers.
//
// Arguments below 16 are shifted up by N (8 for double, 4 for float): with P = prod_{i < N} (x + i)
// and w = x + N - 1/2, Stirling's series about w + 1/2 gives
//     log Gamma(x) = w (log w - 1) + log(2 pi)/2 + p(t)/w - log P,  t = 1/w^2,
// p a minimax polynomial (coefficients.py). Near 1 and 2 these terms cancel. Moving N log w from
// the first to the last leaves (x - 1/2)(log w - 1) - N + ... - log(P/w^N), and a power of two that
// makes up for e^-N goes into the ratio: then all terms are small there.
// Worst error 13 eps of max(1, |log Gamma|) in double, 7 in float: the relative accuracy at the
// roots 1 and 2 is poor. inf at 0 and at inf, NaN for NaN and for negative numbers.
#pragma once

#include "digamma.hpp"
#include "log.hpp"
#include "vec.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

template <class T>
struct LgammaTable;

template <>
struct LgammaTable<double> {
    static constexpr double kTail[] = {-0x1.555555555550fp-5,  0x1.3e93e93cdf685p-9,
                                       -0x1.9319256ca3fe9p-11, 0x1.359a08e3fb2b4p-11,
                                       -0x1.b4f325d69aa54p-11, 0x1.a3272c495cccp-10};
    static constexpr double kScale = 0x1p10;
    static constexpr double kLogScale = 0x1.bb9d3beb8c86bp2;
    static constexpr double kTiny = 0x1p-900;  // log Gamma(x) = -log x far below
};

template <>
struct LgammaTable<float> {
    static constexpr float kTail[] = {-0x1.555546p-5f, 0x1.3e33e2p-9f, -0x1.6c7bep-11f};
    static constexpr float kScale = 0x1p4f;
    static constexpr float kLogScale = 0x1.62e430p1f;
    static constexpr float kTiny = 0x1p-90f;
};

inline Vec<double> shift_power(Vec<double> w) {
    const Vec<double> w2 = w * w, w4 = w2 * w2;
    return w4 * w4;
}

inline Vec<float> shift_power(Vec<float> w) {
    const Vec<float> w2 = w * w;
    return w2 * w2;
}

template <class T>
inline Vec<T> vlgamma(Vec<T> x) {
    using Table = LgammaTable<T>;
    constexpr T kShift = DigammaTable<T>::kShift;
    constexpr T kHalfLogTwoPi = T(0x1.d67f1c864beb5p-1);
    constexpr T kSmallConstant = T(0x1.d67f1c864beb5p-1 - kShift + Table::kLogScale);
    const auto is_small = x < splat<T>(16);
    const auto is_tiny = x < splat<T>(Table::kTiny);
    const Vec<T> factor = x - splat<T>(T(0.5));
    const Vec<T> w = factor + select<T>(is_small, splat<T>(kShift), splat<T>(0));
    const Vec<T> constant = select<T>(is_small, splat<T>(kSmallConstant), splat<T>(kHalfLogTwoPi));
    const Vec<T> inverse = splat<T>(1) / w;
    const Vec<T> t = inverse * inverse;
    const Vec<T> series = inverse * polynomial<T>(t, t * t, Table::kTail);
    const Vec<T> log_w = log_normal<T>(w, splat<T>(0));
    const Vec<T> stirling = mul_add<T>(factor, log_w - splat<T>(1), constant + series);
    const Vec<T> near = min<T>(splat<T>(16), x);
    const Vec<T> rising = splat<T>(Table::kScale) * near * rising_product(near, near * near);
    Vec<T> ratio = select<T>(is_small, rising / shift_power(w), splat<T>(1));
    ratio = select<T>(is_tiny, x, ratio);
    return for_nonnegative<T>(x, select<T>(is_tiny, splat<T>(0), stirling) - vlog<T>(ratio));
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
