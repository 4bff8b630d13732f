"""scikit-learn: GaussianMixture; under mean field BayesianGaussianMixture, under hard EM KMeans."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from threadpoolctl import threadpool_limits

from benchmarks.compare import Options, Run
from benchmarks.suite.workloads import Problem, Workload

NAME = "scikit-learn"


def absent(options: Options) -> str:
    return ""


def supports(workload: Workload) -> bool:
    return True


class StartedBayesianGaussianMixture(BayesianGaussianMixture):
    """BayesianGaussianMixture from the responsibilities of unit covariances at the means."""

    def start_at(self, problem: Problem) -> StartedBayesianGaussianMixture:
        self.start_means = problem.means
        return self

    def _initialize_parameters(self, X: Any, random_state: Any, xp: Any = None) -> None:
        scores = X @ self.start_means.T - 0.5 * np.sum(self.start_means**2, axis=1)
        scores -= scores.max(axis=1, keepdims=True)
        shares = np.exp(scores)
        self._initialize(X, shares / shares.sum(axis=1, keepdims=True))


def estimator(problem: Problem, iterations: int) -> Any:
    workload, dtype = problem.workload, problem.X.dtype
    if workload.inference == "hard-em":
        start = problem.means.astype(dtype)
        return KMeans(workload.k, init=start, n_init=1, max_iter=iterations, tol=0)
    common: dict[str, Any] = {
        "n_components": workload.k,
        "covariance_type": workload.covariance,
        "tol": 0,
        "max_iter": iterations,
    }
    if workload.inference == "mean-field":
        prior = "dirichlet_distribution"
        model = StartedBayesianGaussianMixture(weight_concentration_prior_type=prior, **common)
        return model.start_at(problem)
    return GaussianMixture(
        weights_init=problem.weights.astype(dtype),
        means_init=problem.means.astype(dtype),
        precisions_init=problem.precisions.astype(dtype),
        **common,
    )


@contextmanager
def runner(problem: Problem, threads: int, options: Options) -> Iterator[Callable[[int], Run]]:
    def run(iterations: int) -> Run:
        model = estimator(problem, iterations)
        with warnings.catch_warnings(), threadpool_limits(threads):
            warnings.simplefilter("ignore", ConvergenceWarning)
            start = perf_counter()
            model.fit(problem.X)
            seconds = perf_counter() - start
        if model.n_iter_ != iterations:
            raise RuntimeError(f"{NAME} made {model.n_iter_} updates instead of {iterations}")
        means = model.cluster_centers_ if hasattr(model, "cluster_centers_") else model.means_
        return Run(seconds, means)

    yield run
