// Dense linear algebra of the O(K) half: a few small matrices an iteration, in double, row-major.
// Loops run along rows so that they vectorise without reassociation. Not for O(N) work. With many
// features they can be interrupted (poll.hpp).
#pragma once

#include <cstddef>

namespace vemfast::detail {

// In place Cholesky of the lower triangle of the n x n matrix `a`: a = C C^T, C in the lower
// triangle, the upper one set to zero. False when a pivot is not above `smallest_pivot`.
bool cholesky(double* a, std::size_t n, double smallest_pivot = 0.0);

// out = inverse of the lower triangular `lower` (n x n); upper triangle zero. No aliasing.
void invert_lower(const double* lower, std::size_t n, double* out);

// out = lower^T lower (n x n symmetric), `lower` lower triangular. No aliasing.
void gram_lower(const double* lower, std::size_t n, double* out);

// Eigen-decomposition of the symmetric n x n matrix `a` by cyclic Jacobi rotations (Golub and
// Van Loan, section 8.5): a is destroyed, values (n) receives the eigenvalues, rows of `vectors`
// (n x n) the eigenvectors.
void symmetric_eigen(double* a, std::size_t n, double* values, double* vectors);

// sum_i log c_ii of a triangular matrix.
double log_diagonal(const double* lower, std::size_t n);

}  // namespace vemfast::detail
