"""EM by hand in JAX, compiled: what a skilled user writes in an afternoon.

Maximum likelihood on every workload. Runs in a process of its own, so that the interpreter may be
another one (`--jax-python`), its threads and precision are set before JAX starts, and its pools do
not outlive the measurement. The worker draws the same data from the same seed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.compare import Options, Run
from benchmarks.suite.workloads import Problem, Workload, make

NAME = "JAX by hand"
ROOT = Path(__file__).resolve().parents[2]
CHUNK = 4096  # rows in flight: the fastest of 1,024 to all rows, on G1 and G4


def absent(options: Options) -> str:
    python = options.jax_python or sys.executable
    test = subprocess.run([python, "-c", "import jax"], capture_output=True, check=False)
    return (
        "" if test.returncode == 0 else f"{Path(python).name} cannot import jax; see --jax-python"
    )


def supports(workload: Workload) -> bool:
    return workload.inference != "hard-em"


@contextmanager
def runner(problem: Problem, threads: int, options: Options) -> Iterator[Callable[[int], Run]]:
    settings = [problem.workload.name, str(problem.X.dtype), problem.scale, problem.seed]
    command = [options.jax_python or sys.executable, "-m", "benchmarks.compare.jax_em"]
    environment = {**os.environ, "NPROC": str(threads), "JAX_PLATFORMS": "cpu"}
    worker = subprocess.Popen(
        [*command, *map(str, settings)],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None

    def run(iterations: int) -> Run:
        print(iterations, file=worker.stdin, flush=True)
        answer = worker.stdout.readline()
        if not answer:
            raise RuntimeError("the JAX worker ended; its message is above")
        seconds, means = json.loads(answer)
        return Run(seconds, np.array(means))

    try:
        yield run
    finally:
        worker.stdin.close()
        worker.wait()


def full_family(jax: Any, d: int) -> tuple[Callable, Callable]:
    """Score by one product with the stacked inverse factors; sum squares by one with r_nk x_n."""
    jnp = jax.numpy

    def table(means: Any, covariances: Any) -> Any:
        factors = jnp.linalg.cholesky(covariances)
        inverse = jax.vmap(
            lambda c: jax.scipy.linalg.solve_triangular(c, jnp.eye(d, dtype=c.dtype), lower=True)
        )(factors)
        half_log_det = jnp.log(jnp.diagonal(factors, axis1=1, axis2=2)).sum(1)
        return inverse, jnp.einsum("kij,kj->ki", inverse, means), half_log_det

    def scores(x: Any, prepared: Any) -> Any:
        inverse, shift, half_log_det = prepared
        whitened = x @ inverse.reshape(-1, d).T - shift.reshape(-1)
        squares = (whitened**2).reshape(len(x), len(half_log_det), d).sum(2)
        return -0.5 * squares - half_log_det

    def second_moment(x: Any, r: Any) -> Any:
        weighted = (r[:, :, None] * x[:, None, :]).reshape(len(x), r.shape[1] * d)
        return (weighted.T @ x).reshape(r.shape[1], d, d)

    def covariances(second: Any, counts: Any, means: Any) -> Any:
        outer = means[:, :, None] * means[:, None, :]
        return second / counts[:, None, None] - outer + 1e-6 * jnp.eye(d, dtype=second.dtype)

    return table, scores, second_moment, covariances


def diagonal_family(jax: Any, d: int, spherical: bool) -> tuple[Callable, Callable]:
    """Score by products with x and x^2; a spherical variance is the mean of the diagonal ones."""
    jnp = jax.numpy

    def table(means: Any, variances: Any) -> Any:
        precisions = 1 / variances
        constant = -0.5 * (means**2 * precisions + jnp.log(variances)).sum(1)
        return precisions, means * precisions, constant

    def scores(x: Any, prepared: Any) -> Any:
        precisions, linear, constant = prepared
        if spherical:
            squares = (x**2).sum(1, keepdims=True) * precisions[:, 0]
        else:
            squares = x**2 @ precisions.T
        return x @ linear.T - 0.5 * squares + constant

    def second_moment(x: Any, r: Any) -> Any:
        return (r.T @ (x**2).sum(1, keepdims=True) / d) if spherical else r.T @ x**2

    def variances(second: Any, counts: Any, means: Any) -> Any:
        squares = (means**2).mean(1, keepdims=True) if spherical else means**2
        return jnp.broadcast_to(second / counts[:, None] - squares + 1e-6, means.shape)

    return table, scores, second_moment, variances


def compile_em(jax: Any, workload: Workload, X: Any) -> Callable[[Any], Any]:
    """Return one iteration on `X` as a compiled function of (weights, means, covariances)."""
    jnp, (n, d) = jax.numpy, X.shape
    kinds = {"full": lambda: full_family(jax, d)}
    kind = kinds.get(workload.covariance)
    family = kind() if kind else diagonal_family(jax, d, workload.covariance == "spherical")
    table, scores, second_moment, covariances = family
    whole = n - n % CHUNK

    def statistics(x: Any, log_weights: Any, prepared: Any) -> Any:
        s = scores(x, prepared) + log_weights
        norm = jax.scipy.special.logsumexp(s, axis=1, keepdims=True)
        r = jnp.exp(s - norm)
        return r.sum(0), r.T @ x, second_moment(x, r)

    @jax.jit
    def iteration(state: Any, X: Any) -> Any:
        weights, means, spread = state
        prepared, log_weights = table(means, spread), jnp.log(weights)

        def add(total: Any, x: Any) -> Any:
            return jax.tree.map(jnp.add, total, statistics(x, log_weights, prepared)), None

        total = statistics(X[whole:], log_weights, prepared)
        total, _ = jax.lax.scan(add, total, X[:whole].reshape(-1, CHUNK, d))
        counts, sums, second = total
        means = sums / counts[:, None]
        return counts / n, means, covariances(second, counts, means)

    return lambda state: iteration(state, X)


def worker(name: str, dtype: str, scale: float, seed: int) -> None:
    """Answer each line of standard input, a number of iterations, with [seconds, means]."""
    import jax

    jax.config.update("jax_enable_x64", dtype == "float64")
    problem = make(name, dtype, scale, seed)
    k, d = problem.workload.k, problem.workload.d
    spread = np.ones((k, d)) if problem.precisions.ndim < 3 else problem.precisions
    start = [jax.numpy.asarray(a, dtype) for a in (problem.weights, problem.means, spread)]
    iteration = compile_em(jax, problem.workload, jax.numpy.asarray(problem.X))
    for line in sys.stdin:
        state = tuple(start)
        began = perf_counter()
        for _ in range(int(line)):
            state = iteration(state)
        jax.block_until_ready(state)
        seconds = perf_counter() - began
        print(json.dumps([seconds, state[1].tolist()]), flush=True)


if __name__ == "__main__":
    worker(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]))
