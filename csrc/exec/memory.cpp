#include "exec/memory.hpp"

#include <cstdio>

#include "vemfast/errors.hpp"

namespace vemfast {

OutOfMemory::OutOfMemory(std::size_t bytes) noexcept {
    std::snprintf(message_, sizeof message_, "unable to allocate %zu bytes", bytes);
}

namespace exec {

Memory allocate(std::size_t bytes) {
    try {
        return Memory(::operator new(bytes, kCacheLine));
    } catch (const std::bad_alloc&) {
        throw OutOfMemory(bytes);
    }
}

}  // namespace exec

}  // namespace vemfast
