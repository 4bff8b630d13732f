#include "exec/memory.hpp"

#include <cstdint>
#include <cstdio>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "vemfast/errors.hpp"

namespace vemfast {

OutOfMemory::OutOfMemory(std::size_t bytes) noexcept {
    std::snprintf(message_, sizeof message_, "unable to allocate %zu bytes", bytes);
}

namespace exec {

namespace {

// Large buffers in large pages: to fault small ones in, one by one, costs as much as a pass over
// them, and threads wait for each other there. A hint only: what comes of it does not matter.
void ask_for_large_pages([[maybe_unused]] void* memory, [[maybe_unused]] std::size_t bytes) {
#if defined(MADV_HUGEPAGE)
    constexpr std::size_t kPage = std::size_t{2} << 20;
    if (bytes < 2 * kPage)
        return;
    const std::size_t before = (kPage - reinterpret_cast<std::uintptr_t>(memory) % kPage) % kPage;
    madvise(static_cast<char*>(memory) + before, (bytes - before) / kPage * kPage, MADV_HUGEPAGE);
#endif
}

}  // namespace

Memory allocate(std::size_t bytes) {
    try {
        Memory memory(::operator new(bytes, kCacheLine));
        ask_for_large_pages(memory.get(), bytes);
        return memory;
    } catch (const std::bad_alloc&) {
        throw OutOfMemory(bytes);
    }
}

}  // namespace exec

}  // namespace vemfast
