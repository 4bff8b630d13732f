#include "exec/region.hpp"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cfenv>
#include <chrono>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include "exec/fork_guard.hpp"
#include "exec/team.hpp"
#include "exec/thread_share.hpp"
#include "vemfast/errors.hpp"

namespace vemfast::exec {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kPollInterval{50};

// The reasons to leave a region early, gathered from all threads and raised once it has ended: no
// exception may leave an OpenMP region.
class Outcome {
  public:
    explicit Outcome(const Poll& poll) : poll_(poll) {}

    bool stopped() const { return stop_.load(std::memory_order_relaxed); }
    const std::atomic<bool>& interrupted() const { return interrupted_; }

    void interrupt() noexcept {
        interrupted_.store(true, std::memory_order_relaxed);
        stop_.store(true, std::memory_order_relaxed);
    }

    void fail(std::int64_t item, std::exception_ptr error) noexcept {
        const std::lock_guard lock(mutex_);
        if (!error_ || item < failed_item_) {
            error_ = std::move(error);
            failed_item_ = item;
        }
        stop_.store(true, std::memory_order_relaxed);
    }

    // For the calling thread only.
    void poll() noexcept {
        if (!poll_ || Clock::now() - last_poll_ < kPollInterval) {
            return;
        }
        try {
            if (!interrupted_ && poll_())
                interrupt();
        } catch (...) {
            fail(-1, std::current_exception());
        }
        last_poll_ = Clock::now();
    }

    // Before a thread takes its first item.
    void enter() { working_.fetch_add(1, std::memory_order_relaxed); }

    // The end of a thread's items. The calling thread goes on asking while others are at work: one
    // item may take long, and may heed what `poll` does.
    void leave(bool is_caller) {
        if (working_.fetch_sub(1, std::memory_order_acq_rel) == 1 || !is_caller || !poll_)
            return;
        const auto begin = Clock::now();
        while (working_.load(std::memory_order_acquire) > 0) {
            if (Clock::now() - begin < kPollInterval)
                std::this_thread::yield();
            else
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
            poll();
        }
    }

    void raise() const {
        if (interrupted_) {
            throw Interrupted();
        }
        if (error_) {
            std::rethrow_exception(error_);
        }
    }

  private:
    const Poll& poll_;
    Clock::time_point last_poll_ = Clock::now();
    std::atomic<bool> interrupted_ = false;
    std::atomic<bool> stop_ = false;
    std::atomic<int> working_ = 0;
    std::mutex mutex_;
    std::exception_ptr error_;
    std::int64_t failed_item_ = 0;
};

// Tells the processor that this thread looks again and again.
void pause_thread() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

// Gives a worker the floating-point mode of the calling thread (rounding, denormals), so that the
// numbers do not depend on which thread computes them; the worker gets its own back afterwards,
// because OpenMP lends it to other libraries, too.
class BorrowedFloatingPointMode {
  public:
    explicit BorrowedFloatingPointMode(const std::fenv_t& mode) {
        std::fegetenv(&own_);
        std::fesetenv(&mode);
    }
    ~BorrowedFloatingPointMode() { std::fesetenv(&own_); }
    BorrowedFloatingPointMode(const BorrowedFloatingPointMode&) = delete;
    BorrowedFloatingPointMode& operator=(const BorrowedFloatingPointMode&) = delete;

  private:
    std::fenv_t own_;
};

// Calls worker(slot, number of threads) on each thread.
void run_region(int wanted, FunctionRef<void(int, int)> worker) {
    const bool alone = wanted <= 1 || !threads_allowed();
    if (omp_in_parallel() != 0) {  // in a share of somebody's already
        worker(0, 1);
        return;
    }
    const ThreadShare share(alone ? 1 : wanted);
    const int n_threads = share.granted();
    if (n_threads == 1) {
        worker(0, 1);
        return;
    }
    guard_forks();
    std::fenv_t mode;
    std::fegetenv(&mode);
#pragma omp parallel num_threads(n_threads) default(none) shared(worker, mode)
    {
        const BorrowedFloatingPointMode borrowed(mode);
        worker(omp_get_thread_num(), omp_get_num_threads());
    }
}

}  // namespace

void for_each_item(std::int64_t n_items, int n_threads, const Poll& poll,
                   FunctionRef<void(std::int64_t, int)> work) {
    Outcome outcome(poll);
    std::atomic<std::int64_t> next = 0;
    const auto worker = [&](int slot, int /*size*/) {
        const StopScope heeds(outcome.interrupted());
        outcome.enter();
        while (!outcome.stopped()) {
            // In this order, so that who finds no item left sees all who took one.
            const std::int64_t item = next.fetch_add(1, std::memory_order_acq_rel);
            if (item >= n_items) {
                break;
            }
            try {
                work(item, slot);
            } catch (const Interrupted&) {
                outcome.interrupt();
            } catch (...) {
                outcome.fail(item, std::current_exception());
            }
            if (slot == 0) {
                outcome.poll();
            }
        }
        outcome.leave(slot == 0);
    };
    run_region(static_cast<int>(std::min<std::int64_t>(n_threads, n_items)), worker);
    outcome.raise();
}

void Gate::pass(int size) {
    constexpr int kLooks = 2000;
    const std::uint32_t before = opened_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == size) {
        arrived_.store(0, std::memory_order_relaxed);
        opened_.store(before + 1, std::memory_order_release);
        opened_.notify_all();
        return;
    }
    for (int look = 0; look < kLooks; ++look) {
        if (opened_.load(std::memory_order_acquire) != before)
            return;
        pause_thread();
    }
    opened_.wait(before, std::memory_order_acquire);
}

namespace {

// A stage, and the range of its items that nobody has begun, in one word.
constexpr unsigned kItemBits = 24;
static_assert(Shares::kMostItems < std::size_t{1} << kItemBits);

std::uint64_t packed(std::uint16_t stage, std::uint64_t first, std::uint64_t end) {
    return std::uint64_t{stage} << (2 * kItemBits) | first << kItemBits | end;
}

}  // namespace

Shares::Shares(int n_threads) : left_(static_cast<std::size_t>(std::max(n_threads, 1))) {}

void Shares::reset() {
    for (Left& left : left_)
        left.packed.store(0, std::memory_order_relaxed);
}

bool Shares::take(std::uint16_t stage, int slot, int size, std::size_t n, std::size_t& item) {
    if (take_of(stage, slot, size, n, true, item))
        return true;
    for (int other = 1; other < size; ++other) {
        if (take_of(stage, (slot + other) % size, size, n, false, item))
            return true;
    }
    return false;
}

bool Shares::take_of(std::uint16_t stage, int owner, int size, std::size_t n, bool front,
                     std::size_t& item) {
    const auto cut = [&](int slot) {
        return static_cast<std::uint64_t>(n) * static_cast<std::uint64_t>(slot) /
               static_cast<std::uint64_t>(size);
    };
    std::atomic<std::uint64_t>& word = left_[static_cast<std::size_t>(owner)].packed;
    std::uint64_t seen = word.load(std::memory_order_relaxed);
    while (true) {
        std::uint64_t first = seen >> kItemBits & kMostItems, end = seen & kMostItems;
        const auto ahead =
            static_cast<std::int16_t>(static_cast<std::uint16_t>(seen >> (2 * kItemBits)) - stage);
        if (ahead > 0)
            return false;  // its owner has done this stage
        if (ahead < 0) {   // nobody has begun it
            first = cut(owner);
            end = cut(owner + 1);
        }
        const bool any = first < end;
        if (!any && (!front || ahead == 0))
            return false;  // of an empty share of its own, a thread notes that it was here
        const std::uint64_t next =
            any ? packed(stage, first + (front ? 1 : 0), end - (front ? 0 : 1))
                : packed(stage, first, end);
        // What an item reads was written before a barrier: no order is needed here.
        if (word.compare_exchange_weak(seen, next, std::memory_order_relaxed)) {
            item = static_cast<std::size_t>(front ? first : end - 1);
            return any;
        }
    }
}

bool Team::barrier() {
    ++barriers_;
    if (slot_ == 0 && stop_at_->load(std::memory_order_relaxed) == 0 && (*poll_)())
        stop_at_->store(barriers_, std::memory_order_relaxed);
    gate_->pass(size_);
    // A stop that the first thread notes on its way to a later barrier counts there, for all.
    const std::int64_t stop_at = stop_at_->load(std::memory_order_relaxed);
    return stop_at == 0 || barriers_ < stop_at;
}

void team(Shares& shares, const Poll& poll, FunctionRef<void(Team&)> work) {
    Outcome outcome(poll);
    shares.reset();
    Gate gate;
    std::atomic<std::int64_t> stop_at = 0;
    const auto asked = [&] {
        outcome.poll();
        return outcome.stopped();
    };
    const FunctionRef<bool()> ask(asked);
    const auto worker = [&](int slot, int size) {
        Team member(slot, size, ask, gate, shares, stop_at);
        work(member);
    };
    run_region(shares.most(), worker);
    outcome.raise();
}

}  // namespace vemfast::exec
