// The variational autoencoder trained without a driver from outside: passes of Adam in batches.
#pragma once

#include <cstdint>
#include <vector>

#include "models/vae.hpp"
#include "vemfast/fit.hpp"

namespace vemfast::models {

struct VaeFitOptions {
    AdamSettings adam;
    detail::LatentRule rule;  // its weight of KL is that behind the warm-up
    double kl_warmup = 0;     // passes
    bool spherical = true;    // Gaussian noise of one variance
    double variance_floor = 1e-6;
    std::size_t batch_size = 128;
    int max_iter = 100;
    FitCallback callback;
};

struct VaeFitted {
    std::vector<float> weights;
    std::vector<double> lower_bounds;  // the first estimated from one batch
    StopReason stop_reason = StopReason::max_iter;
};

// Trains on dense rows without missing values, within a PollScope. Throws NumericalError,
// Interrupted.
VEMFAST_API VaeFitted fit_vae(const VaeNetwork& network, const VaeRows& rows,
                              const VaeFitOptions& options, std::uint64_t random_state,
                              int n_threads, const Poll& poll);

}  // namespace vemfast::models
