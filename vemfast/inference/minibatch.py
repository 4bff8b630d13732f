"""The minibatch schedule: one update a batch, with statistics that forget.

Stepwise EM (Cappé and Moulines 2009) with a point, stochastic variational inference (Hoffman et
al. 2013) with a posterior: blending the statistics of conjugate parameters is a natural gradient
step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count
from typing import Any

from vemfast.execution.local_state import forget
from vemfast.execution.threads import e_step
from vemfast.inference.monitor import Monitor
from vemfast.models.base import Model, Step
from vemfast.stats import Stats

__all__ = ["blend", "estimate", "minibatch"]


def minibatch(
    model: Model,
    blocks: Sequence[Any],
    params: Any,
    step: Step,
    monitor: Monitor,
    learning_decay: float = 0.7,
    learning_offset: float = 10.0,
) -> None:
    """Iterate from `params`; an iteration is a pass over all batches, in their order.

    The blended statistics hold a blend of the batches' local bounds too: the trace is a smoothed,
    noisy estimate of the objective. The first update uses the last batch alone. A model may make
    its pass itself (`Model.sweep`).
    """
    whole = sum(block.total_weight for block in blocks)
    mix = partial(blend, learning_decay=learning_decay, learning_offset=learning_offset)
    updates = count(1)
    stats = estimate(model, params, blocks[-1], step, whole)
    while not monitor.stop(stats.local_bound + model.global_term(params), params, stats):
        step = step.next
        swept = model.sweep(params, blocks, step)
        params, stats = swept or _sweep(model, params, stats, blocks, step, whole, updates, mix)


def _sweep(
    model: Model,
    params: Any,
    stats: Stats,
    blocks: Sequence[Any],
    step: Step,
    whole: float,
    updates: Iterator[int],
    mix: Callable[[Stats, Stats, int], Stats],
) -> tuple[Any, Stats]:
    """Return parameters and statistics after one update a block."""
    for block in blocks:
        params = model.update(params, stats, step)
        stats = mix(stats, estimate(model, params, block, step, whole), next(updates))
    return params, stats


def blend(
    stats: Stats, part: Stats, updates: int, learning_decay: float, learning_offset: float
) -> Stats:
    """Return statistics that forget: after so many updates, the latest takes this share."""
    rate = float((updates + learning_offset) ** -learning_decay)
    return (1.0 - rate) * stats + rate * part


def estimate(model: Model, params: Any, block: Any, step: Step, whole: float) -> Stats:
    """Return the statistics of all data as estimated from one batch."""
    part = e_step(model, model.prepare(params), [block], step)
    forget([block])  # it would be of parameters long past when the block's turn comes again
    return part * float(whole / block.total_weight)
