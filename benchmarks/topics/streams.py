"""A fit from a memory map and from chunks, beside the same fit from memory.

200,000 x 16 and 1,000,000 x 16 rows, K = 16, five iterations of EM from means near the truth; the
file lies in the page cache, as it does from the second iteration on wherever it fits into memory.
The chunks are 65,536 rows each, copied from the map as a reader of files would.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from benchmarks.timing import rounds
from benchmarks.topics import Quotient, Record, Settings, record

TITLE = "Larger than memory"
CHUNK = 1 << 16
FEATURES, COMPONENTS, ITERATIONS = 16, 16, 5


def _seconds(X: Any, means: Any, covariance: str, threads: int) -> float:
    import vemfast

    model = vemfast.GaussianMixture(
        COMPONENTS,
        covariance_type=covariance,
        means_init=means,
        tol=0.0,
        max_iter=ITERATIONS,
        n_jobs=threads,
    )
    start = perf_counter()
    model.fit(X)
    return perf_counter() - start


def _case(folder: Path, n: int, covariance: str, dtype: str, settings: Settings) -> Record:
    rng = np.random.default_rng(settings.seed)
    centres = rng.normal(0.0, 3.0, (COMPONENTS, FEATURES))
    X = rng.standard_normal((n, FEATURES), dtype=np.float32)
    X += centres[rng.integers(COMPONENTS, size=n)].astype(np.float32)
    X = X.astype(dtype)
    file = folder / f"{n}-{dtype}.npy"
    np.save(file, X)
    mapped = np.load(file, mmap_mode="r")
    ends = range(0, n, CHUNK)
    means = centres + 0.5

    def chunks() -> Iterator[Any]:
        return (np.array(mapped[start : start + CHUNK]) for start in ends)

    sources: dict[str, Any] = {"memory": X, "memory map": mapped, "chunks": chunks}

    def measure(source: Any) -> Callable[[], float]:
        return lambda: _seconds(source, means, covariance, settings.threads)

    measures = {name: measure(source) for name, source in sources.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        rounds(measures, 1)
        samples = rounds(measures, settings.repeats)
    asked = [Quotient("memory map", "memory", most=1.3), Quotient("chunks", "memory")]
    return record(f"{n:,} x {FEATURES}, {COMPONENTS}, {covariance}, {dtype}", samples, asked)


def measure(settings: Settings) -> Iterator[Record]:
    """Yield a record a shape."""
    with tempfile.TemporaryDirectory() as folder:
        for n, covariance, dtype in (
            (1_000_000, "full", "float64"),
            (1_000_000, "diag", "float32"),
            (200_000, "spherical", "float64"),
        ):
            yield _case(Path(folder), round(n * settings.scale), covariance, dtype, settings)
