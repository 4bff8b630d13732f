"""The Gibbs estimator: densities of its draws, and simulation-based calibration.

If θ* comes from the prior and X from θ*, then θ* and the draws given X are exchangeable, and the
rank of any function of θ* among those of L independent draws is uniform on 0..L. Labels may switch,
so the functions do not depend on them.

S. Talts, M. Betancourt, D. Simpson, A. Vehtari, A. Gelman: Validating Bayesian inference algorithms
with simulation-based calibration. arXiv 1804.06788, 2018.
"""

from dataclasses import replace

import numpy as np
import pytest
from oracles.generative import GenerativeMixture, Points, as_matrices, rows_given
from scipy.special import logsumexp

from vemfast import GaussianMixture
from vemfast.models.gaussian_config import COVARIANCE_TYPES

D, K = 2, 2
SCALE = np.array([[4.0, 1.6], [1.6, 3.0]])
WEIGHT_TYPES = ("dirichlet", "dirichlet_process")
covariance_types = pytest.mark.parametrize("covariance", COVARIANCE_TYPES)
weight_types = pytest.mark.parametrize("weights", WEIGHT_TYPES)


def mixture_of(covariance, weights):
    scale = {"full": SCALE, "tied": SCALE, "diag": np.diagonal(SCALE)}
    own = np.asarray(scale.get(covariance, np.trace(SCALE) / D))
    return GenerativeMixture(covariance, weights, K, 1.2, np.array([5.0, -2.0]), 0.5, 6.0, own)


def points_of(draws, covariance):
    """Return all chains' draws one after another, covariances as matrices."""
    covariances = as_matrices(draws.covariances, covariance, *draws.means.shape[-2:])
    flat = [array.reshape(-1, *array.shape[2:]) for array in (draws.weights, draws.means)]
    return Points(*flat, covariances.reshape(-1, *covariances.shape[2:]))


# ---- densities of draws ------------------------------------------------------------------------


@covariance_types
@weight_types
def test_densities_of_the_draws(covariance, weights):
    mixture = replace(mixture_of(covariance, weights), n_components=3)
    rng = np.random.default_rng(0)
    X = rows_given(Points(*(array[0] for array in mixture.points(1, rng))), 40, rng)
    options = mixture.options() | {"inference": "gibbs", "random_state": 0}
    model = GaussianMixture(n_burn=5, n_draws=6, n_chains=2, thin=2, **options).fit(X)
    draws = model.posterior_
    points = points_of(draws, covariance)
    each = [Points(*arrays) for arrays in zip(*points, strict=True)]
    log_likelihood = np.array([mixture.log_likelihood(point, X) for point in each])
    log_joint = log_likelihood + [mixture.log_prior(point) for point in each]
    np.testing.assert_allclose(draws.log_likelihood.ravel(), log_likelihood, rtol=1e-10)
    np.testing.assert_allclose(draws.log_joint.ravel(), log_joint, rtol=1e-10)
    best = np.argmax(log_joint)
    np.testing.assert_array_equal(model.weights_, points.weights[best])
    np.testing.assert_array_equal(model.means_, points.means[best])
    assert model.lower_bound_ == pytest.approx(log_joint[best], rel=1e-10)
    density = logsumexp(
        [[mixture.log_likelihood(point, row[None]) for row in X[:5]] for point in each], axis=0
    )
    np.testing.assert_allclose(model.score_samples(X[:5]), density - np.log(len(each)), rtol=1e-10)
    assert len(np.unique(draws.weights[..., 0])) == 12, "chains or draws repeat each other"


@weight_types
@pytest.mark.parametrize("n_components", [20, 120])
def test_weights_too_small_for_a_number_have_a_finite_density(weights, n_components):
    # With the default concentration, 1 / n_components, an empty component's weight is often below
    # the smallest double, where the density of a weight or of a stick is infinite.
    X = np.random.default_rng(0).normal(size=(150, 2))
    model = GaussianMixture(
        n_components,
        inference="gibbs",
        covariance_type="diag",
        weight_concentration_prior_type=weights,
        n_burn=5,
        n_draws=10,
        n_chains=1,
        random_state=0,
    ).fit(X)
    assert np.isfinite(model.posterior_.log_joint).all()
    assert (model.posterior_.weights > 0).all()
    np.testing.assert_allclose(model.posterior_.weights.sum(axis=-1), 1.0, rtol=1e-12)


# ---- calibration -------------------------------------------------------------------------------

N_ROWS, N_DRAWS = 12, 63
FUNCTIONS = ("log p(X, θ)", "log p(X | θ)", "largest weight", "overall mean", "overall log |Σ|")


def functions(points, log_joint, log_likelihood):
    """Return functions of θ that do not depend on labels, (draws, 5)."""
    w, m, sigma = points
    return np.stack(
        [
            np.ravel(log_joint),
            np.ravel(log_likelihood),
            w.max(axis=1),
            np.sum(w * m[:, :, 0], axis=1),
            np.sum(w * np.linalg.slogdet(sigma)[1], axis=1),
        ],
        axis=1,
    )


def ranks(mixture, fitted, n, seed=0):
    """Return the ranks of n draws from `mixture` among posterior draws under the prior `fitted`."""
    rng = np.random.default_rng(seed)
    truths = mixture.points(n, rng)
    out = np.empty((n, len(FUNCTIONS)), dtype=int)
    for i in range(n):
        truth = Points(*(array[i] for array in truths))
        X = rows_given(truth, N_ROWS, rng)
        draws = (
            GaussianMixture(
                **fitted.options(),
                inference="gibbs",
                n_burn=50,
                n_draws=N_DRAWS,
                thin=6,
                n_chains=1,
                random_state=i,
                n_jobs=1,
            )
            .fit(X)
            .posterior_
        )
        own = functions(
            points_of(draws, mixture.covariance_type), draws.log_joint, draws.log_likelihood
        )
        log_likelihood = fitted.log_likelihood(truth, X)
        log_joint = log_likelihood + fitted.log_prior(truth)
        true = functions(Points(*(array[None] for array in truth)), log_joint, log_likelihood)
        out[i] = np.sum(own < true, axis=0)
    return out


def distances(counts):
    """Return the largest distance of rank ECDFs from uniform, in pointwise standard errors."""
    n = counts.sum(axis=-1, keepdims=True)
    ends = np.arange(1, N_DRAWS + 1) / (N_DRAWS + 1)
    ecdf = np.cumsum(counts, axis=-1)[..., :-1] / n
    return np.max(np.abs(ecdf - ends) / np.sqrt(ends * (1 - ends) / n), axis=-1)


def band(n, level=0.99):
    """Return the distance that all functions together keep within with probability `level`."""
    rng = np.random.default_rng(0)
    uniform = np.full(N_DRAWS + 1, 1 / (N_DRAWS + 1))
    simulated = distances(rng.multinomial(n, uniform, size=20_000))
    return np.quantile(simulated, 1 - (1 - level) / len(FUNCTIONS))


def rank_distances(mixture, fitted, n):
    counts = [np.bincount(column, minlength=N_DRAWS + 1) for column in ranks(mixture, fitted, n).T]
    return distances(np.array(counts))


# Of the prior that is fitted, not of the one that θ* comes from.
MUTATIONS = {
    "concentration": {"concentration": 0.4},
    "precision": {"precision": 0.1},
    "freedom": {"freedom": 9.0},
    "mean": {"mean": np.array([3.5, -2.0])},
    "scale": {"scale": 0.6 * SCALE},
}


@pytest.mark.parametrize(("covariance", "weights"), [("full", "dirichlet_process")])
def test_ranks_are_uniform(covariance, weights):
    mixture = mixture_of(covariance, weights)
    assert rank_distances(mixture, mixture, 100).max() < band(100)


def test_ranks_under_another_prior_are_not():
    mixture = mixture_of("full", "dirichlet_process")
    wrong = replace(mixture, **MUTATIONS["scale"])
    assert rank_distances(mixture, wrong, 100).max() > band(100)


@pytest.mark.nightly
@covariance_types
@weight_types
def test_ranks_of_500_replicates_are_uniform(covariance, weights):
    mixture = mixture_of(covariance, weights)
    assert rank_distances(mixture, mixture, 500).max() < band(500)


@pytest.mark.nightly
@weight_types
@pytest.mark.parametrize("change", MUTATIONS.values(), ids=MUTATIONS)
def test_ranks_of_500_replicates_under_another_prior_are_not(change, weights):
    mixture = mixture_of("full", weights)
    assert rank_distances(mixture, replace(mixture, **change), 500).max() > band(500)
