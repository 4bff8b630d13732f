"""The command with autoencoders: fit vae, transform, score, and the last part of the demo."""

import re
from pathlib import Path

import numpy as np
import pytest
from vae_data import ROWS

import vemfast
from vemfast import VariationalAutoencoder
from vemfast.cli import demo_digits, main

X = ROWS["gaussian"]
FIT = "fit vae rows.npy -z 2 --hidden 16,8 --likelihood gaussian --max-iter 30 --seed 0"
NET = {"hidden_layer_sizes": (16, 8), "likelihood": "gaussian", "max_iter": 30}


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", X)


def failure(capsys, command):
    assert main(command.split()) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    return captured.err.strip()


def test_fit_says_what_it_reached_and_saves_it(capsys):
    assert main(f"{FIT} --learning-rate 0.01 -o m".split()) == 0
    printed = capsys.readouterr().out
    expected = VariationalAutoencoder(2, learning_rate_init=0.01, random_state=0, **NET).fit(X)
    loaded = vemfast.load("m")
    np.testing.assert_array_equal(loaded.transform(X), expected.transform(X))
    assert re.search(r"rows +150 x 6\n", printed)
    assert f"{expected.lower_bound_ / 150:.6g} a row" in printed
    assert re.search(r"iterations +30 in .* s, stopped by max_iter\n", printed)
    assert main(["score", "m", "rows.npy"]) == 0
    assert capsys.readouterr().out == f"{loaded.score(X)!r} nats a row, 150 rows\n"
    assert main(["transform", "m", "rows.npy", "-o", "codes.csv"]) == 0
    assert Path("codes.csv").read_text().startswith("z_0,z_1\n")
    np.testing.assert_array_equal(
        np.loadtxt("codes.csv", skiprows=1, delimiter=","), loaded.transform(X)
    )
    assert main(["info", "m"]) == 0
    assert "encoder_coefs_" in capsys.readouterr().out


def test_em_without_hidden_layers(capsys):
    command = "fit vae rows.npy -z 2 --hidden 0 --likelihood gaussian --inference em -o m"
    assert main(command.split()) == 0
    assert vemfast.load("m").score(X) == pytest.approx(vemfast.load("m").lower_bound_ / 150)


def test_what_cannot_be(capsys):
    assert main(f"{FIT} --learning-rate 0.01 -q -o m".split()) == 0
    assert "use vemfast transform" in failure(capsys, "predict m rows.npy")
    assert "--vocab is not for rows" in failure(capsys, "transform m rows.npy --vocab words")
    assert "no topics" in failure(capsys, "topics m")
    assert "0 to 1" in failure(capsys, "fit vae rows.npy -z 2 -o n")


def test_the_digits_of_the_demo(capsys, monkeypatch, tmp_path):
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(demo_digits, "_PASSES", 30)
    demo_digits.run(tmp_path / "digits.png")
    printed = capsys.readouterr().out
    losses = re.search(r"loss ([\d.]+) at first, ([\d.]+) nats at last", printed)
    assert losses
    assert float(losses.group(2)) < float(losses.group(1)) - 1
    assert "gap" in printed
    assert (tmp_path / "digits.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
