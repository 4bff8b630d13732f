"""One update at a time, from rows as they come: the minibatch schedule without its loop.

Whoever calls holds the state, and hands in one block after another. With the rows of a whole known
beforehand the numbers are the minibatch schedule's.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from vemfast.errors import NumericalError
from vemfast.inference.minibatch import blend, estimate, rate_of
from vemfast.models.base import Model, Step
from vemfast.stats import Stats

__all__ = ["Progress", "advance", "begin"]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the updates stand.

    Attributes
    ----------
    params : object
        The update of `stats`: what the next block is scored with.
    stats : Stats
        Blended statistics of the blocks, scaled to the weight `whole`.
    objective : float
        At the parameters that made the latest statistics, nats: a noisy estimate.
    updates : int
        Blocks so far.
    seen : float
        Weight of their rows.
    whole : float
    """

    params: Any
    stats: Stats
    objective: float
    updates: int
    seen: float
    whole: float


def begin(model: Model, params: Any, block: Any, step: Step, whole: float | None) -> Progress:
    """Return the state after a first block.

    Parameters
    ----------
    model : Model
    params : object
        To score it with.
    block : Block
    step : Step
    whole : float or None
        Weight of all the rows that blocks are samples of; None: of those seen so far.
    """
    weight = block.total_weight
    scale = weight if whole is None else whole
    stats = estimate(model, params, block, step, scale)
    return _updated(model, params, stats, step.next, 1, weight, scale)


def advance(
    model: Model,
    progress: Progress,
    block: Any,
    step: Step,
    whole: float | None,
    learning_decay: float,
    learning_offset: float,
) -> Progress:
    """Return the state after one more block; `progress` is not changed."""
    seen = progress.seen + block.total_weight
    scale = seen if whole is None else whole
    stats = progress.stats
    if scale != progress.whole:
        stats = stats * (scale / progress.whole)
    part = estimate(model, progress.params, block, step, scale)
    blended = blend(stats, part, rate_of(progress.updates, learning_decay, learning_offset))
    return _updated(model, progress.params, blended, step.next, progress.updates + 1, seen, scale)


def _updated(
    model: Model, params: Any, stats: Stats, step: Step, updates: int, seen: float, whole: float
) -> Progress:
    objective = stats.local_bound + model.global_term(params)
    if not (isfinite(objective) and np.isfinite(stats.buffer).all()):
        raise NumericalError(f"the objective is {objective} after these rows; they are left out")
    return Progress(model.update(params, stats, step), stats, objective, updates, seen, whole)
