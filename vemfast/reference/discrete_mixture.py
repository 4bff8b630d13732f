"""The mixtures of bits, counts and codes in NumPy, on every rung: twins of the native models.

One class for the three families, which `bernoulli`, `poisson` and `categorical` describe. It reads
as docs/formulas/discrete_mixtures.md does, and is what the kernels are tested against. It is also a
fair baseline: rows go through in chunks that stay in cache, by (sparse) matrix products.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vemfast.indexed import IndexedBlock
from vemfast.models import discrete_vector
from vemfast.models.base import Model, Step
from vemfast.models.clamping import held
from vemfast.models.discrete_config import DiscreteConfig
from vemfast.reference.bernoulli import Bernoulli
from vemfast.reference.categorical import Categorical
from vemfast.reference.discrete import IMPOSSIBLE, LEAST_COUNT, Discrete, IndexedTable
from vemfast.reference.labels import clamped, exact, hard, labels_of, sampled
from vemfast.reference.poisson import Poisson
from vemfast.reference.random import (
    PARAMETER_STREAM,
    ROW_STREAM,
    START_STREAM,
    Stream,
    uniform,
)
from vemfast.reference.weights import Weights
from vemfast.stats import Params, Stats

__all__ = ["DiscreteMixture"]

Array = NDArray[np.float64]

_CHUNK = 1 << 19  # numbers that the E-step works on at a time: what a cache holds
_FAMILIES: dict[str, type[Discrete]] = {
    "bernoulli": Bernoulli,
    "poisson": Poisson,
    "categorical": Categorical,
}


class DiscreteMixture(Model):
    """Mixture of one of the discrete families.

    Parameters
    ----------
    config : DiscreteConfig
        Shape and priors.
    table : array-like of shape (n_indexed, n_components), default=None
        Probabilities or rates by which `init` labels the rows. None: halfway between rows of the
        data, drawn at random, and the mean of all rows.
    """

    takes_labels = True
    local_rules = MappingProxyType(
        {
            "gibbs": "sampled",
            "mean-field": "exact",
            "em": "exact",
            "variational-em": "exact",  # one label a row: the factorised posterior is the exact one
            "hard-em": "hard",
        }
    )

    def __init__(self, config: DiscreteConfig, table: ArrayLike | None = None) -> None:
        self.config = config
        self.table = None if table is None else np.asarray(table, dtype=np.float64)
        self.layout = config.stats_layout()
        self.unavailable = config.prior.unavailable(config.family)
        self._layouts = {kind: config.params_layout(kind) for kind in ("point", "posterior")}
        prior = config.prior
        self.weights = Weights(prior.weight_type, prior.weight_concentration, config.n_components)
        self.components = _FAMILIES[config.family](config)

    # ---- scores and the E-step ---------------------------------------------------------------

    def prepare(self, params: Params) -> IndexedTable:
        """Return the scores of a point, or the expected ones of a posterior, log weights included.

        A component of weight 0 scores -inf.
        """
        if params.kind == "posterior":
            table = self.components.posterior_table(self._posterior_of(params))
            log_weights = self.weights.expected_log(params["concentration"])
        else:
            table = self.components.point_table(params[self.config.table_name])
            with np.errstate(divide="ignore"):
                log_weights = np.log(params["weights"])
        return IndexedTable(table.constants + log_weights, table.table)

    def e_step(self, prepared: IndexedTable, block: IndexedBlock, step: Step) -> Stats:
        """Return the statistics of one block of rows."""
        stats = Stats(self.layout)
        for Z, w, rows in self._chunks(block):
            scores = clamped(_scores(Z, prepared), labels_of(block, rows))
            if step.local_rule == "sampled":
                u = uniform(step.seed, step.iteration, rows, ROW_STREAM)
                bound, entropy, r = sampled(scores, u)
            else:
                bound, entropy, r = hard(scores) if step.local_rule == "hard" else exact(scores)
            base = self.components.base_measure(Z)
            self._add(stats, Z, r * w[:, None])
            stats.local_bound += float(w @ (bound + base))
            stats.entropy += float(w @ (entropy + base))
        return stats

    def _add(self, stats: Stats, Z: Any, responsibilities: Array) -> None:
        stats["counts"] += responsibilities.sum(axis=0)
        sums = Z.T @ responsibilities
        stats["sums"] += sums[: self.components.F]
        if self.config.has_absent:
            stats["absent"] += sums[self.components.F :]

    def _chunks(self, block: IndexedBlock) -> Iterator[tuple[Any, Array, NDArray[np.int64]]]:
        """Yield entries, weights and global row numbers; rows of weight 0 are left out."""
        width = self.config.n_features + 2 * self.config.n_components
        size = int(np.clip(_CHUNK // width, 64, 4096))
        for start in range(0, block.n, size):
            piece = block.slice(start, min(start + size, block.n))
            rows = np.arange(piece.offset, piece.offset + piece.n)
            Z = self.components.entries(piece)
            if piece.weights is None:
                yield Z, np.ones(piece.n), rows
            else:
                kept = piece.weights > 0
                yield Z[kept], piece.weights[kept], rows[kept]

    # ---- updates -----------------------------------------------------------------------------

    def update(self, params: Params | None, stats: Stats, step: Step) -> Params:
        """Return the mode, posterior or draw given the statistics.

        `params` None, at a start: a component without data is uniform.
        """
        counts, sums = stats["counts"], stats["sums"]
        absent = stats["absent"] if self.config.has_absent else None
        trials = self.components.trials(counts, absent)
        if step.parameter_rule == "point":
            previous = self._uniform() if params is None else params[self.config.table_name]
            mode = self.components.mode(sums, trials, previous)
            theta = np.where(counts > LEAST_COUNT, mode, previous)
            updated = self._point(self.weights.mode(counts), theta)
            return updated if params is None else held(updated, params, self.config.freeze)
        q = self.components.posterior(sums, trials)
        if step.parameter_rule == "posterior":
            return self._posterior(self.weights.posterior(counts), q)
        weights = self.weights.sample(
            counts, Stream(step.seed, step.iteration, PARAMETER_STREAM, 0)
        )
        return self._point(weights, self.components.sample(q, step.seed, step.iteration))

    def global_term(self, params: Params) -> float:
        """Return the log prior of a point or -KL(q || prior) of a posterior, nats."""
        if params.kind == "posterior":
            q = self._posterior_of(params)
            return -self.weights.kl(params["concentration"]) - self.components.kl(q)
        total = self.weights.log_prior(params["weights"])
        if self.components.proper:
            total += self.components.log_prior(params[self.config.table_name])
        return total

    def expected_log_joint(self, params: Params, stats: Stats) -> float:
        """Return the inner product of statistics and natural parameters, nats."""
        prepared = self.prepare(params)
        sums = stats["sums"]
        if self.config.has_absent:
            sums = np.concatenate([sums, stats["absent"]])
        counts, filled = stats["counts"], stats["counts"] > 0
        return float(
            counts[filled] @ prepared.constants[filled]
            + np.sum(sums[:, filled] * prepared.table[:, filled])
        )

    def to_vector(self, params: Params) -> Array:
        """Return a point as a vector without constraints."""
        return discrete_vector.to_vector(self.config, params)

    def from_vector(self, vector: Array, like: Params) -> Params | None:
        """Return the point that a vector says."""
        return discrete_vector.from_vector(self.config, vector, like)

    # ---- densities ---------------------------------------------------------------------------

    def log_density(self, params: Params, block: IndexedBlock) -> Array:
        """Return the log density of rows, nats: at a point, or the posterior predictive."""
        parts = []
        for Z, _, _ in self._chunks(block.with_weights(None)):
            if params.kind == "point":
                scores = _scores(Z, self.prepare(params))
            else:
                log_weights = np.log(self.weights.mean(params["concentration"]))
                scores = log_weights + self.components.predictive(Z, self._posterior_of(params))
            parts.append(exact(scores)[0] + self.components.base_measure(Z))
        return np.concatenate(parts)

    def responsibilities(self, params: Params, block: IndexedBlock) -> Array:
        """Return the E-step's q(z) of rows, shape (n, n_components)."""
        prepared = self.prepare(params)
        chunks = self._chunks(block.with_weights(None))
        return np.concatenate([exact(_scores(Z, prepared))[2] for Z, _, _ in chunks])

    # ---- starts ------------------------------------------------------------------------------

    def init(self, blocks: Sequence[IndexedBlock], step: Step) -> Params:
        """Return the update after giving each row to the component that explains it best."""
        table = self._random_table(blocks, step) if self.table is None else self.table
        K = self.config.n_components
        prepared = self.prepare(self._point(np.full(K, 1.0 / K), table))
        stats = Stats(self.layout)
        for block in blocks:
            for Z, w, rows in self._chunks(block):
                scores = clamped(_scores(Z, prepared), labels_of(block, rows))
                self._add(stats, Z, hard(scores)[2] * w[:, None])
        return self.update(None, stats, step)

    def from_responsibilities(
        self, block: IndexedBlock, responsibilities: ArrayLike, step: Step
    ) -> Params:
        """Return the update given q(z) of the rows of one block; labels are a one-hot q(z)."""
        r = np.asarray(responsibilities, dtype=np.float64)
        stats = Stats(self.layout)
        for Z, w, rows in self._chunks(block):
            self._add(stats, Z, r[rows - block.offset] * w[:, None])
        return self.update(None, stats, step)

    def _random_table(self, blocks: Sequence[IndexedBlock], step: Step) -> Array:
        stream = Stream(step.seed, 0, START_STREAM, 0)
        ends = np.cumsum([block.n for block in blocks])
        chosen: list[int] = []
        while len(chosen) < self.config.n_components:
            row = int(stream.uniform() * ends[-1])
            if row not in chosen or len(chosen) >= ends[-1]:
                chosen.append(row)
        one = Step(seed=step.seed)  # the mode under no prior, of one component, of all rows
        everything = Stats(self.layout)
        for block in blocks:
            for Z, w, _ in self._chunks(block):
                share = np.full((len(w), self.config.n_components), 1.0)
                self._add(everything, Z, share * w[:, None])
        mean = self.update(None, everything, one)[self.config.table_name]
        table = 0.5 * mean
        found = np.searchsorted(ends, chosen, side="right")
        for k, (b, row) in enumerate(zip(found, chosen, strict=True)):
            local = row - int(ends[b]) + blocks[b].n
            Z = self.components.entries(blocks[b].slice(local, local + 1))
            dense = Z if isinstance(Z, np.ndarray) else Z.toarray()
            table[:, k] += 0.5 * dense[0, : self.components.F]
        return table

    # ---- parameters and their buffers ----------------------------------------------------------

    def _point(self, weights: Array, theta: Array) -> Params:
        params = Params(self._layouts["point"], "point")
        params["weights"], params[self.config.table_name] = weights, theta
        return params

    def _posterior(self, concentration: Array, q: tuple[Array, ...]) -> Params:
        params = Params(self._layouts["posterior"], "posterior")
        for name, value in zip(params.layout.names, (concentration, *q), strict=True):
            params[name] = value
        return params

    def _posterior_of(self, params: Params) -> tuple[Array, ...]:
        return tuple(params[name] for name in params.layout.names[1:])

    def _uniform(self) -> Array:
        return np.repeat(self.components.nothing()[:, None], self.config.n_components, axis=1)


def _scores(Z: Any, table: IndexedTable) -> Array:
    scores = np.asarray(table.constants + Z @ table.table)
    if scores.min(initial=0.0) < IMPOSSIBLE:  # has the logarithm of a zero in it
        scores[scores < IMPOSSIBLE] = -np.inf
    return scores
