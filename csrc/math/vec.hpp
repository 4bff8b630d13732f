// Vector types of one instruction-set level, on the GCC/Clang vector extensions.
//
// Every header of this folder is compiled once per level: the build defines VEMFAST_LEVEL (the
// namespace: v2, v3, v4 or base) and VEMFAST_VECTOR_BYTES (the register width). All code stands in
// the anonymous namespace inside the level's own, and includes nothing with external inline
// functions: otherwise the linker could put, say, AVX-512 code into a function that an old
// processor calls. What lives here: element-wise mathematics on vectors. It may include only
// <cstddef>, <cstdint>, the intrinsics and this folder; the kernels include it; nothing else may.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

#if !defined(VEMFAST_LEVEL) || !defined(VEMFAST_VECTOR_BYTES)
#error "compile per level: define VEMFAST_LEVEL and VEMFAST_VECTOR_BYTES"
#endif

namespace vemfast::VEMFAST_LEVEL {
namespace {

inline constexpr int kVectorBytes = VEMFAST_VECTOR_BYTES;
static_assert(kVectorBytes == 16 || kVectorBytes == 32 || kVectorBytes == 64);

template <class T>
struct VecOf;

template <>
struct VecOf<float> {
    using word = std::uint32_t;
    typedef float type __attribute__((vector_size(VEMFAST_VECTOR_BYTES)));
    typedef std::int32_t integer __attribute__((vector_size(VEMFAST_VECTOR_BYTES)));
    typedef std::uint32_t bits __attribute__((vector_size(VEMFAST_VECTOR_BYTES)));
};

template <>
struct VecOf<double> {
    using word = std::uint64_t;
    typedef double type __attribute__((vector_size(VEMFAST_VECTOR_BYTES)));
    typedef std::int64_t integer __attribute__((vector_size(VEMFAST_VECTOR_BYTES)));
    typedef std::uint64_t bits __attribute__((vector_size(VEMFAST_VECTOR_BYTES)));
};

template <class T>
using Vec = typename VecOf<T>::type;
// Signed integers as wide as T: what a comparison of Vec<T> yields (all ones where true).
template <class T>
using IVec = typename VecOf<T>::integer;
// Unsigned integers as wide as T: for bit patterns, where a right shift must fill with zeros.
template <class T>
using BitVec = typename VecOf<T>::bits;

template <class T>
inline constexpr std::size_t kLanes = kVectorBytes / sizeof(T);

// Functions of vectors are templates over the element: the compiler cannot deduce T from Vec<T>,
// so calls name it, as in max<T>(a, b).

// ---- memory: unaligned everywhere ------------------------------------------------------------

template <class T>
inline Vec<T> load(const T* from) {
    Vec<T> v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
}

template <class T>
inline void store(T* to, Vec<T> v) {
    __builtin_memcpy(to, &v, sizeof v);
}

// The first `count` lanes (0 <= count <= kLanes) from memory, `fill` in the others.
template <class T>
inline Vec<T> load_partial(const T* from, std::size_t count, T fill) {
    T lanes[kLanes<T>];
    for (std::size_t i = 0; i < kLanes<T>; ++i)
        lanes[i] = fill;
    for (std::size_t i = 0; i < count; ++i)
        lanes[i] = from[i];
    return load<T>(lanes);
}

template <class T>
inline void store_partial(T* to, Vec<T> v, std::size_t count) {
    T lanes[kLanes<T>];
    store<T>(lanes, v);
    for (std::size_t i = 0; i < count; ++i)
        to[i] = lanes[i];
}

// ---- element-wise ----------------------------------------------------------------------------

template <class T>
inline Vec<T> splat(T value) {
    return value - Vec<T>{};  // x - 0 keeps every x, the sign of zero included
}

template <class T>
inline BitVec<T> splat_bits(typename VecOf<T>::word value) {
    return value + BitVec<T>{};
}

template <class T>
inline BitVec<T> as_bits(Vec<T> v) {
    return (BitVec<T>)v;
}

template <class T>
inline Vec<T> from_bits(BitVec<T> v) {
    return (Vec<T>)v;
}

// a where the mask (a comparison's result) is true, b elsewhere.
template <class T, class Mask>
inline Vec<T> select(Mask mask, Vec<T> a, Vec<T> b) {
    return mask ? a : b;
}

// Whether any bit is set.
template <class T>
inline bool any_bit(BitVec<T> v) {
#if VEMFAST_VECTOR_BYTES == 64 && defined(__AVX512F__)
    return _mm512_test_epi64_mask((__m512i)v, (__m512i)v) != 0;
#elif VEMFAST_VECTOR_BYTES == 32 && defined(__AVX__)
    return _mm256_testz_si256((__m256i)v, (__m256i)v) == 0;
#elif VEMFAST_VECTOR_BYTES == 16 && defined(__SSE4_1__)
    return _mm_testz_si128((__m128i)v, (__m128i)v) == 0;
#else
    typename VecOf<T>::word bits = 0;
    for (std::size_t lane = 0; lane < kLanes<T>; ++lane)
        bits |= v[lane];
    return bits != 0;
#endif
}

// The machine's instructions by their names. VEMFAST_BY_NAME(max, a, b) is _mm256_max_pd(a, b)
// for doubles of 32 bytes; the 64-byte forms take a full mask, because GCC 12 warns of an
// uninitialised register in the others.
#if defined(__SSE2__)
#if VEMFAST_VECTOR_BYTES == 16
#define VEMFAST_BY_NAME(name, type, mask, ...) _mm_##name##_##type(__VA_ARGS__)
#elif VEMFAST_VECTOR_BYTES == 32
#define VEMFAST_BY_NAME(name, type, mask, ...) _mm256_##name##_##type(__VA_ARGS__)
#else
#define VEMFAST_BY_NAME(name, type, mask, ...) _mm512_maskz_##name##_##type(mask, __VA_ARGS__)
#endif
#endif

// The larger; b where either is NaN, as the machine's instruction does. (GCC 12 makes a comparison
// and a blend of the plain form.)
template <class T>
inline Vec<T> max(Vec<T> a, Vec<T> b) {
#if defined(__SSE2__)
    if constexpr (sizeof(T) == 8)
        return VEMFAST_BY_NAME(max, pd, 0xff, a, b);
    else
        return VEMFAST_BY_NAME(max, ps, 0xffff, a, b);
#else
    return a > b ? a : b;
#endif
}

// The smaller; b where either is NaN.
template <class T>
inline Vec<T> min(Vec<T> a, Vec<T> b) {
#if defined(__SSE2__)
    if constexpr (sizeof(T) == 8)
        return VEMFAST_BY_NAME(min, pd, 0xff, a, b);
    else
        return VEMFAST_BY_NAME(min, ps, 0xffff, a, b);
#else
    return a < b ? a : b;
#endif
}

// a b + c: one fused operation where the level has FMA, a product and a sum where it has not
// (__builtin_fma would be a library call there). By name, so that no compiler's rule for the
// contraction of plain expressions decides the bits.
template <class T>
inline Vec<T> mul_add(Vec<T> a, Vec<T> b, Vec<T> c) {
#if defined(__FMA__)
    if constexpr (sizeof(T) == 8)
        return VEMFAST_BY_NAME(fmadd, pd, 0xff, a, b, c);
    else
        return VEMFAST_BY_NAME(fmadd, ps, 0xffff, a, b, c);
#else
    return a * b + c;
#endif
}

// c[0] + c[1] x + ... + c[N - 1] x^(N - 1) as even and odd powers, two chains of Horner's rule: as
// many operations as one chain, and half the latency. x2 is x squared.
template <class T, int N>
inline Vec<T> polynomial(Vec<T> x, Vec<T> x2, const T (&c)[N]) {
    constexpr int kEven = (N - 1) / 2 * 2, kOdd = N / 2 * 2 - 1;
    Vec<T> even = splat<T>(c[kEven]), odd = splat<T>(c[kOdd]);
    for (int i = kEven - 2; i >= 0; i -= 2)
        even = mul_add<T>(even, x2, splat<T>(c[i]));
    for (int i = kOdd - 2; i >= 1; i -= 2)
        odd = mul_add<T>(odd, x2, splat<T>(c[i]));
    return mul_add<T>(odd, x, even);
}

// ---- float to double and back ----------------------------------------------------------------

#if VEMFAST_VECTOR_BYTES == 16
#define VEMFAST_LOW_HALF 0, 1
#define VEMFAST_HIGH_HALF 2, 3
#define VEMFAST_BOTH_HALVES 0, 1, 2, 3
#elif VEMFAST_VECTOR_BYTES == 32
#define VEMFAST_LOW_HALF 0, 1, 2, 3
#define VEMFAST_HIGH_HALF 4, 5, 6, 7
#define VEMFAST_BOTH_HALVES 0, 1, 2, 3, 4, 5, 6, 7
#else
#define VEMFAST_LOW_HALF 0, 1, 2, 3, 4, 5, 6, 7
#define VEMFAST_HIGH_HALF 8, 9, 10, 11, 12, 13, 14, 15
#define VEMFAST_BOTH_HALVES 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
#endif

typedef float HalfFloats __attribute__((vector_size(VEMFAST_VECTOR_BYTES / 2)));

// GCC 12 converts the plain form by pieces, hence the instruction by name.
inline Vec<double> widen(HalfFloats v) {
#if !defined(__SSE2__)
    return __builtin_convertvector(v, Vec<double>);
#elif VEMFAST_VECTOR_BYTES == 16
    return _mm_cvtps_pd(__builtin_shufflevector(v, v, 0, 1, 0, 1));
#else
    return VEMFAST_BY_NAME(cvtps, pd, 0xff, v);
#endif
}

// The first and the second half of the lanes, exactly.
struct DoubleHalves {
    Vec<double> low, high;
};

inline DoubleHalves to_double(Vec<float> v) {
    return {widen(__builtin_shufflevector(v, v, VEMFAST_LOW_HALF)),
            widen(__builtin_shufflevector(v, v, VEMFAST_HIGH_HALF))};
}

// kLanes<double> floats from memory, as doubles; and the same for doubles, so that a template over
// the data's type can read both.
inline Vec<double> load_double(const float* from) {
    HalfFloats v;
    __builtin_memcpy(&v, from, sizeof v);
    return widen(v);
}

inline Vec<double> load_double(const double* from) {
    return load<double>(from);
}

// Rounded to float: `low` in the first half of the lanes, `high` in the second.
inline Vec<float> narrow(Vec<double> low, Vec<double> high) {
    const HalfFloats a = __builtin_convertvector(low, HalfFloats);
    const HalfFloats b = __builtin_convertvector(high, HalfFloats);
    return __builtin_shufflevector(a, b, VEMFAST_BOTH_HALVES);
}

#undef VEMFAST_LOW_HALF
#undef VEMFAST_HIGH_HALF
#undef VEMFAST_BOTH_HALVES
#undef VEMFAST_BY_NAME

// ---- horizontal sums ---------------------------------------------------------------------------

// One stage of a reduction joins vectors a and b: `stage_even` and `stage_odd` pick from both the
// lanes to be added, so that their sum holds half of a's and half of b's partial sums. The patterns
// are those that are one instruction each: unpack within 16 bytes, then moves of 16-byte blocks.
// Stage 0 is the first; a vector of n lanes has log2(n) stages.
#if VEMFAST_VECTOR_BYTES == 16

template <int Stage>
inline Vec<float> stage_even(Vec<float> a, Vec<float> b) {
    if constexpr (Stage == 0)
        return __builtin_shufflevector(a, b, 0, 4, 1, 5);
    return __builtin_shufflevector(a, b, 0, 1, 4, 5);
}

template <int Stage>
inline Vec<float> stage_odd(Vec<float> a, Vec<float> b) {
    if constexpr (Stage == 0)
        return __builtin_shufflevector(a, b, 2, 6, 3, 7);
    return __builtin_shufflevector(a, b, 2, 3, 6, 7);
}

template <int Stage>
inline Vec<double> stage_even(Vec<double> a, Vec<double> b) {
    return __builtin_shufflevector(a, b, 0, 2);
}

template <int Stage>
inline Vec<double> stage_odd(Vec<double> a, Vec<double> b) {
    return __builtin_shufflevector(a, b, 1, 3);
}

#elif VEMFAST_VECTOR_BYTES == 32

template <int Stage>
inline Vec<float> stage_even(Vec<float> a, Vec<float> b) {
    if constexpr (Stage == 0)
        return __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13);
    if constexpr (Stage == 1)
        return __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13);
    return __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11);
}

template <int Stage>
inline Vec<float> stage_odd(Vec<float> a, Vec<float> b) {
    if constexpr (Stage == 0)
        return __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15);
    if constexpr (Stage == 1)
        return __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
    return __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15);
}

template <int Stage>
inline Vec<double> stage_even(Vec<double> a, Vec<double> b) {
    if constexpr (Stage == 0)
        return __builtin_shufflevector(a, b, 0, 4, 2, 6);
    return __builtin_shufflevector(a, b, 0, 1, 4, 5);
}

template <int Stage>
inline Vec<double> stage_odd(Vec<double> a, Vec<double> b) {
    if constexpr (Stage == 0)
        return __builtin_shufflevector(a, b, 1, 5, 3, 7);
    return __builtin_shufflevector(a, b, 2, 3, 6, 7);
}

#else

template <int Stage>
inline Vec<float> stage_even(Vec<float> a, Vec<float> b) {
    if constexpr (Stage == 0)
        return __builtin_shufflevector(a, b, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13,
                                       29);
    if constexpr (Stage == 1)
        return __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28,
                                       29);
    return __builtin_shufflevector(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
}

template <int Stage>
inline Vec<float> stage_odd(Vec<float> a, Vec<float> b) {
    if constexpr (Stage == 0)
        return __builtin_shufflevector(a, b, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15,
                                       31);
    if constexpr (Stage == 1)
        return __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30,
                                       31);
    return __builtin_shufflevector(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30,
                                   31);
}

template <int Stage>
inline Vec<double> stage_even(Vec<double> a, Vec<double> b) {
    if constexpr (Stage == 0)
        return __builtin_shufflevector(a, b, 0, 8, 2, 10, 4, 12, 6, 14);
    return __builtin_shufflevector(a, b, 0, 1, 4, 5, 8, 9, 12, 13);
}

template <int Stage>
inline Vec<double> stage_odd(Vec<double> a, Vec<double> b) {
    if constexpr (Stage == 0)
        return __builtin_shufflevector(a, b, 1, 9, 3, 11, 5, 13, 7, 15);
    return __builtin_shufflevector(a, b, 2, 3, 6, 7, 10, 11, 14, 15);
}

#endif

template <int Stage, class V>
inline V reduce_pair(V a, V b) {
    return stage_even<Stage>(a, b) + stage_odd<Stage>(a, b);
}

template <int Stage, std::size_t Count, class V>
inline V reduce_stages(V* vectors) {
    if constexpr (Count == 1) {
        return vectors[0];
    } else {
        for (std::size_t i = 0; i < Count / 2; ++i)
            vectors[i] = reduce_pair<Stage>(vectors[2 * i], vectors[2 * i + 1]);
        return reduce_stages<Stage + 1, Count / 2>(vectors);
    }
}

// Lane i of the result is the sum of the lanes of vectors[i], 0 <= i < kLanes<T>: log2(kLanes)
// stages of shuffles and additions, instead of kLanes separate horizontal sums. `vectors` is
// overwritten.
template <class T>
inline Vec<T> reduce_lanes(Vec<T>* vectors) {
    return reduce_stages<0, kLanes<T>>(vectors);
}

// The sum of the lanes, by the same tree as reduce_lanes: the same bits.
template <class T>
inline T horizontal_sum(Vec<T> v) {
    v = reduce_pair<0>(v, v);
    if constexpr (kLanes<T> > 2)
        v = reduce_pair<1>(v, v);
    if constexpr (kLanes<T> > 4)
        v = reduce_pair<2>(v, v);
    if constexpr (kLanes<T> > 8)
        v = reduce_pair<3>(v, v);
    return v[0];
}

// ---- transposition ---------------------------------------------------------------------------

// A square of kLanes vectors of kLanes lanes is turned round, in place, by the stages of a
// reduction without its additions: vectors[i] becomes column `transposed_column<T>(i)`.
template <class T, int Stage = 0>
inline void transpose_lanes(Vec<T>* vectors) {
    constexpr std::size_t half = std::size_t{1} << Stage;
    if constexpr (half < kLanes<T>) {
        Vec<T> next[kLanes<T>];
#pragma GCC unroll 16
        for (std::size_t i = 0; i < kLanes<T>; ++i) {
            const Vec<T> a = vectors[i & ~half];
            const Vec<T> b = vectors[i | half];
            next[i] = (i & half) == 0 ? stage_even<Stage>(a, b) : stage_odd<Stage>(a, b);
        }
#pragma GCC unroll 16
        for (std::size_t i = 0; i < kLanes<T>; ++i)
            vectors[i] = next[i];
        transpose_lanes<T, Stage + 1>(vectors);
    }
}

// Stage 0 parts pairs of floats, which are two columns apart, and single doubles.
template <class T>
constexpr std::size_t transposed_column(std::size_t i) {
    return sizeof(T) == 8 ? i : (i & ~std::size_t{3}) | (i & 1) << 1 | (i >> 1 & 1);
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
