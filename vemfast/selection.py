"""Choose the number of components, and the covariance type, by a criterion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vemfast.estimators import GaussianMixture
from vemfast.execution.threads import e_step, effective_n_jobs
from vemfast.inference.engine import report
from vemfast.inference.racing import Race, Runner, run_races
from vemfast.inference.restarts import seeds, share_threads
from vemfast.models.base import Step
from vemfast.sequences import listed
from vemfast.streams import StreamBlock

__all__ = ["CRITERIA", "Selection", "select"]

CRITERIA = ("bic", "icl", "elbo")


@dataclass(frozen=True, eq=False)
class Selection:
    """What `select` returns; prints as a table.

    Attributes
    ----------
    best_estimator_ : estimator
        Fitted.
    best_params_ : dict
        The parameters that were chosen.
    best_score_ : float
        Its criterion.
    criterion : {"bic", "icl", "elbo"}
    table : list of dict
        One a candidate, in the order of the grid: the chosen parameters; `bic` and `icl` (lower is
        better) and, under mean-field, `elbo` (higher is better); `objective`, `n_iter`,
        `converged`; `degenerate`, whether an estimate is not pinned down, such as a collapsed or
        an empty component; `given_up` and `failed`, how many of its starts were.
        A candidate whose starts all failed has nan for numbers.
    """

    best_estimator_: Any
    best_params_: dict[str, Any]
    best_score_: float
    criterion: str
    table: list[dict[str, Any]]

    def __str__(self) -> str:
        names = list(self.table[0])
        lines = [names] + [[_shown(row[name]) for name in names] for row in self.table]
        widths = [max(len(line[i]) for line in lines) for i in range(len(names))]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
            + (" <-" if i and self._is_best(self.table[i - 1]) else "")
            for i, line in enumerate(lines)
        )

    def _is_best(self, row: Mapping[str, Any]) -> bool:
        return all(row[name] == value for name, value in self.best_params_.items())

    def to_pandas(self) -> Any:
        """Return the table as a pandas DataFrame."""
        import pandas

        return pandas.DataFrame(self.table)


def select(
    X: Any,
    estimator: Any = None,
    *,
    n_components: int | Iterable[int] = range(1, 11),
    covariance_type: str | Iterable[str] | None = None,
    criterion: str = "bic",
    n_init: int = 10,
    sample_weight: ArrayLike | None = None,
    lengths: ArrayLike | None = None,
    random_state: Any = None,
    n_jobs: int | None = None,
) -> Selection:
    """Fit a grid of models from several starts each, and choose one by a criterion.

    All starts of all candidates run in rounds, the first of 8 iterations and each as long as all
    before it together. After a round a start is given up if it is in the worse half of its
    candidate's starts and has gained less in the round than it lacks to the best of them. Starts
    that the model finds fault with, because a component collapsed or is empty, rank behind all
    sound ones, and so do such candidates, whose likelihood means nothing.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features), or what else the estimator's `fit` takes
    estimator : mixture or hidden Markov estimator, or its class, default=None
        What is not in the grid; it is not changed. None: `GaussianMixture`, on
        ``inference="mean-field"`` for the criterion "elbo".
    n_components : int or iterable of int, default=range(1, 11)
    covariance_type : str or iterable of str, default=None
        None: the estimator's own.
    criterion : {"bic", "icl", "elbo"}, default="bic"
        Bayesian information criterion (Schwarz 1978); integrated complete-data likelihood
        (Biernacki, Celeux and Govaert 2000), which asks for separate clusters (of a chain, at its
        best path); or the bound on the log evidence, for estimators on ``inference="mean-field"``.
    n_init : int, default=10
        Starts of each candidate. They are those that ``fit`` with this `n_init` would run.
    sample_weight : array-like of shape (n_samples,), default=None
        Of a hidden Markov model, one a sequence.
    lengths : array-like of int, shape (n_sequences,), default=None
        Of the sequences in X, for a hidden Markov model.
    random_state : int, RandomState, Generator or None, default=None
        None: the estimator's own.
    n_jobs : int, default=None
        Threads. None: the estimator's own. The result does not depend on it.

    Returns
    -------
    Selection

    Raises
    ------
    ValueError
        If the grid, the criterion or a parameter is bad.
    NumericalError
        If every start of every candidate failed.

    Warns
    -----
    ConvergenceWarning, DegenerateWarning
        Of the chosen fit.

    Examples
    --------
    >>> import numpy as np
    >>> import vemfast
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(0, 1, (100, 2)), rng.normal(6, 1, (100, 2))])
    >>> found = vemfast.select(X, n_components=range(1, 5), n_init=3, random_state=0)
    >>> found.best_params_
    {'n_components': 2}
    """
    base = _prototype(estimator, criterion)
    if isinstance(n_init, bool) or not isinstance(n_init, Integral) or n_init < 1:
        raise ValueError(f"n_init must be an integer >= 1; got {n_init!r}")
    common: dict[str, Any] = {"n_init": int(n_init)}
    if random_state is not None:
        common["random_state"] = random_state
    if n_jobs is not None:
        common["n_jobs"] = n_jobs
    base.set_params(**common)
    if hasattr(base, "decode"):
        X = listed(X, lengths)
    elif lengths is not None:
        raise ValueError(f"{type(base).__name__} takes no lengths: they are of sequences")
    candidates = [
        _Candidate(base, params, X, sample_weight)
        for params in _grid(base, n_components, covariance_type)
    ]
    threads = effective_n_jobs(base.n_jobs)
    work = max(candidate.task.work for candidate in candidates)
    workers, own = share_threads(len(candidates) * int(n_init), threads, work)
    if isinstance(candidates[0].task.blocks[0], StreamBlock):  # runs at once would share readings
        workers, own = 1, threads
    for seed in seeds(base.random_state, int(n_init)):
        for candidate in candidates:
            candidate.race.add(replace(candidate.task.step, seed=seed, n_jobs=own))
    run_races([candidate.race for candidate in candidates], workers)
    table = [candidate.row() for candidate in candidates]
    best = _best(table, criterion)
    if best is None:
        raise next(r.failure for r in candidates[0].race.runners if r.failure is not None)
    candidates[best].tell()
    return Selection(
        candidates[best].estimator,
        candidates[best].params,
        table[best][criterion],
        criterion,
        table,
    )


class _Candidate:
    """One cell of the grid."""

    def __init__(
        self, base: Any, params: dict[str, Any], X: Any, sample_weight: ArrayLike | None
    ) -> None:
        from sklearn.base import clone

        self.params = params
        self.estimator = clone(base).set_params(**params)
        self.task = self.estimator._task(X, sample_weight)
        self.race = Race(self.task.model, self.task.blocks, self.task.control, self.task.start)

    @property
    def winner(self) -> Runner | None:
        return next(iter(self.race.ranked()), None)

    def row(self) -> dict[str, Any]:
        """Name the fitted attributes, and return the row of the table."""
        winner, runners = self.winner, self.race.runners
        counts = {
            "given_up": sum(runner.is_hopeless for runner in runners),
            "failed": sum(runner.failure is not None for runner in runners),
        }
        mean_field = self.estimator.inference == "mean-field"
        if winner is None or winner.result is None:
            numbers = dict.fromkeys(("bic", "icl", "elbo")[: 2 + mean_field], np.nan)
            fit = {"objective": np.nan, "n_iter": 0, "converged": False, "degenerate": True}
            return {**self.params, **numbers, **fit, **counts}
        self.task.keep(winner.result, [winner.result])
        numbers = self._criteria()
        if mean_field:
            numbers["elbo"] = winner.result.lower_bound
        fit = {
            "objective": winner.result.lower_bound,
            "n_iter": winner.result.n_iter,
            "converged": winner.result.converged,
            "degenerate": self.race.is_degenerate(winner),
        }
        return {**self.params, **numbers, **fit, **counts}

    def _criteria(self) -> dict[str, float]:
        """Return the BIC and the ICL at the point attributes, of weighted rows.

        By E-steps, which know weights, chunks and rows that count for nothing. The best label's
        joint density over the row's density is its responsibility, so the bounds of a hard and of
        an exact E-step differ by the log responsibilities that the ICL adds.
        """
        model, params = self.estimator._at_point()
        table, blocks, threads = model.prepare(params), self.task.blocks, self.task.step.n_jobs
        exact, hard = (
            e_step(model, table, blocks, Step(rule, "point", 0, 0, threads)).local_bound
            for rule in ("exact", "hard")
        )
        total_weight = sum(block.total_weight for block in blocks)
        bic = -2.0 * exact + self.estimator._n_parameters() * float(np.log(total_weight))
        return {"bic": bic, "icl": bic - 2.0 * (hard - exact)}

    def tell(self) -> None:
        """Warn of what is wrong with the fit."""
        task, winner = self.task, self.winner
        assert winner is not None and winner.result is not None  # noqa: PT018
        report(task.model, winner.result, task.control, task.step, 4, task.notes)


def _prototype(estimator: Any, criterion: str) -> Any:
    """Return a clone of the estimator that a candidate is made of."""
    from sklearn.base import clone

    if criterion not in CRITERIA:
        raise ValueError(f"criterion must be one of {', '.join(CRITERIA)}; got {criterion!r}")
    if estimator is None:
        inference = "mean-field" if criterion == "elbo" else "em"
        estimator = GaussianMixture(inference=inference)
    elif isinstance(estimator, type):
        estimator = estimator()
    if not hasattr(estimator, "_task"):
        raise TypeError(
            f"estimator must be a mixture or a hidden Markov model of this library; got "
            f"{estimator!r}"
        )
    if criterion == "elbo" and estimator.inference != "mean-field":
        raise ValueError(
            f"criterion='elbo' needs inference='mean-field', whose objective is a bound on the log "
            f"evidence; the estimator has inference={estimator.inference!r}. Use criterion='bic'"
        )
    if estimator.inference == "gibbs":
        raise ValueError(
            "select compares objectives, and gibbs has draws; use inference='mean-field'"
        )
    needed = (("schedule", "batch"), ("warm_start", False), ("callbacks", None), ("verbose", 0))
    for name, value in needed:
        if getattr(estimator, name, value) != value:
            raise ValueError(
                f"select needs {name}={value!r}; the estimator has {getattr(estimator, name)!r}"
            )
    return clone(estimator)


def _grid(
    base: Any, n_components: int | Iterable[int], covariance_type: str | Iterable[str] | None
) -> list[dict[str, Any]]:
    sizes = [n_components] if isinstance(n_components, (int, Integral)) else list(n_components)
    axes: dict[str, Sequence[Any]] = {"n_components": sizes}
    if covariance_type is not None:
        if "covariance_type" not in base.get_params(deep=False):
            raise ValueError(f"{type(base).__name__} has no covariance_type")
        is_one = isinstance(covariance_type, str)
        axes["covariance_type"] = [covariance_type] if is_one else list(covariance_type)
    for name, values in axes.items():
        if not values:
            raise ValueError(f"{name} is empty; give at least one value")
        if len(set(values)) < len(values):
            raise ValueError(f"{name} has a value twice: {values}")
    return [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]


def _best(table: Sequence[Mapping[str, Any]], criterion: str) -> int | None:
    """Return the first of the best candidates, a sound one if there is one."""
    sign = -1.0 if criterion == "elbo" else 1.0
    ranks = [
        (bool(row["degenerate"]), sign * row[criterion], i)
        for i, row in enumerate(table)
        if np.isfinite(row[criterion])
    ]
    return min(ranks)[2] if ranks else None


def _shown(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)
