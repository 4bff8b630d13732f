// The kernels of hidden Markov models with Gaussian emissions of this level, as the table wants
// them.
#include "chain_entry.hpp"
#include "chain_gaussian.hpp"

namespace vemfast::VEMFAST_LEVEL {

extern const GaussianChainKernels gaussian_chain_kernels;
constinit const GaussianChainKernels gaussian_chain_kernels{
    chain_entry<GaussianEmission<float>>(), chain_entry<GaussianEmission<double>>()};

}  // namespace vemfast::VEMFAST_LEVEL
