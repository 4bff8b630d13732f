"""Probabilistic PCA and factor analysis by exact EM: the autoencoder whose decoder is linear.

x = W z + μ + noise, z standard normal (Tipping, Bishop 1999; Rubin, Thayer 1982). The posterior of
z is normal, so nothing has to be amortised. All the work is matrix products, left to NumPy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vemfast.data import RowBlock
from vemfast.models.base import Model, Step
from vemfast.reference.random import START_STREAM, Stream
from vemfast.stats import Layout, Params, Stats

__all__ = ["LinearTable", "ProbabilisticPca"]

Array = NDArray[np.float64]

_LOG_2PI = float(np.log(2.0 * np.pi))
_ROWS = 4096  # of a piece of a block


@dataclass(frozen=True, slots=True, eq=False)
class LinearTable:
    """What the E-step needs of the parameters.

    Attributes
    ----------
    mean : ndarray of shape (n_features,)
    gain : ndarray of shape (n_features, n_components)
        The posterior mean of z is (x - μ) @ gain.
    covariance : ndarray of shape (n_components, n_components)
        Of z given x, the same for every row.
    precisions : ndarray of shape (n_features,)
        Of the noise.
    loadings : ndarray of shape (n_features, n_components)
    log_normaliser : float
        Log density of a row is this less half its distance.
    """

    mean: Array
    gain: Array
    covariance: Array
    precisions: Array
    loadings: Array
    log_normaliser: float


class ProbabilisticPca(Model):
    """Linear decoder with Gaussian noise.

    Parameters
    ----------
    n_features, n_components : int
    noise : {"spherical", "diag"}, default="spherical"
        One variance (probabilistic PCA), or one a feature (factor analysis).
    variance_floor : float, default=1e-6
        Least variance of the noise.
    origin : ndarray of shape (n_features,), default=None
        Moments are summed about it. None: zero.
    """

    local_rules = MappingProxyType({"em": "exact"})

    def __init__(
        self,
        n_features: int,
        n_components: int,
        noise: str = "spherical",
        variance_floor: float = 1e-6,
        origin: Array | None = None,
    ) -> None:
        D, Z = n_features, n_components
        if not Z >= 1:
            raise ValueError(f"n_components must be >= 1; got {Z}")
        if noise not in ("spherical", "diag"):
            raise ValueError(f"noise must be 'spherical' or 'diag'; got {noise!r}")
        if not variance_floor > 0:
            raise ValueError(f"variance_floor must be > 0; got {variance_floor}")
        self.D, self.Z, self.noise, self.variance_floor = D, Z, noise, variance_floor
        self.origin = np.zeros(D) if origin is None else np.asarray(origin, dtype=np.float64)
        # z with a 1 behind it, so that W and μ are one regression.
        self.layout = Layout({"latent": (Z + 1, Z + 1), "cross": (D, Z + 1), "squares": (D,)})
        n_variances = 1 if noise == "spherical" else D
        self._params = Layout({"loadings": (D, Z), "mean": (D,), "variances": (n_variances,)})

    def init(self, blocks: Sequence[RowBlock], step: Step) -> Params:
        """Return small random loadings, the columns' means, and their variances as noise."""
        total, sums, squares = 0.0, np.zeros(self.D), np.zeros(self.D)
        for x, w in self._pieces(blocks):
            total += w.sum()
            sums += w @ x
            squares += w @ (x * x)
        mean = sums / total
        variances = np.maximum(squares / total - mean**2, self.variance_floor)
        stream = Stream(step.seed, 0, START_STREAM, 0)
        draws = [stream.normal() for _ in range(self.D * self.Z)]
        spread = np.sqrt(variances)[:, None]
        return self.params(
            0.5 * spread * np.reshape(draws, (self.D, self.Z)) / np.sqrt(self.Z),
            mean,
            variances if self.noise == "diag" else variances.mean(),
        )

    def maximum(self, blocks: Sequence[RowBlock]) -> Params:
        """Return the maximum of the likelihood with spherical noise, in closed form.

        Loadings from the largest eigenvalues of the covariance, the noise from the mean of the
        others (Tipping and Bishop 1999), which needs Z < D; at the floor where that is lower.
        """
        total, sums, products = 0.0, np.zeros(self.D), np.zeros((self.D, self.D))
        for x, w in self._pieces(blocks):
            total += w.sum()
            sums += w @ x
            products += (x * w[:, None]).T @ x
        mean = sums / total
        values, vectors = np.linalg.eigh(products / total - np.outer(mean, mean))
        variance = max(float(values[: -self.Z].mean()), self.variance_floor)
        spread = np.sqrt(np.maximum(values[-self.Z :] - variance, 0.0))
        return self.params(vectors[:, -self.Z :] * spread, mean, variance)

    def params(self, loadings: Array, mean: Array, variances: Array | float) -> Params:
        """Return parameters with these values; the mean is relative to the origin."""
        params = Params(self._params, "point")
        params["loadings"], params["mean"] = loadings, mean
        params["variances"] = variances
        return params

    def prepare(self, params: Params) -> LinearTable:
        """Return the posterior of z as a linear map of x."""
        W = params["loadings"]
        precisions = np.broadcast_to(1.0 / params["variances"], (self.D,))
        scaled = W * precisions[:, None]
        posterior = np.eye(self.Z) + W.T @ scaled
        root = np.linalg.cholesky(posterior)
        inverse_root = np.linalg.solve(root, np.eye(self.Z))
        covariance = inverse_root.T @ inverse_root
        log_det = 2.0 * np.log(root.diagonal()).sum() - np.log(precisions).sum()
        return LinearTable(
            params["mean"],
            scaled @ covariance,
            covariance,
            precisions,
            W,
            -0.5 * (self.D * _LOG_2PI + float(log_det)),
        )

    def e_step(self, prepared: LinearTable, block: RowBlock, step: Step) -> Stats:
        """Return moments of x and z, and the log likelihood."""
        stats = Stats(self.layout)
        total = 0.0
        for x, w in self._pieces([block]):
            z = np.ones((len(x), self.Z + 1))
            z[:, :-1] = (x - prepared.mean) @ prepared.gain
            weighted = z * w[:, None]
            stats["latent"] += weighted.T @ z
            stats["cross"] += x.T @ weighted
            stats["squares"] += w @ (x * x)
            total += w.sum()
            stats.local_bound += float(w @ self.log_density(prepared, x))
        stats["latent"][:-1, :-1] += total * prepared.covariance
        _, log_det = np.linalg.slogdet(prepared.covariance)
        entropy = 0.5 * (self.Z * (1.0 + _LOG_2PI) + log_det)
        stats.entropy = total * float(entropy)
        return stats

    def update(self, params: Params | None, stats: Stats, step: Step) -> Params:
        """Return the maximum: a regression of x on z, and the variance that it leaves."""
        latent, cross = stats["latent"], stats["cross"]
        both = np.linalg.solve(latent, cross.T).T
        left = stats["squares"] - (both * cross).sum(axis=1)
        variances = np.maximum(left / latent[-1, -1], 0.0)
        if self.noise == "spherical":
            variances = variances.mean(keepdims=True)
        out = Params(self._params, "point")
        out["loadings"], out["mean"] = both[:, :-1], both[:, -1]
        out["variances"] = np.maximum(variances, self.variance_floor)
        return out

    def global_term(self, params: Params) -> float:
        """Return 0: the prior is flat."""
        return 0.0

    def expected_log_joint(self, params: Params, stats: Stats) -> float:
        """Return E log p(x, z), linear in the statistics, nats."""
        latent, n = stats["latent"], float(stats["latent"][-1, -1])
        both = np.concatenate([params["loadings"], params["mean"][:, None]], axis=1)
        variances = np.broadcast_to(params["variances"], (self.D,))
        squares = stats["squares"] - 2.0 * (both * stats["cross"]).sum(axis=1)
        squares += ((both @ latent) * both).sum(axis=1)
        of_x = (squares / variances).sum() + n * (np.log(variances).sum() + self.D * _LOG_2PI)
        of_z = np.trace(latent[:-1, :-1]) + n * self.Z * _LOG_2PI
        return -0.5 * float(of_x + of_z)

    def log_density(self, table: LinearTable, x: Array) -> Array:
        """Return log p(x) of rows about the origin, shape (n,)."""
        rest = x - table.mean
        z = rest @ table.gain
        # (x - μ)ᵀ C⁻¹ (x - μ) as what z leaves of it, which cannot become negative.
        rest = rest - z @ table.loadings.T
        distances = (rest * rest) @ table.precisions + (z * z).sum(axis=1)
        return np.asarray(table.log_normaliser - 0.5 * distances)

    def _pieces(self, blocks: Sequence[RowBlock]) -> Iterator[tuple[Array, Any]]:
        """Yield rows about the origin and their weights."""
        for block in blocks:
            for start in range(0, block.n, _ROWS):
                piece = block.slice(start, min(start + _ROWS, block.n))
                x = np.subtract(piece.X, self.origin, dtype=np.float64)
                yield x, np.ones(piece.n) if piece.weights is None else piece.weights
