"""The Gaussian mixture as a generative model, in NumPy and scipy.stats: the samplers' oracle.

Draws from the prior, data given a draw, and the log density of both, in the data's own
coordinates. Nothing here comes from the library but the names of its options.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np
from scipy import stats as dist
from scipy.special import logsumexp

__all__ = ["GenerativeMixture", "Points", "as_matrices", "rows_given"]


class Points(NamedTuple):
    """Parameters, with or without a leading axis of draws."""

    weights: np.ndarray  # (..., K)
    means: np.ndarray  # (..., K, D)
    covariances: np.ndarray  # (..., K, D, D), whatever the covariance type


def as_matrices(covariances, covariance_type, n_components, n_features):
    """Return covariances of any type, with leading axes of draws or not, as (..., K, D, D)."""
    K, D = n_components, n_features
    covariances = np.asarray(covariances)
    if covariance_type == "full":
        return covariances
    if covariance_type == "tied":
        lead = covariances.shape[:-2]
        return np.broadcast_to(covariances[..., None, :, :], (*lead, K, D, D))
    per_feature = {"diag": (), "spherical": (1,), "tied-spherical": (1, 1)}[covariance_type]
    variances = covariances.reshape(covariances.shape + per_feature)
    variances = np.broadcast_to(variances, (*variances.shape[:-2], K, D))
    return variances[..., None] * np.eye(D)


def rows_given(points, n, rng):
    """Return n rows drawn from the mixture, for each point, (..., n, D); labels are summed out."""
    ends = np.cumsum(points.weights, axis=-1)[..., None, :]
    u = rng.random((*ends.shape[:-2], n, 1)) * ends[..., -1:]
    labels = np.sum(ends[..., :-1] <= u, axis=-1)[..., None]
    roots = np.linalg.cholesky(points.covariances)
    own_means = np.take_along_axis(points.means, labels, axis=-2)
    own_roots = np.take_along_axis(roots, labels[..., None], axis=-3)
    noise = rng.standard_normal((*own_means.shape, 1))
    return own_means + (own_roots @ noise)[..., 0]


@dataclass(frozen=True)
class GenerativeMixture:
    """A mixture with proper conjugate priors.

    Weights are Dirichlet(concentration, ...), or the sticks of a Dirichlet process cut at the
    last: v_k ~ Beta(1, concentration), v_K = 1. Full and tied covariances are
    IW(scale, freedom); a variance that covers c features is InvGamma(c freedom / 2, c scale / 2).
    Means are N(mean, covariance / precision).
    """

    covariance_type: str
    weight_type: str
    n_components: int
    concentration: float
    mean: np.ndarray
    precision: float
    freedom: float
    scale: np.ndarray  # in the shape of one covariance

    @property
    def is_shared(self):
        return self.covariance_type.startswith("tied")

    @property
    def is_matrix(self):
        return self.covariance_type in ("full", "tied")

    @property
    def n_features(self):
        return len(self.mean)

    def options(self):
        """Return the estimator's options that say the same."""
        return {
            "n_components": self.n_components,
            "covariance_type": self.covariance_type,
            "weight_concentration_prior_type": self.weight_type,
            "weight_concentration_prior": self.concentration,
            "mean_prior": self.mean,
            "mean_precision_prior": self.precision,
            "degrees_of_freedom_prior": self.freedom,
            "covariance_prior": self.scale,
        }

    # ---- draws -----------------------------------------------------------------------------

    def points(self, n, rng):
        """Return n draws from the prior."""
        covariances = self._covariances(n, rng)
        roots = np.linalg.cholesky(covariances)
        noise = rng.standard_normal((n, self.n_components, self.n_features, 1))
        means = self.mean + (roots @ noise)[..., 0] / np.sqrt(self.precision)
        return Points(self._weights(n, rng), means, covariances)

    def _weights(self, n, rng):
        K = self.n_components
        if self.weight_type == "dirichlet":
            return rng.dirichlet(np.full(K, self.concentration), n)
        sticks = rng.beta(1.0, self.concentration, (n, K))
        sticks[:, -1] = 1.0
        left = np.cumprod(1.0 - sticks, axis=1)
        return sticks * np.concatenate([np.ones((n, 1)), left[:, :-1]], axis=1)

    def _covariances(self, n, rng):
        K, D = self.n_components, self.n_features
        groups = 1 if self.is_shared else K
        if self.is_matrix:
            law = dist.invwishart(self.freedom, self.scale)
            drawn = np.reshape(law.rvs(n * groups, random_state=rng), (n, groups, D, D))
            return np.broadcast_to(drawn, (n, K, D, D))
        drawn = np.array(
            [law.rvs((n, groups), random_state=rng) for law in self._variance_laws()]
        )  # (1 or D, n, groups)
        variances = np.broadcast_to(np.moveaxis(drawn, 0, -1), (n, K, D))
        return variances[..., None] * np.eye(D)

    def _variance_laws(self):
        copies = 1 if self.covariance_type == "diag" else self.n_features
        return [
            dist.invgamma(0.5 * copies * self.freedom, scale=0.5 * copies * scale)
            for scale in np.atleast_1d(self.scale)
        ]

    # ---- densities -------------------------------------------------------------------------

    def log_likelihood(self, point, X):
        """Return log p(X | θ)."""
        return float(
            logsumexp(
                [
                    np.log(w) + np.atleast_1d(dist.multivariate_normal(m, s).logpdf(X))
                    for w, m, s in zip(*point, strict=True)
                ],
                axis=0,
            ).sum()
        )

    def log_prior(self, point):
        """Return log p(θ) in means, covariances and weights; of the process, in its sticks."""
        matrices = point.covariances[:1] if self.is_shared else point.covariances
        total = sum(self._log_covariance(matrix) for matrix in matrices)
        for m, s in zip(point.means, point.covariances, strict=True):
            total += dist.multivariate_normal(self.mean, s / self.precision).logpdf(m)
        if self.weight_type == "dirichlet":
            return total + dist.dirichlet([self.concentration] * self.n_components).logpdf(
                point.weights
            )
        behind = np.cumsum(point.weights[::-1])[::-1]
        sticks = point.weights[:-1] / behind[:-1]
        return total + dist.beta(1.0, self.concentration).logpdf(sticks).sum()

    def _log_covariance(self, matrix):
        if self.is_matrix:
            return dist.invwishart(self.freedom, self.scale).logpdf(matrix)
        laws = self._variance_laws()
        variances = np.diagonal(matrix)[: len(laws)]
        return sum(law.logpdf(v) for law, v in zip(laws, variances, strict=True))

    # ---- evidence --------------------------------------------------------------------------

    def log_joint_of_labels(self, X, labels):
        """Return log p(X, z), θ integrated out, row by row: each has a Student-t density given
        those before it, whose location and scale follow it. Of the infinite process, z must be
        one of the first K sticks.
        """
        counts = np.zeros(self.n_components)
        means = np.tile(self.mean, (self.n_components, 1))
        scales = [np.array(self.scale) for _ in range(1 if self.is_shared else self.n_components)]
        seen = np.zeros(len(scales))
        total = 0.0
        for x, k in zip(X, labels, strict=True):
            group = 0 if self.is_shared else k
            kappa, nu = self.precision + counts[k], self.freedom + seen[group]
            total += self._log_label(k, counts)
            total += self._log_row(x - means[k], (kappa + 1) / kappa * scales[group], nu)
            away = x - means[k]
            square = {
                True: np.outer(away, away),
                False: away**2 if self.covariance_type == "diag" else np.mean(away**2),
            }[self.is_matrix]
            scales[group] = scales[group] + kappa / (kappa + 1) * square
            means[k] += away / (kappa + 1)
            counts[k] += 1
            seen[group] += 1
        return total

    def log_evidence(self, X):
        """Return log p(X), summed over all labels in 1..K."""
        every = product(range(self.n_components), repeat=len(X))
        return float(logsumexp([self.log_joint_of_labels(X, labels) for labels in every]))

    def _log_label(self, k, counts):
        alpha = self.concentration
        if self.weight_type == "dirichlet":
            return np.log((alpha + counts[k]) / (self.n_components * alpha + counts.sum()))
        behind = counts.sum() - np.cumsum(counts)
        both = 1 + counts + alpha + behind
        return np.log((1 + counts[k]) / both[k]) + np.log((alpha + behind[:k]) / both[:k]).sum()

    def _log_row(self, away, scale, freedom):
        D = self.n_features
        if self.is_matrix:
            df = freedom + 1 - D
            return dist.multivariate_t(shape=scale / df, df=df).logpdf(away)
        if self.covariance_type == "diag":
            return dist.t(freedom, scale=np.sqrt(scale / freedom)).logpdf(away).sum()
        shape = np.eye(D) * scale / freedom
        return dist.multivariate_t(shape=shape, df=D * freedom).logpdf(away)
