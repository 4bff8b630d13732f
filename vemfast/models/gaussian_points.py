"""Between the parameters of a Gaussian mixture and the arrays that users see.

Users see the data's own coordinates and scikit-learn's shapes; models compute about an origin.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vemfast import _core
from vemfast.models.gaussian_config import GaussianConfig, Prior
from vemfast.models.gaussian_mixture import GaussianMixture
from vemfast.models.weight_prior import given_weights
from vemfast.stats import Params

__all__ = [
    "attributes",
    "check_covariances",
    "check_means",
    "check_precisions",
    "check_weights",
    "component_estimates",
    "draw_tables",
    "draws",
    "from_point",
    "from_posterior",
    "point",
    "sample",
    "sample_rows",
]

Array = NDArray[np.float64]


# ---- starts that the user gives ----------------------------------------------------------------


def _given(name: str, value: ArrayLike, shape: tuple[int, ...]) -> Array:
    array = np.array(value, dtype=np.float64)
    if array.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}; got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite")
    return array


def check_weights(value: ArrayLike | None, config: GaussianConfig) -> Array | None:
    """Return `weights_init` as an array that sums to one."""
    return given_weights(value, config.n_components, config.prior.weight_type)


def check_means(value: ArrayLike | None, config: GaussianConfig) -> Array | None:
    """Return `means_init` as an array."""
    if value is None:
        return None
    return _given("means_init", value, (config.n_components, config.n_features))


def check_covariances(value: ArrayLike | None, config: GaussianConfig) -> Array | None:
    """Return covariances that a start is to have as an array."""
    if value is None:
        return None
    covariances = _given("covars", value, config.covariance_shape)
    if config.covariance_type not in ("full", "tied"):
        if (covariances <= 0).any():
            raise ValueError(f"covars must be > 0; got {covariances.min()} among them")
        return covariances
    for k, matrix in enumerate(covariances.reshape(-1, config.n_features, config.n_features)):
        symmetric = np.allclose(matrix, matrix.T, rtol=1e-6, atol=0)
        if not symmetric or np.linalg.eigvalsh(matrix)[0] <= 0:
            raise ValueError(f"covars must be symmetric and positive definite; matrix {k} is not")
    return covariances


def check_precisions(value: ArrayLike | None, config: GaussianConfig) -> Array | None:
    """Return the covariances that `precisions_init` means."""
    if value is None:
        return None
    precisions = _given("precisions_init", value, config.covariance_shape)
    if config.covariance_type not in ("full", "tied"):
        if (precisions <= 0).any():
            raise ValueError(f"precisions_init must be > 0; got {precisions.min()} among them")
        return np.asarray(1.0 / precisions)
    matrices = precisions.reshape(-1, config.n_features, config.n_features)
    for k, matrix in enumerate(matrices):
        symmetric = np.allclose(matrix, matrix.T, rtol=1e-6, atol=0)
        if not symmetric or np.linalg.eigvalsh(matrix)[0] <= 0:
            raise ValueError(
                f"precisions_init must be symmetric and positive definite; matrix {k} is not"
            )
    inverse = np.linalg.inv(matrices)
    inverse = 0.5 * (inverse + inverse.transpose(0, 2, 1))
    return np.asarray(inverse.reshape(config.covariance_shape))


# ---- fitted attributes -----------------------------------------------------------------------


def attributes(model: GaussianMixture, params: Params) -> dict[str, Any]:
    """Return the fitted attributes that describe the parameters."""
    config = model.config
    out: dict[str, Any] = {"origin_": config.origin}
    if params.kind == "posterior":
        freedom = params["degrees_of_freedom"]
        scale = params["scale"]
        extra = scale.ndim - freedom.ndim
        covariances = np.asarray(scale / freedom.reshape(freedom.shape + (1,) * extra))
        concentration = params["concentration"]
        sticks = concentration.ndim == 2
        out["weight_concentration_"] = tuple(concentration) if sticks else concentration
        out["mean_precision_"] = params["mean_precision"]
        out["degrees_of_freedom_"] = freedom
        weights = model.mean_weights(params)
        centred = params["means"]
        shown = point(config, weights, centred + config.origin, covariances)
    else:
        weights, covariances, shown = params["weights"], params["covariances"], params
        centred = params["means"]
    out["weights_"] = weights
    out["means_"] = centred + config.origin
    out["covariances_"] = covariances
    factors = model.precision_factors(shown)
    if config.covariance_type in ("full", "tied"):
        out["precisions_cholesky_"] = factors.swapaxes(-1, -2)
        out["precisions_"] = out["precisions_cholesky_"] @ factors
    else:
        out["precisions_cholesky_"] = factors
        out["precisions_"] = np.asarray(factors**2)
    return out


def draws(model: GaussianMixture, results: Sequence[Any]) -> dict[str, Array]:
    """Return the kept draws of all chains, in the shapes of `PosteriorDraws`."""
    n_draws = min(len(result.draws) for result in results)  # fewer where chains were interrupted
    chains = [result.draws[:n_draws] for result in results]
    log_joint = np.array([result.draw_objectives[:n_draws] for result in results])
    log_prior = np.array([[model.global_term(draw) for draw in chain] for chain in chains])

    def stacked(name: str) -> Array:
        like = results[0].params[name]
        values = [[draw[name] for draw in chain] for chain in chains]
        return np.array(values, dtype=np.float64).reshape(len(chains), n_draws, *like.shape)

    return {
        "weights": stacked("weights"),
        "means": stacked("means") + model.config.origin,
        "covariances": stacked("covariances"),
        "log_joint": log_joint,
        "log_likelihood": log_joint - log_prior,
    }


# ---- and back ------------------------------------------------------------------------------------


def _bare(
    covariance_type: str, origin: Array, n_components: int, weight_type: str, marginalize: bool
) -> Any:
    """Return a model that can only score: without priors and without a data scale."""
    D = origin.size
    prior = Prior(weight_type, 1.0, 0.0, np.zeros(D), False, 0.0, np.zeros(()))
    return GaussianMixture(
        GaussianConfig(
            n_components,
            D,
            covariance_type,
            prior,
            origin,
            np.ones(D),
            reg_covar=0.0,
            marginalize=marginalize,
        )
    )


def point(config: GaussianConfig, weights: Array, means: Array, covariances: Array) -> Params:
    """Return a point from arrays in the data's coordinates."""
    params = Params(config.params_layout("point"), "point")
    params["weights"] = weights
    params["means"] = means - config.origin
    params["covariances"] = covariances
    return params


def from_point(
    covariance_type: str,
    origin: Array,
    weights: Array,
    means: Array,
    covariances: Array,
    marginalize: bool = False,
) -> tuple[GaussianMixture, Params]:
    """Return a model and a point made from fitted attributes."""
    model = _bare(covariance_type, origin, len(weights), "flat", marginalize)
    return model, point(model.config, weights, means, covariances)


def from_posterior(
    covariance_type: str,
    origin: Array,
    weight_type: str,
    concentration: Any,
    means: Array,
    mean_precision: Array,
    degrees_of_freedom: Array,
    covariances: Array,
    marginalize: bool = False,
) -> tuple[GaussianMixture, Params]:
    """Return a model and a posterior made from fitted attributes."""
    model = _bare(covariance_type, origin, len(means), weight_type, marginalize)
    params = Params(model.config.params_layout("posterior"), "posterior")
    params["concentration"] = np.asarray(concentration)
    params["means"] = means - origin
    params["mean_precision"] = mean_precision
    params["degrees_of_freedom"] = degrees_of_freedom
    extra = covariances.ndim - degrees_of_freedom.ndim
    params["scale"] = covariances * degrees_of_freedom.reshape(
        degrees_of_freedom.shape + (1,) * extra
    )
    return model, params


def draw_tables(model: GaussianMixture, posterior: Any) -> list[_core.ScoreTable]:
    """Return the score table of every kept draw."""
    n_chains, n_draws = posterior.log_joint.shape
    return [
        model.prepare(
            point(
                model.config,
                posterior.weights[c, d],
                posterior.means[c, d],
                posterior.covariances[c, d],
            )
        )
        for c in range(n_chains)
        for d in range(n_draws)
    ]


def component_estimates(
    covariance_type: str, weights: Array, means: Array, covariances: Array
) -> Array:
    """Return weight, mean and standard deviations of each component, (K, 1 + 2 D), unit-free."""
    K, D = means.shape
    if covariance_type == "full":
        variances = np.diagonal(covariances, axis1=1, axis2=2)
    elif covariance_type == "tied":
        variances = np.broadcast_to(np.diagonal(covariances), (K, D))
    else:
        own = covariances if covariance_type == "diag" else np.reshape(covariances, (-1, 1))
        variances = np.broadcast_to(own, (K, D))
    centre = weights @ means
    spread = np.sqrt(weights @ (variances + (means - centre) ** 2))
    return np.column_stack([weights, (means - centre) / spread, np.sqrt(variances) / spread])


def sample(
    config: GaussianConfig,
    weights: Array,
    means: Array,
    covariances: Array,
    n: int,
    rng: np.random.Generator,
) -> tuple[Array, NDArray[np.int64]]:
    """Draw rows and their components."""
    counts = rng.multinomial(n, weights / weights.sum())
    labels = np.repeat(np.arange(config.n_components), counts)
    return sample_rows(config.covariance_type, means, covariances, labels, rng), labels


def sample_rows(
    covariance_type: str,
    means: Array,
    covariances: Array,
    labels: NDArray[np.int64],
    rng: np.random.Generator,
) -> Array:
    """Draw one row of each of these components."""
    K, D = means.shape
    noise = rng.standard_normal((labels.size, D))
    if covariance_type in ("full", "tied"):
        roots = np.linalg.cholesky(np.broadcast_to(covariances, (K, D, D)))
        for k in range(K):
            own = labels == k
            noise[own] = noise[own] @ roots[k].T
    elif covariance_type == "tied-spherical":
        noise *= np.sqrt(covariances)
    else:
        spread = np.sqrt(covariances)[labels]
        noise *= spread if spread.ndim == 2 else spread[:, None]
    return np.asarray(means[labels] + noise)
