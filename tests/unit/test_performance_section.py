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
    drawn = {line.partition(": ")[2] for line in plots.draw(results, tmp_path)}
    assert drawn == {f"{name}.png" for name in plots.PICTURES}
    assert all((tmp_path / name).stat().st_size > 1000 for name in drawn)


def of(case, seconds, **facts):
    return {"case": case, "seconds": seconds, "facts": facts}


# A record a kind, as its topic writes it.
GROWS = of(
    "mixture, rows",
    {"N = 1,000": [0.1], "N = 2,000": [0.2]},
    axis="N",
    theory=1.0,
    exponent=1.03,
    **{"last doubling": 1.01, "share of the product's rate": 0.4},
)
RUNGS = of(
    "mixture: 100 x 2",
    {"gibbs": [2.0], "em": [0.1]},
    **{"gibbs: held-out": -1.0, "em: held-out": -1.1, "long gibbs: held-out": -0.9},
    **{"out of order": "none"},
)
STEPS = of("mixture: 100 x 2", {"lists and loops": [2.0], "native": [0.001]})
CURVE = of("L1: 60 s", {"one": [1.0]}, one="-7.5 (0.5 s, 3) -7.25 (1.0 s, 6)")


def test_every_kind_of_result_has_its_place_in_the_section():
    kinds = {"scaling": [{}, GROWS], "ladder": [{}, RUNGS], "baselines": [{}, STEPS]}
    text = show.section(show.load() | kinds)
    assert "| mixture, rows | 1.03 | 1.01 | 1 | 40% |" in text
    assert "- mixture: none." in text
    assert "| mixture (100 x 2) | 2 | 0.001 |" in text


@pytest.mark.parametrize(
    ("paint", "record", "lines"),
    [
        (plots.scaling, GROWS, [(1000.0, 2000.0), (1000.0, 2000.0)]),
        (plots.ladder, RUNGS, [(2.0,), (0.1,), (0.0, 1.0)]),
        (plots.curves, CURVE, [(0.5, 1.0)]),
    ],
    ids=["scaling", "ladder", "curves"],
)
def test_pictures_show_the_records(paint, record, lines):
    figure = pytest.importorskip("matplotlib.figure")
    ax = figure.Figure().subplots()
    paint(ax, record)
    assert [tuple(line.get_xdata()) for line in ax.lines] == lines


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
