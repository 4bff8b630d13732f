"""Sequences of time steps: the block that chains compute on, and what it is made of.

`joined` takes what users have, one array with lengths or a list of arrays, and `naming_steps` tells
of a bad row in which sequence, and at which step, it lies.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike, NDArray

from vemfast.data import RowBlock, as_integers, as_rows, as_weights, weighted
from vemfast.indexed import IndexedBlock

__all__ = ["SequenceBlock", "check_lengths", "joined", "listed", "naming_steps", "split"]


class SequenceBlock:
    """Sequences of time steps, stored one after another; cut only between sequences.

    Parameters
    ----------
    rows : RowBlock or IndexedBlock, or array of shape (n_steps, n_features)
        The steps of all sequences, as the family of the emissions takes them, without weights. Its
        offset is the global number of the first step.
    lengths : array-like of int, shape (n_sequences,), default=None
        Positive, adding up to n_steps. None: one sequence.
    weights : ndarray of shape (n_sequences,), default=None
        A weight multiplies every step of its sequence.
    labels : ndarray of int32, shape (n_steps,), default=None
        The state of a step where it is known, -1 elsewhere.
    first : int, default=0
        Global number of the first sequence, for messages.

    Attributes
    ----------
    n, n_steps : int
        Number of sequences, and of their steps.
    starts : ndarray of int64, shape (n_sequences + 1,)
        Sequence s holds the steps ``starts[s]:starts[s + 1]``.
    total_weight : float
        Weighted number of steps.
    local : ndarray of shape (n_steps, n_components), or None
        q of the steps under a factorised rule, from which the next E-step goes on.
    pending : object or None
        What the last E-step reached, until the iteration is accepted.
    """

    __slots__ = (
        "first", "labels", "lengths", "local", "n", "n_steps", "pending", "rows", "starts",
        "total_weight", "weights",
    )  # fmt: skip

    def __init__(
        self,
        rows: RowBlock | IndexedBlock | NDArray[Any],
        lengths: ArrayLike | None = None,
        weights: NDArray[np.float64] | None = None,
        labels: NDArray[np.int32] | None = None,
        first: int = 0,
    ) -> None:
        if not isinstance(rows, (RowBlock, IndexedBlock)):
            rows = RowBlock(as_rows(rows))
        if rows.weights is not None:
            raise ValueError("rows must not have weights of their own: sequences have them")
        checked = check_lengths([rows.n] if lengths is None else lengths, rows.n)
        if labels is not None:
            labels = np.ascontiguousarray(labels, dtype=np.int32)
            if labels.shape != (rows.n,):
                raise ValueError(f"labels of shape {labels.shape} for {rows.n} steps")
        self._fill(rows, checked, as_weights(weights, checked.size, "sequences"), labels, first)

    def _fill(
        self,
        rows: RowBlock | IndexedBlock,
        lengths: NDArray[np.int64],
        weights: NDArray[np.float64] | None,
        labels: NDArray[np.int32] | None,
        first: int,
    ) -> None:
        self.rows, self.lengths, self.weights, self.labels = rows, lengths, weights, labels
        self.first = int(first)
        self.starts = np.concatenate(([0], np.cumsum(lengths)))
        self.n, self.n_steps = int(lengths.size), rows.n
        self.total_weight = weighted(lengths, weights)
        self.local: NDArray[np.float64] | None = None
        self.pending: Any = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The precision of the scores."""
        return np.dtype(self.rows.dtype)

    @property
    def offset(self) -> int:
        """Global number of the first step."""
        return self.rows.offset

    @property
    def n_features(self) -> int:
        """Number of columns."""
        return self.rows.n_features

    @property
    def nbytes(self) -> int:
        """Bytes of the steps."""
        return self.rows.nbytes

    def steps(self) -> RowBlock | IndexedBlock:
        """Return the steps as independent rows, each with the weight of its sequence."""
        if self.weights is None:
            return self.rows
        return self.rows.with_weights(np.repeat(self.weights, self.lengths))

    def slice(self, start: int, stop: int) -> SequenceBlock:
        """Return sequences `start` to `stop` (exclusive), uncopied, with no state."""
        start, stop, _ = slice(start, stop).indices(self.n)
        stop = max(start, stop)
        steps = slice(int(self.starts[start]), int(self.starts[stop]))
        part: SequenceBlock = object.__new__(SequenceBlock)  # the whole is checked already
        part._fill(
            self.rows.slice(steps.start, steps.stop),
            self.lengths[start:stop],
            None if self.weights is None else self.weights[start:stop],
            None if self.labels is None else self.labels[steps],
            self.first + start,
        )
        return part

    def with_weights(self, weights: NDArray[np.float64] | None) -> SequenceBlock:
        """Return the same sequences with other weights, and with no state."""
        same: SequenceBlock = object.__new__(SequenceBlock)
        weights = as_weights(weights, self.n, "sequences")
        same._fill(self.rows, self.lengths, weights, self.labels, self.first)
        return same

    def fork(self) -> SequenceBlock:
        """Return a block of the same arrays and state, whose state then goes its own way."""
        other = self.slice(0, self.n)
        other.local = self.local
        return other

    def cut(self, n_blocks: int, align: int = 1) -> list[SequenceBlock]:
        """Return parts of nearly equally many weighted steps, cut between sequences.

        Fewer than `n_blocks` where there are not enough sequences. Each part has weight, unless all
        together have none.

        Parameters
        ----------
        n_blocks : int
        align : int, default=1
            Parts start at multiples of so many sequences.
        """
        steps = self.lengths if self.weights is None else self.lengths * self.weights
        running = np.concatenate(([0.0], np.cumsum(steps, dtype=np.float64)))
        if running[-1] <= 0:
            return [self.slice(0, self.n)]
        targets = running[-1] * (np.arange(1, n_blocks) / n_blocks)
        ends = np.searchsorted(running[1:], targets) + 1
        ends = np.unique(np.minimum(-(-ends // align) * align, self.n))
        ends = ends[running[ends] < running[-1]]  # what has no weight at the end goes along
        parts = [self.slice(*cut) for cut in pairwise([0, *ends.tolist(), self.n])]
        return [part for part in parts if part.total_weight > 0]


def check_lengths(lengths: ArrayLike, n_steps: int) -> NDArray[np.int64]:
    """Return the lengths of sequences as an array.

    Raises
    ------
    ValueError
        If they are not positive integers that add up to `n_steps`.
    """
    checked = as_integers(lengths, "lengths")
    if checked.size and checked.min() <= 0:
        where = int(np.argmax(checked <= 0))
        raise ValueError(f"lengths must be positive; sequence {where} has {checked[where]}")
    if checked.sum() != n_steps:
        raise ValueError(f"lengths add up to {checked.sum()}, X has {n_steps} steps")
    return checked


def joined(X: Any, lengths: ArrayLike | None = None) -> tuple[Any, NDArray[np.int64]]:
    """Return the steps of all sequences one after another, and the sequences' lengths.

    Parameters
    ----------
    X : array-like of shape (n_steps, n_features), or sequence of such
        One array of all steps; or a list, a tuple or a three-dimensional array with one item a
        sequence.
    lengths : array-like of int, shape (n_sequences,), default=None
        Of the sequences in one array. None: it is one sequence.

    Raises
    ------
    ValueError
        If sequences are empty, or do not fit together or with `lengths`.
    """
    if not _is_several(X):
        shape = np.shape(X)
        if len(shape) != 2:
            hint = "; reshape one feature with X.reshape(-1, 1)" if len(shape) == 1 else ""
            raise ValueError(
                "X must be a 2-D array (n_steps, n_features), or a list of them, one a sequence; "
                f"got {len(shape)} dimension(s){hint}"
            )
        if shape[0] == 0:
            raise ValueError("X has no steps (0 sample(s)), while a minimum of 1 is required")
        return X, check_lengths([shape[0]] if lengths is None else lengths, shape[0])
    if lengths is not None:
        raise ValueError(
            "X is a list of sequences, whose lengths are known; lengths are for one array"
        )
    parts = [part if scipy.sparse.issparse(part) else np.asarray(part) for part in X]
    for s, part in enumerate(parts):
        if part.ndim != 2:
            raise ValueError(
                f"sequence {s} has {part.ndim} dimension(s), but each is an array of the shape "
                "(n_steps, n_features); reshape one feature with reshape(-1, 1)"
            )
        if part.shape[0] == 0:
            raise ValueError(f"sequence {s} has no steps; leave it out")
        if part.shape[1] != parts[0].shape[1]:
            raise ValueError(
                f"sequence {s} has {part.shape[1]} features, but sequence 0 has {parts[0].shape[1]}"
            )
    sizes = np.array([part.shape[0] for part in parts], dtype=np.int64)
    if any(scipy.sparse.issparse(part) for part in parts):
        return scipy.sparse.vstack(parts, format="csr"), sizes
    return np.concatenate(parts), sizes


def listed(X: Any, lengths: ArrayLike | None = None) -> list[Any]:
    """Return sequences in any of the forms of `joined` as a list of arrays."""
    steps, sizes = joined(X, lengths)
    ends = np.cumsum(sizes)
    return [steps[end - size : end] for end, size in zip(ends, sizes, strict=True)]


def _is_several(X: Any) -> bool:
    """Whether `X` has one item a sequence; a list of lists of numbers is one array."""
    if isinstance(X, np.ndarray):
        return X.ndim == 3
    if not isinstance(X, (list, tuple)) or not X:
        return False
    first = X[0]
    return getattr(first, "ndim", 0) == 2 or (
        isinstance(first, (list, tuple)) and bool(first) and isinstance(first[0], (list, tuple))
    )


def split(values: NDArray[Any], lengths: NDArray[np.int64]) -> list[NDArray[Any]]:
    """Return values of steps as one array a sequence."""
    return np.split(values, np.cumsum(lengths)[:-1])


@contextmanager
def naming_steps(lengths: NDArray[np.int64]) -> Iterator[None]:
    """Turn "row 17" in the message of a ValueError or TypeError into its sequence and step."""
    try:
        yield
    except (TypeError, ValueError) as error:
        ends = np.cumsum(lengths)

        def name(match: re.Match[str]) -> str:
            row = int(match[1])
            s = int(np.searchsorted(ends, row, side="right"))
            step = f"step {row - (int(ends[s - 1]) if s else 0)}"
            return step if lengths.size == 1 else f"sequence {s}, {step}"

        message = re.sub(r"\brow (\d+)", name, str(error))
        raise type(error)(message) from error
