"""Records to Markdown: what was measured, with what was asked beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import isnan
from typing import Any

from benchmarks import topics
from benchmarks.compare import load
from benchmarks.machine import preamble
from benchmarks.timing import Sample, ratio

Record = dict[str, Any]

TIMES_SKLEARN = {"G1": 20, "G2": 20, "G3": 10, "G4": 3, "G5": 20, "G6": 20}
TIMES_JAX = {"G1": 2, "G2": 2, "G3": 2, "G4": 1.5, "G5": 2, "G6": 2}
ASKED = {"sklearn": TIMES_SKLEARN, "jax_em": TIMES_JAX}
GEMM_SHARE = {"G1": 0.5, "G3": 0.5, "G4": 0.5}
TIMES_FLOAT64 = {"G1": 1.6, "G3": 1.6, "G4": 1.6}
TOLERANCE = {"float64": 1e-4, "float32": 5e-3}  # means after one update, in spreads of the data


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def asked(value: float, least: float | None, form: str = "{:.3g}") -> str:
    """`value`, and whether it is at least `least` where something was asked."""
    text = form.format(value)
    if isnan(value):
        return "too noisy"
    if least is None:
        return text
    return f"{text} (asked {form.format(least)}: {'met' if value >= least else '**not met**'})"


def at_most(value: float, most: float) -> str:
    if isnan(value):
        return "too noisy"
    return f"{value:.3g} (asked at most {most:g}: {'met' if value <= most else '**not met**'})"


def samples(record: Record) -> dict[str, Sample]:
    return {name: Sample(tuple(values)) for name, values in record["seconds"].items()}


def times(record: Record, peer: str) -> str:
    """How many times faster than a peer this library is: the median of the rounds' ratios."""
    found = samples(record)
    if peer not in found or "vemfast" not in found:
        return ""
    named = record["section"] == "iteration" and record["dtype"] == "float64"
    least = ASKED.get(peer, {}).get(record["workload"]) if named else None
    return asked(ratio(found[peer], found["vemfast"]).median, least)


def seconds(record: Record, peer: str) -> str:
    found = samples(record)
    return str(found[peer]) if peer in found else ""


def iteration_rows(records: Sequence[Record], peers: Sequence[str]) -> Iterator[list[str]]:
    for r in records:
        others = [cell for peer in peers for cell in (seconds(r, peer), times(r, peer))]
        yield [r["workload"], r["shape"], r["dtype"], seconds(r, "vemfast"), *others]


def iterations(records: Sequence[Record], machine: Record) -> str:
    """Seconds an iteration, median [least, most], and the ratio to ours."""
    names = {name for r in records for name in r["seconds"]} - {"vemfast"}
    order = ["sklearn", "jax_em", "pomegranate", "numpy_twin", "python_lists"]
    peers = sorted(names, key=order.index)
    columns = [cell for peer in peers for cell in (load(peer).NAME, "times ours")]
    head = ["", "N x D, K, covariance", "dtype", "vemfast", *columns]
    return table(head, list(iteration_rows(records, peers)))


def efficiency(records: Sequence[Record], machine: Record) -> str:
    """GFLOP/s over the least operations, and their share of the matrix product's measured rate."""
    doubles = {r["workload"]: samples(r) for r in records if r["dtype"] == "float64"}
    rows = []
    for r in records:
        if "vemfast" not in r["seconds"]:
            continue
        ours, double = samples(r)["vemfast"], r["dtype"] == "float64"
        kind = f"{'dgemm' if double else 'sgemm'} {r['threads']}"
        rate = 1e-9 * r["flops"] / ours.median
        gemm, narrow = machine["gflops"].get(kind), machine["gflops"].get(f"{kind} avx2")
        before = None if double else doubles.get(r["workload"], {}).get("vemfast")
        rows.append(
            [
                r["workload"],
                r["dtype"],
                f"{1e-9 * r['flops']:.3g}",
                f"{rate:.3g}",
                asked(rate / gemm, GEMM_SHARE.get(r["workload"]) if double else None, "{:.0%}")
                if gemm
                else "",
                f"{rate / narrow:.0%}" if narrow else "",
                asked(ratio(before, ours).median, TIMES_FLOAT64.get(r["workload"]))
                if before
                else "",
            ]
        )
    if not rows:
        return "vemfast was not among the peers of this run."
    head = ["", "dtype", "least GFLOP", "GFLOP/s", "of gemm", "of AVX2 gemm", "times float64"]
    return table(head, rows)


def hard(records: Sequence[Record], machine: Record) -> str:
    """Hard EM against Lloyd's k-means. `G5 k-means` has one shared variance and equal weights."""
    rows = []
    for r in records:
        found = samples(r)
        both = "sklearn" in found and "vemfast" in found
        quotient = ratio(found["sklearn"], found["vemfast"]).median if both else 0
        cells = [seconds(r, "vemfast"), seconds(r, "sklearn"), asked(quotient, 1) if both else ""]
        rows.append([r["workload"], r["shape"], r["dtype"], *cells])
    return table(["", "N x D, K, covariance", "dtype", "vemfast", "KMeans", "times ours"], rows)


def small(records: Sequence[Record], machine: Record) -> str:
    """180 x 2, K = 3: a whole fit with a k-means start and each library's defaults."""
    rows = []
    for r in records:
        found = samples(r)
        for name, sample in found.items():
            quotient = asked(ratio(found["sklearn"], sample).median, 40 if name == "vemfast" else 1)
            what = r["found"][name]
            score = f"{what['score']:.6f}"
            rows.append([load(name).NAME, str(sample), quotient, str(what["iterations"]), score])
    return table(["", "seconds", "times", "iterations", "log density a row"], rows)


def memory(records: Sequence[Record], machine: Record) -> str:
    """Peak resident memory of a fit above its data."""
    rows = []
    for r in records:
        for name, size in r["bytes"].items():
            text = f"{size / 2**20:.1f}"
            cell = at_most(size / 2**20, 64) if name == "vemfast" else text
            rows.append([r["workload"], r["dtype"], load(name).NAME, cell])
    return table(["", "dtype", "", "MiB above the data"], rows)


def starts(records: Sequence[Record], machine: Record) -> str:
    """k-means++ in the estimator, in EM iterations."""
    rows = []
    for r in records:
        s = samples(r)
        cost = at_most(ratio(s["k-means++"], s["iteration"]).median, 3)
        rows.append([r["workload"], *map(str, s.values()), cost])
    head = ["", "k-means++", "EM iteration", "scikit-learn's k-means++", "in EM iterations"]
    return table(head, rows)


def threads(records: Sequence[Record], machine: Record) -> str:
    """Seconds an iteration with one thread and with all of them."""
    rows = []
    for r in records:
        one, most = (samples(r)[str(count)] for count in (1, r["threads"]))
        rows.append([r["workload"], str(one), str(most), f"{ratio(one, most).median:.3g}"])
    return table(["", "one thread", "all threads", "times"], rows)


def disagreements(records: Sequence[Record]) -> str:
    """List peers whose means differ after one update from the same start, and failures."""
    lines = [
        f"- {r['workload']} {r['dtype']}: {load(name).NAME} differs by {difference:.2g} spreads"
        for r in records
        for name, difference in r.get("disagreement", {}).items()
        if not difference <= TOLERANCE[r["dtype"]]
    ]
    lines += [
        f"- {r['workload']} {r['dtype']}: {load(name).NAME} failed: {why}"
        for r in records
        for name, why in r.get("failed", {}).items()
    ]
    return "\n".join(lines) or "After one update all peers have the same means."


SECTIONS: tuple[tuple[str, str, Callable[[Sequence[Record], Record], str]], ...] = (
    ("iteration", "An iteration", iterations),
    ("iteration", "Share of the processor", efficiency),
    ("hard", "Hard EM and k-means", hard),
    ("baseline", "Against lists and loops", iterations),
    ("small", "A small fit", small),
    ("memory", "Memory", memory),
    ("starts", "Start", starts),
    ("threads", "Threads", threads),
)


def markdown(records: Sequence[Record]) -> str:
    """Render one run's records, the first of which describes the machine."""
    machine = records[0]
    parts = ["# Gaussian mixtures", preamble(records[0])]
    if any(r["section"] == "iteration" and r["scale"] < 1 for r in records[1:]):
        parts += ["**A quick try on a share of the rows: what is asked holds for all of them.**"]
    for section, title, render in SECTIONS:
        chosen = [r for r in records if r["section"] == section]
        if chosen:
            about = (render.__doc__ or "").strip()
            parts += [f"## {title}", about, render(chosen, machine)]
    skipped = [f"- {load(name).NAME}: {why}" for name, why in machine.get("skipped", {}).items()]
    parts += ["## Same work", disagreements(records)]
    parts += ["## Skipped", "\n".join(skipped)] if skipped else []
    return "\n\n".join(parts) + "\n"


def of_topic(records: Sequence[Record]) -> str:
    """Render the records of one topic: seconds, ratios with what is asked of them, and facts."""
    machine, found = records[0], records[1:]
    topic = topics.load(machine["topic"])
    lines = []
    for r in found:
        lines += [f"### {r['case']}", table(["", "seconds"], _timed(r))]
        stated = [f"- {q['name']}: {_judged(q)}" for q in r["quotients"]]
        stated += [f"- {name}: {_fact(value)}" for name, value in r["facts"].items()]
        lines += ["\n".join(stated)] if stated else []
    about = (topic.__doc__ or "").strip()
    return "\n\n".join([f"# {topic.TITLE}", preamble(machine), about, *lines]) + "\n"


def _timed(r: Record) -> list[list[str]]:
    return [[name, str(sample)] for name, sample in samples(r).items()]


def _judged(quotient: Record) -> str:
    if quotient["most"] is not None:
        return at_most(quotient["value"], quotient["most"])
    return asked(quotient["value"], quotient["least"])


def _fact(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
