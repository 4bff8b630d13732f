"""What every estimator shares: validation, starts, bookkeeping of a fit."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from numbers import Integral
from operator import attrgetter
from threading import Lock
from typing import Any, ClassVar, NamedTuple, TypeVar, cast
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.validation import check_is_fitted, validate_data

from vemfast.data import FLOATS, RowBlock, as_rows
from vemfast.execution.threads import effective_n_jobs
from vemfast.inference.engine import Control, report, run
from vemfast.inference.methods import refuse_unused
from vemfast.inference.monitor import FitResult, Monitor
from vemfast.inference.restarts import best, run_starts, seeds, share_threads
from vemfast.models.base import Model, Step
from vemfast.streams import ChunkWeights, Stream, StreamBlock, each_chunk, is_stream

__all__ = [
    "Estimator",
    "Task",
    "as_generator",
    "check_count",
    "check_sample_weight",
    "columns_of",
    "refuse_text",
]

_Read = TypeVar("_Read")


_PLAIN = {int, float, str, bool, type(None)}

# The lock of each object whose `fit` has been at work; not in the object, which pickles and copies.
_FITTING: WeakKeyDictionary[Any, Lock] = WeakKeyDictionary()
# A forked child has none of the parent's other threads, and so none of their fits.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_FITTING.clear)

# About the bytes of a converted piece of a memory map.
_CHUNK_BYTES = 1 << 25

# The largest weight must be above, and their sum below: outside, products with the data leave the
# numbers. Scores of float32 rows take float32 weights.
_FLOAT32_WEIGHTS, _FLOAT64_WEIGHTS = (1e-30, 1e30), (1e-100, 1e100)


class Task(NamedTuple):
    """What a fit needs once its parameters and data are found good; see `Estimator._run`."""

    model: Model
    blocks: Sequence[Any]
    step: Step
    control: Control
    work: int
    start: Callable[[Step], Any]
    keep: Callable[[FitResult, list[FitResult]], None]
    notes: Sequence[str] = ()


class Estimator(BaseEstimator):  # type: ignore[misc]
    """Base of the estimators.

    A subclass declares `_parameter_constraints` as scikit-learn does, and calls `_run` with a
    model and blocks. `fit` is a transaction: nothing is assigned before there is a full iteration
    to keep.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {}
    _valid: ClassVar[set[Any]] = set()
    _may_take_nan: ClassVar[bool] = False  # whether missing="marginalize" is one of its parameters

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._takes_nan()
        return tags

    # ---- parameters and data ---------------------------------------------------------------

    def _check_params(self) -> None:
        """Validate the constructor's parameters, once for each set of plain values.

        The validation costs as much as a small fit.
        """
        values = attrgetter(*self._parameter_constraints)(self)
        types = tuple(map(type, values))
        if not _PLAIN.issuperset(types):
            self._validate_each()
            return
        key = (type(self), values, types)
        if key not in self._valid:
            self._validate_each()
            if len(self._valid) < 256:
                self._valid.add(key)

    def _validate_each(self) -> None:
        self._validate_params()
        for name, constraints in self._parameter_constraints.items():
            value = getattr(self, name)  # to Python and scikit-learn True is the integer 1
            takes_bool = any(c in ("boolean", "verbose") for c in constraints if type(c) is str)
            if isinstance(value, (bool, np.bool_)) and not takes_bool:
                raise InvalidParameterError(
                    f"The {name!r} parameter of {type(self).__name__} must be a number, not a "
                    f"boolean. Got {value!r} instead."
                )

    def _only_fit(self) -> Lock:
        """Return what a `fit` of this object is to hold; refuse a second one meanwhile.

        A lock, because entering and leaving it is one step for Ctrl-C: it comes before or after.
        """
        lock = _FITTING.setdefault(self, Lock())
        if lock.locked():
            raise RuntimeError(
                "fit already running on this object, in another thread or further up; use a clone"
            )
        return lock

    def _rows_to_fit(self, X: Any) -> tuple[NDArray[Any], dict[str, Any]]:
        """Return rows as a block takes them, and the attributes that describe their columns."""
        if type(X) is np.ndarray and X.ndim == 2 and X.dtype in FLOATS and X.size:
            return as_rows(X), {"n_features_in_": X.shape[1]}
        return columns_of(self, lambda scratch: self._validated(scratch, X, reset=True))

    def _rows(self, X: Any, takes_nan: bool | None = None) -> NDArray[Any]:
        """Return rows to be judged by the fitted model.

        `takes_nan` says whether NaN is a missing value; None: as the estimator does.

        Raises
        ------
        NotFittedError
            If there is no fit yet.
        ValueError
            If the rows do not fit the model or are not finite.
        """
        check_is_fitted(self)
        rows = self._rows_like_fitted(X)
        self._check_finite(rows, self._takes_nan() if takes_nan is None else takes_nan)
        return rows

    def _takes_nan(self) -> bool:
        """Whether NaN is a missing value to this object, not an error."""
        return False

    def _rows_like_fitted(self, X: Any) -> NDArray[Any]:
        """Return rows whose columns are those of `n_features_in_` and `feature_names_in_`."""
        plain = type(X) is np.ndarray and X.ndim == 2 and X.dtype in FLOATS and X.size
        if plain and X.shape[1] == self.n_features_in_ and not hasattr(self, "feature_names_in_"):
            return as_rows(X)
        return self._validated(self, X, reset=False)

    def _by_chunk(
        self,
        X: Any,
        judge: Callable[[Any], NDArray[Any]],
        weights: ChunkWeights | None = None,
        takes_nan: bool | None = None,
    ) -> NDArray[Any]:
        """Return what `judge` says of the rows: at once, or of one chunk of a stream after another.

        `weights` gets those that come with chunks. `takes_nan` is as in `_rows`.
        """
        chunks = chunks_of(X)
        if chunks is None:
            return judge(self._rows(X, takes_nan))
        check_is_fitted(self)
        parts = each_chunk(chunks, lambda rows: self._rows(rows, takes_nan), weights)
        return np.concatenate([judge(rows) for rows in parts])

    def _data_to_fit(self, X: Any, sample_weight: Any) -> tuple[Any, dict[str, Any]]:
        """Return rows as a block, and the attributes that describe their columns."""
        chunks = chunks_of(X)
        if chunks is not None:
            return self._stream_to_fit(chunks, sample_weight)
        rows, columns = self._rows_to_fit(X)
        return RowBlock(rows, check_sample_weight(sample_weight, len(rows), rows.dtype)), columns

    def _stream_to_fit(self, chunks: Any, sample_weight: Any) -> tuple[StreamBlock, dict[str, Any]]:
        scratch = copy.copy(self)
        columns: dict[str, Any] = {}

        def convert(chunk: Any) -> RowBlock:
            if not columns:
                rows, found = scratch._rows_to_fit(chunk)
                columns.update(found)
                scratch.__dict__.pop("feature_names_in_", None)
                scratch.__dict__.update(found)
            else:
                rows = scratch._rows_like_fitted(chunk)
            return RowBlock(rows)

        stream = Stream(chunks, convert)
        weights = weights_of_chunks(stream.weights, sample_weight)
        return stream.block(check_sample_weight(weights, stream.n, stream.dtype)), columns

    @staticmethod
    def _validated(estimator: Any, X: Any, reset: bool) -> NDArray[Any]:
        if isinstance(X, (list, tuple)):
            X = np.asarray(X)
        refuse_text(X)
        if isinstance(X, np.ndarray) and not X.dtype.isnative:
            X = X.astype(X.dtype.newbyteorder("="))  # scikit-learn would make float32 float64
        rows = validate_data(
            estimator,
            X,
            reset=reset,
            dtype=[np.float64, np.float32],
            ensure_all_finite=False,
            estimator=type(estimator).__name__,
        )
        return as_rows(rows)

    def _check_finite(self, rows: NDArray[Any], takes_nan: bool) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            total = rows.sum(dtype=np.float64)
        if np.isfinite(total):  # cheap, and false for whatever is not finite
            return
        finite = np.isfinite(rows) | np.isnan(rows) if takes_nan else np.isfinite(rows)
        if finite.all():
            return
        row, column = (int(i) for i in np.argwhere(~finite)[0])
        what = "NaN" if np.isnan(rows[row, column]) else "infinity (inf)"
        raise ValueError(
            f"X contains {what} at row {row}, column {column}; drop or impute such rows"
            + (", or set missing='marginalize'" if what == "NaN" and self._may_take_nan else "")
        )

    # ---- a fit ------------------------------------------------------------------------------

    def _control(self, **options: Any) -> Control:
        refuse_unused(self.inference, self.schedule, **options)
        return self._control_of(self.schedule, **options)

    def _control_of(self, schedule: str, **options: Any) -> Control:
        callbacks = self.callbacks
        options = {  # NumPy's small integers would overflow
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in options.items()
            if name in Control.__slots__
        }
        return Control(
            schedule=schedule,
            callbacks=(callbacks,) if callable(callbacks) else tuple(callbacks or ()),
            verbose=int(self.verbose),
            **options,
        )

    def _blocks(self, block: Any) -> list[Any]:
        """Return the batches of the schedule."""
        if self.schedule == "batch":
            return [block]
        if self.batch_size is None:
            return list(block.cut(int(self.n_batches)))
        return list(block.cut(max(-(-block.n // int(self.batch_size)), 1)))

    def _run(
        self,
        model: Model,
        blocks: Sequence[Any],
        step: Step,
        control: Control,
        work: int,
        start: Callable[[Step], Any],
        keep: Callable[[FitResult, list[FitResult]], None],
        notes: Sequence[str] = (),
    ) -> None:
        """Run all starts or chains, and hand the best and all of them to `keep`.

        What ends a fit early, an interrupt, a callback or a NumericalError, leaves its last full
        iteration with `keep` before it goes on to the caller. Want of memory leaves nothing, nor do
        data that cannot be read to their end.
        """
        sampled = step.parameter_rule == "sampled"
        n_starts = self.n_chains if sampled else self.n_init
        workers, threads = share_threads(n_starts, step.n_jobs, work)
        if isinstance(blocks[0], StreamBlock):  # starts that run at once would share its readings
            workers, threads = 1, step.n_jobs
        start_seeds = seeds(self.random_state, n_starts)

        def one(index: int, cancelled: Any) -> FitResult:
            own = Step(step.local_rule, step.parameter_rule, start_seeds[index], 0, threads)
            return run(model, blocks, start(own), own, control, cancelled, monitors)

        monitors: list[Monitor] = []
        results: list[FitResult] = []
        try:
            if n_starts == 1:
                results = [one(0, None)]
            else:
                results = run_starts(one, n_starts, workers=workers, drop_failures=not sampled)
            winner = best(results)
            assert winner is not None
            keep(winner, results)
        except BaseException as error:
            interrupted = isinstance(error, KeyboardInterrupt)
            if not (interrupted and results):  # unless it came when all was done
                results = _reached(error, monitors)
            if results:
                keep(cast(FitResult, best(results)), results)
                if interrupted and self.on_interrupt == "return":
                    return
            raise
        report(model, winner, control, step, 5, notes, self._to_converge())

    def _to_converge(self) -> bool:
        """Whether a fit that ends with `max_iter` is to warn."""
        return True

    def _keep_fit(self, result: FitResult, attributes: dict[str, Any]) -> None:
        """Replace the attributes of an earlier fit.

        What `partial_fit` remembers goes, too. By one assignment: a second Ctrl-C, or another
        thread that predicts, meets one fit or the other and no mixture of them.
        """
        parameters = {
            name: value
            for name, value in vars(self).items()
            if (name.startswith("_") or not name.endswith("_")) and name != "_online"
        }
        self.__dict__ = {
            **parameters,
            **attributes,
            "lower_bound_": result.lower_bound,
            "lower_bounds_": result.lower_bounds,
            "n_iter_": result.n_iter,
            "converged_": result.converged,
            "stop_reason_": result.stop_reason,
        }

    def _threads(self) -> int:
        return effective_n_jobs(self.n_jobs)


def _reached(error: BaseException, monitors: Sequence[Monitor]) -> list[FitResult]:
    """Return what an exception leaves of a fit: one result, or none."""
    partial: FitResult | None = getattr(error, "partial", None)
    if isinstance(error, KeyboardInterrupt):  # asked at the source: it may come between two lines
        for monitor in monitors:
            monitor.end_by(error)
        partial = best(monitor.result() for monitor in monitors)
    lost = isinstance(error, MemoryError) or getattr(error, "from_data", False)
    if partial is None or (lost and partial.stop_reason != "callback"):
        return []
    return [partial]


def weights_of_chunks(own: Any, sample_weight: Any) -> Any:
    """Return the weights that come with chunks (None: none do), or those given instead."""
    if own is not None and sample_weight is not None:
        raise ValueError("the chunks of X come with weights, and sample_weight is given, too")
    return own if sample_weight is None else sample_weight


def chunks_of(X: Any) -> Any | None:
    """Return what of `X` is to be read chunk by chunk, None if it is to be taken as it is.

    A stream; and a memory map that a model cannot use in place, so that its copy stays small.
    """
    if type(X) is np.ndarray:
        return None
    if isinstance(X, np.memmap):
        usable = X.dtype in FLOATS and X.flags.aligned
        if usable or X.ndim != 2 or X.dtype.kind not in "fiub" or not X.size:
            return None
        rows = max(_CHUNK_BYTES // (8 * X.shape[1]), 1)
        return lambda: (X[start : start + rows] for start in range(0, len(X), rows))
    return X if is_stream(X) else None


def columns_of(estimator: Any, read: Callable[[Any], _Read]) -> tuple[_Read, dict[str, Any]]:
    """Return what `read` makes of a copy of the estimator, and the columns that it found."""
    scratch = copy.copy(estimator)
    found = read(scratch)
    named = ("n_features_in_", "feature_names_in_")
    return found, {name: vars(scratch)[name] for name in named if name in vars(scratch)}


def check_count(name: str, value: Any, least: int = 1) -> int:
    """Return an integer that is not below `least`; anything else is a ValueError."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{name} must be an integer >= {least}; got {value!r}")
    return int(value)


def as_generator(random_state: Any) -> np.random.Generator:
    """Return the generator that a `random_state` in any of scikit-learn's forms stands for."""
    if isinstance(random_state, np.random.Generator):
        return random_state
    return np.random.default_rng(check_random_state(random_state).randint(0, 1 << 31))


def refuse_text(X: Any) -> None:
    """Raise a TypeError for strings, dates and bytes, also where they could be read as numbers."""
    dtypes = X.dtypes if hasattr(X, "columns") else [getattr(X, "dtype", None)]
    for dtype in dtypes:
        kind = getattr(dtype, "kind", "f")
        if kind in "USMmV":
            raise TypeError(f"X must hold numbers; got {dtype}; convert with X.astype(float)")
    if any(getattr(dtype, "kind", "f") == "O" for dtype in dtypes):
        values = np.asarray(X).ravel()
        if any(isinstance(value, (str, bytes)) for value in values):
            raise TypeError("X must hold numbers; it contains strings; convert or encode them")


def check_sample_weight(
    sample_weight: Any, n: int, dtype: Any = np.float64
) -> NDArray[np.float64] | None:
    """Return weights as a float64 vector of length n, or None.

    Parameters
    ----------
    sample_weight : array-like of shape (n,), float or None
    n : int
    dtype : dtype, default=numpy.float64
        Of the rows: of the arithmetic that the weights go into.

    Raises
    ------
    ValueError
        If the shape is wrong, or a weight is negative or not finite, or all are zero, or they are
        out of the range of the arithmetic.
    TypeError
        If they are not real numbers.
    """
    if sample_weight is None:
        return None
    weights = np.asarray(sample_weight)
    if weights.dtype.kind not in "fiubO":
        raise TypeError(f"sample_weight must hold real numbers; got {weights.dtype}")
    weights = np.asarray(weights, dtype=np.float64)
    if weights.ndim == 0:
        weights = np.full(n, float(weights))
    if weights.shape != (n,):
        raise ValueError(
            f"sample_weight.shape == {weights.shape}, expected ({n},): one weight for each row"
        )
    weights = np.ascontiguousarray(weights)
    bad = ~(np.isfinite(weights) & (weights >= 0))
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(
            f"sample_weight must be finite and >= 0; sample_weight[{row}] is {weights[row]}"
        )
    if not weights.any():
        raise ValueError("sample_weight is zero everywhere; at least one row needs weight")
    with np.errstate(over="ignore"):
        largest, total = float(weights.max()), float(weights.sum())
    low, high = _FLOAT32_WEIGHTS if np.dtype(dtype) == np.float32 else _FLOAT64_WEIGHTS
    if largest < low or not total <= high:
        raise ValueError(
            f"sample_weight is out of range: its largest is {largest:.3g} and its sum {total:.3g}, "
            f"where {np.dtype(dtype)} rows take {low:.3g} to {high:.3g}; weights count rows, so "
            "rescale them"
        )
    return weights
