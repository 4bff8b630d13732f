"""Million elements a second of the special functions, ours beside NumPy's or SciPy's.

Run ``python -m benchmarks.micro.special_functions`` with the machine otherwise idle; set
``VEMFAST_ISA`` to pin the level. One thread, arrays that fit the second-level cache, each function
returning a new array. Rounds are interleaved (ours, theirs, theirs, ours, ...); quoted are the
median of each and the median of the ratios within a round.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from time import perf_counter

import numpy as np
import scipy.special

from benchmarks.machine import build_info, processor, version
from benchmarks.timing import Sample, ratio, rounds
from vemfast import special

Function = Callable[[np.ndarray], np.ndarray]

# Ours, theirs, and the interval of the arguments.
CASES: dict[str, tuple[Function, Function, float, float]] = {
    "exp": (special.exp, np.exp, -20.0, 20.0),
    "log": (special.log, np.log, 1e-3, 1e3),
    "digamma": (special.digamma, scipy.special.psi, 0.05, 40.0),
    "exp(digamma)": (special.exp_digamma, lambda x: np.exp(scipy.special.psi(x)), 0.05, 40.0),
    "lgamma": (special.lgamma, scipy.special.gammaln, 0.05, 40.0),
    "logsumexp": (special.logsumexp, scipy.special.logsumexp, -20.0, 0.0),
}


def seconds_per_call(function: Function, x: np.ndarray, target: float) -> Callable[[], float]:
    """Make a measure of one call: the mean over as many calls as take `target` seconds."""
    start = perf_counter()
    for _ in range(3):
        function(x)
    calls = max(1, round(3 * target / (perf_counter() - start)))

    def measure() -> float:
        start = perf_counter()
        for _ in range(calls):
            function(x)
        return (perf_counter() - start) / calls

    return measure


def compare(name: str, dtype: str, size: int, repeats: int, target: float) -> tuple[Sample, Sample]:
    """Return the seconds a call of ours and of theirs, in interleaved rounds."""
    ours, theirs, low, high = CASES[name]
    x = np.random.default_rng(0).uniform(low, high, size).astype(dtype)
    measures = {
        "ours": seconds_per_call(ours, x, target),
        "theirs": seconds_per_call(theirs, x, target),
    }
    samples = rounds(measures, repeats)
    return samples["ours"], samples["theirs"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=20_000, help="elements of the array")
    parser.add_argument("--repeats", type=int, default=15, help="interleaved rounds")
    parser.add_argument("--target", type=float, default=0.02, help="seconds of a measurement")
    options = parser.parse_args()

    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "scipy", "vemfast"))
    print(f"{processor()}; level {build_info()['level']}; {versions}; one thread")
    print("| function | dtype | ours, M/s | NumPy or SciPy, M/s | ratio |")
    print("|---|---|---|---|---|")
    for name in CASES:
        for dtype in ("float64", "float32"):
            ours, theirs = compare(name, dtype, options.size, options.repeats, options.target)
            rates = [options.size / sample.median / 1e6 for sample in (ours, theirs)]
            quotient = ratio(theirs, ours).median
            print(f"| {name} | {dtype} | {rates[0]:.0f} | {rates[1]:.0f} | {quotient:.1f} |")


if __name__ == "__main__":
    main()
