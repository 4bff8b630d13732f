"""First components of a discrete mixture, found on some of the rows.

Rows become points of a Euclidean space, k-means++ and Lloyd's iterations group them there, and each
group gives a component, smoothed by one row at the mean of all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vemfast import _core
from vemfast.indexed import IndexedBlock, SparseRows
from vemfast.models.discrete_config import DiscreteConfig
from vemfast.models.start_rows import START_ROWS, drawn_rows, some_rows
from vemfast.streams import StreamBlock

__all__ = ["as_points", "first_table"]

Array = NDArray[np.float64]

_START_NUMBERS = 1 << 23  # that the rows on which k-means looks for centres may hold


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
    limit = int(np.clip(_START_NUMBERS // config.n_indexed, 8 * K, START_ROWS))
    rows, weights, labels = some_rows(
        blocks, limit, seed, K, lambda block: as_points(config, block)
    )
    # One row more, so that what no row here has is not impossible.
    usual = np.full(config.n_indexed, 0.5)
    if config.family == "categorical":
        usual = 1.0 / _column_sizes(config)
    if init_params == "random_from_data":
        missing = np.isnan(rows)
        rows[missing] = 0.0
        mean = (weights @ rows + usual) / (weights @ ~missing + 1.0)
        rows = np.where(missing, mean, rows)
        weighted = any(block.weights is not None for block in blocks)
        drawn = drawn_rows(rows, weights if weighted else None, labels, K, seed)
        return np.ascontiguousarray(0.5 * (drawn + mean).T)
    return _core.discrete_start_table(
        np.ascontiguousarray(rows),
        weights,
        labels,
        usual,
        K,
        config.family == "poisson",  # the variance of a count grows with its mean
        seed,
        100 if init_params == "kmeans" else 0,
    )


def _column_sizes(config: DiscreteConfig) -> Array:
    """Return, for each code, the number of codes of its column."""
    sizes = config.n_categories
    return np.repeat(sizes, sizes).astype(np.float64)


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
