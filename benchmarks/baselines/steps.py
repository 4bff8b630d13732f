"""One step of four models, each written five ways, from one start on the same data.

A case offers `lists`, `cython`, `twin` (vemfast.reference) and `native(threads)`: functions without
arguments that make the step and return its results as arrays in one order, so that a test can
compare them. `lists` takes a share of the data, because it is slow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.baselines import compiled, gmm_lists, hmm_lists, lda_lists, vae_lists

__all__ = ["CASES", "Case"]

Array = NDArray[np.float64]
Results = tuple[Array, ...]
INNER = 20  # iterations a document


@dataclass(frozen=True)
class Case:
    """A model's step on one data set.

    Attributes
    ----------
    title : str
    lists, cython, twin : callable
    native : callable of the number of threads
    rtol : float
        By how much the native results may differ from the others: they are of single precision
        where the model is.
    """

    title: str
    lists: Callable[[], Results]
    cython: Callable[[], Results]
    twin: Callable[[], Results]
    native: Callable[[int], Results]
    rtol: float = 1e-9


def _arrays(*results: Any) -> Results:
    return tuple(np.asarray(result, dtype=np.float64) for result in results)


def gaussian_mixture(n: int = 200_000, d: int = 8, k: int = 8, share: float = 1.0) -> Case:
    """Make an EM iteration with full covariances: weights, means, covariances, log likelihood."""
    from vemfast.data import RowBlock
    from vemfast.models.base import Step
    from vemfast.models.gaussian_config import Start
    from vemfast.models.gaussian_mixture import GaussianMixture as Native
    from vemfast.reference import GaussianMixture, configure

    rng = np.random.default_rng(0)
    centres = rng.normal(0, 3, (k, d))
    X = centres[rng.integers(k, size=n)] + rng.normal(size=(n, d))
    weights, means = np.full(k, 1 / k), centres + 0.3
    covariances = np.tile(np.eye(d), (k, 1, 1))
    config = configure(X, k, "full")
    begin = Start(weights=weights, means=means, covariances=covariances).fill(None, config)
    block = RowBlock(X)

    def step(model: Any, threads: int) -> Results:
        how = Step("exact", "point", n_jobs=threads)
        stats = model.e_step(model.prepare(begin), block, how)
        params = model.update(begin, stats, how)
        own = params["means"] + config.origin
        return _arrays(params["weights"], own, params["covariances"], stats.local_bound)

    rows = X[: max(1, round(n * share))].tolist()
    start = weights.tolist(), means.tolist(), covariances.tolist()
    return Case(
        f"Gaussian mixture, EM iteration: {n:,} x {d}, {k} full components",
        lambda: _arrays(*gmm_lists.em_step(rows, *start, reg_covar=0.0)),
        lambda: _arrays(*compiled.loops().gaussian_mixture(X, weights, means, covariances)),
        lambda: step(GaussianMixture(config), 1),
        lambda threads: step(Native(config, Start()), threads),
    )


def hidden_markov(n: int = 200_000, d: int = 4, k: int = 8, share: float = 1.0) -> Case:
    """Make an EM iteration over one sequence: start, transitions, means, variances, bound."""
    from vemfast.data import RowBlock
    from vemfast.models.base import Step
    from vemfast.models.hmm import HiddenMarkov as Native
    from vemfast.models.hmm_config import HmmConfig
    from vemfast.reference import HiddenMarkov, configure
    from vemfast.sequences import SequenceBlock

    rng = np.random.default_rng(1)
    centres = rng.normal(0, 2, (k, d))
    states = rng.integers(k, size=n)[np.cumsum(rng.random(n) < 0.1)]
    X = centres[states] + rng.normal(size=(n, d))
    start, transitions = np.full(k, 1 / k), np.full((k, k), 0.1 / k) + 0.9 * np.eye(k)
    means, variances = centres + 0.2, np.ones((k, d))
    emission = configure(X, k, "diag", weight_type="none")
    config = HmmConfig(k, emission)
    begin = config.point(start, transitions, means=means - emission.origin, covariances=variances)
    block = SequenceBlock(RowBlock(X), np.array([n]))

    def step(model: Any, threads: int) -> Results:
        how = Step("exact", "point", n_jobs=threads)
        stats = model.e_step(model.prepare(begin), block, how)
        found = model.update(begin, stats, how)
        own = found["means"] + emission.origin
        chain = found["startprob"], found["transmat"]
        return _arrays(*chain, own, found["covariances"], stats.local_bound)

    rows = X[: max(1, round(n * share))].tolist()
    given = start, transitions, means, variances
    return Case(
        f"Hidden Markov model, EM iteration: {n:,} steps x {d}, {k} states",
        lambda: _arrays(*hmm_lists.em_step(rows, *(array.tolist() for array in given))),
        lambda: _arrays(*compiled.loops().hidden_markov(X, *given)),
        lambda: step(HiddenMarkov(config), 1),
        lambda threads: step(Native(config), threads),
    )


def dirichlet_allocation(n: int = 1000, v: int = 5000, k: int = 32, share: float = 1.0) -> Case:
    """Make an E-step of variational EM: gamma of the documents, and expected counts."""
    from vemfast.documents import as_documents
    from vemfast.models.base import Step
    from vemfast.models.lda import LatentDirichletAllocation as Native
    from vemfast.models.lda_config import LdaConfig
    from vemfast.reference import LatentDirichletAllocation

    rng = np.random.default_rng(2)
    topics = np.ascontiguousarray(rng.dirichlet(np.full(v, 0.1), k).T)
    topics = (topics + 1e-6) / (topics + 1e-6).sum(axis=0)
    counts = np.zeros((n, v))
    for d, theta in enumerate(rng.dirichlet(np.full(k, 0.2), n)):
        np.add.at(counts[d], rng.choice(v, 120, p=topics @ theta), 1)
    alpha = np.full(k, 0.2)
    config = LdaConfig(k, v, alpha, max_inner=INNER, inner_tol=0.0)
    begin = config.params("point", topics)
    block = as_documents(counts)

    def step(model: Any, threads: int) -> Results:
        how = Step("factorised", "point", n_jobs=threads)
        stats = model.e_step(model.prepare(begin), block, how)
        return _arrays(stats.local, stats["sstats"])

    ends, words = block.indptr.astype(np.int64), block.indices.astype(np.int32)
    given = block.counts.astype(np.float64)
    part = range(max(1, round(n * share)))
    documents = [
        list(zip(words[own].tolist(), given[own].tolist(), strict=True))
        for own in (slice(ends[d], ends[d + 1]) for d in part)
    ]
    table, prior = topics.tolist(), alpha.tolist()
    return Case(
        f"Latent Dirichlet allocation, E-step: {n:,} documents, {v:,} words, {k} topics",
        lambda: _arrays(*lda_lists.e_step(documents, table, prior, INNER)),
        lambda: _arrays(
            *compiled.loops().dirichlet_allocation(ends, words, given, topics, alpha, INNER)
        ),
        lambda: step(LatentDirichletAllocation(config), 1),
        lambda threads: step(Native(config), threads),
    )


def autoencoder(
    n: int = 2000, d: int = 64, hidden: int = 64, k: int = 8, share: float = 1.0
) -> Case:
    """Make a gradient step's gradient: the bound, and its gradient by all weights."""
    from vemfast.data import RowBlock
    from vemfast.models.base import Step
    from vemfast.models.vae import VariationalAutoencoder as Native
    from vemfast.models.vae_config import NetworkState, VaeConfig
    from vemfast.reference.vae import VariationalAutoencoder, noise

    rng = np.random.default_rng(3)
    X = (rng.random((n, d)) < rng.random(d)).astype(np.float64)
    block, how = RowBlock(X), Step("factorised", "point", 5, 1)
    single = VaeConfig(d, k, (hidden,), batch_size=n)
    double = VaeConfig(d, k, (hidden,), batch_size=n, dtype=np.float64)
    native, twin = Native(single), VariationalAutoencoder(double)
    begin = native.init([block], how)
    exact = NetworkState.at(begin.layout, begin.weights.astype(np.float64))
    names = [f"{part}_{what}_{i}" for part in ("encoder", "decoder") for i in (0, 1)
             for what in ("coefs", "intercepts")]  # fmt: skip
    weights = [np.ascontiguousarray(exact[name]) for name in names]
    layers = list(zip(weights[::2], weights[1::2], strict=True))
    eps = noise(how.seed, how.iteration, np.arange(n), k)

    def own(model: Any, state: NetworkState, threads: int) -> Results:
        stats = model.e_step(model.prepare(state), block, replace(how, n_jobs=threads))
        return _arrays(stats.local_bound, *(stats[name] for name in names))

    def flat(found: tuple[float, Any]) -> Results:
        return _arrays(found[0], *(array for layer in found[1] for array in layer))

    part = slice(0, max(1, round(n * share)))
    given = X[part].tolist(), [(W.tolist(), b.tolist()) for W, b in layers], eps[part].tolist()
    return Case(
        f"Variational autoencoder, gradient: {n:,} x {d}, {hidden} hidden units, {k} latent",
        lambda: flat(vae_lists.bound_step(*given)),
        lambda: flat(compiled.loops().autoencoder(X, layers, np.ascontiguousarray(eps))),
        lambda: own(twin, exact, 1),
        lambda threads: own(native, begin, threads),
        rtol=1e-4,
    )


CASES: dict[str, Callable[..., Case]] = {
    "mixture": gaussian_mixture,
    "chain": hidden_markov,
    "topics": dirichlet_allocation,
    "autoencoder": autoencoder,
}
