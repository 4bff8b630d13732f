"""BernoulliMixture, PoissonMixture and CategoricalMixture: rows of all kinds, and every rung."""

import pickle
from itertools import pairwise

import discrete
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from reliability.helpers import DETERMINISTIC, FEW_DRAWS, RUNGS, quiet, quiet_fit, same_bits
from scipy.special import gammaln, logsumexp

import vemfast
from vemfast import BernoulliMixture, CategoricalMixture, PoissonMixture
from vemfast.models.discrete_points import as_table

KINDS = {
    "bernoulli": BernoulliMixture,
    "poisson": PoissonMixture,
    "categorical": CategoricalMixture,
}
ROWS = {family: discrete.rows_of(family, 400, n_features=5, apart=True) for family in KINDS}
MISSING = {family: discrete.with_missing(rows, 0.15) for family, rows in ROWS.items()}
WEIGHTS = np.random.default_rng(2).uniform(0.25, 3.0, 400)

families = pytest.mark.parametrize("family", KINDS)
rungs = pytest.mark.parametrize("inference", RUNGS)


def mixture(family, inference="em", n_components=3, **options):
    draws = FEW_DRAWS if inference == "gibbs" else {}
    given = {"random_state": 0} | draws | options
    return KINDS[family](n_components, inference=inference, **given)


def shown(estimator):
    return estimator.rates_ if hasattr(estimator, "rates_") else estimator.probabilities_


def log_joint(family, estimator, rows):
    """Return log p(x, z) of rows without missing entries, (n, K), from the textbook."""
    table = shown(estimator)
    out = np.log(estimator.weights_) * np.ones((len(rows), 1))
    for d in range(rows.shape[1]):
        x = rows[:, d].astype(int)
        if family == "categorical":
            out += np.log(table[d][:, x]).T
        elif family == "bernoulli":
            p = table[:, d]
            out += np.where(x[:, None] == 1, np.log(p), np.log1p(-p))
        else:
            rate = table[:, d]
            out += x[:, None] * np.log(rate) - rate - gammaln(x[:, None] + 1)
    return out


# ---- densities ----


@families
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_a_point_scores_as_the_textbook_says(family):
    rows = ROWS[family]
    estimator = quiet_fit(mixture(family), rows)
    joint = log_joint(family, estimator, rows)
    density = logsumexp(joint, axis=1)
    np.testing.assert_allclose(estimator.score_samples(rows), density, rtol=1e-12)
    np.testing.assert_allclose(
        estimator.predict_proba(rows), np.exp(joint - density[:, None]), atol=1e-12
    )
    assert np.array_equal(estimator.predict(rows), joint.argmax(axis=1))
    assert estimator.score(rows) * len(rows) == pytest.approx(estimator.lower_bound_, rel=1e-12)
    free = {"bernoulli": 3 * 5, "poisson": 3 * 5, "categorical": 3 * (discrete.SIZES[:5] - 1).sum()}
    bic = -2 * density.sum() + (free[family] + 2) * np.log(400)
    assert estimator.bic(rows) == pytest.approx(bic, rel=1e-12)
    certainty = np.log(estimator.predict_proba(rows).max(axis=1)).sum()
    assert estimator.icl(rows) == pytest.approx(bic - 2 * certainty, rel=1e-12)


def every_row(family, estimator):
    """Return all rows there can be; of counts, all that have any probability to speak of."""
    if family == "categorical":
        sizes = estimator.n_categories_
    else:
        sizes = [2, 2] if family == "bernoulli" else [120, 120]
    grid = np.meshgrid(*(np.arange(size) for size in sizes), indexing="ij")
    return np.stack([axis.ravel() for axis in grid], axis=1).astype(float)


@rungs
@families
def test_densities_add_up_to_one(family, inference):
    rows = ROWS[family][:, :2].copy()
    estimator = quiet_fit(mixture(family, inference), rows)
    density = estimator.score_samples(every_row(family, estimator))
    assert np.exp(logsumexp(density)) == pytest.approx(1.0, abs=1e-9)


@families
def test_mean_field_scores_by_the_posterior_predictive(family):
    # Against draws from the posterior of the parameters.
    rows = ROWS[family][:60]
    estimator = quiet_fit(mixture(family, "mean-field"), rows)
    rng = np.random.default_rng(1)
    n_draws = 4000
    weights = rng.dirichlet(estimator.weight_concentration_, n_draws)
    density = np.zeros((n_draws, len(rows)))
    for s in range(n_draws):
        if family == "bernoulli":
            point = {"probabilities_": rng.beta(estimator.alpha_, estimator.beta_)}
        elif family == "poisson":
            point = {"rates_": rng.gamma(estimator.shape_) / estimator.rate_}
        else:
            point = {
                "probabilities_": [
                    np.array([rng.dirichlet(alpha) for alpha in column])
                    for column in estimator.concentrations_
                ]
            }
        like = type("Point", (), {"weights_": weights[s], **point})
        density[s] = np.exp(logsumexp(log_joint(family, like, rows), axis=1))
    error = density.std(axis=0) / np.sqrt(n_draws)
    z = (np.exp(estimator.score_samples(rows)) - density.mean(axis=0)) / error
    assert np.abs(z).max() < 5
    assert np.abs(z).mean() < 1.2


@rungs
@families
def test_draws_have_the_moments_of_the_mixture(family, inference):
    rows = ROWS[family]
    estimator = quiet_fit(mixture(family, inference), rows)
    drawn, labels = estimator.sample(40_000)
    assert drawn.shape == (40_000, 5)
    np.testing.assert_allclose(np.bincount(labels) / 40_000, estimator.weights_, atol=0.02)
    table, of = as_table(shown(estimator)), np.eye(3)[labels]
    if family == "categorical":
        sizes = discrete.SIZES[:5]
        drawn = np.concatenate([np.eye(m)[drawn[:, d]] for d, m in enumerate(sizes)], axis=1)
    mean = drawn.T @ of / of.sum(axis=0)
    spread = np.sqrt(np.maximum(table, 0.01) / of.sum(axis=0))
    assert np.abs((mean - table) / spread).max() < 5
    assert same_bits(estimator.sample(7), estimator.sample(7))


# ---- rows of all kinds ----


@rungs
@pytest.mark.parametrize("schedule", ["batch", "memoized"])
@pytest.mark.parametrize("missing", ["error", "marginalize"])
@families
def test_chunks_have_the_bits_of_the_whole(family, missing, schedule, inference):
    if inference == "gibbs" and schedule == "memoized":
        pytest.skip("gibbs runs under batch")
    rows = (ROWS if missing == "error" else MISSING)[family]
    options = {"missing": missing, "schedule": schedule}
    whole = quiet_fit(mixture(family, inference, **options), rows, sample_weight=WEIGHTS)
    ends = [0, 3, 100, 101, 300, 400]
    chunks = [rows[a:b] for a, b in pairwise(ends)]
    again = mixture(family, inference, **options)
    assert same_bits(quiet_fit(again, chunks, sample_weight=WEIGHTS), whole)
    pairs = [(rows[a:b], WEIGHTS[a:b]) for a, b in pairwise(ends)]
    assert same_bits(quiet_fit(mixture(family, inference, **options), lambda: pairs), whole)
    assert same_bits(whole.predict_proba(chunks), whole.predict_proba(rows))
    assert same_bits(whole.score_samples(iter(chunks)), whole.score_samples(rows))


@rungs
@pytest.mark.parametrize("missing", ["error", "marginalize"])
@pytest.mark.parametrize("family", ["bernoulli", "poisson"])
def test_sparse_rows_are_dense_rows(family, missing, inference):
    rows = (ROWS if missing == "error" else MISSING)[family]
    sparse = scipy.sparse.csr_array(rows)
    a = quiet_fit(mixture(family, inference, missing=missing), rows, sample_weight=WEIGHTS)
    b = quiet_fit(mixture(family, inference, missing=missing), sparse, sample_weight=WEIGHTS)
    if inference == "gibbs":  # the last bits differ, so some day another label is drawn
        assert b.score(sparse) == pytest.approx(a.score(rows), abs=0.05)
        return
    np.testing.assert_allclose(b.lower_bounds_, a.lower_bounds_, rtol=1e-12)
    np.testing.assert_allclose(shown(b), shown(a), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(b.predict_proba(sparse), a.predict_proba(rows), atol=1e-9)
    np.testing.assert_allclose(b.score_samples(sparse), a.score_samples(rows), rtol=1e-11)
    chunks = [sparse[:130], sparse[130:]]
    again = mixture(family, inference, missing=missing)
    assert same_bits(quiet_fit(again, chunks, sample_weight=WEIGHTS), b)


@pytest.mark.parametrize("family", ["bernoulli", "poisson"])
def test_sparse_rows_are_not_made_dense(family):
    # Dense, these rows would take 80 GB.
    rng = np.random.default_rng(0)
    sparse = scipy.sparse.random_array((100_000, 100_000), density=1e-5, rng=rng, format="csr")
    sparse.data[:] = 1
    estimator = quiet_fit(mixture(family, n_components=2, max_iter=2, tol=0.0), sparse)
    assert estimator.predict(sparse[:10]).shape == (10,)


@pytest.mark.parametrize("missing", ["error", "marginalize"])
@pytest.mark.parametrize("family", ["bernoulli", "poisson"])
def test_sparse_rows_may_store_nothing(family, missing):
    nothing = scipy.sparse.csr_array((3, 2))
    assert shown(quiet_fit(mixture(family, n_components=1, missing=missing), nothing)).max() == 0
    estimator = quiet_fit(mixture(family, missing=missing), ROWS[family][:, :2])
    np.testing.assert_array_equal(
        estimator.score_samples(nothing), estimator.score_samples(nothing.toarray())
    )


@families
def test_sparse_and_dense_chunks_do_not_go_together(family):
    rows = ROWS[family]
    if family == "categorical":
        with pytest.raises(TypeError, match="what is not stored has no code"):
            mixture(family).fit([rows, scipy.sparse.csr_array(rows)])
        return
    with pytest.raises(ValueError, match="chunk 1 of X: it is sparse, and the first is dense"):
        mixture(family).fit([rows, scipy.sparse.csr_array(rows)])


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float64])
@families
def test_a_memory_map_has_the_bits_of_the_rows(family, dtype, tmp_path):
    rows = ROWS[family].astype(dtype)
    rows.tofile(tmp_path / "rows")
    mapped = np.memmap(tmp_path / "rows", dtype=dtype, mode="r", shape=rows.shape)
    assert same_bits(mixture(family).fit(mapped), mixture(family).fit(rows))


@rungs
@families
def test_float32_is_near_float64(family, inference):
    rows = ROWS[family]
    a = quiet_fit(mixture(family, inference), rows)
    b = quiet_fit(mixture(family, inference), rows.astype(np.float32))
    if inference == "gibbs":  # another draw, sooner or later
        assert b.score(rows) == pytest.approx(a.score(rows), abs=0.05)
        return
    assert b.lower_bound_ == pytest.approx(a.lower_bound_, rel=1e-6)
    np.testing.assert_allclose(as_table(shown(b)), as_table(shown(a)), atol=2e-4, rtol=2e-4)
    assert as_table(shown(b)).dtype == np.float64


@rungs
@families
def test_a_feature_that_is_always_missing_changes_nothing(family, inference):
    rows = ROWS[family]
    more = np.column_stack([rows, np.full(len(rows), np.nan)])
    options = {"missing": "marginalize"}
    a = quiet_fit(mixture(family, inference, **options), rows)
    b = quiet_fit(mixture(family, inference, **options), more)
    if inference == "gibbs":  # the draw of that feature shifts no other: they follow each other
        np.testing.assert_allclose(b.posterior_.weights, a.posterior_.weights, rtol=1e-9)
        return
    np.testing.assert_allclose(b.lower_bounds_, a.lower_bounds_, rtol=1e-10)
    np.testing.assert_allclose(b.predict_proba(more), a.predict_proba(rows), atol=1e-9)
    np.testing.assert_allclose(b.score_samples(more), a.score_samples(rows), rtol=1e-10)


@rungs
@families
def test_rows_of_which_nothing_is_observed(family, inference):
    rows = MISSING[family]
    assert np.isnan(rows[5]).all()
    options = {"missing": "marginalize"}
    start = {} if inference == "gibbs" else mixture(family, **options).common_start(rows)
    a = quiet_fit(mixture(family, inference, **options, **start), rows)
    if inference != "gibbs":
        b = quiet_fit(mixture(family, inference, **options, **start), np.delete(rows, 5, axis=0))
        np.testing.assert_allclose(b.lower_bounds_, a.lower_bounds_, rtol=1e-12)
    np.testing.assert_array_equal(a.predict_proba(rows)[5], a.weights_)
    assert a.predict(rows)[5] == a.weights_.argmax()
    assert a.score_samples(rows)[5] == pytest.approx(0.0, abs=1e-9)
    with pytest.raises(ValueError, match="X has no observed value in any row of positive"):
        mixture(family, inference, **options).fit(np.full((9, 5), np.nan))


@families
def test_the_median_of_missing_entries_is_recovered(family):
    # Marginalising is exact: the log density of what is observed is the sum over what is not.
    rows = MISSING[family][:, :2]
    rows = rows[~np.isnan(rows).all(axis=1)]
    estimator = quiet_fit(mixture(family, missing="marginalize"), rows)
    grid = every_row(family, estimator)
    density = np.exp(estimator.score_samples(grid))
    for column, other in ((0, 1), (1, 0)):
        for value in (0.0, 1.0):
            partial = np.full((1, 2), np.nan)
            partial[0, column] = value
            assert np.exp(estimator.score_samples(partial)[0]) == pytest.approx(
                density[grid[:, column] == value].sum(), rel=1e-9
            ), other


# ---- codes ----


def test_codes_that_only_later_chunks_have():
    rows = ROWS["categorical"]
    order = np.argsort(rows[:, 4])
    chunks = [rows[order][:50], rows[order][50:]]
    assert chunks[0][:, 4].max() < chunks[1][:, 4].max()
    estimator = mixture("categorical").fit(chunks)
    assert estimator.n_categories_.tolist() == discrete.SIZES[:5].tolist()
    assert same_bits(estimator, mixture("categorical").fit(rows[order]))


def test_a_code_that_the_fit_has_not_seen_is_named():
    estimator = mixture("categorical").fit(ROWS["categorical"])
    rows = ROWS["categorical"][:20].copy()
    rows[7, 2] = 9
    with pytest.raises(
        ValueError, match=r"X contains code 9 at row 7, column 2, whose codes are 0 to 3"
    ):
        estimator.predict(rows)
    with pytest.raises(ValueError, match="chunk 1 of X: X contains code 9 at row 7"):
        estimator.predict([rows[:7], rows])


def test_more_codes_than_the_data_have():
    sizes = discrete.SIZES[:5] + 2
    estimator = mixture("categorical", n_categories=sizes).fit(ROWS["categorical"])
    assert [p.shape for p in estimator.probabilities_] == [(3, m) for m in sizes]
    assert all((p[:, -2:] == 0).all() for p in estimator.probabilities_)
    rows = ROWS["categorical"][:3].copy()
    rows[1, 0] = 4
    assert estimator.score_samples(rows)[1] == -np.inf
    assert not np.isnan(estimator.predict_proba(rows)).any()
    smooth = mixture("categorical", "mean-field", n_categories=sizes).fit(ROWS["categorical"])
    assert np.isfinite(smooth.score_samples(rows)).all()


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, r"must be an int in the range \[1, inf\)"),
        ([3, 2, 0, 3, 2], r"n_categories must be >= 1; column 2 has 0"),
        ([3, 2], r"n_categories has 2 numbers, but X has 5 features"),
        ([3, 2, 4.5, 3, 2], "n_categories must be an integer"),
        (2, r"X contains code 2 at row 0, column 3, whose codes are 0 to 1; encode it as one of"),
    ],
)
def test_a_bad_number_of_codes(value, message):
    with pytest.raises((TypeError, ValueError), match=message):
        mixture("categorical", n_categories=value).fit(ROWS["categorical"])


def test_bits_by_a_threshold():
    numbers = np.random.default_rng(0).normal(size=(200, 4))
    a = mixture("bernoulli", binarize=0.3).fit(numbers)
    b = mixture("bernoulli").fit(numbers > 0.3)
    assert same_bits(a, b)
    frame = pd.DataFrame(numbers > 0.3)
    frame.columns = list("abcd")
    assert same_bits(mixture("bernoulli").fit(frame).weights_, b.weights_)


# ---- chunk by chunk, and again ----


@pytest.mark.parametrize("inference", DETERMINISTIC)
@families
def test_partial_fit_takes_what_no_row_has_had_yet(family, inference):
    rows = ROWS[family].copy()
    rows[:100, 0] = 0  # the first chunk never has what later ones have
    options = {"n_categories": discrete.SIZES[:5]} if family == "categorical" else {}
    whole = quiet_fit(mixture(family, inference, **options), rows)
    options |= whole._start_parameters(*point_of(whole))
    estimator = mixture(family, inference, **options)
    with quiet():
        for first in list(range(0, 400, 100)) * 20:
            estimator.partial_fit(rows[first : first + 100])
    assert estimator.stop_reason_ == "partial_fit"
    far = 1.0 if inference == "hard-em" else 0.1  # a component may lose its few rows for good
    assert estimator.score(rows) > whole.score(rows) - far
    minibatch = mixture(family, inference, schedule="minibatch", max_iter=20, **options)
    assert quiet_fit(minibatch, rows).score(rows) > whole.score(rows) - far
    assert estimator.schedule == "batch"


def point_of(estimator):
    return estimator._fitted(point=True)


@families
def test_what_partial_fit_knows_is_kept_by_pickle(family):
    rows = ROWS[family]
    options = {"n_categories": discrete.SIZES[:5]} if family == "categorical" else {}
    a = mixture(family, total_samples=400, **options).partial_fit(rows[:200])
    b = pickle.loads(pickle.dumps(a))
    assert same_bits(a.partial_fit(rows[200:]), b.partial_fit(rows[200:]))


def test_partial_fit_refuses_other_parameters():
    rows = ROWS["categorical"]
    start = mixture("categorical").fit(rows).probabilities_
    estimator = mixture("categorical", n_categories=discrete.SIZES[:5], probabilities_init=start)
    estimator.partial_fit(rows[:200])
    estimator.set_params(probabilities_init=[p.copy() for p in start]).partial_fit(rows[200:])
    estimator.set_params(probabilities_init=start[:4])
    with pytest.raises(ValueError, match=r"(?s)probabilities_init is .* when partial_fit began"):
        estimator.partial_fit(rows)


@families
def test_warm_start_goes_on(family):
    rows = ROWS[family]
    first = quiet_fit(mixture(family, warm_start=True, max_iter=3, tol=0.0), rows)
    reached = first.lower_bound_
    assert quiet_fit(first, rows).lower_bound_ >= reached - 1e-6
    again = quiet_fit(first.set_params(inference="mean-field", tol=1e-3, max_iter=100), rows)
    assert np.isfinite(again.lower_bound_)
    with pytest.raises(ValueError, match="warm_start=True with n_components=2"):
        first.set_params(n_components=2).fit(rows)


@rungs
@families
def test_a_file_brings_it_all_back(family, inference, tmp_path):
    rows = MISSING[family]
    estimator = quiet_fit(mixture(family, inference, missing="marginalize"), rows)
    estimator.save(tmp_path / "model")
    back = vemfast.load(tmp_path / "model")
    assert same_bits(back, estimator)
    assert same_bits(back.predict_proba(rows), estimator.predict_proba(rows))
    assert same_bits(back.score_samples(rows), estimator.score_samples(rows))
    assert same_bits(pickle.loads(pickle.dumps(estimator)), estimator)


@families
def test_draws_go_to_arviz(family):
    pytest.importorskip("arviz")
    data = quiet_fit(mixture(family, "gibbs"), ROWS[family]).to_arviz()
    assert set(data["posterior"]) == {"log_likelihood_total", "log_joint", "sorted_weights"}


@pytest.mark.parametrize("missing", ["error", "marginalize"])
def test_a_threshold_leaves_sparse_rows_as_they_were(missing):
    rng = np.random.default_rng(0)
    rows = scipy.sparse.random_array((200, 6), density=0.5, rng=rng, format="csr")
    if missing == "marginalize":
        rows.data[::7] = np.nan
    before = [array.copy() for array in (rows.data, rows.indices, rows.indptr)]
    options = {"binarize": 0.5, "missing": missing}
    a = quiet_fit(mixture("bernoulli", **options), rows)
    a.predict(rows)
    for array, old in zip((rows.data, rows.indices, rows.indptr), before, strict=True):
        np.testing.assert_array_equal(array, old)
    b = quiet_fit(mixture("bernoulli", **options), rows.toarray())
    np.testing.assert_allclose(a.lower_bounds_, b.lower_bounds_, rtol=1e-12)


@families
def test_streams_of_many_parts_have_the_bits_of_the_whole(family, monkeypatch):
    monkeypatch.setattr("vemfast.streams._PART_BYTES", 1)
    rows, weights = np.tile(MISSING[family], (40, 1)), np.tile(WEIGHTS, 40)
    options = {"missing": "marginalize", "max_iter": 3, "tol": 0.0}
    model = mixture(family, **options)._model(rows[:400], None)[0]
    assert 4 * model.leaf_rows(np.float64) < len(rows)
    for inference in ("mean-field", "hard-em"):
        whole = quiet_fit(mixture(family, inference, **options), rows, sample_weight=weights)
        chunks = [rows[:4999], rows[4999:]]
        parts = quiet_fit(mixture(family, inference, **options), chunks, sample_weight=weights)
        assert same_bits(parts, whole)
