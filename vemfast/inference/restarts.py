"""Several starts or chains of one fit, in threads where that pays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from threading import Event
from typing import Any

import numpy as np

from vemfast.errors import NumericalError
from vemfast.inference.monitor import FitResult

__all__ = ["best", "run_starts", "seeds", "share_threads"]

# In multiply-adds of one E-step. Below the first, an iteration is mostly Python, which threads
# only disturb; above the second, one start keeps all threads busy by itself.
_TINY, _LARGE = 1 << 18, 1 << 24

_WORD = (1 << 64) - 1

Start = Callable[[int, Event], FitResult]


def seeds(random_state: Any, n: int) -> list[int]:
    """Return `n` 64-bit seeds; those of a smaller `n` come first in those of a larger.

    Parameters
    ----------
    random_state : int, numpy.random.RandomState, numpy.random.Generator or None
        A generator is advanced.
    n : int
    """
    if isinstance(random_state, np.random.Generator):
        return [int(s) for s in random_state.integers(0, 1 << 64, size=n, dtype=np.uint64)]
    if random_state is None:
        first = int.from_bytes(os.urandom(8), "little")
    elif isinstance(random_state, (int, np.integer)) and random_state >= 0:
        first = int(random_state)
    else:
        from sklearn.utils import check_random_state

        high, low = check_random_state(random_state).randint(0, 1 << 32, size=2, dtype=np.uint64)
        first = int(high) << 32 | int(low)
    return [_mixed(first + i * 0x9E3779B97F4A7C15) for i in range(n)]


def _mixed(x: int) -> int:
    """Return 64 bits that all depend on all of `x` (the finaliser of SplitMix64, Steele 2014)."""
    x ^= x >> 64  # an integer of any size
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & _WORD
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB & _WORD
    return x ^ (x >> 31)


def share_threads(n_starts: int, n_jobs: int, work: int) -> tuple[int, int]:
    """Return how many starts run at once, and the threads of each.

    Parameters
    ----------
    n_starts : int
    n_jobs : int
        Threads in all.
    work : int
        Multiply-adds of one E-step over the data.
    """
    if n_starts == 1 or n_jobs == 1 or not _TINY <= work < _LARGE:
        return 1, n_jobs
    return min(n_starts, n_jobs), 1


def best(results: Iterable[FitResult | None]) -> FitResult | None:
    """Return the result of highest objective, the first of equals; None if there is none."""
    winner = None
    for result in results:
        if result is not None and (winner is None or result.lower_bound > winner.lower_bound):
            winner = result
    return winner


def run_starts(
    start: Start, n_starts: int, *, workers: int = 1, drop_failures: bool = True
) -> list[FitResult]:
    """Run every start and return their results in order.

    Parameters
    ----------
    start : callable
        ``start(i, cancelled)`` runs the i-th; it is to stop soon after `cancelled` is set.
    n_starts : int
    workers : int, default=1
        Starts at once, in threads. The results do not depend on it.
    drop_failures : bool, default=True
        Leave out a start that ends in a NumericalError, unless all do.

    Raises
    ------
    BaseException
        What ended a start, or KeyboardInterrupt. Its `partial` is the best result so far.
    """
    ended: list[FitResult | None] = []
    failures: list[NumericalError] = []
    cancelled = Event()
    pool = ThreadPoolExecutor(workers, "vemfast-start") if workers > 1 else None
    tasks: list[Future[FitResult]] = []
    try:
        if pool is not None:
            tasks = [pool.submit(start, i, cancelled) for i in range(n_starts)]
        for i in range(n_starts):
            try:
                ended.append(tasks[i].result() if tasks else start(i, cancelled))
            except NumericalError as error:
                if not drop_failures:
                    raise
                failures.append(error)
        if not ended:
            raise failures[0]
    except BaseException as error:
        cancelled.set()
        if pool is not None:
            pool.shutdown(cancel_futures=True)
            ended = [_reached(task) for task in tasks]
        own = getattr(error, "partial", None)
        reached = best([*ended, *(failure.partial for failure in failures), own])
        if reached is not None:  # a start that had converged does not make the whole converged
            reason = "interrupted" if own is None else own.stop_reason
            reached = replace(reached, converged=False, stop_reason=reason)
        error.partial = reached  # type: ignore[attr-defined]
        raise
    finally:
        if pool is not None:
            pool.shutdown()
    return [result for result in ended if result is not None]


def _reached(task: Future[FitResult]) -> FitResult | None:
    if task.cancelled():
        return None
    error = task.exception()
    return task.result() if error is None else getattr(error, "partial", None)
