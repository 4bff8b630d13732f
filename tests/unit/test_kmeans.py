"""k-means of the starts: each of Lloyd's iterations is that of plain NumPy, for any shape."""

import numpy as np
import pytest

from vemfast import _core


def lloyd_step(X, weights, centres):
    """Return the weighted means of the rows nearest to each centre; an empty one stays."""
    squares = ((X[:, None] - centres) ** 2).sum(axis=2)
    labels = squares.argmin(axis=1)
    out = centres.copy()
    for k in range(len(centres)):
        mass = weights[labels == k]
        if mass.sum() > 0:
            out[k] = mass @ X[labels == k] / mass.sum()
    return out


# The sides of what has a kernel of its own: 8 clusters, 4 features; rows that fill no vector.
@pytest.mark.parametrize("n", [9, 64, 203])
@pytest.mark.parametrize("K", [1, 2, 3, 5, 8, 9])
@pytest.mark.parametrize("D", [1, 2, 3, 4, 5])
def test_an_iteration_is_that_of_numpy(n, K, D):
    rng = np.random.default_rng(100 * K + D)
    X = rng.normal(size=(n, D)) + 3 * rng.integers(0, 3, (n, 1))
    weights = rng.uniform(0.1, 3.0, n)
    seeds, distinct = _core.kmeans_plusplus(X, weights, K, 7, 0)
    assert distinct == K
    assert all((seed == X).all(axis=1).any() for seed in seeds)
    after, _ = _core.kmeans_plusplus(X, weights, K, 7, 1)
    np.testing.assert_allclose(after, lloyd_step(X, weights, seeds), rtol=1e-12, atol=1e-12)


def test_of_equal_distances_the_first_centre_takes_the_row():
    X = np.array([[0.0], [2.0], [1.0], [1.0]])
    weights = np.array([1.0, 1.0, 1e-9, 1e-9])  # the seeds are the heavy rows
    for seed in range(20):
        seeds, _ = _core.kmeans_plusplus(X, weights, 2, seed, 0)
        after, _ = _core.kmeans_plusplus(X, weights, 2, seed, 1)
        np.testing.assert_allclose(after, lloyd_step(X, weights, seeds), rtol=1e-15, atol=0)


def test_equal_rows_have_one_distinct_centre():
    X = np.ones((30, 2))
    centres, distinct = _core.kmeans_plusplus(X, np.ones(30), 3, 0, 100)
    assert distinct == 1
    np.testing.assert_array_equal(centres, np.ones((3, 2)))
