"""The two text formats of corpora that are read here, in chunks of documents: LDA-C and UCI."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, NoReturn, cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

__all__ = ["READERS", "CorpusError", "lines_of", "open_file"]

_CHUNK_LINES = 1 << 15
_LDAC_LINE = re.compile(rb"\s*\d+(?:\s+\d+:[^\s:]+)*\s*")
_LARGEST_ID = 2**31 - 2


class CorpusError(ValueError):
    """A file does not hold a corpus of word counts."""


def open_file(path: Path) -> IO[bytes]:
    """Open a file, gzipped or not, to read its bytes."""
    return cast(IO[bytes], gzip.open(path) if path.suffix == ".gz" else path.open("rb"))


def lines_of(path: Path, file: IO[bytes]) -> Iterator[bytes]:
    """Yield lines; a broken gzip file is the corpus's fault, not Python's."""
    try:
        yield from file
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CorpusError(f"{path}: the compressed file is broken: {error}") from error


def _ldac(path: Path, n_words: int | None, documents: int) -> Iterator[sparse.csr_matrix]:
    with open_file(path) as file:
        lines = lines_of(path, file)
        first = 1
        while chunk := list(islice(lines, documents)):
            yield _ldac_chunk(path, chunk, first, n_words)
            first += len(chunk)


def _ldac_chunk(
    path: Path, lines: list[bytes], first: int, n_words: int | None
) -> sparse.csr_matrix:
    for number, line in enumerate(lines, first):
        if not _LDAC_LINE.fullmatch(line):
            _refuse_ldac(path, number, line)
    entries = np.array([line.count(b":") for line in lines], dtype=np.int64)
    numbers = _numbers(b" ".join(lines).replace(b":", b" "))
    heads = np.concatenate([[0], np.cumsum(2 * entries + 1)])
    if numbers is None or numbers.size != heads[-1]:
        for number, line in enumerate(lines, first):
            if _numbers(line.replace(b":", b" ")) is None:
                raise CorpusError(f"{path}: line {number}: a count is not a number")
        raise CorpusError(f"{path}: lines {first} to {first + len(lines) - 1} cannot be read")
    wrong = np.flatnonzero(numbers[heads[:-1]] != entries)
    if wrong.size:
        at = int(wrong[0])
        raise CorpusError(
            f"{path}: line {first + at} says {numbers[heads[at]]:.0f} entries and has {entries[at]}"
        )
    pairs = np.delete(numbers, heads[:-1]).reshape(-1, 2)
    owner = np.repeat(np.arange(len(lines)), entries)
    words, counts = pairs.T
    limit = _LARGEST_ID + 1 if n_words is None else n_words
    bad = np.flatnonzero(words >= limit)
    if bad.size:
        at = int(bad[0])
        raise CorpusError(
            f"{path}: line {first + owner[at]} has word {words[at]:.0f}, but there are {limit} "
            f"words (0 to {limit - 1})"
        )
    bad = np.flatnonzero(~_is_count(counts))
    if bad.size:
        at = int(bad[0])
        raise CorpusError(
            f"{path}: line {first + owner[at]}, word {words[at]:.0f}: "
            f"the count {counts[at]:g} is not a number >= 0"
        )
    return _matrix(owner, words, counts, len(lines), n_words)


def _refuse_ldac(path: Path, number: int, line: bytes) -> NoReturn:
    text = line.decode(errors="backslashreplace").strip()
    if not text:
        raise CorpusError(f"{path}: line {number} is empty; an empty document is written as 0")
    bad = next(
        (
            word
            for i, word in enumerate(text.split())
            if not re.fullmatch(r"\d+" if i == 0 else r"\d+:[^:]+", word)
        ),
        text,
    )
    raise CorpusError(
        f"{path}: line {number}: {bad[:40]!r} stands where 'n id:count id:count ...' is expected"
    )


def _uci(path: Path, n_words: int | None, documents: int) -> Iterator[sparse.csr_matrix]:
    """Yield chunks of documents, which must come in order."""
    with open_file(path) as file:
        lines = lines_of(path, file)
        n_documents, stated, n_entries = _uci_head(path, list(islice(lines, 3)))
        if n_words is not None and stated > n_words:
            raise CorpusError(f"{path}: line 2 says {stated} words; expected at most {n_words}")
        width = stated if n_words is None else n_words
        start, seen, line_number = 0, 0, 4
        held = np.empty((0, 3))  # of documents that may go on
        while True:
            chunk = list(islice(lines, _CHUNK_LINES))
            found = _uci_chunk(path, chunk, line_number, n_documents, stated)
            _check_order(path, held, found, line_number)
            seen, line_number = seen + len(found), line_number + len(chunk)
            held = np.concatenate([held, found])
            complete = n_documents if not chunk else (int(held[-1, 0]) - 1 if len(held) else 0)
            while start < complete and (start + documents <= complete or not chunk):
                stop = min(start + documents, n_documents)
                mine = held[:, 0] <= stop
                part = held[mine]
                held = held[~mine]
                rows = part[:, 0].astype(np.int64) - 1 - start
                yield _matrix(rows, part[:, 1] - 1, part[:, 2], stop - start, width)
                start = stop
            if not chunk:
                break
        if seen != n_entries:
            raise CorpusError(f"{path}: line 3 says {n_entries} entries, and there are {seen}")


def _uci_head(path: Path, lines: list[bytes]) -> tuple[int, int, int]:
    values = []
    for number, what in enumerate(("documents", "words", "entries")):
        text = lines[number].strip() if number < len(lines) else b""
        if not text.isdigit() or (number < 2 and int(text) < 1):
            shown = text.decode(errors="backslashreplace")
            raise CorpusError(
                f"{path}: line {number + 1} is to be the number of {what}; got {shown!r}"
            )
        values.append(int(text))
    return values[0], values[1], values[2]


def _uci_chunk(
    path: Path, lines: list[bytes], first: int, n_documents: int, n_words: int
) -> NDArray[np.float64]:
    numbers = _numbers(b" ".join(lines))
    if numbers is not None and numbers.size == 3 * len(lines):
        table = numbers.reshape(-1, 3)
        limits = np.array([n_documents, n_words])
        ids = table[:, :2]
        good = ((ids >= 1) & (ids <= limits) & (ids == np.floor(ids))).all(axis=1)
        if not good.all():
            at = int(np.argmin(good))
            raise CorpusError(
                f"{path}: line {first + at} names document {ids[at, 0]:g} and word {ids[at, 1]:g}; "
                f"there are documents 1 to {n_documents} and words 1 to {n_words}"
            )
        bad = np.flatnonzero(~_is_count(table[:, 2]))
        if bad.size:
            at = int(bad[0])
            raise CorpusError(
                f"{path}: line {first + at}: the count {table[at, 2]:g} is not a number >= 0"
            )
        return table
    for number, line in enumerate(lines, first):
        own = _numbers(line)
        if own is None or own.size != 3:
            text = line.decode(errors="backslashreplace").strip()
            raise CorpusError(f"{path}: line {number}: {text[:40]!r} is not 'document word count'")
    raise CorpusError(f"{path}: lines {first} to {first + len(lines) - 1} cannot be read")


def _check_order(
    path: Path, held: NDArray[np.float64], found: NDArray[np.float64], first: int
) -> None:
    last = held[-1:, 0] if len(held) else np.zeros(1)
    falls = np.diff(np.concatenate([last, found[:, 0]])) < 0
    if falls.any():
        raise CorpusError(
            f"{path}: line {first + int(np.argmax(falls))}: documents are not in order; sort the "
            "lines after the third by their first number"
        )


def _numbers(text: bytes) -> NDArray[np.float64] | None:
    """Return the numbers of a text, or None if something in it is not one."""
    try:
        return np.array(text.split(), dtype=np.bytes_).astype(np.float64)
    except ValueError:
        return None


def _is_count(counts: NDArray[np.float64]) -> NDArray[np.bool_]:
    return np.isfinite(counts) & (counts >= 0)


def _matrix(
    rows: NDArray[np.int64],
    words: NDArray[np.float64],
    counts: NDArray[np.float64],
    n_rows: int,
    n_words: int | None,
) -> sparse.csr_matrix:
    """Return a chunk as a matrix, its entries in their order."""
    width = n_words or (int(words.max()) + 1 if words.size else 1)
    indptr = np.searchsorted(rows, np.arange(n_rows + 1)).astype(np.int64)
    return sparse.csr_matrix((counts, words.astype(np.int32), indptr), (n_rows, width))


# How each is read: the file, the number of words or None, and the documents of a chunk.
READERS: dict[str, Callable[[Path, int | None, int], Iterator[sparse.csr_matrix]]] = {
    "ldac": _ldac,
    "uci": _uci,
}
