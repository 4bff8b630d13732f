"""The variational autoencoder on the native core.

Passes over rows happen in the extension, in single precision; this file names the state and makes
the order of rows. Starts, a single update and diagnosis are those of the plain NumPy twin,
`vemfast.reference.vae`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from vemfast import _core
from vemfast.data import RowBlock
from vemfast.errors import NumericalError
from vemfast.indexed import IndexedBlock, SparseRows
from vemfast.models.base import Step
from vemfast.models.vae_config import NetworkState, VaeConfig
from vemfast.reference.random import uniform
from vemfast.reference.vae import MOST_FAILURES, NOT_FINITE, SHUFFLE_STREAM
from vemfast.reference.vae import VariationalAutoencoder as Twin
from vemfast.stats import Stats

__all__ = ["VariationalAutoencoder"]

Array = NDArray[Any]
Rows = RowBlock | IndexedBlock


class VariationalAutoencoder(Twin):
    """Encoder and decoder of one configuration, natively.

    Parameters
    ----------
    config : VaeConfig
        Of dtype float32.
    judged : block, default=None
        Rows by which `diagnose` says whether dimensions of z have collapsed. None: it says nothing.
    """

    threads_within = True

    def __init__(self, config: VaeConfig, judged: Rows | None = None) -> None:
        if config.dtype != np.float32:
            raise ValueError(f"the native core computes in float32; got {config.dtype}")
        super().__init__(config, judged)
        self._core = _core.VaeNetwork(
            n_features=config.n_features,
            n_components=config.n_components,
            hidden=config.hidden,
            activation=config.activation,
            likelihood=config.likelihood,
            n_variances=config.n_variances,
        )

    def e_step(self, prepared: NetworkState, block: Rows, step: Step) -> Stats:
        """Return the gradient of the rows' bounds, their sum and their weight."""
        gradient, bound, weight = self._core.gradient(
            prepared.weights, native_rows(block), self._pass(step)
        )
        stats = Stats(self.layout)
        stats.buffer[2 : 2 + self.config.layout.size] = gradient
        stats.local_bound = bound
        stats["weight"] = weight
        return stats

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
        config = self.config
        weights, first, second = (
            np.array(array) for array in (params.weights, params.first, params.second)
        )
        rows = np.concatenate([np.arange(block.n) + block.offset for block in blocks])
        order = np.argsort(uniform(step.seed, step.iteration, rows, SHUFFLE_STREAM), kind="stable")
        adam = _core.AdamSettings(
            learning_rate=config.learning_rate,
            decay1=config.decay1,
            decay2=config.decay2,
            epsilon=config.epsilon,
            least_log_variance=float(np.log(config.variance_floor)),
        )
        bound, weight, *counts = self._core.sweep(
            weights,
            first,
            second,
            params.updates,
            params.failures,
            params.halvings,
            [native_rows(block) for block in blocks],
            order,
            adam,
            self._pass(step),
        )
        state = NetworkState(params.layout, weights, first, second, *counts)
        if state.failures >= MOST_FAILURES:
            raise NumericalError(NOT_FINITE)
        total = Stats(self.layout)
        total.local_bound, total["weight"] = bound, weight
        return state, total

    def encode(self, state: NetworkState, block: Rows, n_jobs: int = 1) -> tuple[Array, Array]:
        """Return means and log variances of q(z|x), each (n, n_components)."""
        return self._core.encode(state.weights, native_rows(block), n_jobs)

    def decode(self, state: NetworkState, z: Array, n_jobs: int = 1) -> Array:
        """Return the means of p(x|z): probabilities, means or rates."""
        output = self._core.decode(state.weights, np.ascontiguousarray(z, np.float32), n_jobs)
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
        z = np.ascontiguousarray(z, dtype=np.float32)
        return self._core.log_density(state.weights, native_rows(block), z, gradient, n_jobs)

    def noise(self, seed: int, iteration: int, rows: NDArray[np.uint64]) -> Array:
        """Return standard normals of rows, by numbers that are their own, (n, n_components)."""
        return _core.vae_noise(seed, iteration, rows, self.config.n_components)

    def _pass(self, step: Step) -> _core.VaePass:
        return _core.vae_pass(
            hard=step.local_rule == "hard",
            prior=self.config.prior,
            kl_weight=self.config.kl_weight(max(step.iteration, 1)),
            seed=step.seed,
            iteration=step.iteration,
            batch_size=self.config.batch_size,
            n_threads=step.n_jobs,
        )


def native_rows(block: Rows) -> _core.VaeRows:
    """Return rows as the core takes them: in place, unless the numbers of a row lie apart."""
    rows = block.X if isinstance(block, RowBlock) else block.rows
    if isinstance(rows, SparseRows):
        return _core.VaeRows.sparse(
            rows.indptr, rows.indices, rows.values, rows.n_features, block.weights, block.offset
        )
    if rows.shape[1] > 1 and rows.strides[1] != rows.itemsize:
        rows = np.ascontiguousarray(rows)
    return _core.VaeRows.dense(rows, block.weights, block.offset)
