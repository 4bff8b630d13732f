// The O(K) half of the indexed families: Bernoulli, Poisson and categorical components under their
// conjugate priors. Formulas: docs/formulas/discrete_mixtures.md.
//
// Tables, parameters and statistics are by feature, the component last: theta[f * K + k].
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "../kernels/indexed_task.hpp"
#include "vemfast/random.hpp"
#include "vemfast/version.hpp"

namespace vemfast::detail {

struct IndexedShape {
    std::size_t n_components = 1;
    std::size_t n_features = 0;                // D
    std::size_t n_values = 0;                  // F: D, or the codes of all columns
    std::vector<std::int64_t> column_offsets;  // D + 1 (categorical)
    bool marginalize = false;

    // Rows of the table: the missing features of the other families follow the values.
    std::size_t n_indexed() const {
        return n_values + (marginalize && column_offsets.empty() ? n_features : 0);
    }
};

struct IndexedPrior {
    bool is_proper = false;
    std::vector<double> a;  // F: beta, shape of the gamma, or concentrations
    std::vector<double> b;  // F: beta, rate of the gamma; empty (categorical)
};

struct IndexedStats {
    const double* counts;  // K
    const double* sums;    // n_indexed x K
};

// Scores constant[k] + sum of v table[f * K + k]; n_indexed x K.
struct IndexedNatural {
    std::vector<double> constant, table;
};

class VEMFAST_API Indexed {
  public:
    Indexed(IndexedShape shape, IndexedPrior prior);
    virtual ~Indexed() = default;
    Indexed(const Indexed&) = delete;
    Indexed& operator=(const Indexed&) = delete;

    virtual IndexedFamily family() const = 0;
    const IndexedShape& shape() const { return shape_; }

    // Doubles of a point (F x K) and of a posterior.
    std::size_t point_size() const { return F_ * K_; }
    std::size_t posterior_size() const { return point_size() * (prior_.b.empty() ? 1 : 2); }

    // Scores of a point, or expected ones, without weights.
    virtual IndexedNatural natural(const double* point) const = 0;
    virtual IndexedNatural expected_natural(const double* posterior) const = 0;

    virtual void posterior(const IndexedStats& stats, double* out) const = 0;
    virtual void mean(const double* posterior, double* out) const = 0;

    // Posterior mode. What has no data keeps what `out` holds.
    virtual void mode(const IndexedStats& stats, double* out) const = 0;

    // What a component without data starts as.
    virtual void start(double* out) const = 0;

    void sample(const IndexedStats& stats, std::uint64_t seed, std::uint32_t iteration,
                double* out) const;

    double log_prior(const double* point) const {
        return prior_.is_proper ? log_density(point) : 0;
    }
    virtual double kl(const double* posterior) const = 0;

    // <statistics, natural parameters>.
    double expected_log_density(const IndexedNatural& natural, const IndexedStats& stats) const;

  protected:
    virtual double log_density(const double* point) const = 0;
    virtual void sample_component(const double* posterior, std::size_t k, random::Stream& stream,
                                  double* out) const = 0;

    // Responsibility of the rows in which feature d is not missing.
    double trials(const IndexedStats& stats, std::size_t d, std::size_t k) const;

    // Adds up constants by feature, and lets missing features take theirs out again.
    IndexedNatural with_missing(std::vector<double> table,
                                const std::vector<double>& constants) const;

    IndexedShape shape_;
    IndexedPrior prior_;
    std::size_t K_, D_, F_;
};

VEMFAST_API std::unique_ptr<Indexed> make_indexed(IndexedFamily family, IndexedShape shape,
                                                  IndexedPrior prior);

// log x, and for 0 a number that no factor of zero turns into NaN.
double log_or_floor(double x);

// Counts below this are none: their reciprocals overflow.
constexpr double kNoData = 1e-278;

}  // namespace vemfast::detail
