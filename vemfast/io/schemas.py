"""What a model file must say for each estimator; its twin for C++ is csrc/io/fields.cpp.

A row of `SCHEMAS` names the estimator, the function that lists its fitted attributes with the
shapes that the parameters imply, and the records among them. Loading looks a class up here and
nowhere else, so a file cannot name code to run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vemfast.errors import ModelFileError
from vemfast.estimators import (
    GMMHMM,
    BernoulliDraws,
    BernoulliHMM,
    BernoulliMixture,
    CategoricalDraws,
    CategoricalHMM,
    CategoricalMixture,
    GaussianHMM,
    GaussianMixture,
    LatentDirichletAllocation,
    PoissonDraws,
    PoissonHMM,
    PoissonMixture,
    PosteriorDraws,
    StateDraws,
    TopicDraws,
    VariationalAutoencoder,
)
from vemfast.io.fields import (
    Field,
    Rule,
    above,
    at_least,
    finite,
    not_negative,
    one_of,
    positive,
    positive_definite,
    probabilities,
    sizes,
    stochastic,
    symmetric,
    upper_factor,
)

__all__ = ["SCHEMAS", "Schema"]

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Schema:
    """One estimator.

    Attributes
    ----------
    estimator : type
    fields : callable
        (estimator with its parameters, n_features_in_) -> its fields. A dot in a name goes to a
        field of a record, or to the element of a list that has that number.
    records : mapping of str to type
        Attributes that are dataclasses, whose fields are named ``attribute.field``.
    agree : callable, default=None
        Raises a ModelFileError unless the values of the fields, each fine by itself, agree.
    """

    estimator: type[Any]
    fields: Callable[[Any, int], dict[str, Field]]
    records: Mapping[str, type[Any]] = field(default_factory=dict)
    agree: Callable[[Mapping[str, Any]], None] | None = None


# ---- the rows -------------------------------------------------------------------------------


def _common(n_features: int) -> dict[str, Field]:
    """Return the fields of every estimator."""
    reasons = one_of("tolerance", "max_iter", "callback", "interrupted", "numerical", "partial_fit")
    return {
        "n_features_in_": Field("int", rule=at_least(1)),
        "feature_names_in_": Field("names", (n_features,), group="names"),
        # What was not fitted but made of a fit, as `conditional` does, has none of these.
        "lower_bound_": Field("float", rule=finite, group="fit"),
        "lower_bounds_": Field("list", ("iterations",), finite, group="fit"),
        "n_iter_": Field("int", rule=at_least(0), group="fit"),
        "converged_": Field("bool", group="fit"),
        "stop_reason_": Field("str", rule=reasons, group="fit"),
        "n_e_steps_": Field("int", rule=at_least(1), group="e-steps"),
    }


def _gaussian_mixture(estimator: Any, n_features: int) -> dict[str, Field]:
    K = estimator.n_components
    process = estimator.weight_concentration_prior_type == "dirichlet_process"
    sticks = process and not estimator.equal_weights
    chains = ("chains", "draws*")
    return {
        **_common(n_features),
        "weights_": Field("array", (K,), stochastic),
        "weight_concentration_": Field(
            "pair" if sticks else "array", (2, K) if sticks else (K,), positive, "posterior"
        ),
        "posterior_.log_joint": Field("array", chains, finite, "draws"),
        "posterior_.log_likelihood": Field("array", chains, finite, "draws"),
        "posterior_.weights": Field("array", (*chains, K), stochastic, "draws"),
        **_gaussian_fields(estimator, n_features),
    }


def _gaussian_fields(estimator: Any, n_features: int) -> dict[str, Field]:
    """Return the fields of Gaussian components, of a mixture or of states."""
    K, D = estimator.n_components, n_features
    covariance_type = estimator.covariance_type
    shape = {
        "full": (K, D, D),
        "tied": (D, D),
        "diag": (K, D),
        "spherical": (K,),
        "tied-spherical": (),
    }[covariance_type]
    is_matrix = covariance_type in ("full", "tied")
    is_shared = covariance_type in ("tied", "tied-spherical")
    covariances = positive_definite if is_matrix else positive
    chains = ("chains", "draws*")  # none where the sampler was stopped before the first
    return {
        "origin_": Field("array", (D,), finite),
        "means_": Field("array", (K, D), finite),
        "covariances_": Field("array", shape, covariances),
        "precisions_": Field("array", shape, symmetric if is_matrix else positive),
        "precisions_cholesky_": Field("array", shape, upper_factor if is_matrix else positive),
        "mean_precision_": Field("array", (K,), positive, "posterior"),
        "degrees_of_freedom_": Field(
            "array",
            () if is_shared else (K,),
            above(D - 1 if is_matrix else 0),
            "posterior",
        ),
        "posterior_.means": Field("array", (*chains, K, D), finite, "draws"),
        "posterior_.covariances": Field("array", (*chains, *shape), covariances, "draws"),
    }


def _mixture(estimator: Any, n_features: int) -> dict[str, Field]:
    """Return the fields of every discrete mixture."""
    K = estimator.n_components
    process = estimator.weight_concentration_prior_type == "dirichlet_process"
    sticks = process and not estimator.equal_weights
    chains = ("chains", "draws*")
    return {
        **_common(n_features),
        "weights_": Field("array", (K,), stochastic),
        "weight_concentration_": Field(
            "pair" if sticks else "array", (2, K) if sticks else (K,), positive, "posterior"
        ),
        "posterior_.log_joint": Field("array", chains, finite, "draws"),
        "posterior_.log_likelihood": Field("array", chains, finite, "draws"),
        "posterior_.weights": Field("array", (*chains, K), stochastic, "draws"),
    }


def _codes_agree(values: Mapping[str, Any]) -> None:
    for d, size in enumerate(values["n_categories_"]):
        shape = values[f"probabilities_.{d}"].shape
        if shape[1] != size:
            raise ModelFileError(
                f"probabilities_.{d}: shape {shape}, but n_categories_ says {size:g} codes"
            )


def _per_feature(
    table: str, rule: Rule, posterior: tuple[str, ...]
) -> Callable[[Any, int], dict[str, Field]]:
    """Return the fields of a mixture whose components are one number a feature."""

    def fields(estimator: Any, n_features: int) -> dict[str, Field]:
        shape = (estimator.n_components, n_features)
        return {
            **_mixture(estimator, n_features),
            f"{table}_": Field("array", shape, rule),
            **{name: Field("array", shape, positive, "posterior") for name in posterior},
            f"posterior_.{table}": Field("array", ("chains", "draws*", *shape), rule, "draws"),
        }

    return fields


def _categorical_mixture(estimator: Any, n_features: int) -> dict[str, Field]:
    K = estimator.n_components
    fields = _mixture(estimator, n_features)
    fields["n_categories_"] = Field("integers", (n_features,), sizes)
    for d in range(n_features):
        shape = (K, f"codes of column {d}")
        draws = ("chains", "draws*", *shape)
        fields[f"probabilities_.{d}"] = Field("array", shape, stochastic)
        fields[f"concentrations_.{d}"] = Field("array", shape, positive, "posterior")
        fields[f"posterior_.probabilities.{d}"] = Field("array", draws, stochastic, "draws")
    return fields


def _latent_dirichlet_allocation(estimator: Any, n_features: int) -> dict[str, Field]:
    K, V = estimator.n_components, n_features
    chains = ("chains", "draws*")
    given = estimator.topic_word_prior
    dimensions = 0 if given is None or isinstance(given, str) else np.ndim(given)
    prior = Field("float", rule=positive)
    if dimensions:
        prior = Field("array", (V,) if dimensions == 1 else (K, V), positive)
    return {
        **_common(n_features),
        "components_": Field("array", (K, V), not_negative),
        "topic_word_": Field("array", (K, V), stochastic),
        "is_posterior_": Field("bool"),
        "doc_topic_prior_": Field("array", (K,), positive),
        "topic_word_prior_": prior,
        "bound_": Field("float", rule=positive, group="perplexity"),
        "posterior_.topics": Field("array", (*chains, K, V), stochastic, "draws"),
        "posterior_.doc_topic_prior": Field("array", (*chains, K), positive, "draws"),
        "posterior_.log_joint": Field("array", chains, finite, "draws"),
    }


def _variational_autoencoder(estimator: Any, n_features: int) -> dict[str, Field]:
    try:
        config = estimator._config(n_features)
    except ValueError as error:
        raise ModelFileError(f"parameters: {error}") from error
    fields = _common(n_features)
    for name, shape in zip(config.layout.names, config.layout.shapes, strict=True):
        if name == "log_variances":
            fields["noise_variance_"] = Field("array", shape, positive)
        else:
            part, _, number = name.rpartition("_")
            fields[f"{part}_.{number}"] = Field("array", shape, finite)
    fields["loss_curve_"] = Field("list", ("passes*",), finite)
    fields["validation_scores_"] = Field("list", ("scores",), finite, "early stopping")
    return fields


def _hidden_markov(estimator: Any, n_features: int) -> dict[str, Field]:
    """Return the fields of every hidden Markov estimator."""
    K = estimator.n_components
    chains = ("chains", "draws*")
    return {
        **_common(n_features),
        "startprob_": Field("array", (K,), stochastic),
        "transmat_": Field("array", (K, K), stochastic),
        "startprob_concentration_": Field("array", (K,), not_negative, "posterior"),
        "transmat_concentration_": Field("array", (K, K), not_negative, "posterior"),
        "posterior_.startprob": Field("array", (*chains, K), stochastic, "draws"),
        "posterior_.transmat": Field("array", (*chains, K, K), stochastic, "draws"),
        "posterior_.log_joint": Field("array", chains, finite, "draws"),
        "posterior_.log_likelihood": Field("array", chains, finite, "draws"),
    }


def _gaussian_hmm(estimator: Any, n_features: int) -> dict[str, Field]:
    mixture = _gaussian_fields(estimator, n_features)
    names = {"covariances_": "covars_"}
    own = ("origin_", "means_", "covariances_", "mean_precision_", "degrees_of_freedom_")
    draws = ("posterior_.means", "posterior_.covariances")
    return {
        **_hidden_markov(estimator, n_features),
        **{names.get(name, name): mixture[name] for name in (*own, *draws)},
    }


def _gmm_hmm(estimator: Any, n_features: int) -> dict[str, Field]:
    K, M, D = estimator.n_components, estimator.n_mix, n_features
    kind = estimator.covariance_type
    shape = {"full": (K, M, D, D), "diag": (K, M, D), "spherical": (K, M)}[kind]
    return {
        **_hidden_markov(estimator, n_features),
        "origin_": Field("array", (D,), finite),
        "weights_": Field("array", (K, M), stochastic),
        "means_": Field("array", (K, M, D), finite),
        "covars_": Field("array", shape, positive_definite if kind == "full" else positive),
    }


def _hmm_per_feature(
    shown: str, draws: str, rule: Rule, posterior: tuple[str, ...]
) -> Callable[[Any, int], dict[str, Field]]:
    """Return the fields of a chain whose emissions are one number a state and feature."""

    def fields(estimator: Any, n_features: int) -> dict[str, Field]:
        shape = (estimator.n_components, n_features)
        return {
            **_hidden_markov(estimator, n_features),
            shown: Field("array", shape, rule),
            **{name: Field("array", shape, positive, "posterior") for name in posterior},
            f"posterior_.{draws}": Field("array", ("chains", "draws*", *shape), rule, "draws"),
        }

    return fields


def _categorical_hmm(estimator: Any, n_features: int) -> dict[str, Field]:
    K = estimator.n_components
    fields = _hidden_markov(estimator, n_features)
    fields["n_categories_"] = Field("integers", (n_features,), sizes)
    for d in range(n_features):
        part = f".{d}" if n_features > 1 else ""
        shape = (K, f"codes of column {d}")
        draws = ("chains", "draws*", *shape)
        fields[f"emissionprob_{part}"] = Field("array", shape, stochastic)
        fields[f"emissionprob_concentration_{part}"] = Field("array", shape, positive, "posterior")
        fields[f"posterior_.probabilities.{d}"] = Field("array", draws, stochastic, "draws")
    return fields


def _symbols_agree(values: Mapping[str, Any]) -> None:
    sizes = values["n_categories_"]
    for d, size in enumerate(sizes):
        name = f"emissionprob_.{d}" if len(sizes) > 1 else "emissionprob_"
        if values[name].shape[1] != size:
            raise ModelFileError(
                f"{name}: shape {values[name].shape}, but n_categories_ says {size:g} codes"
            )


_OF_CHAINS = {"posterior_": StateDraws}

SCHEMAS: dict[str, Schema] = {
    "BernoulliHMM": Schema(
        BernoulliHMM,
        _hmm_per_feature("probabilities_", "probabilities", probabilities, ("alpha_", "beta_")),
        _OF_CHAINS,
    ),
    "CategoricalHMM": Schema(CategoricalHMM, _categorical_hmm, _OF_CHAINS, _symbols_agree),
    "GMMHMM": Schema(GMMHMM, _gmm_hmm),
    "GaussianHMM": Schema(GaussianHMM, _gaussian_hmm, _OF_CHAINS),
    "PoissonHMM": Schema(
        PoissonHMM,
        _hmm_per_feature("lambdas_", "rates", not_negative, ("lambdas_shape_", "lambdas_rate_")),
        _OF_CHAINS,
    ),
    "BernoulliMixture": Schema(
        BernoulliMixture,
        _per_feature("probabilities", probabilities, ("alpha_", "beta_")),
        {"posterior_": BernoulliDraws},
    ),
    "CategoricalMixture": Schema(
        CategoricalMixture,
        _categorical_mixture,
        {"posterior_": CategoricalDraws},
        _codes_agree,
    ),
    "GaussianMixture": Schema(GaussianMixture, _gaussian_mixture, {"posterior_": PosteriorDraws}),
    "LatentDirichletAllocation": Schema(
        LatentDirichletAllocation, _latent_dirichlet_allocation, {"posterior_": TopicDraws}
    ),
    "PoissonMixture": Schema(
        PoissonMixture,
        _per_feature("rates", not_negative, ("shape_", "rate_")),
        {"posterior_": PoissonDraws},
    ),
    "VariationalAutoencoder": Schema(VariationalAutoencoder, _variational_autoencoder),
}
