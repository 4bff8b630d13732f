"""EM with a flat prior against scikit-learn's GaussianMixture, iteration by iteration."""

import numpy as np
import pytest
from parity.starts import SKLEARN_TYPES, D, K, assert_close, rows, run_all, start
from sklearn.mixture import GaussianMixture as SklearnMixture

from vemfast import GaussianMixture

types = pytest.mark.parametrize("covariance_type", SKLEARN_TYPES)


def both(X, covariance_type, seed, n_iter, reg_covar=0.0):
    options = start(X, covariance_type, seed) | {
        "covariance_type": covariance_type,
        "tol": 0.0,
        "max_iter": n_iter,
    }
    ours = run_all(GaussianMixture(K, reg_covar=reg_covar, **options), X)
    theirs = run_all(SklearnMixture(K, reg_covar=reg_covar, **options), X)
    return ours, theirs


def assert_same_fit(ours, theirs, X):
    new = np.concatenate([X[:50], X[:50] * 1.7 - 3.0])
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        assert_close(getattr(ours, name), getattr(theirs, name))
    assert_close(ours.predict_proba(new), theirs.predict_proba(new))
    assert_close(ours.score_samples(new), theirs.score_samples(new))
    assert_close(ours.score(new), theirs.score(new))
    assert_close(ours.bic(new), theirs.bic(new))
    assert_close(ours.aic(new), theirs.aic(new))
    np.testing.assert_array_equal(ours.predict(new), theirs.predict(new))


@types
@pytest.mark.parametrize("n_iter", [1, 2, 7, 60])
@pytest.mark.parametrize("seed", [0, 1])
def test_same_numbers_after_the_same_iterations(covariance_type, n_iter, seed):
    X = rows(seed)
    ours, theirs = both(X, covariance_type, seed, n_iter)
    assert ours.n_iter_ == theirs.n_iter_ == n_iter
    assert_same_fit(ours, theirs, X)
    # Theirs is a mean over the rows, and that of the parameters before the last update.
    assert_close(ours.lower_bounds_[-2], theirs.lower_bound_ * len(X))
    assert_close(ours.lower_bound_, theirs.score_samples(X).sum())


@types
def test_same_numbers_as_two_rows_for_a_weight_of_two(covariance_type):
    X = rows(3)
    counts = np.random.default_rng(3).integers(1, 4, len(X))
    options = start(X, covariance_type, 3) | {
        "covariance_type": covariance_type,
        "reg_covar": 0.0,
        "tol": 0.0,
        "max_iter": 10,
    }
    ours = run_all(GaussianMixture(K, **options), X, sample_weight=counts)
    theirs = run_all(SklearnMixture(K, **options), np.repeat(X, counts, axis=0))
    assert_same_fit(ours, theirs, X)


@types
def test_same_stopping_rule(covariance_type):
    # The gain a row is below tol. Theirs looks at the bound before each update, so it makes one
    # update more.
    X = rows(4)
    options = start(X, covariance_type, 4) | {
        "covariance_type": covariance_type,
        "reg_covar": 0.0,
        "tol": 1e-4,
        "max_iter": 500,
    }
    ours = GaussianMixture(K, **options).fit(X)
    theirs = SklearnMixture(K, **options).fit(X)
    assert ours.converged_
    assert theirs.converged_
    assert theirs.n_iter_ - ours.n_iter_ == 1
    assert abs(ours.score(X) - theirs.score(X)) < 1e-4


@types
def test_one_component_is_the_sample_mean_and_covariance(covariance_type):
    X = rows(5)
    ours = GaussianMixture(1, covariance_type=covariance_type, reg_covar=0.0).fit(X)
    theirs = SklearnMixture(1, covariance_type=covariance_type, reg_covar=0.0).fit(X)
    assert_same_fit(ours, theirs, X)


@types
def test_the_regulariser_is_where_the_numbers_part(covariance_type):
    # The mutation of this file: theirs adds reg_covar to the diagonal, ours bounds eigenvalues
    # below by it, so with it the comparison above must fail.
    X = rows(0)
    ours, theirs = both(X, covariance_type, 0, 7, reg_covar=1e-3)
    with pytest.raises(AssertionError):
        assert_same_fit(ours, theirs, X)


def test_number_of_parameters():
    X = rows(6)
    for covariance_type, covariances in (
        ("full", K * D * (D + 1) // 2),
        ("tied", D * (D + 1) // 2),
        ("diag", K * D),
        ("spherical", K),
        ("tied-spherical", 1),
    ):
        for equal, weights in ((False, K - 1), (True, 0)):
            fit = GaussianMixture(
                K, covariance_type=covariance_type, equal_weights=equal, random_state=0, tol=1e-2
            ).fit(X)
            n_parameters = K * D + covariances + weights
            log_likelihood = fit.score_samples(X).sum()
            assert_close(fit.aic(X), 2 * n_parameters - 2 * log_likelihood)
            assert_close(fit.bic(X), n_parameters * np.log(len(X)) - 2 * log_likelihood)
