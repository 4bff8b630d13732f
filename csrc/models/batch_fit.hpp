// A fit of a Gaussian mixture under the batch schedule, from rows to fitted parameters.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "models/batch_loop.hpp"
#include "models/gaussian_mixture.hpp"
#include "vemfast/fit.hpp"

namespace vemfast::models {

// What a class calls the priors of its Gaussians.
struct PriorNames {
    const char* mean_precision = "mean_precision_prior";
    const char* mean = "mean_prior";
    const char* degrees_of_freedom = "degrees_of_freedom_prior";
    const char* covariance = "covariance_prior";
};

// Throws std::invalid_argument unless the options make sense for data of so many features.
void check_options(const GaussianMixtureOptions& options, std::size_t n_features,
                   const PriorNames& names = {});

// `weights_init` as Python takes it: as it is given where it adds up to one but for rounding, else
// divided by its sum. Throws std::invalid_argument where it is no distribution, or under `equal`
// not the even one.
std::vector<double> given_weights(std::vector<double> weights, bool equal);

GaussianMixtureShape shape_of(const GaussianMixtureOptions& options, std::size_t n_features);

// What one look at the data, and the options, make of a model.
struct Setup {
    GaussianMixture model;
    std::vector<double> origin;
    std::vector<double> metric;  // squared unit of each feature in which a start measures distance
    double total_weight;
};

struct Weight {
    double total = 0;
    std::size_t positive = 0;  // rows of positive weight
};

// Throws std::invalid_argument, which names the row, unless the weights (if there are any) are
// finite, not negative, not all zero, and in the range of the arithmetic.
Weight check_weights(const detail::RowsView& rows);

// Numbers of the rows of which nothing is observed: all is NaN.
std::vector<std::size_t> unobserved_rows(const detail::RowsView& rows);

// Makes the rows' weights own ones, 0 where nothing is observed; returns them, or nothing where the
// rows stay as they are. Throws std::invalid_argument for weights as check_weights does, and where
// nothing would be left.
std::vector<double> drop_unobserved(detail::RowsView& rows);

// Checks the rows and their weights, and configures a model for them. `weightless`: for the states
// of a chain, which have no weights and may be more than the rows.
Setup configure(const detail::RowsView& rows, const GaussianMixtureOptions& options, int n_threads,
                const Poll& poll, bool weightless = false);

// Of k-means in a start.
int lloyd_iterations(Start start);

// Statistics of rows given to the nearest centre, or of random responsibilities, into `stats`. Rows
// with labels have one each, which counts.
void start_statistics(const Setup& setup, const detail::RowsView& rows,
                      const GaussianMixtureOptions& options, std::uint64_t seed, int n_threads,
                      const Poll& poll, Workspaces& memory, double* stats);

// Fits, one after another, in memory that is used again.
class BatchFit {
  public:
    // Runs all starts; the result is that of highest objective.
    const FitState& run(const Setup& setup, const detail::RowsView& rows,
                        const GaussianMixtureOptions& options, std::uint64_t random_state,
                        int n_threads, const Poll& poll);

  private:
    class Run;

    FitState state_, best_;
    LoopSpace loop_;
    IterationSpace space_;
};

}  // namespace vemfast::models
