// One sequence of a hidden Markov model in logarithms: slow, and right where the scaled recursion
// leaves the range of doubles, such as where a state that cannot be reached scores best by a
// thousand nats.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/chain_task.hpp"

namespace vemfast::models {

class LogChain {
  public:
    // `scores`: T x K of the sequence's steps.
    LogChain(const detail::ChainTables& chain, std::vector<double> scores);

    // -inf for a sequence that is impossible.
    double log_normaliser() const { return log_normaliser_; }
    // The first step that no state can have made; T if there is none.
    std::size_t impossible_from() const { return impossible_from_; }

    // Posteriors (T x K), and adds `weight` times those of the pairs to `pairs` (K x K).
    std::vector<double> posteriors(double weight, double* pairs) const;
    // A path given the steps' uniforms.
    void draw(const double* uniforms, std::int32_t* labels) const;

  private:
    const detail::ChainTables& chain_;
    std::size_t K_, T_;
    std::vector<double> scores_, forward_;  // T x K; forward: log p(z_t | x_1..t)
    std::vector<double> gains_;             // T: log p(x_t | x_1..t-1)
    double log_normaliser_ = 0;
    std::size_t impossible_from_;
};

}  // namespace vemfast::models
