"""Latent Dirichlet allocation beside scikit-learn and Blei's lda-c, from the same topics (O11)."""

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from lda_data import IMPLEMENTATIONS
from scipy.special import psi
from sklearn.decomposition import LatentDirichletAllocation as SklearnLda

from vemfast.documents import DocumentBlock, as_documents
from vemfast.models.base import Step
from vemfast.models.lda_config import LdaConfig

implementations = pytest.mark.parametrize(
    "implementation", IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS
)

V, K, ALPHA, ETA = 40, 6, 0.35, 0.2


def counts_of(seed, n=30):
    rng = np.random.default_rng(seed)
    topics = rng.dirichlet(np.full(V, 0.1), K)
    theta = rng.dirichlet(np.full(K, 0.3), n)
    counts = np.array([rng.multinomial(rng.poisson(60), p) for p in theta @ topics])
    counts[4] = 0
    return counts


def peer(components, max_inner, tol):
    """Return scikit-learn's estimator with these components, as after a fit."""
    own = SklearnLda(
        K,
        doc_topic_prior=ALPHA,
        topic_word_prior=ETA,
        max_doc_update_iter=max_inner,
        mean_change_tol=tol,
    )
    own._init_latent_vars(V, np.float64)
    own.components_ = components
    log_topics = psi(components) - psi(components.sum(axis=1))[:, None]
    own.exp_dirichlet_component_ = np.exp(log_topics)
    return own


@pytest.fixture
def with_exact_digamma(monkeypatch):
    """Give scikit-learn a digamma of full precision: its own is wrong in the tenth digit."""

    def rows(gamma):
        return psi(gamma) - psi(gamma.sum(axis=1))[:, None]

    def one(gamma, prior, out):
        gamma += prior
        out[:] = np.exp(psi(gamma) - psi(gamma.sum()))

    monkeypatch.setattr("sklearn.decomposition._lda._dirichlet_expectation_2d", rows)
    monkeypatch.setattr("sklearn.decomposition._lda.cy_dirichlet_expectation_1d", {"double": one})


@implementations
@pytest.mark.usefixtures("with_exact_digamma")
@pytest.mark.parametrize(("max_inner", "tol"), [(100, 1e-3), (7, 0.0), (1, 0.0)])
@pytest.mark.parametrize("seed", range(3))
def test_one_e_step_of_scikit_learn(implementation, seed, max_inner, tol):
    counts = counts_of(seed)
    components = np.random.default_rng(seed).gamma(2.0, 1.0, (K, V)) + 0.01
    theirs = peer(components, max_inner, tol)
    X = scipy.sparse.csr_array(counts.astype(float))
    gamma, sstats = theirs._e_step(X, True, random_init=False)

    model = implementation(LdaConfig(K, V, ALPHA, None, ETA, None, max_inner, tol))
    params = model.config.params("posterior", components.T.copy())
    block = as_documents(counts)
    stats = model.e_step(model.prepare(params), block, Step("factorised", "posterior"))
    np.testing.assert_allclose(stats.local, gamma, rtol=1e-10)
    np.testing.assert_allclose(stats["sstats"], sstats.T, rtol=1e-10, atol=1e-12)
    own, _ = model.infer(params, block)
    theta = own / own.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(theta, theirs.transform(X), rtol=1e-10)
    # The bound, with the topics' share, and the next lambda.
    bound = theirs._approx_bound(X, gamma, sub_sampling=False)
    assert stats.local_bound + model.global_term(params) == pytest.approx(bound, rel=1e-9)
    moved = model.update(params, stats, Step("factorised", "posterior", iteration=1))
    np.testing.assert_allclose(moved["lambda"], ETA + sstats.T, rtol=1e-10)


@implementations
def test_scikit_learn_with_its_own_digamma(implementation):
    counts = counts_of(5)
    components = np.random.default_rng(5).gamma(2.0, 1.0, (K, V)) + 0.01
    model = implementation(LdaConfig(K, V, ALPHA, None, ETA))
    gamma, _ = model.infer(
        model.config.params("posterior", components.T.copy()), as_documents(counts)
    )
    theta = gamma / gamma.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(theta, peer(components, 100, 1e-3).transform(counts), atol=1e-7)


class FromOnes:
    """What gensim draws the first γ from."""

    def gamma(self, shape, scale, size):
        return np.ones(size)


@implementations
@pytest.mark.parametrize(("max_inner", "tol"), [(100, 1e-3), (5, 0.0)])
def test_the_inference_of_gensim(implementation, max_inner, tol):
    gensim = pytest.importorskip("gensim.models")
    counts = counts_of(2)
    components = np.random.default_rng(2).gamma(2.0, 1.0, (K, V)) + 0.01
    log_topics = psi(components) - psi(components.sum(axis=1))[:, None]
    theirs = gensim.LdaModel(
        id2word={w: str(w) for w in range(V)},
        num_topics=K,
        alpha=[ALPHA] * K,
        eta=ETA,
        iterations=max_inner,
        gamma_threshold=tol,
        dtype=np.float64,
    )
    theirs.expElogbeta, theirs.random_state = np.exp(log_topics), FromOnes()
    corpus = [[(int(w), int(row[w])) for w in np.flatnonzero(row)] for row in counts]
    gamma, sstats = theirs.inference(corpus, collect_sstats=True)

    model = implementation(LdaConfig(K, V, ALPHA, None, ETA, None, max_inner, tol))
    params = model.config.params("posterior", components.T.copy())
    block = as_documents(corpus, n_words=V)
    stats = model.e_step(model.prepare(params), block, Step("factorised", "posterior"))
    some = block.tokens > 0  # it iterates an empty document, too, which ends at alpha
    np.testing.assert_allclose(stats.local[some], gamma[some], rtol=1e-8)
    np.testing.assert_allclose(stats["sstats"], sstats.T, rtol=1e-8, atol=1e-10)


@implementations
def test_the_e_step_of_lda_c(implementation):
    data = np.load(Path(__file__).parents[1] / "data" / "lda_c.npz")
    log_topics = data["log_topics"]
    model = implementation(LdaConfig(5, len(log_topics), 0.5, None, 1.0, None, 5000, 1e-12))
    block = DocumentBlock(data["indptr"], data["indices"], data["counts"], None, 0, len(log_topics))
    # Its own start: γ has many fixed points.
    block.local = 0.5 + np.repeat(block.tokens[:, None] / 5, 5, axis=1)
    params = model.config.params("point", np.exp(log_topics))
    gamma, bounds = model.infer(params, block)
    np.testing.assert_allclose(gamma, data["gamma"], rtol=4e-4)
    np.testing.assert_allclose(bounds, data["bound"], rtol=0, atol=2e-5)
