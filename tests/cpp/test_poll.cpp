// Interruption points: where O(K) work asks whether to go on.
#include "check.hpp"
#include "vemfast/errors.hpp"
#include "vemfast/poll.hpp"

namespace {

using vemfast::interruption_point;
using vemfast::Poll;
using vemfast::PollScope;

TEST_CASE(nobody_is_asked_outside_a_scope) {
    int calls = 0;
    const Poll poll = [&calls] { return ++calls > 0; };
    {
        const PollScope scope(poll);
    }
    for (int i = 0; i < 1000; ++i)
        interruption_point();
    CHECK(calls == 0);
}

TEST_CASE(an_empty_poll_is_not_called) {
    const Poll nothing;
    const PollScope scope(nothing);
    for (int i = 0; i < 1000; ++i)
        interruption_point();
}

TEST_CASE(a_poll_that_says_stop_is_an_interrupt_and_is_not_asked_each_time) {
    int calls = 0;
    int points = 0;
    const Poll poll = [&calls] { return ++calls == 2; };
    const auto work = [&] {
        const PollScope scope(poll);
        for (;;) {
            interruption_point();
            ++points;
        }
    };
    CHECK_THROWS(work(), vemfast::Interrupted);
    CHECK(calls == 2);
    CHECK(points > 100);
}

TEST_CASE(an_inner_scope_gives_way_to_the_outer_again) {
    int outer_calls = 0;
    const Poll outer = [&outer_calls] { return ++outer_calls > 0; };
    const Poll inner;
    const auto work = [&] {
        const PollScope scope(outer);
        {
            const PollScope nested(inner);
        }
        for (;;)
            interruption_point();
    };
    CHECK_THROWS(work(), vemfast::Interrupted);
    CHECK(outer_calls == 1);
}

}  // namespace
