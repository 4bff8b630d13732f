"""Hidden Markov models of this library, hmmlearn and dynamax at the same parameters."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from benchmarks.suite.chains import Problem

__all__ = ["dynamax", "dynamax_is_absent", "hmmlearn", "seconds_of_fit", "timed", "vemfast"]

ROOT = Path(__file__).resolve().parents[2]


def vemfast(problem: Problem, iterations: int, threads: int, inference: str = "em") -> Any:
    """Return an estimator that starts at the problem's parameters."""
    import vemfast as library

    options: dict[str, Any] = {
        "inference": inference,
        "startprob_init": problem.startprob,
        "transmat_init": problem.transmat,
        "n_iter": iterations,
        "tol": 0.0,
        "n_jobs": threads,
        "random_state": 0,
    }
    chain, given = problem.chain, problem.emission
    if chain.emission == "symbols":
        return library.CategoricalHMM(
            chain.k, n_features=chain.d, emissionprob_init=given["emissionprob"], **options
        )
    inverse = np.linalg.inv if chain.emission == "full" else np.reciprocal
    return library.GaussianHMM(
        chain.k,
        chain.emission,
        means_init=given["means"],
        precisions_init=inverse(given["covars"]),
        **options,
    )


def hmmlearn(problem: Problem, implementation: str = "scaling") -> Any:
    """Return hmmlearn's estimator at the problem's parameters, for one iteration without priors."""
    from hmmlearn import hmm

    chain, given = problem.chain, problem.emission
    options: dict[str, Any] = {
        "n_iter": 1,
        "tol": -np.inf,
        "init_params": "",
        "implementation": implementation,
    }
    if chain.emission == "symbols":
        model = hmm.CategoricalHMM(chain.k, n_features=chain.d, **options)
        model.emissionprob_ = given["emissionprob"].copy()
    else:
        weight = 0 if chain.emission == "full" else 1
        model = hmm.GaussianHMM(
            chain.k, chain.emission, covars_prior=0.0, covars_weight=weight, **options
        )
        model.means_ = given["means"].copy()
        model.covars_ = given["covars"].copy()
    model.startprob_, model.transmat_ = problem.startprob.copy(), problem.transmat.copy()
    return model


def _peer_python() -> str:
    return os.environ.get("VEMFAST_PEER_PYTHON", sys.executable)


def dynamax_is_absent() -> bool:
    """Return whether the peers' interpreter cannot import dynamax."""
    command = [_peer_python(), "-c", "import dynamax"]
    return subprocess.run(command, capture_output=True, check=False).returncode != 0


@contextmanager
def dynamax(
    name: str, scale: float, seed: int, threads: int, dtype: str
) -> Iterator[Callable[[str], tuple[float, float]]]:
    """Start dynamax on a workload; yield what does a task and returns its seconds and value."""
    chosen = map(str, (name, scale, seed, threads, dtype))
    worker = subprocess.Popen(
        [_peer_python(), "-m", "benchmarks.compare.chains_dynamax", *chosen],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None

    def run(task: str) -> tuple[float, float]:
        print(task, file=worker.stdin, flush=True)
        seconds, value = worker.stdout.readline().split()
        return float(seconds), float(value)

    try:
        yield run
    finally:
        worker.stdin.close()
        worker.wait()


def seconds_of_fit(model: Any, problem: Problem) -> float:
    """Return the seconds of one fit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        start = perf_counter()
        model.fit(problem.X, problem.lengths)
        return perf_counter() - start


def timed(call: Any) -> float:
    """Return the seconds of a call."""
    start = perf_counter()
    call()
    return perf_counter() - start
