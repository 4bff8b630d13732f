"""First components of states that are mixtures: groups, and groups within them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vemfast import _core
from vemfast.data import RowBlock
from vemfast.models.hmm_config import HmmConfig
from vemfast.models.start_rows import START_ROWS, some_rows

__all__ = ["labelled_components"]

Array = NDArray[np.float64]


def labelled_components(
    config: HmmConfig, blocks: Sequence[Any], init_params: str, seed: int
) -> list[RowBlock]:
    """Return some of the rows, labelled with components so that those of a state are neighbours.

    K groups by k-means (or the nearest seeds of k-means++), and `n_mix` groups within each of them.
    Rows are not labelled where they are drawn at random, or a group has too few.

    Parameters
    ----------
    config : HmmConfig
        With Gaussian emissions.
    blocks : sequence of RowBlock
        Their labels are known states.
    init_params : {"kmeans", "k-means++", "random_from_data"}
    seed : int
    """
    K, M = config.n_components, config.n_mix
    rows, weights, states = some_rows(blocks, START_ROWS, seed, K, lambda block: block.X)
    bare = RowBlock(np.ascontiguousarray(rows), weights)
    if init_params == "random_from_data":
        return [bare]
    emission: Any = config.emission
    points = (rows - emission.origin) / np.sqrt(emission.column_scale)
    points = np.ascontiguousarray(np.where(np.isnan(points), 0.0, points), dtype=np.float64)
    lloyd = 100 if init_params == "kmeans" else 0
    of_state = _grouped(points, weights, K, seed, lloyd, states)
    labels = np.empty(len(rows), dtype=np.int32)
    for k in range(K):
        own = np.flatnonzero(of_state == k)
        if own.size < M:
            return [bare]
        within = _grouped(np.ascontiguousarray(points[own]), weights[own], M, seed, lloyd, None)
        labels[own] = k * M + within
    return [bare.with_labels(labels)]


def _grouped(
    points: Array,
    weights: Array,
    n: int,
    seed: int,
    lloyd: int,
    labels: NDArray[np.int32] | None,
) -> NDArray[np.intp]:
    """Return the group of each point, out of n."""
    centres, _ = _core.kmeans_plusplus(points, weights, n, seed, lloyd, labels)
    nearness = points @ centres.T - 0.5 * np.einsum("kf,kf->k", centres, centres)
    group = nearness.argmax(axis=1)
    return group if labels is None else np.where(labels >= 0, labels, group)
