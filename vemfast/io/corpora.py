"""Corpora of word counts from files, whole or chunk by chunk, and into files.

| format | names | content |
|---|---|---|
| ``"ldac"`` | ``.ldac``, ``.lda-c`` | Blei's: a line a document, ``n id:count ...``, ids from 0 |
| ``"uci"`` | ``docword*.txt`` | three lines D, W, NNZ, then lines ``document word count``, from 1 |
| ``"mtx"`` | ``.mtx`` | Matrix Market, documents as rows (SciPy) |
| ``"svmlight"`` | ``.svm``, ``.svmlight``, ``.libsvm`` | words as features (scikit-learn) |
| ``"npz"`` | ``.npz`` | SciPy's sparse matrices |

Text may be gzipped (``.gz`` after the name). Every complaint is one line that names the file and,
where it is read here, the line.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from scipy import sparse

from vemfast.io.atomic import atomic_write
from vemfast.io.corpora_text import READERS, CorpusError, lines_of, open_file

__all__ = [
    "Corpus",
    "CorpusError",
    "CorpusStream",
    "read_corpus",
    "read_vocabulary",
    "stream_corpus",
    "write_corpus",
]

_CHUNK_DOCUMENTS = 1 << 15


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """Word counts of documents.

    Attributes
    ----------
    counts : scipy.sparse.csr_matrix of shape (n_documents, n_words)
    vocabulary : tuple of str or None
        The words, where they are known.
    """

    counts: sparse.csr_matrix
    vocabulary: tuple[str, ...] | None = None


def read_corpus(
    path: str | os.PathLike[str],
    vocabulary: str | os.PathLike[str] | Sequence[str] | None = None,
    n_words: int | None = None,
    format: str | None = None,
) -> Corpus:
    """Read a corpus.

    Parameters
    ----------
    path : path-like
    vocabulary : path-like or sequence of str, default=None
        The words, or a file with one of them a line; word ``i`` of the counts is word ``i`` here.
    n_words : int, default=None
        Number of columns of the counts. None: that of the vocabulary, else what the file says,
        else the highest word number plus one.
    format : {"ldac", "uci", "mtx", "svmlight", "npz"}, default=None
        None: told by the name.

    Returns
    -------
    Corpus

    Raises
    ------
    CorpusError
        If the file does not hold what its format says, or words beyond the vocabulary.
    OSError
        If a file cannot be read.
    """
    path = Path(path)
    words = _words(vocabulary)
    width = _width(words, n_words)
    kind = _format(path, format)
    if kind in ("mtx", "svmlight", "npz"):
        counts = _by_library(path, kind, width)
    else:
        chunks = list(READERS[kind](path, width, _CHUNK_DOCUMENTS))
        if not chunks:
            raise CorpusError(f"{path}: there is no document")
        width = width or max(chunk.shape[1] for chunk in chunks)
        counts = sparse.vstack([_widened(chunk, width) for chunk in chunks], format="csr")
    return Corpus(_checked(path, counts, width), words)


@dataclass(frozen=True, slots=True)
class CorpusStream:
    """A corpus that is read chunk by chunk, each time it is iterated.

    Attributes
    ----------
    path : Path
    n_words : int
    format : {"ldac", "uci"}
    chunk_documents : int
    """

    path: Path
    n_words: int
    format: str
    chunk_documents: int

    def __iter__(self) -> Iterator[sparse.csr_matrix]:
        for chunk in READERS[self.format](self.path, self.n_words, self.chunk_documents):
            yield _checked(self.path, chunk, self.n_words)


def stream_corpus(
    path: str | os.PathLike[str],
    n_words: int | None = None,
    chunk_documents: int = 4096,
    format: str | None = None,
) -> CorpusStream:
    """Return a corpus to be read in chunks, for files larger than memory.

    Parameters
    ----------
    path : path-like
        An LDA-C or UCI file, gzipped or not; a UCI file with its documents in order.
    n_words : int, default=None
        Number of words: every chunk is to have as many columns. None: what a UCI file says; the
        highest word number of an LDA-C file plus one, which takes a reading.
    chunk_documents : int, default=4096
        Documents of a chunk; the last may have fewer.
    format : {"ldac", "uci"}, default=None
        None: told by the name.

    Returns
    -------
    CorpusStream
        Yields matrices of shape (chunk_documents, n_words), again and again: for
        ``LatentDirichletAllocation(learning_method="online").fit(stream)``, or one by one for its
        `partial_fit`.

    Raises
    ------
    CorpusError
        Now, if the format cannot be read in chunks; later, if the file is broken.
    """
    path = Path(path)
    kind = _format(path, format)
    if kind not in READERS:
        raise CorpusError(
            f"{path}: format {kind!r} is not read in chunks; "
            "read_corpus reads it whole, write_corpus makes an LDA-C file of it"
        )
    for name, value in (("n_words", n_words), ("chunk_documents", chunk_documents)):
        if value is not None and value < 1:
            raise ValueError(f"{name} must be >= 1; got {value}")
    if n_words is None:
        chunks = READERS[kind](path, None, int(chunk_documents))
        widths = (chunk.shape[1] for chunk in chunks)
        n_words = next(widths, None) if kind == "uci" else max(widths, default=None)
        if n_words is None:
            raise CorpusError(f"{path}: there is no document")
    return CorpusStream(path, int(n_words), kind, int(chunk_documents))


def write_corpus(path: str | os.PathLike[str], counts: Any, format: str | None = None) -> None:
    """Write a corpus; an earlier file stays as it was until the new one is complete.

    Parameters
    ----------
    path : path-like
        Text is gzipped if the name ends in ``.gz``.
    counts : sparse matrix or array-like of shape (n_documents, n_words)
        Whole numbers are written as such, others in as many digits as bring them back exactly.
    format : {"ldac", "uci", "mtx", "svmlight", "npz"}, default=None
        None: told by the name.

    Raises
    ------
    CorpusError
        If the format is not known or the counts cannot be written.
    """
    path = Path(path)
    kind = _format(path, format)
    matrix = _checked(path, sparse.csr_matrix(counts), None)
    with atomic_write(path) as file:
        if path.suffix == ".gz" and kind != "npz":
            with gzip.GzipFile(fileobj=file, mode="wb", mtime=0, filename="") as packed:
                _WRITERS[kind](cast(BinaryIO, packed), matrix)
        else:
            _WRITERS[kind](file, matrix)


def read_vocabulary(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the words of a file with one a line.

    Raises
    ------
    CorpusError
        If a line is empty or the file is not UTF-8; both with the line's number.
    """
    path = Path(path)
    words = []
    with open_file(path) as file:
        for number, line in enumerate(lines_of(path, file), 1):
            try:
                word = line.decode().strip()
            except UnicodeDecodeError as error:
                raise CorpusError(f"{path}: line {number} is not UTF-8") from error
            if not word:
                raise CorpusError(f"{path}: line {number} is empty, where a word is to stand")
            words.append(word)
    return tuple(words)


# ---- what the name and the arguments say -------------------------------------------------------


def _format(path: Path, given: str | None) -> str:
    if given is not None:
        if given not in _WRITERS:
            raise CorpusError(f"format must be one of {', '.join(_WRITERS)}; got {given!r}")
        return given
    name = path.name.lower().removesuffix(".gz")
    if name.startswith("docword") and name.endswith(".txt"):
        return "uci"
    suffix = Path(name).suffix.lstrip(".")
    known = {"lda-c": "ldac", "svm": "svmlight", "libsvm": "svmlight"}
    kind = known.get(suffix, suffix)
    if kind not in _WRITERS or kind == "uci":
        raise CorpusError(
            f"{path}: the name does not tell the format (.ldac, docword*.txt, .mtx, .svmlight or "
            f".npz do); say format='ldac' or another of {', '.join(_WRITERS)}"
        )
    return kind


def _words(vocabulary: Any) -> tuple[str, ...] | None:
    if vocabulary is None:
        return None
    if isinstance(vocabulary, (str, os.PathLike)):
        return read_vocabulary(vocabulary)
    return tuple(map(str, vocabulary))


def _width(words: tuple[str, ...] | None, n_words: int | None) -> int | None:
    if n_words is not None and n_words < 1:
        raise ValueError(f"n_words must be >= 1; got {n_words}")
    if words is not None and n_words is not None and len(words) != n_words:
        raise ValueError(f"n_words={n_words}, but the vocabulary has {len(words)} words")
    return n_words if words is None else len(words)


# ---- reading and checking ----------------------------------------------------------------------


def _by_library(path: Path, kind: str, n_words: int | None) -> sparse.csr_matrix:
    try:
        if kind == "mtx":
            from scipy.io import mmread

            return sparse.csr_matrix(mmread(path))
        if kind == "npz":
            return sparse.csr_matrix(sparse.load_npz(path))
        from sklearn.datasets import load_svmlight_file

        found = load_svmlight_file(str(path), n_features=n_words, zero_based="auto")
        return sparse.csr_matrix(found[0])
    except OSError:
        raise
    except Exception as error:  # whatever a library makes of a broken file
        raise CorpusError(f"{path}: not a {kind} file of counts: {error}") from error


def _widened(counts: sparse.csr_matrix, width: int) -> sparse.csr_matrix:
    return sparse.csr_matrix((counts.data, counts.indices, counts.indptr), (counts.shape[0], width))


def _checked(path: Path, counts: sparse.csr_matrix, n_words: int | None) -> sparse.csr_matrix:
    """Return counts with sorted, distinct words; refuse what is not a count."""
    if counts.dtype.kind not in "fiub":
        raise CorpusError(f"{path}: counts must be real numbers; got {counts.dtype}")
    counts = counts.astype(np.float64)
    counts.sum_duplicates()
    bad = np.flatnonzero(~(np.isfinite(counts.data) & (counts.data >= 0)))
    if bad.size:
        at = int(bad[0])
        document = int(np.searchsorted(counts.indptr, at, side="right")) - 1
        raise CorpusError(
            f"{path}: document {document}, word {counts.indices[at]}: the count "
            f"{counts.data[at]:g} is not a number >= 0"
        )
    if n_words is not None and counts.shape[1] != n_words:
        if counts.indices.size and int(counts.indices.max()) >= n_words:
            raise CorpusError(
                f"{path}: word {int(counts.indices.max())}, but there are {n_words} words "
                f"(0 to {n_words - 1})"
            )
        counts = _widened(counts, n_words)
    return counts


# ---- writing -----------------------------------------------------------------------------------


def _write_ldac(file: BinaryIO, counts: sparse.csr_matrix) -> None:
    for words, values in _documents(counts):
        entries = "".join(f" {w}:{_count(v)}" for w, v in zip(words, values, strict=True))
        file.write(f"{len(words)}{entries}\n".encode())


def _write_uci(file: BinaryIO, counts: sparse.csr_matrix) -> None:
    file.write(f"{counts.shape[0]}\n{counts.shape[1]}\n{counts.nnz}\n".encode())
    for document, (words, values) in enumerate(_documents(counts), 1):
        lines = (f"{document} {w + 1} {_count(v)}\n" for w, v in zip(words, values, strict=True))
        file.write("".join(lines).encode())


def _documents(counts: sparse.csr_matrix) -> Iterator[tuple[list[int], list[float]]]:
    for start, stop in zip(counts.indptr[:-1], counts.indptr[1:], strict=True):
        yield counts.indices[start:stop].tolist(), counts.data[start:stop].tolist()


def _count(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def _write_mtx(file: BinaryIO, counts: sparse.csr_matrix) -> None:
    from scipy.io import mmwrite

    mmwrite(file, counts)


def _write_svmlight(file: BinaryIO, counts: sparse.csr_matrix) -> None:
    from sklearn.datasets import dump_svmlight_file

    # From 1, as is the custom: then no file can be read the other way.
    dump_svmlight_file(counts, np.zeros(counts.shape[0]), file, zero_based=False)


def _write_npz(file: BinaryIO, counts: sparse.csr_matrix) -> None:
    sparse.save_npz(file, counts)


_WRITERS: dict[str, Callable[[BinaryIO, sparse.csr_matrix], None]] = {
    "ldac": _write_ldac,
    "uci": _write_uci,
    "mtx": _write_mtx,
    "svmlight": _write_svmlight,
    "npz": _write_npz,
}
