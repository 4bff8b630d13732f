"""The mean-field estimator against the exact evidence, and its predictive density as a density."""

from dataclasses import replace

import numpy as np
import pytest
from oracles.generative import GenerativeMixture
from sklearn.mixture import BayesianGaussianMixture

from vemfast import GaussianMixture
from vemfast.models.gaussian_config import COVARIANCE_TYPES
from vemfast.models.gaussian_mixture import GaussianMixture as NativeMixture

D = 2
SCALE = np.array([[1.2, 0.4], [0.4, 0.8]])
MEAN = np.array([2.0, -1.0])
WEIGHT_TYPES = ("dirichlet", "dirichlet_process")
covariance_types = pytest.mark.parametrize("covariance", COVARIANCE_TYPES)
weight_types = pytest.mark.parametrize("weights", WEIGHT_TYPES)


def mixture_of(covariance, weights):
    scale = {"full": SCALE, "tied": SCALE, "diag": np.diagonal(SCALE)}
    own = np.asarray(scale.get(covariance, np.trace(SCALE) / D))
    return GenerativeMixture(covariance, weights, 2, 0.9, MEAN, 0.05, 4.5, own)


def rows(distance):
    """Return three rows on either side of the prior mean."""
    noise = 0.7 * np.random.default_rng(0).normal(size=(6, D))
    return MEAN + noise + np.repeat([[-0.5], [0.5]], 3, axis=0) * distance * np.array([1.0, 0.5])


def fit(mixture, X):
    return GaussianMixture(
        **mixture.options(),
        inference="mean-field",
        n_init=5,
        tol=1e-12,
        max_iter=2000,
        random_state=0,
    ).fit(X)


# ---- the bound ---------------------------------------------------------------------------------


@covariance_types
@weight_types
def test_the_bound_is_below_the_evidence_and_near_it_for_separate_clusters(covariance, weights):
    mixture = mixture_of(covariance, weights)
    gaps = []
    for distance in (2.0, 4.0, 16.0):
        X = rows(distance)
        model = fit(mixture, X)
        gaps.append(mixture.log_evidence(X) - model.lower_bound_)
    # Far apart only two labellings have any mass, and the bound has found one of them.
    assert model.lower_bound_ == pytest.approx(
        mixture.log_joint_of_labels(X, model.predict(X)), abs=1e-5
    )
    assert gaps[-1] == pytest.approx(np.log(2), abs=1e-3)
    assert gaps[0] > gaps[1] > gaps[2] > 0


@covariance_types
@weight_types
def test_one_component_has_the_evidence_itself(covariance, weights):
    mixture = replace(mixture_of(covariance, weights), n_components=1)
    X = rows(3.0)
    assert fit(mixture, X).lower_bound_ == pytest.approx(mixture.log_evidence(X), rel=1e-12)


@pytest.mark.parametrize(
    "change",
    [
        {"concentration": 0.91},
        {"precision": 0.06},
        {"freedom": 4.55},
        {"mean": MEAN + 0.3},
        {"scale": 1.05 * SCALE},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_prior_has_another_bound(change):
    # The mutation: each hyperparameter counts in the bound.
    mixture = mixture_of("full", "dirichlet")
    X = rows(16.0)
    wrong = fit(replace(mixture, **change), X)
    exact = mixture.log_joint_of_labels(X, wrong.predict(X))
    assert abs(wrong.lower_bound_ - exact) > 1e-3


def clusters(unit):
    rng = np.random.default_rng(0)
    return unit * np.concatenate(
        [rng.normal(centre, 1, (100, D)) for centre in ((-6, 0), (6, 0), (0, 7))]
    )


def best_number(estimator, X):
    bounds = [estimator.set_params(n_components=k).fit(X).lower_bound_ for k in range(1, 7)]
    return 1 + int(np.argmax(bounds))


@pytest.mark.parametrize("unit", [1e-2, 1.0, 1e2])
def test_the_bound_chooses_the_number_of_components_in_any_unit(unit):
    options = {"n_init": 3, "random_state": 0, "max_iter": 1000, "tol": 1e-8}
    assert best_number(GaussianMixture(inference="mean-field", **options), clusters(unit)) == 3


def test_a_bound_without_its_constants_does_not():
    # scikit-learn drops what depends on the number of components but not on the data: in a small
    # unit its bound rises for ever. The mutation of the test above.
    theirs = BayesianGaussianMixture(
        weight_concentration_prior_type="dirichlet_distribution",
        reg_covar=0.0,
        random_state=0,
        max_iter=1000,
        tol=1e-6,
    )
    X = clusters(1e-2)
    bounds = [theirs.set_params(n_components=k).fit(X).lower_bound_ for k in (3, 4, 5)]
    assert np.all(np.diff(bounds) > 1.0)


# ---- the predictive density ----------------------------------------------------------------------


def integral(log_density, n_features, unit):
    """Integrate a density by the trapezoid rule after x = sinh(t), which tames heavy tails."""
    t = np.linspace(-16, 16, 4001) if n_features == 1 else np.linspace(-9, 9, 501)
    x, slope = unit * np.sinh(t), unit * np.cosh(t) * (t[1] - t[0])
    grid = np.stack(np.meshgrid(*[x] * n_features, indexing="ij"), axis=-1)
    density = np.exp(log_density(grid.reshape(-1, n_features))).reshape(grid.shape[:-1])
    for _ in range(n_features):
        density = density @ slope
    return float(density)


@covariance_types
@weight_types
@pytest.mark.parametrize("n_features", [1, 2])
def test_score_samples_is_a_density(covariance, weights, n_features):
    X = np.random.default_rng(1).normal(size=(14, n_features))
    model = GaussianMixture(
        2,
        covariance_type=covariance,
        inference="mean-field",
        weight_concentration_prior_type=weights,
        random_state=0,
    ).fit(X)
    tolerance = {1: 1e-5, 2: 2e-3}[n_features]  # the grid leaves out more of the tail in 2-D
    assert integral(model.score_samples, n_features, 0.5) == pytest.approx(1.0, abs=tolerance)


def test_expected_scores_are_not_a_density():
    # The mutation: what the E-step scores with. It is what scikit-learn returns, here 0.80.
    X = np.random.default_rng(0).normal(size=(6, 1))
    model = GaussianMixture(2, inference="mean-field", random_state=0).fit(X)
    native, q = model._fitted()

    def expected_scores(grid):
        return NativeMixture.assign(native.prepare(q), grid, "log_density", 1)

    assert integral(expected_scores, 1, 0.5) < 0.9
    theirs = BayesianGaussianMixture(
        n_components=2, weight_concentration_prior_type="dirichlet_distribution", random_state=0
    ).fit(X)
    assert integral(theirs.score_samples, 1, 0.5) < 0.9
    assert integral(model.score_samples, 1, 0.5) == pytest.approx(1.0, abs=1e-5)
