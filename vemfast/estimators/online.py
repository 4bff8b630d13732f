"""Fitting chunk by chunk: `partial_fit`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MethodType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from vemfast.estimators.base import Estimator, chunks_of
from vemfast.inference.engine import Control, report
from vemfast.inference.methods import METHODS
from vemfast.inference.minibatch import check_rates
from vemfast.inference.monitor import FitResult
from vemfast.inference.online import Progress, advance, begin
from vemfast.inference.restarts import seeds
from vemfast.models.base import Step
from vemfast.models.clamping import check_labels

__all__ = ["OfEstimates", "OnlineEstimator"]

# Parameters that may change between calls: those of `fit` alone, and those that each update reads.
_FREE = {
    "schedule", "tol", "max_iter", "n_iter", "accelerate", "merge_components", "n_init",
    "algorithm", "n_burn", "n_draws", "thin", "n_chains",
    "batch_size", "n_batches", "evaluate_every", "perp_tol",
    "learning_decay", "learning_offset", "total_samples",
    "random_state", "warm_start", "n_jobs", "callbacks", "verbose", "on_interrupt",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Online:
    """What an estimator remembers between calls of `partial_fit`."""

    model: Any
    step: Step
    progress: Progress
    columns: dict[str, Any]
    settings: dict[str, Any]
    trace: list[float]


class _NoSuchMethodError(ValueError, AttributeError):
    """A method that the present parameters rule out: so `hasattr` says no."""


class OfEstimates:
    """A method of the rungs that estimate; those that draw are as if without it."""

    def __init__(self, method: Callable[..., Any]) -> None:
        self._method = method
        self.__doc__ = method.__doc__

    def __get__(self, estimator: Any, owner: Any = None) -> Callable[..., Any]:
        if estimator is None:
            return self._method
        rung = METHODS.get(estimator.inference)
        if rung is not None and rung.parameter_rule == "sampled":
            raise _NoSuchMethodError(
                f"{self._method.__name__} updates estimates as rows come, and "
                f"inference={estimator.inference!r} draws from a posterior given all rows; use "
                "inference='em', 'variational-em', 'hard-em' or 'mean-field', or fit"
            )
        return MethodType(self._method, estimator)


class OnlineEstimator(Estimator):
    """Base of estimators that can be fitted chunk by chunk.

    A subclass implements `_model`, `_further`, `_warm`, `_notes` and `_attributes`.
    """

    def _model(
        self, X: Any, sample_weight: ArrayLike | None
    ) -> tuple[Any, Any, dict[str, Any], Step]:
        """Return the model for these data, the data, the attributes of their columns, a step."""
        raise NotImplementedError

    def _warm(self, model: Any) -> Any | None:
        """Return the point that the last fit ended with, where `warm_start` asks for it."""
        raise NotImplementedError

    def _notes(self, block: Any) -> list[str]:
        """Return what the data themselves do not pin down."""
        raise NotImplementedError

    def _attributes(self, model: Any, params: Any) -> dict[str, Any]:
        """Return the fitted attributes that describe the parameters."""
        raise NotImplementedError

    def _further(self, model: Any, X: Any, sample_weight: ArrayLike | None) -> Any:
        """Return more rows, checked, as a block for a model of earlier ones."""
        raise NotImplementedError

    def _whole(self, block: Any, progress: Progress | None) -> float | None:
        """Return the weight of all rows of which chunks are a sample; None: of those seen."""
        return self.total_samples  # type: ignore[no-any-return]

    def _labelled(self, model: Any, block: Any, labels: ArrayLike | None) -> Any:
        """Return the block with the components that its rows are known to belong to."""
        if labels is None:
            return block
        if not model.takes_labels:
            raise ValueError(f"{type(self).__name__} takes no labels; leave them out")
        known = check_labels(labels, block.n, model.config.n_components)
        return block if known is None else block.with_labels(known)

    @OfEstimates
    def partial_fit(
        self,
        X: ArrayLike,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        labels: ArrayLike | None = None,
    ) -> Any:
        """Update the mixture by one step with some more rows.

        Stepwise EM (Cappé and Moulines 2009; "em", "variational-em" and "hard-em") or stochastic
        variational inference (Hoffman et al. 2013; "mean-field"): the statistics of the rows are
        blended with those of earlier calls, call t + 1 at the rate
        (t + `learning_offset`) ** -`learning_decay`, and the parameters follow them.

        The first call also sets up what later ones keep: the origin, the scale of the data, default
        priors and the start come from its rows alone, so let it have a fair sample of them, some
        hundred rows at least. It begins anew, also after a `fit`, whose estimates it starts from
        with ``warm_start=True``. A `fit` in turn forgets all earlier calls. What `fit` reads for
        its iterations has no part here: `schedule`, `tol`, `max_iter`, `n_init`, the batches and
        `callbacks`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            A chunk of any size; the first needs as many rows as there are components.
        y : None
            Ignored; for scikit-learn's interface.
        sample_weight : array-like of shape (n_samples,), default=None
        labels : array-like of int, shape (n_samples,), default=None
            The components that rows of this chunk are known to belong to, -1 where unknown.

        Returns
        -------
        self
            With the attributes of a fit. `lower_bound_` is a noisy estimate of the objective for
            `total_samples` rows (None: those seen so far), `lower_bounds_` its values after each
            call, which may fall; `n_iter_` counts the calls, and `stop_reason_` is "partial_fit".

        Raises
        ------
        ValueError
            If the chunk or a parameter is bad, or does not go with earlier calls, or the rung is
            "gibbs". Nothing changes.
        NumericalError
            If the arithmetic breaks down on these rows. Nothing changes.
        """
        with self._only_fit():
            self._partial_fit(X, sample_weight, labels)
        return self

    def _partial_fit(
        self, X: Any, sample_weight: ArrayLike | None, labels: ArrayLike | None
    ) -> None:
        self._check_params()
        check_rates(self.learning_decay, self.learning_offset)
        if not isinstance(X, np.memmap) and chunks_of(X) is not None:
            raise ValueError(
                "partial_fit takes the rows of one chunk; call it for each chunk, or fit(X)"
            )
        notes: list[str] = []
        online: _Online | None = vars(self).get("_online")
        if online is None:
            known, notes = self._first(X, sample_weight, labels)
        else:
            known = self._next(online, X, sample_weight, labels)
        progress = known.progress
        result = FitResult(
            progress.params,
            progress.stats,
            progress.objective,
            known.trace,
            progress.updates,
            False,
            "partial_fit",
        )
        attributes = self._attributes(known.model, progress.params.copy())
        self._keep_fit(result, {**known.columns, **attributes, "_online": known})
        report(known.model, result, Control("minibatch"), known.step, stacklevel=4, notes=notes)

    def _first(
        self, X: Any, sample_weight: ArrayLike | None, labels: ArrayLike | None
    ) -> tuple[_Online, list[str]]:
        model, block, columns, step = self._model(X, sample_weight)
        block = self._labelled(model, block, labels)
        seed = seeds(self.random_state, 1)[0]
        step = Step(step.local_rule, step.parameter_rule, seed, 0, step.n_jobs)
        warm = self._warm(model)
        params = model.init([block], step) if warm is None else model.adopt(warm, [block], step)
        progress = begin(model, params, block, step, self._whole(block, None))
        settings = {k: v for k, v in self.get_params(deep=False).items() if k not in _FREE}
        known = _Online(model, step, progress, columns, settings, [progress.objective])
        return known, self._notes(block)

    def _next(
        self,
        online: _Online,
        X: Any,
        sample_weight: ArrayLike | None,
        labels: ArrayLike | None,
    ) -> _Online:
        self._refuse_changes(online.settings)
        block = self._further(online.model, X, sample_weight)
        block = self._labelled(online.model, block, labels)
        last = online.step
        step = Step(
            last.local_rule, last.parameter_rule, last.seed, last.iteration + 1, self._threads()
        )
        progress = advance(
            online.model,
            online.progress,
            block,
            step,
            self._whole(block, online.progress),
            self.learning_decay,
            self.learning_offset,
        )
        trace = [*online.trace, progress.objective]
        return _Online(online.model, step, progress, online.columns, online.settings, trace)

    def _refuse_changes(self, settings: Mapping[str, Any]) -> None:
        for name, value in settings.items():
            present = getattr(self, name)
            if present is not value and not _equal(present, value):
                raise ValueError(
                    f"{name} is {present!r}, but was {value!r} when partial_fit began; set it "
                    "back, or begin anew with a clone"
                )


def _equal(a: Any, b: Any) -> bool:
    """Whether two values of a parameter, which may be arrays, are the same."""
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):  # of arrays, perhaps, that differ in shape
        return len(a) == len(b) and all(map(_equal, a, b))
    if np.shape(a) != np.shape(b):
        return False
    return bool(np.array_equal(np.asarray(a), np.asarray(b)))
