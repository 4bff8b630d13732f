"""The use of a fitted hidden Markov model: decoding, scores, samples, filters, forecasts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from vemfast.estimators.base import as_generator, check_count
from vemfast.estimators.hmm_filter import HmmFilter
from vemfast.models import hmm_points as points
from vemfast.models.hmm import HiddenMarkov as Model
from vemfast.sequences import SequenceBlock, joined, naming_steps
from vemfast.stats import Params

__all__ = ["FittedChain"]

Array = NDArray[np.float64]


class FittedChain:
    """What a fitted hidden Markov estimator can do; the rest of it says how it was fitted.

    A subclass implements `_read_like_fitted`, `_fitted_emissions`, `_draw_rows` and `_expected`.
    """

    startprob_: Array
    transmat_: Array
    algorithm: str
    random_state: Any
    callbacks: Any

    def _read_like_fitted(self, X: Any) -> Any:
        """Return steps whose columns are those of the fit."""
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

    def _takes_nan(self) -> bool:
        raise NotImplementedError

    def _threads(self) -> int:
        raise NotImplementedError

    # ---- use -----------------------------------------------------------------------------------

    def _at_point(self) -> tuple[Model, Params]:
        """Return a model and parameters made from the point attributes."""
        return self._fitted()

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

    def held_out_score(self, X: Any, lengths: ArrayLike | None = None) -> float:
        """Return the mean log likelihood of a step, nats: `score` over the number of steps."""
        return self.score(X, lengths) / float(joined(X, lengths)[1].sum())

    def bic(self, X: Any, lengths: ArrayLike | None = None) -> float:
        """Return the Bayesian information criterion at the point attributes; lower is better."""
        n = joined(X, lengths)[1].sum()
        return -2.0 * self.score(X, lengths) + self._n_parameters() * float(np.log(n))

    def aic(self, X: Any, lengths: ArrayLike | None = None) -> float:
        """Return Akaike's information criterion at the point attributes; lower is better."""
        return -2.0 * self.score(X, lengths) + 2.0 * self._n_parameters()

    def _n_parameters(self) -> int:
        """Return the number of free parameters of the point attributes."""
        return points.n_parameters(*self._fitted())

    def component_estimates(self) -> Array:
        """Return each state's estimates in comparable units, one row a state.

        The probability of staying, that of the stationary distribution, and the emissions in units
        of the mixture of all states. Rows may be permuted: labels mean nothing. Where states are
        mixtures, one row a component.
        """
        check_is_fitted(self)
        return points.state_estimates(*self._fitted_emissions(), self.transmat_)

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
            The state of the first step, as in hmmlearn; None: it is drawn from `startprob_`.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
        states : ndarray of shape (n_samples,)

        Raises
        ------
        ValueError
            If `n_samples` is no positive integer, or `currstate` no state.
        """
        check_is_fitted(self)
        n = check_count("n_samples", n_samples)
        if currstate is not None and check_count("currstate", currstate, 0) >= len(self.transmat_):
            raise ValueError(
                f"currstate must be one of the {len(self.transmat_)} states, from 0; "
                f"got {currstate!r}"
            )
        rng = as_generator(self.random_state if random_state is None else random_state)
        path = points.sample_states(self.startprob_, self.transmat_, n, rng, currstate)
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
        return HmmFilter(self, lag)

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
        h = check_count("h", h)
        model, table, block = self._judged(X, None)
        if block.n != 1:
            raise ValueError(f"forecast takes one sequence; got {block.n}")
        p = model.posteriors(table, block, self._threads())[-1]
        states = np.empty((h, p.size))
        for i in range(h):
            p = p @ self.transmat_
            states[i] = p
        return states, np.tensordot(states, self._expected(), axes=1)
