"""Hidden Markov models beside hmmlearn, at the same parameters.

hmmlearn runs its faster implementation ("scaling") and on one thread, so the ratios with one thread
stand beside those with all. An iteration is one of EM (of hmmlearn: a fit of one iteration; of this
library: the difference of longer and shorter fits, over their iterations). Both start at the same
parameters, near the truth, without priors; after the iteration their log likelihoods agree. H2 is a
topic of its own (`hmm_symbols`), because hmmlearn takes half a minute a round there.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.compare.chains import hmmlearn, seconds_of_fit, timed, vemfast
from benchmarks.suite.chains import CHAINS, Problem, make
from benchmarks.timing import rounds
from benchmarks.topics import Quotient, Record, Settings, record

TITLE = "Hidden Markov models"

# Times hmmlearn: an iteration, and each of score, predict and predict_proba.
ASKED = {"H1": (15, 8), "H2": (20, 8), "H3": (6, 4), "H4": (15, 8), "short": (20, None)}
USES = ("score", "predict", "predict_proba")
MORE = 4  # iterations of the longer fit beyond those of the shorter one


def iteration(problem: Problem, threads: int, inference: str = "em") -> Callable[[], float]:
    """Return a measure of one iteration of this library."""

    def measure() -> float:
        longer = seconds_of_fit(vemfast(problem, 1 + MORE, threads, inference), problem)
        return (longer - seconds_of_fit(vemfast(problem, 1, threads, inference), problem)) / MORE

    return measure


def compared(name: str, settings: Settings) -> Iterator[Record]:
    """Yield the records of one workload: an iteration, and the three uses."""
    problem = make(name, settings.scale, settings.seed)
    X, lengths = problem.X, problem.lengths
    own = vemfast(problem, 1, settings.threads)
    seconds_of_fit(own, problem)
    one = vemfast(problem, 1, 1)
    seconds_of_fit(one, problem)
    peer = hmmlearn(problem)
    seconds_of_fit(peer, problem)
    ours, theirs = own.score(X, lengths), peer.score(X, lengths)
    facts = {"relative difference of the log likelihoods": abs(ours / theirs - 1)}
    measures: dict[str, Callable[[], float]] = {
        "vemfast": iteration(problem, settings.threads),
        "vemfast, one thread": iteration(problem, 1),
        "hmmlearn": lambda: seconds_of_fit(hmmlearn(problem), problem),
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
    samples = rounds(measures, settings.repeats)
    yield record(f"{name}: {CHAINS[name]}: an EM iteration", samples, quotients, **facts)
    for use in USES:
        calls = {"vemfast": own, "vemfast, one thread": one, "hmmlearn": peer}

        def caller(model: Any, use: str = use) -> Callable[[], float]:
            return lambda: timed(lambda: getattr(model, use)(X, lengths))

        samples = rounds({key: caller(model) for key, model in calls.items()}, settings.repeats)
        yield record(
            f"{name}: {use}",
            samples,
            [
                Quotient("hmmlearn", "vemfast", least=using),
                Quotient("hmmlearn", "vemfast, one thread"),
            ],
        )


def _memory(settings: Settings) -> float:
    """Return the bytes above the data at the peak of a fit of H3, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.topics.hmm", str(settings.scale)]
    command.append(str(settings.threads))
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def measure(settings: Settings) -> Iterator[Record]:
    """Yield four records a workload."""
    for name in ("H1", "H3", "H4", "short"):
        yield from compared(name, settings)
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
