"""GaussianMixture: mixtures of Gaussians on every rung of the ladder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import DensityMixin
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from vemfast.data import RowBlock
from vemfast.estimators.base import Estimator, check_sample_weight
from vemfast.inference.methods import METHODS, SCHEDULES, lookup
from vemfast.inference.monitor import FitResult
from vemfast.inference.restarts import seeds
from vemfast.models import gaussian_points as points
from vemfast.models.base import Step
from vemfast.models.gaussian_config import COVARIANCE_TYPES, GaussianConfig, Start
from vemfast.models.gaussian_mixture import GaussianMixture as Model
from vemfast.models.gaussian_setup import Hyperparameters, configure, scan
from vemfast.stats import Params

__all__ = ["GaussianMixture", "PosteriorDraws"]

Array = NDArray[np.float64]

# The last is scikit-learn's name for the first.
_WEIGHT_PRIORS = {
    "dirichlet": "dirichlet",
    "dirichlet_process": "dirichlet_process",
    "dirichlet_distribution": "dirichlet",
}
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


class GaussianMixture(DensityMixin, Estimator):  # type: ignore[misc]
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
    n_init : int, default=1
        Starts; the one of the highest objective is kept. Not for "gibbs": see `n_chains`.
    init_params : {"kmeans", "k-means++", "random", "random_from_data"}, default="kmeans"
        How the first responsibilities are found: k-means from k-means++ seeds (on at most 20,000
        rows), the seeds alone, random responsibilities, or rows drawn as means.
    weights_init : array-like of shape (n_components,), default=None
    means_init : array-like of shape (n_components, n_features), default=None
    precisions_init : array-like, default=None
        Inverse covariances, in the shape of `covariances_`.
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
    n_burn, n_draws, thin, n_chains : int, default=200, 200, 1, 4
        "gibbs": iterations before the first draw, draws kept a chain, iterations a draw, chains.
    batch_size : int, default=None
        Rows of a batch, for the schedules with batches; None: `n_batches` says.
    n_batches : int, default=10
    learning_decay, learning_offset : float, default=0.7, 10.0
        Minibatch schedule: update t has the rate (t + learning_offset) ** -learning_decay.
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
    converged_ : bool
    stop_reason_ : {"tolerance", "max_iter", "callback", "interrupted", "numerical"}
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
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "covariance_type": [StrOptions(set(COVARIANCE_TYPES))],
        "inference": [StrOptions(set(METHODS))],
        "schedule": [StrOptions(set(SCHEDULES))],
        "tol": [Interval(Real, 0, None, closed="left")],
        "reg_covar": [Interval(Real, 0, 1, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "init_params": [StrOptions(set(_STARTS))],
        "weights_init": ["array-like", None],
        "means_init": ["array-like", None],
        "precisions_init": ["array-like", Interval(Real, 0, None, closed="neither"), None],
        "equal_weights": ["boolean"],
        "weight_concentration_prior_type": [StrOptions(set(_WEIGHT_PRIORS))],
        "weight_concentration_prior": [Interval(Real, 0, None, closed="neither"), None],
        "mean_precision_prior": [Interval(Real, 0, None, closed="neither"), None],
        "mean_prior": ["array-like", None],
        "degrees_of_freedom_prior": [Interval(Real, 0, None, closed="neither"), None],
        "covariance_prior": ["array-like", Interval(Real, 0, None, closed="neither"), None],
        "n_burn": [Interval(Integral, 0, None, closed="left")],
        "n_draws": [Interval(Integral, 1, None, closed="left")],
        "thin": [Interval(Integral, 1, None, closed="left")],
        "n_chains": [Interval(Integral, 1, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left"), None],
        "n_batches": [Interval(Integral, 1, None, closed="left")],
        "learning_decay": [Interval(Real, 0.5, 1, closed="right")],
        "learning_offset": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state", np.random.Generator],
        "warm_start": ["boolean"],
        "n_jobs": [Integral, None],
        "callbacks": [callable, "array-like", None],
        "verbose": ["verbose"],
        "on_interrupt": [StrOptions({"raise", "return"})],
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
        n_init: int = 1,
        init_params: str = "kmeans",
        weights_init: ArrayLike | None = None,
        means_init: ArrayLike | None = None,
        precisions_init: ArrayLike | None = None,
        equal_weights: bool = False,
        weight_concentration_prior_type: str = "dirichlet",
        weight_concentration_prior: float | None = None,
        mean_precision_prior: float | None = None,
        mean_prior: ArrayLike | None = None,
        degrees_of_freedom_prior: float | None = None,
        covariance_prior: ArrayLike | None = None,
        n_burn: int = 200,
        n_draws: int = 200,
        thin: int = 1,
        n_chains: int = 4,
        batch_size: int | None = None,
        n_batches: int = 10,
        learning_decay: float = 0.7,
        learning_offset: float = 10.0,
        random_state: Any = None,
        warm_start: bool = False,
        n_jobs: int | None = None,
        callbacks: Any = None,
        verbose: int = 0,
        on_interrupt: str = "raise",
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.inference = inference
        self.schedule = schedule
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.equal_weights = equal_weights
        self.weight_concentration_prior_type = weight_concentration_prior_type
        self.weight_concentration_prior = weight_concentration_prior
        self.mean_precision_prior = mean_precision_prior
        self.mean_prior = mean_prior
        self.degrees_of_freedom_prior = degrees_of_freedom_prior
        self.covariance_prior = covariance_prior
        self.n_burn = n_burn
        self.n_draws = n_draws
        self.thin = thin
        self.n_chains = n_chains
        self.batch_size = batch_size
        self.n_batches = n_batches
        self.learning_decay = learning_decay
        self.learning_offset = learning_offset
        self.random_state = random_state
        self.warm_start = warm_start
        self.n_jobs = n_jobs
        self.callbacks = callbacks
        self.verbose = verbose
        self.on_interrupt = on_interrupt

    # ---- fitting ---------------------------------------------------------------------------

    def fit(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> Any:
        """Fit the mixture.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            float32 stays float32 in memory and scores; other types become float64.
        y : None
            Ignored; for scikit-learn's interface.
        sample_weight : array-like of shape (n_samples,), default=None
            A row of weight two counts as two rows; of weight zero, as none.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If data or parameters are bad; an earlier fit stays as it was.
        NumericalError
            If the arithmetic broke down; the best full iteration is kept.
        """
        with self._only_fit():
            self._fit(X, sample_weight)
        return self

    def _fit(self, X: ArrayLike, sample_weight: ArrayLike | None) -> None:
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
        )
        if self.inference == "gibbs" and self.n_init != 1:
            raise ValueError("n_init has no effect with inference='gibbs'; n_chains is its like")
        model, block, columns, step = self._model(X, sample_weight)
        warm = self._warm(model.config)
        blocks = self._blocks(block)

        def start(step: Step) -> Any:
            return model.init(blocks, step) if warm is None else model.adopt(warm, blocks, step)

        def keep(result: FitResult, results: list[FitResult]) -> None:
            self._keep(model, columns, result, results)

        work = block.n * model.config.n_components * model.config.work_per_row
        self._run(model, blocks, step, control, work, start, keep, self._notes(block))

    def _model(
        self, X: ArrayLike, sample_weight: ArrayLike | None
    ) -> tuple[Model, RowBlock, dict[str, Any], Step]:
        """Return the model for these data, the data, the attributes of their columns, a step."""
        local_rule, parameter_rule = lookup(Model, self.inference, self.schedule)
        rows, columns = self._rows_to_fit(X)
        block = RowBlock(rows, check_sample_weight(sample_weight, rows.shape[0], rows.dtype))
        self._check_size(block)
        threads = self._threads()
        config = configure(
            block,
            scan(block, threads),
            int(self.n_components),
            self.covariance_type,
            self.inference,
            parameter_rule,
            Hyperparameters(
                self.reg_covar,
                self.equal_weights,
                _WEIGHT_PRIORS[self.weight_concentration_prior_type],
                self.weight_concentration_prior,
                self.mean_precision_prior,
                self.mean_prior,
                self.degrees_of_freedom_prior,
                self.covariance_prior,
            ),
            threads,
        )
        model = Model(config, self._start(config))
        return model, block, columns, Step(local_rule, parameter_rule, 0, 0, threads)

    def common_start(
        self, X: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> dict[str, Array]:
        """Return the parameters that make every rung start where this estimator would.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        dict
            `weights_init`, `means_init` and `precisions_init`, for `set_params`.
        """
        self._check_params()
        model, block, _, step = self._model(X, sample_weight)
        seed = seeds(self.random_state, 1)[0]
        start = model.init([block], Step("exact", "point", seed, 0, step.n_jobs))
        shown = points.attributes(model, start)
        return {
            "weights_init": shown["weights_"],
            "means_init": shown["means_"],
            "precisions_init": shown["precisions_"],
        }

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

    def _check_size(self, block: RowBlock) -> None:
        n = block.n if block.weights is None else int(np.count_nonzero(block.weights))
        if n < self.n_components:
            raise ValueError(
                f"n_components={self.n_components} needs at least as many rows, but X has "
                f"n_samples={n}" + ("" if n == block.n else " of positive weight")
            )
        if self.reg_covar == 0 and n < 2 and self.covariance_prior is None:
            raise ValueError(f"n_samples={n} has no variance; give more rows, or set reg_covar > 0")

    def _notes(self, block: RowBlock) -> list[str]:
        """Return what the data themselves do not pin down."""
        K, (n, D) = self.n_components, block.X.shape
        notes = []
        distinct = block.distinct_rows(K)
        if distinct < K:
            notes.append(
                f"X has only {distinct} distinct rows, fewer than n_components={K}: components "
                "coincide or stay empty; use fewer components"
            )
        matrix = self.covariance_type in ("full", "tied") and self.covariance_prior is None
        if matrix and D > 1 and n <= D:
            notes.append(
                f"X has n_samples={n} for n_features={D}: too few for "
                f"covariance_type={self.covariance_type!r}, whose matrices are singular without "
                "regularisation; use covariance_type='diag' or give a covariance_prior"
            )
        return notes

    def _start(self, config: GaussianConfig) -> Start:
        return Start(
            self.init_params,
            points.check_weights(self.weights_init, config),
            points.check_means(self.means_init, config),
            points.check_precisions(self.precisions_init, config),
        )

    def _warm(self, config: GaussianConfig) -> Params | None:
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

    def _keep(
        self,
        model: Model,
        columns: dict[str, Any],
        result: FitResult,
        results: Sequence[FitResult],
    ) -> None:
        """Name the fitted attributes."""
        attributes = points.attributes(model, result.params)
        if self.inference == "gibbs":
            attributes["posterior_"] = PosteriorDraws(**points.draws(model, results))
        self._keep_fit(result, {**columns, **attributes})

    # ---- use -------------------------------------------------------------------------------

    def fit_predict(
        self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None
    ) -> NDArray[np.int64]:
        """Fit, then return `predict(X)`."""
        return self.fit(X, y, sample_weight).predict(X)  # type: ignore[no-any-return]

    def predict(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return the component of highest responsibility of each row, shape (n_samples,)."""
        rows = self._rows(X)
        model, params = self._fitted()
        labels = model.assign(model.prepare(params), rows, "labels", self._threads())
        return labels.astype(np.int64)

    def predict_proba(self, X: ArrayLike) -> Array:
        """Return responsibilities, shape (n_samples, n_components): the E-step's q(z)."""
        rows = self._rows(X)
        model, params = self._fitted()
        return model.assign(model.prepare(params), rows, "responsibilities", self._threads())

    def score_samples(self, X: ArrayLike) -> Array:
        """Return the log density of each row, nats, shape (n_samples,).

        Under "mean-field" the posterior predictive, a mixture of Student-t densities; under
        "gibbs" the average density over the kept draws.
        """
        rows = self._rows(X)
        threads = self._threads()
        model, params = self._fitted()
        if not hasattr(self, "posterior_"):
            return model.assign(model.predictive(params), rows, "log_density", threads)
        tables = points.draw_tables(model, self.posterior_)
        if not tables:
            raise ValueError(
                "score_samples averages over kept draws, and there are none: the fit ended before "
                f"its first (n_burn={self.n_burn}); fit again"
            )
        total = np.full(rows.shape[0], -np.inf)
        for table in tables:
            np.logaddexp(total, model.assign(table, rows, "log_density", threads), out=total)
        return np.asarray(total - np.log(len(tables)))

    def score(self, X: ArrayLike, y: Any = None, sample_weight: ArrayLike | None = None) -> float:
        """Return the (weighted) mean of `score_samples(X)`, nats a row."""
        density = self.score_samples(X)
        weights = check_sample_weight(sample_weight, density.size)
        return float(density.mean() if weights is None else density @ weights / weights.sum())

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
        if isinstance(n_samples, bool) or not isinstance(n_samples, Integral) or n_samples < 1:
            raise ValueError(f"n_samples must be an integer >= 1; got {n_samples!r}")
        model, _ = self._fitted(point=True)
        state = self.random_state
        rng = (
            state
            if isinstance(state, np.random.Generator)
            else np.random.default_rng(check_random_state(state).randint(0, 1 << 31))
        )
        return points.sample(
            model.config, self.weights_, self.means_, self.covariances_, int(n_samples), rng
        )

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
        rows = self._rows(X)
        model, params = self._fitted(point=True)
        proba = model.assign(model.prepare(params), rows, "responsibilities", self._threads())
        return self.bic(X) - 2.0 * float(np.log(proba.max(axis=1)).sum())

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

    def _fitted(self, point: bool = False) -> tuple[Model, Params]:
        """Return a model and parameters made from the fitted attributes."""
        if point or not hasattr(self, "degrees_of_freedom_"):
            return points.from_point(
                self.covariance_type, self.origin_, self.weights_, self.means_, self.covariances_
            )
        return points.from_posterior(
            self.covariance_type,
            self.origin_,
            "equal" if self.equal_weights else _WEIGHT_PRIORS[self.weight_concentration_prior_type],
            self.weight_concentration_,
            self.means_,
            self.mean_precision_,
            self.degrees_of_freedom_,
            self.covariances_,
        )

    def _plug_in(self, X: ArrayLike) -> tuple[float, int]:
        rows = self._rows(X)
        model, params = self._fitted(point=True)
        density = model.assign(model.prepare(params), rows, "log_density", self._threads())
        return float(density.sum()), rows.shape[0]

    def _n_parameters(self) -> int:
        K, D = (int(length) for length in self.means_.shape)
        one = {"full": D * (D + 1) // 2, "tied": D * (D + 1) // 2, "diag": D}
        covariances = one.get(self.covariance_type, 1)
        copies = 1 if self.covariance_type in ("tied", "tied-spherical") else K
        return K * D + copies * covariances + (0 if self.equal_weights else K - 1)
