"""Hidden Markov estimators on what users do: bad input, odd storage, long and short sequences."""

import os
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from reliability.helpers import DETERMINISTIC, RUNGS, quiet, run_python
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from vemfast import GMMHMM, BernoulliHMM, CategoricalHMM, GaussianHMM, PoissonHMM

_rng = np.random.default_rng(8)
STATES = np.arange(120) // 15 % 2
LENGTHS = [50, 1, 69]
ROWS = {
    GaussianHMM: np.c_[5.0 * STATES, -3.0 * STATES] + _rng.normal(size=(120, 2)),
    GMMHMM: np.c_[5.0 * STATES, -3.0 * STATES] + _rng.normal(size=(120, 2)),
    CategoricalHMM: (2 * STATES + _rng.integers(0, 2, 120))[:, None],
    BernoulliHMM: (_rng.random((120, 3)) < 0.15 + 0.7 * STATES[:, None]).astype(int),
    PoissonHMM: _rng.poisson(np.array([[1, 9], [12, 2]])[STATES]),
}
kinds = pytest.mark.parametrize("kind", ROWS)
METHODS = ("predict", "predict_proba", "score", "score_samples", "score_sequences", "decode", "bic")


def model(kind, **options):
    return kind(2, **({"random_state": 0} | options))


def fitted(kind, rows=None, lengths=LENGTHS, **options):
    with quiet():
        return model(kind, **options).fit(ROWS[kind] if rows is None else rows, lengths)


@kinds
def test_what_is_not_fitted_says_so(kind):
    for name in METHODS:
        with pytest.raises(NotFittedError):
            getattr(model(kind), name)(ROWS[kind])
    for call in (
        lambda: model(kind).sample(3),
        lambda: model(kind).filter(),
        lambda: model(kind).forecast(1, ROWS[kind]),
        lambda: model(kind).get_stationary_distribution(),
        lambda: model(kind).save("never"),
    ):
        with pytest.raises(NotFittedError):
            call()


@kinds
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.arange(5.0), "reshape"),
        (np.empty((0, 2)), "no steps"),
        ([], "."),
        ([["a", "b"]], "number"),
        (np.full((4, 2), np.inf), "."),
        (np.array([[1 + 2j, 0]]), "."),
    ],
    ids=["one dimension", "no rows", "nothing", "text", "infinite", "complex"],
)
def test_bad_data_change_nothing(kind, bad, message):
    estimator = fitted(kind)
    before = pickle.dumps(estimator)
    for act in (estimator.fit, estimator.score, estimator.partial_fit):
        with pytest.raises((ValueError, TypeError), match=message):
            act(bad)
    assert pickle.dumps(estimator) == before


@kinds
def test_bad_sequences_are_named(kind):
    parts = np.split(ROWS[kind].astype(float), [50, 51])
    parts[2][7, 0] = np.nan
    with pytest.raises(ValueError, match="sequence 2, step 7"):
        model(kind).fit(parts)
    parts = np.split(ROWS[kind], [50, 51])
    with pytest.raises(ValueError, match="sequence 1 has"):
        model(kind).fit([parts[0], np.c_[parts[1], parts[1]], parts[2]])
    with pytest.raises(ValueError, match="sequence 1 has no steps"):
        model(kind).fit([parts[0], parts[1][:0], parts[2]])
    with pytest.raises(ValueError, match="features"):
        fitted(kind).score(np.c_[ROWS[kind], ROWS[kind]])
    for weights in ([1, 2], [1, -1, 1], [1, np.nan, 1], [0, 0, 0]):
        with pytest.raises(ValueError, match="weight"):
            model(kind).fit(ROWS[kind], LENGTHS, weights)


@kinds
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_components", 0),
        ("n_components", 2.0),
        ("n_components", True),
        ("tol", -1.0),
        ("n_iter", 0),
        ("inference", "vb"),
        ("schedule", "all"),
        ("algorithm", "best"),
        ("sticky", -1.0),
        ("startprob_prior", 0.0),
        ("transmat_prior", [[1.0, -1.0], [1.0, 1.0]]),
        ("n_init", 0),
        ("missing", "drop"),
        ("params", "z"),
        ("batch_size", 3),
    ],
)
def test_bad_parameters_change_nothing(kind, name, value):
    estimator = fitted(kind)
    before = {key: pickle.dumps(own) for key, own in vars(estimator).items() if key != name}
    estimator.set_params(**{name: value})
    with pytest.raises((ValueError, TypeError), match=name if name != "params" else "letters"):
        estimator.fit(ROWS[kind], LENGTHS)
    after = {key: pickle.dumps(own) for key, own in vars(estimator).items() if key != name}
    assert after == before


@kinds
def test_clones_and_refits_are_as_new(kind):
    estimator = fitted(kind)
    again = clone(estimator)
    assert not hasattr(again, "transmat_")
    with quiet():
        again.fit(ROWS[kind][:60])
        again.fit(ROWS[kind], LENGTHS)
    assert again.lower_bounds_ == estimator.lower_bounds_
    assert estimator.get_params().keys() == again.get_params().keys()
    repr(estimator)


@kinds
@pytest.mark.parametrize(
    "store",
    [
        np.asfortranarray,
        lambda rows: np.repeat(rows, 2, axis=0)[::2],
        lambda rows: rows.astype(float),
        lambda rows: rows.tolist(),
        lambda rows: rows.astype(">f8"),
        lambda rows: np.lib.stride_tricks.as_strided(rows, writeable=False),
    ],
    ids=["Fortran", "strided", "float64", "list", "big-endian", "read-only"],
)
def test_storage_does_not_matter(kind, store):
    rows = np.ascontiguousarray(ROWS[kind])
    plain, other = fitted(kind), fitted(kind, store(rows))
    assert plain.lower_bounds_ == other.lower_bounds_
    np.testing.assert_array_equal(plain.predict(rows), other.predict(store(rows)))


@kinds
def test_names_of_columns(kind):
    table = pd.DataFrame(ROWS[kind], columns=[f"c{d}" for d in range(ROWS[kind].shape[1])])
    estimator = fitted(kind, table)
    assert list(estimator.feature_names_in_) == list(table.columns)
    other = table.rename(columns={"c0": "x"})
    with pytest.raises(ValueError, match="feature names"):
        estimator.predict(other)
    parts = fitted(kind, [ROWS[kind][:60], ROWS[kind][60:]], None)
    assert not hasattr(parts, "feature_names_in_")


def test_float32_and_memory_maps(tmp_path):
    rows = ROWS[GaussianHMM]
    np.save(tmp_path / "x.npy", rows)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    plain = fitted(GaussianHMM)
    assert fitted(GaussianHMM, mapped).lower_bounds_ == plain.lower_bounds_
    assert plain.score(mapped, LENGTHS) == plain.score(rows, LENGTHS)
    single = fitted(GaussianHMM, rows.astype(np.float32))
    assert single.lower_bound_ == pytest.approx(plain.lower_bound_, rel=1e-5)


@kinds
def test_several_starts_keep_the_best(kind):
    options = {"init_params": "random_from_data", "n_init": 4}
    one = fitted(kind, n_jobs=1, **options)
    two = fitted(kind, n_jobs=2, **options)
    assert one.lower_bounds_ == two.lower_bounds_
    ends = []

    def note(iteration, objective, elapsed):
        if not ends or iteration <= ends[-1][0]:
            ends.append((0, 0.0))  # another start
        ends[-1] = (iteration, objective)

    fitted(kind, n_jobs=1, callbacks=note, **options)
    assert len(ends) == 4
    assert one.lower_bound_ == max(objective for _, objective in ends)
    assert one.lower_bound_ > min(objective for _, objective in ends)


@kinds
def test_a_callback_ends_a_fit(kind):
    seen = []

    def stop(iteration, objective, elapsed):
        seen.append((iteration, objective))
        return iteration == 2

    estimator = model(kind, callbacks=stop, tol=0.0)
    with quiet():
        estimator.fit(ROWS[kind], LENGTHS)
    assert estimator.stop_reason_ == "callback"
    assert estimator.n_iter_ == 2
    assert seen[-1][1] == estimator.lower_bound_


@pytest.mark.parametrize("inference", RUNGS)
def test_one_long_sequence_and_many_single_steps(inference):  # H12
    lengths = [20_000] + [1] * 3_000
    n = sum(lengths)
    z = np.arange(n) // 40 % 3
    rows = 4.0 * z[:, None] + np.random.default_rng(1).normal(size=(n, 1))
    draws = {"n_burn": 1, "n_draws": 2, "n_chains": 1} if inference == "gibbs" else {"n_iter": 2}
    found = []
    for threads in (1, 2, 5):
        with quiet():
            estimator = GaussianHMM(
                3, inference=inference, random_state=0, n_jobs=threads, **draws
            ).fit(rows, lengths)
        found.append((estimator.lower_bounds_, estimator.predict(rows, lengths)))
    for bounds, path in found[1:]:
        assert bounds == found[0][0]
        np.testing.assert_array_equal(path, found[0][1])


@pytest.mark.parametrize("inference", DETERMINISTIC)
def test_an_outlier_in_a_left_right_model(inference):
    """A step a thousand deviations off, where one state alone can be."""
    if inference == "variational-em":
        pytest.skip("refuses structural zeros")
    rows = np.repeat([0.0, 10.0, 20.0], 20)[:, None] + _rng.normal(size=(60, 1))
    rows[30] = 3000.0
    with quiet():
        estimator = GaussianHMM(
            3,
            inference=inference,
            means_init=[[0.0], [10.0], [20.0]],
            transmat_support=np.triu(np.ones((3, 3), dtype=bool)),
            startprob_support=[True, False, False],
        ).fit(rows)
    assert np.isfinite(estimator.lower_bound_)
    assert np.isfinite(estimator.score(rows))
    assert (np.diff(estimator.predict(rows)) >= 0).all()


def product_of_matrices(rows, startprob, transmat, means, sd):
    """Return the log likelihood as one product of matrices in logarithms, by halves."""
    logs = -0.5 * ((rows - means) / sd) ** 2 - np.log(sd * np.sqrt(2 * np.pi))
    first = np.log(startprob) + logs[0]
    chain = np.log(transmat)[None] + logs[1:, None, :]
    while len(chain) > 1:
        odd = chain[-1:] if len(chain) % 2 else chain[:0]
        left, right = chain[0 : len(chain) - len(odd) : 2], chain[1 : len(chain) : 2]
        terms = [left[:, :, j, None] + right[:, None, j, :] for j in range(left.shape[2])]
        chain = np.concatenate([np.logaddexp.reduce(terms, axis=0), odd])
    return np.logaddexp.reduce((first[:, None] + chain[0]).ravel())


@pytest.mark.parametrize("n", [2, 1_001, 50_000, pytest.param(10_000_000, marks=pytest.mark.slow)])
def test_long_sequences_neither_underflow_nor_drift(n):  # H3
    rng = np.random.default_rng(4)
    estimator = GaussianHMM(2, random_state=0)
    with quiet():
        estimator.fit(np.r_[rng.normal(size=(200, 1)), 3 + rng.normal(size=(200, 1))])
    estimator.startprob_ = np.array([0.3, 0.7])
    estimator.transmat_ = np.array([[0.95, 0.05], [0.1, 0.9]])
    rows = rng.normal(size=(n, 1)) + 3.0 * (np.arange(n) // 30 % 2)[:, None]
    rows[n // 2] = 40.0  # a hundred nats below
    expected = product_of_matrices(
        rows,
        estimator.startprob_,
        estimator.transmat_,
        estimator.means_[:, 0],
        np.sqrt(estimator.covars_[:, 0]),
    )
    assert estimator.score(rows) == pytest.approx(expected, rel=1e-9)
    path = estimator.predict(rows)
    assert path.shape == (n,)
    with quiet():
        refit = clone(estimator).set_params(n_iter=1).fit(rows)
    assert np.isfinite(refit.lower_bound_)
    np.testing.assert_allclose(refit.transmat_.sum(axis=1), 1.0, rtol=1e-12)


MEMORY = """
from pathlib import Path
import numpy as np
from reliability.helpers import quiet
from vemfast import GaussianHMM

def resident(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])

K, leave = 16, {leave}
rows = np.random.default_rng(0).normal(size=(1_000_000, 1))
transmat = np.full((K, K), leave / K) + (1 - leave) * np.eye(K)
options = dict(transmat_init=transmat, means_init=np.linspace(-2, 2, K)[:, None], n_iter=2)
with quiet():
    GaussianHMM(K, **options).fit(rows[:3000])
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again at the present size
    before = resident("VmRSS")
    GaussianHMM(K, **options).fit(rows).score(rows)
    print(resident("VmHWM") - before)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="reads Linux's /proc")
@pytest.mark.parametrize("leave", [0.1, 1e-7])  # how chunks are joined depends on it
def test_memory_does_not_grow_with_steps_and_states(leave):
    run = run_python(MEMORY.format(leave=leave))
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) < 64e6  # of states by steps there are 128 MB


# ---- real sequences, where they are at hand ---------------------------------------------------

FOLDER = os.environ.get("VEMFAST_DATA")  # with mocap6.npz and japanese_vowels.npz


@pytest.mark.skipif(FOLDER is None, reason="VEMFAST_DATA names no folder of data sets")
@pytest.mark.parametrize("inference", RUNGS)
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("name", ["mocap6", "japanese_vowels"])
def test_real_sequences_on_every_rung_without_a_warning(name, covariance_type, inference):
    with np.load(os.path.join(FOLDER, f"{name}.npz")) as file:
        suffix = "" if name == "mocap6" else "_train"
        rows = file[f"X{suffix}"]
        lengths = file["lengths" if name == "mocap6" else "len_train"]
    draws = {"n_burn": 20, "n_draws": 20, "n_chains": 2} if inference == "gibbs" else {}
    iterations = {} if inference == "gibbs" else {"n_iter": 500}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimator = GaussianHMM(
            8, covariance_type, inference=inference, random_state=0, **draws, **iterations
        ).fit(rows, lengths)
        assert np.isfinite(estimator.score(rows, lengths))
        assert len(np.unique(estimator.predict(rows, lengths))) > 1
