"""Typed blocks of bits, counts and codes, dense or sparse: what families with tables are given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from vemfast.data import FLOATS, acceptable, as_labels, as_weights, cuts, describe, distinct

__all__ = ["IndexedBlock", "SparseRows"]

_STORED = (np.dtype(np.uint8), np.dtype(np.int32), *FLOATS)


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
        if self.dtype not in FLOATS:
            raise ValueError(f"dtype must be float32 or float64; got {self.dtype}")
        if isinstance(rows, SparseRows):
            _check_sparse(rows)
            self.n, self.n_features = rows.indptr.size - 1, int(rows.n_features)
        else:
            if not acceptable(rows, _STORED):
                raise ValueError(
                    "rows must be a 2-D array of uint8, int32, float32 or float64, aligned and in "
                    f"native byte order; got {describe(rows)}"
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
        same.labels = as_labels(labels, self.n)
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
            plain = rows + 0.0 if rows.dtype in FLOATS else rows  # -0.0 is 0.0
            return [row.tobytes() for row in np.ascontiguousarray(plain)]
        return [
            (
                rows.indices[first:last].tobytes(),
                None if rows.values is None else rows.values[first:last].tobytes(),
            )
            for first, last in pairwise(rows.indptr.tolist())
        ]


def _check_sparse(rows: SparseRows) -> None:
    indptr, indices, values, n_features = rows
    if indptr.dtype != np.int64 or indptr.ndim != 1 or indptr.size == 0:
        raise ValueError(f"indptr must be a 1-D int64 array; got {describe(indptr)}")
    if indices.dtype != np.int32 or indices.ndim != 1:
        raise ValueError(f"indices must be a 1-D int32 array; got {describe(indices)}")
    if values is not None and (values.shape != indices.shape or values.dtype not in FLOATS):
        raise ValueError(
            f"values must be float32 or float64, one for each of {indices.size} indices; got "
            f"{describe(values)}"
        )
    if indptr[0] < 0 or indptr[-1] > indices.size or (np.diff(indptr) < 0).any():
        raise ValueError(f"indptr must rise within the {indices.size} entries")
    own = indices[indptr[0] : indptr[-1]]
    if own.size and (own.min() < 0 or own.max() >= n_features):
        raise ValueError(
            f"indices must be from 0 to {n_features - 1}; got {own.min()} to {own.max()}"
        )
