// Emissions whose scores somebody else has made: n_steps x K doubles. They have no statistics.
#pragma once

#include "chain_emission.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

class ScoredEmission {
  public:
    using Steps = ScoredSteps;

    static std::size_t bytes(const Steps& /*steps*/) { return 0; }

    ScoredEmission(const Steps& steps, void* /*memory*/) : steps_(steps) {}

    void likelihoods(std::size_t row, std::size_t n, double* out, std::size_t ld, double* shift) {
        scores(row, n, out, ld);
        for (std::size_t i = 0; i < n; ++i) {
            double* b = out + i * ld;
            Vec<double> tops = load<double>(b);
            for (std::size_t k = kLanes<double>; k < ld; k += kLanes<double>)
                tops = max<double>(tops, load<double>(b + k));
            double largest = tops[0];
            for (std::size_t lane = 1; lane < kLanes<double>; ++lane)
                largest = tops[lane] > largest ? tops[lane] : largest;
            const double above = largest > -__builtin_inf() ? largest : 0.0;
            shift[i] = above;
            for (std::size_t k = 0; k < ld; k += kLanes<double>)
                store<double>(b + k, likelihood_of(load<double>(b + k) - splat<double>(above)));
        }
    }

    void scores(std::size_t row, std::size_t n, double* out, std::size_t ld) {
        const std::size_t K = steps_.n_states;
        for (std::size_t i = 0; i < n; ++i) {
            const double* from = steps_.scores + (row + i) * K;
            for (std::size_t k = 0; k < K; ++k)
                out[i * ld + k] = from[k];
            for (std::size_t k = K; k < ld; ++k)
                out[i * ld + k] = -__builtin_inf();
        }
    }

    double base(std::size_t /*row*/) const { return 0.0; }

    double accumulate(std::size_t /*row*/, std::size_t /*n*/, const double* /*g*/,
                      std::size_t /*ld*/, const double* /*w*/, double* /*stats*/) {
        return 0;
    }

    void accumulate_labels(std::size_t /*row*/, std::size_t /*n*/, const std::int32_t* /*labels*/,
                           const double* /*w*/, double* /*stats*/) {}

  private:
    const Steps& steps_;
};

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
