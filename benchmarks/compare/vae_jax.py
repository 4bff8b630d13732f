"""The VAE in JAX, an epoch one scanned program: answers each line with an epoch's seconds.

python -m benchmarks.compare.vae_jax scanned n D hidden z batch threads
"""

from __future__ import annotations

import os
import sys
from time import perf_counter
from typing import Any

how, *sizes = sys.argv[1:]
n, D, H, Z, batch, threads = map(int, sizes)
os.environ["NPROC"] = str(threads)  # before JAX starts
os.environ["JAX_PLATFORMS"] = "cpu"

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402


def loss(weights: Any, x: Any, key: Any) -> Any:
    (a, b), (c, d), (e, f), (g, h) = weights
    mean, log_variance = jnp.split(jax.nn.relu(x @ a + b) @ c + d, 2, axis=1)
    z = mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, mean.shape)
    logits = jax.nn.relu(z @ e + f) @ g + h
    density = (x * logits - jax.nn.softplus(logits)).sum()
    divergence = 0.5 * (jnp.exp(log_variance) + mean**2 - 1 - log_variance).sum()
    return (divergence - density) / len(x)


def step(state: Any, batch_and_key: Any) -> Any:
    weights, first, second, t = state
    gradient = jax.grad(loss)(weights, *batch_and_key)
    t = t + 1
    tree = jax.tree_util.tree_map
    first = tree(lambda m, g: 0.9 * m + 0.1 * g, first, gradient)
    second = tree(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradient)
    weights = tree(
        lambda w, m, v: w - 1e-3 * m / (1 - 0.9**t) / (jnp.sqrt(v / (1 - 0.999**t)) + 1e-8),
        weights,
        first,
        second,
    )
    return (weights, first, second, t), 0.0


@jax.jit
def epoch(state: Any, X: Any, key: Any) -> Any:
    shuffle, draw = jax.random.split(key)
    whole = len(X) // batch
    order = jax.random.permutation(shuffle, len(X))[: whole * batch]
    rows = X[order].reshape(whole, batch, -1)
    return jax.lax.scan(step, state, (rows, jax.random.split(draw, whole)))[0]


def main() -> None:
    rng = np.random.default_rng(0)
    X = jnp.asarray((rng.random((n, D)) < 0.13).astype(np.float32))
    widths = [(D, H), (H, 2 * Z), (Z, H), (H, D)]
    weights = [
        (jnp.asarray(rng.uniform(-0.05, 0.05, w), jnp.float32), jnp.zeros(w[1])) for w in widths
    ]
    zeros = jax.tree_util.tree_map(jnp.zeros_like, weights)
    state = (weights, zeros, zeros, jnp.zeros(()))
    for i, _ in enumerate(sys.stdin):
        begin = perf_counter()
        state = jax.block_until_ready(epoch(state, X, jax.random.PRNGKey(i)))
        print(perf_counter() - begin, flush=True)


main()
