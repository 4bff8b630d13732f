// A fit of a Gaussian mixture under the batch schedule, from rows to fitted parameters.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "models/gaussian_mixture.hpp"
#include "vemfast/fit.hpp"

namespace vemfast::models {

// Throws std::invalid_argument unless the options make sense for data of so many features.
void check_options(const GaussianMixtureOptions& options, std::size_t n_features);

GaussianMixtureShape shape_of(const GaussianMixtureOptions& options, std::size_t n_features);

// What one look at the data, and the options, make of a model.
struct Setup {
    GaussianMixture model;
    std::vector<double> origin;
    std::vector<double> metric;  // squared unit of each feature in which a start measures distance
    double total_weight;
};

// Checks the rows and their weights, and configures a model for them. `weightless`: for the states
// of a chain, which have no weights and may be more than the rows.
Setup configure(const detail::RowsView& rows, const GaussianMixtureOptions& options, int n_threads,
                const Poll& poll, bool weightless = false);

// Statistics of rows given to the nearest centre, or of random responsibilities, into `stats`.
void start_statistics(const Setup& setup, const detail::RowsView& rows,
                      const GaussianMixtureOptions& options, std::uint64_t seed, int n_threads,
                      const Poll& poll, Workspaces& memory, double* stats);

// Fits, one after another, in memory that is used again.
class BatchFit {
  public:
    // What is left of a fit: the parameters and statistics of the last full iteration.
    struct State {
        Kind kind = Kind::point;
        std::vector<double> params, stats, lower_bounds;
        StopReason stop_reason = StopReason::max_iter;
    };

    // Runs all starts; the result is that of highest objective.
    const State& run(const Setup& setup, const detail::RowsView& rows,
                     const GaussianMixtureOptions& options, std::uint64_t random_state,
                     int n_threads, const Poll& poll);

  private:
    struct Context;
    void init(const Context& context, std::uint64_t seed);
    void iterate(const Context& context);
    bool propose(const Context& context, std::vector<double>& proposal);
    double evaluate(const Context& context, Kind kind, const std::vector<double>& params,
                    std::vector<double>& stats);

    State state_, best_;
    std::vector<double> next_, next_stats_, proposal_;
    IterationSpace space_;
};

// The seed of the index-th start under a random state.
std::uint64_t start_seed(std::uint64_t random_state, std::uint64_t index);

detail::RowsView view_of(const Rows& rows);

}  // namespace vemfast::models
