// log(sum_i exp(s_i)) of an array, without overflow: the largest s_i is taken out of the sum.
#pragma once

#include "exp.hpp"
#include "log.hpp"
#include "vec.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

// The first NaN of the array, `otherwise` where there is none.
template <class T>
inline T first_nan(const T* s, std::size_t n, T otherwise) {
    for (std::size_t i = 0; i < n; ++i) {
        if (__builtin_isnan(s[i]))
            return s[i];
    }
    return otherwise;
}

// Over the n >= 1 numbers at s. NaN if any is NaN, otherwise inf if any is inf; -inf if all are
// -inf. The sum runs over the lanes of one vector and is closed by the fixed tree. (A maximum may
// drop a NaN; the sum cannot, so only an infinite maximum needs a second look.)
template <class T>
inline T logsumexp(const T* s, std::size_t n) {
    constexpr T kLowest = -static_cast<T>(__builtin_inf());
    constexpr std::size_t kStep = kLanes<T>;
    const std::size_t whole = n - n % kStep;
    const Vec<T> tail = load_partial<T>(s + whole, n - whole, kLowest);
    Vec<T> maxima = tail;
    for (std::size_t i = 0; i < whole; i += kStep)
        maxima = max<T>(maxima, load<T>(s + i));
    T largest = maxima[0];
    for (std::size_t lane = 1; lane < kStep; ++lane)
        largest = largest > maxima[lane] ? largest : maxima[lane];
    if (!__builtin_isfinite(largest))
        return first_nan(s, n, largest);
    const Vec<T> anchor = splat<T>(largest);
    Vec<T> total = vexp_nonpositive<T>(tail - anchor);
    for (std::size_t i = 0; i < whole; i += kStep)
        total += vexp_nonpositive<T>(load<T>(s + i) - anchor);
    return largest + vlog<T>(splat<T>(horizontal_sum<T>(total)))[0];
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
