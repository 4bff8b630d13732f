"""Run the benchmarks: `python -m benchmarks.run mixtures`, or a part of them.

    python -m benchmarks.run mixtures --only G1 G2 --peers vemfast sklearn --repeats 3
    python -m benchmarks.run mixtures --scale 0.05            a quick try
    python -m benchmarks.run report benchmarks/results/mixtures.jsonl

A whole run writes results/mixtures.jsonl, a line a record, and results/mixtures.md; a part writes
results/part.*, which git ignores.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

if __package__ in (
    None,
    "",
):  # run as a file, whose folder is on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks import machine, report
from benchmarks.compare import PEERS, Options, load
from benchmarks.mixtures import SECTIONS
from benchmarks.session import Settings, note
from benchmarks.suite.workloads import MIXTURES, SMALL

RESULTS = Path(__file__).resolve().parent / "results"


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="benchmarks.run", description=(__doc__ or "").split("\n")[0])
    commands = top.add_subparsers(dest="command", required=True)
    run = commands.add_parser("mixtures", help="measure the Gaussian mixture")
    add = run.add_argument
    add("--only", nargs="+", default=[], choices=[*MIXTURES, SMALL.name], help="workloads")
    add("--peers", nargs="+", default=list(PEERS), choices=PEERS)
    add("--sections", nargs="+", default=list(SECTIONS), choices=list(SECTIONS))
    add("--dtypes", nargs="+", default=["float64", "float32"], choices=["float64", "float32"])
    add("--repeats", type=int, default=5, help="interleaved rounds (default 5)")
    add("--scale", type=float, default=1.0, help="share of the rows, for quick tries")
    add("--threads", type=int, default=2, help="for every peer (default 2)")
    add("--target", type=float, default=1.0, help="seconds of one measurement, if affordable")
    add("--seed", type=int, default=0)
    add("--jax-python", help="an interpreter that has JAX, when this one has not")
    add("--output", help="stem of the files in results/")
    render = commands.add_parser("report", help="turn a JSON-lines file into Markdown")
    render.add_argument("records", type=Path)
    return top


def mixtures(arguments: argparse.Namespace) -> None:
    """Measure section by section, writing each record as it comes: an interruption loses little."""
    options = Options(arguments.jax_python)
    names = ("only", "peers", "dtypes", "repeats", "scale", "threads", "target", "seed")
    settings = Settings(**{name: getattr(arguments, name) for name in names}, options=options)
    default = parser().parse_args(["mixtures"])
    whole = all(
        getattr(arguments, name) == getattr(default, name)
        for name in ("only", "peers", "sections", "dtypes", "scale", "seed")
    )
    stem = arguments.output or ("mixtures" if whole else "part")
    missing = {name: load(name).absent(options) for name in settings.peers}
    skipped = {name: why for name, why in missing.items() if why}
    for name, why in skipped.items():
        note(f"skipped: {load(name).NAME}: {why}")
    records = [machine.describe(settings.threads) | {"skipped": skipped}]
    with (RESULTS / f"{stem}.jsonl").open("w") as lines:
        print(json.dumps(records[0]), file=lines, flush=True)
        for section in arguments.sections:
            for record in SECTIONS[section](settings):
                records.append(record)
                print(json.dumps(record), file=lines, flush=True)
    (RESULTS / f"{stem}.md").write_text(report.markdown(records))
    note(f"written: {RESULTS / stem}.jsonl and .md")


def main() -> None:
    arguments = parser().parse_args()
    if arguments.command == "report":
        records = [json.loads(line) for line in arguments.records.read_text().splitlines()]
        print(report.markdown(records), end="")
    else:
        mixtures(arguments)


if __name__ == "__main__":
    main()
