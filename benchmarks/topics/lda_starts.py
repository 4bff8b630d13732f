"""Latent Dirichlet allocation: what a start is worth, on held-out score over ten seeds.

Every rung from every start (`init`), K = 100, α = 0.05, η = 0.01 (1.01 with point topics), ten
passes (gibbs: forty; online: three); L1 and a corpus file where VEMFAST_CORPUS names one. The score
is document completion, nats a token: median [least, most] over the seeds. `seconds` are those of a
fit, start included.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from time import perf_counter

from benchmarks.compare.lda import Vemfast
from benchmarks.session import note
from benchmarks.suite.corpora import Judge, corpus_file, load
from benchmarks.timing import Sample
from benchmarks.topics import Record, Settings, record

TITLE = "Latent Dirichlet allocation: starts"
PASSES = {
    "mean-field": 10,
    "variational-em": 10,
    "hard-em": 10,
    "gibbs": 40,
    "mean-field online": 3,
    "variational-em online": 3,
}
SEEDS = 10


def measure(settings: Settings) -> Iterator[Record]:
    """Yield a record a corpus and rung."""
    for name in settings.pick(("L1", "file")):
        if name == "L1" or corpus_file():
            for rung in settings.pick(PASSES):
                yield compare(name, rung, settings)


def compare(name: str, rung: str, settings: Settings, seeds: int = SEEDS) -> Record:
    """Return the scores of one rung on one corpus from every start."""
    from vemfast.models.lda_starts import STARTS

    method, _, how = rung.partition(" ")
    problem = load(name, settings.scale)
    judge = Judge(problem)
    samples, facts = {}, {"corpus": problem.shape}
    for init in STARTS:
        scores, seconds = [], []
        for seed in range(settings.seed, settings.seed + seeds):
            fit = Vemfast(problem.train, settings.threads, inference=method, init=init)
            if how:
                fit.options["learning_method"] = how
            fit.options["random_state"] = seed
            began = perf_counter()
            fit.go(PASSES[rung])
            seconds.append(perf_counter() - began)
            scores.append(judge.score(*fit.found()))
        samples[init] = Sample(tuple(seconds))
        facts[init] = f"{median(scores):.3f} [{min(scores):.3f}, {max(scores):.3f}]"
        note(problem.name, rung, init, facts[init])
    return record(f"{problem.name}: {rung}, {PASSES[rung]} passes", samples, **facts)
