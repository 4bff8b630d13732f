"""The command: what it prints and writes, its exit status, and one line for whatever goes wrong."""

import builtins
import fcntl
import gzip
import locale
import os
import select
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest

import vemfast
from vemfast import GaussianMixture
from vemfast.cli import app, demo, demo_digits, demo_letters, demo_topics, main

_rng = np.random.default_rng(5)
X = np.concatenate([_rng.normal(0, 1, (120, 2)), _rng.normal(7, 2, (80, 2))])


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", X)
    with open("x.csv", "w") as file:
        file.write("wide,high\n")
        file.writelines(f"{a!r},{b!r}\n" for a, b in X.tolist())


@pytest.fixture
def model():
    path = "model.safetensors"
    assert main(["fit", "gmm", "x.csv", "-k", "2", "--seed", "0", "-o", path, "-q"]) == 0
    return path


def failure(capsys, *argv, status=2):
    """Run a command that fails, and return its one line."""
    assert main([str(argument) for argument in argv]) == status
    captured = capsys.readouterr()
    assert captured.err.endswith("\n")
    assert captured.err.count("\n") == 1
    return captured.err.strip()


# ---- what works -----------------------------------------------------------------------------


def test_fit_predict_score_info(capsys, model):
    assert capsys.readouterr() == ("", "")
    estimator = vemfast.load(model)
    reference = GaussianMixture(2, random_state=0).fit(X)
    np.testing.assert_array_equal(estimator.means_, reference.means_)
    assert list(estimator.feature_names_in_) == ["wide", "high"]

    assert main(["predict", model, "x.csv"]) == 0
    head, *labels = capsys.readouterr().out.splitlines()
    assert head == "component"
    np.testing.assert_array_equal(np.array(labels, int), reference.predict(X))

    assert main(["predict", model, "x.csv", "--proba"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head == "component_0,component_1"
    proba = np.array([row.split(",") for row in rows], float)
    np.testing.assert_array_equal(proba, reference.predict_proba(X))

    assert main(["score", model, "x.npy"]) == 0
    assert capsys.readouterr().out == f"{reference.score(X)!r} nats a row, 200 rows\n"

    assert main(["info", model]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("GaussianMixture(n_components=2, random_state=0)\n")
    assert "feature_names_in_     wide, high\n" in printed
    assert f"stop_reason_          {reference.stop_reason_}\n" in printed


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        ("--inference hard-em --equal-weights", {"equal_weights": True}),
        ("--covariance-type tied-spherical", {"covariance_type": "tied-spherical"}),
        ("--schedule memoized --n-batches 3", {"n_batches": 3}),
        (
            "--inference mean-field --weight-concentration-prior-type dirichlet_process "
            "--weight-concentration-prior 0.1 --mean-precision-prior 2 "
            "--degrees-of-freedom-prior 5",
            {"weight_concentration_prior": 0.1, "degrees_of_freedom_prior": 5.0},
        ),
        (
            "--inference gibbs --n-burn 2 --n-draws 3 --thin 1 --n-chains 2",
            {"n_draws": 3, "n_chains": 2},
        ),
        (
            "--tol 1e-5 --max-iter 300 --n-init 2 --init random_from_data --reg-covar 1e-4 "
            "--n-jobs 1",
            {"tol": 1e-5, "init_params": "random_from_data", "n_jobs": 1, "verbose": 0},
        ),
    ],
)
def test_options_are_parameters(capsys, options, parameters):
    command = f"fit gmm x.npy -k 2 --seed 1 -o m {options}"
    assert main(command.split()) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.startswith("rows         200 x 2\nobjective    ")
    assert captured.out.endswith("saved        m\n")
    loaded = vemfast.load("m")
    assert parameters.items() <= loaded.get_params().items()
    assert main(["info", "m"]) == 0


@pytest.mark.parametrize(
    ("command", "parameters"),
    [
        ("bernoulli --binarize 0.5 --alpha-prior 1.5 --beta-prior 2", {"alpha_prior": 1.5}),
        ("bernoulli --binarize 0.5 --missing marginalize", {"missing": "marginalize"}),
        ("bernoulli --binarize 1 --inference gibbs --n-burn 2 --n-draws 3", {"n_draws": 3}),
        ("poisson --inference mean-field --shape-prior 2 --rate-prior 0.5", {"rate_prior": 0.5}),
        ("categorical --n-categories 40 --concentration-prior 1.1", {"n_categories": 40}),
        ("categorical --inference gibbs --n-burn 2 --n-draws 3 --init random", {"n_burn": 2}),
    ],
)
def test_mixtures_of_bits_counts_and_codes(capsys, command, parameters):
    counts = np.floor(np.abs(X))
    np.save("counts.npy", counts)
    family, *options = command.split()
    argv = ["fit", family, "counts.npy", "-k", "2", "--seed", "1", "-o", "m", *options]
    assert main(argv) == 0
    loaded = vemfast.load("m")
    assert parameters.items() <= loaded.get_params().items()
    capsys.readouterr()
    assert main(["info", "m"]) == 0
    printed = capsys.readouterr().out
    shape = "2 arrays: (2, 40)" if parameters == {"n_categories": 40} else ""
    assert shape in printed
    assert main(["score", "m", "counts.npy"]) == 0
    assert capsys.readouterr().out == f"{loaded.score(counts)!r} nats a row, 200 rows\n"
    assert main(["predict", "m", "counts.npy"]) == 0
    assert capsys.readouterr().out.split()[1:] == [str(k) for k in loaded.predict(counts)]


def test_every_option_of_a_family_is_a_parameter_of_its_estimator():
    from vemfast.cli.chains import EMISSIONS
    from vemfast.cli.fit import FAMILIES

    for family in FAMILIES:
        known = set(getattr(vemfast, family.estimator)().get_params())
        if family.name == "hmm":  # one for each emission
            known = {"emission"}.union(
                *(getattr(vemfast, name)().get_params() for name in EMISSIONS.values())
            )
        assert {option.parameter for option in family.options} <= known


def test_columns_are_chosen_by_name(capsys, model):
    with open("swapped.csv", "w") as file:
        file.write("high,label,wide\n")
        file.writelines(f"{b!r},cat,{a!r}\n" for a, b in X.tolist())
    assert main(["predict", model, "swapped.csv", "-o", "labels.csv"]) == 0
    assert main(["predict", model, "swapped.csv", "--columns", "wide,0", "-o", "same.csv"]) == 0
    assert capsys.readouterr() == ("", "")
    estimator = vemfast.load(model)
    del estimator.feature_names_in_
    np.testing.assert_array_equal(np.loadtxt("labels.csv", skiprows=1), estimator.predict(X))
    assert Path("labels.csv").read_text() == Path("same.csv").read_text()
    assert failure(capsys, "predict", model, "swapped.csv", "--columns", "deep") == (
        "vemfast: error: swapped.csv: no column 'deep'; it has high, label, wide"
    )


def test_missing_values(capsys):
    rows = X.copy()
    rows[3::7, 1] = np.nan
    with open("holes.csv", "w") as file:
        file.writelines(f"{a!r},{'' if np.isnan(b) else repr(b)}\n" for a, b in rows.tolist())
    fit = ["fit", "gmm", "holes.csv", "-k", "2", "--seed", "0", "-o", "m.safetensors"]
    assert "column 1 is empty; missing values are not taken" in failure(capsys, *fit)
    assert main([*fit, "--missing", "marginalize", "-q"]) == 0
    reference = GaussianMixture(2, random_state=0, missing="marginalize").fit(rows)
    np.testing.assert_array_equal(vemfast.load("m.safetensors").means_, reference.means_)
    assert main(["predict", "m.safetensors", "holes.csv", "-o", "labels.npy"]) == 0
    np.testing.assert_array_equal(np.load("labels.npy").ravel(), reference.predict(rows))


def test_outputs(model):
    estimator = vemfast.load(model)
    del estimator.feature_names_in_
    assert main(["predict", model, "x.npy", "--proba", "-o", "p.npy"]) == 0
    np.testing.assert_array_equal(np.load("p.npy"), estimator.predict_proba(X))
    assert main(["score", model, "x.npy", "--each", "-o", "s.csv.gz"]) == 0
    with gzip.open("s.csv.gz", "rt") as file:
        head, *rows = file.read().split()
    assert head == "log_density"
    np.testing.assert_array_equal(np.array(rows, float), estimator.score_samples(X))


def test_single_precision(model):
    assert main(["fit", "gmm", "x.npy", "-k", "2", "--float32", "-o", "m", "-q"]) == 0
    reference = GaussianMixture(2).fit(X.astype(np.float32))
    assert vemfast.load("m").lower_bound_ == pytest.approx(reference.lower_bound_, rel=1e-3)


def test_version_config_and_help(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"vemfast {vemfast.__version__}\n"
    assert main(["config"]) == 0
    assert "level:" in capsys.readouterr().out
    for argv in (["--help"], ["fit", "--help"], ["fit", "gmm", "--help"], ["demo", "--help"]):
        assert main(argv) == 0
        assert capsys.readouterr().out.startswith("usage: vemfast")


def test_a_progress_bar_only_on_a_terminal(capsys, monkeypatch):
    command = ["fit", "gmm", "x.npy", "-k", "2", "-o", "m"]
    assert main(command) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(command) == 0
    assert "iteration" in capsys.readouterr().err
    assert main([*command, "-q"]) == 0
    assert capsys.readouterr() == ("", "")
    assert vemfast.load("m").verbose == 0


# ---- what goes wrong ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("", "vemfast: error: the following arguments are required: COMMAND (see vemfast --help)"),
        ("fit", "vemfast fit: error: the following arguments are required: FAMILY"),
        ("fit gmm x.npy -o m", "vemfast fit gmm: error: the following arguments are required: -k"),
        ("fit gmm model.npy -k 2", "vemfast: error: model.safetensors: is there already; name ano"),
        ("fit gmm x.npy -k two -o m", "vemfast fit gmm: error: argument -k/--n-components: inval"),
        ("fit gmm x.npy -k 2 -o m --inference x", "vemfast fit gmm: error: argument --inference"),
        ("fit gmm x.npy -k 0 -o m", "vemfast: error: The 'n_components' parameter of Gaussi"),
        ("fit gmm x.npy -k 201 -o m", "vemfast: error: n_components=201 needs at least as many"),
        ("fit gmm x.npy -k 2 -o m --n-draws 3", "vemfast: error: n_draws=3 has no effect with"),
        (
            "fit gmm x.npy -k 2 -o m --inference gibbs --schedule memoized",
            "vemfast: error: inference='gibbs' does not run under schedule='memoized'; use",
        ),
        ("fit gmm no.npy -k 2 -o m", "vemfast: error: no.npy: No such file or directory"),
        ("fit gmm . -k 2 -o m", "vemfast: error: .: files of the kind '' are not read; use .npy"),
        ("fit gmm nan.npy -k 2 -o m", "vemfast: error: nan.npy: contains NaN at row 17, column 1"),
        ("fit gmm nan.csv -k 2 -o m", "vemfast: error: nan.csv, line 3: column 1 is 'nan'; only"),
        ("fit gmm x.npy -k 2 -o no/m", "vemfast: error: no/m: No such file or directory"),
        ("fit gmm no.npy -k 2 -o .", "vemfast: error: .: Is a directory"),
        ("predict model.safetensors wide.npy", "vemfast: error: wide.npy: has 3 features, but Ga"),
        ("predict x.npy x.npy", "vemfast: error: x.npy: not a safetensors file, or damaged"),
        ("predict no.safetensors x.npy", "vemfast: error: no.safetensors: No such file or dir"),
        ("predict model.safetensors x.npy -o x.png", "vemfast: error: x.png: write to .csv, .cs"),
        ("score model.safetensors x.npy -o y.csv", "vemfast: error: --output is for the log den"),
        ("info x.csv", "vemfast: error: x.csv: not a safetensors file, or damaged"),
        ("demo -o no", "vemfast: error: no/demo_gaussian_mixture.png: No such file or directory"),
    ],
)
def test_an_error_is_one_line_and_status_2(capsys, model, argv, message):
    capsys.readouterr()
    bad = X.copy()
    bad[17, 1] = np.nan
    np.save("nan.npy", bad)
    np.save("wide.npy", np.zeros((4, 3)))
    with open("nan.csv", "w") as file:
        file.write("1,2\n3,4\n5,nan\n")
    assert failure(capsys, *argv.split()).startswith(message)


def test_nothing_is_written_when_a_fit_fails(capsys, model):
    old = Path(model).read_bytes()
    failure(capsys, "fit", "gmm", "x.npy", "-k", "500", "-o", model)
    assert Path(model).read_bytes() == old


def test_a_warning_is_one_line(capsys):
    argv = ["fit", "gmm", "x.npy", "-k", "5", "--max-iter", "1", "--tol", "0", "-o", "m", "-q"]
    assert main(argv) == 0
    assert capsys.readouterr().err.splitlines() == [
        "vemfast: warning: not converged after max_iter=1 iterations; "
        "increase max_iter or tol, or try another start"
    ]


def test_an_internal_error_has_a_traceback_on_request_only(capsys, monkeypatch):
    def broken(*args, **options):
        raise KeyError("surprise")

    monkeypatch.setattr(GaussianMixture, "fit", broken)
    argv = ["fit", "gmm", "x.npy", "-k", "2", "-o", "m"]
    assert failure(capsys, *argv) == (
        "vemfast: error: internal error: KeyError: 'surprise' (vemfast --debug shows the traceback)"
    )
    with pytest.raises(KeyError):
        main(["--debug", *argv])


def test_an_interrupt_ends_with_130(capsys, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(GaussianMixture, "fit", interrupted)
    line = failure(capsys, "fit", "gmm", "x.npy", "-k", "2", "-o", "m", status=130)
    assert line == "vemfast: interrupted"
    assert not os.path.exists("m")


def test_standard_output_closed(capsys, monkeypatch, model):
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        line = failure(capsys, "predict", model, "x.npy")
        assert line == "vemfast: error: standard output is closed"
        assert main(["predict", model, "x.npy", "-o", "labels.csv"]) == 0
        assert main(["fit", "gmm", "x.npy", "-k", "2", "-o", "m"]) == 0
    monkeypatch.setattr(sys, "stderr", None)
    assert main(["predict", model, "no.npy"]) == 2
    assert capsys.readouterr().out == ""


def test_a_name_that_the_terminal_cannot_show(model):
    with open("größe.csv", "w", encoding="utf-8") as file:
        file.write("größe,θ\n1,2\n3,4\n5,7\n")
    result = process("fit", "gmm", "größe.csv", "-k", "1", "-o", "m", PYTHONIOENCODING="ascii")
    assert result.returncode == 0
    result = process("info", "m", PYTHONIOENCODING="ascii")
    assert result.returncode == 0
    assert "gr\\xf6\\xdfe, \\u03b8" in result.stdout


def test_a_locale_with_decimal_commas(capsys, model):
    before = locale.setlocale(locale.LC_ALL)
    for name in ("de_DE.UTF-8", "fr_FR.UTF-8", "nl_NL.UTF-8", "de_DE", "pt_BR.UTF-8"):
        try:
            locale.setlocale(locale.LC_ALL, name)
            break
        except locale.Error:
            continue
    else:
        pytest.skip("no locale with decimal commas is installed")
    try:
        assert locale.localeconv()["decimal_point"] == ","
        assert main(["score", model, "x.csv"]) == 0
        score = capsys.readouterr().out.split()[0]
    finally:
        locale.setlocale(locale.LC_ALL, before)
    assert float(score) == vemfast.load(model).score(X)


# ---- in a process of its own ----------------------------------------------------------------

COMMAND = [sys.executable, "-c", "import sys; from vemfast.cli import main; sys.exit(main())"]


def process(*argv, **environment):
    return subprocess.run(
        [*COMMAND, *argv],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )


def test_a_reader_that_goes_away_is_no_traceback(model):
    np.save("large.npy", np.tile(X, (500, 1)))
    argv = [*COMMAND, "predict", model, "large.npy", "--proba"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as command:
        assert command.stdout.readline() == b"component_0,component_1\n"
        command.stdout.close()
        assert command.stderr.read() == b""
    assert command.returncode == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_behind_standard_output(model):
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [*COMMAND, "predict", model, "x.npy"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert result.returncode == 2
    assert result.stderr == "vemfast: error: No space left on device\n"


def test_ctrl_c_on_a_terminal_ends_a_fit_with_130(model):
    np.save("large.npy", _rng.normal(size=(20_000, 8)))
    argv = "fit gmm large.npy -k 20 --tol 0 --max-iter 1000000 -o m"
    terminal, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    with subprocess.Popen([*COMMAND, *argv.split()], stderr=theirs) as command:
        os.close(theirs)
        shown = b""
        while b"iteration" not in shown and (part := read(terminal)):
            shown += part
        command.send_signal(signal.SIGINT)  # the progress bar is there: the fit is at work
        while part := read(terminal):
            shown += part
        command.kill()  # only if it is still there
    os.close(terminal)
    assert command.returncode == 130
    assert shown.endswith(b"vemfast: interrupted\r\n")
    assert b"Traceback" not in shown
    assert not os.path.exists("m")


def read(terminal):
    """Return what is on a terminal; nothing once the other side is closed, or silent for long."""
    if not select.select([terminal], [], [], 30)[0]:
        return b""
    try:
        return os.read(terminal, 1000)
    except OSError:  # what Linux says where others say nothing
        return b""


# ---- the demo -------------------------------------------------------------------------------


@pytest.fixture
def _small_photograph(monkeypatch):
    pytest.importorskip("PIL")
    whole = demo._photograph()
    monkeypatch.setattr(demo, "_photograph", lambda: whole[100:300:2, 50:250:2])
    monkeypatch.setitem(demo._RUNGS, "gibbs", {"n_burn": 5, "n_draws": 3, "n_chains": 2})
    monkeypatch.setattr(demo_topics, "run", lambda: None)
    monkeypatch.setattr(demo_letters, "run", lambda folder: None)
    monkeypatch.setattr(demo_digits, "run", lambda picture: None)


@pytest.mark.usefixtures("_small_photograph")
def test_the_demo_prints_a_table_and_saves_a_picture(capsys):
    pytest.importorskip("matplotlib")
    os.mkdir("out")
    assert main(["demo", "-o", "out"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    table = [line.split() for line in captured.out.splitlines()]
    rungs = {row[0]: row for row in table if row and row[0] in demo._RUNGS}
    assert list(rungs) == ["gibbs", "mean-field", "em", "variational-em", "hard-em"]
    held_out = {rung: float(row[1]) for rung, row in rungs.items()}
    assert held_out["em"] == held_out["variational-em"] > held_out["hard-em"]
    assert "picture: out/demo_gaussian_mixture.png\n" in captured.out
    with open("out/demo_gaussian_mixture.png", "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"


@pytest.mark.usefixtures("_small_photograph")
def test_the_demo_without_matplotlib_still_prints_its_table(capsys, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **options):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    assert main(["demo"]) == 0
    out = capsys.readouterr().out
    assert "hard-em" in out
    assert 'no picture: it needs matplotlib: pip install "vemfast[plot]"\n' in out
    assert not os.path.exists("demo_gaussian_mixture.png")


def test_the_demo_without_pillow_says_what_to_install(capsys, monkeypatch):
    import sklearn.datasets

    def missing(name):
        raise ImportError("The Python Imaging Library (PIL) is required")

    monkeypatch.setattr(sklearn.datasets, "load_sample_image", missing)
    assert failure(capsys, "demo") == (
        'vemfast: error: the photograph is a JPEG, which Pillow reads: pip install "vemfast[plot]"'
    )


@pytest.mark.slow
def test_the_whole_demo(capsys):
    assert main(["demo"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "273,280 pixels" in captured.out
    assert "tokens a second" in captured.out
    assert "rows a second" in captured.out


def test_every_command_is_a_row(capsys):
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    for command in app.COMMANDS:
        assert command.name in printed
        assert command.help in printed
