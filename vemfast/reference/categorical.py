"""Codes with the conjugate Dirichlet prior: x_d ~ Categorical(p_d.k), p_d.k ~ Dirichlet(α_d.)."""
# ruff: noqa: D102 (what each method is for stands once, in `Discrete`)

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse
from scipy.special import digamma, gammaln, logsumexp, xlogy

from vemfast.indexed import IndexedBlock, SparseRows
from vemfast.models.discrete_config import DiscreteConfig
from vemfast.reference.discrete import (
    BYTE_MISSING,
    LEAST_COUNT,
    Array,
    Discrete,
    IndexedTable,
    Posterior,
    safe_log,
)
from vemfast.reference.random import Stream

__all__ = ["Categorical"]


class Categorical(Discrete):
    """K components of D independent columns of codes."""

    def __init__(self, config: DiscreteConfig) -> None:
        super().__init__(config)
        self.columns = [slice(a, b) for a, b in pairwise(config.column_offsets.tolist())]

    def totals(self, values: Array) -> Array:
        """Return, for each code, the sum of the values over the codes of its column."""
        sums = np.add.reduceat(values, self.config.column_offsets[:-1], axis=0)
        return np.repeat(sums, self.config.n_categories, axis=0)

    def point_table(self, theta: Array) -> IndexedTable:
        return IndexedTable(np.zeros(self.K), safe_log(theta))

    def posterior_table(self, q: Posterior) -> IndexedTable:
        (alpha,) = q
        return IndexedTable(np.zeros(self.K), digamma(alpha) - digamma(self.totals(alpha)))

    def posterior(self, sums: Array, trials: Array) -> Posterior:
        return (self.a + sums,)

    def mode(self, sums: Array, trials: Array, previous: Array) -> Array:
        mass = sums + (self.a - 1) if self.proper else sums
        total = self.totals(mass)
        known = total > LEAST_COUNT
        return np.where(known, mass / np.where(known, total, 1.0), previous)

    def mean(self, q: Posterior) -> Array:
        (alpha,) = q
        return np.asarray(alpha / self.totals(alpha))

    def log_prior(self, theta: Array) -> float:
        return float(np.sum(xlogy(self.a - 1, theta)) + self.K * self._log_norm(self.a))

    def kl(self, q: Posterior) -> float:
        (alpha,) = q
        change = (alpha - self.a) * (digamma(alpha) - digamma(self.totals(alpha)))
        return float(change.sum() + self._log_norm(alpha) - self.K * self._log_norm(self.a))

    def _log_norm(self, alpha: Array) -> float:
        """Return Σ_d log Γ(Σ_m α_dm) - Σ_dm log Γ(α_dm), over components, too."""
        sums = np.add.reduceat(alpha, self.config.column_offsets[:-1], axis=0)
        return float(gammaln(sums).sum() - gammaln(alpha).sum())

    def sample_component(self, q: Posterior, stream: Stream) -> Array:
        logs = np.array([stream.log_gamma_draw(alpha) for alpha in q[0]])
        # Kept above zero, where the density of a draw is finite.
        return np.concatenate(
            [np.exp(np.maximum(logs[c] - logsumexp(logs[c]), -690.0)) for c in self.columns]
        )

    def nothing(self) -> Array:
        return np.repeat(1.0 / self.config.n_categories, self.config.n_categories)

    def entries(self, block: IndexedBlock) -> Any:
        codes = block.rows
        if isinstance(codes, SparseRows):
            raise ValueError("codes are dense; a sparse matrix has no code where nothing is stored")
        present = codes != BYTE_MISSING if codes.dtype == np.uint8 else codes >= 0
        features = codes + self.config.column_offsets[:-1]
        indptr = np.concatenate(([0], np.cumsum(present.sum(axis=1))))
        indices = features[present]
        return scipy.sparse.csr_array(
            (np.ones(indices.size), indices, indptr), shape=(len(codes), self.F)
        )
