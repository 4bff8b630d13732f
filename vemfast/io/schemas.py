"""What a model file must say for each estimator: the one place to extend for a new one.

A row of `SCHEMAS` names the estimator, the function that lists its fitted attributes with the
shapes that the parameters imply, and the records among them. Loading looks a class up here and
nowhere else, so a file cannot name code to run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import isfinite
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

__all__ = ["SCHEMAS", "Field", "Schema", "check_fields"]

Array = NDArray[Any]
Rule = Callable[[str, Any], None]


@dataclass(frozen=True, slots=True)
class Field:
    """One fitted attribute.

    Attributes
    ----------
    kind : {"array", "integers", "list", "pair", "float", "int", "bool", "str", "names"}
        The first four are float64 tensors (numbers that are integers, a list of numbers, a pair of
        arrays); the others stand in the JSON document.
    shape : tuple of int or str
        Of a tensor; number of names. A word is a length that is free where it comes first, and the
        same from there on; it is at least 1 unless a star ends the word.
    rule : callable
        Raises ModelFileError for a value that cannot be.
    group : str
        Fields of one group are there all or none; of the group "", all.
    """

    kind: str
    shape: tuple[int | str, ...] = ()
    rule: Rule | None = None
    group: str = ""

    @property
    def is_tensor(self) -> bool:
        """Whether the value is a tensor, not JSON."""
        return self.kind in ("array", "integers", "list", "pair")


Fields = Mapping[str, Field]


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


# ---- rules ----------------------------------------------------------------------------------


def _finite(name: str, value: Any) -> None:
    if not np.isfinite(value).all():
        raise ModelFileError(f"{name}: not finite")


def _positive(name: str, value: Any) -> None:
    _finite(name, value)
    if not (np.asarray(value) > 0).all():
        raise ModelFileError(f"{name}: not positive")


def _stochastic(name: str, value: Array) -> None:
    _finite(name, value)
    if (value < 0).any() or (value > 1 + 1e-6).any():
        raise ModelFileError(f"{name}: not between 0 and 1")
    sums = value.sum(axis=-1)
    if (np.abs(sums - 1.0) > 1e-6).any():
        worst = sums.flat[int(np.argmax(np.abs(sums - 1.0)))]
        raise ModelFileError(f"{name}: sums to {worst}, not 1")


def _symmetric(name: str, value: Array) -> None:
    _positive(f"{name}: diagonal", np.diagonal(value, axis1=-2, axis2=-1))
    unit = np.sqrt(np.diagonal(value, axis1=-2, axis2=-1))
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        skew = np.abs(value - value.swapaxes(-1, -2)) / unit[..., :, None] / unit[..., None, :]
    if not (skew <= 1e-6).all():  # also false for what is not finite
        raise ModelFileError(f"{name}: not symmetric")


def _positive_definite(name: str, value: Array) -> None:
    _symmetric(name, value)
    try:
        np.linalg.cholesky(value)
    except np.linalg.LinAlgError as error:
        raise ModelFileError(f"{name}: not positive definite") from error


def _upper_factor(name: str, value: Array) -> None:
    _finite(name, value)
    _positive(f"{name}: diagonal", np.diagonal(value, axis1=-2, axis2=-1))
    if np.tril(value, -1).any():
        raise ModelFileError(f"{name}: not upper triangular")


def _not_negative(name: str, value: Any) -> None:
    _finite(name, value)
    if (value < 0).any():
        raise ModelFileError(f"{name}: negative")


def _probabilities(name: str, value: Any) -> None:
    _not_negative(name, value)
    if (value > 1).any():
        raise ModelFileError(f"{name}: above 1")


def _sizes(name: str, value: Any) -> None:
    _positive(name, value)
    if (value != np.floor(value)).any() or (value > 2**31).any():
        raise ModelFileError(f"{name}: not numbers of codes")


def _above(least: float) -> Rule:
    def rule(name: str, value: Any) -> None:
        _finite(name, value)
        if not (np.asarray(value) > least).all():
            raise ModelFileError(f"{name}: not above {least}")

    return rule


def _at_least(least: int) -> Rule:
    def rule(name: str, value: Any) -> None:
        if value < least:
            raise ModelFileError(f"{name}: {value} is less than {least}")

    return rule


def _one_of(*values: str) -> Rule:
    def rule(name: str, value: Any) -> None:
        if value not in values:
            raise ModelFileError(f"{name}: {value!r} is none of {', '.join(values)}")

    return rule


# ---- the rows -------------------------------------------------------------------------------


def _common(n_features: int) -> dict[str, Field]:
    """Return the fields of every estimator."""
    reasons = _one_of(
        "tolerance", "max_iter", "callback", "interrupted", "numerical", "partial_fit"
    )
    return {
        "n_features_in_": Field("int", rule=_at_least(1)),
        "feature_names_in_": Field("names", (n_features,), group="names"),
        # What was not fitted but made of a fit, as `conditional` does, has none of these.
        "lower_bound_": Field("float", rule=_finite, group="fit"),
        "lower_bounds_": Field("list", ("iterations",), _finite, group="fit"),
        "n_iter_": Field("int", rule=_at_least(0), group="fit"),
        "converged_": Field("bool", group="fit"),
        "stop_reason_": Field("str", rule=reasons, group="fit"),
        "n_e_steps_": Field("int", rule=_at_least(1), group="e-steps"),
    }


def _gaussian_mixture(estimator: Any, n_features: int) -> dict[str, Field]:
    K = estimator.n_components
    process = estimator.weight_concentration_prior_type == "dirichlet_process"
    sticks = process and not estimator.equal_weights
    chains = ("chains", "draws*")
    return {
        **_common(n_features),
        "weights_": Field("array", (K,), _stochastic),
        "weight_concentration_": Field(
            "pair" if sticks else "array", (2, K) if sticks else (K,), _positive, "posterior"
        ),
        "posterior_.log_joint": Field("array", chains, _finite, "draws"),
        "posterior_.log_likelihood": Field("array", chains, _finite, "draws"),
        "posterior_.weights": Field("array", (*chains, K), _stochastic, "draws"),
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
    covariances = _positive_definite if is_matrix else _positive
    chains = ("chains", "draws*")  # none where the sampler was stopped before the first
    return {
        "origin_": Field("array", (D,), _finite),
        "means_": Field("array", (K, D), _finite),
        "covariances_": Field("array", shape, covariances),
        "precisions_": Field("array", shape, _symmetric if is_matrix else _positive),
        "precisions_cholesky_": Field("array", shape, _upper_factor if is_matrix else _positive),
        "mean_precision_": Field("array", (K,), _positive, "posterior"),
        "degrees_of_freedom_": Field(
            "array",
            () if is_shared else (K,),
            _above(D - 1 if is_matrix else 0),
            "posterior",
        ),
        "posterior_.means": Field("array", (*chains, K, D), _finite, "draws"),
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
        "weights_": Field("array", (K,), _stochastic),
        "weight_concentration_": Field(
            "pair" if sticks else "array", (2, K) if sticks else (K,), _positive, "posterior"
        ),
        "posterior_.log_joint": Field("array", chains, _finite, "draws"),
        "posterior_.log_likelihood": Field("array", chains, _finite, "draws"),
        "posterior_.weights": Field("array", (*chains, K), _stochastic, "draws"),
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
            **{name: Field("array", shape, _positive, "posterior") for name in posterior},
            f"posterior_.{table}": Field("array", ("chains", "draws*", *shape), rule, "draws"),
        }

    return fields


def _categorical_mixture(estimator: Any, n_features: int) -> dict[str, Field]:
    K = estimator.n_components
    fields = _mixture(estimator, n_features)
    fields["n_categories_"] = Field("integers", (n_features,), _sizes)
    for d in range(n_features):
        shape = (K, f"codes of column {d}")
        draws = ("chains", "draws*", *shape)
        fields[f"probabilities_.{d}"] = Field("array", shape, _stochastic)
        fields[f"concentrations_.{d}"] = Field("array", shape, _positive, "posterior")
        fields[f"posterior_.probabilities.{d}"] = Field("array", draws, _stochastic, "draws")
    return fields


def _latent_dirichlet_allocation(estimator: Any, n_features: int) -> dict[str, Field]:
    K, V = estimator.n_components, n_features
    chains = ("chains", "draws*")
    given = estimator.topic_word_prior
    dimensions = 0 if given is None or isinstance(given, str) else np.ndim(given)
    prior = Field("float", rule=_positive)
    if dimensions:
        prior = Field("array", (V,) if dimensions == 1 else (K, V), _positive)
    return {
        **_common(n_features),
        "components_": Field("array", (K, V), _not_negative),
        "topic_word_": Field("array", (K, V), _stochastic),
        "is_posterior_": Field("bool"),
        "doc_topic_prior_": Field("array", (K,), _positive),
        "topic_word_prior_": prior,
        "posterior_.topics": Field("array", (*chains, K, V), _stochastic, "draws"),
        "posterior_.doc_topic_prior": Field("array", (*chains, K), _positive, "draws"),
        "posterior_.log_joint": Field("array", chains, _finite, "draws"),
    }


def _variational_autoencoder(estimator: Any, n_features: int) -> dict[str, Field]:
    try:
        config = estimator._config(n_features)
    except ValueError as error:
        raise ModelFileError(f"parameters: {error}") from error
    fields = _common(n_features)
    for name, shape in zip(config.layout.names, config.layout.shapes, strict=True):
        if name == "log_variances":
            fields["noise_variance_"] = Field("array", shape, _positive)
        else:
            part, _, number = name.rpartition("_")
            fields[f"{part}_.{number}"] = Field("array", shape, _finite)
    fields["loss_curve_"] = Field("list", ("passes*",), _finite)
    fields["validation_scores_"] = Field("list", ("scores",), _finite, "early stopping")
    return fields


def _hidden_markov(estimator: Any, n_features: int) -> dict[str, Field]:
    """Return the fields of every hidden Markov estimator."""
    K = estimator.n_components
    chains = ("chains", "draws*")
    return {
        **_common(n_features),
        "startprob_": Field("array", (K,), _stochastic),
        "transmat_": Field("array", (K, K), _stochastic),
        "startprob_concentration_": Field("array", (K,), _not_negative, "posterior"),
        "transmat_concentration_": Field("array", (K, K), _not_negative, "posterior"),
        "posterior_.startprob": Field("array", (*chains, K), _stochastic, "draws"),
        "posterior_.transmat": Field("array", (*chains, K, K), _stochastic, "draws"),
        "posterior_.log_joint": Field("array", chains, _finite, "draws"),
        "posterior_.log_likelihood": Field("array", chains, _finite, "draws"),
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
        "origin_": Field("array", (D,), _finite),
        "weights_": Field("array", (K, M), _stochastic),
        "means_": Field("array", (K, M, D), _finite),
        "covars_": Field("array", shape, _positive_definite if kind == "full" else _positive),
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
            **{name: Field("array", shape, _positive, "posterior") for name in posterior},
            f"posterior_.{draws}": Field("array", ("chains", "draws*", *shape), rule, "draws"),
        }

    return fields


def _categorical_hmm(estimator: Any, n_features: int) -> dict[str, Field]:
    K = estimator.n_components
    fields = _hidden_markov(estimator, n_features)
    fields["n_categories_"] = Field("integers", (n_features,), _sizes)
    for d in range(n_features):
        part = f".{d}" if n_features > 1 else ""
        shape = (K, f"codes of column {d}")
        draws = ("chains", "draws*", *shape)
        fields[f"emissionprob_{part}"] = Field("array", shape, _stochastic)
        fields[f"emissionprob_concentration_{part}"] = Field("array", shape, _positive, "posterior")
        fields[f"posterior_.probabilities.{d}"] = Field("array", draws, _stochastic, "draws")
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
        _hmm_per_feature("probabilities_", "probabilities", _probabilities, ("alpha_", "beta_")),
        _OF_CHAINS,
    ),
    "CategoricalHMM": Schema(CategoricalHMM, _categorical_hmm, _OF_CHAINS, _symbols_agree),
    "GMMHMM": Schema(GMMHMM, _gmm_hmm),
    "GaussianHMM": Schema(GaussianHMM, _gaussian_hmm, _OF_CHAINS),
    "PoissonHMM": Schema(
        PoissonHMM,
        _hmm_per_feature("lambdas_", "rates", _not_negative, ("lambdas_shape_", "lambdas_rate_")),
        _OF_CHAINS,
    ),
    "BernoulliMixture": Schema(
        BernoulliMixture,
        _per_feature("probabilities", _probabilities, ("alpha_", "beta_")),
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
        _per_feature("rates", _not_negative, ("shape_", "rate_")),
        {"posterior_": PoissonDraws},
    ),
    "VariationalAutoencoder": Schema(VariationalAutoencoder, _variational_autoencoder),
}


# ---- checking -------------------------------------------------------------------------------

_JSON_TYPES: dict[str, type[Any]] = {"float": float, "int": int, "bool": bool, "str": str}


def check_fields(fields: Fields, values: Mapping[str, Any]) -> None:
    """Raise a ModelFileError, which names the field, unless all values can be.

    Parameters
    ----------
    fields : mapping of str to Field
    values : mapping of str to object
        Tensors as arrays, names as a list of str.
    """
    groups = {fields[name].group for name in values}
    lengths: dict[str, int] = {}
    for name, wanted in fields.items():
        if name in values:
            _check_type(name, wanted, values[name], lengths)
            if wanted.rule is not None:
                wanted.rule(name, values[name])
        elif not wanted.group or wanted.group in groups:
            raise ModelFileError(f"{name}: missing")


def _check_type(name: str, wanted: Field, value: Any, lengths: dict[str, int]) -> None:
    if wanted.is_tensor:
        if value.dtype != np.float64:
            raise ModelFileError(f"{name}: holds {value.dtype}, not float64")
        _check_shape(name, wanted, value.shape, lengths)
    elif wanted.kind == "names":
        if not isinstance(value, list) or not all(type(item) is str for item in value):
            raise ModelFileError(f"{name}: not a list of names")
        _check_shape(name, wanted, (len(value),), lengths)
    else:
        kind = _JSON_TYPES[wanted.kind]
        if type(value) is not kind:
            raise ModelFileError(f"{name}: {value!r} is not a {kind.__name__}")
        if kind is float and not isfinite(value):
            raise ModelFileError(f"{name}: not finite")


def _check_shape(name: str, wanted: Field, shape: tuple[int, ...], lengths: dict[str, int]) -> None:
    matches = len(shape) == len(wanted.shape)
    for want, length in zip(wanted.shape, shape, strict=False):
        if isinstance(want, str):
            want = lengths.setdefault(want, length if want.endswith("*") else max(length, 1))
        matches = matches and want == length
    if not matches:
        expected = ", ".join(str(lengths.get(str(want), want)) for want in wanted.shape)
        raise ModelFileError(f"{name}: shape {shape}, expected ({expected})")
