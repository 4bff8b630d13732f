"""pomegranate (PyTorch): full and diagonal covariances, maximum likelihood.

Its update is exact EM, without inertia and without regularisation of the covariances; on few rows
its Cholesky factor fails, and the fit with it. Responsibilities are of single precision whatever
the data: on 20,000 rows of G1 and 32,768 of G3 in double, its means are within 5e-6 of exact EM's
after one update and after two, and its log density within 3e-7 nats a row. The second update of G1
gains 0.8 nats a row: who is apart by that has made one update fewer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

import numpy as np

from benchmarks.compare import Options, Run
from benchmarks.suite.workloads import Problem, Workload

NAME = "pomegranate"


def absent(options: Options) -> str:
    try:
        import pomegranate.gmm  # noqa: F401
    except ImportError as error:
        return str(error)
    return ""


def supports(workload: Workload) -> bool:
    return workload.covariance in ("full", "diag") and workload.inference == "em"


@contextmanager
def runner(problem: Problem, threads: int, options: Options) -> Iterator[Callable[[int], Run]]:
    import torch
    from pomegranate.distributions import Normal
    from pomegranate.gmm import GeneralMixtureModel

    workload = problem.workload
    dtype = torch.from_numpy(problem.X[:0]).dtype
    X = torch.from_numpy(problem.X)
    weights, means = (torch.tensor(a, dtype=dtype) for a in (problem.weights, problem.means))
    unit = torch.eye(workload.d, dtype=dtype)
    unit = unit if workload.covariance == "full" else unit.diagonal()

    def run(iterations: int) -> Run:
        components = [
            Normal(mean.clone(), unit.clone(), workload.covariance, check_data=False)
            for mean in means
        ]
        # The tolerance of a gain: it never ends a fit.
        model = GeneralMixtureModel(
            components, weights, max_iter=iterations, tol=-float("inf"), check_data=False
        )
        start = perf_counter()
        model.fit(X)
        seconds = perf_counter() - start
        found = torch.stack([component.means for component in model.distributions])
        return Run(seconds, found.detach().numpy().astype(np.float64))

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield run
    finally:
        torch.set_num_threads(before)
