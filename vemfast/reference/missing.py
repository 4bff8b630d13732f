"""Missing features of Gaussian components: integrated out, row by row and component by component.

As plain as the formulas (docs/formulas/gaussian_mixture.md, section 11): every precision is a D x D
matrix here, whatever the covariance type, and each pattern of missing features is taken for itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import multivariate_t, t

from vemfast.models.gaussian_config import GaussianConfig
from vemfast.reference.gaussian import LOG_2PI, Gaussian, NormalWishart, ScoreTable
from vemfast.reference.random import uniform

__all__ = ["MISSING_STREAM", "Completed", "complete", "normals", "predictive"]

Array = NDArray[np.float64]

# Streams of a missing value's two uniforms: this plus twice the feature, and the next.
MISSING_STREAM = 0x10000


@dataclass(frozen=True)
class Completed:
    """Rows of one pattern as every component completes them.

    Attributes
    ----------
    rows : ndarray of shape (n,)
        Their places among the rows given.
    missing : ndarray of shape (m,)
    values : ndarray of shape (K, n, D)
        The rows with conditional means in the place of missing values.
    precision : ndarray of shape (K, m, m)
        Of the missing features given the others.
    scores : ndarray of shape (n, K)
        With the missing features integrated out.
    gains : ndarray of shape (K,)
        What the integral adds to a score: m / 2 log(2 pi) - log|precision| / 2.
    """

    rows: NDArray[np.intp]
    missing: NDArray[np.intp]
    values: Array
    precision: Array
    scores: Array
    gains: Array


def dense_precisions(components: Gaussian, table: ScoreTable) -> Array:
    """Return the precisions that the table scores with as (K, D, D)."""
    K, D = table.means.shape
    precision = components.precision_of(table.root)
    if precision.ndim == 2:  # variances: of each feature, or of all
        precision = np.broadcast_to(precision, (len(precision), D))[:, :, None] * np.eye(D)
    return np.broadcast_to(precision, (K, D, D))


def complete(X: Array, components: Gaussian, table: ScoreTable) -> Iterator[Completed]:
    """Yield the rows of `X` (n, D) pattern by pattern; a row without NaN has the empty one."""
    precisions = dense_precisions(components, table)
    K = len(table.means)
    patterns, which = np.unique(np.isnan(X), axis=0, return_inverse=True)
    for p, pattern in enumerate(patterns):
        rows = np.flatnonzero(which.reshape(-1) == p)
        m, o = np.flatnonzero(pattern), np.flatnonzero(~pattern)
        values = np.repeat(X[None, rows], K, axis=0)
        scores, gains = np.empty((len(rows), K)), np.empty(K)
        for k, (mean, full) in enumerate(zip(table.means, precisions, strict=True)):
            away = (X[np.ix_(rows, o)] - mean[o]) @ full[np.ix_(o, m)]
            values[k][:, m] = mean[m] - np.linalg.solve(full[np.ix_(m, m)], away.T).T
            gains[k] = 0.5 * (len(m) * LOG_2PI - np.linalg.slogdet(full[np.ix_(m, m)])[1])
            with np.errstate(over="ignore", invalid="ignore"):
                centred = values[k] - mean
                q = np.einsum("ni,ij,nj->n", centred, full, centred)
            scores[:, k] = table.constants[k] - 0.5 * q + gains[k]
        own = precisions[:, m[:, None], m]
        yield Completed(rows, m, values, own, scores, gains)


def normals(
    seed: int, iteration: int, rows: NDArray[np.int64], features: NDArray[np.intp]
) -> Array:
    """Return a standard normal for each of the global `rows` and `features`, by Box and Muller."""
    out = np.empty((len(rows), len(features)))
    for a, i in enumerate(features):
        u1, u2 = (uniform(seed, iteration, rows, MISSING_STREAM + 2 * int(i) + j) for j in (0, 1))
        out[:, a] = np.sqrt(-2.0 * np.log(u1)) * np.cos(2.0 * np.pi * u2)
    return out


def predictive(
    config: GaussianConfig, q: NormalWishart, X: Array, observed: NDArray[np.bool_]
) -> Array:
    """Return the log of the predictive densities of the observed features, shape (n, K).

    The marginals of Student's t: fewer features, the same degrees of freedom.
    """
    K, D = q.means.shape
    out = np.zeros((len(X), K))
    if not observed.any():
        return out
    rows = X[:, observed]
    widen = (q.precision + 1) / q.precision
    for k in range(K):
        group = 0 if config.is_shared else k
        psi, nu, mean = q.scale[group], q.freedom[group], q.means[k][observed]
        if config.covariance_type == "diag":
            width = np.sqrt(psi[observed] * widen[k] / nu)
            out[:, k] = t.logpdf(rows, nu, mean, width).sum(axis=1)
            continue
        if config.covariance_type in ("full", "tied"):
            f = nu + 1 - D
            shape = psi[np.ix_(observed, observed)] * widen[k] / f
        else:
            f = D * nu
            shape = float(psi[0]) * widen[k] / nu * np.eye(len(mean))
        out[:, k] = multivariate_t.logpdf(rows, mean, shape, f)
    return out
