"""The mixtures of bits, counts and codes, native, behind the model contract: thin.

Everything over the rows and every update happens in the extension; this file names the layouts,
keeps the configuration, and chooses starts. Its plain NumPy twin is
`vemfast.reference.discrete_mixture`.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vemfast import _core
from vemfast.data import IndexedBlock, SparseRows
from vemfast.models import discrete_vector
from vemfast.models.base import Model, Step
from vemfast.models.clamping import held, refuse_impossible
from vemfast.models.discrete_config import DiscreteConfig, Start
from vemfast.models.discrete_starts import as_points, first_table
from vemfast.models.poisson_predictive import PoissonPredictive
from vemfast.stats import Params, Stats
from vemfast.streams import StreamBlock, sum_parts

__all__ = ["DiscreteMixture"]


class DiscreteMixture(Model):
    """Mixture of Bernoulli, Poisson or categorical components on every rung of the ladder.

    Parameters
    ----------
    config : DiscreteConfig
        Family, shape and priors.
    start : Start, default=Start()
        How `init` finds its first parameters.
    """

    threads_within = True
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

    def __init__(self, config: DiscreteConfig, start: Start | None = None) -> None:
        self.config = config
        self.start = Start() if start is None else start
        self.layout = config.stats_layout()
        self.unavailable = config.prior.unavailable(config.family)
        self._layouts = {kind: config.params_layout(kind) for kind in ("point", "posterior")}
        self._core = _native(config)

    def __reduce__(self) -> tuple[Any, ...]:
        return DiscreteMixture, (self.config, self.start)

    # ---- the contract ----------------------------------------------------------------------

    def prepare(self, params: Params) -> _core.IndexedTable:
        """Return the score table of a point, or the expected one of a posterior."""
        return self._core.prepare(params.kind, params.buffer)

    def e_step(self, prepared: _core.IndexedTable, block: IndexedBlock, step: Step) -> Stats:
        """Return the statistics of one block of rows."""
        return self._native_e_step(prepared, block, step.local_rule, step)

    def leaf_rows(self, dtype: Any) -> int:
        """Return the rows of one leaf of the native sum."""
        config = self.config
        is_float = np.dtype(dtype) == np.float32
        return _core.indexed_block_rows(config.n_indexed, config.n_components, is_float)

    def update(self, params: Params | None, stats: Stats, step: Step) -> Params:
        """Return the mode, posterior or draw given the statistics."""
        rule = step.parameter_rule
        kind = "posterior" if rule == "posterior" else "point"
        buffer = self._core.update(
            rule,
            "point" if params is None else params.kind,
            None if params is None else params.buffer,
            stats.buffer,
            step.seed,
            step.iteration,
        )
        updated = Params(self._layouts[kind], kind, buffer)
        return updated if params is None else held(updated, params, self.config.freeze)

    def global_term(self, params: Params) -> float:
        """Return the log prior of a point or -KL(q || prior) of a posterior, nats."""
        return self._core.global_term(params.kind, params.buffer)

    def expected_log_joint(self, params: Params, stats: Stats) -> float:
        """Return the inner product of statistics and natural parameters, nats."""
        return self._core.expected_log_joint(params.kind, params.buffer, stats.buffer)

    def init(self, blocks: Sequence[IndexedBlock | StreamBlock], step: Step) -> Params:
        """Return first parameters as `start` says.

        From a table of first components every rung but mean-field starts as it is, with equal
        weights: it has no zeros yet, where an update on hard labels would make some, and an
        EM that starts with a probability of zero keeps it.
        """
        start = self.start
        for name in self.config.freeze:
            if (start.weights if name == "weights" else start.table) is None:
                raise ValueError(f"{name} cannot be frozen: the start does not give them")
        if start.table is None and start.init_params == "random":
            stats = self._random_statistics(blocks, step)
            if not start.gives_anything:
                return self.update(None, stats, step)
            first = self.update(None, stats, Step("exact", "point", step.seed, 0, step.n_jobs))
        else:
            first = Params(self._layouts["point"], "point")
            first["weights"] = 1.0 / self.config.n_components
            if start.table is None:
                first[self.config.table_name] = first_table(
                    self.config, start.init_params, blocks, step.seed
                )
        first = start.fill(first, self.config)
        if start.table is not None and not start.table.all():
            self._refuse_impossible(first, blocks, step)
        return self.adopt(first, blocks, step)

    def adopt(
        self, params: Params, blocks: Sequence[IndexedBlock | StreamBlock], step: Step
    ) -> Params:
        """Return `params` as the parameter rule wants them, by one E-step where it must."""
        kind = "posterior" if step.parameter_rule == "posterior" else "point"
        refuse_impossible(params, blocks)
        if params.kind == kind:
            return params
        table = self.prepare(params)
        stats = [self._statistics(table, block, "exact", step) for block in blocks]
        return self.update(params, sum(stats[1:], stats[0]), step)

    def propose(
        self, params: Params, stats: Stats, blocks: Sequence[IndexedBlock | StreamBlock], step: Step
    ) -> Params | None:
        """Re-seed components without rows at the rows that the mixture explains worst.

        Halfway between such a row and the mean of the others.
        """
        if params.kind != "point" or step.local_rule == "sampled":
            return None
        counts = stats["counts"]  # not the weights: a prior, or equal weights, keep those above 0
        if min(counts.tolist()) > 0:  # asked every iteration, and quicker than NumPy's on few
            return None
        empty, freeze = np.flatnonzero(counts <= 0), self.config.freeze
        name = self.config.table_name
        if name in freeze or ("weights" in freeze and params["weights"].min() <= 0):
            return None
        proposal = params.copy()
        filled = np.flatnonzero(counts > 0)
        mean = params[name][:, filled] @ (counts[filled] / counts[filled].sum())
        worst = self._worst_rows(self.prepare(params), blocks, empty.size, step.n_jobs)
        if not len(worst):
            return None
        worst = np.where(np.isnan(worst), mean, worst)
        proposal[name][:, empty] = 0.5 * (worst + mean).T
        weights = proposal["weights"]
        if weights.min() <= 0:
            weights[empty] = 1.0 / sum(block.total_weight for block in blocks)
            weights /= weights.sum()
        return proposal

    def to_vector(self, params: Params) -> NDArray[np.float64]:
        """Return a point as a vector without constraints."""
        return discrete_vector.to_vector(self.config, params)

    def from_vector(self, vector: NDArray[np.float64], like: Params) -> Params | None:
        """Return the point that a vector says."""
        return discrete_vector.from_vector(self.config, vector, like)

    def diagnose(self, params: Params, stats: Stats) -> list[str]:
        """Return warnings of empty components."""
        if params.kind != "point":
            return []
        counts = stats["counts"]
        if counts.min() > 0:
            return []
        what = self.config.table_name
        return [
            f"component {k} is empty: it has no rows, so its {what} mean nothing "
            f"(its weight is {params['weights'][k]:.3g}); use fewer components or another start"
            for k in np.flatnonzero(counts <= 0)
        ]

    # ---- after the fit ---------------------------------------------------------------------

    def predictive(self, params: Params) -> _core.IndexedTable | PoissonPredictive:
        """Return the table of the posterior predictive, or of the density at a point.

        A feature of a row is a single trial, so that of bits and codes is the density at the
        expected probabilities; that of counts is a product of negative binomials.
        """
        if params.kind == "point":
            return self.prepare(params)
        weights = self.mean_weights(params)
        q = [params[name] for name in params.layout.names[1:]]
        if self.config.family == "poisson":
            return PoissonPredictive(weights, *q)
        point = Params(self._layouts["point"], "point")
        point["weights"] = weights
        if self.config.family == "bernoulli":
            point["probabilities"] = q[0] / (q[0] + q[1])
        else:
            sums = np.add.reduceat(q[0], self.config.column_offsets[:-1], axis=0)
            point["probabilities"] = q[0] / np.repeat(sums, self.config.n_categories, axis=0)
        return self.prepare(point)

    def mean_weights(self, params: Params) -> NDArray[np.float64]:
        """Return the expected weights of a posterior, or the weights of a point."""
        if params.kind == "point":
            return np.array(params["weights"])
        return self._core.mean_weights(params.buffer)

    def assign(
        self,
        table: _core.IndexedTable | PoissonPredictive,
        block: IndexedBlock,
        output: str,
        n_jobs: int,
    ) -> NDArray[Any]:
        """Return "labels", "responsibilities", "log_density" or "scores" of rows, by row.

        Scores are without the base measure of the rows; log densities are with it.
        """
        if isinstance(table, PoissonPredictive):
            if output != "log_density":
                raise ValueError(f"a posterior predictive has no {output!r}, only 'log_density'")
            return table.log_density(block)
        base = self._base(block, n_jobs) if output == "log_density" else None
        return _core.indexed_assign(
            table, _data(block), block.dtype == np.float32, base, output, n_jobs
        )

    # ---- passes over the rows --------------------------------------------------------------

    def _statistics(
        self, table: _core.IndexedTable, block: IndexedBlock | StreamBlock, rule: str, step: Step
    ) -> Stats:
        return sum_parts(
            lambda part: self._native_e_step(table, part, rule, step),
            block,
            self.leaf_rows(block.dtype),
        )

    def _native_e_step(
        self, table: _core.IndexedTable, block: IndexedBlock, rule: str, step: Step
    ) -> Stats:
        buffer = _core.indexed_e_step(
            table,
            _data(block),
            block.dtype == np.float32,
            block.weights,
            self._base(block, step.n_jobs),
            block.labels,
            block.offset,
            rule,
            step.seed,
            step.iteration,
            step.n_jobs,
        )
        return Stats(self.layout, buffer)

    def _random_statistics(self, blocks: Sequence[IndexedBlock | StreamBlock], step: Step) -> Stats:
        anything = Params(self._layouts["point"], "point")
        anything["weights"] = anything[self.config.table_name] = 1.0
        table = self.prepare(anything)  # the rule does not look at it
        stats = [self._statistics(table, block, "random", step) for block in blocks]
        return sum(stats[1:], stats[0])

    def _base(self, block: IndexedBlock, n_jobs: int) -> NDArray[np.float64] | None:
        """Return the log base measure of each row; it is kept with the block."""
        if self.config.family != "poisson":
            return None
        if block.base is None:
            block.base = _core.indexed_log_base_measure(_data(block), block.n_features, n_jobs)
        return block.base

    def _refuse_impossible(
        self, point: Params, blocks: Sequence[IndexedBlock | StreamBlock], step: Step
    ) -> None:
        """Raise a ValueError for a row of positive weight that a given start rules out."""
        table = self.prepare(point)
        for block in blocks:
            for part in block.parts():
                bad = self.assign(table, part, "log_density", step.n_jobs) == -np.inf
                if part.weights is not None:
                    bad &= part.weights > 0
                if bad.any():
                    name = f"{self.config.table_name}_init"
                    raise ValueError(
                        f"{name} rules out row {part.offset + int(np.argmax(bad))} of X: it has a "
                        "zero for it in every component; use a small positive number"
                    )

    def _worst_rows(
        self,
        table: _core.IndexedTable,
        blocks: Sequence[IndexedBlock | StreamBlock],
        count: int,
        n_jobs: int,
    ) -> NDArray[np.float64]:
        """Return as points the `count` rows of the lowest log density.

        Rows of weight 0 and of known label are left out; empty where there are no others.
        """
        candidates: list[tuple[float, NDArray[np.float64]]] = []
        for block in blocks:
            for part in block.parts():
                density = self.assign(table, part, "log_density", n_jobs)
                if part.weights is not None:
                    density[part.weights <= 0] = np.inf
                if part.labels is not None:
                    density[part.labels >= 0] = np.inf
                lowest = np.argsort(density, kind="stable")[:count]
                points = as_points(self.config, part.take(lowest))
                candidates += zip(density[lowest].tolist(), points, strict=True)
        candidates = sorted(candidates, key=lambda candidate: candidate[0])[:count]
        candidates = [candidate for candidate in candidates if candidate[0] < np.inf]
        candidates += candidates[-1:] * (count - len(candidates))
        return np.array([point for _, point in candidates])


def _data(block: IndexedBlock) -> Any:
    rows = block.rows
    if isinstance(rows, SparseRows):
        return rows.indptr, rows.indices, rows.values
    return rows


def _native(config: DiscreteConfig) -> _core.DiscreteMixture:
    prior = config.prior
    return _core.DiscreteMixture(
        family=config.family,
        n_components=config.n_components,
        n_features=config.n_features,
        n_indexed=config.n_indexed,
        column_offsets=config.column_offsets,
        weight_type=prior.weight_type,
        weight_concentration=prior.weight_concentration,
        prior_proper=prior.is_proper,
        prior_a=prior.a,
        prior_b=prior.b,
        marginalize=config.marginalize,
    )
