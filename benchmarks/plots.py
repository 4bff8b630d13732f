"""Pictures of the results: cost against sizes, threads, held-out score against seconds."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

from vemfast.inference.methods import METHODS

__all__ = ["draw"]

Record = dict[str, Any]


def draw(results: dict[str, list[Record]], folder: Path) -> list[str]:
    """Draw what there are results for; return a line of text a picture."""
    try:
        from matplotlib.figure import Figure  # noqa: F401
    except ImportError:
        return ['no plots: they need matplotlib: pip install "vemfast[plot]"']
    said = []
    for name, (topic, panels, paint) in PICTURES.items():
        chosen = panels(results.get(topic, []))
        if chosen:
            _save(chosen, paint, folder / f"{name}.png")
            said.append(f"drawn: {name}.png")
        else:
            said.append(f"not drawn: {name}.png (no results of {topic})")
    return said


def _save(records: Sequence[Record], paint: Callable[[Any, Record], None], path: Path) -> None:
    from matplotlib.figure import Figure

    columns = min(4, len(records))
    rows = ceil(len(records) / columns)
    width = 5.2 if paint is curves else 3.7  # its legend stands beside it
    figure = Figure(figsize=(width * columns, 3.1 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax, record in zip(axes, records, strict=False):
        paint(ax, record)
    for ax in axes[len(records) :]:
        ax.set_axis_off()
    figure.savefig(path, dpi=90)


def _topic(records: list[Record]) -> list[Record]:
    return records[1:]


def _title(ax: Any, text: str) -> None:
    ax.set_title(text.replace(": ", ":\n", 1), fontsize=8)
    ax.tick_params(labelsize=7)


def scaling(ax: Any, record: Record) -> None:
    """Seconds against one size, and a line of the theoretical slope through the last point."""
    from matplotlib.ticker import NullFormatter

    sizes = [int(name.split(" = ")[1].replace(",", "")) for name in record["seconds"]]
    seconds = [median(values) for values in record["seconds"].values()]
    theory, fitted = record["facts"]["theory"], record["facts"]["exponent"]
    ax.loglog(sizes, seconds, marker="o", label=f"measured: {fitted:.2f}")
    line = [seconds[-1] * (size / sizes[-1]) ** theory for size in sizes]
    ax.loglog(sizes, line, linestyle=":", color="grey", label=f"theory: {theory:g}")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_minor_formatter(NullFormatter())
    ax.set_xlabel(record["facts"]["axis"], fontsize=8)
    ax.set_ylabel("seconds a step", fontsize=8)
    ax.legend(fontsize=7)
    _title(ax, record["case"])


def ladder(ax: Any, record: Record) -> None:
    """Held-out score against seconds, a point a rung."""
    from matplotlib.ticker import NullFormatter

    facts = record["facts"]
    for rung, seconds in record["seconds"].items():
        number = list(METHODS).index(rung)
        x, y = median(seconds), facts[f"{rung}: held-out"]
        ax.plot([x], [y], color=f"C{number}", marker="osD^v"[number], linestyle="", label=rung)
    if "long gibbs: held-out" in facts:
        long = facts["long gibbs: held-out"]
        ax.axhline(long, linestyle=":", color="grey", label="long gibbs")
    ax.set_xscale("log")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.margins(0.25)
    ax.legend(fontsize=6)
    ax.set_xlabel("seconds", fontsize=8)
    ax.set_ylabel("held-out nats", fontsize=8)
    _title(ax, record["case"])


_MORE_COLORS = ("black", "blue", "magenta", "red", "limegreen", "gold")
_POINT = re.compile(r"(-?[\d.]+) \(([\d.e+-]+) s, \d+\)")


def curves(ax: Any, record: Record) -> None:
    """Held-out score against seconds, a curve a fit: ours in bold, named by their rung."""
    for name, told in record["facts"].items():
        points = _POINT.findall(told) if isinstance(told, str) else []
        if points:
            scores, seconds = ([float(point[i]) for point in points] for i in (0, 1))
            is_ours = name.startswith(tuple(METHODS))
            number = len(ax.lines)
            ax.plot(
                seconds,
                scores,
                marker="." if is_ours else "x",
                markersize=4,
                linewidth=1.5 if is_ours else 0.8,
                linestyle="-" if is_ours else "--",
                color=f"C{number}" if number < 10 else _MORE_COLORS[number % 6],
                label=name,
            )
    ax.set_xscale("log")
    ax.set_xlabel("seconds", fontsize=8)
    ax.set_ylabel("held-out nats a token", fontsize=8)
    ax.legend(fontsize=6, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    _title(ax, record["case"])


def threads(ax: Any, record: Record) -> None:
    """Seconds with one thread and with all of them."""
    seconds = {name: median(values) for name, values in record["seconds"].items()}
    ax.bar(list(seconds), list(seconds.values()))
    ax.set_xlabel("threads", fontsize=8)
    ax.set_ylabel("seconds an iteration", fontsize=8)
    _title(ax, f"{record['workload']}: {record['shape']}")


PICTURES: dict[
    str, tuple[str, Callable[[list[Record]], list[Record]], Callable[[Any, Record], None]]
] = {
    "scaling": ("scaling", _topic, scaling),
    "ladder": ("ladder", _topic, ladder),
    "lda_curves": ("lda_curves", _topic, curves),
    "threads": (
        "mixtures",
        lambda records: [r for r in records if r["section"] == "threads"],
        threads,
    ),
}
