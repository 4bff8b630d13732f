"""Missing features: laws of both implementations, and the twin against brute force."""

import itertools

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import multivariate_normal

from vemfast import testing
from vemfast.data import RowBlock
from vemfast.models.base import Step
from vemfast.models.gaussian_config import COVARIANCE_TYPES
from vemfast.models.gaussian_mixture import GaussianMixture as NativeMixture
from vemfast.reference import GaussianMixture as ReferenceMixture
from vemfast.reference import configure

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

IMPLEMENTATIONS = {"reference": ReferenceMixture, "native": NativeMixture}
RUNGS = ("gibbs", "mean-field", "em", "hard-em")
PROPER = {"weight_type": "dirichlet", "weight_concentration": 1.7, "proper": True}
PROCESS = {"weight_type": "dirichlet_process", "weight_concentration": 0.8, "proper": True}
CASES = [
    pytest.param(covariance, prior, rung, id=f"{covariance}-{name}-{rung}")
    for covariance in COVARIANCE_TYPES
    for name, prior, rungs in (
        ("flat", {}, ("em", "hard-em")),
        ("conjugate", PROPER, RUNGS),
        ("process", PROCESS, ("mean-field",)),
    )
    for rung in rungs
]
DETERMINISTIC = [case for case in CASES if "gibbs" not in case.values]

rng = np.random.default_rng(12)
X = np.concatenate(
    [
        rng.normal(size=(70, 4)) @ rng.normal(size=(4, 4)) + 2.5 * rng.normal(size=4)
        for _ in range(3)
    ]
)
rng.shuffle(X)
COMPLETE = X.copy()
X[rng.random(X.shape) < 0.25] = np.nan
X[:9] = COMPLETE[:9]
X[9] = np.nan  # a row of the kernel may have nothing at all
WEIGHTS = rng.uniform(0.5, 2.0, len(X))
WEIGHTS[::9] = 0.0
BLOCK = RowBlock(X, WEIGHTS, offset=41)


def config_of(covariance, prior=None, rows=X, weights=WEIGHTS, n_components=3):
    return configure(
        rows, n_components, covariance, sample_weight=weights, marginalize=True, **(prior or {})
    )


@pytest.fixture(params=IMPLEMENTATIONS)
def implementation(request):
    return IMPLEMENTATIONS[request.param]


# ---- the laws ----


@pytest.mark.parametrize(("covariance", "prior", "rung"), CASES)
def test_statistics_are_a_vector_space(implementation, covariance, prior, rung):
    testing.check_stats_laws(implementation(config_of(covariance, prior)), BLOCK, rung)


@pytest.mark.parametrize(("covariance", "prior", "rung"), CASES)
def test_same_bits_for_any_number_of_threads(covariance, prior, rung):
    testing.check_same_bits_for_threads(NativeMixture(config_of(covariance, prior)), BLOCK, rung)


@pytest.mark.parametrize(("covariance", "prior", "rung"), DETERMINISTIC)
def test_both_forms_of_the_bound_agree(implementation, covariance, prior, rung):
    testing.check_bound_identity(implementation(config_of(covariance, prior)), BLOCK, rung)


@pytest.mark.parametrize("schedule", ["batch", "memoized"])
@pytest.mark.parametrize(("covariance", "prior", "rung"), DETERMINISTIC)
def test_the_bound_never_falls(covariance, prior, rung, schedule):
    testing.check_monotone(NativeMixture(config_of(covariance, prior)), BLOCK, rung, schedule)


@pytest.mark.parametrize(("covariance", "prior", "rung"), CASES)
def test_twins_agree(covariance, prior, rung):
    config = config_of(covariance, prior)
    testing.check_twin(NativeMixture(config), ReferenceMixture(config), BLOCK, rung, rtol=1e-11)


@pytest.mark.parametrize("rung", ["em", "mean-field"])
@pytest.mark.parametrize("covariance", COVARIANCE_TYPES)
def test_twins_agree_on_float32_rows(covariance, rung):
    rows = X.astype(np.float32)
    config = config_of(covariance, PROPER, rows)
    model, twin = NativeMixture(config), ReferenceMixture(config)
    testing.check_twin(model, twin, RowBlock(rows, WEIGHTS), rung, rtol=3e-5)


# Shapes at the seams of the kernel: one feature, a mask of more than a word, lanes that are filled
# up or not, one pattern for many rows, and several tiles.
@pytest.mark.parametrize(
    ("n", "n_features", "n_components"),
    [(50, 1, 2), (90, 70, 2), (120, 5, 8), (140, 3, 11), (1300, 2, 3)],
)
@pytest.mark.parametrize("covariance", COVARIANCE_TYPES)
def test_twins_agree_on_any_shape(covariance, n, n_features, n_components):
    noise = np.random.default_rng(n)
    rows = noise.normal(size=(n, n_features)) + 3 * noise.integers(0, 2, size=(n, 1))
    rows[noise.random(rows.shape) < 0.2] = np.nan
    rows[: n // 3, 0] = np.nan
    block = RowBlock(rows, offset=3)
    config = config_of(covariance, PROPER, rows, None, n_components)
    for rung in ("em", "hard-em", "gibbs"):
        testing.check_twin(
            NativeMixture(config), ReferenceMixture(config), block, rung, rtol=1e-9, n_iter=1
        )


@pytest.mark.parametrize("rung", ["em", "hard-em", "gibbs", "mean-field"])
@pytest.mark.parametrize("covariance", COVARIANCE_TYPES)
def test_complete_rows_give_the_bits_of_a_model_without_missing_values(covariance, rung):
    block = RowBlock(COMPLETE, WEIGHTS)
    results = []
    for marginalize in (False, True):
        config = configure(
            COMPLETE, 3, covariance, sample_weight=WEIGHTS, marginalize=marginalize, **PROPER
        )
        length = {"n_burn": 1, "n_draws": 6} if rung == "gibbs" else {"max_iter": 7, "tol": 0.0}
        results.append(
            testing.fit(NativeMixture(config), block, inference=rung, random_state=0, **length)
        )
    assert results[0].lower_bounds == results[1].lower_bounds
    np.testing.assert_array_equal(results[0].params.buffer, results[1].params.buffer)


def test_some_complete_rows_beside_others_score_as_they_do_alone():
    model = NativeMixture(config_of("full"))
    table = model.prepare(model.init([BLOCK], Step()))
    alone = model.assign(table, X[:9], "scores", 1)
    np.testing.assert_allclose(model.assign(table, X, "scores", 1)[:9], alone, rtol=1e-13)


# ---- grouping by pattern ----


@pytest.mark.parametrize("rung", ["em", "hard-em", "gibbs"])
@pytest.mark.parametrize("covariance", COVARIANCE_TYPES)
def test_what_rows_share_a_pattern_changes_nothing(covariance, rung):
    """A tile, its rows in another order, and each row alone have the same statistics."""
    model = NativeMixture(config_of(covariance, PROPER))
    table = model.prepare(model.init([BLOCK], Step()))
    step = Step(model.local_rules[rung], "point", 3)
    whole = model.e_step(table, BLOCK, step)
    alone = [model.e_step(table, BLOCK.slice(row, row + 1), step) for row in range(len(X))]
    np.testing.assert_allclose(
        sum(alone[1:], alone[0]).buffer, whole.buffer, atol=1e-11 * np.abs(whole.buffer).max()
    )
    scores = np.concatenate([model.assign(table, row[None], "scores", 1) for row in X])
    np.testing.assert_allclose(model.assign(table, X, "scores", 1), scores, rtol=1e-11)
    if rung == "gibbs":  # draws belong to the number of the row
        return
    order = np.random.default_rng(1).permutation(len(X))
    shuffled = model.e_step(table, RowBlock(X[order], WEIGHTS[order]), step)
    np.testing.assert_allclose(
        shuffled.buffer, whole.buffer, atol=1e-11 * np.abs(whole.buffer).max()
    )


@pytest.mark.nightly
@pytest.mark.parametrize(("covariance", "prior", "rung"), DETERMINISTIC)
def test_the_bound_never_falls_whatever_is_missing(covariance, prior, rung):
    for seed in range(100):
        noise = np.random.default_rng(seed)
        n, D = int(noise.integers(20, 400)), int(noise.integers(1, 8))
        rows = noise.normal(size=(n, D)) @ noise.normal(size=(D, D))
        rows += 4 * noise.integers(0, 2, size=(n, 1))
        rows[noise.random(rows.shape) < noise.uniform(0.02, 0.6)] = np.nan
        rows[:3] = noise.normal(size=(3, D))
        block = RowBlock(rows, noise.uniform(0, 3, n))
        config = config_of(covariance, prior, rows, block.weights, int(noise.integers(1, 6)))
        for schedule in ("batch", "memoized"):
            testing.check_monotone(NativeMixture(config), block, rung, schedule)


# ---- brute force ----


def point_of(model, covariance):
    """Return parameters with correlated covariances, weights and means as arrays, too."""
    params = model.init([BLOCK], Step())
    for _ in range(2):
        stats = model.e_step(model.prepare(params), BLOCK, Step())
        params = model.update(params, stats, Step())
    means = params["means"] + model.config.origin
    K, D = means.shape
    covariances = params["covariances"]
    if covariance not in ("full", "tied"):
        covariances = np.reshape(
            covariances, (-1, covariances.shape[-1] if covariances.ndim == 2 else 1)
        )
        covariances = covariances[:, :, None] * np.eye(D)
    return params, params["weights"], means, np.broadcast_to(covariances, (K, D, D))


@pytest.mark.parametrize("covariance", COVARIANCE_TYPES)
def test_densities_are_those_of_the_observed_features(implementation, covariance):
    model = implementation(config_of(covariance))
    params, weights, means, covariances = point_of(model, covariance)
    expected = np.zeros((len(X), 3))
    for row, x in enumerate(X):
        o = np.flatnonzero(~np.isnan(x))
        for k in range(3):
            expected[row, k] = np.log(weights[k])
            if o.size:
                expected[row, k] += multivariate_normal.logpdf(
                    x[o], means[k][o], covariances[k][np.ix_(o, o)]
                )
    density = np.logaddexp.reduce(expected, axis=1)
    if implementation is NativeMixture:
        table = model.prepare(params)
        np.testing.assert_allclose(model.assign(table, X, "scores", 1), expected, atol=1e-10)
        own = model.assign(table, X, "log_density", 1)
    else:
        own = model.log_density(params, X)
    np.testing.assert_allclose(own, density, atol=1e-10)


@pytest.mark.parametrize("missing", [[1], [0, 3]])
@pytest.mark.parametrize("covariance", COVARIANCE_TYPES)
def test_the_density_of_what_is_observed_is_an_integral_over_the_rest(covariance, missing):
    model = NativeMixture(config_of(covariance))
    params, *_ = point_of(model, covariance)
    table = model.prepare(params)
    spread = np.sqrt(model.config.column_scale)
    axes = [model.config.origin[i] + spread[i] * np.linspace(-8, 8, 501) for i in missing]
    rows = np.repeat(COMPLETE[3][None], 501 ** len(missing), axis=0)
    rows[:, missing] = np.stack([axis.ravel() for axis in np.meshgrid(*axes)], axis=1)
    cell = np.prod([axis[1] - axis[0] for axis in axes])
    integral = np.exp(model.assign(table, rows, "log_density", 2)).sum() * cell
    row = COMPLETE[3].copy()
    row[missing] = np.nan
    own = np.exp(model.assign(table, row[None], "log_density", 1)[0])
    assert integral == pytest.approx(own, rel=1e-8)


@pytest.mark.parametrize("covariance", COVARIANCE_TYPES)
def test_the_likelihood_is_the_sum_over_all_assignments(implementation, covariance):
    model = implementation(config_of(covariance))
    params, weights, means, covariances = point_of(model, covariance)
    rows = np.flatnonzero(np.isnan(X).any(axis=1) & ~np.isnan(X).all(axis=1))[:6]
    joint = np.empty((len(rows), 3))
    for (n, row), k in itertools.product(enumerate(rows), range(3)):
        o = ~np.isnan(X[row])
        joint[n, k] = np.log(weights[k]) + multivariate_normal.logpdf(
            X[row, o], means[k][o], covariances[k][np.ix_(o, o)]
        )
    terms = [
        joint[np.arange(len(rows)), labels].sum()
        for labels in itertools.product(range(3), repeat=len(rows))
    ]
    stats = model.e_step(model.prepare(params), RowBlock(X[rows]), Step())
    assert stats.local_bound == pytest.approx(np.logaddexp.reduce(terms), abs=1e-10)


@pytest.mark.parametrize("covariance", COVARIANCE_TYPES)
def test_statistics_are_expectations_over_completed_rows(implementation, covariance):
    """Σ r E[x] and Σ r E[x xᵀ] by the textbook's conditional normal, from covariances."""
    model = implementation(config_of(covariance))
    params, weights, means, covariances = point_of(model, covariance)
    row = int(np.flatnonzero(np.isnan(X).sum(axis=1) == 2)[0])
    stats = model.e_step(model.prepare(params), RowBlock(X[row : row + 1]), Step())
    m = np.isnan(X[row])
    o = ~m
    log_r, first, second = np.empty(3), np.empty((3, 4)), np.empty((3, 4, 4))
    for k in range(3):
        S = covariances[k]
        gain = S[np.ix_(m, o)] @ np.linalg.inv(S[np.ix_(o, o)])
        x = X[row].copy()
        x[m] = means[k][m] + gain @ (x[o] - means[k][o])
        x -= model.config.origin
        spread = np.zeros((4, 4))
        spread[np.ix_(m, m)] = S[np.ix_(m, m)] - gain @ S[np.ix_(o, m)]
        first[k], second[k] = x, np.outer(x, x) + spread
        log_r[k] = np.log(weights[k]) + multivariate_normal.logpdf(
            X[row, o], means[k][o], S[np.ix_(o, o)]
        )
    r = np.exp(log_r - np.logaddexp.reduce(log_r))
    np.testing.assert_allclose(stats["counts"], r, atol=1e-12)
    np.testing.assert_allclose(stats["sums"], r[:, None] * first, atol=1e-10)
    diagonals = np.diagonal(second, axis1=1, axis2=2)
    lower = np.tril_indices(4)
    scatter = {
        "full": r[:, None] * second[:, lower[0], lower[1]],
        "tied": np.tensordot(r, second, axes=1)[lower],
        "diag": r[:, None] * diagonals,
        "spherical": r * diagonals.sum(axis=1),
        "tied-spherical": r @ diagonals.sum(axis=1),
    }
    np.testing.assert_allclose(stats["scatter"], scatter[covariance], atol=1e-9)


@pytest.mark.parametrize("covariance", COVARIANCE_TYPES)
def test_the_predictive_density_is_a_marginal_of_the_whole_one(covariance):
    config = config_of(covariance, PROPER)
    model, twin = NativeMixture(config), ReferenceMixture(config)
    step = Step("exact", "posterior")
    q = twin.update(None, twin.e_step(twin.prepare(twin.init([BLOCK], Step())), BLOCK, step), step)
    own = model.assign(model.predictive(q), X, "log_density", 1)
    np.testing.assert_allclose(own, twin.log_density(q, X), atol=1e-9)
    # One feature integrated by quadrature over the density of complete rows.
    row = COMPLETE[4].copy()

    def density(value):
        filled = row.copy()
        filled[2] = value
        return np.exp(model.assign(model.predictive(q), filled[None], "log_density", 1)[0])

    whole = quad(density, -np.inf, np.inf, epsabs=1e-12, limit=300)[0]
    row[2] = np.nan
    marginal = np.exp(model.assign(model.predictive(q), row[None], "log_density", 1)[0])
    assert whole == pytest.approx(marginal, rel=1e-5)


def test_drawn_values_have_the_conditional_distribution(implementation):
    n = 20_000
    row = COMPLETE[5].copy()
    row[[0, 2]] = np.nan
    config = config_of("full", n_components=1, prior={"reg_covar": 1e-9})
    model = implementation(config)
    params = model.init([BLOCK], Step())
    stats = model.e_step(
        model.prepare(params),
        RowBlock(np.repeat(row[None], n, axis=0)),
        Step("sampled", "point", 5),
    )
    S, mean = params["covariances"][0], params["means"][0]
    m, o = np.array([0, 2]), np.array([1, 3])
    gain = S[np.ix_(m, o)] @ np.linalg.inv(S[np.ix_(o, o)])
    expected = mean[m] + gain @ (row - config.origin - mean)[o]
    spread = S[np.ix_(m, m)] - gain @ S[np.ix_(o, m)]
    drawn = stats["sums"][0][m] / n
    assert np.abs((drawn - expected) / np.sqrt(np.diagonal(spread) / n)).max() < 4
    packed = np.zeros((4, 4))
    packed[np.tril_indices(4)] = stats["scatter"][0] / n
    second = packed[np.ix_(m, m)] - np.tril(np.outer(drawn, drawn))
    error = (second - np.tril(spread))[np.tril_indices(2)]
    assert np.abs(error).max() < 5 * np.diagonal(spread).max() / np.sqrt(n)
