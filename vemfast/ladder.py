"""Every rung of the ladder on the same data from the same start: one table, one picture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vemfast.inference.methods import METHODS, without_effect
from vemfast.sequences import listed

__all__ = ["Ladder", "Rung", "ladder"]


@dataclass(frozen=True, eq=False)
class Rung:
    """One rung's outcome.

    Attributes
    ----------
    rung : str
        The value of `inference`.
    objective : float
        Its objective on the training data, nats. Rungs bound different things: compare the
        held-out score.
    held_out : float
        Mean log predictive density of the held-out data, nats a row (token, step).
    seconds : float
        Of the fit.
    distance : float
        Root mean square difference of the estimates from the top rung's, components matched, in
        units of the model's own spread. 0 at the top.
    n_iter : int
    stop_reason : str
    estimator : object
        The fitted estimator.
    """

    rung: str
    objective: float
    held_out: float
    seconds: float
    distance: float
    n_iter: int
    stop_reason: str
    estimator: Any


@dataclass(frozen=True, eq=False)
class Ladder:
    """What `ladder` returns; prints as a table.

    Attributes
    ----------
    rows : list of Rung
        From accurate and slow to inaccurate and fast.
    refused : dict of str to str
        Rungs that the model does not have with these parameters, and why.
    """

    rows: list[Rung]
    refused: dict[str, str]

    def __iter__(self) -> Iterator[Rung]:
        return iter(self.rows)

    def __getitem__(self, rung: str) -> Rung:
        for row in self.rows:
            if row.rung == rung:
                return row
        raise KeyError(rung)

    def __str__(self) -> str:
        head = ("rung", "objective", "held-out", "seconds", "distance", "iterations", "ended by")
        lines = [
            (
                row.rung,
                f"{row.objective:.4f}",
                f"{row.held_out:.5f}",
                f"{row.seconds:.4f}",
                f"{row.distance:.4f}",
                str(row.n_iter),
                row.stop_reason,
            )
            for row in self.rows
        ]
        widths = [max(len(line[i]) for line in (head, *lines)) for i in range(len(head))]
        table = [
            "  ".join(
                cell.ljust(width) if i in (0, 6) else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in (head, *lines)
        ]
        return "\n".join([*table, *(f"{rung}: {why}" for rung, why in self.refused.items())])

    def plot(self, ax: Any = None) -> Any:
        """Draw held-out score against seconds on matplotlib axes, and return them."""
        from vemfast.plot import ladder as draw

        return draw(self, ax=ax)


def ladder(
    estimator: Any,
    X: Any,
    X_test: Any = None,
    *,
    sample_weight: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    lengths_test: ArrayLike | None = None,
) -> Ladder:
    """Fit every rung that the estimator's model has, from one start, and compare them.

    Parameters
    ----------
    estimator : estimator of this library
        Says the model and its parameters; it is not changed. Options that a rung does not have
        (such as `n_draws` for "em") are left at their defaults there.
    X : array-like of shape (n_samples, n_features)
        Of a hidden Markov model also a list of sequences.
    X_test : array-like, default=None
        Held-out data. None: every fifth row (document, sequence) of X is held out.
    sample_weight : array-like of shape (n_samples,), default=None
        Of the rows of X; of its sequences.
    lengths, lengths_test : array-like of int, default=None
        Of the sequences in X and X_test, where the estimator is a hidden Markov model's and they
        are one array each.

    Returns
    -------
    Ladder

    Raises
    ------
    ValueError
        If no rung can be fitted; the message of the first refusal.
    """
    if hasattr(estimator, "decode"):
        X = listed(X, lengths)
        if X_test is not None:
            X_test = listed(X_test, lengths_test)
        elif len(X) < 2:
            raise ValueError("X is one sequence, and none would be left to hold out; give X_test")
    elif lengths is not None or lengths_test is not None:
        raise ValueError(f"{type(estimator).__name__} takes no lengths: they are of sequences")
    if X_test is None:
        X, X_test, sample_weight = _split(X, sample_weight)
    start = estimator.common_start(X, sample_weight=sample_weight)
    fitted: list[tuple[str, float, Any]] = []
    refused: dict[str, str] = {}
    for rung in METHODS:
        model = _on_rung(estimator, rung).set_params(**start)
        begin = perf_counter()
        try:
            model.fit(X, sample_weight=sample_weight)
        except ValueError as error:
            refused[rung] = str(error)
            continue
        fitted.append((rung, perf_counter() - begin, model))
    if not fitted:
        raise ValueError(next(iter(refused.values())))
    top = fitted[0][2].component_estimates()
    rows = [
        Rung(
            rung,
            float(model.lower_bound_),
            _held_out(model, X_test),
            seconds,
            _distance(model.component_estimates(), top),
            int(model.n_iter_),
            model.stop_reason_,
            model,
        )
        for rung, seconds, model in fitted
    ]
    return Ladder(rows, refused)


def _held_out(model: Any, X: Any) -> float:
    """Return the mean log predictive density: of topics, by document completion; of steps."""
    return float(getattr(model, "held_out_score", model.score)(X))


def _on_rung(estimator: Any, rung: str) -> Any:
    """Return a clone on another rung, options without effect there at their defaults."""
    from sklearn.base import clone

    copy = clone(estimator).set_params(inference=rung)
    if copy.schedule not in (None, *METHODS[rung].schedules):
        copy.set_params(schedule=METHODS[rung].schedules[0])
    if hasattr(copy, "_without_effect"):
        return copy.set_params(**copy._without_effect())
    names = copy.get_params(deep=False)
    copy.set_params(**without_effect(rung, copy.schedule, names))
    if rung == "gibbs" and "n_init" in names:
        copy.set_params(n_init=1)
    return copy


def _split(
    X: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[Any, Any, NDArray[np.float64] | None]:
    from sklearn.utils import _safe_indexing, indexable
    from sklearn.utils.validation import _num_samples

    (data,) = indexable(X)
    held = np.arange(_num_samples(data)) % 5 == 0
    train = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)[~held]
    return (
        _safe_indexing(data, np.flatnonzero(~held)),
        _safe_indexing(data, np.flatnonzero(held)),
        train,
    )


def _distance(estimates: NDArray[np.float64], top: NDArray[np.float64]) -> float:
    """Return the root mean square difference of the rows, matched to make it least."""
    from scipy.optimize import linear_sum_assignment

    squares = ((estimates[:, None, :] - top[None, :, :]) ** 2).mean(axis=2)
    return float(np.sqrt(squares[linear_sum_assignment(squares)].mean()))
