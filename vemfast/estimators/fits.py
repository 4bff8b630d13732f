"""What fits of many data sets have in common: a sequence of estimators over arrays."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from vemfast.errors import DegenerateWarning
from vemfast.inference.restarts import seeds

__all__ = [
    "STOP_REASONS",
    "Fits",
    "check_parameters",
    "common_fields",
    "flat",
    "random_states_of",
    "report",
    "spread",
    "template_of",
]

Array = NDArray[np.float64]
_Estimator = TypeVar("_Estimator")

# What the codes of `stop_reason` mean.
STOP_REASONS = ("tolerance", "max_iter", "failed")

# Rungs that the native loop runs.
_RUNGS = ("em", "variational-em", "hard-em", "mean-field")


class Fits(Sequence[_Estimator]):
    """Base of what is found in many data sets; a subclass makes the fitted estimator of one."""

    failed: NDArray[np.bool_]
    messages: dict[int, str]
    n_iter: NDArray[np.int32]
    converged: NDArray[np.bool_]
    stop_reason: NDArray[np.int8]
    degenerate: NDArray[np.bool_]
    _traces: tuple[Array, NDArray[np.int64]]

    def _make(self, i: int) -> _Estimator:
        raise NotImplementedError

    def __len__(self) -> int:
        """Return the number of data sets."""
        return len(self.failed)

    def __iter__(self) -> Iterator[_Estimator]:
        """Yield the fitted estimators; raises at the first data set that failed."""
        return (self[i] for i in range(len(self)))

    def lower_bounds(self, i: int) -> list[float]:
        """Return the trace of the i-th objective, nats, the start first."""
        values, begin = self._traces
        i = self._index(i)
        return [float(value) for value in values[begin[i] : begin[i + 1]]]

    def __getitem__(self, i: Any) -> Any:
        """Return the i-th estimator, as it would have been fitted by itself.

        Raises
        ------
        IndexError
            If there is no such data set.
        ValueError
            If it could not be fitted.
        """
        i = self._index(i)
        if self.failed[i]:
            raise ValueError(f"data set {i} could not be fitted: {self.messages[i]}")
        fitted: Any = self._make(i)
        fitted.lower_bounds_ = self.lower_bounds(i)
        fitted.lower_bound_ = fitted.lower_bounds_[-1]
        fitted.n_iter_ = int(self.n_iter[i])
        fitted.converged_ = bool(self.converged[i])
        fitted.stop_reason_ = STOP_REASONS[self.stop_reason[i]]
        return fitted

    def _index(self, i: Any) -> int:
        index = range(len(self))[i]
        if not isinstance(index, int):
            raise TypeError("fits are taken one at a time; index the arrays for more")
        return index


def template_of(estimator: Any, parameters: dict[str, Any]) -> Any:
    """Return an estimator, not fitted, with these parameters; `n_jobs` stays where it is None."""
    template = estimator() if isinstance(estimator, type) else clone(estimator)
    known = template.get_params(deep=False)
    for name in parameters:
        if name not in known:
            raise TypeError(f"{type(template).__name__} has no parameter {name!r}")
    if parameters.get("n_jobs") is None:
        parameters = {name: value for name, value in parameters.items() if name != "n_jobs"}
    return template.set_params(**parameters)


def check_parameters(
    template: Any, random_state: Any, taken: Collection[str], starts: Sequence[str]
) -> None:
    """Raise a ValueError for a parameter that many fits in one call do not take."""
    template.random_state = random_state
    template._check_params()
    template.random_state = None
    default = type(template)().get_params()
    for name, value in template.get_params().items():
        is_default = value is default[name] or (
            default[name] is not None and value == default[name]
        )
        if name not in taken and not is_default:
            raise ValueError(f"fit_many does not take {name}={value!r}; fit such models singly")
    if template.inference not in _RUNGS:
        raise ValueError(
            f"fit_many does not take inference={template.inference!r}; use one of "
            + ", ".join(map(repr, _RUNGS))
        )
    if template.init_params not in starts:
        raise ValueError(
            f"fit_many does not take init_params={template.init_params!r}; use one of "
            + ", ".join(map(repr, starts))
        )


def random_states_of(random_state: Any, count: int) -> NDArray[np.uint32]:
    """Return one for each data set; those of fewer come first in those of more.

    As large as scikit-learn takes a random state.
    """
    first = np.uint64(seeds(random_state, 1)[0])
    with np.errstate(over="ignore"):  # the finaliser of SplitMix64, modulo 2^64
        x = first + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x >> np.uint64(32), dtype=np.uint32)


def spread(values: NDArray[Any], numbers: Sequence[int], count: int, fill: Any) -> NDArray[Any]:
    """Return values of the data sets of these numbers as rows, one a data set of all `count`."""
    rows = values.reshape(len(numbers), -1)
    out = np.full((count, rows.shape[1]), fill, dtype=values.dtype)
    out[numbers] = rows
    return out


def common_fields(
    found: dict[str, Any],
    numbers: Sequence[int],
    messages: dict[int, str],
    random_states: NDArray[np.uint32],
) -> dict[str, Any]:
    """Return the fields that all kinds of fits have, of what the core found in some data sets."""
    B = len(random_states)
    failed = STOP_REASONS.index("failed")
    stop_reason = spread(found["stop_reason"], numbers, B, failed)[:, 0]
    lengths = np.zeros(B, dtype=np.int64)
    lengths[numbers] = np.diff(found["trace"])
    return {
        "lower_bound": spread(found["lower_bound"], numbers, B, np.nan)[:, 0],
        "n_iter": spread(found["n_iter"], numbers, B, 0)[:, 0],
        "converged": stop_reason == STOP_REASONS.index("tolerance"),
        "stop_reason": stop_reason,
        "failed": stop_reason == failed,
        "messages": dict(sorted(messages.items())),
        "degenerate": spread(found["degenerate"], numbers, B, 0)[:, 0].astype(bool),
        "random_states": random_states,
        "_traces": (found["lower_bounds"], np.concatenate(([0], np.cumsum(lengths)))),
    }


def report(fits: Fits[Any], n_iter: str, most: int, stacklevel: int) -> None:
    """Warn once of each kind of trouble."""

    def warn(mask: NDArray[np.bool_], what: str, category: type[Warning]) -> None:
        count = int(np.count_nonzero(mask))
        if count:
            text = f"{count} of {len(fits)} {what}"
            warnings.warn(text, category, stacklevel=stacklevel)

    if fits.messages:
        index, message = next(iter(fits.messages.items()))
        warn(
            fits.failed,
            f"data sets could not be fitted (see `failed` and `messages`); data set {index}: "
            f"{message}",
            UserWarning,
        )
    warn(
        fits.stop_reason == STOP_REASONS.index("max_iter"),
        f"fits not converged after {n_iter}={most} iterations (see `converged`); "
        f"increase {n_iter} or tol, or try another start",
        ConvergenceWarning,
    )
    warn(
        fits.degenerate,
        "fits are degenerate (see `degenerate`): a component or state is empty, or a covariance is "
        "held at the edge of its support",
        DegenerateWarning,
    )


def flat(value: ArrayLike | None) -> Array | None:
    """Return an array as one contiguous row of float64, as the native calls take it."""
    return None if value is None else np.ascontiguousarray(value, dtype=np.float64).ravel()
