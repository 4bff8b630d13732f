"""GaussianHMM: hidden Markov models with Gaussian emissions, on every rung of the ladder."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import Interval, StrOptions

from vemfast.data import RowBlock
from vemfast.estimators.hmm import HmmEstimator
from vemfast.models import gaussian_points
from vemfast.models.gaussian_config import COVARIANCE_TYPES, GaussianConfig, Start
from vemfast.models.gaussian_setup import Hyperparameters, configure, scan

__all__ = ["GaussianHMM"]

Array = NDArray[np.float64]


class GaussianHMM(HmmEstimator):
    """Hidden Markov model with Gaussian emissions, fitted by any rung of the ladder of inference.

    Names follow hmmlearn's GaussianHMM where it has them.

    Parameters
    ----------
    n_components : int, default=1
        States.
    covariance_type : {"full", "tied", "diag", "spherical", "tied-spherical"}, default="diag"
    inference : {"gibbs", "mean-field", "em", "variational-em", "hard-em"}, default="em"
        From accurate and slow to inaccurate and fast. "em" is Baum and Welch's (Baum et al. 1970);
        "mean-field" is variational Bayes (MacKay 1997); "variational-em" makes the steps
        independent of each other; "hard-em" is Viterbi training; "gibbs" draws paths (forward
        filter, backward sample) and parameters. Scores and predictions are at the point attributes
        on every rung.
    schedule : {"batch", "memoized", "minibatch"}, default="batch"
        All sequences an update; exact incremental updates by batches; or stochastic ones.
    algorithm : {"viterbi", "map"}, default="viterbi"
        Of `decode` and `predict`.
    tol : float, default=1e-3
        Converged when an iteration gains less than this in the objective, in nats a step.
    n_iter : int, default=100
        Iterations (passes, under the other schedules). Not for "gibbs".
    n_init : int, default=1
        Starts; the one of the highest objective is kept. Not for "gibbs": see `n_chains`.
    init_params : {"kmeans", "k-means++", "random_from_data"} or str, default="kmeans"
        How the first emissions are found, as if steps were independent. Or hmmlearn's letters: of
        which parameters ("s" `startprob_`, "t" `transmat_`, "m" `means_`, "c" `covars_`) a start is
        to be found; the attributes of the others are kept.
    params : str, default=None
        Letters of the parameters that a fit changes. None: all. Of the emissions, what is left out
        must be given: by its `..._init`, or as an attribute that `init_params` leaves out.
    startprob_init : array-like of shape (n_components,), default=None
        None: equal.
    transmat_init : array-like of shape (n_components, n_components), default=None
    means_init : array-like of shape (n_components, n_features), default=None
    precisions_init : array-like, default=None
        Inverse covariances, in the shape of `covars_`.
    startprob_prior : float or array-like of shape (n_components,), default=None
        Concentration of the Dirichlet prior. None: flat on the point rungs, else 1.
    transmat_prior : float or array-like of shape (n_components, n_components), default=None
    sticky : float, default=0
        Added to the concentrations of staying in a state.
    startprob_support, transmat_support : bool array-like, default=None
        False: a structural zero, which stays exactly 0 (left-right models). Not for
        "variational-em".
    startprob_frozen, transmat_frozen : array-like, default=None
        Values of entries that are held fixed; NaN for those that are estimated.
    reg_covar : float, default=1e-6
        Every covariance is held above this times the data's column variances, as in
        `GaussianMixture`.
    means_prior : array-like of shape (n_features,), default=None
        None: the data's mean.
    means_weight : float, default=None
        Steps that the prior mean is worth. None: flat on the point rungs, else 1.
    covars_prior : array-like, default=None
        Scale of the inverse Wishart (or scaled inverse chi-squared) prior, in the shape of one
        covariance. None: flat on the point rungs unless `covars_weight` is given, else the data's.
    covars_weight : float, default=None
        Its degrees of freedom. None: n_features.
    missing : {"error", "marginalize"}, default="error"
        What NaN is: an error, or a missing value, which is integrated out; so is a step of which
        nothing is observed.
    n_burn, n_draws, thin, n_chains : int, default=200, 200, 1, 4
        "gibbs": iterations before the first draw, draws kept a chain, iterations a draw, chains.
    batch_size : int, default=None
        Sequences of a batch, for the schedules with batches; None: `n_batches` says.
    n_batches : int, default=10
    learning_decay, learning_offset : float, default=0.7, 10.0
        Minibatch schedule: update t has the rate (t + learning_offset) ** -learning_decay.
    total_samples : float, default=None
        `partial_fit`: steps of all data. None: those seen so far.
    random_state : int, RandomState, Generator or None, default=None
    n_jobs : int, default=None
        Threads. None: what OpenMP may use and the machine has. The result does not depend on it.
    callbacks : callable or sequence of callable, default=None
        Called after each iteration with the keywords `iteration`, `objective` (nats) and
        `elapsed` (seconds); a true result stops the fit.
    verbose : int, default=0
        1: a progress bar.
    on_interrupt : {"raise", "return"}, default="raise"
        Ctrl-C leaves the last full iteration in the attributes, and then raises or returns.

    Attributes
    ----------
    startprob_ : ndarray of shape (n_components,)
        Mode; under "mean-field" the expectation; under "gibbs" the kept draw of highest joint
        density.
    transmat_ : ndarray of shape (n_components, n_components)
    means_ : ndarray of shape (n_components, n_features)
    covars_ : ndarray
        (K, D, D) full, (D, D) tied, (K, D) diag, (K,) spherical, () tied-spherical. Under
        "mean-field" the inverse of the expected precision.
    lower_bound_ : float
        The objective, nats: log p(X, θ) on the point rungs (with flat priors the log likelihood;
        under "variational-em" and "hard-em" a bound of it), a bound on log p(X) under "mean-field".
    lower_bounds_ : list of float
        Its trace, the start first.
    n_iter_ : int
    converged_ : bool
    stop_reason_ : {"tolerance", "max_iter", "callback", "interrupted", "numerical"}
    startprob_concentration_, transmat_concentration_, mean_precision_, \
degrees_of_freedom_ : ndarray
        "mean-field": the rest of the posterior.
    posterior_ : StateDraws
        "gibbs": the kept draws.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Examples
    --------
    >>> import numpy as np
    >>> from vemfast import GaussianHMM
    >>> rng = np.random.default_rng(0)
    >>> X = np.repeat([[0.0], [5.0], [0.0]], 50, axis=0) + rng.normal(size=(150, 1))
    >>> model = GaussianHMM(2, random_state=0).fit(X)
    >>> bool(np.ptp(model.predict(X)[:50]) == 0)
    True
    """

    _emission_letters: ClassVar[dict[str, tuple[str, str]]] = {
        "m": ("means", "means"),
        "c": ("covars", "covariances"),
    }
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **HmmEstimator._parameter_constraints,
        "covariance_type": [StrOptions(set(COVARIANCE_TYPES))],
        "means_init": ["array-like", None],
        "precisions_init": ["array-like", Interval(Real, 0, None, closed="neither"), None],
        "reg_covar": [Interval(Real, 0, 1, closed="left")],
        "means_prior": ["array-like", None],
        "means_weight": [Interval(Real, 0, None, closed="neither"), None],
        "covars_prior": ["array-like", Interval(Real, 0, None, closed="neither"), None],
        "covars_weight": [Interval(Real, 0, None, closed="neither"), None],
    }

    def __init__(
        self,
        n_components: int = 1,
        covariance_type: str = "diag",
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
        means_init: ArrayLike | None = None,
        precisions_init: ArrayLike | None = None,
        startprob_prior: ArrayLike | None = None,
        transmat_prior: ArrayLike | None = None,
        sticky: float = 0.0,
        startprob_support: ArrayLike | None = None,
        transmat_support: ArrayLike | None = None,
        startprob_frozen: ArrayLike | None = None,
        transmat_frozen: ArrayLike | None = None,
        reg_covar: float = 1e-6,
        means_prior: ArrayLike | None = None,
        means_weight: float | None = None,
        covars_prior: ArrayLike | None = None,
        covars_weight: float | None = None,
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
        self.covariance_type = covariance_type
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
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.startprob_prior = startprob_prior
        self.transmat_prior = transmat_prior
        self.sticky = sticky
        self.startprob_support = startprob_support
        self.transmat_support = transmat_support
        self.startprob_frozen = startprob_frozen
        self.transmat_frozen = transmat_frozen
        self.reg_covar = reg_covar
        self.means_prior = means_prior
        self.means_weight = means_weight
        self.covars_prior = covars_prior
        self.covars_weight = covars_weight
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

    # ---- what the family says ------------------------------------------------------------------

    def _read(self, X: Any) -> tuple[RowBlock, dict[str, Any]]:
        rows, columns = self._rows_to_fit(X)
        self._check_finite(rows, self._takes_nan())
        return RowBlock(rows), columns

    def _read_like_fitted(self, X: Any) -> RowBlock:
        return RowBlock(self._rows(X))

    def _emission(
        self, rows: RowBlock, parameter_rule: str, columns: dict[str, Any]
    ) -> GaussianConfig:
        threads = self._threads()
        given = Hyperparameters(
            self.reg_covar,
            mean_precision_prior=self.means_weight,
            mean_prior=self.means_prior,
            degrees_of_freedom_prior=self.covars_weight,
            covariance_prior=self.covars_prior,
        )
        return configure(
            rows,
            scan(rows, threads, self._takes_nan()),
            int(self.n_components) * self._components_a_state(),
            self.covariance_type,
            self.inference,
            parameter_rule,
            given,
            threads,
            self._takes_nan(),
        )

    def _emission_start(self, emission: GaussianConfig) -> Start:
        means = self._flat("means_init", self._given("m"))
        precisions = self._flat("precisions_init", self.precisions_init)
        covariances = gaussian_points.check_precisions(precisions, emission)
        if covariances is None:
            kept = self._flat("covars_", self._given("c"))
            covariances = gaussian_points.check_covariances(kept, emission)
        return Start(
            self._start_method(), None, gaussian_points.check_means(means, emission), covariances
        )

    def _start_parameters(self, shown: dict[str, Any]) -> dict[str, Any]:
        covars = shown["covars_"]
        inverse = np.linalg.inv if self.covariance_type in ("full", "tied") else np.reciprocal
        own = super()._start_parameters(shown)
        del own["covars_init"]
        return {**own, "precisions_init": inverse(covars)}

    def _flat(self, name: str, value: Any) -> Any:
        """Return one number, row or matrix a component, where a state has several."""
        return value

    def _emission_attributes(self, shown: dict[str, Any]) -> dict[str, Any]:
        return shown

    def _fitted_emissions(self) -> tuple[str, dict[str, Any]]:
        return self.covariance_type, {
            "origin": self.origin_,
            "means": self.means_,
            "covars": self.covars_,
        }

    def _draw_rows(self, states: NDArray[np.int64], rng: np.random.Generator) -> Array:
        return self._draw_components(states, rng)

    def _draw_components(self, components: NDArray[np.int64], rng: np.random.Generator) -> Array:
        """Return observations drawn from these of all components."""
        fitted = self._fitted_emissions()[1]
        return gaussian_points.sample_rows(
            self.covariance_type, fitted["means"], fitted["covars"], components, rng
        )

    def _expected(self) -> Array:
        return np.asarray(self.means_)
