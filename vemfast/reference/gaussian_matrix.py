"""Gaussian components with D x D covariances: full, and tied (one for all components)."""
# ruff: noqa: D102 (what each method is for stands once, in `Gaussian`)

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, gammaln, multigammaln

from vemfast.errors import NumericalError
from vemfast.models.gaussian_config import GaussianConfig
from vemfast.reference.gaussian import Gaussian, NormalWishart, ScoreTable
from vemfast.reference.random import Stream

__all__ = ["MatrixGaussian", "not_positive_definite"]

Array = NDArray[np.float64]

_WIDE = 64  # features from which one product a component beats one for all of them


class MatrixGaussian(Gaussian):
    """Covariances Σ ~ IW(Ψ0, ν0), stored whole; scatters are stored as packed lower triangles."""

    def __init__(self, config: GaussianConfig) -> None:
        super().__init__(config)
        self.mode_extra = self.D + 1.0
        self.row_size = self.K + self.D if self.shared else self.K * self.D
        self._lower = np.tril_indices(self.D)

    def as_groups(self, stored: Array) -> Array:
        return stored.reshape(-1, self.D, self.D)

    def scatter(self, X: Array, responsibilities: Array) -> Array:
        if self.shared:
            return self._gram(X, responsibilities.sum(axis=1))[self._lower]
        if self.D >= _WIDE:
            return np.array([self._gram(X, r)[self._lower] for r in responsibilities.T])
        # One product for all components at once, at twice the least work.
        stacked = (responsibilities[:, :, None] * X[:, None, :]).reshape(len(X), -1)
        moments = (stacked.T @ X).reshape(self.K, self.D, self.D)
        return np.asarray(moments[:, self._lower[0], self._lower[1]])

    def _gram(self, X: Array, r: Array) -> Array:
        """Return Σ_n r_n x xᵀ as Zᵀ Z with Z = √r x, for which BLAS does half the work."""
        Z = X * np.sqrt(r)[:, None]
        return np.asarray(Z.T @ Z)

    def unpack(self, scatter: Array) -> Array:
        full = np.empty((self.groups, self.D, self.D))
        full[:, self._lower[0], self._lower[1]] = scatter
        full[:, self._lower[1], self._lower[0]] = scatter
        return full

    def outer(self, a: Array, b: Array) -> Array:
        product = a[:, :, None] * b[:, None, :]
        return np.asarray(0.5 * (product + product.swapaxes(1, 2)))

    def trace(self, precision: Array, moments: Array) -> Array:
        return np.asarray(np.einsum("kij,kij->k", precision, moments))

    def log_det(self, covariance: Array) -> Array:
        diagonals = np.diagonal(_cholesky(covariance), axis1=1, axis2=2)
        return np.asarray(2 * np.log(diagonals).sum(axis=1))

    def inverse_root(self, covariance: Array) -> Array:
        return np.tril(np.linalg.inv(_cholesky(covariance)))

    def precision_of(self, root: Array) -> Array:
        return np.asarray(root.swapaxes(1, 2) @ root)

    def distances(self, X: Array, table: ScoreTable) -> Array:
        if self.shared:
            return _squared_distances(X @ table.root[0].T, table.means @ table.root[0].T)
        z = X @ table.root.reshape(-1, self.D).T
        z -= np.einsum("kij,kj->ki", table.root, table.means).ravel()
        z = z.reshape(len(X), self.K, self.D)
        return np.asarray(np.einsum("nkd,nkd->nk", z, z))

    def clip(self, covariance: Array, groups: NDArray[np.intp], rounding: Array) -> Array:
        unit = np.sqrt(self.column_scale)
        values, vectors = np.linalg.eigh(covariance / (unit[:, None] * unit))
        smallest = values[:, 0]
        if self.reg_covar <= 0:
            singular = smallest <= rounding[groups]
            if singular.any():
                raise not_positive_definite(groups[np.argmax(singular)], self.shared)
            return covariance
        clipped = np.maximum(values, self.reg_covar)
        rebuilt = (vectors * clipped[:, None, :]) @ vectors.swapaxes(1, 2)
        inside = (smallest >= self.reg_covar)[:, None, None]
        return np.where(inside, covariance, rebuilt * (unit[:, None] * unit))

    def expected_log_precision(self, q: NormalWishart) -> Array:
        constant = self.D * np.log(2)
        return np.asarray(self._digammas(q.freedom) + constant - self.log_det(q.scale))

    def _digammas(self, freedom: Array) -> Array:
        """Return Σ_i ψ((ν + 1 - i) / 2), the derivative of log Γ_D(ν / 2) by ν / 2."""
        return np.asarray(digamma(0.5 * (freedom[:, None] - np.arange(self.D))).sum(axis=1))

    def covariance_log_prior(self, covariance: Array) -> float:
        log_psi0 = self.log_det(self.as_groups(self.psi0))[0]
        constant = 0.5 * self.nu0 * (log_psi0 - self.D * np.log(2)) - self._log_gamma(self.nu0)
        slope = 0.5 * (self.nu0 + self.D + 1) * self.log_det(covariance)
        precision = self.precision_of(self.inverse_root(covariance))
        traces = np.einsum("ij,kij->k", self.psi0, precision)
        return float(np.sum(constant - slope - 0.5 * traces))

    def _log_gamma(self, freedom: float) -> float:
        return float(multigammaln(0.5 * freedom, self.D))

    def covariance_kl(self, q: NormalWishart) -> float:
        nu, nu0 = q.freedom, self.nu0
        precision = self.precision_of(self.inverse_root(q.scale))
        traces = np.einsum("ij,kij->k", self.psi0, precision)
        log_ratio = self.log_det(q.scale) - self.log_det(self.as_groups(self.psi0))[0]
        norms = self._log_gamma(nu0) - np.array([self._log_gamma(n) for n in nu])
        spread = 0.5 * (nu - nu0) * self._digammas(nu) + 0.5 * nu * (traces - self.D)
        return float(np.sum(spread + norms + 0.5 * nu0 * log_ratio))

    def sample_covariance(self, scale: Array, freedom: float, stream: Stream) -> Array:
        bartlett = np.zeros((self.D, self.D))
        for i in range(self.D):
            for j in range(i):
                bartlett[i, j] = stream.normal()
            bartlett[i, i] = np.sqrt(stream.chi2(freedom - i))
        T = _cholesky(np.asarray(np.linalg.inv(scale))[None])[0]
        root = np.tril(np.linalg.inv(T @ bartlett))  # Λ = (T A)(T A)ᵀ
        return np.asarray(root.T @ root)

    def sample_mean(
        self, mean: Array, precision: float, covariance: Array, stream: Stream
    ) -> Array:
        z = np.array([stream.normal() for _ in range(self.D)])
        return np.asarray(mean + _cholesky(covariance[None])[0] @ z / np.sqrt(precision))

    def predictive(self, X: Array, q: NormalWishart) -> Array:
        # t with f = ν + 1 - D degrees of freedom and shape matrix Ψ (κ + 1) / (κ f).
        table = ScoreTable(np.zeros(self.K), q.means, self.inverse_root(q.scale))
        f = self.spread(q.freedom) + 1 - self.D
        widen = (q.precision + 1) / q.precision
        tail = 0.5 * (f + self.D)
        constants = gammaln(tail) - gammaln(0.5 * f) - 0.5 * self.D * np.log(np.pi * widen)
        constants = constants - 0.5 * self.spread(self.log_det(q.scale))
        return np.asarray(constants - tail * np.log1p(self.distances(X, table) / widen))


def not_positive_definite(component: int | np.intp, shared: bool) -> NumericalError:
    """Return the error to raise for a singular covariance."""
    where = "all components" if shared else f"component {component}"
    return NumericalError(
        f"{where}: covariance not positive definite; set reg_covar > 0, use fewer components, or "
        "give a covariance_prior"
    )


def _cholesky(covariance: Array) -> Array:
    try:
        return np.asarray(np.linalg.cholesky(covariance))
    except np.linalg.LinAlgError:
        smallest = np.linalg.eigvalsh(covariance)[:, 0]
        raise not_positive_definite(np.argmin(smallest), shared=False) from None


def _squared_distances(X: Array, centres: Array) -> Array:
    """Return |x - c|² as (n, K), by one matrix product."""
    square = np.einsum("nd,nd->n", X, X)[:, None] + np.einsum("kd,kd->k", centres, centres)
    square -= 2 * (X @ centres.T)
    return np.asarray(np.maximum(square, 0.0))
