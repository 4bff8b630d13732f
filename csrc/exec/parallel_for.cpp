#include "exec/parallel.hpp"
#include "exec/region.hpp"

namespace vemfast::exec {

void parallel_for(std::int64_t n_items, int n_threads, const Poll& poll,
                  FunctionRef<void(std::int64_t item, int slot)> item) {
    for_each_item(n_items, n_threads, poll, item);
}

}  // namespace vemfast::exec
