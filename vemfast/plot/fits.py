"""One fit: its trace, and its components."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils.validation import check_is_fitted

from vemfast.plot.axes import axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ellipses", "trace"]

_COLOURS = 10  # of matplotlib's cycle


def trace(estimator: Any, ax: Axes | None = None) -> Axes:
    """Draw the objective by iteration.

    Parameters
    ----------
    estimator : fitted estimator
    ax : matplotlib Axes, default=None
        None: those of a new figure.

    Returns
    -------
    Axes
    """
    check_is_fitted(estimator)
    ax = axes_or_new(ax)
    bounds = estimator.lower_bounds_
    ax.plot(np.arange(len(bounds)), bounds, marker="." if len(bounds) < 50 else "")
    ax.set_xlabel("iteration")
    ax.set_ylabel("objective (nats)")
    return ax


def ellipses(
    estimator: Any,
    X: ArrayLike | None = None,
    ax: Axes | None = None,
    columns: tuple[int, int] = (0, 1),
    n_std: float = 2.0,
) -> Axes:
    """Draw Gaussian components as ellipses, over a scatter of the rows.

    Parameters
    ----------
    estimator : fitted GaussianMixture
    X : array-like of shape (n_samples, n_features), default=None
        Rows to draw, coloured by component.
    ax : matplotlib Axes, default=None
        None: those of a new figure.
    columns : tuple of int, default=(0, 1)
        The two features to draw; ellipses show the marginal covariance of these.
    n_std : float, default=2.0
        Radius in standard deviations. The heavier a component, the darker its ellipse.

    Returns
    -------
    Axes
    """
    check_is_fitted(estimator)
    pair = _pair(columns, estimator.n_features_in_)
    ax = axes_or_new(ax)
    from matplotlib.patches import Ellipse

    if X is not None:
        rows = np.asarray(X)
        colours = [f"C{label % _COLOURS}" for label in estimator.predict(X)]
        ax.scatter(rows[:, pair[0]], rows[:, pair[1]], s=4, c=colours, alpha=0.5, linewidths=0)
    heaviest = estimator.weights_.max()
    for k, (mean, covariance) in enumerate(_marginals(estimator, pair)):
        if estimator.weights_[k] <= 0:
            continue
        lengths, directions = np.linalg.eigh(covariance)
        width, height = 2.0 * n_std * np.sqrt(np.maximum(lengths, 0.0))
        angle = np.degrees(np.arctan2(directions[1, 0], directions[0, 0]))
        ax.add_patch(
            Ellipse(
                (float(mean[0]), float(mean[1])),
                width,
                height,
                angle=angle,
                facecolor="none",
                edgecolor=f"C{k % _COLOURS}",
                linewidth=2,
                alpha=0.3 + 0.7 * float(estimator.weights_[k] / heaviest),
            )
        )
    ax.autoscale_view()
    names = getattr(estimator, "feature_names_in_", [f"column {i}" for i in range(max(pair) + 1)])
    ax.set_xlabel(str(names[pair[0]]))
    ax.set_ylabel(str(names[pair[1]]))
    return ax


def _pair(columns: tuple[int, int], n_features: int) -> list[int]:
    pair = list(columns)
    if len(pair) != 2 or not all(0 <= column < n_features for column in pair):
        raise ValueError(
            f"columns={columns!r} must be two of the {n_features} features, counted from 0"
        )
    return pair


def _marginals(estimator: Any, pair: list[int]) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """Return mean and covariance of two features, for each component."""
    means = estimator.means_[:, pair]
    K = len(means)
    covariances = estimator.covariances_
    kind = estimator.covariance_type
    if kind in ("full", "tied"):
        blocks = covariances[..., pair, :][..., pair]
    elif kind == "diag":
        blocks = covariances[:, pair, None] * np.eye(2)
    else:
        blocks = np.reshape(covariances, (-1, 1, 1)) * np.eye(2)
    return list(zip(means, np.broadcast_to(blocks, (K, 2, 2)), strict=True))
