"""What the Bernoulli, Poisson and categorical families share in NumPy: entries and tables.

A block of rows becomes a matrix Z of entries, (n, F'), dense or sparse, and scores are one matrix
product, ``constants + Z @ table``, as the sums of the M-step are ``Z.T @ responsibilities``. Where
features may be missing, the last D columns of Z mark them (not for the categorical family, where
a missing code has no entry at all). Formulas and symbols: docs/formulas/discrete_mixtures.md.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from vemfast.indexed import IndexedBlock, SparseRows
from vemfast.models.discrete_config import LOG_ZERO, DiscreteConfig
from vemfast.reference.random import PARAMETER_STREAM, Stream

__all__ = ["Discrete", "IndexedTable", "safe_log"]

Array = NDArray[np.float64]
Posterior = tuple[Array, ...]

LEAST_COUNT = 1e-278  # a smaller N_k is no data: its reciprocal is near overflow
NO_TRIALS = 1e-12  # of N_k: a smaller difference N_k - absent is rounding
IMPOSSIBLE = -1e250  # a score below this has a LOG_ZERO in it
BYTE_MISSING = 255


@dataclass(frozen=True)
class IndexedTable:
    """Scores ``constants + Z @ table``: constants (K,), table (F', K)."""

    constants: Array
    table: Array


def safe_log(theta: Array) -> Array:
    """Return log θ, with LOG_ZERO for the logarithm of zero."""
    return np.where(theta > 0, np.log(np.where(theta > 0, theta, 1.0)), LOG_ZERO)


class Discrete(ABC):
    """K components of one family."""

    def __init__(self, config: DiscreteConfig) -> None:
        self.config = config
        self.K, self.D, self.F = config.n_components, config.n_features, config.n_indexed
        self.proper = config.prior.is_proper
        # Down the features, to stand beside (F, K).
        self.a, self.b = config.prior.a[:, None], config.prior.b[:, None]

    # ---- what a family is --------------------------------------------------------------------

    @abstractmethod
    def point_table(self, theta: Array) -> IndexedTable:
        """Return the scores log p(x | θ_k), without weights and base measure."""

    @abstractmethod
    def posterior_table(self, q: Posterior) -> IndexedTable:
        """Return the scores E_q log p(x | θ_k), without weights and base measure."""

    @abstractmethod
    def posterior(self, sums: Array, trials: Array) -> Posterior:
        """Return the conjugate posterior."""

    @abstractmethod
    def mode(self, sums: Array, trials: Array, previous: Array) -> Array:
        """Return the posterior mode; an entry without data keeps its previous value."""

    @abstractmethod
    def mean(self, q: Posterior) -> Array:
        """Return E_q θ."""

    @abstractmethod
    def log_prior(self, theta: Array) -> float:
        """Return the log density of a point under a proper prior."""

    @abstractmethod
    def kl(self, q: Posterior) -> float:
        """Return KL(q || prior), nats."""

    @abstractmethod
    def sample_component(self, q: Posterior, stream: Stream) -> Array:
        """Return a draw of one component's θ (F,) from its posterior, arrays (F,)."""

    @abstractmethod
    def nothing(self) -> Array:
        """Return what a component without data starts as, (F,)."""

    def base_measure(self, Z: Any) -> Array:
        """Return what a row's log density has beside its scores."""
        return np.zeros(Z.shape[0])

    def predictive(self, Z: Any, q: Posterior) -> Array:
        """Return log ∫ p(x | θ_k) q(θ_k) dθ_k, (n, K): here a row has one trial a feature."""
        table = self.point_table(self.mean(q))
        return np.asarray(table.constants + Z @ table.table)

    # ---- what follows ------------------------------------------------------------------------

    def trials(self, counts: Array, absent: Array | None) -> Array:
        """Return the responsibility of the rows that have a feature, (D, K) or (1, K)."""
        if absent is None:
            return counts[None, :]
        present = counts - absent
        return np.where(present > NO_TRIALS * counts, present, 0.0)

    def sample(self, q: Posterior, seed: int, iteration: int) -> Array:
        """Return θ (F, K) drawn from the posterior."""
        streams = [
            Stream(seed, iteration, PARAMETER_STREAM, index) for index in range(1, self.K + 1)
        ]
        draws = [
            self.sample_component(tuple(part[:, k] for part in q), stream)
            for k, stream in enumerate(streams)
        ]
        return np.stack(draws, axis=1)

    def entries(self, block: IndexedBlock) -> Any:
        """Return Z of a block of rows, a dense array or a scipy.sparse.csr_array."""
        rows = block.rows
        if isinstance(rows, SparseRows):
            return self._sparse_entries(rows)
        if rows.dtype == np.uint8:
            missing, values = rows == BYTE_MISSING, (rows == 1).astype(np.float64)
        else:
            missing = np.isnan(rows)
            values = np.where(missing, 0.0, rows).astype(np.float64)
        return np.hstack([values, missing]) if self.config.has_absent else values

    def _sparse_entries(self, rows: SparseRows) -> Any:
        first, last = rows.indptr[0], rows.indptr[-1]
        columns = rows.indices[first:last].astype(np.int64)
        values = np.ones(columns.size)
        if rows.values is not None:
            values = rows.values[first:last].astype(np.float64)
            missing = np.isnan(values)
            columns = columns + self.F * missing
            values[missing] = 1.0
        width = self.F + (self.D if self.config.has_absent else 0)
        shape = (rows.indptr.size - 1, width)
        return scipy.sparse.csr_array((values, columns, rows.indptr - first), shape=shape)

    def with_absent(self, table: Array, feature_constants: Array) -> IndexedTable:
        """Return a table whose constants are summed over features, which a missing one leaves."""
        if self.config.has_absent:
            table = np.concatenate([table, -feature_constants])
        return IndexedTable(feature_constants.sum(axis=0), table)
