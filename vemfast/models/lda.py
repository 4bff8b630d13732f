"""Latent Dirichlet allocation, native, behind the model contract: thin.

Everything over the documents and over the K x V topics happens in the extension; this file names
the layouts, keeps the configuration, and chooses starts. Its plain NumPy twin is
`vemfast.reference.lda`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vemfast import _core
from vemfast.documents import DocumentBlock
from vemfast.models.base import Model, Step
from vemfast.models.lda_config import LOCAL_RULES, LdaConfig, Start
from vemfast.models.lda_starts import adopt, first_params, opening_documents
from vemfast.stats import Params, Stats
from vemfast.streams import StreamBlock

__all__ = ["LatentDirichletAllocation", "log_predictive"]

Array = NDArray[np.float64]


class _Prepared:
    """Parameters on the way to a table, which is made by the first pass that knows its threads."""

    def __init__(self, core: _core.LatentDirichlet, params: Params) -> None:
        self._core, self._params = core, params
        self._table: _core.LdaTable | None = None

    def table(self, n_jobs: int) -> _core.LdaTable:
        if self._table is None:
            self._table = self._core.prepare(self._params.kind, self._params.buffer, n_jobs)
        return self._table


class LatentDirichletAllocation(Model):
    """Topics of documents: θ_d ~ Dirichlet(α), z ~ θ_d, w ~ β_z, and β_k ~ Dirichlet(η).

    Parameters
    ----------
    config : LdaConfig
        Shape, priors and the inner loop.
    start : Start, default=Start()
        How `init` finds its first topics.
    """

    threads_within = True
    local_rules = LOCAL_RULES

    def __init__(self, config: LdaConfig, start: Start | None = None) -> None:
        self.config = config
        self.start = Start() if start is None else start
        self.layout = config.stats_layout()
        self.unavailable = config.unavailable()
        self._layouts = {kind: config.params_layout(kind) for kind in ("point", "posterior")}
        self._core = _native(config)
        self._n_jobs = 1  # of the last pass: what is told no number of threads takes as many

    def init(self, blocks: Sequence[Any], step: Step) -> Params:
        """Return first parameters as `start` says."""
        return first_params(self.config, self.start, blocks, step)

    def adopt(self, params: Params, blocks: Sequence[Any], step: Step) -> Params:
        """Return `params` as the parameter rule wants them."""
        return adopt(self.config, params, blocks, step)

    def prepare(self, params: Params) -> _Prepared:
        """Return what the E-step makes its table of."""
        return _Prepared(self._core, params)

    def e_step(self, prepared: _Prepared, block: DocumentBlock, step: Step) -> Stats:
        """Return the statistics of one block of documents; local state is γ, or z a token."""
        self._check_words(block)
        self._n_jobs = step.n_jobs
        buffer, state = _core.lda_e_step(
            prepared.table(step.n_jobs),
            block.indptr,
            block.indices,
            block.counts,
            block.weights,
            block.offset,
            step.local_rule,
            self._state(block, step.local_rule),
            step.seed,
            step.iteration,
            self.config.max_inner,
            self.config.inner_tol,
            step.n_jobs,
        )
        stats = Stats(self.layout, buffer)
        stats.local = state
        return stats

    def update(self, params: Params, stats: Stats, step: Step) -> Params:
        """Return the mode, posterior or draw given the statistics, and learned hyperparameters."""
        rule = step.parameter_rule
        kind = "posterior" if rule == "posterior" else "point"
        buffer = self._core.update(
            rule, params.kind, params.buffer, stats.buffer, step.seed, step.iteration, step.n_jobs
        )
        return Params(self._layouts[kind], kind, buffer)

    def opening(self, blocks: Sequence[Any]) -> tuple[DocumentBlock, int]:
        """Return the last documents together, many of them, and how many batches they are."""
        return opening_documents(blocks)

    def sweep(
        self,
        params: Params,
        stats: Stats,
        blocks: Sequence[Any],
        step: Step,
        rates: Iterator[float],
    ) -> tuple[Params, Stats] | None:
        """Return parameters and statistics after a pass that touches the batches' words alone."""
        rule, learned = step.parameter_rule, self.config.learn_eta is not None
        if learned or (rule == "point" and np.min(np.asarray(self.config.eta)) <= 1):
            return None
        online = _core.LdaOnline(self._core, rule, params.buffer, stats.buffer, step.n_jobs)
        whole = sum(block.total_weight for block in blocks)
        self._n_jobs = step.n_jobs
        buffer = None
        for number, block in enumerate(blocks, start=1):
            if isinstance(block, StreamBlock):
                block = block.whole()
            self._check_words(block)
            buffer = online.batch(
                block.indptr,
                block.indices,
                block.counts,
                block.weights,
                step.local_rule,
                step.iteration,
                self.config.max_inner,
                self.config.inner_tol,
                whole / block.total_weight,
                next(rates),
                number == len(blocks),
                step.n_jobs,
            )
        kind = "posterior" if rule == "posterior" else "point"
        params = Params(self._layouts[kind], kind, buffer)
        return params, Stats(self.layout, online.stats(step.n_jobs))

    def global_term(self, params: Params) -> float:
        """Return log p(β | η) of a point, or -KL(q(β) || p(β | η)) of a posterior, nats."""
        return self._core.global_term(params.kind, params.buffer, self._n_jobs)

    def expected_log_joint(self, params: Params, stats: Stats) -> float:
        """Return the inner product of statistics and natural parameters, nats."""
        return self._core.expected_log_joint(params.kind, params.buffer, stats.buffer, self._n_jobs)

    def size_of_terms(self, params: Params, stats: Stats) -> float:
        """Return what the prior of the proportions adds and the entropy takes out again, nats.

        A tiny alpha makes it vast: E[log theta] is about -1 / alpha. It is summed in double
        precision whatever the `dtype`, so of what single precision would round it is a millionth.
        """
        size = float(np.abs((params["alpha"] - 1.0) * stats["log_theta"]).sum())
        return size if self.config.dtype == "float64" else 1e-6 * size

    def infer(
        self, params: Params, block: DocumentBlock, n_jobs: int = 1
    ) -> tuple[NDArray[Any], Array]:
        """Return γ (n, K) and the bound on log p(w_d) of each document, (n,) nats.

        γ is of the configuration's dtype. A document with a word that no topic has gets -inf.
        """
        self._check_words(block)
        return _core.lda_infer(
            self._core.prepare(params.kind, params.buffer, n_jobs),
            block.indptr,
            block.indices,
            block.counts,
            self._state(block, "factorised"),
            self.config.max_inner,
            self.config.inner_tol,
            n_jobs,
        )

    def proportions(
        self, params: Params, block: DocumentBlock, n_jobs: int = 1, normalize: bool = True
    ) -> Array:
        """Return E[θ_d] of each document, (n, K), or γ in double: `infer` without its bounds."""
        self._check_words(block)
        return _core.lda_proportions(
            self._core.prepare(params.kind, params.buffer, n_jobs),
            block.indptr,
            block.indices,
            block.counts,
            self.config.max_inner,
            self.config.inner_tol,
            normalize,
            n_jobs,
        )

    def _state(self, block: DocumentBlock, rule: str) -> NDArray[Any] | None:
        if block.local is None:
            return None
        return np.ascontiguousarray(
            block.local, dtype=self.config.dtype if rule == "factorised" else np.int32
        )

    def _check_words(self, block: DocumentBlock) -> None:
        if block.n_words > self.config.n_words:
            raise ValueError(
                f"the documents have {block.n_words} words, but the model {self.config.n_words}"
            )


def log_predictive(theta: Array, topics: Array, block: DocumentBlock, n_jobs: int = 1) -> Array:
    """Return Σ_w c_w log(θ_d . β_w) of each document, nats.

    Parameters
    ----------
    theta : array of shape (n_documents, n_components)
    topics : array of shape (n_words, n_components)
        Probabilities of words, one topic a column.
    block : DocumentBlock
    n_jobs : int, default=1
    """
    if block.n_words > topics.shape[0]:
        raise ValueError(f"the documents have {block.n_words} words, topics {topics.shape[0]}")
    theta, topics = (np.ascontiguousarray(a, dtype=np.float64) for a in (theta, topics))
    return _core.lda_log_predictive(
        theta, topics, block.indptr, block.indices, block.counts, n_jobs
    )


def _native(config: LdaConfig) -> _core.LatentDirichlet:
    return _core.LatentDirichlet(
        n_components=config.n_components,
        n_words=config.n_words,
        precision=config.dtype,
        alpha=np.asarray(config.alpha, dtype=np.float64),
        eta=np.ravel(np.asarray(config.prior, dtype=np.float64)),
        learn_alpha=config.learn_alpha,
        learn_eta=config.learn_eta is not None,
    )
