"""GaussianHMM, CategoricalHMM, BernoulliHMM and PoissonHMM: sequences in, a chain."""

import copy
import warnings
from itertools import product

import numpy as np
import pytest
from hmm_fits import (
    LENGTHS,
    MIXTURES,
    ROWS,
    STATES,
    STICKY,
    densities,
    fitted,
    kinds,
    model,
    rungs,
    shown,
)
from reliability.helpers import DETERMINISTIC, quiet
from scipy.special import logsumexp

import vemfast
from vemfast import (
    BernoulliHMM,
    CategoricalHMM,
    DegenerateWarning,
    GaussianHMM,
    PoissonHMM,
)

# ---- fitting and what the fit says -----------------------------------------------------------


@kinds
@rungs
def test_the_groups_are_found(kind, inference):
    estimator = fitted(kind, inference, transmat_init=STICKY, n_init=1)
    assert estimator.transmat_.shape == (3, 3)
    np.testing.assert_allclose(estimator.transmat_.sum(axis=1), 1, rtol=1e-12)
    path = estimator.predict(ROWS[kind], LENGTHS)
    agree = np.zeros((3, 3))
    np.add.at(agree, (STATES, path), 1)
    if inference != "gibbs":  # a handful of draws
        assert agree.max(axis=1).sum() > 170
        assert agree.max(axis=0).sum() > 170
    if inference in DETERMINISTIC:
        steps = np.diff(estimator.lower_bounds_)
        assert (steps >= -1e-9 * abs(estimator.lower_bound_)).all()


@kinds
def test_a_chain_of_equal_rows_is_the_mixture(kind):
    """Score, posteriors and statistics of one E-step, through one iteration of hard numbers."""
    rows = ROWS[kind]
    with quiet():
        mixture = MIXTURES[kind](3, random_state=0, max_iter=3)
        if kind is GaussianHMM:
            mixture.set_params(covariance_type="diag")
        mixture.fit(rows)
    estimator = fitted(kind, lengths=None)
    estimator.startprob_ = mixture.weights_
    estimator.transmat_ = np.tile(mixture.weights_, (3, 1))
    if kind is GaussianHMM:
        estimator.means_, estimator.covars_ = mixture.means_, mixture.covariances_
        estimator.origin_ = mixture.origin_
    elif kind is CategoricalHMM:
        estimator.emissionprob_ = mixture.probabilities_[0]
    elif kind is BernoulliHMM:
        estimator.probabilities_ = mixture.probabilities_
    else:
        estimator.lambdas_ = mixture.rates_
    assert estimator.score(rows) == pytest.approx(mixture.score_samples(rows).sum(), rel=1e-11)
    np.testing.assert_allclose(
        estimator.predict_proba(rows), mixture.predict_proba(rows), atol=1e-10
    )


@kinds
def test_one_state_is_the_plain_family(kind):  # H10
    estimator = fitted(kind, n_components=1)
    assert estimator.score(ROWS[kind], LENGTHS) == pytest.approx(
        densities(estimator, ROWS[kind]).sum(), rel=1e-12
    )
    np.testing.assert_array_equal(estimator.transmat_, [[1.0]])


@kinds
@pytest.mark.parametrize("inference", DETERMINISTIC)
def test_duplicates_are_weights(kind, inference):  # H15, H13
    rows, options = ROWS[kind], {"n_iter": 3, "tol": 0.0}
    options["transmat_init"] = STICKY
    start = np.r_[0:60, 60:61, 0:60, 61:151, 151:200]
    name = {GaussianHMM: "means", CategoricalHMM: "emissionprob", PoissonHMM: "lambdas"}
    own = name.get(kind, "probabilities") + "_init"
    options[own] = shown(fitted(kind, n_iter=1))
    weighted = fitted(kind, inference, weights=[2.0, 1.0, 1.0, 1.0], **options)
    twice = fitted(kind, inference, rows=rows[start], lengths=[60, 1, 60, 90, 49], **options)
    assert weighted.lower_bound_ == pytest.approx(twice.lower_bound_, rel=1e-10)
    np.testing.assert_allclose(weighted.transmat_, twice.transmat_, rtol=1e-7, atol=1e-9)
    left_out = fitted(kind, inference, weights=[1.0, 0.0, 1.0, 1.0], **options)
    without = fitted(
        kind, inference, rows=np.delete(rows, 60, axis=0), lengths=[60, 90, 49], **options
    )
    assert left_out.lower_bound_ == pytest.approx(without.lower_bound_, rel=1e-10)


@kinds
@rungs
def test_lists_of_arrays_are_arrays_with_lengths(kind, inference):
    rows = ROWS[kind]
    parts = np.split(rows, np.cumsum(LENGTHS)[:-1])
    one, other = fitted(kind, inference), fitted(kind, inference, rows=parts, lengths=None)
    assert one.lower_bounds_ == other.lower_bounds_
    np.testing.assert_array_equal(one.predict(rows, LENGTHS), other.predict(parts))


@kinds
@rungs
@pytest.mark.parametrize("schedule", ["batch", "memoized"])
def test_the_same_bits_for_any_number_of_threads(kind, inference, schedule):  # H12
    if inference == "gibbs" and schedule != "batch":
        pytest.skip("draws are made of all data")
    options = {"n_iter": 4, "tol": 0.0} if inference != "gibbs" else {}
    if schedule != "batch":
        options["n_batches"] = 3
    one = fitted(kind, inference, schedule=schedule, n_jobs=1, **options)
    two = fitted(kind, inference, schedule=schedule, n_jobs=2, **options)
    assert one.lower_bounds_ == two.lower_bounds_
    np.testing.assert_array_equal(one.transmat_, two.transmat_)


# ---- what sequences may be ---------------------------------------------------------------------


@kinds
def test_lengths_are_checked(kind):  # H1
    rows = ROWS[kind]
    for lengths, message in (
        ([100, 99], "199, X has 200"),
        ([200, 0], "sequence 1 has 0"),
        ([201, -1], "sequence 1 has -1"),
        ([100.5, 99.5], "integer"),
    ):
        for act in (model(kind).fit, fitted(kind).score):
            with pytest.raises(ValueError, match=message):
                act(rows, lengths)


@kinds
def test_single_steps_have_no_transitions(kind):  # H2
    estimator = fitted(kind, lengths=np.ones(200, dtype=int), transmat_init=STICKY)
    np.testing.assert_allclose(estimator.transmat_, STICKY, rtol=1e-12)
    assert estimator.score(ROWS[kind], np.ones(200, dtype=int)) == pytest.approx(
        logsumexp(np.log(estimator.startprob_) + densities(estimator, ROWS[kind]), axis=1).sum(),
        rel=1e-11,
    )


def test_impossible_sequences_are_named():  # H4
    codes = np.array([0, 1, 0, 1, 0, 1, 0, 2, 2])[:, None]
    options = {
        "emissionprob_init": np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
        "n_features": 3,
    }
    estimator = CategoricalHMM(2, **options)
    with pytest.raises(ValueError, match="sequence 2 impossible from t=1"):
        estimator.fit(codes, [4, 2, 3])
    with quiet():
        estimator.fit(codes[:7], [4, 3])
    own = estimator.score_sequences(codes, [4, 2, 3])
    assert np.isneginf(own[2])
    assert np.isfinite(own[:2]).all()
    assert estimator.score(codes, [4, 2, 3]) == -np.inf
    for act in (estimator.predict, estimator.predict_proba):
        with pytest.raises(ValueError, match="sequence 2 impossible from t=1"):
            act(codes, [4, 2, 3])
    kept = estimator.filter()
    kept.update([0])
    before = kept.log_likelihood
    with pytest.raises(ValueError, match="observation 1 is impossible"):
        kept.update([2])
    assert kept.log_likelihood == before
    np.testing.assert_array_equal(kept.probabilities, [1.0, 0.0])
    # Smoothing has a place for it.
    with quiet():
        CategoricalHMM(2, emissionprob_prior=2.0, **options).fit(codes, [4, 2, 3])


def test_symbols_are_checked():  # H5, H6
    estimator = fitted(CategoricalHMM)
    with pytest.raises(ValueError, match=r"code 6.*row|row.*code 6|step 1"):
        estimator.score([[0], [6]])
    for bad in ([[0], [-1]], [[0.0], [0.5]]):
        with pytest.raises(ValueError, match="step 1"):
            CategoricalHMM(2).fit(bad)
    wide = fitted(CategoricalHMM, n_features=9, emissionprob_prior=1.5)
    assert wide.emissionprob_.shape == (3, 9)
    assert np.isfinite(wide.score([[8]]))


def test_a_state_that_is_never_visited_is_told_of():  # H7
    rows = ROWS[GaussianHMM]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        estimator = GaussianHMM(
            3, inference="hard-em", means_init=[[0, 0], [6, -4], [1e3, 1e3]]
        ).fit(rows)
    assert any(
        issubclass(w.category, DegenerateWarning) and "state 2" in str(w.message) for w in told
    )
    np.testing.assert_allclose(estimator.transmat_.sum(axis=1), 1, rtol=1e-12)
    assert (estimator.transmat_ >= 0).all()


@kinds
@rungs
def test_structural_zeros_and_frozen_entries_stay(kind, inference):  # H8, H14
    support = np.triu(np.ones((3, 3), dtype=bool))
    if inference == "variational-em":
        with pytest.raises(ValueError, match="'em'"):
            model(kind, inference, transmat_support=support).fit(ROWS[kind], LENGTHS)
    else:
        estimator = fitted(
            kind, inference, transmat_support=support, startprob_support=[True, True, False]
        )
        np.testing.assert_array_equal(estimator.transmat_[~support], 0.0)
        assert estimator.startprob_[2] == 0.0
        np.testing.assert_allclose(estimator.transmat_.sum(axis=1), 1, rtol=1e-12)
        steps = np.split(estimator.predict(ROWS[kind], LENGTHS), np.cumsum(LENGTHS)[:-1])
        assert all((np.diff(path) >= 0).all() for path in steps)
    held = np.full((3, 3), np.nan)
    held[0] = [0.5, 0.25, 0.25]
    held[1, 1] = 0.4
    estimator = fitted(kind, inference, transmat_frozen=held)
    np.testing.assert_allclose(estimator.transmat_[0], held[0], rtol=1e-12)
    assert estimator.transmat_[1, 1] == pytest.approx(0.4, rel=1e-12)


@pytest.mark.parametrize("inference", ["em", "mean-field", "hard-em", "gibbs"])
def test_frozen_entries_may_exceed_one_by_rounding(inference):
    held = np.array([0.1, 0.2, 0.3, 0.4, np.nan])
    assert 1 - 0.1 - 0.2 - 0.3 - 0.4 < 0
    estimator = fitted(CategoricalHMM, inference, startprob_frozen=held, n_components=5)
    np.testing.assert_allclose(estimator.startprob_, [0.1, 0.2, 0.3, 0.4, 0], rtol=1e-12)


@kinds
@rungs
def test_partial_fit_is_there_where_it_works(kind, inference):
    assert hasattr(model(kind, inference), "partial_fit") == (inference != "gibbs")
    if inference == "gibbs":
        with pytest.raises(ValueError, match=r"'gibbs' draws from a posterior.*use inference='em'"):
            model(kind, inference).partial_fit(ROWS[kind], LENGTHS)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("startprob_init", [0.5, 0.5, 0.5], "sums to 1.5"),
        ("transmat_init", [[1, 0, 0], [0.5, 0.6, 0], [0, 0, 1]], "row 1 sums to 1.1"),
        ("transmat_init", np.eye(2), r"shape \(3, 3\)"),
        ("emissionprob_init", np.full((3, 6), 0.2), "sum"),
        ("transmat_prior", np.ones((2, 2)), "shape"),
        ("transmat_support", np.zeros((3, 3), dtype=bool), "row 0"),
        ("startprob_frozen", [0.9, 0.9, np.nan], "at most 1"),
        ("n_features", 3, "3"),
    ],
)
def test_parameters_are_checked(name, value, message):  # H9
    estimator = fitted(CategoricalHMM)
    before = estimator.transmat_.copy()
    estimator.set_params(**{name: value})
    with pytest.raises(ValueError, match=message):
        estimator.fit(ROWS[CategoricalHMM], LENGTHS)
    np.testing.assert_array_equal(estimator.transmat_, before)


@kinds
@rungs
def test_missing_steps_and_features(kind, inference):  # H11
    rows = ROWS[kind].astype(float)
    rows[np.random.default_rng(6).random(rows.shape) < 0.1] = np.nan
    rows[10] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        model(kind, inference).fit(rows, LENGTHS)
    estimator = fitted(kind, inference, rows=rows, missing="marginalize")
    assert np.isfinite(estimator.score(rows, LENGTHS))
    # A step without anything is one that is passed over.
    gap = rows[8:13].copy()
    gap[2] = np.nan
    paths = np.array(list(product(range(3), repeat=5)))
    with np.errstate(divide="ignore"):
        start, transmat = np.log(estimator.startprob_), np.log(estimator.transmat_)
    single = np.array(
        [[estimator_of_one(estimator, k).score(row[None]) for k in range(3)] for row in gap]
    )
    joint = start[paths[:, 0]] + transmat[paths[:, :-1], paths[:, 1:]].sum(axis=1)
    joint += single[np.arange(5), paths].sum(axis=1)
    np.testing.assert_allclose(single[2], 0.0, atol=1e-12)
    assert estimator.score(gap) == pytest.approx(logsumexp(joint), rel=1e-10)


def estimator_of_one(estimator, k):
    """Return the estimator whose start is state k alone."""
    other = copy.copy(estimator)
    other.startprob_ = np.eye(3)[k]
    return other


@kinds
@rungs
def test_known_states_are_kept(kind, inference):
    labels = np.full(200, -1)
    labels[::10] = (STATES[::10] + 1) % 3  # other numbers than the default start gives, likely
    estimator = fitted(kind, inference, labels=labels)
    path = estimator.predict(ROWS[kind], LENGTHS)
    if inference in ("em", "mean-field"):
        assert (path == (STATES + 1) % 3).mean() > 0.85
    with pytest.raises(ValueError, match=r"in -1\.\.2 .*; sequence 0, step 0 has 3"):
        model(kind, inference).fit(ROWS[kind], LENGTHS, labels=np.full(200, 3))


@kinds
@rungs
def test_where_all_states_are_known_they_are_the_groups(kind, inference):
    """Under numbers that no start would give them."""
    labels = (STATES + 2) % 3
    estimator = fitted(kind, inference, labels=labels)
    assert (estimator.predict(ROWS[kind], LENGTHS) == labels).mean() > 0.85
    rows = ROWS[kind]
    if kind is CategoricalHMM:
        rows = (rows == np.arange(6)).astype(float)
    found = [rows[labels == k].mean(axis=0) for k in range(3)]
    # A draw, or a posterior, is near what it is drawn from.
    spread = 4 * np.std(rows, axis=0).max() / np.sqrt(60)
    np.testing.assert_allclose(shown(estimator), found, atol=spread)
    if inference in ("em", "variational-em", "hard-em"):
        np.testing.assert_allclose(shown(estimator), found, atol=1e-9)


@kinds
def test_priors_do_not_rule_out_transitions_at_the_start(kind):
    """The mode of a sticky prior alone is a chain that never moves."""
    estimator = fitted(kind, sticky=5.0, startprob_prior=[3.0, 1.0, 1.0])
    off = estimator.transmat_[~np.eye(3, dtype=bool)]
    assert (off > 0).any()
    path = estimator.predict(ROWS[kind], LENGTHS)
    assert len(np.unique(path)) == 3
    plain = fitted(kind)
    assert np.trace(estimator.transmat_) > np.trace(plain.transmat_)


# ---- files -------------------------------------------------------------------------------------


@kinds
@rungs
def test_a_file_brings_the_model_back(kind, inference, tmp_path):
    support = np.triu(np.ones((3, 3), dtype=bool)) if inference == "em" else None
    held = np.array([[0.6, np.nan, np.nan], [np.nan] * 3, [np.nan] * 3])
    estimator = fitted(kind, inference, transmat_support=support, transmat_frozen=held)
    path = tmp_path / "model.safetensors"
    estimator.save(path)
    again = vemfast.load(path)
    assert type(again) is kind
    rows = ROWS[kind]
    assert again.score(rows, LENGTHS) == estimator.score(rows, LENGTHS)
    np.testing.assert_array_equal(again.predict(rows, LENGTHS), estimator.predict(rows, LENGTHS))
    np.testing.assert_array_equal(again.transmat_frozen, held)
    assert set(vars(again)) == set(vars(estimator))
    if inference == "gibbs":
        np.testing.assert_array_equal(again.posterior_.transmat, estimator.posterior_.transmat)
    with quiet():
        again.set_params(n_iter=2).fit(rows, LENGTHS) if inference != "gibbs" else None
    estimator.transmat_ = estimator.transmat_ * 2
    with pytest.raises(ValueError, match="transmat_"):
        estimator.save(path)


def test_symbols_of_several_columns(tmp_path):
    rows = np.c_[ROWS[CategoricalHMM], ROWS[BernoulliHMM][:, :2]]
    estimator = fitted(CategoricalHMM, rows=rows, inference="mean-field")
    assert [table.shape for table in estimator.emissionprob_] == [(3, 6), (3, 2), (3, 2)]
    estimator.save(tmp_path / "m.safetensors")
    again = vemfast.load(tmp_path / "m.safetensors")
    assert again.score(rows) == estimator.score(rows)
    drawn, _ = estimator.sample(50)
    assert np.isfinite(again.score(drawn))
    assert estimator.forecast(2, rows)[1].shape == (2, 10)
