"""Gaussian hidden Markov models in dynamax: answers lines with seconds and log likelihood.

python -m benchmarks.compare.chains_dynamax workload scale seed threads dtype

A line is `iteration` (E- and M-step, what its `fit_em` scans), `score`, `predict` or
`predict_proba`. Sequences are mapped over, as dynamax does itself. Runs in a process of its own,
so that the interpreter may be another one and threads and precision are set before JAX starts.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from time import perf_counter
from typing import Any

workload, *numbers, threads, dtype = sys.argv[1:]
os.environ["NPROC"] = threads  # before JAX starts
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_ENABLE_X64"] = str(int(dtype == "float64"))

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
from dynamax.hidden_markov_model import DiagonalGaussianHMM, GaussianHMM  # noqa: E402

from benchmarks.suite.chains import make  # noqa: E402


def main() -> None:
    problem = make(workload, float(numbers[0]), int(numbers[1]))
    chain, given = problem.chain, problem.emission
    shape = (len(problem.lengths), int(problem.lengths[0]))
    chosen: dict[str, Any] = {
        "initial_probs": jnp.asarray(problem.startprob, dtype),
        "transition_matrix": jnp.asarray(problem.transmat, dtype),
    }
    model: Any
    if chain.emission == "full":
        model = GaussianHMM(chain.k, chain.d)
        chosen["emission_covariances"] = jnp.asarray(given["covars"], dtype)
    else:
        model = DiagonalGaussianHMM(chain.k, chain.d)
        chosen["emission_scale_diags"] = jnp.asarray(given["covars"] ** 0.5, dtype)
    chosen["emission_means"] = jnp.asarray(given["means"], dtype)
    emissions = jnp.asarray(problem.X.reshape(*shape, chain.d), dtype)
    params, props = model.initialize(jax.random.PRNGKey(0), **chosen)
    state = model.initialize_m_step_state(params, props)

    def iteration(emissions: Any) -> Any:
        stats, log_likelihoods = jax.vmap(partial(model.e_step, params))(emissions)
        return model.m_step(params, props, stats, state), log_likelihoods.sum()

    def each(of: Any) -> Any:
        return jax.vmap(partial(of, params))

    calls = {
        "iteration": iteration,
        "score": lambda emissions: each(model.marginal_log_prob)(emissions).sum(),
        "predict": each(model.most_likely_states),
        "predict_proba": lambda emissions: each(model.smoother)(emissions).smoothed_probs,
    }
    compiled = {name: jax.jit(call) for name, call in calls.items()}
    for line in sys.stdin:
        name = line.strip()
        begin = perf_counter()
        out = jax.block_until_ready(compiled[name](emissions))
        seconds = perf_counter() - begin
        value = float(out) if name == "score" else float("nan")
        print(seconds, value, flush=True)


main()
