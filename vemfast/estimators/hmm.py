"""What the hidden Markov estimators share: sequences in, a fitted chain, and its use."""

from __future__ import annotations

from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from vemfast.data import RowBlock
from vemfast.estimators.base import Task, check_sample_weight
from vemfast.estimators.hmm_use import FittedChain
from vemfast.estimators.online import OfEstimates, OnlineEstimator
from vemfast.indexed import IndexedBlock
from vemfast.inference.methods import METHODS, SCHEDULES, lookup, without_effect
from vemfast.inference.monitor import FitResult
from vemfast.inference.restarts import seeds
from vemfast.models import hmm_points as points
from vemfast.models.base import Step
from vemfast.models.clamping import check_labels
from vemfast.models.hmm import HiddenMarkov as Model
from vemfast.models.hmm_config import HmmConfig, Start
from vemfast.models.hmm_setup import (
    ChainHyperparameters,
    check_rows,
    configure,
    users_words,
    within,
)
from vemfast.sequences import SequenceBlock, joined, naming_steps
from vemfast.stats import Params

__all__ = ["HmmEstimator", "StateDraws", "Steps"]

Array = NDArray[np.float64]
Rows = RowBlock | IndexedBlock

_DRAWS = ("n_burn", "n_draws", "thin", "n_chains")  # where "gibbs" is one of the rungs


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


@dataclass(frozen=True, eq=False)
class Steps:
    """Sequences as `partial_fit` hands them through: not an array, and so no stream."""

    X: Any
    lengths: Any


class HmmEstimator(OnlineEstimator, FittedChain):
    """Base of the hidden Markov estimators.

    A subclass implements `_read`, `_read_like_fitted`, `_emission`, `_emission_start`,
    `_emission_attributes`, `_fitted_emissions`, `_draw_rows` and `_expected`, and says its family.
    """

    _may_take_nan = True
    missing: str
    # hmmlearn's letters of the parameters: of the chain, and of the emissions, each with the name
    # of its attribute (without the underscore) and of the model's field.
    _chain_letters: ClassVar[dict[str, str]] = {"s": "startprob", "t": "transmat"}
    _emission_letters: ClassVar[dict[str, tuple[str, str]]] = {}

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "inference": [StrOptions(set(METHODS))],
        "schedule": [StrOptions(set(SCHEDULES))],
        "algorithm": [StrOptions({"viterbi", "map"})],
        "tol": [Interval(Real, 0, None, closed="left")],
        "n_iter": [Interval(Integral, 1, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "init_params": [str],
        "params": [str, None],
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
        "total_samples": [Interval(Real, 0, None, closed="neither"), None],
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

    def _emission(self, rows: Any, parameter_rule: str, columns: dict[str, Any]) -> Any:
        """Return the configuration of the emissions."""
        raise NotImplementedError

    def _emission_start(self, emission: Any) -> Any:
        """Return where the emissions begin."""
        raise NotImplementedError

    def _emission_attributes(self, shown: dict[str, Any]) -> dict[str, Any]:
        """Return the fitted attributes under the estimator's names."""
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
        self._run(*self._task(Steps(X, lengths), sample_weight, labels))

    def _task(
        self, X: Any, sample_weight: ArrayLike | None, labels: ArrayLike | None = None
    ) -> Task:
        """Validate, and return all that a fit needs."""
        self._check_params()
        control = self._control(
            tol=self.tol,
            max_iter=self.n_iter,
            **{name: getattr(self, name) for name in _DRAWS if hasattr(self, name)},
            n_batches=self.n_batches,
            batch_size=self.batch_size,
            learning_decay=self.learning_decay,
            learning_offset=self.learning_offset,
        )
        if self.inference == "gibbs" and self.n_init != 1:
            raise ValueError("n_init has no effect with inference='gibbs'; n_chains is its like")
        model, block, columns, step = self._model(X, sample_weight)
        block = self._labelled(model, block, labels)
        config = model.config

        def keep(result: FitResult, results: list[FitResult]) -> None:
            attributes = self._attributes(model, result.params)
            if self.inference == "gibbs":
                attributes["posterior_"] = StateDraws(**points.draws(model, results))
            self._keep_fit(result, {**columns, **attributes})

        blocks = self._blocks(block)
        work = block.n_steps * config.n_components * config.work_per_row

        def start(step: Step) -> Any:
            return model.init(blocks, step)

        return Task(model, blocks, step, control, work, start, keep, [])

    def common_start(self, X: Any, sample_weight: ArrayLike | None = None) -> dict[str, Any]:
        """Return the parameters that make every rung start where this estimator would.

        Parameters
        ----------
        X : array-like of shape (n_steps, n_features), or list of such
            One sequence, or several.
        sample_weight : array-like of shape (n_sequences,), default=None

        Returns
        -------
        dict
            Such as `transmat_init` and `means_init`, for `set_params`.
        """
        self._check_params()
        model, block, _, step = self._model(X, sample_weight)
        seed = seeds(self.random_state, 1)[0]
        first = model.init([block], Step("exact", "point", seed, 0, step.n_jobs))
        return self._start_parameters(self._attributes(model, first))

    def _start_parameters(self, shown: dict[str, Any]) -> dict[str, Any]:
        names = [*self._chain_letters.values(), *(v[0] for v in self._emission_letters.values())]
        return {f"{name}_init": shown[f"{name}_"] for name in names}

    def _without_effect(self) -> dict[str, Any]:
        """Return the defaults of the options that do nothing on this rung and schedule."""
        names = {"max_iter" if n == "n_iter" else n for n in self.get_params(deep=False)}
        options = without_effect(self.inference, self.schedule, names)
        if "max_iter" in options:
            options["n_iter"] = options.pop("max_iter")
        return options | ({"n_init": 1} if self.inference == "gibbs" else {})

    @OfEstimates
    def partial_fit(
        self,
        X: Any,
        lengths: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        labels: ArrayLike | None = None,
    ) -> Any:
        """Update the model by one step with some more sequences.

        Stepwise EM or stochastic variational inference, as the mixtures' `partial_fit`: the first
        call sets up what later ones keep. Sequences are whole: a step's neighbours in another call
        are not seen.

        Parameters
        ----------
        X, lengths, sample_weight, labels
            As in `fit`.

        Returns
        -------
        self
            `lower_bound_` is a noisy estimate for `total_samples` steps (None: those seen so far).

        Raises
        ------
        ValueError
            If the sequences or a parameter are bad, or do not go with earlier calls, or the rung is
            "gibbs". Nothing changes.
        NumericalError
            If the arithmetic breaks down on these sequences. Nothing changes.
        """
        with self._only_fit():
            self._partial_fit(Steps(X, lengths), sample_weight, labels)
        return self

    def _model(
        self, X: Any, sample_weight: ArrayLike | None
    ) -> tuple[Model, SequenceBlock, dict[str, Any], Step]:
        X = X if isinstance(X, Steps) else Steps(X, None)
        local_rule, parameter_rule = lookup(Model, self.inference, self.schedule)
        self._check_letters()
        steps, sizes = joined(X.X, X.lengths)
        with naming_steps(sizes):
            rows, columns = self._read(steps)
        weights = check_sample_weight(sample_weight, sizes.size, rows.dtype)
        block = SequenceBlock(rows, sizes, weights)
        with naming_steps(sizes):
            emission = self._emission(block.steps(), parameter_rule, columns)
        config = configure(
            replace(emission, freeze=self._frozen_emissions()),
            int(self.n_components),
            parameter_rule == "point",
            ChainHyperparameters(
                self.startprob_prior,
                self.transmat_prior,
                float(self.sticky),
                self.startprob_support,
                self.transmat_support,
                self._frozen_rows("s", self.startprob_frozen, self.startprob_support),
                self._frozen_rows("t", self.transmat_frozen, self.transmat_support),
                getattr(self, "weights_prior", None),
            ),
            self._components_a_state(),
        )
        model = Model(config, self._start(config))
        with users_words():
            lookup(model, self.inference, self.schedule)  # what these priors and zeros rule out
        return model, block, columns, Step(local_rule, parameter_rule, 0, 0, self._threads())

    def _further(self, model: Model, X: Steps, sample_weight: ArrayLike | None) -> SequenceBlock:
        steps, sizes = joined(X.X, X.lengths)
        with naming_steps(sizes):
            rows = self._read_like_fitted(steps)
        return SequenceBlock(
            rows, sizes, check_sample_weight(sample_weight, sizes.size, rows.dtype)
        )

    def _labelled(self, model: Model, block: SequenceBlock, labels: ArrayLike | None) -> Any:
        if labels is None:
            return block
        with naming_steps(block.lengths):
            states = check_labels(labels, block.n_steps, model.config.n_components)
        return SequenceBlock(block.rows, block.lengths, block.weights, states)

    def _warm(self, model: Model) -> None:
        return None

    def _notes(self, block: SequenceBlock) -> list[str]:
        return []

    def _components_a_state(self) -> int:
        return 1

    # ---- hmmlearn's letters ----------------------------------------------------------------

    def _check_letters(self) -> None:
        letters = "".join([*self._chain_letters, *self._emission_letters])
        words = ("kmeans", "k-means++", "random_from_data")
        for name in ("init_params", "params"):
            value = getattr(self, name)
            if value is None or (name == "init_params" and value in words):
                continue
            unknown = sorted(set(value).difference(letters))
            if unknown:
                also = f", or one of {', '.join(map(repr, words))}" if name == "init_params" else ""
                raise ValueError(f"{name} must be letters out of {letters!r}{also}; got {value!r}")
        frozen = self._frozen_emissions()
        if frozen and self.inference in ("mean-field", "gibbs"):
            raise ValueError(
                f"params={self.params!r} holds emissions, and inference={self.inference!r} has a "
                "posterior in their place; use 'em', 'variational-em' or 'hard-em'"
            )

    def _start_method(self) -> str:
        """Return how a start is found where it is not given."""
        words = ("kmeans", "k-means++", "random_from_data")
        return self.init_params if self.init_params in words else "kmeans"

    def _given(self, letter: str) -> Any:
        """Return where a parameter starts: its `..._init`, or the attribute that is to be kept.

        `init_params` as letters says of which parameters a start is to be found; what is set of the
        others is kept, as in hmmlearn.
        """
        names = {**self._chain_letters, **{k: v[0] for k, v in self._emission_letters.items()}}
        name = names[letter]
        given = getattr(self, f"{name}_init", None)
        if given is not None or self._start_method() == self.init_params:
            return given
        if letter in self.init_params:
            return None
        kept = vars(self).get(f"{name}_")
        if kept is None:
            raise ValueError(
                f"init_params={self.init_params!r} leaves {name}_ as it is, and it is not set"
            )
        return kept

    def _frozen_rows(self, letter: str, frozen: Any, support: Any) -> Any:
        """Return the entries of start or transitions that are held fixed."""
        if self.params is None or letter in self.params:
            return frozen
        K = int(self.n_components)
        shape = (K,) if letter == "s" else (K, K)
        if frozen is not None:
            raise ValueError(
                f"params={self.params!r} holds all of {self._chain_letters[letter]}; "
                f"{self._chain_letters[letter]}_frozen then has no effect"
            )
        rows = check_rows(f"{self._chain_letters[letter]}_init", self._given(letter), shape)
        if rows is None:  # equal, as a start is where nothing is known
            rows = np.ones(shape) if support is None else np.array(support, dtype=np.float64)
            rows = rows / np.maximum(rows.sum(axis=-1, keepdims=True), 1.0)
        return rows

    def _frozen_emissions(self) -> tuple[str, ...]:
        if self.params is None:
            return ()
        return tuple(
            field
            for letter, (_, field) in self._emission_letters.items()
            if letter not in self.params and field
        )

    def _start(self, config: HmmConfig) -> Start:
        K = config.n_components
        self._refuse_held_without_start()
        start = check_rows("startprob_init", self._given("s"), (K,))
        if start is not None:
            start = within("startprob_init", start, config.start_support, config.start_frozen)
        rows = check_rows("transmat_init", self._given("t"), (K, K))
        if rows is not None:
            rows = within(
                "transmat_init", rows, config.transition_support, config.transition_frozen
            )
        return Start(self._emission_start(config.emission), start, rows)

    def _refuse_held_without_start(self) -> None:
        """Raise a ValueError where emissions are to stay as they start, and nothing says how."""
        for letter, (name, field) in self._emission_letters.items():
            if self.params is None or letter in self.params or not field:
                continue
            init = "precisions_init" if name == "covars" else f"{name}_init"
            if self._given(letter) is None and getattr(self, init) is None:
                raise ValueError(
                    f"params={self.params!r} holds {name}_ as it starts, and nothing gives it: add "
                    f"{letter!r} to params, give {init}, or set {name}_ and leave {letter!r} out "
                    "of init_params"
                )

    def _attributes(self, model: Model, params: Params) -> dict[str, Any]:
        shown = points.attributes(model, params)
        own = {name: shown.pop(name) for name in list(shown) if name.startswith(("start", "trans"))}
        return own | self._emission_attributes(shown)
