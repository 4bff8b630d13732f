"""The mixture benchmark: an iteration of every peer on G1 to G6, and the table of sections.

A section yields records, plain dictionaries that become lines of JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

import numpy as np

from benchmarks.compare import Run, load
from benchmarks.compare import vemfast as ours
from benchmarks.fits import peak_memory, small, starts
from benchmarks.session import Record, Settings, header, note
from benchmarks.suite.workloads import HARD, MIXTURES, Problem, make
from benchmarks.timing import iteration, rounds


def disagreement(first: dict[str, Run], problem: Problem) -> dict[str, float]:
    """Return how far the means after one update lie from the first peer's, in spreads of the data.

    JAX does maximum likelihood under mean field, so there it is not compared.
    """
    reference = next(iter(first.values())).means
    spread = float(problem.X[:10_000].std())
    return {
        name: float(np.abs(run.means - reference).max()) / spread
        for name, run in first.items()
        if not (name == "jax_em" and problem.workload.inference == "mean-field")
    }


def compare(problem: Problem, peers: Sequence[str], settings: Settings) -> Record:
    """Seconds an iteration of every peer that fits this model, in interleaved rounds."""
    measures: dict[str, Callable[[], float]] = {}
    first: dict[str, Run] = {}
    counts: dict[str, int] = {}
    failed: dict[str, str] = {}
    with ExitStack() as stack:
        for name in peers:
            adapter = load(name)
            if adapter.supports(problem.workload):
                runner = adapter.runner(problem, settings.threads, settings.options)
                run = stack.enter_context(runner)
                try:
                    measures[name], first[name], counts[name] = iteration(run, settings.target)
                except (ValueError, ArithmeticError, RuntimeError) as error:
                    failed[name] = str(error)
                    note(f"  {adapter.NAME:16} failed: {error}")
        samples = rounds(measures, settings.repeats)
    for name, sample in samples.items():
        note(f"  {load(name).NAME:16} {sample} s")
    return {
        "seconds": {name: sample.seconds for name, sample in samples.items()},
        "iterations": counts,
        "disagreement": disagreement(first, problem) if first else {},
        "failed": failed,
    }


def iterations(settings: Settings) -> Iterator[Record]:
    """G1 to G6: one EM (G6: mean-field) iteration."""
    for problem in settings.problems(list(MIXTURES), settings.dtypes):
        note(problem.workload.name, problem.workload.shape, problem.X.dtype)
        record = compare(problem, settings.present(), settings)
        yield header("iteration", problem, settings) | record


def hard(settings: Settings) -> Iterator[Record]:
    """G5 under hard EM, against Lloyd's k-means."""
    for problem in settings.problems(list(HARD), settings.dtypes):
        note(problem.workload.name, problem.workload.shape, problem.X.dtype)
        record = compare(problem, settings.present(), settings)
        yield header("hard", problem, settings) | record


def baseline(settings: Settings) -> Iterator[Record]:
    """G1 and G2 with the few rows that lists and loops can bear."""
    for name, rows in (("G1", 2_000), ("G2", 20_000)):
        if not settings.only or name in settings.only:
            problem = make(name, "float64", rows / MIXTURES[name].n, settings.seed)
            note(problem.workload.name, problem.workload.shape, "(few rows)")
            record = compare(problem, [*settings.present(), "python_lists"], settings)
            yield header("baseline", problem, settings) | record


def threads(settings: Settings) -> Iterator[Record]:
    """G1 to G6: this library with one thread and with all of them."""
    if "vemfast" not in settings.present():
        return
    for problem in settings.problems(list(MIXTURES), ["float64"]):
        measures = {}
        with ExitStack() as stack:
            for count in (1, settings.threads):
                run = stack.enter_context(ours.runner(problem, count, settings.options))
                measures[str(count)], _, _ = iteration(run, settings.target)
            samples = rounds(measures, settings.repeats)
        note(problem.workload.name, {name: str(sample) for name, sample in samples.items()})
        record = {"seconds": {name: sample.seconds for name, sample in samples.items()}}
        yield header("threads", problem, settings) | record


SECTIONS: dict[str, Callable[[Settings], Iterator[Record]]] = {
    "iterations": iterations,
    "hard": hard,
    "baseline": baseline,
    "small": small,
    "memory": peak_memory,
    "starts": starts,
    "threads": threads,
}
