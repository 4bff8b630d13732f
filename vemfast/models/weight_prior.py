"""The prior of mixture weights: what the user may ask for, and which rungs it rules out."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["POINT_RUNGS", "choose_weight_prior", "given_weights", "why_no_mode"]

POINT_RUNGS = ("em", "variational-em", "hard-em")


def why_no_mode(weight_type: str, concentration: float) -> str:
    """Return why a prior of weights is not for the point rungs, and what to use; "" if it is."""
    if weight_type == "dirichlet_process":
        return "the weights of a Dirichlet process have no useful mode; use 'mean-field'"
    if weight_type == "dirichlet" and concentration < 1:
        return (
            f"a Dirichlet concentration of {concentration:g} < 1 has no mode; "
            "use 'mean-field', or a concentration >= 1"
        )
    return ""


def choose_weight_prior(
    n_components: int,
    inference: str,
    is_point: bool,
    equal_weights: bool,
    kind: str,
    value: float | None,
) -> tuple[str, float]:
    """Return type and concentration of the prior for what an estimator was given.

    Parameters
    ----------
    n_components : int
    inference : str
        For messages.
    is_point : bool
        Whether the rung has point parameters.
    equal_weights : bool
    kind : {"dirichlet", "dirichlet_process"}
    value : float or None
        The concentration; None: flat on the point rungs, else 1 / n_components.

    Raises
    ------
    ValueError
        If a point rung is given a prior without a mode, or an option has no effect.
    """
    if equal_weights:
        if value is not None:
            raise ValueError(
                "weight_concentration_prior has no effect with equal_weights=True; give one of them"
            )
        return "equal", 1.0
    if value is not None and not value > 0:
        raise ValueError(f"weight_concentration_prior must be > 0; got {value!r}")
    if not is_point:
        return kind, 1.0 / n_components if value is None else float(value)
    if kind == "dirichlet_process":
        raise ValueError(
            "weight_concentration_prior_type='dirichlet_process' has no useful mode, so "
            f"inference={inference!r} does not take it; use inference='mean-field'"
        )
    if value is None:
        return "flat", 1.0
    if value < 1:
        raise ValueError(
            f"weight_concentration_prior={value!r} < 1 has no mode, so inference={inference!r} "
            "does not take it; use a value >= 1, or inference='mean-field'"
        )
    return "dirichlet", float(value)


def given_weights(
    value: ArrayLike | None, n_components: int, weight_type: str
) -> NDArray[np.float64] | None:
    """Return `weights_init` as an array that sums to one.

    Raises
    ------
    ValueError
        If it is not a point of the simplex, or not what `equal_weights` holds.
    """
    if value is None:
        return None
    weights = np.array(value, dtype=np.float64)
    if weights.shape != (n_components,):
        raise ValueError(f"weights_init must have the shape ({n_components},); got {weights.shape}")
    if not np.isfinite(weights).all():
        raise ValueError("weights_init must be finite")
    if (weights < 0).any():
        raise ValueError(f"weights_init must be >= 0; got {weights.min()} among them")
    total = weights.sum()
    if abs(total - 1.0) > 1e-6:
        raise ValueError(f"weights_init must sum to 1; it sums to {total}")
    if weight_type == "equal" and np.ptp(weights) > 1e-12:
        raise ValueError("weights_init differs from 1 / n_components, but equal_weights=True")
    rounding = n_components * np.finfo(np.float64).eps
    return weights if abs(total - 1.0) <= rounding else np.asarray(weights / total)
