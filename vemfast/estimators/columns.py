"""Columns by position or by name."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["find_columns", "given_values", "other_columns"]

Columns = NDArray[np.intp]


def find_columns(what: str, columns: Any, estimator: Any) -> Columns:
    """Return the positions of columns of the data that `estimator` was fitted on.

    Parameters
    ----------
    what : str
        The argument that names them, for messages.
    columns : int, str, or iterable of them
        Positions (negative ones count from the end) or feature names.
    estimator : estimator
        Fitted.

    Raises
    ------
    ValueError
        If there is none, a column does not exist, or one stands twice.
    TypeError
        If a column is neither an integer nor a name.
    """
    names = [str(name) for name in getattr(estimator, "feature_names_in_", ())]
    found: list[int] = []
    listed: Iterable[Any] = [columns] if isinstance(columns, (str, Integral)) else columns
    for column in listed:
        position = _position(what, column, estimator.n_features_in_, names)
        if position in found:
            shown = f" ({names[position]!r})" if names else ""
            raise ValueError(f"{what} names column {position}{shown} twice")
        found.append(position)
    if not found:
        raise ValueError(f"{what} names no column; give at least one")
    return np.array(found, dtype=np.intp)


def _position(what: str, column: Any, n_features: int, names: list[str]) -> int:
    if isinstance(column, str):
        if column in names:
            return names.index(column)
        known = ", ".join(map(repr, names)) if names else "none: X had no column names in fit"
        raise ValueError(f"{what}: there is no column {column!r}; the feature names are {known}")
    if isinstance(column, (bool, np.bool_)) or not isinstance(column, Integral):
        raise TypeError(f"{what}: a column is a position or a feature name; got {column!r}")
    position = int(column)
    if not -n_features <= position < n_features:
        raise ValueError(
            f"{what}: there is no column {position}; the mixture has {n_features} features"
        )
    return position % n_features


def other_columns(what: str, columns: Columns, n_features: int) -> Columns:
    """Return the positions that are not in `columns`, in order.

    Raises
    ------
    ValueError
        If none is left.
    """
    rest = np.setdiff1d(np.arange(n_features), columns)
    if rest.size == 0:
        raise ValueError(
            f"{what} names all {n_features} columns, so that nothing is left; leave some out"
        )
    return rest


def given_values(given: Any, estimator: Any) -> tuple[Columns, NDArray[np.float64]]:
    """Return positions and values of what a mapping of columns to numbers gives.

    Raises
    ------
    ValueError
        If a column does not exist or stands twice, or a value is not finite.
    TypeError
        If it is no mapping, such as an array, or a value is no number.
    """
    if not hasattr(given, "keys"):
        raise TypeError(f"given must map columns to values, such as {{0: 1.5}}; got {given!r}")
    values = dict(given)
    columns = find_columns("given", list(values), estimator)
    return columns, np.array([_number(column, value) for column, value in values.items()])


def _number(column: int | str, value: Any) -> float:
    """Return a given value as a float; refuse what is none, or is not finite."""
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"given[{column!r}] must be a number; got {value!r}") from error
    if not np.isfinite(number):
        raise ValueError(f"given[{column!r}] must be finite; got {number}")
    return number
