"""A point of a discrete mixture as a vector without constraints, for acceleration.

Square roots of weights, rates and categorical probabilities, and the angle whose sine is the root
of a Bernoulli probability: scales on which a statistic's variance is the same everywhere (Bartlett
1947), and on which zero is a number like others. Squares of any numbers, scaled to add up to one
where they must, are a mixture.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vemfast.models.discrete_config import LARGEST_PROBABILITY, DiscreteConfig
from vemfast.stats import Params

__all__ = ["from_vector", "to_vector"]

Array = NDArray[np.float64]


def to_vector(config: DiscreteConfig, params: Params) -> Array:
    """Return the vector of a point."""
    roots = np.sqrt(params[config.table_name])
    if config.family == "bernoulli":
        roots = np.arcsin(roots)
    return np.concatenate([np.sqrt(params["weights"]), roots.ravel()])


def from_vector(config: DiscreteConfig, vector: Array, like: Params) -> Params | None:
    """Return the point that a vector says; None if a number is out of all proportion.

    A field whose numbers are those of `like` is copied from it: what is held stays, to the bit.
    """
    K = config.n_components
    if not np.isfinite(vector).all():
        return None
    params, same = like.copy(), to_vector(config, like)
    if not np.array_equal(vector[:K], same[:K]):
        params["weights"] = vector[:K] ** 2 / (vector[:K] ** 2).sum()
    if np.array_equal(vector[K:], same[K:]):
        return params
    table = vector[K:].reshape(-1, K)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if config.family == "bernoulli":
            table = np.minimum(np.sin(table) ** 2, LARGEST_PROBABILITY)
        else:
            table = table**2
        if config.family == "categorical":
            sums = np.add.reduceat(table, config.column_offsets[:-1], axis=0)
            table = table / np.repeat(sums, config.n_categories, axis=0)
    params[config.table_name] = table
    return params if np.isfinite(params.buffer).all() else None
