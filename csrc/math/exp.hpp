// exp(x) for vectors, of float and of double.
//
// x = k log 2 + r with |r| <= log(2)/2, and exp(x) = 2^k (1 + t), t = r + r^2 q(r), q a minimax
// polynomial (coefficients.py). Adding a number of 1.5 * 2^(mantissa bits) rounds x / log 2 to the
// integer k and leaves k plus the exponent's bias in the low bits of the sum, from where one shift
// makes 2^k. Worst error 0.9 ULP. NaN in, NaN out.
#pragma once

#include "vec.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

template <class T>
struct ExpTable;

template <>
struct ExpTable<double> {
    static constexpr int kMantissaBits = 52;
    static constexpr double kRound = 0x1.8p52;
    static constexpr double kBias = 1023;
    static constexpr double kPerLog2 = 0x1.71547652b82fep0;
    static constexpr double kLog2High = 0x1.62e42feep-1;  // times k exact
    static constexpr double kLog2Low = 0x1.a39ef35793c76p-33;
    static constexpr double kTail[] = {
        0x1.000000000000ap-1,  0x1.55555555554f9p-3,  0x1.55555555507f0p-5,  0x1.1111111127e88p-7,
        0x1.6c16c1844b084p-10, 0x1.a01a0129b25bdp-13, 0x1.a01999adc0097p-16, 0x1.71df263143556p-19,
        0x1.28adce79db481p-22, 0x1.ad7efa348cba5p-26};
    // k = 1025 and -1076: the product of the two factors is inf and 0.
    static constexpr double kHighest = 710.4754;
    static constexpr double kLowest = -745.8202;
    static constexpr double kLowestNormal = -709.0896;  // k = -1023: the factor 2^k is made as 0
};

template <>
struct ExpTable<float> {
    static constexpr int kMantissaBits = 23;
    static constexpr float kRound = 0x1.8p23f;
    static constexpr float kBias = 127;
    static constexpr float kPerLog2 = 0x1.715476p0f;
    static constexpr float kLog2High = 0x1.62e4p-1f;  // times k exact
    static constexpr float kLog2Low = 0x1.7f7d1cp-20f;
    static constexpr float kTail[] = {0x1.fffffcp-2f, 0x1.555490p-3f, 0x1.5558f4p-5f,
                                      0x1.123a6cp-7f, 0x1.6a2396p-10f};
    static constexpr float kHighest = 89.4159f;        // k = 129
    static constexpr float kLowest = -104.6664f;       // k = -151
    static constexpr float kLowestNormal = -88.0297f;  // k = -127
};

// exp(x). Exactly 0 at -inf and below the smallest subnormal, +inf above the largest number, with
// 2^k in two factors so that the last binade is kept. Subnormal results are gradual.
template <class T>
inline Vec<T> vexp(Vec<T> x) {
    using Table = ExpTable<T>;
    x = max<T>(splat<T>(Table::kLowest), min<T>(splat<T>(Table::kHighest), x));
    const Vec<T> shift = splat<T>(Table::kRound + 2 * Table::kBias);
    const Vec<T> rounded = mul_add<T>(x, splat<T>(Table::kPerLog2), shift);
    const Vec<T> k = rounded - shift;
    const Vec<T> near = mul_add<T>(k, splat<T>(-Table::kLog2High), x);  // exact
    const Vec<T> r = mul_add<T>(k, splat<T>(-Table::kLog2Low), near);
    const Vec<T> lost = mul_add<T>(k, splat<T>(-Table::kLog2Low), near - r);
    const Vec<T> r2 = r * r;
    const Vec<T> t = r + mul_add<T>(r2, polynomial<T>(r, r2, Table::kTail), lost);
    // The low bits hold k + 2 bias; half of it in each factor, the odd one in the second.
    const BitVec<T> bits = as_bits<T>(rounded);
    const BitVec<T> half = bits >> 1;
    const Vec<T> first = from_bits<T>(half << Table::kMantissaBits);
    const Vec<T> second = from_bits<T>((bits - half) << Table::kMantissaBits);
    return mul_add<T>(first, t, first) * second;
}

// exp(x) where the result is a normal number, in as few operations as possible: 2^k in one factor,
// and the rounding error of r not kept (1.1 ULP).
template <class T>
inline Vec<T> vexp_normal(Vec<T> x) {
    using Table = ExpTable<T>;
    const Vec<T> shift = splat<T>(Table::kRound + Table::kBias);
    const Vec<T> rounded = mul_add<T>(x, splat<T>(Table::kPerLog2), shift);
    const Vec<T> k = rounded - shift;
    Vec<T> r = mul_add<T>(k, splat<T>(-Table::kLog2High), x);
    r = mul_add<T>(k, splat<T>(-Table::kLog2Low), r);
    const Vec<T> r2 = r * r;
    const Vec<T> t = mul_add<T>(r2, polynomial<T>(r, r2, Table::kTail), r);
    const Vec<T> factor = from_bits<T>(as_bits<T>(rounded) << Table::kMantissaBits);
    return mul_add<T>(factor, t, factor);
}

// exp(x) for x <= 0. The first k below the exponent's range makes the factor 0, so that one clamp
// makes every result below 2^(1/2 - bias), -inf's included, exactly 0.
template <class T>
inline Vec<T> vexp_nonpositive(Vec<T> x) {
    return vexp_normal<T>(max<T>(splat<T>(ExpTable<T>::kLowestNormal), x));
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
