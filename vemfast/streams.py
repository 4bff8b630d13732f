"""Rows that are read chunk by chunk, as often as they are needed: data larger than memory.

A `Stream` is a source that can be read again and again: each reading is a pass. A `StreamBlock` is
a stretch of its rows. It takes the place of a `RowBlock` or an `IndexedBlock` wherever rows are
only passed over, and hands them out in parts.

However the source cuts its chunks, parts are cut where the model's own sum over a block has whole
subtrees, so statistics have the bits of the same rows in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vemfast.data import RowBlock, as_rows, cuts, distinct
from vemfast.stats import fold

__all__ = ["ChunkWeights", "Stream", "StreamBlock", "each_chunk", "is_stream", "sum_parts"]

# About the bytes of a part: enough rows for all threads, little beside the data. The result does
# not depend on it.
_PART_BYTES = 1 << 25
# Rows of a part where nothing is summed over it, so that any cut will do.
_ANY_ROWS = 256

_Term = TypeVar("_Term")
Convert = Callable[[Any], Any]


def is_stream(X: Any) -> bool:
    """Return whether `X` is to be read in chunks.

    It is if it is a list or tuple of 2-D arrays, or of pairs of such an array and its rows'
    weights; a callable; or any other iterable that is not an array, a table or a matrix.
    """
    if isinstance(X, (list, tuple)):
        return len(X) > 0 and (_is_matrix(X[0]) or _is_pair(X[0]))
    if isinstance(X, (str, bytes, bytearray, memoryview, Mapping, Set, type)):
        return False
    if any(hasattr(X, name) for name in ("shape", "__array__", "__dataframe__")):
        return False
    return callable(X) or hasattr(X, "__iter__")


class ChunkWeights:
    """The weights that come with chunks of rows: with all of them, or with none."""

    def __init__(self) -> None:
        self._found: list[NDArray[Any]] = []
        self._is_first = True

    def add(self, weights: Any, n: int, where: str) -> None:
        """Keep a copy of the weights of `n` rows, None if they have none."""
        if weights is not None and np.shape(weights) != (n,):
            raise ValueError(f"{where} of X has {n} rows, and weights of shape {np.shape(weights)}")
        if (weights is None) != (not self._found) and not self._is_first:
            raise ValueError(
                f"some chunks of X come with weights and some without, such as {where}; "
                "give weights with all of them, or with none"
            )
        if weights is not None:
            self._found.append(np.array(weights))  # the source may use its memory again
        self._is_first = False

    def joined(self) -> NDArray[Any] | None:
        """Return all of them, unchecked; None if there are none."""
        return np.concatenate(self._found) if self._found else None


class Stream:
    """A source of chunks that is read as often as needed.

    Parameters
    ----------
    chunks : list, tuple, other iterable, or callable
        Chunks of rows, of any sizes, or pairs of a chunk and the weights of its rows. An object
        that can be iterated again and again, with the same rows each time, or a callable without
        arguments that returns a new iterator. A chunk is not looked at again after the next one is
        asked for, so a source may use its memory again.
    convert : callable, default=None
        Makes an unweighted block of a chunk. None: a `RowBlock`.

    Attributes
    ----------
    n, n_features : int
    dtype : numpy.dtype
        Of the first chunk's block, and so of all.
    row_bytes : int
        Of one row, about.
    weights : ndarray of shape (n,), or None
        The weights that came with the chunks, unchecked. They stay in memory.
    passes : int
        How often the source was opened.

    Raises
    ------
    ValueError
        If the source can be read only once, or a chunk does not go with the others.
    """

    def __init__(self, chunks: Any, convert: Convert | None = None) -> None:
        if isinstance(chunks, Iterator):
            raise ValueError(
                f"X is a {type(chunks).__name__}, which can be read only once, and a fit reads its "
                "data many times; give a list of chunks, an object that can be iterated again, or "
                "a callable that returns a new iterator (lambda: read_chunks(...)), or update the "
                "estimator with partial_fit, chunk by chunk"
            )
        self._chunks = chunks
        self._convert = _as_row_block if convert is None else convert
        self._open_reader: _Reader | None = None
        self.passes = 0
        self.n_features = -1
        self._survey()

    def _survey(self) -> None:
        """Read the source once, for its size, and to check that the chunks go together."""
        n = n_bytes = 0
        weights = ChunkWeights()
        first: Any = None
        for block, own in _Reader(self).blocks():
            if first is None:
                first = block
                self.n_features, self.dtype = block.n_features, block.dtype
            weights.add(own, block.n, self._where)
            n += block.n
            n_bytes += block.nbytes
        if first is None:
            raise ValueError("X has no rows: all its chunks are empty, or there are none")
        self.n = n
        self.row_bytes = max(-(-n_bytes // n), 1)
        self.weights = weights.joined()

    def open(self) -> Iterator[Any]:
        """Return an iterator over the chunks from their beginning."""
        self.passes += 1
        return _opened(self._chunks)

    def to_block(self, chunk: Any, number: int) -> tuple[Any, Any]:
        """Return a chunk as a block, None if it is empty, and its weights."""
        self._where = f"chunk {number}"
        rows, weights = _split_pair(chunk)
        shape = getattr(rows, "shape", None)
        if shape is not None and len(shape) == 2 and shape[0] == 0:
            self._check_width(shape[1])
            return None, None
        try:
            block = self._convert(rows)
        except (TypeError, ValueError) as error:
            raise type(error)(f"chunk {number} of X: {error}") from error
        self._check_width(block.n_features)
        if hasattr(self, "dtype") and block.dtype != self.dtype:
            if block.dtype.itemsize > self.dtype.itemsize or not isinstance(block, RowBlock):
                raise ValueError(
                    f"chunk {number} of X is {block.dtype}, the first is {self.dtype}; "
                    "convert the chunks to one type"
                )
            block = RowBlock(block.X.astype(self.dtype))
        return block, weights

    def _check_width(self, width: int) -> None:
        if self.n_features not in (-1, width):
            raise ValueError(
                f"{self._where} of X has {width} features, the first has {self.n_features}"
            )

    def read(self, start: int, stop: int, rows: int) -> Iterator[Any]:
        """Yield rows `start` to `stop` as unweighted blocks of `rows` rows, the last of the rest.

        A block may use the chunk's own memory: it is good until the next one is asked for.

        The source stays open between stretches that follow each other. What it raises is marked
        with `from_data`.
        """
        reader, self._open_reader = self._open_reader, None
        if reader is None or reader.position > start:
            reader = _Reader(self)
        try:
            reader.skip(start - reader.position)
            while reader.position < stop:
                part = reader.take(min(rows, stop - reader.position))
                yield part
            if stop == self.n:
                reader.finish()
            else:
                self._open_reader = reader
        except Exception as error:
            error.from_data = True  # type: ignore[attr-defined]
            raise

    def block(self, weights: NDArray[np.float64] | None = None) -> StreamBlock:
        """Return all rows as one block, with the weights given."""
        return StreamBlock(self, 0, self.n, weights)


class StreamBlock:
    """A stretch of the rows of a stream, read in parts whenever they are needed.

    It has what the engine asks of a block, `cut` included, and no rows of its own.

    Parameters
    ----------
    stream : Stream
    start, stop : int
        First row, and the one after the last.
    weights : ndarray of shape (stop - start,), default=None
        float64, finite, >= 0.
    labels : ndarray of shape (stop - start,), default=None
        int32, as in `RowBlock`.

    Attributes
    ----------
    n, n_features, offset : int
    dtype : numpy.dtype
    total_weight : float
    """

    __slots__ = (
        "dtype",
        "labels",
        "n",
        "n_features",
        "offset",
        "stream",
        "total_weight",
        "weights",
    )

    def __init__(
        self,
        stream: Stream,
        start: int,
        stop: int,
        weights: NDArray[np.float64] | None = None,
        labels: NDArray[np.int32] | None = None,
    ) -> None:
        self.stream = stream
        self.offset = start
        self.n = stop - start
        self.n_features = stream.n_features
        self.dtype = stream.dtype
        self.weights = weights
        self.labels = labels
        self.total_weight = float(self.n) if weights is None else float(weights.sum())

    def slice(self, start: int, stop: int) -> StreamBlock:
        """Return rows `start` to `stop` (exclusive) of the block."""
        weights = None if self.weights is None else self.weights[start:stop]
        labels = None if self.labels is None else self.labels[start:stop]
        return StreamBlock(self.stream, self.offset + start, self.offset + stop, weights, labels)

    def with_weights(self, weights: NDArray[np.float64] | None) -> StreamBlock:
        """Return the same rows with other weights."""
        return StreamBlock(self.stream, self.offset, self.offset + self.n, weights, self.labels)

    def with_labels(self, labels: NDArray[np.int32] | None) -> StreamBlock:
        """Return the same rows with other labels."""
        return StreamBlock(self.stream, self.offset, self.offset + self.n, self.weights, labels)

    def cut(self, n_blocks: int, align: int = 1) -> list[StreamBlock]:
        """Return nearly equal parts, as `RowBlock.cut` does."""
        parts = [self.slice(*ends) for ends in cuts(self.n, n_blocks, align)]
        return [part for part in parts if part.total_weight > 0]

    def parts(self, leaf_rows: int | None = _ANY_ROWS) -> Iterator[Any]:
        """Yield the rows in blocks that are in memory, one at a time.

        Each is good until the next one is asked for.

        Parameters
        ----------
        leaf_rows : int or None
            Blocks have a power of two times so many rows, the last one what is left: whole subtrees
            of a sum over leaves of that size. None: all rows in one block.
        """
        rows = self.n
        if leaf_rows is not None:
            leaves = max(_PART_BYTES // (self.stream.row_bytes * leaf_rows), 1)
            rows = leaf_rows << (leaves.bit_length() - 1)
        done = 0
        for rows_of in self.stream.read(self.offset, self.offset + self.n, rows):
            weights = None if self.weights is None else self.weights[done : done + rows_of.n]
            part = rows_of.with_weights(weights)
            if self.labels is not None:
                part = part.with_labels(self.labels[done : done + part.n])
            part.offset = self.offset + done
            done += part.n
            yield part

    def whole(self) -> Any:
        """Return a copy of all rows as one block in memory."""
        (part,) = self.parts(None)
        copy = type(part).joined([part]).with_weights(part.weights)
        if self.labels is not None:
            copy = copy.with_labels(self.labels)
        copy.offset = part.offset
        return copy

    def take(self, rows: NDArray[np.integer[Any]]) -> Any:
        """Return a copy of the rows with these numbers, ascending, as a block."""
        found: list[Any] = []
        done = 0
        for part in self.parts():
            first, last = np.searchsorted(rows, [done, done + part.n])
            if first < last or not found:
                found.append(part.take(rows[first:last] - done))
            done += part.n
        weights = None if self.weights is None else self.weights[rows]
        taken = type(found[0]).joined(found).with_weights(weights)
        return taken if self.labels is None else taken.with_labels(self.labels[rows])

    def distinct_rows(self, enough: int) -> int:
        """Return the number of distinct rows of positive weight, counted up to `enough`."""
        return distinct(self.parts(), enough)


def _opened(chunks: Any) -> Iterator[Any]:
    source = chunks() if callable(chunks) else chunks
    if not hasattr(source, "__iter__"):
        raise ValueError(
            "X is callable, so it must return an iterator of chunks; it returned a "
            f"{type(source).__name__}"
        )
    return iter(source)


def _split_pair(chunk: Any) -> tuple[Any, Any]:
    """Return the rows of a chunk and their weights, None if it is not a pair of them."""
    return chunk if _is_pair(chunk) else (chunk, None)


def each_chunk(
    chunks: Any, read: Callable[[Any], _Term], weights: ChunkWeights | None = None
) -> Iterator[_Term]:
    """Yield what `read` makes of the rows of every chunk that is not empty.

    Reads the source once, so an iterator may be used up. `weights` gets those of the chunks.
    """
    is_empty = True
    for number, chunk in enumerate(_opened(chunks)):
        rows, own = _split_pair(chunk)
        if getattr(rows, "shape", ())[:1] == (0,):
            continue
        try:
            block = read(rows)
        except (TypeError, ValueError) as error:
            raise type(error)(f"chunk {number} of X: {error}") from error
        if weights is not None:
            n = block.n if hasattr(block, "n") else len(block)  # type: ignore[arg-type]
            weights.add(own, n, f"chunk {number}")
        is_empty = False
        yield block
    if is_empty:
        raise ValueError("X has no rows: all its chunks are empty, or there are none")


def sum_parts(term: Callable[[Any], _Term], block: Any, leaf_rows: int | None) -> _Term:
    """Return what `term` gives for a whole block, added up over its parts if it is read in parts.

    The bits are those of ``term(block)`` in memory where `term` adds up leaves of `leaf_rows` rows
    in a tree as `vemfast.stats.fold` does.
    """
    if not isinstance(block, StreamBlock):
        return term(block)
    return fold(term(part) for part in block.parts(leaf_rows))


class _Reader:
    """One pass over a stream, in pieces of any size."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._chunks = stream.open()
        self._pass = stream.passes
        self._number = -1
        self._rest: Any = None  # the present chunk's block, of which `_used` rows are read
        self._used = 0
        self.position = 0

    def blocks(self) -> Iterator[tuple[Any, Any]]:
        """Yield every chunk that is not empty, as a block, and its weights."""
        for number, chunk in enumerate(self._chunks):
            self._number = number
            block, weights = self._stream.to_block(chunk, number)
            if block is not None:
                yield block, weights

    def take(self, rows: int) -> Any:
        """Return the next rows as one block: the chunk's own if it has them all, else a copy."""
        pieces = []
        wanted = rows
        while True:
            self._fill()
            piece = self._rest.slice(self._used, min(self._used + wanted, self._rest.n))
            self._used += piece.n
            self.position += piece.n
            wanted -= piece.n
            if wanted == 0:
                pieces.append(piece)
                return pieces[0] if len(pieces) == 1 else type(piece).joined(pieces)
            pieces.append(type(piece).joined([piece]))  # the source may use its memory again

    def skip(self, rows: int) -> None:
        """Leave out so many rows."""
        while rows > 0:
            self._fill()
            step = min(rows, self._rest.n - self._used)
            self._used += step
            self.position += step
            rows -= step

    def finish(self) -> None:
        """Check that the source has ended."""
        if self._used < self._rest.n or self._next() is not None:
            raise ValueError(
                f"X changed between passes: pass {self._pass} over its chunks gives more than the "
                f"{self._stream.n} rows of the first; it must give the same rows every time"
            )

    def _fill(self) -> None:
        """Have rows of a chunk at hand."""
        if self._rest is not None and self._used < self._rest.n:
            return
        self._rest, self._used = self._next(), 0
        if self._rest is None:
            raise ValueError(
                f"X changed between passes: pass {self._pass} over its chunks ends after "
                f"{self.position} rows, the first had {self._stream.n}; it must give the same "
                "rows every time"
            )

    def _next(self) -> Any:
        for chunk in self._chunks:
            self._number += 1
            block, _ = self._stream.to_block(chunk, self._number)
            if block is not None:
                return block
        return None


def _as_row_block(chunk: Any) -> RowBlock:
    return RowBlock(as_rows(chunk))


def _is_matrix(chunk: Any) -> bool:
    return getattr(chunk, "ndim", None) == 2


def _is_pair(chunk: Any) -> bool:
    return isinstance(chunk, tuple) and len(chunk) == 2 and _is_matrix(chunk[0])
