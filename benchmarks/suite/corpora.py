"""Corpora of the topic benchmarks, and the one judge of everybody's topics.

`L1` and `L2` are drawn from latent Dirichlet allocation with Zipf-like topics. A further corpus
can be given as a file: VEMFAST_CORPUS=path, in any format that `vemfast.io.read_corpus` knows by
its name (the Associated Press articles of Blei's lda-c, say); without it that case is left out.

Document completion: topics are mixed with a thousandth of the unigram of the training set, so that
no word is impossible; half of a test document's tokens infer its proportions by variational Bayes,
and the other half is scored, nats a token.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

__all__ = ["CORPORA", "Judge", "Problem", "corpus_file", "draw", "load", "split_tokens"]

Array = NDArray[np.float64]

CORPORA = ("L1", "L2", "file")
COMPONENTS, ALPHA, ETA = 100, 0.05, 0.01
_SMOOTHING = 1e-3
_SPREAD = 0.15  # shape of the factors: the smaller, the more topics differ
_FILE = "VEMFAST_CORPUS"


@dataclass(frozen=True, eq=False)
class Problem:
    """Documents to fit and documents to judge by, counts (n_documents, n_words)."""

    name: str
    train: scipy.sparse.csr_matrix
    test: scipy.sparse.csr_matrix
    true_topics: Array | None = None
    true_alpha: Array | None = None

    @property
    def shape(self) -> str:
        d, v = self.train.shape
        return f"{d:,} documents, {v:,} words, {int(self.train.sum()):,} tokens"


def corpus_file() -> str | None:
    """Return the path of the corpus that the environment names, if it does."""
    return os.environ.get(_FILE)


@lru_cache(maxsize=2)
def load(name: str, scale: float = 1.0) -> Problem:
    """Return a corpus: one of CORPORA. `scale` is a share of the documents."""
    if name == "L1":
        return draw("L1", round(2000 * scale), 300, 10_000, tokens=150)
    if name == "L2":
        return draw("L2", round(20_000 * scale), 300, 30_000, distinct=120)
    path = corpus_file()
    if path is None:
        raise ValueError(f"no corpus: set {_FILE} to a file")
    from vemfast.io import read_corpus

    counts = read_corpus(path).counts
    # Every seventh document is for judging, 300 at most.
    judged = np.arange(counts.shape[0]) % 7 == 3
    judged &= np.cumsum(judged) <= 300
    train, test = counts[~judged], counts[judged]
    return Problem(Path(path).stem, train[: round(train.shape[0] * scale)], test)


def draw(
    name: str,
    n_train: int,
    n_test: int,
    n_words: int,
    tokens: int | None = None,
    distinct: int | None = None,
    n_topics: int = 50,
    seed: int = 0,
) -> Problem:
    """Draw a corpus. Topics are one Zipf distribution, each word times a gamma factor a topic.

    Documents have so many tokens, or draw tokens until they have so many distinct words.
    """
    rng = np.random.default_rng(seed)
    topics = rng.gamma(_SPREAD, size=(n_topics, n_words)) / np.arange(1, n_words + 1)
    topics /= topics.sum(axis=1, keepdims=True)
    alpha = np.full(n_topics, 0.04)
    cumulative = np.cumsum(topics, axis=1)
    indptr, words, counts = [0], [], []
    for _ in range(n_train + n_test):
        size = tokens if tokens is not None else 12 * (distinct or 1)
        z = rng.choice(n_topics, size, p=rng.dirichlet(alpha))
        u = rng.random(size)
        drawn = np.empty(size, dtype=np.int64)
        for k in np.unique(z):
            drawn[z == k] = np.searchsorted(cumulative[k], u[z == k])
        drawn = np.minimum(drawn, n_words - 1)
        if distinct is not None:
            _, first = np.unique(drawn, return_index=True)
            if first.size > distinct:
                drawn = drawn[: np.sort(first)[distinct]]
        found, times = np.unique(drawn, return_counts=True)
        words.append(found)
        counts.append(times)
        indptr.append(indptr[-1] + found.size)
    data = np.concatenate(counts), np.concatenate(words), np.array(indptr)
    X = scipy.sparse.csr_matrix(data, shape=(n_train + n_test, n_words))
    return Problem(name, X[:n_train], X[n_train:], topics, alpha)


def split_tokens(
    counts: scipy.sparse.csr_matrix, seed: int = 0
) -> tuple[scipy.sparse.csr_matrix, scipy.sparse.csr_matrix]:
    """Return half of each document's tokens, drawn at random, and the other half."""
    rng = np.random.default_rng(seed)
    halves: tuple[list[Any], list[Any]] = ([], [])
    for d in range(counts.shape[0]):
        row = counts[d]
        token = rng.permutation(np.repeat(row.indices, row.data.astype(np.int64)))
        for half, part in zip(halves, np.split(token, [token.size // 2]), strict=True):
            half.append(np.bincount(part, minlength=counts.shape[1]))
    seen, held = (scipy.sparse.csr_matrix(np.array(half)) for half in halves)
    return seen, held


class Judge:
    """Document completion on a problem's test documents."""

    def __init__(self, problem: Problem, seed: int = 0) -> None:
        from vemfast.documents import as_documents

        seen, held = split_tokens(problem.test, seed)
        unigram = np.asarray(problem.train.sum(axis=0), dtype=np.float64).ravel()
        # Words that only test documents have: one token each.
        self.unigram = (unigram + 1.0) / (unigram.sum() + unigram.size)
        self.seen, self.held = as_documents(seen), as_documents(held)

    def score(self, topics: Array, alpha: Array | float = ALPHA) -> float:
        """Return the score of topics (K, V), rows in any scale, nats a token: higher is better."""
        from vemfast.models.lda import LatentDirichletAllocation, log_predictive
        from vemfast.models.lda_config import LdaConfig

        rows = np.asarray(topics, dtype=np.float64)
        rows = rows / rows.sum(axis=1, keepdims=True)
        mixed = (1.0 - _SMOOTHING) * rows + _SMOOTHING * self.unigram
        K, V = mixed.shape
        prior = np.broadcast_to(np.asarray(alpha, dtype=np.float64), (K,))
        model = LatentDirichletAllocation(LdaConfig(K, V, prior, dtype="float64"))
        gamma, _ = model.infer(model.config.params("point", mixed.T), self.seen, 2)
        theta = gamma / gamma.sum(axis=1, keepdims=True)
        log_p = log_predictive(theta, mixed.T, self.held, 2)
        return float(log_p.sum() / self.held.total_weight)

    def unigram_score(self) -> float:
        """Return the score of the words' frequencies."""
        return self.score(self.unigram[None, :], 1.0)
