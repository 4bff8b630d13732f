"""The Gaussian mixture in NumPy, on every rung: the twin of the native model.

It reads as docs/formulas/gaussian_mixture.md does, and is what the kernels are tested against. It
is also a fair baseline: rows go through in chunks that stay in cache, by matrix products.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vemfast.data import RowBlock
from vemfast.models import gaussian_vector
from vemfast.models.base import Model, Step
from vemfast.models.clamping import held
from vemfast.models.gaussian_config import GaussianConfig
from vemfast.reference.gaussian import Gaussian, NormalWishart, ScoreTable
from vemfast.reference.gaussian_axis import AxisGaussian
from vemfast.reference.gaussian_matrix import MatrixGaussian
from vemfast.reference.labels import clamped, exact, hard, labels_of, sampled
from vemfast.reference.missing import complete, normals, predictive
from vemfast.reference.random import (
    PARAMETER_STREAM,
    ROW_STREAM,
    START_STREAM,
    Stream,
    uniform,
)
from vemfast.reference.weights import Weights
from vemfast.stats import Params, Stats

__all__ = ["GaussianMixture"]

Array = NDArray[np.float64]

_CHUNK = 1 << 19  # numbers that the E-step works on at a time: what a cache holds


class GaussianMixture(Model):
    """Mixture of Gaussians.

    Parameters
    ----------
    config : GaussianConfig
        Shape, priors and data scale.
    centres : array-like of shape (n_components, n_features), default=None
        `init` gives each row to the nearest of them. None: rows of the data, drawn at random.
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

    def __init__(self, config: GaussianConfig, centres: ArrayLike | None = None) -> None:
        self.config = config
        self.centres = None if centres is None else np.asarray(centres, dtype=np.float64)
        self.layout = config.stats_layout()
        self.unavailable = config.prior.unavailable()
        self._layouts = {kind: config.params_layout(kind) for kind in ("point", "posterior")}
        prior = config.prior
        self.weights = Weights(prior.weight_type, prior.weight_concentration, config.n_components)
        matrix = config.covariance_type in ("full", "tied")
        self.components: Gaussian = MatrixGaussian(config) if matrix else AxisGaussian(config)

    # ---- scores and the E-step ---------------------------------------------------------------

    def prepare(self, params: Params) -> ScoreTable:
        """Return the scores of a point, or the expected ones of a posterior, log weights included.

        A component of weight 0 scores -inf.
        """
        if params.kind == "posterior":
            table = self.components.posterior_table(self._posterior_of(params))
            log_weights = self.weights.expected_log(params["concentration"])
        else:
            table = self.components.point_table(params["means"], self._covariances_of(params))
            with np.errstate(divide="ignore"):
                log_weights = np.log(params["weights"])
        return ScoreTable(table.constants + log_weights, table.means, table.root)

    def e_step(self, prepared: ScoreTable, block: RowBlock, step: Step) -> Stats:
        """Return the statistics of one block of rows."""
        stats = Stats(self.layout)
        for X, w, rows in self._chunks(block):
            labels = labels_of(block, rows)
            if self.config.marginalize:
                self._add_completed(stats, X, w, rows, prepared, labels, step)
                continue
            bound, entropy, r = _local(self._scores(X, prepared), rows, labels, step)
            self._add(stats, X, r * w[:, None])
            stats.local_bound += float(w @ bound)
            stats.entropy += float(w @ entropy)
        return stats

    def _add_completed(
        self,
        stats: Stats,
        X: Array,
        w: Array,
        rows: NDArray[np.int64],
        table: ScoreTable,
        labels: NDArray[np.int32] | None,
        step: Step,
    ) -> None:
        """Add the statistics of rows with missing features (docs/formulas, section 11)."""
        K, D = table.means.shape
        for part in complete(X, self.components, table):
            bound, entropy, r = _local(
                part.scores, rows[part.rows], None if labels is None else labels[part.rows], step
            )
            own, m = w[part.rows], part.missing
            r *= own[:, None]
            counts = r.sum(axis=0)
            stats.local_bound += float(own @ bound)
            stats.entropy += float(own @ entropy)
            values, spread = part.values, np.zeros((K, D, D))
            if step.local_rule == "sampled":
                root = np.linalg.cholesky(part.precision)
                z = normals(step.seed, step.iteration, rows[part.rows], m)
                values[:, :, m] += np.linalg.solve(
                    root.swapaxes(1, 2), np.broadcast_to(z.T, (K, *z.T.shape))
                ).swapaxes(1, 2)
            else:
                stats.entropy += float(counts @ (part.gains + 0.5 * len(m)))
                spread[:, m[:, None], m] = np.linalg.inv(part.precision)
            stats["counts"] += counts
            stats["sums"] += np.einsum("nk,knd->kd", r, values)
            moments = np.einsum("nk,kni,knj->kij", r, values, values)
            moments += counts[:, None, None] * spread
            self._add_moments(stats["scatter"], moments)

    def _add_moments(self, scatter: Array, moments: Array) -> None:
        """Add second moments (K, D, D) to a scatter as the covariance type stores it."""
        kind = self.config.covariance_type
        lower = np.tril_indices(self.config.n_features)
        diagonals = np.diagonal(moments, axis1=1, axis2=2)
        if kind == "full":
            scatter += moments[:, lower[0], lower[1]]
        elif kind == "tied":
            scatter += moments.sum(axis=0)[lower]
        elif kind == "diag":
            scatter += diagonals
        elif kind == "spherical":
            scatter += diagonals.sum(axis=1)
        else:
            scatter += diagonals.sum()

    def _scores(self, X: Array, table: ScoreTable) -> Array:
        with np.errstate(over="ignore"):  # a row out of all proportion scores -inf
            return table.constants - 0.5 * self.components.distances(X, table)

    def _add(self, stats: Stats, X: Array, responsibilities: Array) -> None:
        stats["counts"] += responsibilities.sum(axis=0)
        stats["sums"] += responsibilities.T @ X
        stats["scatter"] += self.components.scatter(X, responsibilities)

    def _chunks(self, block: RowBlock) -> Iterator[tuple[Array, Array, NDArray[np.int64]]]:
        """Yield centred rows, weights and global row numbers; rows of weight 0 are left out."""
        size = int(np.clip(_CHUNK // self.components.row_size, 64, 4096))
        for start in range(0, block.n, size):
            piece = block.slice(start, min(start + size, block.n))
            rows = np.arange(piece.offset, piece.offset + piece.n)
            X = np.subtract(piece.X, self.config.origin, dtype=np.float64)
            if piece.weights is None:
                yield X, np.ones(piece.n), rows
            else:
                kept = piece.weights > 0
                yield X[kept], piece.weights[kept], rows[kept]

    # ---- updates -----------------------------------------------------------------------------

    def update(self, params: Params | None, stats: Stats, step: Step) -> Params:
        """Return the mode, posterior or draw given the statistics.

        `params` None, at a start: a component without data lies at the origin, as wide as the data.
        """
        moments = stats["counts"], stats["sums"], stats["scatter"]
        if step.parameter_rule == "posterior":
            q = self.components.posterior(*moments)
            return self._posterior(self.weights.posterior(stats["counts"]), q)
        if step.parameter_rule == "sampled":
            weights = self.weights.sample(
                stats["counts"], Stream(step.seed, step.iteration, PARAMETER_STREAM, 0)
            )
            return self._point(
                weights, *self.components.sample(*moments, step.seed, step.iteration)
            )
        previous = self._widest() if params is None else params
        freeze = () if params is None else self.config.freeze
        updated = self._point(
            self.weights.mode(stats["counts"]),
            *self.components.mode(
                *moments, previous["means"], self._covariances_of(previous), "means" in freeze
            ),
        )
        return held(updated, previous, freeze)

    def global_term(self, params: Params) -> float:
        """Return the log prior of a point or -KL(q || prior) of a posterior, nats."""
        if params.kind == "posterior":
            q = self._posterior_of(params)
            return -self.weights.kl(params["concentration"]) - self.components.kl(q)
        of_weights = self.weights.log_prior(params["weights"])
        return of_weights + self.components.log_prior(params["means"], self._covariances_of(params))

    def expected_log_joint(self, params: Params, stats: Stats) -> float:
        """Return the inner product of statistics and natural parameters, nats."""
        return self.components.expected_log_density(
            self.prepare(params), stats["counts"], stats["sums"], stats["scatter"]
        )

    def to_vector(self, params: Params) -> Array | None:
        """Return a point as a vector without constraints; None if a weight is 0."""
        return gaussian_vector.to_vector(self.config, params)

    def from_vector(self, vector: Array, like: Params) -> Params | None:
        """Return the point that a vector says, held in the support of the prior."""
        return gaussian_vector.from_vector(self.config, vector, like)

    # ---- densities ---------------------------------------------------------------------------

    def log_density(self, params: Params, X: ArrayLike) -> Array:
        """Return the log density of rows, nats: at a point, or the posterior predictive."""
        rows = np.asarray(X, dtype=np.float64) - self.config.origin
        if self.config.marginalize:
            return self._observed_density(params, rows)
        if params.kind == "point":
            scores = self._scores(rows, self.prepare(params))
        else:
            log_weights = np.log(self.weights.mean(params["concentration"]))
            scores = log_weights + self.components.predictive(rows, self._posterior_of(params))
        return exact(scores)[0]

    def responsibilities(self, params: Params, X: ArrayLike) -> Array:
        """Return the E-step's q(z) of rows, shape (n, n_components)."""
        rows = np.asarray(X, dtype=np.float64) - self.config.origin
        return exact(self._observed_scores(rows, self.prepare(params)))[2]

    def impute(self, params: Params, X: ArrayLike) -> Array:
        """Return rows with what is missing replaced by its mean given the rest, over q(z)."""
        rows = np.asarray(X, dtype=np.float64) - self.config.origin
        out = np.array(X, dtype=np.float64)
        for part in complete(rows, self.components, self.prepare(params)):
            r = exact(part.scores)[2]
            values = np.einsum("nk,knd->nd", r, part.values) + self.config.origin
            out[np.ix_(part.rows, part.missing)] = values[:, part.missing]
        return out

    def _observed_scores(self, X: Array, table: ScoreTable) -> Array:
        if not self.config.marginalize:
            return self._scores(X, table)
        scores = np.empty((len(X), self.config.n_components))
        for part in complete(X, self.components, table):
            scores[part.rows] = part.scores
        return scores

    def _observed_density(self, params: Params, X: Array) -> Array:
        """Return log densities of what is observed, by the densities of the features alone."""
        if params.kind == "point":
            return exact(self._observed_scores(X, self.prepare(params)))[0]
        log_weights = np.log(self.weights.mean(params["concentration"]))
        out = np.empty(len(X))
        patterns, which = np.unique(np.isnan(X), axis=0, return_inverse=True)
        for p, pattern in enumerate(patterns):
            rows = which.reshape(-1) == p
            q = predictive(self.config, self._posterior_of(params), X[rows], ~pattern)
            out[rows] = exact(log_weights + q)[0]
        return out

    # ---- starts ------------------------------------------------------------------------------

    def init(self, blocks: Sequence[RowBlock], step: Step) -> Params:
        """Return the update after giving each row to the nearest centre."""
        centres = self._random_rows(blocks, step) if self.centres is None else self.centres
        unit = np.sqrt(self.config.metric)
        centres = np.nan_to_num((centres - self.config.origin) / unit)
        stats = Stats(self.layout)
        for block in blocks:
            for X, w, rows in self._chunks(block):
                observed = ~np.isnan(X)
                nearness = np.where(observed, X / unit, 0.0) @ centres.T
                nearness -= 0.5 * observed @ (centres * centres).T
                nearness = clamped(nearness, labels_of(block, rows))
                self._add_first(stats, X, hard(nearness)[2] * w[:, None])
        return self.update(None, stats, step)

    def from_responsibilities(
        self, block: RowBlock, responsibilities: ArrayLike, step: Step
    ) -> Params:
        """Return the update given q(z) of the rows of one block; of known labels, it is theirs."""
        r = np.array(responsibilities, dtype=np.float64)
        if block.labels is not None:
            known = block.labels >= 0
            r[known] = np.eye(self.config.n_components)[block.labels[known]]
        stats = Stats(self.layout)
        for X, w, rows in self._chunks(block):
            self._add_first(stats, X, r[rows - block.offset] * w[:, None])
        return self.update(None, stats, step)

    def _add_first(self, stats: Stats, X: Array, responsibilities: Array) -> None:
        """Add rows whose missing features are yet as likely as the whole column says."""
        missing = np.isnan(X)
        self._add(stats, np.where(missing, 0.0, X), responsibilities)
        spread = responsibilities.T @ missing * self.config.column_scale
        self._add_moments(stats["scatter"], spread[:, :, None] * np.eye(X.shape[1]))

    def _random_rows(self, blocks: Sequence[RowBlock], step: Step) -> Array:
        stream = Stream(step.seed, 0, START_STREAM, 0)
        ends = np.cumsum([block.n for block in blocks])
        chosen: list[int] = []
        while len(chosen) < self.config.n_components:
            row = int(stream.uniform() * ends[-1])
            if row not in chosen or len(chosen) >= ends[-1]:
                chosen.append(row)
        found = np.searchsorted(ends, chosen, side="right")
        return np.array(
            [blocks[b].X[row - ends[b]] for b, row in zip(found, chosen, strict=True)],
            dtype=np.float64,
        )

    # ---- parameters and their buffers ----------------------------------------------------------

    def _point(self, weights: Array, means: Array, covariances: Array) -> Params:
        params = Params(self._layouts["point"], "point")
        params["weights"], params["means"] = weights, means
        params["covariances"] = covariances.reshape(params["covariances"].shape)
        return params

    def _posterior(self, concentration: Array, q: NormalWishart) -> Params:
        params = Params(self._layouts["posterior"], "posterior")
        params["concentration"], params["means"] = concentration, q.means
        params["mean_precision"] = q.precision
        params["degrees_of_freedom"] = q.freedom.reshape(params["degrees_of_freedom"].shape)
        params["scale"] = q.scale.reshape(params["scale"].shape)
        return params

    def _covariances_of(self, point: Params) -> Array:
        return self.components.as_groups(point["covariances"])

    def _posterior_of(self, params: Params) -> NormalWishart:
        return NormalWishart(
            params["mean_precision"],
            params["means"],
            params["degrees_of_freedom"].reshape(-1),
            self.components.as_groups(params["scale"]),
        )

    def _widest(self) -> Params:
        K, D = self.config.n_components, self.config.n_features
        scale = self.config.column_scale
        wide = {"full": np.diag(scale), "tied": np.diag(scale), "diag": scale}
        covariance = wide.get(self.config.covariance_type, scale.mean(keepdims=True))
        groups = np.broadcast_to(covariance, (self.components.groups, *covariance.shape))
        return self._point(np.full(K, 1.0 / K), np.zeros((K, D)), groups)


def _local(
    scores: Array, rows: NDArray[np.int64], labels: NDArray[np.int32] | None, step: Step
) -> tuple[Array, Array, Array]:
    """Return the bound, the entropy and the responsibilities of each row under the local rule."""
    scores = clamped(scores, labels)
    if step.local_rule == "sampled":
        return sampled(scores, uniform(step.seed, step.iteration, rows, ROW_STREAM))
    return hard(scores) if step.local_rule == "hard" else exact(scores)
