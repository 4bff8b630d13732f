"""The prior of a Gaussian mixture: settings shared by the native model and its NumPy twin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["COVARIANCE_TYPES", "WEIGHT_TYPES", "Prior"]

COVARIANCE_TYPES = ("full", "tied", "diag", "spherical", "tied-spherical")
WEIGHT_TYPES = ("flat", "dirichlet", "dirichlet_process", "equal")


@dataclass(frozen=True)
class Prior:
    """Prior of weights, means and covariances, in coordinates centred on the model's origin.

    Parameters
    ----------
    weight_type : {"flat", "dirichlet", "dirichlet_process", "equal"}, default="flat"
        "equal" fixes the weights to 1 / K.
    weight_concentration : float, default=1.0
        α0 of the symmetric Dirichlet, γ of the Dirichlet process.
    mean_precision : float, default=0.0
        κ0 of the means' prior N(m0, Σ / κ0). 0: flat.
    mean : ndarray of shape (n_features,), default=None
        m0. None: the origin.
    covariance_is_proper : bool, default=False
        Whether the covariances have a prior: inverse Wishart (full, tied) or inverse gamma.
    degrees_of_freedom : float, default=0.0
        ν0.
    scale : ndarray, default=None
        Ψ0: shape (n_features, n_features) for full and tied, (n_features,) for diag, () for the
        spherical kinds.
    """

    weight_type: str = "flat"
    weight_concentration: float = 1.0
    mean_precision: float = 0.0
    mean: NDArray[np.float64] | None = None
    covariance_is_proper: bool = False
    degrees_of_freedom: float = 0.0
    scale: NDArray[np.float64] | float | None = None

    def validate(self, covariance_type: str, n_features: int) -> None:
        """Raise a ValueError for settings that make no prior of such a mixture."""
        if covariance_type not in COVARIANCE_TYPES:
            raise ValueError(
                f"covariance_type must be one of {COVARIANCE_TYPES}; got {covariance_type!r}"
            )
        if self.weight_type not in WEIGHT_TYPES:
            raise ValueError(f"weight_type must be one of {WEIGHT_TYPES}; got {self.weight_type!r}")
        _require(self.weight_concentration > 0, "weight_concentration", "> 0", self)
        _require(self.mean_precision >= 0, "mean_precision", ">= 0", self)
        if self.mean is not None and np.shape(self.mean) != (n_features,):
            raise ValueError(f"mean has shape {np.shape(self.mean)}; expected ({n_features},)")
        if not self.covariance_is_proper:
            return
        matrix = covariance_type in ("full", "tied")
        least = n_features - 1 if matrix else 0
        _require(self.degrees_of_freedom > least, "degrees_of_freedom", f"> {least}", self)
        shape = (n_features, n_features) if matrix else (n_features,)
        shape = shape if matrix or covariance_type == "diag" else ()
        if self.scale is None or np.shape(self.scale) != shape:
            raise ValueError(f"scale has shape {np.shape(self.scale)}; expected {shape}")
        if not _is_positive_definite(np.asarray(self.scale)):
            raise ValueError("scale must be symmetric and positive definite")

    @property
    def is_proper(self) -> bool:
        """Whether weights, means and covariances all have a prior that integrates to one."""
        return self.weight_type != "flat" and self.mean_precision > 0 and self.covariance_is_proper

    def unavailable(self) -> dict[str, str]:
        """Return the rungs that this prior rules out: why, and what to use instead."""
        reasons: dict[str, str] = {}
        if not self.is_proper:
            why = "it needs proper priors of the weights, means and covariances; use 'em'"
            reasons |= dict.fromkeys(("gibbs", "mean-field"), why)
        point = ("em", "variational-em", "hard-em")
        if self.weight_type == "dirichlet_process":
            why = "Dirichlet-process weights have no mode to speak of; use 'mean-field'"
            reasons |= dict.fromkeys(point, why)
        elif self.weight_type == "dirichlet" and self.weight_concentration < 1:
            why = (
                f"a Dirichlet prior of concentration {self.weight_concentration:g} < 1 has no "
                "mode; use 'mean-field', or a concentration >= 1"
            )
            reasons |= dict.fromkeys(point, why)
        return reasons


def _require(holds: bool, name: str, rule: str, prior: Any) -> None:
    if not holds:
        raise ValueError(f"{name} must be {rule}; got {getattr(prior, name)!r}")


def _is_positive_definite(scale: NDArray[np.float64]) -> bool:
    if scale.ndim < 2:
        return bool(np.all(scale > 0) and np.all(np.isfinite(scale)))
    if not np.allclose(scale, scale.T, rtol=1e-10, atol=0.0):
        return False
    try:
        np.linalg.cholesky(scale)
    except np.linalg.LinAlgError:
        return False
    return True
