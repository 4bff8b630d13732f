"""The ladder as a table: an inference method is a row, not a class.

A row names the local rules that may serve the rung, the parameter rule, and the schedules that
make sense. Which of the local rules applies is the model's to declare (`Model.local_rules`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vemfast.models.base import Model

__all__ = [
    "METHODS",
    "SCHEDULES",
    "SCOPES",
    "Method",
    "Scope",
    "lookup",
    "refuse_unused",
    "unused",
    "without_effect",
]

SCHEDULES = ("batch", "memoized", "minibatch")


@dataclass(frozen=True, slots=True)
class Method:
    """A row of the table.

    Attributes
    ----------
    local_rules : tuple of str
        What may be done with the latent variables: exact, factorised, hard, sampled.
    parameter_rule : {"point", "posterior", "sampled"}
    schedules : tuple of str
    """

    local_rules: tuple[str, ...]
    parameter_rule: str
    schedules: tuple[str, ...] = SCHEDULES


# From accurate and slow to inaccurate and fast.
METHODS: dict[str, Method] = {
    "gibbs": Method(("sampled",), "sampled", ("batch",)),
    "mean-field": Method(("exact", "factorised"), "posterior"),
    "em": Method(("exact",), "point"),
    "variational-em": Method(("exact", "factorised"), "point"),
    "hard-em": Method(("hard",), "point"),
}


def lookup(model: Model | type[Model], inference: str, schedule: str = "batch") -> tuple[str, str]:
    """Return the local rule and the parameter rule of a rung for a model.

    Raises
    ------
    ValueError
        If there is no such rung, the model does not have it, or it does not run under the
        schedule. The message names a pair that works.
    """
    name = model.__name__ if isinstance(model, type) else type(model).__name__
    if inference not in METHODS:
        raise ValueError(f"inference must be one of {_names(METHODS)}; got {inference!r}")
    if schedule not in SCHEDULES:
        raise ValueError(f"schedule must be one of {_names(SCHEDULES)}; got {schedule!r}")
    method = METHODS[inference]
    if inference in model.unavailable:
        raise ValueError(f"{name} has no inference={inference!r}: {model.unavailable[inference]}")
    if inference not in model.local_rules:
        works = [rung for rung in METHODS if rung in model.local_rules]
        raise ValueError(f"{name} has no inference={inference!r}; it has {_names(works)}")
    local_rule = model.local_rules[inference]
    if local_rule not in method.local_rules:
        raise ValueError(
            f"{name} serves inference={inference!r} with the local rule {local_rule!r}; "
            f"it must be one of {_names(method.local_rules)}"
        )
    if schedule not in method.schedules:
        raise ValueError(
            f"inference={inference!r} does not run under schedule={schedule!r}; "
            f"use inference={inference!r} with schedule={method.schedules[0]!r}"
        )
    return local_rule, method.parameter_rule


def _iterates(inference: str, schedule: str) -> bool:
    return inference != "gibbs"


def _has_bound(inference: str, schedule: str) -> bool:
    return inference != "gibbs" and schedule != "minibatch"


def _samples(inference: str, schedule: str) -> bool:
    return inference == "gibbs"


def _has_batches(inference: str, schedule: str) -> bool:
    return schedule != "batch"


def _crawls(inference: str, schedule: str) -> bool:
    return inference in ("em", "variational-em") and schedule == "batch"


def _empties(inference: str, schedule: str) -> bool:
    return inference == "mean-field" and schedule == "batch"


def _forgets(inference: str, schedule: str) -> bool:
    return schedule == "minibatch"


@dataclass(frozen=True, slots=True)
class Scope:
    """Where an option acts.

    Attributes
    ----------
    default : object
    acts : callable of (inference, schedule)
    where : str
        How to say that.
    """

    default: Any
    acts: Callable[[str, str], bool]
    where: str

    def of(self, default: Any) -> Scope:
        """Return the same scope of an option with another default."""
        return Scope(default, self.acts, self.where)


SCOPES: dict[str, Scope] = {
    "max_iter": Scope(
        100, _iterates, "every inference but 'gibbs', which takes n_burn, n_draws, thin"
    ),
    "tol": Scope(1e-3, _has_bound, "a bound that rises: not 'gibbs', not schedule='minibatch'"),
    "n_burn": Scope(200, _samples, "inference='gibbs'"),
    "n_draws": Scope(200, _samples, "inference='gibbs'"),
    "thin": Scope(1, _samples, "inference='gibbs'"),
    "n_chains": Scope(4, _samples, "inference='gibbs'"),
    "n_batches": Scope(10, _has_batches, "schedule='memoized' or 'minibatch'"),
    "batch_size": Scope(None, _has_batches, "schedule='memoized' or 'minibatch'"),
    "learning_decay": Scope(0.7, _forgets, "schedule='minibatch'"),
    "learning_offset": Scope(10.0, _forgets, "schedule='minibatch'"),
    "merge_components": Scope(False, _empties, "inference='mean-field' with schedule='batch'"),
    "accelerate": Scope(False, _crawls, "inference='em' or 'variational-em' with schedule='batch'"),
}


def unused(
    inference: str,
    schedule: str,
    options: Mapping[str, Any],
    scopes: Mapping[str, Scope] = SCOPES,
) -> Iterator[tuple[str, str]]:
    """Yield the name of each option that is set and would do nothing, and a text that says so."""
    for option, value in options.items():
        scope = scopes[option]
        if value != scope.default and not scope.acts(inference, schedule):
            yield (
                option,
                f"{option}={value!r} has no effect with inference={inference!r}, "
                f"schedule={schedule!r}; it is for {scope.where}",
            )


def refuse_unused(inference: str, schedule: str, **options: Any) -> None:
    """Raise a ValueError for an option that is set and would do nothing."""
    for _, message in unused(inference, schedule, options):
        raise ValueError(message)


def without_effect(
    inference: str,
    schedule: str,
    options: Iterable[str],
    scopes: Mapping[str, Scope] = SCOPES,
) -> dict[str, Any]:
    """Return the default of every option among `options` that would do nothing."""
    return {
        option: scopes[option].default
        for option in options
        if option in scopes and not scopes[option].acts(inference, schedule)
    }


def _names(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)
