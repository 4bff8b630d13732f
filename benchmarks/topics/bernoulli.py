"""An iteration of EM on binary digits, 60,000 x 784, K = 50, beside the NumPy twin.

The digits are those of scikit-learn, enlarged to 28 x 28, moved, and cut off so that 19 % of the
pixels are one as in MNIST; with the environment variable VEMFAST_MNIST, the path of an .npz with
`x_train`, MNIST itself (pixels above 0). "Independent bits" have the same pixel means and no
neighbours that go together: the worst case of looking bits up four at a time, of which nothing is
asked. An iteration is the score table, the E-step and the update, from the same start; the twin
does (sparse) matrix products of chunks that stay in cache, in as many Python threads.

Least work: a row has `groups` groups of four bits that are not all zero; each costs one pass over K
numbers of the table of scores and one over the row's K responsibilities. Bytes read is that, rows
of the table padded to whole vectors. The roof is the best rate at which matrix-vector products read
a 1 MB matrix, where the table lies: in the second-level cache. The products' rate is what two dense
products of the same shapes (4 N D K flops) would need in the time of the best round.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import numpy as np
import scipy.ndimage
import scipy.sparse
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.timing import rounds
from benchmarks.topics import Quotient, Record, Settings, record

TITLE = "Binary digits"
ROWS, SIDE, COMPONENTS, ONES = 60_000, 28, 50, 0.19

Bits = NDArray[np.uint8]


def digits(n: int, rng: np.random.Generator) -> Bits:
    """Return n images of 28 x 28 bits."""
    if "VEMFAST_MNIST" in os.environ:
        with np.load(os.environ["VEMFAST_MNIST"]) as arrays:
            return (arrays["x_train"][:n].reshape(-1, SIDE * SIDE) > 0).astype(np.uint8)
    from sklearn.datasets import load_digits

    small = load_digits().images
    large = np.array([np.pad(scipy.ndimage.zoom(image, 2.5, order=1), 4) for image in small])
    cut = np.quantile(large, 1 - ONES)
    which, moves = rng.integers(len(large), size=n), rng.integers(-2, 3, size=(n, 2))
    pairs = zip(which, moves, strict=True)
    moved = [np.roll(large[i], move, axis=(0, 1)).ravel() > cut for i, move in pairs]
    return np.array(moved, dtype=np.uint8)


def read_rate(dtype: str) -> float:
    """Return the best GB/s at which one thread's matrix-vector products read a matrix of 1 MB."""
    matrix = np.ones((512, (1 << 20) // 512 // np.dtype(dtype).itemsize), dtype)
    vector, times = np.ones(matrix.shape[1], dtype), []
    for _ in range(200):
        start = perf_counter()
        for _ in range(20):
            matrix @ vector
        times.append((perf_counter() - start) / 20)
    return matrix.nbytes / min(times) / 1e9


def _iteration(model: Any, block: Any, start: Any, threads: int) -> Callable[[], float]:
    from vemfast.execution.threads import e_step
    from vemfast.models.base import Step

    step = Step("exact", "point", 0, 0, threads)
    blocks = [block] if model.threads_within else block.cut(2 * threads)

    def seconds() -> float:
        begin = perf_counter()
        model.update(start, e_step(model, model.prepare(start), blocks, step), step)
        return perf_counter() - begin

    return seconds


def _case(
    name: str, bits: Bits, sparse: bool, dtype: str, roof: float, s: Settings, least: float | None
) -> Record:
    from vemfast.indexed import IndexedBlock, SparseRows
    from vemfast.models.discrete_config import DiscreteConfig, DiscretePrior
    from vemfast.models.discrete_mixture import DiscreteMixture
    from vemfast.reference import DiscreteMixture as Twin
    from vemfast.stats import Params

    n, d = bits.shape
    rows: Any = bits
    if sparse:
        csr = scipy.sparse.csr_array(bits)
        rows = SparseRows(csr.indptr.astype(np.int64), csr.indices.astype(np.int32), None, d)
    block = IndexedBlock(rows, dtype=np.dtype(dtype))
    flat = DiscretePrior("flat", 1.0, False, np.ones(d), np.ones(d))
    config = DiscreteConfig("bernoulli", COMPONENTS, d, flat)
    start = Params(config.params_layout("point"), "point")
    start["weights"] = 1 / COMPONENTS
    seeds = bits[np.random.default_rng(s.seed).integers(n, size=COMPONENTS)]
    start["probabilities"] = np.clip(0.5 * (seeds + bits.mean(axis=0)).T, 1e-3, 1 - 1e-3)
    measures = {
        "vemfast": _iteration(DiscreteMixture(config), block, start, s.threads),
        "vemfast, 1 thread": _iteration(DiscreteMixture(config), block, start, 1),
        "numpy twin": _iteration(Twin(config), block, start, s.threads),
    }
    with threadpool_limits(1, user_api="blas"):
        rounds(measures, 1)
        samples = rounds(measures, s.repeats)
    groups = float(bits.reshape(n, -1, 4).any(axis=2).sum(axis=1).mean())
    size = np.dtype(dtype).itemsize
    read = 2 * n * groups * (-(-COMPONENTS * size // 32) * 32) / 1e9
    best = min(samples["vemfast"].seconds)
    return record(
        f"{name}, {n:,} x {d}, {COMPONENTS}, {'CSR' if sparse else 'dense'}, {dtype}",
        samples,
        [
            Quotient("numpy twin", "vemfast", least=least),
            Quotient("vemfast, 1 thread", "vemfast"),
        ],
        **{
            "ones, %": 100 * float(bits.mean()),
            "groups a row": groups,
            "GB read": read,
            "share of the roof in the best round, %": 100 * read / best / (roof * s.threads),
            "roof of a thread, GB/s": roof,
            "GFLOP/s of two dense products": 4e-9 * n * d * COMPONENTS / best,
        },
    )


def measure(settings: Settings) -> Iterator[Record]:
    """Yield a record a form of the rows and dtype."""
    rng = np.random.default_rng(settings.seed)
    bits = digits(max(round(ROWS * settings.scale), COMPONENTS), rng)
    independent = (rng.random(bits.shape) < bits.mean(axis=0)).astype(np.uint8)
    with threadpool_limits(1, user_api="blas"):
        roofs = {dtype: read_rate(dtype) for dtype in ("float64", "float32")}
    name = "MNIST" if "VEMFAST_MNIST" in os.environ else "digits"
    for dtype, roof in roofs.items():
        for sparse in (False, True):
            yield _case(name, bits, sparse, dtype, roof, settings, least=5.0)
        yield _case("independent bits", independent, False, dtype, roof, settings, least=None)
