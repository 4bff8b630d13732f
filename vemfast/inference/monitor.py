"""Convergence, trace and stop reason of one run; callbacks and the progress bar.

A driver hands every full iteration to `Monitor.stop`. Whatever ends the run, an exception
included, the monitor holds the last iteration that was full and valid: an estimator takes its
attributes from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import inf, isfinite
from threading import Event
from time import perf_counter
from typing import Any

from vemfast.errors import NumericalError

__all__ = [
    "FitResult",
    "Monitor",
    "NoisyMonitor",
    "SamplingMonitor",
    "rounding_of",
    "rounding_of_terms",
]

Callback = Callable[..., Any]


def rounding_of(dtype: Any) -> float:
    """Return the relative fall of the objective that rounding explains, for scores of a dtype."""
    return 2e-6 if getattr(dtype, "itemsize", 8) == 4 else 1e-9


def rounding_of_terms(dtype: Any) -> float:
    """Return the rounding of a sum, relative to its absolute terms, for scores of a dtype."""
    return 2e-6 if getattr(dtype, "itemsize", 8) == 4 else 1e-15


@dataclass(slots=True)
class FitResult:
    """What a fit reached.

    Attributes
    ----------
    params : object
        The parameters whose objective is `lower_bound`.
    stats : Stats
        The statistics at those parameters; under the memoized and minibatch schedules the kept or
        blended ones.
    lower_bound : float
        The objective, nats.
    lower_bounds : list of float
        Its trace; the first is the objective of the start.
    n_iter : int
        Number of iterations: updates under batch, passes under memoized and minibatch.
    converged : bool
    stop_reason : {"tolerance", "max_iter", "callback", "interrupted", "numerical"}
    draws : list
        Under gibbs: the kept draws of the parameters, in order.
    draw_objectives : list of float
        log p(X, θ) of each kept draw, nats.
    n_e_steps : int
        E-steps over all rows, those of proposals that were not kept included.
    """

    params: Any
    stats: Any
    lower_bound: float
    lower_bounds: list[float]
    n_iter: int
    converged: bool
    stop_reason: str
    draws: list[Any] = field(default_factory=list)
    draw_objectives: list[float] = field(default_factory=list)
    n_e_steps: int = 0


class Monitor:
    """Judge of a run whose objective must not fall.

    Parameters
    ----------
    total_weight : float
        Weighted number of rows, steps or tokens.
    tol : float, default=1e-3
        Converged when the gain of an iteration, divided by `total_weight`, is below this. 0: never.
    max_iter : int, default=100
    rounding : float, default=1e-9
        A fall up to this, relative to the larger of the objective and the total weight, is
        rounding; a larger one is a NumericalError.
    size_of_terms : callable, default=None
        Returns the size of the terms, given the parameters and statistics of an iteration; see
        `Model.size_of_terms`. None: as if 0.
    rounding_of_terms : float, default=1e-15
        A fall up to this, relative to the size of the terms, is rounding, too.
    callbacks : sequence of callable, default=()
        Called after each iteration, the start being iteration 0, with the keywords `iteration`,
        `objective` and `elapsed` (seconds), and `params` where the callback has a true attribute
        `takes_params`. A true result stops the run.
    verbose : int, default=0
        1: a progress bar on standard error.
    cancelled : threading.Event, default=None
        Where runs are in threads: once set, the run stops after its present iteration.
    """

    takes_proposals = True

    def __init__(
        self,
        total_weight: float,
        *,
        tol: float = 1e-3,
        max_iter: int = 100,
        rounding: float = 1e-9,
        size_of_terms: Callable[[Any, Any], float] | None = None,
        rounding_of_terms: float = 1e-15,
        callbacks: Sequence[Callback] = (),
        verbose: int = 0,
        cancelled: Event | None = None,
    ) -> None:
        self.total_weight = total_weight
        self.max_iter = max_iter
        self.rounding = rounding
        self.size_of_terms = size_of_terms
        self.rounding_of_terms = rounding_of_terms
        self.callbacks = tuple(callbacks)
        self.cancelled = cancelled
        # A gain is never below -inf, so tol=0 never converges, even on a gain that rounds below 0.
        self.enough = tol * total_weight if tol > 0 else -inf
        self.lower_bounds: list[float] = []
        self.extra_e_steps = 0  # besides the one of each iteration: of proposals
        # How many objectives are of full iterations, and the parameters and statistics of the last:
        # one assignment, so that Ctrl-C between two lines finds all of an iteration or none of it.
        self._reached: tuple[int, Any, Any] = (0, None, None)
        self.stop_reason: str | None = None
        self._started = perf_counter()
        self._bar: Any = _progress_bar(self._last_iteration()) if verbose else None
        self._watched = bool(self.callbacks) or self._bar is not None or cancelled is not None

    @property
    def params(self) -> Any:
        """The parameters of the last full iteration."""
        return self._reached[1]

    @property
    def stats(self) -> Any:
        """The statistics of the last full iteration."""
        return self._reached[2]

    @property
    def lower_bound(self) -> float:
        """The latest objective, nats."""
        return self.lower_bounds[-1] if self.lower_bounds else -inf

    @property
    def n_iter(self) -> int:
        """Number of full iterations after the start."""
        return max(len(self.lower_bounds) - 1, 0)

    @property
    def converged(self) -> bool:
        """Whether the tolerance ended the run."""
        return self.stop_reason == "tolerance"

    def stop(self, objective: float, params: Any, stats: Any) -> bool:
        """Record a full iteration and say whether it is the last.

        Raises
        ------
        NumericalError
            If the objective fell or is not finite. The iteration is not recorded.
        """
        objective = float(objective)
        gain = objective - self.lower_bounds[-1] if self.lower_bounds else inf
        if not isfinite(objective) or gain < 0.0:
            self._check(objective, gain, params, stats)
        self._record(objective, params, stats)
        self.stop_reason = self._verdict(gain)
        if self._watched:
            self._tell(objective)
        return self.stop_reason is not None

    def result(self) -> FitResult | None:
        """Return what was reached; None before the first full iteration."""
        full, params, stats = self._reached
        if not full:
            return None
        del self.lower_bounds[full:]
        return FitResult(
            params,
            stats,
            self.lower_bound,
            self.lower_bounds,
            self.n_iter,
            self.converged,
            self.stop_reason or "interrupted",
            n_e_steps=full + self.extra_e_steps,
        )

    def end_by(self, error: BaseException) -> None:
        """Note why an exception ends the run; one that a callback raised is noted already."""
        if self.stop_reason is None or isinstance(error, KeyboardInterrupt):
            numerical = isinstance(error, NumericalError)
            self.stop_reason = "numerical" if numerical else "interrupted"

    def close(self) -> None:
        """Release the progress bar."""
        if self._bar is not None:
            self._bar.close()

    def _last_iteration(self) -> int:
        return self.max_iter

    def _record(self, objective: float, params: Any, stats: Any) -> None:
        self.lower_bounds.append(objective)
        self._reached = (len(self.lower_bounds), params, stats)

    def _check(self, objective: float, gain: float, params: Any, stats: Any) -> None:
        """Raise unless a fall is explained by rounding."""
        iteration = len(self.lower_bounds)
        if not isfinite(objective):
            raise NumericalError(f"the objective is {objective} at iteration {iteration}")
        size = 0.0 if self.size_of_terms is None else self.size_of_terms(params, stats)
        allowed = max(
            self.rounding * max(abs(objective), self.total_weight), self.rounding_of_terms * size
        )
        if -gain > allowed:
            hint = "; float64 rows would round less" if self.rounding > 1e-8 else ""
            raise NumericalError(
                f"the objective fell at iteration {iteration}, from {self.lower_bound!r} to "
                f"{objective!r} nats; rounding explains {allowed:.3g}{hint}"
            )

    def _verdict(self, gain: float) -> str | None:
        if gain < self.enough:
            return "tolerance"
        return "max_iter" if len(self.lower_bounds) > self.max_iter else None

    def _tell(self, objective: float) -> None:
        iteration = self.n_iter
        if self._bar is not None:
            self._bar.set_postfix(objective=f"{objective:.6g}", refresh=False)
            self._bar.update(iteration - self._bar.n)
        verdict, self.stop_reason = self.stop_reason, "callback"  # stands if one raises
        elapsed = perf_counter() - self._started
        stopping = [
            call(iteration=iteration, objective=objective, elapsed=elapsed, params=self.params)
            if getattr(call, "takes_params", False)
            else call(iteration=iteration, objective=objective, elapsed=elapsed)
            for call in self.callbacks
        ]
        if not any(stopping):
            self.stop_reason = verdict
        if self.cancelled is not None and self.cancelled.is_set():
            self.stop_reason = "interrupted"


class NoisyMonitor(Monitor):
    """Judge of a run whose trace is a noisy estimate: it ends after `max_iter` passes."""

    takes_proposals = False

    def _check(self, objective: float, gain: float, params: Any, stats: Any) -> None:
        if not isfinite(objective):
            super()._check(objective, gain, params, stats)

    def _verdict(self, gain: float) -> str | None:
        return "max_iter" if len(self.lower_bounds) > self.max_iter else None


class SamplingMonitor(NoisyMonitor):
    """Judge of a Markov chain: it keeps thinned draws, and the best of them as the parameters.

    Parameters
    ----------
    n_burn : int, default=200
        Iterations before the first that may be kept.
    n_draws : int, default=200
        Draws to keep.
    thin : int, default=1
        Every so many iterations one draw is kept.
    """

    def __init__(
        self,
        total_weight: float,
        *,
        n_burn: int = 200,
        n_draws: int = 200,
        thin: int = 1,
        callbacks: Sequence[Callback] = (),
        verbose: int = 0,
        cancelled: Event | None = None,
    ) -> None:
        self.n_burn = n_burn
        self.thin = thin
        self.draws: list[Any] = []
        self.draw_objectives: list[float] = []
        self._best: tuple[float, Any, Any] | None = None
        super().__init__(
            total_weight,
            max_iter=n_burn + n_draws * thin,
            callbacks=callbacks,
            verbose=verbose,
            cancelled=cancelled,
        )

    def _record(self, objective: float, params: Any, stats: Any) -> None:
        kept = len(self.lower_bounds) - self.n_burn
        if kept > 0 and kept % self.thin == 0:
            self.draws.append(params)
            self.draw_objectives.append(objective)
        super()._record(objective, params, stats)
        if kept > 0 and kept % self.thin == 0:
            self._judge(objective, params, stats)

    def _judge(self, objective: float, params: Any, stats: Any) -> None:
        if self._best is None or objective > self._best[0]:
            self._best = objective, params, stats

    def result(self) -> FitResult | None:
        """Return the best kept draw and all kept draws; before the first, the present state."""
        result = super().result()
        if result is None:
            return None
        kept = max(result.n_iter - self.n_burn, 0) // self.thin
        del self.draws[kept:], self.draw_objectives[kept:]
        result.draws, result.draw_objectives = self.draws, self.draw_objectives
        if kept:
            # The last draw is not judged yet if Ctrl-C came right after it.
            self._judge(self.draw_objectives[-1], self.draws[-1], result.stats)
            assert self._best is not None
            result.lower_bound, result.params, result.stats = self._best
        return result


def _progress_bar(total: int) -> Any:
    from tqdm import tqdm

    return tqdm(total=total, unit="iteration")
