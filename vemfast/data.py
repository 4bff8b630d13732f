"""Typed blocks of data: what an E-step is given.

A block carries weights and the global offset of its first row, so that a random draw depends on
the row and not on the cut. A `RowBlock` may be cut anywhere; `vemfast.sequences.SequenceBlock` only
between sequences, as `vemfast.documents.DocumentBlock` between documents.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "Block",
    "IndexedBlock",
    "RowBlock",
    "SparseRows",
    "as_rows",
    "cuts",
    "distinct",
    "make_blocks",
]

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_INDEXED = (np.dtype(np.uint8), np.dtype(np.int32), *_FLOATS)


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
        if not _acceptable(X):
            raise ValueError(
                "X must be a 2-D float32 or float64 array, aligned and in native byte order; "
                f"got {_describe(X)} (as_rows(X) converts)"
            )
        self.X = X
        self.n = int(X.shape[0])
        self.weights = as_weights(weights, self.n, "rows")
        self.offset = int(offset)
        self.labels = _as_labels(labels, self.n)
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


class SparseRows(NamedTuple):
    """Rows in compressed sparse form: row i holds the entries ``indptr[i]:indptr[i + 1]``.

    Attributes
    ----------
    indptr : ndarray of int64, shape (n + 1,)
        Need not begin at 0: a part of the rows shares `indices` and `values` with the whole.
    indices : ndarray of int32
        Features, rising within a row, without repetition.
    values : ndarray of float32 or float64, or None
        None: all are 1. None of them is 0.
    n_features : int
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[Any] | None
    n_features: int


class IndexedBlock:
    """Independent rows of bits, counts or codes, for the families that index a table by them.

    `vemfast.models.discrete_rows.RowReader` makes the storage out of what users have.

    Parameters
    ----------
    rows : ndarray of shape (n, n_features), or SparseRows
        uint8 bits or codes (255 is missing), int32 codes (-1 is missing), float32 or float64 counts
        (NaN is missing); or sparse bits or counts, where what is not stored is 0, and a stored NaN
        is missing.
    weights : ndarray of shape (n,), default=None
        float64, finite, >= 0. None: 1 for each row.
    offset : int, default=0
        Global index of the first row.
    dtype : {numpy.float64, numpy.float32}, default=numpy.float64
        The precision of the scores.

    Attributes
    ----------
    n, n_features : int
    total_weight : float
    labels : ndarray of shape (n,) or None
        int32: the component that each row is known to belong to, -1 where that is not known;
        `with_labels` gives them.
    base : ndarray of shape (n,) or None
        Log base measures of the rows, for the model that needs them to keep.
    """

    __slots__ = (
        "base",
        "dtype",
        "labels",
        "n",
        "n_features",
        "offset",
        "rows",
        "total_weight",
        "weights",
    )

    def __init__(
        self,
        rows: NDArray[Any] | SparseRows,
        weights: NDArray[np.float64] | None = None,
        offset: int = 0,
        dtype: Any = np.float64,
    ) -> None:
        self.dtype = np.dtype(dtype)
        if self.dtype not in _FLOATS:
            raise ValueError(f"dtype must be float32 or float64; got {self.dtype}")
        if isinstance(rows, SparseRows):
            _check_sparse(rows)
            self.n, self.n_features = rows.indptr.size - 1, int(rows.n_features)
        else:
            if not _acceptable(rows, _INDEXED):
                raise ValueError(
                    "rows must be a 2-D array of uint8, int32, float32 or float64, aligned and in "
                    f"native byte order; got {_describe(rows)}"
                )
            self.n, self.n_features = rows.shape
        self._fill(rows, as_weights(weights, self.n, "rows"), int(offset))

    def _fill(
        self, rows: NDArray[Any] | SparseRows, weights: NDArray[np.float64] | None, offset: int
    ) -> None:
        self.rows = rows
        self.base: NDArray[np.float64] | None = None
        self.labels: NDArray[np.int32] | None = None
        self.weights = weights
        self.offset = offset
        self.total_weight = float(self.n) if weights is None else float(weights.sum())

    @property
    def nbytes(self) -> int:
        """Bytes of the rows."""
        rows = self.rows
        if not isinstance(rows, SparseRows):
            return rows.nbytes
        entry = rows.indices.itemsize + (0 if rows.values is None else rows.values.itemsize)
        return int(rows.indptr[-1] - rows.indptr[0]) * entry + rows.indptr.nbytes

    @property
    def is_sparse(self) -> bool:
        """Whether rows are stored as SparseRows."""
        return isinstance(self.rows, SparseRows)

    def slice(self, start: int, stop: int) -> IndexedBlock:
        """Return rows `start` to `stop` (exclusive) without copying them."""
        part: IndexedBlock = object.__new__(IndexedBlock)  # the whole is checked already
        part.dtype, part.n_features = self.dtype, self.n_features
        rows = self.rows
        if isinstance(rows, SparseRows):
            indptr = rows.indptr[start : min(stop, self.n) + 1]
            part.n, rows = indptr.size - 1, rows._replace(indptr=indptr)
        else:
            rows = rows[start:stop]
            part.n = len(rows)
        weights = None if self.weights is None else self.weights[start:stop]
        part._fill(rows, weights, self.offset + start)
        part.base = None if self.base is None else self.base[start:stop]
        part.labels = None if self.labels is None else self.labels[start:stop]
        return part

    def with_weights(self, weights: NDArray[np.float64] | None) -> IndexedBlock:
        """Return the same rows with other weights."""
        same = self.slice(0, self.n)
        same._fill(same.rows, as_weights(weights, self.n, "rows"), self.offset)
        same.base, same.labels = self.base, self.labels
        return same

    def with_labels(self, labels: NDArray[np.int32] | None) -> IndexedBlock:
        """Return the same rows with other labels."""
        same = self.slice(0, self.n)
        same.labels = _as_labels(labels, self.n)
        return same

    def parts(self, leaf_rows: int = 1) -> Iterator[IndexedBlock]:
        """Yield the rows in blocks of about a million numbers, as `StreamBlock.parts` does."""
        rows = leaf_rows * max((1 << 20) // (leaf_rows * self.n_features), 1)
        for start in range(0, self.n, rows):
            yield self.slice(start, start + rows)

    def take(self, rows: NDArray[np.integer[Any]]) -> IndexedBlock:
        """Return a copy of the rows with these numbers, counted within the block."""
        labels = None if self.labels is None else self.labels[rows]
        return self._taken(rows).with_labels(labels)

    def _taken(self, rows: NDArray[np.integer[Any]]) -> IndexedBlock:
        weights = None if self.weights is None else self.weights[rows]
        own = self.rows
        if not isinstance(own, SparseRows):
            return IndexedBlock(own[rows], weights, dtype=self.dtype)
        starts, lengths = own.indptr[rows], own.indptr[rows + 1] - own.indptr[rows]
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        entries = np.arange(indptr[-1]) + np.repeat(starts - indptr[:-1], lengths)
        values = None if own.values is None else own.values[entries]
        sparse = SparseRows(indptr, own.indices[entries], values, own.n_features)
        return IndexedBlock(sparse, weights, dtype=self.dtype)

    @staticmethod
    def joined(blocks: Sequence[IndexedBlock]) -> IndexedBlock:
        """Return a copy of the rows of all blocks in turn, without weights and labels."""
        dtype = blocks[0].dtype
        if not blocks[0].is_sparse:
            return IndexedBlock(np.concatenate([block.rows for block in blocks]), dtype=dtype)
        sparse = [cast(SparseRows, block.rows) for block in blocks]
        ends = [(int(rows.indptr[0]), int(rows.indptr[-1])) for rows in sparse]
        lengths = np.concatenate([np.diff(rows.indptr) for rows in sparse])
        values = None
        if any(rows.values is not None for rows in sparse):
            values = np.concatenate(
                [
                    np.ones(stop - start, dtype) if rows.values is None else rows.values[start:stop]
                    for rows, (start, stop) in zip(sparse, ends, strict=True)
                ]
            )
        indices = [
            rows.indices[first:last] for rows, (first, last) in zip(sparse, ends, strict=True)
        ]
        indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        joined = SparseRows(indptr, np.concatenate(indices), values, sparse[0].n_features)
        return IndexedBlock(joined, dtype=dtype)

    def cut(self, n_blocks: int, align: int = 1) -> list[IndexedBlock]:
        """Return nearly equal parts, as `RowBlock.cut` does."""
        parts = [self.slice(*ends) for ends in cuts(self.n, n_blocks, align)]
        return [part for part in parts if part.total_weight > 0]

    def distinct_rows(self, enough: int) -> int:
        """Return the number of distinct rows of positive weight, counted up to `enough`."""
        return distinct([self], enough)

    def keys(self) -> list[Any]:
        """Return the rows as values that are equal where the rows are."""
        rows = self.rows
        if not isinstance(rows, SparseRows):
            plain = rows + 0.0 if rows.dtype in _FLOATS else rows  # -0.0 is 0.0
            return [row.tobytes() for row in np.ascontiguousarray(plain)]
        return [
            (
                rows.indices[first:last].tobytes(),
                None if rows.values is None else rows.values[first:last].tobytes(),
            )
            for first, last in pairwise(rows.indptr.tolist())
        ]


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
    if _acceptable(array):
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


def _check_sparse(rows: SparseRows) -> None:
    indptr, indices, values, n_features = rows
    if indptr.dtype != np.int64 or indptr.ndim != 1 or indptr.size == 0:
        raise ValueError(f"indptr must be a 1-D int64 array; got {_describe(indptr)}")
    if indices.dtype != np.int32 or indices.ndim != 1:
        raise ValueError(f"indices must be a 1-D int32 array; got {_describe(indices)}")
    if values is not None and (values.shape != indices.shape or values.dtype not in _FLOATS):
        raise ValueError(
            f"values must be float32 or float64, one for each of {indices.size} indices; got "
            f"{_describe(values)}"
        )
    if indptr[0] < 0 or indptr[-1] > indices.size or (np.diff(indptr) < 0).any():
        raise ValueError(f"indptr must rise within the {indices.size} entries")
    own = indices[indptr[0] : indptr[-1]]
    if own.size and (own.min() < 0 or own.max() >= n_features):
        raise ValueError(
            f"indices must be from 0 to {n_features - 1}; got {own.min()} to {own.max()}"
        )


def _acceptable(X: NDArray[Any], dtypes: tuple[np.dtype[Any], ...] = _FLOATS) -> bool:
    return (
        X.ndim == 2
        and X.dtype in dtypes
        and X.dtype.isnative
        and X.flags.aligned
        and all(stride % X.itemsize == 0 for stride in X.strides)
    )


def _describe(X: NDArray[Any]) -> str:
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


def _as_labels(labels: NDArray[np.int32] | None, n: int) -> NDArray[np.int32] | None:
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
