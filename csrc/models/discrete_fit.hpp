// Discrete mixtures, one or those of many small data sets in parallel, fitted under the batch
// schedule without a driver from outside: the loop of batch_loop.hpp, over bits, counts or codes.
#pragma once

#include <cstdint>
#include <vector>

#include "models/discrete_mixture.hpp"
#include "models/fit_records.hpp"
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
struct DiscreteFitOptions : LoopOptions {
    detail::LocalRule local_rule = detail::LocalRule::exact;
    ParameterRule parameter_rule = ParameterRule::point;
    Start start = Start::kmeans;
    std::vector<double> weights, table;  // K, F x K: where all begin; empty: by `start`
    // Poisson rates: the shapes of priors whose rates are each data set's own, so that they have
    // its means; empty: the priors are the model's.
    std::vector<double> shapes;
};

// One fit, and of a posterior E[weights].
struct DiscreteFitted {
    FitState state;
    std::vector<double> mean_weights;
};

// Fits `like` to all rows, within a PollScope. Throws std::invalid_argument, NumericalError,
// Interrupted.
VEMFAST_API DiscreteFitted fit_discrete_mixture(const DiscreteMixture& like,
                                                const detail::IndexedRows& rows, bool is_float,
                                                const DiscreteFitOptions& options,
                                                std::uint64_t random_state, int n_threads,
                                                const Poll& poll);

// Arrays over the data sets, one after another; NaN where a fit failed. Degenerate: a component
// without rows.
struct DiscreteFits : FitRecords {
    std::vector<double> params;        // by feature, the component last
    std::vector<double> mean_weights;  // posteriors: E[weights]
};

// Fits `like` to each data set. One that cannot be fitted is reported and stops nothing. Throws
// Interrupted.
VEMFAST_API DiscreteFits fit_discrete_mixtures(const DiscreteMixture& like,
                                               const DiscreteData& data,
                                               const DiscreteFitOptions& options,
                                               const std::uint64_t* random_states, int n_threads,
                                               const Poll& poll);

}  // namespace vemfast::models
