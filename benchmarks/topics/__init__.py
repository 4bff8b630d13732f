"""Benchmarks of one topic each: `python -m benchmarks.run streams`.

A topic is a module of this package, named as on the command line, with a docstring (the report's
text), `TITLE`, and `measure(settings)`, which yields records made by `record`. It needs no code of
its own for the report.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from benchmarks.timing import Sample, ratio

__all__ = ["Quotient", "Settings", "Topic", "load", "names", "record"]

Record = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """What the command line chose: interleaved rounds, threads, share of the size, seed, parts."""

    repeats: int = 5
    threads: int = 2
    scale: float = 1.0
    seed: int = 0
    only: tuple[str, ...] = ()

    def pick(self, names: Iterable[str]) -> list[str]:
        """Return those of the names that are chosen; all, where none of them is."""
        names = list(names)
        return [name for name in names if name in self.only] or names


@dataclass(frozen=True)
class Quotient:
    """The seconds of `slow` over those of `fast`, and what is asked of it, if anything."""

    slow: str
    fast: str
    least: float | None = None
    most: float | None = None


class Topic(Protocol):
    """What a module of this package offers."""

    TITLE: str

    def measure(self, settings: Settings) -> Iterator[Record]:
        """Yield records, one a case."""


def names() -> list[str]:
    """Return the topics there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def load(name: str) -> Any:
    """Return the module of a topic."""
    return importlib.import_module(f"{__name__}.{name}")


def record(
    case: str,
    samples: Mapping[str, Sample],
    quotients: Sequence[Quotient] = (),
    **facts: str | float,
) -> Record:
    """Return the record of one case: rounds of seconds by name, ratios, and anything else found."""
    return {
        "case": case,
        "seconds": {name: sample.seconds for name, sample in samples.items()},
        "quotients": [
            {
                "name": f"{q.slow} / {q.fast}",
                "value": ratio(samples[q.slow], samples[q.fast]).median,
                "least": q.least,
                "most": q.most,
            }
            for q in quotients
        ],
        "facts": facts,
    }
