"""What must not change a fit, and what must change it in a known way.

Every fit starts from given parameters, so that no start depends on the order or unit of the rows.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from oracles.generative import as_matrices

from vemfast import GaussianMixture
from vemfast.models.gaussian_config import COVARIANCE_TYPES

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

K, D, N = 3, 3, 240
RUNGS = ("em", "mean-field", "hard-em", "variational-em")
covariance_types = pytest.mark.parametrize("covariance", COVARIANCE_TYPES)
rungs = pytest.mark.parametrize("rung", RUNGS)
rng = np.random.default_rng(5)
X = np.concatenate(
    [
        rng.normal(size=(N // K, D)) @ (np.eye(D) + 0.3 * rng.normal(size=(D, D))) + centre
        for centre in 2.2 * rng.normal(size=(K, D))
    ]
)
X = rng.permutation(X)


@dataclass(frozen=True)
class Start:
    """Weights, means and covariances in the shape of the type."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray


def start_of(covariance):
    own = np.random.default_rng(6)
    matrix = np.cov(X.T)
    factors = own.uniform(0.4, 1.0, K)
    covariances = {
        "full": factors[:, None, None] * matrix,
        "tied": 0.6 * matrix,
        "diag": factors[:, None] * np.diagonal(matrix),
        "spherical": factors * np.trace(matrix) / D,
        "tied-spherical": np.asarray(0.6 * np.trace(matrix) / D),
    }[covariance]
    return Start(np.array([0.5, 0.3, 0.2]), X[own.choice(N, K, replace=False)], covariances)


def fit(rows, start, covariance, rung, sample_weight=None, max_iter=12, **options):
    is_matrix = covariance in ("full", "tied")
    precisions = np.linalg.inv(start.covariances) if is_matrix else 1.0 / start.covariances
    return GaussianMixture(
        K,
        covariance_type=covariance,
        inference=rung,
        weights_init=start.weights,
        means_init=start.means,
        precisions_init=precisions,
        tol=0.0,
        max_iter=max_iter,
        **options,
    ).fit(rows, sample_weight=sample_weight)


def assert_same(a, b, tolerance=1e-10, lower_bound=None):
    """Assert that two fits agree, relative to the size of each attribute."""
    names = ["weights_", "means_", "covariances_"]
    if hasattr(a, "degrees_of_freedom_"):
        names += ["mean_precision_", "degrees_of_freedom_"]
    for name in names:
        ours, theirs = np.asarray(getattr(a, name)), np.asarray(getattr(b, name))
        scale = np.abs(theirs).max()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * scale, err_msg=name)
    expected = b.lower_bound_ if lower_bound is None else lower_bound
    assert a.lower_bound_ == pytest.approx(expected, rel=tolerance, abs=tolerance * N)


# ---- labels --------------------------------------------------------------------------------------


def permuted(start, covariance, order):
    shared = covariance.startswith("tied")
    covariances = start.covariances if shared else start.covariances[order]
    return Start(start.weights[order], start.means[order], covariances)


def relabelled(model, order):
    """Return a fit's attributes in another order of components."""
    out = GaussianMixture().set_params(**model.get_params())
    for name, value in vars(model).items():
        per_component = np.ndim(value) and np.shape(value)[0] == K and name != "origin_"
        shared = name.startswith(("covariances", "precisions")) and (
            model.covariance_type.startswith("tied")
        )
        moves = name.endswith("_") and per_component and not shared
        setattr(out, name, np.asarray(value)[order] if moves else value)
    return out


@covariance_types
@rungs
def test_labels_are_only_names(covariance, rung):
    order = np.array([2, 0, 1])
    start = start_of(covariance)
    first = fit(X, start, covariance, rung)
    second = fit(X, permuted(start, covariance, order), covariance, rung)
    assert_same(second, relabelled(first, order))
    np.testing.assert_array_equal(second.predict(X), np.argsort(order)[first.predict(X)])


def test_a_process_knows_the_order_of_its_sticks():
    # The mutation: with Dirichlet-process weights the order matters, and the check must fail.
    options = {
        "weight_concentration_prior_type": "dirichlet_process",
        "weight_concentration_prior": 2.0,
    }
    order = np.array([2, 0, 1])
    start = start_of("full")
    first = fit(X, start, "full", "mean-field", **options)
    second = fit(X, permuted(start, "full", order), "full", "mean-field", **options)
    with pytest.raises(AssertionError):
        assert_same(second, relabelled(first, order))


# ---- rows ----------------------------------------------------------------------------------------


@covariance_types
@rungs
def test_rows_have_no_order(covariance, rung):
    start = start_of(covariance)
    order = np.random.default_rng(7).permutation(N)
    first, second = (fit(rows, start, covariance, rung) for rows in (X, X[order]))
    assert_same(second, first)
    np.testing.assert_array_equal(second.predict(X), first.predict(X))


@covariance_types
@rungs
def test_a_weight_of_two_is_two_rows(covariance, rung):
    start = start_of(covariance)
    counts = np.random.default_rng(8).integers(0, 4, N)
    weighted = fit(X, start, covariance, rung, sample_weight=counts)
    repeated = fit(np.repeat(X, counts, axis=0), start, covariance, rung)
    assert_same(weighted, repeated)


@covariance_types
def test_a_row_too_many_would_show(covariance):
    # The mutation of both tests above.
    start = start_of(covariance)
    with pytest.raises(AssertionError):
        assert_same(fit(X[1:], start, covariance, "em"), fit(X, start, covariance, "em"))


# ---- units ---------------------------------------------------------------------------------------


def maps_of(covariance):
    """Return the linear parts A of the maps x -> A x + b that a covariance type admits."""
    own = np.random.default_rng(9)
    general = own.normal(size=(D, D)) + 2 * np.eye(D)
    rotation = np.linalg.qr(general)[0]
    return {
        "full": [general, 1e4 * general],
        "tied": [general, 1e4 * general],
        "diag": [np.diag([0.01, 3.0, 700.0]), -np.eye(D)],
        "spherical": [25.0 * rotation, 1e-3 * np.eye(D)],
        "tied-spherical": [25.0 * rotation, 1e-3 * np.eye(D)],
    }[covariance]


def mapped(covariances, A, covariance):
    """Return the covariances of A x."""
    if covariance in ("full", "tied"):
        return A @ covariances @ A.T
    if covariance == "diag":
        return covariances * np.diagonal(A) ** 2
    return covariances * np.abs(np.linalg.det(A)) ** (2 / D)


@covariance_types
@rungs
@pytest.mark.parametrize("which", [0, 1])
def test_an_affine_map_of_the_data_maps_the_fit(covariance, rung, which):
    A, b = maps_of(covariance)[which], np.array([30.0, -4.0, 0.5])
    start = start_of(covariance)
    moved = Start(start.weights, start.means @ A.T + b, mapped(start.covariances, A, covariance))
    first = fit(X, start, covariance, rung)
    second = fit(X @ A.T + b, moved, covariance, rung)
    # A density divides by |det A| for each row.
    shift = N * np.linalg.slogdet(A)[1]
    image = replace(start_as_found(first), covariances=mapped(first.covariances_, A, covariance))
    tolerance = 1e-8
    np.testing.assert_allclose(second.weights_, image.weights, rtol=tolerance)
    scale = np.abs(second.means_).max()
    np.testing.assert_allclose(second.means_, image.means @ A.T + b, atol=tolerance * scale)
    np.testing.assert_allclose(
        as_matrices(second.covariances_, covariance, K, D),
        as_matrices(image.covariances, covariance, K, D),
        atol=tolerance * np.abs(second.covariances_).max(),
    )
    assert second.lower_bound_ == pytest.approx(first.lower_bound_ - shift, abs=tolerance * N * 10)
    np.testing.assert_allclose(
        second.score_samples(X[:20] @ A.T + b),
        first.score_samples(X[:20]) - shift / N,
        atol=tolerance * 10,
    )


def start_as_found(model):
    return Start(model.weights_, model.means_, model.covariances_)


@pytest.mark.parametrize("covariance", ["diag", "spherical", "tied-spherical"])
def test_a_map_that_the_type_does_not_admit_changes_the_fit(covariance):
    # The mutation: a shear of the data under axis-parallel covariances.
    A = np.array([[1.0, 0.8, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    start = start_of(covariance)
    moved = replace(start, means=start.means @ A.T)
    first, second = (
        fit(X, start, covariance, "em"),
        fit(X @ A.T, moved, covariance, "em"),
    )
    assert abs(second.lower_bound_ - first.lower_bound_) > 1.0


# ---- schedules and parts -------------------------------------------------------------------------


@covariance_types
@rungs
def test_memoized_with_one_batch_is_batch(covariance, rung):
    start = start_of(covariance)
    batch = fit(X, start, covariance, rung)
    memoized = fit(X, start, covariance, rung, schedule="memoized", n_batches=1)
    assert_same(memoized, batch)
    np.testing.assert_allclose(memoized.lower_bounds_, batch.lower_bounds_, rtol=1e-10)


@covariance_types
def test_memoized_with_more_batches_is_another_path_to_the_same_end(covariance):
    start = start_of(covariance)
    batch = fit(X, start, covariance, "em", max_iter=400)
    memoized = fit(X, start, covariance, "em", max_iter=400, schedule="memoized", n_batches=6)
    assert batch.lower_bounds_[2] != pytest.approx(memoized.lower_bounds_[2], abs=1e-6)
    assert_same(memoized, batch, 1e-6)


@covariance_types
@pytest.mark.parametrize("rung", ["em", "mean-field", "gibbs"])
def test_a_part_is_judged_as_in_the_whole(covariance, rung):
    options = {"n_burn": 3, "n_draws": 3} if rung == "gibbs" else {}
    model = GaussianMixture(
        K, covariance_type=covariance, inference=rung, random_state=0, **options
    ).fit(X)
    part = np.r_[3:40, 41, 200:205]
    np.testing.assert_array_equal(model.predict(X[part]), model.predict(X)[part])
    for judge in (model.predict_proba, model.score_samples):
        np.testing.assert_allclose(judge(X[part]), judge(X)[part], rtol=1e-12, atol=1e-14)
        one_by_one = np.concatenate([judge(row[None]) for row in X[:9]])
        np.testing.assert_allclose(one_by_one, judge(X)[:9], rtol=1e-12, atol=1e-14)
