"""From the rows that users have to those that the discrete mixtures compute on: checked, once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from vemfast.indexed import SparseRows

__all__ = ["RowReader", "nothing_observed"]

Integers = NDArray[np.int64]

_CHUNK = 1 << 20  # numbers looked at together
_BYTE_CODES = 254  # 255 is missing
_MISSING_BYTE, _MISSING_CODE = 255, -1
# Codes of one column that are believed to be codes, unless `n_categories` says so.
_MANY_CODES = 1 << 20
_EXACT = 2**53  # above, a double does not hold every count


@dataclass(frozen=True)
class RowReader:
    """How rows of one family are read: checked and converted once.

    Attributes
    ----------
    family : {"bernoulli", "poisson", "categorical"}
    whom : str
        Who asks, for messages.
    marginalize : bool
        NaN is a missing entry, not an error.
    binarize : float, default=None
        Bernoulli: a number above this is a one.
    n_categories : ndarray of int64, shape (n_features,), default=None
        Categorical: codes of column d are 0 to ``n_categories[d] - 1``.
    """

    family: str
    whom: str
    marginalize: bool = False
    binarize: float | None = None
    n_categories: Integers | None = None

    def read(self, X: Any) -> tuple[NDArray[Any] | SparseRows, np.dtype[Any]]:
        """Return rows as an IndexedBlock takes them, and the precision of their scores.

        Parameters
        ----------
        X : ndarray or scipy.sparse matrix or array, 2-D, real
            float32 is scored in float32, all else in float64. A sparse matrix of any format: its
            duplicates are summed, and it is not changed.

        Raises
        ------
        ValueError
            That names row and column of the first value that is not of the family.
        """
        single = X.dtype.kind == "f" and X.dtype.itemsize == 4  # in any byte order
        dtype = np.dtype(np.float32 if single else np.float64)
        if scipy.sparse.issparse(X):
            return self._sparse(X), dtype
        if X.dtype.kind not in "biuf":
            X = _numbers(X)
        read = {"bernoulli": self._bits, "poisson": self._counts, "categorical": self._codes}
        return read[self.family](X), dtype

    def uses_in_place(self, X: Any) -> bool:
        """Return whether `read` of a memory map makes no copy of it."""
        if not isinstance(X, np.memmap) or self.binarize is not None:
            return False
        return self.family != "poisson" and X.dtype in (bool, np.uint8, np.int8)

    def check_codes(self, rows: NDArray[Any]) -> None:
        """Raise a ValueError for a code that is not below its column's number of codes."""
        assert self.n_categories is not None
        for first, part in _parts(rows):
            codes = part.astype(np.int64)
            missing = _MISSING_BYTE if rows.dtype == np.uint8 else _MISSING_CODE
            bad = (codes >= self.n_categories) & (codes != missing)
            if bad.any():
                row, column = _first(bad)
                raise ValueError(
                    f"X contains code {codes[row, column]} at row {first + row}, column {column}, "
                    f"whose codes are 0 to {self.n_categories[column] - 1}; encode it as one of "
                    "those, or fit with a larger n_categories"
                )

    @staticmethod
    def sizes_of(codes: NDArray[Any]) -> Integers:
        """Return the number of codes of each column of rows that `read` returned; at least 1."""
        missing = _MISSING_BYTE if codes.dtype == np.uint8 else _MISSING_CODE
        sizes = np.ones(codes.shape[1], dtype=np.int64)
        for _, part in _parts(codes):
            largest = np.where(part == missing, 0, part).max(axis=0)
            sizes = np.maximum(sizes, largest.astype(np.int64) + 1)
        return sizes

    # ---- dense ---------------------------------------------------------------------------------

    def _bits(self, X: NDArray[Any]) -> NDArray[np.uint8]:
        if X.dtype == bool and self.binarize is None:
            return X.view(np.uint8) if X.flags.aligned else X.astype(np.uint8)
        if X.dtype in (np.uint8, np.int8) and self.binarize is None:
            for first, part in _parts(X):
                self._check(part, first)
            return X.view(np.uint8)
        bits = np.empty(X.shape, dtype=np.uint8)
        for first, part in _parts(X):
            out = bits[first : first + len(part)]
            missing = self._missing(part, first)
            if self.binarize is None:
                self._check(part, first)
                np.equal(part, 1, out=out.view(bool))
            else:
                np.greater(part, self.binarize, out=out.view(bool))
            out[missing] = _MISSING_BYTE
        return bits

    def _counts(self, X: NDArray[Any]) -> NDArray[Any]:
        usable = (
            X.dtype in (np.float32, np.float64)
            and X.dtype.isnative
            and X.flags.aligned
            and all(stride % X.itemsize == 0 for stride in X.strides)
        )
        for first, part in _parts(X):
            self._missing(part, first)
            self._check(part, first)
        if usable:
            return X
        single = X.dtype.kind == "f" and X.dtype.itemsize == 4
        return np.array(X, dtype=np.float32 if single else np.float64, order="C")

    def _codes(self, X: NDArray[Any]) -> NDArray[Any]:
        largest = self._largest_codes(X)
        sizes = largest + 1 if self.n_categories is None else self.n_categories
        fits = max(int(sizes.max()), int(largest.max()) + 1) <= _BYTE_CODES
        if X.dtype in (np.dtype(bool), np.dtype(np.uint8), np.dtype(np.int8)) and fits:
            codes = X.view(np.uint8)
        else:
            codes = np.empty(X.shape, dtype=np.uint8 if fits else np.int32)
            for first, part in _parts(X):
                missing = np.isnan(part) if part.dtype.kind == "f" else np.zeros(part.shape, bool)
                out = codes[first : first + len(part)]
                out[...] = np.where(missing, 0, part)
                out[missing] = _MISSING_BYTE if fits else _MISSING_CODE
        if self.n_categories is not None and (largest >= self.n_categories).any():
            self.check_codes(codes)
        return codes

    def _largest_codes(self, X: NDArray[Any]) -> Integers:
        """Return the largest code of each column (-1 where all are missing), all checked."""
        largest = np.full(X.shape[1], -1, dtype=np.int64)
        for first, part in _parts(X):
            missing = self._missing(part, first)
            self._check(part, first)
            seen = part if part.dtype.kind == "f" else part.astype(np.int64)
            codes = np.where(missing, -1, seen).max(axis=0, initial=-1)
            largest = np.maximum(largest, codes.astype(np.int64))
        limit = np.iinfo(np.int32).max if self.n_categories is not None else _MANY_CODES
        if largest.max(initial=-1) >= limit:
            column = int(largest.argmax())
            raise ValueError(
                f"X contains code {largest[column]} in column {column}: codes count from 0 without "
                "gaps; encode the column (sklearn.preprocessing.OrdinalEncoder), or say "
                "n_categories"
            )
        return largest

    def _missing(self, part: NDArray[Any], first: int) -> NDArray[np.bool_]:
        """Return what is missing; raise for what is not finite, and for NaN unless it may be."""
        if part.dtype.kind != "f":
            return np.zeros(part.shape, dtype=bool)
        bad = ~np.isfinite(part)
        if not bad.any():
            return np.asarray(bad)
        missing = np.isnan(part)
        refused = bad & ~missing if self.marginalize else bad
        if refused.any():
            row, column = _first(refused)
            raise _not_finite(part[row, column], first + row, column)
        return np.asarray(missing)

    def _check(self, part: NDArray[Any], first: int) -> None:
        """Raise for a number that is not of the family."""
        bad = self._wrong(part)
        if bad.any():
            row, column = _first(bad)
            raise self._refusal(part[row, column], first + row, column)

    def _wrong(self, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which of the finite numbers are not of the family."""
        if values.dtype == bool:
            return np.zeros(values.shape, dtype=bool)
        if self.family == "bernoulli":
            wrong = (values != 0) & (values != 1)
        else:
            wrong = values < 0
            if values.dtype.kind == "f":
                wrong |= values != np.floor(values)
                if values.dtype.itemsize > 2:  # float16 does not reach as far
                    wrong |= values > _EXACT
        if values.dtype.kind == "f":
            wrong &= ~np.isnan(values)
        return np.asarray(wrong)

    def _refusal(self, value: Any, row: int, column: int) -> ValueError:
        where = f"at row {row}, column {column}"
        if self.family == "bernoulli":
            return ValueError(
                f"X contains {value:g} {where}, where {self.whom} takes 0 and 1; say binarize=... "
                "for a threshold"
            )
        what = "counts" if self.family == "poisson" else "codes"
        if value < 0:
            return ValueError(
                f"Negative values in data passed to {self.whom}: X contains {value:g} {where}; "
                f"{what} are >= 0"
            )
        if value > _EXACT:
            return ValueError(f"X contains {value:g} {where}, above 2**53; rescale the {what}")
        return ValueError(
            f"X contains {value:g} {where}, where {self.whom} takes whole numbers; round or "
            "discretise the data"
        )

    # ---- sparse --------------------------------------------------------------------------------

    def _sparse(self, X: Any) -> SparseRows:
        if self.family == "categorical":
            raise TypeError(
                f"Sparse data was passed to {self.whom}, but dense data is required: what is not "
                "stored has no code; use '.toarray()'"
            )
        if self.binarize is not None and self.binarize < 0:
            raise ValueError(
                f"binarize={self.binarize!r} < 0 would turn what a sparse X does not store into "
                "ones; use a threshold >= 0, or X.toarray()"
            )
        rows = _own_csr(X)
        values, missing = rows.data, np.zeros(rows.data.shape, dtype=bool)
        if values.dtype.kind == "f":
            bad = ~np.isfinite(values)
            missing = np.isnan(values)
            refused = bad & ~missing if self.marginalize else bad
            if refused.any():
                raise _not_finite(*self._entry(rows, refused))
        if self.binarize is not None:
            kept = missing | (values > self.binarize)
            ends = np.concatenate(([0], np.cumsum(kept)))
            # Not in place: the arrays may be those of X.
            rows = scipy.sparse.csr_array(
                (np.where(missing, np.nan, 1.0)[kept], rows.indices[kept], ends[rows.indptr]),
                shape=rows.shape,
            )
            values, missing = rows.data, missing[kept]
        wrong = self._wrong(values)
        if wrong.any():
            raise self._refusal(*self._entry(rows, wrong))
        single = values.dtype == np.float32
        ones = self.family == "bernoulli" and not missing.any()
        return SparseRows(
            np.ascontiguousarray(rows.indptr, dtype=np.int64),
            np.ascontiguousarray(rows.indices, dtype=np.int32),
            None if ones else np.asarray(values, dtype=np.float32 if single else np.float64),
            int(rows.shape[1]),
        )

    @staticmethod
    def _entry(rows: Any, which: NDArray[np.bool_]) -> tuple[Any, int, int]:
        """Return value, row and column of the first of some entries."""
        entry = int(np.argmax(which))
        row = int(np.searchsorted(rows.indptr, entry, side="right")) - 1
        return rows.data[entry], row, int(rows.indices[entry])


def nothing_observed(rows: NDArray[Any] | SparseRows) -> NDArray[np.bool_]:
    """Return which rows, as `RowReader` returns them, are missing altogether."""
    if isinstance(rows, SparseRows):
        n = rows.indptr.size - 1
        if rows.values is None:
            return np.zeros(n, dtype=bool)
        running = np.concatenate(([0], np.cumsum(np.isnan(rows.values))))
        return np.asarray(np.diff(running[rows.indptr]) == rows.n_features)
    if rows.dtype == np.uint8:
        return np.asarray((rows == _MISSING_BYTE).all(axis=1))
    if rows.dtype == np.int32:
        return np.asarray((rows == _MISSING_CODE).all(axis=1))
    return np.asarray(np.isnan(rows).all(axis=1))


def _parts(X: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield stretches of rows, each with the number of its first."""
    size = max(_CHUNK // max(X.shape[1], 1), 1)
    for first in range(0, len(X), size):
        yield first, X[first : first + size]


def _first(bad: NDArray[np.bool_]) -> tuple[int, int]:
    row, column = np.argwhere(bad)[0]
    return int(row), int(column)


def _not_finite(value: Any, row: int, column: int) -> ValueError:
    if np.isnan(value):
        way_out = "drop or impute such rows, or say missing='marginalize'"
        return ValueError(f"X contains NaN at row {row}, column {column}; {way_out}")
    return ValueError(
        f"X contains infinity (inf) at row {row}, column {column}; drop or impute such rows"
    )


def _numbers(X: NDArray[Any]) -> NDArray[np.float64]:
    """Return objects as doubles; None and the missing value of pandas are NaN."""
    absent = np.frompyfunc(lambda value: type(value).__name__ == "NAType", 1, 1)(X).astype(bool)
    return np.where(absent, np.nan, X).astype(np.float64)


def _own_csr(X: Any) -> Any:
    """Return canonical CSR, which may share its arrays with `X`."""
    if hasattr(X, "check_format"):
        X.check_format(full_check=True)  # indices in range, indptr rising
    if X.shape[1] > np.iinfo(np.int32).max:
        raise ValueError(f"X has {X.shape[1]} features; at most 2**31 - 1 are supported")
    rows = scipy.sparse.csr_array(X)
    if rows.data.dtype.kind not in "biuf":
        raise TypeError(f"X must hold real numbers; got {rows.data.dtype}")
    canonical = rows.has_canonical_format and not (rows.data == 0).any()
    if not canonical or not rows.data.dtype.isnative:
        rows = scipy.sparse.csr_array(rows, copy=True)
        rows.data = rows.data.astype(rows.data.dtype.newbyteorder("="))
        rows.sum_duplicates()
        rows.eliminate_zeros()
    return rows
