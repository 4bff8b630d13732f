"""Iterations on overlapping and on separated data: rows without responsibility are passed over.

A fit of five iterations of EM from the centres that the rows were drawn around, N(0, s^2), with
rows of unit covariance: overlapping (s = 0.3), apart (s = 30), and apart with the rows sorted by
component. Without the skipping all three take the same time; docs/decisions/003 compares.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from benchmarks.timing import rounds
from benchmarks.topics import Quotient, Record, Settings, record

TITLE = "Skipping what is nothing"
ITERATIONS = 5
SHAPES = ((200_000, 16, 32, "full"), (100_000, 64, 64, "diag"), (400_000, 8, 64, "spherical"))
DATA = {"overlapping": (0.3, False), "apart": (30.0, False), "apart, sorted": (30.0, True)}


def _fit(n: int, d: int, k: int, covariance: str, dtype: str, data: str, settings: Settings) -> Any:
    import vemfast

    spread, is_sorted = DATA[data]
    rng = np.random.default_rng(settings.seed)
    centres = rng.normal(0.0, spread, (k, d))
    labels = rng.integers(k, size=n)
    if is_sorted:
        labels.sort()
    X = (centres[labels] + rng.standard_normal((n, d))).astype(dtype)
    units = {"full": np.tile(np.eye(d), (k, 1, 1)), "diag": np.ones((k, d))}
    model = vemfast.GaussianMixture(
        k,
        covariance_type=covariance,
        weights_init=np.full(k, 1 / k),
        means_init=centres,
        precisions_init=units.get(covariance, np.ones(k)),
        tol=0.0,
        max_iter=ITERATIONS,
        n_jobs=settings.threads,
    )

    def seconds() -> float:
        start = perf_counter()
        model.fit(X)
        return perf_counter() - start

    return seconds


def measure(settings: Settings) -> Iterator[Record]:
    """Yield a record a shape and dtype."""
    for n, d, k, covariance in SHAPES:
        rows = max(round(n * settings.scale), 8 * k * d)
        for dtype in ("float64", "float32"):
            measures: dict[str, Callable[[], float]] = {
                data: _fit(rows, d, k, covariance, dtype, data, settings) for data in DATA
            }
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                rounds(measures, 1)
                samples = rounds(measures, settings.repeats)
            quotients = [Quotient(data, "overlapping") for data in list(DATA)[1:]]
            yield record(f"{rows:,} x {d}, {k}, {covariance}, {dtype}", samples, quotients)
