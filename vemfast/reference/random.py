"""Counter-based random numbers: the NumPy twin of ``csrc/include/vemfast/random.hpp``.

A draw is a function of (seed, iteration, stream, counter) and of nothing else, so that the same
numbers come out for any number of threads and any cut of the rows. The uniforms of the two files
are the same doubles; what is made of them agrees to rounding.

References
----------
J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw: Parallel random numbers: as easy as 1, 2, 3.
SC 2011.
G. Marsaglia, W. W. Tsang: A simple method for generating gamma variables. ACM TOMS 26, 2000.
C. Liu, R. Martin, N. Syring: Efficient simulation from a gamma distribution with small shape
parameter. Computational Statistics 32, 2017.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "PARAMETER_STREAM",
    "ROW_STREAM",
    "SMALL_SHAPE",
    "START_STREAM",
    "TABLE_STREAM",
    "Stream",
    "philox",
    "uniform",
]

# What a draw is for; part of the counter, so that purposes never share numbers.
ROW_STREAM = 0  # labels of rows
PARAMETER_STREAM = 1  # parameters given statistics
START_STREAM = 2  # starting values
TABLE_STREAM = 1 << 16  # rows of a table of parameters: one stream each, this one on

SMALL_SHAPE = 0.5  # shapes of gammas up to this are drawn by `log_gamma_of_small`

Words = NDArray[np.uint64]  # 32-bit words, each in the low half of 64 bits

_LOW = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)
_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = 0x9E3779B9, 0xBB67AE85


def philox(counter: Sequence[ArrayLike], key: int) -> tuple[Words, Words, Words, Words]:
    """Ten rounds of Philox4x32, a bijection of the counter for every key.

    Parameters
    ----------
    counter : four array_likes of 32-bit words
        Broadcast against each other: one counter an element.
    key : int
        64 bits; the low word is the first of the key.

    Returns
    -------
    tuple of four uint64 arrays
        Words of 32 bits.
    """
    c0, c1, c2, c3 = np.broadcast_arrays(*(np.asarray(word, dtype=np.uint64) for word in counter))
    low, high = key & 0xFFFFFFFF, key >> 32 & 0xFFFFFFFF
    for _ in range(10):
        a = c0 * _MULTIPLIERS[0]
        b = c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            b >> _32 ^ c1 ^ np.uint64(low),
            b & _LOW,
            a >> _32 ^ c3 ^ np.uint64(high),
            a & _LOW,
        )
        low, high = (low + _WEYL[0]) & 0xFFFFFFFF, (high + _WEYL[1]) & 0xFFFFFFFF
    return c0, c1, c2, c3


def _to_uniform(high: Words, low: Words) -> NDArray[np.float64]:
    """Doubles strictly between 0 and 1: the middle of one of 2**52 equal cells."""
    bits = high << np.uint64(20) | low >> np.uint64(12)
    return np.asarray((bits.astype(np.float64) + 0.5) * 2.0**-52)


def uniform(seed: int, iteration: int, rows: ArrayLike, stream: int) -> NDArray[np.float64]:
    """Return the uniform of each of the `rows` (global row numbers, any shape)."""
    rows = np.asarray(rows, dtype=np.uint64)
    words = philox((rows & _LOW, rows >> _32, iteration, stream), seed)
    return _to_uniform(words[0], words[1])


class Stream:
    """A sequence of draws; streams of different index are independent of each other.

    Parameters
    ----------
    seed : int
        64 bits.
    iteration, stream, index : int
        32 bits each.
    """

    _CALLS = 32  # calls of Philox at once

    def __init__(self, seed: int, iteration: int, stream: int, index: int) -> None:
        self._seed = seed
        self._counter = index, iteration, stream
        self._calls = 0
        self._uniforms: list[float] = []  # the next one last
        self._next_normal: float | None = None

    def uniform(self) -> float:
        """Draw from the open interval (0, 1). Each call of Philox serves two."""
        if not self._uniforms:
            calls = np.arange(self._calls, self._calls + self._CALLS)
            self._calls += self._CALLS
            words = philox((calls, *self._counter), self._seed)
            pairs = np.stack([_to_uniform(*words[:2]), _to_uniform(*words[2:])], axis=1)
            self._uniforms = pairs.ravel()[::-1].tolist()
        return self._uniforms.pop()

    def normal(self) -> float:
        """Draw a standard normal, by Box and Muller; the sine's is kept for the next call."""
        if self._next_normal is not None:
            kept, self._next_normal = self._next_normal, None
            return kept
        radius = math.sqrt(-2.0 * math.log(self.uniform()))
        angle = 2.0 * math.pi * self.uniform()
        self._next_normal = radius * math.sin(angle)
        return radius * math.cos(angle)

    def gamma(self, shape: float) -> float:
        """Draw a gamma of scale 1. A tiny shape underflows to 0: see `log_gamma_draw`."""
        if shape >= 1.0:
            return self._gamma_at_least_one(shape)
        larger = self._gamma_at_least_one(shape + 1.0)
        return larger * math.pow(self.uniform(), 1.0 / shape)

    def log_gamma_draw(self, shape: float) -> float:
        """Draw the logarithm of what `gamma` would return, finite for any shape > 1e-300."""
        if shape >= 1.0:
            return math.log(self._gamma_at_least_one(shape))
        larger = self._gamma_at_least_one(shape + 1.0)
        return math.log(larger) + math.log(self.uniform()) / shape

    def log_gamma_of_small(self, shape: float) -> float:
        """Draw the logarithm of a gamma of shape in (0, 1), in few attempts if it is small.

        Of -shape log X, whose density is below exp(-z) at z >= 0 and exp(-1 + (1/shape - 1) z)
        before (Liu, Martin and Syring 2017).
        """
        left = shape / (math.e * (1.0 - shape))  # mass before 0
        split = 1.0 / (1.0 + left)
        while True:
            u, v = self.uniform(), self.uniform()
            if u > split:
                log_x = -math.log((u - split) / (1.0 - split)) / (1.0 - shape)
                bound = 1.0 + log_x - math.exp(log_x)
            else:
                log_x = math.log(u / split) / shape
                bound = -math.exp(log_x)
            if math.log(v) < bound:
                return log_x

    def chi2(self, degrees_of_freedom: float) -> float:
        """Draw a chi-squared variable."""
        return 2.0 * self.gamma(0.5 * degrees_of_freedom)

    def dirichlet(self, concentration: ArrayLike) -> NDArray[np.float64]:
        """Draw a point of the simplex, in logarithms so that no concentration gives 0/0."""
        logs = np.array([self.log_gamma_draw(float(a)) for a in np.asarray(concentration)])
        weights = np.exp(logs - logs.max())
        return np.asarray(weights / weights.sum())

    def _gamma_at_least_one(self, shape: float) -> float:
        """Marsaglia and Tsang's squeeze, for shapes of at least 1."""
        d = shape - 1.0 / 3.0
        c = 1.0 / math.sqrt(9.0 * d)
        while True:
            x = self.normal()
            root = 1.0 + c * x
            if root <= 0.0:
                continue
            v = root * root * root
            u = self.uniform()
            x2 = x * x
            if u < 1.0 - 0.0331 * x2 * x2:
                return d * v
            if math.log(u) < 0.5 * x2 + d * (1.0 - v + math.log(v)):
                return d * v
