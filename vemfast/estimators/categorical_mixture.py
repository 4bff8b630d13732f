"""CategoricalMixture: latent class analysis on every rung of the ladder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import Interval

from vemfast.estimators.discrete_mixture import POSITIVE, DiscreteMixtureEstimator

__all__ = ["CategoricalDraws", "CategoricalMixture"]

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CategoricalDraws:
    """Kept draws of a Gibbs sampler.

    Attributes
    ----------
    weights : ndarray of shape (n_chains, n_draws, n_components)
    probabilities : list of ndarray of shape (n_chains, n_draws, n_components, n_categories)
        One a column.
    log_joint : ndarray of shape (n_chains, n_draws)
        log p(X, θ), nats.
    log_likelihood : ndarray of shape (n_chains, n_draws)
        log p(X given θ), nats.
    """

    weights: Array
    probabilities: list[Array]
    log_joint: Array
    log_likelihood: Array


class CategoricalMixture(DiscreteMixtureEstimator):
    """Mixture of independent categorical columns, fitted by any rung of the ladder of inference.

    Latent class analysis (Lazarsfeld and Henry 1968; Goodman 1974): each component has a
    distribution over the codes of each column. The codes of column d are 0 to
    ``n_categories_[d] - 1``.

    Parameters
    ----------
    n_components : int, default=1
    inference : {"gibbs", "mean-field", "em", "variational-em", "hard-em"}, default="em"
        From accurate and slow to inaccurate and fast; see `GaussianMixture`. "variational-em" is
        the same as "em" here, because one label a row has no dependence to break.
    schedule : {"batch", "memoized", "minibatch"}, default="batch"
        All rows an update; exact incremental updates by batches; or stochastic ones.
    tol : float, default=1e-3
        Converged when an iteration gains less than this in the objective, in nats a row.
    max_iter : int, default=100
        Iterations (passes, under the other schedules). Not for "gibbs".
    accelerate : bool, default=False
        Anderson acceleration (Anderson 1965) of "em" and "variational-em" under the batch schedule:
        where components overlap, a fraction of the E-steps to the same tolerance. The objective
        still never falls.
    n_init : int, default=1
        Starts; the one of the highest objective is kept. Not for "gibbs": see `n_chains`.
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}, default="kmeans"
        How the first components are found: k-means from k-means++ seeds of indicators (on at
        most 20,000 rows), the seeds alone, random responsibilities, or rows.
    n_categories : int or array-like of int, shape (n_features,), default=None
        Number of codes of every column, or of each. None: one more than the largest in the data.
    missing : {"error", "marginalize"}, default="error"
        What NaN is. "marginalize": a missing entry, which is integrated out exactly; rows of which
        nothing is observed are left out of a fit, and have `weights_` as their responsibilities.
    weights_init : array-like of shape (n_components,), default=None
    probabilities_init : list of array-like of shape (n_components, n_categories), default=None
        One a column. Where there is a prior of them, zeros are raised to 1e-12: at zero its log may
        be -inf.
    resp_init : array-like of shape (n_samples, n_components), default=None
        First responsibilities, in the place of `init_params`: each row sums to 1. The first
        estimates are those that they give: where none of a component's rows has something, its
        probability is 0 and "em" keeps it, unless a prior says otherwise.
    freeze : tuple or list of {"weights", "probabilities"}, default=None
        What is to stay at the value that `weights_init`, `probabilities_init` or a warm start
        gives; the rest is the exact maximum given that. For "em", "variational-em" and "hard-em".
    equal_weights : bool, default=False
        Hold all weights at 1 / n_components.
    weight_concentration_prior_type : {"dirichlet", "dirichlet_process"}, default="dirichlet"
        The process (stick-breaking) is for "mean-field" and "gibbs".
    weight_concentration_prior : float, default=None
        Concentration of each component, or of the process. None: flat on the point rungs (em,
        variational-em, hard-em), else 1 / n_components. Point rungs need >= 1.
    concentration_prior : float or list of array-like of shape (n_categories,), default=None
        Of the Dirichlet prior of each distribution: of all codes, or one array a column. None: flat
        on the point rungs (1.01 under "minibatch" and `partial_fit`, so that what no row has had
        yet is possible in the next), else 1, the uniform prior. Point rungs need >= 1.
    n_burn, n_draws, thin, n_chains : int, default=200, 200, 1, 4
        "gibbs": iterations before the first draw, draws kept a chain, iterations a draw, chains.
    batch_size : int, default=None
        Rows of a batch, for the schedules with batches; None: `n_batches` says.
    n_batches : int, default=10
    learning_decay, learning_offset : float, default=0.7, 10.0
        Minibatch schedule and `partial_fit`: update t has the rate
        (t + learning_offset) ** -learning_decay.
    total_samples : float, default=None
        `partial_fit`: the (weighted) number of all rows that its chunks are a sample of, against
        which priors are weighed. None: the rows seen so far.
    random_state : int, RandomState, Generator or None, default=None
    warm_start : bool, default=False
        Start from the last fit's estimates, also where that was on another rung. Zeros among them
        are raised to 1e-12, so that new rows may have what the old ones had not.
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
    weights_ : ndarray of shape (n_components,)
        Mode; under "mean-field" the expectation; under "gibbs" the kept draw of highest joint
        density.
    probabilities_ : list of ndarray of shape (n_components, n_categories)
        One a column.
    n_categories_ : ndarray of int, shape (n_features,)
        Number of codes of each column.
    lower_bound_ : float
        The objective, nats: log p(X, θ) on the point rungs (with a flat prior the log
        likelihood), a bound on log p(X) under "mean-field", log p(X, θ) of the draw under "gibbs".
    lower_bounds_ : list of float
        Its trace, the start first.
    n_iter_ : int
    n_e_steps_ : int
        With `accelerate`: E-steps over all rows, those of proposals that were not kept included.
    converged_ : bool
    stop_reason_ : {"tolerance", "max_iter", "callback", "interrupted", "numerical", "partial_fit"}
    weight_concentration_ : ndarray
        "mean-field": of the posterior of the weights.
    concentrations_ : list of ndarray of shape (n_components, n_categories)
        "mean-field": the Dirichlet posteriors, one array a column.
    posterior_ : CategoricalDraws
        "gibbs": the kept draws.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    References
    ----------
    P. F. Lazarsfeld, N. W. Henry: Latent Structure Analysis. Houghton Mifflin, 1968.
    L. A. Goodman: Exploratory latent structure analysis using both identifiable and unidentifiable
    models. Biometrika 61, 1974.

    Examples
    --------
    >>> import numpy as np
    >>> from vemfast import CategoricalMixture
    >>> rng = np.random.default_rng(0)
    >>> X = rng.integers(0, 2, (200, 5)) + np.repeat([[0], [2]], 100, axis=0)
    >>> mixture = CategoricalMixture(2, random_state=0).fit(X)
    >>> [column.shape for column in mixture.probabilities_][:2]
    [(2, 4), (2, 4)]
    """

    _family = "categorical"
    _record = CategoricalDraws
    _shown = "probabilities_"
    _priors = ("concentration_prior",)
    _posterior = ("concentrations_",)

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **DiscreteMixtureEstimator._parameter_constraints,
        "n_categories": [Interval(Integral, 1, None, closed="left"), "array-like", None],
        "probabilities_init": ["array-like", None],
        "concentration_prior": POSITIVE,
    }

    def __init__(
        self,
        n_components: int = 1,
        *,
        inference: str = "em",
        schedule: str = "batch",
        tol: float = 1e-3,
        max_iter: int = 100,
        accelerate: bool = False,
        n_init: int = 1,
        init_params: str = "kmeans",
        n_categories: ArrayLike | None = None,
        missing: str = "error",
        weights_init: ArrayLike | None = None,
        probabilities_init: Any = None,
        resp_init: ArrayLike | None = None,
        freeze: Sequence[str] | None = None,
        equal_weights: bool = False,
        weight_concentration_prior_type: str = "dirichlet",
        weight_concentration_prior: float | None = None,
        concentration_prior: Any = None,
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
        warm_start: bool = False,
        n_jobs: int | None = None,
        callbacks: Any = None,
        verbose: int = 0,
        on_interrupt: str = "raise",
    ) -> None:
        self.n_components = n_components
        self.inference = inference
        self.schedule = schedule
        self.tol = tol
        self.max_iter = max_iter
        self.accelerate = accelerate
        self.n_init = n_init
        self.init_params = init_params
        self.n_categories = n_categories
        self.missing = missing
        self.weights_init = weights_init
        self.probabilities_init = probabilities_init
        self.resp_init = resp_init
        self.freeze = freeze
        self.equal_weights = equal_weights
        self.weight_concentration_prior_type = weight_concentration_prior_type
        self.weight_concentration_prior = weight_concentration_prior
        self.concentration_prior = concentration_prior
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
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.callbacks = callbacks
        self.verbose = verbose
        self.on_interrupt = on_interrupt
