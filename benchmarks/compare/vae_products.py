"""The products of a batch of the VAE, forward and back: answers each line with their seconds.

python -m benchmarks.compare.vae_products own|numpy D hidden z batch threads

A result goes where the one before it went. NumPy's BLAS is told the number of threads by its
variables of the environment, which the caller sets.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np

ROUNDS = 50
how, *sizes = sys.argv[1:]
D, H, Z, batch, threads = map(int, sizes)
rng = np.random.default_rng(0)


def matrix(rows: int, columns: int) -> Any:
    return rng.standard_normal((rows, columns), dtype=np.float32)


def product(kind: str, a: Any, b: Any) -> Callable[[], Any]:
    if how == "own":
        from vemfast import _core

        return _core.VaeProduct(kind, a, b, threads).compute
    left = a.T if kind == "left transposed" else a
    right = b.T if kind == "right transposed" else b
    out = np.empty((left.shape[0], right.shape[1]), dtype=np.float32)
    return lambda: np.matmul(left, right, out=out)


def main() -> None:
    work = []
    for i, (before, after) in enumerate([(D, H), (H, 2 * Z), (Z, H), (H, D)]):
        W, h, G = matrix(before, after), matrix(batch, before), matrix(batch, after)
        work += [product("plain", h, W), product("left transposed", h, G)]
        if i:
            work.append(product("right transposed", G, W))
    for _ in sys.stdin:
        start = perf_counter()
        for _ in range(ROUNDS):
            for compute in work:
                compute()
        print((perf_counter() - start) / ROUNDS, flush=True)


main()
