// Bits: x_d ~ Bernoulli(p_dk) with p_dk ~ Beta(a_d, b_d). A posterior is a (F x K), then b.
#pragma once

#include "indexed.hpp"

namespace vemfast::detail {

class Bernoulli final : public Indexed {
  public:
    using Indexed::Indexed;

    IndexedFamily family() const override { return IndexedFamily::bernoulli; }
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
