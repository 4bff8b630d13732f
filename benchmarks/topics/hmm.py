"""Hidden Markov models beside hmmlearn and dynamax, at the same parameters.

hmmlearn runs its faster implementation ("scaling") and on one thread, so the ratios with one thread
stand beside those with all. An iteration is one of EM (of hmmlearn: a fit of one iteration; of this
library: the difference of longer and shorter fits, over their iterations). Both start at the same
parameters, near the truth, without priors: the facts say how far the log likelihoods are apart.

dynamax runs on H1, H3 and H4, compiled, with as many threads, in a process of its own with the
interpreter that VEMFAST_PEER_PYTHON names (default: this one), in single precision (its default)
and in double; it is left out, and the report says so, where it cannot be imported. The floor of an
iteration is the larger of its least operations at the rate of NumPy's 2,048 x 2,048 product in the
same run, and of an exponential a step and state at half a giga a second and thread. A rest before
each measurement lets the threads of the peers' BLAS, which go on waiting for work after a call,
fall asleep.

Parts (`--only`): memory, and a workload with a task, as in "H1 iteration" or "H3 predict".
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from statistics import median
from time import sleep
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
REST = 0.2  # seconds


def iteration(problem: Problem, threads: int, inference: str = "em") -> Callable[[], float]:
    """Return a measure of one iteration of this library."""

    def measure() -> float:
        longer = seconds_of_fit(vemfast(problem, 1 + MORE, threads, inference), problem)
        return (longer - seconds_of_fit(vemfast(problem, 1, threads, inference), problem)) / MORE

    return measure


def rested(measures: dict[str, Callable[[], float]]) -> dict[str, Callable[[], float]]:
    """Return the measures, each after a rest."""

    def after(measure: Callable[[], float]) -> Callable[[], float]:
        def run() -> float:
            sleep(REST)
            return measure()

        return run

    return {name: after(measure) for name, measure in measures.items()}


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


def parts(name: str) -> list[str]:
    """Return the parts of one workload."""
    return [f"{name} {task}" for task in ("iteration", *USES)]


def compared(part: str, settings: Settings) -> Iterator[Record]:
    """Yield the record of one part: an iteration, or a use of a fitted model."""
    name, task = part.split()
    problem = make(name, settings.scale, settings.seed)
    with ExitStack() as stack:
        others: dict[str, Callable[[str], tuple[float, float]]] = {}
        if name in TIMES_DYNAMAX and not dynamax_is_absent():
            for dtype in ("float32", "float64"):
                start = dynamax(name, settings.scale, settings.seed, settings.threads, dtype)
                others[f"dynamax {dtype}"] = stack.enter_context(start)
        for run in others.values():
            run(task)  # compiles
        measures = {peer: lambda run=run: run(task)[0] for peer, run in others.items()}  # type: ignore[misc]
        if task == "iteration":
            values = {peer: run("score")[1] for peer, run in others.items()}
            yield an_iteration(name, problem, settings, measures, values)
        else:
            yield a_use(name, task, problem, settings, measures)


def an_iteration(
    name: str,
    problem: Problem,
    settings: Settings,
    others: dict[str, Callable[[], float]],
    values: dict[str, float],
) -> Record:
    """Return the record of EM iterations; `values`: log likelihoods of the others."""
    own = vemfast(problem, 1, settings.threads)
    seconds_of_fit(own, problem)
    peers = []

    def iteration_of_hmmlearn() -> float:
        peers.append(hmmlearn(problem))
        return seconds_of_fit(peers[-1], problem)

    measures: dict[str, Callable[[], float]] = {
        "vemfast": iteration(problem, settings.threads),
        "vemfast, one thread": iteration(problem, 1),
        "vemfast, mean-field": iteration(problem, settings.threads, "mean-field"),
        "hmmlearn": iteration_of_hmmlearn,
        **others,
    }
    quotients = [
        Quotient("hmmlearn", "vemfast", least=ASKED[name][0]),
        Quotient("hmmlearn", "vemfast, one thread"),
        Quotient("vemfast, one thread", "vemfast", least=1.6 if name == "H3" else None),
        Quotient("vemfast, mean-field", "vemfast", most=1.2),
    ]
    for other in others:
        least = TIMES_DYNAMAX[name] if other.endswith("32") else None
        quotients.append(Quotient(other, "vemfast", least=least))
    samples = rounds(rested(measures), settings.repeats)
    # After the iteration; the others' are of the start, hmmlearn's own first figure.
    ours, theirs = (model.score(problem.X, problem.lengths) for model in (own, peers[-1]))
    facts: dict[str, str | float] = {
        "relative difference of the log likelihoods after it": abs(ours / theirs - 1)
    }
    for other, value in values.items():
        facts[f"the same at the start, of {other} and hmmlearn"] = abs(
            peers[-1].monitor_.history[0] / value - 1
        )
    if name in TIMES_DYNAMAX and not others:
        facts["skipped"] = "dynamax, which cannot be imported"
    facts["share of the floor"] = floor(problem, settings.threads) / samples["vemfast"].median
    return record(f"{name}: {CHAINS[name]}: an EM iteration", samples, quotients, **facts)


def a_use(
    name: str,
    use: str,
    problem: Problem,
    settings: Settings,
    others: dict[str, Callable[[], float]],
) -> Record:
    """Return the record of one use of models with the given parameters."""

    def fitted(threads: int) -> Any:
        model = vemfast(problem, 1, threads)
        seconds_of_fit(model, problem)
        return model

    def caller(model: Any) -> Callable[[], float]:
        return lambda: timed(lambda: getattr(model, use)(problem.X, problem.lengths))

    models = {
        "vemfast": fitted(settings.threads),
        "vemfast, one thread": fitted(1),
        "hmmlearn": hmmlearn(problem),
    }
    measures = {key: caller(model) for key, model in models.items()}
    for measure in measures.values():
        measure()
    samples = rounds(rested(measures | others), settings.repeats)
    quotients = [
        Quotient("hmmlearn", "vemfast", least=ASKED[name][1]),
        Quotient("hmmlearn", "vemfast, one thread"),
        *(Quotient(other, "vemfast") for other in others),
    ]
    return record(f"{name}: {use}", samples, quotients)


def memory(settings: Settings) -> Record:
    """Return the record of the peak above the data of a fit of H3, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.topics.hmm", str(settings.scale)]
    command.append(str(settings.threads))
    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    peak = {"peak memory above the data, MB (asked below 100)": float(run.stdout) / 1e6}
    return record("H3: memory of a fit of three iterations", {}, [], **peak)


def measure(settings: Settings) -> Iterator[Record]:
    """Yield four records a workload, and the memory of H3."""
    names = [part for name in ASKED for part in parts(name)]
    for part in settings.pick([*names, "memory"]):
        yield from compared(part, settings) if part != "memory" else [memory(settings)]


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
