"""F7 to F9: how many threads work, that the result does not depend on it, and many at once."""

import hashlib
import threading
from concurrent.futures import Future, ThreadPoolExecutor

import joblib
import numpy as np
import pytest
from reliability.forked import ROWS
from reliability.helpers import (
    FEW_DRAWS,
    METHODS,
    RUNGS,
    TYPES,
    X,
    fitted,
    fixed_length,
    mixture,
    quiet_fit,
    run_python,
    same_bits,
)
from sklearn.base import clone

LIMIT = 60  # seconds: a deadlock ends the test


# ---- F7: how many ----

COUNT = """
import sys
import numpy as np
import psutil
from reliability.forked import ROWS
from reliability.helpers import mixture
from threadpoolctl import threadpool_limits
from vemfast.execution.threads import effective_n_jobs

before = psutil.Process().num_threads()

def added():
    return psutil.Process().num_threads() - before
"""


def count(code, **environment):
    """Run code in a fresh process whose BLAS has no threads, and return what it prints."""
    environment = {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"} | environment
    result = run_python(COUNT + code, **environment)
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def test_F7_openmps_environment_acts():
    code = "mixture(3).fit(ROWS).score_samples(ROWS); print(effective_n_jobs(), added())"
    assert count(code, OMP_NUM_THREADS="1") == ["1", "0"]


def test_F7_threadpoolctls_limits_act():
    code = """
with threadpool_limits(1, user_api="openmp"):
    mixture(3).fit(ROWS).score_samples(ROWS)
    print(effective_n_jobs(), added())
"""
    assert count(code) == ["1", "0"]


def test_F7_a_number_that_is_asked_for_is_taken():
    code = """
mixture(3, n_jobs=1).fit(ROWS).score_samples(ROWS)
print(added())
mixture(3, n_jobs=3).fit(ROWS).score_samples(ROWS)
print(added())
"""
    assert count(code, OMP_NUM_THREADS="2") == ["0", "2"]  # the caller is one of the three


def test_F7_no_more_than_the_processors():
    code = "print(effective_n_jobs(), joblib.cpu_count())"
    threads, processors = count("import joblib\n" + code, OMP_NUM_THREADS="1000")
    assert int(threads) <= int(processors)


def test_F7_workers_of_loky_divide_the_processors():
    code = """
import joblib
if __name__ == "__main__":
    found = joblib.Parallel(n_jobs=2, backend="loky")(
        joblib.delayed(effective_n_jobs)() for _ in range(4)
    )
    print(max(found), max(joblib.cpu_count() // 2, 1))
"""
    found, share = count(code)
    assert int(found) <= int(share)


def fit_means(rows):
    return quiet_fit(mixture(3, n_jobs=2), rows).means_


def test_F7_in_threads_of_joblib():
    expected = fit_means(ROWS)
    with joblib.parallel_config(backend="threading", n_jobs=4):
        results = joblib.Parallel(timeout=LIMIT)(joblib.delayed(fit_means)(ROWS) for _ in range(16))
    assert all(same_bits(means, expected) for means in results)


def test_F7_starts_in_threads_within_threads():
    def fit(seed):
        return quiet_fit(mixture(3, random_state=seed, n_init=4, n_jobs=3, max_iter=5), ROWS)

    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(fit, range(4), timeout=LIMIT))
    assert all(same_bits(a, fit(seed)) for seed, a in enumerate(together))


# ---- F8: the same bits ----


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("inference", RUNGS)
def test_F8_any_number_of_threads_gives_the_same_bits(inference, covariance_type, dtype):
    rows = ROWS.astype(dtype)
    weights = np.random.default_rng(1).uniform(0.5, 2, len(rows)) if inference == "em" else None
    options = {"covariance_type": covariance_type, **fixed_length(inference, 3)}

    def fit(n_jobs):
        return quiet_fit(mixture(4, inference, n_jobs=n_jobs, **options), rows, None, weights)

    alone = fit(1)
    for n_jobs in (2, 3, 7, 64):
        together = fit(n_jobs)
        assert same_bits(together, alone), n_jobs
        assert same_bits(together.predict_proba(rows), alone.predict_proba(rows)), n_jobs


@pytest.mark.slow
@pytest.mark.parametrize("inference", RUNGS)
def test_F8_every_number_of_threads_up_to_64(inference):
    rows = np.tile(ROWS, (30, 1))
    options = fixed_length(inference, 2)
    alone = quiet_fit(mixture(4, inference, n_jobs=1, **options), rows)
    for n_jobs in range(2, 65):
        assert same_bits(quiet_fit(mixture(4, inference, n_jobs=n_jobs, **options), rows), alone)


@pytest.mark.parametrize("schedule", ["memoized", "minibatch"])
@pytest.mark.parametrize("inference", ["em", "mean-field", "hard-em"])
def test_F8_other_schedules(inference, schedule):
    options = {"schedule": schedule, "n_batches": 3, "max_iter": 3}
    alone = quiet_fit(mixture(4, inference, n_jobs=1, **options), ROWS)
    for n_jobs in (2, 5, 64):
        assert same_bits(quiet_fit(mixture(4, inference, n_jobs=n_jobs, **options), ROWS), alone)


@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random", "random_from_data"])
def test_F8_starts(init_params):
    rows = np.tile(ROWS, (5, 1))  # more than a start looks at
    options = {"init_params": init_params, "max_iter": 1, "n_init": 3}
    alone = quiet_fit(mixture(4, n_jobs=1, **options), rows)
    for n_jobs in (2, 8):
        assert same_bits(quiet_fit(mixture(4, n_jobs=n_jobs, **options), rows), alone)


def digest(n_jobs):
    estimator = mixture(4, "mean-field", covariance_type="diag", n_jobs=n_jobs).fit(ROWS)
    scores = estimator.score_samples(ROWS)
    return hashlib.sha256(estimator.means_.tobytes() + scores.tobytes()).hexdigest()


@pytest.mark.parametrize(
    "environment",
    [
        {"OMP_DYNAMIC": "true"},
        {"OMP_SCHEDULE": "dynamic,1", "OMP_WAIT_POLICY": "passive"},
        {"OMP_PROC_BIND": "close", "OMP_NUM_THREADS": "3"},
        {"OMP_THREAD_LIMIT": "2"},
    ],
    ids=lambda environment: ",".join(environment),
)
def test_F8_openmps_settings_do_not_matter(environment):
    code = "from reliability.test_threads import digest; print(digest(8))"
    result = run_python(code, **environment)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == digest(1)


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("inference", RUNGS)
def test_F8_a_row_is_judged_alike_wherever_it_stands(inference, covariance_type):
    estimator = quiet_fit(mixture(3, inference, covariance_type=covariance_type), X)
    for method in ("predict", "predict_proba", "score_samples"):
        whole = getattr(estimator, method)(ROWS)
        for part in (slice(0, 1), slice(1, 2), slice(17, 2500), slice(4093, None), slice(3, 99, 7)):
            assert same_bits(getattr(estimator, method)(ROWS[part]), whole[part]), (method, part)


# ---- F9: many at once ----


@pytest.mark.parametrize("inference", RUNGS)
def test_F9_one_estimator_used_from_eight_threads(inference):
    estimator = quiet_fit(mixture(3, inference, n_jobs=2), X)
    expected = {method: getattr(estimator, method)(ROWS) for method in METHODS}
    together = threading.Barrier(8, timeout=LIMIT)

    def use(_):
        together.wait()
        return [{method: getattr(estimator, method)(ROWS) for method in METHODS} for _ in "abc"]

    with ThreadPoolExecutor(8) as pool:
        for results in pool.map(use, range(8), timeout=LIMIT):
            assert all(same_bits(result, expected) for result in results)


def test_F9_clones_fitted_in_eight_threads():
    template = mixture(3, n_jobs=2)
    expected = clone(template).fit(ROWS)
    with ThreadPoolExecutor(8) as pool:
        for estimator in pool.map(lambda _: clone(template).fit(ROWS), range(16), timeout=LIMIT):
            assert same_bits(estimator, expected)


def in_time(task):
    """Run a task in a thread of its own, so that a deadlock is a failure and no hang."""
    outcome = Future()

    def run():
        try:
            outcome.set_result(task())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return outcome.result(timeout=LIMIT)


class Held:
    """A fit in another thread that waits in its first iteration until it is let go."""

    def __init__(self, estimator):
        self.reached, self.go = threading.Event(), threading.Event()
        self.estimator = estimator.set_params(callbacks=self.wait)
        self.thread = threading.Thread(target=quiet_fit, args=(estimator, X), daemon=True)

    def wait(self, *, iteration, objective, elapsed):
        self.reached.set()
        assert self.go.wait(LIMIT)

    def __enter__(self):
        self.thread.start()
        assert self.reached.wait(LIMIT)
        return self.estimator

    def __exit__(self, *error):
        self.go.set()
        self.thread.join(LIMIT)
        assert not self.thread.is_alive()


def test_F9_a_second_fit_of_one_object_is_refused():
    expected = mixture(3).fit(X)
    with Held(mixture(3)) as estimator:
        with pytest.raises(RuntimeError, match="fit already running on this object"):
            in_time(lambda: estimator.fit(ROWS))
        assert same_bits(mixture(3).fit(X), expected)  # another object is free
    assert same_bits(estimator, expected)
    assert same_bits(estimator.set_params(callbacks=None).fit(X), expected)  # and this one again


def test_F9_a_fit_within_its_own_callback_is_refused():
    estimator = mixture(3)

    def callback(*, iteration, objective, elapsed):
        with pytest.raises(RuntimeError, match="fit already running on this object"):
            estimator.fit(X)

    estimator.set_params(callbacks=callback)
    assert same_bits(in_time(lambda: estimator.fit(X)), mixture(3).fit(X))


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_F9_a_fit_that_failed_does_not_block_the_next(error):
    def callback(**_):
        raise error

    estimator = mixture(3, callbacks=callback)
    with pytest.raises(error):
        estimator.fit(X)
    assert same_bits(estimator.set_params(callbacks=None).fit(X), mixture(3).fit(X))


def test_F9_a_fit_in_one_thread_does_not_disturb_those_who_predict():
    rows = X[:30]
    estimator = mixture(3).fit(X)
    before = estimator.score_samples(rows)
    with Held(estimator) as at_work:
        assert same_bits(at_work.score_samples(rows), before)  # the earlier fit until the end
        assert fitted(at_work).keys() == fitted(mixture(3).fit(X)).keys()


def test_F9_chains_in_threads_are_the_chains_in_turn():
    options = dict(FEW_DRAWS, n_chains=4)
    a = mixture(3, "gibbs", **(options | {"n_jobs": 1})).fit(ROWS)
    b = mixture(3, "gibbs", **(options | {"n_jobs": 4})).fit(ROWS)
    assert same_bits(a, b)
