"""EM with and without `accelerate=True`: E-steps, all counted, and seconds to the same tolerance.

Twenty starts each: two unit Gaussians 1.5 standard deviations apart, 10,000 rows, two components;
Old Faithful with four (272 rows). E-steps are medians of the starts; seconds are those of all
starts together. "Lower" and "higher" count the starts that the acceleration led to an objective
lower or higher by more than the tolerance. On small data the extrapolation, in Python, takes longer
than the E-steps that it saves. The last case is large enough for an E-step to be what counts.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from benchmarks.timing import rounds
from benchmarks.topics import Quotient, Record, Settings, record

TITLE = "Acceleration of EM"
STARTS = 20
FAITHFUL = Path(__file__).resolve().parents[2] / "tests" / "data" / "faithful.csv"


def _two(n: int, seed: int) -> Any:
    X = np.random.default_rng(seed).standard_normal((n, 1))
    X[: n // 2] += 1.5
    return X


def _overlapping(n: int, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    centres = rng.normal(0.0, 0.8, (6, 8))
    return centres[rng.integers(6, size=n)] + rng.standard_normal((n, 8))


def measure(settings: Settings) -> Iterator[Record]:
    """Yield a record a data set, start and tolerance."""
    n = max(round(10_000 * settings.scale), 200)
    data = {
        f"two Gaussians, {n:,} x 1, K=2": (_two(n, settings.seed), 2),
        "Old Faithful, 272 x 2, K=4": (np.loadtxt(FAITHFUL, delimiter=",", skiprows=1), 4),
    }
    for name, (X, K) in data.items():
        for init in ("kmeans", "random_from_data"):
            for tol in (1e-6, 1e-8):
                yield _case(f"{name}, {init}, tol {tol:g}", X, K, init, tol, STARTS, settings)
    n = max(round(100_000 * settings.scale), 1000)
    X, tol = _overlapping(n, settings.seed), 1e-6
    yield _case(f"six Gaussians, {n:,} x 8, K=6, tol {tol:g}", X, 6, "kmeans", tol, 2, settings)


def _case(
    case: str, X: Any, K: int, init: str, tol: float, starts: int, settings: Settings
) -> Record:
    found: dict[bool, list[tuple[int, float]]] = {}

    def fits(accelerate: bool) -> Callable[[], float]:
        import vemfast

        def seconds() -> float:
            start = perf_counter()
            models = [
                vemfast.GaussianMixture(
                    K,
                    init_params=init,
                    tol=tol,
                    max_iter=1_000_000,
                    accelerate=accelerate,
                    random_state=settings.seed + i,
                    n_jobs=settings.threads,
                ).fit(X)
                for i in range(starts)
            ]
            found[accelerate] = [
                (m.n_e_steps_ if accelerate else m.n_iter_ + 1, m.lower_bound_) for m in models
            ]
            return perf_counter() - start

        return seconds

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        samples = rounds({"plain": fits(False), "accelerated": fits(True)}, settings.repeats)
    steps = {way: median(count for count, _ in found[way]) for way in found}
    gains = [b[1] - a[1] for a, b in zip(found[False], found[True], strict=True)]
    out = record(
        case,
        samples,
        [Quotient("plain", "accelerated")],
        **{
            "E-steps, plain": steps[False],
            "E-steps, accelerated": steps[True],
            "lower": sum(gain < -tol * len(X) for gain in gains),
            "higher": sum(gain > tol * len(X) for gain in gains),
        },
    )
    asked = 2.0 if starts == STARTS else None
    out["quotients"].append(
        {"name": "E-steps", "value": steps[False] / steps[True], "least": asked, "most": None}
    )
    return out
