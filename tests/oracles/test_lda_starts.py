"""What a start of latent Dirichlet allocation leads to, over ten seeds, on drawn documents.

EM finds a local maximum. From the default start it has to come near the bound of the topics that
the documents were drawn from; from random topics it does not.
"""

import warnings
from statistics import median

import numpy as np
import pytest

from vemfast import LatentDirichletAllocation

K, V, SEEDS = 8, 400, 10


def _fit(X, seed, passes, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # so many passes, converged or not
        return LatentDirichletAllocation(
            K, max_iter=passes, random_state=seed, **options
        ).fit(X)  # fmt: skip


@pytest.fixture(scope="module")
def drawn():
    rng = np.random.default_rng(3)
    topics = rng.gamma(0.1, size=(K, V)) / np.arange(1, V + 1)
    topics /= topics.sum(axis=1, keepdims=True)
    theta = rng.dirichlet(np.full(K, 0.2), 500)
    X = np.array([rng.multinomial(100, t @ topics) for t in theta])
    return X[:400], X[400:], topics


@pytest.mark.slow
def test_point_topics_come_near_the_bound_of_the_true_ones(drawn):
    X, _, topics = drawn
    options = {
        "inference": "variational-em", "topic_word_prior": 1.0, "doc_topic_prior": "learn",
    }  # fmt: skip
    truth = _fit(X, 0, 1, topics_init=topics, **options).lower_bounds_[0]
    bounds = {
        init: median(_fit(X, seed, 60, init=init, **options).lower_bound_ for seed in range(SEEDS))
        for init in ("random", "spread")
    }
    assert bounds["spread"] > 1.02 * truth > bounds["random"]


@pytest.mark.slow
@pytest.mark.parametrize("rung", ["mean-field", "variational-em"])
def test_documents_that_lie_apart_are_the_better_start(drawn, rung):
    X, other, _ = drawn
    scores = {
        init: median(
            _fit(X, seed, 20, init=init, inference=rung).held_out_score(other)
            for seed in range(SEEDS)
        )
        for init in ("random", "spread")
    }
    assert scores["spread"] > scores["random"]
