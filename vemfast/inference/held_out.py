"""Early stopping: a run ends when the score of held-out rows no longer rises."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import inf
from threading import Event
from typing import Any

from vemfast.inference.engine import Control
from vemfast.inference.monitor import FitResult, NoisyMonitor
from vemfast.models.base import Model, Step

__all__ = ["HeldOutControl", "HeldOutMonitor"]


class HeldOutMonitor(NoisyMonitor):
    """Judge of a noisy run by rows that it does not see; the best parameters are its result.

    Parameters
    ----------
    total_weight : float
    score : callable
        Parameters -> score of the held-out rows: higher is better.
    least_gain : float
        A rise of less than this is none.
    patience : int
        Passes without a rise after which the run has converged.
    wait : float
        Passes that are not judged.
    """

    def __init__(
        self,
        total_weight: float,
        *,
        score: Callable[[Any], float],
        least_gain: float,
        patience: int,
        wait: float,
        **watch: Any,
    ) -> None:
        self.score, self.least_gain, self.patience, self.wait = score, least_gain, patience, wait
        self._best: tuple[float, Any, Any] | None = None
        self._idle = 0
        super().__init__(total_weight, **watch)

    def _record(self, objective: float, params: Any, stats: Any) -> None:
        score = self.score(params)
        super()._record(objective, params, stats)
        if self.n_iter < self.wait:
            return
        last = -inf if self._best is None else self._best[0]
        self._idle = 0 if score > last + self.least_gain else self._idle + 1
        if self._best is None or score > last:
            self._best = score, params, stats

    def _verdict(self, gain: float) -> str | None:
        if self._idle >= self.patience:
            return "tolerance"
        return super()._verdict(gain)

    def result(self) -> FitResult | None:
        """Return the parameters of the best score; before any, the latest."""
        result = super().result()
        if result is None:
            return None
        if self._best is None:
            return result
        return replace(result, params=self._best[1], stats=self._best[2])


@dataclass(frozen=True, slots=True)
class HeldOutControl(Control):
    """A run of the minibatch schedule with early stopping; see `HeldOutMonitor`."""

    score: Callable[[Any], float] | None = None
    least_gain: float = 1e-4
    patience: int = 10
    wait: float = 0.0

    def monitor(
        self, model: Model, blocks: Sequence[Any], step: Step, cancelled: Event | None = None
    ) -> HeldOutMonitor:
        """Return the judge of one run."""
        assert self.score is not None
        return HeldOutMonitor(
            sum(block.total_weight for block in blocks),
            score=self.score,
            least_gain=self.least_gain,
            patience=self.patience,
            wait=self.wait,
            max_iter=self.max_iter,
            callbacks=self.callbacks,
            verbose=self.verbose,
            cancelled=cancelled,
        )
