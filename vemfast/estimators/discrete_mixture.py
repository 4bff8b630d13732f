"""What the mixtures of bits, counts and codes share: how data become a model, and back."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from vemfast.estimators.base import (
    check_sample_weight,
    chunks_of,
    columns_of,
    refuse_text,
    weights_of_chunks,
)
from vemfast.estimators.discrete_conditioning import DiscreteConditioning
from vemfast.estimators.missing import MissingValues
from vemfast.estimators.mixture import WEIGHT_PRIORS, MixtureEstimator
from vemfast.indexed import IndexedBlock, SparseRows
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
from vemfast.streams import Stream, StreamBlock

__all__ = ["DiscreteMixtureEstimator"]

Array = NDArray[np.float64]

_STARTS = ("kmeans", "k-means++", "random", "random_from_data")


class DiscreteMixtureEstimator(DiscreteConditioning, MissingValues):
    """Base of the discrete mixtures.

    A subclass names its family, the record of its draws, the parameter that gives a start, the
    parameters of the prior, and the attributes of a mean-field posterior in the model's order.
    """

    _family: ClassVar[str]
    _record: ClassVar[type[Any]]
    _priors: ClassVar[tuple[str, ...]]
    _posterior: ClassVar[tuple[str, ...]]

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **MixtureEstimator._parameter_constraints,
        "init_params": [StrOptions(set(_STARTS))],
        "missing": [StrOptions({"error", "marginalize"})],
    }

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self._family != "categorical"
        tags.input_tags.categorical = getattr(self, "binarize", None) is None
        tags.input_tags.positive_only = self._family != "bernoulli"
        return tags

    # ---- rows --------------------------------------------------------------------------------

    def _reader(
        self, n_categories: NDArray[np.int64] | None, takes_nan: bool | None = None
    ) -> RowReader:
        return RowReader(
            self._family,
            type(self).__name__,
            self._takes_nan() if takes_nan is None else takes_nan,
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
        return columns_of(self, lambda scratch: self._validated(scratch, X, True))

    def _rows_like_fitted(self, X: Any) -> Any:
        """Return rows of the user's type, whose columns are those of the fit."""
        known = _is_plain(X) and X.shape[1] == self.n_features_in_
        if known and not hasattr(self, "feature_names_in_"):
            return X
        return self._validated(self, X, False)

    def _rows(self, X: Any, takes_nan: bool | None = None) -> Any:
        """Return rows to be judged by the fitted model, as an IndexedBlock."""
        check_is_fitted(self)
        reader = self._reader(getattr(self, "n_categories_", None), takes_nan)
        rows, dtype = reader.read(self._rows_like_fitted(X))
        return IndexedBlock(rows, dtype=dtype)

    def _sizes(self, n_features: int) -> NDArray[np.int64] | None:
        """Return the numbers of codes that the user gives."""
        if self._family != "categorical":
            return None
        return count_categories(self.n_categories, n_features)

    def _data_to_fit(
        self, X: Any, sample_weight: Any
    ) -> tuple[IndexedBlock | StreamBlock, dict[str, Any]]:
        chunks = chunks_of(X)
        if chunks is not None and not self._reader(None).uses_in_place(X):
            return self._stream_to_fit(chunks, sample_weight)
        X, columns = self._rows_to_fit(X)
        sizes = self._sizes(X.shape[1])
        reader = self._reader(sizes)
        rows, dtype = reader.read(X)
        if not isinstance(rows, SparseRows) and self._family == "categorical":
            columns["n_categories_"] = reader.sizes_of(rows) if sizes is None else sizes
        weights = check_sample_weight(sample_weight, X.shape[0], dtype)
        return self._without_unobserved(IndexedBlock(rows, weights, 0, dtype)), columns

    def _stream_to_fit(self, chunks: Any, sample_weight: Any) -> tuple[StreamBlock, dict[str, Any]]:
        scratch = copy.copy(self)
        columns: dict[str, Any] = {}

        def like_first(chunk: Any) -> Any:
            if columns:
                return scratch._rows_like_fitted(chunk)
            rows, found = scratch._rows_to_fit(chunk)
            columns.update(found)
            scratch.__dict__.pop("feature_names_in_", None)
            scratch.__dict__.update(found)
            if (sizes := self._sizes(rows.shape[1])) is not None:
                columns["n_categories_"] = sizes
            return rows

        if self._family == "categorical" and self.n_categories is None:
            Stream(chunks, _CodeSurvey(self._reader(None), like_first, columns))
        first_is_sparse: bool | None = None

        def convert(chunk: Any) -> IndexedBlock:
            nonlocal first_is_sparse
            rows = like_first(chunk)
            rows, dtype = self._reader(columns.get("n_categories_")).read(rows)
            block = IndexedBlock(rows, dtype=dtype)
            if first_is_sparse is None:
                first_is_sparse = block.is_sparse
            if block.is_sparse != first_is_sparse:
                kinds = ("sparse", "dense") if block.is_sparse else ("dense", "sparse")
                raise ValueError(f"it is {kinds[0]}, and the first is {kinds[1]}; make them alike")
            return block

        stream = Stream(chunks, convert)
        weights = weights_of_chunks(stream.weights, sample_weight)
        weights = check_sample_weight(weights, stream.n, stream.dtype)
        return self._without_unobserved(stream.block(weights)), columns

    # ---- fitting -----------------------------------------------------------------------------

    def _model(
        self, X: Any, sample_weight: ArrayLike | None
    ) -> tuple[Model, IndexedBlock | StreamBlock, dict[str, Any], Step]:
        local_rule, parameter_rule = lookup(Model, self.inference, self.schedule)
        block, columns = self._data_to_fit(X, sample_weight)
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
                getattr(self, self._priors[0]),
                getattr(self, self._priors[1]) if len(self._priors) > 1 else None,
                self._priors,
            ),
            columns.get("n_categories_"),
            self._takes_nan(),
            self.schedule == "minibatch",
        )
        table = points.check_table(getattr(self, f"{self._shown}init"), config)
        name = config.table_name
        config = replace(
            config, freeze=self._frozen({"weights": "weights_init", name: f"{name}_init"})
        )
        if table is not None and config.prior.is_proper:
            table = points.warm_table(config, table)  # at a zero the log prior may be -inf
        start = Start(
            self.init_params,
            given_weights(self.weights_init, config.n_components, config.prior.weight_type),
            table,
        )
        start = self._beginning(start, block.n, f"weights_init and {name}_init")
        step = Step(local_rule, parameter_rule, 0, 0, self._threads())
        return Model(config, start), block, columns, step

    def _first(self, X: Any, sample_weight: ArrayLike | None, labels: ArrayLike | None) -> Any:
        own = copy.copy(self)
        own.schedule = "minibatch"  # of which `partial_fit` is a step
        return super(DiscreteMixtureEstimator, own)._first(X, sample_weight, labels)

    def _further(self, model: Model, X: Any, sample_weight: ArrayLike | None) -> IndexedBlock:
        block: IndexedBlock = self._rows(X)
        weights = check_sample_weight(sample_weight, block.n, block.dtype)
        return self._without_unobserved(block.with_weights(weights))

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

    def _notes(self, block: IndexedBlock | StreamBlock) -> list[str]:
        return self._distinct(block)

    def _attributes(self, model: Model, params: Params) -> dict[str, Any]:
        return points.attributes(model, params)

    def _draws(self, model: Model, results: Sequence[FitResult]) -> Any:
        return self._record(**points.draws(model, results))

    def _start_parameters(self, model: Model, params: Params) -> dict[str, Any]:
        shown = points.attributes(model, params)
        return {"weights_init": shown["weights_"], f"{self._shown}init": shown[self._shown]}

    # ---- use -----------------------------------------------------------------------------------

    def _unobserved(self, rows: IndexedBlock) -> NDArray[np.intp]:
        return np.flatnonzero(nothing_observed(rows.rows))

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
        sizes, marginalize = getattr(self, "n_categories_", None), self._takes_nan()
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
        frozen = self.freeze or ()
        of_table = points.n_parameters(getattr(self, self._shown))
        return (0 if self._shown[:-1] in frozen else of_table) + (
            0 if "weights" in frozen else of_weights
        )


# Constraint of a prior's parameter that is one number, or one a feature.
POSITIVE = ["array-like", Interval(Real, 0, None, closed="neither"), None]


def _is_plain(X: Any) -> bool:
    """Whether scikit-learn's validation would find nothing."""
    return type(X) is np.ndarray and X.ndim == 2 and X.dtype.kind in "biuf" and X.size > 0


class _CodeSurvey:
    """Reads chunks of codes for the number of codes of each column alone."""

    def __init__(
        self, reader: RowReader, like_first: Callable[[Any], Any], columns: dict[str, Any]
    ) -> None:
        self.reader, self.like_first, self.columns = reader, like_first, columns

    def __call__(self, chunk: Any) -> IndexedBlock:
        rows, _ = self.reader.read(self.like_first(chunk))
        assert not isinstance(rows, SparseRows)
        sizes = self.reader.sizes_of(rows)
        known = self.columns.setdefault("n_categories_", sizes)
        self.columns["n_categories_"] = np.maximum(known, sizes)
        return IndexedBlock(rows)
