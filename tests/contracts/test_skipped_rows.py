"""Rows without responsibility are passed over, and no bit of any sum shows it.

A responsibility of the smallest number above zero is not passed over; but its product with rows
nearer than 1/2 to the origin rounds to zero, so it changes no sum. The kernels themselves, at
whatever level runs, are thus compared with themselves without anything to pass over.
"""

from __future__ import annotations

import numpy as np
import pytest

_core = pytest.importorskip("vemfast._core")

KINDS = ("full", "tied", "diag", "spherical", "tied-spherical")
DTYPES = (np.float64, np.float32)


def table(K: int, D: int) -> object:
    return _core.nearest_table(np.zeros((K, D)), np.ones(D), np.zeros(D))


def sparse_responsibilities(rng: np.random.Generator, n: int, K: int) -> np.ndarray:
    """Most zero: in single rows, in stretches of all lengths, and for whole tiles of rows."""
    r = rng.random((n, K)) + 0.01
    r[rng.random((n, K)) < 0.7] = 0.0
    for k in range(K):
        start = 0
        while start < n:
            stop = start + int(rng.integers(1, 90))
            if rng.random() < 0.6:
                r[start:stop, k] = 0.0
            start = stop
    r[: n // 2, 0] = 0.0
    r[:, 1] = 0.0
    r[n // 3, 1] = 1.0
    r[-1] = 1.0  # no component is empty
    return r


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("D", "K", "n"), [(4, 3, 70), (5, 6, 3000), (16, 9, 1501)])
def test_sums_have_the_bits_of_sums_over_all_rows(kind, dtype, D, K, n) -> None:
    rng = np.random.default_rng(D + n)
    X = rng.uniform(-0.4, 0.4, (n, D)).astype(dtype)
    weights = rng.uniform(0.5, 2.0, n)
    r = sparse_responsibilities(rng, n, K)
    every = np.where(r == 0, np.finfo(dtype).smallest_subnormal, r)
    assert (r == 0).mean() > 0.7
    for w in (None, weights):
        skipped, summed = (
            _core.mixture_given_step(table(K, D), kind, X, w, None, shares, 1)
            for shares in (r, every)
        )
        assert skipped.tobytes() == summed.tobytes()
        assert np.count_nonzero(skipped[2:]) == skipped.size - 2


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_leave_out_no_row(dtype) -> None:
    rng = np.random.default_rng(3)
    n, D, K = 2000, 7, 5
    X = rng.standard_normal((n, D)).astype(dtype)
    r = sparse_responsibilities(rng, n, K)
    stats = _core.mixture_given_step(table(K, D), "diag", X, None, None, r, 2)
    expected = [r.sum(0), r.T @ X.astype(float), r.T @ X.astype(float) ** 2]
    wanted = np.concatenate([part.ravel() for part in expected])
    rtol = 1e-12 if dtype is np.float64 else 2e-6
    np.testing.assert_allclose(stats[2:], wanted, rtol=rtol, atol=rtol * np.abs(wanted).max())


@pytest.mark.parametrize("dtype", DTYPES)
def test_shares_do_not_depend_on_the_rows_beside(dtype) -> None:
    """Sorted by component, most lines of rows have no share of a component; shuffled, few."""
    rng = np.random.default_rng(4)
    n, D, K = 4000, 4, 3
    centres = 300.0 * rng.standard_normal((K, D))
    labels = np.sort(rng.integers(0, K, n))
    near = rng.random(n) < 0.1  # rows between the components, that several share
    X = centres[labels] + rng.standard_normal((n, D))
    X[near] = centres[labels[near]] * 0.5 + 0.5 * centres[(labels[near] + 1) % K]
    X = X.astype(dtype)
    scores = _core.nearest_table(centres, np.full(D, 25.0), np.zeros(D))
    order = rng.permutation(n)
    for output in ("responsibilities", "log_density"):
        own = _core.mixture_assign(scores, X, output, 1)
        moved = _core.mixture_assign(scores, X[order], output, 1)
        assert own[order].tobytes() == moved.tobytes()
    shares = _core.mixture_assign(scores, X, "responsibilities", 1)
    assert (shares == 0).mean() > 0.4
    assert ((shares > 0.01) & (shares < 0.99)).any()
