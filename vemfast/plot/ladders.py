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
        Seconds on a logarithmic scale, and the held-out score in nats a row; without held-out
        rows, the distance of the estimates from the top rung's.
    """
    ax = axes_or_new(ax)
    rows = list(result.rows)
    is_scored = any(row.held_out is not None for row in rows)
    heights = {row.rung: row.held_out if is_scored else row.distance for row in rows}
    drawn = [row for row in rows if heights[row.rung] is not None]
    ax.plot(
        [row.seconds for row in drawn],
        [heights[row.rung] for row in drawn],
        marker="o",
        linestyle=":",
    )
    for row in drawn:
        ax.annotate(
            row.rung,
            (row.seconds, heights[row.rung]),
            textcoords="offset points",
            xytext=(6, 6),
        )
    ax.set_xscale("log")
    ax.set_xlabel("seconds")
    ax.set_ylabel(
        "held-out log density (nats a row)" if is_scored else "distance from the top rung"
    )
    ax.margins(0.2)
    return ax
