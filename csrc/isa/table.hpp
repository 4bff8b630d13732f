// The table of kernels: one instance for each instruction-set level, filled in level.cpp, of which
// dispatch.cpp chooses one when the library is loaded.
//
// To add a group of kernels: declare its struct of function pointers in a header of its own, define
// it in csrc/kernels/<group>_entry.cpp, add a field here, and the same field in level.cpp. A group
// is a translation unit of its own, so that levels and groups compile side by side.
#pragma once

#include "isa/hmm_kernels.hpp"
#include "isa/indexed_kernels.hpp"
#include "isa/lda_kernels.hpp"
#include "isa/mixture_kernels.hpp"
#include "isa/special_kernels.hpp"
#include "isa/vae_kernels.hpp"

namespace vemfast {

struct KernelTable {
    const char* level;  // "v2", "v3", "v4" or "base"
    int vector_bytes;   // width of the level's vector registers
    const MixtureKernels& mixture;
    const IndexedKernels& indexed;
    const LdaKernels& lda;
    const GaussianChainKernels& gaussian_chain;
    const IndexedChainKernels& indexed_chain;
    const ScoredChainKernels& scored_chain;
    const SpecialKernels& special;
    const VaeKernels& vae;
};

}  // namespace vemfast
