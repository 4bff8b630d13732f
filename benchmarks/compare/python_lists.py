"""Lists and loops (`baselines/gmm_lists.py`): full covariances, on few rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

import numpy as np

from benchmarks.baselines.gmm_lists import em_step
from benchmarks.compare import Options, Run
from benchmarks.suite.workloads import Problem, Workload

NAME = "lists and loops"
MOST_FLOPS = 3e8  # about half a minute


def absent(options: Options) -> str:
    return ""


def supports(workload: Workload) -> bool:
    return (
        workload.covariance == "full"
        and workload.inference == "em"
        and workload.flops <= MOST_FLOPS
    )


@contextmanager
def runner(problem: Problem, threads: int, options: Options) -> Iterator[Callable[[int], Run]]:
    rows = problem.X.tolist()
    identity = np.eye(problem.workload.d).tolist()

    def run(iterations: int) -> Run:
        weights, means = problem.weights.tolist(), problem.means.tolist()
        covariances = [identity] * problem.workload.k
        start = perf_counter()
        for _ in range(iterations):
            weights, means, covariances, _ = em_step(rows, weights, means, covariances)
        return Run(perf_counter() - start, np.array(means))

    yield run
