"""Whatever the shape, type, stride and kind of the data, a fit ends well or says why not."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vemfast import GaussianMixture
from vemfast.models.gaussian_config import COVARIANCE_TYPES

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::vemfast.errors.DegenerateWarning"),
]

# The same examples each time: a test that fails is one that failed for whoever changed the code.
FIXED = settings(derandomize=True, database=None, deadline=None, max_examples=150)
MANY = settings(FIXED, max_examples=5000)

RUNGS = [
    ("em", "batch"),
    ("em", "memoized"),
    ("em", "minibatch"),
    ("mean-field", "batch"),
    ("mean-field", "memoized"),
    ("mean-field", "minibatch"),
    ("hard-em", "batch"),
    ("hard-em", "memoized"),
    ("hard-em", "minibatch"),
    ("gibbs", "batch"),
]
DTYPES = ["f8", "f4", "f2", ">f8", ">f4", "i1", "i4", "u2", "?"]


def normal(rng, n, D):
    return rng.normal(size=(n, D))


def lattice(rng, n, D):
    return rng.integers(0, 3, (n, D)).astype(float)


def collinear(rng, n, D):
    return rng.normal(size=(n, 1)) @ rng.normal(size=(1, D))


def one_constant_column(rng, n, D):
    X = rng.normal(size=(n, D))
    X[:, -1] = 7.0
    return X


def one_outlier(rng, n, D):
    X = rng.normal(size=(n, D))
    X[n // 2] *= 1e3
    return X


def units_apart(rng, n, D):
    return rng.normal(size=(n, D)) * 10.0 ** rng.integers(-4, 5, D)


def all_rows_equal(rng, n, D):
    return np.tile(rng.normal(size=D), (n, 1))


KINDS = [normal, lattice, collinear, one_constant_column, one_outlier, units_apart, all_rows_equal]


def contiguous(X):
    return X


def by_columns(X):
    return np.asfortranarray(X)


def reversed_rows(X):
    return X[::-1]


def every_other(X):
    wide = np.zeros((2 * X.shape[0], 3 * X.shape[1]), X.dtype)
    wide[::2, 1::3] = X
    return wide[::2, 1::3]


def misaligned(X):
    memory = np.zeros(X.nbytes + 1, np.uint8)
    view = memory[1:].view(X.dtype).reshape(X.shape)
    view[...] = X
    return view


def read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


LAYOUTS = [contiguous, by_columns, reversed_rows, every_other, misaligned, read_only]


@st.composite
def problems(draw):
    """Return rows, weights and the options of an estimator."""
    n, D = draw(st.integers(1, 60)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    with np.errstate(over="ignore"):
        X = draw(st.sampled_from(KINDS))(rng, n, D).astype(draw(st.sampled_from(DTYPES)))
    X = draw(st.sampled_from(LAYOUTS))(X)
    weights = rng.integers(0, 3, n).astype(float) if draw(st.booleans()) else None
    inference, schedule = draw(st.sampled_from(RUNGS))
    options = {
        "n_components": draw(st.integers(1, 6)),
        "covariance_type": draw(st.sampled_from(COVARIANCE_TYPES)),
        "inference": inference,
        "schedule": schedule,
        "init_params": draw(st.sampled_from(["kmeans", "k-means++", "random", "random_from_data"])),
        "equal_weights": draw(st.booleans()),
        "random_state": draw(st.integers(0, 1000)),
        "n_jobs": draw(st.sampled_from([1, 2])),
    }
    if inference == "gibbs":
        options |= {"n_burn": 2, "n_draws": 2, "n_chains": draw(st.integers(1, 2))}
    else:
        options["max_iter"] = draw(st.integers(1, 12))
    if inference in ("gibbs", "mean-field") and draw(st.booleans()):
        options["weight_concentration_prior_type"] = "dirichlet_process"
    if X.dtype.kind == "f" and X.dtype.itemsize == 4:
        # What float32 can tell from nothing: docs/formulas/gaussian_mixture.md, section 9.
        options["reg_covar"] = 0.03
    if schedule != "batch":
        options["n_batches"] = draw(st.integers(1, 5))
    return X, weights, options


def check(problem):
    X, weights, options = problem
    before = X.copy()
    enough = len(X) if weights is None else np.count_nonzero(weights)
    model = GaussianMixture(**options)
    if enough < options["n_components"]:
        with pytest.raises(ValueError, match=r"n_components|sample_weight is zero"):
            model.fit(X, sample_weight=weights)
        return
    model.fit(X, sample_weight=weights)
    np.testing.assert_array_equal(X, before)
    K, D = options["n_components"], X.shape[1]
    assert model.weights_.shape == (K,)
    assert model.weights_.sum() == pytest.approx(1.0, abs=1e-10)
    assert model.means_.shape == (K, D)
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_", "lower_bounds_"):
        assert np.isfinite(getattr(model, name)).all(), name
    proba = model.predict_proba(X)
    assert proba.shape == (len(X), K)
    assert (proba >= 0).all()
    tolerance = 1e-12 if X.dtype.itemsize != 4 or X.dtype.kind != "f" else 1e-5
    np.testing.assert_allclose(proba.sum(axis=1), 1.0, atol=tolerance)
    labels = model.predict(X)
    assert ((labels >= 0) & (labels < K)).all()
    assert np.isfinite(model.score_samples(X)).all()
    drawn, components = model.sample(5)
    assert drawn.shape == (5, D)
    assert np.isfinite(drawn).all()
    assert ((components >= 0) & (components < K)).all()


@FIXED
@given(problems())
def test_any_data_are_fitted(problem):
    check(problem)


@pytest.mark.nightly
@MANY
@given(problems())
def test_a_lot_of_any_data_are_fitted(problem):
    check(problem)


@FIXED
@given(problems(), st.sampled_from([np.nan, np.inf, -np.inf]), st.data())
def test_a_value_that_is_no_number_is_named(problem, value, data):
    X, _, options = problem
    assume(X.dtype.kind == "f" and len(X) >= options["n_components"])
    X = X.copy()
    row, column = data.draw(st.integers(0, len(X) - 1)), data.draw(st.integers(0, X.shape[1] - 1))
    X[row, column] = value
    with pytest.raises(ValueError, match=rf"row {row}, column {column}"):
        GaussianMixture(**options).fit(X)


def test_a_wrong_answer_would_show(monkeypatch):
    # The mutation: responsibilities that miss one by a part in ten thousand.
    honest = GaussianMixture.predict_proba
    monkeypatch.setattr(GaussianMixture, "predict_proba", lambda self, X: honest(self, X) * 0.9999)
    X = np.random.default_rng(0).normal(size=(20, 2))
    with pytest.raises(AssertionError):
        check((X, None, {"n_components": 2, "max_iter": 3, "random_state": 0}))
