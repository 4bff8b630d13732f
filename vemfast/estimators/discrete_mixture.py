"""What the mixtures of bits, counts and codes share: how data become a model, and back."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from vemfast.data import IndexedBlock
from vemfast.estimators.base import check_sample_weight, refuse_text
from vemfast.estimators.mixture import WEIGHT_PRIORS, MixtureEstimator
from vemfast.inference.methods import lookup
from vemfast.inference.monitor import FitResult
from vemfast.models import discrete_points as points
from vemfast.models.base import Step
from vemfast.models.discrete_config import Start
from vemfast.models.discrete_mixture import DiscreteMixture as Model
from vemfast.models.discrete_rows import RowReader, nothing_observed
from vemfast.models.discrete_setup import (
    DiscreteHyperparameters,
    configure,
    count_categories,
)
from vemfast.models.weight_prior import given_weights
from vemfast.stats import Params

__all__ = ["DiscreteMixtureEstimator"]

Array = NDArray[np.float64]

_STARTS = ("kmeans", "k-means++", "random", "random_from_data")


class DiscreteMixtureEstimator(MixtureEstimator):
    """Base of the discrete mixtures.

    A subclass names its family, the record of its draws, the parameter that gives a start, the
    parameters of the prior, and the attributes of a mean-field posterior in the model's order.
    """

    _family: ClassVar[str]
    _record: ClassVar[type[Any]]
    _shown: ClassVar[str]  # the attribute of the components: probabilities_ or rates_
    _priors: ClassVar[tuple[str, ...]]
    _posterior: ClassVar[tuple[str, ...]]

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **MixtureEstimator._parameter_constraints,
        "init_params": [StrOptions(set(_STARTS))],
        "missing": [StrOptions({"error", "marginalize"})],
    }

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self.missing == "marginalize"
        tags.input_tags.sparse = self._family != "categorical"
        tags.input_tags.categorical = getattr(self, "binarize", None) is None
        tags.input_tags.positive_only = self._family != "bernoulli"
        return tags

    # ---- rows --------------------------------------------------------------------------------

    def _reader(self, n_categories: NDArray[np.int64] | None) -> RowReader:
        return RowReader(
            self._family,
            type(self).__name__,
            self.missing == "marginalize",
            getattr(self, "binarize", None),
            n_categories,
        )

    @staticmethod
    def _validated(estimator: Any, X: Any, reset: bool) -> Any:
        """Return rows of the user's type: they are read, and converted, as the family asks."""
        if isinstance(X, (list, tuple)):
            X = np.asarray(X)
        refuse_text(X)
        return validate_data(
            estimator,
            X,
            reset=reset,
            dtype=None,
            accept_sparse=True,
            ensure_all_finite=False,
            estimator=type(estimator).__name__,
        )

    def _rows_to_fit(self, X: Any) -> tuple[Any, dict[str, Any]]:
        """Return rows of the user's type, and the attributes that describe their columns."""
        if _is_plain(X):
            return X, {"n_features_in_": X.shape[1]}
        scratch = copy.copy(self)
        rows = self._validated(scratch, X, True)
        named = ("n_features_in_", "feature_names_in_")
        return rows, {name: vars(scratch)[name] for name in named if name in vars(scratch)}

    def _rows(self, X: Any) -> IndexedBlock:
        """Return rows to be judged by the fitted model."""
        check_is_fitted(self)
        known = _is_plain(X) and X.shape[1] == self.n_features_in_
        if not known or hasattr(self, "feature_names_in_"):
            X = self._validated(self, X, False)
        rows, dtype = self._reader(getattr(self, "n_categories_", None)).read(X)
        return IndexedBlock(rows, dtype=dtype)

    # ---- fitting -----------------------------------------------------------------------------

    def _model(
        self, X: Any, sample_weight: ArrayLike | None
    ) -> tuple[Model, IndexedBlock, dict[str, Any], Step]:
        local_rule, parameter_rule = lookup(Model, self.inference, self.schedule)
        X, columns = self._rows_to_fit(X)
        sizes = None
        if self._family == "categorical":
            sizes = count_categories(self.n_categories, X.shape[1])
        reader = self._reader(sizes)
        rows, dtype = reader.read(X)
        if self._family == "categorical" and sizes is None:
            sizes = reader.sizes_of(rows)
        weights = check_sample_weight(sample_weight, X.shape[0], dtype)
        if self.missing == "marginalize":
            weights = _without_nothing(rows, weights)
        block = IndexedBlock(rows, weights, 0, dtype)
        self._check_size(block)
        config = configure(
            block,
            self._family,
            int(self.n_components),
            self.inference,
            parameter_rule,
            DiscreteHyperparameters(
                self.equal_weights,
                WEIGHT_PRIORS[self.weight_concentration_prior_type],
                self.weight_concentration_prior,
                *(getattr(self, name) for name in self._priors),
                names=self._priors,
            ),
            sizes,
            self.missing == "marginalize",
        )
        start = Start(
            self.init_params,
            given_weights(self.weights_init, config.n_components, config.prior.weight_type),
            points.check_table(getattr(self, f"{self._shown}init"), config),
        )
        step = Step(local_rule, parameter_rule, 0, 0, self._threads())
        return Model(config, start), block, columns, step

    def _warm(self, model: Model) -> Params | None:
        if not self.warm_start or not hasattr(self, self._shown):
            return None
        config, shown = model.config, getattr(self, self._shown)
        table = points.as_table(shown)
        if len(self.weights_) != config.n_components or self.n_features_in_ != config.n_features:
            raise ValueError(
                f"warm_start=True with n_components={config.n_components} and "
                f"{config.n_features} features, but the last fit has {len(self.weights_)} "
                f"components and {self.n_features_in_} features; clone the estimator first"
            )
        if table.shape[0] != config.n_indexed or (
            config.family == "categorical"
            and not np.array_equal(self.n_categories_, config.n_categories)
        ):
            raise ValueError(
                f"warm_start=True on columns of {config.n_categories.tolist()} categories, but the "
                f"last fit has {self.n_categories_.tolist()}; say n_categories, or clone the "
                "estimator first"
            )
        return points.point(config, self.weights_, points.warm_table(config, table))

    def _notes(self, block: IndexedBlock) -> list[str]:
        return self._distinct(block)

    def _attributes(self, model: Model, params: Params) -> dict[str, Any]:
        return points.attributes(model, params)

    def _draws(self, model: Model, results: Sequence[FitResult]) -> Any:
        return self._record(**points.draws(model, results))

    def _start_parameters(self, model: Model, params: Params) -> dict[str, Any]:
        shown = points.attributes(model, params)
        return {"weights_init": shown["weights_"], f"{self._shown}init": shown[self._shown]}

    # ---- use -----------------------------------------------------------------------------------

    def predict(self, X: Any) -> NDArray[np.int64]:
        """Return the component of highest responsibility of each row, shape (n_samples,)."""
        block = self._rows(X)
        model, params = self._fitted()
        labels = model.assign(model.prepare(params), block, "labels", self._threads())
        labels = np.array(labels, dtype=np.int64)
        if self.missing == "marginalize":
            labels[nothing_observed(block.rows)] = int(np.argmax(self.weights_))
        return labels

    def predict_proba(self, X: Any) -> Array:
        """Return responsibilities, shape (n_samples, n_components): the E-step's q(z).

        A row of which nothing is observed has `weights_`.
        """
        block = self._rows(X)
        model, params = self._fitted()
        proba = model.assign(model.prepare(params), block, "responsibilities", self._threads())
        proba = np.asarray(proba)
        if self.missing == "marginalize":
            proba[nothing_observed(block.rows)] = self.weights_
        return proba

    def component_estimates(self) -> Array:
        """Return each component's estimates in comparable units, one row a component.

        Its weight, and its probabilities or rates less the mixture's, in units of the mixture's
        standard deviation of each feature or code. Rows may be permuted: labels mean nothing.

        Returns
        -------
        ndarray of shape (n_components, 1 + n_features)
            Of codes, one column each in the place of the features.
        """
        check_is_fitted(self)
        return points.component_estimates(self._family, self.weights_, getattr(self, self._shown))

    def _fitted(self, point: bool = False) -> tuple[Model, Params]:
        sizes, marginalize = getattr(self, "n_categories_", None), self.missing == "marginalize"
        if point or not hasattr(self, self._posterior[0]):
            return points.from_point(
                self._family, self.weights_, getattr(self, self._shown), sizes, marginalize
            )
        return points.from_posterior(
            self._family,
            "equal" if self.equal_weights else WEIGHT_PRIORS[self.weight_concentration_prior_type],
            self.weight_concentration_,
            [getattr(self, name) for name in self._posterior],
            sizes,
            marginalize,
        )

    def _draw_tables(self, model: Model) -> list[Any]:
        return points.draw_tables(model, self.posterior_)

    def _draw_rows(
        self, n: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return points.sample(self._family, self.weights_, getattr(self, self._shown), n, rng)

    def _n_parameters(self) -> int:
        of_weights = 0 if self.equal_weights else len(self.weights_) - 1
        return points.n_parameters(getattr(self, self._shown)) + of_weights


# Constraint of a prior's parameter that is one number, or one a feature.
POSITIVE = ["array-like", Interval(Real, 0, None, closed="neither"), None]


def _is_plain(X: Any) -> bool:
    """Whether scikit-learn's validation would find nothing."""
    return type(X) is np.ndarray and X.ndim == 2 and X.dtype.kind in "biuf" and X.size > 0


def _without_nothing(rows: Any, weights: Array | None) -> Array | None:
    """Return the weights with 0 for rows of which nothing is observed."""
    nothing = nothing_observed(rows)
    if not nothing.any():
        return weights
    if nothing.all():
        raise ValueError("X has no observed entry: all rows are missing")
    out = np.ones(nothing.size) if weights is None else weights.copy()
    out[nothing] = 0.0
    if not out.any():
        raise ValueError("every row of positive sample_weight has no observed entry")
    return out
