"""The minibatch schedule: one update a batch, with statistics that forget.

Stepwise EM (Cappé and Moulines 2009) with a point, stochastic variational inference (Hoffman et
al. 2013) with a posterior: blending the statistics of conjugate parameters is a natural gradient
step.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

from vemfast.execution.local_state import forget
from vemfast.execution.threads import e_step
from vemfast.inference.monitor import Monitor
from vemfast.models.base import Model, Step
from vemfast.stats import Stats

__all__ = ["blend", "check_rates", "estimate", "minibatch", "rate_of"]


def check_rates(learning_decay: float, learning_offset: float) -> None:
    """Raise a ValueError unless updates at these rates converge."""
    if not 0.5 < learning_decay <= 1:
        raise ValueError(f"learning_decay must be in (0.5, 1]; got {learning_decay!r}")
    if not learning_offset >= 0:
        raise ValueError(f"learning_offset must be >= 0; got {learning_offset!r}")


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
    noisy estimate of the objective. The first update uses the last batch alone, unless the model
    has more of them begin (`Model.opening`). A model may make its pass itself (`Model.sweep`).
    """
    whole = sum(block.total_weight for block in blocks)
    block, batches = model.opening(blocks)
    rates = (rate_of(t, learning_decay, learning_offset) for t in count(batches))
    stats = estimate(model, params, block, step, whole)
    while not monitor.stop(stats.local_bound + model.global_term(params), params, stats):
        step = step.next
        swept = model.sweep(params, stats, blocks, step, rates)
        params, stats = swept or _sweep(model, params, stats, blocks, step, whole, rates)


def _sweep(
    model: Model,
    params: Any,
    stats: Stats,
    blocks: Sequence[Any],
    step: Step,
    whole: float,
    rates: Iterator[float],
) -> tuple[Any, Stats]:
    """Return parameters and statistics after one update a block."""
    for block in blocks:
        params = model.update(params, stats, step)
        stats = blend(stats, estimate(model, params, block, step, whole), next(rates))
    return params, stats


def rate_of(updates: int, learning_decay: float, learning_offset: float) -> float:
    """Return the share that the latest of so many updates takes."""
    return float((updates + learning_offset) ** -learning_decay)


def blend(stats: Stats, part: Stats, rate: float) -> Stats:
    """Return statistics that forget: `part` takes the share `rate`."""
    return (1.0 - rate) * stats + rate * part


def estimate(model: Model, params: Any, block: Any, step: Step, whole: float) -> Stats:
    """Return the statistics of all data as estimated from one batch."""
    part = e_step(model, model.prepare(params), [block], step)
    forget([block])  # it would be of parameters long past when the block's turn comes again
    return part * float(whole / block.total_weight)
