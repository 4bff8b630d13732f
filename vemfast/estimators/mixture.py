"""What every mixture estimator shares: a fit, and the use of one.

A subclass states its parameters, and says in a few methods how a model is made of them and of the
data, and how the model's parameters and the fitted attributes turn into each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import DensityMixin
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from vemfast.estimators.base import (
    Task,
    as_generator,
    check_count,
    check_sample_weight,
    weights_of_chunks,
)
from vemfast.estimators.online import OnlineEstimator
from vemfast.inference.methods import METHODS, SCHEDULES
from vemfast.inference.monitor import FitResult
from vemfast.inference.restarts import seeds
from vemfast.models.base import Step
from vemfast.models.clamping import check_responsibilities
from vemfast.streams import ChunkWeights

__all__ = ["WEIGHT_PRIORS", "MixtureEstimator"]

Array = NDArray[np.float64]

# The last is scikit-learn's name for the first.
WEIGHT_PRIORS = {
    "dirichlet": "dirichlet",
    "dirichlet_process": "dirichlet_process",
    "dirichlet_distribution": "dirichlet",
}


class MixtureEstimator(DensityMixin, OnlineEstimator):  # type: ignore[misc]
    """Base of the mixtures.

    A subclass declares the parameters named in `_parameter_constraints` and its own, and implements
    `_model`, `_further`, `_warm`, `_notes`, `_attributes`, `_draws`, `_start_parameters`,
    `_fitted`, `_draw_tables`, `_draw_rows` and `_n_parameters`.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "inference": [StrOptions(set(METHODS))],
        "schedule": [StrOptions(set(SCHEDULES))],
        "tol": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "accelerate": ["boolean"],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "weights_init": ["array-like", None],
        "resp_init": ["array-like", None],
        "freeze": [tuple, list, None],
        "equal_weights": ["boolean"],
        "weight_concentration_prior_type": [StrOptions(set(WEIGHT_PRIORS))],
        "weight_concentration_prior": [Interval(Real, 0, None, closed="neither"), None],
        "n_burn": [Interval(Integral, 0, None, closed="left")],
        "n_draws": [Interval(Integral, 1, None, closed="left")],
        "thin": [Interval(Integral, 1, None, closed="left")],
        "n_chains": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "n_batches": [Interval(Integral, 1, None, closed="left")],
        "learning_decay": [Interval(Real, 0.5, 1, closed="right")],
        "learning_offset": [Interval(Real, 0, None, closed="left")],
        "total_samples": [Interval(Real, 0, None, closed="neither"), None],
        "random_state": ["random_state", np.random.Generator],
        "warm_start": ["boolean"],
        "n_jobs": [Integral, None],
        "callbacks": [callable, "array-like", None],
        "verbose": ["verbose"],
        "on_interrupt": [StrOptions({"raise", "return"})],
    }

    # ---- what a subclass says, beside what OnlineEstimator asks for --------------------------

    def _draws(self, model: Any, results: Sequence[FitResult]) -> Any:
        """Return `posterior_`: at least `weights`, `log_joint` and `log_likelihood`."""
        raise NotImplementedError

    def _start_parameters(self, model: Any, params: Any) -> dict[str, Any]:
        """Return the parameters of the constructor that make a fit start at a point."""
        raise NotImplementedError

    def _fitted(self, point: bool = False) -> tuple[Any, Any]:
        """Return a model and parameters made from the fitted attributes."""
        raise NotImplementedError

    def _draw_tables(self, model: Any) -> list[Any]:
        """Return the score table of each kept draw."""
        raise NotImplementedError

    def _draw_rows(self, n: int, rng: np.random.Generator) -> tuple[Any, NDArray[np.int64]]:
        """Return rows drawn at the point attributes, and their components."""
        raise NotImplementedError

    def _n_parameters(self) -> int:
        """Return the number of free parameters of a point."""
        raise NotImplementedError

    def _own_options(self) -> dict[str, Any]:
        """Return the options of a subclass that act on some rungs or schedules only."""
        return {}

    # ---- fitting ---------------------------------------------------------------------------

    def fit(
        self,
        X: ArrayLike,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        labels: ArrayLike | None = None,
    ) -> Any:
        """Fit the mixture.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or chunks of such rows
            float32 stays float32 in memory and scores; other types become float64. A memory map of
            either type is used in place.

            Rows that do not fit into memory may be given in chunks of any sizes: a list or tuple of
            2-D arrays, an object that can be iterated again and again, or a callable without
            arguments that returns a new iterator, ``lambda: (read(part) for part in parts)``. They
            are read once an iteration, and some times before the first; the fit has the bits of
            the same rows in one array. A chunk may also be a pair (rows, weights). `predict` and
            its like take chunks, too, also from an iterator that can be read only once.
        y : None
            Ignored; for scikit-learn's interface.
        sample_weight : array-like of shape (n_samples,), default=None
            A row of weight two counts as two rows; of weight zero, as none.
        labels : array-like of int, shape (n_samples,), default=None
            The component that a row is known to belong to, -1 where that is not known; one array
            also where the rows come in chunks. A known row belongs to its component on every rung,
            the objective is that of the rows with these labels, and component k starts from the
            rows known to be its own.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If data or parameters are bad; an earlier fit stays as it was. It does, too, if chunks
            cannot be read to their end, whatever exception their source raises.
        NumericalError
            If the arithmetic broke down; the best full iteration is kept.
        """
        with self._only_fit():
            self._fit(X, sample_weight, labels)
        return self

    def _fit(self, X: ArrayLike, sample_weight: ArrayLike | None, labels: ArrayLike | None) -> None:
        self._run(*self._task(X, sample_weight, labels))

    def _task(
        self,
        X: ArrayLike,
        sample_weight: ArrayLike | None,
        labels: ArrayLike | None = None,
    ) -> Task:
        """Validate, and return all that a fit needs."""
        self._check_params()
        control = self._control(
            tol=self.tol,
            max_iter=self.max_iter,
            n_burn=self.n_burn,
            n_draws=self.n_draws,
            thin=self.thin,
            n_chains=self.n_chains,
            n_batches=self.n_batches,
            batch_size=self.batch_size,
            learning_decay=self.learning_decay,
            learning_offset=self.learning_offset,
            accelerate=self.accelerate,
            **self._own_options(),
        )
        if self.total_samples is not None:
            raise ValueError(
                "total_samples has no effect on fit, which knows its rows; it is for partial_fit"
            )
        if self.inference == "gibbs" and self.n_init != 1:
            raise ValueError("n_init has no effect with inference='gibbs'; n_chains is its like")
        model, block, columns, step = self._model(X, sample_weight)
        block = self._labelled(model, block, labels)
        warm = self._warm(model)
        blocks = self._blocks(block)

        def start(step: Step) -> Any:
            return model.init(blocks, step) if warm is None else model.adopt(warm, blocks, step)

        def keep(result: FitResult, results: list[FitResult]) -> None:
            attributes = self._attributes(model, result.params)
            if self.inference == "gibbs":
                attributes["posterior_"] = self._draws(model, results)
            if self.accelerate:
                attributes["n_e_steps_"] = result.n_e_steps
            self._keep_fit(result, {**columns, **attributes})

        work = block.n * model.config.n_components * model.config.work_per_row
        return Task(model, blocks, step, control, work, start, keep, self._notes(block))

    def _at_point(self) -> tuple[Any, Any]:
        """Return a model and parameters made from the point attributes."""
        return self._fitted(point=True)

    def common_start(self, X: ArrayLike, sample_weight: ArrayLike | None = None) -> dict[str, Any]:
        """Return the parameters that make every rung start where this estimator would.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        dict
            Such as `weights_init` and `means_init`, for `set_params`.
        """
        self._check_params()
        model, block, _, step = self._model(X, sample_weight)
        seed = seeds(self.random_state, 1)[0]
        start = model.init([block], Step("exact", "point", seed, 0, step.n_jobs))
        parameters = self._start_parameters(model, start)
        return parameters if self.resp_init is None else {**parameters, "resp_init": None}

    def _beginning(self, start: Any, n: int, parameters: str) -> Any:
        """Return the start with the responsibilities of `resp_init`.

        `parameters` are those that give a whole start, for the message.
        """
        if self.resp_init is None:
            return start
        if start.is_complete:
            raise ValueError(
                f"resp_init has no effect where {parameters} give the whole start; leave one of "
                "them out"
            )
        given = check_responsibilities(self.resp_init, n, int(self.n_components))
        return replace(start, responsibilities=given)

    def _frozen(self, sources: Mapping[str, str]) -> tuple[str, ...]:
        """Return the fields of the point that `freeze` names.

        `sources` maps each field to the parameter that gives its value.
        """
        if not self.freeze:
            return ()
        for name in self.freeze:
            if name not in sources:
                raise ValueError(f"freeze may name {', '.join(map(repr, sources))}; got {name!r}")
        if METHODS[self.inference].parameter_rule != "point":
            raise ValueError(
                f"freeze holds estimates, and inference={self.inference!r} has a posterior in "
                "their place; use inference='em'"
            )
        for name in self.freeze:
            if getattr(self, sources[name]) is None and not self._starts_warm():
                raise ValueError(
                    f"freeze={self.freeze!r} needs the value at which {name} are to stay: give "
                    f"{sources[name]}, or fit first and then again with warm_start=True"
                )
        return tuple(dict.fromkeys(self.freeze))

    def _starts_warm(self) -> bool:
        return bool(self.warm_start) and hasattr(self, "weights_")

    def _as_given(self, attribute: str, parameter: str) -> Array:
        """Return the value of a frozen attribute with the bits that it was given with."""
        value = getattr(self, parameter)
        if value is None or (self._starts_warm() and hasattr(self, attribute)):
            value = getattr(self, attribute)
        return np.array(value, dtype=np.float64)

    def _check_size(self, block: Any) -> int:
        """Return the number of rows of positive weight; refuse fewer than components."""
        n = block.n if block.weights is None else int(np.count_nonzero(block.weights))
        if n < self.n_components:
            raise ValueError(
                f"n_components={self.n_components} needs at least as many rows, but X has "
                f"n_samples={n}" + ("" if n == block.n else " of positive weight")
            )
        return n

    def _distinct(self, block: Any) -> list[str]:
        """Return a note where fewer rows differ than there are components."""
        distinct = block.distinct_rows(self.n_components)
        if distinct >= self.n_components:
            return []
        return [
            f"X has only {distinct} distinct rows, fewer than n_components={self.n_components}: "
            "components coincide or stay empty; use fewer components"
        ]

    # ---- use -------------------------------------------------------------------------------

    def fit_predict(
        self,
        X: ArrayLike,
        y: Any = None,
        sample_weight: ArrayLike | None = None,
        labels: ArrayLike | None = None,
    ) -> NDArray[np.int64]:
        """Fit, then return `predict(X)`; which does not know `labels`."""
        return self.fit(X, y, sample_weight, labels).predict(X)  # type: ignore[no-any-return]

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return the component of highest responsibility of each row, shape (n_samples,)."""
        return self._by_chunk(X, self._labels)

    def _labels(self, rows: Any) -> NDArray[np.int64]:
        model, params = self._fitted()
        labels = self._assign(model, model.prepare(params), rows, "labels")
        return np.asarray(labels, dtype=np.int64)

    def predict_proba(self, X: ArrayLike) -> Array:
        """Return responsibilities, shape (n_samples, n_components): the E-step's q(z)."""
        return self._by_chunk(X, self._responsibilities)

    def _responsibilities(self, rows: Any, point: bool = False) -> Array:
        model, params = self._fitted(point)
        return self._assign(model, model.prepare(params), rows, "responsibilities")

    def score_samples(self, X: ArrayLike) -> Array:
        """Return the log density of each row, nats, shape (n_samples,).

        Under "mean-field" the posterior predictive, a mixture of Student-t densities; under
        "gibbs" the average density over the kept draws.
        """
        return self._by_chunk(X, self._log_density)

    def _log_density(self, rows: Any) -> Array:
        model, params = self._fitted()
        if not hasattr(self, "posterior_"):
            return self._assign(model, model.predictive(params), rows, "log_density")
        tables = self._draw_tables(model)
        if not tables:
            raise ValueError(
                "score_samples averages over kept draws, and there are none: the fit ended before "
                f"its first (n_burn={self.n_burn}); fit again"
            )
        total: Any = -np.inf
        for table in tables:
            total = np.logaddexp(total, self._assign(model, table, rows, "log_density"))
        return np.asarray(total - np.log(len(tables)))

    def score(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """Return the (weighted) mean of `score_samples(X)`, nats a row."""
        own = ChunkWeights()
        density = self._by_chunk(X, self._log_density, own)
        given = weights_of_chunks(own.joined(), sample_weight)
        weights = check_sample_weight(given, density.size)
        if weights is None:
            return float(density.mean())
        counted = weights > 0  # a row of no weight may have the log density -inf
        return float(density[counted] @ weights[counted] / weights.sum())

    def sample(self, n_samples: int = 1) -> tuple[Array, NDArray[np.int64]]:
        """Draw rows from the mixture at its point attributes.

        Parameters
        ----------
        n_samples : int, default=1

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
        y : ndarray of shape (n_samples,)
            Their components.
        """
        check_is_fitted(self)
        return self._draw_rows(check_count("n_samples", n_samples), as_generator(self.random_state))

    def bic(self, X: ArrayLike) -> float:
        """Return the Bayesian information criterion at the point attributes; lower is better."""
        log_likelihood, n = self._plug_in(X)
        return -2.0 * log_likelihood + self._n_parameters() * float(np.log(n))

    def aic(self, X: ArrayLike) -> float:
        """Return Akaike's information criterion at the point attributes; lower is better."""
        return -2.0 * self._plug_in(X)[0] + 2.0 * self._n_parameters()

    def icl(self, X: ArrayLike) -> float:
        """Return the integrated complete-data likelihood criterion; lower is better.

        The BIC plus twice the negative log responsibility of each row's own component (Biernacki,
        Celeux and Govaert 2000).
        """
        certainty = self._by_chunk(X, self._certainty)
        return self.bic(X) - 2.0 * float(np.log(certainty).sum())

    def _certainty(self, rows: Any) -> Array:
        proba: Array = self._responsibilities(rows, point=True).max(axis=1)
        return proba

    def to_arviz(self) -> Any:
        """Return label-invariant quantities of the draws as an ArviZ InferenceData ("gibbs").

        log p(X given θ), log p(X, θ) and the sorted weights: what R-hat and the effective sample
        size mean something on although labels may switch.
        """
        check_is_fitted(self)
        if not hasattr(self, "posterior_"):
            raise AttributeError("to_arviz needs draws; fit with inference='gibbs'")
        try:
            import arviz
        except ImportError as error:
            raise ImportError("to_arviz needs ArviZ: pip install arviz") from error
        draws = self.posterior_
        quantities = {
            "log_likelihood_total": draws.log_likelihood,
            "log_joint": draws.log_joint,
            "sorted_weights": -np.sort(-draws.weights, axis=-1),
        }
        if int(arviz.__version__.partition(".")[0]) < 1:
            return arviz.from_dict(posterior=quantities)
        return arviz.from_dict({"posterior": quantities})

    def save(self, path: Any) -> None:
        """Write the fitted mixture to a safetensors file; `vemfast.load` reads it."""
        from vemfast.io import save

        save(self, path)

    # ---- helpers ---------------------------------------------------------------------------

    def _plug_in(self, X: ArrayLike) -> tuple[float, int]:
        density = self._by_chunk(X, self._plug_in_density)
        return float(density.sum()), density.size

    def _plug_in_density(self, rows: Any) -> Array:
        model, params = self._fitted(point=True)
        return self._assign(model, model.prepare(params), rows, "log_density")

    def _assign(self, model: Any, table: Any, rows: Any, output: str) -> NDArray[Any]:
        return np.asarray(model.assign(table, rows, output, self._threads()))
