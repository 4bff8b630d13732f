"""Hidden Markov models beside hmmlearn and dynamax, at the same parameters.

hmmlearn runs its faster implementation ("scaling") and on one thread, so the ratios with one thread
stand beside those with all. An iteration is one of EM (of hmmlearn: a fit of one iteration; of this
library: the difference of longer and shorter fits, over their iterations). Both start at the same
parameters, near the truth, without priors; after the iteration their log likelihoods agree. H2 is a
topic of its own (`hmm_symbols`), because hmmlearn takes half a minute a round there.

dynamax runs compiled, with as many threads, in a process of its own with the interpreter that
VEMFAST_PEER_PYTHON names (default: this one), in single precision (its default) and in double; it
is left out, and the report says so, where it cannot be imported. The floor of an iteration is the
larger of its least operations at the rate of NumPy's 2,048 x 2,048 product in the same run, and of
an exponential a step and state at half a giga a second and thread.

Parts (`--only`): H1, H3, H4, short, memory.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from statistics import median
from typing import Any

from benchmarks.compare.chains import (
    dynamax,
    dynamax_is_absent,
    hmmlearn,
    seconds_of_fit,
    timed,
    vemfast,
)
from benchmarks.machine import gemm_rates
from benchmarks.suite.chains import CHAINS, Problem, make
from benchmarks.timing import rounds
from benchmarks.topics import Quotient, Record, Settings, record

TITLE = "Hidden Markov models"

# Times hmmlearn: an iteration, and each of score, predict and predict_proba.
ASKED = {"H1": (15, 8), "H2": (20, 8), "H3": (6, 4), "H4": (15, 8), "short": (20, None)}
USES = ("score", "predict", "predict_proba")
TIMES_DYNAMAX = {"H1": 4, "H3": 4, "H4": 4}  # an iteration
MORE = 4  # iterations of the longer fit beyond those of the shorter one
EXPONENTIALS = 0.5e9  # a second and thread


def iteration(problem: Problem, threads: int, inference: str = "em") -> Callable[[], float]:
    """Return a measure of one iteration of this library."""

    def measure() -> float:
        longer = seconds_of_fit(vemfast(problem, 1 + MORE, threads, inference), problem)
        return (longer - seconds_of_fit(vemfast(problem, 1, threads, inference), problem)) / MORE

    return measure


def floor(problem: Problem, threads: int) -> float:
    """Return the least seconds of an iteration: its products at the rate of BLAS, or exponentials.

    A step costs the forward and the backward recursion and the sums of pairs, 2 K^2 each, and a
    state's score and statistics: of symbols none, `8 D` diagonal, `2 D^2 + 6 D` full.
    """
    k, d = problem.chain.k, problem.chain.d
    of_state = {"symbols": 0, "diag": 8 * d, "full": 2 * d * d + 6 * d}[problem.chain.emission]
    operations = len(problem.X) * (6 * k * k + k * of_state)
    exponentials = 0 if problem.chain.emission == "symbols" else len(problem.X) * k
    rate = 1e9 * median(gemm_rates("float64", threads))
    return max(operations / rate, exponentials / (EXPONENTIALS * threads))


def compared(name: str, settings: Settings) -> Iterator[Record]:
    """Yield the records of one workload: an iteration, and the three uses."""
    with ExitStack() as stack:
        others: dict[str, Callable[[str], tuple[float, float]]] = {}
        if name in TIMES_DYNAMAX and not dynamax_is_absent():
            for dtype in ("float32", "float64"):
                start = dynamax(name, settings.scale, settings.seed, settings.threads, dtype)
                others[f"dynamax {dtype}"] = stack.enter_context(start)
        yield from _compared(name, settings, others)


def _compared(
    name: str, settings: Settings, others: dict[str, Callable[[str], tuple[float, float]]]
) -> Iterator[Record]:
    def of_others(task: str) -> dict[str, Callable[[], float]]:
        for run in others.values():
            run(task)  # compiles
        return {peer: lambda run=run: run(task)[0] for peer, run in others.items()}  # type: ignore[misc]

    problem = make(name, settings.scale, settings.seed)
    X, lengths = problem.X, problem.lengths
    own = vemfast(problem, 1, settings.threads)
    seconds_of_fit(own, problem)
    one = vemfast(problem, 1, 1)
    seconds_of_fit(one, problem)
    peer = hmmlearn(problem)
    seconds_of_fit(peer, problem)
    ours, theirs = own.score(X, lengths), peer.score(X, lengths)
    facts: dict[str, str | float] = {
        "relative difference of the log likelihoods": abs(ours / theirs - 1)
    }
    for other, run in others.items():
        facts[f"the same of {other}"] = abs(ours / run("score")[1] - 1)
    if name in TIMES_DYNAMAX and not others:
        facts["skipped"] = "dynamax, which cannot be imported"
    measures: dict[str, Callable[[], float]] = {
        "vemfast": iteration(problem, settings.threads),
        "vemfast, one thread": iteration(problem, 1),
        "hmmlearn": lambda: seconds_of_fit(hmmlearn(problem), problem),
        **of_others("iteration"),
    }
    if name == "H3":
        measures["vemfast, mean-field"] = iteration(problem, settings.threads, "mean-field")
    iterating, using = ASKED[name]
    quotients = [
        Quotient("hmmlearn", "vemfast", least=iterating),
        Quotient("hmmlearn", "vemfast, one thread"),
        Quotient("vemfast, one thread", "vemfast", least=1.6 if name == "H3" else None),
    ]
    if name == "H3":
        quotients.append(Quotient("vemfast, mean-field", "vemfast", most=1.2))
    for other in others:
        least = TIMES_DYNAMAX[name] if other.endswith("32") else None
        quotients.append(Quotient(other, "vemfast", least=least))
    samples = rounds(measures, settings.repeats)
    facts["share of the floor"] = floor(problem, settings.threads) / samples["vemfast"].median
    yield record(f"{name}: {CHAINS[name]}: an EM iteration", samples, quotients, **facts)
    for use in USES:
        calls = {"vemfast": own, "vemfast, one thread": one, "hmmlearn": peer}

        def caller(model: Any, use: str = use) -> Callable[[], float]:
            return lambda: timed(lambda: getattr(model, use)(X, lengths))

        measures = {key: caller(model) for key, model in calls.items()} | of_others(use)
        samples = rounds(measures, settings.repeats)
        yield record(
            f"{name}: {use}",
            samples,
            [
                Quotient("hmmlearn", "vemfast", least=using),
                Quotient("hmmlearn", "vemfast, one thread"),
                *(Quotient(other, "vemfast") for other in others),
            ],
        )


def _memory(settings: Settings) -> float:
    """Return the bytes above the data at the peak of a fit of H3, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.topics.hmm", str(settings.scale)]
    command.append(str(settings.threads))
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def measure(settings: Settings) -> Iterator[Record]:
    """Yield four records a workload, and the memory of H3."""
    parts = settings.pick(("H1", "H3", "H4", "short", "memory"))
    for name in parts:
        if name != "memory":
            yield from compared(name, settings)
    if "memory" not in parts:
        return
    peak = _memory(settings) / 1e6
    what = "peak memory above the data, MB (asked below 100)"
    yield record("H3: memory of a fit of three iterations", {}, [], **{what: peak})


def _peak() -> None:
    from benchmarks.memory import RESET, resident

    scale, threads = float(sys.argv[1]), int(sys.argv[2])
    warm = make("H3", 1e-3)
    seconds_of_fit(vemfast(warm, 3, threads), warm)
    problem = make("H3", scale)
    RESET.write_text("5")
    before = resident("VmRSS")
    seconds_of_fit(vemfast(problem, 3, threads), problem)
    print(resident("VmHWM") - before)


if __name__ == "__main__":
    _peak()
