"""Maximum likelihood fits of public data against figures that others print."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.mixture import GaussianMixture as SklearnMixture

from vemfast import GaussianMixture, PoissonMixture

FAITHFUL = np.loadtxt(
    Path(__file__).parents[1] / "data" / "faithful.csv", delimiter=",", skiprows=1
)


def best_fit(X, n_components, covariance_type, **options):
    return GaussianMixture(
        n_components,
        covariance_type=covariance_type,
        n_init=10,
        tol=1e-12,
        max_iter=3000,
        random_state=0,
        **options,
    ).fit(X)


def test_the_data_are_the_data():
    assert FAITHFUL.shape == (272, 2)
    np.testing.assert_allclose(FAITHFUL.mean(axis=0), [3.487783, 70.897059], atol=1e-6)


@pytest.mark.parametrize(
    ("n_components", "covariance_type", "log_likelihood"),
    [
        (1, "full", -1289.7967),
        (2, "full", -1130.2640),
        (2, "tied", -1140.1868),
        (2, "diag", -1147.8064),
    ],
)
def test_old_faithful(n_components, covariance_type, log_likelihood):
    fit = best_fit(FAITHFUL, n_components, covariance_type)
    assert fit.lower_bound_ == pytest.approx(log_likelihood, abs=5e-4)
    assert fit.score(FAITHFUL) * 272 == pytest.approx(log_likelihood, abs=5e-4)


def test_old_faithful_estimates():
    fit = best_fit(FAITHFUL, 2, "full")
    order = np.argsort(fit.weights_)
    np.testing.assert_allclose(fit.weights_[order], [0.35587, 0.64413], atol=1e-5)
    np.testing.assert_allclose(
        fit.means_[order], [[2.036389, 54.478517], [4.289662, 79.968116]], rtol=1e-6
    )


def test_old_faithful_with_a_shared_covariance():
    # mclust prints -1126.361 and BIC 2314.386 for EEE with three components: it stops EM at a
    # relative gain of 1e-5, which is 0.045 nats before the maximum. scikit-learn, run to the end,
    # finds the same maximum as we do.
    fit = best_fit(FAITHFUL, 3, "tied")
    assert -1126.361 < fit.lower_bound_ < -1126.361 + 0.05
    theirs = SklearnMixture(
        3, covariance_type="tied", reg_covar=0.0, tol=1e-13, max_iter=3000, means_init=fit.means_
    ).fit(FAITHFUL)
    assert fit.lower_bound_ == pytest.approx(theirs.score(FAITHFUL) * 272, abs=1e-6)
    n_parameters = 2 + 3 * 2 + 3
    assert 2 * 1126.361 + n_parameters * np.log(272) == pytest.approx(2314.386, abs=2e-3)
    assert fit.bic(FAITHFUL) == pytest.approx(2314.386 - 2 * 0.045, abs=2e-3)


@pytest.mark.parametrize(("n_components", "log_likelihood"), [(2, -214.3547), (3, -180.1855)])
def test_iris(n_components, log_likelihood):
    fit = best_fit(load_iris().data, n_components, "full")
    assert fit.lower_bound_ == pytest.approx(log_likelihood, abs=5e-4)


def test_a_worse_optimum_would_show():
    # The mutation of this file: iris has other maxima, which some starts end in.
    worse = GaussianMixture(3, tol=1e-12, max_iter=3000, random_state=0, init_params="random")
    fits = [worse.set_params(random_state=seed).fit(load_iris().data) for seed in range(6)]
    assert min(fit.lower_bound_ for fit in fits) < -180.1855 - 5e-4


# ---- earthquakes ----

# Earthquakes in the world of magnitude 7 or more, 1900 to 2006: W. Zucchini, I. L. MacDonald,
# R. Langrock: Hidden Markov Models for Time Series, 2nd ed., CRC Press, 2016, table 1.1.
EARTHQUAKES = np.array([
    13, 14, 8, 10, 16, 26, 32, 27, 18, 32, 36, 24, 22, 23, 22, 18, 25, 21, 21, 14, 8, 11, 14,
    23, 18, 17, 19, 20, 22, 19, 13, 26, 13, 14, 22, 24, 21, 22, 26, 21, 23, 24, 27, 41, 31, 27,
    35, 26, 28, 36, 39, 21, 17, 22, 17, 19, 15, 34, 10, 15, 22, 18, 15, 20, 15, 22, 19, 16, 30,
    27, 29, 23, 20, 16, 21, 21, 25, 16, 18, 15, 18, 14, 10, 15, 8, 15, 6, 11, 8, 7, 18, 16, 13,
    12, 13, 20, 15, 16, 12, 18, 15, 16, 13, 15, 16, 11, 11,
], dtype=float)[:, None]  # fmt: skip


@pytest.mark.parametrize(
    ("n_components", "log_likelihood"),
    [(1, -391.9189), (2, -360.3690), (3, -356.8489), (4, -356.7337)],
)
def test_earthquakes(n_components, log_likelihood):
    # The book's table 1.2 prints -391.9189, -360.3690, -356.8489 and -356.7337.
    fit = PoissonMixture(n_components, n_init=10, tol=1e-12, max_iter=100_000, random_state=0)
    fit.fit(EARTHQUAKES)
    assert fit.lower_bound_ == pytest.approx(log_likelihood, abs=1.5e-4)
    assert fit.score(EARTHQUAKES) * 107 == pytest.approx(log_likelihood, abs=1.5e-4)


def test_earthquakes_estimates():
    fit = PoissonMixture(3, n_init=10, tol=1e-13, max_iter=100_000, random_state=0)
    fit.fit(EARTHQUAKES)
    order = np.argsort(fit.rates_[:, 0])
    np.testing.assert_allclose(fit.rates_[order, 0], [12.736, 19.785, 31.629], atol=2e-3)
    np.testing.assert_allclose(fit.weights_[order], [0.277, 0.593, 0.130], atol=1e-3)
