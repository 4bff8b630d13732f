"""Configuration that native hidden Markov models and their NumPy twin share: plain data.

A model is a chain times a family: the emissions are the components of a mixture whose weights play
no part, described by the mixture's own configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vemfast.models.discrete_config import DiscreteConfig
from vemfast.models.discrete_config import Start as DiscreteStart
from vemfast.models.gaussian_config import GaussianConfig
from vemfast.models.gaussian_config import Start as GaussianStart
from vemfast.models.weight_prior import POINT_RUNGS
from vemfast.stats import Layout, Params

__all__ = ["LOCAL_RULES", "HmmConfig", "Start"]

Array = NDArray[np.float64]

LOCAL_RULES: Mapping[str, str] = MappingProxyType(
    {
        "gibbs": "sampled",
        "mean-field": "exact",
        "em": "exact",
        "variational-em": "factorised",
        "hard-em": "hard",
    }
)

_OFF_ONE = 1e-6  # a row of frozen entries may miss 1 by this


@dataclass(frozen=True, eq=False)
class HmmConfig:
    """Shape and priors of a hidden Markov model.

    Attributes
    ----------
    n_components : int
        Number K of states.
    emission : GaussianConfig or DiscreteConfig
        Of K * n_mix components; state k has those from k * n_mix on.
    n_mix : int
    start_prior : ndarray of shape (K,), default=None
        Concentrations of the Dirichlet prior. None: flat, log density 0.
    transition_prior : ndarray of shape (K, K), default=None
        A Dirichlet a row.
    start_support, transition_support : bool ndarray of shape (K,), (K, K), default=None
        False: a structural zero. None: there are none.
    start_frozen, transition_frozen : ndarray of shape (K,), (K, K), default=None
        The value of an entry that is held fixed, NaN for a free one. A value of 0 is a structural
        zero. None: all are free.
    mix_prior : ndarray of shape (K, n_mix), default=None
        Of the weights of a state's components. None: flat.
    n_sweeps : int, default=10
        Largest number of sweeps of an E-step under the factorised rule.
    sweep_tol : float, default=1e-6
        They end when no q of the sequence moves by as much. 0: never before the last.
    """

    n_components: int
    emission: GaussianConfig | DiscreteConfig
    n_mix: int = 1
    start_prior: Array | None = None
    transition_prior: Array | None = None
    start_support: Any = None
    transition_support: Any = None
    start_frozen: Any = None
    transition_frozen: Any = None
    mix_prior: Array | None = None
    n_sweeps: int = 10
    sweep_tol: float = 1e-6

    def __post_init__(self) -> None:
        K, M = self.n_components, self.n_mix
        if K < 1 or M < 1:
            raise ValueError(f"n_components and n_mix must be >= 1; got {K}, {M}")
        if self.emission.n_components != K * M:
            raise ValueError(
                f"{K} states of {M} component(s) need {K * M} emissions; the emission's "
                f"configuration has {self.emission.n_components}"
            )
        if self.n_sweeps < 1 or not self.sweep_tol >= 0:
            raise ValueError(
                f"n_sweeps must be >= 1 and sweep_tol >= 0; got {self.n_sweeps}, {self.sweep_tol}"
            )
        for name, shape in (("start", (K,)), ("transition", (K, K))):
            self._check_rows(name, shape)
        if self.mix_prior is not None:
            object.__setattr__(self, "mix_prior", _prior("mix_prior", self.mix_prior, (K, M)))

    def _check_rows(self, name: str, shape: tuple[int, ...]) -> None:
        prior = getattr(self, f"{name}_prior")
        if prior is not None:
            object.__setattr__(self, f"{name}_prior", _prior(f"{name}_prior", prior, shape))
        support, frozen = getattr(self, f"{name}_support"), getattr(self, f"{name}_frozen")
        support = np.ones(shape, bool) if support is None else np.array(support, dtype=bool)
        frozen = np.full(shape, np.nan) if frozen is None else np.array(frozen, dtype=np.float64)
        for what, array in ((f"{name}_support", support), (f"{name}_frozen", frozen)):
            if array.shape != shape:
                raise ValueError(f"{what} must have the shape {shape}; got {array.shape}")
        support &= frozen != 0
        frozen[~support] = np.nan
        held = ~np.isnan(frozen)
        if (held & ~((frozen > 0) & (frozen <= 1 + _OFF_ONE))).any():
            raise ValueError(f"{name}_frozen must hold values from 0 to 1, or NaN for free entries")
        mass, free = np.nansum(frozen, axis=-1), (support & ~held).any(axis=-1)
        for row in np.ndindex(mass.shape):
            where = f", row {row[0]}" if row else ""
            if not support[row].any():
                raise ValueError(f"{name}_support{where} has no entry that may be above zero")
            if mass[row] > 1 + _OFF_ONE or (not free[row] and mass[row] < 1 - _OFF_ONE):
                least = "at most" if free[row] else "exactly"
                raise ValueError(
                    f"{name}_frozen{where} holds {mass[row]:.10g} of the probability; it must be "
                    f"{least} 1"
                )
        object.__setattr__(self, f"{name}_support", support)
        object.__setattr__(self, f"{name}_frozen", frozen)

    @property
    def n_features(self) -> int:
        """Number of columns."""
        return self.emission.n_features

    @property
    def mixture(self) -> GaussianConfig | DiscreteConfig:
        """The mixture of the same components, with free weights."""
        prior: Any = replace(self.emission.prior, weight_type="flat")
        return replace(self.emission, prior=prior)

    @property
    def work_per_row(self) -> int:
        """Multiply-adds of one E-step, a step and state."""
        return self.n_mix * self.emission.work_per_row + 3 * self.n_components

    @property
    def has_zeros(self) -> bool:
        """Whether an entry of start or transitions is a structural zero."""
        return not (self.start_support.all() and self.transition_support.all())

    @property
    def emission_fields(self) -> tuple[str, ...]:
        """Names of the point parameters of the emissions."""
        return self.emission.params_layout("point").names[1:]

    def unavailable(self) -> dict[str, str]:
        """Return the rungs that this configuration rules out: why, and what to use instead."""
        reasons = dict(_of_emission(self.emission))
        if self.start_prior is None or self.transition_prior is None:
            why = "it needs proper priors of start, transitions and emissions; use 'em'"
            reasons |= dict.fromkeys(("gibbs", "mean-field"), why)
        for name in ("start", "transition", "mix"):
            prior = getattr(self, f"{name}_prior")
            if prior is None:
                continue
            if name != "mix":
                prior = prior[getattr(self, f"{name}_support")]
            if prior.min(initial=1.0) < 1:
                why = (
                    f"a Dirichlet concentration of {prior.min():g} < 1 ({name}_prior) has no mode; "
                    "use 'mean-field', or concentrations >= 1"
                )
                reasons |= dict.fromkeys(POINT_RUNGS, why)
        if self.has_zeros:
            reasons["variational-em"] = (
                "where a transition or a start is impossible, independent q of the steps put all "
                "their mass on one path; use 'em', which is exact"
            )
        if self.n_mix > 1:
            why = "states of several components have point rungs only; use 'em' or 'hard-em'"
            reasons |= dict.fromkeys(("gibbs", "mean-field", "variational-em"), why)
        return reasons

    def stats_layout(self) -> Layout:
        """Return the layout of the sufficient statistics.

        `starts` (K,) and `transitions` (K, K), expected numbers; then those of the emissions.
        """
        return _stats_layout(self.n_components, self.emission.stats_layout())

    def params_layout(self, kind: str) -> Layout:
        """Return the layout of a "point" or a "posterior"."""
        layout = self.emission.params_layout(kind)
        return _params_layout(self.n_components, self.n_mix, kind, layout)

    def point(self, startprob: ArrayLike, transmat: ArrayLike, **emission: ArrayLike) -> Params:
        """Return a point; `emission` holds its emission fields, and `mix_weights` if n_mix > 1."""
        params = Params(self.params_layout("point"), "point")
        for name, value in {"startprob": startprob, "transmat": transmat, **emission}.items():
            params[name] = value
        return params


def _prior(name: str, value: ArrayLike, shape: tuple[int, ...]) -> Array:
    prior = np.array(value, dtype=np.float64)
    if prior.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}; got {prior.shape}")
    if not (np.isfinite(prior) & (prior > 0)).all():
        raise ValueError(f"{name} must be finite and > 0")
    return prior


def _of_emission(emission: GaussianConfig | DiscreteConfig) -> dict[str, str]:
    if isinstance(emission, GaussianConfig):
        return emission.prior.unavailable()
    return emission.prior.unavailable(emission.family)


# Layouts are cached: to build one costs as much as an iteration on a small data set.
@lru_cache(maxsize=256)
def _stats_layout(K: int, emission: Layout) -> Layout:
    return Layout({"starts": (K,), "transitions": (K, K)} | _fields(emission))


@lru_cache(maxsize=256)
def _params_layout(K: int, M: int, kind: str, emission: Layout) -> Layout:
    own: dict[str, tuple[int, ...]] = {
        "start_concentration": (K,),
        "transition_concentration": (K, K),
    }
    if kind == "point":
        own = {"startprob": (K,), "transmat": (K, K)}
        if M > 1:
            own["mix_weights"] = (K, M)
    of_weights = ("weights", "concentration")
    return Layout(own | {n: s for n, s in _fields(emission).items() if n not in of_weights})


def _fields(layout: Layout) -> dict[str, tuple[int, ...]]:
    return dict(zip(layout.names, layout.shapes, strict=True))


@dataclass(frozen=True, eq=False)
class Start:
    """Where a fit begins.

    Attributes
    ----------
    emission : GaussianStart or DiscreteStart
        How the emissions are found where they are not given (their weights play no part).
    startprob : ndarray of shape (n_components,), default=None
        None: equal, where nothing is frozen or ruled out.
    transmat : ndarray of shape (n_components, n_components), default=None
    mix_weights : ndarray of shape (n_components, n_mix), default=None
    """

    emission: GaussianStart | DiscreteStart
    startprob: Array | None = None
    transmat: Array | None = None
    mix_weights: Array | None = None
