// The kernels of hidden Markov models with indexed emissions of this level, as the table wants
// them.
#include "chain_entry.hpp"
#include "chain_indexed.hpp"

namespace vemfast::VEMFAST_LEVEL {

extern const IndexedChainKernels indexed_chain_kernels;
constinit const IndexedChainKernels indexed_chain_kernels{chain_entry<IndexedEmission<float>>(),
                                                          chain_entry<IndexedEmission<double>>()};

}  // namespace vemfast::VEMFAST_LEVEL
