"""The mixture workloads G1 to G6 and S1, and the fixed start that every library is given."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

# Least floating-point operations a row and component, the exponential left out.
# full: triangular product D^2 + D, squared norm 2 D, lower half of the scatter D^2 + D, sums 2 D;
# diag: scores 4 D (x^2 and x against the table), sums and squares 4 D; spherical: scores 2 D, sums
# 2 D; hard EM: scores 2 D.
LEAST_FLOPS = {
    "full": lambda d: 2 * d * d + 6 * d,
    "diag": lambda d: 8 * d,
    "spherical": lambda d: 4 * d,
    "tied-spherical": lambda d: 4 * d,
}


@dataclass(frozen=True)
class Workload:
    """One shape: `n` rows, `d` features, `k` components."""

    name: str
    n: int
    d: int
    k: int
    covariance: str
    inference: str = "em"

    def scaled(self, scale: float) -> Workload:
        """Return the same shape with fewer rows, yet enough for every covariance."""
        enough = 8 * self.k * max(self.d, 4)
        return self if scale == 1 else replace(self, n=max(enough, round(self.n * scale)))

    @property
    def flops(self) -> float:
        """Least operations of one iteration (a count)."""
        if self.inference == "hard-em":
            return 2.0 * self.n * self.k * self.d
        return float(self.n) * self.k * LEAST_FLOPS[self.covariance](self.d)

    @property
    def shape(self) -> str:
        return f"{self.n:,} x {self.d}, {self.k}, {self.covariance}"


@dataclass(frozen=True)
class Problem:
    """A workload with its data and start: equal weights, means at K rows, unit covariances.

    X is (n, d) of the dtype measured; `means` is (k, d) float64.
    """

    workload: Workload
    X: NDArray[np.floating]
    means: NDArray[np.float64]
    scale: float
    seed: int

    @property
    def weights(self) -> NDArray[np.float64]:
        return np.full(self.workload.k, 1 / self.workload.k)

    @property
    def precisions(self) -> NDArray[np.float64]:
        k, d = self.workload.k, self.workload.d
        full = np.broadcast_to(np.eye(d), (k, d, d)).copy()
        return {"full": full, "diag": np.ones((k, d)), "spherical": np.ones(k)}.get(
            self.workload.covariance, np.ones(())
        )


MIXTURES = {
    w.name: w
    for w in (
        Workload("G1", 1_000_000, 16, 32, "full"),
        Workload("G2", 1_000_000, 2, 16, "full"),
        Workload("G3", 200_000, 64, 64, "diag"),
        Workload("G4", 100_000, 128, 16, "full"),
        Workload("G5", 1_000_000, 8, 64, "spherical"),
        Workload("G6", 200_000, 16, 32, "full", "mean-field"),
    )
}
# With one shared variance and equal weights hard EM is k-means, as Lloyd's algorithm does it.
HARD = {
    "G5 hard": replace(MIXTURES["G5"], name="G5 hard", inference="hard-em"),
    "G5 k-means": replace(
        MIXTURES["G5"], name="G5 k-means", inference="hard-em", covariance="tied-spherical"
    ),
}
SMALL = Workload("S1", 180, 2, 3, "full")
WORKLOADS = {**MIXTURES, **HARD, SMALL.name: SMALL}


def make(name: str, dtype: str = "float64", scale: float = 1.0, seed: int = 0) -> Problem:
    """Draw the data of a workload and choose its start.

    K Gaussian clusters: centres N(0, 3^2), covariance factors I + 0.3 G / sqrt(D) with G standard
    normal, weights Dirichlet(5). The rows are drawn in float32 and then cast, so that both dtypes
    hold the same numbers.
    """
    workload = WORKLOADS[name].scaled(scale)
    n, d, k = workload.n, workload.d, workload.k
    rng = np.random.default_rng(seed)
    centres = rng.normal(0.0, 3.0, (k, d)).astype(np.float32)
    factors = (np.eye(d) + 0.3 * rng.standard_normal((k, d, d)) / np.sqrt(d)).astype(np.float32)
    labels = rng.choice(k, n, p=rng.dirichlet(np.full(k, 5.0)))
    X = rng.standard_normal((n, d), dtype=np.float32)
    for j in range(k):
        rows = labels == j
        X[rows] = X[rows] @ factors[j].T + centres[j]
    means = X[rng.choice(n, k, replace=False)].astype(np.float64)
    return Problem(workload, X.astype(dtype), means, scale, seed)
