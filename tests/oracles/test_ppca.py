"""Probabilistic PCA: its closed form, SciPy's densities, the laws of a model; and the linear
autoencoder, whose best bound is its likelihood (O6; Lucas et al. 2019)."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.decomposition import FactorAnalysis

import vemfast
from vemfast.data import RowBlock
from vemfast.models.base import Step
from vemfast.models.ppca import ProbabilisticPca
from vemfast.models.vae_config import VaeConfig
from vemfast.reference.vae import VariationalAutoencoder
from vemfast.stats import Stats
from vemfast.testing import check_model


def data(n: int = 300, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    W = rng.normal(size=(6, 2)) * [2.0, 1.0]
    return rng.normal(size=(n, 2)) @ W.T + rng.normal(size=(n, 6)) * 0.5 + np.arange(6.0)


def closed_form(X: np.ndarray, n_components: int) -> float:
    """Tipping and Bishop's maximum likelihood, nats."""
    n, D = X.shape
    values = np.sort(np.linalg.eigvalsh(np.cov(X.T, bias=True)))[::-1]
    noise = values[n_components:].mean()
    log_det = np.log(values[:n_components]).sum() + (D - n_components) * np.log(noise)
    return float(-0.5 * n * (D * np.log(2 * np.pi) + log_det + D))


@pytest.mark.parametrize("noise", ["spherical", "diag"])
def test_the_laws(noise: str) -> None:
    check_model(ProbabilisticPca(6, 2, noise), data())


@pytest.mark.parametrize("n_components", [1, 2, 4])
def test_the_maximum_is_the_closed_form(n_components: int) -> None:
    X = data()
    model = ProbabilisticPca(6, n_components, origin=X.mean(axis=0))
    found = vemfast.fit(model, X, tol=1e-12, max_iter=20_000)
    assert found.lower_bound == pytest.approx(closed_form(X, n_components), abs=1e-4)


def test_factor_analysis_is_scikit_learns() -> None:
    X = data()
    found = vemfast.fit(ProbabilisticPca(6, 1, "diag"), X, tol=1e-8, max_iter=5_000)
    peer = FactorAnalysis(1, tol=1e-6, max_iter=5_000, svd_method="lapack").fit(X)
    assert found.lower_bound / len(X) == pytest.approx(peer.score(X), abs=1e-3)


def test_the_density_is_the_normal_of_scipy() -> None:
    X = data(20)
    for noise in ("spherical", "diag"):
        model = ProbabilisticPca(6, 2, noise, origin=np.full(6, 0.7))
        params = model.init([RowBlock(X)], Step(seed=4))
        W, mean = params["loadings"], params["mean"] + model.origin
        law = stats.multivariate_normal(mean, W @ W.T + np.eye(6) * params["variances"])
        table = model.prepare(params)
        np.testing.assert_allclose(
            model.log_density(table, X - model.origin), law.logpdf(X), rtol=1e-10
        )


def test_weights_are_repetitions_and_the_origin_is_none_of_its_business() -> None:
    X = data(40)
    twice = vemfast.fit(ProbabilisticPca(6, 2), np.repeat(X, 2, axis=0), random_state=1)
    weighted = vemfast.fit(ProbabilisticPca(6, 2), RowBlock(X, np.full(40, 2.0)), random_state=1)
    assert weighted.lower_bound == pytest.approx(twice.lower_bound, rel=1e-10)
    far = vemfast.fit(ProbabilisticPca(6, 2, origin=np.full(6, 1e6)), X + 1e6, random_state=1)
    near = vemfast.fit(ProbabilisticPca(6, 2), X, random_state=1)
    assert far.lower_bound == pytest.approx(near.lower_bound, rel=1e-7)


def test_the_variance_stays_above_its_floor() -> None:
    X = np.outer(np.arange(10.0), [1.0, 2.0, 3.0])  # on a line
    found = vemfast.fit(ProbabilisticPca(3, 1, variance_floor=0.5), X, tol=1e-6, max_iter=500)
    assert found.params["variances"] == pytest.approx(0.5)


def test_the_linear_autoencoder_comes_to_the_same_likelihood() -> None:
    """Without a draw's noise: with the exact expectation a batch of all rows ascends the bound."""
    X = data(200)
    config = VaeConfig(
        6,
        2,
        hidden=(),
        likelihood="gaussian",
        batch_size=200,
        learning_rate=0.02,
        dtype=np.float64,
    )
    model, block = VariationalAutoencoder(config), RowBlock(X)
    step = Step("factorised", "point", seed=0)
    state = model.init([block], step)
    for rate in (0.05, 0.01, 0.002):
        model = VariationalAutoencoder(config.with_learning_rate(rate))
        for _ in range(800):
            step = step.next
            state, _ = model.sweep(state, Stats(model.layout), [block], step, iter(()))
    draws = [
        model.e_step(state, block, Step("factorised", "point", seed=1, iteration=i)).local_bound
        for i in range(1, 400)
    ]
    assert np.mean(draws) / 200 == pytest.approx(closed_form(X, 2) / 200, abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((3, 0), "n_components"), ((3, 1, "full"), "noise"), ((3, 1, "diag", 0.0), "variance_floor")],
)
def test_bad_arguments(arguments: tuple, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ProbabilisticPca(*arguments)
