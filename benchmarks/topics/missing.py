"""A fit to rows with missing values, beside the same fit to complete rows.

The data and the start of G1 (K Gaussian clusters, D = 16, K = 32) with 200,000 rows, ten
iterations of EM. `random`: each value is missing with probability 0.1, so that most rows have a
pattern of missing features that few others have. `patterns`: half of the rows have one of eight
patterns of three missing features, as where a form was cut short or a sensor was off. `impute`
completes the rows of `random`. The ratio asked for is that of full covariances.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from benchmarks.suite.workloads import Problem, make
from benchmarks.timing import rounds
from benchmarks.topics import Quotient, Record, Settings, record

TITLE = "Missing values"
ITERATIONS = 10


def _holes(X: Any, seed: int) -> dict[str, Any]:
    n, d = X.shape
    rng = np.random.default_rng(seed)
    scattered, grouped = X.copy(), X.copy()
    scattered[rng.random(X.shape) < 0.1] = np.nan
    which = rng.integers(16, size=n)
    for number in range(8):
        grouped[np.ix_(which == number, rng.choice(d, 3, replace=False))] = np.nan
    return {"complete": X, "random": scattered, "patterns": grouped}


def _mixture(problem: Problem, covariance: str, iterations: int, threads: int) -> Any:
    import vemfast

    k, d = problem.workload.k, problem.workload.d
    precisions = {
        "full": np.tile(np.eye(d), (k, 1, 1)),
        "tied": np.eye(d),
        "diag": np.ones((k, d)),
        "spherical": np.ones(k),
        "tied-spherical": 1.0,
    }
    return vemfast.GaussianMixture(
        k,
        covariance_type=covariance,
        weights_init=problem.weights,
        means_init=problem.means,
        precisions_init=precisions[covariance],
        tol=0.0,
        max_iter=iterations,
        n_jobs=threads,
        missing="marginalize",
    )


def _case(problem: Problem, covariance: str, settings: Settings) -> Record:
    data = _holes(problem.X, settings.seed)

    def fitting(X: Any) -> Callable[[], float]:
        def measure() -> float:
            model = _mixture(problem, covariance, ITERATIONS, settings.threads)
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
        fitted = _mixture(problem, covariance, 1, settings.threads).fit(data["random"])
        measures = {name: fitting(X) for name, X in data.items()} | {"impute": imputing}
        rounds(measures, 1)
        samples = rounds(measures, settings.repeats)
    most = 4.0 if covariance == "full" else None
    asked = [Quotient("random", "complete", most=most), Quotient("patterns", "complete")]
    n, d = problem.X.shape
    case = f"{n:,} x {d}, {problem.workload.k}, {covariance}, {problem.X.dtype}"
    return record(case, samples, asked)


def measure(settings: Settings) -> Iterator[Record]:
    """Yield a record a covariance type, and one of float32."""
    problem = make("G1", "float64", 0.2 * settings.scale, settings.seed)
    for covariance in ("full", "tied", "diag", "spherical", "tied-spherical"):
        yield _case(problem, covariance, settings)
    yield _case(make("G1", "float32", 0.2 * settings.scale, settings.seed), "full", settings)
