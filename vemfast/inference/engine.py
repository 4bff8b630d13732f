"""The generic engine: a model, data and a row of the table in, parameters out.

`fit` is the public function; it validates. `run` is its inner loop, which the estimators call.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from threading import Event
from typing import Any, cast

from vemfast.data import RowBlock, make_blocks
from vemfast.documents import DocumentBlock
from vemfast.errors import DegenerateWarning
from vemfast.execution.local_state import forked
from vemfast.execution.threads import effective_n_jobs
from vemfast.indexed import IndexedBlock
from vemfast.inference.accelerated import accelerated, check_vectors
from vemfast.inference.batch import batch
from vemfast.inference.memoized import memoized
from vemfast.inference.methods import lookup, refuse_unused
from vemfast.inference.minibatch import check_rates, minibatch
from vemfast.inference.monitor import (
    Callback,
    FitResult,
    Monitor,
    NoisyMonitor,
    SamplingMonitor,
    rounding_of,
    rounding_of_terms,
)
from vemfast.inference.restarts import seeds
from vemfast.models.base import Model, Step
from vemfast.sequences import SequenceBlock
from vemfast.streams import Stream, StreamBlock

__all__ = ["Control", "fit", "or_partial", "report", "run"]

# Rows of a block under the batch schedule, for models that leave the threads to the engine: large
# enough for matrix products, small enough that rows x components stays out of the way. It does not
# depend on n_jobs, so neither does the result.
_BLOCK_ROWS = 1 << 16

_WHOLE = (RowBlock, IndexedBlock, DocumentBlock, SequenceBlock, StreamBlock)


@dataclass(frozen=True, slots=True)
class Control:
    """How long a run goes on and who watches it. See `fit` for the meaning of each.

    Raises
    ------
    ValueError
        If an option is out of its range.
    TypeError
        If a callback cannot be called.
    """

    schedule: str = "batch"
    tol: float = 1e-3
    max_iter: int = 100
    callbacks: tuple[Callback, ...] = ()
    verbose: int = 0
    learning_decay: float = 0.7
    learning_offset: float = 10.0
    n_burn: int = 200
    n_draws: int = 200
    thin: int = 1
    accelerate: bool = False

    def __post_init__(self) -> None:
        for name, least in (("max_iter", 1), ("n_burn", 0), ("n_draws", 1), ("thin", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be >= {least}; got {getattr(self, name)!r}")
        if not self.tol >= 0:
            raise ValueError(f"tol must be >= 0; got {self.tol!r}")
        check_rates(self.learning_decay, self.learning_offset)
        for i, callback in enumerate(self.callbacks):
            if not callable(callback):
                raise TypeError(f"callbacks[{i}] is not callable: {callback!r}")

    def driver(self) -> Callable[[Model, Sequence[Any], Any, Step, Monitor], None]:
        """Return the loop of the schedule."""
        if self.schedule == "batch":
            return accelerated if self.accelerate else batch
        if self.schedule == "memoized":
            return memoized
        return partial(
            minibatch, learning_decay=self.learning_decay, learning_offset=self.learning_offset
        )

    def monitor(
        self, model: Model, blocks: Sequence[Any], step: Step, cancelled: Event | None = None
    ) -> Monitor:
        """Return the judge of one run."""
        total_weight = sum(block.total_weight for block in blocks)
        dtype = getattr(blocks[0], "dtype", None)
        watch: dict[str, Any] = {
            "callbacks": self.callbacks,
            "verbose": self.verbose,
            "cancelled": cancelled,
        }
        if step.parameter_rule == "sampled":
            return SamplingMonitor(
                total_weight, n_burn=self.n_burn, n_draws=self.n_draws, thin=self.thin, **watch
            )
        if self.schedule == "minibatch":
            return NoisyMonitor(total_weight, max_iter=self.max_iter, **watch)
        return Monitor(
            total_weight,
            tol=self.tol,
            max_iter=self.max_iter,
            rounding=rounding_of(dtype),
            size_of_terms=model.size_of_terms,
            rounding_of_terms=rounding_of_terms(dtype),
            **watch,
        )


def run(
    model: Model,
    blocks: Sequence[Any],
    params: Any,
    step: Step,
    control: Control,
    cancelled: Event | None = None,
    monitors: list[Monitor] | None = None,
) -> FitResult:
    """Run one start to its end, without validation and without warnings.

    The blocks' local states are its own: those that it is given stay as they are.

    Whatever exception ends it carries as `partial` the FitResult of the last full iteration, or
    None where there is not one yet. `monitors` receives the run's monitor, for callers who want
    that iteration also when Ctrl-C comes while a result or an exception is on its way to them.
    """
    if control.accelerate:
        check_vectors(model)
    blocks = forked(blocks)
    monitor = control.monitor(model, blocks, step, cancelled)
    if monitors is not None:
        monitors.append(monitor)
    try:
        control.driver()(model, blocks, params, step, monitor)
        return cast(FitResult, monitor.result())
    except BaseException as error:
        monitor.end_by(error)
        error.partial = monitor.result()  # type: ignore[attr-defined]
        raise
    finally:
        monitor.close()


def or_partial(task: Callable[[], FitResult], on_interrupt: str) -> FitResult:
    """Return the result of `task`, or after Ctrl-C what it had reached where that is asked for."""
    try:
        return task()
    except KeyboardInterrupt as interrupt:
        reached: FitResult | None = getattr(interrupt, "partial", None)
        if on_interrupt == "raise" or reached is None:
            raise
        return reached


def report(
    model: Model,
    result: FitResult,
    control: Control,
    step: Step,
    stacklevel: int = 3,
    notes: Sequence[str] = (),
    to_converge: bool = True,
) -> None:
    """Warn of a fit that did not converge, and of degenerate data and estimates, once each.

    `notes` are what the caller knows of the data; `to_converge` is whether it asked for more than a
    number of iterations. A draw is not an estimate, so it is not judged.
    """
    sampled = step.parameter_rule == "sampled"
    judged = to_converge and not sampled and control.schedule != "minibatch"
    if judged and result.stop_reason == "max_iter":
        from sklearn.exceptions import ConvergenceWarning

        warnings.warn(
            f"not converged after max_iter={control.max_iter} iterations; "
            "increase max_iter or tol, or try another start",
            ConvergenceWarning,
            stacklevel=stacklevel,
        )
    found = [] if sampled else model.diagnose(result.params, result.stats)
    for message in (*notes, *found):
        warnings.warn(message, DegenerateWarning, stacklevel=stacklevel)


def fit(
    model: Model,
    data: Any,
    *,
    inference: str = "em",
    schedule: str = "batch",
    tol: float = 1e-3,
    max_iter: int = 100,
    params: Any = None,
    random_state: Any = None,
    n_jobs: int | None = None,
    callbacks: Callback | Sequence[Callback] | None = None,
    verbose: int = 0,
    on_interrupt: str = "raise",
    n_batches: int = 10,
    batch_size: int | None = None,
    learning_decay: float = 0.7,
    learning_offset: float = 10.0,
    n_burn: int = 200,
    n_draws: int = 200,
    thin: int = 1,
    accelerate: bool = False,
) -> FitResult:
    """Fit any model by any rung of the ladder that it has.

    Parameters
    ----------
    model : Model
    data : array-like of shape (n, n_features), block, Stream, or list of blocks
        One block is cut as the schedule wants it; a list of blocks is used as it is: under the
        memoized and minibatch schedules each is a batch. A `vemfast.streams.Stream` is read chunk
        by chunk, whenever its rows are needed; `Model.init` is then given blocks that have no rows
        of their own, but `parts()`.
    inference : {"gibbs", "mean-field", "em", "variational-em", "hard-em"}, default="em"
    schedule : {"batch", "memoized", "minibatch"}, default="batch"
    tol : float, default=1e-3
        Converged when an iteration gains less than this in the objective, in nats a row (step,
        token). 0: run all iterations.
    max_iter : int, default=100
        Updates under batch, passes under memoized and minibatch.
    params : object, default=None
        Where to start. None: `model.init` says.
    random_state : int, RandomState, Generator or None, default=None
        Of the start and of draws.
    n_jobs : int, default=None
        Threads. None: what OpenMP may use and the machine has; -1: all processors. The result does
        not depend on it.
    callbacks : callable or sequence of callable, default=None
        Called after each iteration with the keywords `iteration`, `objective` and `elapsed`; a
        true result stops the fit.
    verbose : int, default=0
        1: a progress bar on standard error.
    on_interrupt : {"raise", "return"}, default="raise"
        What Ctrl-C does: raise KeyboardInterrupt, whose `partial` is the last full iteration, or
        return that.
    n_batches : int, default=10
        Memoized and minibatch schedules.
    batch_size : int, default=None
        Rows of a batch, instead of `n_batches`.
    learning_decay, learning_offset : float, default=0.7, 10.0
        Minibatch schedule: update t has the rate (t + learning_offset) ** -learning_decay.
    n_burn, n_draws, thin : int, default=200, 200, 1
        Gibbs: iterations before the first draw, draws to keep, iterations a draw.
    accelerate : bool, default=False
        Anderson acceleration, for "em" and "variational-em" under the batch schedule: fewer E-steps
        to the same tolerance, and the objective still never falls. The model needs `to_vector` and
        `from_vector`.

    Returns
    -------
    FitResult

    Raises
    ------
    ValueError
        If the model has no such rung, the rung does not run under the schedule, or an option is
        out of range or would have no effect.
    NumericalError
        If the objective falls by more than rounding or is not finite. Its `partial` is the last
        valid iteration.

    Warns
    -----
    ConvergenceWarning
        If `max_iter` comes before `tol`; not under gibbs or minibatch.
    DegenerateWarning
        If the model finds that the data do not pin an estimate down.
    """
    local_rule, parameter_rule = lookup(model, inference, schedule)
    refuse_unused(
        inference,
        schedule,
        tol=tol,
        max_iter=max_iter,
        n_batches=n_batches,
        batch_size=batch_size,
        learning_decay=learning_decay,
        learning_offset=learning_offset,
        n_burn=n_burn,
        n_draws=n_draws,
        thin=thin,
        accelerate=accelerate,
    )
    if on_interrupt not in ("raise", "return"):
        raise ValueError(f"on_interrupt must be 'raise' or 'return'; got {on_interrupt!r}")
    control = Control(
        schedule,
        tol,
        max_iter,
        (callbacks,) if callable(callbacks) else tuple(callbacks or ()),
        verbose,
        learning_decay,
        learning_offset,
        n_burn,
        n_draws,
        thin,
        accelerate,
    )
    blocks = _as_blocks(model, data, schedule, n_batches, batch_size)
    threads = effective_n_jobs(n_jobs)
    step = Step(local_rule, parameter_rule, seeds(random_state, 1)[0], 0, threads)

    def task() -> FitResult:
        start = model.init(blocks, step) if params is None else params
        return run(model, blocks, start, step, control)

    result = or_partial(task, on_interrupt)
    report(model, result, control, step)
    return result


def _as_blocks(
    model: Model, data: Any, schedule: str, n_batches: int, batch_size: int | None
) -> list[Any]:
    if isinstance(data, (list, tuple)) and data and hasattr(data[0], "total_weight"):
        return list(data)
    if isinstance(data, Stream):
        data = data.block(data.weights)
    whole = data if isinstance(data, _WHOLE) else make_blocks(data)[0]
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size must be >= 1; got {batch_size}")
    if schedule != "batch":
        pieces = n_batches if batch_size is None else -(-whole.n // batch_size)
    else:
        pieces = 1 if model.threads_within else -(-whole.n // _BLOCK_ROWS)
    return [whole] if pieces == 1 else list(whole.cut(pieces))
