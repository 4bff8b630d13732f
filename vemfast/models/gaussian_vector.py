"""A point of the Gaussian mixture as a vector without constraints, for acceleration.

Log weights, means, and the lower Cholesky factor of each covariance with the logarithm of its
diagonal (Pinheiro and Bates 1996), all in units of the data's column scales: what any vector says
is a mixture, and the unit of the data changes nothing.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vemfast.models.gaussian_config import GaussianConfig
from vemfast.stats import Params

__all__ = ["from_vector", "to_vector"]

Array = NDArray[np.float64]


def to_vector(config: GaussianConfig, params: Params) -> Array | None:
    """Return the vector of a point.

    None if a weight is 0, which has no logarithm, or a covariance is singular to rounding.
    """
    weights = params["weights"]
    if weights.min() <= 0:
        return None
    unit = np.sqrt(config.column_scale)
    covariances = params["covariances"]
    if config.covariance_type in ("full", "tied"):
        try:
            roots = np.linalg.cholesky(covariances / (unit[:, None] * unit))
        except np.linalg.LinAlgError:
            return None
        diagonals = np.diagonal(roots, axis1=-2, axis2=-1)
        rows, columns = _below(unit.size)
        below = roots[..., rows, columns]
        spread = np.concatenate([np.log(diagonals).ravel(), below.ravel()])
    else:
        spread = 0.5 * np.log(covariances / _variance_unit(config)).ravel()
    return np.concatenate([np.log(weights), (params["means"] / unit).ravel(), spread])


def from_vector(config: GaussianConfig, vector: Array, like: Params) -> Params | None:
    """Return the point in the support of the prior that is nearest to what the vector says.

    Weights are scaled to add up to one, and eigenvalues clipped as the update does. None if a
    number is out of all proportion. A field whose numbers are those of `like` is copied from it:
    what is held stays, to the bit.
    """
    K, D = config.n_components, config.n_features
    unit = np.sqrt(config.column_scale)
    parts = (slice(K), slice(K, K + K * D), slice(K + K * D, None))
    same = to_vector(config, like)
    moved = [same is None or bool((vector[part] != same[part]).any()) for part in parts]
    log_weights, means, spread = (vector[part] for part in parts)
    params = like.copy()
    with np.errstate(over="ignore", invalid="ignore"):
        if moved[0]:
            weights = np.exp(log_weights - log_weights.max())
            params["weights"] = weights / weights.sum()
        if moved[1]:
            params["means"] = means.reshape(K, D) * unit
        if moved[2]:
            covariances = _covariances(config, spread, unit)
            if covariances is None:
                return None
            params["covariances"] = covariances
    return params if np.isfinite(params.buffer).all() else None


def _covariances(config: GaussianConfig, spread: Array, unit: Array) -> Array | None:
    if config.covariance_type not in ("full", "tied"):
        variances = np.maximum(np.exp(2.0 * spread), config.reg_covar)
        return np.asarray(variances.reshape(config.covariance_shape) * _variance_unit(config))
    D = config.n_features
    matrices = _matrices(spread, 1 if config.is_shared else config.n_components, D)
    if not np.isfinite(matrices).all():
        return None
    matrices = _clipped(matrices, config.reg_covar) * (unit[:, None] * unit)
    return matrices.reshape(config.covariance_shape)


@lru_cache(maxsize=64)
def _below(D: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where a strict lower triangle is; slow to find for what a small E-step takes."""
    return np.tril_indices(D, -1)


def _variance_unit(config: GaussianConfig) -> Array:
    scale = config.column_scale
    return scale if config.covariance_type == "diag" else np.asarray(scale.mean())


def _matrices(spread: Array, groups: int, D: int) -> Array:
    roots = np.zeros((groups, D, D))
    diagonal = np.arange(D)
    roots[:, diagonal, diagonal] = np.exp(spread[: groups * D]).reshape(groups, D)
    rows, columns = _below(D)
    roots[:, rows, columns] = spread[groups * D :].reshape(groups, -1)
    return np.asarray(roots @ roots.swapaxes(1, 2))


def _clipped(covariances: Array, least: float) -> Array:
    values, vectors = np.linalg.eigh(covariances)
    if values.min() >= least:
        return covariances
    clipped = (vectors * np.maximum(values, least)[:, None, :]) @ vectors.swapaxes(1, 2)
    return np.asarray(0.5 * (clipped + clipped.swapaxes(1, 2)))
