"""Counts with the conjugate gamma prior: x_d ~ Poisson(λ_dk), λ_dk ~ Gamma(shape_d, rate_d)."""
# ruff: noqa: D102 (what each method is for stands once, in `Discrete`)

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse
from scipy.special import digamma, gammaln, xlogy

from vemfast.reference.discrete import (
    LEAST_COUNT,
    Array,
    Discrete,
    IndexedTable,
    Posterior,
    safe_log,
)
from vemfast.reference.random import Stream

__all__ = ["Poisson"]

_LOG_FACTORIALS = gammaln(np.arange(256) + 1.0)


class Poisson(Discrete):
    """K components of D independent counts."""

    def point_table(self, theta: Array) -> IndexedTable:
        return self.with_absent(safe_log(theta), -theta)

    def posterior_table(self, q: Posterior) -> IndexedTable:
        shape, rate = q
        return self.with_absent(digamma(shape) - np.log(rate), -shape / rate)

    def posterior(self, sums: Array, trials: Array) -> Posterior:
        return self.a + sums, self.b + np.broadcast_to(trials, sums.shape)

    def mode(self, sums: Array, trials: Array, previous: Array) -> Array:
        total, rows = sums, np.broadcast_to(trials, sums.shape)
        if self.proper:
            total, rows = sums + (self.a - 1), rows + self.b
        known = rows > LEAST_COUNT
        return np.where(known, total / np.where(known, rows, 1.0), previous)

    def mean(self, q: Posterior) -> Array:
        shape, rate = q
        return np.asarray(shape / rate)

    def log_prior(self, theta: Array) -> float:
        density = xlogy(self.a - 1, theta) - self.b * theta
        return float(np.sum(density + self.a * np.log(self.b) - gammaln(self.a)))

    def kl(self, q: Posterior) -> float:
        shape, rate = q
        change = (shape - self.a) * digamma(shape) - gammaln(shape) + gammaln(self.a)
        return float(np.sum(change + self.a * np.log(rate / self.b) + shape * (self.b / rate - 1)))

    def sample_component(self, q: Posterior, stream: Stream) -> Array:
        shape, rate = q
        logs = np.array([stream.log_gamma_draw(a) for a in shape])
        return np.asarray(np.maximum(np.exp(logs) / rate, 1e-300))

    def nothing(self) -> Array:
        return np.ones(self.F)

    def base_measure(self, Z: Any) -> Array:
        counts = Z[:, : self.F]
        if not scipy.sparse.issparse(counts):
            return np.asarray(-_log_factorial(counts).sum(axis=1))
        logs = scipy.sparse.csr_array(counts)
        logs.data = _log_factorial(logs.data)
        return -np.asarray(logs.sum(axis=1)).ravel()

    def predictive(self, Z: Any, q: Posterior) -> Array:
        """Return products of negative binomials."""
        shape, rate = q
        # log NB(x) = log Γ(x + a) - log Γ(a) - log x! + a log(b / (1 + b)) - x log(1 + b)
        table = self.with_absent(-np.log1p(rate), -shape * np.log1p(1 / rate))
        scores = np.asarray(table.constants + Z @ table.table)
        counts = scipy.sparse.csr_array(Z[:, : self.F])
        counts.eliminate_zeros()
        features, values = counts.indices, counts.data[:, None]
        gammas = gammaln(values + shape[features]) - gammaln(shape[features])
        rows = np.repeat(np.arange(Z.shape[0]), np.diff(counts.indptr))
        np.add.at(scores, rows, gammas)
        return scores


def _log_factorial(x: Array) -> Array:
    small = x < _LOG_FACTORIALS.size
    if small.all():
        return np.asarray(_LOG_FACTORIALS[x.astype(np.intp)])
    return np.asarray(gammaln(x + 1.0))
