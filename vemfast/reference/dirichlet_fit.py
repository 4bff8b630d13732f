"""Concentrations of Dirichlet distributions by Newton's method, from expected logarithms.

Both functions maximise a concave log likelihood, and are run to its maximum. Steps stay inside the
positive numbers and never lower it, so a learned concentration is never negative and an objective
that includes it never falls.

References
----------
T. P. Minka: Estimating a Dirichlet distribution. 2000 (revised 2012).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, gammaln, polygamma

__all__ = ["LEAST", "MOST", "log_likelihood", "symmetric", "vector"]

Array = NDArray[np.float64]

# A concentration stays within these: beyond, special functions lose all digits.
LEAST, MOST = 1e-12, 1e12
_MAX_STEPS = 200
_ROUNDING = 1e-12
_KEPT = 0.1  # a step leaves at least this share of each concentration


def log_likelihood(alpha: Array, n: float, sums: Array) -> float:
    """Return Σ_k (α_k - 1) sums_k + n (log Γ(Σ α) - Σ_k log Γ(α_k))."""
    return float((alpha - 1) @ sums + n * (gammaln(alpha.sum()) - gammaln(alpha).sum()))


def vector(alpha: Array, n: float, sums: Array) -> Array:
    """Return the α that maximises `log_likelihood`, from a start.

    Parameters
    ----------
    alpha : ndarray of shape (K,)
        The start, > 0.
    n : float
        Number of draws (documents).
    sums : ndarray of shape (K,)
        Sum over the draws of log θ_k, or of its expectation.
    """
    if alpha.size == 1 or not n > 0:
        return np.array(alpha)  # log θ is 0: any will do

    def step(alpha: Array) -> tuple[Array, Array]:
        gradient = n * (digamma(alpha.sum()) - digamma(alpha)) + sums
        # The Hessian is diag(-n ψ'(α)) + n ψ'(Σ α): its inverse by Sherman and Morrison.
        diagonal = -n * polygamma(1, alpha)
        common = n * polygamma(1, alpha.sum())
        shift = (gradient / diagonal).sum() / (1 / common + (1 / diagonal).sum())
        return gradient, np.asarray(-(gradient - shift) / diagonal)

    return _maximum(alpha, n, lambda alpha: log_likelihood(alpha, n, sums), step)


def symmetric(alpha: float, size: int, n: float, total: float) -> float:
    """Return the a that maximises n (log Γ(size a) - size log Γ(a)) + (a - 1) total.

    That of `vector` with all K = `size` concentrations held equal, `total` the sum of its `sums`.
    """
    if size == 1 or not n > 0:
        return alpha

    def likelihood(a: Array) -> float:
        return float((n * (gammaln(size * a) - size * gammaln(a)) + (a - 1) * total)[0])

    def step(a: Array) -> tuple[Array, Array]:
        gradient = n * size * (digamma(size * a) - digamma(a)) + total
        curvature = n * size * (size * polygamma(1, size * a) - polygamma(1, a))
        return gradient, -gradient / curvature

    return float(_maximum(np.array([alpha]), n, likelihood, step)[0])


def _maximum(
    alpha: Array,
    n: float,
    likelihood: Callable[[Array], float],
    step: Callable[[Array], tuple[Array, Array]],
) -> Array:
    """Climb by Newton's steps, which `step` gives with the gradient, shortened where they must."""
    value = likelihood(alpha)
    for _ in range(_MAX_STEPS):
        gradient, direction = step(alpha)
        gain = float(gradient @ direction)  # twice what a full step promises
        if gain <= _ROUNDING * (abs(value) + n):  # the last one, which squares the error
            return np.asarray(np.clip(alpha + direction, 0.5 * alpha, 2.0 * alpha))
        shrinking = (direction < 0) & (alpha > 2 * LEAST)
        room = (1 - _KEPT) * alpha[shrinking] / -direction[shrinking]
        length = min(1.0, float(room.min(initial=np.inf)))
        while True:
            moved = np.clip(alpha + length * direction, LEAST, MOST)
            gained = likelihood(moved)
            if gained > value:
                break
            length *= 0.5
            if length < 1e-12:
                return alpha
        alpha, value = moved, gained
    return alpha
