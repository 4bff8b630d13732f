"""The posterior predictive density of a Poisson mixture: products of negative binomials."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp

from vemfast.indexed import IndexedBlock, SparseRows

__all__ = ["PoissonPredictive"]

Array = NDArray[np.float64]

_CHUNK = 1 << 21  # entries, and rows times components, looked at together


class PoissonPredictive:
    """Score table of log ∫ p(x | λ_k) q(λ_k) dλ_k; see docs/formulas/discrete_mixtures.md.

    Parameters
    ----------
    weights : ndarray of shape (n_components,)
        Expected weights.
    shape, rate : ndarray of shape (n_features, n_components)
        Of the gamma posteriors.
    """

    def __init__(self, weights: Array, shape: Array, rate: Array) -> None:
        self.shape = shape
        self.log_unit = np.log1p(rate)
        self.of_zero = -shape * np.log1p(1.0 / rate)  # log p(x_d = 0)
        with np.errstate(divide="ignore"):
            self.constants = np.log(weights) + self.of_zero.sum(axis=0)

    def log_density(self, block: IndexedBlock) -> Array:
        """Return the log density of each row, nats."""
        parts = [logsumexp(self._scores(part), axis=1) for part in self._parts(block)]
        return np.concatenate(parts)

    def _parts(self, block: IndexedBlock) -> Iterator[IndexedBlock]:
        width = max(self.shape.shape[1], 1 if block.is_sparse else block.n_features)
        size = max(_CHUNK // width, 1)
        for first in range(0, block.n, size):
            yield block.slice(first, first + size)

    def _scores(self, part: IndexedBlock) -> Array:
        rows = part.rows
        if isinstance(rows, SparseRows):
            entries = slice(int(rows.indptr[0]), int(rows.indptr[-1]))
            indices = rows.indices[entries]
            values = np.ones(indices.size) if rows.values is None else rows.values[entries]
            counts = scipy.sparse.csr_array(
                (values.astype(np.float64), indices, rows.indptr - rows.indptr[0]),
                shape=(part.n, part.n_features),
            )
        else:
            counts = scipy.sparse.csr_array(rows.astype(np.float64))
        missing = np.isnan(counts.data)
        absent = counts.copy()
        absent.data = missing.astype(np.float64)
        counts.data[missing] = 0.0
        counts.eliminate_zeros()
        # Equal counts of a feature have equal terms: log Γ is asked once for each.
        values, rank = np.unique(counts.data, return_inverse=True)
        key = counts.indices.astype(np.int64) * max(values.size, 1) + rank.ravel()
        pairs, entry = np.unique(key, return_inverse=True)
        feature, x = pairs // max(values.size, 1), values[pairs % max(values.size, 1)][:, None]
        a = self.shape[feature]
        terms = gammaln(x + a) - gammaln(a) - gammaln(x + 1.0) - x * self.log_unit[feature]
        counts = scipy.sparse.csr_array(
            (np.ones(counts.data.size), entry.ravel(), counts.indptr), shape=(part.n, pairs.size)
        )
        return np.asarray(self.constants + counts @ terms - absent @ self.of_zero)
