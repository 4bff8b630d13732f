"""vemfast, through its public estimator."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from sklearn.exceptions import ConvergenceWarning

from benchmarks.compare import Options, Run
from benchmarks.suite.workloads import Problem, Workload

NAME = "vemfast"


def absent(options: Options) -> str:
    try:
        from vemfast import GaussianMixture  # noqa: F401
    except ImportError as error:
        return str(error)
    return ""


def supports(workload: Workload) -> bool:
    return True


def estimator(problem: Problem, threads: int, **changes: Any) -> Any:
    """Return the estimator of a workload, with its fixed start and without early stopping."""
    import vemfast

    workload = problem.workload
    equal = workload.covariance == "tied-spherical"
    settings: dict[str, Any] = {
        "covariance_type": workload.covariance,
        "inference": workload.inference,
        "equal_weights": equal,
        "tol": 0.0,
        "weights_init": None if equal else problem.weights,
        "means_init": problem.means,
        "precisions_init": problem.precisions,
        "n_jobs": threads,
    }
    return vemfast.GaussianMixture(workload.k, **{**settings, **changes})


@contextmanager
def runner(problem: Problem, threads: int, options: Options) -> Iterator[Callable[[int], Run]]:
    def run(iterations: int) -> Run:
        model = estimator(problem, threads, max_iter=iterations)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            start = perf_counter()
            model.fit(problem.X)
            seconds = perf_counter() - start
        if model.n_iter_ != iterations:
            raise RuntimeError(f"{NAME} made {model.n_iter_} updates instead of {iterations}")
        return Run(seconds, model.means_)

    yield run
