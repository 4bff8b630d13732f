"""Frozen parameters and first responsibilities, against optimisation and closed forms."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, combinations

import numpy as np
import pytest

import vemfast
from vemfast import GaussianMixture
from vemfast.data import RowBlock
from vemfast.models.base import Step
from vemfast.models.gaussian_config import COVARIANCE_TYPES, Start
from vemfast.models.gaussian_mixture import GaussianMixture as Model
from vemfast.reference import GaussianMixture as Twin
from vemfast.reference.configure import configure

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

FIELDS = ("weights", "means", "covariances")
SOME = [*chain.from_iterable(combinations(FIELDS, r) for r in (1, 2, 3))]


def data(n: int = 240, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = 2.0 * rng.standard_normal((3, 2))
    return centres[rng.integers(0, 3, n)] + rng.standard_normal((n, 2)) @ [[1, 0.4], [0, 0.8]]


def given(X: np.ndarray, kind: str) -> dict:
    shape = configure(X, 3, kind).covariance_shape
    precisions = np.full(shape, 1.3)
    if kind in ("full", "tied"):
        precisions = np.broadcast_to([[1.3, 0.2], [0.2, 0.9]], shape).copy()
    return {
        "weights_init": np.array([0.5, 0.3, 0.2]),
        "means_init": 2.0 * np.random.default_rng(0).standard_normal((3, 2)) + 0.4,
        "precisions_init": precisions,
    }


@pytest.mark.filterwarnings("ignore::vemfast.DegenerateWarning")
@pytest.mark.parametrize("freeze", SOME)
@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
@pytest.mark.parametrize("rung", ["em", "hard-em"])
def test_what_is_frozen_keeps_its_bits_and_the_objective_never_falls(rung, kind, freeze) -> None:
    X = data()
    start = given(X, kind)
    fit = GaussianMixture(
        3, covariance_type=kind, inference=rung, freeze=freeze, max_iter=20, tol=0.0, **start
    ).fit(X)
    for name in FIELDS:
        attribute, parameter = {
            "weights": ("weights_", "weights_init"),
            "means": ("means_", "means_init"),
            "covariances": ("precisions_", "precisions_init"),
        }[name]
        same = np.asarray(getattr(fit, attribute)).tobytes() == start[parameter].tobytes()
        assert same == (name in freeze)
    trace = np.array(fit.lower_bounds_)
    assert (np.diff(trace) >= -1e-9 * np.maximum(np.abs(trace[1:]), 240)).all()
    if len(freeze) < 3:
        assert trace[-1] > trace[0]


@pytest.mark.parametrize("freeze", SOME)
@pytest.mark.parametrize("proper", [False, True])
@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
def test_native_and_twin_agree_and_are_at_the_maximum(kind, proper, freeze) -> None:
    """No small step of what is free improves on the update; twin and native make the same one."""
    rng = np.random.default_rng(3)
    X = data()
    plain = configure(X, 3, kind, weight_type="flat", proper=proper)
    config = replace(plain, freeze=freeze)
    model, twin = Model(config), Twin(config)
    params = Model(plain).init([RowBlock(X)], Step(seed=2))
    params["means"] += 0.2
    stats = model.e_step(model.prepare(params), RowBlock(X), Step())
    updates = [m.update(params, stats, Step()) for m in (model, twin)]
    np.testing.assert_allclose(updates[0].buffer, updates[1].buffer, rtol=1e-9, atol=1e-12)
    best = updates[0]
    for name in freeze:
        assert best[name].tobytes() == params[name].tobytes()

    def objective(point) -> float:
        return twin.expected_log_joint(point, stats) + twin.global_term(point)

    top = objective(best)
    assert top >= objective(params)
    for _ in range(60):
        other = best.copy()
        for name in set(FIELDS).difference(freeze):
            noise = 1e-3 * rng.standard_normal(best[name].shape)
            if name == "covariances" and kind in ("full", "tied"):
                noise = noise + noise.swapaxes(-1, -2)
            other[name] = best[name] + noise
        other["weights"] /= other["weights"].sum()
        if "weights" in freeze:
            other["weights"] = best["weights"]
        assert objective(other) <= top + 1e-9


@pytest.mark.parametrize("freeze", SOME)
@pytest.mark.parametrize("schedule", ["memoized", "minibatch", "partial_fit"])
def test_what_is_frozen_stays_under_every_schedule(schedule, freeze) -> None:
    X, start = data(), given(data(), "full")
    if schedule == "partial_fit":
        fit = GaussianMixture(3, freeze=freeze, **start)
        for chunk in np.array_split(X, 3):
            fit.partial_fit(chunk)
    else:
        options = {"schedule": schedule, "n_batches": 3, "freeze": freeze, "max_iter": 6, **start}
        if schedule == "memoized":
            options["tol"] = 0.0
        fit = GaussianMixture(3, **options).fit(X)
    for name, attribute, parameter in (
        ("weights", fit.weights_, "weights_init"),
        ("means", fit.means_, "means_init"),
        ("covariances", fit.precisions_, "precisions_init"),
    ):
        assert (attribute.tobytes() == start[parameter].tobytes()) == (name in freeze)
    if schedule == "memoized":
        trace = np.array(fit.lower_bounds_)
        assert (np.diff(trace) >= -1e-9 * np.maximum(np.abs(trace[1:]), 240)).all()


def test_a_warm_start_gives_the_values() -> None:
    X = data()
    fit = GaussianMixture(3, random_state=0, warm_start=True).fit(X)
    means = fit.means_.copy()
    fit.set_params(freeze=["means"], inference="hard-em").fit(data(seed=0)[::2])
    assert fit.means_.tobytes() == means.tobytes()
    assert fit.bic(X) < GaussianMixture(3, random_state=0).fit(X).bic(X) + 100


def test_frozen_numbers_are_not_counted_as_parameters() -> None:
    X = data()
    fit = GaussianMixture(3, freeze=("means",), means_init=given(X, "full")["means_init"]).fit(X)
    free = 2 + 3 * 3
    assert fit.aic(X) == pytest.approx(2 * free - 2 * fit.score_samples(X).sum())


def test_frozen_fits_are_saved(tmp_path) -> None:
    X = data()
    fit = GaussianMixture(3, freeze=("means",), means_init=given(X, "full")["means_init"]).fit(X)
    fit.save(tmp_path / "model.safetensors")
    loaded = vemfast.load(tmp_path / "model.safetensors")
    assert loaded.freeze == ("means",)
    assert loaded.means_.tobytes() == fit.means_.tobytes()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"freeze": ("means",)}, "needs the value at which means are to stay: give means_init"),
        ({"freeze": ("covariances",), "means_init": 1}, "give precisions_init"),
        ({"freeze": ("scale",)}, "freeze may name 'weights', 'means', 'covariances'; got 'scale'"),
        ({"freeze": ("means",), "inference": "mean-field"}, "use inference='em'"),
        ({"freeze": ("means",), "inference": "gibbs"}, "use inference='em'"),
        ({"freeze": "means"}, "freeze"),
    ],
)
def test_bad_freezes(options, message) -> None:
    X = data()
    if "means_init" in options:
        options = {**options, "means_init": X[:3]}
    with pytest.raises(ValueError, match=message):
        GaussianMixture(3, **options).fit(X)


# ---- first responsibilities ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", COVARIANCE_TYPES)
@pytest.mark.parametrize("schedule", ["batch", "memoized"])
def test_given_responsibilities_make_the_first_estimates(kind, schedule) -> None:
    rng = np.random.default_rng(1)
    X = data(900)
    r = rng.dirichlet([0.5, 0.5, 0.5], 900)
    labels = np.full(900, -1, dtype=np.int32)
    labels[:40] = 2
    config = configure(X, 3, kind)
    block = RowBlock(X, rng.uniform(0.5, 2, 900), labels=labels)
    first = Model(config, Start(responsibilities=r)).init(block.cut(4), Step(n_jobs=2))
    expected = Twin(config).from_responsibilities(block, r, Step())
    np.testing.assert_allclose(first.buffer, expected.buffer, rtol=1e-9, atol=1e-12)
    fits = [
        GaussianMixture(
            3, covariance_type=kind, schedule=schedule, resp_init=r[:, order], max_iter=3, tol=0.0
        ).fit(X)
        for order in ([0, 1, 2], [2, 0, 1])
    ]
    np.testing.assert_allclose(fits[1].means_, fits[0].means_[[2, 0, 1]], rtol=1e-9)
    chunked = GaussianMixture(
        3, covariance_type=kind, schedule=schedule, resp_init=r, max_iter=3, tol=0.0
    ).fit(np.array_split(X, 4))
    assert chunked.means_.tobytes() == fits[0].means_.tobytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r[:-1], r"resp_init must have the shape \(240, 3\)"),
        (lambda r: r[:, :2], r"resp_init must have the shape \(240, 3\)"),
        (lambda r: r * 1.01, "must sum to 1; row 0 sums to 1.01"),
        (lambda r: r - 0.5, "finite and >= 0; row 0, component 0"),
        (lambda r: r * np.nan, "finite and >= 0"),
    ],
)
def test_bad_responsibilities(change, message) -> None:
    with pytest.raises(ValueError, match=message):
        GaussianMixture(3, resp_init=change(np.full((240, 3), 1 / 3))).fit(data())


def test_responsibilities_beside_a_whole_start_are_refused() -> None:
    X = data()
    with pytest.raises(ValueError, match="resp_init has no effect"):
        GaussianMixture(3, resp_init=np.full((240, 3), 1 / 3), **given(X, "full")).fit(X)
