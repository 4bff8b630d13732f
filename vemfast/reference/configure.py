"""A configuration of the Gaussian mixture whose scales are taken from data."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from vemfast.models.gaussian_config import GaussianConfig, Prior

__all__ = ["configure"]


def configure(
    X: ArrayLike,
    n_components: int,
    covariance_type: str = "full",
    *,
    weight_type: str = "flat",
    weight_concentration: float = 1.0,
    proper: bool = False,
    reg_covar: float = 1e-6,
    sample_weight: ArrayLike | None = None,
    marginalize: bool = False,
) -> GaussianConfig:
    """Return a configuration for data of this shape and scale.

    Parameters
    ----------
    X : array-like of shape (n, n_features)
    n_components : int
    covariance_type : str, default="full"
    weight_type, weight_concentration
        As in `Prior`.
    proper : bool, default=False
        False: flat priors of means and covariances. True: conjugate ones with the defaults of
        scikit-learn's BayesianGaussianMixture: mean precision 1 at the data's mean, n_features
        degrees of freedom, and the empirical covariance as scale.
    reg_covar : float, default=1e-6
    sample_weight : array-like of shape (n,), default=None
    marginalize : bool, default=False
        NaN is a missing value: scales are those of what is observed.
    """
    rows = np.asarray(X, dtype=np.float64)
    n, D = rows.shape
    w = np.ones(n) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    missing = np.isnan(rows) if marginalize else np.zeros(rows.shape, dtype=bool)
    weight = w @ ~missing
    origin = w @ np.where(missing, 0.0, rows) / weight
    centred = np.where(missing, 0.0, rows - origin)
    covariance = (centred * w[:, None]).T @ centred
    variances = np.diagonal(covariance) / weight
    spread = variances > 0
    usual = variances[spread].mean() if spread.any() else 1.0
    # What is missing varies as the rest of its column, and with no other one.
    covariance = covariance + np.diag(variances * (w @ missing))
    covariance = covariance / max(w.sum() - 1.0, 1.0)
    diagonal = np.diagonal(covariance)
    matrix = covariance_type in ("full", "tied")
    own = covariance if matrix else diagonal
    scale = own if matrix or covariance_type == "diag" else np.asarray(diagonal.mean())
    prior = Prior(
        weight_type=weight_type,
        weight_concentration=weight_concentration,
        mean_precision=1.0 if proper else 0.0,
        mean=np.zeros(D),
        covariance_is_proper=proper,
        degrees_of_freedom=float(D) if proper else 0.0,
        scale=scale,
    )
    column_scale = np.where(spread, variances, usual)
    return GaussianConfig(
        n_components, D, covariance_type, prior, origin, column_scale, reg_covar, marginalize
    )
