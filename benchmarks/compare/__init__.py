"""One short adapter a peer, all with the same three names.

    NAME                        how the tables call it
    absent(options) -> str      why it cannot run here; empty when it can
    supports(workload) -> bool  whether it fits this model at all
    runner(problem, threads, options) -> a context of run(iterations) -> Run

`run` fits the problem from its fixed start with exactly that many parameter updates and times the
fit alone. An iteration is priced as the difference of two such fits (`timing.py`), which removes
validation, conversion, the last E-step and whatever else a peer does once.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PEERS = ("vemfast", "sklearn", "jax_em", "pomegranate", "numpy_twin")


class Run(NamedTuple):
    """Seconds of one fit, and the means it ended with, (k, d), by which peers are checked."""

    seconds: float
    means: NDArray[np.float64]


class Options(NamedTuple):
    """What an adapter may need beyond the problem."""

    jax_python: str | None = None


def load(name: str) -> ModuleType:
    """Import the adapter of a peer."""
    return importlib.import_module(f"benchmarks.compare.{name}")
