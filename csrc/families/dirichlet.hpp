// Mixture weights: the O(K) half of the Dirichlet, stick-breaking, flat and equal priors.
// A point is a vector of weights (K). A posterior is its concentration: K numbers (Dirichlet), or
// the two rows a, b of K sticks (Dirichlet process). Formulas: docs/formulas/gaussian_mixture.md.
#pragma once

#include <cstddef>

#include "vemfast/random.hpp"
#include "vemfast/version.hpp"

namespace vemfast::detail {

// `none`: no weights at all, in no parameters; what a mixture's components are without the mixture.
enum class WeightPrior : int { flat, dirichlet, dirichlet_process, equal, none };

struct VEMFAST_API Weights {
    WeightPrior type = WeightPrior::flat;
    double concentration = 1.0;  // alpha_0 of each component, or the process' gamma
    std::size_t n_components = 1;

    std::size_t point_size() const { return type == WeightPrior::none ? 0 : n_components; }
    std::size_t posterior_size() const {
        if (type == WeightPrior::none)
            return 0;
        return type == WeightPrior::dirichlet_process ? 2 * n_components : n_components;
    }

    // Posterior mode given the counts; a component without mass gets weight zero.
    void mode(const double* counts, double* weights) const;
    void posterior(const double* counts, double* concentration) const;
    void sample(const double* counts, random::Stream& stream, double* weights) const;

    // Logarithms of a point's weights.
    void log_of(const double* weights, double* out) const;

    // E[log weights] under a posterior, and E[weights].
    void expected_log(const double* concentration, double* out) const;
    void mean(const double* concentration, double* out) const;

    double log_prior(const double* weights) const;
    double kl(const double* concentration) const;
};

}  // namespace vemfast::detail
