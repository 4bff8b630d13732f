"""The price of an iteration, measured alike for every peer, in interleaved rounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import nan
from statistics import median

from benchmarks.compare import Run

LEAST_ITERATIONS = 2  # a difference of one iteration drowns in the noise of two fits
MOST_ITERATIONS = 20  # fewer than k-means needs to come to rest


@dataclass(frozen=True)
class Sample:
    """Seconds of each round; what is quoted is the median, with the extremes beside it."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.seconds)

    def __str__(self) -> str:
        return f"{self.median:.3g} [{min(self.seconds):.3g}, {max(self.seconds):.3g}]"


def rounds(measures: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, Sample]:
    """Measure A B C, C B A, A B C, ...: whatever else the machine does meets all of them alike."""
    seconds: dict[str, list[float]] = {name: [] for name in measures}
    order = list(measures)
    for _ in range(repeats):
        for name in order:
            seconds[name].append(measures[name]())
        order.reverse()
    return {name: Sample(tuple(values)) for name, values in seconds.items()}


def ratio(slow: Sample, fast: Sample) -> Sample:
    """Return the quotient within each round; not a number where noise made one negative."""
    if min(slow.seconds + fast.seconds) <= 0:
        return Sample((nan,))
    return Sample(tuple(a / b for a, b in zip(slow.seconds, fast.seconds, strict=True)))


def iteration(run: Callable[[int], Run], target: float) -> tuple[Callable[[], float], Run, int]:
    """Make a measure of one iteration: the difference of fits with 1 + m and with 1, over m.

    A fit with one iteration is thrown away first: it pages in the data, starts the threads and
    compiles. The time of the next, an upper bound of an iteration's, sets m, so that m iterations
    take about `target` seconds. Returns the measure, the first run and m.
    """
    first = run(1)
    probe = run(1) if first.seconds < target else first
    m = min(MOST_ITERATIONS, max(LEAST_ITERATIONS, round(target / probe.seconds)))

    def measure() -> float:
        return (run(1 + m).seconds - run(1).seconds) / m

    return measure, first, m
