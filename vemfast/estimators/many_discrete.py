"""Thousands of small mixtures of bits, counts or codes in one native call: `fit_many` of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from sklearn.base import clone

from vemfast import _core
from vemfast.estimators.base import check_sample_weight
from vemfast.estimators.discrete_mixture import DiscreteMixtureEstimator
from vemfast.estimators.fits import (
    Fits,
    check_parameters,
    common_fields,
    random_states_of,
    report,
    spread,
    template_of,
)
from vemfast.indexed import IndexedBlock, SparseRows
from vemfast.models import discrete_points as points
from vemfast.models.base import Step
from vemfast.models.discrete_mixture import DiscreteMixture, log_base_measure
from vemfast.stats import Params

__all__ = ["DiscreteMixtureFits", "fit_discrete"]

Array = NDArray[np.float64]

# The parameters that act on a fit of many; all others must be left alone.
_TAKEN = {
    *("n_components", "inference", "tol", "max_iter", "n_init", "init_params", "binarize"),
    *("n_categories", "weights_init", "probabilities_init", "rates_init", "equal_weights"),
    *("weight_concentration_prior_type", "weight_concentration_prior", "alpha_prior"),
    *("beta_prior", "shape_prior", "rate_prior", "concentration_prior", "random_state", "n_jobs"),
}
_STARTS = ("kmeans", "k-means++", "random")


@dataclass(frozen=True, eq=False)
class DiscreteMixtureFits(Fits[DiscreteMixtureEstimator]):
    """What `fit_many` found of mixtures of bits, counts or codes: arrays, the data set first.

    ``fits[i]`` is a fitted estimator; `len` and iteration work, too. Where a data set could not be
    fitted its numbers are NaN.

    Attributes
    ----------
    weights : ndarray of shape (n_fits, n_components)
    components : dict of str to ndarray of shape (n_fits, n_components, n_features), or list of such
        Fitted attributes of the components: `probabilities_` or `rates_`, and under "mean-field"
        their posteriors; of codes a list of arrays (n_fits, n_components, n_categories), one a
        column.
    weight_concentration : ndarray or None
        "mean-field": of the posteriors of the weights, (n_fits, n_components), with sticks
        (n_fits, 2, n_components).
    lower_bound : ndarray of shape (n_fits,)
        The objective, nats.
    n_iter : ndarray of int, shape (n_fits,)
    converged : ndarray of bool, shape (n_fits,)
    stop_reason : ndarray of int, shape (n_fits,)
        0 tolerance, 1 max_iter, 2 failed.
    failed : ndarray of bool, shape (n_fits,)
    messages : dict of int to str
        Why, for each data set that failed.
    degenerate : ndarray of bool, shape (n_fits,)
        Whether a component is empty.
    random_states : ndarray of uint32, shape (n_fits,)
        The i-th fit is that of the estimator with ``random_state=int(random_states[i])``.
    """

    weights: Array
    components: dict[str, Any]
    weight_concentration: Array | None
    lower_bound: Array
    n_iter: NDArray[np.int32]
    converged: NDArray[np.bool_]
    stop_reason: NDArray[np.int8]
    failed: NDArray[np.bool_]
    messages: dict[int, str]
    degenerate: NDArray[np.bool_]
    random_states: NDArray[np.uint32]
    _template: DiscreteMixtureEstimator
    _columns: dict[str, Any]
    _model: DiscreteMixture
    _params: tuple[str, Array]
    _traces: tuple[Array, NDArray[np.int64]]

    def _make(self, i: int) -> DiscreteMixtureEstimator:
        fitted: DiscreteMixtureEstimator = clone(self._template)
        fitted.random_state = int(self.random_states[i])
        kind, buffers = self._params
        params = Params(self._model.config.params_layout(kind), kind, buffers[i].copy())
        fitted.__dict__ |= points.attributes(self._model, params)
        fitted.__dict__ |= self._columns
        return fitted


def fit_discrete(
    data: Any,
    estimator: DiscreteMixtureEstimator | type[DiscreteMixtureEstimator],
    sample_weight: Any,
    random_state: Any,
    parameters: dict[str, Any],
) -> DiscreteMixtureFits:
    """Fit one mixture of bits, counts or codes to each of many data sets; see `fit_many`."""
    template = template_of(estimator, parameters)
    if random_state is None:
        random_state = template.random_state
    check_parameters(template, random_state, _TAKEN, _STARTS)
    messages: dict[int, str] = {}
    parts, n_sets = _parts(data, sample_weight, messages)
    parts = _readable(template, parts, messages)
    if not parts:
        index = min(messages)
        raise ValueError(f"no data set can be read; of data set {index}: {messages[index]}")
    numbers, rows, weights = zip(*parts, strict=True)
    sets = np.concatenate(([0], np.cumsum([len(X) for X in rows]))).astype(np.int64)
    model, block, columns, step = template._model(np.concatenate(rows), None)
    states = random_states_of(random_state, n_sets)
    together = _joined_weights(rows, weights)
    found = _fit(template, model, block, sets, together, step, states[list(numbers)])
    messages |= {numbers[i]: message for i, message in found["messages"].items()}
    fits = _result(template, model, columns, step, found, list(numbers), messages, states)
    report(fits, "max_iter", int(template.max_iter), stacklevel=5)
    return fits


# ---- the data ------------------------------------------------------------------------------------

_Part = tuple[int, NDArray[Any], Array | None]


def _parts(data: Any, weights: Any, messages: dict[int, str]) -> tuple[list[_Part], int]:
    """Return number, rows and weights of each data set, and how many there are."""
    if isinstance(data, np.ndarray) and data.dtype != object and data.ndim != 3:
        raise ValueError(
            "data must be a sequence of 2-D arrays, or one array of shape (B, n, n_features); "
            f"got an array of shape {data.shape}"
        )
    data = list(data)
    if weights is not None and len(weights) != len(data):
        raise ValueError(
            f"sample_weight is for {len(weights)} data sets, but there are {len(data)}"
        )
    if not data:
        raise ValueError("data is empty: give at least one data set")
    parts: list[_Part] = []
    for i, X in enumerate(data):
        try:
            if scipy.sparse.issparse(X):
                raise ValueError(
                    "X is sparse; fit_many takes dense rows: convert them with toarray()"
                )
            rows = X if type(X) is np.ndarray else np.asarray(X)
            if rows.ndim != 2 or rows.dtype.kind not in "biuf" or not rows.size:
                raise ValueError(
                    f"X must be a 2-D array of numbers with at least one row; got shape "
                    f"{rows.shape} of {rows.dtype}"
                )
            single = rows.dtype == np.float32
            precision = np.dtype(np.float32 if single else np.float64)
            given = None if weights is None else weights[i]
            own = check_sample_weight(given, len(rows), precision)
            parts.append((i, rows, own))
        except (TypeError, ValueError) as error:
            messages[i] = str(error)
    return parts, len(data)


def _readable(template: Any, parts: list[_Part], messages: dict[int, str]) -> list[_Part]:
    """Return the data sets that the estimator can read; what is wrong with others in `messages`."""
    if not parts:
        return parts
    width = parts[0][1].shape[1]
    same = [part for part in parts if part[1].shape[1] == width]
    for i, rows, _ in parts:
        if rows.shape[1] != width:
            messages[i] = f"X has {rows.shape[1]} features, but {width} are expected"
    reader = template._reader(template._sizes(width))
    try:
        reader.read(np.concatenate([part[1] for part in same]))
    except (TypeError, ValueError):  # which of them it was
        good = []
        for part in same:
            try:
                reader.read(part[1])
                good.append(part)
            except (TypeError, ValueError) as error:
                messages[part[0]] = str(error)
        return good
    return same


def _joined_weights(rows: Sequence[Any], weights: Sequence[Array | None]) -> Array | None:
    if all(own is None for own in weights):
        return None
    pairs = zip(rows, weights, strict=True)
    return np.concatenate([np.ones(len(X)) if w is None else w for X, w in pairs])


# ---- the fits ------------------------------------------------------------------------------------


def _fit(
    template: Any,
    model: DiscreteMixture,
    block: Any,
    sets: NDArray[np.int64],
    weights: Array | None,
    step: Step,
    states: NDArray[np.uint32],
) -> dict[str, Any]:
    config, start = model.config, model.start
    assert isinstance(block, IndexedBlock)
    assert not isinstance(block.rows, SparseRows)
    by_data = config.family == "poisson" and config.prior.is_proper
    by_data = by_data and template.rate_prior is None
    return _core.fit_discrete_mixtures(
        model._native,
        block.rows,
        log_base_measure(config, block, step.n_jobs),
        block.dtype == np.float32,
        sets,
        weights,
        states.astype(np.uint64),
        step.n_jobs,
        family=config.family,
        local_rule=step.local_rule,
        parameter_rule=step.parameter_rule,
        tol=float(template.tol),
        max_iter=int(template.max_iter),
        n_init=int(template.n_init),
        start=template.init_params,
        weights_init=start.weights,
        table=None if start.table is None else start.table.ravel(),
        shapes=config.prior.a if by_data else None,
    )


def _result(
    template: Any,
    model: DiscreteMixture,
    columns: dict[str, Any],
    step: Step,
    found: dict[str, Any],
    numbers: list[int],
    messages: dict[int, str],
    states: NDArray[np.uint32],
) -> DiscreteMixtureFits:
    B, config = len(states), model.config
    kind = "posterior" if step.parameter_rule == "posterior" else "point"
    params = spread(found["params"], numbers, B, np.nan)
    layout = config.params_layout(kind)
    of = {name: layout.view(params, name) for name in layout.names}
    means = spread(found["mean_weights"], numbers, B, np.nan)
    return DiscreteMixtureFits(
        of["weights"] if kind == "point" else means,
        points.many(config, kind, of),
        of.get("concentration"),
        _template=template,
        _columns=columns,
        _model=model,
        _params=(kind, params),
        **common_fields(found, numbers, messages, states),
    )
