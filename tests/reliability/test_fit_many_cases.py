"""fit_many: what is wrong with one data set is said of it, and stops no other."""

import gc
import os
import signal
import threading
import time
import weakref

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from vemfast import GaussianMixture, fit_many
from vemfast.errors import NumericalError

RNG = np.random.default_rng(0)
GOOD = [RNG.normal(size=(60, 2)) for _ in range(30)]


def with_bad(place, bad):
    return [*GOOD[:place], bad, *GOOD[place + 1 :]]


def changed(X, row, column, value):
    X = X.copy()
    X[row, column] = value
    return X


BAD = {
    "NaN": (changed(GOOD[17], 3, 0, np.nan), "X contains NaN at row 3, column 0"),
    "infinity": (changed(GOOD[17], 3, 1, -np.inf), "X contains infinity (inf) at row 3, column 1"),
    "too large": (changed(GOOD[17], 3, 1, 1e200), "X is too large at row 3"),
    "few rows": (GOOD[17][:2], "n_components=3 needs at least as many rows"),
    "no rows": (GOOD[17][:0], "n_components=3 needs at least as many rows"),
    "features": (RNG.normal(size=(60, 3)), "X has 3 features, but 2 are expected"),
    "one dimension": (GOOD[17][0], "X must be a 2-D array"),
    "text": (np.full((60, 2), "a"), "X must hold numbers"),
    "complex": (GOOD[17] * 1j, "complex"),
    "none": (None, "X must"),
}


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize(("bad", "message"), BAD.values(), ids=BAD)
def test_a_bad_data_set_is_named_and_the_others_are_fitted(bad, message, n_jobs):
    with pytest.warns(UserWarning, match="1 of 30 data sets could not be fitted.*data set 17: "):
        fits = fit_many(with_bad(17, bad), 3, random_state=0, n_jobs=n_jobs, max_iter=1000)
    assert list(fits.messages) == [17]
    assert message in fits.messages[17]
    assert np.flatnonzero(fits.failed).tolist() == [17]
    assert np.isnan(fits.means[17]).all()
    assert np.isnan(fits.weights[17]).all()
    assert not fits.converged[17]
    whole = fit_many(GOOD, 3, random_state=0, max_iter=1000)
    others = np.arange(30) != 17
    assert fits.means[others].tobytes() == whole.means[others].tobytes()
    with pytest.raises(ValueError, match="data set 17 could not be fitted: "):
        fits[17]
    assert fits.lower_bounds(17) == []


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.full(60, -1.0), "sample_weight[0] is -1"),
        (np.r_[np.nan, np.ones(59)], "sample_weight[0] is nan"),
        (np.zeros(60), "zero everywhere"),
        (np.full(60, 1e-200), "out of range"),
        (np.ones(59), "expected (60,)"),
        (np.r_[1.0, np.zeros(59)], "n_samples=1 of positive weight"),
        (["a"] * 60, "real numbers"),
    ],
)
def test_bad_weights_are_those_of_one_data_set(weights, message):
    sample_weight = [None] * 4 + [weights] + [None] * 25
    with pytest.warns(UserWarning, match="data set 4"):
        fits = fit_many(GOOD, 2, sample_weight=sample_weight, random_state=0, max_iter=1000)
    assert list(fits.messages) == [4]
    assert message in fits.messages[4]


def test_a_singular_covariance_is_a_failure_of_its_own():
    line = np.linspace(0, 1, 60)[:, None] * [1.0, 2.0]
    with pytest.warns(UserWarning, match="data set 3: component"):
        fits = fit_many(with_bad(3, line), 2, reg_covar=0.0, random_state=0, max_iter=1000)
    assert "not positive definite" in fits.messages[3]
    assert fits.failed.sum() == 1


def test_of_several_starts_those_that_break_down_are_left_out():
    """Two rows far from all others make a component of their own singular, in some starts."""
    X = np.concatenate([RNG.normal(size=(30, 2)), [[9.0, 9.0], [9.5, 9.5]]])
    options = {"reg_covar": 0.0, "n_init": 12, "init_params": "random", "max_iter": 500}
    fits = fit_many([X], 2, random_state=3, **options)
    single = GaussianMixture(2, random_state=int(fits.random_states[0]), **options).fit(X)
    assert fits.lower_bound[0] == single.lower_bound_


def test_all_may_fail():
    with pytest.warns(UserWarning, match="2 of 2"):
        fits = fit_many([GOOD[0][:1], GOOD[1][:1]], 2)
    assert fits.failed.all()


def test_nothing_to_fit():
    with pytest.raises(ValueError, match="data is empty"):
        fit_many([], 2)
    with pytest.raises(ValueError, match="no data set can be read; of data set 0"):
        fit_many([None, "a"], 2)
    with pytest.raises(ValueError, match="sequence of 2-D arrays"):
        fit_many(GOOD[0], 2)
    with pytest.raises(ValueError, match="3 data sets, but there are 30"):
        fit_many(GOOD, 2, sample_weight=[None] * 3)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"inference": "gibbs"}, "inference='gibbs'"),
        ({"init_params": "random_from_data"}, "init_params='random_from_data'"),
        ({"schedule": "memoized"}, "schedule='memoized'"),
        ({"warm_start": True}, "warm_start=True"),
        ({"callbacks": [print]}, "callbacks"),
        ({"verbose": 1}, "verbose=1"),
        ({"tol": -1}, "tol"),
        ({"n_components": 0}, "n_components"),
        ({"random_state": -1}, "random_state"),
        ({"means_init": [[0.0, 0.0]]}, "means_init"),
        ({"weights_init": [0.5, 0.6]}, "weights_init"),
        ({"covariance_prior": [[1.0, 2.0], [2.0, 1.0]]}, "positive definite"),
        ({"weight_concentration_prior": 0.5}, "has no mode"),
        ({"mean_prior": [0.0, 0.0]}, "mean_prior has no effect"),
        ({"weight_concentration_prior_type": "dirichlet_process"}, "mean-field"),
    ],
)
def test_bad_parameters_are_refused_at_once(parameters, message):
    with pytest.raises(ValueError, match=message):
        fit_many(GOOD, **({"n_components": 2} | parameters))


def test_no_such_parameter():
    with pytest.raises(TypeError, match="clusters"):
        fit_many(GOOD, 2, clusters=3)


def test_not_converged_is_said_once():
    with pytest.warns(ConvergenceWarning) as caught:
        fits = fit_many(GOOD, 3, max_iter=1, tol=1e-12, random_state=0)
    assert len(caught) == 1
    assert not fits.converged.any()
    assert (fits.n_iter == 1).all()


@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::vemfast.errors.DegenerateWarning"
)
@pytest.mark.parametrize("inference", ["em", "hard-em", "mean-field"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_objective_never_falls(inference, dtype):
    rng = np.random.default_rng(5)
    data = [
        (rng.standard_t(2, size=(rng.integers(5, 80), 3)) * 10.0 ** rng.integers(-3, 4)).astype(
            dtype
        )
        for _ in range(200)
    ]
    fits = fit_many(data, 4, inference=inference, tol=0.0, max_iter=40, random_state=0)
    assert not fits.failed.any(), fits.messages
    for i, X in enumerate(data):
        trace = np.array(fits.lower_bounds(i))
        allowed = (2e-6 if dtype == np.float32 else 1e-9) * np.maximum(abs(trace), len(X))
        assert (np.diff(trace) >= -allowed[1:]).all()


def test_arrays_live_as_long_as_the_call_needs_them_and_no_longer():
    data = [X.copy() for X in GOOD]
    alive = [weakref.ref(X) for X in data]
    fits = fit_many((X for X in data), 2, random_state=0, max_iter=1000)
    del data
    gc.collect()
    assert not any(ref() is not None for ref in alive)
    assert np.isfinite(fits.means).all()


def rows_of(*shape):
    return RNG.normal(size=shape)


# What keeps the threads busy without end: many short fits; long ones; a long one on one thread,
# with nothing left for the other; a large one, whose rows the threads share.
WITHOUT_END = {
    "short": ([rows_of(200, 2) for _ in range(500)] * 400, 20),
    "long": ([rows_of(2000, 4) for _ in range(8)], 10**9),
    "one": ([rows_of(3, 4), rows_of(2000, 4), rows_of(3, 4)], 10**9),
    "large": ([rows_of(300_000, 4)], 10**9),
}


@pytest.mark.skipif(os.name != "posix", reason="sends itself a signal")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize(("data", "max_iter"), WITHOUT_END.values(), ids=WITHOUT_END)
def test_ctrl_c_ends_it_within_half_a_second(data, max_iter, n_jobs):
    sent = []

    def interrupt():
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Timer(0.2, interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        fit_many(data, 8, tol=0.0, max_iter=max_iter, n_jobs=n_jobs)
    thread.join()
    assert time.monotonic() - sent[0] < 0.5


def tiny(rng):
    """A small set of rows of any kind."""
    n, kind = int(rng.integers(1, 9)), rng.integers(8)
    X = rng.normal(size=(n, 2)) * 10.0 ** rng.integers(-8, 9, size=2)
    X += 10.0 ** rng.integers(-8, 9) * rng.integers(0, 2)
    if kind == 0:
        X[:, rng.integers(2)] = 1.0
    elif kind == 1:
        X[:] = X[0]
    elif kind == 2:
        X[:, 1] = 3 * X[:, 0]
    elif kind == 3:
        X[rng.integers(n), 0] = 10.0 ** rng.integers(20, 160)
    elif kind == 4:
        X[rng.integers(n), 0] = rng.choice([np.nan, np.inf])
    return X.astype(rng.choice([np.float32, np.float64]))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("inference", ["em", "hard-em", "mean-field"])
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical", "tied-spherical"])
def test_whatever_is_given_is_fitted_or_told(inference, covariance_type):
    rng = np.random.default_rng(11)
    data = [tiny(rng) for _ in range(150)]
    options = {"inference": inference, "covariance_type": covariance_type, "max_iter": 20}
    fits = fit_many(data, 2, random_state=0, **options)
    assert sorted(fits.messages) == np.flatnonzero(fits.failed).tolist()
    assert fits.failed.sum() < 100
    for i, X in enumerate(data):
        single = GaussianMixture(2, random_state=int(fits.random_states[i]), **options)
        if fits.failed[i]:
            with pytest.raises((ValueError, NumericalError)):
                single.fit(X)
            continue
        assert np.isfinite(fits.means[i]).all()
        assert fits.weights[i].sum() == pytest.approx(1)
        # The default of covariance_prior may take eigenvectors, which are NumPy's in the estimator.
        rounding = 1e-6 if inference == "mean-field" else 0.0
        expected = single.fit(X).lower_bounds_
        assert fits.lower_bounds(i) == pytest.approx(expected, rel=rounding, abs=rounding)
