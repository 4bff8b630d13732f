"""The VAE in PyTorch, eager or compiled: a worker that answers each line with an epoch's seconds.

python -m benchmarks.compare.vae_torch eager|compiled n D hidden z batch threads
"""

from __future__ import annotations

import sys
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy


def main() -> None:
    how, *sizes = sys.argv[1:]
    n, D, H, Z, batch, threads = map(int, sizes)
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    X = torch.as_tensor((rng.random((n, D)) < 0.13).astype(np.float32))
    encoder = nn.Sequential(nn.Linear(D, H), nn.ReLU(), nn.Linear(H, 2 * Z))
    decoder = nn.Sequential(nn.Linear(Z, H), nn.ReLU(), nn.Linear(H, D))
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3)

    def loss(x: Any) -> Any:
        mean, log_variance = encoder(x).chunk(2, dim=1)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        divergence = 0.5 * (log_variance.exp() + mean**2 - 1 - log_variance).sum()
        return cross_entropy(decoder(z), x, reduction="sum") + divergence

    graph = torch.compile(loss) if how == "compiled" else loss

    def epoch() -> None:
        order = torch.randperm(n)
        for start in range(0, n, batch):
            optimizer.zero_grad()
            value = graph(X[order[start : start + batch]])
            (value / batch).backward()
            optimizer.step()

    for _ in sys.stdin:
        begin = perf_counter()
        epoch()
        print(perf_counter() - begin, flush=True)


main()
