// Working memory whose size depends on the caller's data.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

#include "vemfast/version.hpp"

namespace vemfast::exec {

inline constexpr std::align_val_t kCacheLine{64};

struct ReleaseMemory {
    void operator()(void* memory) const { ::operator delete(memory, kCacheLine); }
};
using Memory = std::unique_ptr<void, ReleaseMemory>;

// Uninitialised, aligned to cache lines. Throws OutOfMemory with the size.
VEMFAST_API Memory allocate(std::size_t bytes);

}  // namespace vemfast::exec
