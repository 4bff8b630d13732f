"""The Gibbs sampler of latent Dirichlet allocation: Geweke's test (O8) and calibration (O9).

As `test_joint_distribution.py` and `test_calibration.py` are for the Gaussian mixture; priors and
documents come from NumPy. The chain's state is (β, z): given them new words can be drawn, θ being
integrated out of the sampler and never needed.
"""

from dataclasses import replace

import numpy as np
import pytest
from oracles.test_calibration import N_DRAWS, band, distances
from scipy import stats as dist

from vemfast import LatentDirichletAllocation
from vemfast.documents import as_documents
from vemfast.models.base import Step
from vemfast.models.lda import LatentDirichletAllocation as Native
from vemfast.models.lda_config import LdaConfig

V, K, N_DOCUMENTS, N_TOKENS, BOUND = 4, 3, 3, 6, 4.0
ALPHA = np.array([0.5, 0.9, 1.4])  # no two topics are alike, so that nothing is lost to labels
ETA = np.linspace(0.6, 1.5, V)[:, None] * np.array([1.0, 0.8, 1.3])


def words_given(topics, z, rng):
    """Return a word for each token (n, N_DOCUMENTS, N_TOKENS), from topics (n, V, K)."""
    reached = np.cumsum(topics, axis=-2)
    own = np.take_along_axis(reached, z.reshape(*z.shape[:-2], 1, -1), axis=-1)
    u = rng.random((*own.shape[:-2], 1, own.shape[-1])) * own[..., -1:, :]
    return np.sum(own[..., :-1, :] <= u, axis=-2).reshape(z.shape)


def marginal(n, rng):
    """Return n draws of topics, labels of tokens and words from the model."""
    topics = np.stack([rng.dirichlet(ETA[:, k], n) for k in range(K)], axis=-1)
    theta = rng.dirichlet(ALPHA, (n, N_DOCUMENTS))
    u = rng.random((n, N_DOCUMENTS, N_TOKENS, 1))
    z = np.sum(np.cumsum(theta, axis=-1)[:, :, None, :-1] <= u, axis=-1)
    return topics, z, words_given(topics, z, rng)


# ---- one iteration, right and wrong --------------------------------------------------------------


def right(model, params, block, step):
    stats = model.e_step(model.prepare(params), block, step)
    return stats, stats.local


def a_count_misses_its_decrement(model, params, block, step):
    stats, z = right(model, params, block, step)
    stats["sstats"][0, 0] += 1.0
    return stats, z


def labels_are_drawn_afresh(model, params, block, step):
    block.local = None
    return right(model, params, block, step)


def same_seed_in_each_thread(model, params, block, step):
    table, parts = model.prepare(params), []
    for d in range(block.n):
        part = block.slice(d, d + 1)
        part.offset, part.local = 0, block.local[d * N_TOKENS : (d + 1) * N_TOKENS]
        parts.append(model.e_step(table, part, step))
    return sum(parts[1:], parts[0]), np.concatenate([part.local for part in parts])


def same_uniforms_in_each_iteration(model, params, block, step):
    return right(model, params, block, replace(step, iteration=0))


def best_labels_instead_of_drawn_ones(model, params, block, step):
    return right(model, params, block, replace(step, local_rule="hard"))


# An iteration, or the priors that the sampler gets wrong.
MUTATIONS = {
    "a count misses its decrement": a_count_misses_its_decrement,
    "the same seed in each thread": same_seed_in_each_thread,
    "topics drawn without their prior": {"eta": 1e-2},
}
MORE_MUTATIONS = {
    "labels drawn afresh": labels_are_drawn_afresh,
    "the same uniforms in each iteration": same_uniforms_in_each_iteration,
    "best labels": best_labels_instead_of_drawn_ones,
    "the same alpha for all": {"alpha": 0.9},
    "the same eta for all": {"eta": 1.0},
}


def successive(n, rng, mutation, seed):
    """Return n states of a chain that draws words given labels, and labels and topics given words.

    Tokens of a document stand in the order of their words, as the sampler has them.
    """
    iteration, priors = right, {"alpha": ALPHA, "eta": ETA}
    if isinstance(mutation, dict):
        priors |= mutation
    elif mutation is not None:
        iteration = mutation
    model = Native(LdaConfig(K, V, **priors))
    params = model.config.params("point", np.full((V, K), 1.0 / V))
    z = np.zeros((N_DOCUMENTS, N_TOKENS), dtype=np.int32)
    n_start = 50  # forgets this start
    topics = np.empty((n + n_start, V, K))
    labels = np.empty((n + n_start, N_DOCUMENTS, N_TOKENS), dtype=int)
    words = np.empty_like(labels)
    for i in range(n + n_start):
        drawn = words_given(params["topics"][None], z[None], rng)[0]
        order = np.argsort(drawn, axis=1, kind="stable")
        z, drawn = np.take_along_axis(z, order, 1), np.take_along_axis(drawn, order, 1)
        topics[i], labels[i], words[i] = params["topics"], z, drawn
        block = as_documents(np.array([np.bincount(own, minlength=V) for own in drawn]))
        block.local = np.ascontiguousarray(z.ravel(), dtype=np.int32)
        step = Step("sampled", "sampled", seed, i)
        stats, z = iteration(model, params, block, step)
        z = z.reshape(N_DOCUMENTS, N_TOKENS)
        params = model.update(params, stats, step.next)
    return topics[n_start:], labels[n_start:], words[n_start:]


def functions(topics, z, words):
    """Return ten functions of (β, z, words), each of finite variance, (draws, 10)."""
    counts = np.sum(z[..., None] == np.arange(K), axis=2)  # (n, documents, K)
    own = np.take_along_axis(
        topics.reshape(len(topics), -1), (words * K + z).reshape(len(z), -1), axis=1
    )
    return np.stack(
        [
            topics[:, 0, 0],
            np.sum(topics[:, :, 1] ** 2, axis=1),
            np.log(topics[:, 3, 2]),
            np.mean(z == 0, axis=(1, 2)),
            np.sum(counts**2, axis=(1, 2)),
            counts[:, 0, 1] * counts[:, 1, 1],
            np.mean(words == 0, axis=(1, 2)),
            np.mean((words == 1) & (z == 2), axis=(1, 2)),
            np.log(own).sum(axis=1),
            topics[:, 0, 1] * np.mean((words == 0) & (z == 1), axis=(1, 2)),
        ],
        axis=1,
    )


def z_scores(n, mutation=None, seed=1, n_batches=50):
    """Return the ten differences of means in standard errors; the chain's is of batch means."""
    rng = np.random.default_rng(seed)
    a, b = functions(*marginal(4 * n, rng)), functions(*successive(n, rng, mutation, seed))
    batches = b.reshape(n_batches, -1, b.shape[1]).mean(axis=1)
    variance = a.var(axis=0, ddof=1) / len(a) + batches.var(axis=0, ddof=1) / n_batches
    return (b.mean(axis=0) - a.mean(axis=0)) / np.sqrt(variance)


def test_both_ways_have_the_same_expectations():
    z = z_scores(3000)
    assert np.abs(z).max() < BOUND, z


@pytest.mark.nightly
def test_both_ways_have_the_same_expectations_in_long_runs():
    z = z_scores(100_000, n_batches=100)
    assert np.abs(z).max() < BOUND, z


@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=MUTATIONS)
def test_a_wrong_sampler_is_caught(mutation):
    z = z_scores(8000, mutation)
    assert np.abs(z).max() > BOUND, z


@pytest.mark.nightly
@pytest.mark.parametrize("mutation", MORE_MUTATIONS.values(), ids=MORE_MUTATIONS)
def test_other_wrong_samplers_are_caught(mutation):
    z = z_scores(30_000, mutation)
    assert np.abs(z).max() > BOUND, z


# ---- calibration ---------------------------------------------------------------------------------

PRIORS = {"doc_topic_prior": 0.7, "topic_word_prior": 0.8}


def label_free(topics):
    """Return five functions of topics (n, K, V) that do not depend on labels, (n, 5)."""
    return np.stack(
        [
            topics[:, :, 0].max(axis=1),
            topics[:, :, 1].mean(axis=1),
            np.sum(topics**2, axis=(1, 2)),
            np.log(topics).sum(axis=(1, 2)),
            np.prod(topics[:, :, 2], axis=1),
        ],
        axis=1,
    )


def rank_distances(n, **fitted):
    rng = np.random.default_rng(0)
    ranks = np.empty((n, 5), dtype=int)
    for i in range(n):
        topics = rng.dirichlet(np.full(V, PRIORS["topic_word_prior"]), 2)
        theta = rng.dirichlet(np.full(2, PRIORS["doc_topic_prior"]), 8)
        X = np.array([rng.multinomial(10, p) for p in theta @ topics])
        options = {**PRIORS, "n_burn": 100, "n_draws": N_DRAWS, "thin": 15, **fitted}
        model = LatentDirichletAllocation(
            2, inference="gibbs", random_state=i, n_jobs=1, **options
        ).fit(X)
        ranks[i] = np.sum(label_free(model.posterior_.topics[0]) < label_free(topics[None]), axis=0)
    return distances(np.array([np.bincount(own, minlength=N_DRAWS + 1) for own in ranks.T]))


@pytest.mark.nightly
def test_ranks_of_the_truth_are_uniform():
    assert rank_distances(500).max() < band(500)


@pytest.mark.nightly
@pytest.mark.parametrize(
    "wrong", [{"topic_word_prior": 2.5}, {"doc_topic_prior": 0.1}], ids=["eta", "alpha"]
)
def test_ranks_under_another_prior_are_not(wrong):
    assert rank_distances(300, **wrong).max() > band(300)


def test_draws_of_the_prior_where_there_is_nothing_to_learn():
    # Documents of one word that all topics like alike: the draws of β have the prior's law.
    X = np.zeros((1, V))
    X[0, 0] = 1
    model = LatentDirichletAllocation(
        40, inference="gibbs", topic_word_prior=0.05, n_burn=5, n_draws=30, thin=2, random_state=0
    ).fit(X)
    draws = model.posterior_.topics[0, :, :, 3].ravel()
    law = dist.beta(0.05, 0.05 * (V - 1))
    few = dist.kstest(draws, law.cdf)
    assert few.pvalue > 1e-3
