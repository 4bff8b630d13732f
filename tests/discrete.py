"""Small data and configurations of the discrete families, which several tests share."""

import numpy as np
import scipy.sparse

from vemfast.indexed import IndexedBlock
from vemfast.models.discrete_config import DiscreteConfig, DiscretePrior
from vemfast.models.discrete_rows import RowReader

FAMILIES = ("bernoulli", "poisson", "categorical")
SIZES = np.array([3, 2, 4, 3, 2, 5])  # codes of each column


def rows_of(family, n=150, seed=11, n_features=3, apart=False):
    """Return rows with three groups, which may lie well apart, as a user has them: float64."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 3, n)
    if family == "bernoulli":
        p = rng.uniform(0.05, 0.95, (3, n_features))
        p = np.where(p < 0.5, 0.03, 0.97) if apart else p
        return (rng.uniform(size=(n, n_features)) < p[group]).astype(float)
    if family == "poisson":
        rates = np.exp(rng.normal(0.5, 1.2, (3, n_features)))
        return rng.poisson(rates[group]).astype(float)
    columns = [
        rng.dirichlet(np.full(size, 0.1 if apart else 0.7), 3) for size in SIZES[:n_features]
    ]
    return np.array([[rng.choice(len(p[g]), p=p[g]) for p in columns] for g in group], dtype=float)


def with_missing(rows, share=0.2, seed=3):
    """Return rows some of whose entries are NaN; one row has nothing."""
    out = rows.copy()
    out[np.random.default_rng(seed).uniform(size=rows.shape) < share] = np.nan
    out[5] = np.nan
    return out


def config_of(
    family,
    n_components=3,
    n_features=3,
    *,
    weight_type="flat",
    weight_concentration=1.0,
    proper=False,
    marginalize=False,
    a=None,
    b=None,
):
    """Return a configuration; a proper prior differs from feature to feature."""
    sizes = SIZES[:n_features]
    offsets = np.concatenate(([0], np.cumsum(sizes)))
    F = int(offsets[-1]) if family == "categorical" else n_features
    a = 1.2 + 0.3 * np.arange(F) if a is None else np.broadcast_to(a, F)
    b = 1.1 + 0.2 * np.arange(F)[::-1] if b is None else np.broadcast_to(b, F)
    prior = DiscretePrior(
        weight_type,
        weight_concentration,
        proper,
        np.array(a, dtype=float),
        np.zeros(0) if family == "categorical" else np.array(b, dtype=float),
    )
    if family != "categorical":
        offsets = offsets[:0]
    return DiscreteConfig(family, n_components, n_features, prior, offsets, marginalize)


def block_of(family, rows, weights=None, offset=0, *, sparse=False, dtype=np.float64):
    """Return rows as a block, dense or sparse."""
    sizes = SIZES[: rows.shape[1]] if family == "categorical" else None
    reader = RowReader(family, "test", marginalize=True, n_categories=sizes)
    rows = rows.astype(dtype)
    stored, precision = reader.read(scipy.sparse.csr_array(rows) if sparse else rows)
    return IndexedBlock(stored, weights, offset, precision)
