"""Many starts of many fits, in rounds, after each of which hopeless starts are given up.

Rounds are as in successive halving (Karnin, Koren and Somekh 2013; Jamieson and Talwalkar 2016),
each twice as long as the one before, but the objective of a fit only rises, which tells more than
a rank: a start is given up if it is in the worse half of its fit's starts and gained less in the
whole round than it lacks to the best. All of a round are judged together when it has ended, so the
result does not depend on threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from math import inf
from threading import Event
from typing import Any

from vemfast.errors import NumericalError
from vemfast.inference.engine import Control, run
from vemfast.inference.monitor import FitResult
from vemfast.models.base import Model, Step

__all__ = ["FIRST_ROUND", "Race", "run_races"]

FIRST_ROUND = 8  # iterations: fewer say more of the start than of where it leads


@dataclass(eq=False)
class Runner:
    """One start: what it reached, and what became of it."""

    step: Step
    result: FitResult | None = None
    gain: float = inf  # of the latest round, nats
    failure: NumericalError | None = None
    is_running: bool = True
    is_hopeless: bool = False


@dataclass(eq=False)
class Race:
    """The starts of one fit.

    Attributes
    ----------
    model : Model
    blocks : sequence of block
    control : Control
        Of a whole fit.
    start : callable
        ``start(step)`` returns first parameters.
    runners : list of Runner
        One a start.
    """

    model: Model
    blocks: Sequence[Any]
    control: Control
    start: Callable[[Step], Any]
    runners: list[Runner] = field(default_factory=list)

    def add(self, step: Step) -> None:
        """Add a start, whose draws are keyed on the seed of `step`."""
        self.runners.append(Runner(step))

    def advance(self, runner: Runner, limit: int, cancelled: Event | None) -> None:
        """Take one start to `limit` iterations in all, or to its end."""
        before, done = runner.result, 0 if runner.result is None else runner.result.n_iter
        limit = min(limit, self.control.max_iter)
        control = replace(self.control, max_iter=limit - done)
        try:
            params = self.start(runner.step) if before is None else before.params
            result = run(self.model, self.blocks, params, runner.step, control, cancelled)
        except NumericalError as error:
            runner.failure, runner.is_running = error, False
            return
        runner.gain = result.lower_bound - result.lower_bounds[0]
        runner.result = result if before is None else _joined(before, result)
        runner.is_running = result.stop_reason == "max_iter" and limit < self.control.max_iter

    def ranked(self) -> list[Runner]:
        """Return the starts that did not fail, best first: sound ones, then by objective.

        A collapsed component has as high a likelihood as one likes, and would win over all.
        """
        reached = [runner for runner in self.runners if runner.result is not None]
        reached = [runner for runner in reached if runner.failure is None]
        return sorted(reached, key=lambda r: (self.is_degenerate(r), -_objective(r)))

    def is_degenerate(self, runner: Runner) -> bool:
        """Say whether the model finds fault with what a start reached."""
        result = runner.result
        return result is None or bool(self.model.diagnose(result.params, result.stats))

    def give_up_hopeless(self) -> None:
        """Stop the starts that the rule of this module calls hopeless."""
        alive = [runner for runner in self.ranked() if not runner.is_hopeless]
        for runner in alive[(len(alive) + 1) // 2 :]:
            lacks = _objective(alive[0]) - _objective(runner)
            if runner.is_running and not runner.gain > lacks:
                runner.is_running, runner.is_hopeless = False, True


def run_races(races: Sequence[Race], workers: int = 1) -> None:
    """Run all starts of all races to their ends, `workers` at once."""
    limit = FIRST_ROUND
    while True:
        pairs = [(race, runner) for race in races for runner in race.runners if runner.is_running]
        if not pairs:
            return
        _advance_all(pairs, limit, workers)
        for race in races:
            race.give_up_hopeless()
        limit *= 2


def _advance_all(pairs: Sequence[tuple[Race, Runner]], limit: int, workers: int) -> None:
    if workers == 1 or len(pairs) == 1:
        for race, runner in pairs:
            race.advance(runner, limit, None)
        return
    cancelled = Event()
    pool = ThreadPoolExecutor(workers, "vemfast-race")
    try:
        tasks = [pool.submit(race.advance, runner, limit, cancelled) for race, runner in pairs]
        for task in tasks:
            task.result()
    except BaseException:
        cancelled.set()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _objective(runner: Runner) -> float:
    return -inf if runner.result is None else runner.result.lower_bound


def _joined(before: FitResult, after: FitResult) -> FitResult:
    """Return one result of two rounds; the second began with an E-step that the first had made."""
    return replace(
        after,
        lower_bounds=before.lower_bounds + after.lower_bounds[1:],
        n_iter=before.n_iter + after.n_iter,
        n_e_steps=before.n_e_steps + after.n_e_steps,
    )
