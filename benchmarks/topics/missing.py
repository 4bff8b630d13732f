"""A fit to rows with missing values, beside the same fit to complete rows.

200,000 x 16, K = 32, five iterations of EM from means near the truth. `random`: each value is
missing with probability 0.1, so that most rows have a pattern of missing features that few others
have. `patterns`: half of the rows have one of eight patterns of three missing features each, as
where a form was cut short or a sensor was off. `impute` completes the rows of `random`.
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

TITLE = "Missing values"
ROWS, FEATURES, COMPONENTS, ITERATIONS = 200_000, 16, 32, 5


def _data(n: int, dtype: str, seed: int) -> tuple[dict[str, Any], Any]:
    rng = np.random.default_rng(seed)
    centres = rng.normal(0.0, 2.0, (COMPONENTS, FEATURES))
    mixing = rng.normal(0.0, 1.0, (FEATURES, FEATURES)) / 4 + np.eye(FEATURES)
    X = rng.standard_normal((n, FEATURES)) @ mixing + centres[rng.integers(COMPONENTS, size=n)]
    scattered, grouped = X.copy(), X.copy()
    scattered[rng.random(X.shape) < 0.1] = np.nan
    patterns = [rng.choice(FEATURES, 3, replace=False) for _ in range(8)]
    which = rng.integers(16, size=n)
    for number, pattern in enumerate(patterns):
        grouped[np.ix_(which == number, pattern)] = np.nan
    data = {"complete": X, "random": scattered, "patterns": grouped}
    return {name: rows.astype(dtype) for name, rows in data.items()}, centres + 0.3


def _case(n: int, covariance: str, dtype: str, settings: Settings) -> Record:
    import vemfast

    data, means = _data(n, dtype, settings.seed)

    def mixture(iterations: int) -> Any:
        return vemfast.GaussianMixture(
            COMPONENTS,
            covariance_type=covariance,
            means_init=means,
            tol=0.0,
            max_iter=iterations,
            n_jobs=settings.threads,
            missing="marginalize",
        )

    def fitting(X: Any) -> Callable[[], float]:
        def measure() -> float:
            model = mixture(ITERATIONS)
            start = perf_counter()
            model.fit(X)
            return perf_counter() - start

        return measure

    def imputing() -> float:
        start = perf_counter()
        fitted.impute(data["random"])
        return perf_counter() - start

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = mixture(1).fit(data["random"])
        measures = {name: fitting(X) for name, X in data.items()} | {"impute": imputing}
        rounds(measures, 1)
        samples = rounds(measures, settings.repeats)
    named = covariance == "full" and dtype == "float64"
    asked = [
        Quotient("random", "complete", most=4.0 if named else None),
        Quotient("patterns", "complete"),
    ]
    return record(f"{n:,} x {FEATURES}, {COMPONENTS}, {covariance}, {dtype}", samples, asked)


def measure(settings: Settings) -> Iterator[Record]:
    """Yield a record a covariance type."""
    n = round(ROWS * settings.scale)
    for covariance in ("full", "tied", "diag", "spherical", "tied-spherical"):
        yield _case(n, covariance, "float64", settings)
    yield _case(n, "full", "float32", settings)
