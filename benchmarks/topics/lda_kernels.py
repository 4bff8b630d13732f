"""Kernels of latent Dirichlet allocation beside the processor's limits.

exp(ψ): million elements a second of one thread, arrays in the second-level cache, beside SciPy's.

Inner loop: γ <- α + e Σ_w (c_w / norm_w) B_w for documents of 100 distinct words, K = 100, float32,
topics so alike that all stay in the iteration; an iteration is the difference of 60 and of 10, over
50, with 4 K operations a word, its exp(ψ) counted as nothing. Beside it sgemm with the AVX2 kernels
(where the processor has wider ones, ours, too, uses AVX2 by default), which stands for the peak of
the multiply-adds; and what reading the rows from the second-level cache allows, once an iteration,
an operation a byte: the rate at which NumPy's inner product reads.

Scaling: a batch pass over L1 (a fit of 21 less one of 1, over 20, the same start) with one thread
and with two, beside that of sgemm, 2,048 x 2,048, in the same rounds, of which there are five times
as many as elsewhere: the share is a median of quotients of quotients, which are noisy one by one.
Before each measurement there is a tenth of a second of rest, because OpenBLAS's threads wait awake
for some 25 ms after a product: without it, two threads took 18.0 ms for passes that came right
after a product of two threads, and 16.5 ms for the others.

Order: an E-step over the training documents of L1, and of the file that VEMFAST_CORPUS names, as
they come and sorted by their number of distinct words, shortest or longest first; at the topics of
three passes, from γ of ones (cold) or from where the last E-step ended (warm). The documents of
either are one chunk of the pass, so that to sort within chunks is the same.

Parts (`--only`): special, inner, scaling, order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import nan
from statistics import median, quantiles
from time import perf_counter, sleep
from typing import Any

import numpy as np

from benchmarks.compare.lda import Vemfast
from benchmarks.machine import SIZE, avx2_gemm_rates, gemm_rates, widest_vectors
from benchmarks.micro.special_functions import compare
from benchmarks.suite.corpora import ALPHA, COMPONENTS, ETA, Problem, corpus_file, load
from benchmarks.timing import Sample, ratio, rounds
from benchmarks.topics import Quotient, Record, Settings, record

TITLE = "Latent Dirichlet allocation: kernels"

# Million elements a second that plain loops with AVX2 have reached on another processor.
ASKED = {"float64": 212, "float32": 730}
DOCUMENTS, WORDS, DISTINCT = 400, 5000, 100
REST = 0.1  # seconds, in which threads that wait for more work go to sleep


def measure(settings: Settings) -> Iterator[Record]:
    """Yield the records of the parts."""
    parts = {"special": special, "inner": inner, "scaling": scaling}
    for part in settings.pick((*parts, "order")):
        if part == "order":
            for corpus in ("L1", "file") if corpus_file() else ("L1",):
                yield order(load(corpus, settings.scale), settings)
        else:
            yield parts[part](settings)


def special(settings: Settings) -> Record:
    """Measure exp(ψ) and exp of one thread."""
    samples, facts = {}, {}
    for name in ("exp(digamma)", "exp"):
        for dtype in ("float64", "float32"):
            ours, theirs = compare(name, dtype, 20_000, 3 * settings.repeats, 0.02)
            samples[f"{name}, {dtype}"], samples[f"{name}, {dtype}, SciPy or NumPy"] = ours, theirs
            rate = 20_000 / ours.median / 1e6
            asked = f" (asked {ASKED[dtype]})" if name != "exp" else ""
            facts[f"{name}, {dtype}"] = f"{rate:.0f} million a second{asked}"
    return record("20,000 numbers", samples, **facts)


def inner(settings: Settings) -> Record:
    """Measure an iteration of the inner loop, by threads."""
    from vemfast.documents import DocumentBlock
    from vemfast.models.lda import LatentDirichletAllocation
    from vemfast.models.lda_config import LdaConfig

    rng = np.random.default_rng(settings.seed)
    topics = rng.gamma(100.0, 0.01, (WORDS, COMPONENTS))
    topics /= topics.sum(axis=0)
    n = max(4, round(DOCUMENTS * settings.scale))
    words = np.concatenate([np.sort(rng.choice(WORDS, DISTINCT, replace=False)) for _ in range(n)])
    indptr = DISTINCT * np.arange(n + 1)
    block = DocumentBlock(indptr, words, np.ones(words.size), n_words=WORDS, dtype=np.float32)

    def iteration(threads: int) -> Callable[[], float]:
        models = [
            LatentDirichletAllocation(
                LdaConfig(COMPONENTS, WORDS, 0.5, max_inner=steps, inner_tol=0.0, dtype="float32")
            )
            for steps in (60, 10)
        ]
        params = models[0].config.params("point", topics)

        def seconds() -> float:
            times = []
            for model in models:
                began = perf_counter()
                model.infer(params, block, threads)
                times.append(perf_counter() - began)
            return (times[0] - times[1]) / 50

        return seconds

    measures = {f"{t} threads": iteration(t) for t in sorted({1, settings.threads})}
    rounds(measures, 1)
    samples = rounds(measures, 3 * settings.repeats)
    operations = 4 * COMPONENTS * words.size
    peak, read = _sgemm(1), _read_rate()
    facts: dict[str, str | float] = {
        "sgemm, AVX2, one thread": f"{peak:.0f} GFLOP/s",
        "second-level cache, one thread": f"{read:.0f} GB/s, as many GFLOP/s",
    }
    for name, sample in samples.items():
        rate = operations / sample.median / 1e9
        share = rate / peak / int(name.split()[0])
        facts[f"inner loop, {name}"] = f"{rate:.1f} GFLOP/s, {share:.0%} of sgemm on each"
    return record(f"inner loop, {n} documents: an iteration", samples, **facts)


def _sgemm(threads: int) -> float:
    """Return the rate of sgemm with AVX2, GFLOP/s."""
    narrow = avx2_gemm_rates("float32", threads) if widest_vectors() == "avx512f" else []
    return median(narrow or gemm_rates("float32", threads))


def _read_rate(size: int = 1 << 16, repeats: int = 200) -> float:
    """Return the rate at which the inner product of two arrays of 256 KB reads them, GB/s."""
    a, b = np.ones(size, dtype=np.float32), np.ones(size, dtype=np.float32)
    seconds = []
    for _ in range(repeats):
        began = perf_counter()
        for _ in range(20):
            np.dot(a, b)
        seconds.append((perf_counter() - began) / 20)
    return 2 * a.nbytes / median(seconds) / 1e9


def scaling(settings: Settings) -> Record:
    """Measure a batch pass and sgemm with one thread and with more."""
    problem, many = load("L1", settings.scale), settings.threads

    def a_pass(threads: int) -> Callable[[], float]:
        fit: Any = Vemfast(problem.train, threads, init="random")

        def seconds() -> float:
            times = []
            for passes in (21, 1):
                began = perf_counter()
                fit.go(passes)
                times.append(perf_counter() - began)
            return (times[0] - times[1]) / 20

        return seconds

    def product(threads: int) -> Callable[[], float]:
        return lambda: 2e-9 * SIZE**3 / gemm_rates("float32", threads, 1)[0]

    def rested(measure: Callable[[], float]) -> Callable[[], float]:
        def seconds() -> float:
            sleep(REST)
            return measure()

        return seconds

    measures = {}
    for threads in (1, many):
        measures[f"a pass, {threads} threads"] = rested(a_pass(threads))
        measures[f"sgemm, {threads} threads"] = rested(product(threads))
    rounds(measures, 1)
    samples = rounds(measures, 5 * settings.repeats)
    ours, theirs = (
        ratio(samples[f"{what}, 1 threads"], samples[f"{what}, {many} threads"])
        for what in ("a pass", "sgemm")
    )
    # A difference of fits that noise made negative leaves no ratio at all.
    is_whole = len(ours.seconds) == len(theirs.seconds)
    share = ratio(ours, theirs) if is_whole else Sample((nan,) * 2)
    quarters = [f"{x:.0%}" for x in quantiles(share.seconds, n=4)]
    facts = {
        "a pass": f"{ours.median:.2f} times as fast with {many} threads",
        "sgemm": f"{theirs.median:.2f} times",
        "share": f"{share.median:.0%} of sgemm's (asked 95 %), half of the {len(share.seconds)} "
        f"rounds between {quarters[0]} and {quarters[2]}",
    }
    return record(f"L1, one thread to {many}", samples, **facts)


def order(problem: Problem, settings: Settings) -> Record:
    """Measure E-steps over documents as they come and sorted by their number of distinct words."""
    from vemfast.documents import as_documents
    from vemfast.models.base import Step
    from vemfast.models.lda import LatentDirichletAllocation
    from vemfast.models.lda_config import LdaConfig

    fit: Any = Vemfast(problem.train, settings.threads)
    fit.go(3)
    config = LdaConfig(COMPONENTS, problem.train.shape[1], ALPHA, eta=ETA, dtype="float32")
    model = LatentDirichletAllocation(config)
    table = model.prepare(config.params("posterior", fit.lda.components_.T))
    sizes = np.diff(problem.train.indptr)
    orders = {
        "as they come": np.arange(sizes.size),
        "shortest first": np.argsort(sizes, kind="stable"),
        "longest first": np.argsort(-sizes, kind="stable"),
    }

    def e_step(block: Any, threads: int) -> Callable[[], float]:
        step = Step("factorised", "posterior", n_jobs=threads)

        def seconds() -> float:
            began = perf_counter()
            model.e_step(table, block, step)
            return perf_counter() - began

        return seconds

    measures = {}
    for name, documents in orders.items():
        cold = as_documents(problem.train[documents], dtype=np.float32)
        warm = cold.fork()
        warm.local = model.e_step(table, cold, Step("factorised", "posterior")).local
        for threads in sorted({1, settings.threads}):
            for state, block in (("cold", cold), ("warm", warm)):
                measures[f"{name}, {state}, {threads} threads"] = e_step(block, threads)
    rounds(measures, 1)
    samples = rounds(measures, 5 * settings.repeats)
    plain, *others = orders
    quotients = [
        Quotient(name, name.replace(plain, other))
        for name in measures
        if name.startswith(plain)
        for other in others
    ]
    return record(f"{problem.name}: an E-step, by the order of the documents", samples, quotients)
