"""Print all tables, draw all plots, and write the README's section on speed from the results.

    python -m benchmarks.show                  print every table, draw every plot
    python -m benchmarks.show --readme         write the section of README.md
    python -m benchmarks.show --check          fail if README.md does not say what the results say

Nothing is measured: the figures are those of results/*.jsonl, as the last runs left them.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks import plots, report
from benchmarks.timing import Sample, ratio

__all__ = ["load", "section", "with_section"]

Record = dict[str, Any]

RESULTS = Path(__file__).resolve().parent / "results"
README = Path(__file__).resolve().parents[1] / "README.md"
BEGIN = "<!-- from benchmarks/results: python -m benchmarks.show --readme -->"
END = "<!-- end -->"

_PEERS_OF_CURVES = ("scikit-learn batch", "tomotopy Gibbs, α learned")

# Topic, how a case begins, our name in it, and the others'.
SHOWN: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    *(
        ("hmm", f"{name}: ", "vemfast", ("hmmlearn", "dynamax float32"))
        for name in ("H1", "H2", "H3", "H4", "short")
    ),
    ("lda", "L1: a pass", "vemfast batch", ("scikit-learn batch", "gensim batch")),
    ("lda", "L1: a pass", "vemfast online", ("scikit-learn online", "gensim online")),
    ("lda", "ap: a pass", "vemfast batch", ("scikit-learn batch", "gensim batch")),
    ("lda", "ap: a pass", "vemfast online", ("scikit-learn online", "gensim online")),
    ("lda", "transform", "vemfast", ("scikit-learn",)),
    ("lda", "L2: a pass, beside scikit-learn", "vemfast batch", ("scikit-learn batch",)),
    ("lda", "L2: a pass, beside scikit-learn", "vemfast online", ("scikit-learn online",)),
    ("lda_curves", "L1: ", "mean-field, α learned", _PEERS_OF_CURVES),
    ("lda_curves", "ap: ", "mean-field, α learned", _PEERS_OF_CURVES),
    ("lda_curves", "L2: ", "mean-field, α learned", _PEERS_OF_CURVES),
    *(
        ("vae", case, "vemfast", ("PyTorch eager", "PyTorch compiled", "JAX scanned"))
        for case in ("V1: 60000 x 784", "small net")
    ),
    ("fit_many", "10,000 of 180 x 2, 3, em, float64", "fit_many", ("scikit-learn",)),
)
NAMES = {
    "hmm": "Hidden Markov models",
    "lda": "Topics",
    "lda_curves": "Topics",
    "vae": "Autoencoder, an epoch",
    "fit_many": "Small fits",
}


def load(results: Path = RESULTS) -> dict[str, list[Record]]:
    """Return the records of each results file, by its stem."""
    return {
        path.stem: [json.loads(line) for line in path.read_text().splitlines()]
        for path in sorted(results.glob("*.jsonl"))
        if path.stem != "part"
    }


def _samples(record: Record) -> dict[str, Sample]:
    return {name: Sample(tuple(values)) for name, values in record["seconds"].items()}


def _against(own: Sample, other: Sample) -> str:
    """Return how many times longer another takes: bold where it is faster."""
    times = ratio(other, own).median
    return f"**{_short(times)}**" if times < 1 else _short(times)


def _short(x: float) -> str:
    return f"{x:,.0f}" if x >= 10 else f"{x:.2g}"


def mixtures(records: list[Record]) -> str:
    """Return the table of mixtures' iterations, float64."""
    peers = {"sklearn": "scikit-learn", "jax_em": "JAX, compiled", "numpy_twin": "NumPy twin"}
    rows = []
    for r in records:
        if r["section"] != "iteration" or r["dtype"] != "float64":
            continue
        found = _samples(r)
        own = found["vemfast"]
        cells = [_short(own.median)]
        for peer in peers:
            absent = peer not in found
            cells.append(
                "" if absent else f"{_short(found[peer].median)} ({_against(own, found[peer])})"
            )
        rows.append([r["workload"], r["shape"], *cells])
    return report.table(["", "rows x features, components", "vemfast", *peers.values()], rows)


def others(results: dict[str, list[Record]]) -> str:
    """Return one table of the other models: our seconds, and the peers' in times of ours."""
    rows = []
    for topic, case, name, peers in SHOWN:
        for r in results.get(topic, [])[1:]:
            if not r["case"].startswith(case) or name not in r["seconds"]:
                continue
            found = _samples(r)
            there = [peer for peer in found if peer in peers or peer.startswith(peers[0] + ",")]
            said = ", ".join(f"{peer} {_against(found[name], found[peer])}" for peer in there)
            if "measured" in r["facts"]:
                said += f" ({r['facts']['measured']})"
            rows.append([NAMES[topic], r["case"], name, _short(found[name].median), said])
            break
    head = ["", "", "ours", "seconds", "others, times ours (bold: faster than ours)"]
    return report.table(head, rows)


def bought(records: list[Record]) -> str:
    """Return the table of what each step buys."""
    rows = []
    for r in records[1:]:
        found = _samples(r)
        title, _, shape = r["case"].partition(": ")
        rows.append([f"{title} ({shape})", *(_short(found[way].median) for way in found)])
    return report.table(["", *records[1]["seconds"]], rows)


def exponents(records: list[Record]) -> str:
    """Return the table of exponents."""
    rows = []
    for r in records[1:]:
        facts = r["facts"]
        cells = (f"{facts[key]:.2f}" for key in ("exponent", "last doubling"))
        share = facts["share of the product's rate"]
        rows.append([r["case"], *cells, f"{facts['theory']:g}", f"{share:.0%}"])
    head = ["what grows", "exponent", "last doubling", "theory", "share of the product's rate"]
    return report.table(head, rows)


def section(results: dict[str, list[Record]]) -> str:
    """Return the README's section, without its heading."""
    machine = results["mixtures"][0]
    parts = [
        f"Seconds on {machine['processor']}, {machine['cores']} cores ({machine['vectors']}), "
        f"{machine['threads']} threads. In brackets: how many times as long as vemfast. An EM "
        "iteration of Gaussian mixtures (mean field on G6), float64; medians of interleaved "
        "rounds, all with the same start, data type and threads:",
        mixtures(results["mixtures"]),
        "Other models, each library as its users have it (gensim, hmmlearn and scikit-learn's "
        "small fits: one thread); an EM iteration or a pass where nothing else is said:",
        others(results),
    ]
    if "baselines" in results:
        parts += [
            "What each step buys: seconds of the same step in lists and loops, NumPy, Cython and "
            "natively:",
            bought(results["baselines"]),
        ]
    if "scaling" in results:
        parts += [
            "Cost against every size: the measured exponent beside the theoretical one:",
            exponents(results["scaling"]),
            "![Seconds against every size](benchmarks/results/scaling.png)",
        ]
    if "lda_curves" in results:
        parts += [
            "Topics, every rung in bold beside other libraries "
            "([figures](benchmarks/results/lda_curves.md)):",
            "![Held-out score of topics against seconds](benchmarks/results/lda_curves.png)",
        ]
    if "ladder" in results:
        parts += [
            "The ladder, measured: seconds against the held-out log predictive density, on drawn "
            "and on real data ([figures](benchmarks/results/ladder.md)). Where the textbook's "
            "order fails:",
            "\n".join(
                f"- {r['case'].split(':')[0]}: {r['facts']['out of order']}."
                for r in results["ladder"][1:]
            ),
            "![Held-out score against seconds, rung by rung](benchmarks/results/ladder.png)",
        ]
    parts.append(
        "Everything, misses included, is in [benchmarks/results](benchmarks/results); "
        "[benchmarks/README.md](benchmarks/README.md) says how it is timed."
    )
    return "\n\n".join(parts)


def with_section(readme: str, text: str) -> str:
    """Return the README with `text` between its markers."""
    before, rest = readme.split(BEGIN)
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its status."""
    parser = argparse.ArgumentParser(
        prog="benchmarks.show", description=(__doc__ or "").split("\n")[0]
    )
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--readme", action="store_true", help="write the section of README.md")
    group.add_argument("--check", action="store_true", help="fail if README.md has another")
    chosen = parser.parse_args(arguments)
    results = load()
    if not (chosen.readme or chosen.check):
        for records in results.values():
            render = report.of_topic if "topic" in records[0] else report.markdown
            print(render(records))
        print("\n".join(plots.draw(results, RESULTS)))
        return 0
    now = README.read_text(encoding="utf-8")
    wanted = with_section(now, section(results))
    if chosen.check and wanted != now:
        print("README.md does not say what benchmarks/results says: ", end="", file=sys.stderr)
        print("python -m benchmarks.show --readme", file=sys.stderr)
        return 1
    if chosen.readme:
        README.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
