"""What the hidden Markov estimators share: sequences in, a fitted chain, and its use."""

from __future__ import annotations

import copy
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from vemfast.data import IndexedBlock, RowBlock
from vemfast.estimators.base import Estimator, check_sample_weight
from vemfast.estimators.hmm_filter import HmmFilter
from vemfast.inference.methods import METHODS, SCHEDULES, lookup
from vemfast.inference.monitor import FitResult
from vemfast.models import hmm_points as points
from vemfast.models.base import Step
from vemfast.models.hmm import HiddenMarkov as Model
from vemfast.models.hmm_config import HmmConfig, Start
from vemfast.models.hmm_setup import (
    ChainHyperparameters,
    check_rows,
    check_states,
    configure,
    within,
)
from vemfast.sequences import SequenceBlock, joined, naming_steps
from vemfast.stats import Params

__all__ = ["HmmEstimator", "StateDraws"]

Array = NDArray[np.float64]
Rows = RowBlock | IndexedBlock


class StateDraws:
    """Kept draws of a Gibbs sampler.

    Attributes
    ----------
    startprob : ndarray of shape (n_chains, n_draws, n_components)
    transmat : ndarray of shape (n_chains, n_draws, n_components, n_components)
    log_joint, log_likelihood : ndarray of shape (n_chains, n_draws)
        log p(X, θ) and log p(X given θ), nats.
    means, covariances, rates, probabilities : ndarray of shape (n_chains, n_draws, ...)
        Those of the family.
    """

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    def __repr__(self) -> str:
        def shape(value: Any) -> str:
            return str([v.shape for v in value] if isinstance(value, list) else value.shape)

        fields = ", ".join(f"{name}: {shape(value)}" for name, value in vars(self).items())
        return f"StateDraws({fields})"


class HmmEstimator(Estimator):
    """Base of the hidden Markov estimators.

    A subclass implements `_read`, `_read_like_fitted`, `_emission`, `_emission_start`,
    `_emission_attributes`, `_fitted_emissions`, `_draw_rows` and `_expected`, and says its family.
    """

    _may_take_nan = True
    missing: str

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "inference": [StrOptions(set(METHODS))],
        "schedule": [StrOptions(set(SCHEDULES))],
        "algorithm": [StrOptions({"viterbi", "map"})],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_iter": [Interval(Integral, 1, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "init_params": [StrOptions({"kmeans", "k-means++", "random_from_data"})],
        "startprob_init": ["array-like", None],
        "transmat_init": ["array-like", None],
        "startprob_prior": ["array-like", Interval(Real, 0, None, closed="neither"), None],
        "transmat_prior": ["array-like", Interval(Real, 0, None, closed="neither"), None],
        "sticky": [Interval(Real, 0, None, closed="left")],
        "startprob_support": ["array-like", None],
        "transmat_support": ["array-like", None],
        "startprob_frozen": ["array-like", None],
        "transmat_frozen": ["array-like", None],
        "missing": [StrOptions({"error", "marginalize"})],
        "n_burn": [Interval(Integral, 0, None, closed="left")],
        "n_draws": [Interval(Integral, 1, None, closed="left")],
        "thin": [Interval(Integral, 1, None, closed="left")],
        "n_chains": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "n_batches": [Interval(Integral, 1, None, closed="left")],
        "learning_decay": [Interval(Real, 0.5, 1, closed="right")],
        "learning_offset": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state", np.random.Generator],
        "n_jobs": [Integral, None],
        "callbacks": [callable, "array-like", None],
        "verbose": ["verbose"],
        "on_interrupt": [StrOptions({"raise", "return"})],
    }

    # ---- what a subclass says ------------------------------------------------------------------

    def _read(self, X: Any) -> tuple[Rows, dict[str, Any]]:
        """Return steps as a block, and the attributes of their columns."""
        raise NotImplementedError

    def _read_like_fitted(self, X: Any) -> Rows:
        """Return steps whose columns are those of the fit."""
        raise NotImplementedError

    def _emission(self, rows: Any, parameter_rule: str, columns: dict[str, Any]) -> Any:
        """Return the configuration of the emissions."""
        raise NotImplementedError

    def _emission_start(self, emission: Any) -> Any:
        """Return where the emissions begin."""
        raise NotImplementedError

    def _emission_attributes(self, shown: dict[str, Any]) -> dict[str, Any]:
        """Return the fitted attributes under the estimator's names."""
        raise NotImplementedError

    def _fitted_emissions(self) -> tuple[str, dict[str, Any]]:
        """Return family and parameters of the fitted emissions, as `hmm_points.fitted` asks."""
        raise NotImplementedError

    def _draw_rows(self, states: NDArray[np.int64], rng: np.random.Generator) -> NDArray[Any]:
        """Return observations drawn in these states."""
        raise NotImplementedError

    def _expected(self) -> Array:
        """Return the expected observation of each state, (n_components, ...)."""
        raise NotImplementedError

    # ---- fitting -----------------------------------------------------------------------------

    def _takes_nan(self) -> bool:
        return self.missing == "marginalize"

    def fit(
        self,
        X: Any,
        lengths: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        labels: ArrayLike | None = None,
    ) -> Any:
        """Fit the model.

        Parameters
        ----------
        X : array-like of shape (n_steps, n_features), or list of such
            The steps of all sequences, one after another; or one array a sequence.
        lengths : array-like of int, shape (n_sequences,), default=None
            Of the sequences in one array. None: it is one sequence.
        sample_weight : array-like of shape (n_sequences,), default=None
            A sequence of weight two counts as two; of weight zero, as none.
        labels : array-like of int, shape (n_steps,), default=None
            States of steps where they are known, -1 elsewhere.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If data or parameters are bad, or a sequence is impossible under a given start; an
            earlier fit stays as it was.
        NumericalError
            If the arithmetic broke down; the best full iteration is kept.
        """
        with self._only_fit():
            self._fit(X, lengths, sample_weight, labels)
        return self

    def _fit(self, X: Any, lengths: Any, sample_weight: Any, labels: Any) -> None:
        self._check_params()
        control = self._control(
            tol=self.tol,
            max_iter=self.n_iter,
            n_burn=self.n_burn,
            n_draws=self.n_draws,
            thin=self.thin,
            n_chains=self.n_chains,
            n_batches=self.n_batches,
            batch_size=self.batch_size,
            learning_decay=self.learning_decay,
            learning_offset=self.learning_offset,
        )
        if self.inference == "gibbs" and self.n_init != 1:
            raise ValueError("n_init has no effect with inference='gibbs'; n_chains is its like")
        local_rule, parameter_rule = lookup(Model, self.inference, self.schedule)
        steps, sizes = joined(X, lengths)
        with naming_steps(sizes):
            rows, columns = self._read(steps)
            states = check_states(labels, rows.n, int(self.n_components))
        weights = check_sample_weight(sample_weight, sizes.size, rows.dtype)
        block = SequenceBlock(rows, sizes, weights, states)
        with naming_steps(sizes):
            emission = self._emission(block.steps(), parameter_rule, columns)
        config = configure(
            emission,
            int(self.n_components),
            parameter_rule == "point",
            ChainHyperparameters(
                self.startprob_prior,
                self.transmat_prior,
                float(self.sticky),
                self.startprob_support,
                self.transmat_support,
                self.startprob_frozen,
                self.transmat_frozen,
            ),
        )
        model = Model(config, self._start(config))
        lookup(model, self.inference, self.schedule)  # what these priors and zeros rule out

        def keep(result: FitResult, results: list[FitResult]) -> None:
            attributes = self._attributes(model, result.params)
            if self.inference == "gibbs":
                attributes["posterior_"] = StateDraws(**points.draws(model, results))
            self._keep_fit(result, {**columns, **attributes})

        blocks = self._blocks(block)
        step = Step(local_rule, parameter_rule, 0, 0, self._threads())
        work = block.n_steps * config.n_components * config.work_per_row

        def start(step: Step) -> Any:
            return model.init(blocks, step)

        self._run(model, blocks, step, control, work, start, keep)

    def _start(self, config: HmmConfig) -> Start:
        K = config.n_components
        start = check_rows("startprob_init", self.startprob_init, (K,))
        if start is not None:
            start = within("startprob_init", start, config.start_support, config.start_frozen)
        rows = check_rows("transmat_init", self.transmat_init, (K, K))
        if rows is not None:
            rows = within(
                "transmat_init", rows, config.transition_support, config.transition_frozen
            )
        return Start(self._emission_start(config.emission), start, rows)

    def _attributes(self, model: Model, params: Params) -> dict[str, Any]:
        shown = points.attributes(model, params)
        own = {name: shown.pop(name) for name in list(shown) if name.startswith(("start", "trans"))}
        return own | self._emission_attributes(shown)

    # ---- use -----------------------------------------------------------------------------------

    def _fitted(self) -> tuple[Model, Params]:
        check_is_fitted(self)
        family, emissions = self._fitted_emissions()
        return points.fitted(family, self.startprob_, self.transmat_, emissions, self._takes_nan())

    def _judged(self, X: Any, lengths: Any) -> tuple[Model, Any, SequenceBlock]:
        """Return the fitted model, its table and sequences to be judged by it."""
        check_is_fitted(self)
        steps, sizes = joined(X, lengths)
        with naming_steps(sizes):
            block = SequenceBlock(self._read_like_fitted(steps), sizes)
        model, params = self._fitted()
        return model, model.prepare(params), block

    def decode(
        self, X: Any, lengths: ArrayLike | None = None, algorithm: str | None = None
    ) -> tuple[float, NDArray[np.int64]]:
        """Return the log joint of observations and states, nats, and the states of the steps.

        Parameters
        ----------
        X, lengths
            As in `fit`.
        algorithm : {"viterbi", "map"}, default=None
            The best path, or the best state of each step by itself, whose path may be impossible
            (a log joint of -inf). None: the parameter `algorithm`.
        """
        algorithm = self.algorithm if algorithm is None else algorithm
        if algorithm not in ("viterbi", "map"):
            raise ValueError(f"algorithm must be 'viterbi' or 'map'; got {algorithm!r}")
        model, table, block = self._judged(X, lengths)
        if algorithm == "viterbi":
            labels, joint = model.decode(table, block, self._threads())
            return float(joint.sum()), labels.astype(np.int64)
        labels = model.posteriors(table, block, self._threads()).argmax(axis=1).astype(np.int32)
        known = SequenceBlock(block.rows, block.lengths, None, labels)
        # With every state known there is one path, and its joint is all of the likelihood.
        joint = model.score(table, known, self._threads())
        return float(joint.sum()), labels.astype(np.int64)

    def predict(self, X: Any, lengths: ArrayLike | None = None) -> NDArray[np.int64]:
        """Return the states of the steps, by `algorithm`."""
        return self.decode(X, lengths)[1]

    def predict_proba(self, X: Any, lengths: ArrayLike | None = None) -> Array:
        """Return p(state of a step given its whole sequence), (n_steps, n_components).

        Under "mean-field" and "gibbs" at the point attributes, as all that follows.
        """
        model, table, block = self._judged(X, lengths)
        return model.posteriors(table, block, self._threads())

    def score(self, X: Any, lengths: ArrayLike | None = None) -> float:
        """Return the log likelihood of all sequences, nats: a total, as hmmlearn's."""
        model, table, block = self._judged(X, lengths)
        return float(model.score(table, block, self._threads()).sum())

    def score_samples(self, X: Any, lengths: ArrayLike | None = None) -> tuple[float, Array]:
        """Return `score` and `predict_proba`."""
        model, table, block = self._judged(X, lengths)
        total = float(model.score(table, block, self._threads()).sum())
        return total, model.posteriors(table, block, self._threads())

    def score_sequences(self, X: Any, lengths: ArrayLike | None = None) -> Array:
        """Return the log likelihood of each sequence, nats; -inf for an impossible one."""
        model, table, block = self._judged(X, lengths)
        return model.score(table, block, self._threads())

    def bic(self, X: Any, lengths: ArrayLike | None = None) -> float:
        """Return the Bayesian information criterion at the point attributes; lower is better."""
        model, params = self._fitted()
        n = joined(X, lengths)[1].sum()
        free = points.n_parameters(model, params)
        return -2.0 * self.score(X, lengths) + free * float(np.log(n))

    def aic(self, X: Any, lengths: ArrayLike | None = None) -> float:
        """Return Akaike's information criterion at the point attributes; lower is better."""
        return -2.0 * self.score(X, lengths) + 2.0 * points.n_parameters(*self._fitted())

    def sample(
        self, n_samples: int = 1, random_state: Any = None, currstate: int | None = None
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Draw one sequence at the point attributes.

        Parameters
        ----------
        n_samples : int, default=1
            Steps.
        random_state : int, RandomState, Generator or None, default=None
            None: the parameter `random_state`.
        currstate : int, default=None
            The state before the first step; None: that is drawn from `startprob_`.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
        states : ndarray of shape (n_samples,)
        """
        check_is_fitted(self)
        if isinstance(n_samples, bool) or not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(f"n_samples must be an integer >= 1; got {n_samples!r}")
        state = self.random_state if random_state is None else random_state
        rng = (
            state
            if isinstance(state, np.random.Generator)
            else np.random.default_rng(check_random_state(state).randint(0, 1 << 31))
        )
        path = points.sample_states(self.startprob_, self.transmat_, int(n_samples), rng, currstate)
        return self._draw_rows(path, rng), path

    def save(self, path: Any) -> None:
        """Write the fitted model to a safetensors file; `vemfast.load` reads it."""
        from vemfast.io import save

        save(self, path)

    def get_stationary_distribution(self) -> Array:
        """Return the distribution of states that the transition matrix leaves as it is."""
        check_is_fitted(self)
        return points.stationary(self.transmat_)

    def filter(self, lag: int = 0) -> HmmFilter:
        """Return an object that takes one observation at a time, without a look ahead.

        Parameters
        ----------
        lag : int, default=0
            Its `smoothed` gives the state of so many steps ago (fixed-lag smoothing).
        """
        check_is_fitted(self)
        if isinstance(lag, bool) or not isinstance(lag, Integral) or lag < 0:
            raise ValueError(f"lag must be an integer >= 0; got {lag!r}")
        return HmmFilter(_Frozen(self), int(lag))

    def forecast(self, h: int, X: Any) -> tuple[Array, Array]:
        """Return what comes after one sequence.

        Parameters
        ----------
        h : int
            Steps ahead.
        X : array-like of shape (n_steps, n_features)

        Returns
        -------
        states : ndarray of shape (h, n_components)
            p(state of each step to come given the sequence).
        expected : ndarray of shape (h, ...)
            Expected observations (of codes: the probability of each).
        """
        if isinstance(h, bool) or not isinstance(h, Integral) or h < 1:
            raise ValueError(f"h must be an integer >= 1; got {h!r}")
        model, table, block = self._judged(X, None)
        if block.n != 1:
            raise ValueError(f"forecast takes one sequence; got {block.n}")
        p = model.posteriors(table, block, self._threads())[-1]
        states = np.empty((int(h), p.size))
        for i in range(int(h)):
            p = p @ self.transmat_
            states[i] = p
        return states, np.tensordot(states, self._expected(), axes=1)


class _Frozen:
    """What a filter needs of a fitted estimator, apart from later fits."""

    def __init__(self, estimator: HmmEstimator) -> None:
        self.startprob_, self.transmat_ = estimator.startprob_, estimator.transmat_
        self._model, params = estimator._fitted()
        self._params = params
        self._table: Any = self._model.prepare(params)
        self._reader = copy.copy(estimator)
        self._reader.callbacks = None  # which need not pickle

    def _step_scores(self, x: NDArray[Any]) -> tuple[Array, float]:
        """Return the scores (n_components,) of one step, and its base measure."""
        if self._table is None:
            self._table = self._model.prepare(self._params)
        block = SequenceBlock(self._reader._read_like_fitted(x))
        return self._model.scores(self._table, block)[0], self._model.base(block)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_table": None}
