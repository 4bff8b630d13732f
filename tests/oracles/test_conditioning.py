"""Marginals, conditionals and regression against quadrature of the joint density.

The joint density is scipy's. The trapezoidal rule on a wide grid is exact to rounding for sums of
Gaussians, so integrals are sums.
"""

import numpy as np
import pytest
from scipy import stats

import vemfast
from vemfast import GaussianMixture
from vemfast.models.gaussian_config import COVARIANCE_TYPES

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

_rng = np.random.default_rng(11)
_mix = np.array([[1.0, 0.0, 0.0], [0.8, 0.6, 0.0], [-0.5, 0.4, 0.7]])
X = np.concatenate(
    [
        _rng.normal(size=(80, 3)) @ _mix.T,
        _rng.normal(size=(60, 3)) @ _mix[::-1].T + [3.0, -2.0, 1.0],
        _rng.normal(size=(40, 3)) * 0.7 + [-2.0, 2.0, 2.5],
    ]
)
RUNGS = {
    "em": {},
    "hard-em": {"inference": "hard-em"},
    "mean-field": {"inference": "mean-field"},
    "process": {"inference": "mean-field", "weight_concentration_prior_type": "dirichlet_process"},
    "gibbs": {"inference": "gibbs", "n_burn": 3, "n_draws": 5, "n_chains": 1},
}
AXIS = np.linspace(-16.0, 17.0, 166)
STEP = AXIS[1] - AXIS[0]

types = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
rungs = pytest.mark.parametrize("rung", RUNGS)


def fitted(covariance_type="full", rung="em", **options):
    options = {"random_state": 0, "max_iter": 5, **RUNGS[rung], **options}
    if rung == "gibbs":
        del options["max_iter"]
    return GaussianMixture(3, covariance_type=covariance_type, **options).fit(X)


def matrices(mixture):
    """Return the covariances of any type as (K, D, D)."""
    covariances, D = mixture.covariances_, mixture.means_.shape[1]
    if mixture.covariance_type in ("full", "tied"):
        return np.broadcast_to(covariances, (3, D, D))
    column = covariances if covariances.ndim == 2 else covariances.reshape(-1, 1)
    return np.broadcast_to(column, (3, D))[:, :, None] * np.eye(D)


def density(mixture, rows):
    """Return the density of the point attributes, by scipy."""
    parts = zip(mixture.weights_, mixture.means_, matrices(mixture), strict=True)
    return sum(w * stats.multivariate_normal(m, s).pdf(rows) for w, m, s in parts)


def grid(fixed):
    """Return rows that hold the fixed columns and run over the axis in the others."""
    free = [axis for axis in range(3) if axis not in fixed]
    mesh = np.meshgrid(*[AXIS] * len(free), indexing="ij")
    rows = np.empty((mesh[0].size, 3))
    for column, values in zip(free, mesh, strict=True):
        rows[:, column] = values.ravel()
    for column, value in fixed.items():
        rows[:, column] = value
    return rows, STEP ** len(free)


# ---- against quadrature ----


@rungs
@types
def test_the_marginal_is_the_integral_over_the_others(covariance_type, rung):
    mixture = fitted(covariance_type, rung)
    for columns, point in (([2, 0], (0.4, -1.1)), ([1], (0.7,)), ([0], (2.2,))):
        rows, cell = grid(dict(zip(columns, point, strict=True)))
        expected = density(mixture, rows).sum() * cell
        marginal = mixture.marginal(columns)
        assert marginal.covariance_type == covariance_type
        assert np.exp(marginal.score_samples([point])) == pytest.approx(expected, rel=1e-11)


@rungs
@types
def test_the_conditional_is_the_joint_over_its_integral(covariance_type, rung):
    mixture = fitted(covariance_type, rung)
    for given in ({1: 0.3}, {0: 1.4, 2: -0.2}, {2: 1.0, 0: -2.0}):
        rows, cell = grid(given)
        joint = density(mixture, rows)
        conditional = mixture.conditional(given)
        rest = [column for column in range(3) if column not in given]
        some = slice(None, None, 17)
        np.testing.assert_allclose(
            np.exp(conditional.score_samples(rows[some][:, rest])),
            joint[some] / (joint.sum() * cell),
            rtol=1e-9,
            atol=1e-14,
        )


@rungs
@types
def test_regression_is_the_first_and_second_moment_of_the_conditional(covariance_type, rung):
    mixture = fitted(covariance_type, rung)
    for given, targets in (({1: 0.3}, [2, 0]), ({2: 0.5}, [1]), ({2: 1.0, 0: -2.0}, [1])):
        rows, _ = grid(given)
        share = density(mixture, rows)
        share /= share.sum()
        mean = share @ rows[:, targets]
        away = rows[:, targets] - mean
        found, covariance = mixture.predict_conditional(
            [list(given.values())], targets, given=list(given), return_covariance=True
        )
        np.testing.assert_allclose(found[0], mean, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(covariance[0], (share[:, None] * away).T @ away, atol=1e-10)


def test_one_component_is_least_squares():
    mixture = GaussianMixture(1, reg_covar=0).fit(X)
    design = np.column_stack([np.ones(len(X)), X[:, [0, 2]]])
    coefficients, residual, *_ = np.linalg.lstsq(design, X[:, 1], rcond=None)
    found, variance = mixture.predict_conditional(X[:, [0, 2]], 1, return_covariance=True)
    np.testing.assert_allclose(found, design @ coefficients, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(variance, np.full(len(X), residual / len(X)), rtol=1e-10)


# ---- laws ----


@types
def test_conditions_compose_and_components_keep_their_places(covariance_type):
    mixture = fitted(covariance_type)
    at_once = mixture.conditional({0: 0.5, 2: -1.0})
    for chain in (
        mixture.conditional({0: 0.5}).conditional({1: -1.0}),
        mixture.conditional({2: -1.0}).conditional({0: 0.5}),
        mixture.marginal([2, 1, 0]).conditional({0: -1.0, 2: 0.5}),
    ):
        for name in ("weights_", "means_", "covariances_", "precisions_"):
            np.testing.assert_allclose(getattr(chain, name), getattr(at_once, name), rtol=1e-9)
    first, second = mixture.conditional({1: 0.2}).marginal(1), mixture.marginal([1, 2])
    second = second.conditional({0: 0.2})
    np.testing.assert_allclose(first.means_, second.means_, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(first.covariances_, second.covariances_, rtol=1e-10)


@types
def test_all_columns_are_the_mixture_itself(covariance_type):
    mixture = fitted(covariance_type)
    whole = mixture.marginal(range(3))
    np.testing.assert_array_equal(whole.score_samples(X), mixture.score_samples(X))
    turned = mixture.marginal([2, 0, 1])
    np.testing.assert_allclose(turned.score_samples(X[:, [2, 0, 1]]), mixture.score_samples(X))


@types
def test_rows_have_the_moments_of_their_own_conditionals(covariance_type):
    mixture = fitted(covariance_type)
    found, covariance = mixture.predict_conditional(X[:9, :1], [1, 2], return_covariance=True)
    for row, mean, spread in zip(X, found, covariance, strict=False):
        own = mixture.conditional({0: row[0]})
        np.testing.assert_allclose(own.weights_ @ own.means_, mean, rtol=1e-11, atol=1e-12)
        away = own.means_ - mean
        expected = np.tensordot(own.weights_, matrices(own), 1) + (own.weights_ * away.T) @ away
        np.testing.assert_allclose(spread, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("scale", "offset"), [(1e-8, 0.0), (1e8, 0.0), (1.0, 1e8)])
@types
def test_units_and_offsets_change_nothing(covariance_type, scale, offset):
    plain = fitted(covariance_type)
    moved = GaussianMixture(3, covariance_type=covariance_type, random_state=0, max_iter=5)
    moved.fit(X * scale + offset)
    found = moved.predict_conditional(X[:20, :2] * scale + offset, 2)
    expected = plain.predict_conditional(X[:20, :2], 2)
    np.testing.assert_allclose((found - offset) / scale, expected, rtol=1e-6, atol=1e-6)


def test_features_that_depend_on_each_other_almost_wholly():
    rows = np.column_stack([X[:, 0], X[:, 0] + 1e-6 * X[:, 1], X[:, 2]])
    mixture = GaussianMixture(2, reg_covar=0, random_state=0, tol=1e-2).fit(rows)
    for given in ({0: 0.5}, {1: 0.5}, {2: 0.5}, {0: 0.5, 2: 0.1}):
        part = mixture.conditional(given)
        assert np.linalg.eigvalsh(part.covariances_).min() > 0
    covariance = mixture.predict_conditional(rows[:, [0]], [1, 2], return_covariance=True)[1]
    assert np.linalg.eigvalsh(covariance).min() > 0


def test_a_value_out_of_all_proportion():
    mixture = fitted()
    for value in (1e30, 1e154, 1e200, -1e300):
        part = mixture.conditional({0: value})
        assert part.weights_.sum() == pytest.approx(1.0)
        assert np.isfinite(part.means_).all()
    steep = GaussianMixture(1).fit(np.column_stack([X[:, 0], 3 * X[:, 0] + X[:, 1]]))
    with pytest.raises(ValueError, match="given is so far away that what is expected"):
        steep.conditional({0: 1.5e308})
    with pytest.raises(ValueError, match="row 1 of X is so far away"):
        steep.predict_conditional([[0.0], [1.5e308]], 1)
    far = [[0.0], [1.5e200]]
    assert np.isfinite(mixture.predict_conditional(far, 1, given=0)).all()
    with pytest.raises(ValueError, match="row 1 of X is so far away"):
        mixture.predict_conditional(far, 1, given=0, return_covariance=True)


@types
def test_missing_given_values_are_integrated_out(covariance_type):
    mixture = fitted(covariance_type, missing="marginalize")
    rows = X[:12, [2, 0]].copy()
    rows[::3, 0] = rows[1::4, 1] = rows[5] = np.nan
    found, covariance = mixture.predict_conditional(rows, [1], given=[2, 0], return_covariance=True)
    for row, mean, spread in zip(rows, found, covariance, strict=True):
        given = {c: v for c, v in zip([2, 0], row, strict=True) if not np.isnan(v)}
        part = mixture.conditional(given).marginal([1 - (0 in given)]) if given else mixture
        column = 0 if given else 1
        expected = part.weights_ @ part.means_[:, column]
        assert mean[0] == pytest.approx(expected, rel=1e-10)
        second = matrices(part)[:, column, column] + (part.means_[:, column] - expected) ** 2
        assert spread[0, 0] == pytest.approx(part.weights_ @ second, rel=1e-10)
    completed = np.column_stack([rows[:, 1], np.full(12, np.nan), rows[:, 0]])
    np.testing.assert_allclose(mixture.impute(completed)[:, 1], found[:, 0], rtol=1e-10)
    part = mixture.conditional({1: 0.3})
    assert np.isfinite(part.score_samples([[np.nan, 1.0]])).all()


@pytest.mark.parametrize("n_jobs", [1, 2, 5])
def test_threads_change_nothing(n_jobs):
    many = np.tile(X, (40, 1))
    found = fitted(n_jobs=n_jobs).predict_conditional(many[:, :2], 2)
    np.testing.assert_array_equal(found, fitted().predict_conditional(many[:, :2], 2))


# ---- what comes back is a mixture ----


@types
def test_a_part_samples_predicts_saves_and_fits(tmp_path, covariance_type):
    part = fitted(covariance_type, "mean-field").conditional({1: 0.4})
    assert type(part) is GaussianMixture
    assert part.inference == "em"
    rows, labels = part.sample(50)
    assert rows.shape == (50, 2)
    assert set(labels) <= {0, 1, 2}
    np.testing.assert_allclose(part.predict_proba(rows).sum(axis=1), 1.0)
    part.save(tmp_path / "part")
    loaded = vemfast.load(tmp_path / "part")
    np.testing.assert_array_equal(loaded.score_samples(rows), part.score_samples(rows))
    assert not hasattr(part, "lower_bound_")
    assert part.fit(X).n_features_in_ == 3


def test_the_mixture_stays_as_it_was():
    mixture = fitted()
    before = {name: np.copy(value) for name, value in vars(mixture).items()}
    part = mixture.marginal([0, 1])
    part.weights_[:] = part.means_[:] = part.covariances_[:] = 7.0
    mixture.conditional({0: 1.0}).means_[:] = 7.0
    for name, value in vars(mixture).items():
        np.testing.assert_array_equal(value, before[name])


def test_columns_by_name():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b", "c"])
    mixture = GaussianMixture(3, random_state=0, max_iter=5).fit(frame)
    assert mixture.marginal(["c", "a"]).feature_names_in_.tolist() == ["c", "a"]
    assert mixture.marginal("b").feature_names_in_.tolist() == ["b"]
    by_name = mixture.conditional({"b": 0.5, "a": 1.0})
    by_place = mixture.conditional({-2: 0.5, 0: 1.0})
    assert by_name.feature_names_in_.tolist() == ["c"]
    np.testing.assert_array_equal(by_name.means_, by_place.means_)
    of_series = mixture.conditional(pandas.Series({"b": 0.5, "a": 1.0}))
    np.testing.assert_array_equal(of_series.means_, by_place.means_)
    expected = mixture.predict_conditional(X[:, [2, 0]], "b", given=["c", "a"])
    found = mixture.predict_conditional(frame[["b", "a", "c"]], "b", given=["c", "a"])
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(
        mixture.predict_conditional(frame, "b"), mixture.predict_conditional(X[:, [0, 2]], 1)
    )
    with pytest.raises(ValueError, match="X has no column 'c', which is among the given"):
        mixture.predict_conditional(frame[["a"]], "b", given=["c"])


# ---- bad input ----


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda m: m.marginal([]), ValueError, "columns names no column"),
        (lambda m: m.marginal([0, 0]), ValueError, "columns names column 0 twice"),
        (lambda m: m.marginal([0, -3]), ValueError, "columns names column 0 twice"),
        (lambda m: m.marginal([3]), ValueError, "no column 3; the mixture has 3 features"),
        (lambda m: m.marginal(["a"]), ValueError, "no column 'a'; the feature names are none"),
        (lambda m: m.marginal([True]), TypeError, "a position or a feature name; got True"),
        (lambda m: m.marginal([0.0]), TypeError, "a position or a feature name; got 0.0"),
        (lambda m: m.conditional({}), ValueError, "given names no column"),
        (lambda m: m.conditional([1.0]), TypeError, r"such as \{0: 1.5\}; got \[1.0\]"),
        (lambda m: m.conditional({0: 1, 1: 1, 2: 1}), ValueError, "names all 3 columns"),
        (lambda m: m.conditional({0: np.nan}), ValueError, r"given\[0\] must be finite; got nan"),
        (lambda m: m.conditional({0: "x"}), TypeError, r"given\[0\] must be a number; got 'x'"),
        (lambda m: m.predict_conditional(X, 1), ValueError, "3 columns, but 2 are given"),
        (lambda m: m.predict_conditional(X[:, 0], 1), ValueError, "Expected 2D array"),
        (lambda m: m.predict_conditional(X[:0, :2], 1), ValueError, "0 sample"),
        (lambda m: m.predict_conditional([[0.0, np.inf]], 1), ValueError, "row 0, column 1"),
        (lambda m: m.predict_conditional([[np.nan, 0]], 1), ValueError, "NaN at row 0, column 0"),
        (lambda m: m.predict_conditional([["a", "b"]], 1), ValueError, "numeric"),
        (lambda m: m.predict_conditional([[1j, 0]], 1), ValueError, "Complex data"),
        (
            lambda m: m.predict_conditional(X[:, :2], 1, given=[0, 1]),
            ValueError,
            "column 1 is among the targets and among the given",
        ),
        (
            lambda m: m.predict_conditional(X.astype("M8[s]")[:, :2], 1),
            TypeError,
            "X must hold numbers",
        ),
    ],
)
def test_bad_input_is_named(call, error, said):
    with pytest.raises(error, match=said):
        call(fitted())


@pytest.mark.parametrize(
    "call",
    [
        lambda m: m.marginal([0]),
        lambda m: m.conditional({0: 1.0}),
        lambda m: m.predict_conditional(X[:, :2], 2),
    ],
)
def test_before_a_fit(call):
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        call(GaussianMixture())
