"""The library's own NumPy reference, under the same driver as the native model."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from benchmarks.compare import Options, Run
from benchmarks.suite.workloads import Problem, Workload

NAME = "NumPy twin"


def absent(options: Options) -> str:
    try:
        from vemfast.reference.gaussian_mixture import GaussianMixture  # noqa: F401
    except ImportError as error:
        return str(error)
    return ""


def supports(workload: Workload) -> bool:
    return workload.inference != "hard-em"


def twin(problem: Problem) -> tuple[Any, Any]:
    """Return the reference model with the estimator's default priors, and the fixed start."""
    from vemfast import RowBlock, Step
    from vemfast.models.gaussian_config import GaussianConfig, Prior, Start
    from vemfast.reference.gaussian_mixture import GaussianMixture

    k, d, covariance = problem.workload.k, problem.workload.d, problem.workload.covariance
    X = problem.X.astype(np.float64, copy=False)
    variances = X.var(axis=0)
    proper = problem.workload.inference == "mean-field"
    scale = {"full": np.cov(X.T, bias=True), "diag": variances, "spherical": variances.mean()}
    prior = Prior(
        weight_type="dirichlet" if proper else "flat",
        weight_concentration=1 / k,
        mean_precision=float(proper),
        mean=np.zeros(d),
        covariance_is_proper=proper,
        degrees_of_freedom=float(d) if proper else 0.0,
        scale=np.asarray(scale[covariance]) * proper,
    )
    config = GaussianConfig(k, d, covariance, prior, X.mean(axis=0), variances, 1e-6)
    model = GaussianMixture(config)
    unit = problem.precisions  # the inverse of unit covariances is the same array
    start = Start(weights=problem.weights, means=problem.means, covariances=unit).fill(None, config)
    if proper:
        step = Step("exact", "posterior")
        stats = model.e_step(model.prepare(start), RowBlock(problem.X), step)
        return model, model.update(start, stats, step)
    return model, start


@contextmanager
def runner(problem: Problem, threads: int, options: Options) -> Iterator[Callable[[int], Run]]:
    """Let the engine thread over blocks, with one BLAS thread in each."""
    import vemfast

    model, begin = twin(problem)
    how = {"inference": problem.workload.inference, "params": begin, "tol": 0.0, "n_jobs": threads}

    def run(iterations: int) -> Run:
        with warnings.catch_warnings(), threadpool_limits(1, user_api="blas"):
            warnings.simplefilter("ignore", ConvergenceWarning)
            start = perf_counter()
            result = vemfast.fit(model, problem.X, max_iter=iterations, **how)
            seconds = perf_counter() - start
        if result.n_iter != iterations:
            raise RuntimeError(f"{NAME} made {result.n_iter} updates instead of {iterations}")
        return Run(seconds, result.params["means"] + model.config.origin)

    yield run
