"""Some of the rows of a data set, on which a mixture's start looks for components."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vemfast import _core
from vemfast.models.clamping import labels_of, with_known
from vemfast.streams import StreamBlock

__all__ = ["START_ROWS", "drawn_rows", "some_rows"]

Array = NDArray[np.float64]
Labels = NDArray[np.int32]

# Rows on which k-means looks for centres. More rows would not find better ones for the price: the
# fit itself then sees them all.
START_ROWS = 20_000

# Iteration, first row and stream of the uniforms that choose them: csrc/models/starts.cpp.
_ROW_DRAWS = (1, 0, 2)


def some_rows(
    blocks: Sequence[Any],
    limit: int,
    seed: int,
    n_components: int,
    points: Callable[[Any], Array],
) -> tuple[Array, Array, Labels | None]:
    """Return some rows of positive weight as points, their weights and labels.

    About `limit` rows: one at random of each stretch of rows, and of the rows of each known label
    at least that share of them, so that none is lost because it is rare. `points` makes a block of
    rows points of a Euclidean space.
    """
    only = blocks[0]
    in_memory = len(blocks) == 1 and not isinstance(only, StreamBlock)
    if in_memory and only.weights is None and only.n <= limit:
        return points(only), np.ones(only.n), only.labels
    present = [None if b.weights is None else np.flatnonzero(b.weights) for b in blocks]
    sizes = [b.n if p is None else p.size for b, p in zip(blocks, present, strict=True)]
    total = sum(sizes)
    chosen = np.arange(min(total, limit))
    if total > limit:
        edges = np.arange(limit + 1) * total // limit
        within = _core.random.uniforms(seed, *_ROW_DRAWS, limit) * np.diff(edges)
        chosen = edges[:-1] + within.astype(np.int64)
    labels = labels_of(blocks, present)
    if labels is not None and total > limit:
        chosen = with_known(chosen, labels, limit, n_components)
    rows, weights = [], []
    for block, of, (first, last) in zip(
        blocks, present, pairwise(np.cumsum([0, *sizes])), strict=True
    ):
        part = chosen[(chosen >= first) & (chosen < last)] - first
        taken = block.take(part if of is None else of[part])
        rows.append(points(taken))
        weights.append(np.ones(part.size) if taken.weights is None else taken.weights)
    found = None if labels is None else labels[chosen]
    return np.concatenate(rows), np.concatenate(weights), found


def drawn_rows(
    rows: Array, weights: Array | None, labels: Labels | None, n_components: int, seed: int
) -> Array:
    """Return rows drawn at random, one a component; in proportion to `weights`, where given.

    A component with known rows has their mean, which is a better guess.
    """
    key = np.array([seed, 1], dtype=np.uint64)
    chosen = np.random.Generator(np.random.Philox(key=key)).choice(
        len(rows),
        n_components,
        replace=len(rows) < n_components,
        p=None if weights is None else weights / weights.sum(),
    )
    drawn = rows[chosen]
    if labels is not None:
        for k in np.unique(labels[labels >= 0]):
            own = labels == k
            of = None if weights is None else weights[own]
            drawn[k] = np.average(rows[own], axis=0, weights=of)
    return drawn
