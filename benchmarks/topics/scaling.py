"""Cost against every size of a model: the measured exponent beside the theoretical one.

A step is an E-step and an update (of topics: the table of the topics, the E-step with 20 inner
iterations a document, the update) at fixed parameters, float64; of the autoencoder a pass
of Adam in batches of 128 rows, float32. Each case varies one size over a decade or more and keeps
the others. The exponent is the slope of a straight line through the logarithms of the medians.
Below one, a fixed cost or idle lanes still show at the small end; "last doubling" is the slope
between the two largest sizes. The share is that of the least operations in the rate of NumPy's
2,048 x 2,048 product with as many threads in the same run, at the largest size.
Parts (`--only`): the names of cases.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.machine import gemm_rates
from benchmarks.timing import Sample, rounds
from benchmarks.topics import Record, Settings, record

TITLE = "Scaling"
INNER = 20


@dataclass(frozen=True)
class Axis:
    """One size that is varied.

    Attributes
    ----------
    title : str
    letter : str
    sizes : sequence of int
    theory : float
        The exponent of the least operations.
    make : callable of a size
        Returns a step (a function of the number of threads) and its least operations.
    dtype : str
        Precision of the arithmetic.
    """

    title: str
    letter: str
    sizes: Sequence[int]
    theory: float
    make: Callable[[int], tuple[Callable[[int], Any], float]]
    dtype: str = "float64"


def mixture(n: int, d: int, k: int) -> tuple[Callable[[int], Any], float]:
    """Return a step of a mixture with full covariances, and its least operations."""
    from vemfast.data import RowBlock
    from vemfast.models.base import Step
    from vemfast.models.gaussian_config import Start
    from vemfast.models.gaussian_mixture import GaussianMixture
    from vemfast.reference import configure

    rng = np.random.default_rng(0)
    centres = rng.normal(0, 3, (k, d))
    X = centres[rng.integers(k, size=n)] + rng.normal(size=(n, d))
    config = configure(X, k, "full")
    given = Start(
        weights=np.full(k, 1 / k), means=centres, covariances=np.tile(np.eye(d), (k, 1, 1))
    )
    model, begin, block = GaussianMixture(config), given.fill(None, config), RowBlock(X)

    def step(threads: int) -> Any:
        how = Step("exact", "point", n_jobs=threads)
        return model.update(begin, model.e_step(model.prepare(begin), block, how), how)

    return step, n * k * (2.0 * d * d + 6.0 * d)


def chain(n: int, d: int, k: int) -> tuple[Callable[[int], Any], float]:
    """Return a step of a chain over sequences of 1,000 steps, and its least operations."""
    from vemfast.data import RowBlock
    from vemfast.models.base import Step
    from vemfast.models.hmm import HiddenMarkov
    from vemfast.models.hmm_config import HmmConfig
    from vemfast.reference import configure
    from vemfast.sequences import SequenceBlock

    rng = np.random.default_rng(0)
    centres = rng.normal(0, 2, (k, d))
    X = centres[rng.integers(k, size=n)[np.cumsum(rng.random(n) < 0.1)]] + rng.normal(size=(n, d))
    emission = configure(X, k, "diag", weight_type="none")
    model = HiddenMarkov(HmmConfig(k, emission))
    rows = np.full((k, k), 0.1 / k) + 0.9 * np.eye(k)
    begin = model.config.point(
        np.full(k, 1 / k), rows, means=centres - emission.origin, covariances=np.ones((k, d))
    )
    block = SequenceBlock(RowBlock(X), np.full(n // 1000, 1000))

    def step(threads: int) -> Any:
        how = Step("exact", "point", n_jobs=threads)
        return model.update(begin, model.e_step(model.prepare(begin), block, how), how)

    return step, n * (6.0 * k * k + 8.0 * k * d)


def topics(n: int, v: int, k: int) -> tuple[Callable[[int], Any], float]:
    """Return a step of variational EM over documents of 100 tokens, and its least operations."""
    from scipy.sparse import csr_matrix

    from vemfast.documents import as_documents
    from vemfast.models.base import Step
    from vemfast.models.lda import LatentDirichletAllocation
    from vemfast.models.lda_config import LdaConfig

    rng = np.random.default_rng(0)
    words = np.minimum(rng.zipf(1.3, (n, 100)) - 1 + rng.integers(0, v // 2, (n, 1)), v - 1)
    counts = csr_matrix((np.ones(words.size), words.ravel(), np.arange(n + 1) * 100), (n, v))
    counts.sum_duplicates()
    block = as_documents(counts)
    config = LdaConfig(k, v, np.full(k, 0.1), max_inner=INNER, inner_tol=0.0, dtype="float64")
    model = LatentDirichletAllocation(config)
    begin = config.params("point", rng.dirichlet(np.full(v, 0.5), k).T)

    def step(threads: int) -> Any:
        how = Step("factorised", "point", n_jobs=threads)
        return model.update(begin, model.e_step(model.prepare(begin), block, how), how)

    return step, 4.0 * k * INNER * counts.nnz


def autoencoder(n: int, d: int, hidden: int, k: int) -> tuple[Callable[[int], Any], float]:
    """Return a pass of Adam over bits in batches of 128, and its least operations."""
    from vemfast.data import RowBlock
    from vemfast.models.base import Step
    from vemfast.models.vae import VariationalAutoencoder
    from vemfast.models.vae_config import VaeConfig
    from vemfast.stats import Stats

    rng = np.random.default_rng(0)
    X = (rng.random((n, d)) < rng.random(d)).astype(np.float32)
    model = VariationalAutoencoder(VaeConfig(d, k, (hidden,), batch_size=128))
    block = RowBlock(X)
    begin = model.init([block], Step("factorised", "point", 5))

    def step(threads: int) -> Any:
        how = Step("factorised", "point", 5, 1, threads)
        return model.sweep(begin, Stats(model.layout), [block], how, iter(()))

    weights = 2 * d * hidden + 3 * hidden * k
    return step, n * (6.0 * weights - 2.0 * d * hidden)  # no gradient by the data


def doubling(first: int, last: int, factor: int = 2) -> list[int]:
    sizes = [first]
    while sizes[-1] * factor <= last:
        sizes.append(sizes[-1] * factor)
    return sizes


AXES = {
    "mixture-N": Axis(
        "Gaussian mixture, D 16, K 16: rows",
        "N",
        doubling(10_000, 640_000, 4),
        1,
        lambda n: mixture(n, 16, 16),
    ),
    "mixture-D": Axis(
        "Gaussian mixture, N 40,000, K 8: features",
        "D",
        doubling(4, 128),
        2,
        lambda d: mixture(40_000, d, 8),
    ),
    "mixture-K": Axis(
        "Gaussian mixture, N 40,000, D 16: components",
        "K",
        doubling(4, 128),
        1,
        lambda k: mixture(40_000, 16, k),
    ),
    "chain-T": Axis(
        "Hidden Markov model, K 8, D 4: steps",
        "T",
        doubling(16_000, 1_024_000, 4),
        1,
        lambda n: chain(n, 4, 8),
    ),
    "chain-K": Axis(
        "Hidden Markov model, T 32,000, D 4: states",
        "K",
        doubling(8, 128),
        2,
        lambda k: chain(32_000, 4, k),
    ),
    "topics-N": Axis(
        "Topics, V 5,000, K 64: documents",
        "N",
        doubling(250, 16_000, 4),
        1,
        lambda n: topics(n, 5000, 64),
    ),
    "topics-K": Axis(
        "Topics, 1,000 documents, V 5,000: topics",
        "K",
        doubling(16, 512),
        1,
        lambda k: topics(1000, 5000, k),
    ),
    "topics-V": Axis(
        "Topics, 250 documents, K 64: words (the tables are K V, the documents free of V)",
        "V",
        doubling(1000, 64_000, 4),
        1,
        lambda v: topics(250, v, 64),
    ),
    "autoencoder-N": Axis(
        "Variational autoencoder, D 256, 256 hidden units, 16 latent: rows",
        "N",
        doubling(512, 32_768, 4),
        1,
        lambda n: autoencoder(n, 256, 256, 16),
        "float32",
    ),
    "autoencoder-H": Axis(
        "Variational autoencoder, 2,048 rows, D 256, 16 latent: hidden units",
        "H",
        doubling(32, 1024),
        1,
        lambda hidden: autoencoder(2048, 256, hidden, 16),
        "float32",
    ),
}


def _timed(step: Callable[[int], Any], threads: int, least: float = 0.02) -> float:
    """Return the seconds of a step, the mean of as many as take some time."""
    begin, done = perf_counter(), 0
    while done == 0 or perf_counter() - begin < least:
        step(threads)
        done += 1
    return (perf_counter() - begin) / done


def along(axis: Axis, settings: Settings) -> Record:
    """Measure one axis."""
    sizes = [size for size in axis.sizes if size <= settings.scale * axis.sizes[-1]]
    made = {size: axis.make(size) for size in sizes or axis.sizes[:2]}
    names = {size: f"{axis.letter} = {size:,}" for size in made}
    measures = {
        names[size]: (lambda step=step: _timed(step, settings.threads))
        for size, (step, _) in made.items()
    }
    rounds(measures, 1)
    samples = rounds(measures, settings.repeats)
    seconds = np.array([samples[names[size]].median for size in made])
    logs = np.log(np.array(list(made), dtype=np.float64))
    largest = max(made)
    rate = 1e-9 * made[largest][1] / seconds[-1]
    gemm = Sample(tuple(gemm_rates(axis.dtype, settings.threads, 3))).median
    facts: dict[str, str | float] = {
        "axis": axis.letter,
        "exponent": float(np.polyfit(logs, np.log(seconds), 1)[0]),
        "last doubling": float(np.log(seconds[-1] / seconds[-2]) / (logs[-1] - logs[-2])),
        "theory": float(axis.theory),
        "GFLOP/s at the largest": rate,
        "share of the product's rate": rate / gemm,
    }
    return record(axis.title, samples, (), **facts)


def measure(settings: Settings) -> Iterator[Record]:
    """Yield a record an axis."""
    for name in settings.pick(AXES):
        yield along(AXES[name], settings)
