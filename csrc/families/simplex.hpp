// Rows of probabilities under Dirichlet priors of any concentration, some of whose entries may be
// structural zeros or frozen at given values: the start and the transitions of a Markov chain.
//
// A row whose frozen entries add up to f shares the other 1 - f among its free entries: those of
// the support that are not frozen. The prior and the posterior are Dirichlet distributions of the
// shares; the concentrations of entries that are not free are 0. Formulas: docs/formulas/hmm.md.
#pragma once

#include <cstddef>
#include <vector>

#include "vemfast/random.hpp"
#include "vemfast/version.hpp"

namespace vemfast::detail {

class VEMFAST_API Simplex {
  public:
    // One row of K entries. `prior`: concentrations, empty for a flat one. `support`: 0 is a
    // structural zero; empty: there is none. `frozen`: values, NaN where free; empty: all are.
    Simplex(std::size_t size, std::vector<double> prior, const std::vector<unsigned char>& support,
            std::vector<double> frozen);

    std::size_t size() const { return size_; }

    // Posterior mode. A row without mass shares its free part as `previous` does (null: equally).
    void mode(const double* counts, const double* previous, double* out) const;
    void posterior(const double* counts, double* out) const;
    void sample(const double* counts, random::Stream& stream, double* out) const;

    // E[log p] under a posterior, -inf for structural zeros; and the logarithms of a point.
    void expected_log(const double* concentration, double* out) const;
    void log_of(const double* point, double* out) const;
    void mean(const double* concentration, double* out) const;

    double log_prior(const double* point) const;
    double kl(const double* concentration) const;

  private:
    bool is_flat() const { return prior_.empty(); }
    // Values of the entries that are not free.
    void fill_fixed(double* out) const;

    std::size_t size_;
    std::vector<double> prior_;
    std::vector<double> frozen_;
    std::vector<std::size_t> free_;
    double left_ = 1.0;  // 1 - f
};

}  // namespace vemfast::detail
