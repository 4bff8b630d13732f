"""What subcommands share: reading rows, and writing results."""

from __future__ import annotations

import argparse
import errno
import gzip
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vemfast.io import Table

__all__ = [
    "about_rows",
    "add_data_options",
    "add_table_options",
    "check_output",
    "read",
    "refuse",
    "write",
]

_CHUNK = 1 << 16  # rows turned into text at a time


def add_data_options(parser: Any) -> None:
    """Add the file of rows, and what is to be taken from it."""
    parser.add_argument(
        "data", metavar="DATA", help=".npy, .npz, .csv, .tsv, .txt (also .gz) or .parquet"
    )
    add_table_options(parser)


def add_table_options(parser: Any) -> None:
    """Add what is to be taken from a table."""
    parser.add_argument(
        "--columns",
        metavar="A,B,...",
        type=lambda text: text.split(","),
        help="columns to use: names, or numbers from 0 (default: all; for a model that was "
        "fitted to named columns: those)",
    )
    parser.add_argument("--array", metavar="NAME", help="which array of an .npz file")
    parser.add_argument(
        "--header",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="whether the first line of a text file names the columns (default: if it holds no "
        "number)",
    )


def read(args: argparse.Namespace, estimator: Any, if_named: Sequence[str] | None = None) -> Table:
    """Read the rows that the options ask for, for an estimator that may take missing values.

    Where they do not say which columns, and the file has names, take those of `if_named`.
    """
    from vemfast.io import read_table

    missing = getattr(estimator, "missing", "error") == "marginalize"
    return read_table(args.data, args.columns, args.array, args.header, if_named, missing)


@contextmanager
def about_rows(path: str) -> Iterator[None]:
    """Let complaints about X name the file that it came from."""
    try:
        yield
    except (ValueError, TypeError) as error:
        message = str(error)
        if not message.startswith("X "):
            raise
        raise ValueError(f"{path}: {message[2:]}") from error


def check_output(path: str) -> None:
    """Raise an OSError, before hours of work, if a file cannot be written."""
    target = Path(os.path.realpath(path))
    code = None
    if target.is_dir():
        code = errno.EISDIR
    elif not target.parent.is_dir():
        code = errno.ENOENT
    elif not os.access(target if target.exists() else target.parent, os.W_OK):
        code = errno.EACCES
    if code is not None:
        raise OSError(code, os.strerror(code), path)


def write(output: str | None, names: Sequence[str], columns: NDArray[Any]) -> None:
    """Write columns as text to standard output, or to a .csv, .csv.gz or .npy file."""
    import numpy as np

    from vemfast.io.atomic import atomic_write

    if output is None:
        if sys.stdout is None:
            raise OSError(errno.EBADF, "standard output is closed")
        for text in _text(names, columns):
            sys.stdout.write(text)
        return
    suffixes = "".join(Path(output).suffixes[-2:]).lower()
    if not suffixes.endswith((".csv", ".csv.gz", ".npy")):
        raise ValueError(f"{output}: write to .csv, .csv.gz or .npy")
    with atomic_write(output) as file:
        if suffixes.endswith(".npy"):
            np.save(file, columns)
        elif suffixes.endswith(".gz"):
            with gzip.GzipFile(fileobj=file, mode="wb", mtime=0, filename="") as packed:
                _write_text(packed, names, columns)
        else:
            _write_text(file, names, columns)


def _write_text(file: BinaryIO | gzip.GzipFile, names: Sequence[str], columns: Any) -> None:
    for text in _text(names, columns):
        file.write(text.encode())


def _text(names: Sequence[str], columns: NDArray[Any]) -> Iterator[str]:
    """Yield lines of numbers, in as many digits as bring them back exactly."""
    yield ",".join(names) + "\n"
    table = columns.reshape(len(columns), len(names))
    for start in range(0, len(table), _CHUNK):
        rows = table[start : start + _CHUNK].tolist()
        yield "".join(",".join(map(repr, row)) + "\n" for row in rows)


def refuse(args: argparse.Namespace, what: str, *options: str) -> None:
    """Raise a ValueError for options that are given, and not for what the model takes."""
    for option in options:
        if getattr(args, option) is not None:
            raise ValueError(f"--{option} is not for {what}, which {args.model} takes")
