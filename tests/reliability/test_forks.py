"""F6: processes that are forked, served or spawned after a fit, or during one in another thread."""

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor

import joblib
import pytest
from reliability.forked import ROWS, fit_and_score, threads_of_a_fit, use
from reliability.helpers import mixture, quiet, same_bits

LIMIT = 120  # seconds: a hang ends the test

# Python's own doubt about forking with threads: these tests are about just that.
pytestmark = [
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


def start_method(name, *marks):
    missing = name not in multiprocessing.get_all_start_methods()
    return pytest.param(name, marks=[*marks, pytest.mark.skipif(missing, reason=f"no {name} here")])


def with_pool(method, function, arguments):
    with multiprocessing.get_context(method).Pool(2) as pool:
        return pool.map_async(function, arguments, chunksize=1).get(timeout=LIMIT)


def with_executor(method, function, arguments):
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        return list(pool.map(function, arguments, timeout=LIMIT))


EVERY_METHOD = [
    start_method("fork"),
    start_method("forkserver", pytest.mark.slow),
    start_method("spawn", pytest.mark.slow),
]


@pytest.fixture(scope="module")
def here():
    """What this process finds, with threads: a fit before each fork."""
    return fit_and_score(2)


@pytest.mark.parametrize("run", [with_pool, with_executor], ids=["Pool", "ProcessPoolExecutor"])
@pytest.mark.parametrize("method", EVERY_METHOD)
def test_F6_after_a_fit(here, method, run):
    assert all(same_bits(there, here) for there in run(method, fit_and_score, [1, 2, 4]))
    assert same_bits(fit_and_score(2), here)  # and the parent is none the worse


@pytest.mark.parametrize(
    "backend", ["loky", pytest.param("multiprocessing", marks=pytest.mark.slow)]
)
def test_F6_joblib_after_a_fit(here, backend):
    results = joblib.Parallel(n_jobs=2, backend=backend, timeout=LIMIT)(
        joblib.delayed(fit_and_score)(n_jobs) for n_jobs in (1, 2, 4)
    )
    assert all(same_bits(there, here) for there in results)


@pytest.fixture
def fitting():
    """Another thread that fits with OpenMP threads of its own, from before the test to its end."""
    begun, enough = threading.Event(), threading.Event()

    def watch(*, iteration, objective, elapsed):
        begun.set()
        return enough.is_set()

    estimator = mixture(3, n_jobs=2, tol=0.0, max_iter=10**9, callbacks=watch)
    thread = threading.Thread(target=estimator.fit, args=(ROWS,), daemon=True)
    thread.start()
    assert begun.wait(LIMIT)
    yield estimator
    enough.set()
    thread.join(LIMIT)
    assert not thread.is_alive()
    assert estimator.stop_reason_ == "callback"


@pytest.mark.parametrize("run", [with_pool, with_executor], ids=["Pool", "ProcessPoolExecutor"])
@pytest.mark.parametrize("method", EVERY_METHOD)
def test_F6_during_a_fit_in_another_thread(here, fitting, method, run):
    assert all(same_bits(there, here) for there in run(method, fit_and_score, [1, 2, 4]))


@pytest.mark.nightly
@pytest.mark.parametrize("method", ["fork"])
def test_F6_many_forks_during_a_fit_in_another_thread(here, fitting, method):
    for _ in range(50):
        assert same_bits(with_pool(method, fit_and_score, [2])[0], here)


@pytest.mark.parametrize("method", EVERY_METHOD)
def test_F6_an_estimator_goes_to_another_process(here, method):
    estimator = mixture(3, n_jobs=2).fit(ROWS)
    scores, means, pid = with_pool(method, use, [estimator])[0]
    assert pid != os.getpid()
    assert same_bits(scores, here[2])
    assert same_bits(means, here[0])


def in_forked_child(task):
    """Whether `task` ends well in a forked child; an alarm ends one that hangs."""
    pid = os.fork()
    if pid == 0:
        import signal

        signal.alarm(LIMIT)
        try:
            os._exit(0 if task() else 1)
        finally:
            os._exit(2)
    return os.waitpid(pid, 0)[1] == 0


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="a system without fork")


@forks
def test_F6_a_forked_child_has_all_threads(here):
    def task():
        return threads_of_a_fit(2) == (1, 2)

    assert in_forked_child(task)


@forks
def test_F6_a_grandchild(here):
    def task():
        return same_bits(fit_and_score(2), here) and in_forked_child(
            lambda: same_bits(fit_and_score(2), here)
        )

    assert in_forked_child(task)


@forks
def test_F6_a_child_may_fit_what_another_thread_of_the_parent_is_fitting(here, fitting):
    def task():
        fitting.set_params(callbacks=None, max_iter=3, on_interrupt="return")
        with quiet():
            fitting.fit(ROWS)
        return fitting.n_iter_ == 3

    assert in_forked_child(task)


@forks
def test_F6_forked_from_a_callback(here):
    """Between two iterations: the parent's fit and the child's both go on."""
    fates = []

    def fork_once(*, iteration, objective, elapsed):
        if iteration == 1:
            fates.append(in_forked_child(lambda: same_bits(fit_and_score(2), here)))

    estimator = mixture(3, n_jobs=2, callbacks=fork_once).fit(ROWS)
    assert fates == [True]
    assert same_bits(estimator.means_, here[0])
