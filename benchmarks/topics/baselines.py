"""What each step buys: the same step in lists and loops, NumPy, Cython, and natively.

Every row makes the same numbers (a test holds them to 1e-9, the autoencoder's native ones to 1e-4).
"lists" is Python with its standard library, measured on a fiftieth of the data and multiplied;
"NumPy" is `vemfast.reference` with one BLAS thread; "Cython" is `baselines/loops.pyx`, typed loops
as a user would write them, compiled with -O3 for this processor; "native" is the library with one
thread and with all. The data are float64, and each call is a whole step: an E-step and an update,
of topics the E-step with 20 inner iterations a document. Of the autoencoder it is the gradient of
one batch, which the library computes in single precision and all others in double.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from time import perf_counter
from typing import Any

from threadpoolctl import threadpool_limits

from benchmarks.baselines import compiled
from benchmarks.baselines.steps import CASES
from benchmarks.timing import Sample, rounds
from benchmarks.topics import Quotient, Record, Settings, record

TITLE = "What each step buys"
SHARE = 0.02  # of the data, for lists
SIZES = {"mixture": 200_000, "chain": 50_000, "topics": 1000, "autoencoder": 5000}
WAYS = ("lists", "NumPy", "Cython", "native, one thread", "native, all threads")


def _timed(call: Callable[[], Any]) -> float:
    begin = perf_counter()
    call()
    return perf_counter() - begin


def measure(settings: Settings) -> Iterator[Record]:
    """Yield a record a model."""
    for name in settings.pick(CASES):
        case = CASES[name](n=max(50, round(SIZES[name] * settings.scale)), share=SHARE)
        calls: dict[str, Callable[[], Any]] = {
            "NumPy": case.twin,
            "Cython": case.cython,
            "native, one thread": lambda case=case: case.native(1),
            "native, all threads": lambda case=case: case.native(settings.threads),
        }
        facts: dict[str, str | float] = {}
        if compiled.absent():
            facts["skipped: Cython"] = compiled.absent()
            del calls["Cython"]
        measures = {way: (lambda call=call: _timed(call)) for way, call in calls.items()}
        with threadpool_limits(1, user_api="blas"):
            rounds(measures, 1)
            samples = rounds(measures, settings.repeats)
            slow = [_timed(case.lists) / SHARE for _ in range(min(2, settings.repeats))]
        # Rounds of `lists` are few: its quotients take their median.
        middle = Sample(tuple(slow)).median
        samples = {"lists": Sample((middle,) * settings.repeats)} | samples
        steps = [way for way in WAYS if way in samples]
        bought = [Quotient(a, b) for a, b in pairwise(steps)]
        bought.append(Quotient("lists", "native, all threads"))
        yield record(case.title, samples, bought, **facts)
