"""Hard EM with one spherical variance and equal weights against scikit-learn's KMeans."""

import numpy as np
import pytest
from parity.starts import D, K, assert_close, rows
from sklearn.cluster import KMeans

from vemfast import GaussianMixture


def both(seed, covariance_type="tied-spherical", sample_weight=None):
    X = rows(seed)
    centres = X[np.random.default_rng(seed).choice(len(X), K, replace=False)]
    ours = GaussianMixture(
        K,
        covariance_type=covariance_type,
        inference="hard-em",
        equal_weights=True,
        reg_covar=0.0,
        means_init=centres,
        tol=1e-12,
        max_iter=200,
    ).fit(X, sample_weight=sample_weight)
    theirs = KMeans(K, init=centres, n_init=1, algorithm="lloyd", tol=0.0, max_iter=200)
    return X, ours, theirs.fit(X, sample_weight=sample_weight)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("weighted", [False, True])
def test_same_labels_centres_and_objective(seed, weighted):
    weights = np.random.default_rng(seed).uniform(0.2, 3.0, 300) if weighted else None
    X, ours, theirs = both(seed, sample_weight=weights)
    np.testing.assert_array_equal(ours.predict(X), theirs.labels_)
    assert_close(ours.means_, theirs.cluster_centers_)
    # With the variance at its mode, inertia / (n D), the objective is a function of the inertia.
    n = len(X) if weights is None else weights.sum()
    variance = theirs.inertia_ / (n * D)
    assert_close(ours.covariances_, variance)
    assert_close(ours.lower_bound_, -n * (np.log(K) + 0.5 * D * (np.log(2 * np.pi * variance) + 1)))


@pytest.mark.parametrize("seed", range(3))
def test_other_covariances_are_not_k_means(seed):
    # The mutation of this file: with a variance for each component the labels must differ.
    X, ours, theirs = both(seed, "spherical")
    assert (ours.predict(X) != theirs.labels_).any()
