"""What the native mixtures share: the model contract over flat buffers, starts and re-seeding.

A subclass says how its rows reach the kernels, and where a start looks for first components.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vemfast.models.base import Step
from vemfast.models.clamping import refuse_impossible
from vemfast.models.native_model import NativeModel, Table
from vemfast.stats import Params, Stats
from vemfast.streams import StreamBlock, sum_parts

__all__ = ["NativeMixture"]

Array = NDArray[np.float64]


class NativeMixture(NativeModel[Table]):
    """Base of the native mixtures.

    A subclass implements `leaf_rows`, `_native_e_step`, `_given_step`, `_any_table`,
    `_log_density`, `_points` and `_place`, and sets the attributes.

    Attributes
    ----------
    config : GaussianConfig or DiscreteConfig
    start : Start
        Of the same module.
    locations : str
        The field of a point that says where components are: what `propose` changes first.
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

    locations: str

    # ---- what a subclass says ----------------------------------------------------------------

    def _native_e_step(self, table: Table, block: Any, rule: str, step: Step) -> Stats:
        """Return the statistics of rows in memory under a local rule."""
        raise NotImplementedError

    def _given_step(self, table: Table, block: Any, responsibilities: Array, n_jobs: int) -> Stats:
        """Return the statistics of rows in memory under responsibilities that are given."""
        raise NotImplementedError

    def _any_table(self) -> Table:
        """Return a score table for rules that do not ask how good the components are."""
        raise NotImplementedError

    def _log_density(self, table: Table, block: Any, n_jobs: int) -> Array:
        """Return the log density of rows in memory, nats."""
        raise NotImplementedError

    def _points(self, block: Any) -> Array:
        """Return rows as points among which components lie; NaN where missing."""
        raise NotImplementedError

    def _place(
        self, proposal: Params, empty: NDArray[np.intp], counts: Array, points: Array
    ) -> None:
        """Put empty components at points, one each."""
        raise NotImplementedError

    # ---- the contract ------------------------------------------------------------------------

    def e_step(self, prepared: Table, block: Any, step: Step) -> Stats:
        """Return the statistics of one block of rows."""
        return self._native_e_step(prepared, block, step.local_rule, step)

    def adopt(self, params: Params, blocks: Sequence[Any], step: Step) -> Params:
        """Return `params` as the parameter rule wants them, by one E-step where it must."""
        kind = "posterior" if step.parameter_rule == "posterior" else "point"
        refuse_impossible(params, blocks)
        if params.kind == kind:
            return params
        return self.update(
            params, self._statistics(self.prepare(params), blocks, "exact", step), step
        )

    def propose(
        self, params: Params, stats: Stats, blocks: Sequence[Any], step: Step
    ) -> Params | None:
        """Re-seed components of a point without rows at the rows that it explains worst."""
        if params.kind != "point" or step.local_rule == "sampled":
            return None
        counts = stats["counts"]  # not the weights: a prior, or equal weights, keep those above 0
        if min(counts.tolist()) > 0:  # asked every iteration, and quicker than NumPy's on few
            return None
        empty, freeze = np.flatnonzero(counts <= 0), self.config.freeze
        if self.locations in freeze or ("weights" in freeze and params["weights"].min() <= 0):
            return None
        worst = self._worst_rows(self.prepare(params), blocks, empty.size, step.n_jobs)
        if not len(worst):
            return None
        proposal = params.copy()
        self._place(proposal, empty, counts, worst)
        weights = proposal["weights"]
        if weights.min() <= 0:
            weights[empty] = 1.0 / sum(block.total_weight for block in blocks)
            weights /= sum(weights.tolist())
        return proposal

    def mean_weights(self, params: Params) -> Array:
        """Return the expected weights of a posterior, or the weights of a point."""
        if params.kind == "point":
            return np.array(params["weights"])
        return np.asarray(self._native.mean_weights(params.buffer))

    # ---- for subclasses ----------------------------------------------------------------------

    def _refuse_freeze_without_start(self) -> None:
        """Raise a ValueError where the start does not give what is to stay."""
        for name in self.config.freeze:
            if not self.start.gives(name):
                raise ValueError(f"{name} cannot be frozen: the start does not give them")

    def _of_empty(self, params: Params, stats: Stats, what: str) -> list[str]:
        """Return a warning of each component of a point that has no rows; `what` means nothing."""
        counts = stats["counts"]
        empty = [] if counts.min() > 0 else np.flatnonzero(counts <= 0).tolist()
        return [
            f"component {k} is empty: it has no rows, so its {what} mean nothing "
            f"(its weight is {params['weights'][k]:.3g}); use fewer components or another start"
            for k in empty
        ]

    def _statistics(self, table: Table, blocks: Sequence[Any], rule: str, step: Step) -> Stats:
        """Return the statistics of all rows under a local rule."""
        return self._sum(lambda part: self._native_e_step(table, part, rule, step), blocks)

    def _given_statistics(self, blocks: Sequence[Any], n_jobs: int) -> Stats:
        """Return the statistics under the responsibilities that the start gives."""
        table, given = self._any_table(), self.start.responsibilities

        def statistics(part: Any) -> Stats:
            own = given[part.offset : part.offset + part.n]
            return self._given_step(table, part, own, n_jobs)

        return self._sum(statistics, blocks)

    def _sum(self, statistics: Callable[[Any], Stats], blocks: Sequence[Any]) -> Stats:
        stats = [sum_parts(statistics, block, self.leaf_rows(block.dtype)) for block in blocks]
        return sum(stats[1:], stats[0])

    def _worst_rows(
        self, table: Table, blocks: Sequence[Any | StreamBlock], count: int, n_jobs: int
    ) -> Array:
        """Return as points the `count` rows of the lowest log density.

        Rows of weight 0 and of known label are left out; empty where there are no others.
        """
        candidates: list[tuple[float, Array]] = []
        for block in blocks:
            for part in block.parts():
                density = self._log_density(table, part, n_jobs)
                if part.weights is not None:
                    density[part.weights <= 0] = np.inf
                if part.labels is not None:
                    density[part.labels >= 0] = np.inf
                lowest = np.argsort(density, kind="stable")[:count]
                points = self._points(part.take(lowest))
                candidates += zip(density[lowest].tolist(), points, strict=True)
        candidates = sorted(candidates, key=lambda candidate: candidate[0])[:count]
        candidates = [candidate for candidate in candidates if candidate[0] < np.inf]
        candidates += candidates[-1:] * (count - len(candidates))
        return np.array([point for _, point in candidates])
