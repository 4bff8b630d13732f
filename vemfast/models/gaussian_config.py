"""Configuration that the native Gaussian mixture and its NumPy twin share: plain data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vemfast.models.weight_prior import POINT_RUNGS, why_no_mode
from vemfast.stats import Layout, Params

__all__ = ["COVARIANCE_TYPES", "GaussianConfig", "Prior", "Start"]

COVARIANCE_TYPES = ("full", "tied", "diag", "spherical", "tied-spherical")

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Prior:
    """Conjugate prior of a Gaussian mixture, in coordinates centred on the origin.

    Attributes
    ----------
    weight_type : {"flat", "dirichlet", "dirichlet_process", "equal"}
        "flat" has log density 0 (point rungs); "equal" fixes the weights at 1 / K.
    weight_concentration : float
        Of each component (Dirichlet), or of the process.
    mean_precision : float
        kappa_0; 0 is the flat prior.
    mean : ndarray of shape (n_features,)
    covariance_is_proper : bool
        False: flat.
    degrees_of_freedom : float
        nu_0.
    scale : ndarray
        Psi_0, in the shape of one covariance.
    """

    weight_type: str
    weight_concentration: float
    mean_precision: float
    mean: Array
    covariance_is_proper: bool
    degrees_of_freedom: float
    scale: Array

    def unavailable(self) -> dict[str, str]:
        """Return the rungs that this prior rules out: why, and what to use instead."""
        reasons: dict[str, str] = {}
        if self.weight_type == "flat" or self.mean_precision <= 0 or not self.covariance_is_proper:
            why = "it needs proper priors of the weights, means and covariances; use 'em'"
            reasons |= dict.fromkeys(("gibbs", "mean-field"), why)
        why = why_no_mode(self.weight_type, self.weight_concentration)
        return reasons | (dict.fromkeys(POINT_RUNGS, why) if why else {})


@dataclass(frozen=True, eq=False)
class GaussianConfig:
    """Shape, priors and data scale of a Gaussian mixture.

    Attributes
    ----------
    n_components, n_features : int
    covariance_type : str
        One of COVARIANCE_TYPES.
    prior : Prior
    origin : ndarray of shape (n_features,)
        Subtracted from every row; second moments are about it.
    column_scale : ndarray of shape (n_features,)
        Column variances s^2; the support is Sigma >= reg_covar diag(s^2).
    reg_covar : float
    marginalize : bool, default=False
        NaN is a missing value, which is integrated out.
    freeze : tuple of str, default=()
        Fields of the point that its updates leave as they are.
    """

    n_components: int
    n_features: int
    covariance_type: str
    prior: Prior
    origin: Array
    column_scale: Array
    reg_covar: float
    marginalize: bool = False
    freeze: tuple[str, ...] = ()

    @property
    def is_shared(self) -> bool:
        """Whether all components share one covariance."""
        return self.covariance_type in ("tied", "tied-spherical")

    @property
    def work_per_row(self) -> int:
        """Multiply-adds of one E-step, a row and component."""
        D = self.n_features
        return D * D + 3 * D if self.covariance_type in ("full", "tied") else 4 * D

    @property
    def metric(self) -> Array:
        """Squared unit of each feature in which a start measures distance."""
        if self.covariance_type in ("spherical", "tied-spherical"):
            return np.full(self.n_features, self.column_scale.mean())
        return self.column_scale

    @property
    def covariance_shape(self) -> tuple[int, ...]:
        """Shape of all covariances together."""
        return _covariance_shape(self.n_components, self.n_features, self.covariance_type)

    def stats_layout(self) -> Layout:
        """Return the layout of the sufficient statistics."""
        return _stats_layout(self.n_components, self.n_features, self.covariance_type)

    def params_layout(self, kind: str) -> Layout:
        """Return the layout of a "point" or a "posterior"."""
        sticks = self.prior.weight_type == "dirichlet_process"
        return _params_layout(
            self.n_components, self.n_features, self.covariance_type, kind, sticks
        )


def _covariance_shape(K: int, D: int, covariance_type: str) -> tuple[int, ...]:
    shapes: dict[str, tuple[int, ...]] = {
        "full": (K, D, D),
        "tied": (D, D),
        "diag": (K, D),
        "spherical": (K,),
        "tied-spherical": (),
    }
    return shapes[covariance_type]


# Layouts are cached: to build one costs as much as an iteration on a small data set.
@lru_cache(maxsize=256)
def _stats_layout(K: int, D: int, covariance_type: str) -> Layout:
    packed = D * (D + 1) // 2
    scatter: dict[str, tuple[int, ...]] = {
        "full": (K, packed),
        "tied": (packed,),
        "diag": (K, D),
        "spherical": (K,),
        "tied-spherical": (),
    }
    return Layout({"counts": (K,), "sums": (K, D), "scatter": scatter[covariance_type]})


@lru_cache(maxsize=256)
def _params_layout(K: int, D: int, covariance_type: str, kind: str, sticks: bool) -> Layout:
    shape = _covariance_shape(K, D, covariance_type)
    if kind == "point":
        return Layout({"weights": (K,), "means": (K, D), "covariances": shape})
    is_shared = covariance_type in ("tied", "tied-spherical")
    return Layout(
        {
            "concentration": (2, K) if sticks else (K,),
            "means": (K, D),
            "mean_precision": (K,),
            "degrees_of_freedom": () if is_shared else (K,),
            "scale": shape,
        }
    )


_FIELDS = ("weights", "means", "covariances")


@dataclass(frozen=True, eq=False)
class Start:
    """Where a fit begins.

    Attributes
    ----------
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}
        How responsibilities are found where `means` is not given.
    weights : ndarray of shape (n_components,), default=None
    means : ndarray of shape (n_components, n_features), default=None
        In the data's own coordinates.
    covariances : ndarray, default=None
        In the shape of the covariance type.
    responsibilities : ndarray of shape (n, n_components), default=None
        Of all rows, in the place of `init_params`.
    """

    init_params: str = "kmeans"
    weights: Array | None = None
    means: Array | None = None
    covariances: Array | None = None
    responsibilities: Array | None = None

    def gives(self, name: str) -> bool:
        """Whether a field of the point is given."""
        return getattr(self, name) is not None

    @property
    def gives_anything(self) -> bool:
        """Whether some parameters are given."""
        return any(map(self.gives, _FIELDS))

    @property
    def is_complete(self) -> bool:
        """Whether all parameters are given, so that no pass over the data is needed."""
        return all(map(self.gives, _FIELDS))

    def fill(self, params: Params | None, config: GaussianConfig) -> Params:
        """Return `params`, a point, with what is given put in its place."""
        layout = config.params_layout("point")
        out = Params(layout, "point") if params is None else params.copy()
        if self.weights is not None:
            out["weights"] = self.weights
        if self.means is not None:
            out["means"] = self.means - config.origin
        if self.covariances is not None:
            out["covariances"] = self.covariances
        return out
