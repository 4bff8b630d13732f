"""Tables of numbers from files: .npy, .npz, .csv (.tsv, .txt; also gzipped) and .parquet.

Every complaint is one line that names the file and, in text, the line.
"""

from __future__ import annotations

import csv
import gzip
import os
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from math import isfinite
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

__all__ = ["Table", "TableError", "read_table"]


class TableError(ValueError):
    """A file does not hold a table of numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Rows of numbers.

    Attributes
    ----------
    X : ndarray of shape (n_rows, n_columns)
        Of documents sparse counts, or a stream of them.
    names : tuple of str or None
        Of the columns, where the file has them.
    """

    X: Any
    names: tuple[str, ...] | None = None


def read_table(
    path: str | os.PathLike[str],
    columns: Sequence[str] | None = None,
    array: str | None = None,
    header: bool | None = None,
    if_named: Sequence[str] | None = None,
    missing: bool = False,
) -> Table:
    """Read a table of numbers.

    Parameters
    ----------
    path : path-like
        The kind is told by the name: ``.npy`` (mapped into memory, not read), ``.npz``, ``.csv``,
        ``.tsv``, ``.txt`` (each also with ``.gz``; the separator is a tab, semicolon, comma or
        space; ``#`` starts a line of comment), ``.parquet``.
    columns : sequence of str, default=None
        Which columns, in this order: names, or numbers from 0. None: all.
    array : str, default=None
        Which array of an ``.npz`` file, where it has several.
    header : bool, default=None
        Whether the first line of a text file names the columns. None: it does if it holds no
        number.
    if_named : sequence of str, default=None
        Which columns where `columns` does not say and the file names its columns.
    missing : bool, default=False
        Whether values may be missing: an empty field, ``NA`` or ``NaN`` in text, a null in Parquet
        become NaN.

    Returns
    -------
    Table

    Raises
    ------
    TableError
        If the content is not a table of numbers, or a column is not there. Text files must hold
        finite numbers, but for what is missing; elsewhere that is left to the estimator.
    OSError
        If the file cannot be read.
    """
    path = Path(path)
    suffix = _suffix(path)
    if suffix not in _READERS:
        raise TableError(f"{path}: files of the kind {suffix!r} are not read; {_KINDS}")
    if array is not None and suffix != ".npz":
        raise TableError(f"{path}: only an .npz file holds several arrays to choose from")
    if header is not None and suffix not in _TEXT:
        raise TableError(f"{path}: only text files have or lack a header line")
    table = _READERS[suffix](path, _Wanted(columns, array, header, if_named, missing))
    if table.X.shape[0] == 0:
        raise TableError(f"{path}: no rows")
    return table


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What the caller asks for."""

    columns: Sequence[str] | None
    array: str | None
    header: bool | None
    if_named: Sequence[str] | None
    missing: bool

    def positions(self, path: Path, names: tuple[str, ...] | None, count: int) -> list[int] | None:
        """Return the positions of the columns, of `count`; None for all."""
        columns = self.columns
        if columns is None and names is not None:
            columns = self.if_named
        if columns is None:
            return None
        return [_position(path, column, names, count) for column in columns]


# ---- NumPy files ----------------------------------------------------------------------------


def _read_npy(path: Path, wanted: _Wanted) -> Table:
    with open(path, "rb"):  # unreadable: an OSError, whatever np.load would make of it
        pass
    try:
        X = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise TableError(f"{path}: not a NumPy file of numbers ({_one_line(error)})") from error
    return _as_table(path, X, wanted)


def _read_npz(path: Path, wanted: _Wanted) -> Table:
    from zipfile import BadZipFile

    with open(path, "rb") as file:
        try:
            archive = np.load(file, allow_pickle=False)
            names = list(archive.files)
            array = wanted.array
            if array is None and len(names) == 1:
                array = names[0]
            if array not in names:
                what = "say which array" if array is None else f"no array {array!r}"
                raise TableError(f"{path}: {what}; it holds {', '.join(names) or 'none'}")
            X = archive[array]
        except TableError:
            raise
        except (ValueError, EOFError, OSError, AttributeError, BadZipFile, zlib.error) as error:
            message = f"{path}: not a NumPy archive of numbers ({_one_line(error)})"
            raise TableError(message) from error
    return _as_table(path, X, wanted)


def _as_table(path: Path, X: NDArray[Any], wanted: _Wanted) -> Table:
    if X.ndim != 2:
        raise TableError(f"{path}: an array of shape {X.shape}; a table is (rows, columns)")
    if X.dtype.kind not in "fiub":
        raise TableError(f"{path}: holds {X.dtype}, not real numbers")
    use = wanted.positions(path, None, X.shape[1])
    return Table(X if use is None else X[:, use])


# ---- text -----------------------------------------------------------------------------------

_MISSING = frozenset(("", "NA", "nan", "NaN", "NAN"))
_SEPARATORS = "\t;,"  # a comma may be another country's decimal point, so it is asked for last


def _read_text(path: Path, wanted: _Wanted) -> Table:
    try:
        with _open_text(path) as file:
            return _parse(path, file, wanted)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise TableError(f"{path}: damaged gzip file ({_one_line(error)})") from error
    except UnicodeDecodeError as error:
        raise TableError(f"{path}: not text in UTF-8 ({_one_line(error)})") from error


def _open_text(path: Path) -> TextIO:
    # utf-8-sig: spreadsheets put a byte-order mark in front.
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return open(path, encoding="utf-8-sig", newline="")


def _parse(path: Path, file: TextIO, wanted: _Wanted) -> Table:
    number, first = next(_content(file), (0, ""))
    separator = next((mark for mark in _SEPARATORS if mark in first), None)
    fields = _split(first, separator)
    has_header = wanted.header
    if has_header is None:
        has_header = _is_header(path, number, fields, wanted.missing)
    names = tuple(fields) if has_header else None
    use = wanted.positions(path, names, len(fields))
    file.seek(0)
    rows = _rows(path, file, number if has_header else 0, separator, len(fields))
    row = next(rows, None)
    if row is None:
        raise TableError(f"{path}: no rows")
    fault = "numbers that are not finite"
    try:
        X = np.loadtxt(
            chain((row,), rows),
            delimiter=separator,
            usecols=use,
            comments=None,
            quotechar='"',
            ndmin=2,
            converters=_number if wanted.missing else None,
        )
    except TableError:
        raise
    except ValueError as error:
        X, fault = np.array([[np.inf]]), _one_line(error)
    fine = np.isfinite(X) | (wanted.missing & np.isnan(X))
    if not fine.all():  # once more, slowly, to say where
        file.seek(0)
        header = number if has_header else 0
        _complain(path, file, header, separator, fields, use, wanted.missing)
        raise TableError(f"{path}: {fault}")
    return Table(X, names if names is None or use is None else tuple(names[i] for i in use))


def _rows(
    path: Path, file: TextIO, header: int, separator: str | None, count: int
) -> Iterator[str]:
    """Yield the lines below the header."""
    for number, text in _content(file):
        if number <= header:
            continue
        # np.loadtxt, told which columns to use, would take a line that has others too.
        if separator is not None and '"' not in text and text.count(separator) != count - 1:
            found = text.count(separator) + 1
            raise TableError(
                f"{path}, line {number}: {found} columns; the lines before have {count}"
            )
        yield text


def _is_header(path: Path, number: int, fields: list[str], missing: bool) -> bool:
    if missing:  # a field without a value says nothing
        fields = [field for field in fields if field not in _MISSING]
        if not fields:
            return False
    numbers = [_is_number(field) for field in fields]
    if any(numbers) and not all(numbers):
        other = fields[numbers.index(False)]
        raise TableError(
            f"{path}, line {number}: numbers beside {other!r}; say whether this line is a header"
        )
    return not all(numbers)


def _content(file: TextIO) -> Iterator[tuple[int, str]]:
    """Yield the lines that are neither blank nor comment, with their numbers from 1."""
    for number, line in enumerate(file, start=1):
        text = line.strip("\r\n")
        if text and not text.isspace() and not text.startswith("#"):
            yield number, text


def _split(line: str, separator: str | None) -> list[str]:
    if separator is None:
        return line.split()
    return [field.strip() for field in next(csv.reader([line], delimiter=separator))]


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return "_" not in field  # Python's own notation, not a file's


def _number(field: str) -> float:
    text = field.strip()
    if text in _MISSING:
        return float("nan")
    if "_" in text:
        raise ValueError(f"could not convert string {text!r}")
    return float(text)


def _complain(
    path: Path,
    file: TextIO,
    header: int,
    separator: str | None,
    first: list[str],
    use: list[int] | None,
    missing: bool,
) -> None:
    """Raise for the first line that is not a row of finite numbers."""
    for number, text in _content(file):
        if number <= header:
            continue
        fields = _split(text, separator)
        where = f"{path}, line {number}"
        if len(fields) != len(first):
            raise TableError(f"{where}: {len(fields)} columns; the lines before have {len(first)}")
        for column in range(len(fields)) if use is None else use:
            field = fields[column]
            called = f"column {column}" + (f" ({first[column]})" if header else "")
            if missing and field in _MISSING:
                continue
            if not field:
                raise TableError(f"{where}: {called} is empty; missing values are not taken")
            if not _is_number(field):
                hint = (
                    "; numbers have a decimal point" if _is_number(field.replace(",", ".")) else ""
                )
                raise TableError(f"{where}: {called} is {field!r}, not a number{hint}")
            if not isfinite(float(field)):
                raise TableError(f"{where}: {called} is {field!r}; only finite numbers are taken")


# ---- Parquet --------------------------------------------------------------------------------


def _read_parquet(path: Path, wanted: _Wanted) -> Table:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        message = f"{path}: Parquet files are read by the package pyarrow: pip install pyarrow"
        raise TableError(message) from error
    with open(path, "rb") as file:
        try:
            source = pyarrow.parquet.ParquetFile(file)
            every = tuple(source.schema_arrow.names)
            if len(set(every)) < len(every):
                raise TableError(f"{path}: two columns have the same name")
            use = wanted.positions(path, every, len(every))
            names = every if use is None else tuple(every[i] for i in use)
            data = source.read(columns=list(names))
        except pyarrow.ArrowException as error:
            raise TableError(f"{path}: not a Parquet file ({_one_line(error)})") from error
    vectors = [_vector(path, name, data.column(name), wanted.missing) for name in names]
    if not vectors:
        raise TableError(f"{path}: no columns")
    return Table(np.column_stack(vectors), names)


def _vector(path: Path, name: str, column: Any, missing: bool) -> NDArray[Any]:
    if column.null_count and not missing:
        row = int(np.argmax(column.is_null().to_numpy()))
        message = f"{path}: column {name!r} is empty at row {row}; missing values are not taken"
        raise TableError(message)
    vector = column.to_numpy()
    if vector.dtype.kind not in "fiub":
        raise TableError(f"{path}: column {name!r} holds {column.type}, not numbers")
    return np.asarray(vector, dtype=np.float32 if vector.dtype == np.float32 else np.float64)


# ---- what the kinds share -------------------------------------------------------------------


def _position(path: Path, column: str, names: tuple[str, ...] | None, count: int) -> int:
    """Return the position of a column given by name or by number."""
    if names is not None and column in names:
        return names.index(column)
    if column.isdecimal() and int(column) < count:
        return int(column)
    has = ", ".join(names) if names is not None else f"numbers 0 to {count - 1}"
    raise TableError(f"{path}: no column {column!r}; it has {has}")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    inner = Path(path.stem).suffix.lower()
    return inner if suffix == ".gz" and inner in _TEXT else suffix


_TEXT = (".csv", ".tsv", ".txt")
_READERS: dict[str, Callable[[Path, _Wanted], Table]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".parquet": _read_parquet,
    **dict.fromkeys(_TEXT, _read_text),
}
_KINDS = "use .npy, .npz, .csv, .tsv or .txt (these also with .gz), or .parquet"
