// The choice of the instruction-set level.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "isa/table.hpp"
#include "vemfast/version.hpp"

namespace vemfast {

// The kernels of the chosen level: the best that the processor has (v4 only when asked for), or the
// one named by the environment variable VEMFAST_ISA. The choice is made at the first call. Throws
// std::invalid_argument for a level that is unknown or that the processor does not have, and
// std::runtime_error where no compiled level fits the processor.
VEMFAST_API const KernelTable& kernels();

// n numbers rounded up to whole vectors of that level.
template <class T>
std::size_t whole_vectors(std::size_t n) {
    const auto lanes = static_cast<std::size_t>(kernels().vector_bytes) / sizeof(T);
    return (n + lanes - 1) / lanes * lanes;
}

// The levels that are compiled in and that this processor has, lowest first.
VEMFAST_API std::vector<std::string> available_levels();

}  // namespace vemfast
