#include "vemfast/poll.hpp"

#include <chrono>
#include <utility>

#include "vemfast/errors.hpp"

namespace vemfast {

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kPollInterval{50};

thread_local const Poll* current_poll = nullptr;
thread_local Clock::time_point last_asked;

}  // namespace

PollScope::PollScope(const Poll& poll) : outer_(std::exchange(current_poll, &poll)) {
    last_asked = Clock::now();
}

PollScope::~PollScope() {
    current_poll = outer_;
}

void interruption_point() {
    if (current_poll == nullptr || !*current_poll || Clock::now() - last_asked < kPollInterval)
        return;
    const bool stop = (*current_poll)();
    last_asked = Clock::now();
    if (stop)
        throw Interrupted();
}

}  // namespace vemfast
