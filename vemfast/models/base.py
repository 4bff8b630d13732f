"""The contract between a model and the engine.

A model is five things: `layout`, `init`, `e_step`, `update` and `global_term`. Whoever writes them
gets every schedule that makes sense for them, the monitor with its convergence test and trace,
callbacks, progress bar, restarts, threads over blocks, and the checks of `vemfast.testing`.
`docs/extend.md` adds one in a page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vemfast.stats import Layout, Stats

__all__ = ["Model", "Step"]


@dataclass(frozen=True, slots=True)
class Step:
    """What one iteration is told; a model that draws nothing may ignore it.

    Attributes
    ----------
    local_rule : {"exact", "factorised", "hard", "sampled"}
        What the E-step does with the latent variables.
    parameter_rule : {"point", "posterior", "sampled"}
        What the update does with the parameters.
    seed : int
        64 bits. Draws are to depend on (seed, iteration, global row) alone.
    iteration : int
        0 at the start; the update from iteration i, and the E-step at its result, are told i + 1.
    n_jobs : int
        Threads that the model itself may use. A model whose `threads_within` is False is told 1.
    """

    local_rule: str = "exact"
    parameter_rule: str = "point"
    seed: int = 0
    iteration: int = 0
    n_jobs: int = 1

    @property
    def next(self) -> Step:
        """The step of the following iteration."""
        return Step(
            self.local_rule, self.parameter_rule, self.seed, self.iteration + 1, self.n_jobs
        )


class Model:
    """Base class of every model.

    Implement `layout`, `init`, `e_step`, `update` and `global_term`. The E-step and the update must
    be pure: they change neither their arguments nor the model. Parameters may be any object; the
    engine only passes them back.

    Attributes
    ----------
    layout : Layout
        Of the statistics.
    local_rules : mapping of str to str
        The local rule that serves each rung (value of `inference`). A rung that is absent is
        refused.
    unavailable : mapping of str to str
        For a rung that is absent: why, and what to use instead.
    threads_within : bool
        True: `e_step` runs `step.n_jobs` threads itself. False: the engine runs blocks in threads,
        so `e_step` must be safe to call concurrently, which pure functions are.
    takes_labels : bool
        Whether `init` and `e_step` heed the `labels` of a block.
    """

    layout: Layout
    local_rules: Mapping[str, str] = MappingProxyType({"em": "exact"})
    unavailable: Mapping[str, str] = MappingProxyType({})
    threads_within: bool = False
    takes_labels: bool = False

    def leaf_rows(self, dtype: Any) -> int | None:
        """Return how many rows of a dtype are one leaf of the sum that `e_step` makes of a block.

        Blocks of a stream are read in parts of a power of two of such leaves, so that the sum has
        the bits of the whole block's; for that `e_step` must add up its leaves in the tree of
        `vemfast.stats.fold`. None: blocks are read whole, one at a time.
        """
        return None

    def init(self, blocks: Sequence[Any], step: Step) -> Any:
        """Return parameters to start from."""
        raise NotImplementedError(f"{type(self).__name__}.init")

    def prepare(self, params: Any) -> Any:
        """Return what `e_step` needs of the parameters, computed once an iteration."""
        return params

    def e_step(self, prepared: Any, block: Any, step: Step) -> Stats:
        """Return the sufficient statistics of one block, with `local_bound` and `entropy` set.

        Where units have state that the next E-step goes on from, such as the proportions of a
        document, the new state is the statistics' `local`, and the last one is ``block.local``
        (None: none yet). The engine hands it on.
        """
        raise NotImplementedError(f"{type(self).__name__}.e_step")

    def update(self, params: Any, stats: Stats, step: Step) -> Any:
        """Return new parameters: the maximiser, the posterior or a draw, given the statistics.

        `params` are the previous ones: whatever has no data may keep its value.
        """
        raise NotImplementedError(f"{type(self).__name__}.update")

    def global_term(self, params: Any) -> float:
        """Return log prior (a point) or -KL(q || prior) (a posterior), nats, with all constants."""
        raise NotImplementedError(f"{type(self).__name__}.global_term")

    def expected_log_joint(self, params: Any, stats: Stats) -> float:
        """Return the inner product of statistics and the natural parameters of `params`, nats.

        ``stats.entropy + expected_log_joint(params, stats)`` bounds the data's share of the
        objective for statistics made at any parameters, and equals ``stats.local_bound`` at
        those that made them. Only the memoized schedule needs it.
        """
        raise NotImplementedError(
            f"schedule='memoized' needs {type(self).__name__}.expected_log_joint; "
            "implement it, or use schedule='batch'"
        )

    def size_of_terms(self, params: Any, stats: Stats) -> float:
        """Return the sum of the absolute terms of the local bound, where they cancel, nats.

        Asked only where the objective fell, to tell rounding from a fault: a sum near 0 of terms of
        many nats rounds as they do. `stats` were made at `params`. 0: the objective and the total
        weight say enough.
        """
        return 0.0

    def opening(self, blocks: Sequence[Any]) -> tuple[Any, int]:
        """Return the block that the first statistics of the minibatch schedule are made of.

        And how many batches it stands for: the rates begin with the update of that number. The
        first update forgets the start for these statistics, so a batch that does not show all that
        the start holds would lose it. The last batch, unless a model needs more.
        """
        return blocks[-1], 1

    def sweep(
        self,
        params: Any,
        stats: Stats,
        blocks: Sequence[Any],
        step: Step,
        rates: Iterator[float],
    ) -> tuple[Any, Stats] | None:
        """Return parameters after a whole pass of the minibatch schedule, and its statistics.

        For models whose statistics are gradients, which are not blended, or that keep what they
        change in place through a pass; the arguments stay as they are. `rates` yields the share of
        each batch's statistics in the blend, one a batch. None, before any rate is taken: the
        driver makes the pass, batch by batch.
        """
        return None

    def iterate(
        self, params: Any, stats: Stats | None, blocks: Sequence[Any], step: Step
    ) -> tuple[Any, Stats, float] | None:
        """Return new parameters, their statistics and their objective, or None.

        One iteration of the batch schedule in one call, for a model that can save something by it:
        `update` of `params` from `stats` (None: `params` stay), `prepare`, `e_step` and
        `global_term` at the result, with the same numbers. None: the engine is to call those. A
        model that would propose other parameters after this update returns None.
        """
        return None

    def to_vector(self, params: Any) -> NDArray[np.float64] | None:
        """Return a point as a vector whose numbers may take any value, or None if it has none.

        ``accelerate=True`` extrapolates in it, so it should be smooth, and near linear in the
        updates: logarithms of what is positive. None is for a point on the edge, such as one with
        a component of weight 0. Not for models whose blocks keep local state.
        """
        raise NotImplementedError(f"{type(self).__name__}.to_vector")

    def from_vector(self, vector: NDArray[np.float64], like: Any) -> Any | None:
        """Return the point that a vector says, the inverse of `to_vector`.

        Held in the support of the prior; None if that cannot be, as after overflow. What the vector
        does not say, or says as `like` has it, is that of `like`, to the bit.
        """
        raise NotImplementedError(f"{type(self).__name__}.from_vector")

    def propose(self, params: Any, stats: Stats, blocks: Sequence[Any], step: Step) -> Any | None:
        """Return other parameters to try in the place of `params`, or None.

        Such as one with an empty component re-seeded. Asked after each update of the batch
        schedule on a deterministic rung; the engine keeps the proposal only if the objective does
        not fall by it, and after a refusal asks no more in that fit.
        """
        return None

    def diagnose(self, params: Any, stats: Stats) -> list[str]:
        """Return what a user should be warned of at the end of a fit, one message each."""
        return []
