"""From hyperparameters and one look at the data to the configuration of a Gaussian mixture.

The defaults of the priors follow scikit-learn's BayesianGaussianMixture, and scale with the data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vemfast import _core
from vemfast.data import RowBlock
from vemfast.models.gaussian_config import GaussianConfig, Prior
from vemfast.models.weight_prior import choose_weight_prior
from vemfast.streams import StreamBlock, sum_parts

__all__ = ["Hyperparameters", "Scan", "configure", "scan"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Hyperparameters:
    """What the user may say of the priors; None is the default of the rung.

    On the point rungs (em, variational-em, hard-em) the default is flat, and a given value makes
    the prior of that part proper. On mean-field and gibbs every part is proper.
    """

    reg_covar: float = 1e-6
    equal_weights: bool = False
    weight_concentration_prior_type: str = "dirichlet"
    weight_concentration_prior: float | None = None
    mean_precision_prior: float | None = None
    mean_prior: Any = None
    degrees_of_freedom_prior: float | None = None
    covariance_prior: Any = None


@dataclass(frozen=True, eq=False)
class Scan:
    """One look at the rows: weighted column means, and variances (a constant column: 0)."""

    mean: Array
    variance: Array

    @property
    def column_scale(self) -> Array:
        """Variances; a constant column takes the mean of the others, or 1."""
        # Rounding of the mean gives a constant column a variance of its own, this small.
        constant = self.variance <= 1e-28 * self.mean**2
        if not constant.any():
            return self.variance
        usual = self.variance[~constant].mean() if not constant.all() else 1.0
        return np.where(constant, usual, self.variance)


def scan(
    block: RowBlock | StreamBlock, n_jobs: int, marginalize: bool = False, whole: bool = True
) -> Scan:
    """Return means and variances of the rows; with `marginalize`, of what is not NaN.

    Raises
    ------
    ValueError
        If a value is NaN or infinite, or so large that squares overflow, or, in rows that are the
        whole of the data, a column has no value.
    """
    if isinstance(block, StreamBlock):
        return _scan_stream(block, n_jobs, marginalize, whole)
    bad_row, largest, largest_row, mean, variance = _core.scan_rows(
        block.X, block.weights, n_jobs, marginalize
    )
    if bad_row >= 0:
        raise _bad(block.X[bad_row], block.offset + bad_row, marginalize)
    if largest_row >= 0:
        raise _too_large(largest, block.offset + largest_row)
    return _checked(mean, variance, whole)


def _checked(mean: Array, variance: Array, whole: bool) -> Scan:
    empty = np.flatnonzero(np.isnan(mean))
    if whole and empty.size:
        raise ValueError(
            f"X has no observed value in column {empty[0]}: all its rows of positive weight are "
            "NaN there; drop the column"
        )
    return Scan(mean, variance)


def _scan_stream(block: StreamBlock, n_jobs: int, marginalize: bool, whole: bool) -> Scan:
    def sums(centre: Array) -> Array:
        return sum_parts(
            lambda part: _core.scan_sums(part.X, part.weights, centre, n_jobs, marginalize),
            block,
            _core.scan_leaf_rows,
        )

    first = sums(np.zeros(block.n_features))
    centre = _core.scan_mean(first)
    second = sums(centre)
    mean, variance = _core.scan_moments(second, centre)
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        worst = 0.0, -1
        for part in block.parts():
            bad_row, largest, largest_row = _core.find_extremes(part.X, mean, marginalize)
            if bad_row >= 0:
                raise _bad(part.X[bad_row], part.offset + bad_row, marginalize)
            if largest > worst[0] or not np.isfinite(largest):
                worst = largest, part.offset + largest_row
        if worst[1] >= 0:
            raise _too_large(*worst)
    return _checked(mean, variance, whole)


def _bad(row: NDArray[Any], number: int, marginalize: bool) -> ValueError:
    column = int(np.argmin(np.isfinite(row) | (marginalize & np.isnan(row))))
    what = "NaN" if np.isnan(row[column]) else "infinity (inf)"
    return ValueError(
        f"X contains {what} at row {number}, column {column}; drop or impute such rows"
        + (", or set missing='marginalize'" if what == "NaN" else "")
    )


def _too_large(largest: float, number: int) -> ValueError:
    return ValueError(
        f"X is too large at row {number}: it lies {largest:.3g} from the mean, and its square "
        "overflows; rescale the data or remove the row"
    )


def configure(
    block: RowBlock | StreamBlock,
    data: Scan,
    n_components: int,
    covariance_type: str,
    inference: str,
    parameter_rule: str,
    given: Hyperparameters,
    n_jobs: int,
    marginalize: bool = False,
) -> GaussianConfig:
    """Return the configuration of a fit.

    Raises
    ------
    ValueError
        If a prior has no mode on a point rung, is improper on the others, or has a wrong shape.
    """
    n_features = block.n_features
    draft = GaussianConfig(
        n_components,
        n_features,
        covariance_type,
        Prior("flat", 1.0, 0.0, np.zeros(n_features), False, 0.0, np.zeros(())),
        data.mean,
        data.column_scale,
        given.reg_covar,
        marginalize,
    )
    is_point = parameter_rule == "point"
    weight_type, concentration = choose_weight_prior(
        n_components,
        inference,
        is_point,
        given.equal_weights,
        given.weight_concentration_prior_type,
        given.weight_concentration_prior,
    )
    mean_precision = _mean_precision(inference, is_point, given)
    proper = not is_point or not (
        given.covariance_prior is None and given.degrees_of_freedom_prior is None
    )
    mean = np.zeros(n_features)
    if given.mean_prior is not None:
        mean = _array("mean_prior", given.mean_prior, (n_features,)) - data.mean
    scale = np.zeros(draft.covariance_shape if draft.is_shared else draft.covariance_shape[1:])
    freedom = 0.0
    if proper:
        freedom = _degrees_of_freedom(n_features, covariance_type, given)
        scale = _covariance_prior(block, draft, given, n_jobs)
    prior = Prior(weight_type, concentration, mean_precision, mean, proper, freedom, scale)
    return GaussianConfig(
        n_components,
        n_features,
        covariance_type,
        prior,
        data.mean,
        data.column_scale,
        given.reg_covar,
        marginalize,
    )


def _mean_precision(inference: str, is_point: bool, given: Hyperparameters) -> float:
    value = given.mean_precision_prior
    if value is not None and not value > 0:
        raise ValueError(f"mean_precision_prior must be > 0; got {value!r}")
    if value is None and is_point and given.mean_prior is not None:
        raise ValueError(
            f"mean_prior has no effect with inference={inference!r} unless mean_precision_prior "
            "says how strong it is"
        )
    if value is None:
        return 0.0 if is_point else 1.0
    return float(value)


def _degrees_of_freedom(n_features: int, covariance_type: str, given: Hyperparameters) -> float:
    value = given.degrees_of_freedom_prior
    least = n_features - 1 if covariance_type in ("full", "tied") else 0
    if value is not None and not value > least:
        raise ValueError(
            f"degrees_of_freedom_prior must be > {least} for {n_features} features and "
            f"covariance_type={covariance_type!r}; got {value!r}"
        )
    return float(n_features if value is None else value)


def _covariance_prior(
    block: RowBlock | StreamBlock, draft: GaussianConfig, given: Hyperparameters, n_jobs: int
) -> Array:
    shape = draft.covariance_shape if draft.is_shared else draft.covariance_shape[1:]
    if given.covariance_prior is not None:
        scale = _array("covariance_prior", given.covariance_prior, shape)
        if not _is_positive_definite(scale):
            what = "positive" if scale.ndim < 2 else "symmetric and positive definite"
            raise ValueError(f"covariance_prior must be {what}")
        return scale
    # The empirical covariance, with n - 1 as scikit-learn has it.
    weight = block.total_weight
    excess = weight / max(weight - 1.0, 1.0)
    variances = draft.column_scale * excess
    if draft.covariance_type == "diag":
        return variances
    if len(shape) < 2:
        return np.asarray(variances.mean())
    unit = np.sqrt(draft.column_scale)
    correlation = _scatter(block, draft, n_jobs) / weight / np.outer(unit, unit)
    values, vectors = np.linalg.eigh(correlation)
    if draft.reg_covar > 0:
        if values[0] < draft.reg_covar:
            correlation = vectors * np.maximum(values, draft.reg_covar) @ vectors.T
    elif values[0] <= 8 * len(values) * np.finfo(np.float64).eps * values[-1]:
        raise ValueError(
            "the empirical covariance, the default of covariance_prior, is singular; "
            "set reg_covar > 0 or give a covariance_prior"
        )
    return np.asarray(correlation * np.outer(unit, unit) * excess)


def _scatter(block: RowBlock | StreamBlock, draft: GaussianConfig, n_jobs: int) -> Array:
    """Return the scatter of all rows about the origin, (D, D), in one native pass.

    What is missing counts as the variance of its column, and has no covariance.
    """
    D = draft.n_features
    table = _core.nearest_table(
        np.zeros((1, D)), draft.column_scale, draft.origin, draft.marginalize
    )

    def term(part: RowBlock) -> Array:
        return _core.mixture_e_step(
            table, "tied", part.X, part.weights, None, 0, "hard", 0, 0, n_jobs
        )

    stats = sum_parts(term, block, _core.mixture_block_rows(D, 1, block.dtype == np.float32))
    packed = stats[2 + 1 + D :]
    lower = np.zeros((D, D))
    lower[np.tril_indices(D)] = packed
    return np.asarray(lower + np.tril(lower, -1).T)


def _array(name: str, value: Any, shape: tuple[int, ...]) -> Array:
    array = np.asarray(value, dtype=np.float64)
    if array.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}; got {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite")
    return array


def _is_positive_definite(scale: Array) -> bool:
    if scale.ndim < 2:
        return bool((scale > 0).all())
    if not np.allclose(scale, scale.T):
        return False
    return bool(np.linalg.eigvalsh(scale)[0] > 0)
