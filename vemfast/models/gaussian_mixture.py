"""The Gaussian mixture, native, behind the model contract: thin.

Everything over the rows and every update happens in the extension; this file names the layouts,
keeps the configuration, and chooses starts. Its plain NumPy twin is
`vemfast.reference.gaussian_mixture`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vemfast import _core
from vemfast.data import RowBlock
from vemfast.models import gaussian_vector
from vemfast.models.base import Model, Step
from vemfast.models.clamping import held, labels_of, refuse_impossible, with_known
from vemfast.models.gaussian_config import Array, GaussianConfig, Start
from vemfast.models.gaussian_merges import has_small, merged
from vemfast.stats import Params, Stats
from vemfast.streams import StreamBlock, sum_parts

__all__ = ["GaussianMixture"]

# Rows on which k-means looks for centres. More rows would not find better ones for the price: the
# fit itself then sees them all.
_START_ROWS = 20_000

# Iteration, first row and stream of the uniforms that choose them: csrc/models/starts.cpp.
_ROW_DRAWS = (1, 0, 2)


class GaussianMixture(Model):
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

    def __init__(
        self, config: GaussianConfig, start: Start | None = None, merges: bool = False
    ) -> None:
        self.config = config
        self.merges = merges
        self.start = Start() if start is None else start
        self.layout = config.stats_layout()
        self.unavailable = config.prior.unavailable()
        self._layouts = {kind: config.params_layout(kind) for kind in ("point", "posterior")}
        self._core = _native(config)

    def __reduce__(self) -> tuple[Any, ...]:
        return GaussianMixture, (self.config, self.start, self.merges)

    # ---- the contract ----------------------------------------------------------------------

    def prepare(self, params: Params) -> _core.ScoreTable:
        """Return the score table of a point, or the expected one of a posterior."""
        return self._core.prepare(params.kind, params.buffer)

    def e_step(self, prepared: _core.ScoreTable, block: RowBlock, step: Step) -> Stats:
        """Return the statistics of one block of rows."""
        return self._native_e_step(prepared, block, step.local_rule, step)

    def leaf_rows(self, dtype: Any) -> int:
        """Return the rows of one leaf of the native sum."""
        config = self.config
        is_float = np.dtype(dtype) == np.float32
        return _core.mixture_block_rows(config.n_features, config.n_components, is_float)

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
        found = self._core.iterate(
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
        for name in self.config.freeze:
            if getattr(self.start, name) is None:
                raise ValueError(f"{name} cannot be frozen: the start does not give them")
        if self.start.is_complete:
            return self.adopt(self.start.fill(None, self.config), blocks, step)
        point = Step("hard", "point", step.seed, 0, step.n_jobs)
        if not self.start.gives_anything:
            return self.update(None, self._start_statistics(blocks, step), step)
        first = self.update(None, self._start_statistics(blocks, step), point)
        return self.adopt(self.start.fill(first, self.config), blocks, step)

    def adopt(self, params: Params, blocks: Sequence[RowBlock | StreamBlock], step: Step) -> Params:
        """Return `params` as the parameter rule wants them, by one E-step where it must."""
        kind = "posterior" if step.parameter_rule == "posterior" else "point"
        refuse_impossible(params, blocks)
        if params.kind == kind:
            return params
        table = self.prepare(params)
        stats = [self._statistics(table, block, "exact", step) for block in blocks]
        return self.update(params, sum(stats[1:], stats[0]), step)

    def propose(
        self, params: Params, stats: Stats, blocks: Sequence[RowBlock | StreamBlock], step: Step
    ) -> Params | None:
        """Re-seed components without rows at the rows that the mixture explains worst.

        Of a posterior, where `merges` says so: merge those of a handful of rows into others.
        """
        if params.kind == "posterior":
            few = self.merges and has_small(stats["counts"], self.config.n_features)
            return merged(self, params, stats, step) if few else None
        if step.local_rule == "sampled":
            return None
        counts = stats["counts"]  # not the weights: a prior, or equal weights, keep those above 0
        if min(counts.tolist()) > 0:  # asked every iteration, and quicker than NumPy's on few
            return None
        empty, freeze = np.flatnonzero(counts <= 0), self.config.freeze
        if "means" in freeze or ("weights" in freeze and params["weights"].min() <= 0):
            return None
        table = self.prepare(params)
        worst = _worst_rows(self, table, blocks, empty.size, step.n_jobs)
        if not len(worst):
            return None
        proposal = params.copy()
        proposal["means"][empty] = np.nan_to_num(worst - self.config.origin)
        weights = proposal["weights"]
        if weights.min() <= 0:
            weights[empty] = 1.0 / sum(block.total_weight for block in blocks)
            weights /= sum(weights.tolist())
        if not self.config.is_shared and "covariances" not in freeze:
            covariances = proposal["covariances"]
            filled = np.flatnonzero(counts > 0)  # one by one: the order of models/batch_fit.cpp
            mean = sum(counts[k] * covariances[k] for k in filled)
            covariances[empty] = mean / sum(counts[filled].tolist())
        return proposal

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
        counts = stats["counts"]
        empty = [] if counts.min() > 0 else [int(k) for k in np.flatnonzero(counts <= 0)]
        messages = [
            f"component {k} is empty: it has no rows, so its mean and covariance mean nothing "
            f"(its weight is {params['weights'][k]:.3g}); use fewer components or another start"
            for k in empty
        ]
        at_edge = [] if "covariances" in self.config.freeze else self._core.at_edge(params.buffer)
        for c in at_edge:
            if c in empty and not self.config.is_shared:
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
            return self._core.predictive(params.buffer)
        return self.prepare(params)

    def mean_weights(self, params: Params) -> NDArray[np.float64]:
        """Return the expected weights of a posterior, or the weights of a point."""
        if params.kind == "point":
            return np.array(params["weights"])
        return self._core.mean_weights(params.buffer)

    def precision_factors(self, params: Params) -> NDArray[np.float64]:
        """Return F of each covariance of a point, Lambda = F^T F, in the covariances' shape."""
        factors = self._core.precision_factors(params.buffer)
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

    def _statistics(
        self, table: _core.ScoreTable, block: RowBlock | StreamBlock, rule: str, step: Step
    ) -> Stats:
        return sum_parts(
            lambda part: self._native_e_step(table, part, rule, step),
            block,
            self.leaf_rows(block.dtype),
        )

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

    def _start_statistics(self, blocks: Sequence[RowBlock | StreamBlock], step: Step) -> Stats:
        config = self.config
        rule = "hard"
        if self.start.responsibilities is not None:
            return self._given_statistics(self.start.responsibilities, blocks, step.n_jobs)
        if self.start.means is not None:
            centres = self.start.means - config.origin
        elif self.start.init_params == "random":
            centres = np.zeros((config.n_components, config.n_features))
            rule = "random"
        else:
            centres = self._centres(blocks, step)
        table = _core.nearest_table(centres, config.metric, config.origin, config.marginalize)
        stats = [self._statistics(table, block, rule, step) for block in blocks]
        return sum(stats[1:], stats[0])

    def _given_statistics(
        self, responsibilities: Array, blocks: Sequence[RowBlock | StreamBlock], n_jobs: int
    ) -> Stats:
        config = self.config
        zeros = np.zeros((config.n_components, config.n_features))
        # Missing values are yet as likely as the whole column says.
        scale = config.column_scale
        table = _core.nearest_table(zeros, scale, config.origin, config.marginalize)

        def statistics(part: RowBlock) -> Stats:
            own = responsibilities[part.offset : part.offset + part.n]
            buffer = _core.mixture_given_step(
                table, config.covariance_type, part.X, part.weights, part.labels, own, n_jobs
            )
            return Stats(self.layout, buffer)

        stats = [sum_parts(statistics, block, self.leaf_rows(block.dtype)) for block in blocks]
        return sum(stats[1:], stats[0])

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
        rows, weights, labels = _some_rows(blocks, _START_ROWS, step.seed, K)
        scale = np.sqrt(config.metric)
        points = (rows - config.origin) / scale
        if config.marginalize:  # centres are looked for among rows completed by column means
            np.nan_to_num(points, copy=False)
        if drawn:
            weighted = any(block.weights is not None for block in blocks)
            chosen = _generator(step.seed, 1).choice(
                len(points),
                K,
                replace=len(points) < K,
                p=weights / weights.sum() if weighted else None,
            )
            centres = points[chosen]
            if labels is not None:  # a known row is a better guess at its own component
                for k in np.unique(labels[labels >= 0]):
                    own = labels == k
                    centres[k] = np.average(points[own], axis=0, weights=weights[own])
            return centres * scale
        centres, _ = _core.kmeans_plusplus(points, weights, K, step.seed, lloyd, labels)
        return centres * scale


def _native(config: GaussianConfig) -> _core.GaussianMixture:
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


def _generator(seed: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=np.array([seed, stream], dtype=np.uint64)))


def _some_rows(
    blocks: Sequence[RowBlock | StreamBlock], limit: int, seed: int, n_components: int
) -> tuple[Array, Array, NDArray[np.int32] | None]:
    """Return some rows of positive weight, their weights and labels.

    About `limit` rows: one at random of each stretch of rows, and of the rows of each known label
    at least that share of them, so that none is lost because it is rare.
    """
    only = blocks[0]
    if len(blocks) == 1 and isinstance(only, RowBlock) and only.weights is None and only.n <= limit:
        return only.X.astype(np.float64, copy=False), np.ones(only.n), only.labels
    present = [None if b.weights is None else np.flatnonzero(b.weights) for b in blocks]
    sizes = [b.n if p is None else p.size for b, p in zip(blocks, present, strict=True)]
    total = sum(sizes)
    chosen = np.arange(min(total, limit))
    if total > limit:
        edges = np.arange(limit + 1) * total // limit
        within = _core.random.uniforms(seed, *_ROW_DRAWS, limit) * np.diff(edges)
        chosen = edges[:-1] + within.astype(np.int64)
    labels = labels_of(blocks, present)
    if labels is not None and total > limit:
        chosen = with_known(chosen, labels, limit, n_components)
    rows, weights = [], []
    for block, of, (first, last) in zip(
        blocks, present, pairwise(np.cumsum([0, *sizes])), strict=True
    ):
        part = chosen[(chosen >= first) & (chosen < last)] - first
        taken = block.take(part if of is None else of[part])
        rows.append(taken.X.astype(np.float64))
        weights.append(np.ones(part.size) if taken.weights is None else taken.weights)
    found = None if labels is None else labels[chosen]
    return np.concatenate(rows), np.concatenate(weights), found


def _worst_rows(
    model: GaussianMixture,
    table: _core.ScoreTable,
    blocks: Sequence[RowBlock | StreamBlock],
    count: int,
    n_jobs: int,
) -> NDArray[np.float64]:
    """Return the `count` rows of positive weight and unknown label of the lowest log density."""
    candidates: list[tuple[float, NDArray[Any]]] = []
    for block in blocks:
        for part in block.parts():
            density = model.assign(table, part.X, "log_density", n_jobs)
            if part.weights is not None:
                density[part.weights <= 0] = np.inf
            if part.labels is not None:
                density[part.labels >= 0] = np.inf
            lowest = np.argsort(density, kind="stable")[:count]
            candidates += [(density[row], np.array(part.X[row])) for row in lowest]
    candidates.sort(key=lambda pair: pair[0])
    rows = [row for density, row in candidates[:count] if density < np.inf]
    rows += rows[-1:] * (count - len(rows))
    return np.asarray(rows, dtype=np.float64)
