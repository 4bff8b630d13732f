"""What every estimator shares: validation, starts, bookkeeping of a fit."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from vemfast.data import RowBlock, as_rows
from vemfast.execution.threads import effective_n_jobs
from vemfast.inference.engine import Control, report, run
from vemfast.inference.methods import refuse_unused
from vemfast.inference.monitor import FitResult
from vemfast.inference.restarts import best, run_starts, seeds, share_threads
from vemfast.models.base import Model, Step

__all__ = ["Estimator", "check_sample_weight"]

_FLOATS = (np.dtype(np.float64), np.dtype(np.float32))

_PLAIN = {int, float, str, bool, type(None)}

# Objects whose `fit` is at work. Adding and discarding are single operations under the GIL.
_FITTING: set[int] = set()


class Estimator(BaseEstimator):  # type: ignore[misc]
    """Base of the estimators.

    A subclass declares `_parameter_constraints` as scikit-learn does, and calls `_run` with a
    model and blocks. `fit` is a transaction: nothing is assigned before there is a full iteration
    to keep.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {}
    _valid: ClassVar[set[Any]] = set()

    # ---- parameters and data ---------------------------------------------------------------

    def _check_params(self) -> None:
        """Validate the constructor's parameters, once for each set of plain values.

        The validation costs as much as a small fit.
        """
        values = attrgetter(*self._parameter_constraints)(self)
        types = tuple(map(type, values))
        if not _PLAIN.issuperset(types):
            self._validate_params()
            return
        key = (type(self), values, types)
        if key not in self._valid:
            self._validate_params()
            if len(self._valid) < 256:
                self._valid.add(key)

    @contextmanager
    def _only_fit(self) -> Iterator[None]:
        """Refuse a second `fit` of this object while one is at work."""
        if id(self) in _FITTING:
            raise RuntimeError(
                "fit already running on this object in another thread; use a clone for each"
            )
        _FITTING.add(id(self))
        try:
            yield
        finally:
            _FITTING.discard(id(self))

    def _rows_to_fit(self, X: Any) -> tuple[NDArray[Any], dict[str, Any]]:
        """Return rows as a block takes them, and the attributes that describe their columns."""
        if type(X) is np.ndarray and X.ndim == 2 and X.dtype in _FLOATS and X.size:
            return as_rows(X), {"n_features_in_": X.shape[1]}
        scratch = copy.copy(self)
        rows = self._validated(scratch, X, reset=True)
        named = ("n_features_in_", "feature_names_in_")
        return rows, {name: vars(scratch)[name] for name in named if name in vars(scratch)}

    def _rows(self, X: Any) -> NDArray[Any]:
        """Return rows to be judged by the fitted model.

        Raises
        ------
        NotFittedError
            If there is no fit yet.
        ValueError
            If the rows do not fit the model or are not finite.
        """
        check_is_fitted(self)
        plain = type(X) is np.ndarray and X.ndim == 2 and X.dtype in _FLOATS and X.size
        if plain and X.shape[1] == self.n_features_in_ and not hasattr(self, "feature_names_in_"):
            rows = as_rows(X)
        else:
            rows = self._validated(self, X, reset=False)
        self._check_finite(rows)
        return rows

    @staticmethod
    def _validated(estimator: Any, X: Any, reset: bool) -> NDArray[Any]:
        rows = validate_data(
            estimator,
            X,
            reset=reset,
            dtype=[np.float64, np.float32],
            ensure_all_finite=False,
            estimator=type(estimator).__name__,
        )
        return as_rows(rows)

    @staticmethod
    def _check_finite(rows: NDArray[Any]) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            total = rows.sum(dtype=np.float64)
        if np.isfinite(total):  # cheap, and false for whatever is not finite
            return
        finite = np.isfinite(rows)
        if finite.all():
            return
        row, column = (int(i) for i in np.argwhere(~finite)[0])
        what = "NaN" if np.isnan(rows[row, column]) else "infinity (inf)"
        raise ValueError(
            f"X contains {what} at row {row}, column {column}; drop or impute such rows"
        )

    # ---- a fit ------------------------------------------------------------------------------

    def _control(self, **options: Any) -> Control:
        refuse_unused(self.inference, self.schedule, **options)
        callbacks = self.callbacks
        options = {name: options[name] for name in options if name in Control.__slots__}
        return Control(
            schedule=self.schedule,
            callbacks=(callbacks,) if callable(callbacks) else tuple(callbacks or ()),
            verbose=int(self.verbose),
            **options,
        )

    def _blocks(self, block: RowBlock) -> list[RowBlock]:
        """Return the batches of the schedule."""
        if self.schedule == "batch":
            return [block]
        size = self.batch_size
        return block.cut(self.n_batches if size is None else max(-(-block.n // size), 1))

    def _run(
        self,
        model: Model,
        blocks: Sequence[RowBlock],
        step: Step,
        control: Control,
        work: int,
        start: Callable[[Step], Any],
        keep: Callable[[FitResult, list[FitResult]], None],
    ) -> None:
        """Run all starts or chains, and hand the best and all of them to `keep`.

        Whatever ends a fit early leaves its last full iteration with `keep` before it goes on to
        the caller.
        """
        sampled = step.parameter_rule == "sampled"
        n_starts = self.n_chains if sampled else self.n_init
        workers, threads = share_threads(n_starts, step.n_jobs, work)
        start_seeds = seeds(self.random_state, n_starts)

        def one(index: int, cancelled: Any) -> FitResult:
            own = Step(step.local_rule, step.parameter_rule, start_seeds[index], 0, threads)
            return run(model, blocks, start(own), own, control, cancelled)

        try:
            if n_starts == 1:
                results = [one(0, None)]
            else:
                results = run_starts(one, n_starts, workers=workers, drop_failures=not sampled)
        except BaseException as error:
            reached = getattr(error, "partial", None)
            if reached is not None:
                keep(reached, [reached])
                if isinstance(error, KeyboardInterrupt) and self.on_interrupt == "return":
                    return
            raise
        winner = best(results)
        assert winner is not None
        keep(winner, results)
        report(model, winner, control, step, stacklevel=5)

    def _keep_trace(self, result: FitResult) -> None:
        self.lower_bound_ = result.lower_bound
        self.lower_bounds_ = result.lower_bounds
        self.n_iter_ = result.n_iter
        self.converged_ = result.converged
        self.stop_reason_ = result.stop_reason

    def _threads(self) -> int:
        return effective_n_jobs(self.n_jobs)


def check_sample_weight(sample_weight: Any, n: int) -> NDArray[np.float64] | None:
    """Return weights as a float64 vector of length n, or None.

    Raises
    ------
    ValueError
        If the shape is wrong, or a weight is negative or not finite, or all are zero.
    """
    if sample_weight is None:
        return None
    weights = np.ascontiguousarray(sample_weight, dtype=np.float64)
    if weights.ndim == 0:
        weights = np.full(n, float(weights))
    if weights.shape != (n,):
        raise ValueError(
            f"sample_weight.shape == {weights.shape}, expected ({n},): one weight for each row"
        )
    bad = ~(np.isfinite(weights) & (weights >= 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(
            f"sample_weight must be finite and >= 0; sample_weight[{row}] is {weights[row]}"
        )
    if not weights.any():
        raise ValueError("sample_weight is zero everywhere; at least one row needs weight")
    return weights
