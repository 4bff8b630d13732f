"""fit_many gives the fits that the hidden Markov estimators would give, one by one."""

import warnings

import numpy as np
import pytest
import scipy.sparse

from vemfast import (
    GMMHMM,
    BernoulliHMM,
    CategoricalHMM,
    GaussianHMM,
    PoissonHMM,
    fit_many,
)
from vemfast.models.gaussian_config import COVARIANCE_TYPES

RUNGS = ("em", "variational-em", "hard-em", "mean-field")
STICKY = [[0.8, 0.2], [0.3, 0.7]]

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::vemfast.errors.DegenerateWarning"
)


def series(kind, count=5, seed=0):
    """Two states that take turns, for a while that differs, at places that differ."""
    rng = np.random.default_rng(seed)
    out = []
    for i in range(count):
        n = int(rng.integers(40, 120))
        z = np.arange(n) // int(rng.integers(5, 20)) % 2
        if kind is GaussianHMM:
            rows = rng.normal(size=(n, 2)) + 4.0 * z[:, None] * [1, -1] + 10 * i
        elif kind is PoissonHMM:
            rows = rng.poisson(np.array([[1.5, 9], [8, 2 + i]])[z])
        elif kind is BernoulliHMM:
            p = np.array([[0.9, 0.15, 0.8], [0.1, 0.85, 0.3]])
            rows = (rng.random((n, 3)) < p[z]).astype(int)
        else:
            rows = np.c_[2 * z + rng.integers(0, 2, n), rng.integers(0, 3, n)]
        out.append(rows)
    return out


CASES = [
    *((GaussianHMM, {"covariance_type": kind}) for kind in COVARIANCE_TYPES),
    (PoissonHMM, {}),
    (BernoulliHMM, {}),
    (CategoricalHMM, {"n_features": [4, 3]}),
]
cases = pytest.mark.parametrize(
    ("kind", "options"),
    CASES,
    ids=[f"{kind.__name__}-{list(options.values())}" for kind, options in CASES],
)


def assert_same(many, single):
    """Hold every attribute to that of a single fit, and the trace, too."""
    assert vars(many).keys() == vars(single).keys()
    np.testing.assert_allclose(many.lower_bounds_, single.lower_bounds_, rtol=1e-11)
    assert many.n_iter_ == single.n_iter_
    assert many.stop_reason_ == single.stop_reason_
    for name, value in vars(single).items():
        if not name.endswith("_") or isinstance(value, (str, bool)):
            continue
        parts = value if name == "emissionprob_" or name.endswith("tion_") else [value]
        others = getattr(many, name) if parts is value else [getattr(many, name)]
        for a, b in zip(others, parts, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9, err_msg=name)


@cases
@pytest.mark.parametrize("inference", RUNGS)
def test_equal_to_single_fits(kind, options, inference):
    data = series(kind)
    lengths = [[30, len(X) - 30] if i % 2 else None for i, X in enumerate(data)]
    weights = [[2.0, 0.5] if i % 2 else None for i in range(len(data))]
    options = {**options, "inference": inference, "n_init": 2}
    fits = fit_many(
        data, 2, estimator=kind, lengths=lengths, sample_weight=weights, random_state=5, **options
    )
    assert not fits.failed.any()
    for i, X in enumerate(data):
        single = kind(2, random_state=int(fits.random_states[i]), **options)
        single.fit(X, lengths[i], weights[i])
        assert_same(fits[i], single)
        np.testing.assert_allclose(fits.transmat[i], single.transmat_, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(fits.startprob[i], single.startprob_, rtol=1e-7, atol=1e-9)
        for name, values in fits.emissions.items():
            own = getattr(single, name)
            pairs = (
                [(values, own)] if not isinstance(values, list) else zip(values, own, strict=True)
            )
            for a, b in pairs:
                np.testing.assert_allclose(a[i], b, rtol=1e-7, atol=1e-9)
        assert fits[i].score(X, lengths[i]) == pytest.approx(single.score(X, lengths[i]), rel=1e-9)


@pytest.mark.parametrize(
    "options",
    [
        {"init_params": "k-means++", "sticky": 4.0, "transmat_prior": 2.0},
        {"transmat_init": STICKY, "startprob_init": [0.9, 0.1], "n_iter": 3, "tol": 0.0},
        {"transmat_support": [[True, True], [False, True]], "startprob_support": [True, False]},
        {"transmat_frozen": [[0.75, np.nan], [np.nan, np.nan]]},
        {"means_init": [[0, 0], [4, -4]], "precisions_init": [[1, 1], [2, 2]]},
        {"means_prior": [1.0, 2.0], "means_weight": 3.0, "covars_weight": 5.0},
        {"inference": "mean-field", "covars_prior": [1.0, 2.0], "reg_covar": 1e-3},
        {"algorithm": "map"},
    ],
    ids=lambda options: "-".join(options),
)
def test_every_option_acts_as_in_a_single_fit(options):
    data = series(GaussianHMM, 3)
    fits = fit_many(data, estimator=GaussianHMM(2), random_state=1, **options)
    for i, X in enumerate(data):
        single = GaussianHMM(2, random_state=int(fits.random_states[i]), **options).fit(X)
        assert_same(fits[i], single)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (PoissonHMM, {"lambdas_prior": 2.0, "lambdas_weight": 0.5}),
        (PoissonHMM, {"lambdas_prior": 2.0}),
        (PoissonHMM, {"lambdas_init": [[1.0, 9.0], [8.0, 2.0]]}),
        (BernoulliHMM, {"alpha_prior": 2.0, "inference": "mean-field"}),
        (CategoricalHMM, {"emissionprob_prior": 1.5, "n_features": 5}),
    ],
)
def test_options_of_the_families(kind, options):
    data = series(kind, 3)
    fits = fit_many(data, 2, estimator=kind, random_state=1, **options)
    for i, X in enumerate(data):
        single = kind(2, random_state=int(fits.random_states[i]), **options).fit(X)
        assert_same(fits[i], single)


@cases
def test_same_bits_for_any_number_of_threads(kind, options):
    data = series(kind, 9)
    one, two = (
        fit_many(data, 2, estimator=kind, random_state=1, n_jobs=n, **options) for n in (1, 2)
    )
    np.testing.assert_array_equal(one.lower_bound, two.lower_bound)
    np.testing.assert_array_equal(one.transmat, two.transmat)
    assert all(one.lower_bounds(i) == two.lower_bounds(i) for i in range(9))


def test_a_large_series_among_small_ones():
    rng = np.random.default_rng(0)
    z = np.arange(300_000) // 50 % 2
    data = [rng.normal(size=(50, 1)), rng.normal(size=(300_000, 1)) + 4 * z[:, None]]
    options = {"tol": 0.0, "n_iter": 3}
    one, two = (
        fit_many(data, 3, estimator=GaussianHMM, random_state=1, n_jobs=n, **options)
        for n in (1, 2)
    )
    np.testing.assert_array_equal(one.transmat, two.transmat)
    single = GaussianHMM(3, random_state=int(one.random_states[1]), **options).fit(data[1])
    assert_same(one[1], single)


@pytest.mark.parametrize("rows", [20_500, 60])
def test_more_rows_than_a_start_looks_at(rows):
    rng = np.random.default_rng(0)
    z = np.arange(rows) // 20 % 2
    data = [rng.poisson(np.array([[1.0], [6.0]])[z]) for _ in range(2)]
    fits = fit_many(data, 2, estimator=PoissonHMM, random_state=1, n_iter=2, tol=0.0)
    single = PoissonHMM(2, random_state=int(fits.random_states[1]), n_iter=2, tol=0.0).fit(data[1])
    assert_same(fits[1], single)


def test_float32_and_one_array():
    rng = np.random.default_rng(0)
    cube = rng.normal(size=(4, 60, 2)).astype(np.float32)
    cube[:, 30:] += 4
    fits = fit_many(cube, 2, estimator=GaussianHMM, random_state=1)
    assert_same(fits[2], GaussianHMM(2, random_state=int(fits.random_states[2])).fit(cube[2]))
    several = fit_many([[X[:20], X[20:]] for X in cube], 2, estimator=GaussianHMM, random_state=1)
    single = GaussianHMM(2, random_state=int(several.random_states[2]))
    assert_same(several[2], single.fit([cube[2][:20], cube[2][20:]]))


@cases
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_bad_series_is_named_and_the_others_are_fitted(kind, options, n_jobs):
    good = series(kind, 3)
    bad = [
        (good[0][:, :1], "features"),
        (np.full(good[0].shape, np.nan), "NaN"),
        (good[0][:0], "no steps"),
        (np.full((2, good[0].shape[1]), "a"), "number"),
        (scipy.sparse.csr_matrix(good[0]), "X is sparse"),
    ]
    data = [good[0], *(X for X, _ in bad), *good[1:]]
    with pytest.warns(UserWarning, match="5 of 8 data sets could not be fitted"):
        fits = fit_many(data, 2, estimator=kind, random_state=1, n_jobs=n_jobs, **options)
    assert fits.failed.tolist() == [False, True, True, True, True, True, False, False]
    assert list(fits.messages) == [1, 2, 3, 4, 5]
    for i, (_, message) in enumerate(bad, 1):
        assert message in fits.messages[i]
        assert np.isnan(fits.lower_bound[i])
        assert np.isnan(fits.transmat[i]).all()
        assert fits.lower_bounds(i) == []
        with pytest.raises(ValueError, match=f"data set {i} could not be fitted"):
            fits[i]
    alone = kind(2, random_state=int(fits.random_states[6]), **options).fit(good[1])
    assert_same(fits[6], alone)


def test_an_impossible_series_fails_by_itself():
    options = {"emissionprob_init": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], "n_features": 3}
    data = [np.array([[0], [1], [0], [1], [1]]), np.array([[0], [2], [1]])]
    with pytest.warns(UserWarning, match="1 of 2"):
        fits = fit_many(data, 2, estimator=CategoricalHMM, random_state=0, **options)
    assert "sequence 0 impossible from t=1" in fits.messages[1]
    assert np.isfinite(fits.lower_bound[0])


def test_all_may_fail():
    with pytest.raises(ValueError, match=r"no data set can be read; of data set 0.*NaN"):
        fit_many([np.full((9, 2), np.nan)] * 2, 2, estimator=GaussianHMM)
    with pytest.raises(ValueError, match="at least one data set"):
        fit_many([], 2, estimator=GaussianHMM)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"inference": "gibbs"}, ValueError, "does not take inference='gibbs'; use one of 'em'"),
        ({"schedule": "memoized"}, ValueError, "does not take schedule='memoized'"),
        ({"missing": "marginalize"}, ValueError, "does not take missing='marginalize'"),
        ({"init_params": "random_from_data"}, ValueError, r"use one of 'kmeans', 'k-means\+\+'"),
        ({"params": "st"}, ValueError, "does not take params='st'"),
        ({"n_components": 0}, ValueError, "n_components"),
        ({"tol": -1.0}, ValueError, "tol"),
        ({"max_iter": 5}, TypeError, "GaussianHMM has no parameter 'max_iter'"),
        ({"transmat_prior": 0.5}, ValueError, "transmat_prior"),
        ({"lengths": [None]}, ValueError, "lengths is for 1 data sets, but there are 3"),
        ({"estimator": GMMHMM}, TypeError, "GaussianHMM, CategoricalHMM"),
    ],
)
def test_bad_parameters_are_refused_at_once(options, error, message):
    with pytest.raises(error, match=message):
        fit_many(series(GaussianHMM, 3), **{"estimator": GaussianHMM(2), **options})


def test_what_is_not_converged_or_empty_is_said_once():
    data = series(GaussianHMM, 3)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        fits = fit_many(data, 2, estimator=GaussianHMM, random_state=0, n_iter=1, tol=1e-12)
    assert [str(w.message).split(" after")[0] for w in told] == ["3 of 3 fits not converged"]
    assert told[0].filename == __file__
    assert (fits.stop_reason == 1).all()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        fits = fit_many(
            data, 2, estimator=GaussianHMM, inference="hard-em", means_init=[[0, 0], [1e4, 1e4]]
        )
    assert fits.degenerate.all()
    assert "degenerate" in str(told[-1].message)


def test_data_and_estimator_are_not_changed():
    data = series(PoissonHMM, 3)
    before = [X.copy() for X in data]
    estimator = PoissonHMM(2, n_iter=500, random_state=4)
    fits = fit_many(data, estimator=estimator)
    assert not hasattr(estimator, "transmat_")
    for X, Y in zip(data, before, strict=True):
        np.testing.assert_array_equal(X, Y)
    again = fit_many(data, estimator=estimator)
    np.testing.assert_array_equal(fits.random_states, again.random_states)
    assert len(fits) == 3
    assert [type(own) for own in fits] == [PoissonHMM] * 3
