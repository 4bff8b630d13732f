// Entry points of the kernels of the indexed families of one level.
#pragma once

#include <cstddef>

#include "kernels/indexed_task.hpp"

namespace vemfast {

template <class T>
struct IndexedEntry {
    // Adds the statistics of rows [first, first + n_rows) to `stats`.
    void (*estep)(const detail::IndexedTask<T>& task, std::size_t first, std::size_t n_rows,
                  const detail::IndexedSizes& sizes, void* memory, double* stats);
    void (*assign)(const detail::IndexedTask<T>& task, std::size_t first, std::size_t n_rows,
                   const detail::IndexedSizes& sizes, void* memory,
                   const detail::AssignOutputs& out);
    std::size_t (*workspace_bytes)(const detail::IndexedSizes& sizes);
};

struct IndexedKernels {
    IndexedEntry<float> on_float;
    IndexedEntry<double> on_double;
};

}  // namespace vemfast
