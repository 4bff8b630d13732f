"""The steps of benchmarks/baselines agree, whoever wrote them."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parents[2]))  # at the end: vemfast is the installed one
from benchmarks.baselines import compiled
from benchmarks.baselines import steps as baselines

SMALL = {"mixture": {"n": 300, "d": 3, "k": 3}, "chain": {"n": 200, "d": 2, "k": 3}}
SMALL["topics"] = {"n": 6, "v": 40, "k": 3}
SMALL["autoencoder"] = {"n": 9, "d": 7, "hidden": 5, "k": 2}


@pytest.fixture(scope="module", params=SMALL)
def case(request):
    return baselines.CASES[request.param](**SMALL[request.param])


def same(found, expected, rtol=1e-9):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=1e-12)


def test_lists_twin_and_native_agree(case):
    expected = case.twin()
    same(case.lists(), expected)
    same(case.native(1), expected, case.rtol)
    same(case.native(2), expected, case.rtol)


@pytest.mark.slow
def test_cython_agrees(case):
    if compiled.absent():
        pytest.skip(compiled.absent())
    same(case.cython(), case.twin())
