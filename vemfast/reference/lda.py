"""Latent Dirichlet allocation in NumPy, on every rung: the twin of the native model.

It reads as docs/formulas/lda.md does, and is what the kernels are tested against. It is also a
baseline: a document is two small matrix products an inner iteration, as in scikit-learn and gensim.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, gammaln, xlogy

from vemfast.documents import DocumentBlock
from vemfast.models.base import Model, Step
from vemfast.models.lda_config import LOCAL_RULES, LdaConfig, Start
from vemfast.models.lda_starts import adopt, first_params, opening_documents
from vemfast.reference import admixture, dirichlet_fit
from vemfast.reference.admixture import Proportions
from vemfast.reference.random import ROW_STREAM, SMALL_SHAPE, TABLE_STREAM, Stream
from vemfast.stats import Params, Stats

__all__ = ["LatentDirichletAllocation", "LdaTable"]

Array = NDArray[np.float64]

LOG_ZERO = -1e300  # of a word that a topic does not have; times a count of zero it is zero
LEAST_COUNT = 1e-278  # a topic with fewer tokens has none


@dataclass(frozen=True)
class LdaTable:
    """What the E-step needs of the parameters.

    Attributes
    ----------
    log_topics : ndarray of shape (V, K)
        log β, or its expectation.
    shift : ndarray of shape (V,)
        The largest of each row; -inf for a word that no topic has.
    rows : ndarray of shape (V, K)
        exp(log_topics - shift): at most 1, so that a word of tiny probability does not underflow.
    alpha : ndarray of shape (K,)
    """

    log_topics: Array
    shift: Array
    rows: Array
    alpha: Array


class LatentDirichletAllocation(Model):
    """Topics of documents: θ_d ~ Dirichlet(α), z ~ θ_d, w ~ β_z, and β_k ~ Dirichlet(η).

    Parameters
    ----------
    config : LdaConfig
        Shape, priors and the inner loop.
    start : Start, default=Start()
        How `init` finds its first topics.
    """

    local_rules = LOCAL_RULES

    def __init__(self, config: LdaConfig, start: Start | None = None) -> None:
        self.config = config
        self.start = Start() if start is None else start
        self.layout = config.stats_layout()
        self.unavailable = config.unavailable()

    def init(self, blocks: Sequence[DocumentBlock], step: Step) -> Params:
        """Return first parameters as `start` says."""
        return first_params(self.config, self.start, blocks, step)

    def adopt(self, params: Params, blocks: Sequence[DocumentBlock], step: Step) -> Params:
        """Return `params` as the parameter rule wants them."""
        return adopt(self.config, params, blocks, step)

    def opening(self, blocks: Sequence[DocumentBlock]) -> tuple[DocumentBlock, int]:
        """Return the last documents together, many of them, and how many batches they are."""
        return opening_documents(blocks)

    # ---- the E-step ----------------------------------------------------------------------------

    def prepare(self, params: Params) -> LdaTable:
        """Return log β of a point, or E[log β] under a posterior, ready for the documents."""
        log_topics = _log_topics(params)
        shift = log_topics.max(axis=1)
        known = shift > LOG_ZERO
        rows = np.where(known[:, None], np.exp(log_topics - shift[:, None]), 0.0)
        shift = np.where(known, shift, -np.inf)
        return LdaTable(log_topics, shift, rows, params["alpha"].copy())

    def e_step(self, prepared: LdaTable, block: DocumentBlock, step: Step) -> Stats:
        """Return the statistics of one block of documents; local state is γ, or z a token."""
        if step.local_rule == "factorised":
            return self._factorised(prepared, block)
        return self._by_token(prepared, block, step)

    def _factorised(self, table: LdaTable, block: DocumentBlock) -> Stats:
        stats, sstats = Stats(self.layout), np.zeros_like(table.rows)
        local = np.empty((block.n, self.config.n_components))
        for d, words, counts, w in _documents(block):
            q = self._proportions(table, words, counts, _row(block.local, d))
            local[d] = q.gamma
            log_theta = admixture.expected_log(q.gamma)
            sstats[words] += w * counts[:, None] * q.phi
            self._add_document(stats, w, log_theta)
            if w > 0:
                stats.local_bound += w * _bound(table, words, counts, q)
                # H[q(z)] + E[log p(z | θ)]: what log φ has of E[log θ] cancels.
                relative = table.log_topics[words] - _finite(table.shift[words])[:, None]
                free = counts @ (q.log_norms - (q.phi * relative).sum(axis=1))
                stats.entropy += w * (float(free) + admixture.dirichlet_entropy(q.gamma))
        stats["sstats"] = sstats
        stats.local = local
        return stats

    def _by_token(self, table: LdaTable, block: DocumentBlock, step: Step) -> Stats:
        """Labels of single tokens, θ integrated out; given them q(θ) = Dirichlet(α + n)."""
        _check_tokens(block, step)
        stats, sstats, K = Stats(self.layout), np.zeros_like(table.rows), self.config.n_components
        ends = np.concatenate(([0], np.cumsum(block.tokens.astype(np.int64))))
        local = np.empty(int(ends[-1]), dtype=np.int32)
        for d, words, counts, w in _documents(block):
            own = slice(int(ends[d]), int(ends[d + 1]))
            before = None if block.local is None else block.local[own]
            rows = table.rows[words]
            if step.local_rule == "hard":
                z = admixture.hard(rows, counts, table.alpha, before, self.config.max_inner)
            else:
                stream = Stream(step.seed, step.iteration, ROW_STREAM, block.offset + d)
                z = admixture.sampled(rows, counts, table.alpha, before, stream)
            local[own] = z
            word = np.repeat(words, counts.astype(np.int64))
            np.add.at(sstats, (word, z), w)
            tokens = np.bincount(z, minlength=K).astype(np.float64)
            log_theta = admixture.expected_log(table.alpha + tokens)
            self._add_document(stats, w, log_theta)
            if w > 0:
                log_labels = admixture.dirichlet_multinomial(tokens, table.alpha)
                log_words = table.log_topics[word, z].sum()
                stats.local_bound += w * (log_labels + log_words)
                entropy = admixture.dirichlet_entropy(table.alpha + tokens)
                stats.entropy += w * (float(tokens @ log_theta) + entropy)
        stats["sstats"] = sstats
        stats.local = local
        return stats

    def _add_document(self, stats: Stats, weight: float, log_theta: Array) -> None:
        stats["log_theta"] += weight * log_theta
        stats["documents"] += weight

    def _proportions(
        self, table: LdaTable, words: NDArray[np.int32], counts: Array, gamma: Array | None
    ) -> Proportions:
        if gamma is None:
            gamma = np.ones(self.config.n_components)
        if not words.size:  # q(θ) is the prior
            return Proportions(table.alpha, np.zeros((0, gamma.size)), np.zeros(0))
        inner = self.config.max_inner, self.config.inner_tol
        return admixture.factorised(table.rows[words], counts, table.alpha, gamma, *inner)

    # ---- updates -------------------------------------------------------------------------------

    def update(self, params: Params, stats: Stats, step: Step) -> Params:
        """Return the mode, posterior or draw given the statistics, and learned hyperparameters."""
        mass = params["eta_scale"] * self.config.prior + stats["sstats"]
        if step.parameter_rule == "posterior":
            out = self.config.params("posterior", mass)
        elif step.parameter_rule == "sampled":
            out = self.config.params("point", self._draw(mass, step))
        else:
            out = self.config.params("point", self._mode(mass - 1.0, params["topics"]))
        out["alpha"] = self._alpha(params["alpha"], stats)
        out["eta_scale"] = params["eta_scale"]
        if self.config.learn_eta:
            V, K = self.config.n_words, self.config.n_components
            total = float(_log_topics(out).sum())
            scale = float(params["eta_scale"][0])
            out["eta_scale"] = dirichlet_fit.symmetric(scale, V, K, total)
        return out

    def _mode(self, mass: Array, previous: Array) -> Array:
        mass = np.maximum(mass, 0.0)
        total = mass.sum(axis=0)
        known = total > LEAST_COUNT
        return np.where(known, mass / np.where(known, total, 1.0), previous)

    def _draw(self, mass: Array, step: Step) -> Array:
        logs = np.empty_like(mass)
        for (w, k), a in np.ndenumerate(mass):
            stream = Stream(step.seed, step.iteration, TABLE_STREAM + w, k)
            small = a <= SMALL_SHAPE
            draw = stream.log_gamma_of_small if small else stream.log_gamma_draw
            logs[w, k] = draw(float(a))
        log_topics = logs - np.logaddexp.reduce(logs, axis=0)
        return np.asarray(np.exp(np.maximum(log_topics, -690.0)))  # densities stay finite

    def _alpha(self, alpha: Array, stats: Stats) -> Array:
        n, sums = float(stats["documents"][0]), stats["log_theta"]
        if self.config.learn_alpha == "vector":
            return dirichlet_fit.vector(alpha, n, sums)
        if self.config.learn_alpha == "symmetric":
            a = dirichlet_fit.symmetric(float(alpha[0]), alpha.size, n, float(sums.sum()))
            return np.full(alpha.size, a)
        return alpha

    def global_term(self, params: Params) -> float:
        """Return log p(β | η) of a point, or -KL(q(β) || p(β | η)) of a posterior, nats."""
        V, K = self.config.n_words, self.config.n_components
        if params.kind == "point" and self.config.is_flat:
            return 0.0
        eta = np.broadcast_to(params["eta_scale"] * self.config.prior, (V, K))
        log_norm = (gammaln(eta.sum(axis=0)) - gammaln(eta).sum(axis=0)).sum()
        if params.kind == "point":
            return float(log_norm + xlogy(eta - 1.0, params["topics"]).sum())
        q, log_topics = params["lambda"], _log_topics(params)
        log_norm_q = (gammaln(q.sum(axis=0)) - gammaln(q).sum(axis=0)).sum()
        return float(log_norm - log_norm_q + ((eta - q) * log_topics).sum())

    def expected_log_joint(self, params: Params, stats: Stats) -> float:
        """Return the inner product of statistics and natural parameters, nats."""
        alpha, n = params["alpha"], float(stats["documents"][0])
        of_words = float((stats["sstats"] * _log_topics(params)).sum())
        return of_words + dirichlet_fit.log_likelihood(alpha, n, stats["log_theta"])

    # ---- documents given the topics ------------------------------------------------------------

    def infer(self, params: Params, block: DocumentBlock) -> tuple[Array, Array]:
        """Return γ (n, K) and the bound on log p(w_d) of each document, (n,) nats."""
        table = self.prepare(params)
        gamma = np.empty((block.n, self.config.n_components))
        bounds = np.empty(block.n)
        for d, words, counts, _ in _documents(block):
            q = self._proportions(table, words, counts, _row(block.local, d))
            gamma[d], bounds[d] = q.gamma, _bound(table, words, counts, q)
        return gamma, bounds


def log_predictive(theta: Array, topics: Array, block: DocumentBlock) -> Array:
    """Return Σ_w c_w log(θ_d . β_w) of each document, nats."""
    out = np.zeros(block.n)
    with np.errstate(divide="ignore"):
        for d, words, counts, _ in _documents(block):
            out[d] = counts @ np.log(topics[words] @ theta[d])
    return out


def _bound(table: LdaTable, words: NDArray[np.int32], counts: Array, q: Proportions) -> float:
    """Return E_q[log p(w, z, θ | α, β)] + H[q(z)] + H[q(θ)] of one document."""
    alpha, gamma = table.alpha, q.gamma
    of_words = float(counts @ (q.log_norms + table.shift[words]))
    minus_kl = (
        gammaln(alpha.sum())
        - gammaln(alpha).sum()
        + (alpha - gamma) @ admixture.expected_log(gamma)
        - gammaln(gamma.sum())
        + gammaln(gamma).sum()
    )
    return of_words + float(minus_kl)


def _log_topics(params: Params) -> Array:
    """Return log β of a point, with LOG_ZERO for that of zero, or E[log β] under a posterior."""
    if params.kind == "posterior":
        q = params["lambda"]
        return np.asarray(digamma(q) - digamma(q.sum(axis=0)))
    topics = params["topics"]
    return np.where(topics > 0, np.log(np.where(topics > 0, topics, 1.0)), LOG_ZERO)


def _documents(
    block: DocumentBlock,
) -> Iterator[tuple[int, NDArray[np.int32], Array, float]]:
    """Yield number, words, counts and weight of each document."""
    for d in range(block.n):
        words, counts = block.words_of(d)
        weight = 1.0 if block.weights is None else float(block.weights[d])
        yield d, words, counts.astype(np.float64), weight


def _row(local: Array | None, d: int) -> Array | None:
    return None if local is None else np.asarray(local[d], dtype=np.float64)


def _finite(shift: Array) -> Array:
    return np.where(np.isfinite(shift), shift, LOG_ZERO)


def _check_tokens(block: DocumentBlock, step: Step) -> None:
    if step.local_rule == "sampled" and block.weights is not None:
        raise ValueError(
            "inference='gibbs' takes no document weights: it draws topics for single tokens, and "
            "a weighted document has no whole number of them; use 'mean-field', or repeat documents"
        )
    if not block.is_whole:
        entry = int(np.argmax(block.counts != np.floor(block.counts)))
        d = int(np.searchsorted(block.indptr, entry, side="right")) - 1
        raise ValueError(
            f"document {block.offset + d}, word {block.indices[entry]} has a count of "
            f"{block.counts[entry]:g}: inference='hard-em' and 'gibbs' give each token a topic, so "
            "counts must be whole numbers; use 'mean-field' or 'variational-em'"
        )
