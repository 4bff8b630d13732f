"""The command with sequences: fit hmm, decode, and the third part of the demo."""

import numpy as np
import pandas as pd
import pytest

import vemfast
from vemfast import CategoricalHMM, GaussianHMM, GaussianMixture
from vemfast.cli import demo_letters, main

LENGTHS = [30, 1, 29]
_states = np.arange(60) // 10 % 2
X = 4.0 * _states[:, None] + np.random.default_rng(3).normal(size=(60, 2))
CODES = (2 * _states + np.random.default_rng(4).integers(0, 2, 60))[:, None]


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", X)
    np.savetxt("codes.csv", CODES, fmt="%d", header="symbol", comments="")
    np.savetxt("lengths.txt", LENGTHS, fmt="%d")
    np.save("lengths.npy", LENGTHS)


@pytest.fixture
def model(capsys):
    command = "fit hmm --emission gaussian x.npy --lengths lengths.txt -k 2 --seed 0 -o model"
    assert main(command.split()) == 0
    capsys.readouterr()
    return "model"


def failure(capsys, command):
    assert main(command.split()) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    return captured.err.strip()


def test_fit_is_that_of_the_estimator(capsys):
    command = "fit hmm x.npy --lengths lengths.npy -k 2 --seed 0 --sticky 3 --max-iter 1 -o m"
    assert main([*command.split(), "--tol", "1e-9"]) == 0
    printed = capsys.readouterr().out
    with pytest.warns(UserWarning, match="not converged"):
        same = GaussianHMM(2, sticky=3.0, n_iter=1, tol=1e-9, random_state=0).fit(X, LENGTHS)
    assert "rows         60 x 2\n" in printed
    bound = same.lower_bound_
    assert f"objective    {bound:.8g} nats, {bound / 60:.6g} a step\n" in printed
    np.testing.assert_array_equal(vemfast.load("m").transmat_, same.transmat_)


def test_decode_writes_states(capsys, model):
    same = vemfast.load(model)
    assert main(["decode", model, "x.npy", "--lengths", "lengths.txt"]) == 0
    head, *rows = capsys.readouterr().out.split()
    assert head == "state"
    assert [int(row) for row in rows] == same.predict(X, LENGTHS).tolist()
    assert main(["decode", model, "x.npy", "--algorithm", "map", "-o", "map.npy"]) == 0
    np.testing.assert_array_equal(np.load("map.npy").ravel(), same.decode(X, algorithm="map")[1])
    assert main(["decode", model, "x.npy", "--proba", "-o", "proba.npy"]) == 0
    np.testing.assert_array_equal(np.load("proba.npy"), same.predict_proba(X))


def test_score_is_of_a_step_or_of_each_sequence(capsys, model):
    same = vemfast.load(model)
    assert main(["score", model, "x.npy", "--lengths", "lengths.txt"]) == 0
    mean = same.score(X, LENGTHS) / 60
    value, rest = capsys.readouterr().out.split(" ", 1)
    assert float(value) == pytest.approx(mean, rel=1e-14)
    assert rest == "nats a step, 60 steps in 3 sequences\n"
    assert main(["score", model, "x.npy", "--lengths", "lengths.npy", "--each", "-o", "s.npy"]) == 0
    np.testing.assert_array_equal(np.load("s.npy").ravel(), same.score_sequences(X, LENGTHS))
    assert "--vocab is not for rows" in failure(capsys, f"score {model} x.npy --vocab v.txt")


def test_symbols_have_names_and_numbers(capsys):
    command = "fit hmm --emission categorical codes.csv -k 2 --n-features 5 --seed 0 -q -o m"
    assert main(command.split()) == 0
    own = vemfast.load("m")
    assert isinstance(own, CategoricalHMM)
    assert own.emissionprob_.shape == (2, 5)
    assert own.feature_names_in_.tolist() == ["symbol"]
    named = pd.DataFrame(CODES, columns=["symbol"])
    assert main(["info", "m"]) == 0
    assert "emissionprob_" in capsys.readouterr().out
    assert main(["decode", "m", "codes.csv"]) == 0
    assert capsys.readouterr() == (
        "state\n" + "".join(f"{state}\n" for state in own.predict(named)), ""
    )  # fmt: skip


def test_errors_are_one_line(capsys, model):
    np.savetxt("short.txt", [30, 29], fmt="%d")
    assert "59, X has 60 steps" in failure(capsys, "decode model x.npy --lengths short.txt")
    with open("words.txt", "w") as file:
        file.write("thirty")
    message = failure(capsys, "decode model x.npy --lengths words.txt")
    assert "words.txt" in message
    assert "integers, one a line" in message
    np.save("real.npy", [30.0, 30.0])
    assert "real.npy" in failure(capsys, "decode model x.npy --lengths real.npy")
    assert "no.txt" in failure(capsys, "decode model x.npy --lengths no.txt")
    message = failure(capsys, "fit hmm --emission poisson x.npy -k 2 --covariance-type diag -o m")
    assert "--covariance-type is not for --emission poisson" in message
    assert "vemfast decode" in failure(capsys, "predict model x.npy")
    GaussianMixture(2, random_state=0).fit(X).save("mixture")
    assert "no states" in failure(capsys, "decode mixture x.npy")
    assert "--algorithm" in failure(capsys, "decode model x.npy --proba --algorithm map")


def test_the_demo_tells_vowels_from_consonants(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(demo_letters, "_LETTERS", 20_000)
    demo_letters.run(tmp_path)
    printed = capsys.readouterr().out
    line = next(line for line in printed.splitlines() if "vowels:" in line and "state" in line)
    found = line.partition(":")[2].split("(")[0].split()
    assert set("aeio") < set(found)
    assert not set("tnsrldcm").intersection(found)
    pytest.importorskip("matplotlib")
    with open(tmp_path / "demo_hidden_markov.png", "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"
