"""Small corpora and configurations of latent Dirichlet allocation, which several tests share."""

import numpy as np

from vemfast.documents import as_documents
from vemfast.models.lda import LatentDirichletAllocation as Native
from vemfast.models.lda_config import LdaConfig
from vemfast.reference import LatentDirichletAllocation as Reference

IMPLEMENTATIONS = {"reference": Reference, "native": Native}

RUNGS = ("gibbs", "mean-field", "variational-em", "hard-em")
DETERMINISTIC = RUNGS[1:]
FACTORISED = RUNGS[1:3]

V, K = 13, 3


def corpus(n=40, n_words=V, n_topics=3, length=25, seed=7):
    """Return counts (n, n_words) of documents drawn from the model, some of them empty."""
    rng = np.random.default_rng(seed)
    topics = rng.dirichlet(np.full(n_words, 0.3), n_topics)
    theta = rng.dirichlet(np.full(n_topics, 0.4), n)
    counts = np.array([rng.multinomial(rng.poisson(length), p) for p in theta @ topics])
    counts[[0, n // 2, n // 2 + 1]] = 0
    return counts


COUNTS = corpus()
WEIGHTS = np.random.default_rng(1).uniform(0.5, 2.0, len(COUNTS))
WEIGHTS[::9] = 0.0


def block_of(counts=COUNTS, weights=None, offset=17, dtype=np.float64):
    block = as_documents(counts, weights, dtype=dtype)
    block.offset = offset
    return block


def config_of(rung="mean-field", n_words=V, n_components=K, **options):
    """Return a configuration whose priors differ from topic to topic, if options do not say."""
    point = rung in ("variational-em", "hard-em")
    defaults = {
        "alpha": 0.3 + 0.2 * np.arange(n_components),
        "eta": 1.3 if point else 0.4,
        "max_inner": 200,
        "inner_tol": 1e-6,
    }
    return LdaConfig(n_components, n_words, **{**defaults, **options})


def topics_of(n_words=V, n_components=K, seed=3):
    """Return topics that differ, (n_words, n_components)."""
    return np.random.default_rng(seed).dirichlet(np.full(n_words, 0.8), n_components).T
