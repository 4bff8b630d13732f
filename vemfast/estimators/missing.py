"""Rows with missing values, as the Gaussian mixture takes and completes them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vemfast.data import RowBlock
from vemfast.estimators.mixture import MixtureEstimator
from vemfast.streams import StreamBlock

__all__ = ["MissingFeatures"]

Array = NDArray[np.float64]


class MissingFeatures(MixtureEstimator):
    """Base of mixtures whose models integrate NaN out where ``missing="marginalize"``.

    A subclass implements `_fitted` with the keyword `marginalize` as well.
    """

    _may_take_nan = True
    missing: str

    def _takes_nan(self) -> bool:
        return self.missing == "marginalize"

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

    # ---- rows with nothing observed ----------------------------------------------------------

    def _without_unobserved(self, block: RowBlock | StreamBlock) -> RowBlock | StreamBlock:
        """Return the block with a weight of zero for each row that has no observed value.

        That drops the rows without a copy of the others.
        """
        if not self._takes_nan():
            return block
        empty = np.concatenate(
            [part.offset - block.offset + nothing_observed(part.X) for part in block.parts()]
        )
        if not empty.size:
            return block
        weights = np.ones(block.n) if block.weights is None else block.weights.copy()
        weights[empty] = 0.0
        if not weights.any():
            raise ValueError(
                "X has no observed value in any row of positive weight: all of them are NaN"
            )
        return block.with_weights(weights)

    def _assign(self, model: Any, table: Any, rows: Any, output: str) -> NDArray[Any]:
        """Return what the model does, and of rows with nothing observed what is known of them.

        Their posterior is `weights_`, their density that of nothing, 1.
        """
        out = super()._assign(model, table, rows, output)
        if self._takes_nan():
            known = {"labels": np.argmax(self.weights_), "responsibilities": self.weights_}
            out[nothing_observed(rows)] = known.get(output, 0.0)
        return out

    def _plug_in_density(self, rows: Any) -> Array:
        return self._of_observed(rows, super()._plug_in_density(rows))

    def _certainty(self, rows: Any) -> Array:
        return self._of_observed(rows, super()._certainty(rows))

    def _of_observed(self, rows: Any, values: Array) -> Array:
        return np.delete(values, nothing_observed(rows)) if self._takes_nan() else values


def nothing_observed(rows: NDArray[Any]) -> NDArray[np.intp]:
    """Return the numbers of the rows without any observed value."""
    first = np.flatnonzero(np.isnan(rows[:, 0]))
    return np.asarray(first[np.isnan(rows[first]).all(axis=1)])
