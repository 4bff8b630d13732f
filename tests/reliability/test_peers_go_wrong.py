"""What other libraries get wrong on mixtures, seen on scikit-learn 1.9.1 and hmmlearn 0.3.3.

Each test holds this library to the right behaviour on data on which the other one goes wrong.
"""

import multiprocessing
from itertools import pairwise

import numpy as np
import pytest
from reliability.helpers import POINT_RUNGS, TYPES, X, degenerate_messages, mixture, quiet_fit
from scipy.integrate import quad

import vemfast
from vemfast import GaussianMixture, ModelFileError


def bounds_by_components(prior_type):
    options = {"weight_concentration_prior_type": prior_type, "weight_concentration_prior": 1.0}

    def bound(k):
        estimator = mixture(k, "mean-field", n_init=5, tol=1e-7, max_iter=1000, **options)
        return quiet_fit(estimator, X).lower_bound_

    return [bound(k) for k in range(1, 7)]


def test_the_bound_chooses_the_number_of_components():
    # There: constants that depend on K are dropped, and the bound keeps rising past the true K.
    bounds = bounds_by_components("dirichlet")
    assert np.argmax(bounds) == 2  # three components
    assert (np.diff(bounds[2:]) < -1).all()


def test_the_bound_of_a_process_levels_off():
    # Its truncation is in q alone, so that a longer one is no worse, and here no better.
    bounds = bounds_by_components("dirichlet_process")
    assert (np.diff(bounds[:3]) > 10).all()
    np.testing.assert_allclose(np.diff(bounds[2:]), 0.0, atol=1e-3)


FEW = np.array([[-1.0], [0.1], [0.4], [7.0], [7.3]])


def mass(log_density):
    """Integral of a density on the line."""

    def density(x):
        return float(np.exp(log_density(np.array([[x]]))[0]))

    pieces = [-np.inf, -20.0, 0.0, 7.0, 30.0, np.inf]
    return sum(quad(density, a, b, limit=200)[0] for a, b in pairwise(pieces))


@pytest.mark.parametrize("covariance_type", TYPES)
def test_the_density_of_mean_field_integrates_to_one(covariance_type):
    estimator = quiet_fit(mixture(2, "mean-field", covariance_type=covariance_type), FEW)
    assert mass(estimator.score_samples) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_expected_log_densities_do_not(covariance_type):
    # There: these, as if they were a density.
    estimator = quiet_fit(mixture(2, "mean-field", covariance_type=covariance_type), FEW)
    model, posterior = estimator._fitted()
    table = model.prepare(posterior)
    assert mass(lambda x: model.assign(table, x, "log_density", 1)) < 0.9


@pytest.mark.parametrize("reg_covar", [0.1, 0.01, 0.5])
@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("inference", POINT_RUNGS)
def test_regularisation_is_part_of_the_objective(inference, covariance_type, reg_covar):
    # There: a constant is added to the diagonal behind the objective's back, and it falls.
    rows = X * [0.1, 1, 1, 1]
    estimator = mixture(
        5, inference, covariance_type=covariance_type, reg_covar=reg_covar, tol=0.0, max_iter=60
    )
    degenerate_messages(estimator, rows)
    bounds = np.array(estimator.lower_bounds_)
    assert len(bounds) == 61
    assert np.diff(bounds).min() >= -1e-10 * np.abs(bounds).max()


@pytest.mark.parametrize("scale", [1e-3, 1e-6])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_regularisation_scales_with_the_data(covariance_type, scale):
    # There: an absolute 1e-6 swamps small data; hmmlearn finds them not positive definite.
    a = quiet_fit(mixture(3, covariance_type=covariance_type), X)
    b = quiet_fit(mixture(3, covariance_type=covariance_type), X * scale)
    np.testing.assert_allclose(b.covariances_ / scale**2, a.covariances_, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("shift", [1e6, 1e8, 1e10])
@pytest.mark.parametrize("covariance_type", TYPES)
def test_an_offset_does_not_touch_the_variances(covariance_type, shift):
    # There: squares less squares, "ill-defined empirical covariance".
    rows = X + shift
    estimator = quiet_fit(mixture(1, covariance_type=covariance_type), rows)
    kept = rows - rows[0]  # exact: neighbours in float64
    full = np.cov(kept.T, bias=True)
    expected = {
        "full": full[None],
        "tied": full,
        "diag": np.diag(full)[None],
        "spherical": np.diag(full).mean(keepdims=True),
        "tied-spherical": np.diag(full).mean(),
    }[covariance_type]
    np.testing.assert_allclose(estimator.covariances_, expected, rtol=1e-10, atol=1e-10)


def _fit_there(rows):
    return GaussianMixture(3, random_state=0, n_jobs=2).fit(rows).means_


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="a system without fork"
)
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fit_after_a_fit_in_a_forked_pool_ends():
    # There: OpenMP's threads are not in the child, which waits for them for ever.
    rows = np.tile(X, (40, 1))
    here = _fit_there(rows)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        there = pool.map_async(_fit_there, [rows] * 4).get(timeout=60)
    assert all(np.array_equal(here, means) for means in there)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_model_file_is_an_error(tmp_path, share):
    # tomotopy: a crash, or an endless loop.
    path = tmp_path / "model.safetensors"
    mixture(3).fit(X).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ModelFileError):
        vemfast.load(path)
