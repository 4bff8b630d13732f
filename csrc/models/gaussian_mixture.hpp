// The Gaussian mixture: a mixture structure over Gaussian components, on every rung.
//
// Parameters and statistics are flat buffers of doubles with a fixed layout (below), so that they
// ship, save and compare as plain memory. All of them are in coordinates centred on `origin`.
//   statistics  [local_bound, entropy, counts (K), sums (K x D), scatter]
//   point       [weights (K), means (K x D), covariances]
//   posterior   [concentration (K or 2 x K), means (K x D), mean_precision (K),
//                degrees_of_freedom (K or 1), scale]
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "families/dirichlet.hpp"
#include "families/gaussian.hpp"
#include "kernels/task.hpp"
#include "models/row_pass.hpp"
#include "models/rules.hpp"
#include "vemfast/poll.hpp"
#include "vemfast/version.hpp"

namespace vemfast::models {

// The numbers that a kernel scores rows with, as detail::GaussianScores points to them.
template <class T>
struct ScoreArrays {
    std::vector<T> constant, factor, shift, tail, tail_scale;
};

// What a kernel scores rows with: made from parameters in O(K).
class VEMFAST_API ScoreTable {
  public:
    ScoreTable() = default;  // to be filled

    // Factors belong to `means` (K x D); the weights' logarithms (K) are added to their constants.
    void fill(const detail::Gaussian& family, const detail::Gaussian::Factors& factors,
              const double* means, const double* log_weights, const std::vector<double>& origin);
    // Makes the scores those of a posterior predictive, Student's t.
    void set_tails(const detail::Gaussian::StudentFactors& factors);

    // Doubles are read where they are; floats are rounded from them into `narrow`.
    detail::GaussianScores<double> view(ScoreArrays<double>& unused) const;
    detail::GaussianScores<float> view(ScoreArrays<float>& narrow) const;

    // Null unless the table was made to integrate missing features out.
    const detail::MissingScores* missing() const {
        return missing_.stride == 0 ? nullptr : &missing_;
    }
    void marginalize(const detail::Gaussian& family, const detail::Gaussian::Factors& factors,
                     const double* means);
    void marginalize(const detail::Gaussian& family,
                     const detail::Gaussian::StudentFactors& factors, const double* means);

    std::size_t n_components() const { return K_; }
    std::size_t n_features() const { return origin_.size(); }
    bool is_student() const { return !arrays_.tail.empty(); }
    // Whether float rows are to be scored, and their second moments summed, in double.
    bool needs_double() const { return needs_double_; }
    bool has_matrices() const;

  private:
    void set_missing(const detail::Gaussian& family, const detail::Gaussian::Factors& factors,
                     const double* means, const std::vector<double>& gain);

    template <class T>
    detail::GaussianScores<T> view_of(const ScoreArrays<T>& arrays) const;

    detail::Covariance kind_ = detail::Covariance::full;
    std::size_t K_ = 0;
    bool needs_double_ = false;
    std::vector<double> origin_;
    ScoreArrays<double> arrays_;
    // The storage of what missing_ points to; shared, so that a copy of the table keeps it.
    std::shared_ptr<const std::vector<double>> lanes_;
    detail::MissingScores missing_;
};

// What an iteration needs beside parameters and statistics; kept from one to the next, so that
// those on small data sets allocate nothing.
struct IterationSpace {
    detail::Gaussian::Factors factors;
    std::vector<double> log_weights;
    ScoreTable table;
    Workspaces memory;
};

// Keeps an IterationSpace between calls. Whoever comes while it is lent makes a new one.
class SpaceKeeper {
  public:
    SpaceKeeper() = default;
    SpaceKeeper(SpaceKeeper&& other) noexcept : kept_(other.kept_.exchange(nullptr)) {}
    SpaceKeeper& operator=(SpaceKeeper&&) = delete;
    ~SpaceKeeper() { delete kept_.load(); }

    std::unique_ptr<IterationSpace> take() {
        std::unique_ptr<IterationSpace> space(kept_.exchange(nullptr));
        return space ? std::move(space) : std::make_unique<IterationSpace>();
    }
    void put_back(std::unique_ptr<IterationSpace> space) { delete kept_.exchange(space.release()); }

  private:
    std::atomic<IterationSpace*> kept_ = nullptr;
};

class VEMFAST_API GaussianMixture {
  public:
    // `marginalize`: NaN in rows is a missing value, which score tables integrate out.
    // `keeps_means`: point updates leave the previous means as they are, and maximise over the
    // rest.
    GaussianMixture(detail::Weights weights, detail::Gaussian components,
                    std::vector<double> origin, bool marginalize = false, bool keeps_means = false);

    std::size_t n_components() const { return components_.n_components(); }
    std::size_t n_features() const { return components_.n_features(); }
    detail::Covariance covariance() const { return components_.kind(); }
    const std::vector<double>& column_scale() const { return components_.column_scale(); }
    std::size_t stats_size() const;
    std::size_t params_size(Kind kind) const;

    ScoreTable prepare(Kind kind, const double* params) const;
    // The same into memory that is used again.
    void prepare(Kind kind, const double* params, IterationSpace& space) const;
    ScoreTable predictive(const double* posterior) const;

    // `previous` gives what a component without data keeps; null before the first update.
    void update(ParameterRule rule, Kind previous_kind, const double* previous, const double* stats,
                std::uint64_t seed, std::uint32_t iteration, double* out) const;

    // Whether a component has no rows.
    bool has_empty_component(const double* stats) const;

    // log prior of a point, -KL(q || p) of a posterior.
    double global_term(Kind kind, const double* params) const;

    // prepare, e_step and global_term in one: the rows' statistics at `params` into `stats`.
    // Returns the objective.
    double evaluate(Kind kind, const double* params, const detail::RowsView& rows,
                    detail::LocalRule rule, std::uint64_t seed, std::uint32_t iteration,
                    int n_threads, const Poll& poll, IterationSpace& space, double* stats) const;

    // <statistics, natural parameters>.
    double expected_log_joint(Kind kind, const double* params, const double* stats) const;

    // The precisions' lower triangular factors F (Lambda = F^T F) of a point, in the shape of its
    // covariances; diagonals and spherical precisions as their roots.
    std::vector<double> precision_factors(const double* point) const;

    // E[weights] of a posterior.
    void mean_weights(const double* posterior, double* out) const;

    // Indices of the covariances that a point holds at the edge of the support.
    std::vector<std::size_t> at_edge(const double* point) const;

  private:
    template <class Double>
    detail::GaussianFields<Double> fields(Kind kind, Double* params) const;
    void log_weights(Kind kind, const double* params, std::vector<double>& out) const;
    double global_term(Kind kind, const double* params,
                       const detail::Gaussian::Factors& factors) const;

    detail::Weights weights_;
    detail::Gaussian components_;
    std::vector<double> origin_;
    bool marginalize_;
    bool keeps_means_;
};

// Scores that give each row to the nearest centre (K x D, centred), in squared units `metric` (D).
VEMFAST_API ScoreTable nearest_table(std::size_t n_components, const double* centres,
                                     const std::vector<double>& metric,
                                     const std::vector<double>& origin, bool marginalize = false);

// Block sizes for a shape; see task.hpp.
VEMFAST_API detail::BlockShape block_shape(std::size_t n_features, std::size_t n_components,
                                           bool is_float);

// Statistics of all rows under `rule`, in the statistics' layout of `statistics`, into `stats`.
VEMFAST_API void e_step(const ScoreTable& table, detail::Covariance statistics,
                        const detail::RowsView& rows, detail::LocalRule rule, std::uint64_t seed,
                        std::uint32_t iteration, int n_threads, const Poll& poll, double* stats);
VEMFAST_API void e_step(const ScoreTable& table, detail::Covariance statistics,
                        const detail::RowsView& rows, detail::LocalRule rule, std::uint64_t seed,
                        std::uint32_t iteration, int n_threads, const Poll& poll,
                        Workspaces& memory, double* stats);

// Labels, responsibilities, log densities or scores of all rows.
VEMFAST_API void assign(const ScoreTable& table, const detail::RowsView& rows,
                        const detail::AssignOutputs& out, int n_threads, const Poll& poll);

}  // namespace vemfast::models
