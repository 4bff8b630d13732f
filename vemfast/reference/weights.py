"""Mixture weights under a flat, Dirichlet, Dirichlet-process or fixed prior.

A point is the vector of weights. A posterior is its `concentration`: α (K,) of a Dirichlet, or the
rows a, b of K Beta-distributed sticks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaln, digamma, gammaln

from vemfast.reference.random import Stream

__all__ = ["Weights"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Weights:
    """Prior of the weights of `n_components` components, and what follows from it.

    Parameters
    ----------
    type : {"flat", "dirichlet", "dirichlet_process", "equal"}
    concentration : float
        α0 of each component, or γ of the process.
    n_components : int
    """

    type: str
    concentration: float
    n_components: int

    def posterior(self, counts: Array) -> Array:
        """Return the concentration given the counts N."""
        if self.type == "dirichlet_process":
            behind = counts.sum() - np.cumsum(counts)
            return np.array([1.0 + counts, self.concentration + np.maximum(behind, 0.0)])
        if self.type == "equal":
            return np.ones(self.n_components)
        return np.asarray(self.concentration + counts)

    def mode(self, counts: Array) -> Array:
        """Return the posterior mode; a component without mass has weight 0."""
        if self.type == "equal":
            return np.full(self.n_components, 1.0 / self.n_components)
        extra = self.concentration - 1.0 if self.type == "dirichlet" else 0.0
        mass = np.maximum(counts + extra, 0.0)
        return np.asarray(mass / mass.sum())

    def expected_log(self, concentration: Array) -> Array:
        """Return E[log π] under a posterior."""
        if self.type == "equal":
            return np.full(self.n_components, -np.log(self.n_components))
        if self.type == "dirichlet_process":
            a, b = concentration
            log_stick = digamma(a) - digamma(a + b)
            log_rest = digamma(b) - digamma(a + b)
            return np.asarray(log_stick + np.cumsum(log_rest) - log_rest)
        return np.asarray(digamma(concentration) - digamma(concentration.sum()))

    def mean(self, concentration: Array) -> Array:
        """Return E[π] under a posterior; of a truncated process, scaled to add up to one."""
        if self.type == "equal":
            return np.full(self.n_components, 1.0 / self.n_components)
        if self.type == "dirichlet_process":
            a, b = concentration
            left = np.concatenate(([1.0], np.cumprod(b / (a + b))[:-1]))
            mean = left * a / (a + b)
        else:
            mean = concentration
        return np.asarray(mean / mean.sum())

    def log_prior(self, weights: Array) -> float:
        """Return the log density of a point; of the process, the density of its K - 1 sticks."""
        K, alpha = self.n_components, self.concentration
        if self.type == "dirichlet":
            constant = gammaln(K * alpha) - K * gammaln(alpha)
            return float(constant + (0.0 if alpha == 1 else (alpha - 1) * np.log(weights).sum()))
        if self.type == "dirichlet_process":
            # The last weight is the product of all 1 - v_k, which 1 - Σ of the others would lose.
            return float((K - 1) * np.log(alpha) + (alpha - 1) * np.log(weights[-1]))
        return 0.0

    def kl(self, concentration: Array) -> float:
        """Return KL(q || prior), nats."""
        alpha = self.concentration
        if self.type == "equal":
            return 0.0
        if self.type == "dirichlet_process":
            a, b = concentration
            both = digamma(a + b)
            change = (a - 1) * (digamma(a) - both) + (b - alpha) * (digamma(b) - both)
            return float(np.sum(change - betaln(a, b) + betaln(1.0, alpha)))
        total = concentration.sum()
        change = (concentration - alpha) @ (digamma(concentration) - digamma(total))
        log_norm = gammaln(concentration).sum() - gammaln(total)
        log_norm0 = self.n_components * gammaln(alpha) - gammaln(self.n_components * alpha)
        return float(change - log_norm + log_norm0)

    def sample(self, counts: Array, stream: Stream) -> Array:
        """Return a draw given the counts."""
        if self.type == "equal":
            return np.full(self.n_components, 1.0 / self.n_components)
        if self.type == "dirichlet_process":
            return self._sample_sticks(self.posterior(counts), stream)
        return stream.dirichlet(self.posterior(counts))

    def _sample_sticks(self, sticks: Array, stream: Stream) -> Array:
        a, b = sticks
        # In logarithms, so that concentrations near 0 do not give 0/0.
        log_weights, log_left = np.empty(self.n_components), 0.0
        for k in range(self.n_components - 1):
            g1, g2 = stream.log_gamma_draw(a[k]), stream.log_gamma_draw(b[k])
            log_sum = np.logaddexp(g1, g2)
            log_weights[k] = log_left + g1 - log_sum
            log_left += g2 - log_sum
        log_weights[-1] = log_left  # the truncated process ends with a whole stick
        return _positive_exp(log_weights)


def _positive_exp(log_weights: Array) -> Array:
    """Return weights of at least 1e-300, so that the density of a draw is finite."""
    return np.asarray(np.exp(np.maximum(log_weights, -690.0)))
