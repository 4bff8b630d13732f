"""What is known beforehand in discrete mixtures, by enumeration and closed forms.

Labels of rows, first responsibilities, frozen parameters.
"""

from dataclasses import replace
from itertools import product

import discrete
import numpy as np
import pytest
import scipy.sparse
from scipy.special import logsumexp
from sklearn.base import clone

from vemfast import BernoulliMixture, CategoricalMixture, PoissonMixture
from vemfast.models.base import Step
from vemfast.models.discrete_config import Start
from vemfast.models.discrete_mixture import DiscreteMixture as Model
from vemfast.models.discrete_starts import as_points, first_table
from vemfast.reference import DiscreteMixture as Twin
from vemfast.testing import check_twin

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::vemfast.DegenerateWarning"),
]

ESTIMATORS = {
    "bernoulli": BernoulliMixture,
    "poisson": PoissonMixture,
    "categorical": CategoricalMixture,
}
families = pytest.mark.parametrize("family", discrete.FAMILIES)


def labels_of(n, known=0.3, seed=0):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(n) < known, rng.integers(0, 3, n), -1).astype(np.int32)


def shown(fit):
    values = fit.rates_ if hasattr(fit, "rates_") else fit.probabilities_
    return np.concatenate(values, axis=1) if isinstance(values, list) else np.asarray(values)


@families
@pytest.mark.parametrize("missing", [False, True])
def test_the_bound_is_the_sum_over_the_unknown_labels(family, missing):
    rows = discrete.rows_of(family, n=6)
    if missing:
        rows[[0, 3], [1, 0]] = np.nan
    labels = np.array([-1, 2, -1, 0, -1, 1], dtype=np.int32)
    model = Model(discrete.config_of(family, marginalize=missing))
    plain = discrete.block_of(family, discrete.rows_of(family))
    params = model.init([plain], Step(seed=1))
    block = discrete.block_of(family, rows)
    table = model.prepare(params)
    joint = model.assign(table, block, "scores", 1)
    base = model.assign(table, block, "log_density", 1) - logsumexp(joint, axis=1)
    terms = [
        (joint[np.arange(6), list(z)] + base).sum()
        for z in product(*[range(3) if label < 0 else [label] for label in labels])
    ]
    stats = model.e_step(table, block.with_labels(labels), Step())
    assert stats.local_bound == pytest.approx(logsumexp(terms), rel=1e-12)


@families
@pytest.mark.parametrize("rung", ["mean-field", "em", "hard-em", "gibbs"])
@pytest.mark.parametrize("sparse", [False, True])
def test_native_and_twin_agree_with_labels(family, rung, sparse):
    if sparse and family == "categorical":
        pytest.skip("codes are dense")
    rows, bayes = discrete.rows_of(family), rung in ("mean-field", "gibbs")
    if not sparse:
        rows = discrete.with_missing(rows)
    config = discrete.config_of(
        family, weight_type="dirichlet" if bayes else "flat", proper=bayes, marginalize=not sparse
    )
    weights = np.random.default_rng(2).uniform(0.3, 2.0, 150)
    weights[:5] = 0.0
    block = discrete.block_of(family, rows, weights, sparse=sparse).with_labels(labels_of(150))
    check_twin(Model(config), Twin(config), block, rung, rtol=1e-9)


@families
@pytest.mark.parametrize("schedule", ["batch", "memoized"])
@pytest.mark.parametrize("rung", ["em", "variational-em", "hard-em"])
def test_all_rows_known_is_the_supervised_fit(family, rung, schedule):
    rows, labels = discrete.rows_of(family), labels_of(150, known=1.0)
    fit = ESTIMATORS[family](3, inference=rung, schedule=schedule, random_state=0)
    fit.fit(rows, labels=labels)
    np.testing.assert_allclose(fit.weights_, np.bincount(labels) / 150, rtol=1e-12)
    for k in range(3):
        own = rows[labels == k]
        if family == "categorical":
            expected = np.concatenate(
                [
                    np.bincount(column.astype(int), minlength=size) / len(own)
                    for column, size in zip(own.T, fit.n_categories_, strict=True)
                ]
            )
        else:
            expected = own.mean(axis=0)
        np.testing.assert_allclose(shown(fit)[k], expected, rtol=1e-10, atol=1e-12)


@families
@pytest.mark.parametrize("schedule", ["batch", "memoized"])
@pytest.mark.parametrize("rung", ["mean-field", "em", "hard-em"])
def test_the_objective_never_falls_with_labels(family, schedule, rung):
    rows = discrete.rows_of(family)
    for init in ("kmeans", "random", "random_from_data"):
        fit = ESTIMATORS[family](
            3, inference=rung, schedule=schedule, init_params=init, tol=0.0, random_state=0
        ).set_params(max_iter=25)
        trace = np.array(fit.fit(rows, labels=labels_of(150)).lower_bounds_)
        assert (np.diff(trace) >= -1e-9 * np.maximum(np.abs(trace[1:]), 150)).all()


@families
def test_a_start_takes_known_rows_for_their_own_component(family):
    """Halfway tables apart: the mean of the known rows and one row at the mean of all."""
    rows, labels = discrete.rows_of(family), labels_of(150, known=1.0)
    config = discrete.config_of(family)
    block = discrete.block_of(family, rows).with_labels(labels)
    points = as_points(config, block)
    sizes = np.repeat(config.n_categories, config.n_categories) if family == "categorical" else 2
    mean = (points.sum(axis=0) + 1.0 / sizes) / 151
    expected = [(points[labels == k].sum(0) + mean) / ((labels == k).sum() + 1) for k in range(3)]
    for init in ("kmeans", "k-means++"):
        table = first_table(config, init, [block], seed=0)
        np.testing.assert_allclose(table, np.transpose(expected), rtol=1e-12)


@families
def test_labels_go_with_their_rows(family, monkeypatch):
    """Threads, chunks and sparse storage change nothing."""
    monkeypatch.setattr("vemfast.streams._PART_BYTES", 1 << 10)
    rows, labels = discrete.rows_of(family, n=900), labels_of(900)
    estimator = ESTIMATORS[family](3, random_state=0, max_iter=5, tol=0.0)
    one = estimator.set_params(n_jobs=1).fit(rows, labels=labels)
    expected = shown(one).tobytes()
    assert expected != shown(estimator.fit(rows)).tobytes()
    assert shown(estimator.set_params(n_jobs=2).fit(rows, labels=labels)).tobytes() == expected
    chunked = estimator.fit(np.array_split(rows, 7), labels=labels)
    assert shown(chunked).tobytes() == expected
    if family != "categorical":
        sparse = estimator.fit(scipy.sparse.csr_array(rows), labels=labels)
        np.testing.assert_allclose(shown(sparse), shown(chunked), rtol=1e-10)


@families
def test_known_components_keep_their_numbers(family):
    rows = discrete.rows_of(family, n=600, n_features=6, apart=True)
    truth = np.random.default_rng(11).integers(0, 3, 600)  # the groups that rows_of drew first
    own = [rows[truth == k].mean(axis=0) for k in range(3)]
    for permutation in ([0, 1, 2], [2, 0, 1]):
        labels = np.where(np.arange(600) % 3 == 0, np.array(permutation)[truth], -1)
        for init in ("kmeans", "k-means++", "random_from_data", "random"):
            fit = ESTIMATORS[family](3, random_state=0, init_params=init).fit(rows, labels=labels)
            agreed = fit.predict(rows) == np.array(permutation)[truth]
            assert agreed.mean() > 0.8
    assert len(own) == 3


@families
def test_partial_fit_heeds_labels(family):
    rows, labels = discrete.rows_of(family), labels_of(150, known=1.0)
    options = {"n_categories": [3, 2, 4]} if family == "categorical" else {}
    fit = ESTIMATORS[family](3, random_state=0, **options)
    fit.partial_fit(rows[:100], labels=labels[:100])
    np.testing.assert_allclose(fit.weights_, np.bincount(labels[:100]) / 100, rtol=1e-9)
    before = fit.weights_
    with pytest.raises(ValueError, match="row 1 has 7"):
        fit.partial_fit(rows[100:102], labels=[0, 7])
    assert fit.weights_ is before


@families
@pytest.mark.parametrize("field", ["weights", "table"])
@pytest.mark.parametrize("proper", [False, True])
def test_what_is_frozen_stays_and_the_rest_is_at_the_maximum(family, field, proper):
    plain = discrete.config_of(family, proper=proper, a=2.0, b=2.0)
    name = "weights" if field == "weights" else plain.table_name
    config = replace(plain, freeze=(name,))
    block = discrete.block_of(family, discrete.rows_of(family))
    model, twin = Model(config), Twin(config)
    params = Model(plain).init([block], Step(seed=2))
    stats = model.e_step(model.prepare(params), block, Step())
    updated, expected, free = (m.update(params, stats, Step()) for m in (model, twin, Model(plain)))
    np.testing.assert_allclose(updated.buffer, expected.buffer, rtol=1e-10)
    for other in ("weights", plain.table_name):
        wanted = params if other == name else free
        assert updated[other].tobytes() == wanted[other].tobytes()


@families
@pytest.mark.parametrize("schedule", ["batch", "memoized"])
@pytest.mark.parametrize("accelerate", [False, True])
def test_frozen_fits(family, schedule, accelerate):
    if accelerate and schedule != "batch":
        pytest.skip("no such method")
    rows = discrete.rows_of(family)
    first = ESTIMATORS[family](3, random_state=0, max_iter=3).fit(rows)
    name = first._shown[:-1]
    for fields in (("weights",), (name,)):
        start = {f"{field}_init": getattr(first, f"{field}_") for field in fields}
        if "weights" in fields:
            start = {"weights_init": np.array([0.5, 0.25, 0.25])}
        options = {"schedule": schedule, "accelerate": accelerate, "tol": 0.0, "max_iter": 20}
        fit = ESTIMATORS[family](3, freeze=fields, random_state=0, **options, **start).fit(rows)
        for field in fields:
            value = shown(fit) if field == name else fit.weights_
            given = shown(first) if field == name else start["weights_init"]
            np.testing.assert_allclose(value, given, rtol=1e-12, atol=1e-11)
        trace = np.array(fit.lower_bounds_)
        assert (np.diff(trace) >= -1e-9 * np.maximum(np.abs(trace[1:]), 150)).all()
        assert trace[-1] > trace[0]


# ---- first responsibilities ----------------------------------------------------------------------


@families
@pytest.mark.parametrize("rung", ["em", "mean-field", "hard-em", "gibbs"])
@pytest.mark.parametrize("missing", [False, True])
def test_given_responsibilities_make_the_first_estimates(family, rung, missing):
    rng = np.random.default_rng(1)
    rows, bayes = discrete.rows_of(family, n=400), rung in ("mean-field", "gibbs")
    r, labels = rng.dirichlet([0.5, 0.5, 0.5], 400), np.full(400, -1, dtype=np.int32)
    labels[:40] = 2
    config = discrete.config_of(
        family, weight_type="dirichlet" if bayes else "flat", proper=bayes, marginalize=missing
    )
    rule = {"mean-field": "posterior", "gibbs": "sampled"}.get(rung, "point")
    step = Step("exact", rule, seed=3, n_jobs=2)
    forms = [False] if family == "categorical" or missing else [False, True]
    for sparse in forms:
        block = discrete.block_of(
            family,
            discrete.with_missing(rows) if missing else rows,
            rng.uniform(0.5, 2, 400),
            sparse=sparse,
        ).with_labels(labels)
        first = Model(config, Start(responsibilities=r)).init(block.cut(3), step)
        known = np.where(labels[:, None] < 0, r, np.eye(3)[2])
        expected = Twin(config).from_responsibilities(block, known, step)
        np.testing.assert_allclose(first.buffer, expected.buffer, rtol=1e-9, atol=1e-12)


@families
@pytest.mark.parametrize("schedule", ["batch", "memoized"])
def test_given_responsibilities_go_with_their_rows_and_components(family, schedule, monkeypatch):
    monkeypatch.setattr("vemfast.streams._PART_BYTES", 1 << 10)
    rows = discrete.rows_of(family, n=900)
    r = np.random.default_rng(1).dirichlet([0.5, 0.5, 0.5], 900)
    estimator = ESTIMATORS[family](3, schedule=schedule, max_iter=3, tol=0.0, random_state=0)
    one, other = (
        clone(estimator).set_params(resp_init=r[:, order]).fit(rows)
        for order in ([0, 1, 2], [2, 0, 1])
    )
    np.testing.assert_allclose(shown(other), shown(one)[[2, 0, 1]], rtol=1e-9, atol=1e-14)
    assert not np.allclose(shown(one), shown(clone(estimator).fit(rows)))
    chunked = clone(estimator).set_params(resp_init=r).fit(np.array_split(rows, 4))
    assert shown(chunked).tobytes() == shown(one).tobytes()
    given = clone(one).set_params(**one.common_start(rows))
    assert given.resp_init is None
    np.testing.assert_allclose(shown(given.fit(rows)), shown(one), rtol=1e-9, atol=1e-12)


@families
def test_given_responsibilities_beside_a_given_start(family):
    """A given field takes the place of what the responsibilities say."""
    rows = discrete.rows_of(family)
    r = np.random.default_rng(1).dirichlet([0.5, 0.5, 0.5], 150)
    start = discrete.block_of(family, rows)
    config = discrete.config_of(family)
    of_r = Twin(config).from_responsibilities(start, r, Step())
    weights = np.array([0.5, 0.2, 0.3])
    first = Model(config, Start(weights=weights, responsibilities=r)).init([start], Step())
    np.testing.assert_array_equal(first["weights"], weights)
    np.testing.assert_allclose(first[config.table_name], of_r[config.table_name], rtol=1e-10)
    table = Model(config).init([start], Step(seed=1))[config.table_name]
    first = Model(config, Start(table=table, responsibilities=r)).init([start], Step())
    np.testing.assert_array_equal(first[config.table_name], table)
    np.testing.assert_allclose(first["weights"], of_r["weights"], rtol=1e-10)


@families
def test_bad_responsibilities_change_nothing(family):
    rows, even = discrete.rows_of(family), np.full((150, 3), 1 / 3)
    fit = ESTIMATORS[family](3, random_state=0).fit(rows)
    before, name = fit.weights_, f"{fit._shown}init"
    for value, message in (
        (even[:-1], r"resp_init must have the shape \(150, 3\); got \(149, 3\)"),
        (even * 1.01, "must sum to 1; row 0 sums to 1.01"),
        (even - 0.5, "finite and >= 0; row 0, component 0"),
        (even * np.nan, "finite and >= 0"),
    ):
        with pytest.raises(ValueError, match=message):
            fit.set_params(resp_init=value).fit(rows)
        assert fit.weights_ is before
    whole = {"weights_init": fit.weights_, name: getattr(fit, fit._shown)}
    with pytest.raises(ValueError, match=f"no effect where weights_init and {name} give the whole"):
        fit.set_params(resp_init=even, **whole).fit(rows)
    assert fit.weights_ is before


@families
def test_bad_labels_and_freezes_change_nothing(family):
    rows = discrete.rows_of(family)
    fit = ESTIMATORS[family](3, random_state=0).fit(rows)
    before = fit.weights_
    for options, labels, message in (
        ({}, np.full(150, 3), r"labels must be in -1..2 \(-1: unknown\); row 0 has 3"),
        ({}, np.zeros(149, int), r"labels must have the shape \(150,\)"),
        ({"freeze": ("means",)}, None, "freeze may name 'weights', '(rates|probabilities)'"),
        ({"freeze": ("weights",)}, None, "give weights_init"),
        (
            {"freeze": ("weights",), "inference": "mean-field", "weights_init": [0.2, 0.3, 0.5]},
            None,
            "use inference='em'",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            fit.set_params(**options).fit(rows, labels=labels)
        fit.set_params(freeze=None, inference="em", weights_init=None)
        assert fit.weights_ is before
