"""Run the benchmarks: `python -m benchmarks.run mixtures`, or a part of them.

    python -m benchmarks.run mixtures --only G1 G2 --peers vemfast sklearn --repeats 3
    python -m benchmarks.run mixtures --scale 0.05            a quick try
    python -m benchmarks.run report benchmarks/results/mixtures.jsonl
    python -m benchmarks.run streams                          one of the topics

A whole run writes results/mixtures.jsonl, a line a record, and results/mixtures.md; a part writes
results/part.*, which git ignores. A topic does the same under its own name.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import Any

if __package__ in (
    None,
    "",
):  # run as a file, whose folder is on the path
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from benchmarks import machine, report, topics
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
    for name in topics.names():
        topic = commands.add_parser(name, help=topics.load(name).TITLE)
        topic.add_argument("--repeats", type=int, default=5, help="interleaved rounds (default 5)")
        topic.add_argument("--threads", type=int, default=2, help="default 2")
        topic.add_argument("--scale", type=float, default=1.0, help="share of the size, for tries")
        topic.add_argument("--seed", type=int, default=0)
        topic.add_argument("--only", nargs="+", default=[], help="parts, where the topic has any")
        topic.add_argument("--output", help="stem of the files in results/")
    render = commands.add_parser("report", help="turn a JSON-lines file into Markdown")
    render.add_argument("records", type=Path)
    return top


def mixtures(arguments: argparse.Namespace) -> None:
    """Measure the Gaussian mixture section by section."""
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
    head = machine.describe(settings.threads) | {"skipped": skipped}
    sections = (record for name in arguments.sections for record in SECTIONS[name](settings))
    write(stem, head, sections, report.markdown)


def topic(arguments: argparse.Namespace) -> None:
    """Measure one topic."""
    fields = ("repeats", "threads", "scale", "seed")
    chosen = {field: getattr(arguments, field) for field in fields}
    settings = topics.Settings(**chosen, only=tuple(arguments.only))
    whole = settings.scale == 1 and not settings.only
    stem = arguments.output or (arguments.command if whole else "part")
    head = machine.describe(settings.threads) | {"topic": arguments.command}
    write(stem, head, topics.load(arguments.command).measure(settings), report.of_topic)


def write(stem: str, head: Any, found: Iterable[Any], render: Callable[[list[Any]], str]) -> None:
    """Write each record as it comes, so that an interruption loses little; then the tables."""
    records = []
    with (RESULTS / f"{stem}.jsonl").open("w") as lines:
        for record in chain([head], found):
            records.append(record)
            print(json.dumps(record), file=lines, flush=True)
    (RESULTS / f"{stem}.md").write_text(render(records))
    note(f"written: {RESULTS / stem}.jsonl and .md")


def main() -> None:
    arguments = parser().parse_args()
    if arguments.command == "report":
        records = [json.loads(line) for line in arguments.records.read_text().splitlines()]
        render = report.of_topic if "topic" in records[0] else report.markdown
        print(render(records), end="")
    elif arguments.command in topics.names():
        topic(arguments)
    else:
        mixtures(arguments)


if __name__ == "__main__":
    main()
