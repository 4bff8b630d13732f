"""Write the reference values of the special functions, from mpmath at 50 digits.

Run ``python tests/oracles/data/generate_special.py``. Each line of ``<function>.txt`` is an
argument and its value as an unevaluated sum of two doubles, all as hex floats: 106 bits, enough to
measure errors of a hundredth of a unit in the last place. Half of the random arguments are numbers
of float32, for the tests of the float32 functions. The tests need the files only, not mpmath.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from mpmath import mp, mpf

mp.dps = 50

# Where searches over millions of arguments, on the levels v2 and v3, found the largest errors.
HARD = {
    "exp": """
        -0x1.1a9b29d7a6382p+4 0x1.2cdf67a9fb848p+6 -0x1.1a9d63d10a57p+4 -0x1.1fc75256c14cp+2
        -0x1.da1671a53f4dep+5 -0x1.2e2012d2b0ba4p+5 -0x1.1c284ap+6 0x1.16af62p+6 0x1.8f6256p+1
        -0x1.1c0be4p+6 -0x1.df984ep+5 -0x1.7685fap+2 0x1.0b9560423146cp+6 0x1.8440d7361472p+3
        0x1.474fc26d14d85p+4 -0x1.99d6258ce16bdp+3 -0x1.0e3ccc7daa49bp+6 -0x1.521a46b092d88p+4
        0x1.f324f6p+3 0x1.16a55ep+6 -0x1.dfa67cp+5 -0x1.dfa566p+5 -0x1.765ffap+2
    """,
    "log": """
        0x1.5da290e22ebc1p-1 0x1.5cac8583d8c35p-1 0x1.632ce17dcdf6dp+0 0x1.623a72e4b00d1p-1
        0x1.60060000d7988p-1 0x1.47472ep+0 0x1.5d2acap+0 0x1.64280ap+0 0x1.5d3d82p-1
        0x1.5bd4da7d24911p-1 0x1.6275892310aedp-1 0x1.6c050870e0b4fp-1 0x1.6275ebfce2751p-1
        0x1.5f6efc4f2f591p+0 0x1.47df46p+0
    """,
    "digamma": """
        0x1.c88d7f7a94a7fp-1 0x1.ee310aaa9fea9p-1 0x1.c7dca6837c11bp-1 0x1.aafab8p-1
        0x1.79708ep-1 0x1.973bc6p-1 0x1.f5ac9642bbafdp-1 0x1.26effe1f4281p+1
        0x1.0f281756ee5d5p+0 0x1.c4aef8p-1 0x1.94ddc6p-1 0x1.dc9d38p-1
    """,
    "exp_digamma": """
        0x1.fe9223eadfa0bp-4 0x1.f2f09d11b28b8p-4 0x1.0cb5d725dd1d2p+0 0x1.07cd678eb9ea1p+0
        0x1.0dcaef809b4f3p+0 0x1.ed52ap-4 0x1.9b0cep-4 0x1.0972dcp+0 0x1.068bfep+0 0x1.1193p+0
        0x1.e078ae1bece45p-4 0x1.099571df85b77p+0 0x1.0726b3933bce3p+0 0x1.064a5ef94711cp+0
        0x1.9dc44cp-4 0x1.0ca344p+0 0x1.181a7cp+0 0x1.330aacp+0
    """,
    "lgamma": """
        0x1.7c512d80191c6p+1 0x1.68e1efae632a6p+1 0x1.68f416817e15ep+1 0x1.a05e9ep+1
        0x1.7a2286p+1 0x1.a2f26ep+1 0x1.7dc521e39cd36p+1 0x1.895749864963ep+1
        0x1.62eb2bf070566p+1 0x1.989bc6p+1 0x1.a61fcep+1 0x1.b12c8ap+1
    """,
}


def to_float32(x: float) -> float:
    return struct.unpack("f", struct.pack("f", x))[0]


def both(points: Iterator[float]) -> Iterator[float]:
    """Every point, and rounded to float32 every second one."""
    for i, x in enumerate(points):
        yield to_float32(x) if i % 2 and 1.2e-38 < abs(x) < 3.4e38 else x


def uniform(rng: random.Random, low: float, high: float, n: int) -> Iterator[float]:
    return (rng.uniform(low, high) for _ in range(n))


def powers(rng: random.Random, low: float, high: float, n: int) -> Iterator[float]:
    """Numbers 10^u, u uniform."""
    return (10.0 ** rng.uniform(low, high) for _ in range(n))


def exp_points(rng: random.Random) -> Iterator[float]:
    yield from (0.0, 1.0, -1.0, 88.72283, -87.33654, 709.782712893384, -708.3964185322641)
    yield from both(uniform(rng, -708.0, 709.7, 100))
    yield from both(uniform(rng, -87.0, 88.0, 100))
    yield from both(uniform(rng, -1.0, 1.0, 100))
    for x in powers(rng, -18.0, 0.0, 30):
        yield from (x, -x)


def log_points(rng: random.Random) -> Iterator[float]:
    yield from (1.0, 2.0, 0.5, 0.6875, 1.375, 1.7976931348623157e308, 2.2250738585072014e-308)
    yield from (5e-324, 1e-320, 1e-310, 1.401298464324817e-45, 1e-40)
    yield from both(powers(rng, -307.0, 307.0, 100))
    yield from both(powers(rng, -37.0, 37.0, 60))
    yield from both(uniform(rng, 0.5, 2.0, 150))
    for x in powers(rng, -16.0, -1.0, 30):
        yield from (1.0 + x, 1.0 - x)


def gamma_points(rng: random.Random) -> Iterator[float]:
    yield from (n / 2 for n in range(1, 40))
    yield from (15.999999999999998, 16.000000000000004, 1.4616321449683622)
    yield from both(powers(rng, -300.0, 300.0, 60))
    yield from both(powers(rng, -30.0, 30.0, 60))
    yield from both(powers(rng, -3.0, 3.0, 100))
    yield from both(uniform(rng, 0.1, 18.0, 150))


def write(name: str, function: Callable[[mpf], mpf], points: Iterator[float]) -> None:
    lines = [f"# x, {name}(x) = high + low"]
    for x in sorted({*points, *(float.fromhex(word) for word in HARD[name].split())}):
        value = function(mpf(x))
        high = float(value)
        if not abs(high) < float("inf"):
            continue
        low = float(value - mpf(high))
        lines.append(f"{x.hex()} {high.hex()} {low.hex()}")
    Path(__file__).with_name(f"{name}.txt").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    write("exp", mp.exp, exp_points(random.Random(1)))
    write("log", mp.log, log_points(random.Random(2)))
    write("digamma", mp.digamma, gamma_points(random.Random(3)))
    write("lgamma", mp.loggamma, gamma_points(random.Random(4)))
    write("exp_digamma", lambda x: mp.exp(mp.digamma(x)), gamma_points(random.Random(5)))
