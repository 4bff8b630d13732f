"""The variational autoencoder in NumPy, gradients by hand: the twin of the native model.

The bound of a row x is E_q[log p(x|z)] - β KL(q(z|x) || p(z)), with q(z|x) a normal distribution
whose means and log variances the encoder gives, one draw z = m + s ε in the place of the
expectation, and p(z) standard normal (Kingma, Welling 2014; Rezende, Mohamed, Wierstra 2014). The
E-step gives its gradient, summed over rows; the update is a step of Adam up it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, gammaln

from vemfast.data import RowBlock
from vemfast.errors import NumericalError
from vemfast.indexed import IndexedBlock
from vemfast.models.base import Model, Step
from vemfast.models.vae_config import (
    LARGEST_LOG_VARIANCE,
    LEAST_LOG_VARIANCE,
    NetworkState,
    VaeConfig,
)
from vemfast.reference.networks import backward, forward, softplus
from vemfast.reference.random import START_STREAM, philox, uniform
from vemfast.stats import Layout, Stats

__all__ = [
    "LEAST_DIVERGENCE",
    "MOST_FAILURES",
    "NOISE_STREAM",
    "NOT_FINITE",
    "SHUFFLE_STREAM",
    "VariationalAutoencoder",
    "divergences",
    "noise",
]

Array = NDArray[Any]
Rows = RowBlock | IndexedBlock

NOISE_STREAM = 0x20000  # plus a quarter of the latent dimension
SHUFFLE_STREAM = 3

LEAST_DIVERGENCE = 0.01  # nats a row: a dimension of z with less has collapsed to the prior

_LOG_2PI = float(np.log(2.0 * np.pi))
_ROWS_OF_A_PIECE = 1024
MOST_FAILURES = 3  # updates in a row that are not finite
NOT_FINITE = (
    f"the bound or its gradient is not finite {MOST_FAILURES} times in a row, though the learning "
    "rate was halved; standardise X or lower learning_rate_init"
)
_LARGEST_GRADIENT = 1e18  # of a row: Adam squares it in single precision
# Less does not move a weight, beside an epsilon of 1e-12 or more; but subnormal numbers take a
# hundred times the time.
_LEAST_MOMENT, _LEAST_SQUARE = 1e-18, 1e-30


def noise(seed: int, iteration: int, rows: NDArray[Any], width: int) -> Array:
    """Return standard normals of global rows, shape (n, width).

    Four of them are made from one call of Philox, by Box and Muller.
    """
    out = np.empty((len(rows), -(-width // 4) * 4))
    low = rows.astype(np.uint64) & np.uint64(0xFFFFFFFF)
    high = rows.astype(np.uint64) >> np.uint64(32)
    for j in range(0, width, 4):
        words = philox((low, high, iteration, NOISE_STREAM + j // 4), seed)
        u = [(word.astype(np.float64) + 0.5) * 2.0**-32 for word in words]
        for pair in (0, 2):
            radius = np.sqrt(-2.0 * np.log(u[pair]))
            out[:, j + pair] = radius * np.cos(2.0 * np.pi * u[pair + 1])
            out[:, j + pair + 1] = radius * np.sin(2.0 * np.pi * u[pair + 1])
    return out[:, :width]


def divergences(mean: Array, log_variance: Array) -> Array:
    """Return KL(q(z|x) || p(z)) of each row and dimension, (n, n_components), nats."""
    s = log_variance.astype(np.float64)
    return np.asarray(0.5 * (mean.astype(np.float64) ** 2 + np.expm1(s) - s))


class VariationalAutoencoder(Model):
    """Encoder and decoder of one configuration.

    Statistics are gradients, summed over rows, and the rows' weight; `update` is a step of Adam.

    Parameters
    ----------
    config : VaeConfig
    judged : block, default=None
        Rows by which `diagnose` says whether dimensions of z have collapsed. None: it says nothing.
    """

    local_rules = MappingProxyType({"variational-em": "factorised", "hard-em": "hard"})
    unavailable = MappingProxyType(
        {
            "em": "the posterior of z is intractable under a network; use "
            "inference='variational-em', or hidden_layer_sizes=() with likelihood='gaussian', "
            "which has exact EM",
            "mean-field": "weights of a network have no conjugate posterior; use "
            "inference='variational-em'",
            "gibbs": "weights of a network have no conditional to draw from; use "
            "inference='variational-em'",
        }
    )

    def __init__(self, config: VaeConfig, judged: Rows | None = None) -> None:
        self.config = config
        self.judged = judged
        shapes = dict(zip(config.layout.names, config.layout.shapes, strict=True))
        self.layout = Layout({**shapes, "weight": ()})

    # ---- the contract --------------------------------------------------------------------------

    def init(self, blocks: Sequence[Rows], step: Step) -> NetworkState:
        """Return weights uniform in ±sqrt(6 / (in + out)) (Glorot, Bengio 2010), intercepts 0.

        The decoder's last intercepts are the columns' means as the likelihood sees them, so that
        training starts from the best model without z.
        """
        layout, config = self.config.layout, self.config
        weights = np.zeros(layout.size, dtype=config.dtype)
        for i, (name, shape) in enumerate(zip(layout.names, layout.shapes, strict=True)):
            if "coefs" in name:
                calls = np.arange(-(-shape[0] * shape[1] // 2))
                words = philox((calls, i, 0, START_STREAM), step.seed)
                u = (np.stack([words[0], words[2]], axis=1).ravel() + 0.5) * 2.0**-32
                limit = np.sqrt(6.0 / sum(shape))
                layout.view(weights, name)[...] = limit * (
                    2.0 * u[: shape[0] * shape[1]].reshape(shape) - 1.0
                )
        mean, variance = self._moments(blocks)
        last = layout.view(weights, f"decoder_intercepts_{len(config.hidden)}")
        if config.likelihood == "bernoulli":
            p = np.clip(mean, 1e-3, 1 - 1e-3)
            last[...] = np.log(p) - np.log1p(-p)
        else:
            last[...] = mean if config.likelihood == "gaussian" else np.log(np.maximum(mean, 1e-3))
        if config.n_variances:
            own = variance if config.noise == "diag" else variance.mean()
            layout.view(weights, "log_variances")[...] = np.log(
                np.maximum(own, config.variance_floor)
            )
        return NetworkState.at(layout, weights)

    def e_step(self, prepared: NetworkState, block: Rows, step: Step) -> Stats:
        """Return the gradient of the rows' bounds, their sum and their weight."""
        stats = Stats(self.layout)
        for part in _pieces(block, self.config.batch_size):
            self._add(stats, prepared, part, np.arange(part.n) + part.offset, step)
        return stats

    def update(self, params: NetworkState, stats: Stats, step: Step) -> NetworkState:
        """Return the state after one step of Adam along the gradient of the mean bound.

        Raises
        ------
        NumericalError
            If it is the third time in a row that something is not finite. Before that, the step
            is left out and the learning rate halved.
        """
        config = self.config
        gradient = stats.buffer[2 : 2 + config.layout.size] / float(stats["weight"])
        finite = np.abs(gradient).max() < _LARGEST_GRADIENT and np.isfinite(stats.local_bound)
        if not finite:
            if params.failures + 1 == MOST_FAILURES:
                raise NumericalError(NOT_FINITE)
            return replace(params, failures=params.failures + 1, halvings=params.halvings + 1)
        t = params.updates + 1
        dtype = config.dtype.type
        g = _without_small(gradient.astype(config.dtype))
        first = _without_small(params.first + dtype(1 - config.decay1) * (g - params.first))
        second = params.second + dtype(1 - config.decay2) * (g * g - params.second)
        np.maximum(second, dtype(_LEAST_SQUARE), out=second)
        rate = config.learning_rate * 0.5**params.halvings / (1 - config.decay1**t)
        root = np.sqrt(second) * dtype((1 - config.decay2**t) ** -0.5) + dtype(config.epsilon)
        weights = params.weights + dtype(rate) * first / root
        if config.n_variances:
            own = config.layout.view(weights, "log_variances")
            np.maximum(own, dtype(np.log(config.variance_floor)), out=own)
        return NetworkState(params.layout, weights, first, second, t, 0, params.halvings)

    def global_term(self, params: NetworkState) -> float:
        """Return 0: the prior of the weights is flat."""
        return 0.0

    def diagnose(self, params: NetworkState, stats: Stats) -> list[str]:
        """Return that dimensions of z are not used, as far as the rows to judge by show."""
        if self.judged is None or not self.config.amortised or self.config.beta == 0:
            return []
        mean, log_variance = self.encode(params, self.judged)
        each = divergences(mean, log_variance).mean(axis=0)
        if not (dead := np.flatnonzero(each < LEAST_DIVERGENCE)).size:
            return []
        return [
            f"posterior collapse: KL(q || p) of latent dimension(s) {', '.join(map(str, dead))} is "
            f"below {LEAST_DIVERGENCE} nats a row, so the decoder does without them; use fewer "
            "n_components, a smaller beta, or kl_warmup"
        ]

    def sweep(
        self,
        params: NetworkState,
        stats: Stats,
        blocks: Sequence[Rows],
        step: Step,
        rates: Iterator[float],
    ) -> tuple[NetworkState, Stats]:
        """Return the state after a pass over all rows in batches, in an order drawn anew.

        The statistics have the sum of the batches' bounds, each at the weights of its time.
        """
        total = Stats(self.layout)
        for batch, rows in self.batches(blocks, step):
            stats = Stats(self.layout)
            self._add(stats, params, batch, rows, step)
            params = self.update(params, stats, step)
            if params.failures == 0:
                total.local_bound += stats.local_bound
                total["weight"] += stats["weight"]
        return params, total

    def batches(
        self, blocks: Sequence[Rows], step: Step
    ) -> Iterator[tuple[Rows, NDArray[np.int64]]]:
        """Yield the batches of a pass and their global rows: rows sorted by a draw of each."""
        whole = type(blocks[0]).joined(blocks) if len(blocks) > 1 else blocks[0]  # type: ignore[arg-type]
        rows = np.concatenate([np.arange(block.n) + block.offset for block in blocks])
        if len(blocks) > 1 and any(block.weights is not None for block in blocks):
            whole = whole.with_weights(
                np.concatenate(
                    [
                        np.ones(block.n) if block.weights is None else block.weights
                        for block in blocks
                    ]
                )
            )
        order = np.argsort(uniform(step.seed, step.iteration, rows, SHUFFLE_STREAM), kind="stable")
        for start in range(0, len(order), self.config.batch_size):
            own = order[start : start + self.config.batch_size]
            batch = whole.take(own)
            if batch.total_weight > 0:
                yield batch, rows[own]

    # ---- one batch -----------------------------------------------------------------------------

    def _add(
        self, stats: Stats, state: NetworkState, block: Rows, rows: NDArray[np.int64], step: Step
    ) -> None:
        """Add the bounds of a batch and their gradient; `update` judges what overflows."""
        with np.errstate(over="ignore", invalid="ignore"):
            self._add_finite(stats, state, block, rows, step)

    def _add_finite(
        self, stats: Stats, state: NetworkState, block: Rows, rows: NDArray[np.int64], step: Step
    ) -> None:
        config = self.config
        x, observed = _dense(block, config.dtype)
        seen = _encoder_input(config, x)
        w = np.ones(block.n) if block.weights is None else block.weights
        column = w.astype(config.dtype)[:, None]
        encoder, decoder = _layers(state, "encoder"), _layers(state, "decoder")
        sums = forward(*encoder, config.activation, seen)
        mean, log_variance, inside = self._split(sums[-1])
        if step.local_rule == "hard":
            eps, spread = np.zeros_like(mean), np.zeros_like(mean)
        else:
            eps = noise(step.seed, step.iteration, rows, config.n_components).astype(config.dtype)
            spread = np.exp(log_variance / 2)
        z = mean + spread * eps
        outputs = forward(*decoder, config.activation, z)
        log_density, of_output, of_variances = self._likelihood(state, x, outputs[-1], observed)
        divergence, of_mean, of_log_variance = self._divergence(mean, log_variance, step)
        stats.local_bound += float(w @ (log_density - divergence))
        stats["weight"] += w.sum()
        coefs, intercepts, of_z = backward(
            decoder[0], config.activation, z, outputs, of_output * column
        )
        self._keep(stats, "decoder", coefs, intercepts)
        of_encoder = np.concatenate(
            [
                of_z - of_mean * column,
                (of_z * (spread * eps / 2) - of_log_variance * column) * inside,
            ],
            axis=1,
        )
        coefs, intercepts, _ = backward(encoder[0], config.activation, seen, sums, of_encoder)
        self._keep(stats, "encoder", coefs, intercepts)
        if config.n_variances:
            stats["log_variances"] += (of_variances * w[:, None]).sum(axis=0)

    def _split(self, output: Array) -> tuple[Array, Array, Array]:
        """Return means and clamped log variances of q, and where the clamp lets gradients by."""
        mean, log_variance = np.split(output, 2, axis=1)
        clamped = np.clip(log_variance, LEAST_LOG_VARIANCE, LARGEST_LOG_VARIANCE)
        return mean, clamped, clamped == log_variance

    def _divergence(self, mean: Array, log_variance: Array, step: Step) -> tuple[Array, Any, Any]:
        """Return what the objective has of z, per row and weighted, and its gradients.

        β KL(q || p), or under the hard rule -log p(z).
        """
        if step.local_rule == "hard":
            if not self.config.prior:
                return np.zeros(len(mean)), np.zeros_like(mean), np.zeros_like(mean)
            squares = (mean.astype(np.float64) ** 2).sum(axis=1)
            return 0.5 * (squares + mean.shape[1] * _LOG_2PI), mean, np.zeros_like(mean)
        weight = self.config.dtype.type(self.config.kl_weight(max(step.iteration, 1)))
        variance = np.exp(log_variance)
        each = mean.astype(np.float64) ** 2 + np.expm1(log_variance) - log_variance
        return (
            float(weight) * 0.5 * each.sum(axis=1),
            weight * mean,
            weight * (variance - 1) / 2,
        )

    def _likelihood(
        self, state: NetworkState, x: Array, output: Array, observed: Array | None
    ) -> tuple[Array, Array, Array]:
        """Return log p(x|z) of each row, and its gradients by the output and the log variances."""
        config = self.config
        each, of_output, of_variances = _log_density(
            config.likelihood,
            x,
            output,
            config.layout.view(state.weights, "log_variances") if config.n_variances else None,
        )
        if observed is not None:
            each, of_output = np.where(observed, each, 0), np.where(observed, of_output, 0)
            of_variances = np.where(observed, of_variances, 0)
        if config.n_variances == 1:
            of_variances = of_variances.sum(axis=1, keepdims=True)
        return each.sum(axis=1, dtype=np.float64), of_output, of_variances

    def _keep(
        self, stats: Stats, part: str, coefs: Sequence[Array], intercepts: Sequence[Array]
    ) -> None:
        for i, (W, b) in enumerate(zip(coefs, intercepts, strict=True)):
            stats[f"{part}_coefs_{i}"] += W
            stats[f"{part}_intercepts_{i}"] += b

    def _moments(self, blocks: Sequence[Rows]) -> tuple[Array, Array]:
        """Return weighted means and variances of the columns, of what is observed of them."""
        size = self.config.n_features
        total, mean, moment = np.zeros(size), np.zeros(size), np.zeros(size)
        for block in blocks:
            for part in _pieces(block, 4096):
                x, observed = _dense(part, np.float64)
                w = np.ones(part.n) if part.weights is None else part.weights
                total += w.sum() if observed is None else w @ observed
                mean += w @ x  # 0 where it is missing
                moment += w @ (x * x)
        total = np.maximum(total, 1e-300)
        mean /= total
        return mean, np.maximum(moment / total - mean**2, 0.0)

    # ---- use -----------------------------------------------------------------------------------

    def encode(self, state: NetworkState, block: Rows, n_jobs: int = 1) -> tuple[Array, Array]:
        """Return means and log variances of q(z|x), each (n, n_components)."""
        found = []
        for part in _pieces(block, _ROWS_OF_A_PIECE):
            x, _ = _dense(part, self.config.dtype)
            seen = _encoder_input(self.config, x)
            found.append(forward(*_layers(state, "encoder"), self.config.activation, seen)[-1])
        mean, log_variance, _ = self._split(np.concatenate(found))
        return mean, log_variance

    def decode(self, state: NetworkState, z: Array, n_jobs: int = 1) -> Array:
        """Return the means of p(x|z): probabilities, means or rates."""
        output = forward(*_layers(state, "decoder"), self.config.activation, z)[-1]
        if self.config.likelihood == "gaussian":
            return output
        return np.asarray(
            expit(output) if self.config.likelihood == "bernoulli" else np.exp(output)
        )

    def log_density(
        self,
        state: NetworkState,
        block: Rows,
        z: Array,
        n_jobs: int = 1,
        gradient: bool = False,
    ) -> tuple[Array, Array | None]:
        """Return log p(x|z) of each row, (n,) nats, and where asked for its gradient by z."""
        values, gradients = [], []
        decoder = _layers(state, "decoder")
        for part in _pieces(block, _ROWS_OF_A_PIECE):
            x, observed = _dense(part, self.config.dtype)
            first = part.offset - block.offset
            own = np.asarray(z[first : first + part.n], dtype=self.config.dtype)
            outputs = forward(*decoder, self.config.activation, own)
            value, of_output, _ = self._likelihood(state, x, outputs[-1], observed)
            values.append(value)
            if gradient:
                gradients.append(
                    backward(decoder[0], self.config.activation, own, outputs, of_output)[2]
                )
        return np.concatenate(values), np.concatenate(gradients) if gradient else None

    def noise(self, seed: int, iteration: int, rows: NDArray[np.uint64]) -> Array:
        """Return standard normals of rows, by numbers that are their own, (n, n_components)."""
        return noise(seed, iteration, rows, self.config.n_components)


def _encoder_input(config: VaeConfig, x: Array) -> Array:
    """Return what the encoder sees of rows: of counts log(1 + x), which tames large ones."""
    return np.log1p(x) if config.likelihood == "poisson" else x


def _without_small(x: Array) -> Array:
    return np.where(np.abs(x) < _LEAST_MOMENT, x.dtype.type(0), x)


def _layers(state: NetworkState, part: str) -> tuple[list[Array], list[Array]]:
    names = state.layout.names
    return (
        [state[name] for name in names if name.startswith(f"{part}_coefs")],
        [state[name] for name in names if name.startswith(f"{part}_intercepts")],
    )


def _log_density(
    likelihood: str, x: Array, output: Array, log_variances: Array | None
) -> tuple[Array, Array, Array]:
    """Return log p of each number, and its gradients by the output and the log variance."""
    if likelihood == "bernoulli":
        return x * output - softplus(output), x - expit(output), np.zeros_like(output)
    if likelihood == "poisson":
        rate = np.exp(output)
        return x * output - rate - gammaln(x + 1).astype(x.dtype), x - rate, np.zeros_like(output)
    assert log_variances is not None
    scaled = (x - output) * np.exp(-log_variances)
    squares = scaled * (x - output)
    constant = x.dtype.type(_LOG_2PI)
    return -(constant + log_variances + squares) / 2, scaled, (squares - 1) / 2


def _dense(block: Rows, dtype: Any) -> tuple[Array, Array | None]:
    """Return rows as numbers, 0 where they are missing, and where they are not if some are."""
    if isinstance(block, RowBlock):
        x = np.asarray(block.X, dtype=dtype)
    else:
        x = np.zeros((block.n, block.n_features), dtype=dtype)
        rows: Any = block.rows
        if block.is_sparse:
            first, last = int(rows.indptr[0]), int(rows.indptr[-1])
            owner = np.repeat(np.arange(block.n), np.diff(rows.indptr))
            x[owner, rows.indices[first:last]] = (
                1 if rows.values is None else rows.values[first:last]
            )
        else:
            x[...] = rows
            if rows.dtype == np.uint8:
                x[rows == 255] = np.nan
    missing = np.isnan(x)
    if not missing.any():
        return x, None
    x = x.copy()
    x[missing] = 0
    return x, ~missing


def _pieces(block: Rows, size: int) -> Iterator[Rows]:
    for start in range(0, block.n, size):
        yield block.slice(start, min(start + size, block.n))
