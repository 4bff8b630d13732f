"""What the hidden Markov models of codes, bits and counts share: how steps are read."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from vemfast.estimators.base import columns_of
from vemfast.estimators.discrete_mixture import DiscreteMixtureEstimator
from vemfast.estimators.hmm import HmmEstimator
from vemfast.indexed import IndexedBlock, SparseRows
from vemfast.models import discrete_points
from vemfast.models.discrete_config import DiscreteConfig, Start
from vemfast.models.discrete_rows import RowReader
from vemfast.models.discrete_setup import DiscreteHyperparameters, configure

__all__ = ["DiscreteHmmEstimator"]

Array = NDArray[np.float64]


class DiscreteHmmEstimator(HmmEstimator):
    """Base of the discrete hidden Markov models.

    A subclass names its family, the attribute of its emissions, that of the model, the parameters
    of the prior, and the attributes of a mean-field posterior.
    """

    _family: ClassVar[str]
    _shown: ClassVar[str]  # attribute of the emissions
    _model_name: ClassVar[str]  # what `discrete_points` calls it
    _priors: ClassVar[tuple[str, ...]]
    _posterior: ClassVar[dict[str, str]]

    # ---- steps ---------------------------------------------------------------------------------

    def _reader(self, sizes: NDArray[np.int64] | None) -> RowReader:
        return RowReader(self._family, type(self).__name__, self._takes_nan(), None, sizes)

    def _sizes(self, n_features: int) -> NDArray[np.int64] | None:
        """Return the numbers of codes that the user gives."""
        return None

    def _read(self, X: Any) -> tuple[IndexedBlock, dict[str, Any]]:
        X, columns = columns_of(
            self, lambda scratch: DiscreteMixtureEstimator._validated(scratch, X, True)
        )
        sizes = self._sizes(X.shape[1])
        reader = self._reader(sizes)
        rows, dtype = reader.read(X)
        if self._family == "categorical" and not isinstance(rows, SparseRows):
            columns["n_categories_"] = reader.sizes_of(rows) if sizes is None else sizes
        return IndexedBlock(rows, dtype=dtype), columns

    def _read_like_fitted(self, X: Any) -> IndexedBlock:
        check_is_fitted(self)
        X = DiscreteMixtureEstimator._validated(self, X, False)
        rows, dtype = self._reader(getattr(self, "n_categories_", None)).read(X)
        return IndexedBlock(rows, dtype=dtype)

    # ---- what the family says ------------------------------------------------------------------

    def _emission(
        self, rows: IndexedBlock, parameter_rule: str, columns: dict[str, Any]
    ) -> DiscreteConfig:
        given = DiscreteHyperparameters(
            False,
            "dirichlet",
            None,
            getattr(self, self._priors[0]),
            getattr(self, self._priors[1]) if len(self._priors) > 1 else None,
            self._priors,
        )
        return configure(
            rows,
            self._family,
            int(self.n_components),
            self.inference,
            parameter_rule,
            given,
            columns.get("n_categories_"),
            self._takes_nan(),
            self.schedule == "minibatch",
        )

    def _emission_start(self, emission: DiscreteConfig) -> Start:
        given = self._given(next(iter(self._emission_letters)))
        if given is not None and self._family == "categorical" and np.ndim(given) == 2:
            given = [given]  # one column
        table = discrete_points.check_table(given, emission)
        if table is not None and emission.prior.is_proper:
            table = discrete_points.warm_table(emission, table)  # a log prior may be -inf at 0
        return Start(self._start_method(), None, table)

    def _emission_attributes(self, shown: dict[str, Any]) -> dict[str, Any]:
        out = {self._posterior.get(name, name): value for name, value in shown.items()}
        out[self._shown] = out.pop(self._model_name)
        if self._family == "categorical" and len(out[self._shown]) == 1:
            for name in (self._shown, *self._posterior.values()):
                if name in out:
                    out[name] = out[name][0]
        return out

    def _fitted_emissions(self) -> tuple[str, dict[str, Any]]:
        shown = getattr(self, self._shown)
        if self._family == "categorical" and not isinstance(shown, list):
            shown = [shown]
        return self._family, {"shown": shown, "sizes": getattr(self, "n_categories_", None)}

    def _draw_rows(self, states: NDArray[np.int64], rng: np.random.Generator) -> NDArray[Any]:
        shown = self._fitted_emissions()[1]["shown"]
        return discrete_points.sample_rows(self._family, shown, states, rng)

    def _expected(self) -> Array:
        shown = self._fitted_emissions()[1]["shown"]
        return np.concatenate(shown, axis=1) if self._family == "categorical" else shown
