"""What is done with a fitted autoencoder: bounds, importance weights, refinement, linear maps.

All densities are in nats. Expectations are means over draws that depend on (seed, draw, mean of
q(z|x)) alone, so that a row's score does not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vemfast.models.vae_config import (
    LARGEST_LOG_VARIANCE,
    LEAST_LOG_VARIANCE,
    NetworkState,
    VaeConfig,
)
from vemfast.reference.vae import divergences
from vemfast.stats import Params

__all__ = [
    "LogMarginal",
    "Posterior",
    "bounds",
    "from_linear",
    "held_out_bound",
    "importance_weighted",
    "log_density_linear",
    "log_joint",
    "posterior",
    "refined",
    "state_of",
    "weights_of",
]

Array = NDArray[Any]

_LOG_2PI = float(np.log(2.0 * np.pi))
_DRAWS_OF_REFINEMENT = 6  # and as many mirrored
_LARGEST_STEP, _LEAST_STEP = 1.0, 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Posterior:
    """q(z|x) of rows: independent normals.

    Attributes
    ----------
    mean, log_variance : ndarray of shape (n, n_components)
    """

    mean: Array
    log_variance: Array

    def draw(self, noise: Array) -> Array:
        """Return z made of standard normals."""
        return np.asarray(self.mean + np.exp(self.log_variance / 2) * noise, dtype=np.float32)

    def keys(self) -> NDArray[np.uint64]:
        """Return 64 bits of each row that are its own, the bits of its mean mixed, shape (n,)."""
        words = np.ascontiguousarray(self.mean, dtype=np.float32).view(np.uint32)
        keys = np.zeros(len(words), dtype=np.uint64)
        for column in words.T:
            keys = (keys ^ column) * np.uint64(0xBF58476D1CE4E5B9)
            keys ^= keys >> np.uint64(31)
        return keys


@dataclass(frozen=True, slots=True, eq=False)
class LogMarginal:
    """What a fit's bound loses against log p(x).

    Attributes
    ----------
    log_marginal : ndarray of shape (n,)
        Importance-weighted estimates of log p(x), nats: too low on average, by less the more draws.
    elbo : ndarray of shape (n,)
        By the same draws, nats.
    n_draws : int
    """

    log_marginal: Array
    elbo: Array
    n_draws: int

    @property
    def gap(self) -> Array:
        """What the ELBO is short of log p(x): KL(q(z|x) || p(z|x)) of each row, nats."""
        return np.asarray(self.log_marginal - self.elbo)

    def __str__(self) -> str:
        parts = {"log p(x)": self.log_marginal, "ELBO": self.elbo, "gap": self.gap}
        error = np.sqrt(max(len(self.gap), 1))
        told = [f"{k} {v.mean():.4f} ± {v.std() / error:.4f}" for k, v in parts.items()]
        return f"{', '.join(told)} nats a row; {len(self.gap)} rows, {self.n_draws} draws"


def posterior(model: Any, state: NetworkState, block: Any, n_jobs: int = 1) -> Posterior:
    """Return the encoder's q(z|x)."""
    return Posterior(*model.encode(state, block, n_jobs))


def bounds(
    model: Any,
    state: NetworkState,
    block: Any,
    q: Posterior,
    seed: int,
    n_draws: int = 1,
    n_jobs: int = 1,
) -> Array:
    """Return E_q[log p(x|z)] - KL(q || p) of each row, (n,)."""
    total, keys = np.zeros(block.n), q.keys()
    for draw in range(n_draws):
        z = q.draw(model.noise(seed, draw, keys))
        total += model.log_density(state, block, z, n_jobs)[0]
    return np.asarray(total / n_draws - divergences(q.mean, q.log_variance).sum(axis=1))


def log_joint(
    model: Any, state: NetworkState, block: Any, z: Array, prior: bool, n_jobs: int = 1
) -> Array:
    """Return log p(x|z), and with the prior log p(x, z), of each row, (n,)."""
    found = np.asarray(model.log_density(state, block, z, n_jobs)[0])
    return found + _log_normal(z).sum(axis=1) if prior else found


def importance_weighted(
    model: Any,
    state: NetworkState,
    block: Any,
    q: Posterior,
    seed: int,
    n_draws: int,
    n_jobs: int = 1,
) -> LogMarginal:
    """Return log mean_l p(x, z_l) / q(z_l|x), z_l ~ q(z|x), of each row (Burda et al. 2016)."""
    largest = np.full(block.n, -np.inf)
    total, mean, keys = np.zeros(block.n), np.zeros(block.n), q.keys()
    for draw in range(n_draws):
        noise = model.noise(seed, draw, keys)
        z = q.draw(noise)
        log_density = model.log_density(state, block, z, n_jobs)[0]
        log_w = log_density + _log_normal(z).sum(axis=1)
        log_w -= (_log_normal(noise) - q.log_variance.astype(np.float64) / 2).sum(axis=1)
        mean += log_density
        above = np.maximum(largest, log_w)
        total = total * np.exp(largest - above) + np.exp(log_w - above)
        largest = above
    log_marginal = largest + np.log(total) - np.log(n_draws)
    elbo = mean / n_draws - divergences(q.mean, q.log_variance).sum(axis=1)
    return LogMarginal(log_marginal, elbo, n_draws)


def refined(
    model: Any,
    state: NetworkState,
    block: Any,
    q: Posterior,
    n_steps: int,
    seed: int,
    n_jobs: int = 1,
) -> Posterior:
    """Return q(z|x) of each row after steps up the gradient of its bound.

    Semi-amortised inference (Kim et al. 2018): from the encoder's answer, natural gradient steps
    (s² times the gradient by the mean, twice that by the log variance) under fixed draws. A row
    whose bound under these draws would fall stays where it is and halves its step, so the bound
    never falls.
    """
    keys = q.keys()
    noises = _balanced([model.noise(seed, draw, keys) for draw in range(_DRAWS_OF_REFINEMENT)])
    mean = q.mean.astype(np.float64)
    log_variance = q.log_variance.astype(np.float64)
    bound, slope_mean, slope_log = _slopes(model, state, block, mean, log_variance, noises, n_jobs)
    step = np.full(block.n, 0.25)
    for _ in range(n_steps):
        rate = step[:, None]
        moved = mean + rate * np.exp(log_variance) * slope_mean
        scaled = np.clip(
            log_variance + np.clip(2.0 * rate * slope_log, -1.0, 1.0),
            LEAST_LOG_VARIANCE,
            LARGEST_LOG_VARIANCE,
        )
        after, next_mean, next_log = _slopes(model, state, block, moved, scaled, noises, n_jobs)
        better = after > bound
        for old, new in ((mean, moved), (log_variance, scaled)):
            old[better] = new[better]
        for old, new in ((slope_mean, next_mean), (slope_log, next_log)):
            old[better] = new[better]
        bound[better] = after[better]
        step = np.clip(np.where(better, 1.5 * step, step / 2), _LEAST_STEP, _LARGEST_STEP)
    return Posterior(mean, log_variance)


def _balanced(noises: list[Array]) -> list[Array]:
    """Return draws and their mirror images, scaled to variance one in each row and dimension.

    So that few draws give a mean of a quadratic, dimension by dimension, exactly.
    """
    scale = np.sqrt(np.mean([noise**2 for noise in noises], axis=0))
    scaled = [noise / scale for noise in noises]
    return [*scaled, *(-noise for noise in scaled)]


def _slopes(
    model: Any,
    state: NetworkState,
    block: Any,
    mean: Array,
    log_variance: Array,
    noises: Sequence[Array],
    n_jobs: int,
) -> tuple[Array, Array, Array]:
    """Return bounds of rows, and their gradients by the means and the log variances of q."""
    total = np.zeros(block.n)
    of_mean, of_log = np.zeros(mean.shape), np.zeros(mean.shape)
    spread = np.exp(log_variance / 2)
    for noise in noises:
        z = np.asarray(mean + spread * noise, dtype=np.float32)
        value, of_z = model.log_density(state, block, z, n_jobs, gradient=True)
        total += value
        of_mean += of_z
        of_log += of_z * (spread * noise / 2)
    n = len(noises)
    return (
        total / n - divergences(mean, log_variance).sum(axis=1),
        of_mean / n - mean,
        of_log / n - np.expm1(log_variance) / 2,
    )


def _log_normal(z: Array) -> NDArray[np.float64]:
    return np.asarray(-0.5 * (z.astype(np.float64) ** 2 + _LOG_2PI), dtype=np.float64)


# ---- weights ------------------------------------------------------------------------------------


def weights_of(config: VaeConfig, state: NetworkState) -> dict[str, Any]:
    """Return the fitted attributes that are the weights of a state."""
    found: dict[str, Any] = {}
    for name in config.layout.names:
        value = np.array(state[name], dtype=np.float64)
        if name == "log_variances":
            found["noise_variance_"] = np.exp(value)
        else:
            found.setdefault(f"{name.rpartition('_')[0]}_", []).append(value)
    return found


def state_of(config: VaeConfig, attributes: Mapping[str, Any]) -> NetworkState:
    """Return the state whose weights are fitted attributes, the inverse of `weights_of`."""
    weights = np.zeros(config.layout.size, dtype=config.dtype)
    for name in config.layout.names:
        if name == "log_variances":
            value: Any = np.log(attributes["noise_variance_"])
        else:
            part, _, number = name.rpartition("_")
            value = attributes[f"{part}_"][int(number)]
        config.layout.view(weights, name)[...] = value
    return NetworkState.at(config.layout, weights)


def from_linear(params: Params, origin: Array) -> dict[str, Any]:
    """Return probabilistic PCA or factor analysis as the weights of a linear autoencoder.

    W is turned so that Wᵀ Ψ⁻¹ W is diagonal, its largest entries first. Then so is the covariance
    of z given x, and the encoder is the exact posterior.
    """
    W, variances = params["loadings"], params["variances"]
    scaled = W / variances[:, None] if variances.size > 1 else W / variances
    values, turn = np.linalg.eigh(W.T @ scaled)
    turn = turn[:, ::-1]
    turn = turn * np.where(np.abs(W @ turn).max(axis=0) == (W @ turn).max(axis=0), 1.0, -1.0)
    W, scaled = W @ turn, scaled @ turn
    spread = 1.0 / (1.0 + np.maximum(values[::-1], 0.0))
    gain = scaled * spread
    mean = params["mean"] + origin
    return {
        "encoder_coefs_": [np.concatenate([gain, np.zeros_like(gain)], axis=1)],
        "encoder_intercepts_": [np.concatenate([-mean @ gain, np.log(spread)])],
        "decoder_coefs_": [np.ascontiguousarray(W.T)],
        "decoder_intercepts_": [mean],
        "noise_variance_": np.array(variances),
    }


def log_density_linear(attributes: Mapping[str, Any], X: Array) -> Array:
    """Return log p(x) of rows under the weights that `from_linear` returns, in float64."""
    W = attributes["decoder_coefs_"][0]
    variances = np.broadcast_to(attributes["noise_variance_"], (W.shape[1],))
    rest = np.asarray(X, dtype=np.float64) - attributes["decoder_intercepts_"][0]
    scaled = W / variances
    precision = np.eye(len(W)) + scaled @ W.T
    z = np.linalg.solve(precision, scaled @ rest.T).T
    left = rest - z @ W
    distances = (left * left / variances).sum(axis=1) + (z * z).sum(axis=1)
    _, log_det = np.linalg.slogdet(precision)
    constant = len(variances) * _LOG_2PI + np.log(variances).sum() + log_det
    return np.asarray(-0.5 * (distances + constant))


def held_out_bound(model: Any, state: NetworkState, block: Any, seed: int, n_jobs: int) -> float:
    """Return the weighted mean bound of rows that were not fitted, nats a row."""
    q = posterior(model, state, block, n_jobs)
    if model.config.amortised:
        found = bounds(model, state, block, q, seed, 1, n_jobs)
    else:
        found = log_joint(model, state, block, q.mean, model.config.prior, n_jobs)
    weights = np.ones(block.n) if block.weights is None else block.weights
    return float(weights @ found / weights.sum())
