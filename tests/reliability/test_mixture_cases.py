"""Hard cases of Gaussian mixtures: G1 to G12, each with its message."""

import numpy as np
import pytest
from reliability.helpers import (
    CENTRES,
    FITTED,
    POINT_RUNGS,
    RUNGS,
    SCHEDULES,
    TYPES,
    X,
    degenerate_messages,
    fixed_length,
    is_finite,
    mixture,
    quiet_fit,
    same_bits,
)
from scipy import stats
from sklearn.mixture import GaussianMixture as Peer

from vemfast import GaussianMixture, NumericalError
from vemfast.data import RowBlock
from vemfast.models.base import Step

EDGE = "covariance is held at the edge of its support"
MATRIX = ("full", "tied")
SHARED = ("tied", "tied-spherical")
OWN = ("full", "diag", "spherical")


def smallest_ratio(estimator, column_scale):
    """Smallest eigenvalue of each covariance in units of the column variances."""
    covariances, kind = estimator.covariances_, estimator.covariance_type
    if kind in MATRIX:
        unit = np.sqrt(column_scale)
        return np.linalg.eigvalsh(covariances / np.outer(unit, unit)).min(axis=-1)
    if kind == "diag":
        return (covariances / column_scale).min(axis=-1)
    return covariances / column_scale.mean()


# ---- G1: singular components ----

COLLAPSED = np.concatenate([X, np.full((12, 4), 40.0)])


@pytest.mark.parametrize("covariance_type", OWN)
@pytest.mark.parametrize("inference", POINT_RUNGS)
@pytest.mark.parametrize("reg_covar", [1e-6, 1e-3])
def test_G1_a_collapsed_component_is_held_at_the_edge_and_named(
    inference, covariance_type, reg_covar
):
    options = {"means_init": [[40.0] * 4, *CENTRES], "reg_covar": reg_covar}
    estimator = mixture(4, inference, covariance_type=covariance_type, **options)
    (message,) = degenerate_messages(estimator, COLLAPSED)
    assert message.startswith(
        f"component 0: {EDGE} (reg_covar={reg_covar:g} of the data's variance"
    )
    assert "use fewer components, a simpler covariance_type or a covariance_prior" in message
    ratio = smallest_ratio(estimator, COLLAPSED.var(axis=0))
    assert np.ravel(ratio)[0] == pytest.approx(reg_covar, rel=1e-6)
    assert is_finite(estimator, COLLAPSED)
    assert np.diff(estimator.lower_bounds_).min() >= -1e-9 * abs(estimator.lower_bound_)


@pytest.mark.parametrize("covariance_type", OWN)
@pytest.mark.parametrize("inference", POINT_RUNGS)
def test_G1_without_regularisation_the_component_is_named(inference, covariance_type):
    rows = np.concatenate([COLLAPSED, [[40.0] * 4]])
    estimator = mixture(
        4, inference, covariance_type=covariance_type, reg_covar=0,
        means_init=[*CENTRES, [40.0] * 4],
    )  # fmt: skip
    message = "component 3: covariance not positive definite; set reg_covar > 0, use fewer"
    with pytest.raises(NumericalError, match=message):
        estimator.fit(rows)


def test_G1_a_component_that_collapses_on_the_way_leaves_the_best_iteration():
    # Two rows apart from the rest: the component there shrinks onto a line only after a while.
    rows = np.concatenate([X, [[30.0, 30.0, 30.0, 30.0], [30.5, 30.0, 30.0, 30.0]]])
    estimator = mixture(
        4, reg_covar=0, means_init=[*CENTRES, [20.0] * 4], weights_init=[0.25] * 4,
        precisions_init=[np.eye(4) / 20] * 4, tol=0.0,
    )  # fmt: skip
    with pytest.raises(NumericalError, match="component 3: covariance not positive definite"):
        estimator.fit(rows)
    assert estimator.stop_reason_ == "numerical"
    assert estimator.converged_ is False
    assert estimator.n_iter_ == len(estimator.lower_bounds_) - 1
    assert estimator.lower_bound_ == max(estimator.lower_bounds_)
    assert is_finite(estimator, rows)
    assert estimator.score(rows) * len(rows) == pytest.approx(estimator.lower_bound_, rel=1e-12)


@pytest.mark.parametrize("covariance_type", SHARED)
def test_G1_a_shared_covariance_is_called_that(covariance_type):
    rows = np.repeat(X[:3], 20, axis=0)
    estimator = mixture(3, covariance_type=covariance_type)
    assert any(
        message.startswith(f"the shared covariance: {EDGE}")
        for message in degenerate_messages(estimator, rows)
    )
    with pytest.raises(NumericalError, match="all components: covariance not positive definite"):
        estimator.set_params(reg_covar=0).fit(rows)


@pytest.mark.parametrize("inference", ["mean-field", "gibbs"])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_G1_a_proper_prior_needs_no_edge(inference, covariance_type):
    estimator = mixture(4, inference, covariance_type=covariance_type)
    assert degenerate_messages(estimator, COLLAPSED) == []
    assert is_finite(estimator, COLLAPSED)


def test_G1_a_start_that_collapses_is_left_out_unless_all_do():
    # Three equal rows far away: a start with a component of their own is singular, others are not.
    rows = np.concatenate([X, np.full((3, 4), 40.0)])
    options = {"reg_covar": 0, "init_params": "random_from_data"}

    def collapses(seed):
        try:
            quiet_fit(GaussianMixture(2, random_state=seed, **options), rows)
        except NumericalError:
            return True
        return False

    fates = [collapses(seed) for seed in range(30)]
    assert 0 < sum(fates) < 30
    several = quiet_fit(GaussianMixture(2, random_state=0, n_init=30, **options), rows)
    assert np.isfinite(several.lower_bound_)
    with pytest.raises(NumericalError, match="covariance not positive definite"):
        mixture(4, reg_covar=0, n_init=3, means_init=[*CENTRES, [40.0] * 4]).fit(rows)


# ---- G2: constant columns ----


@pytest.mark.parametrize("value", [0.0, 7.7, -1e9, 1e-9])
@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("inference", RUNGS)
def test_G2_a_constant_column(inference, covariance_type, value):
    rows = X.copy()
    rows[:, 2] = value
    estimator = mixture(3, inference, covariance_type=covariance_type)
    messages = degenerate_messages(estimator, rows)
    assert is_finite(estimator, rows)
    np.testing.assert_allclose(estimator.means_[:, 2], value, rtol=1e-9, atol=10)
    if inference not in POINT_RUNGS:
        assert messages == []  # a proper prior has no edge, and a draw is no estimate
        return
    np.testing.assert_allclose(estimator.means_[:, 2], value, rtol=1e-15, atol=1e-12)
    if covariance_type in (*MATRIX, "diag"):
        usual = rows.var(axis=0)[[0, 1, 3]].mean()
        variance = estimator.covariances_[..., 2, 2] if covariance_type in MATRIX else (
            estimator.covariances_[..., 2]
        )  # fmt: skip
        np.testing.assert_allclose(variance, 1e-6 * usual, rtol=1e-6)
        assert len(messages) == (1 if covariance_type == "tied" else 3)
        assert all(EDGE in message for message in messages)
    else:
        assert messages == []


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag"])
def test_G2_a_constant_column_without_regularisation(covariance_type):
    rows = X.copy()
    rows[:, 2] = 7.7
    with pytest.raises(NumericalError, match="covariance not positive definite; set reg_covar > 0"):
        mixture(3, covariance_type=covariance_type, reg_covar=0).fit(rows)
    if covariance_type != "diag":  # a diagonal prior takes the mean of the other columns
        for inference in ("mean-field", "gibbs"):
            with pytest.raises(
                ValueError, match="default of covariance_prior, is singular; set re"
            ):
                mixture(3, inference, covariance_type=covariance_type, reg_covar=0).fit(rows)


# ---- G3: equivariance ----


def mapped(covariance_type, covariances, A):
    if covariance_type in MATRIX:
        return A @ covariances @ A.T
    d = np.diag(A)
    return covariances * (d**2 if covariance_type == "diag" else d[0] ** 2)


def assert_equivariant(inference, covariance_type, A, shift=0.0, rtol=1e-6, rows=X):
    """Hold a fit of A x + shift to the mapped fit of x, in units of the mapped columns."""
    options = {"covariance_type": covariance_type, **fixed_length(inference)}
    a = quiet_fit(mixture(3, inference, means_init=CENTRES, **options), rows)
    mapped_rows = rows @ A.T + shift
    b = quiet_fit(mixture(3, inference, means_init=CENTRES @ A.T + shift, **options), mapped_rows)
    unit = np.sqrt(np.diag(A @ np.cov(rows.T) @ A.T))
    np.testing.assert_allclose((b.means_ - shift) / unit, a.means_ @ A.T / unit, rtol=0, atol=rtol)
    square = unit**2 if covariance_type == "diag" else unit[0] ** 2
    square = np.outer(unit, unit) if covariance_type in MATRIX else square
    expected = mapped(covariance_type, a.covariances_, A)
    np.testing.assert_allclose(b.covariances_ / square, expected / square, rtol=0, atol=rtol)
    np.testing.assert_allclose(b.weights_, a.weights_, rtol=0, atol=rtol)
    assert np.array_equal(a.predict(rows), b.predict(mapped_rows))
    if inference != "gibbs":  # the density of a draw of a covariance has units
        shifted = b.lower_bound_ + len(rows) * np.log(np.abs(np.linalg.det(A)))
        if inference in POINT_RUNGS:
            assert shifted == pytest.approx(a.lower_bound_, rel=rtol)
        density = b.score_samples(mapped_rows) + np.linalg.slogdet(A)[1]
        np.testing.assert_allclose(density, a.score_samples(rows), rtol=rtol, atol=rtol)
        assert b.n_iter_ == a.n_iter_


@pytest.mark.parametrize("scale", [1e-8, 1e-3, 1.0, 1e4, 1e8])
@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("inference", RUNGS)
def test_G3_scale(inference, covariance_type, scale):
    assert_equivariant(inference, covariance_type, scale * np.eye(4))


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("inference", RUNGS)
def test_G3_offset(inference, covariance_type):
    rows = (X + 1e8) - 1e8  # what float64 keeps of the rows at that distance
    assert_equivariant(inference, covariance_type, np.eye(4), shift=1e8, rows=rows)


@pytest.mark.parametrize("inference", RUNGS)
def test_G3_columns_of_different_units(inference):
    assert_equivariant(inference, "diag", np.diag([1e-8, 1.0, 1e3, 1e8]))


@pytest.mark.parametrize("covariance_type", MATRIX)
@pytest.mark.parametrize("inference", [*POINT_RUNGS, "mean-field"])
def test_G3_any_linear_map(inference, covariance_type):
    # Well inside the support: at its edge, which is in units of columns, no rotation is admitted.
    A = np.diag([1e-4, 1.0, 10.0, 1e4]) @ np.random.default_rng(2).normal(size=(4, 4))
    assert_equivariant(inference, covariance_type, A)


@pytest.mark.parametrize("covariance_type", ["spherical", "tied-spherical"])
@pytest.mark.parametrize("inference", POINT_RUNGS)
def test_G3_rotation(inference, covariance_type):
    Q = np.linalg.qr(np.random.default_rng(3).normal(size=(4, 4)))[0]
    a = quiet_fit(mixture(3, inference, covariance_type=covariance_type, means_init=CENTRES), X)
    b = quiet_fit(
        mixture(3, inference, covariance_type=covariance_type, means_init=CENTRES @ Q.T), X @ Q.T
    )
    np.testing.assert_allclose(b.means_, a.means_ @ Q.T, atol=1e-6)
    np.testing.assert_allclose(b.covariances_, a.covariances_, rtol=1e-6)


# ---- G4: empty components ----

FAR = [*CENTRES[:2], [1e4] * 4]


def far_start(covariance_type):
    """Parameters under which no row has any responsibility for component 2."""
    precisions = {
        "full": np.stack([np.eye(4)] * 3),
        "tied": np.eye(4),
        "diag": np.ones((3, 4)),
        "spherical": np.ones(3),
        "tied-spherical": 1.0,
    }
    return {
        "means_init": FAR,
        "weights_init": [0.4, 0.4, 0.2],
        "precisions_init": precisions[covariance_type],
    }


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("inference", POINT_RUNGS)
def test_G4_an_empty_component_is_reseeded_or_dropped_with_a_warning(
    inference, covariance_type, schedule
):
    estimator = mixture(
        3,
        inference,
        covariance_type=covariance_type,
        schedule=schedule,
        **far_start(covariance_type),
    )
    messages = degenerate_messages(estimator, X)
    assert is_finite(estimator, X)
    assert estimator.weights_.sum() == pytest.approx(1.0, rel=1e-12)
    if schedule != "minibatch":
        assert np.diff(estimator.lower_bounds_).min() >= -1e-9 * abs(estimator.lower_bound_)
    if estimator.weights_[2] == 0:
        assert messages[0] == (
            "component 2 is empty: it has no rows, so its mean and covariance mean nothing (its "
            "weight is 0); use fewer components or another start"
        )
    else:
        assert schedule == "batch"  # the only one that proposes
        # A component that took one row, or a few, is held at the edge and named.
        assert all(EDGE in message for message in messages)


@pytest.mark.parametrize("covariance_type", ["diag", "spherical", "tied-spherical"])
def test_G4_the_move_is_made_where_it_helps(covariance_type):
    options = {"covariance_type": covariance_type, **far_start(covariance_type)}
    without = mixture(3, schedule="memoized", n_batches=1, **options)
    with_moves = mixture(3, **options)
    assert any("component 2 is empty" in message for message in degenerate_messages(without, X))
    assert not any("is empty" in message for message in degenerate_messages(with_moves, X))
    assert with_moves.lower_bound_ > without.lower_bound_ + 1


def test_G4_k_means_moves_an_empty_cluster_too():
    # Under equal weights an empty component has its weight all the same.
    k_means = {"covariance_type": "tied-spherical", "equal_weights": True, "inference": "hard-em"}
    estimator = GaussianMixture(3, means_init=FAR, **k_means).fit(X)
    counts = np.bincount(estimator.predict(X), minlength=3)
    assert counts.min() > 40
    best = GaussianMixture(3, means_init=CENTRES, **k_means).fit(X)
    assert estimator.lower_bound_ == pytest.approx(best.lower_bound_, rel=1e-9)


def test_G4_an_empty_component_that_a_prior_gives_weight_is_called_empty():
    estimator = mixture(3, schedule="memoized", weight_concentration_prior=2.0, **far_start("full"))
    (message,) = degenerate_messages(estimator, X)
    assert message.startswith("component 2 is empty: it has no rows")
    assert estimator.weights_[2] == pytest.approx(1 / 153)
    assert f"(its weight is {1 / 153:.3g})" in message


def test_G4_a_move_that_lowers_the_objective_is_not_made():
    # The proposal is worse than an empty component where all rows lie in two tight groups.
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(0, 1e-3, (60, 1)), rng.normal(1, 1e-3, (60, 1))])
    estimator = mixture(
        3, covariance_type="tied", means_init=[[0.0], [1.0], [1e6]],
        weights_init=[0.4, 0.4, 0.2], precisions_init=[[1e6]],
    )  # fmt: skip
    estimator.set_params(tol=0.0, max_iter=3)
    assert any(
        "component 2 is empty" in message for message in degenerate_messages(estimator, rows)
    )
    assert np.diff(estimator.lower_bounds_).min() >= -1e-9 * abs(estimator.lower_bound_)


def test_G4_rows_without_weight_do_not_seed():
    weights = np.ones(150)
    rows = X.copy()
    rows[0], weights[0] = 1e3, 0.0  # the worst explained row of all
    kind = "tied-spherical"
    estimator = mixture(3, covariance_type=kind, **far_start(kind)).fit(rows, None, weights)
    assert np.abs(estimator.means_).max() < 20
    assert estimator.weights_.min() > 0.2


@pytest.mark.parametrize("covariance_type", TYPES)
def test_G4_mean_field_empties_components_and_says_nothing(covariance_type):
    estimator = mixture(8, "mean-field", covariance_type=covariance_type, max_iter=500)
    assert degenerate_messages(estimator, X) == []
    assert is_finite(estimator, X)


# ---- G5: far outliers ----


@pytest.mark.parametrize("value", [1e30, 1e100, 1e154, 1e200, 1e308, -1e308])
@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("inference", RUNGS)
def test_G5_a_far_row_is_judged_without_nan(inference, covariance_type, value):
    estimator = quiet_fit(mixture(3, inference, covariance_type=covariance_type), X)
    rows = X.copy()
    rows[3, 1], rows[4] = value, value
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(estimator.predict_proba(rows).sum(axis=1), 1.0, rtol=1e-12)
        scores = estimator.score_samples(rows)
        labels = estimator.predict(rows)
    assert not np.isnan(scores).any()
    assert (scores[[3, 4]] < scores[5:].min()).all()
    others = np.r_[0:3, 5:150]
    assert same_bits(scores[others], estimator.score_samples(X)[others])
    assert np.array_equal(labels[others], estimator.predict(X)[others])


@pytest.mark.parametrize("value", [1e19, 1e30, 3e38, -3e38])
@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("inference", ["em", "mean-field"])
def test_G5_a_far_row_in_float32(inference, covariance_type, value):
    rows = X.astype(np.float32)
    estimator = quiet_fit(mixture(3, inference, covariance_type=covariance_type), rows)
    rows[4] = value
    np.testing.assert_allclose(estimator.predict_proba(rows).sum(axis=1), 1.0, rtol=1e-6)
    scores = estimator.score_samples(rows)
    assert not np.isnan(scores).any()
    assert scores[4] < scores[5:].min()


@pytest.mark.parametrize("value", [1e30, 1e100, 1e150, 1e153])
@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("inference", RUNGS)
def test_G5_a_far_row_can_be_fitted(inference, covariance_type, value):
    rows = X.copy()
    rows[3] = value
    estimator = mixture(2, inference, covariance_type=covariance_type)
    degenerate_messages(estimator, rows)
    for name in FITTED:
        assert not np.isnan(getattr(estimator, name)).any()
    assert np.isfinite(estimator.lower_bound_)
    assert not np.isnan(estimator.score_samples(rows)).any()
    np.testing.assert_allclose(estimator.predict_proba(rows).sum(axis=1), 1.0, rtol=1e-12)


@pytest.mark.parametrize("inference", RUNGS)
@pytest.mark.parametrize("value", [1e155, 1e200, 1e308])
def test_G5_a_row_whose_square_overflows_is_named(inference, value):
    rows = X.copy()
    rows[17, 3] = value
    message = r"X is too large at row 17.*its square overflows; rescale the data or remove the row"
    with pytest.raises(ValueError, match=message):
        mixture(3, inference).fit(rows)


# ---- G6: starts that the user gives ----


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights_init": [0.5, 0.5, 1e-5]}, "weights_init must sum to 1; it sums to 1.00001"),
        ({"weights_init": [0.6, 0.6, -0.2]}, "weights_init must be >= 0; got -0.2 among them"),
        ({"weights_init": [0.5, 0.5]}, r"weights_init must have the shape \(3,\); got \(2,\)"),
        ({"weights_init": [np.nan, 0.5, 0.5]}, "weights_init must be finite"),
        (
            {"means_init": np.zeros((3, 3))},
            r"means_init must have the shape \(3, 4\); got \(3, 3\)",
        ),
        ({"means_init": np.full((3, 4), np.inf)}, "means_init must be finite"),
        ({"means_init": "centres"}, "'means_init' parameter of GaussianMixture"),
        (
            {"precisions_init": [np.eye(4), -np.eye(4), np.eye(4)]},
            "precisions_init must be symmetric and positive definite; matrix 1 is not",
        ),
        (
            {"precisions_init": [np.eye(4), np.eye(4), np.triu(np.ones((4, 4)))]},
            "precisions_init must be symmetric and positive definite; matrix 2 is not",
        ),
        (
            {"precisions_init": [np.eye(4), np.ones((4, 4)), np.eye(4)]},
            "precisions_init must be symmetric and positive definite; matrix 1 is not",
        ),
        (
            {"precisions_init": np.eye(4)},
            r"precisions_init must have the shape \(3, 4, 4\); got \(4, 4\)",
        ),
        (
            {"precisions_init": [[1, 1, 1, 0]] * 3, "covariance_type": "diag"},
            "precisions_init must be > 0; got 0",
        ),
        (
            {"precisions_init": -2.0, "covariance_type": "tied-spherical"},
            "'precisions_init' parameter of GaussianMixture",
        ),
        (
            {"weights_init": [0.5, 0.3, 0.2], "equal_weights": True},
            "weights_init differs from 1 / n_components, but equal_weights=True",
        ),
    ],
)
def test_G6_a_bad_start_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        mixture(3, **options).fit(X)


def test_G6_a_sum_within_rounding_is_taken():
    weights = np.array([0.2, 0.3, 0.5]) * (1 + 5e-7)
    estimator = mixture(3, weights_init=weights, means_init=CENTRES).fit(X)
    assert estimator.weights_.sum() == pytest.approx(1.0, abs=1e-12)


# ---- G7: the smallest data ----


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("inference", POINT_RUNGS)
def test_G7_one_row_one_feature_one_component(inference, covariance_type):
    estimator = mixture(1, inference, covariance_type=covariance_type, reg_covar=1e-4)
    (message,) = degenerate_messages(estimator, [[2.5]])
    assert EDGE in message
    assert estimator.means_.tolist() == [[2.5]]
    assert estimator.weights_.tolist() == [1.0]
    np.testing.assert_allclose(np.ravel(estimator.covariances_), 1e-4, rtol=1e-12)
    closed = stats.norm.logpdf(0.0, scale=1e-2)
    assert estimator.lower_bound_ == pytest.approx(closed, rel=1e-12)
    assert estimator.score_samples([[2.5], [2.6]]) == pytest.approx(
        stats.norm.logpdf([0.0, 0.1], scale=1e-2), rel=1e-9
    )


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("inference", POINT_RUNGS)
def test_G7_one_component_is_the_mean_and_the_variance(inference, covariance_type):
    x = np.array([[1.0], [2.0], [4.0], [9.0]])
    estimator = mixture(1, inference, covariance_type=covariance_type).fit(x)
    assert estimator.means_.item() == pytest.approx(4.0, rel=1e-15)
    assert np.ravel(estimator.covariances_).item() == pytest.approx(9.5, rel=1e-14)
    closed = stats.norm.logpdf(x, 4.0, np.sqrt(9.5)).sum()
    assert estimator.lower_bound_ == pytest.approx(closed, rel=1e-13)
    assert estimator.bic(x) == pytest.approx(-2 * closed + 2 * np.log(4), rel=1e-13)
    assert estimator.aic(x) == pytest.approx(-2 * closed + 4, rel=1e-13)


@pytest.mark.parametrize("inference", ["mean-field", "gibbs"])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_G7_one_row_under_a_prior(inference, covariance_type):
    estimator = mixture(1, inference, covariance_type=covariance_type)
    assert degenerate_messages(estimator, [[2.5]]) == []
    assert is_finite(estimator, [[2.5]])


def test_G7_mean_field_on_one_row_is_the_conjugate_posterior():
    prior = {"mean_prior": [1.0], "mean_precision_prior": 2.0, "degrees_of_freedom_prior": 3.0}
    estimator = mixture(1, "mean-field", covariance_prior=[[4.0]], **prior).fit([[2.5]])
    kappa, nu, psi = 3.0, 4.0, 4.0 + (2.0 / 3.0) * 1.5**2
    assert estimator.means_.item() == pytest.approx((2 * 1.0 + 2.5) / kappa, rel=1e-14)
    assert estimator.covariances_.item() == pytest.approx(psi / nu, rel=1e-14)
    # The bound is tight: one row, one component. Its evidence is the prior predictive, a Student t.
    evidence = stats.t.logpdf(2.5, df=3.0, loc=1.0, scale=np.sqrt(4.0 * 3.0 / (2.0 * 3.0)))
    assert estimator.lower_bound_ == pytest.approx(evidence, rel=1e-12)


def test_G7_one_row_without_regularisation():
    with pytest.raises(ValueError, match="n_samples=1 has no variance; give more rows, or set reg"):
        mixture(1, reg_covar=0).fit([[2.5]])


# ---- G8: more features than rows ----


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("inference", RUNGS)
def test_G8_more_features_than_rows(inference, covariance_type):
    rows = np.random.default_rng(0).normal(size=(10, 12))
    estimator = mixture(2, inference, covariance_type=covariance_type)
    messages = degenerate_messages(estimator, rows)
    said = [message for message in messages if "n_samples=10 for n_features=12" in message]
    assert len(said) == (covariance_type in MATRIX)
    for message in said:
        assert f"too few for covariance_type={covariance_type!r}" in message
        assert "use covariance_type='diag' or give a covariance_prior" in message
    for name in FITTED:
        assert np.isfinite(getattr(estimator, name)).all()
    assert not np.isnan(estimator.score_samples(rows)).any()


def test_G8_a_prior_that_the_user_gives_is_enough():
    rows = np.random.default_rng(0).normal(size=(10, 12))
    for inference in ("em", "mean-field"):
        estimator = mixture(2, inference, covariance_prior=np.eye(12), tol=1e-6, max_iter=1000)
        estimator.set_params(degrees_of_freedom_prior=14.0)
        assert degenerate_messages(estimator, rows) == []


@pytest.mark.parametrize("inference", ["mean-field", "gibbs"])
def test_G8_without_regularisation_the_default_prior_is_singular(inference):
    rows = np.random.default_rng(0).normal(size=(10, 12))
    message = "the empirical covariance, the default of covariance_prior, is singular"
    with pytest.raises(ValueError, match=message):
        mixture(2, inference, reg_covar=0).fit(rows)


# ---- G9, G10 ----


def test_G9_a_density_may_exceed_one():
    rows = X * 1e-4
    estimator = mixture(3).fit(rows)
    assert estimator.score(rows) > 0
    assert estimator.lower_bound_ > 0
    assert "A density can exceed one, so a log density can be positive." in (
        GaussianMixture.__doc__
    )
    peer = Peer(
        3, reg_covar=0, weights_init=[1 / 3] * 3, means_init=CENTRES * 1e-4,
        precisions_init=[np.eye(4) * 1e8] * 3, tol=1e-9, max_iter=500,
    ).fit(rows)  # fmt: skip
    own = mixture(3, reg_covar=0, means_init=CENTRES * 1e-4, tol=1e-9, max_iter=500).fit(rows)
    assert own.score(rows) == pytest.approx(peer.score(rows), rel=1e-7)


@pytest.mark.parametrize("value", [0.0, 1 / 3, 1e8, -1e-8])
@pytest.mark.parametrize("n_components", [1, 3])
@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("inference", RUNGS)
def test_G10_identical_rows(inference, covariance_type, n_components, value):
    rows = np.full((20, 3), value)
    estimator = mixture(n_components, inference, covariance_type=covariance_type)
    messages = degenerate_messages(estimator, rows)
    assert is_finite(estimator, rows)
    if inference in POINT_RUNGS:
        assert any(EDGE in message for message in messages)
        filled = estimator.weights_ > 0
        np.testing.assert_allclose(estimator.means_[filled], value, rtol=1e-15)
    assert any("only 1 distinct rows" in message for message in messages) == (n_components > 1)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_G10_identical_rows_without_regularisation(covariance_type):
    estimator = mixture(1, covariance_type=covariance_type, reg_covar=0)
    with pytest.raises(NumericalError, match="covariance not positive definite; set reg_covar > 0"):
        estimator.fit(np.full((20, 3), 1 / 3))


# ---- G11, G12 ----


@pytest.mark.parametrize("inference", RUNGS)
def test_G11_a_warm_start_after_another_number_of_components(inference):
    estimator = quiet_fit(mixture(3, inference, warm_start=True), X)
    means = estimator.means_
    message = (
        "warm_start=True with n_components=4 and 4 features, but the last fit has 3 components and "
        "4 features; clone the estimator first"
    )
    with pytest.raises(ValueError, match=message):
        estimator.set_params(n_components=4).fit(X)
    assert estimator.means_ is means


def test_G11_a_warm_start_on_other_data_or_covariances():
    estimator = mixture(3, warm_start=True).fit(X)
    with pytest.raises(ValueError, match="and 3 features, but the last fit has 3 components and 4"):
        estimator.fit(X[:, :3])
    with pytest.raises(
        ValueError, match="covariance_type='diag', but the last fit has covariances"
    ):
        estimator.set_params(covariance_type="diag").fit(X)
    assert estimator.n_features_in_ == 4


@pytest.mark.parametrize("first", ["hard-em", "em", "mean-field", "gibbs"])
@pytest.mark.parametrize("second", ["hard-em", "em", "mean-field", "gibbs"])
def test_G11_a_warm_start_may_change_the_rung(first, second):
    def options(inference):
        draws = {"n_burn": 3, "n_draws": 4, "n_chains": 2}
        default = {"n_burn": 200, "n_draws": 200, "n_chains": 4}
        return {"inference": inference, **(draws if inference == "gibbs" else default)}

    estimator = quiet_fit(mixture(3, first, warm_start=True), X)
    quiet_fit(estimator.set_params(**options(second)), X)
    assert is_finite(estimator, X)
    assert hasattr(estimator, "posterior_") == (second == "gibbs")
    assert hasattr(estimator, "degrees_of_freedom_") == (second == "mean-field")


def test_G11_a_warm_start_goes_on_where_the_last_fit_ended():
    a = mixture(3, warm_start=True, tol=0.0, max_iter=4, means_init=CENTRES * 0.5)
    quiet_fit(a, X)
    quiet_fit(a, X)
    b = quiet_fit(mixture(3, tol=0.0, max_iter=8, means_init=CENTRES * 0.5), X)
    np.testing.assert_allclose(a.means_, b.means_, rtol=1e-10)
    assert a.lower_bound_ == pytest.approx(b.lower_bound_, rel=1e-12)


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("inference", RUNGS)
def test_G12_samples_are_seeded_and_look_like_the_mixture(inference, covariance_type):
    estimator = quiet_fit(mixture(3, inference, covariance_type=covariance_type), X)
    rows, labels = estimator.sample(40_000)
    again = estimator.sample(40_000)
    assert same_bits((rows, labels), again)
    assert not same_bits(rows, estimator.set_params(random_state=1).sample(40_000)[0])
    matrices = {
        "full": lambda c: c,
        "tied": lambda c: np.broadcast_to(c, (3, 4, 4)),
        "diag": lambda c: np.stack([np.diag(v) for v in c]),
        "spherical": lambda c: np.stack([v * np.eye(4) for v in c]),
        "tied-spherical": lambda c: np.stack([c * np.eye(4)] * 3),
    }[covariance_type](estimator.covariances_)
    for k in range(3):
        own = rows[labels == k]
        assert len(own) / 40_000 == pytest.approx(estimator.weights_[k], abs=0.012)
        np.linalg.cholesky(matrices[k])  # positive definite
        unit = np.sqrt(np.diag(matrices[k]))
        np.testing.assert_allclose(own.mean(axis=0) / unit, estimator.means_[k] / unit, atol=0.06)
        np.testing.assert_allclose(
            np.cov(own.T) / np.outer(unit, unit), matrices[k] / np.outer(unit, unit), atol=0.07
        )


def test_G12_a_generator_goes_on():
    estimator = mixture(3, random_state=np.random.default_rng(0)).fit(X)
    assert not same_bits(estimator.sample(5)[0], estimator.sample(5)[0])


@pytest.mark.parametrize("n_samples", [0, -1, 2.5, True, "3"])
def test_G12_a_bad_number_of_samples(n_samples):
    with pytest.raises(ValueError, match=f"n_samples must be an integer >= 1; got {n_samples!r}"):
        mixture(3).fit(X).sample(n_samples)


# ---- an interrupted sampler ----


def test_a_sampler_that_ends_before_its_first_draw_says_so():
    def stop(*, iteration, objective, elapsed):
        return iteration == 2

    estimator = GaussianMixture(3, inference="gibbs", callbacks=stop, random_state=0).fit(X)
    assert estimator.stop_reason_ == "callback"
    draws = estimator.posterior_
    assert draws.weights.shape == (4, 0, 3)
    assert draws.means.shape == (4, 0, 3, 4)
    assert draws.covariances.shape == (4, 0, 3, 4, 4)
    assert draws.log_joint.shape == (4, 0)
    assert estimator.predict(X).shape == (150,)
    with pytest.raises(
        ValueError, match=r"averages over kept draws, and there are none.*n_burn=200"
    ):
        estimator.score_samples(X)


def test_chains_of_different_lengths_are_cut_to_the_shortest():
    calls = []

    def stop(*, iteration, objective, elapsed):
        calls.append(iteration)
        return calls.count(0) == 2 and iteration == 6

    estimator = mixture(3, "gibbs", n_burn=3, n_draws=10, n_chains=2, callbacks=stop, n_jobs=1)
    estimator.fit(X)
    assert estimator.posterior_.means.shape == (2, 3, 3, 4)
    assert not np.isnan(estimator.score_samples(X)).any()


@pytest.mark.parametrize("covariance_type", TYPES)
def test_G4_a_count_whose_reciprocal_overflows_is_none(covariance_type):
    model, point = mixture(3, covariance_type=covariance_type).fit(X)._fitted()
    stats = model.e_step(model.prepare(point), RowBlock(X), Step())
    stats["counts"][1] *= 1e-311
    stats["sums"][1] *= 1e-311
    if covariance_type not in SHARED:
        stats["scatter"][1] *= 1e-311
    updated = model.update(point, stats, Step(iteration=1))
    assert np.isfinite(updated.buffer).all()
    assert same_bits(updated["means"][1], point["means"][1])


# ---- float32 ----


@pytest.mark.parametrize("covariance_type", MATRIX)
@pytest.mark.parametrize("inference", ["mean-field", "gibbs"])
def test_G10_in_float32_rounding_does_not_take_a_scale_below_its_prior(inference, covariance_type):
    # A scatter is a difference: here its rounding is larger than the prior's smallest eigenvalue.
    rows = np.repeat(X[:4], 5, axis=0).astype(np.float32)
    estimator = quiet_fit(mixture(1, inference, covariance_type=covariance_type), rows)
    assert is_finite(estimator, rows)
    assert np.linalg.eigvalsh(estimator.covariances_).min() > 0


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("inference", RUNGS)
@pytest.mark.parametrize("shape", ["collapsed", "constant", "identical", "shifted", "tiny", "huge"])
def test_G1_to_G10_in_float32(inference, covariance_type, shape):
    rows = {
        "collapsed": COLLAPSED,
        "constant": X * [1, 1, 0, 1] + [0, 0, 7.7, 0],
        "identical": np.full((20, 3), 1 / 3),
        "shifted": X + 1e4,
        "tiny": X * 1e-15,
        "huge": X * 1e15,
    }[shape].astype(np.float32)
    options = {"covariance_type": covariance_type, **fixed_length(inference, 40)}
    estimator = quiet_fit(mixture(3, inference, **options), rows)
    for name in FITTED:
        assert np.isfinite(getattr(estimator, name)).all()
    assert not np.isnan(estimator.score_samples(rows)).any()
    np.testing.assert_allclose(estimator.predict_proba(rows).sum(axis=1), 1.0, rtol=1e-5)
