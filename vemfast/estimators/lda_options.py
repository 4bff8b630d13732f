"""Options of LatentDirichletAllocation: where each acts, and the perplexity that may end a fit."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from math import exp, log
from typing import Any

from vemfast.inference import methods
from vemfast.inference.methods import METHODS, SCOPES, Scope, lookup
from vemfast.models.lda import LatentDirichletAllocation as Model
from vemfast.stats import Params

__all__ = ["PerplexityRule", "check_unused", "perplexity_of", "without_effect"]

_ESTIMATES = Scope(None, SCOPES["max_iter"].acts, "every inference but 'gibbs'")
# Defaults that are not those of the other models, or options that act elsewhere.
_SCOPES: dict[str, Scope] = SCOPES | {
    "max_iter": SCOPES["max_iter"].of(10),
    "tol": SCOPES["tol"].of(0.0),
    "evaluate_every": _ESTIMATES.of(-1),
    "n_draws": SCOPES["n_draws"].of(20),
    "thin": SCOPES["thin"].of(5),
    "n_chains": SCOPES["n_chains"].of(1),
    "n_init": _ESTIMATES.of(1),
    "batch_size": SCOPES["learning_decay"].of(128),
    "n_batches": Scope(10, lambda _, schedule: schedule == "memoized", "schedule='memoized'"),
}
_OPTIONS = (
    "max_iter", "tol", "evaluate_every", "n_burn", "n_draws", "thin", "n_chains", "n_init",
    "batch_size", "n_batches", "learning_decay", "learning_offset",
)  # fmt: skip
# Those that scikit-learn's class takes whatever its method is.
_OF_SKLEARN = ("batch_size", "learning_decay", "learning_offset", "total_samples", "perp_tol")


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
    return methods.without_effect(inference, schedule, _OPTIONS, _SCOPES)


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
    options = {name: getattr(estimator, name) for name in _OPTIONS}
    if options["evaluate_every"] <= 0:
        del options["evaluate_every"]  # never
    yield from methods.unused(estimator.inference, schedule, options, _SCOPES)
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
