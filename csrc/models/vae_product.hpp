// The three products that networks are made of, each alone, for tests and measurements.
#pragma once

#include <cstddef>

#include "exec/memory.hpp"
#include "exec/team.hpp"
#include "vemfast/poll.hpp"
#include "vemfast/version.hpp"

namespace vemfast::models {

// C = A B of activations and weights; A Bᵀ of gradients and weights; Aᵀ B of activations and
// gradients.
enum class ProductKind : int { plain, right_transposed, left_transposed };

// Factors as a pass has them: rows of a batch padded, weights in panels.
class VEMFAST_API VaeProduct {
  public:
    // C is M x N, K numbers go into each sum; a and b are tight, in the shape that `kind` says.
    VaeProduct(ProductKind kind, const float* a, const float* b, std::size_t M, std::size_t K,
               std::size_t N, int n_threads);

    void compute(const Poll& poll);
    void copy_result(float* c) const;  // tight

  private:
    ProductKind kind_;
    std::size_t M_, K_, N_;
    std::size_t wide_a_ = 0, wide_b_ = 0, wide_c_ = 0;  // numbers between rows
    exec::Shares shares_;
    exec::Memory memory_;
    float *a_ = nullptr, *b_ = nullptr, *c_ = nullptr, *slope_ = nullptr, *intercepts_ = nullptr,
          *scratch_ = nullptr;
    std::size_t scratch_floats_ = 0;
};

}  // namespace vemfast::models
