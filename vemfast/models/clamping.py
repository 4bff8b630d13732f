"""What is known beforehand of a mixture: labels of rows, and parameters that are to stay.

The mechanism is that of any mixture whose parameters are named fields: a frozen field keeps its
value through the updates of a point, and the row of a known label belongs to its own component.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vemfast.stats import Params

__all__ = [
    "check_labels",
    "check_responsibilities",
    "held",
    "labels_of",
    "refuse_impossible",
    "with_known",
]


def held(updated: Params, previous: Params, freeze: Iterable[str]) -> Params:
    """Return a point whose fields named by `freeze` are those of the previous point.

    A posterior is returned as it is: what can be frozen is an estimate.
    """
    if updated.kind == "point" and previous.kind == "point":
        for name in freeze:
            updated[name] = previous[name]
    return updated


def refuse_impossible(params: Params, blocks: Sequence[Any]) -> None:
    """Raise a ValueError where a row is labelled with a component of weight zero."""
    if params.kind != "point" or params["weights"].min() > 0:
        return
    absent = np.flatnonzero(params["weights"] <= 0)
    for block in blocks:
        if block.labels is None:
            continue
        impossible = np.isin(block.labels, absent)
        if block.weights is not None:
            impossible &= block.weights > 0
        if impossible.any():
            row = int(np.argmax(impossible))
            raise ValueError(
                f"row {block.offset + row} has label {block.labels[row]}, but component "
                f"{block.labels[row]} starts with weight 0; give it weight, or leave the row's "
                "label out"
            )


def check_labels(labels: ArrayLike | None, n: int, n_components: int) -> NDArray[np.int32] | None:
    """Return labels as int32, -1 where unknown; None where none is known.

    Raises
    ------
    ValueError
        If they are not n integers in -1..n_components - 1.
    """
    if labels is None:
        return None
    array = np.asarray(labels)
    if array.shape != (n,):
        raise ValueError(f"labels must have the shape ({n},), one a row; got {array.shape}")
    if array.dtype.kind not in "iu":
        raise ValueError(
            f"labels must be integers, -1 where unknown; got {array.dtype}"
            + ("; NaN does not say unknown, -1 does" if array.dtype.kind == "f" else "")
        )
    bad = (array >= n_components) | (array < -1)
    if bad.any():
        row = int(np.argmax(bad))
        raise ValueError(
            f"labels must be in -1..{n_components - 1} (-1: unknown); row {row} has {array[row]}"
        )
    known = np.ascontiguousarray(array, dtype=np.int32)
    return known if (known >= 0).any() else None


def check_responsibilities(
    value: ArrayLike | None, n: int, n_components: int
) -> NDArray[np.float64] | None:
    """Return `resp_init` as rows that sum to one."""
    if value is None:
        return None
    array = np.array(value, dtype=np.float64, order="C")
    if array.shape != (n, n_components):
        raise ValueError(f"resp_init must have the shape ({n}, {n_components}); got {array.shape}")
    bad = ~np.isfinite(array) | (array < 0)
    if bad.any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"resp_init must be finite and >= 0; row {row}, component {column} has "
            f"{array[row, column]}"
        )
    total = array.sum(axis=1)
    off = np.abs(total - 1.0) > 1e-6
    if off.any():
        row = int(np.argmax(off))
        raise ValueError(f"the rows of resp_init must sum to 1; row {row} sums to {total[row]}")
    array /= total[:, None]
    return array


def labels_of(
    blocks: Sequence[Any], present: Sequence[NDArray[np.intp] | None]
) -> NDArray[np.int32] | None:
    """Return the labels of the present rows of all blocks; None where no block has any.

    `present` has the numbers of the rows of positive weight of each block, or None for all of them.
    """
    if all(block.labels is None for block in blocks):
        return None
    labels = []
    for block, of in zip(blocks, present, strict=True):
        own = np.full(block.n, -1, dtype=np.int32) if block.labels is None else block.labels
        labels.append(own if of is None else own[of])
    return np.concatenate(labels)


def with_known(
    chosen: NDArray[np.intp], labels: NDArray[np.int32], limit: int, n_components: int
) -> NDArray[np.intp]:
    """Return the chosen rows of unknown label, and of each label some that a start should see.

    Of a label at most the K-th part of `limit`, evenly spread: so none is lost because it is rare.
    """
    share = max(limit // n_components, 1)
    known = []
    for k in range(n_components):
        own = np.flatnonzero(labels == k)
        known.append(own if own.size <= share else own[np.arange(share) * own.size // share])
    return np.unique(np.concatenate([chosen[labels[chosen] < 0], *known]))
