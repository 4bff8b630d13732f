"""Accelerated EM: half the E-steps and never a fall, whatever the extrapolation says."""

from pathlib import Path

import numpy as np
import pytest

import vemfast
from vemfast import BernoulliMixture, CategoricalMixture, GaussianMixture, PoissonMixture
from vemfast.data import RowBlock
from vemfast.inference.accelerated import Anderson
from vemfast.models import discrete_vector, gaussian_vector
from vemfast.models.base import Model, Step
from vemfast.models.gaussian_config import COVARIANCE_TYPES
from vemfast.models.gaussian_mixture import GaussianMixture as Native
from vemfast.reference import GaussianMixture as Reference
from vemfast.reference import configure

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::vemfast.errors.DegenerateWarning"),
]

FAITHFUL = np.loadtxt(
    Path(__file__).parents[1] / "data" / "faithful.csv", delimiter=",", skiprows=1
)


def two_gaussians(n=10_000, seed=3):
    X = np.random.default_rng(seed).standard_normal((n, 1))
    X[: n // 2] += 1.5
    return X


def discrete(family, n=300, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=n)
    if family is PoissonMixture:
        return rng.poisson(rng.gamma(4.0, 1.0, (3, 4))[labels])
    shares = rng.dirichlet(np.ones(3), (3, 6))[labels]
    codes = (rng.random((n, 6, 1)) > shares.cumsum(-1)).sum(-1).clip(0, 2)
    return codes if family is CategoricalMixture else (codes > 0).astype(float)


def e_steps(model):
    return model.n_e_steps_ if model.accelerate else model.n_iter_ + 1


def never_falls(model, total):
    bounds = np.array(model.lower_bounds_)
    assert np.diff(bounds).min() >= -1e-10 * max(np.abs(bounds).max(), total)


# ---- what it is for ----


@pytest.mark.parametrize(
    ("X", "K", "tol"),
    [
        pytest.param(two_gaussians(), 2, 1e-6, id="two"),
        pytest.param(two_gaussians(), 2, 1e-8, id="two to the end", marks=pytest.mark.slow),
        pytest.param(FAITHFUL, 4, 1e-6, id="faithful"),
        pytest.param(FAITHFUL, 4, 1e-8, id="faithful to the end"),
    ],
)
def test_at_most_half_the_e_steps(X, K, tol):
    steps = {False: [], True: []}
    for seed in range(20):
        for accelerate in steps:
            model = GaussianMixture(
                K, tol=tol, max_iter=100_000, random_state=seed, accelerate=accelerate
            ).fit(X)
            assert model.converged_
            never_falls(model, len(X))
            steps[accelerate].append(e_steps(model))
    assert 2 * np.median(steps[True]) <= np.median(steps[False])


def test_along_a_flat_ridge_it_goes_on_and_not_back():
    """On these rows steps grow for hundreds of updates: their fixed point lies behind."""
    options = {"tol": 1e-8, "max_iter": 10_000, "random_state": 0}
    X = two_gaussians(seed=0)
    plain = GaussianMixture(2, **options).fit(X)
    fast = GaussianMixture(2, accelerate=True, **options).fit(X)
    assert fast.converged_
    assert 10 * e_steps(fast) <= e_steps(plain)
    assert fast.lower_bound_ > plain.lower_bound_


@pytest.mark.parametrize("family", [BernoulliMixture, PoissonMixture, CategoricalMixture])
def test_the_discrete_mixtures_gain_too(family):
    X, steps, ends = discrete(family), {False: [], True: []}, {False: [], True: []}
    for seed in range(5):
        for accelerate in steps:
            model = family(3, tol=1e-8, max_iter=10_000, random_state=seed, accelerate=accelerate)
            model.fit(X)
            assert model.converged_
            never_falls(model, len(X))
            steps[accelerate].append(e_steps(model))
            ends[accelerate].append(model.lower_bound_)
    assert 1.5 * np.median(steps[True]) <= np.median(steps[False])
    assert max(ends[True]) >= max(ends[False]) - 1e-3


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_a_plain_update_goes_no_further(covariance_type):
    model = GaussianMixture(
        3, covariance_type=covariance_type, tol=1e-8, max_iter=9999, random_state=1, accelerate=True
    ).fit(FAITHFUL)
    reached = model.lower_bound_
    model.set_params(accelerate=False, warm_start=True).fit(FAITHFUL)
    assert model.n_iter_ == 1
    assert model.lower_bound_ - reached < 1e-8 * len(FAITHFUL)


# ---- safeguards ----


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_never_falls_on_random_problems(covariance_type, seed):
    rng = np.random.default_rng(seed)
    n, D, K = rng.integers(30, 200), rng.integers(1, 6), rng.integers(1, 7)
    X = rng.normal(size=(n, D)) @ rng.normal(size=(D, D)) * 10.0 ** rng.integers(-4, 5, D)
    X += 10.0 ** rng.integers(-1, 4)
    if seed % 3 == 0:
        X[: n // 3] = X[0]  # a component may collapse
    if seed % 4 == 0:
        X[:, 0] = X[0, 0]
    weights = rng.uniform(0.1, 3.0, n) if seed % 2 else None
    prior = {}
    if seed % 5 == 0:
        prior = {"weight_concentration_prior": 1.5, "mean_precision_prior": 0.3}
        prior["degrees_of_freedom_prior"] = float(D + 1)
    for dtype, allowed in ((np.float64, 1e-10), (np.float32, 2e-6)):
        model = GaussianMixture(
            int(K),
            covariance_type=covariance_type,
            reg_covar=0.03,
            tol=0.0,
            max_iter=60,
            equal_weights=bool(seed % 3 == 1) and not prior,
            init_params=["kmeans", "random"][seed % 2],
            random_state=seed,
            accelerate=True,
            **prior,
        ).fit(X.astype(dtype), sample_weight=weights)
        bounds = np.array(model.lower_bounds_)
        assert len(bounds) == 61
        assert np.diff(bounds).min() >= -allowed * max(np.abs(bounds).max(), n)


@pytest.mark.parametrize("how", ["worse", "none", "huge", "still"])
def test_an_extrapolation_astray_changes_nothing_but_the_count(monkeypatch, how):
    points, as_vector = [], gaussian_vector.to_vector

    def seen(config, params):
        points.append(params)
        return as_vector(config, params)

    def astray(config, vector, like):
        if how == "none":
            return None
        if how == "still":  # where the fit is: no gain at all, but no fall
            return points[-2]
        params = like.copy()
        params["means"] = params["means"] + (1e160 if how == "huge" else 100.0)
        return params

    options = {"tol": 1e-6, "max_iter": 1000, "random_state": 0}
    plain = GaussianMixture(3, **options).fit(FAITHFUL)
    monkeypatch.setattr(gaussian_vector, "to_vector", seen)
    monkeypatch.setattr(gaussian_vector, "from_vector", astray)
    same = GaussianMixture(3, accelerate=True, **options).fit(FAITHFUL)
    np.testing.assert_array_equal(same.lower_bounds_, plain.lower_bounds_)
    np.testing.assert_array_equal(same.covariances_, plain.covariances_)
    assert e_steps(same) > e_steps(plain) + plain.n_iter_ // 4


@pytest.mark.parametrize("inits", ["apart", "an empty one"])
@pytest.mark.parametrize("accelerate", [False, True])
def test_every_e_step_is_counted(accelerate, inits):
    class Counting(Native):
        count, iterate = 0, Model.iterate

        def e_step(self, prepared, block, step):
            Counting.count += 1
            return super().e_step(prepared, block, step)

    model = Counting(configure(FAITHFUL, 4, "full"))
    start = model.init([RowBlock(FAITHFUL)], Step(seed=5))
    if inits == "an empty one":
        start["means"][0] = 1e6  # asks for a proposal
    Counting.count = 0
    result = vemfast.fit(
        model, FAITHFUL, params=start, tol=1e-7, max_iter=500, accelerate=accelerate
    )
    assert result.converged
    assert result.n_e_steps == Counting.count
    assert (result.n_e_steps > result.n_iter + 1) == (accelerate or inits == "an empty one")


def test_what_is_held_stays_to_the_bit():
    model = GaussianMixture(3, equal_weights=True, accelerate=True, tol=1e-8, max_iter=999)
    assert model.fit(FAITHFUL).weights_.tolist() == [1 / 3] * 3


def test_a_component_without_weight():
    options = {"weights_init": [0.6, 0.4, 0.0], "means_init": [[2, 50], [4, 80], [9, 900]]}
    options |= {"precisions_init": [np.eye(2)] * 3, "tol": 1e-6, "max_iter": 500}
    plain, fast = (GaussianMixture(3, accelerate=a, **options).fit(FAITHFUL) for a in (False, True))
    assert fast.lower_bound_ == pytest.approx(plain.lower_bound_, abs=0.1)


def test_threads_and_chunks_change_no_bit():
    X = two_gaussians(3000)
    options = {"accelerate": True, "tol": 1e-7, "max_iter": 999, "random_state": 0}
    first = GaussianMixture(2, n_jobs=1, **options).fit(X)
    for other in (
        GaussianMixture(2, n_jobs=3, **options).fit(X),
        GaussianMixture(2, **options).fit([X[:700], X[700:]]),
    ):
        np.testing.assert_array_equal(other.lower_bounds_, first.lower_bounds_)
        np.testing.assert_array_equal(other.means_, first.means_)


def test_missing_values():
    X = FAITHFUL.copy()
    X[np.random.default_rng(0).random(X.shape) < 0.2] = np.nan
    model = GaussianMixture(3, accelerate=True, missing="marginalize", tol=1e-7, max_iter=9999)
    model.set_params(random_state=0).fit(X)
    assert model.converged_
    never_falls(model, len(X))


# ---- points as vectors ----


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_any_vector_is_a_mixture(covariance_type):
    X = FAITHFUL * [1e-6, 1e6]
    config = configure(X, 3, covariance_type)
    point = Reference(config).init([RowBlock(X)], Step(seed=1))
    vector = gaussian_vector.to_vector(config, point)
    back = gaussian_vector.from_vector(config, vector + 1e-300, point)
    np.testing.assert_array_equal(back.buffer, point.buffer)
    other = point.copy()
    other["means"] = other["weights"] = 0.7
    back = gaussian_vector.from_vector(config, vector, other)
    for name in ("weights", "means", "covariances"):
        np.testing.assert_allclose(back[name], point[name], rtol=1e-11, atol=1e-14)
    rng = np.random.default_rng(0)
    for size in (0.1, 3.0, 30.0):
        any_one = gaussian_vector.from_vector(config, size * rng.normal(size=vector.size), point)
        assert any_one["weights"].sum() == pytest.approx(1.0)
        assert any_one["weights"].min() >= 0
        unit = np.sqrt(config.column_scale)
        if covariance_type in ("full", "tied"):
            spread = np.linalg.eigvalsh(any_one["covariances"] / (unit[:, None] * unit))
            assert (spread >= config.reg_covar * (1 - 1e-3) - 1e-13 * spread.max()).all()
        else:
            assert (any_one["covariances"] > 0).all()
    assert gaussian_vector.from_vector(config, vector + 1e4, point) is None
    assert gaussian_vector.from_vector(config, vector * np.nan, point) is None


@pytest.mark.parametrize("family", [BernoulliMixture, PoissonMixture, CategoricalMixture])
def test_any_vector_is_a_discrete_mixture(family):
    X = discrete(family)
    model, _, _, _ = family(3)._model(X, None)
    config = model.config
    point = model.init([family(3)._data_to_fit(X, None)[0]], Step())
    vector = discrete_vector.to_vector(config, point)
    other = point.copy()
    other["weights"] = other[config.table_name] = 0.1
    back = discrete_vector.from_vector(config, vector, other)
    np.testing.assert_allclose(back.buffer, point.buffer, rtol=1e-13, atol=1e-16)
    np.testing.assert_array_equal(
        discrete_vector.from_vector(config, vector, point).buffer, point.buffer
    )
    rng = np.random.default_rng(0)
    for size in (0.1, 3.0, 30.0):
        table = discrete_vector.from_vector(config, size * rng.normal(size=vector.size), point)
        assert table["weights"].sum() == pytest.approx(1.0)
        assert table[config.table_name].min() >= 0
        if family is CategoricalMixture:
            sums = np.add.reduceat(table["probabilities"], config.column_offsets[:-1], axis=0)
            np.testing.assert_allclose(sums, 1.0)
    assert discrete_vector.from_vector(config, vector * np.nan, point) is None


def test_mixing_solves_a_linear_map_in_as_many_steps_as_it_has_dimensions():
    rng = np.random.default_rng(0)
    A, end = np.diag([0.99, 0.9, 0.5, 0.3]), rng.normal(size=4)  # EM has none below 0
    mixing, x = Anderson(depth=4, period=1), np.zeros(4)
    mixing.ridge = 0.0
    for _ in range(5):
        g = end + A @ (x - end)
        ahead = mixing.ahead(x, g)
        x = g if ahead is None else ahead
    np.testing.assert_allclose(x, end, atol=1e-6)


# ---- refusals ----


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"inference": "mean-field"}, "it is for inference='em' or 'variational-em'"),
        ({"inference": "hard-em"}, "it is for inference='em' or 'variational-em'"),
        ({"inference": "gibbs"}, "it is for inference='em' or 'variational-em'"),
        ({"schedule": "memoized"}, "with schedule='batch'"),
        ({"schedule": "minibatch"}, "with schedule='batch'"),
    ],
)
@pytest.mark.parametrize("family", [GaussianMixture, PoissonMixture])
def test_other_rungs_and_schedules_refuse_it(family, options, said):
    model = family(2).fit(np.round(FAITHFUL))
    before = dict(vars(model))
    with pytest.raises(ValueError, match=f"accelerate=True has no effect.*{said}"):
        model.set_params(accelerate=True, **options).fit(np.round(FAITHFUL))
    assert all(vars(model)[name] is before[name] for name in before if name.endswith("_"))


def test_a_model_without_vectors_refuses_it():
    class Bare(Reference):
        to_vector, from_vector = Model.to_vector, Model.from_vector

    with pytest.raises(ValueError, match="needs to_vector and from_vector, which Bare does not"):
        vemfast.fit(Bare(configure(FAITHFUL, 2, "full")), FAITHFUL, accelerate=True)
