"""Threads: how many, and the E-step over several blocks.

Whatever the number of threads, statistics are added in one fixed tree over the blocks' positions,
so the result has the same bits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from numbers import Integral
from typing import Any

from vemfast.execution.local_state import put_aside
from vemfast.models.base import Model, Step
from vemfast.stats import Stats, fold
from vemfast.streams import StreamBlock, sum_parts

__all__ = ["e_step", "effective_n_jobs"]


def e_step(model: Model, prepared: Any, blocks: Sequence[Any], step: Step) -> Stats:
    """Return the statistics of all blocks together.

    A block of a stream is read in parts, as large as the model's leaves let them be. Local states
    are left in the blocks, to be accepted.
    """
    if len(blocks) == 1 and not isinstance(blocks[0], StreamBlock):
        return put_aside(model.e_step(prepared, blocks[0], step), blocks[0])
    if step.n_jobs > 1 and not model.threads_within:
        return fold(_in_threads(model, prepared, blocks, step))

    def own(part: Any) -> Stats:
        return put_aside(model.e_step(prepared, part, step), part)

    return fold(sum_parts(own, block, model.leaf_rows(block.dtype)) for block in blocks)


def _in_threads(model: Model, prepared: Any, blocks: Sequence[Any], step: Step) -> Iterator[Stats]:
    """Yield the statistics of each block; no more blocks are read than are worked on."""
    alone = replace(step, n_jobs=1)
    workers = min(step.n_jobs, len(blocks))
    pool = ThreadPoolExecutor(workers, "vemfast")
    tasks: deque[Future[Stats]] = deque()

    def own(block: Any) -> Stats:
        return put_aside(model.e_step(prepared, block, alone), block)

    try:
        for block in blocks:
            if isinstance(block, StreamBlock):
                block = block.whole()
            tasks.append(pool.submit(own, block))
            if len(tasks) > workers:
                yield tasks.popleft().result()
        while tasks:
            yield tasks.popleft().result()
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
