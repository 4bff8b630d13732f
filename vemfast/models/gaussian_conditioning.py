"""Marginals and conditionals of a Gaussian mixture, in the data's coordinates.

With the features of a component split into given ones g and others t,

    p(x_g)       = Σ_k π_k N(m_g, Σ_gg)
    p(x_t | x_g) = Σ_k r_k N(m_t + B (x_g - m_g), Σ_tt - B Σ_gt),   B = Σ_tg Σ_gg⁻¹

with r the responsibilities for x_g under the marginal mixture (Petersen and Pedersen 2012, section
8.1; Ghahramani and Jordan 1994 for the regression). With the given features first, the Cholesky
factor of Σ is [[L_gg, 0], [L_tg, L_tt]], so B = L_tg L_gg⁻¹, and what is left is L_tt L_ttᵀ: no
difference is taken, so it is positive definite however closely features depend on each other. Where
covariances are axis-parallel B is 0, and only the weights change.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from vemfast.errors import NumericalError

__all__ = ["Regression", "marginal_covariances", "regression"]

Array = NDArray[np.float64]
Columns = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Regression:
    """Each component's regression of some features on others, and what it leaves.

    Attributes
    ----------
    covariance_type : str
    means_given : ndarray of shape (n_components, n_given)
    means : ndarray of shape (n_components, n_targets)
    slopes : ndarray of shape (n_components, n_targets, n_given), or None
        B; one for all components, shape (1, ...), where they share a covariance. None: zero.
    covariances : ndarray
        Of the targets given the others, in the shape of the covariance type.
    """

    covariance_type: str
    means_given: Array
    means: Array
    slopes: Array | None
    covariances: Array

    def component_means(self, component: int, given: Array) -> Array:
        """Return the conditional means of one component, (n, n_targets), for rows of values."""
        if self.slopes is None:
            return np.broadcast_to(self.means[component], (len(given), self.means.shape[1]))
        slope = self.slopes[component % len(self.slopes)]
        return np.asarray(self.means[component] + (given - self.means_given[component]) @ slope.T)

    def expectation(self, given: Array, responsibilities: Array) -> Array:
        """Return the conditional mean of the targets for rows of given values, (n, n_targets)."""
        if self.slopes is None:
            return np.asarray(responsibilities @ self.means)
        out = np.zeros((len(given), self.means.shape[1]))
        for k, r in enumerate(responsibilities.T):
            out += r[:, None] * self.component_means(k, given)
        return out

    def covariance(self, given: Array, responsibilities: Array, expectation: Array) -> Array:
        """Return the conditional covariance of the targets, (n, n_targets, n_targets).

        What the components leave, and how far their means lie from the common one.
        """
        K, T = self.means.shape
        matrices = _matrices(self.covariance_type, self.covariances, K, T)
        out = np.tensordot(responsibilities, matrices, axes=1)
        for k, r in enumerate(responsibilities.T):
            away = self.component_means(k, given) - expectation
            out += (r[:, None] * away)[:, :, None] * away[:, None, :]
        return np.asarray(out)


def marginal_covariances(covariance_type: str, covariances: Array, columns: Columns) -> Array:
    """Return the covariances of some columns, in the shape of the covariance type."""
    if covariance_type in ("full", "tied"):
        return np.array(covariances[..., columns[:, None], columns])
    return np.array(covariances[:, columns] if covariance_type == "diag" else covariances)


def regression(
    covariance_type: str, means: Array, covariances: Array, given: Columns, targets: Columns
) -> Regression:
    """Return the regression of the columns `targets` on the columns `given`."""
    means_given, means_targets = means[:, given], means[:, targets]
    if covariance_type not in ("full", "tied"):
        own = marginal_covariances(covariance_type, covariances, targets)
        return Regression(covariance_type, means_given, means_targets, None, own)
    D = means.shape[1]
    groups = covariances.reshape(-1, D, D)
    order, cut = np.concatenate([given, targets]), given.size
    slopes = np.empty((len(groups), targets.size, given.size))
    left = np.empty((len(groups), targets.size, targets.size))
    for i, matrix in enumerate(groups):
        root = _root(matrix[order[:, None], order], i)
        slopes[i] = solve_triangular(root[:cut, :cut], root[cut:, :cut].T, lower=True, trans=1).T
        left[i] = root[cut:, cut:] @ root[cut:, cut:].T
    remaining = left.reshape((*covariances.shape[:-2], targets.size, targets.size))
    return Regression(covariance_type, means_given, means_targets, slopes, remaining)


def _root(matrix: Array, component: int) -> Array:
    try:
        return np.asarray(np.linalg.cholesky(matrix), dtype=np.float64)
    except np.linalg.LinAlgError as error:
        raise NumericalError(
            f"component {component}: covariance not positive definite, so nothing can be "
            "conditioned on; fit with a larger reg_covar"
        ) from error


def _matrices(covariance_type: str, covariances: Array, K: int, T: int) -> Array:
    """Return covariances of any type as (K, T, T)."""
    if covariance_type in ("full", "tied"):
        return np.broadcast_to(covariances, (K, T, T))
    variances = covariances if covariance_type == "diag" else np.reshape(covariances, (-1, 1))
    return np.asarray(np.broadcast_to(variances, (K, T))[:, :, None] * np.eye(T))
