// Entry points of the special functions and of the row uniforms of one level, over arrays of any
// length. The output of a map may be its argument, but may not overlap it otherwise.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vemfast {

template <class T>
struct SpecialEntry {
    // out[i] = f(x[i]), i < n.
    using Map = void (*)(const T* x, std::size_t n, T* out);
    Map exp;
    Map exp_nonpositive;  // for x <= 0
    Map log;
    Map digamma;
    Map exp_digamma;
    Map lgamma;
    // out[i] = log sum_j exp(s[i * n_columns + j]), i < n_rows, j < n_columns; n_columns >= 1.
    void (*logsumexp)(const T* s, std::size_t n_rows, std::size_t n_columns, T* out);
};

struct SpecialKernels {
    SpecialEntry<float> on_float;
    SpecialEntry<double> on_double;
    // out[i] = random::uniform(seed, iteration, first_row + i, stream), i < n.
    void (*uniforms)(std::uint64_t seed, std::uint32_t iteration, std::uint64_t first_row,
                     std::uint32_t stream, std::size_t n, double* out);
};

}  // namespace vemfast
