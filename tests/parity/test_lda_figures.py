"""Blei's figure on the Associated Press corpus, where it is: VEMFAST_CORPUS=ap.ldac.

2,246 articles in LDA-C form, a sample of https://github.com/blei-lab/lda-c.
"""

import os
import warnings
from statistics import median

import numpy as np
import pytest

from vemfast import LatentDirichletAllocation
from vemfast.io import read_corpus

pytestmark = pytest.mark.nightly


@pytest.fixture(scope="module")
def articles():
    path = os.environ.get("VEMFAST_CORPUS")
    if not path:
        pytest.skip("VEMFAST_CORPUS names no file")
    counts = read_corpus(path).counts
    if (*counts.shape, counts.sum()) != (2246, 10473, 435838):
        pytest.skip("VEMFAST_CORPUS names another corpus")
    return counts[np.arange(counts.shape[0]) % 10 != 0]


def bounds(articles, init):
    """Return the training bounds of ten seeds: ten topics, maximum likelihood, alpha learned."""
    found = []
    for seed in range(10):
        lda = LatentDirichletAllocation(
            10,
            inference="variational-em",
            doc_topic_prior="learn",
            topic_word_prior=1.0,
            init=init,
            max_iter=100,
            tol=1e-4,
            random_state=seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # converged or not
            found.append(lda.fit(articles).lower_bound_)
    return found


def test_the_training_bound_of_ten_topics(articles):
    # lda-c, one run from its random start: -3,044,731.
    assert median(bounds(articles, "spread")) >= -3_060_000


def test_a_random_start_would_show(articles):
    assert median(bounds(articles, "random")) < -3_060_000
