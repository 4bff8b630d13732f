"""Newton's method for concentrations of Dirichlet distributions (O5, L15)."""

import numpy as np
import pytest
from scipy import stats as dist
from scipy.optimize import approx_fprime, minimize

from vemfast.reference import dirichlet_fit


def expected(alpha, n):
    """Return the sums of E[log θ] that make `alpha` the maximum."""
    from scipy.special import digamma

    return n * (digamma(alpha) - digamma(np.sum(alpha)))


@pytest.mark.parametrize("K", [2, 5, 100])
@pytest.mark.parametrize("scale", [1e-4, 0.05, 1.0, 30.0, 1e5])
@pytest.mark.parametrize("start", [1e-6, 0.1, 1.0, 1e4])
def test_the_concentration_that_expects_the_sums(K, scale, start):
    alpha = scale * np.random.default_rng(K).uniform(0.5, 2.0, K)
    found = dirichlet_fit.vector(np.full(K, start), 7.0, expected(alpha, 7.0))
    np.testing.assert_allclose(found, alpha, rtol=1e-6)
    a = dirichlet_fit.symmetric(start, K, 7.0, expected(np.full(K, scale), 7.0).sum())
    assert a == pytest.approx(scale, rel=1e-6)


def test_maximum_likelihood_of_draws():
    theta = np.random.default_rng(1).dirichlet([0.4, 2.0, 1.1], 400)
    sums = np.log(theta).sum(axis=0)
    found = dirichlet_fit.vector(np.ones(3), 400, sums)

    def loss(log_alpha):
        return -dist.dirichlet(np.exp(log_alpha)).logpdf(theta.T).sum()

    best = minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-4})
    assert -loss(np.log(found)) >= -best.fun - 1e-9
    np.testing.assert_allclose(found, np.exp(best.x), rtol=1e-3)
    value = dirichlet_fit.log_likelihood(found, 400, sums)
    assert value == pytest.approx(-loss(np.log(found)), rel=1e-12)
    gradient = approx_fprime(found, lambda a: dirichlet_fit.log_likelihood(a, 400, sums), 1e-6)
    assert np.abs(gradient).max() < 0.02  # of a curvature of hundreds


def test_symmetric_is_vector_held_equal():
    sums = np.array([-300.0, -500.0, -900.0])
    a = dirichlet_fit.symmetric(1.0, 3, 200.0, sums.sum())
    values = [
        dirichlet_fit.log_likelihood(np.full(3, b), 200.0, sums) for b in (0.99 * a, a, 1.01 * a)
    ]
    assert max(values) == values[1]


@pytest.mark.parametrize("seed", range(20))
def test_the_likelihood_never_falls_and_nothing_is_negative(seed):
    rng = np.random.default_rng(seed)
    start = np.exp(rng.uniform(-12, 8, 4))
    n = float(rng.uniform(0.1, 1000))
    sums = -n * np.exp(rng.uniform(-3, 9, 4))  # some of which no concentration expects
    found = dirichlet_fit.vector(start, n, sums)
    assert (found > 0).all()
    assert np.isfinite(found).all()
    before, after = (dirichlet_fit.log_likelihood(a, n, sums) for a in (start, found))
    assert after >= before - 1e-9 * abs(before)


def test_nothing_to_learn_from():
    start = np.array([0.3, 2.0])
    np.testing.assert_array_equal(dirichlet_fit.vector(start, 0.0, np.zeros(2)), start)
    np.testing.assert_array_equal(dirichlet_fit.vector(start[:1], 5.0, np.zeros(1)), start[:1])
    assert dirichlet_fit.symmetric(0.3, 1, 5.0, 0.0) == 0.3
