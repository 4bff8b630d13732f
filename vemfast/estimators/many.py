"""fit_many: thousands of small Gaussian mixtures in parallel, in one native call."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from vemfast import _core
from vemfast.data import as_rows
from vemfast.errors import DegenerateWarning
from vemfast.estimators.base import check_sample_weight
from vemfast.estimators.gaussian_mixture import GaussianMixture
from vemfast.estimators.mixture import WEIGHT_PRIORS
from vemfast.execution.threads import effective_n_jobs
from vemfast.inference.restarts import seeds
from vemfast.models import gaussian_points as points
from vemfast.models.gaussian_config import GaussianConfig

__all__ = ["STOP_REASONS", "MixtureFits", "fit_many"]

Array = NDArray[np.float64]

# What the codes of `MixtureFits.stop_reason` mean.
STOP_REASONS = ("tolerance", "max_iter", "failed")

# The parameters of GaussianMixture that act on a fit of many; all others must be left alone.
_TAKEN = {
    *("n_components", "covariance_type", "inference", "tol", "reg_covar", "max_iter", "n_init"),
    *("init_params", "weights_init", "means_init", "precisions_init", "equal_weights"),
    *("weight_concentration_prior_type", "weight_concentration_prior", "mean_precision_prior"),
    *("mean_prior", "degrees_of_freedom_prior", "covariance_prior", "random_state", "n_jobs"),
}

_NATIVE_RUNGS = {"em": "em", "variational-em": "em", "hard-em": "hard-em"}
_NATIVE_RUNGS["mean-field"] = "mean-field"
_STARTS = ("kmeans", "k-means++", "random")


@dataclass(frozen=True, eq=False)
class MixtureFits(Sequence[GaussianMixture]):
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

    def __len__(self) -> int:
        """Return the number of data sets."""
        return len(self.failed)

    def __iter__(self) -> Iterator[GaussianMixture]:
        """Yield the fitted mixtures; raises at the first data set that failed."""
        return (self[i] for i in range(len(self)))

    def lower_bounds(self, i: int) -> list[float]:
        """Return the trace of the i-th objective, nats, the start first."""
        values, begin = self._traces
        i = self._index(i)
        return [float(value) for value in values[begin[i] : begin[i + 1]]]

    def __getitem__(self, i: Any) -> Any:
        """Return the i-th mixture, as GaussianMixture would have fitted it.

        Raises
        ------
        IndexError
            If there is no such data set.
        ValueError
            If it could not be fitted.
        """
        i = self._index(i)
        if self.failed[i]:
            raise ValueError(f"data set {i} could not be fitted: {self.messages[i]}")
        fitted = clone(self._template)
        fitted.random_state = int(self.random_states[i])
        reason = STOP_REASONS[self.stop_reason[i]]
        parameters = {
            "weights_": self.weights[i].copy(),
            "means_": self.means[i].copy(),
            "covariances_": np.array(self.covariances[i]),
        }
        fitted.__dict__ |= self._shown(i, fitted, parameters)
        fitted.__dict__ |= parameters
        fitted.n_features_in_ = self.means.shape[2]
        fitted.lower_bounds_ = self.lower_bounds(i)
        fitted.lower_bound_ = fitted.lower_bounds_[-1]
        fitted.n_iter_ = int(self.n_iter[i])
        fitted.converged_ = bool(self.converged[i])
        fitted.stop_reason_ = reason
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

    def _index(self, i: Any) -> int:
        index = range(len(self))[i]
        if not isinstance(index, int):
            raise TypeError("fits are taken one at a time; index the arrays for more")
        return index


def fit_many(
    data: Any,
    n_components: int = 1,
    *,
    sample_weight: Any = None,
    random_state: Any = None,
    n_jobs: int | None = None,
    **parameters: Any,
) -> MixtureFits:
    """Fit one Gaussian mixture to each of many data sets, in parallel.

    The i-th result is that of GaussianMixture with the same parameters and
    ``random_state=int(fits.random_states[i])``. All fits run in the native core, each on one
    thread, so that thousands of small ones take little more than their arithmetic.

    Parameters
    ----------
    data : sequence of array-like of shape (n_i, n_features), or ndarray of shape (B, n, n_features)
        float32 stays float32; other types become float64.
    n_components : int, default=1
    sample_weight : sequence of (array-like of shape (n_i,) or None), default=None
    random_state : int, RandomState, Generator or None, default=None
        Of all: each data set gets its own from it.
    n_jobs : int, default=None
        Threads. None: what OpenMP may use and the machine has. The result does not depend on it.
    **parameters
        Of GaussianMixture: `covariance_type`, `inference` ("em", "variational-em", "hard-em" or
        "mean-field"), `tol`, `reg_covar`, `max_iter`, `n_init`, `init_params` ("kmeans",
        "k-means++" or "random"), the starts, `equal_weights` and the priors. Starts and priors
        that are given hold for every data set.

    Returns
    -------
    MixtureFits

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
    """
    template = GaussianMixture(n_components, n_jobs=n_jobs, **parameters)
    _check_parameters(template, random_state)
    sets = _data_sets(data, sample_weight)
    config, options = _options(template, sets.n_features)
    random_states = _random_states(random_state, len(sets))
    found = _core.fit_many(
        sets, random_states.astype(np.uint64), effective_n_jobs(n_jobs), **options
    )
    fits = _result(found, config, random_states, template)
    _report(fits, template)
    return fits


def _check_parameters(template: GaussianMixture, random_state: Any) -> None:
    template.random_state = random_state
    template._check_params()
    template.random_state = None
    default = GaussianMixture().get_params()
    for name, value in template.get_params().items():
        is_default = value is default[name] or (
            default[name] is not None and value == default[name]
        )
        if name not in _TAKEN and not is_default:
            raise ValueError(f"fit_many does not take {name}={value!r}; fit such mixtures singly")
    if template.inference not in _NATIVE_RUNGS:
        raise ValueError(
            f"fit_many does not take inference={template.inference!r}; use one of "
            + ", ".join(repr(rung) for rung in _NATIVE_RUNGS)
        )
    if template.init_params not in _STARTS:
        raise ValueError(
            f"fit_many does not take init_params={template.init_params!r}; use one of "
            + ", ".join(repr(start) for start in _STARTS)
        )


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
        "inference": _NATIVE_RUNGS[template.inference],
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
        "mean_prior": _flat(prior.mean_prior),
        "degrees_of_freedom_prior": prior.degrees_of_freedom_prior,
        "covariance_prior": _flat(prior.covariance_prior),
    }


def _flat(value: ArrayLike | None) -> Array | None:
    return None if value is None else np.ascontiguousarray(value, dtype=np.float64).ravel()


def _random_states(random_state: Any, count: int) -> NDArray[np.uint32]:
    """Return one for each data set; those of fewer come first in those of more.

    As large as scikit-learn takes a random state.
    """
    first = np.uint64(seeds(random_state, 1)[0])
    with np.errstate(over="ignore"):  # the finaliser of SplitMix64, modulo 2^64
        x = first + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(x >> np.uint64(32), dtype=np.uint32)


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


def _report(fits: MixtureFits, template: GaussianMixture) -> None:
    """Warn once of each kind of trouble."""

    def warn(mask: NDArray[np.bool_], what: str, category: type[Warning]) -> None:
        count = int(np.count_nonzero(mask))
        if count:
            text = f"{count} of {len(fits)} {what}"
            warnings.warn(text, category, stacklevel=4)

    if fits.messages:
        index, message = next(iter(fits.messages.items()))
        warn(
            fits.failed,
            f"data sets could not be fitted (see `failed` and `messages`); data set {index}: "
            f"{message}",
            UserWarning,
        )
    warn(
        fits.stop_reason == STOP_REASONS.index("max_iter"),
        f"fits not converged after max_iter={template.max_iter} iterations (see `converged`); "
        "increase max_iter or tol, or try another start",
        ConvergenceWarning,
    )
    warn(
        fits.degenerate,
        "fits are degenerate (see `degenerate`): a component is empty, or a covariance is held at "
        "the edge of its support",
        DegenerateWarning,
    )
