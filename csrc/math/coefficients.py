"""Derive the polynomial coefficients of this folder's functions with mpmath.

Run ``python csrc/math/coefficients.py`` and compare what it prints with the tables in ``exp.hpp``,
``log.hpp``, ``digamma.hpp``, ``exp_digamma.hpp`` and ``lgamma.hpp``. Each table is a weighted
minimax polynomial, found by the Remez exchange at 60 digits; the error printed beside it is that of
the unrounded polynomial. The coefficients are printed lowest power first, rounded to the type.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from mpmath import mp, mpf

mp.dps = 60
TINY = mpf("1e-20")  # below it the series are their first terms
Function = Callable[[mpf], mpf]


def minimax(
    target: Function, weight: Function, degree: int, low: mpf, high: mpf
) -> tuple[list[mpf], mpf]:
    """Coefficients of the polynomial p that minimises max |weight (p - target)| on [low, high]."""
    n = degree + 2
    middle, half = (low + high) / 2, (high - low) / 2
    nodes = [middle - half * mp.cos(mp.pi * (2 * i + 1) / (2 * n)) for i in range(n)]
    grid = [middle - half * mp.cos(mp.pi * i / (60 * n)) for i in range(60 * n + 1)]
    values = [(weight(x), target(x)) for x in grid]
    for _ in range(40):
        rows = mp.matrix(n, n)
        right = mp.matrix(n, 1)
        for i, x in enumerate(nodes):
            w = weight(x)
            for j in range(degree + 1):
                rows[i, j] = w * x**j
            rows[i, degree + 1] = (-1) ** i
            right[i] = w * target(x)
        solution = mp.lu_solve(rows, right)
        coefficients = [solution[j] for j in range(degree + 1)]
        level = abs(solution[degree + 1])
        error = [
            w * (mp.polyval(coefficients[::-1], x) - f)
            for x, (w, f) in zip(grid, values, strict=True)
        ]
        nodes, worst = extrema(grid, error, n)
        if worst <= level * mpf("1.0001"):
            break
    return coefficients, worst


def extrema(grid: list[mpf], error: list[mpf], n: int) -> tuple[list[mpf], mpf]:
    """Return the n alternating extrema of largest magnitude, and the largest magnitude."""
    runs: list[tuple[mpf, mpf]] = []  # (point, error) of the largest error between two sign changes
    for x, e in zip(grid, error, strict=True):
        if runs and (runs[-1][1] > 0) == (e > 0):
            if abs(e) > abs(runs[-1][1]):
                runs[-1] = (x, e)
        else:
            runs.append((x, e))
    worst = max(abs(e) for _, e in runs)
    while len(runs) > n:
        runs.pop(0 if abs(runs[0][1]) < abs(runs[-1][1]) else -1)
    return [x for x, _ in runs], worst


def show(title: str, coefficients: list[mpf], error: mpf, single: bool) -> None:
    """Print a table as C++ reads it."""
    print(f"{title}: error 2^{mp.nstr(mp.log(error, 2), 4)}")
    for c in coefficients:
        value = struct.unpack("f", struct.pack("f", float(c)))[0] if single else float(c)
        print(f"    {float.hex(value)}{'f' if single else ''},")


def exp_tail() -> None:
    """Fit q in exp(r) = 1 + r + r^2 q(r), |r| <= log(2)/2 and a little over."""
    half = mp.log(2) / 2 * mpf("1.001")

    def target(r: mpf) -> mpf:
        return mp.nsum(lambda i: r**i / mp.factorial(i + 2), [0, 30])

    for degree, single in ((9, False), (4, True)):
        fit = minimax(target, lambda r: r * r * mp.exp(-r), degree, -half, half)
        show(f"exp {'float' if single else 'double'}", *fit, single)


def log_tail() -> None:
    """Fit p in log m = 2 s + s z p(z), m = (1 + s)/(1 - s) in [11/16, 11/8], z = s^2."""
    largest = (mpf(5) / 27) ** 2

    def target(z: mpf) -> mpf:
        return mp.nsum(lambda i: 2 * z**i / (2 * i + 3), [0, 60])

    for degree, single in ((6, False), (2, True)):
        fit = minimax(target, lambda z: z / 2, degree, mpf(0), largest)
        show(f"log {'float' if single else 'double'}", *fit, single)


def digamma_series() -> None:
    """Fit p in psi(w + 1/2) = log w + t p(t) and exp(psi(w + 1/2)) = w (1 + t p(t)), t = 1/w^2."""

    def difference(t: mpf) -> mpf:
        if t <= TINY:
            return mpf(1) / 24
        w = 1 / mp.sqrt(t)
        return (mp.digamma(w + mpf(1) / 2) - mp.log(w)) / t

    def ratio(t: mpf) -> mpf:
        return mp.expm1(t * difference(t)) / t if t > TINY else mpf(1) / 24

    for name, target in (("digamma", difference), ("exp_digamma", ratio)):
        for degree, smallest, single in (
            (5, mpf("7.5"), False),
            (2, mpf("3.5"), True),
        ):
            fit = minimax(target, lambda t: t, degree, mpf(0), 1 / smallest**2)
            show(f"{name} {'float' if single else 'double'}", *fit, single)


def lgamma_series() -> None:
    """Fit p in log Gamma(w + 1/2) = w (log w - 1) + log(2 pi)/2 + p(t)/w, t = 1/w^2."""

    def target(t: mpf) -> mpf:
        if t <= TINY:
            return -mpf(1) / 24
        w = 1 / mp.sqrt(t)
        stirling = w * (mp.log(w) - 1) + mp.log(2 * mp.pi) / 2
        return (mp.loggamma(w + mpf(1) / 2) - stirling) * w

    for degree, smallest, single in ((5, mpf("7.5"), False), (2, mpf("3.5"), True)):
        fit = minimax(target, mp.sqrt, degree, mpf(0), 1 / smallest**2)
        show(f"lgamma {'float' if single else 'double'}", *fit, single)


if __name__ == "__main__":
    exp_tail()
    log_tail()
    digamma_series()
    lgamma_series()
