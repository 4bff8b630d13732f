"""F10, F11: nothing leaks, and copies are the same to the bit."""

import copy
import pickle

import joblib
import pytest
from reliability.helpers import (
    METHODS,
    RUNGS,
    SCHEDULES,
    TYPES,
    X,
    fitted,
    mixture,
    quiet_fit,
    run_python,
    same_bits,
)
from sklearn.base import clone

import vemfast

LEAK = """
import ctypes, gc, sys
import numpy as np
import psutil
from reliability.helpers import RUNGS, SCHEDULES, TYPES, X, mixture, quiet
from vemfast import NumericalError

trim = getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)

def memory():
    gc.collect()
    trim(0)
    return psutil.Process().memory_info().rss

def enough(*, iteration, objective, elapsed):
    if iteration == 1:
        raise KeyboardInterrupt

def growth(task, times=1000):
    with quiet():
        for _ in range(100):
            task()
        before = memory()
        for _ in range(times):
            task()
    return memory() - before

def attempt(estimator, rows, error):
    try:
        estimator.fit(rows)
    except error:
        return
    raise AssertionError("nothing was raised")

big = np.tile(X, (30, 1))
bad = X.copy()
bad[3, 2] = np.nan
same = np.repeat(X[:2], 20, axis=0)
TASKS = {
    "em": lambda: mixture(3, max_iter=3).fit(X).predict_proba(X),
    "threads": lambda: mixture(3, max_iter=2, n_jobs=3).fit(big).predict(big),
    "mean-field": lambda: mixture(3, "mean-field", max_iter=3).fit(X).score_samples(X),
    "hard-em": lambda: mixture(3, "hard-em", max_iter=3).fit(X).sample(5),
    "gibbs": lambda: mixture(3, "gibbs").fit(X).score_samples(X[:5]),
    "memoized": lambda: mixture(3, schedule="memoized", max_iter=3).fit(X),
    "starts": lambda: mixture(3, n_init=3, max_iter=2, init_params="random").fit(X),
    "bad rows": lambda: attempt(mixture(3), bad, ValueError),
    "singular": lambda: attempt(mixture(2, reg_covar=0), same, NumericalError),
    "interrupted": lambda: attempt(mixture(3, tol=0, callbacks=enough), X, KeyboardInterrupt),
}
print(growth(TASKS[sys.argv[-1]]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "task",
    [
        "em", "threads", "mean-field", "hard-em", "gibbs", "memoized", "starts",
        "bad rows", "singular", "interrupted",
    ],
)  # fmt: skip
def test_F10_a_thousand_fits_leave_nothing_behind(task):
    result = run_python(LEAK.replace("sys.argv[-1]", repr(task)), timeout=300)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) < 1 << 20


COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "joblib": None,
    **{f"pickle {p}": lambda e, p=p: pickle.loads(pickle.dumps(e, p)) for p in range(2, 6)},
}


def copied(how, estimator, tmp_path):
    if how != "joblib":
        return COPIES[how](estimator)
    joblib.dump(estimator, tmp_path / "model.joblib")
    return joblib.load(tmp_path / "model.joblib")


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("inference", RUNGS)
def test_F11_a_copy_is_the_same_to_the_bit(inference, how, tmp_path):
    for covariance_type in TYPES:
        estimator = quiet_fit(mixture(3, inference, covariance_type=covariance_type), X)
        other = copied(how, estimator, tmp_path)
        assert same_bits(other, estimator)
        assert other.get_params() == estimator.get_params()
        for method in METHODS:
            assert same_bits(getattr(other, method)(X), getattr(estimator, method)(X))
        assert same_bits(other.sample(9), estimator.sample(9))
        assert same_bits(quiet_fit(other, X), estimator)  # and it can be fitted again


def test_F11_a_deep_copy_shares_nothing():
    estimator = mixture(3).fit(X)
    other = copy.deepcopy(estimator)
    other.means_[:] = 0
    assert estimator.means_.any()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_F11_a_clone_has_the_parameters_and_no_fit(schedule):
    estimator = quiet_fit(mixture(3, schedule=schedule, means_init=X[:3]), X)
    other = clone(estimator)
    assert fitted(other) == {}
    assert same_bits(
        {k: v for k, v in other.get_params().items() if v is not None},
        {k: v for k, v in estimator.get_params().items() if v is not None},
    )
    assert same_bits(quiet_fit(other, X), estimator)


@pytest.mark.parametrize("inference", RUNGS)
def test_F11_a_saved_model_predicts_the_same_bits(inference, tmp_path):
    estimator = quiet_fit(mixture(3, inference), X)
    estimator.save(tmp_path / "model.safetensors")
    other = vemfast.load(tmp_path / "model.safetensors")
    for method in METHODS:
        assert same_bits(getattr(other, method)(X), getattr(estimator, method)(X))


def test_F11_a_copy_may_be_made_while_the_original_is_fitted():
    copies = []

    def callback(*, iteration, objective, elapsed):
        copies.append(pickle.loads(pickle.dumps(clone(estimator).set_params(callbacks=None))))
        copies.append(copy.copy(estimator))

    estimator = mixture(3, callbacks=callback)
    estimator.fit(X)
    assert same_bits(copies[0].fit(X), estimator)
    assert same_bits(copies[1].set_params(callbacks=None).fit(X), estimator)
