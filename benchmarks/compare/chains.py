"""Hidden Markov models of this library, hmmlearn and dynamax at the same parameters."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from benchmarks.compare.workers import can_import, peer_python, worker
from benchmarks.suite.chains import Problem

__all__ = ["dynamax", "dynamax_is_absent", "hmmlearn", "seconds_of_fit", "timed", "vemfast"]


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


def dynamax_is_absent() -> bool:
    """Return whether the peers' interpreter cannot import dynamax."""
    return not can_import("dynamax")


@contextmanager
def dynamax(
    name: str, scale: float, seed: int, threads: int, dtype: str
) -> Iterator[Callable[[str], tuple[float, float]]]:
    """Start dynamax on a workload; yield what does a task and returns its seconds and value."""
    chosen = map(str, (name, scale, seed, threads, dtype))
    with worker(peer_python(), "chains_dynamax", *chosen) as ask:

        def run(task: str) -> tuple[float, float]:
            seconds, value = ask(task)
            return float(seconds), float(value)

        yield run


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
