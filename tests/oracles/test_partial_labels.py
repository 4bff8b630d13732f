"""Rows of known label: clamped on every rung, against enumeration and closed forms."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from vemfast import GaussianMixture
from vemfast.data import RowBlock
from vemfast.models.base import Step
from vemfast.models.gaussian_config import COVARIANCE_TYPES, Start
from vemfast.models.gaussian_mixture import GaussianMixture as Model
from vemfast.reference import GaussianMixture as Twin
from vemfast.reference.configure import configure
from vemfast.stats import Params
from vemfast.testing import check_twin

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RUNGS = ("gibbs", "mean-field", "em", "variational-em", "hard-em")


def problem(n: int = 300, D: int = 2, K: int = 3, known: float = 0.3, seed: int = 0):
    rng = np.random.default_rng(seed)
    centres = 2.5 * rng.standard_normal((K, D))
    truth = rng.integers(0, K, n)
    X = centres[truth] + rng.standard_normal((n, D))
    labels = np.where(rng.random(n) < known, truth, -1)
    return X, labels, truth


def settings(rung: str) -> dict:
    if rung == "gibbs":
        return {"inference": rung, "n_burn": 3, "n_draws": 3, "n_chains": 1}
    return {"inference": rung, "max_iter": 30, "tol": 0.0}


# ---- the bound -----------------------------------------------------------------------------------


def test_the_bound_is_the_sum_over_the_unknown_labels() -> None:
    """O1 with labels: log Σ p(X, z) over the assignments of the unlabelled rows only."""
    X, labels, _ = problem(n=7, known=0.5, seed=4)
    assert 0 < (labels >= 0).sum() < 7
    model = Model(configure(X, 3))
    params = model.init([RowBlock(problem(seed=4)[0])], Step(seed=1))
    block = RowBlock(X, labels=labels.astype(np.int32))
    stats = model.e_step(model.prepare(params), block, Step("exact"))
    means, covariances = params["means"] + model.config.origin, params["covariances"]
    log_joint = np.array(
        [
            np.log(params["weights"][k]) + multivariate_normal(means[k], covariances[k]).logpdf(X)
            for k in range(3)
        ]
    ).T
    terms, counts = [], np.zeros((0, 3))
    for z in product(*[range(3) if label < 0 else [label] for label in labels]):
        terms.append(log_joint[np.arange(7), z].sum())
        counts = np.vstack([counts, np.bincount(z, minlength=3)])
    assert stats.local_bound == pytest.approx(logsumexp(terms), rel=1e-12)
    shares = np.exp(np.array(terms) - logsumexp(terms))
    np.testing.assert_allclose(stats["counts"], shares @ counts, rtol=1e-12)
    assert stats.entropy == pytest.approx(-(shares @ np.log(shares)), rel=1e-10)


@pytest.mark.parametrize("rung", ["mean-field", "em", "hard-em", "gibbs"])
@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_native_and_twin_agree_with_labels(kind, rung) -> None:
    X, labels, _ = problem(n=180, D=3)
    weights = np.random.default_rng(2).uniform(0.3, 2.0, 180)
    weights[:5] = 0.0
    bayes = rung in ("mean-field", "gibbs")
    config = configure(
        X,
        3,
        kind,
        weight_type="dirichlet" if bayes else "flat",
        proper=bayes,
        sample_weight=weights,
    )
    block = RowBlock(X, weights, labels=labels.astype(np.int32))
    check_twin(Model(config), Twin(config), block, rung, rtol=1e-9)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("rule", ["exact", "hard", "sampled"])
def test_a_known_row_belongs_to_its_component_alone(rule, dtype) -> None:
    X, _, truth = problem(n=500)
    wrong = ((truth + 1) % 3).astype(np.int32)  # however unlikely
    model = Model(configure(X, 3))
    params = model.init([RowBlock(X)], Step(seed=3))
    stats = model.e_step(
        model.prepare(params), RowBlock(X.astype(dtype), labels=wrong), Step(rule, seed=5)
    )
    np.testing.assert_array_equal(stats["counts"], np.bincount(wrong, minlength=3))
    assert stats.entropy == 0


def test_a_component_of_weight_zero_takes_its_known_row() -> None:
    X, _, _ = problem(n=100)
    labels = np.full(100, -1, dtype=np.int32)
    labels[7] = 2
    config = configure(X, 3)
    given = Start(
        weights=np.array([0.5, 0.5, 0.0]), means=X[:3], covariances=np.stack([np.eye(2)] * 3)
    )
    params = given.fill(None, config)
    for dtype in (np.float64, np.float32):
        for rule in ("exact", "hard", "sampled"):
            block = RowBlock(X.astype(dtype), labels=labels)
            for model in (Model(config), Twin(config)):
                stats = model.e_step(model.prepare(params), block, Step(rule, seed=1))
                assert np.isfinite(stats.buffer).all()
                assert stats["counts"][2] == 1
    with pytest.raises(
        ValueError, match=r"row 7 has label 2, but component 2 starts with weight 0"
    ):
        Model(config, given).init([RowBlock(X, labels=labels)], Step())


# ---- the estimator -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
@pytest.mark.parametrize("rung", ["em", "variational-em", "hard-em"])
def test_all_rows_known_is_the_supervised_fit(rung, kind) -> None:
    """O6: closed form."""
    X, _, truth = problem()
    fit = GaussianMixture(
        3, covariance_type=kind, inference=rung, reg_covar=0.0, random_state=0
    ).fit(X, labels=truth)
    assert fit.converged_
    assert fit.n_iter_ == 1
    own = [X[truth == k] for k in range(3)]
    np.testing.assert_allclose(fit.weights_, np.bincount(truth) / 300, rtol=1e-12)
    np.testing.assert_allclose(fit.means_, [rows.mean(0) for rows in own], rtol=1e-10)
    scatter = np.array([np.cov(rows.T, bias=True) for rows in own])
    pooled = np.tensordot(fit.weights_, scatter, axes=1)
    expected = {
        "full": scatter,
        "tied": pooled,
        "diag": np.diagonal(scatter, axis1=1, axis2=2),
        "spherical": np.trace(scatter, axis1=1, axis2=2) / 2,
        "tied-spherical": np.trace(pooled) / 2,
    }[kind]
    np.testing.assert_allclose(fit.covariances_, expected, rtol=1e-9)


@pytest.mark.parametrize("rung", RUNGS)
def test_no_known_row_is_no_labels(rung) -> None:
    X, _, _ = problem()
    plain, none = (
        GaussianMixture(3, random_state=1, **settings(rung)).fit(X, labels=labels)
        for labels in (None, np.full(300, -1))
    )
    np.testing.assert_array_equal(plain.means_, none.means_)
    assert plain.lower_bounds_ == none.lower_bounds_


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("init", ["kmeans", "k-means++", "random", "random_from_data"])
def test_known_components_keep_their_numbers(init, rung) -> None:
    X, labels, _ = problem(n=600, known=0.4, seed=5)
    permuted = np.where(labels >= 0, np.array([2, 0, 1])[labels], -1)
    fits = [
        GaussianMixture(3, init_params=init, random_state=1, **settings(rung)).fit(X, labels=given)
        for given in (labels, permuted)
    ]
    own = np.array([X[labels == k].mean(0) for k in range(3)])
    for fit, centres in zip(fits, (own, own[[1, 2, 0]]), strict=True):
        nearest = ((fit.means_[:, None] - centres) ** 2).sum(2).argmin(1)
        np.testing.assert_array_equal(nearest, np.arange(3))
    if rung not in ("gibbs",) and init in ("kmeans",):  # all have known rows: nothing is drawn
        np.testing.assert_allclose(fits[1].means_, fits[0].means_[[1, 2, 0]], rtol=1e-6)
        assert fits[1].lower_bound_ == pytest.approx(fits[0].lower_bound_, rel=1e-9)


@pytest.mark.parametrize("rung", ["mean-field", "em", "hard-em"])
@pytest.mark.parametrize("schedule", ["batch", "memoized"])
@pytest.mark.parametrize("seed", range(3))
def test_the_objective_never_falls_with_labels(seed, schedule, rung) -> None:
    X, labels, _ = problem(n=150, known=0.2, seed=seed)
    wrong = np.where(labels >= 0, (labels + (np.arange(150) % 7 == 0)) % 3, -1)
    fit = GaussianMixture(4, schedule=schedule, random_state=seed, **settings(rung))
    trace = np.array(fit.fit(X, labels=wrong).lower_bounds_)
    assert (np.diff(trace) >= -1e-9 * np.maximum(np.abs(trace[1:]), 150)).all()


def test_components_without_known_rows_are_found_among_the_others() -> None:
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0], [20, 0], [0, 20], [20, 20]])
    truth = np.repeat(np.arange(4), 100)
    X = centres[truth] + rng.standard_normal((400, 2))
    labels = np.full(400, -1)
    labels[100], labels[301] = 3, 1  # one row of cluster 1, and one of cluster 3
    fit = GaussianMixture(4, random_state=0).fit(X, labels=labels)
    np.testing.assert_allclose(fit.means_[3], centres[1], atol=0.5)
    np.testing.assert_allclose(fit.means_[1], centres[3], atol=0.5)
    rest = fit.means_[[0, 2]]
    np.testing.assert_allclose(rest[np.argsort(rest[:, 0] - rest[:, 1])], centres[[2, 0]], atol=0.5)


@pytest.mark.filterwarnings("ignore::vemfast.DegenerateWarning")
def test_rare_known_rows_of_many_are_not_lost_by_the_start() -> None:
    """The start looks at 20,000 rows; the two known ones of a component are among them."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((200_000, 2))
    X[123], X[120_456] = (30.0, 30.0), (30.0, 31.0)
    labels = np.full(200_000, -1)
    labels[[123, 120_456]] = 1
    fit = GaussianMixture(2, random_state=0, max_iter=2, tol=1.0).fit(X, labels=labels)
    np.testing.assert_allclose(fit.means_[1], [30.0, 30.5], atol=1e-6)


def test_labels_go_with_their_rows(monkeypatch) -> None:
    """Chunks, threads and order change nothing; a weight of zero drops a label."""
    monkeypatch.setattr("vemfast.streams._PART_BYTES", 1 << 12)
    X, labels, _ = problem(n=3000)
    options = {"random_state": 0, "max_iter": 5, "tol": 0.0}
    one = GaussianMixture(3, n_jobs=1, **options).fit(X, labels=labels)
    two = GaussianMixture(3, n_jobs=2, **options).fit(X, labels=labels)
    chunked = GaussianMixture(3, **options).fit(np.array_split(X, 7), labels=labels)
    assert one.means_.tobytes() == two.means_.tobytes() == chunked.means_.tobytes()
    more = np.concatenate([X, X[:50] + 100])
    weights = np.concatenate([np.ones(3000), np.zeros(50)])
    padded = GaussianMixture(3, **options).fit(
        more, sample_weight=weights, labels=np.concatenate([labels, np.full(50, 2)])
    )
    np.testing.assert_allclose(padded.means_, one.means_, rtol=1e-8)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.full(300, 3), r"labels must be in -1..2 \(-1: unknown\); row 0 has 3"),
        (np.r_[np.zeros(299, int), -2], "row 299 has -2"),
        (
            np.r_[np.zeros(299), np.nan],
            "labels must be integers, -1 where unknown; got float64; NaN",
        ),
        (np.zeros(300), "labels must be integers"),
        (np.zeros(300, bool), "labels must be integers"),
        (np.zeros(299, int), r"labels must have the shape \(300,\)"),
        (np.zeros((300, 3), int), r"labels must have the shape \(300,\)"),
        (["a"] * 300, "labels must be integers"),
    ],
)
def test_bad_labels_change_nothing(labels, message) -> None:
    X, _, _ = problem()
    fit = GaussianMixture(3, random_state=0).fit(X)
    before = fit.means_
    with pytest.raises(ValueError, match=message):
        fit.fit(X, labels=labels)
    assert fit.means_ is before


def test_a_point_has_no_say_in_its_own_label() -> None:
    """An empty component is not re-seeded at a row of known label."""
    X, _, _ = problem(n=60, K=2)
    labels = np.zeros(60, dtype=np.int32)
    model = Model(configure(X, 2))
    params = Params(model.config.params_layout("point"), "point")
    params["weights"], params["covariances"] = [1.0, 0.0], np.stack([np.eye(2)] * 2)
    block = RowBlock(X, labels=labels)
    stats = model.e_step(model.prepare(params), block, Step())
    assert model.propose(params, stats, [block], Step()) is None
    labels = labels.copy()
    labels[11] = -1
    moved = model.propose(params, stats, [RowBlock(X, labels=labels)], Step())
    np.testing.assert_allclose(moved["means"][1] + model.config.origin, X[11])


# ---- schedules, chunks and missing values --------------------------------------------------------


@pytest.mark.parametrize("schedule", ["batch", "memoized", "minibatch"])
@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("as_chunks", [False, True])
def test_every_rung_and_schedule_heeds_labels(rung, schedule, as_chunks) -> None:
    """Two clusters far apart, with labels that no fit would find."""
    if rung == "gibbs" and schedule != "batch":
        pytest.skip("no such method")
    rng = np.random.default_rng(0)
    X = np.where(np.arange(400) % 2, 10.0, -10.0)[:, None] + rng.standard_normal((400, 1))
    labels = np.arange(400) // 2 % 2  # half of each cluster
    data = np.array_split(X, 3) if as_chunks else X
    options = settings(rung)
    if schedule != "batch":
        options |= {"schedule": schedule, "n_batches": 4}
    if schedule == "minibatch":
        del options["tol"]
    fit = GaussianMixture(2, random_state=0, **options)
    fit.fit(data, labels=labels)
    own = [X[labels == k].mean() for k in range(2)]
    np.testing.assert_allclose(fit.means_.ravel(), own, atol=3.0)
    np.testing.assert_allclose(fit.weights_, 0.5, atol=0.1)
    plain = GaussianMixture(2, random_state=0).fit(X)
    assert abs(plain.means_).min() > 9.5


@pytest.mark.parametrize("rung", ["mean-field", "em", "hard-em"])
def test_a_memoized_fit_to_known_rows_is_the_batch_fit(rung) -> None:
    X, _, truth = problem()
    options = {"random_state": 0, "inference": rung, "max_iter": 5, "tol": 0.0}
    batch = GaussianMixture(3, **options).fit(X, labels=truth)
    memoized = GaussianMixture(3, schedule="memoized", **options).fit(X, labels=truth)
    np.testing.assert_allclose(memoized.means_, batch.means_, rtol=1e-9)
    np.testing.assert_allclose(memoized.covariances_, batch.covariances_, rtol=1e-9)
    assert memoized.lower_bound_ == pytest.approx(batch.lower_bound_, rel=1e-10)


@pytest.mark.parametrize("rung", ["em", "hard-em"])
def test_partial_fit_heeds_the_labels_of_its_chunk(rung) -> None:
    X, _, truth = problem(n=500)
    wrong = (truth + 1) % 3
    fit = GaussianMixture(3, inference=rung, random_state=0, total_samples=1000)
    fit.partial_fit(X[:300], labels=truth[:300])
    parts = [X[:300][truth[:300] == k] for k in range(3)]
    np.testing.assert_allclose(fit.means_, [rows.mean(0) for rows in parts], rtol=1e-10)
    fit.partial_fit(X[300:], labels=wrong[300:])
    rate = (1 + fit.learning_offset) ** -fit.learning_decay
    share = [(1 - rate) * 1000 / 300, rate * 1000 / 200]
    more = [X[300:][wrong[300:] == k] for k in range(3)]
    for k, (first, second) in enumerate(zip(parts, more, strict=True)):
        counts = share[0] * len(first) + share[1] * len(second)
        sums = share[0] * first.sum(0) + share[1] * second.sum(0)
        np.testing.assert_allclose(fit.means_[k], sums / counts, rtol=1e-9)
        assert fit.weights_[k] == pytest.approx(counts / 1000, rel=1e-9)
    before = fit.means_
    with pytest.raises(ValueError, match="row 4 has 3"):
        fit.partial_fit(X[:5], labels=[0, 1, -1, 2, 3])
    assert fit.means_ is before


def test_a_labelled_row_twice_is_one_of_weight_two() -> None:
    X, labels, _ = problem()
    options = {"resp_init": None, "means_init": X[:3], "max_iter": 10, "tol": 0.0}
    weights = np.r_[np.full(100, 2.0), np.ones(200)]
    weighted = GaussianMixture(3, **options).fit(X, sample_weight=weights, labels=labels)
    order = np.random.default_rng(0).permutation(400)
    twice, known = np.r_[X, X[:100]][order], np.r_[labels, labels[:100]][order]
    repeated = GaussianMixture(3, **options).fit(twice, labels=known)
    np.testing.assert_allclose(repeated.means_, weighted.means_, rtol=1e-9)
    assert repeated.lower_bound_ == pytest.approx(weighted.lower_bound_, rel=1e-10)


@pytest.mark.parametrize("rung", ["mean-field", "em", "hard-em", "gibbs"])
@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_native_and_twin_agree_with_labels_and_missing_values(kind, rung) -> None:
    X, labels, _ = problem(n=150, D=3)
    rng = np.random.default_rng(5)
    X[rng.random(X.shape) < 0.2] = np.nan
    bayes = rung in ("mean-field", "gibbs")
    config = configure(
        X, 3, kind, weight_type="dirichlet" if bayes else "flat", proper=bayes, marginalize=True
    )
    block = RowBlock(X, labels=labels.astype(np.int32))
    check_twin(Model(config), Twin(config), block, rung, rtol=1e-9)
    r = rng.dirichlet(np.ones(3), 150)
    step = Step("exact", "posterior" if bayes else "point")
    first = Model(config, Start(responsibilities=r)).init([block], step)
    expected = Twin(config).from_responsibilities(block, r, step)
    np.testing.assert_allclose(first.buffer, expected.buffer, rtol=1e-9, atol=1e-9)
