// Threads that go through the stages of one computation together.
//
// Where stages are short and follow from each other, a parallel_for each costs a start and an end,
// and hands a different part of the data to each thread every time. In a team a thread can keep to
// its part, which then stays in its cache. What a part computes must not depend on the team's size.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "exec/function_ref.hpp"
#include "vemfast/poll.hpp"
#include "vemfast/version.hpp"

namespace vemfast::exec {

// Where a team waits for its last thread: awake for a moment, and then asleep. OpenMP's own barrier
// stays awake for milliseconds, which on a busy machine is the time that the last one wants to run.
class Gate {
  public:
    void pass(int size);

  private:
    std::atomic<int> arrived_ = 0;
    std::atomic<std::uint32_t> opened_ = 0;  // times
};

// One thread's view of its team.
class VEMFAST_API Team {
  public:
    Team(int slot, int size, const FunctionRef<bool()>& poll, Gate& gate,
         std::atomic<std::int64_t>& stop_at)
        : slot_(slot), size_(size), poll_(&poll), gate_(&gate), stop_at_(&stop_at) {}

    int slot() const { return slot_; }
    int size() const { return size_; }

    // The first of this thread's share of 0..n-1, which ends where the next thread's begins.
    std::size_t begin(std::size_t n) const { return cut(n, slot_); }
    std::size_t end(std::size_t n) const { return cut(n, slot_ + 1); }

    // Waits until all threads are here. False, for all of them, once `poll` asks for a stop: then
    // they should return.
    bool barrier();

  private:
    std::size_t cut(std::size_t n, int slot) const {
        return n * static_cast<std::size_t>(slot) / static_cast<std::size_t>(size_);
    }

    int slot_, size_;
    const FunctionRef<bool()>* poll_;
    Gate* gate_;
    std::atomic<std::int64_t>* stop_at_;  // the barrier that turns back; 0: none
    std::int64_t barriers_ = 0;
};

// Calls work(member) on each thread of a team of at most n_threads; the calling thread has slot 0.
// There may be fewer: beside other regions, inside of one, or in a forked child. All must come to
// the same barriers, and none may throw. Interrupted is thrown when `poll`, asked at barriers every
// 50 ms, asks for a stop.
VEMFAST_API void team(int n_threads, const Poll& poll, FunctionRef<void(Team&)> work);

}  // namespace vemfast::exec
