"""Thousands of small fits: `vemfast.fit_many` beside a loop over scikit-learn.

10,000 data sets of 180 x 2 rows (workload S1, each with centres, covariances and weights of its
own), K = 3, full covariances, k-means start, each library's defaults. The loops are timed on some
of the data sets, evenly spaced (500 with vemfast's own estimator, 200 with scikit-learn), and their
time is scaled to all. scikit-learn has one thread, on which it fits such data faster than on more.
`lower bound` is the mean over the data sets of its loop, in nats a row.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
from sklearn import mixture
from threadpoolctl import threadpool_limits

from benchmarks.suite.workloads import SMALL, make
from benchmarks.timing import rounds
from benchmarks.topics import Quotient, Record, Settings, record

TITLE = "Thousands of small fits"
DATA_SETS = 10_000
OWN_LOOP, PEER_LOOP = 500, 200
PEERS = {"em": mixture.GaussianMixture, "mean-field": mixture.BayesianGaussianMixture}
SINGLE_FITS = 20  # of one round of the single fit


def seconds_of(task: Callable[[], object], share: float = 1.0) -> float:
    """Return the seconds of a task without its warnings, scaled up from a share."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = perf_counter()
        task()
        return (perf_counter() - start) / share


def _some(data: list[Any], count: int) -> list[Any]:
    return data[:: max(1, len(data) // count)]


def _many(dtype: str, inference: str, least: float | None, settings: Settings) -> Record:
    import vemfast

    count = max(20, round(DATA_SETS * settings.scale))
    data = [make(SMALL.name, dtype, seed=settings.seed + i).X for i in range(count)]
    own, theirs = _some(data, OWN_LOOP), _some(data, PEER_LOOP)
    k, threads = SMALL.k, settings.threads

    def many() -> Any:
        return vemfast.fit_many(data, k, inference=inference, random_state=0, n_jobs=threads)

    def single() -> None:
        for X in own:
            vemfast.GaussianMixture(k, inference=inference, random_state=0, n_jobs=threads).fit(X)

    def loop() -> list[Any]:
        with threadpool_limits(1):
            return [PEERS[inference](n_components=k, random_state=0).fit(X) for X in theirs]

    measures = {
        "fit_many": lambda: seconds_of(many),
        "loop": lambda: seconds_of(single, len(own) / count),
        "scikit-learn": lambda: seconds_of(loop, len(theirs) / count),
    }
    facts: dict[str, float | str] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits, peers = many(), loop()
    facts["failed"] = int(fits.failed.sum())
    facts["iterations"] = float(fits.n_iter.mean())
    facts["iterations, scikit-learn"] = float(np.mean([fit.n_iter_ for fit in peers]))
    if inference == "em":
        bound = np.mean(fits.lower_bound[:: max(1, count // PEER_LOOP)]) / SMALL.n
        facts["lower bound"] = float(bound)
        facts["lower bound, scikit-learn"] = float(np.mean([f.lower_bound_ for f in peers]))
    samples = rounds(measures, settings.repeats)
    quotients = [Quotient("scikit-learn", "fit_many", least=least), Quotient("loop", "fit_many")]
    case = f"{count:,} of {SMALL.n} x {SMALL.d}, {k}, {inference}, {dtype}"
    return record(case, samples, quotients, **facts)


def _one(settings: Settings) -> Record:
    import vemfast

    X, k = make(SMALL.name, seed=settings.seed).X, SMALL.k
    models: dict[str, Callable[[], Any]] = {
        "vemfast": lambda: vemfast.GaussianMixture(k, random_state=0),
        "scikit-learn": lambda: mixture.GaussianMixture(n_components=k, random_state=0),
    }

    def seconds(name: str) -> float:
        def fits() -> None:
            for _ in range(SINGLE_FITS):
                models[name]().fit(X)

        with threadpool_limits(1) if name == "scikit-learn" else nullcontext():
            return seconds_of(fits, SINGLE_FITS)

    measures = {name: partial(seconds, name) for name in models}
    rounds(measures, 1)
    samples = rounds(measures, settings.repeats)
    facts = {f"iterations, {name}": float(models[name]().fit(X).n_iter_) for name in models}
    quotients = [Quotient("scikit-learn", "vemfast", least=40)]
    return record(f"one of {SMALL.n} x {SMALL.d}, {k}, em, float64", samples, quotients, **facts)


def measure(settings: Settings) -> Iterator[Record]:
    """Yield a record a dtype and rung, and one of a single fit."""
    yield _one(settings)
    yield _many("float64", "em", 300, settings)
    yield _many("float32", "em", None, settings)
    yield _many("float64", "mean-field", None, settings)
