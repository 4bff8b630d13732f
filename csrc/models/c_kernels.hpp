// What the functions of vemfast/kernels.h share: checks of arguments as statuses, and the way from
// exceptions to them.
#pragma once

#include <cmath>
#include <cstddef>
#include <new>
#include <stdexcept>

#include "vemfast/errors.hpp"
#include "vemfast/kernels.h"

namespace vemfast::models {

// The status of a call to `work`, which returns one. Nothing is thrown on.
template <class Work>
int guarded(Work work) noexcept {
    try {
        return work();
    } catch (const std::bad_alloc&) {
        return VEMFAST_KERNEL_MEMORY;
    } catch (const NumericalError&) {
        return VEMFAST_KERNEL_SINGULAR;
    } catch (...) {
        return VEMFAST_KERNEL_FAILED;
    }
}

// Each of these is true of every number, and of none.
inline bool all_finite(const double* x, std::size_t n) {
    bool fine = true;
    for (std::size_t i = 0; i < n; ++i)
        fine &= std::isfinite(x[i]);
    return fine;
}

inline bool all_not_negative(const double* x, std::size_t n) {
    bool fine = true;
    for (std::size_t i = 0; i < n; ++i)
        fine &= x[i] >= 0 && std::isfinite(x[i]);
    return fine;
}

inline bool all_positive(const double* x, std::size_t n) {
    bool fine = true;
    for (std::size_t i = 0; i < n; ++i)
        fine &= x[i] > 0 && std::isfinite(x[i]);
    return fine;
}

// Logarithms of probabilities or densities: -inf is one.
inline bool all_logarithms(const double* x, std::size_t n) {
    bool fine = true;
    for (std::size_t i = 0; i < n; ++i)
        fine &= x[i] < HUGE_VAL;
    return fine;
}

}  // namespace vemfast::models
