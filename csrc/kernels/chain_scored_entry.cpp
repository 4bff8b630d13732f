// The kernels of hidden Markov chains over given scores of this level, as the table wants them.
#include "chain_entry.hpp"
#include "chain_scored.hpp"

namespace vemfast::VEMFAST_LEVEL {

extern const ScoredChainKernels scored_chain_kernels;
constinit const ScoredChainKernels scored_chain_kernels{chain_entry<ScoredEmission>()};

}  // namespace vemfast::VEMFAST_LEVEL
