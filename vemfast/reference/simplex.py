"""Rows of probabilities with structural zeros and frozen entries: start, transitions of a chain.

All rows are handled together as (R, K). Of each row the frozen entries keep their values, of total
f; the entries without support are 0; the free ones share 1 - f, and a Dirichlet prior is one of
their shares. Formulas: docs/formulas/hmm.md, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, gammaln, xlogy

from vemfast.reference.random import Stream

__all__ = ["Rows", "safe_log"]

Array = NDArray[np.float64]


def safe_log(p: Array) -> Array:
    """Return log p, -inf where p is 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(p))


@dataclass(frozen=True, eq=False)
class Rows:
    """R rows over K entries.

    Parameters
    ----------
    prior : ndarray of shape (R, K) or None
        Concentrations; None is flat.
    support : bool ndarray of shape (R, K)
    frozen : ndarray of shape (R, K)
        NaN where free.
    """

    prior: Array | None
    support: NDArray[np.bool_]
    frozen: Array

    @property
    def held(self) -> NDArray[np.bool_]:
        """Which entries are frozen."""
        return ~np.isnan(self.frozen)

    @property
    def free(self) -> NDArray[np.bool_]:
        """Which entries are estimated."""
        return self.support & ~self.held

    @property
    def left(self) -> Array:
        """The probability 1 - f that a row's free entries share, (R, 1)."""
        return np.asarray(np.maximum(1.0 - np.nansum(self.frozen, axis=1, keepdims=True), 0.0))

    def filled(self, shares: Array) -> Array:
        """Return rows whose free entries have these shares of what is left."""
        total = np.where(self.free, shares, 0.0).sum(axis=1, keepdims=True)
        scale = self.left / np.where(total > 0, total, 1.0)
        return np.where(self.held, self.frozen, np.where(self.free, shares * scale, 0.0))

    def uniform(self) -> Array:
        """Return rows whose free entries are equal."""
        return self.filled(np.ones(self.support.shape))

    def mode(self, counts: Array, previous: Array | None) -> Array:
        """Return the posterior mode; a row of which nothing is known keeps its previous value."""
        extra = 0.0 if self.prior is None else self.prior - 1.0
        mass = np.where(self.free, np.maximum(counts + extra, 0.0), 0.0)
        before = self.uniform() if previous is None else self.filled(previous)
        known = mass.sum(axis=1, keepdims=True) > 0
        return np.where(known, self.filled(mass), before)

    def posterior(self, counts: Array) -> Array:
        """Return the concentrations given the counts; 0 where an entry is not free."""
        assert self.prior is not None
        return np.where(self.free, self.prior + counts, 0.0)

    def expected_log(self, concentration: Array) -> Array:
        """Return E[log p] under a posterior, log p of what is frozen."""
        total = concentration.sum(axis=1, keepdims=True)
        of_free = digamma(np.where(self.free, concentration, 1.0)) - digamma(
            np.where(total > 0, total, 1.0)
        )
        of_free = of_free + safe_log(self.left)
        return np.where(self.held, safe_log(self.frozen), np.where(self.free, of_free, -np.inf))

    def log_prior(self, p: Array) -> float:
        """Return the log density of the shares of the free entries."""
        if self.prior is None:
            return 0.0
        total = 0.0
        for free, alpha, row, left in zip(self.free, self.prior, p, self.left, strict=True):
            if free.sum() > 1 and left > 0:
                a = alpha[free]
                total += float(gammaln(a.sum()) - gammaln(a).sum())
                total += float(xlogy(a - 1.0, row[free] / left).sum())
        return total

    def kl(self, concentration: Array) -> float:
        """Return KL(q || prior), nats."""
        assert self.prior is not None
        total = 0.0
        for free, alpha0, q in zip(self.free, self.prior, concentration, strict=True):
            if not free.any():
                continue
            a, a0 = q[free], alpha0[free]
            total += float((a - a0) @ (digamma(a) - digamma(a.sum())))
            total += float(gammaln(a.sum()) - gammaln(a).sum())
            total -= float(gammaln(a0.sum()) - gammaln(a0).sum())
        return total

    def sample(self, counts: Array, stream: Stream) -> Array:
        """Return a draw given the counts, row by row; a single free entry takes no draw."""
        shares = np.ones(self.support.shape)
        for free, row, q in zip(self.free, shares, self.posterior(counts), strict=True):
            if free.sum() > 1:
                row[free] = stream.dirichlet(q[free])
        return self.filled(shares)
