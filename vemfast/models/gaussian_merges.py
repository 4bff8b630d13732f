"""Merges of components that a posterior holds for a handful of rows.

Coordinate ascent leaves a last row or two where they are: a component that owns a row scores it
well. The bound would be higher without the component, but the way there leads down, so a sparse
prior does not empty all that it could (Ueda et al. 2000; Hughes and Sudderth 2013). The statistics
of a merge are those of its parts added up, and what it does to the bound follows from them, but for
the entropy of the rows that the two share. The engine keeps it only if the bound does not fall.
"""

from __future__ import annotations

from math import inf, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vemfast.models.base import Step
from vemfast.stats import Params, Stats

__all__ = ["has_small", "merged"]

# Rows below which a component is empty: nothing is gained by its merge.
_LEAST = 0.1


def has_small(counts: NDArray[np.float64], n_features: int) -> bool:
    """Say whether some component has rows, but too few for a covariance of their own."""
    return any(_LEAST < count <= n_features + 1 for count in counts.tolist())


def merged(model: Any, params: Params, stats: Stats, step: Step) -> Params | None:
    """Return a posterior with small components merged into others; None if that gains nothing.

    Each is tried with the component under which its own mean scores best. A merge must gain more
    than a nat and what the entropy of its rows may lose.
    """
    config, counts = model.config, stats["counts"]
    small = np.flatnonzero((counts > _LEAST) & (counts <= config.n_features + 1))
    small = small[np.argsort(counts[small], kind="stable")]
    means = stats["sums"][small] / counts[small, None] + config.origin
    scores = model.assign(model.prepare(params), means, "scores", 1)
    found, value = None, _value(model, params, stats)
    for k, row in zip(small, scores, strict=True):
        counts = stats["counts"]
        open_to = np.where(counts > _LEAST, row, -np.inf)
        open_to[k] = -np.inf
        other = int(np.argmax(open_to))
        if not np.isfinite(open_to[other]):
            continue
        trial = _joined(stats, int(k), other, config.is_shared)
        candidate = model.update(params, trial, step)
        gain = _value(model, candidate, trial) - value
        if 1.0 + counts[k] * log(2.0) < gain < inf:
            found, stats, value = candidate, trial, value + gain
    return found


def _value(model: Any, params: Params, stats: Stats) -> float:
    """Return the bound but for the entropy."""
    return float(model.expected_log_joint(params, stats) + model.global_term(params))


def _joined(stats: Stats, k: int, other: int, is_shared: bool) -> Stats:
    out = stats.copy()
    for name in ("counts", "sums") if is_shared else ("counts", "sums", "scatter"):
        out[name][other] += out[name][k]
        out[name][k] = 0.0
    return out
