"""Planted parameters are found, with an error that falls as one over the root of n."""

from itertools import permutations

import numpy as np
import pytest
from oracles.generative import Points, as_matrices, rows_given

from vemfast import GaussianMixture
from vemfast.models.gaussian_config import COVARIANCE_TYPES

K, D = 3, 2
SIZES = (400, 1600, 6400, 25600)
TRUTH = Points(
    np.array([0.5, 0.3, 0.2]),
    np.array([[-3.0, 0.0], [3.0, 1.0], [0.0, 4.0]]),
    np.empty(0),
)
COVARIANCES = {
    "full": np.array(
        [[[1.0, 0.5], [0.5, 2.0]], [[1.5, -0.4], [-0.4, 0.6]], [[0.5, 0.1], [0.1, 1.0]]]
    ),
    "tied": np.array([[1.0, 0.5], [0.5, 2.0]]),
    "diag": np.array([[1.0, 2.0], [1.5, 0.6], [0.5, 1.0]]),
    "spherical": np.array([1.0, 1.5, 0.5]),
    "tied-spherical": np.array(1.2),
}


def errors(covariance, n_seeds=6, **options):
    """Return root mean squared errors of all parameters, one for each size."""
    truth = TRUTH._replace(covariances=as_matrices(COVARIANCES[covariance], covariance, K, D))
    out = []
    for n in SIZES:
        squares = []
        for seed in range(n_seeds):
            X = rows_given(truth, n, np.random.default_rng([seed, n]))
            model = GaussianMixture(
                K,
                covariance_type=covariance,
                means_init=truth.means,  # this is about estimates, not about finding the way
                tol=1e-6,
                max_iter=500,
                n_jobs=1,
                **options,
            ).fit(X)
            found = Points(
                model.weights_,
                model.means_,
                as_matrices(model.covariances_, covariance, K, D),
            )
            squares.append(min(distance(found, truth, order) for order in permutations(range(K))))
        out.append(np.sqrt(np.mean(squares)))
    return np.array(out)


def distance(found, truth, order):
    order = list(order)
    return sum(np.sum((a[order] - b) ** 2) for a, b in zip(found, truth, strict=True))


def slope(errors):
    """Return the power of n by which errors fall."""
    return np.polyfit(np.log(SIZES), np.log(errors), 1)[0]


@pytest.mark.parametrize("inference", ["em", "mean-field"])
@pytest.mark.parametrize("covariance", COVARIANCE_TYPES)
def test_errors_fall_as_one_over_the_root_of_n(covariance, inference):
    found = errors(covariance, inference=inference)
    assert -0.65 < slope(found) < -0.35
    assert found[-1] < 0.1


@pytest.mark.filterwarnings("ignore::vemfast.errors.DegenerateWarning")
def test_an_estimate_with_a_bias_stays_where_it_is():
    # The mutations: a support that leaves the truth out, and labels taken as known (hard EM is
    # not consistent where components overlap).
    assert slope(errors("full", reg_covar=0.2)) > -0.35
    assert slope(errors("full", inference="hard-em")) > -0.35
