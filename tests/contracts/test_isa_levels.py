"""One E-step on every instruction-set level that the processor has: equal to rounding.

Each level runs in a process of its own, because it is chosen when the library is loaded.
"""

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import vemfast

_SCRIPT = """
import sys
import numpy as np
from vemfast.data import RowBlock
from vemfast.indexed import IndexedBlock
from vemfast.documents import DocumentBlock
from vemfast.models.base import Step
from vemfast.models.discrete_config import DiscreteConfig, DiscretePrior
from vemfast.models.discrete_mixture import DiscreteMixture
from vemfast.models.gaussian_config import COVARIANCE_TYPES
from vemfast.models.gaussian_mixture import GaussianMixture
from vemfast.models.gaussian_setup import Hyperparameters, configure, scan
from vemfast.models.lda import LatentDirichletAllocation
from vemfast.models.lda_config import LdaConfig

out = {}
rng = np.random.default_rng(3)
for D, K in ((1, 1), (3, 4), (7, 5), (17, 6)):
    centres = 3 * rng.standard_normal((K, D))
    X = centres[rng.integers(0, K, 700)] + rng.standard_normal((700, D))
    w = rng.uniform(0.1, 2.0, 700)
    gone = rng.random((700, D)) < 0.15
    for dtype in (np.float64, np.float32):
        block = RowBlock(X.astype(dtype), w)
        for kind in COVARIANCE_TYPES:
            config = configure(
                block, scan(block, 1), K, kind, "em", "point", Hyperparameters(), 1
            )
            model = GaussianMixture(config)
            start = model.init([RowBlock(X, w)], Step("exact", "point", 5))
            for rule in ("exact", "hard", "sampled"):
                stats = model.e_step(model.prepare(start), block, Step(rule, "point", 7, 3))
                out[f"{D} {kind} {rule} {np.dtype(dtype).name}"] = stats.buffer
            holes = RowBlock(np.where(gone, np.nan, block.X).astype(dtype), w)
            given = Hyperparameters(), 1, True
            config = configure(holes, scan(holes, 1, True), K, kind, "em", "point", *given)
            model = GaussianMixture(config)
            table = model.prepare(model.init([holes], Step("exact", "point", 5)))
            for rule in ("exact", "hard", "sampled"):
                stats = model.e_step(table, holes, Step(rule, "point", 7, 3))
                out[f"{D} missing {kind} {rule} {np.dtype(dtype).name}"] = stats.buffer

counts = rng.poisson(0.3, (60, 50))
indptr = np.concatenate(([0], np.cumsum((counts > 0).sum(axis=1))))
corpus = indptr, np.nonzero(counts)[1], counts[counts > 0]
for K in (1, 5, 16, 33):
    for dtype in ("float64", "float32"):
        config = LdaConfig(K, 50, alpha=0.3, eta=0.2, max_inner=20, inner_tol=0.0, dtype=dtype)
        model = LatentDirichletAllocation(config)
        block = DocumentBlock(*corpus, n_words=50, dtype=np.dtype(dtype))
        start = model.init([block], Step("factorised", "posterior", 5))
        for rule in ("factorised", "hard", "sampled"):
            stats = model.e_step(model.prepare(start), block, Step(rule, "posterior", 7, 3))
            out[f"lda {K} {rule} {dtype}"] = stats.buffer

for family, n, D, K in (
    ("bernoulli", 900, 90, 5), ("bernoulli", 300, 700, 100), ("poisson", 900, 30, 17),
    ("categorical", 900, 7, 3),
):
    sizes = np.arange(2, 2 + D) if family == "categorical" else np.ones(D, int)
    F = sizes.sum()
    prior = DiscretePrior(
        "flat", 1.0, True, np.full(F, 1.5), np.full(0 if family == "categorical" else F, 1.5)
    )
    groups = rng.uniform(0, 1, (K, D))[rng.integers(0, K, n)]
    rows = {
        "bernoulli": (groups > rng.uniform(size=(n, D))).astype(np.uint8),
        "poisson": rng.poisson(3 * groups).astype(float),
        "categorical": np.minimum(groups * sizes, sizes - 1).astype(np.int32),
    }[family]
    offsets = np.concatenate(([0], np.cumsum(sizes)))
    offsets = offsets if family == "categorical" else offsets[:0]
    config = DiscreteConfig(family, K, D, prior, offsets.astype(np.int64))
    model = DiscreteMixture(config)
    w = rng.uniform(0.1, 2.0, n)
    start = model.init([IndexedBlock(rows, w)], Step("exact", "point", 5))
    for dtype in (np.float64, np.float32):
        for rule in ("exact", "hard", "sampled"):
            block = IndexedBlock(rows, w, dtype=dtype)
            stats = model.e_step(model.prepare(start), block, Step(rule, "point", 7, 3))
            out[f"{family} {D} {rule} {np.dtype(dtype).name}"] = stats.buffer
np.savez(sys.stdout.buffer, **out)
"""


def _statistics(level):
    run = subprocess.run(
        [sys.executable, "-c", _SCRIPT],
        env={**os.environ, "VEMFAST_ISA": level},
        cwd=Path(sys.executable).parent,  # not the source folder: it has no extension
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr.decode()
    with np.load(io.BytesIO(run.stdout)) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def lowest():
    return _statistics(vemfast.build_info()["levels"][0])


def _compare(ours, expected):
    assert ours.keys() == expected.keys()
    for name, stats in ours.items():
        scale = np.abs(expected[name]).max()
        # A draw or an argmax may turn on the last bit of a score: float32 gets room for one row.
        tolerance = (
            1e-12
            if name.endswith("float64")
            else (2e-5 if "exact" in name or "factorised" in name else 2e-2)
        )
        np.testing.assert_allclose(
            stats, expected[name], rtol=0, atol=tolerance * scale, err_msg=name
        )


@pytest.mark.parametrize("level", vemfast.build_info()["levels"][1:])
def test_levels_agree(lowest, level):
    _compare(_statistics(level), lowest)


def test_an_error_in_the_tenth_digit_is_caught(lowest):
    mutated = {name: stats * (1 + 1e-10) for name, stats in lowest.items()}
    with pytest.raises(AssertionError):
        _compare(mutated, lowest)
