"""Filtering one observation at a time, without a look ahead."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from vemfast.estimators.base import check_count
from vemfast.sequences import SequenceBlock

__all__ = ["HmmFilter"]

Array = NDArray[np.float64]

# What an estimator reads steps by.
_READING = {"missing", "n_features_in_", "feature_names_in_", "n_categories_"}


class HmmFilter:
    """p(z_t given x_1..t) of a fitted hidden Markov model, step by step, in O(K²) a step.

    What an estimator's `filter` returns. It can be pickled and copied, holds what it needs of the
    fit and no more, and does not follow later fits.

    Parameters
    ----------
    estimator : GaussianHMM, GMMHMM, CategoricalHMM, BernoulliHMM or PoissonHMM
        Fitted.
    lag : int, default=0
        `smoothed` looks back by so many steps.

    Attributes
    ----------
    probabilities : ndarray of shape (n_components,)
        Of the state at the last step; before the first of the one to come.
    log_likelihood : float
        log p(x_1..t), nats.
    n_steps : int
    """

    def __init__(self, estimator: Any, lag: int = 0) -> None:
        check_is_fitted(estimator)
        self.lag = check_count("lag", lag, 0)
        self._start = np.array(estimator.startprob_)
        self._transmat = np.array(estimator.transmat_)
        self._model, self._params = estimator._fitted()
        self._table: Any = self._model.prepare(self._params)
        # An estimator that can read steps like those of the fit, and nothing else of it.
        self._reader = object.__new__(type(estimator))
        self._reader.__dict__ = {
            name: value for name, value in vars(estimator).items() if name in _READING
        }
        self.reset()

    def reset(self) -> HmmFilter:
        """Begin a new sequence."""
        self.probabilities: Array = self._start.copy()
        self.log_likelihood = 0.0
        self.n_steps = 0
        self._recent: deque[tuple[Array, Array]] = deque(maxlen=self.lag + 1)
        return self

    def update(self, x: ArrayLike) -> Array:
        """Take one observation, shape (n_features,), and return `probabilities`.

        NaN is a missing value where the estimator takes them.

        Raises
        ------
        ValueError
            If it is impossible after the earlier ones; the filter stays as it was.
        """
        scores, base = self._scores(np.asarray(x).reshape(1, -1))
        ahead = self.probabilities @ self._transmat if self.n_steps else self._start
        top = float(scores.max(where=ahead > 0, initial=-np.inf))
        if np.isneginf(top):
            raise ValueError(f"observation {self.n_steps} is impossible after the earlier ones")
        likelihood = np.exp(
            np.minimum(scores - top, 0.0), where=ahead > 0, out=np.zeros(len(ahead))
        )
        joint = ahead * likelihood
        total = float(joint.sum())
        self.probabilities = joint / total
        self.log_likelihood += top + float(np.log(total)) + base
        self.n_steps += 1
        self._recent.append((self.probabilities, likelihood))
        return np.array(self.probabilities)

    def smoothed(self) -> Array:
        """Return p(z of `lag` steps ago given all observations so far) (fixed-lag smoothing)."""
        if not self._recent:
            return np.array(self.probabilities)
        later = np.ones(len(self._start))
        for _, likelihood in list(self._recent)[:0:-1]:
            later = self._transmat @ (likelihood * later)
            later /= later.max()
        p = self._recent[0][0] * later
        return np.asarray(p / p.sum())

    def forecast(self, h: int = 1) -> Array:
        """Return p(z_t+1..t+h given x_1..t), shape (h, n_components)."""
        h, p = check_count("h", h), self.probabilities
        out = np.empty((h, p.size))
        for i in range(h):
            p = p if i == 0 and not self.n_steps else p @ self._transmat
            out[i] = p
        return out

    def _scores(self, x: NDArray[Any]) -> tuple[Array, float]:
        """Return the scores (n_components,) of one step, and its base measure."""
        if self._table is None:
            self._table = self._model.prepare(self._params)
        block = SequenceBlock(self._reader._read_like_fitted(x))
        return self._model.scores(self._table, block)[0], self._model.base(block)

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_table": None}
