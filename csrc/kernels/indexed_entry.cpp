// The kernels of the indexed families of this level, as the table wants them.
#include "../isa/indexed_kernels.hpp"
#include "indexed_estep.hpp"

namespace vemfast::VEMFAST_LEVEL {
namespace {

template <class T>
constexpr IndexedEntry<T> indexed_entry() {
    return {&indexed_estep<T>, &indexed_assign<T>, &indexed_workspace_bytes<T>};
}

}  // namespace

extern const IndexedKernels indexed_kernels;
constinit const IndexedKernels indexed_kernels{indexed_entry<float>(), indexed_entry<double>()};

}  // namespace vemfast::VEMFAST_LEVEL
