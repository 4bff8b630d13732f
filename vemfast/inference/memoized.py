"""The memoized schedule: one update a batch, each batch's latest statistics kept.

Neal and Hinton (1998); Hughes and Sudderth (2013). The batches were scored at different
parameters, so their local bounds do not add up to a bound; the sum of their statistics gives one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vemfast.execution.local_state import accept
from vemfast.execution.threads import e_step
from vemfast.inference.monitor import Monitor
from vemfast.models.base import Model, Step
from vemfast.stats import Stats, SumTree

__all__ = ["memoized"]


def memoized(
    model: Model, blocks: Sequence[Any], params: Any, step: Step, monitor: Monitor
) -> None:
    """Iterate from `params`; an iteration is a pass over all batches."""
    kept = SumTree([_kept(model, params, block, step) for block in blocks])
    while not monitor.stop(_objective(model, params, kept.total), params, kept.total):
        step = step.next
        for position, block in enumerate(blocks):
            params = model.update(params, kept.total, step)
            kept.replace(position, _kept(model, params, block, step))


def _kept(model: Model, params: Any, block: Any, step: Step) -> Stats:
    stats = e_step(model, model.prepare(params), [block], step)
    accept([block])  # before the pass is over: the next block's update stands on it
    return stats


def _objective(model: Model, params: Any, total: Stats) -> float:
    fit = model.expected_log_joint(params, total)
    return total.entropy + fit + model.global_term(params)
