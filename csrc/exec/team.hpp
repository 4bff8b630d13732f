// Threads that go through the stages of one computation together.
//
// Where stages are short and follow from each other, a parallel_for each costs a start and an end,
// and hands a different part of the data to each thread every time. In a team a thread begins with
// its part, which then stays in its cache, and helps with others' only when it is done. What a part
// computes must not depend on the team's size.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <vector>

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

// What a team needs to share out the items of its stages: made once, for any number of teams of at
// most n_threads that follow each other, so that a team allocates nothing.
class VEMFAST_API Shares {
  public:
    static constexpr std::size_t kMostItems = (std::size_t{1} << 24) - 1;

    explicit Shares(int n_threads);
    int most() const { return static_cast<int>(left_.size()); }

    // An item of the n of a stage for the thread of this slot: of its own share, which goes from
    // the front, or else one from the end of another's. False: there is none left.
    bool take(std::uint16_t stage, int slot, int size, std::size_t n, std::size_t& item);
    void reset();

  private:
    // A slot's share of a stage: what of it nobody has begun.
    struct alignas(64) Left {
        std::atomic<std::uint64_t> packed = 0;
    };
    bool take_of(std::uint16_t stage, int owner, int size, std::size_t n, bool front,
                 std::size_t& item);

    std::vector<Left> left_;
};

// One thread's view of its team.
class VEMFAST_API Team {
  public:
    Team(int slot, int size, const FunctionRef<bool()>& poll, Gate& gate, Shares& shares,
         std::atomic<std::int64_t>& stop_at)
        : slot_(slot),
          size_(size),
          poll_(&poll),
          gate_(&gate),
          shares_(&shares),
          stop_at_(&stop_at) {}

    int slot() const { return slot_; }
    int size() const { return size_; }

    // The first of this thread's share of 0..n-1, which ends where the next thread's begins.
    std::size_t begin(std::size_t n) const { return cut(n, slot_); }
    std::size_t end(std::size_t n) const { return cut(n, slot_ + 1); }

    // Calls work(item) for items of 0..n-1: for those of this thread's share, the same in each
    // stage of as many, and then for others' that they have not begun. A stage of its own, also
    // where no barrier parts it from the next; all threads must come to the same stages.
    template <class Work>
    void share_out(std::size_t n, const Work& work) {
        const std::uint16_t stage = ++stages_;
        const std::size_t group = n / Shares::kMostItems + 1;
        std::size_t own = 0;
        while (shares_->take(stage, slot_, size_, (n + group - 1) / group, own)) {
            for (std::size_t item = own * group; item < n && item < (own + 1) * group; ++item)
                work(item);
        }
    }

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
    Shares* shares_;
    std::uint16_t stages_ = 0;
    std::atomic<std::int64_t>* stop_at_;  // the barrier that turns back; 0: none
    std::int64_t barriers_ = 0;
};

// Calls work(member) on each thread of a team of at most shares.most(); the calling thread has slot
// 0. There may be fewer: beside other regions, inside of one, or in a forked child. All must come
// to the same barriers, and none may throw. Interrupted is thrown when `poll`, asked at barriers
// every 50 ms, asks for a stop.
VEMFAST_API void team(Shares& shares, const Poll& poll, FunctionRef<void(Team&)> work);

}  // namespace vemfast::exec
