"""Bad and hard documents for LatentDirichletAllocation (L1 to L15), and what other libraries do.

The cases at the level of one E-step, and of reference and native model, are in
`contracts/test_lda.py`; of the reader of documents, in `unit/test_documents.py`.
"""

import warnings

import lda_data
import numpy as np
import pytest
import scipy.sparse
from scipy.special import digamma

import vemfast
from vemfast import LatentDirichletAllocation, ModelFileError
from vemfast.documents import as_documents
from vemfast.models.base import Step
from vemfast.models.lda import LatentDirichletAllocation as Native
from vemfast.models.lda_config import LdaConfig

COUNTS, V = lda_data.COUNTS, lda_data.V
RUNGS = lda_data.RUNGS
POINT = ("variational-em", "hard-em")
SHORT = {"gibbs": {"n_burn": 4, "n_draws": 3, "thin": 1}}
SCHEDULES = ("batch", "memoized", "minibatch")
CASES = [(rung, "batch") for rung in RUNGS] + [
    (rung, schedule) for rung in lda_data.DETERMINISTIC for schedule in SCHEDULES[1:]
]


def make(rung="mean-field", schedule="batch", k=3, **options):
    base = {"random_state": 0, "inference": rung, "schedule": schedule}
    return LatentDirichletAllocation(k, **(base | SHORT.get(rung, {}) | options))


def drawn(n_documents, k=10, n_words=500, length=80, seed=0):
    """Return documents drawn from the model."""
    rng = np.random.default_rng(seed)
    topics = rng.dirichlet(np.full(n_words, 0.05), k)
    theta = rng.dirichlet(np.full(k, 0.2), n_documents)
    return np.array([rng.multinomial(length, p) for p in theta @ topics])


# ---- L1, L2: no tokens ----


@pytest.mark.parametrize("rung", RUNGS)
def test_L1_an_empty_document_has_the_prior_s_proportions(rung):
    alpha = np.array([0.2, 1.7, 0.6])
    lda = make(rung, doc_topic_prior=alpha).fit(COUNTS)
    empty = np.zeros((1, V), dtype=int)
    np.testing.assert_allclose(lda.transform(empty)[0], alpha / alpha.sum(), rtol=1e-6)
    assert lda.score_samples(empty).tolist() == [0.0]
    with_it = np.vstack([COUNTS, empty])
    assert lda.perplexity(with_it) == lda.perplexity(COUNTS)


def test_L1_an_empty_document_is_counted():
    # It says nothing about words, and changes no bound; but the rate of an online fit knows it.
    more = np.vstack([COUNTS, np.zeros((len(COUNTS), V), dtype=int)])
    a, b = (make().fit(X) for X in (COUNTS, more))
    assert b.lower_bound_ == pytest.approx(a.lower_bound_, rel=1e-6)
    np.testing.assert_allclose(b.components_, a.components_, rtol=1e-4)
    a, b = (make(total_samples=1000).partial_fit(X) for X in (COUNTS, more))
    assert b.components_.sum() - V == pytest.approx((a.components_.sum() - V) / 2, rel=1e-6)


@pytest.mark.parametrize(("rung", "schedule"), CASES)
@pytest.mark.parametrize(
    "empty", [np.zeros((4, V), dtype=int), scipy.sparse.csr_array((4, V)), [[], [], []]],
    ids=["array", "sparse", "corpus"],
)  # fmt: skip
def test_L2_documents_without_tokens_are_refused(rung, schedule, empty):
    lda = make(rung, schedule)
    with pytest.raises(ValueError, match="no tokens: all its documents are empty"):
        lda.fit(empty)
    if rung != "gibbs" and schedule == "batch":
        with pytest.raises(ValueError, match="no tokens"):
            lda.partial_fit(empty)
    assert not hasattr(lda, "components_")


# ---- L3, L4, L7, L12, L14: counts and words ----


@pytest.mark.parametrize(
    ("value", "said"),
    [(-1.0, "-1"), (np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "-inf|infinity")],
)
@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_array, scipy.sparse.coo_array])
def test_L3_a_bad_count_is_named_with_document_and_word(value, said, form):
    lda = make().fit(COUNTS)
    before = lda.components_
    bad = COUNTS.astype(float)
    bad[7, 5] = value
    for use in (lda.fit, lda.partial_fit, lda.transform, lda.score, lda.perplexity,
                lda.held_out_score):  # fmt: skip
        with pytest.raises(ValueError, match=rf"document 7, word 5 has ({said})"):
            use(form(bad))
    assert lda.components_ is before


@pytest.mark.parametrize("rung", ["hard-em", "gibbs"])
def test_L4_a_fraction_is_named_with_document_and_word(rung):
    bad = COUNTS.astype(float)
    bad[7, 5] = 1.5
    with pytest.raises(ValueError, match=r"document 7, word 5 has a count of 1\.5"):
        make(rung).fit(bad)
    assert np.isfinite(make("mean-field").fit(bad).lower_bound_)


@pytest.mark.parametrize("use", ["transform", "score", "partial_fit"])
def test_L7_L12_words_that_the_fit_does_not_know(use):
    lda = make().partial_fit(COUNTS)
    before = lda.components_
    with pytest.raises(ValueError, match=r"X has 14 features, but .* is expecting 13"):
        getattr(lda, use)(np.pad(COUNTS, ((0, 0), (0, 1))))
    with pytest.raises(ValueError, match="document 1: word number 13 is not in"):
        getattr(lda, use)([[(0, 1)], [(13, 2)]])
    assert lda.components_ is before


@pytest.mark.parametrize("rung", RUNGS)
def test_L14_repeated_words_are_added(rung):
    once = scipy.sparse.csr_array(COUNTS)
    twice = scipy.sparse.csr_array(
        (np.repeat(once.data, 2), np.repeat(once.indices, 2), 2 * once.indptr), shape=once.shape
    )
    a, b = make(rung).fit(2 * COUNTS), make(rung).fit(twice)
    np.testing.assert_array_equal(a.components_, b.components_)
    np.testing.assert_array_equal(a.transform(2 * COUNTS), b.transform(twice))


# ---- L5, L10: many tokens ----


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rung", RUNGS)
def test_L5_a_word_a_million_times(rung, dtype):
    counts = COUNTS.copy()
    counts[3, 2] = counts[8, 6] = 1_000_000
    lda = make(rung, dtype=dtype, doc_topic_prior="learn").fit(counts)
    for value in (lda.components_, lda.lower_bounds_, lda.doc_topic_prior_):
        assert np.isfinite(value).all()
    theta = lda.transform(counts)
    assert np.isfinite(theta).all()
    np.testing.assert_allclose(theta.sum(axis=1), 1.0, rtol=1e-6)
    assert np.isfinite(lda.score(counts))
    # Topics know them: these two words are nearly all there is, in one topic or in two.
    share = lda.topic_word_[theta[[3, 8]].argmax(axis=1)][:, [2, 6]].sum(axis=1)
    assert (share > 0.99).all()


@pytest.mark.parametrize("rung", RUNGS)
def test_L10_one_document_of_a_million_tokens(rung):
    n_words, k = 20_000, 8
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(n_words, 0.5))
    counts = np.vstack([rng.multinomial(1_000_000, p), rng.multinomial(50, p, size=20)])
    X = scipy.sparse.csr_array(counts)
    own = {"n_burn": 1, "n_draws": 1} if rung == "gibbs" else {"max_iter": 2}
    one, two = (make(rung, k=k, n_jobs=n, **own).fit(X) for n in (1, 2))
    np.testing.assert_array_equal(one.components_, two.components_)
    assert np.isfinite(one.lower_bounds_).all()
    gamma = one.transform(X, normalize=False)
    np.testing.assert_allclose(gamma.sum(axis=1), 1.0 + counts.sum(axis=1), rtol=1e-5)
    if rung in lda_data.FACTORISED:
        double = make(rung, k=k, dtype="float64", **own).fit(X)
        assert one.lower_bound_ == pytest.approx(double.lower_bound_, rel=1e-4)


# ---- L6: words that do not come ----


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("eta", [0.37, np.linspace(0.1, 0.7, V)], ids=["number", "by word"])
def test_L6_a_word_that_no_document_has_keeps_its_prior(schedule, dtype, eta):
    counts = COUNTS.copy()
    counts[:, [0, 4]] = 0
    lda = make("mean-field", schedule, dtype=dtype, topic_word_prior=eta, max_iter=4).fit(counts)
    expected = np.broadcast_to(eta, (3, V))
    np.testing.assert_array_equal(lda.components_[:, [0, 4]], expected[:, [0, 4]])
    assert (lda.components_[:, [1, 2]] > expected[:, [1, 2]]).any()


# ---- L8, L9, L11, L15: shapes and priors at the edge ----


@pytest.mark.parametrize(("rung", "schedule"), CASES)
@pytest.mark.parametrize(("k", "n_words"), [(20, V), (1, V), (3, 1), (1, 1)])
def test_L8_more_topics_than_words_one_topic_one_word(rung, schedule, k, n_words):
    X = COUNTS[:, :n_words]
    lda = make(rung, schedule, k=k).fit(X)
    assert lda.components_.shape == (k, n_words)
    assert np.isfinite(lda.lower_bounds_).all()
    np.testing.assert_allclose(lda.topic_word_.sum(axis=1), 1.0)
    np.testing.assert_allclose(lda.transform(X).sum(axis=1), 1.0, rtol=1e-6)
    if k == 1 and rung == "mean-field" and schedule != "minibatch":
        np.testing.assert_allclose(lda.components_[0], 1.0 + X.sum(axis=0), rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"doc_topic_prior": 0.0}, "doc_topic_prior"),
        ({"doc_topic_prior": np.inf}, "doc_topic_prior"),
        ({"doc_topic_prior": [1.0, np.nan, 1.0]}, "doc_topic_prior must be finite and > 0"),
        ({"topic_word_prior": 0.0}, "topic_word_prior"),
        ({"topic_word_prior": -0.1}, "topic_word_prior"),
        ({"topic_word_prior": np.zeros(V)}, "topic_word_prior must be finite and > 0"),
        ({"topic_word_prior": np.ones(V - 1)}, r"topic_word_prior has shape \(12,\)"),
        ({"topic_word_prior": np.ones((2, V))}, r"topic_word_prior has shape \(2, 13\)"),
    ],
)
def test_L9_priors_that_are_refused(options, message):
    lda = make().fit(COUNTS)
    before = lda.components_
    lda.set_params(**options)
    for use in (lda.fit, lda.partial_fit):
        with pytest.raises(ValueError, match=message):
            use(COUNTS)
    assert lda.components_ is before


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("rung", "schedule"), CASES)
def test_L9_tiny_priors_give_no_nan(rung, schedule, dtype):
    eta = 1.0 + 1e-10 if rung in POINT else 1e-10
    for alpha in (1e-10, "learn"):
        options = {"doc_topic_prior": alpha, "topic_word_prior": eta, "dtype": dtype}
        lda = make(rung, schedule, **options).fit(COUNTS)
        assert np.isfinite(lda.components_).all()
        assert np.isfinite(lda.lower_bounds_).all()
        assert (lda.doc_topic_prior_ > 0).all()  # L15
        theta = lda.transform(COUNTS)
        assert np.isfinite(theta).all()
        np.testing.assert_allclose(theta.sum(axis=1), 1.0, rtol=1e-6)


@pytest.mark.parametrize("eta", [1e-4, 2e-3])
def test_L11_a_thousand_topics_of_a_million_words_in_float32(eta):
    # exp(E[log β]) of a word that a topic does not have is exp(-100) and less: nothing in float32,
    # for whole words, unless it is taken relative to the word's best topic. The million words are
    # one here, as far as the sums of the topics go.
    K, seen, rng = 1000, 400, np.random.default_rng(0)
    table = np.full((seen + 1, K), eta)
    table[:seen] += rng.gamma(0.02, 50.0, (seen, K)) * (rng.random((seen, K)) < 0.02)
    table[:20] = eta * rng.uniform(1.0, 3.0, (20, K))  # words that no topic has
    table[seen] = 1e6 * eta + 3e3
    scores = digamma(table) - digamma(table.sum(axis=0))
    assert (np.exp(np.float32(scores[:20])) == 0).all()
    counts = rng.poisson(0.2, (60, seen + 1))
    counts[0] = 0
    counts[0, :20] = 1  # of nothing but such words
    found = []
    for dtype in ("float64", "float32"):
        config = LdaConfig(K, seen + 1, 0.01, None, eta, None, 60, 0.0, dtype)
        model, block = Native(config), as_documents(counts, dtype=np.dtype(dtype))
        params = config.params("posterior", table)
        gamma, bounds = model.infer(params, block, 2)
        stats = model.e_step(model.prepare(params), block, Step("factorised", "posterior"))
        theta = gamma / gamma.sum(axis=1, keepdims=True)
        found.append((theta, bounds, stats["sstats"], stats.local_bound))
    for double, single, scale in zip(*found, (1.0, np.abs(bounds).max(), 60.0, 1.0), strict=True):
        assert np.isfinite(single).all()
        np.testing.assert_allclose(single, double, rtol=1e-4, atol=1e-4 * scale)
    assert found[1][2].sum() == pytest.approx(counts.sum(), rel=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("rung", "schedule"), CASES)
@pytest.mark.parametrize("learned", ["learn", "learn-symmetric"])
def test_L15_a_learned_alpha_is_positive(rung, schedule, learned, dtype):
    # Documents of one topic each, and of two words each: the best alpha is far down.
    counts = np.kron(np.eye(3, dtype=int), np.full((10, 4), 9))
    lda = make(rung, schedule, k=4, doc_topic_prior=learned, dtype=dtype)
    if rung != "gibbs":
        lda.set_params(max_iter=40)
    lda.fit(counts)
    assert (lda.doc_topic_prior_ > 0).all()
    assert np.isfinite(lda.doc_topic_prior_).all()
    assert lda.doc_topic_prior_.min() < 0.2
    assert (np.ptp(lda.doc_topic_prior_) == 0) == (learned == "learn-symmetric")


# ---- what other libraries do: scikit-learn 1.9.1, gensim 4.4.0, tomotopy 0.14.0 ----


def test_L13_perplexity_does_not_depend_on_how_many_documents_are_scored():
    # scikit-learn: 578,224, 7,893, 603 and 269 for 5, 10, 25 and 50 documents, because the topics'
    # own KL divergence is divided by the test words.
    X = drawn(300)
    lda = make(k=10, max_iter=20).fit(X[:250])
    test = X[250:]
    perplexities = [lda.perplexity(test[:n]) for n in (5, 10, 25, 50)]
    assert max(perplexities) < 1.5 * min(perplexities) < 1.5 * 500
    parts = [lda.score(test[i : i + 5]) for i in range(0, 50, 5)]
    assert sum(parts) == pytest.approx(lda.score(test), rel=1e-9)
    assert lda.perplexity(test) == pytest.approx(np.exp(-sum(parts) / test.sum()), rel=1e-9)
    from sklearn.decomposition import LatentDirichletAllocation as Theirs

    theirs = Theirs(10, random_state=0).fit(X[:250])
    assert theirs.perplexity(test[:5]) > 100 * max(perplexities)


def test_L13_the_log_of_the_fit_and_the_methods_have_the_same_number():
    # There: "perplexity" in the log is another one than the method's; gensim's is 2 ** -bound of a
    # bound in nats. With flat point topics the objective is the bound that `score` sums.
    seen = []
    lda = make(
        "variational-em", topic_word_prior=1.0, doc_topic_prior=0.4, dtype="float64",
        mean_change_tol=1e-9, max_doc_update_iter=2000, max_iter=60,
        callbacks=lambda iteration, objective, elapsed: seen.append(objective),
    ).fit(COUNTS)  # fmt: skip
    assert seen == lda.lower_bounds_
    # From afresh a few documents may end at another fixed point: the topics of all others agree.
    assert lda.score(COUNTS) == pytest.approx(seen[-1], rel=2e-4)
    tokens = COUNTS.sum()
    assert np.log(lda.perplexity(COUNTS)) == pytest.approx(-lda.score(COUNTS) / tokens, rel=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("schedule", ["batch", "memoized"])
def test_the_bound_does_not_fall_in_sixty_passes(schedule, dtype):
    # scikit-learn: falls in 10 of 59 passes; γ is drawn anew in each, and the inner loop is loose.
    lda = make("mean-field", schedule, k=10, max_iter=60, dtype=dtype).fit(drawn(250))
    bounds = np.array(lda.lower_bounds_)
    assert len(bounds) == 61
    allowed = {"float64": 1e-10, "float32": 1e-6}[dtype] * np.abs(bounds).max()
    assert np.diff(bounds).min() >= -allowed


@pytest.mark.parametrize(("rung", "schedule"), CASES)
def test_one_job_or_two_are_the_same_bits(rung, schedule):
    # scikit-learn: components of one seed differ by up to 7.7 between 1 and 2 jobs.
    X = drawn(150)
    one, two = (make(rung, schedule, k=10, n_jobs=n).fit(X) for n in (1, 2))
    np.testing.assert_array_equal(one.components_, two.components_)
    np.testing.assert_array_equal(one.transform(X), two.transform(X))
    assert one.lower_bounds_ == two.lower_bounds_


@pytest.mark.parametrize(("rung", "schedule"), CASES)
@pytest.mark.parametrize("alpha", [5.0, [0.5, 2.0, 9.0], "learn", "learn-symmetric"])
def test_any_alpha_under_every_schedule(rung, schedule, alpha):
    # scikit-learn: one number up to 1.
    lda = make(rung, schedule, doc_topic_prior=alpha).fit(COUNTS)
    if isinstance(alpha, str):
        assert not np.allclose(lda.doc_topic_prior_, 1 / 3, rtol=1e-3)
    else:
        np.testing.assert_array_equal(lda.doc_topic_prior_, np.broadcast_to(alpha, 3))
    assert np.isfinite(lda.lower_bounds_).all()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_model_file_is_an_error(tmp_path, share):
    # tomotopy: a crash, or an endless loop.
    path = tmp_path / "topics.safetensors"
    make().fit(COUNTS).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ModelFileError):
            vemfast.load(path)
