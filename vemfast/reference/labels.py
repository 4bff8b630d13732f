"""The local step of a mixture: from scores to a bound, an entropy and responsibilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["clamped", "exact", "hard", "labels_of", "sampled"]

Array = NDArray[np.float64]


def clamped(scores: Array, labels: NDArray[np.int32] | None) -> Array:
    """Return the scores with -inf for all but the own component of a row of known label.

    Its own stays finite: no row is without a component.
    """
    if labels is None:
        return scores
    rows = np.flatnonzero(labels >= 0)
    own = np.maximum(scores[rows, labels[rows]], -1e300)
    scores = scores.copy()
    scores[rows] = -np.inf
    scores[rows, labels[rows]] = own
    return scores


def labels_of(block: Any, rows: NDArray[np.int64]) -> NDArray[np.int32] | None:
    """Return the labels of rows of a block, by global number, None where it has none."""
    return None if block.labels is None else block.labels[rows - block.offset]


def exact(scores: Array) -> tuple[Array, Array, Array]:
    """Return log Σ_k e^{s_k}, the entropy and the responsibilities of each row."""
    top = scores.max(axis=1, keepdims=True)
    lost = np.isneginf(top[:, 0])
    if lost.any():  # no component reaches the row: -inf, and no preference
        scores = np.where(lost[:, None], 0.0, scores)
        top[lost] = 0.0
    r = np.exp(scores - top)
    total = r.sum(axis=1, keepdims=True)
    r /= total
    log_total = top + np.log(total)
    log_r = np.where(r > 0, scores - log_total, 0.0)
    entropy = -np.einsum("nk,nk->n", r, log_r)
    bound = log_total[:, 0]
    bound[lost] = -np.inf
    return bound, entropy, r


def hard(scores: Array) -> tuple[Array, Array, Array]:
    """Return the best score, no entropy, and the best component of each row; ties: the lowest."""
    rows, best = np.arange(len(scores)), scores.argmax(axis=1)
    r = np.zeros_like(scores)
    r[rows, best] = 1.0
    return scores[rows, best], np.zeros(len(scores)), r


def sampled(scores: Array, u: Array) -> tuple[Array, Array, Array]:
    """Return log Σ_k e^{s_k}, no entropy, and a drawn component of each row."""
    bound, _, p = exact(scores)
    cumulative = p.cumsum(axis=1)
    drawn = (cumulative <= u[:, None] * cumulative[:, -1:]).sum(axis=1)
    r = np.zeros_like(scores)
    r[np.arange(len(scores)), drawn] = 1.0
    return bound, np.zeros(len(scores)), r
