"""The monitor: convergence, trace, stop reasons, and what is left after a fault."""

import math
import pickle
from threading import Event

import pytest

from vemfast.errors import NumericalError
from vemfast.inference.monitor import (
    Monitor,
    NoisyMonitor,
    SamplingMonitor,
    rounding_of,
    rounding_of_terms,
)


def feed(monitor, objectives):
    """Hand over objectives until the monitor stops; return how many it took."""
    for i, objective in enumerate(objectives):
        if monitor.stop(objective, f"params {i}", f"stats {i}"):
            return i + 1
    return None


def test_tolerance_is_the_gain_a_row():
    monitor = Monitor(total_weight=100.0, tol=1e-3)
    assert feed(monitor, [-500.0, -400.0, -399.8, -399.75]) == 4
    assert monitor.converged
    assert monitor.stop_reason == "tolerance"
    assert monitor.lower_bounds == [-500.0, -400.0, -399.8, -399.75]
    assert monitor.lower_bound == -399.75
    assert monitor.n_iter == 3
    assert (monitor.params, monitor.stats) == ("params 3", "stats 3")


def test_the_gain_must_be_strictly_below_the_tolerance():
    assert feed(Monitor(2.0, tol=0.5), [0.0, 1.0, 1.5]) == 3


def test_max_iter_counts_updates():
    monitor = Monitor(1.0, max_iter=3)
    assert feed(monitor, [0.0, 1.0, 2.0, 3.0, 4.0]) == 4
    assert (monitor.stop_reason, monitor.converged, monitor.n_iter) == ("max_iter", False, 3)


def test_the_tolerance_wins_over_max_iter_in_the_last_iteration():
    monitor = Monitor(1.0, max_iter=1)
    feed(monitor, [0.0, 0.0])
    assert monitor.converged


def test_tol_zero_runs_all_iterations():
    monitor = Monitor(1.0, tol=0, max_iter=4)
    assert feed(monitor, [1.0, 1.0, 1.0 - 1e-12, 1.0, 1.0]) == 5
    assert monitor.stop_reason == "max_iter"


@pytest.mark.parametrize(
    ("total_weight", "rounding", "objective", "fall"),
    [(100.0, 1e-9, -10.0, 0.9e-7), (1.0, 1e-9, -1000.0, 0.9e-6), (100.0, 2e-6, 1.0, 1.9e-4)],
)
def test_a_fall_within_rounding_is_a_gain_of_nothing(total_weight, rounding, objective, fall):
    monitor = Monitor(total_weight, rounding=rounding)
    assert feed(monitor, [objective, objective - fall]) == 2
    assert monitor.converged
    with pytest.raises(NumericalError, match="fell at iteration 1"):
        feed(Monitor(total_weight, rounding=rounding), [objective, objective - 1.2 * fall])


def test_terms_that_cancel_round_as_they_do():
    asked = []

    def size_of_terms(params, stats):
        asked.append((params, stats))
        return 1000.0

    monitor = Monitor(1.0, rounding=2e-6, size_of_terms=size_of_terms, rounding_of_terms=2e-6)
    assert not monitor.stop(-3.0, "first", "of first")
    assert monitor.stop(-3.0019, "second", "of second")
    assert asked == [("second", "of second")]
    with pytest.raises(NumericalError, match=r"rounding explains 0.002"):
        monitor.stop(-3.0041, "third", "of third")


def test_a_larger_fall_is_an_error_and_leaves_the_best():
    monitor = Monitor(10.0)
    with pytest.raises(NumericalError, match=r"fell at iteration 2, from -3.0 to -3.5 nats"):
        feed(monitor, [-5.0, -3.0, -3.5])
    assert monitor.lower_bounds == [-5.0, -3.0]
    assert monitor.params == "params 1"
    assert not monitor.converged


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("kind", [Monitor, NoisyMonitor, SamplingMonitor])
def test_an_objective_that_is_no_number_is_an_error(kind, bad):
    monitor = kind(1.0)
    with pytest.raises(NumericalError, match=rf"the objective is {bad} at iteration 0"):
        feed(monitor, [bad])
    assert monitor.result() is None
    with pytest.raises(NumericalError, match="at iteration 1"):
        feed(monitor, [1.0, bad])
    assert monitor.result().params == "params 0"


def test_rounding_of_a_dtype():
    assert rounding_of(None) == 1e-9
    import numpy as np

    assert rounding_of(np.dtype("f8")) == 1e-9
    assert rounding_of(np.dtype("f4")) == 2e-6
    assert rounding_of_terms(np.dtype("f8")) == rounding_of_terms(None) == 1e-15
    assert rounding_of_terms(np.dtype("f4")) == 2e-6


def test_callbacks_see_every_iteration_and_can_stop():
    seen = []

    def callback(iteration, objective, elapsed):
        seen.append((iteration, objective))
        assert elapsed >= 0
        return iteration == 2

    monitor = Monitor(1.0, callbacks=[callback, lambda **_: None])
    assert feed(monitor, [0.0, 1.0, 2.0, 3.0]) == 3
    assert seen == [(0, 0.0), (1, 1.0), (2, 2.0)]
    assert (monitor.stop_reason, monitor.converged) == ("callback", False)


def test_all_callbacks_run_even_when_the_first_stops():
    calls = []
    stop = lambda **_: calls.append("first") or True  # noqa: E731
    feed(Monitor(1.0, callbacks=[stop, lambda **_: calls.append("second")]), [0.0])
    assert calls == ["first", "second"]


def test_a_callback_that_raises_leaves_its_iteration():
    def callback(iteration, **_):
        if iteration == 1:
            raise OSError("disk full")

    monitor = Monitor(1.0, callbacks=[callback])
    with pytest.raises(OSError, match="disk full"):
        feed(monitor, [0.0, 1.0])
    assert monitor.result().params == "params 1"
    assert monitor.stop_reason == "callback"


def test_cancelling_stops_after_the_iteration():
    cancelled = Event()
    monitor = Monitor(1.0, cancelled=cancelled)
    assert feed(monitor, [0.0]) is None
    cancelled.set()
    assert feed(monitor, [1.0]) == 1
    assert monitor.stop_reason == "interrupted"


def test_no_result_before_the_first_iteration():
    assert Monitor(1.0).result() is None


def test_a_noisy_trace_may_fall_and_never_converges():
    monitor = NoisyMonitor(1.0, max_iter=3)
    assert feed(monitor, [0.0, -1.0, -1.0, -5.0]) == 4
    assert monitor.stop_reason == "max_iter"


def test_sampling_keeps_thinned_draws_and_the_best_of_them():
    monitor = SamplingMonitor(1.0, n_burn=2, n_draws=3, thin=2)
    objectives = [9.0, 8.0, 7.0, 6.0, 1.0, 20.0, 3.0, 4.0, 2.0, 99.0]
    assert feed(monitor, objectives) == 9
    result = monitor.result()
    assert result.draws == ["params 4", "params 6", "params 8"]
    assert result.draw_objectives == [1.0, 3.0, 2.0]
    assert (result.params, result.stats, result.lower_bound) == ("params 6", "stats 6", 3.0)
    assert len(result.lower_bounds) == 9
    assert (result.n_iter, result.converged, result.stop_reason) == (8, False, "max_iter")


def test_sampling_interrupted_before_the_first_draw_has_the_present_state():
    monitor = SamplingMonitor(1.0, n_burn=5)
    feed(monitor, [1.0, 3.0, 2.0])
    result = monitor.result()
    assert (result.params, result.draws, result.stop_reason) == ("params 2", [], "interrupted")


def test_a_result_pickles():
    monitor = Monitor(1.0)
    feed(monitor, [0.0, 0.0])
    assert pickle.loads(pickle.dumps(monitor.result())) == monitor.result()


def test_the_progress_bar_says_the_objective(capsys):
    monitor = Monitor(1.0, max_iter=2, verbose=1)
    feed(monitor, [0.0, 1.0, 2.5])
    monitor.close()
    printed = capsys.readouterr()
    assert "objective=2.5" in printed.err
    assert "2/2" in printed.err
    assert printed.out == ""
