"""Autoencoders: loss, reconstructions, codes, and what the decoder makes of a plane of codes."""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri
from sklearn.utils.validation import check_is_fitted

from vemfast.plot.axes import axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["latent", "loss_curve", "manifold", "reconstructions"]


def loss_curve(estimator: Any, ax: Axes | None = None) -> Axes:
    """Draw the loss by pass, and where rows were held out minus their bound.

    Parameters
    ----------
    estimator : fitted VariationalAutoencoder
    ax : matplotlib Axes, default=None
        None: those of a new figure.

    Returns
    -------
    Axes
    """
    check_is_fitted(estimator)
    ax = axes_or_new(ax)
    loss = estimator.loss_curve_
    ax.plot(np.arange(1, len(loss) + 1), loss, label="training")
    scores = getattr(estimator, "validation_scores_", None)
    if scores is not None:
        ax.plot(np.arange(len(scores)), -np.asarray(scores), label="held out")
        ax.legend()
    ax.set_xlabel("pass")
    ax.set_ylabel("loss (nats a row)")
    return ax


def reconstructions(
    estimator: Any,
    X: ArrayLike,
    shape: tuple[int, int] | None = None,
    n: int = 10,
    ax: Axes | None = None,
) -> Axes:
    """Draw rows as images, each with its reconstruction to the right of it.

    Parameters
    ----------
    estimator : fitted VariationalAutoencoder
    X : array-like of shape (n_samples, n_features)
        The first `n` are drawn.
    shape : tuple of int, default=None
        Height and width of an image. None: a square.
    n : int, default=10
    ax : matplotlib Axes, default=None
        None: those of a new figure.

    Returns
    -------
    Axes
    """
    check_is_fitted(estimator)
    rows = np.asarray(X)[:n]
    height, width = _shape(rows.shape[1], shape)
    both = np.stack([rows, estimator.reconstruct(rows)], axis=1)
    columns = max(isqrt(len(rows)), 1)
    lines = -(-len(rows) // columns)
    tiles = np.full((lines * columns, 2, height * width), np.nan)
    tiles[: len(rows)] = both
    grid = tiles.reshape(lines, columns * 2, height, width)
    return _image(grid, ax)


def latent(
    estimator: Any,
    X: ArrayLike,
    labels: ArrayLike | None = None,
    columns: tuple[int, int] = (0, 1),
    ax: Axes | None = None,
) -> Axes:
    """Draw the means of q(z|x) of rows in two dimensions of z.

    Parameters
    ----------
    estimator : fitted VariationalAutoencoder
    X : array-like of shape (n_samples, n_features)
    labels : array-like of shape (n_samples,), default=None
        Classes to colour by; a legend tells them.
    columns : tuple of int, default=(0, 1)
    ax : matplotlib Axes, default=None
        None: those of a new figure.

    Returns
    -------
    Axes
    """
    check_is_fitted(estimator)
    Z = estimator.transform(X)
    if max(columns) >= Z.shape[1] or min(columns) < 0:
        raise ValueError(f"columns {columns} of z, which has {Z.shape[1]} dimension(s)")
    ax = axes_or_new(ax)
    a, b = columns
    classes = np.zeros(len(Z), dtype=int) if labels is None else np.asarray(labels)
    for value in np.unique(classes):
        own = Z[classes == value]
        ax.scatter(own[:, a], own[:, b], s=8, label=str(value))
    if labels is not None:
        ax.legend(markerscale=2)
    ax.set_xlabel(f"z {a}")
    ax.set_ylabel(f"z {b}")
    return ax


def manifold(
    estimator: Any,
    shape: tuple[int, int] | None = None,
    n: int = 15,
    columns: tuple[int, int] = (0, 1),
    ax: Axes | None = None,
) -> Axes:
    """Draw what the decoder makes of a grid of codes, as images.

    The codes are at even quantiles of the prior in two dimensions of z, 0 in the others.

    Parameters
    ----------
    estimator : fitted VariationalAutoencoder
    shape : tuple of int, default=None
        Height and width of an image. None: a square.
    n : int, default=15
        Images along each side.
    columns : tuple of int, default=(0, 1)
    ax : matplotlib Axes, default=None
        None: those of a new figure.

    Returns
    -------
    Axes
    """
    check_is_fitted(estimator)
    height, width = _shape(estimator.n_features_in_, shape)
    size = len(estimator.decoder_coefs_[0])
    if max(columns) >= size or min(columns) < 0:
        raise ValueError(f"columns {columns} of z, which has {size} dimension(s)")
    ends = ndtri((np.arange(n) + 0.5) / n)
    Z = np.zeros((n, n, size))
    Z[:, :, columns[0]] = ends[None, :]
    Z[:, :, columns[1]] = ends[::-1, None]
    means = estimator.inverse_transform(Z.reshape(n * n, size))
    ax = _image(means.reshape(n, n, height, width), ax)
    ax.set_xlabel(f"z {columns[0]}")
    ax.set_ylabel(f"z {columns[1]}")
    return ax


def _shape(n_features: int, shape: tuple[int, int] | None) -> tuple[int, int]:
    side = isqrt(n_features)
    height, width = (side, side) if shape is None else shape
    if height * width != n_features:
        raise ValueError(
            f"{n_features} features are no image of {height} x {width}; give its shape"
        )
    return height, width


def _image(grid: NDArray[Any], ax: Axes | None) -> Axes:
    """Draw images, (lines, columns, height, width), as one."""
    lines, columns, height, width = grid.shape
    ax = axes_or_new(ax)
    ax.imshow(grid.transpose(0, 2, 1, 3).reshape(lines * height, columns * width), cmap="gray")
    ax.set_xticks([])
    ax.set_yticks([])
    return ax
