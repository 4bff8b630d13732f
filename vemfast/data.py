"""Typed blocks of data: what an E-step is given.

A block carries weights and the global offset of its first row, so that a random draw depends on
the row and not on the cut. A `RowBlock` may be cut anywhere, a `SequenceBlock` and a
`DocumentBlock` only between sequences and documents.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Block", "DocumentBlock", "RowBlock", "SequenceBlock", "as_rows", "make_blocks"]

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


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

    Attributes
    ----------
    n : int
    total_weight : float
    """

    __slots__ = ("X", "n", "offset", "total_weight", "weights")

    def __init__(
        self, X: NDArray[Any], weights: NDArray[np.float64] | None = None, offset: int = 0
    ) -> None:
        if not _acceptable(X):
            raise ValueError(
                "X must be a 2-D float32 or float64 array, aligned and in native byte order; "
                f"got {_describe(X)} (as_rows(X) converts)"
            )
        self.X = X
        self.n = int(X.shape[0])
        self.weights = _as_weights(weights, self.n, "rows")
        self.offset = int(offset)
        self.total_weight = float(self.n) if self.weights is None else float(self.weights.sum())

    def slice(self, start: int, stop: int) -> RowBlock:
        """Return rows `start` to `stop` (exclusive) without copying them."""
        weights = None if self.weights is None else self.weights[start:stop]
        return RowBlock(self.X[start:stop], weights, self.offset + start)

    def cut(self, n_blocks: int, align: int = 1) -> list[RowBlock]:
        """Return nearly equal parts that start at multiples of `align` rows of this block.

        Fewer than `n_blocks` where there are not enough rows; parts without weight are left out.
        """
        units = -(-self.n // align)
        cuts = [align * (units * i // n_blocks) for i in range(n_blocks)] + [self.n]
        parts = [self.slice(start, stop) for start, stop in pairwise(cuts) if stop > start]
        return [part for part in parts if part.total_weight > 0]

    def distinct_rows(self, enough: int) -> int:
        """Return the number of distinct rows of positive weight, counted up to `enough`.

        Costs next to nothing where rows differ: it looks no further than it must.
        """
        seen: set[tuple[float, ...]] = set()
        first, size = 0, enough
        while first < self.n and len(seen) < enough:
            rows = self.X[first : first + size]
            if self.weights is not None:
                rows = rows[self.weights[first : first + size] > 0]
            seen.update(map(tuple, rows.tolist()))
            first, size = first + size, min(2 * size, 1 << 16)
        return min(len(seen), enough)


class SequenceBlock:
    """Sequences of time steps, stored one after another.

    Parameters
    ----------
    X : ndarray of shape (n_steps, n_features)
        As in `RowBlock`.
    lengths : array-like of int, shape (n_sequences,)
        Positive, adding up to n_steps.
    weights : ndarray of shape (n_sequences,), default=None
        A weight multiplies every step of its sequence.
    offset : int, default=0
        Global index of the first time step.
    """

    __slots__ = ("X", "lengths", "n", "offset", "total_weight", "weights")

    def __init__(
        self,
        X: NDArray[Any],
        lengths: ArrayLike,
        weights: NDArray[np.float64] | None = None,
        offset: int = 0,
    ) -> None:
        if not _acceptable(X):
            raise ValueError(f"X must be an array as RowBlock takes it; got {_describe(X)}")
        self.X = X
        self.lengths = _as_integers(lengths, "lengths")
        if self.lengths.size and self.lengths.min() <= 0:
            where = int(np.argmin(self.lengths))
            raise ValueError(
                f"lengths must be positive; sequence {where} has {self.lengths[where]}"
            )
        if self.lengths.sum() != X.shape[0]:
            raise ValueError(f"lengths add up to {self.lengths.sum()}, X has {X.shape[0]} steps")
        self.n = int(self.lengths.size)
        self.weights = _as_weights(weights, self.n, "sequences")
        self.offset = int(offset)
        self.total_weight = _weighted(self.lengths, self.weights)


class DocumentBlock:
    """Documents as bags of words, in compressed sparse rows.

    Parameters
    ----------
    indptr : array-like of int, shape (n_documents + 1,)
        Document d holds the entries ``indptr[d]:indptr[d + 1]``.
    indices : array-like of int, shape (n_entries,)
        Word numbers, >= 0.
    counts : array-like of float, shape (n_entries,)
        Finite, >= 0.
    weights : ndarray of shape (n_documents,), default=None
        A weight multiplies every token of its document.
    offset : int, default=0
        Global index of the first document.
    """

    __slots__ = ("counts", "indices", "indptr", "n", "offset", "total_weight", "weights")

    def __init__(
        self,
        indptr: ArrayLike,
        indices: ArrayLike,
        counts: ArrayLike,
        weights: NDArray[np.float64] | None = None,
        offset: int = 0,
    ) -> None:
        self.indptr = _as_integers(indptr, "indptr")
        self.indices = _as_integers(indices, "indices")
        self.counts = np.ascontiguousarray(counts, dtype=np.float64)
        if self.counts.shape != self.indices.shape:
            raise ValueError(f"{self.indices.size} indices but counts of shape {self.counts.shape}")
        if self.indptr.size == 0 or self.indptr[0] != 0 or self.indptr[-1] != self.indices.size:
            raise ValueError(f"indptr must run from 0 to the {self.indices.size} entries")
        lengths = np.diff(self.indptr)
        if lengths.size and lengths.min() < 0:
            raise ValueError(f"indptr falls after document {int(np.argmin(lengths))}")
        if self.indices.size and self.indices.min() < 0:
            raise ValueError(f"word number {self.indices.min()} is negative")
        bad = ~(np.isfinite(self.counts) & (self.counts >= 0))
        if bad.any():
            entry = int(np.argmax(bad))
            document = int(np.searchsorted(self.indptr, entry, side="right")) - 1
            raise ValueError(
                f"counts must be finite and >= 0; document {document}, word {self.indices[entry]} "
                f"has {self.counts[entry]}"
            )
        self.n = int(lengths.size)
        self.weights = _as_weights(weights, self.n, "documents")
        self.offset = int(offset)
        running = np.concatenate(([0.0], np.cumsum(self.counts)))
        self.total_weight = _weighted(np.diff(running[self.indptr]), self.weights)


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


def _acceptable(X: NDArray[Any]) -> bool:
    return (
        X.ndim == 2
        and X.dtype in _FLOATS
        and X.dtype.isnative
        and X.flags.aligned
        and all(stride % X.itemsize == 0 for stride in X.strides)
    )


def _describe(X: NDArray[Any]) -> str:
    state = "" if X.flags.aligned else "misaligned "
    return (
        f"{state}{X.dtype.newbyteorder('=')} of shape {X.shape}, byte order {X.dtype.byteorder!r}"
    )


def _as_weights(
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


def _as_integers(values: ArrayLike, name: str) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{name} must be 1-D; got shape {array.shape}")
    if array.size and array.dtype.kind not in "iu":
        raise ValueError(f"{name} must hold integers; got {array.dtype}")
    return np.ascontiguousarray(array, dtype=np.int64)


def _weighted(amounts: NDArray[Any], weights: NDArray[np.float64] | None) -> float:
    return float(amounts.sum() if weights is None else amounts @ weights)
