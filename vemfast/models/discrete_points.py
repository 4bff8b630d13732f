"""Between the parameters of a discrete mixture and the arrays that users see.

Models keep the component last, (n_indexed, K); users see it first, (K, n_features), and for codes
one array (K, n_categories) a column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vemfast.models.discrete_config import (
    LARGEST_PROBABILITY,
    DiscreteConfig,
    DiscretePrior,
)
from vemfast.models.discrete_mixture import DiscreteMixture
from vemfast.stats import Params

__all__ = [
    "as_shown",
    "as_table",
    "attributes",
    "check_table",
    "component_estimates",
    "draw_tables",
    "draws",
    "from_point",
    "from_posterior",
    "many",
    "n_parameters",
    "point",
    "sample",
    "sample_rows",
    "warm_table",
]

Array = NDArray[np.float64]

# A warm start's zeros are raised to this, so that new rows may have what the old ones had not.
_POSSIBLE = 1e-12

_POSTERIORS = {
    "bernoulli": (("a", "alpha_"), ("b", "beta_")),
    "poisson": (("shape", "shape_"), ("rate", "rate_")),
    "categorical": (("concentrations", "concentrations_"),),
}


def as_shown(config: DiscreteConfig, table: Array) -> Any:
    """Return an array (..., n_indexed, K) as users see it: (..., K, D), or one a column."""
    shown = np.ascontiguousarray(np.swapaxes(table, -1, -2))
    if config.family != "categorical":
        return shown
    return [np.ascontiguousarray(c) for c in np.split(shown, config.column_offsets[1:-1], axis=-1)]


def as_table(shown: Any) -> Array:
    """Return what users see, (..., K, D) or a list of (..., K, M), as (..., n_indexed, K)."""
    together = np.concatenate(shown, axis=-1) if isinstance(shown, (list, tuple)) else shown
    return np.ascontiguousarray(np.swapaxes(np.asarray(together, dtype=np.float64), -1, -2))


# ---- starts that the user gives ----------------------------------------------------------------


def check_table(value: Any, config: DiscreteConfig) -> Array | None:
    """Return `probabilities_init` or `rates_init` as (n_indexed, K)."""
    if value is None:
        return None
    name = f"{config.table_name}_init"
    K, D = config.n_components, config.n_features
    if config.family == "categorical":
        return _check_columns(name, value, config)
    table = np.array(value, dtype=np.float64)
    if table.shape != (K, D):
        raise ValueError(f"{name} must have the shape ({K}, {D}); got {table.shape}")
    if not np.isfinite(table).all():
        raise ValueError(f"{name} must be finite")
    if (table < 0).any():
        raise ValueError(f"{name} must be >= 0; got {table.min()} among them")
    if config.family == "bernoulli" and (table > 1).any():
        raise ValueError(f"{name} must be <= 1; got {table.max()} among them")
    return np.ascontiguousarray(table.T)


def _check_columns(name: str, value: Any, config: DiscreteConfig) -> Array:
    K, sizes = config.n_components, config.n_categories
    if len(value) != sizes.size:
        raise ValueError(f"{name} must be one array a column; got {len(value)} for {sizes.size}")
    columns = [np.array(column, dtype=np.float64) for column in value]
    for d, (column, size) in enumerate(zip(columns, sizes, strict=True)):
        if column.shape != (K, size):
            raise ValueError(f"{name}[{d}] must have the shape ({K}, {size}); got {column.shape}")
        if not (np.isfinite(column) & (column >= 0)).all():
            raise ValueError(f"{name}[{d}] must be finite and >= 0")
        off = np.abs(column.sum(axis=1) - 1.0)
        if (off > 1e-6).any():
            k = int(off.argmax())
            raise ValueError(f"{name}[{d}] must sum to 1; row {k} sums to {column[k].sum()}")
    return as_table([column / column.sum(axis=1, keepdims=True) for column in columns])


def warm_table(config: DiscreteConfig, table: Array) -> Array:
    """Return the table of the last fit, where nothing is quite impossible."""
    if config.family == "poisson":
        return np.maximum(table, _POSSIBLE)
    table = np.maximum(table, _POSSIBLE)
    if config.family == "bernoulli":
        return np.minimum(table, 1.0 - _POSSIBLE)
    sums = np.add.reduceat(table, config.column_offsets[:-1], axis=0)
    return np.asarray(table / np.repeat(sums, config.n_categories, axis=0))


# ---- fitted attributes -----------------------------------------------------------------------


def attributes(model: DiscreteMixture, params: Params) -> dict[str, Any]:
    """Return the fitted attributes that describe the parameters."""
    config = model.config
    out: dict[str, Any] = {}
    if config.family == "categorical":
        out["n_categories_"] = config.n_categories
    if params.kind == "point":
        table, out["weights_"] = params[config.table_name], params["weights"]
    else:
        table, out["weights_"] = _posterior_mean(config, params), model.mean_weights(params)
        concentration = params["concentration"]
        sticks = concentration.ndim == 2
        out["weight_concentration_"] = tuple(concentration) if sticks else concentration
        for name, attribute in _POSTERIORS[config.family]:
            out[attribute] = as_shown(config, params[name])
    out[f"{config.table_name}_"] = as_shown(config, table)
    return out


def many(config: DiscreteConfig, kind: str, params: Mapping[str, Array]) -> dict[str, Any]:
    """Return the attributes of the components of many parameters, whose first axis they are."""
    if kind == "point":
        table, out = params[config.table_name], {}
    else:
        table = _posterior_mean(config, params)
        fields = _POSTERIORS[config.family]
        out = {attribute: as_shown(config, params[name]) for name, attribute in fields}
    return {**out, f"{config.table_name}_": as_shown(config, table)}


def _posterior_mean(config: DiscreteConfig, params: Params | Mapping[str, Array]) -> Array:
    if config.family == "bernoulli":
        return np.asarray(params["a"] / (params["a"] + params["b"]))
    if config.family == "poisson":
        return np.asarray(params["shape"] / params["rate"])
    alpha = params["concentrations"]
    sums = np.add.reduceat(alpha, config.column_offsets[:-1], axis=-2)
    return np.asarray(alpha / np.repeat(sums, config.n_categories, axis=-2))


def draws(model: DiscreteMixture, results: Sequence[Any]) -> dict[str, Any]:
    """Return the kept draws of all chains, as the fields of the record of draws."""
    config = model.config
    n_draws = min(len(result.draws) for result in results)  # fewer where chains were interrupted
    chains = [result.draws[:n_draws] for result in results]
    log_joint = np.array([result.draw_objectives[:n_draws] for result in results])
    log_prior = np.array([[model.global_term(draw) for draw in chain] for chain in chains])

    def stacked(name: str) -> Array:
        like = results[0].params[name]
        values = [[draw[name] for draw in chain] for chain in chains]
        return np.array(values, dtype=np.float64).reshape(len(chains), n_draws, *like.shape)

    return {
        "weights": stacked("weights"),
        config.table_name: as_shown(config, stacked(config.table_name)),
        "log_joint": log_joint,
        "log_likelihood": log_joint - log_prior,
    }


# ---- and back ------------------------------------------------------------------------------------


def _bare(
    family: str, n_components: int, n_features: int, sizes: Any, weight_type: str, marginalize: bool
) -> DiscreteMixture:
    """Return a model that can only score: without priors."""
    offsets = np.zeros(0, dtype=np.int64)
    if sizes is not None:
        offsets = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    F = n_features if sizes is None else int(offsets[-1])
    b = np.zeros(0) if family == "categorical" else np.ones(F)
    prior = DiscretePrior(weight_type, 1.0, False, np.ones(F), b)
    return DiscreteMixture(
        DiscreteConfig(family, n_components, n_features, prior, offsets, marginalize)
    )


def point(config: DiscreteConfig, weights: Array, table: Array) -> Params:
    """Return a point."""
    params = Params(config.params_layout("point"), "point")
    params["weights"], params[config.table_name] = weights, table
    return params


def from_point(
    family: str, weights: Array, shown: Any, sizes: Any, marginalize: bool
) -> tuple[DiscreteMixture, Params]:
    """Return a model and a point made from fitted attributes."""
    D = len(shown) if sizes is not None else shown.shape[1]
    model = _bare(family, len(weights), D, sizes, "flat", marginalize)
    return model, point(model.config, weights, as_table(shown))


def from_posterior(
    family: str,
    weight_type: str,
    concentration: Any,
    shown: Sequence[Any],
    sizes: Any,
    marginalize: bool,
) -> tuple[DiscreteMixture, Params]:
    """Return a model and a posterior made from fitted attributes, in the order of its fields."""
    K = np.shape(concentration)[-1]
    D = len(shown[0]) if sizes is not None else shown[0].shape[1]
    model = _bare(family, K, D, sizes, weight_type, marginalize)
    params = Params(model.config.params_layout("posterior"), "posterior")
    params["concentration"] = np.asarray(concentration)
    for (name, _), values in zip(_POSTERIORS[family], shown, strict=True):
        params[name] = as_table(values)
    return model, params


def draw_tables(model: DiscreteMixture, posterior: Any) -> list[Any]:
    """Return the score table of every kept draw."""
    tables = as_table(getattr(posterior, model.config.table_name))
    n_chains, n_draws = posterior.log_joint.shape
    return [
        model.prepare(point(model.config, posterior.weights[c, d], tables[c, d]))
        for c in range(n_chains)
        for d in range(n_draws)
    ]


def n_parameters(shown: Any) -> int:
    """Return the number of free parameters of the components."""
    if isinstance(shown, list):
        return sum(column.shape[0] * (column.shape[1] - 1) for column in shown)
    return int(shown.size)


def component_estimates(family: str, weights: Array, shown: Any) -> Array:
    """Return weight and probabilities or rates of each component, unit-free, one row each."""
    table = as_table(shown).T
    centre = weights @ table
    if family == "poisson":
        variance = centre + weights @ (table - centre) ** 2
    else:
        variance = centre * (1.0 - centre)
    spread = np.sqrt(np.where(variance > 0, variance, 1.0))
    return np.column_stack([weights, (table - centre) / spread])


def sample(
    family: str, weights: Array, shown: Any, n: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw rows and their components."""
    counts = rng.multinomial(n, weights / weights.sum())
    labels = np.repeat(np.arange(len(weights)), counts)
    return sample_rows(family, shown, labels, rng), labels


def sample_rows(
    family: str, shown: Any, labels: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw one row of each of these components."""
    n = labels.size
    if family == "poisson":
        return np.asarray(rng.poisson(shown[labels])).astype(np.int64)
    if family == "bernoulli":
        certain = shown >= LARGEST_PROBABILITY
        p = np.where(certain, 1.0, shown)
        return np.asarray(rng.random((n, p.shape[1])) < p[labels]).astype(np.int64)
    rows = np.empty((n, len(shown)), dtype=np.int64)
    for d, p in enumerate(shown):
        cumulative = np.cumsum(p, axis=1)
        u = rng.random(n) * cumulative[labels, -1]
        rows[:, d] = (cumulative[labels] <= u[:, None]).sum(axis=1)
    return rows
