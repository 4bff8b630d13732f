"""What the README says can be done, and where it points."""

import re
import shlex
from pathlib import Path

import numpy as np

from vemfast.cli import main
from vemfast.inference import METHODS
from vemfast.io import write_corpus

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_quick_start_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (code,) = blocks("python")
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    np.testing.assert_array_equal(names["same"].predict(names["X"]), names["labels"])
    assert np.sort(names["bayes"].weights_)[:4].sum() < 0.1  # as the comment says


def test_the_commands_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(0).normal(size=(500, 3))
    for name in ("data.csv", "other.csv", "series.csv"):
        np.savetxt(name, rows, delimiter=",", header="a,b,c", comments="")
    Path("lengths.txt").write_text("200\n300\n")
    np.save("data.npy", rows > 0)
    write_corpus("corpus.ldac", np.random.default_rng(0).poisson(0.5, (60, 40)))
    Path("vocab.txt").write_text("".join(f"word{i}\n" for i in range(40)))
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    commands = [shlex.split(line, comments=True) for line in lines if line.startswith("vemfast ")]
    assert len(commands) == 11
    for command in commands:
        assert main(command[1:]) == 0
    assert Path("labels.csv").exists()


def test_the_ladder_is_the_table_of_methods():
    assert re.findall(r'^\| `"([a-z-]+)"` \|', README, re.MULTILINE) == list(METHODS)


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target
