"""The objective of the estimator never falls, on random problems; and a long fit stands still."""

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture as SklearnMixture

from vemfast import GaussianMixture, testing
from vemfast.models.gaussian_config import COVARIANCE_TYPES
from vemfast.models.gaussian_mixture import GaussianMixture as NativeMixture
from vemfast.reference import configure

# Random problems have components that empty or collapse, and none is run to convergence.
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::vemfast.errors.DegenerateWarning"),
]

# Relative to the larger of the objective and the total weight. float32: the scores' rounding,
# which grows with the data's spread over a component's. So components are kept wider there.
ALLOWED = {np.float64: 1e-10, np.float32: 2e-6}
EDGES = {np.float64: [1e-6, 1e-3, 0.1], np.float32: [0.03, 0.1]}
RUNGS = ("em", "mean-field", "hard-em", "variational-em")
covariance_types = pytest.mark.parametrize("covariance", COVARIANCE_TYPES)
rungs = pytest.mark.parametrize("rung", RUNGS)
schedules = pytest.mark.parametrize("schedule", ["batch", "memoized"])
dtypes = pytest.mark.parametrize("dtype", ALLOWED, ids=lambda dtype: dtype.__name__)


def problem(seed, rung, dtype):
    """Return rows, weights and options of a random problem."""
    rng = np.random.default_rng(seed)
    n, D, K = rng.integers(30, 200), rng.integers(1, 6), rng.integers(1, 7)
    labels = rng.integers(0, rng.integers(1, 5), n)
    X = rng.normal(size=(n, D)) @ rng.normal(size=(D, D)) + 3 * rng.normal(size=(5, D))[labels]
    X = X * 10.0 ** rng.integers(-2, 3, D) + 10.0 ** rng.integers(-1, 2)
    if rng.random() < 0.3:
        X[:, 0] = X[0, 0]  # a constant column
    if rng.random() < 0.3:
        X[: n // 3] = X[0]  # repeated rows
    weights = rng.uniform(0.1, 3.0, n) if rng.random() < 0.5 else None
    options = {
        "n_components": int(K),
        "reg_covar": float(rng.choice(EDGES[dtype])),
        "init_params": str(rng.choice(["kmeans", "random", "random_from_data"])),
        "random_state": seed,
    }
    if rung == "mean-field":
        kinds = ["dirichlet", "dirichlet_process"]
        options["weight_concentration_prior_type"] = str(rng.choice(kinds))
    elif rng.random() < 0.5:
        options |= {
            "weight_concentration_prior": 1.0 + float(rng.exponential()),
            "mean_precision_prior": float(rng.exponential()),
            "degrees_of_freedom_prior": float(D + rng.exponential()),
        }
    return X.astype(dtype), weights, options


def assert_never_falls(bounds, total_weight, allowed):
    bounds = np.asarray(bounds)
    falls = bounds[:-1] - bounds[1:]
    scale = np.maximum(np.abs(bounds[1:]), total_weight)
    worst = int(np.argmax(falls / scale))
    assert falls[worst] <= allowed * scale[worst], (
        f"fell from {bounds[worst]!r} to {bounds[worst + 1]!r} at iteration {worst + 1}"
    )


def check(seed, covariance, rung, schedule, dtype):
    X, weights, options = problem(seed, rung, dtype)
    model = GaussianMixture(
        covariance_type=covariance,
        inference=rung,
        schedule=schedule,
        tol=0.0,
        max_iter=40,
        **options,
    ).fit(X, sample_weight=weights)
    assert len(model.lower_bounds_) == model.n_iter_ + 1 == 41
    total = len(X) if weights is None else weights.sum()
    assert_never_falls(model.lower_bounds_, total, ALLOWED[dtype])


@covariance_types
@rungs
@schedules
@dtypes
@pytest.mark.parametrize("seed", range(3))
def test_never_falls(seed, covariance, rung, schedule, dtype):
    check(seed, covariance, rung, schedule, dtype)


@pytest.mark.nightly
@covariance_types
@rungs
@schedules
@dtypes
def test_never_falls_for_100_seeds(covariance, rung, schedule, dtype):
    for seed in range(100):
        check(seed, covariance, rung, schedule, dtype)


def test_a_regulariser_outside_the_objective_falls():
    # The mutation: scikit-learn adds reg_covar after the update. Its likelihood falls, and this
    # file's check says so; ours, with the same number, does not.
    X = np.random.default_rng(1).normal(size=(200, 3)) * [1.0, 1.0, 0.05]
    theirs = SklearnMixture(3, reg_covar=0.1, tol=0.0, max_iter=60, random_state=0).fit(X)
    with pytest.raises(AssertionError, match="fell from"):
        assert_never_falls(theirs.lower_bounds_, 1.0, 1e-10)
    ours = GaussianMixture(3, reg_covar=0.1, tol=0.0, max_iter=60, random_state=0).fit(X)
    assert_never_falls(ours.lower_bounds_, 200, 1e-10)


# ---- fixed points --------------------------------------------------------------------------------


def clusters(spread):
    rng = np.random.default_rng(2)
    centres = spread * np.array([[-8.0, 0.0, 3.0], [8.0, 2.0, 0.0], [0.0, 9.0, -4.0]])
    return np.concatenate([rng.normal(centre, 1.0, (60, 3)) for centre in centres])


@covariance_types
@pytest.mark.parametrize(
    ("rung", "proper"),
    [("em", False), ("em", True), ("hard-em", False), ("hard-em", True), ("mean-field", True)],
)
def test_a_long_fit_stands_still(covariance, rung, proper):
    X = clusters(1.0)
    weight_type = "dirichlet" if proper else "flat"
    config = configure(
        X, 3, covariance, weight_type=weight_type, weight_concentration=1.5, proper=proper
    )
    testing.check_fixed_point(NativeMixture(config), X, rung, rtol=1e-10, max_iter=200)


def test_a_short_fit_does_not():
    X = clusters(0.25)  # which overlap, so that EM is slow
    model = NativeMixture(configure(X, 3, "full"))
    with pytest.raises(AssertionError, match="not a fixed point"):
        testing.check_fixed_point(model, X, "em", rtol=1e-10, max_iter=2)
