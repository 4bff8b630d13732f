"""First components of a discrete mixture, found on some of the rows.

Rows become points of a Euclidean space, k-means++ and Lloyd's iterations group them there, and each
group gives a component, smoothed by one row at the mean of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vemfast import _core
from vemfast.data import IndexedBlock, SparseRows
from vemfast.models.clamping import labels_of, with_known
from vemfast.models.discrete_config import DiscreteConfig
from vemfast.streams import StreamBlock

__all__ = ["as_points", "first_table"]

Array = NDArray[np.float64]

# Rows on which k-means looks for centres, and numbers that they may hold: the fit itself then sees
# them all.
_START_ROWS, _START_NUMBERS = 20_000, 1 << 23


def first_table(
    config: DiscreteConfig,
    init_params: str,
    blocks: Sequence[IndexedBlock | StreamBlock],
    seed: int,
) -> Array:
    """Return probabilities or rates that tell the components apart, (n_indexed, n_components).

    None of them is 0 or, of a Bernoulli, 1.

    Parameters
    ----------
    config : DiscreteConfig
    init_params : {"kmeans", "k-means++", "random_from_data"}
        Groups by k-means; the nearest rows to the seeds of k-means++; or one row each, drawn at
        random.
    blocks : sequence of IndexedBlock or StreamBlock
    seed : int
    """
    K = config.n_components
    limit = int(np.clip(_START_NUMBERS // config.n_indexed, 8 * K, _START_ROWS))
    rows, weights, labels = _some_rows(config, blocks, limit, seed)
    missing = np.isnan(rows)
    rows[missing] = 0.0
    # One row more, so that what no row here has is not impossible.
    usual = 0.5 if config.family != "categorical" else 1.0 / _column_sizes(config)
    mean = (weights @ rows + usual) / (weights @ ~missing + 1.0)
    rows = np.where(missing, mean, rows)
    if init_params == "random_from_data":
        weighted = any(block.weights is not None for block in blocks)
        chosen = _generator(seed, 1).choice(
            len(rows),
            K,
            replace=len(rows) < K,
            p=weights / weights.sum() if weighted else None,
        )
        drawn = rows[chosen]
        if labels is not None:  # a known row is a better guess at its own component
            for k in np.unique(labels[labels >= 0]):
                own = labels == k
                drawn[k] = np.average(rows[own], axis=0, weights=weights[own])
        return np.ascontiguousarray(0.5 * (drawn + mean).T)
    # The variance of a count grows with its mean, that of its square root hardly does.
    points = np.sqrt(rows) if config.family == "poisson" else rows
    lloyd = 100 if init_params == "kmeans" else 0
    centres, _ = _core.kmeans_plusplus(points, weights, K, seed, lloyd, labels)
    nearness = points @ centres.T - 0.5 * np.einsum("kf,kf->k", centres, centres)
    members = np.zeros((len(rows), K))
    group = nearness.argmax(axis=1)
    if labels is not None:
        group = np.where(labels >= 0, labels, group)
    members[np.arange(len(rows)), group] = weights
    return np.asarray((rows.T @ members + mean[:, None]) / (members.sum(axis=0) + 1.0))


def _column_sizes(config: DiscreteConfig) -> Array:
    """Return, for each code, the number of codes of its column."""
    sizes = config.n_categories
    return np.repeat(sizes, sizes).astype(np.float64)


def _generator(seed: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=np.array([seed, stream], dtype=np.uint64)))


def _some_rows(
    config: DiscreteConfig, blocks: Sequence[IndexedBlock | StreamBlock], limit: int, seed: int
) -> tuple[Array, Array, NDArray[np.int32] | None]:
    """Return some rows of positive weight as points, their weights and labels.

    About `limit` rows: one at random of each stretch of rows, and of the rows of each known label
    at least that share of them.
    """
    present = [None if b.weights is None else np.flatnonzero(b.weights) for b in blocks]
    sizes = [b.n if p is None else p.size for b, p in zip(blocks, present, strict=True)]
    total = sum(sizes)
    chosen = np.arange(min(total, limit))
    if total > limit:
        edges = np.arange(limit + 1) * total // limit
        within = _generator(seed, 0).random(limit) * np.diff(edges)
        chosen = edges[:-1] + within.astype(np.int64)
    labels = labels_of(blocks, present)
    if labels is not None and total > limit:
        chosen = with_known(chosen, labels, limit, config.n_components)
    rows, weights = [], []
    for block, of, (first, last) in zip(
        blocks, present, pairwise(np.cumsum([0, *sizes])), strict=True
    ):
        part = chosen[(chosen >= first) & (chosen < last)] - first
        taken = block.take(part if of is None else of[part])
        rows.append(as_points(config, taken))
        weights.append(np.ones(part.size) if taken.weights is None else taken.weights)
    found = None if labels is None else labels[chosen]
    return np.concatenate(rows), np.concatenate(weights), found


def as_points(config: DiscreteConfig, block: IndexedBlock) -> Array:
    """Return rows as points, (n, n_indexed): bits, counts or indicators of codes; NaN."""
    rows = block.rows
    if isinstance(rows, SparseRows):
        dense = np.zeros((block.n, block.n_features))
        entries = slice(int(rows.indptr[0]), int(rows.indptr[-1]))
        row = np.repeat(np.arange(block.n), np.diff(rows.indptr))
        dense[row, rows.indices[entries]] = 1 if rows.values is None else rows.values[entries]
        return dense
    if config.family == "poisson":
        return rows.astype(np.float64)
    missing = rows == (255 if rows.dtype == np.uint8 else -1)
    if config.family == "bernoulli":
        return np.where(missing, np.nan, rows.astype(np.float64))
    dense = np.zeros((block.n, config.n_indexed))
    codes = np.where(missing, 0, rows.astype(np.int64)) + config.column_offsets[:-1]
    np.put_along_axis(dense, codes, 1.0, axis=1)
    dense[np.repeat(missing, config.n_categories, axis=1)] = np.nan
    return dense
