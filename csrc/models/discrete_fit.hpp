// Discrete mixtures of many small data sets, fitted in parallel under the batch schedule without a
// driver from outside: the loop of batch_fit.hpp, over bits, counts or codes.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "models/discrete_mixture.hpp"
#include "vemfast/fit.hpp"
#include "vemfast/poll.hpp"
#include "vemfast/version.hpp"

namespace vemfast::models {

// The rows of all data sets, one after another: dense, and none missing.
struct DiscreteData {
    detail::IndexedRows rows;
    bool is_float = false;               // scores
    const std::int64_t* sets = nullptr;  // n_sets + 1: the first row of each
    std::size_t n_sets = 0;
};

// How mixtures are fitted; the same for every data set.
struct DiscreteFitOptions {
    detail::LocalRule local_rule = detail::LocalRule::exact;
    ParameterRule parameter_rule = ParameterRule::point;
    double tol = 1e-3;  // nats a row
    int max_iter = 100;
    int n_init = 1;
    Start start = Start::kmeans;
    std::vector<double> weights, table;  // K, F x K: where all begin; empty: by `start`
    // Poisson rates: the shapes of priors whose rates are each data set's own, so that they have
    // its means; empty: the priors are the model's.
    std::vector<double> shapes;
};

// Arrays over the data sets, one after another; NaN where a fit failed.
struct DiscreteFits {
    std::vector<double> params;        // by feature, the component last
    std::vector<double> mean_weights;  // posteriors: E[weights]
    std::vector<double> lower_bound;
    std::vector<std::int32_t> n_iter;
    std::vector<std::int8_t> stop_reason;  // StopReason
    std::vector<std::uint8_t> degenerate;  // a component without rows
    std::vector<double> lower_bounds;      // the traces, one after another
    std::vector<std::int64_t> trace;       // n_sets + 1: where each begins
    std::vector<std::pair<std::int64_t, std::string>> failures;
};

// Fits `like` to each data set. One that cannot be fitted is reported and stops nothing. Throws
// Interrupted.
VEMFAST_API DiscreteFits fit_discrete_mixtures(const DiscreteMixture& like,
                                               const DiscreteData& data,
                                               const DiscreteFitOptions& options,
                                               const std::uint64_t* random_states, int n_threads,
                                               const Poll& poll);

}  // namespace vemfast::models
