"""Sequences on which hidden Markov models are measured: H1 to H4, and many short ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["CHAINS", "Chain", "Problem", "make"]


@dataclass(frozen=True)
class Chain:
    """Shape of a workload: sequences x steps, states, features (or symbols), kind of emission."""

    sequences: int
    steps: int
    k: int
    d: int
    emission: str  # "diag", "full" or "symbols"

    def __str__(self) -> str:
        what = f"{self.d:,} symbols" if self.emission == "symbols" else f"D {self.d}"
        return f"{self.sequences:,} x {self.steps:,} steps, K {self.k}, {what}, {self.emission}"


CHAINS = {
    "H1": Chain(100, 10_000, 16, 8, "diag"),
    "H2": Chain(200, 5_000, 64, 1_000, "symbols"),
    "H3": Chain(1, 1_000_000, 4, 1, "diag"),
    "H4": Chain(1, 200_000, 8, 16, "full"),
    "short": Chain(10_000, 20, 8, 4, "diag"),
}


@dataclass(frozen=True, eq=False)
class Problem:
    """Sequences of one workload, and parameters near the truth to start from.

    Attributes
    ----------
    chain : Chain
    X : ndarray of shape (n_steps, d), or (n_steps, 1) of symbols
    lengths : ndarray of shape (sequences,)
    startprob, transmat : ndarray
    emission : dict of str to ndarray
        `means` and `covars`, or `emissionprob`.
    """

    chain: Chain
    X: NDArray[Any]
    lengths: NDArray[np.int64]
    startprob: NDArray[np.float64]
    transmat: NDArray[np.float64]
    emission: dict[str, NDArray[np.float64]]


def make(name: str, scale: float = 1.0, seed: int = 0) -> Problem:
    """Draw a workload: states that stay for about ten steps, emissions that overlap."""
    chain, rng = CHAINS[name], np.random.default_rng(seed)
    sequences, steps, k, d = chain.sequences, chain.steps, chain.k, chain.d
    if sequences > 1:
        sequences = max(round(sequences * scale), 1)
    else:
        steps = max(round(steps * scale), 1)
    n = sequences * steps
    moves = rng.random(n) < 0.1
    moves[:: max(steps, 1)] = True
    states = rng.integers(k, size=n)[np.cumsum(moves) - 1]
    transmat = np.full((k, k), 0.1 / k) + 0.9 * np.eye(k)
    startprob, lengths = np.full(k, 1 / k), np.full(sequences, steps)
    if chain.emission == "symbols":
        table = rng.dirichlet(np.full(d, 0.2), k)
        X = np.empty((n, 1), dtype=np.int64)
        for state in range(k):
            own = states == state
            drawn = np.searchsorted(np.cumsum(table[state]), rng.random(own.sum()))
            X[own, 0] = np.minimum(drawn, d - 1)
        near = 0.9 * table + 0.1 / d
        return Problem(chain, X, lengths, startprob, transmat, {"emissionprob": near})
    means = rng.normal(0.0, 1.5, (k, d))
    X = means[states] + rng.normal(size=(n, d))
    covars = np.ones((k, d)) if chain.emission == "diag" else np.tile(np.eye(d), (k, 1, 1))
    emission = {"means": means + 0.1, "covars": covars}
    return Problem(chain, X, lengths, startprob, transmat, emission)
