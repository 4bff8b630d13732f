// The objective of a fit from iteration to iteration: when it has converged, and that it never
// falls.
#pragma once

#include <cstddef>
#include <vector>

#include "vemfast/fit.hpp"
#include "vemfast/version.hpp"

namespace vemfast::models {

class VEMFAST_API Trace {
  public:
    // Converged when a gain is below `tol` nats a unit of weight. Float scores may round more.
    Trace(double tol, int max_iter, double total_weight, bool is_float);

    // Takes the next objective; false at the last. Throws NumericalError if it is not finite, or
    // falls by more than rounding explains: of terms whose absolute values add up to
    // `size_of_terms`, where they cancel.
    bool add(double objective, double size_of_terms = 0);

    const std::vector<double>& values() const { return values_; }
    StopReason reason() const { return reason_; }

  private:
    double enough_;
    std::size_t most_;
    double total_weight_;
    bool is_float_;
    std::vector<double> values_;
    StopReason reason_ = StopReason::max_iter;
};

}  // namespace vemfast::models
