"""BernoulliHMM: hidden Markov models of bits, on every rung of the ladder."""

from __future__ import annotations

from typing import Any, ClassVar

from numpy.typing import ArrayLike

from vemfast.estimators.discrete_hmm import DiscreteHmmEstimator
from vemfast.estimators.discrete_mixture import POSITIVE
from vemfast.estimators.hmm import HmmEstimator

__all__ = ["BernoulliHMM"]


class BernoulliHMM(DiscreteHmmEstimator):
    """Hidden Markov model of independent bits, fitted by any rung of the ladder of inference.

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
    probabilities_init : array-like of shape (n_components, n_features), default=None
    startprob_prior, transmat_prior, sticky, startprob_support, transmat_support, \
startprob_frozen, transmat_frozen
        As in `GaussianHMM`.
    alpha_prior, beta_prior : float or array-like of shape (n_features,), default=None
        Of the prior Beta(alpha, beta) of each probability, as in `BernoulliMixture`.
    missing : {"error", "marginalize"}, default="error"
        What NaN is: an error, or a missing value, which is integrated out.
    n_burn, n_draws, thin, n_chains, batch_size, n_batches, learning_decay, learning_offset, \
total_samples, params, random_state, n_jobs, callbacks, verbose, on_interrupt
        As in `GaussianHMM`.

    Attributes
    ----------
    startprob_ : ndarray of shape (n_components,)
    transmat_ : ndarray of shape (n_components, n_components)
    probabilities_ : ndarray of shape (n_components, n_features)
    alpha_, beta_ : ndarray of shape (n_components, n_features)
        "mean-field": the beta posteriors.
    lower_bound_, lower_bounds_, n_iter_, converged_, stop_reason_, posterior_
        As in `GaussianHMM`.
    """

    _family = "bernoulli"
    _shown = "probabilities_"
    _model_name = "probabilities_"
    _priors = ("alpha_prior", "beta_prior")
    _posterior: ClassVar[dict[str, str]] = {}

    _emission_letters: ClassVar[dict[str, tuple[str, str]]] = {
        "p": ("probabilities", "probabilities")
    }
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **HmmEstimator._parameter_constraints,
        "probabilities_init": ["array-like", None],
        "alpha_prior": POSITIVE,
        "beta_prior": POSITIVE,
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
        probabilities_init: Any = None,
        startprob_prior: ArrayLike | None = None,
        transmat_prior: ArrayLike | None = None,
        sticky: float = 0.0,
        startprob_support: ArrayLike | None = None,
        transmat_support: ArrayLike | None = None,
        startprob_frozen: ArrayLike | None = None,
        transmat_frozen: ArrayLike | None = None,
        alpha_prior: ArrayLike | None = None,
        beta_prior: ArrayLike | None = None,
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
        self.probabilities_init = probabilities_init
        self.startprob_prior = startprob_prior
        self.transmat_prior = transmat_prior
        self.sticky = sticky
        self.startprob_support = startprob_support
        self.transmat_support = transmat_support
        self.startprob_frozen = startprob_frozen
        self.transmat_frozen = transmat_frozen
        self.alpha_prior = alpha_prior
        self.beta_prior = beta_prior
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
