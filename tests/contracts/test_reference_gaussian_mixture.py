"""The laws of `vemfast.testing` over every implementation of the Gaussian mixture."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.mixture import GaussianMixture as SklearnMixture

from vemfast import testing
from vemfast.data import RowBlock
from vemfast.errors import NumericalError
from vemfast.models.base import Step
from vemfast.models.gaussian_config import COVARIANCE_TYPES
from vemfast.models.gaussian_mixture import GaussianMixture as NativeMixture
from vemfast.reference import GaussianMixture as ReferenceMixture
from vemfast.reference import configure
from vemfast.stats import Params

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

IMPLEMENTATIONS = {"reference": ReferenceMixture, "native": NativeMixture}
# variational-em has the rules of em here; one test holds the two together.
RUNGS = ("gibbs", "mean-field", "em", "hard-em")
PRIORS = {
    "flat": {},
    "flat, wide edge": {"reg_covar": 0.3},
    "conjugate": {"weight_type": "dirichlet", "weight_concentration": 1.7, "proper": True},
    "process": {"weight_type": "dirichlet_process", "weight_concentration": 0.8, "proper": True},
    "equal": {"weight_type": "equal", "proper": True, "reg_covar": 0.0},
}


def legal(prior, rung):
    proper = rung in ("gibbs", "mean-field")
    return {"process": proper, "conjugate": True, "equal": True}.get(prior, not proper)


CASES = [
    pytest.param(covariance, prior, rung, id=f"{covariance}-{prior}-{rung}")
    for covariance in COVARIANCE_TYPES
    for prior in PRIORS
    for rung in RUNGS
    if legal(prior, rung)
]

rng = np.random.default_rng(11)
X = np.concatenate(
    [
        rng.normal(size=(70, 3)) @ rng.normal(size=(3, 3)) + 2.5 * rng.normal(size=3)
        for _ in range(3)
    ]
)
rng.shuffle(X)
WEIGHTS = rng.uniform(0.5, 2.0, len(X))
WEIGHTS[::9] = 0.0
BLOCK = RowBlock(X, WEIGHTS, offset=41)


@pytest.fixture(params=IMPLEMENTATIONS)
def make(request):
    """Return a function that builds one implementation for the data above."""

    def build(covariance, prior, n_components=3, rows=X, weights=WEIGHTS):
        config = configure(rows, n_components, covariance, sample_weight=weights, **PRIORS[prior])
        return IMPLEMENTATIONS[request.param](config)

    return build


# ---- the laws ----


@pytest.mark.parametrize(("covariance", "prior", "rung"), CASES)
def test_statistics_are_a_vector_space(make, covariance, prior, rung):
    testing.check_stats_laws(make(covariance, prior), BLOCK, rung)


@pytest.mark.parametrize(("covariance", "prior", "rung"), CASES)
def test_same_bits_for_any_number_of_threads(make, covariance, prior, rung):
    testing.check_same_bits_for_threads(make(covariance, prior), BLOCK, rung)


DETERMINISTIC = [case for case in CASES if "gibbs" not in case.values]


@pytest.mark.parametrize(("covariance", "prior", "rung"), DETERMINISTIC)
def test_both_forms_of_the_bound_agree(make, covariance, prior, rung):
    testing.check_bound_identity(make(covariance, prior), BLOCK, rung)


@pytest.mark.parametrize("schedule", ["batch", "memoized"])
@pytest.mark.parametrize(("covariance", "prior", "rung"), DETERMINISTIC)
def test_the_bound_never_falls(make, covariance, prior, rung, schedule):
    testing.check_monotone(make(covariance, prior), BLOCK, rung, schedule)


@pytest.mark.nightly
@pytest.mark.parametrize(("covariance", "prior", "rung"), DETERMINISTIC)
def test_the_bound_never_falls_from_any_start(make, seeds, covariance, prior, rung):
    for seed in seeds:
        for n_components, schedule in ((2, "batch"), (5, "memoized"), (8, "batch")):
            model = make(covariance, prior, n_components)
            testing.check_monotone(model, BLOCK, rung, schedule, random_state=seed)


def test_variational_em_is_em(make):
    model = make("full", "conjugate")
    em, variational = (testing.check_monotone(model, X, r) for r in ("em", "variational-em"))
    assert em.lower_bounds == variational.lower_bounds


@pytest.mark.parametrize(("covariance", "prior", "rung"), DETERMINISTIC)
def test_a_long_fit_ends_at_a_fixed_point(make, covariance, prior, rung):
    testing.check_fixed_point(make(covariance, prior), BLOCK, rung, rtol=1e-6, max_iter=700)


OTHERS = [implementation for name, implementation in IMPLEMENTATIONS.items() if name != "reference"]


@pytest.mark.parametrize("implementation", OTHERS)
@pytest.mark.parametrize(("covariance", "prior", "rung"), CASES)
def test_twins_agree(implementation, covariance, prior, rung):
    config = configure(X, 3, covariance, sample_weight=WEIGHTS, **PRIORS[prior])
    model, twin = implementation(config), ReferenceMixture(config)
    testing.check_twin(model, twin, BLOCK, rung, rtol=1e-11)


# Not the rungs with labels, hard-em and gibbs: rounding of float32 scores moves some labels.
SOFT = [case for case in DETERMINISTIC if "hard-em" not in case.values]


@pytest.mark.parametrize("implementation", OTHERS)
@pytest.mark.parametrize(("covariance", "prior", "rung"), SOFT)
def test_twins_agree_on_float32_rows(implementation, covariance, prior, rung):
    rows = X.astype(np.float32)
    config = configure(rows, 3, covariance, sample_weight=WEIGHTS, **PRIORS[prior])
    model, twin = implementation(config), ReferenceMixture(config)
    testing.check_twin(model, twin, RowBlock(rows, WEIGHTS), rung, rtol=3e-5)


# ---- against other programs ----


@pytest.mark.parametrize("covariance", ["full", "tied", "diag", "spherical"])
def test_em_with_a_flat_prior_is_scikit_learns(make, covariance):
    model = make(covariance, "flat", weights=None)
    start = ReferenceMixture(model.config, centres=X[:3]).init([RowBlock(X)], Step())
    covariances = start["covariances"]
    matrix = covariance in ("full", "tied")
    sklearn = SklearnMixture(
        3,
        covariance_type=covariance,
        weights_init=start["weights"],
        means_init=start["means"] + model.config.origin,
        precisions_init=np.linalg.inv(covariances) if matrix else 1 / covariances,
        reg_covar=0.0,
        tol=0.0,
        max_iter=25,
    ).fit(X)
    params, step = start, Step()
    for _ in range(25):
        params = model.update(params, model.e_step(model.prepare(params), RowBlock(X), step), step)
    np.testing.assert_allclose(params["weights"], sklearn.weights_, rtol=1e-9)
    np.testing.assert_allclose(params["means"] + model.config.origin, sklearn.means_, atol=1e-9)
    np.testing.assert_allclose(params["covariances"], sklearn.covariances_, atol=1e-9)


def test_hard_em_of_equal_tied_spheres_is_k_means(make):
    config = configure(X, 3, "tied-spherical", weight_type="equal")
    model = type(make("full", "flat"))(config)
    start = ReferenceMixture(config, centres=X[:3]).init([RowBlock(X)], Step())
    fit = testing.fit(model, X, inference="hard-em", params=start, tol=0, max_iter=50)
    kmeans = KMeans(3, init=start["means"] + config.origin, n_init=1, tol=0, max_iter=50).fit(X)
    np.testing.assert_allclose(fit.params["means"] + config.origin, kmeans.cluster_centers_)
    np.testing.assert_array_equal(fit.stats["counts"], np.bincount(kmeans.labels_))


# ---- the edge of the support, and components without data ----


@pytest.mark.parametrize("prior", ["flat", "conjugate"])
@pytest.mark.parametrize("covariance", COVARIANCE_TYPES)
def test_an_empty_component_keeps_its_place_and_loses_its_weight(make, covariance, prior):
    model = make(covariance, prior)
    start = model.init([BLOCK], Step())
    start["means"][1] = 1e6
    stats = model.e_step(model.prepare(start), BLOCK, Step("hard"))
    assert stats["counts"][1] == 0
    moved = model.update(start, stats, Step("hard"))
    shared = covariance.startswith("tied")
    if prior == "flat":
        assert moved["weights"][1] == 0
    if not shared:
        np.testing.assert_array_equal(moved["means"][1], start["means"][1])
        np.testing.assert_array_equal(moved["covariances"][1], start["covariances"][1])
    elif prior == "conjugate":  # staying would cost through the covariance
        np.testing.assert_allclose(moved["means"][1], model.config.prior.mean, atol=1e-12)
    assert np.all(np.isfinite(moved.buffer))
    after = model.e_step(model.prepare(moved), BLOCK, Step("hard"))
    assert np.all(np.isfinite(after.buffer))
    before = stats.local_bound + model.global_term(start)
    assert after.local_bound + model.global_term(moved) >= before


@pytest.mark.parametrize("prior", ["flat, wide edge", "conjugate"])
@pytest.mark.parametrize("covariance", COVARIANCE_TYPES)
def test_the_clipped_mode_is_the_constrained_maximum(make, covariance, prior):
    model = make(covariance, prior)
    stats = model.e_step(model.prepare(model.init([BLOCK], Step())), BLOCK, Step())
    mode = model.update(None, stats, Step())
    edge = model.config.reg_covar * model.config.column_scale
    best = model.expected_log_joint(mode, stats) + model.global_term(mode)
    for seed in range(60):
        other, noise = mode.copy(), np.random.default_rng(seed)
        other["means"] += noise.normal(size=mode["means"].shape) * 10.0 ** -noise.integers(1, 5)
        covariances = other["covariances"]
        if covariance in ("full", "tied"):
            # Σ - edge stays positive semi-definite: add, and move towards the edge.
            root = noise.normal(size=covariances.shape) * 10.0 ** -noise.integers(1, 4)
            covariances *= 1 - (shrink := noise.choice([0.0, 0.05]))
            covariances += shrink * np.diag(edge) + root @ root.swapaxes(-1, -2)
        else:
            covariances *= np.exp(noise.normal(size=covariances.shape) * 0.1)
            floor = edge if covariance == "diag" else edge.mean()
            np.maximum(covariances, floor, out=covariances)
        weights = other["weights"] * np.exp(0.1 * noise.normal(size=3))
        other["weights"] = weights / weights.sum()
        assert model.expected_log_joint(other, stats) + model.global_term(other) <= best + 1e-9


@pytest.mark.parametrize("covariance", ["tied", "tied-spherical"])
def test_a_singular_shared_covariance_is_an_error(make, covariance):
    centres = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 7.0]])
    rows = np.repeat(centres, 20, axis=0)
    model = type(make("full", "flat"))(configure(rows, 2, covariance, reg_covar=0.0))
    start = Params(model.config.params_layout("point"), "point")
    start["weights"], start["means"] = 0.5, centres - model.config.origin
    start["covariances"] = np.eye(3) if covariance == "tied" else 1.0
    stats = model.e_step(model.prepare(start), RowBlock(rows), Step("hard"))
    with pytest.raises(NumericalError, match="all components: covariance not positive definite"):
        model.update(start, stats, Step("hard"))


@pytest.mark.parametrize("prior", [{}, {"weight_type": "dirichlet"}, {"proper": True}])
@pytest.mark.parametrize("rung", ["mean-field", "gibbs"])
def test_a_posterior_needs_proper_priors(make, prior, rung):
    model = type(make("full", "flat"))(configure(X, 3, **prior))
    with pytest.raises(ValueError, match=f"no inference='{rung}': it needs proper .* use 'em'"):
        testing.fit(model, X, inference=rung)


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ({"weight_type": "dirichlet_process"}, "no useful mode; use 'mean-field'"),
        ({"weight_type": "dirichlet", "weight_concentration": 0.5}, "0.5 < 1 has no mode"),
    ],
)
@pytest.mark.parametrize("rung", ["em", "variational-em", "hard-em"])
def test_a_point_needs_a_prior_with_a_mode(make, prior, message, rung):
    model = type(make("full", "flat"))(configure(X, 3, proper=True, **prior))
    with pytest.raises(ValueError, match=message):
        testing.fit(model, X, inference=rung)


@pytest.mark.parametrize("covariance", ["full", "diag", "spherical"])
def test_a_singular_covariance_is_an_error_that_names_it(make, covariance):
    config = configure(X, 3, covariance, reg_covar=0.0)
    model = type(make("full", "flat"))(config)
    start = model.init([RowBlock(X)], Step())
    start["means"][2] = X[5] - config.origin
    covariances = start["covariances"]
    covariances[2] = 1e-12 * (np.eye(3) if covariance == "full" else 1.0)
    stats = model.e_step(model.prepare(start), RowBlock(X), Step("hard"))
    assert stats["counts"][2] == 1
    with pytest.raises(NumericalError, match="component 2: covariance not positive definite"):
        model.update(start, stats, Step("hard"))


def test_data_far_from_zero(make):
    far = X + 1e8
    a = testing.check_monotone(make("full", "flat", weights=None), X)
    b = testing.check_monotone(make("full", "flat", rows=far, weights=None), far)
    # 1e8 + x has lost all but eight digits of x.
    np.testing.assert_allclose(a.params["covariances"], b.params["covariances"], rtol=1e-5)


# ---- what the reference alone has ----


def test_a_row_out_of_all_proportion():
    model = ReferenceMixture(configure(X, 3, "diag"))
    params = model.init([RowBlock(X)], Step())
    rows = np.array([[1e200, 0.0, 0.0], X[0]])
    r = model.responsibilities(params, rows)
    np.testing.assert_allclose(r.sum(axis=1), 1.0)
    assert model.log_density(params, rows)[0] == -np.inf
    assert np.isfinite(model.log_density(params, rows)[1])


def test_sampled_labels_have_the_responsibilities_as_frequencies():
    model = ReferenceMixture(configure(X, 3, "full"))
    params = model.init([RowBlock(X)], Step())
    row = np.argmin(np.abs(model.responsibilities(params, X) - 1 / 3).sum(axis=1))
    n = 20_000
    block = RowBlock(np.repeat(X[row : row + 1], n, axis=0))
    stats = model.e_step(model.prepare(params), block, Step("sampled", "sampled", seed=3))
    p = model.responsibilities(params, X[row : row + 1])[0]
    z = (stats["counts"] - n * p) / np.sqrt(n * p * (1 - p))
    assert np.abs(z).max() < 4


def test_a_start_from_responsibilities():
    model = ReferenceMixture(configure(X, 3, "full"))
    labels = np.arange(len(X)) % 3
    params = model.from_responsibilities(RowBlock(X, offset=7), np.eye(3)[labels], Step())
    for k in range(3):
        own = X[labels == k]
        np.testing.assert_allclose(params["means"][k] + model.config.origin, own.mean(axis=0))
        np.testing.assert_allclose(params["covariances"][k], np.cov(own.T, bias=True), rtol=1e-9)


@pytest.mark.parametrize("n_blocks", [1, 5])
def test_a_random_start_is_made_of_rows(n_blocks):
    model = ReferenceMixture(configure(X, 3, "full"))
    rows = model._random_rows(RowBlock(X).cut(n_blocks), Step(seed=5))
    assert len({tuple(row) for row in rows}) == 3
    assert all((row == X).all(axis=1).any() for row in rows)
    np.testing.assert_array_equal(rows, model._random_rows([RowBlock(X)], Step(seed=5)))


def test_more_components_than_rows_may_share_them():
    model = ReferenceMixture(configure(X[:2], 3, "spherical"))
    assert model._random_rows([RowBlock(X[:2])], Step()).shape == (3, 3)
