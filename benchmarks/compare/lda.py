"""Libraries of latent Dirichlet allocation behind one face: topics after so many passes.

Each offers `absent() -> str` (why it cannot run here) and fits, made by `start(counts, ...)`:

    go(passes)       make further passes; this alone is timed, not the conversion of the counts
    found() -> topics (K, V) in any scale, and the alpha that documents are to be inferred with

All have K, α and η of `suite.corpora`; where α is learned, that is the start. All but gensim take
the number of threads.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from benchmarks.suite.corpora import ALPHA, COMPONENTS, ETA

__all__ = ["FITS", "Fit", "absent"]

Array = NDArray[np.float64]
Found = tuple[Array, Any]


class Fit(Protocol):
    """A fit under way."""

    def go(self, passes: int) -> None: ...
    def found(self) -> Found: ...


def absent(library: str) -> str:
    """Return why a library cannot run here, or nothing."""
    try:
        importlib.import_module(library)
    except ImportError as error:
        return str(error)
    return ""


class Sklearn:
    """scikit-learn's variational Bayes, batch or online."""

    def __init__(self, counts: Any, threads: int, online: bool = False, blei: bool = False) -> None:
        from sklearn.decomposition import LatentDirichletAllocation

        self.counts = scipy.sparse.csr_matrix(counts, dtype=np.float64)
        self.lda = LatentDirichletAllocation(
            COMPONENTS,
            doc_topic_prior=ALPHA,
            topic_word_prior=ETA,
            learning_method="online" if online else "batch",
            total_samples=counts.shape[0],
            random_state=0,
            n_jobs=threads,
        )
        self.online = online
        from sklearn.utils.parallel import Parallel, delayed

        Parallel(n_jobs=threads)(delayed(abs)(i) for i in range(threads))  # starts the workers
        self.lda._init_latent_vars(counts.shape[1], dtype=np.float64)
        if blei:
            self.lda.components_ = _one_document_each(self.counts)
            self.lda.exp_dirichlet_component_ = _exp_expected_log(self.lda.components_)

    def go(self, passes: int) -> None:
        from sklearn.utils.parallel import Parallel

        lda, X = self.lda, self.counts
        with Parallel(n_jobs=lda.n_jobs) as parallel:
            for _ in range(passes):
                if self.online:
                    for first in range(0, X.shape[0], lda.batch_size):
                        part = X[first : first + lda.batch_size]
                        lda._em_step(part, total_samples=X.shape[0], batch_update=False,
                                     parallel=parallel)  # fmt: skip
                else:
                    lda._em_step(X, total_samples=X.shape[0], batch_update=True, parallel=parallel)

    def found(self) -> Found:
        return self.lda.components_, ALPHA


class Gensim:
    """gensim's variational Bayes: online over chunks of 2,000 documents, or batch.

    `LdaModel` has one thread, whatever `threads` says. `LdaMulticore` gives whole chunks of
    documents to workers, of which L1 and AP are one, and cannot learn α.
    """

    def __init__(self, counts: Any, threads: int, online: bool = True, learn: bool = False) -> None:
        from gensim.matutils import Sparse2Corpus
        from gensim.models import LdaModel

        self.corpus = list(Sparse2Corpus(counts, documents_columns=False))
        self.lda = LdaModel(
            id2word={i: str(i) for i in range(counts.shape[1])},
            num_topics=COMPONENTS,
            alpha="auto" if learn else [ALPHA] * COMPONENTS,
            eta=ETA,
            chunksize=2000 if online else counts.shape[0],
            update_every=1 if online else 0,
            iterations=100,
            eval_every=None,
            random_state=0,
            dtype=np.float32,
        )

    def go(self, passes: int) -> None:
        self.lda.update(self.corpus, passes=passes)

    def found(self) -> Found:
        return np.asarray(self.lda.get_topics(), dtype=np.float64), np.asarray(self.lda.alpha)


class Tomotopy:
    """tomotopy's collapsed Gibbs sampler; it learns α unless told not to."""

    def __init__(self, counts: Any, threads: int, learn: bool = False) -> None:
        import tomotopy

        self.lda = tomotopy.LDAModel(k=COMPONENTS, alpha=ALPHA, eta=ETA, seed=1)
        self.lda.optim_interval = 10 if learn else 0
        self.threads = threads
        names = np.array([str(i) for i in range(counts.shape[1])])
        for d in range(counts.shape[0]):
            row = counts[d]
            self.lda.add_doc(np.repeat(names[row.indices], row.data.astype(np.int64)).tolist())
        self.lda.train(0, workers=threads)
        self.words = np.array([int(name) for name in self.lda.used_vocabs])
        self.n_words = counts.shape[1]

    def go(self, passes: int) -> None:
        self.lda.train(passes, workers=self.threads)

    def found(self) -> Found:
        topics = np.zeros((COMPONENTS, self.n_words))
        for k in range(COMPONENTS):
            topics[k, self.words] = self.lda.get_topic_word_dist(k)
        return topics, np.asarray(self.lda.alpha, dtype=np.float64)


class Vemfast:
    """Of this package: a whole fit of so many passes, its start included, as a user would call it.

    So a later point of a curve is a longer fit from the same start, and not the earlier one gone on
    with: all its seconds count.
    """

    def __init__(self, counts: Any, threads: int, **options: Any) -> None:
        importlib.import_module("vemfast.estimators")  # imports are not timed, as those of peers
        self.counts, self.threads, self.options = counts, threads, options

    def go(self, passes: int) -> None:
        import vemfast

        own = {"doc_topic_prior": ALPHA, "n_jobs": self.threads, "random_state": 0} | self.options
        rung = own.get("inference", "mean-field")
        if rung in ("mean-field", "gibbs"):
            own.setdefault("topic_word_prior", ETA)
        if rung == "gibbs":
            kept = max(1, passes // 4)
            own |= {"n_burn": passes - kept, "n_draws": kept, "thin": 1, "n_chains": 1}
        else:
            own["max_iter"] = passes
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.lda = vemfast.LatentDirichletAllocation(COMPONENTS, **own).fit(self.counts)

    def found(self) -> Found:
        return self.lda.topic_word_, self.lda.doc_topic_prior_


FITS: Mapping[str, tuple[str, Callable[[Any, int], Fit]]] = {
    "scikit-learn batch": ("sklearn", lambda X, n: Sklearn(X, n)),
    "scikit-learn batch, a document a topic": ("sklearn", lambda X, n: Sklearn(X, n, blei=True)),
    "scikit-learn online": ("sklearn", lambda X, n: Sklearn(X, n, online=True)),
    "gensim batch": ("gensim", lambda X, n: Gensim(X, n, online=False)),
    "gensim online": ("gensim", lambda X, n: Gensim(X, n)),
    "gensim online, α learned": ("gensim", lambda X, n: Gensim(X, n, learn=True)),
    "tomotopy Gibbs": ("tomotopy", lambda X, n: Tomotopy(X, n)),
    "tomotopy Gibbs, α learned": ("tomotopy", lambda X, n: Tomotopy(X, n, learn=True)),
    "mean-field": ("vemfast", lambda X, n: Vemfast(X, n)),
    "mean-field, α learned": ("vemfast", lambda X, n: Vemfast(X, n, doc_topic_prior="learn")),
    "mean-field online": ("vemfast", lambda X, n: Vemfast(X, n, learning_method="online")),
    "variational-em": ("vemfast", lambda X, n: Vemfast(X, n, inference="variational-em")),
    "variational-em, α learned": (
        "vemfast",
        lambda X, n: Vemfast(X, n, inference="variational-em", doc_topic_prior="learn"),
    ),
    "hard-em": ("vemfast", lambda X, n: Vemfast(X, n, inference="hard-em")),
    "gibbs": ("vemfast", lambda X, n: Vemfast(X, n, inference="gibbs")),
    "gibbs, α learned": (
        "vemfast",
        lambda X, n: Vemfast(X, n, inference="gibbs", doc_topic_prior="learn"),
    ),
}


def _one_document_each(counts: Any) -> Array:
    """Return pseudo-counts as Blei's lda-c begins: each topic one document, and a bit of all."""
    rng = np.random.default_rng(0)
    chosen = rng.permutation(counts.shape[0])[:COMPONENTS]
    return np.asarray(counts[chosen].toarray() + 1.0 + 0.1 * rng.random((COMPONENTS, 1)))


def _exp_expected_log(components: Array) -> Array:
    from scipy.special import digamma

    logs = digamma(components) - digamma(components.sum(axis=1, keepdims=True))
    return np.asarray(np.exp(logs))
