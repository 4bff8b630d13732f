"""From what the user says of a chain to its configuration: priors, zeros, frozen entries."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vemfast.models.discrete_config import DiscreteConfig
from vemfast.models.gaussian_config import GaussianConfig
from vemfast.models.hmm_config import HmmConfig

__all__ = ["ChainHyperparameters", "check_rows", "configure", "users_words", "within"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ChainHyperparameters:
    """What the user may say of start and transitions; None is the default of the rung.

    Attributes
    ----------
    startprob_prior : float or array-like of shape (n_components,)
    transmat_prior : float or array-like of shape (n_components,) or (n_components, n_components)
    sticky : float
        Added to the concentrations of staying.
    startprob_support, transmat_support : bool array-like
        False: a structural zero.
    startprob_frozen, transmat_frozen : array-like
        NaN: free.
    weights_prior : float or array-like of shape (n_components, n_mix)
        Of the weights of a state's components, if there are several.
    """

    startprob_prior: Any = None
    transmat_prior: Any = None
    sticky: float = 0.0
    startprob_support: Any = None
    transmat_support: Any = None
    startprob_frozen: Any = None
    transmat_frozen: Any = None
    weights_prior: Any = None


def configure(
    emission: GaussianConfig | DiscreteConfig,
    n_components: int,
    is_point: bool,
    given: ChainHyperparameters,
    n_mix: int = 1,
) -> HmmConfig:
    """Return the configuration of a fit; the weights of the emission's mixture are left out."""
    K = n_components
    start = _concentrations("startprob_prior", given.startprob_prior, (K,), is_point)
    sticky = given.sticky > 0
    transitions = _concentrations(
        "transmat_prior", given.transmat_prior, (K, K), is_point and not sticky
    )
    if sticky:
        assert transitions is not None
        transitions = transitions + given.sticky * np.eye(K)
    mix = _concentrations("weights_prior", given.weights_prior, (K, n_mix), is_point)
    if mix is not None and not (np.isfinite(mix) & (mix > 0)).all():
        raise ValueError(f"weights_prior must be finite and > 0; got {given.weights_prior!r}")
    with users_words():
        return HmmConfig(
            K,
            replace(emission, prior=replace(emission.prior, weight_type="none")),  # type: ignore[arg-type]
            n_mix,
            start,
            transitions,
            given.startprob_support,
            given.transmat_support,
            given.startprob_frozen,
            given.transmat_frozen,
            mix if n_mix > 1 else None,
        )


@contextmanager
def users_words() -> Iterator[None]:
    """Let a ValueError call parameters of the configuration what users call them."""
    try:
        yield
    except ValueError as error:
        words = {"start_": "startprob_", "transition_": "transmat_", "mix_": "weights_"}
        message = re.sub(r"\b(start_|transition_|mix_)", lambda m: words[m[1]], str(error))
        raise ValueError(message) from error


def _concentrations(name: str, value: Any, shape: tuple[int, ...], is_flat: bool) -> Array | None:
    if value is None:
        return None if is_flat else np.ones(shape)
    prior = np.asarray(value, dtype=np.float64)
    if prior.shape not in ((), shape[-1:], shape):
        raise ValueError(f"{name} must be a number, or have the shape {shape}; got {prior.shape}")
    return np.array(np.broadcast_to(prior, shape))


def check_rows(name: str, value: ArrayLike | None, shape: tuple[int, ...]) -> Array | None:
    """Return probabilities that the user gives, with rows that add up to one (H9).

    Raises
    ------
    ValueError
        If they have another shape, are negative, or a row does not sum to 1.
    """
    if value is None:
        return None
    rows = np.array(value, dtype=np.float64)
    if rows.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}; got {rows.shape}")
    if not (np.isfinite(rows) & (rows >= 0)).all():
        raise ValueError(f"{name} must be finite and >= 0")
    sums = np.atleast_1d(rows.sum(axis=-1))
    off = np.abs(sums - 1.0)
    if off.max() > 1e-6:
        k = int(off.argmax())
        where = f"row {k}" if rows.ndim > 1 else "it"
        raise ValueError(f"{name} must sum to 1; {where} sums to {sums[k]:.10g}")
    return np.asarray(rows / rows.sum(axis=-1, keepdims=True))


def within(name: str, rows: Array, support: NDArray[np.bool_], frozen: Array) -> Array:
    """Return rows of a start with frozen entries in their place, the others sharing the rest.

    Raises
    ------
    ValueError
        If they are above zero where that is ruled out.
    """
    bad = (rows > 0) & ~support
    if bad.any():
        where = ", ".join(str(int(i)) for i in np.argwhere(bad)[0])
        raise ValueError(f"{name}[{where}] is above 0, where a structural zero is asked for")
    held = ~np.isnan(frozen)
    free = np.where(held, 0.0, rows)
    total = free.sum(axis=-1, keepdims=True)
    left = np.maximum(1.0 - np.nansum(frozen, axis=-1, keepdims=True), 0.0)
    if ((total <= 0) & (left > 1e-6)).any():
        raise ValueError(f"{name} has a row without anything where it is not frozen")
    return np.where(held, frozen, free * left / np.where(total > 0, total, 1.0))
