"""Hidden Markov models, native, behind the model contract: thin.

Everything over the steps and every update happens in the extension; this file names the layouts,
keeps the configuration, and chooses starts. Its plain NumPy twin is `vemfast.reference.hmm`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from types import MappingProxyType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vemfast import _core
from vemfast.indexed import IndexedBlock
from vemfast.models import discrete_mixture, gaussian_mixture
from vemfast.models.base import Step
from vemfast.models.discrete_config import DiscreteConfig
from vemfast.models.discrete_config import Start as DiscreteStart
from vemfast.models.gaussian_config import Start as GaussianStart
from vemfast.models.hmm_config import LOCAL_RULES, HmmConfig, Start
from vemfast.models.hmm_starts import labelled_components
from vemfast.models.native_model import NativeModel
from vemfast.sequences import SequenceBlock
from vemfast.stats import Params, Stats

__all__ = ["HiddenMarkov"]

Array = NDArray[np.float64]
_Result = TypeVar("_Result")


class HiddenMarkov(NativeModel[_core.HmmTable]):
    """Hidden Markov model of Gaussian, Bernoulli, Poisson or categorical emissions.

    Parameters
    ----------
    config : HmmConfig
        Shape and priors.
    start : Start, default=None
        How `init` finds its first parameters. None: emissions by k-means.
    """

    local_rules = MappingProxyType(dict(LOCAL_RULES))

    config: HmmConfig
    _native: _core.HiddenMarkov

    def __init__(self, config: HmmConfig, start: Start | None = None) -> None:
        is_discrete = isinstance(config.emission, DiscreteConfig)
        usual = Start(DiscreteStart() if is_discrete else GaussianStart())
        super().__init__(config, usual if start is None else start, _native(config))
        self.unavailable = config.unavailable()

    def __reduce__(self) -> tuple[Any, ...]:
        return HiddenMarkov, (self.config, self.start)

    # ---- the contract ----------------------------------------------------------------------

    def e_step(self, prepared: _core.HmmTable, block: SequenceBlock, step: Step) -> Stats:
        """Return the statistics of one block of sequences.

        Raises
        ------
        ValueError
            If a sequence of positive weight is impossible under the parameters.
        """
        buffer, state = _naming_sequences(
            block,
            lambda: _core.hmm_e_step(
                prepared,
                *self._rows(block, step.n_jobs, with_base=True),
                block.lengths,
                block.weights,
                block.labels,
                block.offset,
                step.local_rule,
                block.local if step.local_rule == "factorised" else None,
                step.seed,
                step.iteration,
                step.n_jobs,
            ),
        )
        stats = Stats(self.layout, buffer)
        stats.local = state
        return stats

    def _frozen_fields(self) -> tuple[str, ...]:
        fields: tuple[str, ...] = self.config.emission.freeze
        return fields

    def init(self, blocks: Sequence[SequenceBlock], step: Step) -> Params:
        """Return first parameters as `start` says.

        Emissions as the mixture of the steps, as if they were independent, would start; start and
        transitions equal, so that nothing is ruled out that is not meant to be.
        """
        first = Params(self._layouts["point"], "point")
        config = self.config
        first["startprob"], first["transmat"] = self.first_chain()
        if config.n_mix > 1:
            first["mix_weights"] = 1.0 / config.n_mix
        for name, value in self._first_emissions(blocks, step).items():
            first[name] = value
        if self.start.mix_weights is not None:
            first["mix_weights"] = self.start.mix_weights
        return self.adopt(first, blocks, step)

    def first_chain(self) -> tuple[Array, Array]:
        """Return where start and transitions begin."""
        config, startprob, transmat = self.config, self.start.startprob, self.start.transmat
        if startprob is None:
            startprob = _equal(config.start_support, config.start_frozen)
        if transmat is None:
            transmat = _equal(config.transition_support, config.transition_frozen)
        return startprob, transmat

    def adopt(self, params: Params, blocks: Sequence[SequenceBlock], step: Step) -> Params:
        """Return `params` as the parameter rule wants them, by one E-step where it must."""
        kind = "posterior" if step.parameter_rule == "posterior" else "point"
        if params.kind == kind:
            return params
        table, exact = self.prepare(params), Step("exact", "point", step.seed, 0, step.n_jobs)
        stats = [self.e_step(table, block, exact) for block in blocks]
        return self.update(params, sum(stats[1:], stats[0]), step)

    def size_of_terms(self, params: Params, stats: Stats) -> float:
        """Return the sum of the absolute terms of the emissions' scores, nats."""
        emission = self.config.emission
        if not isinstance(emission, DiscreteConfig):
            return 0.0
        return discrete_mixture.size_of_terms(emission, params, stats)

    def diagnose(self, params: Params, stats: Stats) -> list[str]:
        """Return warnings of states that no step is in."""
        if params.kind != "point":
            return []
        counts = stats["counts"].reshape(self.config.n_components, -1).sum(axis=1)
        return [
            f"state {k} is empty: no step is in it, so its emissions and its row of the transition "
            "matrix mean nothing; use fewer states or another start"
            for k in np.flatnonzero(counts <= 0)
        ]

    # ---- use -------------------------------------------------------------------------------

    def score(self, table: _core.HmmTable, block: SequenceBlock, n_jobs: int = 1) -> Array:
        """Return log p of each sequence, nats, -inf for an impossible one."""
        own = self._rows(block, n_jobs, with_base=True)
        return _core.hmm_score(table, *own, block.lengths, block.labels, n_jobs)

    def decode(
        self, table: _core.HmmTable, block: SequenceBlock, n_jobs: int = 1
    ) -> tuple[NDArray[np.int32], Array]:
        """Return the best path of each sequence, (n_steps,), and its log joint, (n,)."""
        own = self._rows(block, n_jobs, with_base=True)
        return _naming_sequences(
            block, lambda: _core.hmm_decode(table, *own, block.lengths, block.labels, n_jobs)
        )

    def posteriors(self, table: _core.HmmTable, block: SequenceBlock, n_jobs: int = 1) -> Array:
        """Return p(z_t given the whole sequence) of each step, (n_steps, K)."""
        own = self._rows(block, n_jobs)
        return _naming_sequences(
            block, lambda: _core.hmm_posteriors(table, *own, block.lengths, block.labels, n_jobs)
        )

    def scores(self, table: _core.HmmTable, block: SequenceBlock, n_jobs: int = 1) -> Array:
        """Return the log density of each step in each state, without base measure, (n_steps, K)."""
        own = self._rows(block, n_jobs)
        return _core.hmm_scores(table, *own, block.lengths, block.labels, n_jobs)

    def base(self, block: SequenceBlock) -> float:
        """Return the log base measure of all steps, which `scores` leave out, nats."""
        base = self._rows(block, 1, with_base=True)[1]
        return 0.0 if base is None else float(base.sum())

    def mean_chain(self, params: Params) -> Array:
        """Return E[start], then the rows of E[transitions], of a posterior, (K + K * K,)."""
        return self._native.mean_chain(params.buffer)

    # ---- helpers -----------------------------------------------------------------------------

    def _rows(
        self, block: SequenceBlock, n_jobs: int, with_base: bool = False
    ) -> tuple[Any, Any, bool]:
        """Return rows, base measures and whether scores are single, as the extension asks."""
        rows = block.rows
        if not isinstance(rows, IndexedBlock):
            return rows.X, None, False
        base = None
        if with_base and isinstance(self.config.emission, DiscreteConfig):
            base = discrete_mixture.log_base_measure(self.config.emission, rows, n_jobs)
        return discrete_mixture.native_rows(rows), base, rows.dtype == np.float32

    def _first_emissions(
        self, blocks: Sequence[SequenceBlock], step: Step
    ) -> dict[str, NDArray[np.float64]]:
        """Return point parameters of the emissions, as a mixture of the steps starts."""
        emission = self.config.emission
        start: Any = self.start.emission
        if isinstance(emission, DiscreteConfig) and start.table is not None:
            return {emission.table_name: start.table}
        rows: list[Any] = [
            block.steps() if block.labels is None else block.steps().with_labels(block.labels)
            for block in blocks
        ]
        if self.config.n_mix > 1:
            rows = labelled_components(self.config, rows, start.init_params, step.seed)
        point = Step("hard", "point", step.seed, 0, step.n_jobs)
        of = self.config.mixture
        mixture: Any
        if isinstance(of, DiscreteConfig):
            mixture = discrete_mixture.DiscreteMixture(of, start)
        else:
            mixture = gaussian_mixture.GaussianMixture(of, start)
        first = mixture.init(rows, point)
        return {name: first[name] for name in self.config.emission_fields}


def _equal(support: Array, frozen: Array) -> Array:
    """Return rows whose free entries are equal, beside the frozen ones."""
    held = ~np.isnan(frozen)
    free = support & ~held
    left = np.maximum(1.0 - np.nansum(frozen, axis=-1, keepdims=True), 0.0)
    share = left / np.maximum(free.sum(axis=-1, keepdims=True), 1)
    return np.where(held, frozen, np.where(free, share, 0.0))


def _naming_sequences(block: SequenceBlock, call: Callable[[], _Result]) -> _Result:
    """Return what `call` does; an impossible sequence is named by its number among all of them."""
    try:
        return call()
    except ValueError as error:
        found = re.search(r"sequence (\d+) impossible from t=(\d+)", str(error))
        if found is None:
            raise
        raise ValueError(
            f"sequence {block.first + int(found[1])} impossible from t={found[2]}: no path of "
            "states has its observations under these parameters; give priors that allow them, or "
            "another start"
        ) from None


def _native(config: HmmConfig) -> _core.HiddenMarkov:
    emission = config.emission
    of_family: Any
    if isinstance(emission, DiscreteConfig):
        of_family = discrete_mixture.native(emission)
    else:
        of_family = gaussian_mixture.native(emission)
    return _core.HiddenMarkov(
        of_family,
        start_prior=config.start_prior,
        transition_prior=config.transition_prior,
        start_support=config.start_support,
        transition_support=config.transition_support,
        start_frozen=config.start_frozen,
        transition_frozen=config.transition_frozen,
        n_sweeps=config.n_sweeps,
        sweep_tol=config.sweep_tol,
        n_mix=config.n_mix,
        mix_prior=config.mix_prior,
    )
