"""O13: the special functions against mpmath's 50 digits, on every level this machine has.

The reference values are in ``data/`` with the script that made them. Mutations tried in a scratch
copy, each of which these tests caught: the first coefficient of ``exp`` off by 2^-46 or that of
``log`` by 2^-42; the last of ``exp`` by 1 %, the fourth of ``digamma`` or ``lgamma`` by 0.4 %, the
second of ``exp_digamma`` by 0.01 %; 13068 as 13067 or 5040 as 5041 in the shift of ``digamma``; the
rounding error of the exponent dropped in ``exp_digamma``; no scaling up of subnormals in ``log``;
the range of ``exp`` cut at the smallest normal result or at 709.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vemfast import _core, special

DATA = Path(__file__).parent / "data"
EPS = {np.float64: 2.0**-52, np.float32: 2.0**-23}
NAMES = ("exp", "exp_nonpositive", "log", "digamma", "exp_digamma", "lgamma")
LEVELS = _core.build_info()["levels"]

# In units in the last place of the result for exp and log. For the others in eps, of
# max(1, |value|) or, for exp(digamma), of the value.
BOUNDS = {
    np.float64: {
        "exp": 1.0,
        "exp_nonpositive": 1.1,
        "log": 0.65,
        "digamma": 5.8,
        "exp_digamma": 4.5,
        "lgamma": 13.0,
    },
    np.float32: {
        "exp": 0.94,
        "exp_nonpositive": 1.05,
        "log": 0.65,
        "digamma": 3.5,
        "exp_digamma": 3.3,
        "lgamma": 7.0,
    },
}

_ON_A_LEVEL = """
import sys
import numpy as np
from vemfast import _core

assert _core.build_info()["level"] == sys.argv[3]
arrays = np.load(sys.argv[1])
results = {key: getattr(_core.special, key.split(".")[0])(arrays[key]) for key in arrays}
np.savez(sys.argv[2], **results)
"""


def reference(name: str, dtype: type) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arguments of the type, and the two parts of the values."""
    lines = (DATA / f"{name.removesuffix('_nonpositive')}.txt").read_text().splitlines()
    table = np.array([[float.fromhex(word) for word in line.split()] for line in lines[1:]])
    x, high, low = table.T
    keep = np.ones(len(x), dtype=bool)
    if name == "exp_nonpositive":
        keep &= x <= 0
    if dtype == np.float32:
        # Numbers of float32 whose result is a normal number of float32, or zero.
        with np.errstate(over="ignore", under="ignore"):
            keep &= x.astype(np.float32) == x
        keep &= (abs(high) < 3.4e38) & ((abs(high) > 1.2e-38) | (high == 0))
    return x[keep].astype(dtype), high[keep], low[keep]


def edges(dtype: type) -> np.ndarray:
    info = np.finfo(dtype)
    finite = [0.0, 1.0, 1e-3, 20.0, info.max, info.tiny, info.smallest_subnormal]
    signed = [s * v for v in [*finite, np.inf] for s in (1, -1)]
    return np.array([*signed, np.nan], dtype=dtype)


@pytest.fixture(scope="module", params=LEVELS)
def results(request, tmp_path_factory):
    """Results of the native functions on one level, from a process of its own."""
    folder = tmp_path_factory.mktemp(request.param)
    arrays = {}
    for dtype in EPS:
        for name in NAMES:
            x = reference(name, dtype)[0]
            limits = np.linspace(-760, 760, 3041) if dtype == np.float64 else exp_limits()
            parts = (x, edges(dtype), limits.astype(dtype))
            for kind, array in zip(("values", "edges", "limits"), parts, strict=True):
                arrays[f"{name}.{dtype.__name__}.{kind}"] = array
    np.savez(folder / "in.npz", **arrays)
    subprocess.run(
        [sys.executable, "-c", _ON_A_LEVEL, folder / "in.npz", folder / "out.npz", request.param],
        check=True,
        env={**os.environ, "VEMFAST_ISA": request.param},
        cwd=folder,  # not the source folder: it has no extension
    )
    outputs = np.load(folder / "out.npz")
    return {key: (arrays[key], outputs[key]) for key in arrays}


def exp_limits() -> np.ndarray:
    return np.linspace(-105, 90, 1951)


@pytest.mark.parametrize("dtype", EPS)
@pytest.mark.parametrize("name", NAMES)
def test_error_bound(results, name, dtype):
    x, high, low = reference(name, dtype)
    y = results[f"{name}.{dtype.__name__}.values"][1]
    assert y.dtype == dtype
    error = np.abs((y.astype(np.float64) - high) - low)
    bound = BOUNDS[dtype][name] * np.ones(len(x))
    if name in ("exp", "exp_nonpositive", "log"):
        unit = np.spacing(np.abs(high.astype(dtype))).astype(np.float64)
    elif name == "exp_digamma":
        unit = EPS[dtype] * high
        bound += np.where(x < 1, 0.5 / x.astype(np.float64), 0)  # the exponent is about -1/x
    else:
        unit = EPS[dtype] * np.maximum(1, np.abs(high))
    if name.startswith("exp"):  # the nonpositive exponential flushes what is not normal
        flushed = high < 2.1 * np.finfo(dtype).tiny
        assert np.all(y[flushed] <= 1.1 * high[flushed])
        error, unit, bound = error[~flushed], unit[~flushed], bound[~flushed]
    assert len(error) > 50
    assert np.all(error <= bound * unit), np.max(error / unit)


@pytest.mark.parametrize("dtype", EPS)
def test_edges(results, dtype):
    inf, nan = np.inf, np.nan
    expected = {  # of 0, -0, inf, -inf, nan, and of the largest number
        "exp": (1, 1, inf, 0, nan, inf),
        "log": (-inf, -inf, inf, nan, nan, None),
        "digamma": (-inf, -inf, inf, nan, nan, None),
        "exp_digamma": (0, 0, inf, nan, nan, np.finfo(dtype).max),
        "lgamma": (inf, inf, inf, nan, nan, inf),
    }
    for name, values in expected.items():
        x, y = results[f"{name}.{dtype.__name__}.edges"]
        arguments = np.array([0.0, -0.0, inf, -inf, nan, np.finfo(dtype).max], dtype=dtype)
        for argument, value in zip(arguments, values, strict=True):
            same = (x == argument) | (np.isnan(x) & np.isnan(argument))
            same &= np.signbit(x) == np.signbit(argument)
            assert same.sum() == 1
            if value is not None:
                np.testing.assert_array_equal(y[same], dtype(value), err_msg=f"{name}({argument})")
        if name != "exp":
            assert np.all(np.isnan(y[x < 0]))
    x, y = results[f"exp_nonpositive.{dtype.__name__}.edges"]
    assert np.all(y[x == -inf] == 0)
    assert not np.any(np.signbit(y[x == -inf]))
    assert np.all(np.isnan(y[np.isnan(x)]))
    assert np.all(y[x == 0] == 1)


@pytest.mark.parametrize("dtype", EPS)
def test_exp_to_the_ends_of_its_range(results, dtype):
    """Overflow to inf, underflow to 0, the last binade, and gradual subnormals."""
    x, y = results[f"exp.{dtype.__name__}.limits"]
    with np.errstate(over="ignore", under="ignore"):
        wide = np.exp(x.astype(np.longdouble))
        expected = wide.astype(dtype)
    np.testing.assert_array_equal(np.isinf(y), np.isinf(expected))
    np.testing.assert_array_equal(y == 0, expected == 0)
    finite = np.isfinite(expected)
    error = np.abs(y[finite].astype(np.longdouble) - wide[finite])
    assert np.all(error <= np.spacing(expected[finite]))
    assert np.any((y > 0) & (y < np.finfo(dtype).tiny))
    assert np.any((y > np.finfo(dtype).max / 2) & finite)


@pytest.mark.parametrize("dtype", EPS)
def test_log_of_subnormals(results, dtype):
    x, y = results[f"log.{dtype.__name__}.edges"]
    small = x == np.finfo(dtype).smallest_subnormal
    exact = np.log(2.0) * (-1074 if dtype == np.float64 else -149)
    np.testing.assert_allclose(y[small], exact, rtol=EPS[dtype])


def test_scalar_functions_of_the_public_header():
    for name, function, bound in (
        ("digamma", _core.special.scalar_digamma, 5.8),
        ("lgamma", _core.special.scalar_lgamma, 4.0),
    ):
        x, high, low = reference(name, np.float64)
        y = np.array([function(v) for v in x])
        error = np.abs((y - high) - low) / (EPS[np.float64] * np.maximum(1, np.abs(high)))
        assert error.max() <= bound


@pytest.mark.parametrize("dimension", [1, 2, 7])
def test_multivariate_functions(dimension):
    scipy_special = pytest.importorskip("scipy.special")
    for x in (dimension / 2, 10.5, 1e4):
        assert _core.special.multivariate_lgamma(x, dimension) == pytest.approx(
            scipy_special.multigammaln(x, dimension), rel=1e-13, abs=1e-13
        )
        assert _core.special.multivariate_digamma(x, dimension) == pytest.approx(
            scipy_special.digamma(x - np.arange(dimension) / 2).sum(), rel=1e-13
        )


@pytest.mark.parametrize("name", special.__all__)
def test_any_array(name):
    """Types, orders, strides, shapes and alignments give what a plain float64 array gives."""
    function = getattr(special, name)
    base = np.arange(1.0, 61.0).reshape(3, 4, 5) / 7
    expected = function(base)
    strided = np.zeros((3, 8, 5))[:, ::2]
    strided[...] = base
    misaligned = np.frombuffer(b"?" + base.tobytes(), dtype=np.float64, offset=1, count=60)
    read_only = base.copy()
    read_only.flags.writeable = False
    for array in (
        np.asfortranarray(base),
        strided,
        base[::-1][::-1],
        misaligned.reshape(base.shape),
        base.astype(">f8"),
        read_only,
        base.tolist(),
    ):
        np.testing.assert_array_equal(function(array), expected)
    integers = np.arange(1, 7).reshape(2, 3)
    for dtype in (np.int8, np.uint64, np.float16, bool):
        cast = integers.astype(dtype)
        np.testing.assert_array_equal(function(cast), function(cast.astype(np.float64)))
    single = function(base.astype(">f4"))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(TypeError, match="complex128"):
        function(base + 1j)


def test_shapes():
    assert special.exp(0.0) == 1.0
    assert np.ndim(special.exp(0.0)) == 0
    assert special.digamma(np.ones((0, 3))).shape == (0, 3)
    assert special.logsumexp(np.zeros((2, 3, 4))).shape == (2, 3)
    assert special.logsumexp(np.zeros((0, 4))).shape == (0,)
    assert special.logsumexp([0.0, 0.0]) == pytest.approx(np.log(2.0), rel=1e-15)
    for bad in (1.0, [], np.ones((3, 0))):
        with pytest.raises(ValueError, match="last axis"):
            special.logsumexp(bad)
