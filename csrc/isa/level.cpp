// Compiled once for each instruction-set level, with VEMFAST_LEVEL naming the level's namespace and
// VEMFAST_VECTOR_BYTES its vector width. Whatever is compiled here must stay inside that namespace:
// an inline function shared between levels would be kept in one copy only, chosen by link order,
// and an old processor could be sent into code that it does not have. The same holds for the groups
// of kernels, csrc/kernels/*_entry.cpp, each of which fills its part of the table.
#include "isa/table.hpp"

#define VEMFAST_QUOTE_(x) #x
#define VEMFAST_QUOTE(x) VEMFAST_QUOTE_(x)

namespace vemfast::VEMFAST_LEVEL {

extern const GaussianChainKernels gaussian_chain_kernels;
extern const IndexedChainKernels indexed_chain_kernels;
extern const IndexedKernels indexed_kernels;
extern const LdaKernels lda_kernels;
extern const MixtureKernels mixture_kernels;
extern const ScoredChainKernels scored_chain_kernels;
extern const SpecialKernels special_kernels;
extern const VaeKernels vae_kernels;

extern const KernelTable kernel_table;
// constinit: code that fills the table at load would run on processors that lack the level.
constinit const KernelTable kernel_table{
    .level = VEMFAST_QUOTE(VEMFAST_LEVEL),
    .vector_bytes = VEMFAST_VECTOR_BYTES,
    .mixture = mixture_kernels,
    .indexed = indexed_kernels,
    .lda = lda_kernels,
    .gaussian_chain = gaussian_chain_kernels,
    .indexed_chain = indexed_chain_kernels,
    .scored_chain = scored_chain_kernels,
    .special = special_kernels,
    .vae = vae_kernels,
};

}  // namespace vemfast::VEMFAST_LEVEL
