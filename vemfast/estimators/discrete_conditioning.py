"""Marginals and conditionals of a fitted mixture of bits, counts or codes: methods without a fit.

Within a component the features are independent, so a marginal leaves columns out, and what is given
of some columns changes nothing but the weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from vemfast.estimators.base import Estimator
from vemfast.estimators.columns import find_columns, given_values, other_columns

__all__ = ["DiscreteConditioning"]


class DiscreteConditioning(Estimator):
    """What the mixtures of bits, counts and codes offer on some of their features."""

    _shown: ClassVar[str]  # the attribute of the components: probabilities_ or rates_

    def marginal(self, columns: int | str | Sequence[int | str]) -> Any:
        """Return the mixture of some of the features.

        Parameters
        ----------
        columns : int, str, or sequence of them
            Positions or feature names, in the order that the marginal is to have.

        Returns
        -------
        estimator
            Of the same class, fitted, made of the point attributes (under "mean-field" the expected
            weights and probabilities or rates; under "gibbs" the best draw). It predicts, samples
            and saves, but has no trace of a fit of its own.
        """
        check_is_fitted(self)
        return self._part(find_columns("columns", columns, self), self.weights_)

    def conditional(self, given: Mapping[int | str, float]) -> Any:
        """Return the mixture of the other features, given the values of some.

        Each component's weight becomes its responsibility for the values; within a component the
        features are independent.

        Parameters
        ----------
        given : mapping of int or str to float
            Values by column position or feature name.

        Returns
        -------
        estimator
            Of the same class, fitted, over the remaining columns in their order, made of the point
            attributes as `marginal` is. Component k is component k of this mixture, also where its
            weight becomes 0.

        Raises
        ------
        ValueError
            If no component can have the values.
        """
        check_is_fitted(self)
        columns, values = given_values(given, self)
        rest = other_columns("given", columns, self.n_features_in_)
        part = self._part(columns, self.weights_)
        vars(part).pop("feature_names_in_", None)
        try:
            density = part.score_samples(values[None])[0]
        except ValueError as error:
            raise ValueError(f"given, whose columns are {columns.tolist()}: {error}") from error
        if density == -np.inf:
            raise ValueError("given is impossible: no component can have these values")
        return self._part(rest, part.predict_proba(values[None])[0])

    def _part(self, columns: NDArray[np.intp], weights: NDArray[np.float64]) -> Any:
        """Return a fitted mixture over some of the columns."""
        own = ("n_components", "missing", "random_state", "n_jobs", "binarize")
        taken = self.get_params(deep=False)
        part = type(self)(**{name: taken[name] for name in own if name in taken})
        shown = getattr(self, self._shown)
        attributes: dict[str, Any] = {
            "weights_": np.array(weights),
            "n_features_in_": int(columns.size),
        }
        if isinstance(shown, list):
            attributes[self._shown] = [shown[d].copy() for d in columns]
            attributes["n_categories_"] = self.n_categories_[columns]
            part.n_categories = attributes["n_categories_"].copy()
        else:
            attributes[self._shown] = np.ascontiguousarray(shown[:, columns])
        if hasattr(self, "feature_names_in_"):
            attributes["feature_names_in_"] = self.feature_names_in_[columns]
        part.__dict__.update(attributes)
        return part
