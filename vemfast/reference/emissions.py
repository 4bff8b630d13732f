"""The families of the mixtures as emissions of a chain: scores of steps, sums, and updates.

A mixture's responsibilities are made of its scores and weights; a chain makes its own out of the
same scores, so everything of the mixtures' twins but weights and labels is used as it is.
"""

# ruff: noqa: D102 (what each method is for stands once, in `Emission`)

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vemfast.data import RowBlock
from vemfast.indexed import IndexedBlock
from vemfast.models.base import Step
from vemfast.models.discrete_config import DiscreteConfig
from vemfast.models.gaussian_config import GaussianConfig
from vemfast.reference.discrete import LEAST_COUNT
from vemfast.reference.discrete_mixture import DiscreteMixture
from vemfast.reference.discrete_mixture import _scores as indexed_scores
from vemfast.reference.gaussian_mixture import GaussianMixture
from vemfast.reference.missing import complete, normals
from vemfast.stats import Params, Stats

__all__ = ["DiscreteEmission", "Emission", "GaussianEmission", "emission_of"]

Array = NDArray[np.float64]
Fields = dict[str, Array]


class Emission(ABC):
    """What a chain asks of a family. Parameters and statistics are those of the whole model."""

    @abstractmethod
    def table(self, params: Params) -> Any:
        """Return the scores of a point, or the expected ones of a posterior."""

    @abstractmethod
    def scores(self, table: Any, rows: Any) -> tuple[Array, Array]:
        """Return scores (n, K) of steps, and their base measures (n,)."""

    @abstractmethod
    def add(self, stats: Stats, table: Any, rows: Any, r: Array, step: Step) -> None:
        """Add the statistics of steps with (weighted) responsibilities r (n, K)."""

    @abstractmethod
    def update(self, params: Params | None, stats: Stats, step: Step) -> Fields:
        """Return the mode, posterior or draw, field by field."""

    @abstractmethod
    def global_term(self, params: Params) -> float:
        """Return the log prior of a point or -KL(q || prior) of a posterior, nats."""

    @abstractmethod
    def natural(self, table: Any, stats: Stats) -> float:
        """Return the inner product of statistics and natural parameters, nats."""

    @abstractmethod
    def first(self, blocks: list[Any], step: Step) -> Fields:
        """Return point parameters that tell the components apart."""


class GaussianEmission(Emission):
    """Gaussians of any covariance type; NaN is integrated out where the configuration says so."""

    def __init__(self, config: GaussianConfig) -> None:
        self.config = config
        self.twin = GaussianMixture(config)
        self.components = self.twin.components

    def table(self, params: Params) -> Any:
        if params.kind == "posterior":
            return self.components.posterior_table(self.twin._posterior_of(params))
        return self.components.point_table(params["means"], self.twin._covariances_of(params))

    def scores(self, table: Any, rows: RowBlock) -> tuple[Array, Array]:
        X = self._centred(rows)
        return self.twin._observed_scores(X, table), np.zeros(len(X))

    def add(self, stats: Stats, table: Any, rows: RowBlock, r: Array, step: Step) -> None:
        X = self._centred(rows)
        if not self.config.marginalize:
            self.twin._add(stats, X, r)
            return
        numbers = np.arange(rows.offset, rows.offset + rows.n)
        K, D = table.means.shape
        for part in complete(X, self.components, table):
            own, m = r[part.rows], part.missing
            values, spread = part.values, np.zeros((K, D, D))
            if step.local_rule == "sampled":
                root = np.linalg.cholesky(part.precision)
                z = normals(step.seed, step.iteration, numbers[part.rows], m)
                values[:, :, m] += np.linalg.solve(
                    root.swapaxes(1, 2), np.broadcast_to(z.T, (K, *z.T.shape))
                ).swapaxes(1, 2)
            else:
                spread[:, m[:, None], m] = np.linalg.inv(part.precision)
            counts = own.sum(axis=0)
            stats["counts"] += counts
            stats["sums"] += np.einsum("nk,knd->kd", own, values)
            moments = np.einsum("nk,kni,knj->kij", own, values, values)
            moments += counts[:, None, None] * spread
            self.twin._add_moments(stats["scatter"], moments)

    def update(self, params: Params | None, stats: Stats, step: Step) -> Fields:
        moments = stats["counts"], stats["sums"], stats["scatter"]
        if step.parameter_rule == "posterior":
            q = self.components.posterior(*moments)
            return {
                "means": q.means,
                "mean_precision": q.precision,
                "degrees_of_freedom": q.freedom,
                "scale": q.scale,
            }
        if step.parameter_rule == "sampled":
            means, covariances = self.components.sample(*moments, step.seed, step.iteration)
        else:
            previous = self.twin._widest() if params is None else params
            known = previous["means"], self.twin._covariances_of(previous)
            means, covariances = self.components.mode(*moments, *known)
        return {"means": means, "covariances": covariances}

    def global_term(self, params: Params) -> float:
        if params.kind == "posterior":
            return -self.components.kl(self.twin._posterior_of(params))
        return self.components.log_prior(params["means"], self.twin._covariances_of(params))

    def natural(self, table: Any, stats: Stats) -> float:
        return self.components.expected_log_density(
            table, stats["counts"], stats["sums"], stats["scatter"]
        )

    def first(self, blocks: list[Any], step: Step) -> Fields:
        start = self.twin.init(blocks, Step("hard", "point", step.seed))
        return {name: start[name] for name in ("means", "covariances")}

    def _centred(self, rows: RowBlock) -> Array:
        return np.asarray(np.subtract(rows.X, self.config.origin, dtype=np.float64))


class DiscreteEmission(Emission):
    """Bits, counts or codes; a missing entry is integrated out."""

    def __init__(self, config: DiscreteConfig) -> None:
        self.config = config
        self.twin = DiscreteMixture(config)
        self.components = self.twin.components
        self.posterior_fields = config.params_layout("posterior").names[1:]

    def _posterior_of(self, params: Params) -> tuple[Array, ...]:
        return tuple(params[name] for name in self.posterior_fields)

    def table(self, params: Params) -> Any:
        if params.kind == "posterior":
            return self.components.posterior_table(self._posterior_of(params))
        return self.components.point_table(params[self.config.table_name])

    def scores(self, table: Any, rows: IndexedBlock) -> tuple[Array, Array]:
        Z = self.components.entries(rows)
        return indexed_scores(Z, table), self.components.base_measure(Z)

    def add(self, stats: Stats, table: Any, rows: IndexedBlock, r: Array, step: Step) -> None:
        self.twin._add(stats, self.components.entries(rows), r)

    def update(self, params: Params | None, stats: Stats, step: Step) -> Fields:
        counts, sums = stats["counts"], stats["sums"]
        absent = stats["absent"] if self.config.has_absent else None
        trials = self.components.trials(counts, absent)
        name = self.config.table_name
        if step.parameter_rule == "point":
            previous = self.twin._uniform() if params is None else params[name]
            mode = self.components.mode(sums, trials, previous)
            return {name: np.where(counts > LEAST_COUNT, mode, previous)}
        q = self.components.posterior(sums, trials)
        if step.parameter_rule == "posterior":
            return dict(zip(self.posterior_fields, q, strict=True))
        return {name: self.components.sample(q, step.seed, step.iteration)}

    def global_term(self, params: Params) -> float:
        if params.kind == "posterior":
            return -self.components.kl(self._posterior_of(params))
        if not self.components.proper:
            return 0.0
        return self.components.log_prior(params[self.config.table_name])

    def natural(self, table: Any, stats: Stats) -> float:
        sums = stats["sums"]
        if self.config.has_absent:
            sums = np.concatenate([sums, stats["absent"]])
        counts, filled = stats["counts"], stats["counts"] > 0
        constants = counts[filled] @ table.constants[filled]
        return float(constants + np.sum(sums[:, filled] * table.table[:, filled]))

    def first(self, blocks: list[Any], step: Step) -> Fields:
        return {self.config.table_name: self.twin._random_table(blocks, step)}


def emission_of(config: GaussianConfig | DiscreteConfig) -> Emission:
    """Return the family that a configuration describes."""
    if isinstance(config, GaussianConfig):
        return GaussianEmission(config)
    return DiscreteEmission(config)
