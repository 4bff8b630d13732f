"""GaussianMixture: mixtures of Gaussians on every rung of the ladder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from vemfast.data import RowBlock
from vemfast.estimators.base import check_sample_weight
from vemfast.estimators.gaussian_conditioning import Conditioning
from vemfast.estimators.missing import MissingFeatures
from vemfast.estimators.mixture import WEIGHT_PRIORS, MixtureEstimator
from vemfast.inference.methods import lookup
from vemfast.inference.monitor import FitResult
from vemfast.models import gaussian_points as points
from vemfast.models.base import Step
from vemfast.models.gaussian_config import COVARIANCE_TYPES, GaussianConfig, Start
from vemfast.models.gaussian_mixture import GaussianMixture as Model
from vemfast.models.gaussian_setup import Hyperparameters, configure, scan
from vemfast.stats import Params
from vemfast.streams import StreamBlock

__all__ = ["GaussianMixture", "PosteriorDraws"]

Array = NDArray[np.float64]

# What gives the value of each field of the point.
_SOURCES = {"weights": "weights_init", "means": "means_init", "covariances": "precisions_init"}
_STARTS = ("kmeans", "k-means++", "random", "random_from_data")


@dataclass(frozen=True, eq=False)
class PosteriorDraws:
    """Kept draws of a Gibbs sampler.

    Attributes
    ----------
    weights : ndarray of shape (n_chains, n_draws, n_components)
    means : ndarray of shape (n_chains, n_draws, n_components, n_features)
    covariances : ndarray of shape (n_chains, n_draws, ...)
        In the shape of the covariance type.
    log_joint : ndarray of shape (n_chains, n_draws)
        log p(X, θ), nats.
    log_likelihood : ndarray of shape (n_chains, n_draws)
        log p(X given θ), nats.
    """

    weights: Array
    means: Array
    covariances: Array
    log_joint: Array
    log_likelihood: Array


class GaussianMixture(Conditioning, MissingFeatures):
    """Gaussian mixture, fitted by any rung of the ladder of inference.

    Names follow scikit-learn's GaussianMixture and BayesianGaussianMixture.

    Parameters
    ----------
    n_components : int, default=1
    covariance_type : {"full", "tied", "diag", "spherical", "tied-spherical"}, default="full"
    inference : {"gibbs", "mean-field", "em", "variational-em", "hard-em"}, default="em"
        From accurate and slow to inaccurate and fast. "gibbs" samples labels and parameters;
        "mean-field" is variational Bayes (Attias 1999; Bishop 2006, section 10.2; Blei and Jordan
        2006 for the Dirichlet process); "em" is Dempster, Laird and Rubin 1977; "variational-em"
        is the same as "em" here, because one label a row has no dependence to break; "hard-em"
        is classification EM (Celeux and Govaert 1992), which with
        ``covariance_type="tied-spherical", equal_weights=True`` is k-means.
    schedule : {"batch", "memoized", "minibatch"}, default="batch"
        All rows an update; exact incremental updates by batches (Neal and Hinton 1998; Hughes and
        Sudderth 2013); or stochastic ones (Cappé and Moulines 2009; Hoffman et al. 2013).
    tol : float, default=1e-3
        Converged when an iteration gains less than this in the objective, in nats a row.
    reg_covar : float, default=1e-6
        Every covariance is held above this times the data's column variances: relative, unlike
        scikit-learn's. It bounds the support of the prior, so the objective still never falls.
        With "mean-field" and "gibbs", whose priors are proper, it bounds the default
        `covariance_prior` instead.
    max_iter : int, default=100
        Iterations (passes, under the other schedules). Not for "gibbs".
    accelerate : bool, default=False
        Anderson acceleration (Anderson 1965) of "em" and "variational-em" under the batch schedule:
        where components overlap, a fraction of the E-steps to the same tolerance. The objective
        still never falls.
    n_init : int, default=1
        Starts; the one of the highest objective is kept. Not for "gibbs": see `n_chains`.
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}, default="kmeans"
        How the first responsibilities are found: k-means from k-means++ seeds (on at most 20,000
        rows), the seeds alone, random responsibilities, or rows drawn as means.
    weights_init : array-like of shape (n_components,), default=None
    means_init : array-like of shape (n_components, n_features), default=None
    precisions_init : array-like, default=None
        Inverse covariances, in the shape of `covariances_`.
    resp_init : array-like of shape (n_samples, n_components), default=None
        First responsibilities, in the place of `init_params`: each row sums to 1.
    freeze : tuple or list of {"weights", "means", "covariances"}, default=None
        What is to stay at the value that `weights_init`, `means_init`, `precisions_init` or a
        warm start gives; the rest is the exact maximum given that. For "em", "variational-em" and
        "hard-em".
    equal_weights : bool, default=False
        Hold all weights at 1 / n_components.
    weight_concentration_prior_type : {"dirichlet", "dirichlet_process"}, default="dirichlet"
        The process (stick-breaking) is for "mean-field" and "gibbs". scikit-learn's name
        "dirichlet_distribution" is taken for "dirichlet", too.
    weight_concentration_prior : float, default=None
        Concentration of each component, or of the process. None: flat on the point rungs (em,
        variational-em, hard-em), else 1 / n_components. Point rungs need >= 1.
    mean_precision_prior : float, default=None
        Rows that the prior mean is worth. None: flat on the point rungs, else 1.
    mean_prior : array-like of shape (n_features,), default=None
        None: the data's mean.
    degrees_of_freedom_prior : float, default=None
        Of the inverse Wishart (or scaled inverse chi-squared) prior. None: n_features.
    covariance_prior : array-like, default=None
        Scale of that prior, in the shape of one covariance. None: flat on the point rungs unless
        `degrees_of_freedom_prior` is given, else the data's covariance (its diagonal, its mean
        variance).
    merge_components : bool, default=False
        "mean-field" under the batch schedule: components that hold a handful of rows are merged
        into others where that raises the bound. A sparse prior empties most components that are
        not needed, but of some a last row or two stay behind. A `tol` of 1e-5 or so lets it empty
        the others, too.
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
        Start from the last fit's estimates, also where that was on another rung.
    n_jobs : int, default=None
        Threads. None: what OpenMP may use and the machine has. The result does not depend on it.
    callbacks : callable or sequence of callable, default=None
        Called after each iteration with the keywords `iteration`, `objective` (nats) and
        `elapsed` (seconds); a true result stops the fit.
    verbose : int, default=0
        1: a progress bar.
    on_interrupt : {"raise", "return"}, default="raise"
        Ctrl-C leaves the last full iteration in the attributes, and then raises or returns.
    missing : {"error", "marginalize"}, default="error"
        What NaN in the data is: an error, or a missing value, which is integrated out exactly on
        every rung, in `fit` and in every method that takes rows (Ghahramani and Jordan 1994). That
        is right where what is missing does not depend on the values missing. Under "hard-em" a row
        takes its best label, and missing values are still integrated out given that; under "gibbs"
        they are drawn. To find centres, a start takes a missing value for the mean of its column;
        then for that of its centre, with the column's variance about it. Rows with nothing
        observed are left out of the fit; their posterior is `weights_`, their log density 0.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        Mode; under "mean-field" the expectation; under "gibbs" the kept draw of highest joint
        density.
    means_ : ndarray of shape (n_components, n_features)
    covariances_ : ndarray
        (K, D, D) full, (D, D) tied, (K, D) diag, (K,) spherical, () tied-spherical. Under
        "mean-field" the inverse of the expected precision.
    precisions_, precisions_cholesky_ : ndarray
        As in scikit-learn.
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
    weight_concentration_, mean_precision_, degrees_of_freedom_ : ndarray
        "mean-field": the rest of the posterior.
    posterior_ : PosteriorDraws
        "gibbs": the kept draws.
    origin_ : ndarray of shape (n_features,)
        The data's mean, about which the fit computed.
    n_features_in_, feature_names_in_
        As in scikit-learn.

    Notes
    -----
    A density can exceed one, so a log density can be positive.

    Examples
    --------
    >>> import numpy as np
    >>> from vemfast import GaussianMixture
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(0, 1, (100, 2)), rng.normal(6, 1, (100, 2))])
    >>> mixture = GaussianMixture(2, random_state=0).fit(X)
    >>> bool(mixture.converged_)
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **MixtureEstimator._parameter_constraints,
        "covariance_type": [StrOptions(set(COVARIANCE_TYPES))],
        "missing": [StrOptions({"error", "marginalize"})],
        "reg_covar": [Interval(Real, 0, 1, closed="left")],
        "merge_components": ["boolean"],
        "init_params": [StrOptions(set(_STARTS))],
        "means_init": ["array-like", None],
        "precisions_init": ["array-like", Interval(Real, 0, None, closed="neither"), None],
        "mean_precision_prior": [Interval(Real, 0, None, closed="neither"), None],
        "mean_prior": ["array-like", None],
        "degrees_of_freedom_prior": [Interval(Real, 0, None, closed="neither"), None],
        "covariance_prior": ["array-like", Interval(Real, 0, None, closed="neither"), None],
    }

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        inference: str = "em",
        schedule: str = "batch",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        accelerate: bool = False,
        n_init: int = 1,
        init_params: str = "kmeans",
        weights_init: ArrayLike | None = None,
        means_init: ArrayLike | None = None,
        precisions_init: ArrayLike | None = None,
        resp_init: ArrayLike | None = None,
        freeze: Sequence[str] | None = None,
        equal_weights: bool = False,
        weight_concentration_prior_type: str = "dirichlet",
        weight_concentration_prior: float | None = None,
        mean_precision_prior: float | None = None,
        mean_prior: ArrayLike | None = None,
        degrees_of_freedom_prior: float | None = None,
        covariance_prior: ArrayLike | None = None,
        merge_components: bool = False,
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
        missing: str = "error",
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.inference = inference
        self.schedule = schedule
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.accelerate = accelerate
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.resp_init = resp_init
        self.freeze = freeze
        self.equal_weights = equal_weights
        self.weight_concentration_prior_type = weight_concentration_prior_type
        self.weight_concentration_prior = weight_concentration_prior
        self.mean_precision_prior = mean_precision_prior
        self.mean_prior = mean_prior
        self.degrees_of_freedom_prior = degrees_of_freedom_prior
        self.covariance_prior = covariance_prior
        self.merge_components = merge_components
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
        self.missing = missing

    def _own_options(self) -> dict[str, Any]:
        return {"merge_components": self.merge_components}

    # ---- fitting ---------------------------------------------------------------------------

    def _model(
        self, X: ArrayLike, sample_weight: ArrayLike | None
    ) -> tuple[Model, RowBlock | StreamBlock, dict[str, Any], Step]:
        local_rule, parameter_rule = lookup(Model, self.inference, self.schedule)
        block, columns = self._data_to_fit(X, sample_weight)
        block = self._without_unobserved(block)
        n = self._check_size(block)
        if self.reg_covar == 0 and n < 2 and self.covariance_prior is None:
            raise ValueError(f"n_samples={n} has no variance; give more rows, or set reg_covar > 0")
        threads = self._threads()
        config = configure(
            block,
            scan(block, threads, self._takes_nan()),
            int(self.n_components),
            self.covariance_type,
            self.inference,
            parameter_rule,
            Hyperparameters(
                self.reg_covar,
                self.equal_weights,
                WEIGHT_PRIORS[self.weight_concentration_prior_type],
                self.weight_concentration_prior,
                self.mean_precision_prior,
                self.mean_prior,
                self.degrees_of_freedom_prior,
                self.covariance_prior,
            ),
            threads,
            self._takes_nan(),
        )
        config = replace(config, freeze=self._frozen(_SOURCES))
        model = Model(config, self._start(config, block.n), self.merge_components)
        return model, block, columns, Step(local_rule, parameter_rule, 0, 0, threads)

    def _further(
        self, model: Model, X: Any, sample_weight: ArrayLike | None
    ) -> RowBlock | StreamBlock:
        rows = self._rows_like_fitted(X)
        weights = check_sample_weight(sample_weight, len(rows), rows.dtype)
        block = self._without_unobserved(RowBlock(rows, weights))
        scan(block, self._threads(), self._takes_nan(), whole=False)
        return block

    def component_estimates(self) -> Array:
        """Return each component's estimates in comparable units, one row a component.

        Its weight, its mean and its standard deviations, the last two in units of the mixture's
        own standard deviation of each feature. Rows may be permuted: labels mean nothing.

        Returns
        -------
        ndarray of shape (n_components, 1 + 2 * n_features)
        """
        check_is_fitted(self)
        return points.component_estimates(
            self.covariance_type, self.weights_, self.means_, self.covariances_
        )

    def _notes(self, block: RowBlock | StreamBlock) -> list[str]:
        notes, n, D = self._distinct(block), block.n, block.n_features
        matrix = self.covariance_type in ("full", "tied") and self.covariance_prior is None
        if matrix and D > 1 and n <= D:
            notes.append(
                f"X has n_samples={n} for n_features={D}: too few for "
                f"covariance_type={self.covariance_type!r}, whose matrices are singular without "
                "regularisation; use covariance_type='diag' or give a covariance_prior"
            )
        return notes

    def _start(self, config: GaussianConfig, n: int) -> Start:
        start = Start(
            self.init_params,
            points.check_weights(self.weights_init, config),
            points.check_means(self.means_init, config),
            points.check_precisions(self.precisions_init, config),
        )
        return cast(
            Start, self._beginning(start, n, "weights_init, means_init and precisions_init")
        )

    def _warm(self, model: Model) -> Params | None:
        config = model.config
        if not self.warm_start or not hasattr(self, "means_"):
            return None
        if self.means_.shape != (config.n_components, config.n_features):
            raise ValueError(
                f"warm_start=True with n_components={config.n_components} and "
                f"{config.n_features} features, but the last fit has {self.means_.shape[0]} "
                f"components and {self.means_.shape[1]} features; clone the estimator first"
            )
        if self.covariances_.shape != config.covariance_shape:
            raise ValueError(
                f"warm_start=True with covariance_type={self.covariance_type!r}, but the last fit "
                f"has covariances of shape {self.covariances_.shape}; clone the estimator first"
            )
        return points.point(config, self.weights_, self.means_, self.covariances_)

    def _attributes(self, model: Model, params: Params) -> dict[str, Any]:
        shown = points.attributes(model, params)
        if "means" in model.config.freeze:
            shown["means_"] = self._as_given("means_", "means_init")
        if "covariances" in model.config.freeze:
            given = self._as_given("precisions_", "precisions_init")
            shown["precisions_"] = given.reshape(shown["precisions_"].shape)
        return shown

    def _draws(self, model: Model, results: Sequence[FitResult]) -> PosteriorDraws:
        return PosteriorDraws(**points.draws(model, results))

    def _start_parameters(self, model: Model, params: Params) -> dict[str, Any]:
        shown = points.attributes(model, params)
        return {
            "weights_init": shown["weights_"],
            "means_init": shown["means_"],
            "precisions_init": shown["precisions_"],
        }

    # ---- use -------------------------------------------------------------------------------

    def _fitted(self, point: bool = False, marginalize: bool | None = None) -> tuple[Model, Params]:
        if marginalize is None:
            marginalize = self._takes_nan()
        if point or not hasattr(self, "degrees_of_freedom_"):
            return points.from_point(
                self.covariance_type,
                self.origin_,
                self.weights_,
                self.means_,
                self.covariances_,
                marginalize,
            )
        return points.from_posterior(
            self.covariance_type,
            self.origin_,
            "equal" if self.equal_weights else WEIGHT_PRIORS[self.weight_concentration_prior_type],
            self.weight_concentration_,
            self.means_,
            self.mean_precision_,
            self.degrees_of_freedom_,
            self.covariances_,
            marginalize,
        )

    def _draw_tables(self, model: Model) -> list[Any]:
        return points.draw_tables(model, self.posterior_)

    def _draw_rows(self, n: int, rng: np.random.Generator) -> tuple[Array, NDArray[np.int64]]:
        config = self._fitted(point=True)[0].config
        return points.sample(config, self.weights_, self.means_, self.covariances_, n, rng)

    def _n_parameters(self) -> int:
        K, D = (int(length) for length in self.means_.shape)
        one = {"full": D * (D + 1) // 2, "tied": D * (D + 1) // 2, "diag": D}
        covariances = one.get(self.covariance_type, 1)
        copies = 1 if self.covariance_type in ("tied", "tied-spherical") else K
        sizes = {
            "weights": 0 if self.equal_weights else K - 1,
            "means": K * D,
            "covariances": copies * covariances,
        }
        return sum(size for name, size in sizes.items() if name not in (self.freeze or ()))
