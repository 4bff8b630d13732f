"""The VAE of this library: a worker that answers each line with an epoch's seconds.

python -m benchmarks.compare.vae_own epoch n D hidden z batch threads

An epoch is a call of `partial_fit`, with its checks of the rows.
"""

from __future__ import annotations

import sys
from time import perf_counter

import numpy as np

from vemfast import VariationalAutoencoder


def main() -> None:
    _, *sizes = sys.argv[1:]
    n, D, H, Z, batch, threads = map(int, sizes)
    X = (np.random.default_rng(0).random((n, D)) < 0.13).astype(np.float32)
    vae = VariationalAutoencoder(
        Z, hidden_layer_sizes=(H,), batch_size=batch, random_state=0, n_jobs=threads
    )
    for _ in sys.stdin:
        start = perf_counter()
        vae.partial_fit(X)
        print(perf_counter() - start, flush=True)


main()
