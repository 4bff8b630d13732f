"""Documents as bags of words: the block that admixtures compute on, and what it is made of.

`as_documents` reads what users have (a sparse or dense matrix of counts, or a corpus of lists of
(word, count) pairs as gensim has it), checks it, and names document and word of what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike, NDArray

from vemfast.data import FLOATS, as_integers, as_weights

__all__ = ["DocumentBlock", "as_documents", "cut_by_tokens", "is_corpus"]

_MOST_WORDS = np.iinfo(np.int32).max


class DocumentBlock:
    """Documents as bags of words, in compressed sparse rows.

    Counts of a word that stands twice in a document are added, counts of zero left out, and words
    sorted; the arrays given are not changed.

    Parameters
    ----------
    indptr : array-like of int, shape (n_documents + 1,)
        Document d holds the entries ``indptr[d]:indptr[d + 1]``.
    indices : array-like of int, shape (n_entries,)
        Word numbers, from 0 to ``n_words - 1``.
    counts : array-like of float, shape (n_entries,)
        Finite, >= 0. They may be fractions, such as tf-idf; rules that give each token a topic need
        whole numbers.
    weights : ndarray of shape (n_documents,), default=None
        A weight multiplies every token of its document.
    offset : int, default=0
        Global index of the first document.
    n_words : int, default=None
        Size of the vocabulary. None: just enough for the words that are there.
    dtype : {numpy.float64, numpy.float32}, default=numpy.float64
        The precision of the scores.

    Attributes
    ----------
    indptr : ndarray of int64
        Begins at 0.
    indices : ndarray of int32
    counts : ndarray of float32, or of float64 where float32 would not hold them exactly
    n, n_words : int
        Number of documents, empty ones included; size of the vocabulary.
    total_weight : float
        Weighted number of tokens.
    is_whole : bool
        Whether all counts are whole numbers.
    local : object or None
        Local state of a model for these documents, from which its next E-step goes on. None: it
        starts afresh.
    pending : object or None
        Local state that the last E-step reached, until the iteration is accepted.
    cache : dict
        What a model derives from the entries alone and keeps: not state.
    """

    __slots__ = (
        "cache", "counts", "dtype", "indices", "indptr", "is_whole", "local", "n", "n_words",
        "offset", "pending", "total_weight", "weights",
    )  # fmt: skip

    def __init__(
        self,
        indptr: ArrayLike,
        indices: ArrayLike,
        counts: ArrayLike,
        weights: NDArray[np.float64] | None = None,
        offset: int = 0,
        n_words: int | None = None,
        dtype: Any = np.float64,
    ) -> None:
        self.dtype = np.dtype(dtype)
        if self.dtype not in FLOATS:
            raise ValueError(f"dtype must be float32 or float64; got {self.dtype}")
        starts, words = as_integers(indptr, "indptr"), _as_words(indices)
        values = _as_counts(counts)
        if values.shape != words.shape:
            raise ValueError(f"{words.size} indices but counts of shape {values.shape}")
        if starts.size == 0 or starts[0] != 0 or starts[-1] != words.size:
            raise ValueError(f"indptr must run from 0 to the {words.size} entries")
        lengths = np.diff(starts)
        if lengths.size and lengths.min() < 0:
            raise ValueError(f"indptr falls after document {int(np.argmin(lengths))}")
        self.n_words = _check_words(starts, words, n_words)
        _check_counts(starts, words, values)
        starts, words, values = _canonical(starts, words, values)
        single = values.astype(np.float32, copy=False)
        exact = values.dtype == np.float32 or bool((single == values).all())
        self._fill(
            starts,
            words.astype(np.int32, copy=False),
            single if exact else values.astype(np.float64, copy=False),
            as_weights(weights, starts.size - 1, "documents"),
            int(offset),
            bool((values == np.floor(values)).all()),
        )

    def _fill(
        self,
        indptr: NDArray[np.int64],
        indices: NDArray[np.int32],
        counts: NDArray[Any],
        weights: NDArray[np.float64] | None,
        offset: int,
        is_whole: bool,
    ) -> None:
        self.indptr, self.indices, self.counts = indptr, indices, counts
        self.n = indptr.size - 1
        self.weights, self.offset, self.is_whole = weights, offset, is_whole
        self.local: Any = None
        self.pending: Any = None
        self.cache: dict[str, Any] = {}
        total = counts.sum(dtype=np.float64) if weights is None else self.tokens @ weights
        self.total_weight = float(total)

    @property
    def tokens(self) -> NDArray[np.float64]:
        """Number of tokens of each document, unweighted."""
        tokens = np.zeros(self.n)
        filled = np.flatnonzero(np.diff(self.indptr))
        if filled.size:
            tokens[filled] = np.add.reduceat(self.counts, self.indptr[filled], dtype=np.float64)
        return tokens

    @property
    def n_features(self) -> int:
        """Size of the vocabulary."""
        return self.n_words

    @property
    def nbytes(self) -> int:
        """Bytes of the documents."""
        return self.indptr.nbytes + self.indices.nbytes + self.counts.nbytes

    def words_of(self, document: int) -> tuple[NDArray[np.int32], NDArray[Any]]:
        """Return the words of one document, counted within the block, and their counts."""
        entries = slice(int(self.indptr[document]), int(self.indptr[document + 1]))
        return self.indices[entries], self.counts[entries]

    def slice(self, start: int, stop: int) -> DocumentBlock:
        """Return documents `start` to `stop` (exclusive), their entries uncopied, with no state."""
        start, stop, _ = slice(start, stop).indices(self.n)
        stop = max(start, stop)
        weights = None if self.weights is None else self.weights[start:stop]
        first, last = int(self.indptr[start]), int(self.indptr[stop])
        part: DocumentBlock = object.__new__(DocumentBlock)  # the whole is checked already
        part.dtype, part.n_words = self.dtype, self.n_words
        counts = self.counts[first:last]
        part._fill(
            self.indptr[start : stop + 1] - first,
            self.indices[first:last],
            counts,
            weights,
            self.offset + start,
            self.is_whole or bool((counts == np.floor(counts)).all()),
        )
        return part

    def with_weights(self, weights: NDArray[np.float64] | None) -> DocumentBlock:
        """Return the same documents with other weights, and with no state."""
        same = self.slice(0, self.n)
        weights = as_weights(weights, self.n, "documents")
        same._fill(same.indptr, same.indices, same.counts, weights, self.offset, self.is_whole)
        return same

    def fork(self) -> DocumentBlock:
        """Return a block of the same arrays and state, whose state then goes its own way."""
        other = self.slice(0, self.n)
        other.local, other.cache = self.local, self.cache
        return other

    def cut(self, n_blocks: int, align: int = 1) -> list[DocumentBlock]:
        """Return parts of nearly equally many weighted tokens, cut between documents.

        Fewer than `n_blocks` where there are not enough documents. Each part has weight, unless all
        together have none; documents without tokens go with their neighbours.

        Parameters
        ----------
        n_blocks : int
        align : int, default=1
            Parts start at multiples of so many documents.
        """
        tokens = self.tokens if self.weights is None else self.tokens * self.weights
        return [self.slice(*ends) for ends in cut_by_tokens(tokens, n_blocks, align)]

    @classmethod
    def joined(cls, blocks: Sequence[DocumentBlock]) -> DocumentBlock:
        """Return a copy of the documents of all blocks, unweighted and with no state."""
        sizes = np.concatenate([np.diff(block.indptr) for block in blocks])
        return cls(
            np.concatenate(([0], np.cumsum(sizes))),
            np.concatenate([block.indices for block in blocks]),
            np.concatenate([block.counts for block in blocks]),
            None,
            blocks[0].offset,
            blocks[0].n_words,
            blocks[0].dtype,
        )


def cut_by_tokens(
    tokens: NDArray[np.float64], n_blocks: int, align: int = 1
) -> list[tuple[int, int]]:
    """Return the ends of at most `n_blocks` parts of nearly equally many tokens.

    Each part has tokens, unless all documents together have none.

    Parameters
    ----------
    tokens : ndarray of shape (n_documents,)
        Weighted number of tokens of each document.
    n_blocks : int
    align : int, default=1
        Parts start at multiples of so many documents.
    """
    n = tokens.size
    running = np.cumsum(tokens)
    if n == 0 or running[-1] <= 0:
        return [(0, n)]
    targets = running[-1] * (np.arange(1, n_blocks) / n_blocks)
    ends = np.searchsorted(running, targets) + 1
    ends = np.minimum(-(-ends // align) * align, n)
    parts: list[tuple[int, int]] = []
    first = 0
    for last in [*np.unique(ends).tolist(), n]:
        done = running[first - 1] if first else 0.0
        if last > first and running[last - 1] > done:
            # What is left after the last token belongs to the part that has it.
            stop = n if running[last - 1] >= running[-1] else last
            parts.append((first, stop))
            first = stop
    return parts


def as_documents(
    X: Any,
    sample_weight: NDArray[np.float64] | None = None,
    n_words: int | None = None,
    dtype: Any = np.float64,
) -> DocumentBlock:
    """Return documents as a block, from a matrix of counts or a corpus.

    Parameters
    ----------
    X : sparse matrix or array, array-like of shape (n_documents, n_words), or iterable
        Counts of words: SciPy sparse of any format and index type, or dense; or an iterable of
        documents that are iterables of (word number, count) pairs, as gensim has them.
    sample_weight : ndarray of shape (n_documents,), default=None
    n_words : int, default=None
        Size of the vocabulary. None: the number of columns, or as many as a corpus needs.
    dtype : {numpy.float64, numpy.float32}, default=numpy.float64
        The precision of the scores.

    Raises
    ------
    ValueError
        For counts that are negative or not finite, for words outside of the vocabulary, both with
        document and word; and for matrices that are not consistent.
    TypeError
        For what is no number.
    """
    if isinstance(X, DocumentBlock):
        raise TypeError("X is a DocumentBlock already; vemfast.fit takes it as it is")
    if scipy.sparse.issparse(X):
        return _from_sparse(X, sample_weight, n_words, dtype)
    if is_corpus(X):
        return _from_corpus(X, sample_weight, n_words, dtype)
    dense = np.asarray(X)
    if dense.ndim != 2:
        hint = "; reshape one document with X.reshape(1, -1)" if dense.ndim == 1 else ""
        raise ValueError(f"X must be a 2-D array of counts; got {dense.ndim} dimension(s){hint}")
    if dense.dtype.kind == "O":
        dense = dense.astype(np.float64)
    if dense.dtype.kind not in "biuf":
        raise TypeError(f"X must hold real numbers; got {dense.dtype}")
    documents, words = np.nonzero(dense)  # NaN is not zero
    indptr = np.concatenate(([0], np.cumsum(np.bincount(documents, minlength=len(dense)))))
    width = _check_width(int(dense.shape[1]), n_words)
    counts = dense[documents, words]
    return DocumentBlock(indptr, words, counts, sample_weight, 0, width, dtype)


def is_corpus(X: Any) -> bool:
    """Return whether `X` is an iterable of lists of (word, count) pairs, and not of numbers."""
    if isinstance(X, (str, bytes)) or not isinstance(X, Iterable):
        return False
    if any(hasattr(X, name) for name in ("shape", "__array__", "__dataframe__")):
        return False
    if not isinstance(X, (list, tuple)):
        return iter(X) is not X  # read more than once: not by an iterator, which is used up
    for document in X:
        if not isinstance(document, (list, tuple)):
            return False
        for pair in document:
            return isinstance(pair, (list, tuple)) and len(pair) == 2
    return len(X) > 0


def _from_sparse(
    X: Any, weights: NDArray[np.float64] | None, n_words: int | None, dtype: Any
) -> DocumentBlock:
    if X.ndim != 2:
        raise ValueError(f"X must be a 2-D matrix of counts; got {X.ndim} dimension(s)")
    if hasattr(X, "check_format"):
        X.check_format(full_check=True)  # indices in range, indptr rising
    rows = scipy.sparse.csr_array(X)
    if rows.data.dtype.kind not in "biuf":
        raise TypeError(f"X must hold real numbers; got {rows.data.dtype}")
    width = _check_width(int(X.shape[1]), n_words)
    return DocumentBlock(rows.indptr, rows.indices, rows.data, weights, 0, width, dtype)


def _from_corpus(
    X: Any, weights: NDArray[np.float64] | None, n_words: int | None, dtype: Any
) -> DocumentBlock:
    ends, words, counts = [0], [], []
    for number, document in enumerate(X):
        for pair in document:
            try:
                word, count = pair
                if word != int(word):
                    raise ValueError
                words.append(int(word))
                counts.append(float(count))
            except (TypeError, ValueError):
                raise ValueError(
                    f"document {number} holds {pair!r}, where a corpus has pairs of a word number "
                    "and a count"
                ) from None
        ends.append(len(words))
    indices = np.array(words, dtype=np.int64)
    return DocumentBlock(ends, indices, np.array(counts), weights, 0, n_words, dtype)


def _check_width(width: int, n_words: int | None) -> int:
    if n_words is not None and n_words != width:
        raise ValueError(
            f"X has {width} features, but {n_words} words are expected: its columns must be the "
            "words of the fit, in their order"
        )
    return width


def _as_words(indices: ArrayLike) -> NDArray[Any]:
    words = np.asarray(indices)
    if words.ndim == 1 and words.dtype == np.dtype(np.int32) and words.flags.aligned:
        return np.ascontiguousarray(words)  # as they will be kept
    return as_integers(indices, "indices")


def _as_counts(counts: ArrayLike) -> NDArray[Any]:
    values = np.asarray(counts)
    if values.dtype.kind in "iu" and values.size and values.min() >= -1 and values.max() < 1 << 24:
        return np.ascontiguousarray(values, dtype=np.float32)  # exactly
    if values.dtype in FLOATS and values.dtype.isnative:
        return np.ascontiguousarray(values)
    return np.ascontiguousarray(values, dtype=np.float64)


def _check_words(indptr: NDArray[np.int64], indices: NDArray[np.int64], n_words: int | None) -> int:
    least = int(indices.max(initial=-1)) + 1
    size = max(least, 1) if n_words is None else int(n_words)
    if not 1 <= size <= _MOST_WORDS:
        raise ValueError(f"n_words must be from 1 to 2**31 - 1; got {size}")
    if indices.min(initial=0) < 0 or least > size:
        bad = (indices < 0) | (indices >= size)
        entry = int(np.argmax(bad))
        if indices[entry] < 0:
            what = f"word number {indices[entry]} is negative"
        else:
            what = (
                f"word number {indices[entry]} is not in the vocabulary of {size} words; leave out "
                "words that it does not have"
            )
        raise ValueError(f"document {_document(indptr, entry)}: {what}")
    return size


def _check_counts(
    indptr: NDArray[np.int64], indices: NDArray[np.int64], counts: NDArray[Any]
) -> None:
    if counts.size and not 0 <= counts.min() <= counts.max() < np.inf:  # NaN is neither
        bad = ~(np.isfinite(counts) & (counts >= 0))
        entry = int(np.argmax(bad))
        value = counts[entry]
        where = f"document {_document(indptr, entry)}, word {indices[entry]}"
        if np.isfinite(value):
            raise ValueError(
                f"Negative values in data passed as counts of words: {where} has {value:g}"
            )
        what = "NaN" if np.isnan(value) else "infinity (inf)"
        raise ValueError(f"counts must be finite and >= 0; {where} has {what}")


def _document(indptr: NDArray[np.int64], entry: int) -> int:
    return int(np.searchsorted(indptr, entry, side="right")) - 1


def _canonical(
    indptr: NDArray[np.int64], indices: NDArray[np.int64], counts: NDArray[Any]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]:
    """Return the same documents with words rising and counts positive."""
    rising = np.diff(indices) > 0
    starts = indptr[1:-1]
    rising[starts[(starts > 0) & (starts < indices.size)] - 1] = True  # the first of a document
    if rising.all() and (counts > 0).all():
        return indptr, indices, counts
    documents = np.repeat(np.arange(indptr.size - 1), np.diff(indptr))
    kept = counts > 0
    documents, indices, counts = documents[kept], indices[kept], counts[kept].astype(np.float64)
    order = np.lexsort((indices, documents))
    documents, indices, counts = documents[order], indices[order], counts[order]
    new = np.ones(indices.size, dtype=bool)
    new[1:] = (np.diff(documents) > 0) | (np.diff(indices) > 0)
    first = np.flatnonzero(new)
    sums = np.add.reduceat(counts, first) if first.size else counts
    ends = np.cumsum(np.bincount(documents[first], minlength=indptr.size - 1))
    return np.concatenate(([0], ends)).astype(np.int64), indices[first], sums
