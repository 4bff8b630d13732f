"""Options of LatentDirichletAllocation: where each acts, and the perplexity that may end a fit."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vemfast.inference.methods import METHODS, lookup, refuse_unused
from vemfast.models.lda import LatentDirichletAllocation as Model
from vemfast.stats import Params

__all__ = ["PerplexityRule", "TopicDraws", "check_unused", "perplexity_of", "without_effect"]

Array = NDArray[np.float64]

# Defaults that are not those of the other models, and where the option acts: rungs, schedules.
_OWN_DEFAULTS: dict[str, tuple[Any, str, str]] = {
    "max_iter": (10, "all but 'gibbs'", "any"),
    "tol": (0.0, "all but 'gibbs'", "'batch' or 'memoized'"),
    "evaluate_every": (-1, "all but 'gibbs'", "any"),
    "n_burn": (200, "'gibbs'", "any"),
    "n_draws": (20, "'gibbs'", "any"),
    "thin": (5, "'gibbs'", "any"),
    "n_chains": (1, "'gibbs'", "any"),
    "n_init": (1, "all but 'gibbs'", "any"),
    "batch_size": (128, "all but 'gibbs'", "'minibatch'"),
    "n_batches": (10, "all but 'gibbs'", "'memoized'"),
}
# Those that scikit-learn's class takes whatever its method is.
_OF_SKLEARN = ("batch_size", "learning_decay", "learning_offset", "total_samples", "perp_tol")


@dataclass(frozen=True, eq=False)
class TopicDraws:
    """Kept draws of a Gibbs sampler.

    Attributes
    ----------
    topics : ndarray of shape (n_chains, n_draws, n_components, n_words)
    doc_topic_prior : ndarray of shape (n_chains, n_draws, n_components)
    log_joint : ndarray of shape (n_chains, n_draws)
        log p(w, z given α, β) + log p(β), nats, z the topics of the tokens at that draw.
    """

    topics: Array
    doc_topic_prior: Array
    log_joint: Array


def perplexity_of(model: Model, params: Params, objective: float, tokens: float) -> float:
    """Return exp(-objective / tokens), the largest number where that is larger.

    Less the log prior density of topics that are points, which is no probability of words.
    """
    own = model.global_term(params) if params.kind == "point" else 0.0
    return exp(min((own - objective) / tokens, log(sys.float_info.max)))


class PerplexityRule:
    """A callback that ends a fit once its perplexity has come to rest, as scikit-learn does.

    Every so many passes it looks at `perplexity_of` the objective, which the fit knows anyway;
    `ended` says whether it was less than `perp_tol` from what it was at the last look.
    """

    takes_params = True  # the monitor hands over the parameters

    def __init__(self, model: Model, every: int, perp_tol: float, tokens: float) -> None:
        self.model, self.every, self.perp_tol, self.tokens = model, every, perp_tol, tokens
        self.last: float | None = None
        self.ended = False

    def __call__(self, *, iteration: int, objective: float, elapsed: float, params: Any) -> bool:
        """Look at the perplexity if it is its turn; whether the fit is to stop."""
        if iteration == 0 or iteration % self.every:
            return False
        perplexity = perplexity_of(self.model, params, objective, self.tokens)
        self.ended = self.last is not None and abs(self.last - perplexity) < self.perp_tol
        self.last = perplexity
        return self.ended


def without_effect(inference: str, schedule: str) -> dict[str, Any]:
    """Return the default of every option that does nothing on this rung and schedule."""
    return {
        name: default
        for name, (default, rungs, schedules) in _OWN_DEFAULTS.items()
        if (inference == "gibbs") != (rungs == "'gibbs'")
        or not (schedules == "any" or f"'{schedule}'" in schedules)
    }


def check_unused(estimator: Any, schedule: str) -> None:
    """Raise a ValueError for an option that is set and would do nothing.

    Of those that scikit-learn's class has, and on its rung, only warn: its users' code is to run.
    """
    inference = estimator.inference
    if inference in METHODS and schedule not in METHODS[inference].schedules:
        lookup(Model, inference, schedule)  # says why
    for name, message in _unused(estimator, schedule):
        if name not in _OF_SKLEARN or inference != "mean-field":
            raise ValueError(message)
        warnings.warn(message, UserWarning, stacklevel=4)  # whoever called fit


def _unused(estimator: Any, schedule: str) -> Iterator[tuple[str, str]]:
    """Yield the name of each option that is set and would do nothing, and a text that says so."""
    inference = estimator.inference
    for name, default in without_effect(inference, schedule).items():
        value = getattr(estimator, name)
        is_never = name == "evaluate_every" and value <= 0
        if value != default and not is_never:
            _, rungs, schedules = _OWN_DEFAULTS[name]
            yield (
                name,
                f"{name}={value!r} has no effect with inference={inference!r}, "
                f"schedule={schedule!r}; it is for inference {rungs}, schedule {schedules}",
            )
    for name in ("learning_decay", "learning_offset"):
        try:
            refuse_unused(inference, schedule, **{name: getattr(estimator, name)})
        except ValueError as error:
            yield name, str(error)
    if estimator.total_samples != 1e6:
        yield (
            "total_samples",
            "total_samples has no effect on fit, which knows its documents; it is for partial_fit",
        )
    if estimator.evaluate_every > 0 and estimator.n_init > 1:
        yield (
            "evaluate_every",
            "evaluate_every ends one fit by its perplexity: give it to a fit with n_init=1",
        )
    if estimator.perp_tol != 0.1 and estimator.evaluate_every <= 0:
        yield (
            "perp_tol",
            f"perp_tol={estimator.perp_tol!r} has no effect without evaluate_every > 0",
        )
