"""The autoencoder's gradients by hand against differences (O5), and Adam against its paper."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy import sparse, stats

from vemfast.data import RowBlock
from vemfast.errors import NumericalError
from vemfast.indexed import IndexedBlock, SparseRows
from vemfast.models.base import Step
from vemfast.models.vae_config import ACTIVATIONS, LIKELIHOODS, NetworkState, VaeConfig
from vemfast.reference.networks import activate, slope
from vemfast.reference.vae import VariationalAutoencoder, noise
from vemfast.stats import Stats

SOFT = Step("factorised", "point", seed=3, iteration=2)
HARD = Step("hard", "point", seed=3, iteration=2)


def make(likelihood: str = "bernoulli", **changes: Any) -> VariationalAutoencoder:
    settings = {"n_features": 5, "n_components": 3, "hidden": (4, 6), "dtype": np.float64}
    return VariationalAutoencoder(VaeConfig(**{**settings, "likelihood": likelihood, **changes}))


def rows(likelihood: str, n: int = 7, missing: bool = False, weighted: bool = True) -> RowBlock:
    rng = np.random.default_rng(1)
    X = {
        "bernoulli": rng.random((n, 5)),
        "gaussian": rng.normal(0.5, 1.0, (n, 5)),
        "poisson": rng.poisson(2.0, (n, 5)).astype(float),
    }[likelihood]
    if missing:
        X[rng.random(X.shape) < 0.3] = np.nan
    return RowBlock(X, rng.random(n) * 2 if weighted else None, offset=11)


def start(model: VariationalAutoencoder, block: RowBlock) -> NetworkState:
    state = model.init([block], SOFT)
    rng = np.random.default_rng(2)  # away from the start's zeros
    return NetworkState.at(state.layout, state.weights + rng.normal(0, 0.2, state.weights.shape))


def bound(model: VariationalAutoencoder, weights: np.ndarray, block: Any, step: Step) -> float:
    return model.e_step(NetworkState.at(model.config.layout, weights), block, step).local_bound


def check_gradient(model: VariationalAutoencoder, block: Any, step: Step) -> None:
    state = start(model, block)
    gradient = model.e_step(state, block, step).buffer[2:-1]
    h = 1e-6
    for i in np.linspace(0, state.weights.size - 1, 60).astype(int):
        ends = []
        for sign in (1, -1):
            weights = state.weights.copy()
            weights[i] += sign * h
            ends.append(bound(model, weights, block, step))
        assert (ends[0] - ends[1]) / (2 * h) == pytest.approx(gradient[i], rel=2e-5, abs=2e-6)


@pytest.mark.parametrize(("likelihood", "activation"), list(product(LIKELIHOODS, ACTIVATIONS)))
@pytest.mark.parametrize("step", [SOFT, HARD], ids=["soft", "hard"])
def test_gradients(likelihood: str, activation: str, step: Step) -> None:
    check_gradient(make(likelihood, activation=activation), rows(likelihood), step)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize(
    "changes",
    [
        {"hidden": ()},
        {"beta": 0.3},
        {"kl_warmup": 5.0},
        {"noise": "diag"},
        {"prior": False},
        {"n_components": 6},
        {"batch_size": 3},
    ],
    ids=str,
)
def test_gradients_of_other_shapes(likelihood: str, changes: dict[str, Any]) -> None:
    step = HARD if "prior" in changes else SOFT
    check_gradient(make(likelihood, **changes), rows(likelihood, missing=True), step)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_slopes(name: str) -> None:
    x = np.linspace(-3, 3, 40)
    h = 1e-6
    numeric = (activate(name, x + h) - activate(name, x - h)) / (2 * h)
    np.testing.assert_allclose(slope(name, x), numeric, atol=1e-9)


def densities(likelihood: str, x: np.ndarray, mean: np.ndarray, state: NetworkState) -> np.ndarray:
    if likelihood == "bernoulli":
        return stats.bernoulli(mean).logpmf(x)
    if likelihood == "poisson":
        return stats.poisson(mean).logpmf(x)
    return stats.norm(mean, np.exp(state["log_variances"] / 2)).logpdf(x)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_the_bound_is_that_of_the_paper(likelihood: str) -> None:
    """Row by row, with SciPy's densities."""
    model, block = make(likelihood, beta=0.7), rows(likelihood, weighted=False)
    if likelihood == "bernoulli":
        block = RowBlock((block.X > 0.5).astype(float), offset=block.offset)
    state = start(model, block)
    mean, log_variance = model.encode(state, block)
    eps = noise(SOFT.seed, SOFT.iteration, np.arange(block.n) + block.offset, 3)
    found = model.decode(state, mean + np.exp(log_variance / 2) * eps)
    divergence = 0.5 * (np.exp(log_variance) + mean**2 - 1 - log_variance).sum()
    expected = densities(likelihood, block.X, found, state).sum() - 0.7 * divergence
    assert model.e_step(state, block, SOFT).local_bound == pytest.approx(expected, rel=1e-12)
    expected = densities(likelihood, block.X, model.decode(state, mean), state).sum()
    expected += stats.norm.logpdf(mean).sum()
    assert model.e_step(state, block, HARD).local_bound == pytest.approx(expected, rel=1e-12)


def test_noise_is_normal_and_of_the_row() -> None:
    found = noise(5, 1, np.arange(20_000), 6)
    assert stats.kstest(found.ravel(), "norm").pvalue > 1e-3
    np.testing.assert_array_less(np.abs(np.corrcoef(found.T) - np.eye(6)), 0.04)
    np.testing.assert_array_equal(found[7:9], noise(5, 1, np.array([7, 8]), 6))
    assert not np.array_equal(found[:5], noise(5, 2, np.arange(5), 6))
    assert not np.array_equal(found[:5], noise(6, 1, np.arange(5), 6))


def test_adam_by_hand() -> None:
    model = make(learning_rate=0.1)
    block = rows("bernoulli")
    state = start(model, block)
    first = second = np.zeros_like(state.weights)
    weights = state.weights
    for t in (1, 2, 3):
        statistics = model.e_step(state, block, SOFT)
        g = statistics.buffer[2:-1] / block.total_weight
        state = model.update(state, statistics, SOFT)
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g * g
        m, v = first / (1 - 0.9**t), second / (1 - 0.999**t)
        weights = weights + 0.1 * m / (np.sqrt(v) + 1e-8)
        np.testing.assert_allclose(state.weights, weights, rtol=1e-10, atol=1e-13)
        assert state.updates == t


def test_steps_that_are_not_finite_are_left_out_and_then_an_error() -> None:
    model, block = make(), rows("bernoulli")
    state = start(model, block)
    good = model.e_step(state, block, SOFT)
    bad = good.copy()
    bad.buffer[7] = np.inf
    once = model.update(state, bad, SOFT)
    assert once.weights is state.weights
    assert (once.failures, once.halvings) == (1, 1)
    slow, fast = model.update(once, good, SOFT), model.update(state, good, SOFT)
    np.testing.assert_allclose(slow.weights - state.weights, (fast.weights - state.weights) / 2)
    assert (slow.failures, slow.halvings) == (0, 1)
    with pytest.raises(NumericalError, match="3 times in a row"):
        model.update(model.update(once, bad, SOFT), bad, SOFT)


def test_the_variance_keeps_to_its_floor() -> None:
    model = make("gaussian", variance_floor=0.5, learning_rate=1.0)
    block = rows("gaussian")
    state = model.init([block], SOFT)
    for _ in range(3):
        down = Stats(model.layout)
        down["weight"], down["log_variances"] = 1.0, -1.0
        state = model.update(state, down, SOFT)
    assert np.exp(state["log_variances"]) == pytest.approx(0.5)


def test_sparse_counts_are_the_dense_ones() -> None:
    model = make("poisson")
    dense = rows("poisson", weighted=False)
    matrix = sparse.csr_matrix(dense.X)
    parts = (matrix.indptr.astype(np.int64), matrix.indices, matrix.data)
    thin = IndexedBlock(SparseRows(*parts, n_features=5), offset=11)
    state = start(model, dense)
    np.testing.assert_array_equal(
        model.e_step(state, thin, SOFT).buffer, model.e_step(state, dense, SOFT).buffer
    )


def test_a_sweep_is_its_batches_and_knows_no_blocks() -> None:
    model, block = make(batch_size=3), rows("bernoulli")
    state = start(model, block)
    swept, total = model.sweep(state, Stats(model.layout), [block], SOFT, iter(()))
    expected, bounds, seen = state, 0.0, []
    for batch, own in model.batches([block], SOFT):
        seen.extend(own.tolist())
        statistics = Stats(model.layout)
        model._add(statistics, expected, batch, own, SOFT)
        expected, bounds = model.update(expected, statistics, SOFT), bounds + statistics.local_bound
    np.testing.assert_array_equal(swept.weights, expected.weights)
    assert total.local_bound == pytest.approx(bounds)
    assert sorted(seen) == list(range(11, 18))  # 3 + 3 + 1 rows
    assert seen != sorted(seen)
    cut, _ = model.sweep(state, Stats(model.layout), block.cut(3), SOFT, iter(()))
    np.testing.assert_array_equal(cut.weights, swept.weights)
    other = [own.tolist() for _, own in model.batches([block], SOFT.next)]
    assert [row for own in other for row in own] != seen


def test_the_start_knows_the_columns() -> None:
    for likelihood in LIKELIHOODS:
        model, block = make(likelihood), rows(likelihood, missing=True)
        state = model.init([block], SOFT)
        z = np.zeros((1, 3))
        weighted = np.ma.average(np.ma.masked_invalid(block.X), axis=0, weights=block.weights)
        np.testing.assert_allclose(model.decode(state, z)[0], weighted, rtol=1e-6)
