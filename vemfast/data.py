"""Typed blocks of data: what an E-step is given.

A block carries weights and the global offset of its first row, so that a random draw depends on
the row and not on the cut. A `RowBlock` may be cut anywhere; `vemfast.sequences.SequenceBlock` only
between sequences, as `vemfast.documents.DocumentBlock` between documents.
`vemfast.indexed.IndexedBlock` holds bits, counts and codes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from vemfast.indexed import IndexedBlock

__all__ = [
    "Block",
    "RowBlock",
    "as_rows",
    "cuts",
    "distinct",
    "make_blocks",
]

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class Block(Protocol):
    """What the engine itself needs of a block; the rest is between the data and the model."""

    @property
    def n(self) -> int:
        """Number of units: rows, sequences or documents."""

    @property
    def total_weight(self) -> float:
        """Weighted number of rows, time steps or tokens: the divisor of `tol`."""


class RowBlock:
    """Independent rows.

    Parameters
    ----------
    X : ndarray of shape (n, n_features)
        float32 or float64, native byte order, aligned; any strides that are multiples of the item
        size. `as_rows` makes an acceptable array out of any other.
    weights : ndarray of shape (n,), default=None
        float64, finite, >= 0. None: 1 for each row.
    offset : int, default=0
        Global index of the first row.
    labels : ndarray of shape (n,), default=None
        int32: the component that each row is known to belong to, -1 where that is not known.
        None: it is not known of any.

    Attributes
    ----------
    n : int
    total_weight : float
    """

    __slots__ = ("X", "labels", "n", "offset", "total_weight", "weights")

    def __init__(
        self,
        X: NDArray[Any],
        weights: NDArray[np.float64] | None = None,
        offset: int = 0,
        labels: NDArray[np.int32] | None = None,
    ) -> None:
        if not acceptable(X):
            raise ValueError(
                "X must be a 2-D float32 or float64 array, aligned and in native byte order; "
                f"got {describe(X)} (as_rows(X) converts)"
            )
        self.X = X
        self.n = int(X.shape[0])
        self.weights = as_weights(weights, self.n, "rows")
        self.offset = int(offset)
        self.labels = as_labels(labels, self.n)
        self.total_weight = float(self.n) if self.weights is None else float(self.weights.sum())

    @property
    def dtype(self) -> np.dtype[Any]:
        """The precision of the scores."""
        return self.X.dtype

    def slice(self, start: int, stop: int) -> RowBlock:
        """Return rows `start` to `stop` (exclusive) without copying them."""
        weights = None if self.weights is None else self.weights[start:stop]
        labels = None if self.labels is None else self.labels[start:stop]
        return RowBlock(self.X[start:stop], weights, self.offset + start, labels)

    @property
    def n_features(self) -> int:
        """Number of columns."""
        return int(self.X.shape[1])

    @property
    def nbytes(self) -> int:
        """Bytes of the rows."""
        return self.X.nbytes

    def with_weights(self, weights: NDArray[np.float64] | None) -> RowBlock:
        """Return the same rows with other weights."""
        return RowBlock(self.X, weights, self.offset, self.labels)

    def with_labels(self, labels: NDArray[np.int32] | None) -> RowBlock:
        """Return the same rows with other labels."""
        return RowBlock(self.X, self.weights, self.offset, labels)

    def parts(self, leaf_rows: int = 1) -> Iterator[RowBlock]:
        """Yield the rows in blocks of about a million numbers, as `StreamBlock.parts` does."""
        rows = leaf_rows * max((1 << 20) // (leaf_rows * self.n_features), 1)
        for start in range(0, self.n, rows):
            yield self.slice(start, start + rows)

    def take(self, rows: NDArray[np.integer[Any]]) -> RowBlock:
        """Return a copy of the rows with these numbers, counted within the block."""
        return RowBlock(
            self.X[rows],
            None if self.weights is None else self.weights[rows],
            labels=None if self.labels is None else self.labels[rows],
        )

    @staticmethod
    def joined(blocks: Sequence[RowBlock]) -> RowBlock:
        """Return a copy of the rows of all blocks in turn, without weights and labels."""
        return RowBlock(np.concatenate([block.X for block in blocks]))

    def cut(self, n_blocks: int, align: int = 1) -> list[RowBlock]:
        """Return nearly equal parts that start at multiples of `align` rows of this block.

        Fewer than `n_blocks` where there are not enough rows; parts without weight are left out.
        """
        parts = [self.slice(*ends) for ends in cuts(self.n, n_blocks, align)]
        return [part for part in parts if part.total_weight > 0]

    def distinct_rows(self, enough: int) -> int:
        """Return the number of distinct rows of positive weight, counted up to `enough`.

        Costs next to nothing where rows differ: it looks no further than it must.
        """
        return distinct([self], enough)

    def keys(self) -> list[Any]:
        """Return the rows as values that are equal where the rows are."""
        # NaN is not equal to itself, infinity is; what may be missing is never infinite.
        rows = np.where(np.isnan(self.X), np.inf, self.X)
        return [tuple(row) for row in rows.tolist()]


def as_rows(X: ArrayLike) -> NDArray[Any]:
    """Return `X` as an array that a `RowBlock` takes, copied at most once.

    float32 and float64 keep their type; float16, integers, booleans and objects that are numbers
    become float64. Misaligned, byte-swapped or oddly strided arrays are copied.

    Raises
    ------
    ValueError
        If `X` is not 2-D, is complex, or holds something that is not a number.
    TypeError
        If `X` holds strings.
    """
    array = np.asarray(X)
    if array.ndim != 2:
        hint = "; reshape with X.reshape(-1, 1) or X.reshape(1, -1)" if array.ndim == 1 else ""
        raise ValueError(f"X must be a 2-D array; got {array.ndim} dimension(s){hint}")
    if array.dtype.kind == "c":
        raise ValueError("X is complex; complex data are not supported")
    if array.dtype.kind not in "fiubO":
        raise TypeError(f"X must hold numbers; got {array.dtype}")
    if acceptable(array):
        return array
    dtype = np.float32 if array.dtype.kind == "f" and array.dtype.itemsize == 4 else np.float64
    return np.array(array, dtype=dtype, order="C")


def make_blocks(
    X: ArrayLike, sample_weight: ArrayLike | None = None, n_batches: int = 1, align: int = 1
) -> list[RowBlock]:
    """Cut rows into blocks of nearly equal size.

    Parameters
    ----------
    X : array-like of shape (n, n_features)
    sample_weight : array-like of shape (n,), default=None
    n_batches : int, default=1
        Number of blocks; fewer where there are not enough rows. Blocks without weight are left
        out.
    align : int, default=1
        Blocks start at multiples of this number of rows.

    Returns
    -------
    list of RowBlock
        Views of the converted array.
    """
    if n_batches < 1 or align < 1:
        raise ValueError(f"n_batches and align must be >= 1; got {n_batches} and {align}")
    rows = as_rows(X)
    weights = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    whole = RowBlock(rows, weights)
    if whole.total_weight <= 0:
        raise ValueError("X has no rows" if whole.n == 0 else "sample_weight adds up to zero")
    return whole.cut(n_batches, align)


def cuts(n: int, n_blocks: int, align: int) -> list[tuple[int, int]]:
    """Return the ends of at most `n_blocks` nearly equal parts of n rows."""
    units = -(-n // align)
    cuts = [align * (units * i // n_blocks) for i in range(n_blocks)] + [n]
    return [(start, stop) for start, stop in pairwise(cuts) if stop > start]


def distinct(blocks: Iterable[RowBlock | IndexedBlock], enough: int) -> int:
    """Return the number of distinct rows of positive weight, counted up to `enough`."""
    seen: set[Any] = set()
    size = enough
    for block in blocks:
        first = 0
        while first < block.n and len(seen) < enough:
            part = block.slice(first, first + size)
            keys = part.keys()
            if part.weights is not None:
                keys = [key for key, w in zip(keys, part.weights, strict=True) if w > 0]
            seen.update(keys)
            first, size = first + size, min(2 * size, 1 << 16)
        if len(seen) >= enough:
            break
    return min(len(seen), enough)


def acceptable(X: NDArray[Any], dtypes: tuple[np.dtype[Any], ...] = FLOATS) -> bool:
    return (
        X.ndim == 2
        and X.dtype in dtypes
        and X.dtype.isnative
        and X.flags.aligned
        and all(stride % X.itemsize == 0 for stride in X.strides)
    )


def describe(X: NDArray[Any]) -> str:
    state = "" if X.flags.aligned else "misaligned "
    return (
        f"{state}{X.dtype.newbyteorder('=')} of shape {X.shape}, byte order {X.dtype.byteorder!r}"
    )


def as_weights(
    weights: NDArray[np.float64] | None, n: int, units: str
) -> NDArray[np.float64] | None:
    if weights is None:
        return None
    weights = np.ascontiguousarray(weights, dtype=np.float64)
    if weights.shape != (n,):
        raise ValueError(f"weights of shape {weights.shape} for {n} {units}; expected ({n},)")
    bad = ~(np.isfinite(weights) & (weights >= 0))
    if bad.any():
        where = int(np.argmax(bad))
        raise ValueError(f"weights must be finite and >= 0; number {where} is {weights[where]}")
    return weights


def as_labels(labels: NDArray[np.int32] | None, n: int) -> NDArray[np.int32] | None:
    if labels is None:
        return None
    if labels.shape != (n,) or labels.dtype != np.int32:
        raise ValueError(
            f"labels must be int32 of shape ({n},); got {labels.dtype} of shape {labels.shape}"
        )
    return np.ascontiguousarray(labels)


def as_integers(values: ArrayLike, name: str) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{name} must be 1-D; got shape {array.shape}")
    if array.size and array.dtype.kind not in "iu":
        raise ValueError(f"{name} must hold integers; got {array.dtype}")
    return np.ascontiguousarray(array, dtype=np.int64)


def weighted(amounts: NDArray[Any], weights: NDArray[np.float64] | None) -> float:
    return float(amounts.sum() if weights is None else amounts @ weights)
