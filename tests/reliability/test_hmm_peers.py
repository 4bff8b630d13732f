"""What hmmlearn 0.3.3 gets wrong, and figures of a book, held by the estimators themselves."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse
from reliability.helpers import quiet

from vemfast import GMMHMM, BernoulliHMM, GaussianHMM, PoissonHMM

_rng = np.random.default_rng(12)
STATES = np.arange(160) // 10 % 2
ROWS = np.c_[5.0 * STATES, -3.0 * STATES] + _rng.normal(size=(160, 2))
LENGTHS = [40, 1, 59, 60]

# W. Zucchini, I. L. MacDonald, R. Langrock: Hidden Markov Models for Time Series, 2nd ed., CRC
# Press, 2016, table 1.1: earthquakes of magnitude 7 or more, 1900 to 2006.
EARTHQUAKES = np.array([
    13, 14, 8, 10, 16, 26, 32, 27, 18, 32, 36, 24, 22, 23, 22, 18, 25, 21, 21, 14, 8, 11, 14,
    23, 18, 17, 19, 20, 22, 19, 13, 26, 13, 14, 22, 24, 21, 22, 26, 21, 23, 24, 27, 41, 31, 27,
    35, 26, 28, 36, 39, 21, 17, 22, 17, 19, 15, 34, 10, 15, 22, 18, 15, 20, 15, 22, 19, 16, 30,
    27, 29, 23, 20, 16, 21, 21, 25, 16, 18, 15, 18, 14, 10, 15, 8, 15, 6, 11, 8, 7, 18, 16, 13,
    12, 13, 20, 15, 16, 12, 18, 15, 16, 13, 15, 16, 11, 11,
])[:, None]  # fmt: skip


@pytest.mark.parametrize("covariance_type", ["full", "diag", "spherical"])
@pytest.mark.parametrize("seed", range(5))
def test_states_of_mixtures_never_fall_on_short_sequences(covariance_type, seed):
    # There: the likelihood falls in ten of ten runs, and each says converged.
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(200, 2)) + 3.0 * rng.integers(0, 3, (200, 1))
    with quiet():
        fitted = GMMHMM(
            2, 2, covariance_type, random_state=seed, init_params="random_from_data", n_iter=50,
            tol=0.0,
        ).fit(X, [5] * 40)  # fmt: skip
    bounds = np.array(fitted.lower_bounds_)
    assert len(bounds) == 51
    assert np.diff(bounds).min() >= -1e-10 * abs(bounds).max()


@pytest.mark.parametrize("scale", [1e-3, 1e-6])
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_regularisation_scales_with_the_data(covariance_type, scale):
    # There, with data times 1e-3: "must be symmetric, positive-definite".
    plain, small = (
        GaussianHMM(2, covariance_type, random_state=0).fit(X, LENGTHS)
        for X in (ROWS, ROWS * scale)
    )
    np.testing.assert_allclose(small.transmat_, plain.transmat_, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(small.covars_ / scale**2, plain.covars_, rtol=1e-7, atol=1e-9)


def test_the_order_of_sequences_does_not_matter():  # O7
    parts = np.split(ROWS, np.cumsum(LENGTHS)[:-1])
    options = {"means_init": [[0, 0], [5, -3]], "tol": 0.0, "n_iter": 5}
    with quiet():
        one = GaussianHMM(2, **options).fit(parts)
        other = GaussianHMM(2, **options).fit(parts[::-1])
    assert other.lower_bound_ == pytest.approx(one.lower_bound_, rel=1e-10)
    np.testing.assert_allclose(other.transmat_, one.transmat_, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", [PoissonHMM, BernoulliHMM])
def test_sparse_steps_are_dense_ones(kind):  # O7
    dense = _rng.poisson(np.array([[0.3, 2.0, 0.1], [2.5, 0.2, 0.4]])[STATES])
    dense = dense if kind is PoissonHMM else np.minimum(dense, 1)
    sparse = scipy.sparse.csr_array(dense)
    one = kind(2, random_state=0).fit(dense, LENGTHS)
    for X in (sparse, scipy.sparse.coo_matrix(dense)):
        other = kind(2, random_state=0).fit(X, LENGTHS)
        np.testing.assert_allclose(other.lower_bounds_, one.lower_bounds_, rtol=1e-12)
    ends = np.cumsum([0, *LENGTHS])
    parts = [sparse[a:b] for a, b in pairwise(ends)]
    listed = kind(2, random_state=0).fit(parts)
    np.testing.assert_allclose(listed.lower_bounds_, one.lower_bounds_, rtol=1e-12)
    np.testing.assert_array_equal(one.predict(sparse, LENGTHS), one.predict(dense, LENGTHS))


@pytest.mark.parametrize("schedule", ["batch", "memoized", "minibatch"])
def test_a_memory_map_is_used_in_place(tmp_path, schedule):
    np.save(tmp_path / "x.npy", ROWS)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    options = {"n_batches": 3} if schedule != "batch" else {}
    estimator = GaussianHMM(2, schedule=schedule, random_state=0, **options)
    block = estimator._model(mapped, None)[1]
    assert all(np.shares_memory(part.rows.X, mapped) for part in block.cut(3))
    with quiet():
        found = estimator.fit(mapped, LENGTHS).lower_bounds_
        assert found == estimator.fit(ROWS, LENGTHS).lower_bounds_


@pytest.mark.parametrize(("K", "log_likelihood"), [(2, -341.8787), (3, -328.5275), (4, -326.2850)])
def test_earthquakes(K, log_likelihood):
    """The book's figures, or better, with a free start."""
    fitted = PoissonHMM(
        K,
        n_init=20,
        init_params="k-means++",
        transmat_init=np.full((K, K), 0.2 / (K - 1)) + (0.8 - 0.2 / (K - 1)) * np.eye(K),
        random_state=0,
        tol=1e-9,
        n_iter=5000,
    )
    with quiet():
        fitted.fit(EARTHQUAKES)
    assert fitted.lower_bound_ >= log_likelihood - 1e-3
    assert fitted.score(EARTHQUAKES) == pytest.approx(fitted.lower_bound_, abs=1e-3)
    if K == 3:
        rates = np.sort(fitted.lambdas_.ravel())
        np.testing.assert_allclose(rates, [13.1338, 19.7132, 29.7097], atol=5e-3)
