"""An epoch of the variational autoencoder, beside PyTorch and JAX, and its matrix products.

V1 is 60,000 x 784 bits, 784-400-(20+20) and 20-400-784, Bernoulli, batches of 128, Adam; the small
net is 64-32-2 on 1,797 rows in batches of 32, the shape of scikit-learn's digits. An epoch of
vemfast is a call of `partial_fit`, with its checks of the rows, at the level that is chosen by
itself (AVX2 at most) and, where the processor has it, with VEMFAST_ISA=v4 (AVX-512, which the
peers use by themselves). All compute in processes of their own, PyTorch and JAX with the
interpreter that VEMFAST_PEER_PYTHON names (default: this one), in single precision too; a peer that
cannot be imported there is left out. JAX scans an epoch as one program and leaves the last, smaller
batch out.

"products alone" are the products of a batch of V1, forward and back, by vemfast's kernels, with the
weights in the form that they have during a pass, and by NumPy's sgemm (OpenBLAS), left to itself
and held to AVX2 (OPENBLAS_CORETYPE=Haswell). "first fit" is a new process that imports the library
and trains one epoch of the small net: there is nothing to compile.

"MNIST" is no matter of time: what a fit reaches on the test images, where VEMFAST_MNIST names the
file (see tests/parity/test_vae_figures.py). Grey values, 784-400-(20+20) and back, seven epochs of
batches of 128, Adam at 1e-3: minus the mean ELBO, of five seeds; PyTorch's example reaches 106.66.
Bits, 784-400-400-(40+40) with softplus, 100 epochs: minus the importance-weighted log p(x), 200
draws, of every tenth test image.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import perf_counter, sleep

import numpy as np

from benchmarks.compare.workers import ROOT, can_import, peer_python, worker
from benchmarks.memory import RESET, resident
from benchmarks.timing import rounds
from benchmarks.topics import Quotient, Record, Settings, record

TITLE = "Variational autoencoder"

OWN = {"vemfast": "", "vemfast, AVX-512": "v4"}  # what VEMFAST_ISA says
PEERS = {
    "PyTorch eager": ("vae_torch", "eager"),
    "PyTorch compiled": ("vae_torch", "compiled"),
    "JAX scanned": ("vae_jax", "scanned"),
}
BLAS = {"NumPy sgemm": "", "NumPy sgemm, AVX2": "Haswell"}  # what OPENBLAS_CORETYPE says
SHAPES = {"V1": (60_000, 784, 400, 20, 128), "small net": (1797, 64, 32, 2, 32)}


def _present(module: str) -> bool:
    return can_import("torch" if module.endswith("torch") else "jax")


def _levels() -> dict[str, dict[str, str]]:
    """Return the levels to measure, and what each is told by the environment."""
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return {
        name: {"VEMFAST_ISA": level} if level else {}
        for name, level in OWN.items()
        if not level or "avx512dq" in flags
    }


@contextmanager
def _seconds(
    python: str, module: str, how: str, *sizes: int, **told: str
) -> Iterator[Callable[[], float]]:
    """Start a module of `benchmarks.compare` that answers with seconds."""
    with worker(python, module, how, *map(str, sizes), **told) as ask:

        def go() -> float:
            sleep(0.2)  # until the threads of the one before no longer spin
            return float(ask("go")[0])

        go()  # compiles
        yield go


def _epochs(name: str, settings: Settings) -> Record:
    n, *rest = SHAPES[name]
    sizes = (max(round(n * settings.scale), 256), *rest, settings.threads)
    present = {peer: _present(module) for peer, (module, _) in PEERS.items()}
    levels = _levels()
    with ExitStack() as stack:
        measures = {
            own: stack.enter_context(_seconds(sys.executable, "vae_own", "epoch", *sizes, **told))
            for own, told in levels.items()
        }
        for peer, (module, how) in PEERS.items():
            if present[peer]:
                measures[peer] = stack.enter_context(_seconds(peer_python(), module, how, *sizes))
        samples = rounds(measures, settings.repeats)
    if name == "V1":
        least = {"PyTorch eager": 2.0, "PyTorch compiled": 1.0, "JAX scanned": 1.0}
    else:
        least = {"PyTorch eager": 10.0}
    asked = [
        Quotient(peer, own, least=least.get(peer))
        for own in levels
        for peer in PEERS
        if present[peer]
    ]
    absent = ", ".join(peer for peer in PEERS if not present[peer])
    facts = {"not there": absent} if absent else {}
    return record(f"{name}: {sizes[0]} x {sizes[1]}", samples, asked, **facts)


def _products(settings: Settings, threads: int) -> Record:
    _, *sizes = SHAPES["V1"]
    D, H, Z, batch = sizes
    ways = {own: ("own", told) for own, told in _levels().items()}
    limits = {f"{library}_NUM_THREADS": str(threads) for library in ("OPENBLAS", "OMP", "MKL")}
    for name, core in BLAS.items():
        told = {**limits, "OPENBLAS_CORETYPE": core} if core else limits
        ways[name] = ("numpy", told)
    with ExitStack() as stack:
        measures = {
            name: stack.enter_context(
                _seconds(sys.executable, "vae_products", how, *sizes, threads, **told)
            )
            for name, (how, told) in ways.items()
        }
        samples = rounds(measures, max(settings.repeats, 7))
    products = sum(a * b for a, b in [(D, H), (H, 2 * Z), (Z, H), (H, D)])
    operations = 2.0 * batch * (3 * products - D * H)
    rates = {
        f"GFLOP/s of {name}": round(operations / sample.median / 1e9, 1)
        for name, sample in samples.items()
    }
    asked = [Quotient("NumPy sgemm, AVX2", "vemfast", least=0.8)]
    if "vemfast, AVX-512" in samples:
        asked.append(Quotient("NumPy sgemm", "vemfast, AVX-512", least=0.8))
    asked.append(Quotient("NumPy sgemm", "vemfast"))
    return record(f"products alone, a batch of V1, threads: {threads}", samples, asked, **rates)


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
        command = [peer_python(), "-m", f"benchmarks.compare.{module}", how, *sizes]

        def run() -> float:
            start = perf_counter()
            subprocess.run(
                command,
                cwd=ROOT,
                check=True,
                input="go\n",
                capture_output=True,
                text=True,
            )
            return perf_counter() - start

        return run

    measures = {"vemfast": own}
    measures |= {name: peer(name) for name, (module, _) in PEERS.items() if _present(module)}
    samples = rounds(measures, min(settings.repeats, 3))
    asked = [Quotient(name, "vemfast") for name in measures if name != "vemfast"]
    return record("import and first epoch of the small net", samples, asked)


def _memory(settings: Settings) -> Record:
    import vemfast

    n, D, H, Z, batch = SHAPES["V1"]
    n = max(round(n * settings.scale), 256)
    X = (np.random.default_rng(0).random((n, D)) < 0.13).astype(np.float32)
    vae = vemfast.VariationalAutoencoder(
        Z, hidden_layer_sizes=(H,), batch_size=batch, random_state=0, n_jobs=settings.threads
    )
    vae.partial_fit(X)
    RESET.write_text("5")  # Linux: the peak starts again at the present size
    before = resident("VmRSS")
    vae.partial_fit(X)
    rise = resident("VmHWM") - before
    weights = sum(np.size(W) for W in (*vae.encoder_coefs_, *vae.decoder_coefs_))
    facts = {"MB": round(rise / 2**20, 1), "MB of weights": round(4 * weights / 2**20, 1)}
    return record("memory of an epoch of V1 beyond rows and weights", {}, **facts)


def _mnist(settings: Settings) -> Iterator[Record]:
    import vemfast

    with np.load(os.environ["VEMFAST_MNIST"]) as data:
        train, test = data["x_train"], data["x_test"]
    threads = settings.threads
    losses = []
    for seed in range(5):
        vae = vemfast.VariationalAutoencoder(20, max_iter=7, random_state=seed, n_jobs=threads)
        vae.fit(np.float32(train) / 255)
        losses.append(-float(vae.elbo(np.float32(test) / 255).mean()))
    yield record(
        "MNIST, grey values: -ELBO of the test images after 7 epochs",
        {},
        **{"nats, median of five seeds (asked at most 107.2)": round(float(np.median(losses)), 2)},
        **{"nats of each seed": ", ".join(f"{loss:.2f}" for loss in losses)},
    )
    vae = vemfast.VariationalAutoencoder(
        40,
        hidden_layer_sizes=(400, 400),
        activation="softplus",
        max_iter=100,
        random_state=0,
        n_jobs=threads,
    ).fit(train > 127)
    found = vae.log_marginal(test[::10] > 127, n_draws=200)
    yield record(
        "MNIST, bits: -log p(x) of 1,000 test images after 100 epochs",
        {},
        **{
            "nats, importance-weighted, 200 draws (asked at most 91)": round(
                -float(found.log_marginal.mean()), 2
            ),
            "nats, -ELBO": round(-float(found.elbo.mean()), 2),
        },
    )


def measure(settings: Settings) -> Iterator[Record]:
    """Yield a record a shape, then of the products, the first fit, the memory and MNIST."""
    parts = settings.pick([*SHAPES, "products", "first fit", "memory", "MNIST"])
    for name in SHAPES:
        if name in parts:
            yield _epochs(name, settings)
    if "products" in parts:
        for threads in sorted({1, settings.threads}):
            yield _products(settings, threads)
    if "first fit" in parts:
        yield _first_fit(settings)
    if "memory" in parts and RESET.exists():
        yield _memory(settings)
    if "MNIST" in parts and "VEMFAST_MNIST" in os.environ:
        yield from _mnist(settings)
