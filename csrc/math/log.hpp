// log(x) for vectors, of float and of double.
//
// x = 2^k m with 11/16 <= m < 11/8, f = m - 1, s = f/(2 + f), z = s^2:
//     log(1 + f) = 2 s + s z p(z) = f - f^2/2 + s (f^2/2 + z p(z)),
// the second form because f is exact and the rest small. k log 2 is split in two; its head, f and
// f^2/2 are added with the rounding errors kept. The interval of m is the one whose two ends have
// equal rests. p is a minimax polynomial (coefficients.py).
// Worst error 0.63 ULP. log(0) = -inf, log(inf) = inf, NaN for NaN and for negative numbers;
// subnormal arguments are right.
#pragma once

#include "vec.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

template <class T>
struct LogTable;

template <>
struct LogTable<double> {
    static constexpr int kMantissaBits = 52;
    static constexpr std::uint64_t kMantissaMask = 0x000fffffffffffff;
    static constexpr std::uint64_t kLowest = 0x3fe6000000000000;  // bits of 11/16
    static constexpr std::uint64_t kOne = 0x3ff0000000000000;
    static constexpr std::uint64_t kHeadMask = 0xfffffffff8000000;  // 26 bits of the mantissa
    static constexpr double kIntegers = 0x1p52;  // 2^52 + n has n in its low bits
    static constexpr double kBias = 1023;
    static constexpr double kLog2High = 0x1.62e42feep-1;  // times k exact
    static constexpr double kLog2Low = 0x1.a39ef35793c76p-33;
    static constexpr double kSmallestNormal = 0x1p-1022;
    static constexpr double kScale = 54;  // subnormals are multiplied by 2^54
    static constexpr double kTail[] = {
        0x1.555555555560ap-1, 0x1.9999999958083p-2, 0x1.24924964be85dp-2, 0x1.c71c364b91592p-3,
        0x1.746bccf607974p-3, 0x1.3916596ea4f8cp-3, 0x1.3457747ed8e04p-3};
};

template <>
struct LogTable<float> {
    static constexpr int kMantissaBits = 23;
    static constexpr std::uint32_t kMantissaMask = 0x007fffff;
    static constexpr std::uint32_t kLowest = 0x3f300000;
    static constexpr std::uint32_t kOne = 0x3f800000;
    static constexpr std::uint32_t kHeadMask = 0xfffff000;  // 12 bits of the mantissa
    static constexpr float kIntegers = 0x1p23f;
    static constexpr float kBias = 127;
    static constexpr float kLog2High = 0x1.62e4p-1f;
    static constexpr float kLog2Low = 0x1.7f7d1cp-20f;
    static constexpr float kSmallestNormal = 0x1p-126f;
    static constexpr float kScale = 25;
    static constexpr float kTail[] = {0x1.55559p-1f, 0x1.994912p-2f, 0x1.342c32p-2f};
};

// f^2/2 as a rounded product and, in `error`, what the rounding lost.
template <class T>
inline Vec<T> half_square(Vec<T> f, Vec<T>& error) {
    const Vec<T> half = f * splat<T>(T(0.5));
    const Vec<T> product = half * f;
#if defined(__FMA__)
    error = mul_add<T>(half, f, -product);
#else  // f in two pieces, whose products are exact
    const Vec<T> head = from_bits<T>(as_bits<T>(f) & splat_bits<T>(LogTable<T>::kHeadMask));
    const Vec<T> tail = f - head;
    error = (head * head * splat<T>(T(0.5)) - product) + (head + splat<T>(T(0.5)) * tail) * tail;
#endif
    return product;
}

// log(x) + offset log 2 for positive normal x; anything else gives no meaningful value.
template <class T>
inline Vec<T> log_normal(Vec<T> x, Vec<T> offset) {
    using Table = LogTable<T>;
    const BitVec<T> shifted = as_bits<T>(x) + splat_bits<T>(Table::kOne - Table::kLowest);
    const BitVec<T> exponent = shifted >> Table::kMantissaBits;
    const Vec<T> k = from_bits<T>(exponent | as_bits<T>(splat<T>(Table::kIntegers))) -
                     (splat<T>(Table::kIntegers + Table::kBias) - offset);
    const Vec<T> m = from_bits<T>((shifted & splat_bits<T>(Table::kMantissaMask)) +
                                  splat_bits<T>(Table::kLowest));
    const Vec<T> f = m - splat<T>(1);
    const Vec<T> s = f / (splat<T>(1) + m);
    const Vec<T> z = s * s;
    Vec<T> square_error;
    const Vec<T> square = half_square<T>(f, square_error);
    const Vec<T> tail = mul_add<T>(z, polynomial<T>(z, z * z, Table::kTail), square);
    const Vec<T> rest = mul_add<T>(s, tail, k * splat<T>(Table::kLog2Low)) - square_error;
    // |k log 2| > |f| or k = 0, and the sum exceeds f^2/2: each rounding error is found exactly.
    const Vec<T> head = k * splat<T>(Table::kLog2High);
    const Vec<T> sum = head + f;
    const Vec<T> value = sum - square;
    const Vec<T> lost = (f - (sum - head)) + ((sum - value) - square);
    return value + (rest + lost);
}

template <class T>
inline Vec<T> vlog(Vec<T> x) {
    using Table = LogTable<T>;
    constexpr T kInfinity = static_cast<T>(__builtin_inf());
    constexpr T kNaN = static_cast<T>(__builtin_nan(""));
    const auto small = x < splat<T>(Table::kSmallestNormal);
    const T up = T(std::uint64_t(1) << static_cast<int>(Table::kScale));
    const Vec<T> scaled = select<T>(small, x * splat<T>(up), x);
    const Vec<T> offset = select<T>(small, splat<T>(-Table::kScale), splat<T>(0));
    const Vec<T> value = log_normal<T>(scaled, offset);
    const Vec<T> edge = select<T>(x == splat<T>(0), splat<T>(-kInfinity), splat<T>(kNaN));
    const Vec<T> finite = select<T>(x > splat<T>(0), value, edge);
    return select<T>(x == splat<T>(kInfinity), x, finite);
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
