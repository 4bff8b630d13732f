"""The ladder: accurate and slow to inaccurate and fast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vemfast.plot.axes import axes_or_new

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ladder"]


def ladder(result: Any, ax: Axes | None = None) -> Axes:
    """Draw what each rung reached against the time it took.

    Parameters
    ----------
    result : Ladder
        As `vemfast.ladder` returns it.
    ax : matplotlib Axes, default=None
        None: those of a new figure.

    Returns
    -------
    Axes
        Seconds on a logarithmic scale, and the held-out score in nats a row (step, token).
    """
    ax = axes_or_new(ax)
    rows = list(result.rows)
    seconds = [row.seconds for row in rows]
    ax.plot(seconds, [row.held_out for row in rows], marker="o", linestyle=":")
    for row in rows:
        ax.annotate(
            row.rung, (row.seconds, row.held_out), textcoords="offset points", xytext=(6, 6)
        )
    ax.set_xscale("log")
    ax.set_xlabel("seconds")
    ax.set_ylabel("held-out log density (nats)")
    ax.margins(0.2)
    return ax
