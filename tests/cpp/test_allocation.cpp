// Running out of memory at each place where the parallel primitives allocate: an exception on the
// calling thread, and nothing leaks; and loops that allocate nothing. The program replaces the
// global allocator for that.
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include "check.hpp"
#include "exec/memory.hpp"
#include "exec/parallel.hpp"
#include "models/vae.hpp"

namespace {

std::atomic<bool> watching = false;
std::atomic<int> allocations_left = 0;
std::atomic<int> live = 0;

void* allocate(std::size_t bytes, std::size_t alignment) {
    if (watching && allocations_left.fetch_sub(1) <= 0) {
        throw std::bad_alloc();
    }
    // More than a machine has: refused here, because a sanitizer's allocator would abort.
    if (bytes > std::size_t{1} << 40) {
        throw std::bad_alloc();
    }
    const std::size_t rounded = (bytes + alignment - 1) / alignment * alignment;
    void* memory = std::aligned_alloc(alignment, rounded);
    if (memory == nullptr) {
        throw std::bad_alloc();
    }
    ++live;
    return memory;
}

void release(void* memory) {
    if (memory != nullptr) {
        --live;
        std::free(memory);
    }
}

}  // namespace

void* operator new(std::size_t bytes) {
    return allocate(bytes, alignof(std::max_align_t));
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
    return allocate(bytes, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept {
    release(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
    release(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
    release(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
    release(memory);
}

namespace {

using vemfast::exec::map_reduce;

constexpr std::int64_t kLeaves = 100;

TEST_CASE(working_memory_that_is_not_to_be_had_says_how_much_it_was) {
    std::string message;
    try {
        (void)vemfast::exec::allocate(std::size_t{1} << 60);
    } catch (const std::bad_alloc& error) {
        message = error.what();
    }
    CHECK(message == "unable to allocate 1152921504606846976 bytes");
}

// The sum 0 + 1 + ... + 99, or -1 if the `n_allocations + 1`-th allocation was refused.
double sum_with(int n_allocations, int n_threads) {
    const vemfast::Poll no_poll;
    double result = 0;
    allocations_left = n_allocations;
    watching = true;
    try {
        map_reduce(
            kLeaves, 1, n_threads, no_poll,
            [](std::int64_t leaf, int, double* accumulator) {
                accumulator[0] += static_cast<double>(leaf);
            },
            &result);
    } catch (const std::bad_alloc&) {
        result = -1;
    }
    watching = false;
    return result;
}

TEST_CASE(each_refused_allocation_is_an_exception_and_leaks_nothing) {
    for (const int n_threads : {1, 4}) {
        CHECK(sum_with(10000, n_threads) == 4950);
        const int before = live;
        CHECK(sum_with(0, n_threads) == -1);
        for (int allowed = 1; allowed < 40; ++allowed) {
            const double sum = sum_with(allowed, n_threads);
            CHECK(sum == 4950 || sum == -1);
        }
        CHECK(sum_with(10000, n_threads) == 4950);
        CHECK(live == before);
    }
}

TEST_CASE(batches_of_an_autoencoder_allocate_nothing) {
    using namespace vemfast::models;
    constexpr std::size_t kRows = 40;
    const VaeNetwork network({200,
                              7,
                              {190},
                              vemfast::detail::Activation::relu,
                              vemfast::detail::Likelihood::bernoulli,
                              0});
    const std::vector<float> x(kRows * 200, 0.5F);
    VaeRows rows;
    rows.n_rows = kRows;
    rows.values = x.data();
    rows.row_stride = 200;
    const std::vector<std::int64_t> order(60 * kRows, 3);
    std::vector<float> weights(network.size(), 0.01F), first(weights.size()), second(first);
    constexpr int kPlenty = 1 << 30;
    const auto allocations = [&](std::size_t batches, int n_threads) {
        VaeTraining training{weights.data(), first.data(), second.data(), 0, 0, 0};
        allocations_left = kPlenty;
        watching = true;
        network.sweep(training, {}, {rows}, order.data(), batches * kRows,
                      {{}, 1, 1, kRows, n_threads}, {});
        watching = false;
        return kPlenty - allocations_left;
    };
    for (const int n_threads : {1, 2}) {
        (void)allocations(1, n_threads);  // starts the threads
        const int of_one = allocations(1, n_threads);
        CHECK(of_one > 0);
        CHECK(allocations(60, n_threads) == of_one);
    }
}

}  // namespace
