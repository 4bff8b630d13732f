"""Hidden Markov models of codes, bits and counts, on every rung of the ladder."""

from __future__ import annotations

import copy
from numbers import Integral
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import check_is_fitted

from vemfast.data import IndexedBlock, SparseRows
from vemfast.estimators.discrete_mixture import POSITIVE, DiscreteMixtureEstimator
from vemfast.estimators.hmm import HmmEstimator
from vemfast.models import discrete_points
from vemfast.models.discrete_config import DiscreteConfig, Start
from vemfast.models.discrete_rows import RowReader
from vemfast.models.discrete_setup import DiscreteHyperparameters, configure, count_categories

__all__ = ["BernoulliHMM", "CategoricalHMM", "PoissonHMM"]

Array = NDArray[np.float64]


class _DiscreteHMM(HmmEstimator):
    """Base of the three: how steps are read, and what their parameters are called."""

    _family: ClassVar[str]
    _shown: ClassVar[str]  # attribute of the emissions
    _model_name: ClassVar[str]  # what `discrete_points` calls it
    _priors: ClassVar[tuple[str, ...]]
    _posterior: ClassVar[dict[str, str]]

    # ---- steps ---------------------------------------------------------------------------------

    def _reader(self, sizes: NDArray[np.int64] | None) -> RowReader:
        return RowReader(self._family, type(self).__name__, self._takes_nan(), None, sizes)

    def _sizes(self, n_features: int) -> NDArray[np.int64] | None:
        """Return the numbers of codes that the user gives."""
        return None

    def _read(self, X: Any) -> tuple[IndexedBlock, dict[str, Any]]:
        scratch = copy.copy(self)
        X = DiscreteMixtureEstimator._validated(scratch, X, True)
        named = ("n_features_in_", "feature_names_in_")
        columns = {name: vars(scratch)[name] for name in named if name in vars(scratch)}
        sizes = self._sizes(X.shape[1])
        reader = self._reader(sizes)
        rows, dtype = reader.read(X)
        if self._family == "categorical" and not isinstance(rows, SparseRows):
            columns["n_categories_"] = reader.sizes_of(rows) if sizes is None else sizes
        return IndexedBlock(rows, dtype=dtype), columns

    def _read_like_fitted(self, X: Any) -> IndexedBlock:
        check_is_fitted(self)
        X = DiscreteMixtureEstimator._validated(self, X, False)
        rows, dtype = self._reader(getattr(self, "n_categories_", None)).read(X)
        return IndexedBlock(rows, dtype=dtype)

    # ---- what the family says ------------------------------------------------------------------

    def _emission(
        self, rows: IndexedBlock, parameter_rule: str, columns: dict[str, Any]
    ) -> DiscreteConfig:
        given = DiscreteHyperparameters(
            False,
            "dirichlet",
            None,
            getattr(self, self._priors[0]),
            getattr(self, self._priors[1]) if len(self._priors) > 1 else None,
            self._priors,
        )
        return configure(
            rows,
            self._family,
            int(self.n_components),
            self.inference,
            parameter_rule,
            given,
            columns.get("n_categories_"),
            self._takes_nan(),
            self.schedule == "minibatch",
        )

    def _emission_start(self, emission: DiscreteConfig) -> Start:
        given = self._given(next(iter(self._emission_letters)))
        if given is not None and self._family == "categorical" and np.ndim(given) == 2:
            given = [given]  # one column
        table = discrete_points.check_table(given, emission)
        if table is not None and emission.prior.is_proper:
            table = discrete_points.warm_table(emission, table)  # a log prior may be -inf at 0
        return Start(self._start_method(), None, table)

    def _emission_attributes(self, shown: dict[str, Any]) -> dict[str, Any]:
        out = {self._posterior.get(name, name): value for name, value in shown.items()}
        out[self._shown] = out.pop(self._model_name)
        if self._family == "categorical" and len(out[self._shown]) == 1:
            for name in (self._shown, *self._posterior.values()):
                if name in out:
                    out[name] = out[name][0]
        return out

    def _fitted_emissions(self) -> tuple[str, dict[str, Any]]:
        shown = getattr(self, self._shown)
        if self._family == "categorical" and not isinstance(shown, list):
            shown = [shown]
        return self._family, {"shown": shown, "sizes": getattr(self, "n_categories_", None)}

    def _draw_rows(self, states: NDArray[np.int64], rng: np.random.Generator) -> NDArray[Any]:
        shown = self._fitted_emissions()[1]["shown"]
        if self._family == "poisson":
            return np.asarray(rng.poisson(shown[states]))
        if self._family == "bernoulli":
            return np.asarray(rng.random((states.size, shown.shape[1])) < shown[states]).astype(int)
        rows = np.empty((states.size, len(shown)), dtype=np.int64)
        for d, p in enumerate(shown):
            cumulative = np.cumsum(p, axis=1)[states]
            u = rng.random(states.size) * cumulative[:, -1]
            rows[:, d] = (cumulative <= u[:, None]).sum(axis=1)
        return rows

    def _expected(self) -> Array:
        shown = self._fitted_emissions()[1]["shown"]
        return np.concatenate(shown, axis=1) if self._family == "categorical" else shown


class CategoricalHMM(_DiscreteHMM):
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


class BernoulliHMM(_DiscreteHMM):
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


class PoissonHMM(_DiscreteHMM):
    """Hidden Markov model of independent counts, fitted by any rung of the ladder of inference.

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
    lambdas_init : array-like of shape (n_components, n_features), default=None
    startprob_prior, transmat_prior, sticky, startprob_support, transmat_support, \
startprob_frozen, transmat_frozen
        As in `GaussianHMM`.
    lambdas_prior, lambdas_weight : float or array-like of shape (n_features,), default=None
        Shape and rate of the gamma prior of each rate, as `shape_prior` and `rate_prior` of
        `PoissonMixture`.
    missing : {"error", "marginalize"}, default="error"
        What NaN is: an error, or a missing value, which is integrated out.
    n_burn, n_draws, thin, n_chains, batch_size, n_batches, learning_decay, learning_offset, \
total_samples, params, random_state, n_jobs, callbacks, verbose, on_interrupt
        As in `GaussianHMM`.

    Attributes
    ----------
    startprob_ : ndarray of shape (n_components,)
    transmat_ : ndarray of shape (n_components, n_components)
    lambdas_ : ndarray of shape (n_components, n_features)
        Rates.
    lambdas_shape_, lambdas_rate_ : ndarray of shape (n_components, n_features)
        "mean-field": the gamma posteriors.
    lower_bound_, lower_bounds_, n_iter_, converged_, stop_reason_, posterior_
        As in `GaussianHMM`.
    """

    _family = "poisson"
    _shown = "lambdas_"
    _model_name = "rates_"
    _priors = ("lambdas_prior", "lambdas_weight")
    _posterior: ClassVar[dict[str, str]] = {"shape_": "lambdas_shape_", "rate_": "lambdas_rate_"}

    _emission_letters: ClassVar[dict[str, tuple[str, str]]] = {"l": ("lambdas", "rates")}
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **HmmEstimator._parameter_constraints,
        "lambdas_init": ["array-like", None],
        "lambdas_prior": POSITIVE,
        "lambdas_weight": POSITIVE,
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
        lambdas_init: Any = None,
        startprob_prior: ArrayLike | None = None,
        transmat_prior: ArrayLike | None = None,
        sticky: float = 0.0,
        startprob_support: ArrayLike | None = None,
        transmat_support: ArrayLike | None = None,
        startprob_frozen: ArrayLike | None = None,
        transmat_frozen: ArrayLike | None = None,
        lambdas_prior: ArrayLike | None = None,
        lambdas_weight: ArrayLike | None = None,
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
        self.lambdas_init = lambdas_init
        self.startprob_prior = startprob_prior
        self.transmat_prior = transmat_prior
        self.sticky = sticky
        self.startprob_support = startprob_support
        self.transmat_support = transmat_support
        self.startprob_frozen = startprob_frozen
        self.transmat_frozen = transmat_frozen
        self.lambdas_prior = lambdas_prior
        self.lambdas_weight = lambdas_weight
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
