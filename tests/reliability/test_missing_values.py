"""missing="marginalize" of the estimator: every rung and source, hard cases, and each refusal."""

import copy
import pickle

import numpy as np
import pytest
from reliability.helpers import (
    CENTRES,
    DETERMINISTIC,
    FITTED,
    RUNGS,
    SCHEDULES,
    TYPES,
    X,
    degenerate_messages,
    fixed_length,
    is_finite,
    mixture,
    quiet_fit,
    same_bits,
)
from scipy import stats
from scipy.special import logsumexp
from sklearn.base import clone

import vemfast

rng = np.random.default_rng(5)
HOLES = X.copy()
HOLES[rng.random(X.shape) < 0.15] = np.nan
HOLES[[20, 90]] = np.nan  # rows with nothing observed
GONE = np.isnan(HOLES)
EMPTY = GONE.all(axis=1)
WEIGHTS = rng.uniform(0.2, 2.0, len(X))
START = {"means_init": CENTRES + 0.4}


def marginal(n_components=3, inference="em", **options):
    return mixture(n_components, inference, missing="marginalize", **options)


def matrices(estimator):
    """Covariances as (K, D, D)."""
    K, D = estimator.means_.shape
    own, kind = estimator.covariances_, estimator.covariance_type
    if kind not in ("full", "tied"):
        own = np.reshape(own, (-1, own.shape[-1] if kind == "diag" else 1))[:, :, None] * np.eye(D)
    return np.broadcast_to(own, (K, D, D))


def near(estimator, other, rtol=1e-12):
    """Hold the fitted numbers of two estimators to each other."""
    for name in FITTED:
        a, b = getattr(estimator, name), getattr(other, name)
        np.testing.assert_allclose(a, b, rtol=1e3 * rtol, atol=rtol * np.abs(b).max())
    assert estimator.lower_bound_ == pytest.approx(other.lower_bound_, rel=rtol)


# ---- every rung, schedule and source ----


@pytest.fixture(scope="module", params=RUNGS)
def inference(request):
    return request.param


@pytest.mark.parametrize("covariance_type", TYPES)
def test_every_rung_gives_finite_numbers_and_a_bound_that_does_not_fall(inference, covariance_type):
    estimator = quiet_fit(marginal(3, inference, covariance_type=covariance_type), HOLES)
    assert is_finite(estimator, HOLES)
    np.testing.assert_allclose(estimator.predict_proba(HOLES).sum(axis=1), 1.0, atol=1e-12)
    if inference != "gibbs":
        bounds = np.array(estimator.lower_bounds_)
        assert np.diff(bounds).min() >= -1e-9 * np.abs(bounds).max()
        assert len(bounds) > 2


def sources(tmp_path):
    np.save(tmp_path / "rows.npy", HOLES)
    return {
        "threads": HOLES,
        "memory map": np.load(tmp_path / "rows.npy", mmap_mode="r"),
        "chunks": [HOLES[:7], HOLES[7:21], HOLES[21:]],
        "Fortran": np.asfortranarray(HOLES),
    }


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["unweighted", "weighted"])
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag"])
def test_same_bits_from_any_source_and_number_of_threads(
    tmp_path, inference, covariance_type, weights
):
    options = {"covariance_type": covariance_type, **fixed_length(inference, 4)}
    alone = quiet_fit(marginal(3, inference, n_jobs=1, **options), HOLES, sample_weight=weights)
    for name, rows in sources(tmp_path).items():
        other = marginal(3, inference, n_jobs=2, **options)
        assert same_bits(quiet_fit(other, rows, sample_weight=weights), alone), name
        for method in ("predict_proba", "score_samples", "impute"):
            assert same_bits(getattr(other, method)(rows), getattr(alone, method)(HOLES)), name


@pytest.mark.parametrize("schedule", SCHEDULES[1:])
@pytest.mark.parametrize("inference", DETERMINISTIC)
def test_schedules_with_batches(inference, schedule):
    options = {"schedule": schedule, "n_batches": 4, "n_jobs": 1}
    estimator = quiet_fit(marginal(3, inference, **options), HOLES)
    assert is_finite(estimator, HOLES)
    chunks = quiet_fit(marginal(3, inference, **options), [HOLES[:50], HOLES[50:]])
    assert same_bits(chunks, estimator)
    if schedule == "memoized":
        bounds = np.array(estimator.lower_bounds_)
        assert np.diff(bounds).min() >= -1e-9 * np.abs(bounds).max()


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("covariance_type", TYPES)
def test_complete_rows_give_the_bits_of_a_fit_that_knows_no_missing_values(
    covariance_type, schedule
):
    fits = [
        quiet_fit(mixture(3, covariance_type=covariance_type, schedule=schedule, missing=word), X)
        for word in ("error", "marginalize")
    ]
    assert same_bits(*fits)
    assert same_bits(fits[0].impute(X), X)
    for method in ("predict_proba", "score_samples"):
        assert same_bits(getattr(fits[0], method)(X), getattr(fits[1], method)(X))


@pytest.mark.parametrize("inference", RUNGS)
@pytest.mark.parametrize("covariance_type", TYPES)
def test_float32_is_near_float64(inference, covariance_type):
    options = {"covariance_type": covariance_type, **START, **fixed_length(inference, 3)}
    narrow = quiet_fit(marginal(3, inference, **options), HOLES.astype(np.float32))
    wide = quiet_fit(marginal(3, inference, **options), HOLES)
    np.testing.assert_allclose(narrow.means_, wide.means_, atol=1e-4)
    completed = narrow.impute(HOLES.astype(np.float32))
    assert completed.dtype == np.float32
    np.testing.assert_allclose(completed, wide.impute(HOLES), atol=1e-3)


# ---- rows with nothing observed ----


def test_they_are_found_in_every_part_of_a_stream(monkeypatch):
    monkeypatch.setattr("vemfast.streams._PART_BYTES", 1)
    rows = np.tile(HOLES, (8, 1))
    weights = np.tile(WEIGHTS, 8)
    options = {**START, **fixed_length("em", 3)}
    for own in (None, weights):
        alone = quiet_fit(marginal(3, **options), rows, sample_weight=own)
        stream = quiet_fit(marginal(3, **options), [rows[:500], rows[500:]], sample_weight=own)
        assert same_bits(alone, stream)


@pytest.mark.parametrize("inference", DETERMINISTIC)
@pytest.mark.parametrize("covariance_type", TYPES)
def test_rows_with_nothing_observed_are_as_if_they_were_not_there(inference, covariance_type):
    options = {"covariance_type": covariance_type, **START, **fixed_length(inference, 6)}
    near(
        quiet_fit(marginal(3, inference, **options), HOLES),
        quiet_fit(marginal(3, inference, **options), HOLES[~EMPTY]),
    )


def test_the_posterior_of_a_row_with_nothing_observed_is_the_weights(inference):
    estimator = quiet_fit(marginal(3, inference), HOLES)
    assert (estimator.predict_proba(HOLES)[EMPTY] == estimator.weights_).all()
    assert (estimator.predict(HOLES)[EMPTY] == np.argmax(estimator.weights_)).all()
    np.testing.assert_allclose(estimator.score_samples(HOLES)[EMPTY], 0.0, atol=1e-14)
    mean = estimator.weights_ @ estimator.means_
    np.testing.assert_array_equal(estimator.impute(HOLES)[EMPTY], [mean, mean])
    for criterion in (estimator.bic, estimator.aic, estimator.icl):
        assert criterion(HOLES) == pytest.approx(criterion(HOLES[~EMPTY]), rel=1e-12)


def test_weights_stand_for_copies():
    options = {**START, **fixed_length("em", 6)}
    weights = np.arange(len(X)) % 3
    weighted = quiet_fit(marginal(3, **options), HOLES, sample_weight=weights)
    repeated = quiet_fit(marginal(3, **options), np.repeat(HOLES, weights, axis=0))
    near(weighted, repeated, 1e-11)


# ---- what it is ----


@pytest.mark.parametrize("covariance_type", TYPES)
def test_densities_and_imputed_values_by_the_textbook(covariance_type):
    """One row at a time: marginals are sub-matrices, conditional means regressions."""
    estimator = quiet_fit(marginal(3, covariance_type=covariance_type), HOLES)
    sigma = matrices(estimator)
    density, imputed = np.zeros(len(X)), HOLES.copy()
    for row, x in enumerate(HOLES):
        m, o = GONE[row], ~GONE[row]
        joint = np.log(estimator.weights_)
        if o.any():
            joint = joint + [
                stats.multivariate_normal(mean[o], s[np.ix_(o, o)]).logpdf(x[o])
                for mean, s in zip(estimator.means_, sigma, strict=True)
            ]
        density[row] = logsumexp(joint)
        imputed[row, m] = np.exp(joint - density[row]) @ [
            mean[m] + s[np.ix_(m, o)] @ np.linalg.solve(s[np.ix_(o, o)], (x - mean)[o])
            for mean, s in zip(estimator.means_, sigma, strict=True)
        ]
    np.testing.assert_allclose(estimator.score_samples(HOLES), density, atol=1e-9)
    np.testing.assert_allclose(estimator.impute(HOLES), imputed, atol=1e-8)
    assert same_bits(estimator.impute(HOLES)[~GONE], HOLES[~GONE])
    observed = density[~EMPTY]
    assert estimator.lower_bound_ == pytest.approx(observed.sum(), rel=1e-9)


def test_under_mean_field_the_density_is_the_predictive_one_of_what_is_observed():
    estimator = quiet_fit(marginal(2, "mean-field"), HOLES)
    K, D = estimator.means_.shape
    kappa, nu = estimator.mean_precision_, estimator.degrees_of_freedom_
    joint = np.empty((len(X), K))
    for row, x in enumerate(HOLES):
        o = ~GONE[row]
        for k in range(K):
            df = nu[k] + 1 - D
            shape = estimator.covariances_[k] * nu[k] * (kappa[k] + 1) / (kappa[k] * df)
            joint[row, k] = np.log(estimator.weights_[k])
            if o.any():
                law = stats.multivariate_t(estimator.means_[k][o], shape[np.ix_(o, o)], df)
                joint[row, k] += law.logpdf(x[o])
    np.testing.assert_allclose(estimator.score_samples(HOLES), logsumexp(joint, axis=1), atol=1e-9)


def test_under_gibbs_the_density_is_the_average_over_draws():
    estimator = marginal(2, "gibbs").fit(HOLES)
    draws = estimator.posterior_
    flat = [np.reshape(a, (-1, *a.shape[2:])) for a in (draws.weights, draws.means)]
    terms = []
    for weights, means, sigma in zip(*flat, draws.covariances.reshape(-1, 2, 4, 4), strict=True):
        one = copy.copy(estimator).set_params(inference="em")
        del one.posterior_
        one.weights_, one.means_, one.covariances_ = weights, means, sigma
        terms.append(one.score_samples(HOLES))
    np.testing.assert_allclose(
        estimator.score_samples(HOLES), logsumexp(terms, axis=0) - np.log(len(terms)), atol=1e-9
    )


def test_monotone_missingness_of_one_component_has_a_closed_form():
    """Anderson 1957: the second feature is missing in some rows; its regression on the first."""
    noise = np.random.default_rng(3)
    rows = noise.normal(size=(200, 2)) @ [[1.0, 0.8], [0.0, 0.5]] + [3.0, -1.0]
    rows[noise.random(200) < 0.4, 1] = np.nan
    whole = rows[~np.isnan(rows[:, 1])]
    slope = np.cov(whole.T, bias=True)[0, 1] / whole[:, 0].var()
    rest = (whole[:, 1] - slope * whole[:, 0]).var()
    mean, variance = rows[:, 0].mean(), rows[:, 0].var()
    estimator = quiet_fit(marginal(1, tol=0.0, max_iter=300), rows)
    other = whole[:, 1].mean() + slope * (mean - whole[:, 0].mean())
    np.testing.assert_allclose(estimator.means_[0], [mean, other], rtol=1e-9)
    covariance = [[variance, slope * variance], [slope * variance, rest + slope**2 * variance]]
    np.testing.assert_allclose(estimator.covariances_[0], covariance, rtol=1e-8)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_imputed_values_are_the_regression_on_the_others(covariance_type):
    estimator = quiet_fit(marginal(3, covariance_type=covariance_type), HOLES)
    for column in range(4):
        rows = X.copy()
        rows[:, column] = np.nan
        expected = estimator.predict_conditional(np.delete(X, column, axis=1), column)
        np.testing.assert_allclose(estimator.impute(rows)[:, column], expected, atol=1e-9)


def test_completed_values_are_nearer_than_column_means():
    estimator = marginal(3).fit(HOLES)
    error = (estimator.impute(HOLES) - X)[GONE & ~EMPTY[:, None]]
    plain = (np.nanmean(HOLES, axis=0) - X)[GONE & ~EMPTY[:, None]]
    assert (error**2).mean() < 0.4 * (plain**2).mean()


def test_a_fit_to_complete_rows_completes_others():
    estimator = mixture(3).fit(X)
    other = mixture(3, missing="marginalize").fit(X)
    assert same_bits(estimator.impute(HOLES), other.impute(HOLES))
    chunks = estimator.impute([HOLES[:40], HOLES[40:]])
    assert same_bits(chunks, estimator.impute(HOLES))


# ---- chunk by chunk ----


@pytest.mark.parametrize("inference", DETERMINISTIC)
def test_the_first_partial_fit_is_the_first_iteration(inference):
    online = marginal(3, inference).partial_fit(HOLES)
    batch = quiet_fit(marginal(3, inference, max_iter=1, tol=0.0), HOLES)
    assert all(same_bits(getattr(online, name), getattr(batch, name)) for name in FITTED)


def test_later_chunks_may_lack_a_column_or_have_rows_with_nothing():
    estimator = marginal(3).partial_fit(HOLES)
    chunk = HOLES[30:60].copy()
    chunk[:, 1] = np.nan
    chunk[4] = np.nan
    estimator.partial_fit(chunk)
    without = marginal(3).partial_fit(HOLES).partial_fit(np.delete(chunk, 4, axis=0))
    near(estimator, without)
    before = copy.deepcopy(estimator)
    with pytest.raises(ValueError, match="X has no observed value in any row"):
        estimator.partial_fit(np.full((3, 4), np.nan))
    with pytest.raises(ValueError, match=r"infinity \(inf\) at row 1, column 2"):
        estimator.partial_fit(np.array([[1, 2, np.nan, 4], [1, 2, np.inf, 4]]))
    assert same_bits(estimator, before)


# ---- refusals ----

FIX = "drop or impute such rows, or set missing='marginalize'"


@pytest.mark.parametrize("method", ["fit", "partial_fit", "predict_proba", "score_samples", "bic"])
def test_C1_without_the_word_nan_is_refused_and_the_fix_named(method):
    estimator = mixture(3).fit(X)
    before = copy.deepcopy(estimator)
    row, column = np.argwhere(GONE)[0]
    with pytest.raises(ValueError, match=f"X contains NaN at row {row}, column {column}; {FIX}"):
        getattr(estimator, method)(HOLES)
    assert same_bits(estimator, before)


def test_C1_without_the_word_nan_is_refused_in_chunks_and_maps(tmp_path):
    row, column = np.argwhere(GONE)[0]
    np.save(tmp_path / "rows.npy", HOLES)
    for rows in ([HOLES[:9], HOLES[9:]], np.load(tmp_path / "rows.npy", mmap_mode="r")):
        with pytest.raises(ValueError, match=f"NaN at row {row}, column {column}; {FIX}"):
            mixture(3).fit(rows)


@pytest.mark.parametrize("value", [np.inf, -np.inf])
@pytest.mark.parametrize("method", ["fit", "partial_fit", "predict", "score_samples", "impute"])
def test_C1_infinity_is_refused_always(method, value):
    estimator = marginal(3).fit(HOLES)
    before = copy.deepcopy(estimator)
    rows = HOLES.copy()
    rows[31, 2] = value
    with pytest.raises(ValueError, match=r"infinity \(inf\) at row 31, column 2; drop or impute"):
        getattr(estimator, method)(rows)
    assert same_bits(estimator, before)
    with pytest.raises(ValueError, match=r"infinity \(inf\) at row 31, column 2"):
        marginal(3).fit([rows[:9], rows[9:]])


@pytest.mark.parametrize("cut", [None, 60], ids=["array", "chunks"])
def test_a_column_without_any_value_is_named(cut):
    rows = HOLES.copy()
    rows[:, 2] = np.nan
    estimator = marginal(3).fit(HOLES)
    before = copy.deepcopy(estimator)
    with pytest.raises(ValueError, match=r"X has no observed value in column 2.*drop the column"):
        estimator.fit(rows if cut is None else [rows[:cut], rows[cut:]])
    assert same_bits(estimator, before)


def test_C2_C12_rows_with_something_observed_are_what_counts():
    with pytest.raises(ValueError, match="X has no observed value in any row"):
        marginal(1).fit(np.full((5, 2), np.nan))
    rows = np.array([[np.nan, np.nan], [1.0, np.nan], [np.nan, 2.0]])
    with pytest.raises(ValueError, match=r"n_components=3 .* n_samples=2 of positive weight"):
        marginal(3).fit(rows)


def test_the_word_is_checked():
    with pytest.raises(ValueError, match="'missing' parameter of GaussianMixture must be"):
        mixture(2, missing="ignore").fit(X)


# ---- hard cases ----


def test_C6_forms_of_the_same_rows():
    expected = quiet_fit(marginal(3, max_iter=3), HOLES)
    big = HOLES.astype(HOLES.dtype.newbyteorder(">"))
    frozen = HOLES.copy()
    frozen.setflags(write=False)
    twice = np.repeat(HOLES, 2, axis=1)[:, ::2]
    for rows in (big, frozen, twice, HOLES[::-1][::-1], HOLES.tolist(), HOLES.astype(object)):
        assert same_bits(quiet_fit(marginal(3, max_iter=3), rows), expected)


def test_C11_round_trips(tmp_path):
    estimator = marginal(3).fit(HOLES)
    estimator.save(tmp_path / "mixture.safetensors")
    for other in (
        pickle.loads(pickle.dumps(estimator)),
        copy.deepcopy(estimator),
        vemfast.load(tmp_path / "mixture.safetensors"),
    ):
        assert other.missing == "marginalize"
        for method in ("predict_proba", "score_samples", "impute"):
            assert same_bits(getattr(other, method)(HOLES), getattr(estimator, method)(HOLES))
    assert clone(estimator).missing == "marginalize"


def test_C13_fewer_distinct_rows_than_components():
    rows = np.repeat([[1.0, np.nan], [np.nan, 2.0], [3.0, 4.0]], 10, axis=0)
    messages = degenerate_messages(marginal(4), rows)
    assert any("X has only 3 distinct rows, fewer than n_components=4" in m for m in messages)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_G1_collapse_is_held_at_the_edge(covariance_type):
    rows = np.concatenate([HOLES, np.full((12, 4), 40.0)])
    rows[-6:, 1] = np.nan
    options = {"means_init": [[40.0] * 4, *CENTRES], "covariance_type": covariance_type}
    estimator = marginal(4, **options)
    degenerate_messages(estimator, rows)
    assert is_finite(estimator, rows)
    assert np.diff(estimator.lower_bounds_).min() >= -1e-9 * abs(estimator.lower_bound_)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_G2_G10_constant_columns_and_identical_rows(covariance_type):
    rows = HOLES.copy()
    rows[~GONE[:, 1], 1] = 7.0
    estimator = marginal(2, covariance_type=covariance_type)
    degenerate_messages(estimator, rows)
    assert is_finite(estimator, rows)
    same = np.where(GONE, np.nan, 3.0)
    estimator = marginal(1, covariance_type=covariance_type)
    degenerate_messages(estimator, same)
    np.testing.assert_allclose(estimator.impute(same), 3.0, rtol=1e-12)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_G3_offsets_and_scales(covariance_type):
    options = {"covariance_type": covariance_type, **fixed_length("em", 8)}
    plain = quiet_fit(marginal(3, means_init=CENTRES + 0.4, **options), HOLES)
    for scale, offset in ((1.0, 1e8), (1e-8, 0.0), (1e8, 0.0)):
        start = scale * (CENTRES + 0.4) + offset
        moved = quiet_fit(marginal(3, means_init=start, **options), scale * HOLES + offset)
        np.testing.assert_allclose((moved.means_ - offset) / scale, plain.means_, atol=1e-6)
        np.testing.assert_allclose(
            moved.covariances_ / scale**2, plain.covariances_, rtol=1e-6, atol=1e-6
        )


def test_G4_an_empty_component_is_moved_or_told_of():
    estimator = marginal(3, "hard-em", means_init=[*CENTRES[:2], [1e3] * 4])
    degenerate_messages(estimator, HOLES)
    assert is_finite(estimator, HOLES)
    assert np.diff(estimator.lower_bounds_).min() >= -1e-9 * abs(estimator.lower_bound_)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_G5_a_far_row_has_a_posterior_or_no_density(covariance_type):
    estimator = quiet_fit(marginal(3, covariance_type=covariance_type), HOLES)
    far = np.array([[1e200, np.nan, 0.0, 0.0], [np.nan, np.nan, -1e200, np.nan]])
    density = estimator.score_samples(far)
    assert ((density < -1e100) & ~np.isnan(density)).all()
    np.testing.assert_allclose(estimator.predict_proba(far).sum(axis=1), 1.0)
    assert np.isfinite(estimator.impute(far)).all()


def test_G7_one_feature_is_the_fit_without_the_missing_rows():
    rows = np.array([[1.0], [2.0], [4.0], [np.nan]])
    estimator = quiet_fit(marginal(1), rows)
    assert estimator.means_[0, 0] == pytest.approx(7 / 3)
    assert estimator.covariances_[0, 0, 0] == pytest.approx(np.var([1, 2, 4]))


def test_G11_a_warm_start_goes_on():
    first = quiet_fit(marginal(3, max_iter=3, tol=0.0, warm_start=True), HOLES)
    bound = first.lower_bound_
    again = quiet_fit(first, HOLES)
    assert again.lower_bounds_[0] == pytest.approx(bound, rel=1e-9)
