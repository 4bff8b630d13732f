"""The bounds on rounding that section 9 of docs/formulas/gaussian_mixture.md states.

float32 rows are held to the same rows in float64, and those to sums about the sample mean.
"""

import numpy as np
import pytest

from vemfast import GaussianMixture
from vemfast.models import gaussian_points as points
from vemfast.models.gaussian_config import COVARIANCE_TYPES

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

EPS = float(np.finfo(np.float32).eps)
K = 3
covariance_types = pytest.mark.parametrize("covariance", COVARIANCE_TYPES)
n_features = pytest.mark.parametrize("n_features", [1, 4, 17])


def rows(n_features, width=1.0, offset=0.0, n=700):
    """Return float32 rows of three clusters; the first is `width` times as wide as the others."""
    rng = np.random.default_rng(n_features)
    centres = 2 * rng.normal(size=(K, n_features))
    clusters = [rng.normal(size=(n, n_features)) * w for w in (width, 1.0, 1.0)]
    X = np.concatenate([c + m for c, m in zip(clusters, centres, strict=True)]) + offset
    return X.astype(np.float32), centres + offset


def fit(X, centres, covariance, inference="em", **options):
    return GaussianMixture(
        K,
        covariance_type=covariance,
        inference=inference,
        means_init=centres,
        tol=0.0,
        max_iter=10,
        n_jobs=1,
        **options,
    ).fit(X)


def remoteness(model, X):
    """Return ρ: the largest distance of a row from the origin in standard deviations."""
    covariances = np.asarray(model.covariances_)
    if model.covariance_type in ("full", "tied"):
        smallest = np.linalg.eigvalsh(covariances).min()
    else:
        smallest = covariances.min()
    return np.linalg.norm(X - model.origin_, axis=1).max() / np.sqrt(smallest)


def score_excess(model, X):
    """Return the largest error of scores and responsibilities, over the stated bound."""
    X64 = X.astype(np.float64)
    bound = 5 * EPS * (1 + remoteness(model, X64))
    exact = model.score_samples(X64)
    scores = np.abs(model.score_samples(X) - exact) / np.maximum(1, np.abs(exact))
    shares = np.abs(model.predict_proba(X) - model.predict_proba(X64))
    return max(scores.max(), shares.max()) / bound


@covariance_types
@n_features
@pytest.mark.parametrize("width", [1.0, 0.1, 0.01])
@pytest.mark.parametrize("inference", ["em", "mean-field"])
def test_scores(covariance, n_features, width, inference):
    X, centres = rows(n_features, width)
    model = fit(X.astype(np.float64), centres, covariance, inference)
    assert score_excess(model, X) < 1


@covariance_types
@n_features
@pytest.mark.parametrize("offset", [0.0, 1e3])
@pytest.mark.parametrize("inference", ["em", "mean-field"])
def test_fits(covariance, n_features, offset, inference):
    X, centres = rows(n_features, offset=offset)
    single, double = (
        fit(data, centres, covariance, inference) for data in (X, X.astype(np.float64))
    )
    spread = X.std(axis=0, dtype=np.float64)
    unit = {"full": np.outer(spread, spread), "tied": np.outer(spread, spread), "diag": spread**2}
    scale = unit.get(covariance, np.mean(spread**2))
    bound = 50 * EPS
    assert np.abs(single.weights_ - double.weights_).max() < bound
    assert np.abs((single.means_ - double.means_) / spread).max() < bound
    assert np.abs((single.covariances_ - double.covariances_) / scale).max() < bound
    assert single.lower_bound_ == pytest.approx(double.lower_bound_, rel=bound, abs=bound * len(X))


@pytest.mark.parametrize("covariance", ["full", "diag", "spherical"])
@pytest.mark.parametrize("width", [0.3, 0.1, 0.03])
def test_covariances_of_narrow_components(covariance, width):
    X, centres = rows(4, width)
    single, double = (fit(data, centres, covariance) for data in (X, X.astype(np.float64)))
    ratio = X.var(axis=0, dtype=np.float64).max() / width**2
    own = np.abs(double.covariances_[0]).max()
    error = np.abs(single.covariances_[0] - double.covariances_[0]).max() / own
    assert error < 5 * EPS * (1 + ratio)


@pytest.mark.parametrize("covariance", ["full", "diag", "spherical"])
@pytest.mark.parametrize("width", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_covariances_of_narrow_components_in_double(covariance, width, offset):
    rng = np.random.default_rng(0)
    far = np.array([8.0, -3.0])
    X = np.concatenate([width * rng.normal(size=(300, 2)), rng.normal(size=(300, 2)) + far])
    X += offset
    model = GaussianMixture(
        2,
        covariance_type=covariance,
        reg_covar=0.0,
        means_init=[[offset, offset], far + offset],
        weights_init=[0.5, 0.5],
        precisions_init={
            "full": np.array([np.eye(2) / width**2, np.eye(2)]),
            "diag": np.array([[1 / width**2] * 2, [1.0, 1.0]]),
            "spherical": np.array([1 / width**2, 1.0]),
        }[covariance],
        tol=0.0,
        max_iter=2,
        n_jobs=1,
    ).fit(X)
    about = X[:300] - X[:300].mean(axis=0)
    exact = about.T @ about / 300
    own = {
        "full": exact,
        "diag": np.diagonal(exact),
        "spherical": np.trace(exact) / 2,
    }[covariance]
    error = np.abs(model.covariances_[0] - own).max() / np.abs(own).max()
    ratio = X.var(axis=0).max() / width**2
    assert error < 50 * np.finfo(float).eps * (1 + ratio)


@covariance_types
def test_the_predictive_density_keeps_its_digits_with_many_rows(covariance):
    # A Student t of ten million degrees of freedom multiplies the rounding of its logarithm by
    # five million, unless it is computed in double.
    X, centres = rows(4)
    weights = np.full(len(X), 1e4)
    model = GaussianMixture(
        K,
        covariance_type=covariance,
        inference="mean-field",
        means_init=centres,
        tol=0.0,
        max_iter=3,
        n_jobs=1,
    ).fit(X.astype(np.float64), sample_weight=weights)
    np.testing.assert_allclose(
        model.score_samples(X), model.score_samples(X.astype(np.float64)), rtol=1e-12
    )


@covariance_types
def test_half_precision_of_a_parameter_would_show(covariance):
    # The mutation: parameters rounded to sixteen bits exceed the bound on scores.
    X, centres = rows(4)
    model = fit(X.astype(np.float64), centres, covariance)
    exact = model.score_samples(X.astype(np.float64))
    rounded, params = points.from_point(
        covariance,
        model.origin_,
        model.weights_,
        model.means_.astype(np.float16).astype(np.float64),
        model.covariances_,
    )
    wrong = rounded.assign(rounded.prepare(params), X, "log_density", 1)
    bound = 5 * EPS * (1 + remoteness(model, X))
    assert np.max(np.abs(wrong - exact) / np.maximum(1, np.abs(exact))) > bound


@pytest.mark.parametrize("covariance", ["full", "tied"])
@pytest.mark.parametrize("inference", ["em", "hard-em", "mean-field"])
def test_float_rows_close_to_a_plane_are_summed_in_double(covariance, inference):
    """Sums of float32 would get the thin direction's variance wrong by a percent."""
    rng = np.random.default_rng(2)
    normal = np.array([2.0, -1.0, 2.0]) / 3
    X = 30 * rng.normal(size=(400, 3))
    X += np.outer(0.06 * rng.normal(size=400) - X @ normal, normal)
    X = X.astype(np.float32)
    single, double = (
        GaussianMixture(1, covariance_type=covariance, inference=inference, tol=0.0, max_iter=3)
        for _ in range(2)
    )
    single.fit(X)
    double.fit(X.astype(np.float64))
    thin, exact = (normal @ model.covariances_ @ normal for model in (single, double))
    rounding = 1e-4 if inference == "mean-field" else 1e-9  # its prior is of float32 sums, once
    np.testing.assert_allclose(thin, exact, rtol=rounding)
    assert single.lower_bound_ == pytest.approx(double.lower_bound_, rel=rounding)
