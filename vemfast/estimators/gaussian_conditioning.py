"""Marginals, conditionals and regression of a fitted Gaussian mixture: methods without a fit.

The mathematics is in `vemfast.models.gaussian_conditioning`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_array, check_is_fitted

from vemfast.estimators.base import Estimator
from vemfast.estimators.columns import find_columns, given_values, other_columns
from vemfast.models import gaussian_points as points
from vemfast.models.gaussian_conditioning import marginal_covariances, regression

__all__ = ["Conditioning"]

Array = NDArray[np.float64]


class Conditioning(Estimator):
    """What `GaussianMixture` offers on some of its features."""

    def marginal(self, columns: int | str | Sequence[int | str]) -> Any:
        """Return the mixture of some of the features.

        Parameters
        ----------
        columns : int, str, or sequence of them
            Positions or feature names, in the order that the marginal is to have.

        Returns
        -------
        GaussianMixture
            Fitted, of the same covariance type, made of the point attributes (under "mean-field"
            the expected weights and means and the inverse expected precisions; under "gibbs" the
            best draw). It predicts, samples and saves, but has no trace of a fit of its own.
        """
        check_is_fitted(self)
        chosen = find_columns("columns", columns, self)
        covariances = marginal_covariances(self.covariance_type, self.covariances_, chosen)
        return self._part(chosen, self.weights_, self.means_[:, chosen], covariances)

    def conditional(self, given: Mapping[int | str, float]) -> Any:
        """Return the mixture of the other features, given the values of some.

        Each component's weight becomes its responsibility for the values, and its mean moves by
        its regression on them (`docs/formulas/gaussian_mixture.md`, section 10).

        Parameters
        ----------
        given : mapping of int or str to float
            Values by column position or feature name.

        Returns
        -------
        GaussianMixture
            Fitted, over the remaining columns in their order, of the same covariance type, made of
            the point attributes as `marginal` is. Component k is component k of this mixture, also
            where its weight becomes 0.
        """
        check_is_fitted(self)
        columns, row = given_values(given, self)
        rest = other_columns("given", columns, self.n_features_in_)
        values = row[None]
        parts = regression(self.covariance_type, self.means_, self.covariances_, columns, rest)
        weights = self._responsibilities_given(values, columns)[0]
        with np.errstate(over="ignore", invalid="ignore"):
            each = [parts.component_means(k, values)[0] for k in range(len(weights))]
        means = _near("given", np.array([each]))[0]
        return self._part(rest, weights, means, parts.covariances)

    def predict_conditional(
        self,
        X: ArrayLike,
        targets: int | str | Sequence[int | str],
        *,
        given: int | str | Sequence[int | str] | None = None,
        return_covariance: bool = False,
    ) -> Any:
        """Return the expectation of some features given others, row by row.

        Gaussian mixture regression (Ghahramani and Jordan 1994), at the point attributes as
        `conditional` is. Where ``missing="marginalize"``, NaN in X is integrated out.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_given)
            Values of the columns `given`, in their order. In a data frame, where the fit had
            feature names, columns are found by name, and there may be others.
        targets : int, str, or sequence of them
            Columns to predict.
        given : int, str, or sequence of them, default=None
            Columns that X holds; what is in neither is integrated out. None: all but the targets,
            in order.
        return_covariance : bool, default=False

        Returns
        -------
        expectation : ndarray of shape (n_samples, n_targets), or (n_samples,) for a single column
        covariance : ndarray of shape (n_samples, n_targets, n_targets), or (n_samples,)
            Of the targets given the row. Only if `return_covariance`.
        """
        check_is_fitted(self)
        single = isinstance(targets, (str, Integral))
        wanted = find_columns("targets", targets, self)
        if given is None:
            columns = other_columns("targets", wanted, self.n_features_in_)
        else:
            columns = find_columns("given", given, self)
            both = np.intersect1d(columns, wanted)
            if both.size:
                raise ValueError(f"column {both[0]} is among the targets and among the given")
        rows = self._rows_of(X, columns)
        T = wanted.size
        expectation = np.empty((len(rows), T))
        covariance = np.empty((len(rows), T, T)) if return_covariance else None
        for pattern, own in _by_pattern(rows):
            self._regress(rows, own, columns, pattern, wanted, expectation, covariance)
        _near("X", expectation)
        shown = expectation[:, 0] if single else expectation
        if covariance is None:
            return shown
        _near("X", covariance)
        return shown, covariance[:, 0, 0] if single else covariance

    def _regress(
        self,
        rows: Array,
        own: Any,
        columns: NDArray[np.intp],
        pattern: Any,
        wanted: NDArray[np.intp],
        expectation: Array,
        covariance: Array | None,
    ) -> None:
        """Fill in the moments of the rows `own`, which have the columns of one pattern."""
        values, columns = rows[own][:, pattern], columns[pattern]
        proba = self._responsibilities_given(values, columns)
        parts = regression(self.covariance_type, self.means_, self.covariances_, columns, wanted)
        with np.errstate(over="ignore", invalid="ignore"):
            expectation[own] = parts.expectation(values, proba)
            if covariance is not None:
                covariance[own] = parts.covariance(values, proba, expectation[own])

    def _part(
        self, columns: NDArray[np.intp], weights: Array, means: Array, covariances: Array
    ) -> Any:
        """Return a fitted mixture over some of the columns."""
        part = type(self)(
            self.n_components,
            covariance_type=self.covariance_type,
            reg_covar=self.reg_covar,
            missing=self.missing,
            random_state=self.random_state,
            n_jobs=self.n_jobs,
        )
        origin = self.origin_[columns]
        model, params = points.from_point(self.covariance_type, origin, weights, means, covariances)
        attributes = {**points.attributes(model, params), "n_features_in_": int(columns.size)}
        if hasattr(self, "feature_names_in_"):
            attributes["feature_names_in_"] = self.feature_names_in_[columns]
        part.__dict__.update(attributes)
        return part

    def _responsibilities_given(self, rows: Array, columns: NDArray[np.intp]) -> Array:
        if not columns.size:
            return np.broadcast_to(self.weights_, (len(rows), self.weights_.size))
        covariances = marginal_covariances(self.covariance_type, self.covariances_, columns)
        model, params = points.from_point(
            self.covariance_type,
            self.origin_[columns],
            self.weights_,
            self.means_[:, columns],
            covariances,
        )
        table = model.prepare(params)
        return np.asarray(model.assign(table, rows, "responsibilities", self._threads()))

    def _rows_of(self, X: Any, columns: NDArray[np.intp]) -> Array:
        """Return values of the columns, one row each."""
        if hasattr(X, "columns") and hasattr(self, "feature_names_in_"):
            names = [str(name) for name in self.feature_names_in_[columns]]
            missing = [name for name in names if name not in X.columns]
            if missing:
                raise ValueError(f"X has no column {missing[0]!r}, which is among the given")
            X = X[names]
        rows = check_array(X, dtype="numeric", ensure_all_finite=False, input_name="X")
        if rows.dtype.kind not in "fiub":
            raise TypeError(f"X must hold numbers; got {rows.dtype}")
        if rows.shape[1] != columns.size:
            raise ValueError(
                f"X has {rows.shape[1]} columns, but {columns.size} are given: {columns.tolist()}"
            )
        self._check_finite(rows, self._takes_nan())
        return np.ascontiguousarray(rows, dtype=np.float64)


def _by_pattern(rows: Array) -> list[tuple[Any, Any]]:
    """Return the columns and the rows of each pattern of what is not NaN."""
    observed = ~np.isnan(rows)
    if observed.all():
        return [(slice(None), slice(None))]
    patterns, which = np.unique(observed, axis=0, return_inverse=True)
    which = which.ravel()
    return [(pattern, np.flatnonzero(which == i)) for i, pattern in enumerate(patterns)]


def _near(what: str, results: Array) -> Array:
    """Return results, one a row of what was given; refuse those that overflowed."""
    finite = np.isfinite(results).reshape(len(results), -1).all(axis=1)
    if not finite.all():
        where = what if what == "given" else f"row {int(np.argmin(finite))} of {what}"
        raise ValueError(f"{where} is so far away that what is expected of the rest overflows")
    return results
