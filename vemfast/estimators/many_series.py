"""Thousands of small hidden Markov models in one native call: `fit_many` of series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from sklearn.base import clone

from vemfast import _core
from vemfast.estimators.base import check_sample_weight
from vemfast.estimators.fits import (
    Fits,
    check_parameters,
    common_fields,
    flat,
    random_states_of,
    report,
    spread,
    template_of,
)
from vemfast.estimators.gmm_hmm import GMMHMM
from vemfast.estimators.hmm import HmmEstimator, Steps
from vemfast.indexed import IndexedBlock, SparseRows
from vemfast.models import hmm_points as points
from vemfast.models.base import Step
from vemfast.models.discrete_mixture import log_base_measure
from vemfast.models.hmm import HiddenMarkov
from vemfast.sequences import SequenceBlock, joined, naming_steps
from vemfast.stats import Params

__all__ = ["SeriesFits", "fit_series"]

Array = NDArray[np.float64]

# The parameters that act on a fit of many; all others must be left alone.
_TAKEN = {
    *("n_components", "covariance_type", "inference", "algorithm", "tol", "n_iter", "n_init"),
    *("init_params", "startprob_init", "transmat_init", "startprob_prior", "transmat_prior"),
    *("sticky", "startprob_support", "transmat_support", "startprob_frozen", "transmat_frozen"),
    *("means_init", "precisions_init", "reg_covar", "means_prior", "means_weight"),
    *("covars_prior", "covars_weight", "emissionprob_init", "emissionprob_prior", "n_features"),
    *("probabilities_init", "alpha_prior", "beta_prior"),
    *("lambdas_init", "lambdas_prior", "lambdas_weight", "random_state", "n_jobs"),
}
_STARTS = ("kmeans", "k-means++")


@dataclass(frozen=True, eq=False)
class SeriesFits(Fits[HmmEstimator]):
    """What `fit_many` found of hidden Markov models: arrays whose first axis is the data set.

    ``fits[i]`` is a fitted estimator; `len` and iteration work, too. Where a data set could not be
    fitted its numbers are NaN.

    Attributes
    ----------
    startprob : ndarray of shape (n_fits, n_components)
    transmat : ndarray of shape (n_fits, n_components, n_components)
    emissions : dict of str to ndarray of shape (n_fits, ...), or a list of such
        Fitted attributes of the emissions: `means_` and `covars_`, `emissionprob_` (a list of
        arrays, one a column, where there are several), `probabilities_` or `lambdas_`, and under
        "mean-field" the rest of the posteriors.
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
        Whether a state is empty.
    random_states : ndarray of uint32, shape (n_fits,)
        The i-th fit is that of the estimator with ``random_state=int(random_states[i])``.
    """

    startprob: Array
    transmat: Array
    emissions: dict[str, Any]
    lower_bound: Array
    n_iter: NDArray[np.int32]
    converged: NDArray[np.bool_]
    stop_reason: NDArray[np.int8]
    failed: NDArray[np.bool_]
    messages: dict[int, str]
    degenerate: NDArray[np.bool_]
    random_states: NDArray[np.uint32]
    _template: HmmEstimator
    _columns: dict[str, Any]
    _model: HiddenMarkov
    _params: tuple[str, Array]
    _origins: Array
    _traces: tuple[Array, NDArray[np.int64]]

    def _make(self, i: int) -> HmmEstimator:
        fitted: HmmEstimator = clone(self._template)
        fitted.random_state = int(self.random_states[i])
        config, (kind, buffers) = self._model.config, self._params
        if self._origins.size:
            emission: Any = replace(config.emission, origin=self._origins[i])
            config = replace(config, emission=emission)
        params = Params(config.params_layout(kind), kind, buffers[i].copy())
        fitted.__dict__ |= fitted._attributes(HiddenMarkov(config), params)
        fitted.__dict__ |= self._columns
        return fitted


@dataclass(frozen=True, eq=False)
class _Joined:
    """All sequences of all data sets that can be read, one after another."""

    steps: Any
    lengths: NDArray[np.int64]
    weights: Array | None
    sets: NDArray[np.int64]  # the first sequence of each data set, and the end
    numbers: list[int]  # of the data sets


def fit_series(
    data: Any,
    estimator: HmmEstimator | type[HmmEstimator],
    lengths: Any,
    sample_weight: Any,
    random_state: Any,
    parameters: dict[str, Any],
) -> SeriesFits:
    """Fit one hidden Markov model to each of many data sets; see `fit_many`."""
    template = _template(estimator, parameters)
    if random_state is None:
        random_state = template.random_state
    check_parameters(template, random_state, _TAKEN, _STARTS)
    parts, messages, n_sets = _parts(data, lengths, sample_weight)
    parts = _readable(template, parts, messages)
    if not parts:
        index = min(messages) if messages else 0
        why = messages.get(index, "there is none")
        raise ValueError(f"no data set can be read; of data set {index}: {why}")
    all_of = _together(parts)
    model, block, columns, step = template._model(Steps(all_of.steps, all_of.lengths), None)
    block = block.with_weights(all_of.weights)
    states = random_states_of(random_state, n_sets)
    found = _fit(template, model, block, all_of, step, states[all_of.numbers])
    for i, message in found["messages"].items():
        messages[all_of.numbers[i]] = _naming(message, all_of, i)
    fits = _result(template, model, columns, step, found, all_of.numbers, messages, states)
    report(fits, "n_iter", int(template.n_iter), stacklevel=5)
    return fits


def _template(estimator: Any, parameters: dict[str, Any]) -> HmmEstimator:
    if isinstance(estimator, type):
        estimator = estimator()
    if not isinstance(estimator, HmmEstimator) or isinstance(estimator, GMMHMM):
        raise TypeError(
            "estimator must be a mixture, GaussianHMM, CategoricalHMM, BernoulliHMM or PoissonHMM, "
            f"or one of these; got {estimator!r}"
        )
    template: HmmEstimator = template_of(estimator, parameters)
    return template


# ---- the data ------------------------------------------------------------------------------------

_Part = tuple[int, Any, NDArray[np.int64], Array | None]


def _parts(data: Any, lengths: Any, weights: Any) -> tuple[list[_Part], dict[int, str], int]:
    """Return number, steps, lengths and weights of each data set, and what is wrong with others."""
    if isinstance(data, np.ndarray) and data.dtype != object and data.ndim != 3:
        raise ValueError(
            "data must be a sequence of data sets, or one array of shape (B, n, n_features); "
            f"got an array of shape {data.shape}"
        )
    data = list(data)
    for name, given in (("lengths", lengths), ("sample_weight", weights)):
        if given is not None and len(given) != len(data):
            raise ValueError(f"{name} is for {len(given)} data sets, but there are {len(data)}")
    if not data:
        raise ValueError("data is empty: give at least one data set")
    parts: list[_Part] = []
    messages = {}
    for i, X in enumerate(data):
        try:
            steps, sizes = joined(X, None if lengths is None else lengths[i])
            if scipy.sparse.issparse(steps):
                raise ValueError(
                    "X is sparse; fit_many takes dense series: convert them with toarray()"
                )
            own = None if weights is None else check_sample_weight(weights[i], sizes.size)
            parts.append((i, steps if hasattr(steps, "dtype") else np.asarray(steps), sizes, own))
        except (TypeError, ValueError) as error:
            messages[i] = str(error)
    return parts, messages, len(data)


def _together(parts: Sequence[_Part]) -> _Joined:
    numbers, steps, sizes, weights = zip(*parts, strict=True)
    ends = np.cumsum([own.size for own in sizes])
    together = None
    if any(own is not None for own in weights):
        pairs = zip(weights, sizes, strict=True)
        together = np.concatenate([np.ones(n.size) if w is None else w for w, n in pairs])
    return _Joined(
        np.concatenate(steps),
        np.concatenate(sizes),
        together,
        np.concatenate(([0], ends)).astype(np.int64),
        list(numbers),
    )


def _readable(template: HmmEstimator, parts: list[_Part], messages: dict[int, str]) -> list[_Part]:
    """Return the data sets that the estimator can read; what is wrong with others in `messages`."""
    if not parts:
        return parts
    width = parts[0][1].shape[1]
    same = [part for part in parts if part[1].shape[1] == width]
    for i, steps, *_ in parts:
        if steps.shape[1] != width:
            messages[i] = f"X has {steps.shape[1]} features, but {width} are expected"
    try:
        template._read(np.concatenate([part[1] for part in same]))
    except (TypeError, ValueError):  # which of them it was
        good = []
        for part in same:
            try:
                template._model(Steps(part[1], part[2]), None)
                good.append(part)
            except (TypeError, ValueError) as error:
                messages[part[0]] = str(error)
        return good
    return same


def _naming(message: str, all_of: _Joined, i: int) -> str:
    """Return a message of the core on a data set, with the number of its own sequence and step."""
    own = all_of.lengths[all_of.sets[i] : all_of.sets[i + 1]]
    try:
        with naming_steps(own):
            raise ValueError(message)
    except ValueError as error:
        return str(error)


# ---- the fits ------------------------------------------------------------------------------------


def _fit(
    template: Any,
    model: HiddenMarkov,
    block: SequenceBlock,
    all_of: _Joined,
    step: Step,
    states: NDArray[np.uint32],
) -> dict[str, Any]:
    startprob, transmat = model.first_chain()
    common: dict[str, Any] = {
        "local_rule": step.local_rule,
        "parameter_rule": step.parameter_rule,
        "tol": float(template.tol),
        "max_iter": int(template.n_iter),
        "n_init": int(template.n_init),
        "start": np.ascontiguousarray(startprob),
        "transitions": np.ascontiguousarray(transmat),
        "by_kmeans": template.init_params == "kmeans",
    }
    fields = (all_of.sets, all_of.weights, states.astype(np.uint64), step.n_jobs)
    rows, start = block.rows, model.start.emission
    config: Any = model.config.emission
    if not isinstance(rows, IndexedBlock):
        return _core.fit_gaussian_series(
            model._native,
            rows.X,
            block.lengths,
            *fields,
            **common,
            covariance_type=template.covariance_type,
            reg_covar=float(template.reg_covar),
            means_init=flat(getattr(start, "means", None)),
            covariances_init=flat(getattr(start, "covariances", None)),
            mean_precision_prior=template.means_weight,
            mean_prior=flat(template.means_prior),
            degrees_of_freedom_prior=template.covars_weight,
            covariance_prior=flat(template.covars_prior),
        )
    assert not isinstance(rows.rows, SparseRows)
    by_data = config.family == "poisson" and config.prior.is_proper
    by_data = by_data and template.lambdas_weight is None
    return _core.fit_discrete_series(
        model._native,
        rows.rows,
        log_base_measure(config, rows, step.n_jobs),
        rows.dtype == np.float32,
        block.lengths,
        *fields,
        **common,
        family=config.family,
        table=flat(getattr(start, "table", None)),
        shapes=config.prior.a if by_data else None,
    )


def _result(
    template: HmmEstimator,
    model: HiddenMarkov,
    columns: dict[str, Any],
    step: Step,
    found: dict[str, Any],
    numbers: list[int],
    messages: dict[int, str],
    states: NDArray[np.uint32],
) -> SeriesFits:
    kind = "posterior" if step.parameter_rule == "posterior" else "point"
    params, origins, means = (
        spread(found[name], numbers, len(states), np.nan)
        for name in ("params", "origin", "chain_means")
    )
    chain, emissions = points.many(model, kind, params, origins, means if means.size else None)
    return SeriesFits(
        *chain,
        template._emission_attributes(emissions),
        _template=template,
        _columns=columns,
        _model=model,
        _params=(kind, params),
        _origins=origins,
        **common_fields(found, numbers, messages, states),
    )
