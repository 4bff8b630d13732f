// Triangular roots of covariances, and the error where there is none.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>

#include "../math/dense.hpp"
#include "../math/scratch.hpp"
#include "vemfast/errors.hpp"

namespace vemfast::detail {

// Stands for the index of a component where all share one covariance.
constexpr std::size_t kShared = std::numeric_limits<std::size_t>::max();

[[noreturn]] inline void not_positive_definite(std::size_t component) {
    const bool is_shared = component == kShared;
    throw NumericalError((is_shared ? "all components" : "component " + std::to_string(component)) +
                         ": covariance not positive definite; set reg_covar > 0, use fewer "
                         "components, or give a covariance_prior");
}

// Lower triangular root of a covariance; throws where it is singular.
inline void root_of(const double* covariance, std::size_t n, std::size_t component, double* root) {
    std::copy(covariance, covariance + n * n, root);
    if (!cholesky(root, n))
        not_positive_definite(component);
}

inline void inverse_root_of(const double* covariance, std::size_t n, std::size_t component,
                            double* log_det, double* inverse) {
    Scratch root(n * n);
    root_of(covariance, n, component, root.data());
    if (log_det != nullptr)
        *log_det = 2.0 * log_diagonal(root.data(), n);
    invert_lower(root.data(), n, inverse);
}

inline double log_positive(double value, std::size_t component) {
    if (!(value > 0.0))
        not_positive_definite(component);
    return std::log(value);
}

}  // namespace vemfast::detail
