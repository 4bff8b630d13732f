"""Hidden Markov models: the states along a series, and the transitions between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from vemfast.plot.axes import axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["decoded", "transitions"]

_MOST_NUMBERS = 12  # states up to which the matrix shows its numbers


def decoded(estimator: Any, X: Any, feature: int = 0, ax: Axes | None = None) -> Axes:
    """Draw one feature of a sequence over time, on the colours of its decoded states.

    Parameters
    ----------
    estimator : fitted hidden Markov estimator
    X : array-like of shape (n_steps, n_features)
        One sequence.
    feature : int, default=0
        The column to draw.
    ax : matplotlib Axes, default=None
        None: those of a new figure.

    Returns
    -------
    Axes
        One coloured span for each run of steps in one state; a legend of the states met.
    """
    states = estimator.predict(X)
    values = np.asarray(X, dtype=np.float64)[:, feature]
    ax = axes_or_new(ax)
    ends = np.append(np.flatnonzero(np.diff(states)) + 1, states.size)
    shown: set[int] = set()
    first = 0
    for end in ends.tolist():
        k = int(states[first])
        label = None if k in shown else f"state {k}"
        shown.add(k)
        ax.axvspan(first - 0.5, end - 0.5, color=f"C{k % 10}", alpha=0.3, lw=0, label=label)
        first = end
    ax.plot(np.arange(values.size), values, color="black", lw=0.8)
    ax.set_xlim(-0.5, states.size - 0.5)
    ax.set_xlabel("step")
    ax.set_ylabel(f"feature {feature}")
    ax.legend()
    return ax


def transitions(estimator: Any, ax: Axes | None = None) -> Axes:
    """Draw the transition matrix: row i, column j is the probability of j after i.

    Parameters
    ----------
    estimator : fitted hidden Markov estimator
    ax : matplotlib Axes, default=None
        None: those of a new figure.

    Returns
    -------
    Axes
        With the numbers written into the cells of at most a dozen states.
    """
    check_is_fitted(estimator)
    matrix = estimator.transmat_
    ax = axes_or_new(ax)
    ax.imshow(matrix, vmin=0.0, vmax=1.0, cmap="Blues")
    K = len(matrix)
    if K <= _MOST_NUMBERS:
        ax.set_xticks(range(K))
        ax.set_yticks(range(K))
        for i, j in np.ndindex(K, K):
            colour = "white" if matrix[i, j] > 0.5 else "black"
            ax.text(j, i, f"{matrix[i, j]:.2g}", ha="center", va="center", color=colour)
    ax.set_xlabel("next state")
    ax.set_ylabel("state")
    return ax
