"""Latent Dirichlet allocation: a pass, an epoch, `transform`, memory, beside other libraries.

K = 100, α = 0.05, η = 0.01; L1, L2 (drawn) and a corpus file where VEMFAST_CORPUS names one. Random
starts of one law, the same inner tolerance (1e-3) and cap (100) in all. Of ours, a batch pass and
an online epoch are a fit of six less a fit of one, over five: the passes that follow the first. Of
the peers, they are one more pass of a fit under way, a round each. We keep proportions between
batch passes and they do not: both as their users have them. Every peer gets the conversion of its
data for nothing. gensim's `LdaModel` has one thread, so ours with one stands beside it, too;
its `LdaMulticore` gives whole chunks of 2,000 documents to workers, and L1 and AP are one chunk.
`transform` has 20,000 documents. Memory is the peak of two passes over L2 above its data, in a
fresh process.

Parts (`--only`): L1, L2, file, transform, memory, and the names of fits. A corpus of more than a
million entries has one round. Libraries that are not installed are skipped, and the report says
which.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import scipy.sparse

from benchmarks.compare.lda import FITS, Vemfast, absent
from benchmarks.suite.corpora import COMPONENTS, CORPORA, Problem, corpus_file, load
from benchmarks.timing import rounds
from benchmarks.topics import Quotient, Record, Settings, record

TITLE = "Latent Dirichlet allocation: speed"
_ROOT = Path(__file__).resolve().parents[2]
_SLOW = 1_000_000  # entries beyond which a pass is timed once, not in rounds

_PASSES = {
    "vemfast batch": ("vemfast", lambda X, n: Vemfast(X, n, init="random")),
    "vemfast online": (
        "vemfast",
        lambda X, n: Vemfast(X, n, init="random", learning_method="online"),
    ),
    "vemfast batch, one thread": ("vemfast", lambda X, n: Vemfast(X, 1, init="random")),
    "vemfast online, one thread": (
        "vemfast",
        lambda X, n: Vemfast(X, 1, init="random", learning_method="online"),
    ),
    **{
        name: FITS[name]
        for name in ("scikit-learn batch", "scikit-learn online", "gensim batch", "gensim online")
    },
}
_LIBRARIES = {"sklearn": "scikit-learn", "gensim": "gensim"}
_ASKED = (
    Quotient("scikit-learn batch", "vemfast batch", least=20.0),
    Quotient("gensim batch", "vemfast batch", least=20.0),
    Quotient("scikit-learn online", "vemfast online", least=20.0),
    Quotient("gensim online", "vemfast online", least=20.0),
    Quotient("gensim batch", "vemfast batch, one thread"),
    Quotient("gensim online", "vemfast online, one thread"),
)


def measure(settings: Settings) -> Iterator[Record]:
    """Yield passes and epochs a corpus, then `transform`, then memory."""
    for part in settings.pick((*CORPORA, "transform", "memory")):
        if part == "transform":
            yield transform(settings)
        elif part == "memory":
            yield memory(settings)
        elif part != "file" or corpus_file():
            yield passes(part, settings)


def passes(name: str, settings: Settings) -> Record:
    """Time a batch pass and an online epoch of everybody on one corpus."""
    problem = load(name, settings.scale)
    chosen = {fit: _PASSES[fit] for fit in settings.pick(_PASSES)}
    present = {fit: start for fit, (library, start) in chosen.items() if not absent(library)}
    skipped = sorted({library for library, _ in _PASSES.values() if absent(library)})

    def pass_of(start: Callable[[Any, int], Any]) -> Callable[[], float]:
        fit = start(problem.train, settings.threads)
        if not isinstance(fit, Vemfast):  # goes on: its passes are timed one after another

            def another() -> float:
                began = perf_counter()
                fit.go(1)
                return perf_counter() - began

            return another
        more = 5

        def difference() -> float:
            began = perf_counter()
            fit.go(1)
            one = perf_counter() - began
            began = perf_counter()
            fit.go(1 + more)
            return (perf_counter() - began - one) / more

        return difference

    measures = {fit: pass_of(start) for fit, start in present.items()}
    slow = problem.train.nnz > _SLOW
    if not slow:
        rounds({fit: one for fit, one in measures.items() if fit.startswith("vemfast")}, 1)
    samples = rounds(measures, 1 if slow else settings.repeats)
    asked = [q for q in _ASKED if q.slow in samples and q.fast in samples]
    facts = {"corpus": problem.shape} | ({"skipped": ", ".join(skipped)} if skipped else {})
    case = f"{problem.name}: a pass"
    if len(chosen) < len(_PASSES):  # a part says whose
        peers = {library for library, _ in chosen.values()} - {"vemfast"}
        case += "".join(f", beside {_LIBRARIES[library]}" for library in sorted(peers))
    return record(case, samples, asked, **facts)


def transform(settings: Settings) -> Record:
    """Time the proportions of 20,000 documents of L1's law, at scikit-learn's topics."""
    problem = load("L1", settings.scale)
    copies = -(-round(20_000 * settings.scale) // problem.train.shape[0])
    X = scipy.sparse.vstack([problem.train] * copies, format="csr")
    from vemfast import LatentDirichletAllocation

    ours = LatentDirichletAllocation(COMPONENTS, max_iter=5, random_state=0)
    ours.set_params(n_jobs=settings.threads, doc_topic_prior=0.05).fit(problem.train)

    def timed(estimator: Any) -> Callable[[], float]:
        def measure() -> float:
            began = perf_counter()
            estimator.transform(X)
            return perf_counter() - began

        return measure

    measures, facts = {"vemfast": timed(ours)}, {}
    if not absent("sklearn"):
        measures["scikit-learn"] = timed(_as_sklearn(ours, settings.threads))
    if settings.repeats > 1:
        measures["vemfast"]()
    samples = rounds(measures, min(settings.repeats, 3))
    asked = [Quotient("scikit-learn", "vemfast", least=20.0)]
    facts["documents"] = f"{X.shape[0]:,}"
    return record("transform", samples, [q for q in asked if q.slow in samples], **facts)


def _as_sklearn(ours: Any, threads: int) -> Any:
    """Return scikit-learn's estimator with the same topics, so that both do the same work."""
    from sklearn.decomposition import LatentDirichletAllocation

    theirs = LatentDirichletAllocation(COMPONENTS, doc_topic_prior=0.05, n_jobs=threads)
    theirs.components_ = np.array(ours.components_)
    theirs.exp_dirichlet_component_ = np.array(ours.exp_dirichlet_component_)
    theirs.n_features_in_ = ours.n_features_in_
    theirs.doc_topic_prior_, theirs.topic_word_prior_ = 0.05, 0.01
    theirs.n_batch_iter_, theirs.n_iter_, theirs.bound_ = 1, 1, 0.0
    theirs.random_state_ = np.random.RandomState(0)
    return theirs


def memory(settings: Settings) -> Record:
    """Find the peak of a fit to L2 above its data."""
    command = [sys.executable, "-m", __name__, str(settings.scale), str(settings.threads)]
    answer = subprocess.run(command, cwd=_ROOT, check=True, stdout=subprocess.PIPE, text=True)
    peak, before, table = (int(word) for word in answer.stdout.split())
    return record(
        "memory, L2, two passes",
        {},
        **{
            "peak above data and imports": f"{peak / 2**20:.0f} MiB",
            "of it topics, a K x V table in double": f"{table / 2**20:.0f} MiB each",
            "process before the fit": f"{before / 2**20:.0f} MiB",
        },
    )


def _peak(problem: Problem, threads: int) -> tuple[int, int, int]:
    from benchmarks.memory import RESET, resident

    small = problem.train[:200]
    Vemfast(small, threads).go(1)  # imports, thread stacks
    RESET.write_text("5")  # Linux: the peak starts again at the present size
    before = resident("VmRSS")
    Vemfast(problem.train, threads).go(2)
    return resident("VmHWM") - before, before, 8 * COMPONENTS * problem.train.shape[1]


if __name__ == "__main__":
    print(*_peak(load("L2", float(sys.argv[1])), int(sys.argv[2])))
