// Log densities of counts under a mean-field mixture of Poisson distributions.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/task.hpp"
#include "vemfast/poll.hpp"

namespace vemfast::api {

// The posterior predictive density of counts, a mixture of products of negative binomials; see
// docs/formulas/discrete_mixtures.md. Twin of vemfast/models/poisson_predictive.py, and equal to
// rounding.
class PoissonPredictive {
  public:
    // Expected weights (K), shape and rate of the gamma posteriors (D x K).
    PoissonPredictive(std::vector<double> weights, std::vector<double> shape,
                      const std::vector<double>& rate);

    // Throws std::invalid_argument for what is no count; NaN is missing.
    void log_density(const detail::RowsView& rows, int n_threads, const Poll& poll,
                     double* out) const;

  private:
    std::size_t K_;
    std::vector<double> shape_, log_gamma_, log_unit_, of_zero_, constants_;
};

}  // namespace vemfast::api
