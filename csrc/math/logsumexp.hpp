// log(sum_k exp(s_k)) for vectors, without overflow: the largest s_k is taken out of the sum.
#pragma once

#include "exp.hpp"
#include "log.hpp"
#include "vec.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

// Lane by lane over the `count` >= 1 vectors at s, s + stride, s + 2 stride, ... NaN if any is
// NaN, otherwise inf if any is inf; -inf if all are -inf.
template <class T>
inline Vec<T> vlogsumexp(const T* s, std::size_t stride, std::size_t count) {
    Vec<T> largest = load<T>(s);
    for (std::size_t k = 1; k < count; ++k) largest = max<T>(largest, load<T>(s + k * stride));
    const Vec<T> zero = splat<T>(0);
    const auto is_infinite = largest - largest != zero;  // or NaN
    const Vec<T> anchor = select<T>(is_infinite, zero, largest);
    Vec<T> total = zero;
    for (std::size_t k = 0; k < count; ++k)
        total += vexp_nonpositive<T>(load<T>(s + k * stride) - anchor);
    // An infinite maximum is the answer, plus the NaN that only the sum may have seen.
    const Vec<T> infinite = select<T>(total == total, largest, total);
    return select<T>(is_infinite, infinite, anchor + vlog<T>(total));
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
