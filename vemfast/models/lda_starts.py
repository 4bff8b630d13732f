"""First topics of a latent Dirichlet allocation, for the native model and its twin alike.

On real text the start decides more than the passes. Topics that each begin as one document are
Blei's (lda-c); chosen far apart they are k-means++ on documents (Arthur and Vassilvitskii 2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from vemfast.documents import DocumentBlock
from vemfast.models.base import Step
from vemfast.models.lda_config import LdaConfig, Start
from vemfast.stats import Params
from vemfast.streams import StreamBlock

__all__ = ["STARTS", "adopt", "first_params", "opening_documents"]

Array = NDArray[np.float64]

STARTS = ("random", "documents", "spread")

# Of a topic that begins as a document: the weight of the words of all documents together, so that
# no word is impossible, and the spread of a factor on each word, so that equal documents differ.
_COMMON, _JITTER = 0.1, 0.05
# A posterior begins as a flat prior, λ = 1, that has seen so many documents of the topic. With λ
# well below 1 at other words, E[log β] all but rules them out, and topics stay what they began as:
# on news articles the held-out score then ends 0.3 nats a token lower.
_SEEN = 2.0
# Documents among which "spread" looks for the next one: enough to choose from, few to compare.
_MOST_CANDIDATES = 20_000
# Documents that the first statistics of an online fit are made of. A batch has one or two documents
# a topic, so from its statistics alone the fit would go on with topics that have lost their start
# (docs/decisions/016-online-start.md).
_OPENING = 20_000


def first_params(config: LdaConfig, start: Start, blocks: Sequence[Any], step: Step) -> Params:
    """Return first parameters as `start` says, of the kind that the step's rule wants."""
    rng = np.random.default_rng([step.seed & 0xFFFFFFFF, step.seed >> 32, 0x1DA])
    V, K = config.n_words, config.n_components
    if start.topics is not None:
        topics = start.topics
    elif start.init == "random":
        # scikit-learn's start of lambda, after Hoffman.
        table = np.maximum(rng.gamma(100.0, 0.01, size=(V, K)), 1e-3)
        if step.parameter_rule == "posterior":
            return config.params("posterior", table)
        topics = table / table.sum(axis=0)
    elif start.init in STARTS:
        topics = _from_documents(config, start.init, blocks, rng)
        if step.parameter_rule == "posterior":
            return config.params("posterior", 1.0 + _SEEN * _mean_length(blocks) * topics)
    else:
        raise ValueError(f"init must be one of {STARTS}; got {start.init!r}")
    return adopt(config, config.params("point", topics), blocks, step)


def adopt(config: LdaConfig, params: Params, blocks: Sequence[Any], step: Step) -> Params:
    """Return `params` as the parameter rule wants them.

    A point becomes a posterior as if each topic had had an equal share of the tokens.
    """
    kind = "posterior" if step.parameter_rule == "posterior" else "point"
    if params.kind == kind:
        return params
    if kind == "point":
        topics = params["lambda"] / params["lambda"].sum(axis=0)
        out = config.params("point", topics)
    else:
        tokens = sum(block.total_weight for block in blocks) / config.n_components
        prior = params["eta_scale"] * config.prior
        out = config.params("posterior", prior + tokens * params["topics"])
    out["alpha"], out["eta_scale"] = params["alpha"], params["eta_scale"]
    return out


def opening_documents(blocks: Sequence[Any]) -> tuple[DocumentBlock, int]:
    """Return the last documents, many of them, as one block, and how many batches they are."""
    first, documents = len(blocks), 0
    while first > 0 and documents < _OPENING:
        first -= 1
        documents += blocks[first].n
    parts = [block.whole() if isinstance(block, StreamBlock) else block for block in blocks[first:]]
    if len(parts) == 1:
        return cast(DocumentBlock, parts[0]), 1
    weights = None
    if any(part.weights is not None for part in parts):
        weights = np.concatenate([_weights(part) for part in parts])
    return DocumentBlock.joined(parts).with_weights(weights), len(parts)


def _from_documents(
    config: LdaConfig, init: str, blocks: Sequence[Any], rng: np.random.Generator
) -> Array:
    """Return topics that are each one document, mixed with the words of all."""
    V, K = config.n_words, config.n_components
    usable = np.flatnonzero(
        np.concatenate([_weights(block) * (block.tokens > 0) for block in blocks])
    )
    if not usable.size:
        raise ValueError("no document has a token of positive weight")
    if init == "documents":
        wanted = rng.permutation(usable)[:K]
    elif usable.size > _MOST_CANDIDATES:
        wanted = usable[np.sort(rng.choice(usable.size, _MOST_CANDIDATES, replace=False))]
    else:
        wanted = usable
    common, found = _read(blocks, wanted, V)
    if init == "spread":
        found = [found[i] for i in _spread(_as_matrix(found, V), K, rng)]
    common = (common + 1.0) / (common.sum() + V)
    topics = np.empty((V, K))
    for k in range(K):
        # More topics than documents: further topics begin as all words together.
        own = common.copy()
        if k < len(found):
            words, counts = found[k]
            own *= _COMMON
            own[words] += (1.0 - _COMMON) * counts / counts.sum(dtype=np.float64)
        topics[:, k] = own * rng.uniform(1.0 - _JITTER, 1.0 + _JITTER, V)
    return np.asarray(topics / topics.sum(axis=0))


def _weights(block: Any) -> Array:
    return np.ones(block.n) if block.weights is None else np.asarray(block.weights)


def _read(
    blocks: Sequence[Any], wanted: NDArray[np.int64], V: int
) -> tuple[Array, list[tuple[NDArray[Any], NDArray[Any]]]]:
    """Return the weighted tokens of each word, and words and counts of some documents.

    `wanted` are distinct numbers of documents, counted through all blocks. Parts of a stream are
    read in turn, once.
    """
    common = np.zeros(V)
    order = np.argsort(wanted)
    rising = wanted[order]
    found: list[Any] = [None] * wanted.size
    done = 0
    for block in blocks:
        is_stream = isinstance(block, StreamBlock)
        for part in block.parts() if is_stream else [block]:
            entries = np.repeat(_weights(part), np.diff(part.indptr)) * part.counts
            np.add.at(common, part.indices, entries)
            first, last = np.searchsorted(rising, [done, done + part.n])
            for i in range(first, last):
                words, counts = part.words_of(int(rising[i]) - done)
                found[order[i]] = (words.copy(), counts.copy()) if is_stream else (words, counts)
            done += part.n
    return common, found


def _mean_length(blocks: Sequence[Any]) -> float:
    """Return the mean number of tokens of documents that have any."""
    tokens = documents = 0.0
    for block in blocks:
        documents += float(_weights(block)[block.tokens > 0].sum())
        tokens += block.total_weight
    return tokens / documents


def _as_matrix(
    found: Sequence[tuple[NDArray[Any], NDArray[Any]]], V: int
) -> scipy.sparse.csr_array:
    """Return square roots of word frequencies, one document a row of length 1."""
    indptr = np.concatenate(([0], np.cumsum([words.size for words, _ in found])))
    values = [np.sqrt(counts / counts.sum(dtype=np.float64)) for _, counts in found]
    indices = np.concatenate([words for words, _ in found])
    return scipy.sparse.csr_array((np.concatenate(values), indices, indptr), shape=(len(found), V))


def _spread(rows: scipy.sparse.csr_array, K: int, rng: np.random.Generator) -> list[int]:
    """Choose rows in turn, each with probability proportional to its squared distance.

    That from the nearest one chosen: Hellinger's, with which documents are 1 apart at most.
    """
    chosen = [int(rng.integers(rows.shape[0]))]
    nearest = np.full(rows.shape[0], np.inf)
    while len(chosen) < min(K, rows.shape[0]):
        likeness = np.asarray((rows @ rows[[chosen[-1]]].T).todense()).ravel()
        nearest = np.minimum(nearest, np.maximum(1.0 - likeness, 0.0))
        nearest[chosen] = 0.0
        if nearest.sum() <= 0:  # what is left is the same as what is chosen
            rest = np.setdiff1d(np.arange(rows.shape[0]), chosen)
            chosen += rng.permutation(rest)[: K - len(chosen)].tolist()
            break
        chosen.append(int(rng.choice(rows.shape[0], p=nearest / nearest.sum())))
    return chosen
