// Philox4x32-10 for kernels: the same numbers as vemfast/random.hpp, whose inline functions a
// kernel may not use because the linker would share them between instruction-set levels. The
// vector form makes the uniforms of consecutive rows.
#pragma once

#include "vec.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

// As in vemfast/random.hpp.
inline constexpr std::uint32_t kRowStream = 0;
inline constexpr std::uint32_t kParameterStream = 1;
inline constexpr std::uint32_t kStartStream = 2;

// Lane by lane, the product of the low 32 bits.
inline BitVec<double> multiply_low(BitVec<double> a, BitVec<double> b) {
#if !defined(__SSE2__)
    const BitVec<double> low = splat_bits<double>(0xffffffff);
    return (a & low) * (b & low);
#elif VEMFAST_VECTOR_BYTES == 16
    return (BitVec<double>)_mm_mul_epu32((__m128i)a, (__m128i)b);
#elif VEMFAST_VECTOR_BYTES == 32
    return (BitVec<double>)_mm256_mul_epu32((__m256i)a, (__m256i)b);
#else
    return (BitVec<double>)_mm512_maskz_mul_epu32(0xff, (__m512i)a, (__m512i)b);
#endif
}

struct PhiloxWords {
    BitVec<double> c0, c1, c2, c3;
};

// Words stand in the low halves of the 64-bit lanes; what is in the high halves is not to be read.
inline PhiloxWords philox_words(BitVec<double> c0, BitVec<double> c1, std::uint32_t iteration,
                                std::uint32_t stream, std::uint64_t seed) {
    BitVec<double> c2 = splat_bits<double>(iteration), c3 = splat_bits<double>(stream);
    std::uint32_t low = static_cast<std::uint32_t>(seed);
    std::uint32_t high = static_cast<std::uint32_t>(seed >> 32);
    for (int round = 0; round < 10; ++round) {
        const BitVec<double> a = multiply_low(c0, splat_bits<double>(0xD2511F53));
        const BitVec<double> b = multiply_low(c2, splat_bits<double>(0xCD9E8D57));
        c0 = (b >> 32) ^ c1 ^ splat_bits<double>(low);
        c2 = (a >> 32) ^ c3 ^ splat_bits<double>(high);
        c1 = b;
        c3 = a;
        low += 0x9E3779B9;
        high += 0xBB67AE85;
    }
    return {c0, c1, c2, c3};
}

// A double on (0, 1) from the 52 upper bits of two words.
inline Vec<double> philox_to_uniform(BitVec<double> c0, BitVec<double> c1) {
    // The 52 bits as the mantissa of a number in [1, 2), and half a cell added: exact.
    const BitVec<double> mantissa =
        (c0 << 32 >> 12) | ((c1 & splat_bits<double>(0xffffffff)) >> 12);
    const BitVec<double> one = as_bits<double>(splat<double>(1.0));
    return from_bits<double>(mantissa | one) - splat<double>(1.0 - 0x1p-53);
}

// Uniforms on (0, 1) of the rows first_row, first_row + 1, ..., one a lane.
inline Vec<double> philox_uniforms(std::uint64_t seed, std::uint32_t iteration,
                                   std::uint64_t first_row, std::uint32_t stream) {
    BitVec<double> row = splat_bits<double>(first_row);
    for (std::size_t lane = 0; lane < kLanes<double>; ++lane)
        row[lane] += lane;
    const PhiloxWords words = philox_words(row, row >> 32, iteration, stream, seed);
    return philox_to_uniform(words.c0, words.c1);
}

// The uniform of one row.
inline double philox_uniform(std::uint64_t seed, std::uint32_t iteration, std::uint64_t row,
                             std::uint32_t stream) {
    return philox_uniforms(seed, iteration, row, stream)[0];
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
