"""Hidden Markov models in NumPy, on every rung: the twin of the native model.

A chain (`chain`, `simplex`) times a family (`emissions`). It reads as docs/formulas/hmm.md does,
and is what the kernels are tested against.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vemfast.models.base import Model, Step
from vemfast.models.hmm_config import LOCAL_RULES, HmmConfig
from vemfast.reference import chain
from vemfast.reference.emissions import emission_of
from vemfast.reference.random import PARAMETER_STREAM, ROW_STREAM, Stream, uniform
from vemfast.reference.simplex import Rows, safe_log
from vemfast.sequences import SequenceBlock
from vemfast.stats import Params, Stats

__all__ = ["HiddenMarkov", "HmmTable"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class HmmTable:
    """Logarithms of start (K,) and transitions (K, K), of the components' weights, and scores."""

    start: Array
    transitions: Array
    mix: Array
    emission: Any


class HiddenMarkov(Model):
    """Hidden Markov model.

    Parameters
    ----------
    config : HmmConfig
        Shape and priors.
    """

    local_rules = LOCAL_RULES

    def __init__(self, config: HmmConfig) -> None:
        self.config = config
        self.layout = config.stats_layout()
        self.unavailable = config.unavailable()
        self._layouts = {kind: config.params_layout(kind) for kind in ("point", "posterior")}
        self.emission = emission_of(config.emission)
        start, transitions = config.start_prior, config.transition_prior
        self.start = Rows(
            None if start is None else start[None],
            config.start_support[None],
            config.start_frozen[None],
        )
        self.transitions = Rows(transitions, config.transition_support, config.transition_frozen)
        shape = (config.n_components, config.n_mix)
        self.mix = Rows(config.mix_prior, np.ones(shape, dtype=bool), np.full(shape, np.nan))

    # ---- scores and the E-step ---------------------------------------------------------------

    def prepare(self, params: Params) -> HmmTable:
        """Return what the E-step needs of a point, or the expectations under a posterior."""
        emission = self.emission.table(params)
        one = np.zeros((self.config.n_components, 1))
        if params.kind == "posterior":
            start = self.start.expected_log(params["start_concentration"][None])[0]
            rows = self.transitions.expected_log(params["transition_concentration"])
            return HmmTable(start, rows, one, emission)
        mix = safe_log(params["mix_weights"]) if self.config.n_mix > 1 else one
        return HmmTable(safe_log(params["startprob"]), safe_log(params["transmat"]), mix, emission)

    def e_step(self, prepared: HmmTable, block: SequenceBlock, step: Step) -> Stats:
        """Return the statistics of one block of sequences.

        Raises
        ------
        ValueError
            If a sequence of positive weight is impossible under the parameters.
        """
        stats = Stats(self.layout)
        factorised = step.local_rule == "factorised"
        state = np.zeros((block.n_steps, self.config.n_components)) if factorised else None
        if factorised and block.local is not None:
            state = block.local.copy()
        for s, w, steps in self._sequences(block):
            rows = block.rows.slice(steps.start, steps.stop)
            scores, mix, base = self._scores(prepared, rows, block, steps, step.local_rule)
            warm = None if block.local is None else block.local[steps]
            try:
                path = self._path(prepared, scores, rows.offset, warm, step)
            except chain.ImpossibleError as error:
                raise _impossible(block, s, error) from None
            if state is not None:
                state[steps] = path.gamma
            stats["starts"] += w * path.gamma[0]
            stats["transitions"] += w * path.pairs
            r = w * (path.gamma[:, :, None] * mix).reshape(len(scores), -1)
            self.emission.add(stats, prepared.emission, rows, r, step)
            stats.local_bound += w * (path.bound + float(base.sum()))
        stats.entropy = stats.local_bound - self._natural(prepared, stats)
        stats.local = state
        return stats

    def _path(
        self, table: HmmTable, scores: Array, offset: int, warm: Array | None, step: Step
    ) -> chain.Path:
        logs = scores, table.start, table.transitions
        if step.local_rule == "hard":
            return chain.hard(*logs)
        if step.local_rule == "sampled":
            numbers = np.arange(offset, offset + len(scores))
            u = uniform(step.seed, step.iteration, numbers, ROW_STREAM)
            return chain.backward_sample(*logs, u)
        if step.local_rule == "factorised":
            return chain.factorised(*logs, warm, self.config.n_sweeps, self.config.sweep_tol)
        return chain.smoothed(*logs)

    def _scores(
        self, table: HmmTable, rows: Any, block: SequenceBlock, steps: slice, rule: str
    ) -> tuple[Array, Array, Array]:
        """Return scores of states (T, K), of their components the shares (T, K, M), and bases."""
        K, M = self.config.n_components, self.config.n_mix
        own, base = self.emission.scores(table.emission, rows)
        joint = own.reshape(len(own), K, M) + table.mix
        if rule == "hard":
            scores = joint.max(axis=2)
            shares = np.eye(M)[joint.argmax(axis=2)]
        else:
            scores = chain.log_sum_exp(joint, 2)
            lost = np.isneginf(scores)[:, :, None]
            shares = np.exp(
                np.where(lost, -np.inf, joint - np.where(lost, 0.0, scores[:, :, None]))
            )
        if block.labels is not None:
            labels = block.labels[steps, None]
            scores = np.where((labels < 0) | (labels == np.arange(K)), scores, -np.inf)
        return scores, shares, base

    @staticmethod
    def _sequences(block: SequenceBlock) -> Iterator[tuple[int, float, slice]]:
        """Yield number, weight and steps of each sequence of positive weight."""
        for s in range(block.n):
            w = 1.0 if block.weights is None else float(block.weights[s])
            if w > 0:
                yield s, w, slice(int(block.starts[s]), int(block.starts[s + 1]))

    def _natural(self, table: HmmTable, stats: Stats) -> float:
        total = chain.inner(stats["starts"], table.start)
        total += chain.inner(stats["transitions"], table.transitions)
        if self.config.n_mix > 1:
            total += chain.inner(stats["counts"].reshape(table.mix.shape), table.mix)
        return total + self.emission.natural(table.emission, stats)

    # ---- updates -----------------------------------------------------------------------------

    def update(self, params: Params | None, stats: Stats, step: Step) -> Params:
        """Return the mode, posterior or draw given the statistics.

        `params` None, at a start: rows without data are equal.
        """
        starts, transitions = stats["starts"][None], stats["transitions"]
        if step.parameter_rule == "posterior":
            own = {
                "start_concentration": self.start.posterior(starts)[0],
                "transition_concentration": self.transitions.posterior(transitions),
            }
        elif step.parameter_rule == "sampled":
            stream = Stream(step.seed, step.iteration, PARAMETER_STREAM, 0)
            own = {"startprob": self.start.sample(starts, stream)[0]}
            own["transmat"] = self.transitions.sample(transitions, stream)
        else:
            own = self._mode(params, stats)
        kind = "posterior" if step.parameter_rule == "posterior" else "point"
        return self._filled(kind, own | self.emission.update(params, stats, step))

    def _mode(self, params: Params | None, stats: Stats) -> dict[str, Array]:
        def before(name: str) -> Array | None:
            return None if params is None else params[name]

        start = before("startprob")
        own = {
            "startprob": self.start.mode(
                stats["starts"][None], None if start is None else start[None]
            )[0],
            "transmat": self.transitions.mode(stats["transitions"], before("transmat")),
        }
        if self.config.n_mix > 1:
            counts = stats["counts"].reshape(self.mix.support.shape)
            own["mix_weights"] = self.mix.mode(counts, before("mix_weights"))
        return own

    def _filled(self, kind: str, fields: dict[str, Array]) -> Params:
        params = Params(self._layouts[kind], kind)
        for name, value in fields.items():
            params[name] = value.reshape(params[name].shape)
        return params

    def global_term(self, params: Params) -> float:
        """Return the log prior of a point or -KL(q || prior) of a posterior, nats."""
        total = self.emission.global_term(params)
        if params.kind == "posterior":
            total -= self.start.kl(params["start_concentration"][None])
            return total - self.transitions.kl(params["transition_concentration"])
        total += self.start.log_prior(params["startprob"][None])
        total += self.transitions.log_prior(params["transmat"])
        return total + (self.mix.log_prior(params["mix_weights"]) if self.config.n_mix > 1 else 0.0)

    def expected_log_joint(self, params: Params, stats: Stats) -> float:
        """Return the inner product of statistics and natural parameters, nats."""
        return self._natural(self.prepare(params), stats)

    def init(self, blocks: Sequence[SequenceBlock], step: Step) -> Params:
        """Return emissions that differ, under equal starts and transitions.

        A posterior by one E-step from there.
        """
        first = self.emission.first([block.steps() for block in blocks], step)
        first["startprob"] = self.start.uniform()[0]
        first["transmat"] = self.transitions.uniform()
        if self.config.n_mix > 1:
            first["mix_weights"] = self.mix.uniform()
        point = self._filled("point", first)
        if step.parameter_rule != "posterior":
            return point
        table, exact = self.prepare(point), Step("exact")
        stats = [self.e_step(table, block, exact) for block in blocks]
        return self.update(point, sum(stats[1:], stats[0]), step)

    # ---- use ---------------------------------------------------------------------------------

    def score(self, table: HmmTable, block: SequenceBlock) -> Array:
        """Return log p of each sequence, nats, -inf for an impossible one."""
        out = np.empty(block.n)
        for s, _, steps in self._sequences(block.with_weights(None)):
            scores, _, base = self._rows_scores(table, block, steps)
            try:
                out[s] = chain.filtered(scores, table.start, table.transitions)[1].sum()
                out[s] += base.sum()
            except chain.ImpossibleError:
                out[s] = -np.inf
        return out

    def decode(self, table: HmmTable, block: SequenceBlock) -> tuple[NDArray[np.int32], Array]:
        """Return the best path of each sequence, (n_steps,), and its log joint, (n,)."""
        labels, joint = np.empty(block.n_steps, dtype=np.int32), np.empty(block.n)
        for s, _, steps in self._sequences(block.with_weights(None)):
            scores, _, base = self._rows_scores(table, block, steps)
            try:
                path = chain.hard(scores, table.start, table.transitions)
            except chain.ImpossibleError as error:
                raise _impossible(block, s, error) from None
            labels[steps], joint[s] = path.gamma.argmax(axis=1), path.bound + base.sum()
        return labels, joint

    def posteriors(self, table: HmmTable, block: SequenceBlock) -> Array:
        """Return p(z_t given the whole sequence) of each step, (n_steps, K)."""
        out = np.empty((block.n_steps, self.config.n_components))
        for s, _, steps in self._sequences(block.with_weights(None)):
            scores, _, _ = self._rows_scores(table, block, steps)
            try:
                out[steps] = chain.smoothed(scores, table.start, table.transitions).gamma
            except chain.ImpossibleError as error:
                raise _impossible(block, s, error) from None
        return out

    def _rows_scores(
        self, table: HmmTable, block: SequenceBlock, steps: slice
    ) -> tuple[Array, Array, Array]:
        return self._scores(table, block.rows.slice(steps.start, steps.stop), block, steps, "exact")


def _impossible(block: SequenceBlock, s: int, error: chain.ImpossibleError) -> ValueError:
    return ValueError(
        f"sequence {block.first + s} impossible from t={error.step}: no path of states has its "
        "observations under these parameters; give priors that allow them, or another start"
    )
