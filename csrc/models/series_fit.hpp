// Hidden Markov models, one or those of many small data sets in parallel, fitted under the batch
// schedule without a driver from outside: the loop of batch_loop.hpp, over sequences.
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "models/fit_records.hpp"
#include "models/hmm.hpp"
#include "models/rules.hpp"
#include "vemfast/fit.hpp"
#include "vemfast/poll.hpp"
#include "vemfast/version.hpp"

namespace vemfast::models {

// All steps of all data sets, one after another.
struct SeriesData {
    HmmRows rows;
    Sequences sequences;
    const std::int64_t* sets = nullptr;  // n_sets + 1: the first sequence of each
    std::size_t n_sets = 0;
};

// How chains are fitted; the same for every data set.
struct SeriesOptions : LoopOptions {
    detail::LocalRule local_rule = detail::LocalRule::exact;
    bool factorised = false;  // in place of local_rule
    ParameterRule parameter_rule = ParameterRule::point;
    std::vector<double> start, transitions;  // K, K x K: where every chain begins
    std::vector<double> mix;                 // K x n_mix, if states have several components
};

// How the emissions of discrete families are configured and begin.
struct DiscreteSeriesOptions {
    std::vector<double> table;  // F x K: where all begin; empty: groups by k-means
    int lloyd = 100;
    // Poisson rates: the shapes of priors whose rates are each data set's own, so that they have
    // its means; empty: the priors are the model's.
    std::vector<double> shapes;
};

// How the emissions begin, of the kind that the model has.
using EmissionOptions = std::variant<const GaussianMixtureOptions*, const DiscreteSeriesOptions*>;

// One fit, of a posterior E[start] and E[transitions], and of Gaussian emissions the origin.
struct SeriesFitted {
    FitState state;
    std::vector<double> chain_means, origin;
};

// Fits `like`, with the emissions that the data ask for, to all sequences of one data set, within a
// PollScope. Throws std::invalid_argument, NumericalError, Interrupted.
VEMFAST_API SeriesFitted fit_chain(const HiddenMarkov& like, const HmmRows& rows,
                                   const Sequences& sequences, const SeriesOptions& options,
                                   const EmissionOptions& emission, std::uint64_t random_state,
                                   int n_threads, const Poll& poll);

// Arrays over the data sets, one after another; NaN where a fit failed. Degenerate: a state that no
// step is in.
struct SeriesFits : FitRecords {
    std::size_t params_size = 0;
    std::vector<double> params;
    std::vector<double> chain_means;  // posteriors: E[start], E[transitions]
    std::vector<double> origins;      // Gaussian
};

// Fits `like`, with the emissions that each data set asks for. A data set that cannot be fitted is
// reported and stops nothing. Throws Interrupted.
VEMFAST_API SeriesFits fit_series(const HiddenMarkov& like, const SeriesData& data,
                                  const SeriesOptions& options, const EmissionOptions& emission,
                                  const std::uint64_t* random_states, int n_threads,
                                  const Poll& poll);

}  // namespace vemfast::models
