"""Coherence of topics: whether the words that a topic ranks first occur in the same documents."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

__all__ = ["coherence"]

_MEASURES = ("u_mass", "c_npmi")


def coherence(
    topics: ArrayLike, counts: Any, measure: str = "u_mass", n_words: int = 10
) -> NDArray[np.float64]:
    """Return the coherence of each topic, from the documents that its first words share.

    Parameters
    ----------
    topics : array-like of shape (n_topics, n_vocabulary)
        Any scores that rank words, such as `components_` or `topic_word_`. Of words with equal
        scores the earlier one ranks first.
    counts : sparse matrix or array-like of shape (n_documents, n_vocabulary)
        Word counts of documents, of those fitted or of others. A word occurs in a document, or
        does not: how often plays no part.
    measure : {"u_mass", "c_npmi"}, default="u_mass"
        "u_mass" (Mimno et al. 2011): the mean over pairs of words i < j by rank of
        ``log((D(i, j) + 1) / D(i))``, nats, with D the number of documents that hold both or one;
        at most about 0. Pairs whose first word is in no document are left out.
        "c_npmi" (Bouma 2009; Röder et al. 2015, with documents as windows): the mean normalised
        pointwise mutual information of the pairs, ``log(p(i, j) / (p(i) p(j))) / -log p(i, j)``, in
        -1 to 1; -1 for a pair that no document holds, 1 for one that every document holds.
    n_words : int, default=10
        First words of each topic that are looked at.

    Returns
    -------
    ndarray of shape (n_topics,)
        Higher is better. NaN for a topic none of whose pairs counts.

    Raises
    ------
    ValueError
        If the shapes disagree, there is no document, or an option is not known.
    """
    if measure not in _MEASURES:
        raise ValueError(f"measure must be one of {', '.join(_MEASURES)}; got {measure!r}")
    scores = np.asarray(topics, dtype=np.float64)
    documents = sparse.csc_matrix(counts)
    if scores.ndim != 2 or scores.shape[1] != documents.shape[1]:
        raise ValueError(
            f"topics have shape {scores.shape}, expected (n_topics, {documents.shape[1]}): a score "
            "for each column of the counts"
        )
    if not np.isfinite(scores).all():
        raise ValueError("topics must be finite")
    if documents.shape[0] == 0:
        raise ValueError("counts hold no document")
    if not 2 <= n_words <= scores.shape[1]:
        raise ValueError(
            f"n_words must be 2 to {scores.shape[1]}, the size of the vocabulary; got {n_words}"
        )
    first = np.argsort(-scores, axis=1, kind="stable")[:, :n_words]
    words, place = np.unique(first, return_inverse=True)
    holds = documents[:, words]
    holds.sum_duplicates()
    holds.data = (holds.data != 0).astype(np.float64)
    together = np.asarray((holds.T @ holds).todense())
    score = _u_mass if measure == "u_mass" else _npmi
    pairs = score(together, documents.shape[0])
    earlier, later = np.triu_indices(n_words, 1)
    place = place.reshape(first.shape)
    return _means(pairs[place[:, earlier], place[:, later]])


def _u_mass(together: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    alone = together.diagonal()[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(alone > 0, np.log((together + 1.0) / alone), np.nan)


def _npmi(together: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    joint = together / n
    alone = joint.diagonal()
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.log(joint / np.outer(alone, alone)) / -np.log(joint)
    return np.where(joint == 0, -1.0, np.where(joint == 1, 1.0, value))


def _means(pairs: NDArray[np.float64]) -> NDArray[np.float64]:
    counted = ~np.isnan(pairs)
    totals = np.where(counted, pairs, 0.0).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray(totals / counted.sum(axis=1))
