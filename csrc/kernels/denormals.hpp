// Numbers too small for a normal one, taken for zero.
#pragma once

#include "../math/vec.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

// From here on results too small for a normal number are zero, and so are such arguments. Products
// of small shares and small probabilities would be denormal numbers, which cost a hundred times a
// normal one and add nothing that a sum of shares could show. Each thread has its own mode; the one
// before is returned, for restore_mode. No guard object: its clean-up would make the linker share
// the tables of exceptions among the levels.
inline unsigned flush_denormals() {
#if defined(__SSE2__)
    const unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040U);
    return mode;
#else
    return 0;
#endif
}

inline void restore_mode([[maybe_unused]] unsigned mode) {
#if defined(__SSE2__)
    _mm_setcsr(mode);
#endif
}

inline std::size_t to_multiple(std::size_t n, std::size_t multiple) {
    return (n + multiple - 1) / multiple * multiple;
}

}  // namespace
}  // namespace vemfast::VEMFAST_LEVEL
