"""Gaussian components with the conjugate normal-inverse-Wishart prior and its special forms.

`Gaussian` holds what all covariance types share; `MatrixGaussian` (full, tied) and `AxisGaussian`
(diag, spherical, tied-spherical) hold what differs. Inside, covariances always have a leading axis
of groups: K of them, or one that all components share. Coordinates are centred on the model's
origin. Formulas and symbols: docs/formulas/gaussian_mixture.md.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vemfast.models.gaussian_config import GaussianConfig
from vemfast.reference.random import PARAMETER_STREAM, Stream

__all__ = ["Gaussian", "NormalWishart", "ScoreTable"]

Array = NDArray[np.float64]
LOG_2PI = float(np.log(2 * np.pi))
LEAST_COUNT = 1e-278  # a smaller N_k is no data: its reciprocal is near overflow


@dataclass(frozen=True)
class NormalWishart:
    """Posterior of means and covariances: κ (K,), m (K, D), ν (G,), Ψ (G, ...)."""

    precision: Array
    means: Array
    freedom: Array
    scale: Array


@dataclass(frozen=True)
class ScoreTable:
    """Scores c_k - |A_k (x - m_k)|² / 2, whatever the parameters they came from.

    `constants` c (K,), `means` m (K, D), `root` A (G, ...) with A_kᵀ A_k the (expected) precision.
    """

    constants: Array
    means: Array
    root: Array


class Gaussian(ABC):
    """K Gaussian components of one covariance type.

    A subclass says what a covariance is: how it is stored, its determinant, factor and clipping,
    and its prior.
    """

    # The mode divides by N + ν0 + this where the covariance prior is proper.
    mode_extra: float
    # Numbers that the E-step holds for each row.
    row_size: int

    def __init__(self, config: GaussianConfig) -> None:
        self.K, self.D = config.n_components, config.n_features
        self.shared = config.is_shared
        self.groups = 1 if self.shared else self.K
        self.reg_covar = config.reg_covar
        self.column_scale = config.column_scale
        prior = config.prior
        self.kappa0, self.m0 = prior.mean_precision, prior.mean
        self.proper = prior.covariance_is_proper
        self.nu0 = prior.degrees_of_freedom if self.proper else 0.0
        self.psi0: Array = self.as_groups(prior.scale)[0] if self.proper else np.zeros(())

    # ---- what a covariance type is -----------------------------------------------------------

    @abstractmethod
    def as_groups(self, stored: Array) -> Array:
        """Return covariances as they are stored in Params as (G, ...)."""

    @abstractmethod
    def scatter(self, X: Array, responsibilities: Array) -> Array:
        """Return Σ_n r_nk x xᵀ as it is stored in Stats."""

    @abstractmethod
    def unpack(self, scatter: Array) -> Array:
        """Return a stored scatter in the shape of covariances (G, ...)."""

    @abstractmethod
    def outer(self, a: Array, b: Array) -> Array:
        """Return the symmetric part of a_k b_kᵀ in the shape of covariances (K, ...)."""

    @abstractmethod
    def trace(self, precision: Array, moments: Array) -> Array:
        """Return tr(precision · moments) per leading index."""

    @abstractmethod
    def log_det(self, covariance: Array) -> Array:
        """Return log |Σ| (G,) of D x D covariances."""

    @abstractmethod
    def inverse_root(self, covariance: Array) -> Array:
        """Return A with Aᵀ A = Σ⁻¹."""

    @abstractmethod
    def precision_of(self, root: Array) -> Array:
        """Return Aᵀ A."""

    @abstractmethod
    def distances(self, X: Array, table: ScoreTable) -> Array:
        """Return |A_k (x - m_k)|² as (n, K)."""

    @abstractmethod
    def clip(self, covariance: Array, groups: NDArray[np.intp], rounding: Array) -> Array:
        """Return the covariances of `groups` with their eigenvalues clipped to the support.

        With reg_covar = 0, raise a NumericalError for one whose spread is not above its group's
        `rounding`.
        """

    @abstractmethod
    def expected_log_precision(self, q: NormalWishart) -> Array:
        """Return E log |Λ| (G,)."""

    @abstractmethod
    def covariance_log_prior(self, covariance: Array) -> float:
        """Return the log density of all covariances under a proper prior."""

    @abstractmethod
    def covariance_kl(self, q: NormalWishart) -> float:
        """Return KL(q(Σ) || p(Σ)) summed over groups."""

    @abstractmethod
    def sample_covariance(self, scale: Array, freedom: float, stream: Stream) -> Array:
        """Return one draw of a covariance."""

    @abstractmethod
    def sample_mean(
        self, mean: Array, precision: float, covariance: Array, stream: Stream
    ) -> Array:
        """Return a draw from N(mean, covariance / precision)."""

    @abstractmethod
    def predictive(self, X: Array, q: NormalWishart) -> Array:
        """Return the log of the posterior predictive densities (n, K), Student's t."""

    # ---- what follows ------------------------------------------------------------------------

    def pool(self, per_component: Array) -> Array:
        """Return values per component as values per group."""
        return per_component.sum(axis=0, keepdims=True) if self.shared else per_component

    def spread(self, per_group: Array) -> Array:
        """Return values per group as values per component."""
        return np.broadcast_to(per_group, (self.K, *per_group.shape[1:]))

    def posterior(self, counts: Array, sums: Array, scatter: Array) -> NormalWishart:
        """Return the conjugate posterior given N, s, S. No κ_k (flat prior, no data): m_k = 0."""
        kappa = self.kappa0 + counts
        m = (self.kappa0 * self.m0 + sums) / np.where(kappa > LEAST_COUNT, kappa, 1.0)[:, None]
        square = self.outer(m, m)
        m0 = np.broadcast_to(self.m0, m.shape)
        between = self.pool(self.kappa0 * self.outer(m0, m0) - _along(kappa, square) * square)
        return NormalWishart(
            kappa, m, self.nu0 + self.pool(counts), self.psi0 + self.unpack(scatter) + between
        )

    def mode(
        self,
        counts: Array,
        sums: Array,
        scatter: Array,
        means: Array,
        covariances: Array,
        keeps_means: bool = False,
    ) -> tuple[Array, Array]:
        """Return the posterior mode in the support; what has no data keeps its previous value.

        With `keeps_means` the means do not move, and the covariances are the mode given them.
        """
        q = self.posterior(counts, sums, scatter)
        if keeps_means:
            q = replace(q, means=means, scale=self._scale_about(means, counts, sums, scatter))
        filled = counts > LEAST_COUNT
        # Under a shared covariance the mean of an empty component is not free to stay: its prior
        # is part of the objective through Σ.
        moves = filled | (self.kappa0 > 0) if self.shared else filled
        means = np.where(moves[:, None], q.means, means)
        extra = self.nu0 + self.mode_extra if self.proper else 0.0
        proper_means = (self.K if self.shared else 1) if self.kappa0 > 0 else 0
        divisor = _along(self.pool(counts) + extra + proper_means, q.scale)
        groups = self._groups_of(filled)
        updated = covariances.copy()
        updated[groups] = self.clip(
            q.scale[groups] / divisor[groups], groups, self._rounding(q.means)
        )
        return means, updated

    def _scale_about(self, m: Array, counts: Array, sums: Array, scatter: Array) -> Array:
        """Return Ψ0 + Σ r (x - m)(x - m)ᵀ + κ0 (m - m0)(m - m0)ᵀ, (G, ...)."""
        square, away = self.outer(m, m), m - self.m0
        moved = _along(counts, square) * square - 2 * self.outer(sums, m)
        return np.asarray(
            self.psi0
            + self.unpack(scatter)
            + self.pool(moved + self.kappa0 * self.outer(away, away))
        )

    def _groups_of(self, components: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Return the indices of the covariances of some components."""
        return np.zeros(1, dtype=np.intp) if self.shared else np.flatnonzero(components)

    def _rounding(self, means: Array) -> Array:
        """Return, per group, the relative spread that rounding of S - N m mᵀ can make up."""
        far = (means**2 / self.column_scale).max(axis=1)
        level = 8 * self.D * np.finfo(float).eps * (1 + far)
        return np.asarray(level.max(keepdims=True) if self.shared else level)

    def point_table(self, means: Array, covariances: Array) -> ScoreTable:
        """Return the scores log N(x | m_k, Σ_k), without weights."""
        constants = -0.5 * (self.D * LOG_2PI + self.log_det(covariances))
        return ScoreTable(self.spread(constants), means, self.inverse_root(covariances))

    def posterior_table(self, q: NormalWishart) -> ScoreTable:
        """Return the scores E_q log N(x | μ_k, Λ_k⁻¹), without weights."""
        constants = 0.5 * (self.spread(self.expected_log_precision(q)) - self.D * LOG_2PI)
        root = self.inverse_root(q.scale)
        root *= np.sqrt(_along(q.freedom, root))
        return ScoreTable(constants - 0.5 * self.D / q.precision, q.means, root)

    def expected_log_density(
        self, table: ScoreTable, counts: Array, sums: Array, scatter: Array
    ) -> float:
        """Return Σ_k N_k c_k - ½ tr(Λ_k (S_k - s_k mᵀ - m s_kᵀ + N_k m mᵀ))."""
        m, filled = table.means, counts > 0
        square = self.outer(m, m)
        about = self.pool(_along(counts, square) * square - 2 * self.outer(sums, m))
        about = about + self.unpack(scatter)
        groups = self._groups_of(filled)
        quadratic = self.trace(self.precision_of(table.root)[groups], about[groups]).sum()
        return float(counts[filled] @ table.constants[filled] - 0.5 * quadratic)

    def log_prior(self, means: Array, covariances: Array) -> float:
        """Return the log density of a point; flat pieces count 0."""
        total = self.covariance_log_prior(covariances) if self.proper else 0.0
        if self.kappa0 > 0:
            table = self.point_table(means, covariances)
            constant = table.constants.sum() + 0.5 * self.K * self.D * np.log(self.kappa0)
            total += float(constant - 0.5 * self.kappa0 * self._from_prior_mean(table))
        return total

    def kl(self, q: NormalWishart) -> float:
        """Return KL(q(means, covariances) || prior), nats; both must be proper."""
        ratio = self.kappa0 / q.precision
        distance = self._from_prior_mean(self.posterior_table(q))
        of_means = 0.5 * (self.D * np.sum(ratio - np.log(ratio) - 1) + self.kappa0 * distance)
        return float(of_means) + self.covariance_kl(q)

    def _from_prior_mean(self, table: ScoreTable) -> float:
        """Return Σ_k (m_k - m0)ᵀ Λ_k (m_k - m0)."""
        away = table.means - self.m0
        precision = self.spread(self.precision_of(table.root))
        return float(self.trace(precision, self.outer(away, away)).sum())

    def sample(
        self, counts: Array, sums: Array, scatter: Array, seed: int, iteration: int
    ) -> tuple[Array, Array]:
        """Return means and covariances drawn from the posterior."""
        q = self.posterior(counts, sums, scatter)
        streams = [
            Stream(seed, iteration, PARAMETER_STREAM, index) for index in range(1, self.K + 2)
        ]
        sources = streams[self.K :] if self.shared else streams[: self.K]
        covariances = np.array(
            [
                self.sample_covariance(scale, float(nu), stream)
                for scale, nu, stream in zip(q.scale, q.freedom, sources, strict=True)
            ]
        )
        each = zip(q.means, q.precision, self.spread(covariances), streams, strict=False)
        means = [self.sample_mean(m, float(kappa), sigma, s) for m, kappa, sigma, s in each]
        return np.array(means), covariances


def _along(values: Array, like: Array) -> Array:
    """Return values per leading index of `like`, shaped to multiply it."""
    return values.reshape(-1, *[1] * (like.ndim - 1))
