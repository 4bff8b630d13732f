"""Documents that are read chunk by chunk, as often as they are needed: corpora beyond memory.

What stays in memory is a number a document, of tokens, so that batches are cut where those of the
same documents in memory are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vemfast.documents import DocumentBlock, cut_by_tokens
from vemfast.streams import Stream, StreamBlock, is_stream

__all__ = ["DocumentStream", "DocumentStreamBlock", "is_document_stream"]


def is_document_stream(X: Any) -> bool:
    """Return whether `X` is a source of matrices of counts, not of documents or of numbers.

    It is if it is a list or tuple of matrices, or of pairs of one and its documents' weights; a
    callable that returns an iterator of them; or another iterable whose first item is one. An
    iterator is one, too: it is refused where documents are to be read more than once.
    """
    if not is_stream(X):
        return False
    if isinstance(X, (list, tuple, Iterator)) or callable(X):
        return True
    for item in X:
        return is_stream([item])
    return False


class DocumentStream(Stream):
    """A source of matrices of counts that is read as often as needed; see `Stream`.

    Parameters
    ----------
    chunks : as in `Stream`
    convert : callable
        Makes an unweighted DocumentBlock of a chunk.

    Attributes
    ----------
    tokens : ndarray of shape (n,)
        Number of tokens of each document, unweighted.
    """

    def __init__(self, chunks: Any, convert: Callable[[Any], DocumentBlock]) -> None:
        found: list[NDArray[np.float64]] = []

        def counting(chunk: Any) -> DocumentBlock:
            block = convert(chunk)
            if self.passes == 1:
                found.append(block.tokens)
            return block

        super().__init__(chunks, counting)
        self.tokens = np.concatenate(found)

    def block(self, weights: NDArray[np.float64] | None = None) -> DocumentStreamBlock:
        """Return all documents as one block, with the weights given."""
        return DocumentStreamBlock(self, 0, self.n, weights)


class DocumentStreamBlock(StreamBlock):
    """A stretch of the documents of a stream: it takes the place of a `DocumentBlock`.

    Attributes
    ----------
    total_weight : float
        Weighted number of tokens.
    """

    __slots__ = ()

    stream: DocumentStream

    def __init__(
        self,
        stream: DocumentStream,
        start: int,
        stop: int,
        weights: NDArray[np.float64] | None = None,
        labels: None = None,
    ) -> None:
        super().__init__(stream, start, stop, weights)
        tokens = self.tokens
        self.total_weight = float(tokens.sum() if weights is None else tokens @ weights)

    @property
    def n_words(self) -> int:
        """Size of the vocabulary."""
        return self.n_features

    @property
    def tokens(self) -> NDArray[np.float64]:
        """Number of tokens of each document, unweighted."""
        return self.stream.tokens[self.offset : self.offset + self.n]

    def slice(self, start: int, stop: int) -> DocumentStreamBlock:
        """Return documents `start` to `stop` (exclusive) of the block."""
        weights = None if self.weights is None else self.weights[start:stop]
        first = self.offset
        return DocumentStreamBlock(self.stream, first + start, first + stop, weights)

    def with_weights(self, weights: NDArray[np.float64] | None) -> DocumentStreamBlock:
        """Return the same documents with other weights."""
        return DocumentStreamBlock(self.stream, self.offset, self.offset + self.n, weights)

    def cut(self, n_blocks: int, align: int = 1) -> list[StreamBlock]:
        """Return parts of nearly equally many weighted tokens, as `DocumentBlock.cut` does."""
        tokens = self.tokens if self.weights is None else self.tokens * self.weights
        return [self.slice(*ends) for ends in cut_by_tokens(tokens, n_blocks, align)]
