"""The mixtures of bits, counts and codes, native, behind the model contract: thin.

Everything over the rows and every update happens in the extension; this file names the layouts,
keeps the configuration, and chooses starts. Its plain NumPy twin is
`vemfast.reference.discrete_mixture`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vemfast import _core
from vemfast.indexed import IndexedBlock, SparseRows
from vemfast.models import discrete_vector
from vemfast.models.base import Step
from vemfast.models.discrete_config import DiscreteConfig, Start
from vemfast.models.discrete_starts import as_points, first_table
from vemfast.models.native_mixture import NativeMixture
from vemfast.models.poisson_predictive import PoissonPredictive
from vemfast.stats import Params, Stats
from vemfast.streams import StreamBlock

__all__ = ["DiscreteMixture", "log_base_measure", "native", "native_rows", "size_of_terms"]

Array = NDArray[np.float64]


class DiscreteMixture(NativeMixture[_core.IndexedTable]):
    """Mixture of Bernoulli, Poisson or categorical components on every rung of the ladder.

    Parameters
    ----------
    config : DiscreteConfig
        Family, shape and priors.
    start : Start, default=Start()
        How `init` finds its first parameters.
    """

    config: DiscreteConfig
    start: Start
    _native: _core.DiscreteMixture

    def __init__(self, config: DiscreteConfig, start: Start | None = None) -> None:
        super().__init__(config, Start() if start is None else start, native(config))
        self.unavailable = config.prior.unavailable(config.family)
        self.locations = config.table_name

    def __reduce__(self) -> tuple[Any, ...]:
        return DiscreteMixture, (self.config, self.start)

    # ---- the contract ----------------------------------------------------------------------

    def leaf_rows(self, dtype: Any) -> int:
        """Return the rows of one leaf of the native sum."""
        config = self.config
        is_float = np.dtype(dtype) == np.float32
        return _core.indexed_block_rows(config.n_indexed, config.n_components, is_float)

    def init(self, blocks: Sequence[IndexedBlock | StreamBlock], step: Step) -> Params:
        """Return first parameters as `start` says.

        From a table of first components every rung but mean-field starts as it is, with equal
        weights: it has no zeros yet, where an update on hard labels would make some, and an
        EM that starts with a probability of zero keeps it.
        """
        start = self.start
        self._refuse_freeze_without_start()
        given = start.responsibilities is not None
        if given or (start.table is None and start.init_params == "random"):
            stats = (
                self._given_statistics(blocks, step.n_jobs)
                if given
                else self._statistics(self._any_table(), blocks, "random", step)
            )
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

    def size_of_terms(self, params: Params, stats: Stats) -> float:
        """Return the sum of the absolute terms of the scores, nats; 0 where none cancel."""
        return size_of_terms(self.config, params, stats)

    def to_vector(self, params: Params) -> Array:
        """Return a point as a vector without constraints."""
        return discrete_vector.to_vector(self.config, params)

    def from_vector(self, vector: Array, like: Params) -> Params | None:
        """Return the point that a vector says."""
        return discrete_vector.from_vector(self.config, vector, like)

    def diagnose(self, params: Params, stats: Stats) -> list[str]:
        """Return warnings of empty components."""
        if params.kind != "point":
            return []
        return self._of_empty(params, stats, self.locations)

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
            table, native_rows(block), block.dtype == np.float32, base, output, n_jobs
        )

    # ---- passes over the rows --------------------------------------------------------------

    def _native_e_step(
        self, table: _core.IndexedTable, block: IndexedBlock, rule: str, step: Step
    ) -> Stats:
        buffer = _core.indexed_e_step(
            table,
            native_rows(block),
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

    def _given_step(
        self, table: _core.IndexedTable, block: IndexedBlock, responsibilities: Array, n_jobs: int
    ) -> Stats:
        buffer = _core.indexed_given_step(
            table,
            native_rows(block),
            block.dtype == np.float32,
            block.weights,
            self._base(block, n_jobs),
            block.labels,
            responsibilities,
            n_jobs,
        )
        return Stats(self.layout, buffer)

    def _any_table(self) -> _core.IndexedTable:
        anything = Params(self._layouts["point"], "point")
        anything["weights"] = anything[self.locations] = 1.0
        return self.prepare(anything)

    def _base(self, block: IndexedBlock, n_jobs: int) -> Array | None:
        """Return the log base measure of each row; it is kept with the block."""
        return log_base_measure(self.config, block, n_jobs)

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

    def _log_density(self, table: _core.IndexedTable, block: IndexedBlock, n_jobs: int) -> Array:
        return self.assign(table, block, "log_density", n_jobs)

    def _points(self, block: IndexedBlock) -> Array:
        return as_points(self.config, block)

    def _place(
        self, proposal: Params, empty: NDArray[np.intp], counts: Array, points: Array
    ) -> None:
        """Put empty components halfway between points and the mean of the others."""
        table = proposal[self.locations]
        filled = np.flatnonzero(counts > 0)
        mean = table[:, filled] @ (counts[filled] / counts[filled].sum())
        table[:, empty] = 0.5 * (np.where(np.isnan(points), mean, points) + mean).T


def log_base_measure(
    config: DiscreteConfig, block: IndexedBlock, n_jobs: int
) -> NDArray[np.float64] | None:
    """Return the log base measure of each row, None where it is 0; it is kept with the block."""
    if config.family != "poisson":
        return None
    if block.base is None:
        block.base = _core.indexed_log_base_measure(native_rows(block), block.n_features, n_jobs)
    return block.base


def size_of_terms(config: DiscreteConfig, params: Params, stats: Stats) -> float:
    """Return the sum of |x log rate| and rates that make up the scores of counts, nats.

    The log factorials of the rows take most of it out again. The scores of the other families are
    sums of terms of one sign.
    """
    if config.family != "poisson":
        return 0.0
    rates = params["rates"] if params.kind == "point" else params["shape"] / params["rate"]
    logs = np.log(np.maximum(rates, np.finfo(float).tiny))
    return float((stats["sums"] * np.abs(logs)).sum() + (rates @ stats["counts"]).sum())


def native_rows(block: IndexedBlock) -> Any:
    """Return rows as the extension takes them."""
    rows = block.rows
    if isinstance(rows, SparseRows):
        return rows.indptr, rows.indices, rows.values
    return rows


def native(config: DiscreteConfig) -> _core.DiscreteMixture:
    """Return the native model of a configuration."""
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
