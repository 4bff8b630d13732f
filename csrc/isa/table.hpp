// The table of kernels: one instance for each instruction-set level, filled in level.cpp, of which
// dispatch.cpp chooses one when the library is loaded.
//
// To add a group of kernels: declare its struct of function pointers in a header of its own, add a
// field here, and add the same field's initialiser in level.cpp.
#pragma once

#include "isa/indexed_kernels.hpp"
#include "isa/lda_kernels.hpp"
#include "isa/mixture_kernels.hpp"
#include "isa/special_kernels.hpp"

namespace vemfast {

struct KernelTable {
    const char* level;  // "v2", "v3", "v4" or "base"
    int vector_bytes;   // width of the level's vector registers
    MixtureKernels mixture;
    IndexedKernels indexed;
    LdaKernels lda;
    SpecialKernels special;
};

}  // namespace vemfast
