"""The batch schedule: an E-step over all rows, then one update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vemfast.execution.local_state import accept
from vemfast.execution.threads import e_step
from vemfast.inference.monitor import Monitor
from vemfast.models.base import Model, Step
from vemfast.stats import Stats

__all__ = ["batch", "improved"]


def batch(model: Model, blocks: Sequence[Any], params: Any, step: Step, monitor: Monitor) -> None:
    """Iterate from `params` until `monitor` says stop.

    The parameters that the monitor ends with are those whose objective is last in its trace.
    """
    stats = None
    while True:
        params, stats, objective = _iterate(model, params, stats, blocks, step, monitor)
        if monitor.stop(objective, params, stats):
            return
        accept(blocks)
        step = step.next


def _iterate(
    model: Model,
    params: Any,
    stats: Stats | None,
    blocks: Sequence[Any],
    step: Step,
    monitor: Monitor,
) -> tuple[Any, Stats, float]:
    """Return the next parameters, or the first; their statistics and their objective."""
    at_once = model.iterate(params, stats, blocks, step)
    if at_once is not None:
        return at_once
    if stats is not None:
        params = improved(model, model.update(params, stats, step), stats, blocks, step, monitor)
    stats = e_step(model, model.prepare(params), blocks, step)
    return params, stats, stats.local_bound + model.global_term(params)


def improved(
    model: Model, params: Any, stats: Stats, blocks: Sequence[Any], step: Step, monitor: Monitor
) -> Any:
    """Return the model's proposal where it has one and the objective does not fall by it."""
    if not monitor.takes_proposals:
        return params
    proposal = model.propose(params, stats, blocks, step)
    if proposal is None:
        return params
    monitor.extra_e_steps += 2
    if _objective(model, proposal, blocks, step) >= _objective(model, params, blocks, step):
        return proposal
    monitor.takes_proposals = False
    return params


def _objective(model: Model, params: Any, blocks: Sequence[Any], step: Step) -> float:
    stats = e_step(model, model.prepare(params), blocks, step)
    return stats.local_bound + model.global_term(params)
