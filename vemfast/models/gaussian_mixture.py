"""The Gaussian mixture, native, behind the model contract: thin.

Everything over the rows and every update happens in the extension; this file names the layouts,
keeps the configuration, and chooses starts. Its plain NumPy twin is
`vemfast.reference.gaussian_mixture`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vemfast import _core
from vemfast.data import RowBlock
from vemfast.models import gaussian_vector
from vemfast.models.base import Step
from vemfast.models.gaussian_config import Array, GaussianConfig, Start
from vemfast.models.gaussian_merges import has_small, merged
from vemfast.models.native_mixture import NativeMixture
from vemfast.models.start_rows import START_ROWS, drawn_rows, some_rows
from vemfast.stats import Params, Stats
from vemfast.streams import StreamBlock

__all__ = ["GaussianMixture", "native"]


class GaussianMixture(NativeMixture[_core.ScoreTable]):
    """Mixture of Gaussians on every rung of the ladder.

    Parameters
    ----------
    config : GaussianConfig
        Shape, priors and data scale.
    start : Start, default=Start()
        How `init` finds its first parameters.
    merges : bool, default=False
        Whether a posterior's components of a handful of rows may be merged into others.
    """

    config: GaussianConfig
    start: Start
    _native: _core.GaussianMixture
    locations = "means"

    def __init__(
        self, config: GaussianConfig, start: Start | None = None, merges: bool = False
    ) -> None:
        super().__init__(config, Start() if start is None else start, native(config))
        self.merges = merges
        self.unavailable = config.prior.unavailable()

    def __reduce__(self) -> tuple[Any, ...]:
        return GaussianMixture, (self.config, self.start, self.merges)

    # ---- the contract ----------------------------------------------------------------------

    def leaf_rows(self, dtype: Any) -> int:
        """Return the rows of one leaf of the native sum."""
        config = self.config
        is_float = np.dtype(dtype) == np.float32
        return _core.mixture_block_rows(config.n_features, config.n_components, is_float)

    def iterate(
        self,
        params: Params,
        stats: Stats | None,
        blocks: Sequence[RowBlock | StreamBlock],
        step: Step,
    ) -> tuple[Params, Stats, float] | None:
        """Return the next parameters, their statistics and objective; None to be asked in steps."""
        block = blocks[0]
        if len(blocks) != 1 or not isinstance(block, RowBlock):
            return None
        if block.labels is not None or self.config.freeze:  # the steps heed these
            return None
        if (
            self.merges
            and stats is not None
            and step.parameter_rule == "posterior"
            and has_small(stats["counts"], self.config.n_features)
        ):
            return None  # there may be something to propose
        found = self._native.iterate(
            params.kind,
            params.buffer,
            None if stats is None else stats.buffer,
            block.X,
            block.weights,
            block.offset,
            step.local_rule,
            step.parameter_rule,
            step.seed,
            step.iteration,
            step.n_jobs,
        )
        if found is None:
            return None
        buffer, statistics, objective = found
        if stats is not None:
            kind = "posterior" if step.parameter_rule == "posterior" else "point"
            params = Params.adopted(self._layouts[kind], kind, buffer)
        return params, Stats.adopted(self.layout, statistics), objective

    def init(self, blocks: Sequence[RowBlock | StreamBlock], step: Step) -> Params:
        """Return first parameters as `start` says."""
        self._refuse_freeze_without_start()
        if self.start.is_complete:
            return self.adopt(self.start.fill(None, self.config), blocks, step)
        point = Step("hard", "point", step.seed, 0, step.n_jobs)
        if not self.start.gives_anything:
            return self.update(None, self._start_statistics(blocks, step), step)
        first = self.update(None, self._start_statistics(blocks, step), point)
        return self.adopt(self.start.fill(first, self.config), blocks, step)

    def propose(
        self, params: Params, stats: Stats, blocks: Sequence[RowBlock | StreamBlock], step: Step
    ) -> Params | None:
        """Re-seed components without rows at the rows that the mixture explains worst.

        Of a posterior, where `merges` says so: merge those of a handful of rows into others.
        """
        if params.kind == "posterior":
            few = self.merges and has_small(stats["counts"], self.config.n_features)
            return merged(self, params, stats, step) if few else None
        return super().propose(params, stats, blocks, step)

    def to_vector(self, params: Params) -> NDArray[np.float64] | None:
        """Return a point as a vector without constraints; None if a weight is 0."""
        return gaussian_vector.to_vector(self.config, params)

    def from_vector(self, vector: NDArray[np.float64], like: Params) -> Params | None:
        """Return the point that a vector says, held in the support of the prior."""
        return gaussian_vector.from_vector(self.config, vector, like)

    def diagnose(self, params: Params, stats: Stats) -> list[str]:
        """Return warnings of empty components and of covariances at the edge of their support."""
        if params.kind != "point":
            return []
        messages = self._of_empty(params, stats, "mean and covariance")
        at_edge = [] if "covariances" in self.config.freeze else self._native.at_edge(params.buffer)
        for c in at_edge:
            if stats["counts"][c] <= 0 and not self.config.is_shared:
                continue
            what = "the shared covariance" if self.config.is_shared else f"component {c}"
            messages.append(
                f"{what}: covariance is held at the edge of its support "
                f"(reg_covar={self.config.reg_covar:g} of the data's variance); the rows are "
                "degenerate there: use fewer components, a simpler covariance_type or a "
                "covariance_prior"
            )
        return messages

    # ---- after the fit ---------------------------------------------------------------------

    def predictive(self, params: Params) -> _core.ScoreTable:
        """Return the table of the posterior predictive: Student-t (posterior), Gaussian (point)."""
        if params.kind == "posterior":
            return self._native.predictive(params.buffer)
        return self.prepare(params)

    def precision_factors(self, params: Params) -> NDArray[np.float64]:
        """Return F of each covariance of a point, Lambda = F^T F, in the covariances' shape."""
        factors = self._native.precision_factors(params.buffer)
        return factors.reshape(self.config.covariance_shape)

    def impute(self, table: _core.ScoreTable, X: NDArray[Any], n_jobs: int) -> NDArray[np.float64]:
        """Return rows with what is missing replaced by its mean given the rest, over q(z)."""
        out = np.array(X, dtype=np.float64, order="C")
        _core.mixture_impute(table, X, out, n_jobs)
        return out

    @staticmethod
    def assign(table: _core.ScoreTable, X: NDArray[Any], output: str, n_jobs: int) -> NDArray[Any]:
        """Return "labels", "responsibilities", "log_density" or "scores" of rows, by row."""
        return _core.mixture_assign(table, X, output, n_jobs)

    # ---- starts ----------------------------------------------------------------------------

    def _native_e_step(
        self, table: _core.ScoreTable, block: RowBlock, rule: str, step: Step
    ) -> Stats:
        buffer = _core.mixture_e_step(
            table,
            self.config.covariance_type,
            block.X,
            block.weights,
            block.labels,
            block.offset,
            rule,
            step.seed,
            step.iteration,
            step.n_jobs,
        )
        return Stats(self.layout, buffer)

    def _given_step(
        self, table: _core.ScoreTable, block: RowBlock, responsibilities: Array, n_jobs: int
    ) -> Stats:
        buffer = _core.mixture_given_step(
            table,
            self.config.covariance_type,
            block.X,
            block.weights,
            block.labels,
            responsibilities,
            n_jobs,
        )
        return Stats(self.layout, buffer)

    def _any_table(self) -> _core.ScoreTable:
        config = self.config
        zeros = np.zeros((config.n_components, config.n_features))
        # Missing values are yet as likely as the whole column says.
        scale = config.column_scale
        return _core.nearest_table(zeros, scale, config.origin, config.marginalize)

    def _log_density(self, table: _core.ScoreTable, block: RowBlock, n_jobs: int) -> Array:
        return self.assign(table, block.X, "log_density", n_jobs)

    def _points(self, block: RowBlock) -> Array:
        return block.X.astype(np.float64, copy=False)

    def _place(
        self, proposal: Params, empty: NDArray[np.intp], counts: Array, points: Array
    ) -> None:
        proposal["means"][empty] = np.nan_to_num(points - self.config.origin)
        if not self.config.is_shared and "covariances" not in self.config.freeze:
            covariances = proposal["covariances"]
            filled = np.flatnonzero(counts > 0)  # one by one: the order of models/batch_fit.cpp
            mean = sum(counts[k] * covariances[k] for k in filled)
            covariances[empty] = mean / sum(counts[filled].tolist())

    def _start_statistics(self, blocks: Sequence[RowBlock | StreamBlock], step: Step) -> Stats:
        config, start = self.config, self.start
        if start.responsibilities is not None:
            return self._given_statistics(blocks, step.n_jobs)
        rule = "hard"
        if start.means is not None:
            centres = start.means - config.origin
        elif start.init_params == "random":
            centres = np.zeros((config.n_components, config.n_features))
            rule = "random"
        else:
            centres = self._centres(blocks, step)
        table = _core.nearest_table(centres, config.metric, config.origin, config.marginalize)
        return self._statistics(table, blocks, rule, step)

    def _centres(self, blocks: Sequence[RowBlock | StreamBlock], step: Step) -> NDArray[np.float64]:
        """Return centres, relative to the origin, found on some of the rows."""
        config = self.config
        K = config.n_components
        lloyd = 100 if self.start.init_params == "kmeans" else 0
        block = blocks[0]
        drawn = self.start.init_params == "random_from_data"
        plain = not drawn and not config.marginalize and block.labels is None
        if len(blocks) == 1 and isinstance(block, RowBlock) and plain:
            return _core.start_centres(
                block.X, block.weights, config.origin, config.metric, K, step.seed, lloyd
            )
        rows, weights, labels = some_rows(blocks, START_ROWS, step.seed, K, self._points)
        scale = np.sqrt(config.metric)
        points = (rows - config.origin) / scale
        if config.marginalize:  # centres are looked for among rows completed by column means
            np.nan_to_num(points, copy=False)
        if drawn:
            weighted = any(block.weights is not None for block in blocks)
            return drawn_rows(points, weights if weighted else None, labels, K, step.seed) * scale
        centres, _ = _core.kmeans_plusplus(points, weights, K, step.seed, lloyd, labels)
        return centres * scale


def native(config: GaussianConfig) -> _core.GaussianMixture:
    """Return the native model of a configuration."""
    prior = config.prior
    return _core.GaussianMixture(
        n_components=config.n_components,
        n_features=config.n_features,
        covariance_type=config.covariance_type,
        weight_type=prior.weight_type,
        weight_concentration=prior.weight_concentration,
        mean_precision=prior.mean_precision,
        mean=prior.mean,
        covariance_is_proper=prior.covariance_is_proper,
        degrees_of_freedom=prior.degrees_of_freedom,
        scale=prior.scale.ravel(),
        origin=config.origin,
        column_scale=config.column_scale,
        reg_covar=config.reg_covar,
        marginalize=config.marginalize,
        keeps_means="means" in config.freeze,
    )
