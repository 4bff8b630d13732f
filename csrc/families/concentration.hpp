// Maximum likelihood of a Dirichlet's concentration from expected logarithms, by Newton's method.
//
// T. P. Minka: Estimating a Dirichlet distribution. 2000. The objective is concave; steps are
// halved until it does not fall and the concentration stays positive, so it never does either.
#pragma once

#include <cstddef>

#include "vemfast/version.hpp"

namespace vemfast::detail {

// Maximises n (log Gamma(dimension a) - dimension log Gamma(a)) + (a - 1) sum_log over a > 0, from
// `start`: a symmetric concentration, sum_log being summed over the dimensions and the n cases.
VEMFAST_API double fit_symmetric_concentration(double start, double dimension, double n,
                                               double sum_log);

// Maximises n (log Gamma(sum alpha) - sum log Gamma(alpha_k)) + sum (alpha_k - 1) sum_log_k in
// place, from the alpha (K) that is there. The Hessian is diagonal plus a constant: linear time.
VEMFAST_API void fit_concentration(double* alpha, std::size_t K, double n, const double* sum_log);

}  // namespace vemfast::detail
