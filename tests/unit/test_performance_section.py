"""The README's section on speed is what benchmarks/results says."""

import json
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2]))  # at the end: vemfast is the installed one
from benchmarks import plots, show


def test_readme_and_results_do_not_drift(capsys):
    assert show.main(["--check"]) == 0, capsys.readouterr().err


def test_a_changed_result_is_noticed():
    results = show.load()
    now = show.README.read_text(encoding="utf-8")
    assert show.with_section(now, show.section(results)) == now
    first = results["mixtures"][1]
    first["seconds"]["vemfast"] = [2 * x for x in first["seconds"]["vemfast"]]
    assert show.with_section(now, show.section(results)) != now


def test_every_result_is_shown_and_drawn(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    results = show.load()
    said = plots.draw(results, tmp_path)
    assert len(said) == len(plots.PICTURES)
    for line in said:
        if line.startswith("drawn: "):
            assert (tmp_path / line.removeprefix("drawn: ")).stat().st_size > 1000


def test_tables_are_of_the_records():
    # A case that no table of the README finds is a case that was renamed.
    found = show.others(show.load())
    for topic, case, name, _ in show.SHOWN:
        if (show.RESULTS / f"{topic}.jsonl").exists():
            lines = (show.RESULTS / f"{topic}.jsonl").read_text().splitlines()[1:]
            cases = [json.loads(line)["case"] for line in lines]
            own = [c for c in cases if c.startswith(case)]
            assert own, f"{topic}: no case begins with {case!r}"
            assert f"| {own[0]} | {name} |" in found
