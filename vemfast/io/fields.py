"""Fields of a model file: what a fitted attribute must be, and the check of a file's values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vemfast.errors import ModelFileError

__all__ = [
    "Field",
    "Fields",
    "Rule",
    "above",
    "at_least",
    "check_fields",
    "finite",
    "not_negative",
    "one_of",
    "positive",
    "positive_definite",
    "probabilities",
    "sizes",
    "stochastic",
    "symmetric",
    "upper_factor",
]

Array = NDArray[Any]
Rule = Callable[[str, Any], None]


@dataclass(frozen=True, slots=True)
class Field:
    """One fitted attribute.

    Attributes
    ----------
    kind : {"array", "integers", "list", "pair", "float", "int", "bool", "str", "names"}
        The first four are float64 tensors (numbers that are integers, a list of numbers, a pair of
        arrays); the others stand in the JSON document.
    shape : tuple of int or str
        Of a tensor; number of names. A word is a length that is free where it comes first, and the
        same from there on; it is at least 1 unless a star ends the word.
    rule : callable
        Raises ModelFileError for a value that cannot be.
    group : str
        Fields of one group are there all or none; of the group "", all.
    """

    kind: str
    shape: tuple[int | str, ...] = ()
    rule: Rule | None = None
    group: str = ""

    @property
    def is_tensor(self) -> bool:
        """Whether the value is a tensor, not JSON."""
        return self.kind in ("array", "integers", "list", "pair")


Fields = Mapping[str, Field]


# ---- rules ----------------------------------------------------------------------------------


def finite(name: str, value: Any) -> None:
    """Refuse what is not finite."""
    if not np.isfinite(value).all():
        raise ModelFileError(f"{name}: not finite")


def positive(name: str, value: Any) -> None:
    """Refuse what is not above zero."""
    finite(name, value)
    if not (np.asarray(value) > 0).all():
        raise ModelFileError(f"{name}: not positive")


def stochastic(name: str, value: Array) -> None:
    """Refuse rows that are no probabilities, or do not sum to 1."""
    finite(name, value)
    if (value < 0).any() or (value > 1 + 1e-6).any():
        raise ModelFileError(f"{name}: not between 0 and 1")
    sums = value.sum(axis=-1)
    if (np.abs(sums - 1.0) > 1e-6).any():
        worst = sums.flat[int(np.argmax(np.abs(sums - 1.0)))]
        raise ModelFileError(f"{name}: sums to {worst}, not 1")


def symmetric(name: str, value: Array) -> None:
    """Refuse matrices that are not symmetric, or have a diagonal that is not positive."""
    positive(f"{name}: diagonal", np.diagonal(value, axis1=-2, axis2=-1))
    unit = np.sqrt(np.diagonal(value, axis1=-2, axis2=-1))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        skew = np.abs(value - value.swapaxes(-1, -2)) / unit[..., :, None] / unit[..., None, :]
    if not (skew <= 1e-6).all():  # also false for what is not finite
        raise ModelFileError(f"{name}: not symmetric")


def positive_definite(name: str, value: Array) -> None:
    """Refuse matrices that are not positive definite."""
    symmetric(name, value)
    try:
        np.linalg.cholesky(value)
    except np.linalg.LinAlgError as error:
        raise ModelFileError(f"{name}: not positive definite") from error


def upper_factor(name: str, value: Array) -> None:
    """Refuse what is no upper triangular factor."""
    finite(name, value)
    positive(f"{name}: diagonal", np.diagonal(value, axis1=-2, axis2=-1))
    if np.tril(value, -1).any():
        raise ModelFileError(f"{name}: not upper triangular")


def not_negative(name: str, value: Any) -> None:
    """Refuse what is below zero."""
    finite(name, value)
    if (value < 0).any():
        raise ModelFileError(f"{name}: negative")


def probabilities(name: str, value: Any) -> None:
    """Refuse what is not from 0 to 1."""
    not_negative(name, value)
    if (value > 1).any():
        raise ModelFileError(f"{name}: above 1")


def sizes(name: str, value: Any) -> None:
    """Refuse what are no numbers of symbols."""
    positive(name, value)
    if (value != np.floor(value)).any() or (value > 2**31).any():
        raise ModelFileError(f"{name}: not numbers of codes")


def above(least: float) -> Rule:
    """Return the rule that a number is above `least`."""

    def rule(name: str, value: Any) -> None:
        finite(name, value)
        if not (np.asarray(value) > least).all():
            raise ModelFileError(f"{name}: not above {least}")

    return rule


def at_least(least: int) -> Rule:
    """Return the rule that a number is at least `least`."""

    def rule(name: str, value: Any) -> None:
        if value < least:
            raise ModelFileError(f"{name}: {value} is less than {least}")

    return rule


def one_of(*values: str) -> Rule:
    """Return the rule that a word is one of these."""

    def rule(name: str, value: Any) -> None:
        if value not in values:
            raise ModelFileError(f"{name}: {value!r} is none of {', '.join(values)}")

    return rule


# ---- checking -------------------------------------------------------------------------------

_JSON_TYPES: dict[str, type[Any]] = {"float": float, "int": int, "bool": bool, "str": str}


def check_fields(fields: Fields, values: Mapping[str, Any]) -> None:
    """Raise a ModelFileError, which names the field, unless all values can be.

    Parameters
    ----------
    fields : mapping of str to Field
    values : mapping of str to object
        Tensors as arrays, names as a list of str.
    """
    groups = {fields[name].group for name in values}
    lengths: dict[str, int] = {}
    for name, wanted in fields.items():
        if name in values:
            _check_type(name, wanted, values[name], lengths)
            if wanted.rule is not None:
                wanted.rule(name, values[name])
        elif not wanted.group or wanted.group in groups:
            raise ModelFileError(f"{name}: missing")


def _check_type(name: str, wanted: Field, value: Any, lengths: dict[str, int]) -> None:
    if wanted.is_tensor:
        if value.dtype != np.float64:
            raise ModelFileError(f"{name}: holds {value.dtype}, not float64")
        _check_shape(name, wanted, value.shape, lengths)
    elif wanted.kind == "names":
        if not isinstance(value, list) or not all(type(item) is str for item in value):
            raise ModelFileError(f"{name}: not a list of names")
        _check_shape(name, wanted, (len(value),), lengths)
    else:
        kind = _JSON_TYPES[wanted.kind]
        if type(value) is not kind:
            raise ModelFileError(f"{name}: {value!r} is not a {kind.__name__}")
        if kind is float and not isfinite(value):
            raise ModelFileError(f"{name}: not finite")


def _check_shape(name: str, wanted: Field, shape: tuple[int, ...], lengths: dict[str, int]) -> None:
    matches = len(shape) == len(wanted.shape)
    for want, length in zip(wanted.shape, shape, strict=False):
        if isinstance(want, str):
            want = lengths.setdefault(want, length if want.endswith("*") else max(length, 1))
        matches = matches and want == length
    if not matches:
        expected = ", ".join(str(lengths.get(str(want), want)) for want in wanted.shape)
        raise ModelFileError(f"{name}: shape {shape}, expected ({expected})")
