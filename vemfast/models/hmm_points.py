"""Between the parameters of a hidden Markov model and the arrays that users see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vemfast.models import discrete_points, gaussian_points
from vemfast.models.discrete_config import DiscreteConfig
from vemfast.models.discrete_mixture import DiscreteMixture
from vemfast.models.hmm import HiddenMarkov
from vemfast.models.hmm_config import HmmConfig
from vemfast.stats import Params

__all__ = [
    "attributes",
    "draws",
    "fitted",
    "many",
    "n_parameters",
    "sample_states",
    "state_estimates",
    "stationary",
]

Array = NDArray[np.float64]


def attributes(model: HiddenMarkov, params: Params) -> dict[str, Any]:
    """Return the fitted attributes: those of the emissions by the names of their mixture."""
    K = model.config.n_components
    out = _emissions(model, params)
    if params.kind == "point":
        out["startprob_"], out["transmat_"] = params["startprob"], params["transmat"]
        if model.config.n_mix > 1:
            out["weights_"] = params["mix_weights"]
        return out
    mean = model.mean_chain(params)
    out["startprob_"], out["transmat_"] = mean[:K], mean[K:].reshape(K, K)
    out["startprob_concentration_"] = params["start_concentration"]
    out["transmat_concentration_"] = params["transition_concentration"]
    return out


def _emissions(model: HiddenMarkov, params: Params) -> dict[str, Any]:
    config = model.config
    if isinstance(config.emission, DiscreteConfig):
        like = config.emission.params_layout(params.kind)
        same = Params(like, params.kind)
        for name in like.names:
            same[name] = 1.0 if name in ("weights", "concentration") else params[name]
        mixture: Any = config.mixture
        shown = discrete_points.attributes(DiscreteMixture(mixture), same)
        return {name: shown[name] for name in shown if not name.startswith("weight")}
    origin = config.emission.origin
    return {"origin_": origin, **_gaussians(params.kind, params, origin)}


def _gaussians(kind: str, of: Any, origin: Array) -> dict[str, Any]:
    """Return the attributes of Gaussians, of one fit or of many: `of` has fields by name."""
    means = of["means"] + origin
    if kind == "point":
        return {"means_": means, "covars_": of["covariances"]}
    freedom, scale = of["degrees_of_freedom"], of["scale"]
    extra = scale.ndim - freedom.ndim
    return {
        "means_": means,
        "covars_": np.asarray(scale / freedom.reshape(freedom.shape + (1,) * extra)),
        "mean_precision_": of["mean_precision"],
        "degrees_of_freedom_": freedom,
    }


def many(
    model: HiddenMarkov, kind: str, params: Array, origins: Array, chain_means: Array | None
) -> tuple[tuple[Array, Array], dict[str, Any]]:
    """Return start, transitions and the emissions' attributes of many parameters, (B, ...) each.

    Parameters
    ----------
    model : HiddenMarkov
        That of all of them, but for the origin.
    kind : {"point", "posterior"}
    params : ndarray of shape (B, size)
    origins : ndarray of shape (B, n_features)
        Of Gaussians.
    chain_means : ndarray of shape (B, K + K * K)
        E[start] and E[transitions] of posteriors.
    """
    K, emission = model.config.n_components, model.config.emission
    layout = model.config.params_layout(kind)
    of: dict[str, Array] = {name: layout.view(params, name) for name in layout.names}
    chain = params[:, : K * (K + 1)] if chain_means is None else chain_means
    out = (chain[:, :K], chain[:, K:].reshape(-1, K, K))
    if isinstance(emission, DiscreteConfig):
        return out, discrete_points.many(emission, kind, of)
    return out, _gaussians(kind, of, origins[:, None])


def fitted(
    family: str,
    startprob: Array,
    transmat: Array,
    emissions: dict[str, Any],
    marginalize: bool,
) -> tuple[HiddenMarkov, Params]:
    """Return a model without priors and a point made from fitted attributes.

    `emissions` has `origin`, `means`, `covars`, or `shown` and `sizes`; and `weights` (K, n_mix)
    where a state has several components.
    """
    K = len(startprob)
    weights = emissions.get("weights")
    n_mix = 1 if weights is None else weights.shape[1]
    equal = np.full(K * n_mix, 1.0 / (K * n_mix))
    emission: Any
    mixture: Any
    if family not in ("bernoulli", "poisson", "categorical"):
        mixture, point = gaussian_points.from_point(
            family,
            emissions["origin"],
            equal,
            emissions["means"],
            emissions["covars"],
            marginalize,
        )
    else:
        mixture, point = discrete_points.from_point(
            family, equal, emissions["shown"], emissions["sizes"], marginalize
        )
    emission = mixture.config
    emission = replace(emission, prior=replace(emission.prior, weight_type="none"))
    model = HiddenMarkov(HmmConfig(K, emission, n_mix))
    own: dict[str, Any] = {name: point[name] for name in model.config.emission_fields}
    if n_mix > 1:
        own["mix_weights"] = weights
    return model, model.config.point(startprob, transmat, **own)


def draws(model: HiddenMarkov, results: Sequence[Any]) -> dict[str, Any]:
    """Return the kept draws of all chains: `startprob`, `transmat`, `log_joint`, ..."""
    n_draws = min(len(result.draws) for result in results)  # fewer where chains were interrupted
    chains = [result.draws[:n_draws] for result in results]
    log_joint = np.array([result.draw_objectives[:n_draws] for result in results])
    log_prior = np.array([[model.global_term(draw) for draw in chain] for chain in chains])

    def stacked(name: str) -> Array:
        like = results[0].params[name]
        values = [[draw[name] for draw in chain] for chain in chains]
        return np.array(values, dtype=np.float64).reshape(len(chains), n_draws, *like.shape)

    emission = model.config.emission
    out: dict[str, Any] = {name: stacked(name) for name in ("startprob", "transmat")}
    for name in model.config.emission_fields:
        own: Any = stacked(name)
        if isinstance(emission, DiscreteConfig):
            own = discrete_points.as_shown(emission, own)
        elif name == "means":
            own = own + emission.origin
        out[name] = own
    return out | {"log_joint": log_joint, "log_likelihood": log_joint - log_prior}


def stationary(transmat: Array) -> Array:
    """Return the left eigenvector of eigenvalue 1, as probabilities.

    Where there are several (a chain that falls apart), the one of least norm.
    """
    K = len(transmat)
    system = np.vstack([transmat.T - np.eye(K), np.ones(K)])
    target = np.append(np.zeros(K), 1.0)
    solution = np.maximum(np.linalg.lstsq(system, target, rcond=None)[0], 0.0)
    return np.asarray(solution / solution.sum())


def state_estimates(family: str, emissions: dict[str, Any], transmat: Array) -> Array:
    """Return stay, share and emissions of each state (or component of one), unit-free.

    Units are those of the mixture in which all states have the same weight: those of the stationary
    distribution would move with the transitions.
    """
    K = len(transmat)
    columns = [np.diagonal(transmat), stationary(transmat)]
    weights = np.full(K, 1.0 / K)
    within = emissions.get("weights")
    if within is not None:
        columns = [np.repeat(columns[0], within.shape[1]), (columns[1][:, None] * within).ravel()]
        weights = (within / K).ravel()
    if "shown" in emissions:
        shown: Any = emissions["shown"]
        own = discrete_points.component_estimates(family, weights, shown)
    else:
        own = gaussian_points.component_estimates(
            family, weights, emissions["means"], emissions["covars"]
        )
    return np.column_stack([*columns, own[:, 1:]])


def sample_states(
    startprob: Array, transmat: Array, n: int, rng: np.random.Generator, state: int | None = None
) -> NDArray[np.int64]:
    """Draw a path of n states, of which `state` is the first where that is given."""
    cumulative = np.cumsum(transmat, axis=1)
    u, path, row = rng.random(n), np.empty(n, dtype=np.int64), np.cumsum(startprob)
    for t in range(n):
        if t > 0 or state is None:
            path[t] = int(np.searchsorted(row, u[t] * row[-1], side="right"))
        else:
            path[t] = state
        row = cumulative[path[t]]
    return path


def n_parameters(model: HiddenMarkov, params: Params) -> int:
    """Return the number of free parameters of a point: zeros of start and transitions are none."""
    config = model.config
    K, emission = config.n_components, config.emission
    chain = int((params["startprob"] > 0).sum() - 1 + (params["transmat"] > 0).sum() - K)
    if isinstance(emission, DiscreteConfig):
        per = emission.n_indexed - (emission.n_features if emission.family == "categorical" else 0)
        return chain + K * per
    D, n = emission.n_features, emission.n_components
    one = {"full": D * (D + 1) // 2, "tied": D * (D + 1) // 2, "diag": D}
    copies = 1 if emission.is_shared else n
    return chain + n - K + n * D + copies * one.get(emission.covariance_type, 1)
