"""Small sequences and configurations of hidden Markov models, which several tests share."""

from dataclasses import replace
from functools import lru_cache

import discrete
import numpy as np

from vemfast.data import RowBlock
from vemfast.models.hmm_config import HmmConfig
from vemfast.reference import configure
from vemfast.sequences import SequenceBlock

COVARIANCES = ("full", "tied", "diag", "spherical", "tied-spherical")
FAMILIES = ("full", "diag", "bernoulli", "poisson", "categorical")
ALL = (*COVARIANCES, *discrete.FAMILIES)
LENGTHS = np.array([40, 1, 25, 2, 17])
# Uneven, with a sequence left out.
WEIGHTS = np.array([0.7, 2.0, 1.3, 1.0, 0.0])


def states_of(lengths, K=3, seed=4, stay=0.8):
    """Return states of a chain that mostly stays where it is."""
    rng = np.random.default_rng(seed)
    transmat = np.full((K, K), (1 - stay) / max(K - 1, 1))
    np.fill_diagonal(transmat, stay if K > 1 else 1.0)
    out = []
    for length in lengths:
        z = rng.integers(0, K)
        for _ in range(length):
            out.append(z)
            z = rng.choice(K, p=transmat[z])
    return np.array(out)


@lru_cache
def pool_of(family, n_features):
    """Return rows of three groups, and the group of each."""
    n = 400
    groups = np.random.default_rng(11).integers(0, 3, n)  # as `discrete.rows_of` draws them first
    return discrete.rows_of(family, n, seed=11, n_features=n_features), groups


def rows_of(family, seed=4, n_features=2, missing=False, lengths=LENGTHS):
    """Return steps as a user has them, float64; some values, and one whole step, may be NaN."""
    z = states_of(lengths, seed=seed)
    rng = np.random.default_rng(seed + 1)
    if family in discrete.FAMILIES:
        pool, groups = pool_of(family, n_features)
        X = np.array([pool[groups == k][rng.integers(0, (groups == k).sum())] for k in z])
    else:
        centres = np.array([[0.0, 0.0], [2.5, 1.0], [-1.0, 3.0]])[:, :n_features]
        X = centres[z] + rng.normal(0, 1, (len(z), n_features)) * [[1.0, 0.7][:n_features]]
        X += [[5.0, -3.0][:n_features]]
    if missing:
        X[rng.uniform(size=X.shape) < 0.2] = np.nan
        X[3] = np.nan
    return X


def emission_of(family, X, n_components=3, proper=False, marginalize=False):
    """Return the configuration of the emissions."""
    if family in discrete.FAMILIES:
        return discrete.config_of(
            family,
            n_components,
            X.shape[1],
            weight_type="none",
            proper=proper,
            marginalize=marginalize,
        )
    return configure(
        X, n_components, family, weight_type="none", proper=proper, marginalize=marginalize
    )


def config_of(family, X, n_components=3, prior="flat", marginalize=False, **options):
    """Return a configuration; "conjugate" priors differ from entry to entry."""
    K = n_components
    proper = prior == "conjugate"
    if proper:
        options.setdefault("start_prior", 1.1 + 0.3 * np.arange(K))
        options.setdefault("transition_prior", 1.2 + 0.5 * np.eye(K) + 0.1 * np.arange(K))
    options.setdefault("sweep_tol", 0.0)
    options.setdefault("n_sweeps", 4)
    n_mix = options.get("n_mix", 1)
    return HmmConfig(K, emission_of(family, X, K * n_mix, proper, marginalize), **options)


def block_of(family, X, lengths=LENGTHS, weights=None, offset=0, labels=None, dtype=np.float64):
    """Return sequences as a block."""
    if family in discrete.FAMILIES:
        rows = discrete.block_of(family, X, None, offset, dtype=dtype)
    else:
        rows = RowBlock(np.asarray(X, dtype=dtype), None, offset)
    return SequenceBlock(rows, lengths, weights, labels)


def a_point(model, seed=0):
    """Return a point whose states differ, and that honours zeros and frozen entries."""
    config = model.config
    K, M = config.n_components, config.n_mix
    rng = np.random.default_rng(seed)
    twin_start = np.where(config.start_support, rng.uniform(0.2, 1.0, K), 0.0)
    twin_rows = np.where(config.transition_support, rng.uniform(0.2, 1.0, (K, K)), 0.0)
    fields = {
        "startprob": fill(twin_start[None], config.start_frozen[None])[0],
        "transmat": fill(twin_rows, config.transition_frozen),
    }
    if M > 1:
        fields["mix_weights"] = rng.dirichlet(np.full(M, 3.0), K)
    emission = config.emission
    if hasattr(emission, "covariance_type"):
        D = emission.n_features
        fields["means"] = rng.normal(0, 2, (K * M, D))
        square = rng.normal(0, 1, (K * M, D, 2 * D))
        full = square @ square.swapaxes(1, 2) / D + 0.3 * np.eye(D)
        fields["covariances"] = {
            "full": full,
            "tied": full[0],
            "diag": np.diagonal(full, axis1=1, axis2=2),
            "spherical": full[:, 0, 0],
            "tied-spherical": full[0, 0, 0],
        }[emission.covariance_type]
    else:
        theta = rng.uniform(0.1, 0.9, (emission.n_indexed, K * M))
        if emission.family == "poisson":
            theta *= 5
        if emission.family == "categorical":
            sums = np.add.reduceat(theta, emission.column_offsets[:-1], axis=0)
            theta /= np.repeat(sums, emission.n_categories, axis=0)
        fields[emission.table_name] = theta
    return config.point(**fields)


def fill(rows, frozen):
    """Return rows with frozen entries in place, the others scaled to what is left."""
    held = ~np.isnan(frozen)
    free = np.where(held, 0.0, rows)
    total = free.sum(axis=1, keepdims=True)
    left = 1 - np.nansum(frozen, axis=1, keepdims=True)
    return np.where(held, frozen, free / np.where(total > 0, total, 1) * left)


def with_emission_prior(config, **changes):
    """Return the configuration with another prior of the emissions."""
    emission = config.emission
    return replace(config, emission=replace(emission, prior=replace(emission.prior, **changes)))
