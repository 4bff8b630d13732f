"""Configuration that the native discrete mixtures and their NumPy twins share: plain data.

The three families are "indexed": a row is a list of (feature f, value v), and its score under
component k is ``constant[k] + sum of v * table[f, k]``. So tables and statistics have the component
as their last, fastest axis.

========== ======================== ============================ ==================================
family     a row                    its entries (f, v)           parameters of component k
========== ======================== ============================ ==================================
bernoulli  n_features bits          (d, 1) where the bit is set  probability of a one, a feature
poisson    n_features counts        (d, count) where it is > 0   rate, a feature
categorical  n_features codes       (offset of d + code, 1)      probability, a code of a column
========== ======================== ============================ ==================================
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vemfast.models.weight_prior import POINT_RUNGS, why_no_mode
from vemfast.stats import Layout, Params

__all__ = [
    "FAMILIES",
    "LARGEST_PROBABILITY",
    "LOG_ZERO",
    "DiscreteConfig",
    "DiscretePrior",
    "Start",
]

FAMILIES = ("bernoulli", "poisson", "categorical")

# A Bernoulli probability is held at or below the largest double under one, so that log(1 - p) is
# finite. That of zero may be infinite: as an entry of a table it is this number, which no factor of
# zero turns into NaN.
LARGEST_PROBABILITY = 1.0 - 2.0**-53
LOG_ZERO = -1e300

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class DiscretePrior:
    """Conjugate prior of a discrete mixture.

    Attributes
    ----------
    weight_type : {"flat", "dirichlet", "dirichlet_process", "equal"}
        "flat" has log density 0 (point rungs); "equal" fixes the weights at 1 / K.
    weight_concentration : float
        Of each component (Dirichlet), or of the process.
    is_proper : bool
        False: flat, log density 0, whatever `a` and `b` say.
    a : ndarray of shape (n_indexed,)
        Beta(a, b) of a Bernoulli probability, Gamma(shape a, rate b) of a Poisson rate, or
        concentrations of a categorical column's codes.
    b : ndarray of shape (n_indexed,), or (0,) for the categorical family
    """

    weight_type: str
    weight_concentration: float
    is_proper: bool
    a: Array
    b: Array

    def unavailable(self, family: str) -> dict[str, str]:
        """Return the rungs that this prior rules out: why, and what to use instead."""
        reasons: dict[str, str] = {}
        if self.weight_type == "flat" or not self.is_proper:
            what = "rates" if family == "poisson" else "probabilities"
            why = f"it needs proper priors of the weights and {what}; use 'em'"
            reasons |= dict.fromkeys(("gibbs", "mean-field"), why)
        why = why_no_mode(self.weight_type, self.weight_concentration)
        if not why and self.is_proper:
            # A gamma density of shape 1 falls from its mode at rate 0; a beta one needs both.
            least = min(self.a.min(), self.b.min() if family == "bernoulli" else np.inf)
            if least < 1:
                name = {"bernoulli": "beta", "poisson": "gamma"}.get(family, "Dirichlet")
                why = (
                    f"a {name} prior with a parameter of {least:g} < 1 has no mode; "
                    "use 'mean-field', or values >= 1"
                )
        return reasons | (dict.fromkeys(POINT_RUNGS, why) if why else {})


def _no_offsets() -> Integers:
    return np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class DiscreteConfig:
    """Shape and priors of a discrete mixture.

    Attributes
    ----------
    family : str
        One of FAMILIES.
    n_components, n_features : int
    prior : DiscretePrior
    column_offsets : ndarray of int64, shape (n_features + 1,)
        Categorical: the codes of column d are the features ``column_offsets[d]`` to
        ``column_offsets[d + 1]`` (exclusive). Empty for the other families.
    marginalize : bool
        Missing entries are integrated out.
    freeze : tuple of str, default=()
        Fields of the point that its updates leave as they are.
    """

    family: str
    n_components: int
    n_features: int
    prior: DiscretePrior
    column_offsets: Integers = field(default_factory=_no_offsets)
    marginalize: bool = False
    freeze: tuple[str, ...] = ()

    @property
    def n_indexed(self) -> int:
        """Number F of features that entries index: codes of all columns, or columns."""
        if self.family == "categorical":
            return int(self.column_offsets[-1])
        return self.n_features

    @property
    def n_categories(self) -> Integers:
        """Number of codes of each column (categorical)."""
        return np.diff(self.column_offsets)

    @property
    def table_name(self) -> str:
        """Name of the point parameters beside the weights."""
        return "rates" if self.family == "poisson" else "probabilities"

    @property
    def has_absent(self) -> bool:
        """Whether statistics count the responsibility of rows where a feature is missing.

        The categorical family needs no such count: its codes add up to the rows that have one.
        """
        return self.marginalize and self.family != "categorical"

    @property
    def work_per_row(self) -> int:
        """Multiply-adds of one E-step, a row and component, if every entry were stored."""
        return 2 * self.n_features

    def stats_layout(self) -> Layout:
        """Return the layout of the sufficient statistics.

        Counts N (K,); sums of r times v (F, K); and, if features may be missing, the responsibility
        of the rows without the feature (D, K).
        """
        absent = self.n_features if self.has_absent else 0
        return _stats_layout(self.n_components, self.n_indexed, absent)

    def params_layout(self, kind: str) -> Layout:
        """Return the layout of a "point" or a "posterior"."""
        sticks = self.prior.weight_type == "dirichlet_process"
        return _params_layout(self.family, self.n_components, self.n_indexed, kind, sticks)


# Layouts are cached: to build one costs as much as an iteration on a small data set.
@lru_cache(maxsize=256)
def _stats_layout(K: int, F: int, absent: int) -> Layout:
    fields: dict[str, tuple[int, ...]] = {"counts": (K,), "sums": (F, K)}
    if absent:
        fields["absent"] = (absent, K)
    return Layout(fields)


_POSTERIORS = {
    "bernoulli": ("a", "b"),
    "poisson": ("shape", "rate"),
    "categorical": ("concentrations",),
}


@lru_cache(maxsize=256)
def _params_layout(family: str, K: int, F: int, kind: str, sticks: bool) -> Layout:
    if kind == "point":
        table = "rates" if family == "poisson" else "probabilities"
        return Layout({"weights": (K,), table: (F, K)})
    of_weights: tuple[int, ...] = (2, K) if sticks else (K,)
    return Layout({"concentration": of_weights, **dict.fromkeys(_POSTERIORS[family], (F, K))})


@dataclass(frozen=True, eq=False)
class Start:
    """Where a fit begins.

    Attributes
    ----------
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}
        How the first components are found where `table` is not given.
    weights : ndarray of shape (n_components,), default=None
    table : ndarray of shape (n_indexed, n_components), default=None
        Probabilities or rates.
    responsibilities : ndarray of shape (n, n_components), default=None
        Of all rows, in the place of `init_params`.
    """

    init_params: str = "kmeans"
    weights: Array | None = None
    table: Array | None = None
    responsibilities: Array | None = None

    def gives(self, name: str) -> bool:
        """Whether a field of the point is given."""
        return (self.weights if name == "weights" else self.table) is not None

    @property
    def gives_anything(self) -> bool:
        """Whether some parameters are given."""
        return self.weights is not None or self.table is not None

    @property
    def is_complete(self) -> bool:
        """Whether all parameters are given, so that no pass over the data is needed."""
        return self.weights is not None and self.table is not None

    def fill(self, params: Params | None, config: DiscreteConfig) -> Params:
        """Return `params`, a point, with what is given put in its place."""
        out = Params(config.params_layout("point"), "point") if params is None else params.copy()
        if self.weights is not None:
            out["weights"] = self.weights
        if self.table is not None:
            out[config.table_name] = self.table
        return out
