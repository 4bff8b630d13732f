"""Bits with the conjugate beta prior: x_d ~ Bernoulli(p_dk), p_dk ~ Beta(a_d, b_d)."""
# ruff: noqa: D102 (what each method is for stands once, in `Discrete`)

from __future__ import annotations

import numpy as np
from scipy.special import betaln, digamma, expit, xlog1py, xlogy

from vemfast.models.discrete_config import LARGEST_PROBABILITY
from vemfast.reference.discrete import (
    LEAST_COUNT,
    Array,
    Discrete,
    IndexedTable,
    Posterior,
    safe_log,
)
from vemfast.reference.random import Stream

__all__ = ["Bernoulli"]


class Bernoulli(Discrete):
    """K components of D independent bits."""

    def point_table(self, theta: Array) -> IndexedTable:
        p = np.minimum(theta, LARGEST_PROBABILITY)
        return self.with_absent(safe_log(p) - np.log1p(-p), np.log1p(-p))

    def posterior_table(self, q: Posterior) -> IndexedTable:
        a, b = q
        return self.with_absent(digamma(a) - digamma(b), digamma(b) - digamma(a + b))

    def posterior(self, sums: Array, trials: Array) -> Posterior:
        return self.a + sums, self.b + np.maximum(trials - sums, 0.0)

    def mode(self, sums: Array, trials: Array, previous: Array) -> Array:
        ones, both = sums, np.broadcast_to(trials, sums.shape)
        if self.proper:
            ones, both = sums + (self.a - 1), both + (self.a + self.b - 2)
        known = both > LEAST_COUNT
        p = np.clip(ones / np.where(known, both, 1.0), 0.0, LARGEST_PROBABILITY)
        return np.where(known, p, previous)

    def mean(self, q: Posterior) -> Array:
        a, b = q
        return np.asarray(a / (a + b))

    def log_prior(self, theta: Array) -> float:
        p = np.minimum(theta, LARGEST_PROBABILITY)
        density = xlogy(self.a - 1, p) + xlog1py(self.b - 1, -p) - betaln(self.a, self.b)
        return float(density.sum())

    def kl(self, q: Posterior) -> float:
        a, b = q
        both = digamma(a + b)
        change = (a - self.a) * (digamma(a) - both) + (b - self.b) * (digamma(b) - both)
        return float(np.sum(change - betaln(a, b) + betaln(self.a, self.b)))

    def sample_component(self, q: Posterior, stream: Stream) -> Array:
        # In logarithms, so that parameters near 0 do not give 0/0.
        logs = [
            stream.log_gamma_draw(a) - stream.log_gamma_draw(b) for a, b in zip(*q, strict=True)
        ]
        return np.asarray(np.clip(expit(np.array(logs)), 1e-300, LARGEST_PROBABILITY))

    def nothing(self) -> Array:
        return np.full(self.F, 0.5)
