"""Discrete mixtures: float32 within its stated bound, and any data fitted or named."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.test_properties import FIXED, LAYOUTS, RUNGS

from vemfast import BernoulliMixture, CategoricalMixture, PoissonMixture

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::vemfast.errors.DegenerateWarning"),
]

ESTIMATORS = {
    "bernoulli": BernoulliMixture,
    "poisson": PoissonMixture,
    "categorical": CategoricalMixture,
}
families = pytest.mark.parametrize("family", ESTIMATORS)
EPS = float(np.finfo(np.float32).eps)


# ---- O14: float32 ----


def rows_of(family, n_features, n=300):
    """Return rows of three groups whose parameters come near 0 and 1."""
    rng = np.random.default_rng(n_features)
    group = rng.integers(0, 3, n)
    if family == "bernoulli":
        p = rng.beta(0.5, 0.5, (3, n_features))
        return (rng.random((n, n_features)) < p[group]).astype(float)
    if family == "poisson":
        return rng.poisson(rng.gamma(0.7, 6.0, (3, n_features))[group]).astype(float)
    p = rng.dirichlet(np.full(4, 0.4), (n_features, 3)).cumsum(axis=-1)[..., :3]
    return (p[:, group] < rng.random((n_features, n, 1))).sum(axis=-1).T.astype(float)


def sizes_of_sums(family, model, X):
    """Return, for each row, the largest sum of absolute terms of a score."""
    if family == "categorical":
        terms = sum(
            np.abs(np.log(np.maximum(p[:, x.astype(int)], 1e-20))).T
            for p, x in zip(model.probabilities_, X.T, strict=True)
        )
        return 1.0 + terms.max(axis=1)
    if family == "poisson":
        log_rates = np.log(np.maximum(model.rates_, 1e-20))
        return 1.0 + (model.rates_.sum(axis=1) + X @ np.abs(log_rates).T).max(axis=1)
    p = np.clip(model.probabilities_, 1e-16, 1 - 1e-16)
    of_zero, of_one = np.log1p(-p), np.log(p) - np.log1p(-p)
    return 1.0 + (-of_zero.sum(axis=1) + X @ np.abs(of_one).T).max(axis=1)


@families
@pytest.mark.parametrize("n_features", [2, 30, 784, 2000])
@pytest.mark.parametrize("inference", ["em", "mean-field"])
def test_O14_scores_in_single_precision(family, n_features, inference):
    X = rows_of(family, n_features)
    model = ESTIMATORS[family](3, inference=inference, random_state=0).fit(X)
    bound = EPS * sizes_of_sums(family, model, X) * (1 + 0.5 * np.sqrt(n_features))
    difference = np.abs(model.score_samples(X.astype(np.float32)) - model.score_samples(X))
    assert (difference <= bound).all()
    proba = (model.predict_proba(rows) for rows in (X.astype(np.float32), X))
    assert (np.abs(np.subtract(*proba)).max(axis=1) <= bound).all()
    if family != "poisson" or inference == "em":  # its predictive density is always in float64
        assert difference.max() > 0


@families
@pytest.mark.parametrize("inference", ["em", "mean-field", "hard-em"])
def test_O14_fits_in_single_precision(family, inference):
    X = rows_of(family, 40)
    start = ESTIMATORS[family](3, random_state=0).common_start(X)
    a, b = (
        ESTIMATORS[family](3, inference=inference, tol=0.0, max_iter=10, **start).fit(rows)
        for rows in (X, X.astype(np.float32))
    )
    np.testing.assert_allclose(b.lower_bounds_, a.lower_bounds_, rtol=2e-6)
    np.testing.assert_allclose(b.weights_, a.weights_, rtol=1e-5)


# ---- O15: any data ----


@st.composite
def problems(draw):
    """Return an estimator, rows, weights, and whether rows are sparse."""
    family = draw(st.sampled_from(list(ESTIMATORS)))
    n, D = draw(st.integers(1, 60)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    top = {"bernoulli": 1, "categorical": draw(st.integers(0, 5)), "poisson": 100}[family]
    X = rng.integers(0, top + 1, (n, D))
    if draw(st.booleans()):
        X[:, -1] = top
    dtypes = ["f8", "f4", "f2", ">f8", ">f4", "i1", "i4", "u2", *("?" * (top == 1))]
    X = draw(st.sampled_from(LAYOUTS))(X.astype(draw(st.sampled_from(dtypes))))
    inference, schedule = draw(st.sampled_from(RUNGS))
    options = {
        "n_components": draw(st.integers(1, 6)),
        "inference": inference,
        "schedule": schedule,
        "init_params": draw(st.sampled_from(["kmeans", "k-means++", "random", "random_from_data"])),
        "equal_weights": draw(st.booleans()),
        "random_state": draw(st.integers(0, 1000)),
        "n_jobs": draw(st.sampled_from([1, 2])),
    }
    if X.dtype.kind == "f" and draw(st.booleans()):
        options["missing"] = "marginalize"
        X = X.copy()
        X[rng.random(X.shape) < 0.3] = np.nan
        X[0] = 0
    if inference == "gibbs":
        options |= {"n_burn": 2, "n_draws": 2, "n_chains": draw(st.integers(1, 2))}
    else:
        options["max_iter"] = draw(st.integers(1, 12))
    if inference in ("gibbs", "mean-field") and draw(st.booleans()):
        options["weight_concentration_prior_type"] = "dirichlet_process"
    if schedule != "batch":
        options["n_batches"] = draw(st.integers(1, 5))
    weights = rng.integers(0, 3, n).astype(float) if draw(st.booleans()) else None
    native = X.dtype.isnative and X.dtype != np.float16
    sparse = family != "categorical" and native and draw(st.booleans())
    return family, options, X, weights, sparse


def check(problem):
    family, options, X, weights, sparse = problem
    before = X.copy()
    model = ESTIMATORS[family](**options)
    rows = scipy.sparse.csr_array(X) if sparse else X
    present = np.ones(len(X), bool) if weights is None else weights > 0
    if options.get("missing"):
        present &= ~np.isnan(X.astype(float)).all(axis=1)
    if present.sum() < options["n_components"]:
        with pytest.raises(ValueError, match=r"n_components|sample_weight is zero|no observed"):
            model.fit(rows, sample_weight=weights)
        return
    model.fit(rows, sample_weight=weights)
    np.testing.assert_array_equal(X, before)
    K = options["n_components"]
    assert model.weights_.sum() == pytest.approx(1.0, abs=1e-10)
    assert np.isfinite(model.lower_bounds_).all()
    table = model.rates_ if family == "poisson" else model.probabilities_
    for values in table if isinstance(table, list) else [table]:
        assert np.isfinite(values).all()
        assert (values >= 0).all()
    proba = model.predict_proba(rows)
    assert proba.shape == (len(X), K)
    assert (proba >= 0).all()
    single = X.dtype.itemsize == 4 and X.dtype.kind == "f"
    np.testing.assert_allclose(proba.sum(axis=1), 1.0, atol=1e-5 if single else 1e-12)
    density = model.score_samples(rows)
    assert not np.isnan(density).any()
    assert np.isfinite(density[present]).all()
    drawn, components = model.sample(5)
    assert drawn.shape == (5, X.shape[1])
    assert np.isfinite(model.score_samples(drawn)).all()
    assert ((components >= 0) & (components < K)).all()


@FIXED
@given(problems())
def test_O15_any_rows_of_the_family_are_fitted(problem):
    check(problem)


@pytest.mark.nightly
@settings(FIXED, max_examples=5000)
@given(problems())
def test_O15_a_lot_of_rows_are_fitted(problem):
    check(problem)


def test_a_wrong_answer_would_show(monkeypatch):
    # The mutation: responsibilities that miss one by a part in ten thousand.
    honest = PoissonMixture.predict_proba
    monkeypatch.setattr(PoissonMixture, "predict_proba", lambda self, X: honest(self, X) * 0.9999)
    X = np.random.default_rng(0).integers(0, 9, (20, 2))
    with pytest.raises(AssertionError):
        check(("poisson", {"n_components": 2, "max_iter": 3, "random_state": 0}, X, None, False))
