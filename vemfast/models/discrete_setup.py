"""From hyperparameters and one look at the data to the configuration of a discrete mixture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vemfast.indexed import IndexedBlock, SparseRows
from vemfast.models.discrete_config import DiscreteConfig, DiscretePrior
from vemfast.models.weight_prior import choose_weight_prior
from vemfast.streams import StreamBlock

__all__ = ["DiscreteHyperparameters", "configure", "count_categories"]

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

_CHUNK = 1 << 20  # numbers looked at together
# Rows' worth of the default prior where estimates follow batches: what the rows so far do not have
# must not be impossible in the next.
_FAINT = 0.01


def count_categories(given: Any, n_features: int) -> Integers | None:
    """Return `n_categories` as one number a column, or None where the data are to say.

    Raises
    ------
    ValueError
        If it is not one positive integer, or one for each column.
    """
    if given is None:
        return None
    sizes = np.asarray(given)
    if sizes.dtype.kind not in "iu" or sizes.ndim > 1:
        raise ValueError(f"n_categories must be an integer, or one a column; got {given!r}")
    if sizes.ndim == 1 and sizes.size != n_features:
        raise ValueError(f"n_categories has {sizes.size} numbers, but X has {n_features} features")
    sizes = np.broadcast_to(sizes, (n_features,)).astype(np.int64)
    if (sizes < 1).any():
        column = int(np.argmin(sizes))
        raise ValueError(f"n_categories must be >= 1; column {column} has {sizes[column]}")
    return sizes


@dataclass(frozen=True)
class DiscreteHyperparameters:
    """What the user may say of the priors; None is the default of the rung.

    On the point rungs (em, variational-em, hard-em) the default is flat, and a given value makes
    the prior proper. On mean-field and gibbs it is proper.

    Attributes
    ----------
    a, b : float, array or (categorical) sequence of arrays
        Of the prior of a probability or a rate.
    names : tuple of str
        What the user calls them.
    """

    equal_weights: bool
    weight_concentration_prior_type: str
    weight_concentration_prior: float | None
    a: Any = None
    b: Any = None
    names: tuple[str, ...] = ()


def configure(
    block: IndexedBlock | StreamBlock,
    family: str,
    n_components: int,
    inference: str,
    parameter_rule: str,
    given: DiscreteHyperparameters,
    n_categories: Integers | None = None,
    marginalize: bool = False,
    by_batches: bool = False,
) -> DiscreteConfig:
    """Return the configuration of a fit.

    Under `by_batches` (the minibatch schedule, `partial_fit`) the defaults of the point rungs are
    not flat but faint: a hundredth of a row.

    Raises
    ------
    ValueError
        If a prior has no mode on a point rung, is improper on the others, or has a wrong shape.
    """
    D = block.n_features
    offsets = np.zeros(0, dtype=np.int64)
    if n_categories is not None:
        offsets = np.concatenate(([0], np.cumsum(n_categories)))
    is_point = parameter_rule == "point"
    weights = choose_weight_prior(
        n_components,
        inference,
        is_point,
        given.equal_weights,
        given.weight_concentration_prior_type,
        given.weight_concentration_prior,
    )
    given_any = given.a is not None or given.b is not None
    faint = is_point and by_batches and not given_any
    proper = not is_point or given_any or faint
    usual = np.full(D, 1.0 + _FAINT if faint else 1.0)
    if family == "categorical":
        assert n_categories is not None
        a, b = _concentrations(given, n_categories, float(usual[0])), np.zeros(0)
    else:
        a = _per_feature(given.names[0], given.a, usual, D)
        if family == "poisson" and proper and given.b is None:
            means = _column_means(block)  # of the prior (faint: the mode)
            size = _FAINT if faint else 1.0
            usual = np.where(means > 0, size / np.where(means > 0, means, 1.0), size)
        b = _per_feature(given.names[1], given.b, usual, D)
    if is_point and proper:
        _check_mode(family, inference, given.names, (a, b))
    prior = DiscretePrior(*weights, proper, a, b)
    return DiscreteConfig(family, n_components, D, prior, offsets, marginalize)


def _check_mode(family: str, inference: str, names: Sequence[str], values: Sequence[Array]) -> None:
    # Of a gamma density only the shape decides whether it has a mode.
    needed = 2 if family == "bernoulli" else 1
    for name, value in list(zip(names, values, strict=False))[:needed]:
        if value.min() < 1:
            raise ValueError(
                f"{name}={value.min():g} < 1 has no mode, so inference={inference!r} does not "
                "take it; use a value >= 1, or inference='mean-field'"
            )


def _per_feature(name: str, given: Any, usual: Array, D: int) -> Array:
    if given is None:
        return usual
    value = np.asarray(given, dtype=np.float64)
    if value.shape not in ((), (D,)):
        raise ValueError(f"{name} must be a number or have the shape ({D},); got {value.shape}")
    if not (np.isfinite(value) & (value > 0)).all():
        raise ValueError(f"{name} must be positive and finite")
    return np.array(np.broadcast_to(value, (D,)))


def _concentrations(given: DiscreteHyperparameters, sizes: Integers, usual: float) -> Array:
    (name,) = given.names
    if given.a is None:
        return np.full(int(sizes.sum()), usual)
    if isinstance(given.a, Real):
        columns = [np.full(size, float(given.a)) for size in sizes]
    else:
        columns = [np.asarray(column, dtype=np.float64) for column in given.a]
        if len(columns) != sizes.size:
            raise ValueError(
                f"{name} must be a number, or one array a column; got {len(columns)} for "
                f"{sizes.size} columns"
            )
    for column, (value, size) in enumerate(zip(columns, sizes, strict=True)):
        if value.shape != (size,):
            raise ValueError(
                f"{name}[{column}] must have the shape ({size},), one number a code; got "
                f"{value.shape}"
            )
        if not (np.isfinite(value) & (value > 0)).all():
            raise ValueError(f"{name} must be positive and finite; column {column} is not")
    return np.concatenate(columns)


def _column_means(block: IndexedBlock | StreamBlock) -> Array:
    """Return the weighted mean of what is observed of each feature; 0 where nothing is."""
    sums, present = np.zeros(block.n_features), np.zeros(block.n_features)
    # The cut depends on the shape alone, so a stream of the same rows has the same means.
    size = int(np.clip(_CHUNK // block.n_features, 64, 4096))
    pieces = (
        part.slice(first, first + size)
        for part in block.parts(size)
        for first in range(0, part.n, size)
    )
    for piece in pieces:
        weights = np.ones(piece.n) if piece.weights is None else piece.weights
        rows = piece.rows
        if isinstance(rows, SparseRows):
            entries = slice(int(rows.indptr[0]), int(rows.indptr[-1]))
            of = rows.indices[entries]
            each = np.repeat(weights, np.diff(rows.indptr))
            values = np.ones(of.size) if rows.values is None else rows.values[entries]
            missing = np.isnan(values)
            np.add.at(sums, of, each * np.where(missing, 0, values))
            np.subtract.at(present, of, each * missing)
            present += weights.sum()
        else:
            missing = np.isnan(rows)
            sums += weights @ np.where(missing, 0, rows)
            present += weights @ ~missing
    return np.where(present > 0, sums / np.where(present > 0, present, 1.0), 0.0)
