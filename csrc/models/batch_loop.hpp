// The loop of the batch schedule for native fits: E-step, objective, stopping rule, update. All
// models that are fitted without a driver from outside run it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <utility>
#include <vector>

#include "models/rules.hpp"
#include "models/trace.hpp"
#include "vemfast/errors.hpp"
#include "vemfast/fit.hpp"
#include "vemfast/poll.hpp"

namespace vemfast::models {

// What is left of a fit: the parameters and statistics of the last full iteration.
struct FitState {
    Kind kind = Kind::point;
    std::vector<double> params, stats, lower_bounds;
    StopReason stop_reason = StopReason::max_iter;
};

// How long a fit goes on.
struct LoopControl {
    double tol = 1e-3;  // nats a unit of weight
    int max_iter = 100;
    double total_weight = 0;
    bool is_float = false;  // scores
    const FitCallback& callback;
};

// What every fit is told of its loop.
struct LoopOptions {
    double tol = 1e-3;  // nats a unit of weight
    int max_iter = 100;
    int n_init = 1;
    FitCallback callback;  // of a single fit

    LoopControl control(double total_weight, bool is_float) const {
        return {tol, max_iter, total_weight, is_float, callback};
    }
};

// Memory that is used again from fit to fit.
struct LoopSpace {
    std::vector<double> next, next_stats, proposal;
};

// Iterates from the state's parameters. A fit has
//     double evaluate(Kind, const std::vector<double>& params, std::vector<double>& stats)
//         the objective, and the statistics that an update takes;
//     double size_of_terms(const FitState&)     see Trace::add; asked where the objective fell
//     void accept()                             the iteration counts: its local state is kept
//     void update(const FitState&, std::vector<double>& next)
//     bool propose(const FitState&, const std::vector<double>& next, std::vector<double>& proposal)
//         other parameters in the place of `next`, taken where the objective does not fall by it.
template <class Fit>
void iterate(Fit& fit, const LoopControl& control, FitState& state, LoopSpace& space) {
    Trace trace(control.tol, control.max_iter, control.total_weight, control.is_float);
    bool takes_proposals = true;
    bool is_stopped = false;  // by the callback
    for (;;) {
        interruption_point();
        const double objective = fit.evaluate(state.kind, state.params, state.stats);
        const bool fell = !trace.values().empty() && objective < trace.values().back();
        const bool goes_on = trace.add(objective, fell ? fit.size_of_terms(state) : 0.0);
        const auto iteration = static_cast<int>(trace.values().size()) - 1;
        is_stopped = control.callback && control.callback({iteration, objective});
        if (is_stopped || !goes_on)
            break;
        fit.accept();
        space.next.resize(state.params.size());
        fit.update(state, space.next);
        if (takes_proposals && fit.propose(state, space.next, space.proposal)) {
            const double proposed = fit.evaluate(state.kind, space.proposal, space.next_stats);
            takes_proposals = proposed >= fit.evaluate(state.kind, space.next, space.next_stats);
            if (takes_proposals)
                space.next.swap(space.proposal);
        }
        state.params.swap(space.next);
    }
    state.lower_bounds = trace.values();
    state.stop_reason = is_stopped ? StopReason::callback : trace.reason();
}

// The seed of the index-th start under a random state.
std::uint64_t start_seed(std::uint64_t random_state, std::uint64_t index);

// Runs all starts, `run(seed)`, each of which ends with what it reached in `state`. That of highest
// objective is left in `best`. Throws the first failure where there is nothing else.
template <class Run>
void best_of_starts(int n_init, std::uint64_t random_state, FitState& state, FitState& best,
                    Run&& run) {
    std::exception_ptr failure;
    bool found = false;
    for (int i = 0; i < n_init; ++i) {
        try {
            run(start_seed(random_state, static_cast<std::uint64_t>(i)));
        } catch (const NumericalError&) {
            if (!failure)
                failure = std::current_exception();
            continue;
        }
        const bool is_stopped = state.stop_reason == StopReason::callback;
        if (!found || state.lower_bounds.back() > best.lower_bounds.back())
            std::swap(state, best);
        found = true;
        if (is_stopped) {  // and so are the starts that would follow
            best.stop_reason = StopReason::callback;
            break;
        }
    }
    if (!found)
        std::rethrow_exception(failure);
}

// All starts of a fit, each from what init(seed) leaves in `state`: the one of highest objective.
template <class Fit, class Init>
FitState fit_from_starts(Fit& fit, const LoopControl& control, int n_init,
                         std::uint64_t random_state, FitState& state, Init&& init) {
    FitState best;
    LoopSpace space;
    best_of_starts(n_init, random_state, state, best, [&](std::uint64_t seed) {
        init(seed);
        iterate(fit, control, state, space);
    });
    return best;
}

}  // namespace vemfast::models
