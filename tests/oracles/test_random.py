"""The random numbers: known answers, native draws against the NumPy twin, and distributions.

Seeds are fixed, so the tests of distributions do not come out differently by chance; each holds a
statistic to a probability of about 1e-3. Mutations tried in a scratch copy, each of which these
tests caught: nine rounds instead of ten, in the header or in the kernels; a Weyl constant off by
one; the row's high word left out of the counter, in the header or in the kernels. The tests of
distributions alone caught: -log u for -2 log u and two equal normals of a pair; the gamma's 1/3 as
1/2, and its final acceptance left out; u^a for u^(1/a) at small shapes, and the same in logarithms;
a Dirichlet whose gammas are not normalised.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vemfast import _core
from vemfast.reference import random as twin

native = _core.random
SEED = 0xFEDCBA9876543210

# counter, key, result: the kat_vectors file of the authors' Random123 library.
KNOWN = [
    ((0, 0, 0, 0), 0, (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((2**32 - 1,) * 4, 2**64 - 1, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        0x299F31D0A4093822,
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]
ROWS = (0, 2**32 - 20, 2**64 - 61)
SHAPES = (1e-3, 0.3, 0.999, 1.0, 1.7, 20.0, 1e6)


@pytest.mark.parametrize(("counter", "key", "expected"), KNOWN)
def test_philox_known_answers(counter, key, expected):
    assert tuple(native.philox(list(counter), key)) == expected
    assert tuple(int(word) for word in twin.philox(counter, key)) == expected


def test_philox_of_arrays():
    rows = np.arange(6).reshape(2, 3)
    words = twin.philox((rows, 1, 2, 3), SEED)
    for i, row in np.ndenumerate(rows):
        assert [int(word[i]) for word in words] == native.philox([row, 1, 2, 3], SEED)


@pytest.mark.parametrize("stream", [twin.ROW_STREAM, twin.PARAMETER_STREAM, twin.START_STREAM])
@pytest.mark.parametrize("first", ROWS)
def test_uniforms_of_rows_are_the_same_doubles(first, stream):
    """Kernels, public header and twin, over the carry into the counter's second word."""
    rows = np.array([first + i for i in range(60)], dtype=np.uint64)
    reference = twin.uniform(SEED, 7, rows, stream)
    np.testing.assert_array_equal(native.uniforms(SEED, 7, first, stream, 60), reference)
    assert [native.uniform(SEED, 7, int(row), stream) for row in rows] == reference.tolist()


def test_uniforms_do_not_depend_on_the_cut():
    whole = native.uniforms(SEED, 1, 0, 0, 100)
    parts = [native.uniforms(SEED, 1, a, 0, b - a) for a, b in ((0, 3), (3, 4), (4, 71), (71, 100))]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("index", [0, 1, 2**32 - 1])
def test_streams_agree(index):
    """Uniforms bit for bit; normals and gammas, in any order, to rounding."""
    a = native.Stream(SEED, 3, twin.PARAMETER_STREAM, index)
    b = twin.Stream(SEED, 3, twin.PARAMETER_STREAM, index)
    assert [a.uniform() for _ in range(101)] == [b.uniform() for _ in range(101)]
    for _ in range(30):
        assert a.normal() == pytest.approx(b.normal(), rel=1e-14, abs=1e-14)
        assert a.uniform() == b.uniform()
        for shape in SHAPES:
            assert a.gamma(shape) == pytest.approx(b.gamma(shape), rel=1e-13, abs=1e-300)
            assert a.log_gamma_draw(shape) == pytest.approx(b.log_gamma_draw(shape), rel=1e-13)
            assert a.chi2(shape) == pytest.approx(b.chi2(shape), rel=1e-13, abs=1e-300)
        for shape in (1e-300, 1e-9, 0.01, 0.3, 0.5, 0.9):
            small = a.log_gamma_of_small(shape), b.log_gamma_of_small(shape)
            assert small[0] == pytest.approx(small[1], rel=1e-13)
        concentration = np.array([0.5, 3.0, 1e-4])
        np.testing.assert_allclose(a.dirichlet(concentration), b.dirichlet(concentration), 1e-12)
    assert a.uniform() == b.uniform()


def test_streams_differ_in_every_part_of_their_name():
    names = [(1, 0, 1, 0), (2, 0, 1, 0), (1 + 2**32, 0, 1, 0), (1, 1, 1, 0), (1, 0, 2, 0)]
    names.append((1, 0, 1, 1))
    for module in (native, twin):
        assert len({module.Stream(*name).uniform() for name in names}) == len(names)


def assert_distributed(draws, distribution):
    """By Kolmogorov and Smirnov, and by the first four moments, to 4 standard errors."""
    assert stats.kstest(draws, distribution.cdf).pvalue > 1e-3
    n = len(draws)
    for order in range(1, 5):
        mean, second = distribution.moment(order), distribution.moment(2 * order)
        error = np.sqrt((second - mean**2) / n)
        assert abs(np.mean(draws**order) - mean) < 4 * error


def test_uniform_distribution():
    rows = native.uniforms(SEED, 0, 0, 0, 200_000)
    assert rows.min() > 0
    assert rows.max() < 1
    assert_distributed(rows, stats.uniform())
    # Neighbouring rows, iterations and streams are not correlated.
    for other in (
        np.roll(rows, 1),
        native.uniforms(SEED, 1, 0, 0, 200_000),
        native.uniforms(SEED, 0, 0, 1, 200_000),
        native.uniforms(SEED + 1, 0, 0, 0, 200_000),
    ):
        assert abs(np.corrcoef(rows, other)[0, 1]) < 4 / np.sqrt(200_000)


def test_normal_distribution():
    draws = native.Stream(SEED, 0, 1, 0).normals(200_000)
    assert_distributed(draws, stats.norm())
    assert abs(np.corrcoef(draws[::2], draws[1::2])[0, 1]) < 4 / np.sqrt(100_000)
    assert abs(np.corrcoef(draws[::2] ** 2, draws[1::2] ** 2)[0, 1]) < 4 / np.sqrt(100_000)


@pytest.mark.parametrize("shape", [0.3, 1.0, 2.5, 100.0])
def test_gamma_distribution(shape):
    draws = native.Stream(SEED, 0, 1, int(10 * shape)).gammas(shape, 100_000)
    assert_distributed(draws, stats.gamma(shape))


@pytest.mark.parametrize("shape", [1e-9, 0.01, 0.1, 0.5, 0.9])
def test_logarithm_of_gammas_of_small_shape(shape):
    stream = native.Stream(SEED, 0, 1, 7)
    draws = np.array([stream.log_gamma_of_small(shape) for _ in range(20_000)])
    if shape == 1e-9:  # the limit
        assert_distributed(-shape * draws, stats.expon())
    else:
        assert_distributed(draws, stats.loggamma(shape))


def test_logarithm_of_gammas_of_tiny_shape():
    """For a -> 0, -a log(draw) is exponential; the draws themselves are all 0 in float64."""
    stream = native.Stream(SEED, 0, 1, 0)
    shape = 1e-9
    scaled = np.array([-shape * stream.log_gamma_draw(shape) for _ in range(20_000)])
    assert_distributed(scaled, stats.expon())


def test_chi2_distribution():
    stream = native.Stream(SEED, 5, 1, 0)
    draws = np.array([stream.chi2(3.0) for _ in range(20_000)])
    assert_distributed(draws, stats.chi2(3.0))


def test_dirichlet_distribution():
    concentration = np.array([0.4, 1.0, 3.0])
    stream = native.Stream(SEED, 2, 1, 0)
    draws = np.array([stream.dirichlet(concentration) for _ in range(20_000)])
    np.testing.assert_allclose(draws.sum(axis=1), 1, rtol=1e-15)
    total = concentration.sum()
    for k, a in enumerate(concentration):
        assert_distributed(draws[:, k], stats.beta(a, total - a))
    covariance = np.cov(draws.T)
    share = concentration / total
    expected = (np.diag(share) - np.outer(share, share)) / (total + 1)
    np.testing.assert_allclose(covariance, expected, atol=5e-3)


def test_dirichlet_of_tiny_concentration_is_a_corner():
    stream = native.Stream(SEED, 4, 1, 0)
    draws = np.array([stream.dirichlet(np.full(3, 1e-12)) for _ in range(3000)])
    np.testing.assert_allclose(draws.sum(axis=1), 1, rtol=1e-15)
    assert np.all(draws.max(axis=1) > 1 - 1e-12)
    counts = np.bincount(draws.argmax(axis=1), minlength=3)
    assert stats.chisquare(counts).pvalue > 1e-3
