"""The batch schedule with Anderson acceleration: fewer E-steps to the same tolerance.

EM is a fixed-point iteration that crawls where much of the data is missing: on overlapping
components. Anderson (1965) mixing solves for where the last few updates together lead. It works on
any model that can say its parameters as a vector without constraints. How it is kept from harm, and
why so: docs/decisions/007-acceleration.md.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vemfast.errors import NumericalError
from vemfast.execution.threads import e_step
from vemfast.inference.batch import improved
from vemfast.inference.monitor import Monitor
from vemfast.models.base import Model, Step
from vemfast.stats import Stats

__all__ = ["Anderson", "accelerated", "check_vectors"]

Array = NDArray[np.float64]
Evaluated = tuple[float, Any, Stats]


def accelerated(
    model: Model, blocks: Sequence[Any], params: Any, step: Step, monitor: Monitor
) -> None:
    """Iterate from `params` until `monitor` says stop.

    An extrapolation is kept only if it gains at least what the tolerance asks for; else the plain
    update is tried, and the better of the two kept. So the objective never falls, and the run ends
    where a plain update gains less than the tolerance, as under the batch schedule.
    """
    mixing, here, x = Anderson(), _evaluated(model, params, blocks, step), model.to_vector(params)
    while not monitor.stop(*here):
        step = step.next
        _, params, stats = here
        plain = improved(model, model.update(params, stats, step), stats, blocks, step, monitor)
        g = model.to_vector(plain)
        vector = mixing.ahead(x, g)
        ahead = None if vector is None else _at(model, vector, plain, blocks, step)
        if ahead is not None and ahead[0] >= here[0] + max(monitor.enough, 0.0):
            mixing.judge(kept=True)
        else:
            if vector is not None:
                mixing.judge(kept=False)
                monitor.extra_e_steps += 1
            ahead = _better(ahead, _evaluated(model, plain, blocks, step))
        here, x = ahead, g if ahead[1] is plain else model.to_vector(ahead[1])


def check_vectors(model: Model) -> None:
    """Raise a ValueError unless a model can say its parameters as a vector."""
    if type(model).to_vector is Model.to_vector:
        raise ValueError(
            f"accelerate=True needs to_vector and from_vector, which {type(model).__name__} does "
            "not have; use accelerate=False"
        )


class Anderson:
    """Memory of updates x -> g(x), and where they lead together.

    Parameters
    ----------
    depth : int, default=5
        Differences of updates that are remembered.
    period : int, default=3
        Every so many updates there is an extrapolation; those between keep the memory true.
    """

    def __init__(self, depth: int = 5, period: int = 3) -> None:
        self.period = period
        self.count = 0
        self.ridge = _RIDGE
        self.reach = _REACH
        self.leaps = False
        self.ends: deque[Array] = deque(maxlen=depth + 1)
        self.steps: deque[Array] = deque(maxlen=depth + 1)

    def ahead(self, x: Array | None, g: Array | None) -> Array | None:
        """Return where the updates up to x -> g lead; None while there is nothing to say.

        The affine combination of the updates whose steps g - x cancel best, in the sense of
        ridge regression: of the latest step on how steps changed, each scaled to unit length.
        Where a point has no vector all is forgotten.

        Near a saddle or on a ridge steps grow, and the fixed point of the affine map lies behind.
        Then the latest step is prolonged instead, by a reach that learns from what is kept.
        """
        if x is None or g is None:
            self.ends.clear()
            self.steps.clear()
            return None
        self.count += 1
        self.ends.append(g)
        self.steps.append(g - x)
        if len(self.ends) == 1 or self.count % self.period:
            return None
        moves = np.diff(np.array(self.ends), axis=0)
        changes = np.diff(np.array(self.steps), axis=0)
        lengths = np.sqrt((changes**2).sum(axis=1))
        told = lengths > 0
        if not told.any():
            return None
        units = changes[told] / lengths[told, None]
        gram = units @ units.T
        gram.flat[:: len(gram) + 1] += self.ridge
        share = np.linalg.solve(gram, units @ self.steps[-1]) / lengths[told]
        beyond, step = -share @ moves[told], self.steps[-1]
        self.leaps = bool(beyond @ step < 0)
        if not self.leaps:
            return np.asarray(g + beyond)
        return np.asarray(g + self.reach * step)

    def judge(self, kept: bool) -> None:
        """Be bolder after an extrapolation that was kept, and much more careful after another."""
        if self.leaps:
            self.reach = self.reach * 4.0 if kept else max(self.reach / 4.0, 1.0)
        elif kept:
            self.ridge = max(self.ridge / 4.0, _LEAST_RIDGE)
        else:
            self.ridge = min(16.0 * self.ridge, _LARGEST_RIDGE)


_RIDGE, _LEAST_RIDGE, _LARGEST_RIDGE = 1e-2, 1e-10, 1e3
_REACH = 16.0


def _at(
    model: Model, vector: Array, plain: Any, blocks: Sequence[Any], step: Step
) -> Evaluated | None:
    """Return the point that a vector says, evaluated; None if there is none."""
    proposal = model.from_vector(vector, plain)
    if proposal is None:
        return None
    try:
        ahead = _evaluated(model, proposal, blocks, step)
    except NumericalError:
        return None
    return ahead if isfinite(ahead[0]) else None


def _evaluated(model: Model, params: Any, blocks: Sequence[Any], step: Step) -> Evaluated:
    stats = e_step(model, model.prepare(params), blocks, step)
    return stats.local_bound + model.global_term(params), params, stats


def _better(extrapolated: Evaluated | None, plain: Evaluated) -> Evaluated:
    if extrapolated is not None and extrapolated[0] > plain[0]:
        return extrapolated
    return plain
