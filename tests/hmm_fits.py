"""Fitted hidden Markov estimators of every family, which several tests share, and their paths."""

from itertools import product

import numpy as np
import pytest
from reliability.helpers import FEW_DRAWS, RUNGS, quiet
from scipy.stats import norm, poisson

from vemfast import (
    BernoulliHMM,
    BernoulliMixture,
    CategoricalHMM,
    CategoricalMixture,
    GaussianHMM,
    GaussianMixture,
    PoissonHMM,
    PoissonMixture,
)

LENGTHS = [60, 1, 90, 49]
STATES = np.arange(200) // 25 % 3
_rng = np.random.default_rng(5)
_p = np.array([[0.9, 0.85, 0.1, 0.2], [0.15, 0.1, 0.9, 0.8], [0.9, 0.2, 0.85, 0.1]])
ROWS = {
    GaussianHMM: np.c_[3.0 * STATES, -2.0 * STATES] + _rng.normal(size=(200, 2)),
    CategoricalHMM: (2 * STATES + _rng.integers(0, 2, 200))[:, None],
    BernoulliHMM: (_rng.random((200, 4)) < _p[STATES]).astype(int),
    PoissonHMM: _rng.poisson(np.array([[1, 9], [6, 1], [20, 20]])[STATES]),
}
MIXTURES = {
    GaussianHMM: GaussianMixture,
    CategoricalHMM: CategoricalMixture,
    BernoulliHMM: BernoulliMixture,
    PoissonHMM: PoissonMixture,
}
STICKY = np.array([[0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.02, 0.03, 0.95]])

kinds = pytest.mark.parametrize("kind", ROWS)
rungs = pytest.mark.parametrize("inference", RUNGS)


def model(kind, inference="em", n_components=3, **options):
    draws = FEW_DRAWS if inference == "gibbs" else {}
    return kind(n_components, inference=inference, **({"random_state": 0} | draws | options))


def fitted(kind, inference="em", rows=None, lengths=LENGTHS, weights=None, labels=None, **options):
    with quiet():
        return model(kind, inference, **options).fit(
            ROWS[kind] if rows is None else rows, lengths, weights, labels
        )


def shown(estimator):
    names = ("means_", "emissionprob_", "probabilities_", "lambdas_")
    return next(getattr(estimator, name) for name in names if hasattr(estimator, name))


def densities(estimator, rows):
    """Return log p(x_t given state), (T, K), from the textbook."""
    table, columns = shown(estimator), rows.shape[1]
    if isinstance(estimator, GaussianHMM):
        sd = np.sqrt(estimator.covars_)
        return norm.logpdf(rows[:, None], table, sd).sum(axis=2)
    if isinstance(estimator, CategoricalHMM):
        return np.log(table[:, rows[:, 0]]).T
    if isinstance(estimator, PoissonHMM):
        return poisson.logpmf(rows[:, None], table).sum(axis=2)
    p = table[None]
    return sum(
        np.where(rows[:, d, None] == 1, np.log(p[..., d]), np.log1p(-p[..., d]))
        for d in range(columns)
    )


def all_paths(estimator, rows):
    """Return every path of states, and the log joint of each."""
    emissions = densities(estimator, rows)
    K, T = len(estimator.startprob_), len(rows)
    paths = np.array(list(product(range(K), repeat=T)))
    with np.errstate(divide="ignore"):
        start, transmat = np.log(estimator.startprob_), np.log(estimator.transmat_)
    joint = start[paths[:, 0]] + transmat[paths[:, :-1], paths[:, 1:]].sum(axis=1)
    return paths, joint + emissions[np.arange(T), paths].sum(axis=1)
