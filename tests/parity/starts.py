"""Data and starts that both libraries are given."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

K, D = 3, 3
SKLEARN_TYPES = ("full", "tied", "diag", "spherical")


def rows(seed, n=300, spread=2.5):
    """Return rows of K overlapping clusters."""
    rng = np.random.default_rng(seed)
    roots = [np.eye(D) + 0.4 * rng.normal(size=(D, D)) for _ in range(K)]
    centres = spread * rng.normal(size=(K, D))
    X = np.concatenate(
        [rng.normal(size=(n // K, D)) @ r + c for r, c in zip(roots, centres, strict=True)]
    )
    return rng.permutation(X)


def start(X, covariance_type, seed):
    """Return weights, means and precisions as options of either estimator."""
    rng = np.random.default_rng([seed, 1])
    covariance = np.cov(X.T)
    factors = rng.uniform(0.5, 1.5, K)
    covariances = {
        "full": factors[:, None, None] * covariance,
        "tied": covariance,
        "diag": factors[:, None] * np.diagonal(covariance),
        "spherical": factors * np.diagonal(covariance).mean(),
        "tied-spherical": np.diagonal(covariance).mean(),
    }[covariance_type]
    is_matrix = covariance_type in ("full", "tied")
    return {
        "weights_init": rng.dirichlet(np.full(K, 5.0)),
        "means_init": X[rng.choice(len(X), K, replace=False)],
        "precisions_init": np.linalg.inv(covariances) if is_matrix else 1.0 / covariances,
    }


def run_all(estimator, X, **fit_options):
    """Fit with tol=0, which runs every iteration and says so."""
    with pytest.warns(ConvergenceWarning):
        return estimator.fit(X, **fit_options)


def assert_close(actual, desired, tolerance=1e-8):
    """Assert equality within `tolerance`, absolute or relative, whichever is larger."""
    np.testing.assert_allclose(actual, desired, rtol=tolerance, atol=tolerance)
