"""Gaussian components with axis-parallel covariances: diag, spherical and tied-spherical.

One code for all: a variance covers `copies` features, 1 (diag) or D (spherical), and a group has
`width` variances, D or 1. Every variance is inverse-gamma(copies ν0 / 2, copies Ψ0 / 2).
"""
# ruff: noqa: D102 (what each method is for stands once, in `Gaussian`)

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, gammaln

from vemfast.models.gaussian_config import GaussianConfig
from vemfast.reference.gaussian import Gaussian, NormalWishart, ScoreTable
from vemfast.reference.gaussian_matrix import not_positive_definite
from vemfast.reference.random import Stream

__all__ = ["AxisGaussian"]

Array = NDArray[np.float64]


class AxisGaussian(Gaussian):
    """Variances σ² ~ InvGamma(c ν0 / 2, c Ψ0 / 2), with c the features that each covers."""

    def __init__(self, config: GaussianConfig) -> None:
        diagonal = self.diagonal = config.covariance_type == "diag"
        self.copies = 1 if diagonal else config.n_features
        self.width = config.n_features if diagonal else 1
        self.mode_extra = 2.0 / self.copies
        super().__init__(config)
        self.row_size = self.K + self.D
        self.unit = self.column_scale if diagonal else self.column_scale.mean(keepdims=True)

    def as_groups(self, stored: Array) -> Array:
        return stored.reshape(-1, self.width)

    def _per_variance(self, products: Array) -> Array:
        """Average over the features that one variance covers."""
        return products if self.copies == 1 else products.mean(axis=-1, keepdims=True)

    def scatter(self, X: Array, responsibilities: Array) -> Array:
        if self.diagonal:
            return np.asarray(responsibilities.T @ (X * X))
        squares = np.einsum("nd,nd->n", X, X)
        return np.asarray(
            squares @ (responsibilities.sum(axis=1) if self.shared else responsibilities)
        )

    def unpack(self, scatter: Array) -> Array:
        return scatter.reshape(self.groups, self.width) / self.copies

    def outer(self, a: Array, b: Array) -> Array:
        return self._per_variance(a * b)

    def trace(self, precision: Array, moments: Array) -> Array:
        return np.asarray(self.copies * np.einsum("kd,kd->k", precision, moments))

    def log_det(self, covariance: Array) -> Array:
        return np.asarray(self.copies * np.log(covariance).sum(axis=1))

    def inverse_root(self, covariance: Array) -> Array:
        return 1.0 / np.sqrt(covariance)

    def precision_of(self, root: Array) -> Array:
        return root * root

    def distances(self, X: Array, table: ScoreTable) -> Array:
        # λ x² - 2 λ m x + λ m² by matrix products; coordinates are centred, so little is lost.
        m = table.means
        precision = np.broadcast_to(self.precision_of(table.root), m.shape)
        square = (X * X) @ precision.T + np.einsum("kd,kd->k", precision, m * m)
        square -= 2 * (X @ (precision * m).T)
        return np.asarray(np.maximum(square, 0.0))

    def clip(self, covariance: Array, groups: NDArray[np.intp], rounding: Array) -> Array:
        if self.reg_covar > 0:
            return np.maximum(covariance, self.reg_covar * self.unit)
        singular = np.any(covariance <= rounding[groups, None] * self.unit, axis=1)
        if singular.any():
            raise not_positive_definite(groups[np.argmax(singular)], self.shared)
        return covariance

    def _shape_rate(self, freedom: Array, scale: Array) -> tuple[Array, Array]:
        """Return a, b of InvGamma(a, b)."""
        return 0.5 * self.copies * freedom, 0.5 * self.copies * scale

    def expected_log_precision(self, q: NormalWishart) -> Array:
        a, b = self._shape_rate(q.freedom[:, None], q.scale)
        return np.asarray(self.copies * (digamma(a) - np.log(b)).sum(axis=1))

    def covariance_log_prior(self, covariance: Array) -> float:
        a0, b0 = self._shape_rate(np.array(self.nu0), self.psi0)
        constant = a0 * np.log(b0) - gammaln(a0)
        return float(np.sum(constant - (a0 + 1) * np.log(covariance) - b0 / covariance))

    def covariance_kl(self, q: NormalWishart) -> float:
        a, b = self._shape_rate(q.freedom[:, None], q.scale)
        a0, b0 = self._shape_rate(np.array(self.nu0), self.psi0)
        norms = gammaln(a0) - gammaln(a) + a0 * (np.log(b) - np.log(b0))
        return float(np.sum((a - a0) * digamma(a) + norms + a * (b0 - b) / b))

    def sample_covariance(self, scale: Array, freedom: float, stream: Stream) -> Array:
        a, b = self._shape_rate(np.array(freedom), scale)
        return np.asarray(b / [stream.gamma(float(a)) for _ in range(self.width)])

    def sample_mean(
        self, mean: Array, precision: float, covariance: Array, stream: Stream
    ) -> Array:
        z = np.array([stream.normal() for _ in range(self.D)])
        return np.asarray(mean + z * np.sqrt(covariance / precision))

    def predictive(self, X: Array, q: NormalWishart) -> Array:
        # One t of f = c ν degrees of freedom per variance, over the c features that it covers,
        # with squared width Ψ (κ + 1) / (κ ν).
        f = self.copies * self.spread(q.freedom)
        widen = (q.precision + 1) / q.precision
        scale = self.copies * self.spread(q.scale) * widen[:, None]
        tail = 0.5 * (f + self.copies)
        constants = self.width * (gammaln(tail) - gammaln(0.5 * f))
        constants = constants - 0.5 * (self.D * np.log(np.pi) + self.copies * np.log(scale).sum(1))
        out = np.empty((len(X), self.K))
        for k in range(self.K):
            square = self.copies * self._per_variance((X - q.means[k]) ** 2)
            out[:, k] = constants[k] - tail[k] * np.log1p(square / scale[k]).sum(axis=1)
        return out
