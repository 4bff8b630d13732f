"""Sections about whole fits: a small one, the memory of a large one, and its start."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from time import perf_counter
from typing import Any

from sklearn.cluster import kmeans_plusplus
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from benchmarks import memory
from benchmarks.compare import vemfast as ours
from benchmarks.session import Record, Settings, header, note
from benchmarks.suite.workloads import SMALL, Problem, make
from benchmarks.timing import Sample, iteration, rounds


def small(settings: Settings) -> Iterator[Record]:
    """S1: a whole fit with the defaults of each and a k-means start, and what it found."""
    if settings.only and SMALL.name not in settings.only:
        return
    problem = make(SMALL.name, "float64", 1.0, settings.seed)
    classes: dict[str, Any] = {"sklearn": GaussianMixture}
    if "vemfast" in settings.present():
        import vemfast

        classes = {"vemfast": vemfast.GaussianMixture, **classes}
    found: dict[str, Any] = {}

    def fit(name: str) -> float:
        model = classes[name](SMALL.k, init_params="kmeans", random_state=0)
        start = perf_counter()
        model.fit(problem.X)
        seconds = perf_counter() - start
        found[name] = {"iterations": model.n_iter_, "score": float(model.score(problem.X))}
        return seconds

    with warnings.catch_warnings(), threadpool_limits(settings.threads):
        warnings.simplefilter("ignore", ConvergenceWarning)
        measures = {name: (lambda name=name: fit(name)) for name in classes}
        rounds(measures, 2)
        samples = rounds(measures, 10 * settings.repeats)
    note("S1", {name: str(sample) for name, sample in samples.items()})
    seconds = {name: sample.seconds for name, sample in samples.items()}
    yield header("small", problem, settings) | {"seconds": seconds, "found": found}


def peak_memory(settings: Settings) -> Iterator[Record]:
    """G1: peak resident memory above the data."""
    for problem in settings.problems(["G1"], settings.dtypes):
        peers = [name for name in settings.present() if name in ("vemfast", "sklearn")]
        peaks = {name: memory.measure(name, problem, settings.threads) for name in peers}
        note(problem.workload.name, problem.X.dtype, "peak bytes above the data", peaks)
        yield header("memory", problem, settings) | {"bytes": peaks}


def price_of_start(problem: Problem, settings: Settings) -> dict[str, Sample]:
    """Measure k-means++ in the estimator (a difference of two fits), an iteration, and a peer."""
    free: dict[str, Any] = dict.fromkeys(("weights_init", "means_init", "precisions_init"))
    free |= {"init_params": "k-means++", "random_state": 0}

    def seconds(**changes: Any) -> float:
        model = ours.estimator(problem, settings.threads, max_iter=1, **changes)
        start = perf_counter()
        model.fit(problem.X)
        return perf_counter() - start

    def theirs() -> float:
        with threadpool_limits(settings.threads):
            start = perf_counter()
            kmeans_plusplus(problem.X, problem.workload.k, random_state=0)
            return perf_counter() - start

    with ours.runner(problem, settings.threads, settings.options) as run:
        one, _, _ = iteration(run, settings.target)
        measures = {
            "k-means++": lambda: seconds(**free) - seconds(),
            "iteration": one,
            "sklearn k-means++": theirs,
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return rounds(measures, settings.repeats)


def starts(settings: Settings) -> Iterator[Record]:
    """G1 and G2: what k-means++ costs, against one EM iteration."""
    if "vemfast" not in settings.present():
        return
    for problem in settings.problems(["G1", "G2"], ["float64"]):
        samples = price_of_start(problem, settings)
        note(problem.workload.name, {name: str(sample) for name, sample in samples.items()})
        record = {"seconds": {name: sample.seconds for name, sample in samples.items()}}
        yield header("starts", problem, settings) | record
