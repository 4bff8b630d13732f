"""Axes to draw on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["axes_or_new"]


def axes_or_new(ax: Axes | None) -> Axes:
    """Return `ax`, or the axes of a new figure.

    Raises
    ------
    ImportError
        Without matplotlib; it says what to install.
    """
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError as error:
        message = 'vemfast.plot needs matplotlib: pip install "vemfast[plot]"'
        raise ImportError(message) from error
    return pyplot.subplots()[1]
