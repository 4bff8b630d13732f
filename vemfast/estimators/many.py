"""fit_many: thousands of small models in parallel, in one native call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from vemfast import _core
from vemfast.data import as_rows
from vemfast.estimators.base import check_sample_weight
from vemfast.estimators.discrete_mixture import DiscreteMixtureEstimator
from vemfast.estimators.fits import (
    STOP_REASONS,
    Fits,
    check_parameters,
    flat,
    random_states_of,
    report,
    template_of,
)
from vemfast.estimators.gaussian_mixture import GaussianMixture
from vemfast.estimators.hmm import HmmEstimator
from vemfast.estimators.many_discrete import DiscreteMixtureFits, fit_discrete
from vemfast.estimators.many_series import SeriesFits, fit_series
from vemfast.estimators.mixture import WEIGHT_PRIORS, MixtureEstimator
from vemfast.execution.threads import effective_n_jobs
from vemfast.models import gaussian_points as points
from vemfast.models.gaussian_config import GaussianConfig

__all__ = ["STOP_REASONS", "MixtureFits", "fit_many"]

Array = NDArray[np.float64]

# The parameters of GaussianMixture that act on a fit of many; all others must be left alone.
_TAKEN = {
    *("n_components", "covariance_type", "inference", "tol", "reg_covar", "max_iter", "n_init"),
    *("init_params", "weights_init", "means_init", "precisions_init", "equal_weights"),
    *("weight_concentration_prior_type", "weight_concentration_prior", "mean_precision_prior"),
    *("mean_prior", "degrees_of_freedom_prior", "covariance_prior", "random_state", "n_jobs"),
}

# What a rung is to a mixture, whose posterior factorises by itself.
_NATIVE_RUNGS = {"variational-em": "em"}
_STARTS = ("kmeans", "k-means++", "random")


@dataclass(frozen=True, eq=False)
class MixtureFits(Fits[GaussianMixture]):
    """What `fit_many` found: arrays whose first axis is the data set.

    ``fits[i]`` is a fitted GaussianMixture; `len` and iteration work, too. Where a data set could
    not be fitted its numbers are NaN.

    Attributes
    ----------
    weights : ndarray of shape (n_fits, n_components)
    means : ndarray of shape (n_fits, n_components, n_features)
    covariances : ndarray of shape (n_fits, ...)
        Each in the shape of the covariance type.
    lower_bound : ndarray of shape (n_fits,)
        The objective, nats.
    n_iter : ndarray of int, shape (n_fits,)
    converged : ndarray of bool, shape (n_fits,)
    stop_reason : ndarray of int, shape (n_fits,)
        0 tolerance, 1 max_iter, 2 failed: indices of `STOP_REASONS`.
    failed : ndarray of bool, shape (n_fits,)
    messages : dict of int to str
        Why, for each data set that failed.
    degenerate : ndarray of bool, shape (n_fits,)
        Whether a component is empty or a covariance is held at the edge of its support.
    random_states : ndarray of uint32, shape (n_fits,)
        ``GaussianMixture(..., random_state=int(random_states[i])).fit(data[i])`` is the i-th fit.
    origin : ndarray of shape (n_fits, n_features)
        The mean of each data set.
    weight_concentration, mean_precision, degrees_of_freedom : ndarray or None
        "mean-field": the rest of the posteriors. With sticks, the concentration is
        (n_fits, 2, n_components).
    """

    weights: Array
    means: Array
    covariances: Array
    lower_bound: Array
    n_iter: NDArray[np.int32]
    converged: NDArray[np.bool_]
    stop_reason: NDArray[np.int8]
    failed: NDArray[np.bool_]
    messages: dict[int, str]
    degenerate: NDArray[np.bool_]
    random_states: NDArray[np.uint32]
    origin: Array
    weight_concentration: Array | None
    mean_precision: Array | None
    degrees_of_freedom: Array | None
    _template: GaussianMixture
    _traces: tuple[Array, NDArray[np.int64]]

    def _make(self, i: int) -> GaussianMixture:
        """Return the i-th mixture, as GaussianMixture would have fitted it."""
        fitted: GaussianMixture = clone(self._template)
        fitted.random_state = int(self.random_states[i])
        parameters = {
            "weights_": self.weights[i].copy(),
            "means_": self.means[i].copy(),
            "covariances_": np.array(self.covariances[i]),
        }
        fitted.__dict__ |= self._shown(i, fitted, parameters)
        fitted.__dict__ |= parameters
        fitted.n_features_in_ = self.means.shape[2]
        return fitted

    def _shown(self, i: int, fitted: GaussianMixture, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return the attributes that follow from the parameters."""
        point = list(parameters.values())
        kind = fitted.covariance_type
        if self.degrees_of_freedom is None:
            return points.attributes(*points.from_point(kind, self.origin[i].copy(), *point))
        assert self.weight_concentration is not None
        assert self.mean_precision is not None
        weight_type = WEIGHT_PRIORS[fitted.weight_concentration_prior_type]
        model, params = points.from_posterior(
            kind,
            self.origin[i].copy(),
            "equal" if fitted.equal_weights else weight_type,
            self.weight_concentration[i],
            point[1],
            self.mean_precision[i],
            np.asarray(self.degrees_of_freedom[i]),
            point[2],
        )
        return points.attributes(model, params)


@overload
def fit_many(
    data: Any,
    n_components: int | None = None,
    *,
    estimator: GaussianMixture | type[GaussianMixture] | None = None,
    lengths: None = None,
    sample_weight: Any = None,
    random_state: Any = None,
    n_jobs: int | None = None,
    **parameters: Any,
) -> MixtureFits: ...
@overload
def fit_many(
    data: Any,
    n_components: int | None = None,
    *,
    estimator: DiscreteMixtureEstimator | type[DiscreteMixtureEstimator],
    lengths: None = None,
    sample_weight: Any = None,
    random_state: Any = None,
    n_jobs: int | None = None,
    **parameters: Any,
) -> DiscreteMixtureFits: ...
@overload
def fit_many(
    data: Any,
    n_components: int | None = None,
    *,
    estimator: HmmEstimator | type[HmmEstimator],
    lengths: Any = None,
    sample_weight: Any = None,
    random_state: Any = None,
    n_jobs: int | None = None,
    **parameters: Any,
) -> SeriesFits: ...
def fit_many(
    data: Any,
    n_components: int | None = None,
    *,
    estimator: Any = None,
    lengths: Any = None,
    sample_weight: Any = None,
    random_state: Any = None,
    n_jobs: int | None = None,
    **parameters: Any,
) -> MixtureFits | DiscreteMixtureFits | SeriesFits:
    """Fit one mixture, or hidden Markov model, to each of many data sets, in parallel.

    The i-th result is that of the estimator with the same parameters and
    ``random_state=int(fits.random_states[i])``. All fits run in the native core, each on one
    thread, so that thousands of small ones take little more than their arithmetic.

    Parameters
    ----------
    data : sequence of array-like of shape (n_i, n_features), or ndarray of shape (B, n, n_features)
        float32 stays float32; other types become float64. Of a hidden Markov model each is one
        sequence, or what else its `fit` takes. Hidden Markov and discrete models are float32 if
        all data sets are, and codes have as many categories as those of all together.
    n_components : int, default=None
        None: 1, or the estimator's own.
    estimator : mixture or hidden Markov estimator (not GMMHMM), or its class, default=None
        None: GaussianMixture.
    lengths : sequence of (array-like of int or None), default=None
        Of the sequences of each data set, for hidden Markov models.
    sample_weight : sequence of (array-like of shape (n_i,) or None), default=None
        Of the rows, or of the sequences, of each data set.
    random_state : int, RandomState, Generator or None, default=None
        Of all: each data set gets its own from it. None: the estimator's own.
    n_jobs : int, default=None
        Threads. None: the estimator's own; if that is None, what OpenMP may use and the machine
        has. The result does not depend on it.
    **parameters
        Of the estimator. Of GaussianMixture: `covariance_type`, `inference` ("em",
        "variational-em", "hard-em" or "mean-field"), `tol`, `reg_covar`, `max_iter`, `n_init`,
        `init_params` ("kmeans", "k-means++" or "random"), the starts, `equal_weights` and the
        priors. Of hidden Markov models the like, `n_iter` for `max_iter`, structural zeros and
        frozen entries. Starts and priors that are given hold for every data set.

    Returns
    -------
    MixtureFits, DiscreteMixtureFits or SeriesFits

    Raises
    ------
    ValueError
        If a parameter is bad, or no data set can be read. What is wrong with one data set stops
        nothing: see `MixtureFits.failed` and `messages`.
    TypeError
        If there is no such parameter.

    Warns
    -----
    UserWarning
        Once, if data sets failed.
    ConvergenceWarning
        Once, if fits ended at `max_iter`.
    DegenerateWarning
        Once, if estimates are degenerate.

    Examples
    --------
    >>> import numpy as np
    >>> from vemfast import fit_many
    >>> rng = np.random.default_rng(0)
    >>> fits = fit_many(rng.normal(size=(100, 50, 2)), n_components=2, random_state=0, max_iter=500)
    >>> fits.means.shape
    (100, 2, 2)
    >>> from vemfast import PoissonHMM
    >>> series = rng.poisson(rng.choice([1.0, 9.0], size=(100, 60, 1)))
    >>> fits = fit_many(series, 2, estimator=PoissonHMM, random_state=0, n_iter=500)
    >>> fits.transmat.shape
    (100, 2, 2)
    """
    if n_components is not None:
        parameters["n_components"] = n_components
    own = {"n_jobs": n_jobs, **parameters}
    if estimator is None:
        estimator = GaussianMixture
    kind = estimator if isinstance(estimator, type) else type(estimator)
    if not issubclass(kind, MixtureEstimator):
        return fit_series(data, estimator, lengths, sample_weight, random_state, own)
    if lengths is not None:
        raise ValueError("lengths are of sequences: say which hidden Markov estimator")
    if issubclass(kind, DiscreteMixtureEstimator):
        return fit_discrete(data, estimator, sample_weight, random_state, own)
    template = template_of(estimator, own)
    if random_state is None:
        random_state = template.random_state
    check_parameters(template, random_state, _TAKEN, _STARTS)
    sets = _data_sets(data, sample_weight)
    config, options = _options(template, sets.n_features)
    random_states = random_states_of(random_state, len(sets))
    found = _core.fit_many(
        sets, random_states.astype(np.uint64), effective_n_jobs(template.n_jobs), **options
    )
    fits = _result(found, config, random_states, template)
    report(fits, "max_iter", template.max_iter, stacklevel=4)
    return fits


def _data_sets(data: Any, sample_weight: Any) -> _core.DataSets:
    if isinstance(data, np.ndarray) and data.ndim == 3 and data.dtype != object:
        data = as_rows(data.reshape(-1, data.shape[2])).reshape(data.shape)
    elif isinstance(data, np.ndarray) and data.dtype != object:
        raise ValueError(
            "data must be a sequence of 2-D arrays, or one array of shape (B, n, n_features); "
            f"got an array of shape {data.shape}"
        )
    elif not isinstance(data, Sequence):
        data = list(data)
    if sample_weight is not None and len(sample_weight) != len(data):
        raise ValueError(
            f"sample_weight is for {len(sample_weight)} data sets, but there are {len(data)}"
        )
    if len(data) == 0:
        raise ValueError("data is empty: give at least one data set")
    sets = _core.DataSets(data, sample_weight, as_rows, check_sample_weight)
    if sets.n_features == 0:
        index, message = sets.failures[0] if sets.failures else (0, "it has no features")
        raise ValueError(f"no data set can be read; of data set {index}: {message}")
    return sets


def _options(template: GaussianMixture, n_features: int) -> tuple[GaussianConfig, dict[str, Any]]:
    """Return the options of the native call; the estimator checks them, on rows of no interest."""
    unit = np.vstack([np.eye(n_features), -np.eye(n_features)])
    rows = np.resize(unit, (max(len(unit), int(template.n_components)), n_features))
    model, *_ = template._model(rows, None)
    start, prior = model.start, template
    sticks = WEIGHT_PRIORS[template.weight_concentration_prior_type] == "dirichlet_process"
    return model.config, {
        "n_components": int(template.n_components),
        "covariance_type": template.covariance_type,
        "inference": _NATIVE_RUNGS.get(template.inference, template.inference),
        "tol": float(template.tol),
        "max_iter": int(template.max_iter),
        "n_init": int(template.n_init),
        "reg_covar": float(template.reg_covar),
        "start": template.init_params,
        "weights_init": start.weights,
        "means_init": start.means,
        "covariances_init": start.covariances,
        "equal_weights": bool(template.equal_weights),
        "dirichlet_process": sticks,
        "weight_concentration_prior": prior.weight_concentration_prior,
        "mean_precision_prior": prior.mean_precision_prior,
        "mean_prior": flat(prior.mean_prior),
        "degrees_of_freedom_prior": prior.degrees_of_freedom_prior,
        "covariance_prior": flat(prior.covariance_prior),
    }


def _result(
    found: dict[str, Any],
    config: GaussianConfig,
    random_states: NDArray[np.uint32],
    template: GaussianMixture,
) -> MixtureFits:
    B, K, D = len(random_states), config.n_components, config.n_features

    def shaped(name: str, *shape: int) -> Array | None:
        values = found[name]
        return values.reshape(B, *shape) if values.size else None

    groups = () if config.is_shared else (K,)
    sticks = (2, K) if found["weight_concentration"].size == 2 * B * K else (K,)
    failed = found["stop_reason"] == STOP_REASONS.index("failed")
    return MixtureFits(
        found["weights"].reshape(B, K),
        found["means"].reshape(B, K, D),
        found["covariances"].reshape(B, *config.covariance_shape),
        found["lower_bound"],
        found["n_iter"],
        found["stop_reason"] == STOP_REASONS.index("tolerance"),
        found["stop_reason"],
        failed,
        dict(sorted(found["messages"].items())),
        found["degenerate"].astype(bool),
        random_states,
        found["origin"].reshape(B, D),
        shaped("weight_concentration", *sticks),
        shaped("mean_precision", K),
        shaped("degrees_of_freedom", *groups),
        template,
        (found["lower_bounds"], found["trace"]),
    )
