// The discrete mixtures: a mixture structure over Bernoulli, Poisson or categorical components, on
// every rung.
//
// Parameters and statistics are flat buffers of doubles, by feature, the component last:
//   statistics  [local_bound, entropy, counts (K), sums (F x K), absent (D x K, where a feature of
//                Bernoulli or Poisson rows may be missing)]
//   point       [weights (K), probabilities or rates (F x K)]
//   posterior   [concentration (K or 2 x K), a (F x K), b (F x K, not categorical)]
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "families/dirichlet.hpp"
#include "families/indexed.hpp"
#include "kernels/indexed_task.hpp"
#include "models/rules.hpp"
#include "vemfast/poll.hpp"
#include "vemfast/version.hpp"

namespace vemfast::models {

// What a kernel scores rows with: made from parameters in O(K). Packed for the kernels when a pass
// begins, in the precision of its rows.
struct IndexedTable {
    detail::IndexedFamily family;
    detail::IndexedShape shape;
    detail::IndexedNatural natural;  // weights included
};

class VEMFAST_API DiscreteMixture {
  public:
    DiscreteMixture(detail::Weights weights, std::unique_ptr<detail::Indexed> components);

    std::size_t n_components() const { return components_->shape().n_components; }
    const detail::IndexedShape& shape() const { return components_->shape(); }
    const detail::Weights& weights() const { return weights_; }
    std::size_t stats_size() const;
    std::size_t params_size(Kind kind) const;

    IndexedTable prepare(Kind kind, const double* params) const;

    // `previous` gives what a component without data keeps; null before the first update.
    void update(ParameterRule rule, Kind previous_kind, const double* previous, const double* stats,
                std::uint64_t seed, std::uint32_t iteration, double* out) const;

    // log prior of a point, -KL(q || p) of a posterior.
    double global_term(Kind kind, const double* params) const;

    // <statistics, natural parameters>.
    double expected_log_joint(Kind kind, const double* params, const double* stats) const;

    // E[weights] of a posterior.
    void mean_weights(const double* posterior, double* out) const;

  private:
    detail::IndexedNatural natural(Kind kind, const double* params) const;
    const double* components_of(Kind kind, const double* params) const;

    detail::Weights weights_;
    std::unique_ptr<detail::Indexed> components_;
};

// Rows of one leaf and of one tile; they depend on the shape and the scalar type only. Tiles are
// larger for groups of bits.
VEMFAST_API detail::BlockShape indexed_block_shape(std::size_t n_indexed, std::size_t n_components,
                                                   bool is_float, bool grouped = false);

// Statistics of all rows under `rule` into `stats`; scores in float where `is_float`.
VEMFAST_API void e_step(const IndexedTable& table, const detail::IndexedRows& rows, bool is_float,
                        detail::LocalRule rule, std::uint64_t seed, std::uint32_t iteration,
                        int n_threads, const Poll& poll, double* stats);

// Labels, responsibilities, log densities or scores of all rows.
VEMFAST_API void assign(const IndexedTable& table, const detail::IndexedRows& rows, bool is_float,
                        const detail::AssignOutputs& out, int n_threads, const Poll& poll);

// out[n] = -sum of log x! over the counts of row n: the log base measure of a Poisson row. Missing
// counts have none.
VEMFAST_API void log_base_measure(const detail::IndexedRows& rows, int n_threads, const Poll& poll,
                                  double* out);

}  // namespace vemfast::models
