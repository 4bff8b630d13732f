// Codes: x_d ~ Categorical(p_dk), one Dirichlet prior a column. A posterior is concentrations
// (F x K).
#pragma once

#include "indexed.hpp"

namespace vemfast::detail {

class Categorical final : public Indexed {
  public:
    using Indexed::Indexed;

    IndexedFamily family() const override { return IndexedFamily::categorical; }
    IndexedNatural natural(const double* point) const override;
    IndexedNatural expected_natural(const double* posterior) const override;
    void posterior(const IndexedStats& stats, double* out) const override;
    void mean(const double* posterior, double* out) const override;
    void mode(const IndexedStats& stats, double* out) const override;
    void start(double* out) const override;
    double kl(const double* posterior) const override;

  private:
    double log_density(const double* point) const override;
    void sample_component(const double* posterior, std::size_t k, random::Stream& stream,
                          double* out) const override;
};

}  // namespace vemfast::detail
