"""An epoch of the variational autoencoder, beside PyTorch and JAX, and its matrix products.

V1 is 60,000 x 784 bits, 784-400-(20+20) and 20-400-784, Bernoulli, batches of 128, Adam; the small
net is 64-32-2 on 1,797 rows in batches of 32, the shape of scikit-learn's digits. An epoch of
vemfast is a call of `partial_fit`, with its checks of the rows. Peers compute in processes of their
own, with the interpreter that VEMFAST_PEER_PYTHON names (default: this one), in single precision
too; a peer that cannot be imported there is left out. JAX scans an epoch as one program and leaves
the last, smaller batch out.

"products alone" are the products of a batch of V1, forward and back, by vemfast's kernels and by
NumPy's sgemm (OpenBLAS), beside each other. "first fit" is a new process that imports the library
and trains one epoch of the small net: there is nothing to compile.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter, sleep
from typing import Any

import numpy as np

from benchmarks.memory import RESET, resident
from benchmarks.timing import rounds
from benchmarks.topics import Quotient, Record, Settings, record

TITLE = "Variational autoencoder"

ROOT = Path(__file__).resolve().parents[2]
PEERS = {
    "PyTorch eager": ("vae_torch", "eager"),
    "PyTorch compiled": ("vae_torch", "compiled"),
    "JAX scanned": ("vae_jax", "scanned"),
}
GROUPS = (("PyTorch eager", "JAX scanned"), ("PyTorch compiled",))  # measured in turn
SHAPES = {"V1": (60_000, 784, 400, 20, 128), "small net": (1797, 64, 32, 2, 32)}


def _python() -> str:
    return os.environ.get("VEMFAST_PEER_PYTHON", sys.executable)


def _present(module: str) -> bool:
    name = "torch" if module.endswith("torch") else "jax"
    found = subprocess.run([_python(), "-c", f"import {name}"], capture_output=True, check=False)
    return found.returncode == 0


@contextmanager
def _peer(name: str, shape: tuple[int, ...], threads: int) -> Iterator[Callable[[], float]]:
    module, how = PEERS[name]
    worker = subprocess.Popen(
        [_python(), "-m", f"benchmarks.compare.{module}", how, *map(str, (*shape, threads))],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert worker.stdin is not None
    assert worker.stdout is not None

    def epoch() -> float:
        print("go", file=worker.stdin, flush=True)
        return float(worker.stdout.readline())

    try:
        epoch()  # compiles
        yield epoch
    finally:
        worker.stdin.close()
        worker.wait()


def _own(shape: tuple[int, ...], threads: int) -> tuple[Callable[[], float], Any]:
    import vemfast

    n, D, H, Z, batch = shape
    X = (np.random.default_rng(0).random((n, D)) < 0.13).astype(np.float32)
    vae = vemfast.VariationalAutoencoder(
        Z, hidden_layer_sizes=(H,), batch_size=batch, random_state=0, n_jobs=threads
    )
    vae.partial_fit(X)

    def epoch() -> float:
        start = perf_counter()
        vae.partial_fit(X)
        return perf_counter() - start

    return epoch, vae


def _epochs(name: str, group: tuple[str, ...], settings: Settings) -> Record:
    n, *rest = SHAPES[name]
    shape = (max(round(n * settings.scale), 256), *rest)
    epoch, _ = _own(shape, settings.threads)
    absent = [peer for peer in group if not _present(PEERS[peer][0])]
    with ExitStack() as stack:
        measures = {"vemfast": epoch}
        for peer in group:
            if peer not in absent:
                measures[peer] = stack.enter_context(_peer(peer, shape, settings.threads))
        samples = rounds(measures, settings.repeats)
    least = {"PyTorch eager": 2.0 if name == "V1" else 10.0}
    asked = [
        Quotient(peer, "vemfast", least=least.get(peer, 1.0 if name == "V1" else None))
        for peer in group
        if peer in measures
    ]
    facts = {"not there": ", ".join(absent)} if absent else {}
    return record(f"{name}: {' x '.join(map(str, shape[:2]))}", samples, asked, **facts)


def _products(settings: Settings) -> Record:
    from threadpoolctl import threadpool_limits

    from vemfast import _core

    _, D, H, Z, batch = SHAPES["V1"]
    rng = np.random.default_rng(0)

    def matrix(rows: int, columns: int) -> Any:
        return rng.standard_normal((rows, columns), dtype=np.float32)

    layers = [(D, H), (H, 2 * Z), (Z, H), (H, D)]
    weights = [matrix(*layer) for layer in layers]
    inputs = [matrix(batch, before) for before, _ in layers]
    outputs = [matrix(batch, after) for _, after in layers]

    def timed(
        plain: Callable[[Any, Any], Any],
        right: Callable[[Any, Any], Any],
        left: Callable[[Any, Any], Any],
    ) -> float:
        sleep(0.2)  # until the threads of the one before no longer spin
        start = perf_counter()
        for _ in range(20):
            for i, (W, h, G) in enumerate(zip(weights, inputs, outputs, strict=True)):
                plain(h, W)
                left(h, G)
                if i:
                    right(G, W)
        return (perf_counter() - start) / 20

    threads = settings.threads

    def own() -> float:
        kinds = ("plain", "right transposed", "left transposed")
        return timed(
            *(lambda a, b, kind=kind: _core.vae_product(kind, a, b, threads) for kind in kinds)
        )

    def numpy() -> float:
        with threadpool_limits(threads):
            return timed(np.matmul, lambda a, b: a @ b.T, lambda a, b: a.T @ b)

    measures = {"vemfast": own, "NumPy sgemm": numpy}
    rounds(measures, 1)
    samples = rounds(measures, max(settings.repeats, 5))
    products = sum(a * b for a, b in layers)
    operations = 2.0 * batch * (3 * products - D * H)
    rate = operations / float(np.median(samples["vemfast"].seconds)) / 1e9
    return record(
        "products alone, a batch of V1",
        samples,
        [Quotient("NumPy sgemm", "vemfast", least=0.8)],
        **{"GFLOP/s of vemfast": round(rate, 1)},
    )


_FIRST = """
import numpy as np
from vemfast import VariationalAutoencoder
X = (np.random.default_rng(0).random((1797, 64)) < 0.3).astype(np.float32)
VariationalAutoencoder(2, hidden_layer_sizes=(32,), batch_size=32).partial_fit(X)
"""


def _first_fit(settings: Settings) -> Record:
    def own() -> float:
        start = perf_counter()
        subprocess.run([sys.executable, "-c", _FIRST], cwd=ROOT, check=True)
        return perf_counter() - start

    def peer(name: str) -> Callable[[], float]:
        module, how = PEERS[name]
        sizes = map(str, (*SHAPES["small net"], settings.threads))

        command = [_python(), "-m", f"benchmarks.compare.{module}", how, *sizes]

        def run() -> float:
            start = perf_counter()
            subprocess.run(
                command, cwd=ROOT, check=True, input="go\n", capture_output=True, text=True
            )
            return perf_counter() - start

        return run

    measures = {"vemfast": own}
    measures |= {name: peer(name) for name, (module, _) in PEERS.items() if _present(module)}
    samples = rounds(measures, min(settings.repeats, 3))
    asked = [Quotient(name, "vemfast") for name in measures if name != "vemfast"]
    return record("import and first epoch of the small net", samples, asked)


def _memory(settings: Settings) -> Record:
    n, *rest = SHAPES["V1"]
    epoch, vae = _own((max(round(n * settings.scale), 256), *rest), settings.threads)
    RESET.write_text("5")  # Linux: the peak starts again at the present size
    before = resident("VmRSS")
    epoch()
    rise = resident("VmHWM") - before
    weights = sum(np.size(W) for W in (*vae.encoder_coefs_, *vae.decoder_coefs_))
    facts = {"MB": round(rise / 2**20, 1), "MB of weights": round(4 * weights / 2**20, 1)}
    return record("memory of an epoch of V1 beyond rows and weights", {}, **facts)


def measure(settings: Settings) -> Iterator[Record]:
    """Yield a record a shape, then of the products, the first fit and the memory."""
    for name in SHAPES:
        for group in GROUPS:
            yield _epochs(name, group, settings)
    yield _products(settings)
    yield _first_fit(settings)
    if RESET.exists():
        yield _memory(settings)
