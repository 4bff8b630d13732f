"""Thousands of short series: `vemfast.fit_many` beside loops of single fits.

5,000 series of 200 steps, two states that stay with probability 0.95, each series with means (or
rates) of its own: GaussianHMM on two features with diagonal covariances, and PoissonHMM on one.
EM and mean field from the k-means start, tol 1e-3 nats a step, at most 100 iterations; hmmlearn
with the same tolerance and number of iterations, from starts of its own. The loops are timed on
some of the series, evenly spaced (300 with vemfast's own estimator, 100 with hmmlearn), and their
time is scaled to all.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.timing import rounds
from benchmarks.topics import Quotient, Record, Settings, record
from benchmarks.topics.fit_many import seconds_of

TITLE = "Thousands of short series"
SERIES, STEPS = 5_000, 200
OWN_LOOP, PEER_LOOP = 300, 100


def _series(kind: str, count: int, seed: int) -> list[Any]:
    rng = np.random.default_rng(seed)
    moves = rng.random((count, STEPS)) < 0.05
    states = np.cumsum(moves, axis=1) % 2
    if kind == "PoissonHMM":
        rates = rng.uniform([1, 8], [4, 20], (count, 2))
        return list(rng.poisson(np.take_along_axis(rates, states, axis=1))[..., None])
    means = rng.normal(0, 3, (count, 2, 2))
    noise = rng.normal(size=(count, STEPS, 2))
    return list(means[np.arange(count)[:, None], states] + noise)


def _peer(kind: str, rows: list[Any]) -> None:
    import logging

    from hmmlearn import hmm

    logging.getLogger("hmmlearn").setLevel(logging.ERROR)
    options = {"covariance_type": "diag"} if kind == "GaussianHMM" else {}
    for X in rows:
        getattr(hmm, kind)(2, n_iter=100, tol=1e-3 * STEPS, random_state=0, **options).fit(X)


def _many(kind: str, inference: str, settings: Settings) -> Record:
    import vemfast

    count = max(100, round(SERIES * settings.scale))
    data = _series(kind, count, settings.seed)
    own, theirs = data[:: max(1, count // OWN_LOOP)], data[:: max(1, count // PEER_LOOP)]
    estimator = getattr(vemfast, kind)(2, inference=inference, random_state=0)

    def many(threads: int) -> Any:
        return vemfast.fit_many(data, estimator=estimator, n_jobs=threads)

    def single() -> None:
        for X in own:
            getattr(vemfast, kind)(2, inference=inference, random_state=0, n_jobs=1).fit(X)

    measures = {
        "fit_many": lambda: seconds_of(lambda: many(settings.threads)),
        "fit_many, one thread": lambda: seconds_of(lambda: many(1)),
        "loop": lambda: seconds_of(single, len(own) / count),
    }
    quotients = [Quotient("loop", "fit_many"), Quotient("fit_many, one thread", "fit_many")]
    if inference == "em":
        measures["hmmlearn"] = lambda: seconds_of(lambda: _peer(kind, theirs), len(theirs) / count)
        quotients.insert(0, Quotient("hmmlearn", "fit_many"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits = many(settings.threads)
    facts = {"failed": float(fits.failed.sum()), "iterations": float(fits.n_iter.mean())}
    samples = rounds(measures, settings.repeats)
    case = f"{count:,} of {STEPS} steps, {kind}, {inference}"
    return record(case, samples, quotients, **facts)


def measure(settings: Settings) -> Iterator[Record]:
    """Yield a record a family and rung."""
    for kind in ("GaussianHMM", "PoissonHMM"):
        for inference in ("em", "mean-field"):
            yield _many(kind, inference, settings)
