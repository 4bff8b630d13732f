"""Threads: how many, and the E-step over several blocks.

Whatever the number of threads, statistics are added in one fixed tree over the blocks' positions,
so the result has the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from numbers import Integral
from typing import Any

from vemfast.models.base import Model, Step
from vemfast.stats import Stats, SumTree

__all__ = ["e_step", "effective_n_jobs"]


def e_step(model: Model, prepared: Any, blocks: Sequence[Any], step: Step) -> Stats:
    """Return the statistics of all blocks together."""
    if len(blocks) == 1:
        return model.e_step(prepared, blocks[0], step)
    if step.n_jobs == 1 or model.threads_within:
        return SumTree([model.e_step(prepared, block, step) for block in blocks]).total
    return SumTree(_in_threads(model, prepared, blocks, step)).total


def _in_threads(model: Model, prepared: Any, blocks: Sequence[Any], step: Step) -> list[Stats]:
    alone = replace(step, n_jobs=1)
    pool = ThreadPoolExecutor(min(step.n_jobs, len(blocks)), "vemfast")
    try:
        tasks = [pool.submit(model.e_step, prepared, block, alone) for block in blocks]
        return [task.result() for task in tasks]
    finally:  # after Ctrl-C or an error, blocks that have not begun are not begun
        pool.shutdown(cancel_futures=True)


def effective_n_jobs(n_jobs: int | None = None) -> int:
    """Return the number of threads to use.

    Parameters
    ----------
    n_jobs : int, default=None
        None: what OpenMP may use at present (so that OMP_NUM_THREADS and threadpoolctl limits act)
        and the machine has, a container's processor quota included. Negative, as in joblib: -1 is
        all processors, -2 all but one. A positive number is taken as it is.

    Raises
    ------
    ValueError
        If `n_jobs` is 0.
    TypeError
        If it is not an integer.
    """
    if n_jobs is None:
        return min(_openmp_threads(), _processors())
    if isinstance(n_jobs, bool) or not isinstance(n_jobs, Integral):
        raise TypeError(f"n_jobs must be an integer or None; got {n_jobs!r}")
    if n_jobs == 0:
        raise ValueError("n_jobs=0 has no meaning; use None, a positive number, or -1 for all")
    return int(n_jobs) if n_jobs > 0 else max(_processors() + 1 + int(n_jobs), 1)


@cache
def _processors() -> int:
    # joblib knows the processor quota of a container.
    from joblib import cpu_count  # type: ignore[import-untyped,unused-ignore]

    return int(cpu_count())


def _openmp_threads() -> int:
    try:
        from vemfast import _core
    except ImportError:  # pure Python: no OpenMP to ask
        return _processors()
    return int(_core.max_threads())
