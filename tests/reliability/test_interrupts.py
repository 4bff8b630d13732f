"""F1: Ctrl-C in the middle of a fit ends it soon and leaves the last full iteration."""

import contextlib
import json
import os
import random
import selectors
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from reliability.helpers import (
    NEAR,
    SCHEDULES,
    X,
    fitted,
    mixture,
    quiet,
    quiet_fit,
    same_bits,
    search_path,
)
from reliability.interrupted import WORK

import vemfast
from vemfast.estimators import base

PACKAGE = str(Path(vemfast.__file__).parent)
TESTS = str(Path(__file__).parents[1])


# ---- Ctrl-C between any two lines ----


class At:
    """Raise KeyboardInterrupt at one line of the package's Python code, counted from the start.

    Entering and leaving `fit`'s lock is one step of the interpreter for a signal, though two for a
    tracer: its lines are not counted.
    """

    def __init__(self, line):
        self.line = line
        self.seen = 0
        self.where = None

    def __call__(self, frame, event, argument):
        if not frame.f_code.co_filename.startswith(PACKAGE):
            return None
        if event == "line" and not (
            frame.f_code.co_name == "fit" and "estimators" in self.name(frame)
        ):
            self.seen += 1
            if self.seen == self.line:
                self.where = f"{self.name(frame)}:{frame.f_lineno}"
                raise KeyboardInterrupt
        return self

    @staticmethod
    def name(frame):
        return os.path.relpath(frame.f_code.co_filename, PACKAGE)

    def run(self, task):
        before = sys.gettrace()
        sys.settrace(self)
        try:
            task()
        finally:
            sys.settrace(before)


def reference(make, X, n_iter):
    """Fits that end after 0, 1, ... iterations: what an interrupt may leave."""
    fits = {}

    def stop(*, iteration, objective, elapsed):
        return iteration == wanted

    for wanted in range(n_iter + 1):
        fits[wanted] = quiet_fit(make(callbacks=stop), X)
    return fits


CASES = {
    "em": {"inference": "em"},
    "memoized": {"inference": "em", "schedule": "memoized", "n_batches": 3},
    "minibatch": {"inference": "em", "schedule": "minibatch", "n_batches": 3},
    "mean-field": {"inference": "mean-field"},
    "hard-em": {"inference": "hard-em"},
    "gibbs": {"inference": "gibbs", "n_burn": 1, "n_draws": 3, "n_chains": 1},
    "two starts": {"inference": "em", "n_init": 2, "n_jobs": 1},
}


def interrupt_at_lines(case, lines):
    options = dict(CASES[case])
    if case == "gibbs":
        n_iter = 4
    else:
        n_iter = 3
        options |= {"max_iter": 3} | ({} if case == "minibatch" else {"tol": 0.0})

    def make(**more):
        return mixture(3, means_init=NEAR[:3], **options, **more)

    complete = quiet_fit(make(), NEAR)
    fits = reference(make, NEAR, n_iter)
    earlier = mixture(2).fit(X)
    told = []

    def tell(*, iteration, objective, elapsed):
        told.append(iteration)

    for line in lines:
        told.clear()
        estimator = make(callbacks=tell)
        vars(estimator).update(fitted(earlier))  # as if there had been a fit
        probe = At(line)
        try:
            with quiet():
                probe.run(lambda estimator=estimator: estimator.fit(NEAR))
        except KeyboardInterrupt:
            pass
        if probe.where is None:
            return line - 1
        now = fitted(estimator)
        if now.keys() == fitted(earlier).keys() and all(
            now[name] is getattr(earlier, name) for name in now
        ):
            assert not told, probe.where  # before the first full iteration
            continue
        if same_bits(estimator, complete):
            continue  # after the last
        n = estimator.n_iter_
        assert n in fits, probe.where
        assert n >= told[-1] if told else n == 0, probe.where
        assert estimator.stop_reason_ == "interrupted", probe.where
        assert estimator.converged_ is False, probe.where
        assert estimator.lower_bounds_ == complete.lower_bounds_[: n + 1], probe.where
        if case == "two starts":
            assert n == 3 or same_bits(estimator.means_, fits[n].means_), probe.where
            continue
        like = fitted(fits[n])
        assert now.keys() == like.keys(), probe.where
        for name in now.keys() - {"stop_reason_", "converged_"}:
            assert same_bits(now[name], like[name]), (probe.where, name)
    return None


@pytest.mark.parametrize("case", CASES)
def test_F1_between_any_two_lines_there_is_a_whole_iteration_or_none(case):
    # Every seventh line, from another first line for each case.
    end = interrupt_at_lines(case, range(1 + list(CASES).index(case), 10**6, 7))
    assert end > 100
    assert not any(lock.locked() for lock in base._FITTING.values())


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_F1_between_every_two_lines_there_is_a_whole_iteration_or_none(case):
    assert interrupt_at_lines(case, range(1, 10**6)) > 100


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_F1_returning_is_the_callers_choice(schedule):
    def stop(*, iteration, objective, elapsed):
        if iteration == 2:
            raise KeyboardInterrupt

    options = {} if schedule == "minibatch" else {"tol": 0.0}
    estimator = mixture(3, schedule=schedule, callbacks=stop, on_interrupt="return", **options)
    assert estimator.fit(X) is estimator
    assert (estimator.n_iter_, estimator.stop_reason_, estimator.converged_) == (
        2, "interrupted", False,
    )  # fmt: skip
    again = mixture(3, schedule=schedule, callbacks=stop, on_interrupt="raise", **options)
    with pytest.raises(KeyboardInterrupt):
        again.fit(X)
    assert same_bits(again.means_, estimator.means_)


def test_F1_before_the_first_iteration_there_is_nothing_to_return(monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    estimator = mixture(3).fit(X)
    before = dict(fitted(estimator))
    monkeypatch.setattr("vemfast.estimators.gaussian_mixture.scan", interrupted)
    with pytest.raises(KeyboardInterrupt):
        estimator.set_params(on_interrupt="return").fit(X)
    assert fitted(estimator) == before


def test_F1_a_start_that_had_converged_does_not_make_the_fit_converged():
    calls = []

    def stop(*, iteration, objective, elapsed):
        calls.append(iteration)
        if calls.count(0) == 2:
            raise KeyboardInterrupt

    estimator = mixture(3, n_init=2, callbacks=stop, n_jobs=1)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X)
    assert same_bits(estimator.means_, mixture(3).fit(X).means_)  # the better of the two so far
    assert (estimator.stop_reason_, estimator.converged_) == ("interrupted", False)


# ---- SIGINT to a process ----


class Child:
    """A process that can be sent SIGINT, and whose lines come with a time limit."""

    def __init__(self, *command):
        self.process = subprocess.Popen(
            [sys.executable, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=TESTS,
            env={**os.environ, "PYTHONPATH": search_path()},
            start_new_session=True,
            bufsize=0,  # what is buffered a selector does not see
        )
        self.waiter = selectors.DefaultSelector()
        self.waiter.register(self.process.stdout, selectors.EVENT_READ)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        if self.process.poll() is None:
            self.process.kill()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # processes it started have its pipes
        self.process.communicate()
        self.waiter.close()

    def line(self, timeout=60.0):
        assert self.waiter.select(timeout), "the child says nothing"
        text = self.process.stdout.readline()
        assert text, self.process.stderr.read().decode()
        return json.loads(text)

    def interrupt_after(self, seconds):
        """Send SIGINT after a while in which the child has nothing to say; return when."""
        assert not self.waiter.select(seconds), self.process.stdout.readline()
        at = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        return at


def delays(work, times):
    """How long each interrupt took, with what it left checked."""
    times_taken, traces = [], []
    choose = random.Random(work)
    with Child("-m", "reliability.interrupted", work, str(times)) as child:
        for _ in range(times):
            assert child.line() == {"ready": True}
            sent = child.interrupt_after(choose.uniform(0.0, 0.4))
            report = child.line()
            assert report["whole"], report
            times_taken.append(report["at"] - sent)
            traces.append(report.get("bounds", []))
        assert child.process.wait(timeout=60) == 0, child.process.stderr.read()
    if "starts" in work:  # the best so far is another each time
        return np.array(times_taken)
    for a, b in pairwise(traces):
        length = min(len(a), len(b))
        assert a[:length] == b[:length]  # the same fit each time, as far as it went
    return np.array(times_taken)


posix = pytest.mark.skipif(os.name != "posix", reason="sends signals to a process")


# A busy machine may hold a process up: one delay is held to what no hang would keep.
@posix
@pytest.mark.parametrize("work", ["small iterations", "long iterations"])
def test_F1_sigint(work):
    taken = delays(work, 3)
    assert taken.min() <= 0.5
    assert taken.max() <= 10


@posix
@pytest.mark.slow
@pytest.mark.parametrize("work", WORK)
def test_F1_sigint_whatever_the_fit_is_at(work):
    taken = delays(work, 5)
    assert np.median(taken) <= 0.5
    assert taken.max() <= 10


@posix
@pytest.mark.nightly
@pytest.mark.parametrize("work", WORK)
def test_F1_fifty_sigints(work):
    taken = delays(work, 50)
    assert np.quantile(taken, 0.9) <= 0.5
    assert taken.max() <= 10


JOBLIB = """
import json, sys, time
import joblib
from reliability.helpers import mixture, quiet
from reliability.interrupted import FOREVER, rows, tell

X = rows(20_000, 10)

def fit(seed):
    with quiet():
        return mixture(10, random_state=seed, **FOREVER).fit(X)

if __name__ == "__main__":
    backend = sys.argv[1]
    with joblib.parallel_config(backend=backend, n_jobs=2):
        joblib.Parallel()(joblib.delayed(abs)(i) for i in range(4))  # workers are there
        try:
            tell(ready=True)
            joblib.Parallel()(joblib.delayed(fit)(i) for i in range(4))
        except KeyboardInterrupt:
            tell(at=time.monotonic())
"""


def joblib_delay(backend, group, tmp_path):
    script = tmp_path / "with_joblib.py"
    script.write_text(JOBLIB)
    with Child(str(script), backend) as child:
        assert child.line(120) == {"ready": True}
        assert not child.waiter.select(0.3)
        sent = time.monotonic()
        if group:  # as a terminal does
            os.killpg(child.process.pid, signal.SIGINT)
        else:
            child.process.send_signal(signal.SIGINT)
        taken = child.line()["at"] - sent
        child.process.wait(timeout=60)  # and nothing keeps the process from ending
        return taken


@posix
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_F1_inside_joblib(backend, tmp_path):
    assert joblib_delay(backend, False, tmp_path) <= 10


# Not a group of multiprocessing's: joblib's pool itself hangs there about once in sixty, with a
# loop in plain Python for work, when a worker is interrupted as it takes the lock of its queue.
@posix
@pytest.mark.nightly
@pytest.mark.parametrize(
    ("backend", "group"),
    [
        pytest.param("loky", False, id="loky-process"),
        pytest.param("loky", True, id="loky-group"),
        pytest.param("threading", False, id="threading-process"),
        pytest.param("threading", True, id="threading-group"),
        pytest.param("multiprocessing", False, id="multiprocessing-process"),
    ],
)
def test_F1_inside_joblib_many_times(backend, group, tmp_path):
    taken = [joblib_delay(backend, group, tmp_path) for _ in range(10)]
    assert np.median(taken) <= 1.0
    assert max(taken) <= 20


# ---- F12: other signals ----


@contextmanager
def alarm(handler, first, every=0.0):
    """Have SIGALRM handled, once or again and again."""
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, first, every)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)


@posix
def test_F12_other_signals_are_handled_on_the_way():
    rows = np.tile(X, (300, 1))
    expected = quiet_fit(mixture(8, tol=0.0, max_iter=40), rows)
    seen = []
    with alarm(lambda *_: seen.append(None), 0.001, 0.001):
        estimator = quiet_fit(mixture(8, tol=0.0, max_iter=40), rows)
    assert same_bits(estimator, expected)
    assert seen


@posix
def test_F12_what_a_signal_handler_raises_ends_the_fit_as_ctrl_c_does():
    def too_long(*_):
        raise TimeoutError("too long")

    estimator = mixture(8, tol=0.0, max_iter=10**9)
    with alarm(too_long, 0.5), pytest.raises(TimeoutError, match="too long"):
        estimator.fit(np.tile(X, (300, 1)))
    assert (estimator.stop_reason_, estimator.converged_) == ("interrupted", False)
    assert len(estimator.lower_bounds_) == estimator.n_iter_ + 1
