"""Rows with missing values, as mixtures take them and the Gaussian one completes them."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vemfast.estimators.mixture import MixtureEstimator

__all__ = ["MissingFeatures", "MissingValues"]

Array = NDArray[np.float64]
_Block = TypeVar("_Block", bound=Any)


class MissingValues(MixtureEstimator):
    """Base of mixtures whose models integrate NaN out where ``missing="marginalize"``.

    It sees to rows with nothing observed.
    """

    _may_take_nan = True
    missing: str

    def _takes_nan(self) -> bool:
        return self.missing == "marginalize"

    def _unobserved(self, rows: Any) -> NDArray[np.intp]:
        """Return the numbers of the rows, of a block or as judged, without an observed value."""
        raise NotImplementedError

    def _without_unobserved(self, block: _Block) -> _Block:
        """Return the block with a weight of zero for each row that has no observed value.

        That drops the rows without a copy of the others.
        """
        if not self._takes_nan():
            return block
        empty = np.concatenate(
            [part.offset - block.offset + self._unobserved(part) for part in block.parts()]
        )
        if not empty.size:
            return block
        weights = np.ones(block.n) if block.weights is None else block.weights.copy()
        weights[empty] = 0.0
        if not weights.any():
            raise ValueError(
                "X has no observed value in any row of positive weight: all of them are NaN"
            )
        return cast(_Block, block.with_weights(weights))

    def _assign(self, model: Any, table: Any, rows: Any, output: str) -> NDArray[Any]:
        """Return what the model does, and of rows with nothing observed what is known of them.

        Their posterior is `weights_`, their density that of nothing, 1.
        """
        out = super()._assign(model, table, rows, output)
        if self._takes_nan():
            known = {"labels": np.argmax(self.weights_), "responsibilities": self.weights_}
            out[self._unobserved(rows)] = known.get(output, 0.0)
        return out

    def _plug_in_density(self, rows: Any) -> Array:
        return self._of_observed(rows, super()._plug_in_density(rows))

    def _certainty(self, rows: Any) -> Array:
        return self._of_observed(rows, super()._certainty(rows))

    def _of_observed(self, rows: Any, values: Array) -> Array:
        return np.delete(values, self._unobserved(rows)) if self._takes_nan() else values


class MissingFeatures(MissingValues):
    """Base of the mixtures that also complete rows.

    A subclass implements `_fitted` with the keyword `marginalize` as well.
    """

    def impute(self, X: ArrayLike) -> NDArray[Any]:
        """Return rows with each missing value replaced by its mean given what is observed.

        The mean over the components' conditional means, weighted by the responsibilities, at the
        point attributes (under "mean-field" with the expected precisions). A row with nothing
        observed becomes the mixture's mean. Works whatever `missing` is: a fit to complete rows
        can complete others.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), or chunks of such rows
            NaN where missing.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            Observed values are as they were.
        """
        return self._by_chunk(X, self._imputed, takes_nan=True)

    def _imputed(self, rows: NDArray[Any]) -> NDArray[Any]:
        model, params = self._fitted(marginalize=True)
        out = model.impute(model.prepare(params), rows, self._threads())
        out[nothing_observed(rows)] = self.weights_ @ self.means_
        return np.asarray(out, dtype=rows.dtype)

    def _fitted(self, point: bool = False, marginalize: bool | None = None) -> tuple[Any, Any]:
        raise NotImplementedError

    def _unobserved(self, rows: Any) -> NDArray[np.intp]:
        return nothing_observed(getattr(rows, "X", rows))


def nothing_observed(rows: NDArray[Any]) -> NDArray[np.intp]:
    """Return the numbers of the rows without any observed value."""
    first = np.flatnonzero(np.isnan(rows[:, 0]))
    return np.asarray(first[np.isnan(rows[first]).all(axis=1)])
