#include "vemfast/poll.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "exec/region.hpp"
#include "vemfast/errors.hpp"

namespace vemfast {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kPollInterval{50};

thread_local const Poll* current_poll = nullptr;
thread_local const exec::StopScope* current_stop = nullptr;
thread_local Clock::time_point last_asked;

// Calls that come much faster than the clock matters are counted instead of timed.
constexpr std::chrono::microseconds kFast{100};
constexpr int kMostCalls = 8;
thread_local Clock::time_point last_looked;
thread_local int calls_between = 1;
thread_local int calls_left = 1;

}  // namespace

PollScope::PollScope(const Poll& poll) : outer_(std::exchange(current_poll, &poll)) {
    last_asked = last_looked = Clock::now();
    calls_between = calls_left = 1;
}

PollScope::~PollScope() {
    current_poll = outer_;
}

exec::StopScope::StopScope(const std::atomic<bool>& flag)
    : flag_(flag), outer_(std::exchange(current_stop, this)) {}

exec::StopScope::~StopScope() {
    current_stop = outer_;
}

void interruption_point() {
    if (current_stop != nullptr && current_stop->stopped())
        throw Interrupted();
    if (current_poll == nullptr || !*current_poll || --calls_left > 0)
        return;
    const auto now = Clock::now();
    calls_between = now - last_looked < kFast ? std::min(2 * calls_between, kMostCalls) : 1;
    calls_left = calls_between;
    last_looked = now;
    if (now - last_asked < kPollInterval)
        return;
    const bool stop = (*current_poll)();
    last_asked = Clock::now();
    if (stop)
        throw Interrupted();
}

}  // namespace vemfast
