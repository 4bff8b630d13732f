"""Configuration that native latent Dirichlet allocation and its NumPy twin share: plain data.

Topics are the last, fastest axis of everything: (n_words, n_components). The Dirichlet prior of the
topics is ``eta_scale * eta``: eta as configured, and a number that is 1 unless it is learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from vemfast.stats import Layout, Params

__all__ = ["EM_IS_INTRACTABLE", "LEARN_ALPHA", "LEARN_ETA", "LOCAL_RULES", "LdaConfig", "Start"]

Array = NDArray[np.float64]

LEARN_ALPHA = (None, "vector", "symmetric")
LEARN_ETA = (None, "symmetric")

LOCAL_RULES: Mapping[str, str] = MappingProxyType(
    {
        "gibbs": "sampled",
        "mean-field": "factorised",
        "variational-em": "factorised",
        "hard-em": "hard",
    }
)

EM_IS_INTRACTABLE = (
    "given a document's words its topic proportions and the topics of its tokens depend on each "
    "other, and their exact posterior is a sum over all assignments of topics to tokens; use "
    "'variational-em', which factorises it (or 'mean-field', 'hard-em', 'gibbs')"
)

_POINT_RUNGS = ("variational-em", "hard-em")


@dataclass(frozen=True, eq=False)
class LdaConfig:
    """Shape, priors and inner loop of a latent Dirichlet allocation.

    Attributes
    ----------
    n_components, n_words : int
    alpha : ndarray of shape (n_components,), or float
        Dirichlet prior of a document's proportions, > 0; where it is learned, its start.
    learn_alpha : {None, "vector", "symmetric"}
    eta : float, or ndarray of shape (n_words, n_components) or (n_words, 1)
        Dirichlet prior of the topics, > 0; where it is learned, its start.
    learn_eta : {None, "symmetric"}
    max_inner : int
        Inner iterations a document (factorised), or sweeps over its tokens (hard).
    inner_tol : float
        They end when the mean change of gamma, a topic, is below this. 0: never before the cap.
    dtype : {"float32", "float64"}
        The precision of the scores.
    """

    n_components: int
    n_words: int
    alpha: Array | float = 1.0
    learn_alpha: str | None = None
    eta: Array | float = 1.0
    learn_eta: str | None = None
    max_inner: int = 100
    inner_tol: float = 1e-3
    dtype: str = "float64"

    def __post_init__(self) -> None:
        if self.n_components < 1 or self.n_words < 1:
            raise ValueError(
                f"n_components and n_words must be >= 1; got {self.n_components}, {self.n_words}"
            )
        alpha = _positive("alpha", self.alpha)
        if alpha.shape not in ((), (self.n_components,)):
            raise ValueError(
                f"alpha has shape {alpha.shape}; give one number, or one for each of "
                f"{self.n_components} topics"
            )
        object.__setattr__(self, "alpha", np.array(np.broadcast_to(alpha, (self.n_components,))))
        if self.learn_alpha == "symmetric" and np.ptp(self.alpha) > 0:
            raise ValueError("a symmetric alpha that is learned starts from one number, not from K")
        eta = _positive("eta", self.eta)
        V, K = self.n_words, self.n_components
        if eta.ndim and eta.shape not in ((V, K), (V, 1)):
            raise ValueError(
                f"eta has shape {eta.shape}; give one number, or a number for each of {V} words "
                f"({V}, 1), or for each word and topic ({V}, {K})"
            )
        if self.learn_eta is not None and eta.ndim:
            raise ValueError("an eta that is learned starts from one number, not from an array")
        object.__setattr__(self, "eta", eta if eta.ndim else float(eta))
        for name, allowed in (("learn_alpha", LEARN_ALPHA), ("learn_eta", LEARN_ETA)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {allowed}; got {getattr(self, name)!r}")
        if self.max_inner < 1 or not self.inner_tol >= 0:
            raise ValueError(
                f"max_inner must be >= 1 and inner_tol >= 0; got {self.max_inner}, {self.inner_tol}"
            )
        if self.dtype not in ("float32", "float64"):
            raise ValueError(f"dtype must be 'float32' or 'float64'; got {self.dtype!r}")

    @property
    def prior(self) -> Array | float:
        """`eta`, or 1 where it is learned: what `eta_scale` multiplies."""
        return 1.0 if self.learn_eta else self.eta

    @property
    def is_flat(self) -> bool:
        """Whether the prior of the topics is held at 1 everywhere."""
        return self.learn_eta is None and bool(np.all(np.asarray(self.eta) == 1.0))

    @property
    def work_per_row(self) -> int:
        """Multiply-adds of one inner iteration, a token and topic."""
        return 2

    def unavailable(self) -> dict[str, str]:
        """Return the rungs that there are not: why, and what to use instead."""
        reasons = {"em": EM_IS_INTRACTABLE}
        if self.learn_eta is not None:
            why = (
                "with point topics the prior's density grows without bound as the learned "
                "concentration does; use 'mean-field' or 'gibbs', or a fixed concentration"
            )
            reasons |= dict.fromkeys(_POINT_RUNGS, why)
        elif np.min(np.asarray(self.eta)) < 1:
            why = (
                f"a Dirichlet concentration of {np.min(np.asarray(self.eta)):g} < 1 has no mode; "
                "use 'mean-field', or concentrations >= 1"
            )
            reasons |= dict.fromkeys(_POINT_RUNGS, why)
        return reasons

    def stats_layout(self) -> Layout:
        """Return the layout of the sufficient statistics.

        `sstats` (V, K): expected number of tokens of each word under each topic; `log_theta` (K,):
        sum of E[log θ_d] over documents; `documents` (1,): their weighted number.
        """
        return _stats_layout(self.n_words, self.n_components)

    def params_layout(self, kind: str) -> Layout:
        """Return the layout of a "point" (topics) or a "posterior" (lambda)."""
        return _params_layout(self.n_words, self.n_components, kind)

    def params(self, kind: str, table: Array) -> Params:
        """Return parameters with these topics, or this lambda, and hyperparameters at their start.

        Parameters
        ----------
        kind : {"point", "posterior"}
        table : array of shape (n_words, n_components)
        """
        params = Params(self.params_layout(kind), kind)
        params["topics" if kind == "point" else "lambda"] = table
        params["alpha"] = self.alpha
        params["eta_scale"] = self.eta if self.learn_eta else 1.0
        return params


@dataclass(frozen=True, eq=False)
class Start:
    """Where a fit begins.

    Attributes
    ----------
    init : {"random", "documents", "spread"}
        How the first topics are found where none are given.
    topics : ndarray of shape (n_words, n_components), default=None
        Probabilities of words, one topic a column.
    """

    init: str = "random"
    topics: Array | None = None


# Layouts are cached: to build one costs as much as an iteration on a small data set.
@lru_cache(maxsize=256)
def _stats_layout(V: int, K: int) -> Layout:
    return Layout({"sstats": (V, K), "log_theta": (K,), "documents": (1,)})


@lru_cache(maxsize=256)
def _params_layout(V: int, K: int, kind: str) -> Layout:
    table = "topics" if kind == "point" else "lambda"
    return Layout({table: (V, K), "alpha": (K,), "eta_scale": (1,)})


def _positive(name: str, value: Array | float) -> Array:
    array = np.asarray(value, dtype=np.float64)
    if not (np.isfinite(array).all() and (array > 0).all()):
        bad = array[~(np.isfinite(array) & (array > 0))].flat[0]
        raise ValueError(f"{name} must be finite and > 0; it holds {bad!r}")
    return array
