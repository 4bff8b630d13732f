"""Hard cases of discrete mixtures: what of G1 to G12 they can meet, each with its message."""

import numpy as np
import pytest
from reliability.helpers import (
    DETERMINISTIC,
    KINDS,
    POINT_RUNGS,
    RUNGS,
    SCHEDULES,
    degenerate_messages,
    quiet_fit,
    same_bits,
)
from scipy.special import logsumexp

from vemfast import BernoulliMixture, CategoricalMixture, PoissonMixture
from vemfast.models.base import Step

METHODS = ("predict", "predict_proba", "score_samples", "score", "bic", "aic", "icl")
rungs = pytest.mark.parametrize("inference", RUNGS)


@pytest.fixture(params=[name for name in KINDS if name != "gaussian"])
def kind(request):
    return KINDS[request.param]


def is_finite(kind, estimator, rows):
    outputs = [estimator.weights_, kind.shown(estimator)]
    outputs += [getattr(estimator, name)(rows) for name in METHODS]
    return all(np.isfinite(output).all() for output in outputs)


# ---- G2, G10: constant columns, identical rows ----


@rungs
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_G2_a_constant_column(kind, inference, value):
    rows = kind.X.copy()
    rows[:, 2] = value
    estimator = quiet_fit(kind.mixture(3, inference), rows)
    assert is_finite(kind, estimator, rows)
    assert np.array_equal(np.sort(estimator.predict_proba(rows).sum(axis=1)), np.ones(150)) or (
        np.allclose(estimator.predict_proba(rows).sum(axis=1), 1.0, atol=1e-14)
    )
    if inference in POINT_RUNGS and kind.name == "poisson":
        np.testing.assert_allclose(estimator.rates_[:, 2], value, rtol=1e-12)


@rungs
def test_G10_identical_rows(kind, inference):
    rows = np.repeat(kind.X[:1], 20, axis=0)
    estimator = quiet_fit(kind.mixture(3, inference), rows)
    assert np.isfinite(estimator.lower_bound_)
    assert np.isfinite(kind.shown(estimator)).all()
    assert np.isfinite(estimator.score_samples(rows)).all()
    if inference in POINT_RUNGS:
        one = quiet_fit(kind.mixture(1, inference), rows)
        assert estimator.score(rows) <= one.score(rows) + 1e-12
        if inference != "hard-em":  # whose components share one row's copies out
            assert estimator.score(rows) == pytest.approx(one.score(rows), abs=1e-12)


# ---- G4: empty components ----


@pytest.mark.parametrize("inference", POINT_RUNGS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_G4_an_empty_component_is_reseeded_or_named(kind, inference, schedule):
    value = kind.start()[f"{kind.attribute}init"]
    # The last component is where no row is: it explains none, once its weight is 0.
    options = {"weights_init": [0.5, 0.5, 0.0], f"{kind.attribute}init": value}
    estimator = kind.mixture(3, inference, schedule=schedule, **options)
    messages = degenerate_messages(estimator, kind.X)
    empty = np.flatnonzero(estimator.weights_ == 0)
    what = kind.attribute.rstrip("_")
    for k in empty:
        said = f"component {k} is empty: it has no rows, so its {what} mean nothing"
        assert any(message.startswith(said) for message in messages)
    if schedule != "minibatch":
        assert np.diff(estimator.lower_bounds_).min() >= -1e-9 * abs(estimator.lower_bound_)
    assert is_finite(kind, estimator, kind.X)


def test_G4_a_component_without_rows_finds_some(kind):
    # Two rows that no other component explains: the third, of weight zero, is set there.
    value = kind.start()[f"{kind.attribute}init"]
    options = {"weights_init": [0.5, 0.5, 0.0], f"{kind.attribute}init": value}
    stuck = quiet_fit(kind.mixture(2, **_first_two(options)), kind.X).lower_bound_
    estimator = quiet_fit(kind.mixture(3, **options), kind.X)
    assert estimator.weights_.min() > 0
    assert estimator.lower_bound_ > stuck + 10.0


def _first_two(options):
    out = {}
    for name, value in options.items():
        if isinstance(value, list) and np.ndim(value[0]):
            out[name] = [column[:2] for column in value]
        else:
            out[name] = np.array(value)[:2]
    return out


# ---- G5: rows that cannot be ----

IMPOSSIBLE = {
    "bernoulli": (BernoulliMixture, [[0, 1], [0, 1], [0, 0]], [[1.0, 1.0]]),
    "poisson": (PoissonMixture, [[0, 1], [0, 3], [0, 0]], [[2.0, 1.0]]),
    "categorical": (CategoricalMixture, [[0, 1], [0, 1], [0, 0]], [[1.0, 1.0]]),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("inference", POINT_RUNGS)
def test_G5_a_row_that_no_component_can_have(name, inference, dtype):
    own, rows, new = IMPOSSIBLE[name]
    options = {"n_categories": 2} if name == "categorical" else {}
    estimator = quiet_fit(own(2, inference=inference, random_state=0, **options), np.array(rows))
    new = np.array(new, dtype=dtype)
    assert estimator.score_samples(new)[0] == -np.inf
    proba = estimator.predict_proba(new)
    assert np.isfinite(proba).all()
    assert proba.sum() == pytest.approx(1.0)
    assert estimator.predict(new)[0] in (0, 1)
    assert estimator.score(new) == -np.inf
    smooth = quiet_fit(own(2, inference="mean-field", random_state=0, **options), np.array(rows))
    assert np.isfinite(smooth.score_samples(new)).all()


@pytest.mark.parametrize("count", [1e6, 1e9, 2.0**53])
@rungs
def test_G5_a_count_far_away(inference, count):
    kind = KINDS["poisson"]
    rows = np.concatenate([kind.X, np.full((1, 8), count)])
    estimator = quiet_fit(kind.mixture(4, inference), rows)
    assert np.isfinite(estimator.lower_bounds_).all()
    assert np.allclose(estimator.predict_proba(rows).sum(axis=1), 1.0, atol=1e-12)
    assert not np.isnan(estimator.score_samples(rows)).any()


def test_G5_many_features_do_not_underflow(kind):
    rows = np.tile(kind.X, (1, 600))
    estimator = quiet_fit(kind.mixture(3), rows)
    assert is_finite(kind, estimator, rows)
    assert estimator.score_samples(rows).min() < -1000.0  # below the log of the smallest number


# ---- G6: starts ----


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (None, {"weights_init": [0.5, 0.4, 0.2]}, "weights_init must sum to 1; it sums to 1.1"),
        (None, {"weights_init": [0.5, 0.6, -0.1]}, "weights_init must be >= 0; got -0.1"),
        (None, {"weights_init": [0.5, 0.5]}, r"weights_init must have the shape \(3,\)"),
        (
            None,
            {"weights_init": [0.2, 0.2, 0.6], "equal_weights": True},
            "weights_init differs from 1 / n_components",
        ),
        ("bernoulli", {"probabilities_init": np.ones((3, 2))}, r"must have the shape \(3, 8\)"),
        ("bernoulli", {"probabilities_init": np.full((3, 8), 1.1)}, "must be <= 1; got 1.1"),
        ("bernoulli", {"probabilities_init": np.full((3, 8), -0.1)}, "must be >= 0; got -0.1"),
        ("poisson", {"rates_init": np.full((3, 8), np.inf)}, "rates_init must be finite"),
        ("poisson", {"rates_init": np.full((3, 8), -1.0)}, "rates_init must be >= 0; got -1"),
        ("categorical", {"probabilities_init": [np.ones((3, 3))]}, "one array a column; got 1 for"),
        (
            "categorical",
            {"probabilities_init": [np.full((3, 3), 0.3)] * 8},
            r"probabilities_init\[0\] must sum to 1; row 0 sums to 0.89",
        ),
    ],
)
def test_G6_a_bad_start_is_named(name, options, message):
    for kind in KINDS.values() if name is None else [KINDS[name]]:
        with pytest.raises(ValueError, match=message):
            kind.mixture(3, **options).fit(kind.X)


@pytest.mark.parametrize("chunks", [False, True])
def test_G6_a_start_that_rules_out_a_row_names_it(kind, chunks):
    value = kind.start()[f"{kind.attribute}init"]
    rows = kind.X.copy()
    rows[:, 0], rows[17, 0] = 0, 1
    if kind.name == "categorical":
        value[0] = np.array([[1.0, 0.0]] * 3)
    else:
        value[:, 0] = 0.0
    estimator = kind.mixture(3, **{f"{kind.attribute}init": value})
    message = rf"{kind.attribute}init rules out row 17 of X: it has a zero for it in every compone"
    with pytest.raises(ValueError, match=message):
        estimator.fit([rows[:9], rows[9:]] if chunks else rows)
    weights = np.ones(150)
    weights[17] = 0.0  # then the zeros are kept
    quiet_fit(estimator, rows, sample_weight=weights)
    if kind.name != "categorical":
        assert (kind.shown(estimator)[:, 0] == 0).all()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("bernoulli", {"alpha_prior": 0.5}, "alpha_prior=0.5 < 1 has no mode, so inference='em'"),
        ("bernoulli", {"beta_prior": np.full(8, 0.2)}, "beta_prior=0.2 < 1 has no mode"),
        ("bernoulli", {"alpha_prior": np.ones(3)}, r"alpha_prior must be a number or have the sh"),
        ("poisson", {"shape_prior": 0.5}, "shape_prior=0.5 < 1 has no mode.*use a value >= 1, or"),
        ("poisson", {"rate_prior": [-1.0] * 8}, "rate_prior must be positive and finite"),
        ("categorical", {"concentration_prior": 0.5}, "concentration_prior=0.5 < 1 has no mode"),
        (
            "categorical",
            {"concentration_prior": [np.ones(3)] * 7},
            "concentration_prior must be a number, or one array a column; got 7 for 8 columns",
        ),
        (
            "categorical",
            {"concentration_prior": [np.ones(3)] * 7 + [np.ones(2)]},
            r"concentration_prior\[7\] must have the shape \(3,\)",
        ),
    ],
)
def test_G6_a_bad_prior_is_named(name, options, message):
    kind = KINDS[name]
    with pytest.raises(ValueError, match=message):
        kind.mixture(3, **options).fit(kind.X)


# ---- G7: closed forms ----


@pytest.mark.parametrize("inference", POINT_RUNGS)
def test_G7_one_component_is_the_means(kind, inference):
    weights = np.random.default_rng(0).uniform(0.2, 3.0, 150)
    estimator = quiet_fit(kind.mixture(1, inference), kind.X, sample_weight=weights)
    expected = kind.X
    if kind.name == "categorical":
        expected = np.concatenate([np.eye(3)[kind.X[:, d].astype(int)] for d in range(8)], axis=1)
    mean = weights @ expected / weights.sum()
    np.testing.assert_allclose(kind.shown(estimator)[0], mean, rtol=1e-12)
    assert estimator.n_iter_ <= 3


def test_G7_one_row(kind):
    estimator = quiet_fit(kind.mixture(1), kind.X[:1])
    assert np.isfinite(estimator.lower_bound_)
    if kind.name != "poisson":
        assert estimator.lower_bound_ == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "row", "evidence"),
    [
        ("bernoulli", [[1.0]], np.log(1 / 2)),  # of Beta(1, 1)
        ("poisson", [[3.0]], np.log(1 / 3) - 4 * np.log(1 / 3 + 1)),  # of Gamma(1, 1 / 3)
        ("categorical", [[2]], np.log(1 / 3)),  # of Dirichlet(1, 1, 1)
    ],
)
def test_G7_one_number(name, row, evidence):
    """One row, one feature, one component: the bound is the evidence."""
    estimator = quiet_fit(KINDS[name].mixture(1, "mean-field"), np.array(row))
    assert estimator.lower_bound_ == pytest.approx(evidence, rel=1e-12)
    assert np.array_equal(estimator.predict_proba(row), [[1.0]])


# ---- G11, G12 ----


def test_G11_warm_start_after_another_size(kind):
    estimator = quiet_fit(kind.mixture(3, warm_start=True), kind.X)
    with pytest.raises(ValueError, match="warm_start=True with n_components=4 and 8 features"):
        estimator.set_params(n_components=4).fit(kind.X)
    with pytest.raises(ValueError, match="warm_start=True with n_components=3 and 7 features"):
        estimator.set_params(n_components=3).fit(kind.X[:, :7])


def test_G12_draws_are_seeded_and_of_the_family(kind):
    estimator = kind.mixture(3).fit(kind.X)
    rows, labels = estimator.sample(500)
    again, same_labels = estimator.sample(500)
    assert same_bits(rows, again)
    assert same_bits(labels, same_labels)
    assert rows.dtype == np.int64
    assert np.isfinite(estimator.score_samples(rows)).all()
    assert (estimator.predict(rows) == labels).mean() > 0.95
    for bad in (0, -1, 2.5, True):
        with pytest.raises(ValueError, match="n_samples must be an integer >= 1"):
            estimator.sample(bad)


# ---- O4: never falls, and ends at a fixed point ----


@pytest.mark.parametrize("inference", DETERMINISTIC)
@pytest.mark.parametrize("schedule", ["batch", "memoized"])
def test_O4_the_objective_never_falls(kind, inference, schedule):
    for seed in range(5):
        estimator = quiet_fit(
            kind.mixture(4, inference, schedule=schedule, random_state=seed, tol=0.0, max_iter=60),
            kind.near,
        )
        steps = np.diff(estimator.lower_bounds_)
        assert steps.min() >= -1e-10 * abs(estimator.lower_bound_)


@pytest.mark.parametrize("inference", ["em", "mean-field"])
def test_O4_the_end_is_a_fixed_point(kind, inference):
    estimator = quiet_fit(kind.mixture(3, inference, tol=1e-13, max_iter=5000), kind.X)
    model, block, _, step = estimator._model(kind.X, None)
    params = estimator._fitted()[1]
    stats = model.e_step(model.prepare(params), block, step)
    again = model.update(params, stats, Step(parameter_rule=step.parameter_rule))
    scale = np.abs(params.buffer).max()
    np.testing.assert_allclose(again.buffer, params.buffer, rtol=1e-5, atol=1e-6 * scale)


# ---- O7: what must not change a fit ----


@pytest.mark.parametrize("inference", DETERMINISTIC)
def test_O7_labels_are_only_names_and_rows_have_no_order(kind, inference):
    start, order = kind.start(), np.array([2, 0, 1])
    name, value = next(iter(start.items()))
    moved = [column[order] for column in value] if isinstance(value, list) else value[order]
    options = {"tol": 0.0, "max_iter": 8}
    a = quiet_fit(kind.mixture(3, inference, **options, **start), kind.X)
    b = quiet_fit(kind.mixture(3, inference, **options, **{name: moved}), kind.X)
    np.testing.assert_allclose(kind.shown(b), kind.shown(a)[order], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(b.lower_bounds_, a.lower_bounds_, rtol=1e-11)
    rows = np.random.default_rng(0).permutation(kind.X)
    c = quiet_fit(kind.mixture(3, inference, **options, **start), rows)
    np.testing.assert_allclose(kind.shown(c), kind.shown(a), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(c.lower_bounds_, a.lower_bounds_, rtol=1e-11)
    d = quiet_fit(kind.mixture(3, inference, **options, **start), kind.X[1:])
    assert abs(d.lower_bound_ - a.lower_bound_) > 0.1  # a row less shows


@pytest.mark.parametrize("inference", DETERMINISTIC)
def test_O7_features_bits_and_codes_are_only_names(kind, inference):
    """Columns in another order, bits turned over, codes renamed: the fit is another name's."""
    (name, value), columns = next(iter(kind.start().items())), np.array([3, 0, 7, 1, 6, 2, 5, 4])
    rename, options = np.array([2, 0, 1]), {"tol": 0.0, "max_iter": 8}
    rows = kind.near[:, columns]
    if kind.name == "categorical":
        rows, table = rename[rows.astype(int)], [value[d][:, np.argsort(rename)] for d in columns]
    else:
        table = value[:, columns]
    if kind.name == "bernoulli":
        rows, table = 1 - rows, 1 - table
    a = quiet_fit(kind.mixture(3, inference, **options, **{name: value}), kind.near)
    b = quiet_fit(kind.mixture(3, inference, **options, **{name: table}), rows)
    np.testing.assert_allclose(b.lower_bounds_, a.lower_bounds_, rtol=1e-11)
    np.testing.assert_allclose(b.predict_proba(rows), a.predict_proba(kind.near), atol=1e-9)
    other = quiet_fit(kind.mixture(3, inference, **options, **{name: value}), rows)
    assert not np.allclose(other.lower_bounds_[1], a.lower_bounds_[1], rtol=1e-6)


@rungs
def test_O7_any_number_of_threads_has_the_same_bits(kind, inference):
    rows = np.tile(kind.X, (40, 1))
    one, two = (quiet_fit(kind.mixture(3, inference, n_jobs=n), rows) for n in (1, 2))
    assert same_bits(one, two)


def test_O7_a_part_is_judged_as_in_the_whole(kind):
    estimator = kind.mixture(3).fit(kind.X)
    part = np.r_[3:40, 41, 100:105]
    for judge in (estimator.predict_proba, estimator.score_samples):
        np.testing.assert_allclose(judge(kind.X[part]), judge(kind.X)[part], rtol=1e-12, atol=1e-14)


# ---- O6: one component's evidence ----


@pytest.mark.parametrize("n_draws", [400])
def test_gibbs_averages_over_its_draws(kind, n_draws):
    # With one component the predictive density is known: mean-field's is exact.
    options = {"n_burn": 0, "n_draws": n_draws, "n_chains": 2}
    gibbs = kind.mixture(1, "gibbs", **options).fit(kind.X)
    exact = kind.mixture(1, "mean-field").fit(kind.X)
    np.testing.assert_allclose(
        gibbs.score_samples(kind.X[:20]), exact.score_samples(kind.X[:20]), atol=0.15
    )
    draws = gibbs.posterior_
    table = getattr(draws, kind.attribute.rstrip("_"))
    table = np.concatenate(table, axis=-1) if isinstance(table, list) else table
    assert table.shape[:3] == (2, n_draws, 1)
    spread = table.std(axis=(0, 1)) + 1e-9
    error = (table.mean(axis=(0, 1)) - kind.shown(exact)) / (spread / np.sqrt(2 * n_draws))
    assert np.abs(error).max() < 5.0
    assert np.isfinite(logsumexp(draws.log_joint))
