"""CategoricalHMM: hidden Markov models of codes, on every rung of the ladder."""

from __future__ import annotations

from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import Interval

from vemfast.estimators.discrete_hmm import DiscreteHmmEstimator
from vemfast.estimators.discrete_mixture import POSITIVE
from vemfast.estimators.hmm import HmmEstimator
from vemfast.models.discrete_setup import count_categories

__all__ = ["CategoricalHMM"]


class CategoricalHMM(DiscreteHmmEstimator):
    """Hidden Markov model of symbols (codes from 0), fitted by any rung of the ladder of inference.

    What is not said here is as in `GaussianHMM`.

    Parameters
    ----------
    n_components : int, default=1
        States.
    inference, schedule, algorithm, tol, n_iter, n_init, startprob_init, transmat_init
        As in `GaussianHMM`.
    init_params : {"kmeans", "k-means++", "random_from_data"} or str, default="kmeans"
        How the first emissions are found, as if steps were independent. Or hmmlearn's letters: of
        which parameters a start is to be found; the attributes of the others are kept.
    emissionprob_init : array-like of shape (n_components, n_symbols), default=None
        One such array a column where there are several.
    startprob_prior, transmat_prior, sticky, startprob_support, transmat_support, \
startprob_frozen, transmat_frozen
        As in `GaussianHMM`.
    emissionprob_prior : float or array-like, default=None
        Concentration of the Dirichlet prior of the symbols. None: flat on the point rungs
        (1.01 under "minibatch"), else 1.
    n_features : int or array-like of int, default=None
        Number of symbols (of each column), which may be more than the data have. None: as many as
        they have.
    missing : {"error", "marginalize"}, default="error"
        What NaN is: an error, or a missing value, which is integrated out.
    n_burn, n_draws, thin, n_chains, batch_size, n_batches, learning_decay, learning_offset, \
total_samples, params, random_state, n_jobs, callbacks, verbose, on_interrupt
        As in `GaussianHMM`.

    Attributes
    ----------
    startprob_ : ndarray of shape (n_components,)
    transmat_ : ndarray of shape (n_components, n_components)
    emissionprob_ : ndarray of shape (n_components, n_symbols)
        A list of them, one a column, where there are several columns.
    n_categories_ : ndarray of shape (n_columns,)
        Numbers of symbols.
    emissionprob_concentration_ : ndarray
        "mean-field": of the Dirichlet posteriors.
    lower_bound_, lower_bounds_, n_iter_, converged_, stop_reason_, posterior_
        As in `GaussianHMM`.
    """

    _family = "categorical"
    _shown = "emissionprob_"
    _model_name = "probabilities_"
    _priors = ("emissionprob_prior",)
    _posterior: ClassVar[dict[str, str]] = {"concentrations_": "emissionprob_concentration_"}

    _emission_letters: ClassVar[dict[str, tuple[str, str]]] = {
        "e": ("emissionprob", "probabilities")
    }
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **HmmEstimator._parameter_constraints,
        "emissionprob_init": ["array-like", None],
        "emissionprob_prior": POSITIVE,
        "n_features": [Interval(Integral, 1, None, closed="left"), "array-like", None],
    }

    def __init__(
        self,
        n_components: int = 1,
        *,
        inference: str = "em",
        schedule: str = "batch",
        algorithm: str = "viterbi",
        tol: float = 1e-3,
        n_iter: int = 100,
        n_init: int = 1,
        init_params: str = "kmeans",
        params: str | None = None,
        startprob_init: ArrayLike | None = None,
        transmat_init: ArrayLike | None = None,
        emissionprob_init: Any = None,
        startprob_prior: ArrayLike | None = None,
        transmat_prior: ArrayLike | None = None,
        sticky: float = 0.0,
        startprob_support: ArrayLike | None = None,
        transmat_support: ArrayLike | None = None,
        startprob_frozen: ArrayLike | None = None,
        transmat_frozen: ArrayLike | None = None,
        emissionprob_prior: Any = None,
        n_features: ArrayLike | None = None,
        missing: str = "error",
        n_burn: int = 200,
        n_draws: int = 200,
        thin: int = 1,
        n_chains: int = 4,
        batch_size: int | None = None,
        n_batches: int = 10,
        learning_decay: float = 0.7,
        learning_offset: float = 10.0,
        total_samples: float | None = None,
        random_state: Any = None,
        n_jobs: int | None = None,
        callbacks: Any = None,
        verbose: int = 0,
        on_interrupt: str = "raise",
    ) -> None:
        self.n_components = n_components
        self.inference = inference
        self.schedule = schedule
        self.algorithm = algorithm
        self.tol = tol
        self.n_iter = n_iter
        self.n_init = n_init
        self.init_params = init_params
        self.params = params
        self.startprob_init = startprob_init
        self.transmat_init = transmat_init
        self.emissionprob_init = emissionprob_init
        self.startprob_prior = startprob_prior
        self.transmat_prior = transmat_prior
        self.sticky = sticky
        self.startprob_support = startprob_support
        self.transmat_support = transmat_support
        self.startprob_frozen = startprob_frozen
        self.transmat_frozen = transmat_frozen
        self.emissionprob_prior = emissionprob_prior
        self.n_features = n_features
        self.missing = missing
        self.n_burn = n_burn
        self.n_draws = n_draws
        self.thin = thin
        self.n_chains = n_chains
        self.batch_size = batch_size
        self.n_batches = n_batches
        self.learning_decay = learning_decay
        self.learning_offset = learning_offset
        self.total_samples = total_samples
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.callbacks = callbacks
        self.verbose = verbose
        self.on_interrupt = on_interrupt

    def _sizes(self, n_features: int) -> NDArray[np.int64] | None:
        return count_categories(self.n_features, n_features)
