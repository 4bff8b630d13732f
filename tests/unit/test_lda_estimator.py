"""LatentDirichletAllocation as users meet it."""

import pickle
import warnings

import lda_data
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

import vemfast
from vemfast import LatentDirichletAllocation
from vemfast.documents import as_documents
from vemfast.models.lda_config import Start
from vemfast.models.lda_points import split_tokens

COUNTS = lda_data.COUNTS
CORPUS = [[(int(w), int(row[w])) for w in np.flatnonzero(row)] for row in COUNTS]
V = COUNTS.shape[1]
SHORT = {"gibbs": {"n_burn": 5, "n_draws": 4, "thin": 2}}
RUNGS = lda_data.RUNGS
POINT = ("variational-em", "hard-em")


def make(rung="mean-field", **options):
    base = {"n_components": 3, "random_state": 0, "dtype": "float64", "inference": rung}
    return LatentDirichletAllocation(**{**base, **SHORT.get(rung, {}), **options})


@pytest.mark.parametrize("rung", RUNGS)
def test_fit_has_the_attributes(rung):
    lda = make(rung).fit(COUNTS)
    assert lda.components_.shape == lda.topic_word_.shape == (3, V)
    np.testing.assert_allclose(lda.topic_word_.sum(axis=1), 1.0)
    assert lda.is_posterior_ == (rung == "mean-field")
    assert lda.n_features_in_ == V
    assert len(lda.lower_bounds_) == lda.n_iter_ + 1 or rung == "gibbs"
    assert lda.doc_topic_prior_.tolist() == [1 / 3] * 3
    assert lda.topic_word_prior_ == (1.01 if rung in POINT else 1 / 3)
    if rung == "mean-field":
        assert (lda.components_ > 1 / 3 - 1e-12).all()
        assert (lda.exp_dirichlet_component_.sum(axis=1) < 1).all()
    else:
        np.testing.assert_array_equal(lda.exp_dirichlet_component_, lda.components_)
    if rung == "gibbs":
        assert lda.posterior_.topics.shape == (1, 4, 3, V)
        best = lda.posterior_.log_joint.argmax()
        np.testing.assert_array_equal(lda.components_, lda.posterior_.topics[0, best])
        np.testing.assert_allclose(lda.topic_word_, lda.posterior_.topics[0].mean(axis=0))
    assert not hasattr(LatentDirichletAllocation(), "exp_dirichlet_component_")


def test_a_pass_is_the_twin_s():
    topics = lda_data.topics_of().T
    priors = {"doc_topic_prior": 0.4, "topic_word_prior": 0.2}
    lda = make(topics_init=topics, max_iter=4, **priors).fit(COUNTS)
    config = lda_data.LdaConfig(3, V, 0.4, None, 0.2)
    twin = lda_data.Reference(config, Start(topics=topics.T))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        expected = vemfast.fit(
            twin, as_documents(COUNTS), inference="mean-field", max_iter=4, tol=0
        )
    np.testing.assert_allclose(lda.lower_bounds_, expected.lower_bounds, rtol=1e-9)
    np.testing.assert_allclose(lda.components_, expected.params["lambda"].T, rtol=1e-7)


@pytest.mark.parametrize("rung", RUNGS)
def test_documents_of_any_form_are_the_same(rung):
    expected = make(rung).fit(COUNTS)
    theta = expected.transform(COUNTS)
    for X in (
        scipy.sparse.csr_matrix(COUNTS),
        scipy.sparse.coo_array(COUNTS.astype(np.float32)),
        COUNTS.tolist(),
        CORPUS,
        pd.DataFrame(COUNTS, columns=[f"w{i}" for i in range(V)]),
    ):
        if X is CORPUS:
            last = max(w for document in CORPUS for w, _ in document)
            if last < V - 1:
                continue
        lda = make(rung).fit(X)
        np.testing.assert_array_equal(lda.components_, expected.components_)
        np.testing.assert_array_equal(lda.transform(X), theta)
    assert lda.feature_names_in_[3] == "w3"


def test_schedules():
    batch = make(max_iter=30).fit(COUNTS).held_out_score(COUNTS)
    memoized = make(max_iter=10, schedule="memoized", n_batches=4).fit(COUNTS)
    assert (np.diff(memoized.lower_bounds_) > -1e-9 * abs(memoized.lower_bound_)).all()
    online = make(max_iter=20, learning_method="online", batch_size=10).fit(COUNTS)
    same = make(max_iter=20, schedule="minibatch", batch_size=10).fit(COUNTS)
    np.testing.assert_array_equal(online.components_, same.components_)
    for lda in (memoized, online):
        assert abs(lda.held_out_score(COUNTS) - batch) < 0.15


def test_no_warning_by_default_and_one_where_a_tolerance_is_missed():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make().fit(COUNTS)
    with pytest.warns(ConvergenceWarning):
        make(tol=1e-9).fit(COUNTS)
    lda = make(tol=1e-2, max_iter=200).fit(COUNTS)
    assert lda.converged_
    assert lda.n_iter_ < 200


@pytest.mark.parametrize("rung", RUNGS)
def test_same_bits_for_any_number_of_threads(rung):
    a, b = (make(rung, n_jobs=n, dtype="float32").fit(COUNTS) for n in (1, 3))
    np.testing.assert_array_equal(a.components_, b.components_)
    assert a.lower_bounds_ == b.lower_bounds_
    np.testing.assert_array_equal(a.transform(COUNTS), b.transform(COUNTS))


def test_scores():
    lda = make(max_iter=20).fit(COUNTS)
    bounds = lda.score_samples(COUNTS)
    assert bounds.shape == (len(COUNTS),)
    assert bounds[0] == 0.0  # L1: an empty document
    np.testing.assert_allclose(lda.transform(COUNTS[:1])[0], 1 / 3)
    assert lda.score(COUNTS) == pytest.approx(bounds.sum())
    weights = np.arange(len(COUNTS)) % 3.0
    assert lda.score(COUNTS, sample_weight=weights) == pytest.approx(bounds @ weights)
    # L13: the perplexity of the whole from its parts
    tokens = COUNTS.sum()
    assert lda.perplexity(COUNTS) == pytest.approx(np.exp(-bounds.sum() / tokens))
    halves = sum(np.log(lda.perplexity(X)) * X.sum() for X in (COUNTS[:15], COUNTS[15:]))
    assert np.exp(halves / tokens) == pytest.approx(lda.perplexity(COUNTS), rel=1e-12)
    gamma = lda.transform(COUNTS, normalize=False)
    np.testing.assert_allclose(gamma.sum(axis=1), 1.0 + COUNTS.sum(axis=1))
    np.testing.assert_array_equal(make(max_iter=20).fit_transform(COUNTS), lda.transform(COUNTS))


def test_held_out_score_is_by_document_completion():
    lda = make(max_iter=20).fit(COUNTS)
    seen, held = split_tokens(as_documents(COUNTS), np.random.default_rng(1))
    np.testing.assert_array_equal(held.tokens, np.ceil(COUNTS.sum(axis=1) / 2))
    np.testing.assert_array_equal(seen.tokens, COUNTS.sum(axis=1) // 2)
    dense = [np.zeros(COUNTS.shape) for _ in range(2)]
    for block, out in zip((seen, held), dense, strict=True):
        for d in range(block.n):
            words, counts = block.words_of(d)
            out[d, words] = counts
    np.testing.assert_array_equal(dense[0] + dense[1], COUNTS)
    mixed = lda.transform(dense[0]) @ lda.topic_word_
    expected = (dense[1] * np.log(mixed)).sum() / dense[1].sum()
    score = lda.held_out_score(COUNTS, random_state=np.random.default_rng(1))
    assert score == pytest.approx(expected, rel=1e-10)
    assert lda.held_out_score(COUNTS) == lda.held_out_score(COUNTS)
    # Halves are as likely as any others.
    first = [split_tokens(as_documents([[2, 2]]), np.random.default_rng(i))[0] for i in range(300)]
    ones = np.mean([block.n and block.words_of(0)[1].size == 2 for block in first])
    assert 0.55 < ones < 0.78  # 2/3


def test_held_out_score_tells_good_topics_from_bad():
    truth = lda_data.corpus(400, seed=3)
    lda = make(max_iter=30).fit(truth[:300])
    bad = make(n_components=1).fit(truth[:300])
    assert lda.held_out_score(truth[300:]) > bad.held_out_score(truth[300:]) + 0.1


@pytest.mark.parametrize("rung", ["mean-field", "variational-em", "hard-em"])
def test_partial_fit(rung):
    lda = make(rung, total_samples=len(COUNTS), learning_offset=1.0)
    for _ in range(5):
        for part in (COUNTS[:20], COUNTS[20:]):
            lda.partial_fit(part)
    assert lda.n_iter_ == 10
    assert lda.stop_reason_ == "partial_fit"
    whole = make(rung, max_iter=10).fit(COUNTS)
    assert abs(lda.held_out_score(COUNTS) - whole.held_out_score(COUNTS)) < 0.3
    # Statistics are those of all documents: an estimate of the number of tokens.
    if rung == "mean-field":
        assert lda.components_.sum() == pytest.approx(COUNTS.sum() + V, rel=0.1)
    before = lda.components_.copy()
    with pytest.raises(ValueError, match="X has 5 features"):  # L12
        lda.partial_fit(COUNTS[:, :5])
    lda.set_params(learning_decay=0.4)
    with pytest.raises(ValueError, match=r"learning_decay must be in \(0.5, 1\]; got 0.4"):
        lda.partial_fit(COUNTS)
    np.testing.assert_array_equal(lda.components_, before)


def test_partial_fit_with_scikit_learn_s_default_number_of_documents():
    lda = make().partial_fit(COUNTS)
    length = COUNTS.sum() / len(COUNTS)
    assert lda.components_.sum() == pytest.approx(1e6 * length, rel=1e-3)


def test_learned_priors():
    lda = make(doc_topic_prior="learn", topic_word_prior="learn", max_iter=30).fit(COUNTS)
    assert np.ptp(lda.doc_topic_prior_) > 0
    assert lda.topic_word_prior_ != 1 / 3
    assert (np.diff(lda.lower_bounds_) > -1e-6).all()
    fixed = make(max_iter=30).fit(COUNTS)
    symmetric = clone(fixed).set_params(doc_topic_prior="learn-symmetric")
    symmetric.set_params(topics_init=fixed.components_).fit(COUNTS)
    assert np.ptp(symmetric.doc_topic_prior_) == 0
    assert symmetric.lower_bound_ > fixed.lower_bound_


LEARNED = [
    (rung, schedule)
    for rung in RUNGS
    for schedule in ("batch", "memoized", "minibatch", "partial_fit")
    if rung != "gibbs" or schedule == "batch"
]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("alpha", ["learn", "learn-symmetric"])
@pytest.mark.parametrize(("rung", "schedule"), LEARNED)
def test_priors_are_learned_on_every_rung_and_schedule(rung, schedule, alpha, dtype):
    options = {"doc_topic_prior": alpha, "dtype": dtype}
    if rung in ("mean-field", "gibbs"):
        options["topic_word_prior"] = "learn"
    # Most documents are empty or of one word: there the plain Newton step leaves the positive.
    hard = np.zeros((60, V), dtype=int)
    hard[::3, ::4] = 1
    hard[1::9, 2] = 40

    def fitted(X, n_jobs):
        if schedule == "partial_fit":
            lda = make(rung, total_samples=len(X), n_jobs=n_jobs, **options)
            for part in np.array_split(X, 4):
                lda.partial_fit(part)
            return lda
        own = {"memoized": {"n_batches": 4}, "minibatch": {"batch_size": 10}}.get(schedule, {})
        return make(rung, schedule=schedule, n_jobs=n_jobs, **options, **own).fit(X)

    for X in (COUNTS[1:], hard):
        one, two = fitted(X, 1), fitted(X, 2)
        assert (one.doc_topic_prior_ > 0).all()
        assert np.isfinite(one.doc_topic_prior_).all()
        assert (one.doc_topic_prior_ != 1 / 3).all()
        assert (np.ptp(one.doc_topic_prior_) == 0) == (alpha == "learn-symmetric")
        np.testing.assert_array_equal(one.doc_topic_prior_, two.doc_topic_prior_)
        assert one.topic_word_prior_ == two.topic_word_prior_
        if "topic_word_prior" in options:
            assert 0 < one.topic_word_prior_ != 1 / 3
        if schedule in ("batch", "memoized") and rung != "gibbs":
            falls = -np.diff(one.lower_bounds_)
            allowed = 2e-6 if dtype == "float32" else 1e-9
            assert (falls <= allowed * max(abs(one.lower_bound_), X.sum())).all()


def test_priors_of_any_shape():
    words = np.linspace(0.1, 0.5, V)
    a = make(topic_word_prior=words).fit(COUNTS)
    b = make(topic_word_prior=np.tile(words, (3, 1))).fit(COUNTS)
    np.testing.assert_allclose(a.components_, b.components_, rtol=1e-12)
    np.testing.assert_array_equal(a.topic_word_prior_, words)
    assert b.topic_word_prior_.shape == (3, V)
    assert make(doc_topic_prior=[0.1, 0.2, 0.3]).fit(COUNTS).doc_topic_prior_.tolist() == [
        0.1, 0.2, 0.3,
    ]  # fmt: skip


def test_weights_are_repetitions():
    times = np.random.default_rng(0).integers(0, 3, len(COUNTS))
    options = {"topics_init": lda_data.topics_of().T, "max_iter": 5}
    weighted = make(**options).fit(COUNTS, sample_weight=times)
    repeated = make(**options).fit(np.repeat(COUNTS, times, axis=0))
    np.testing.assert_allclose(weighted.components_, repeated.components_, rtol=1e-9)


def test_warm_start_goes_on():
    lda = make(max_iter=5).fit(COUNTS)
    first = lda.lower_bound_
    lda.set_params(warm_start=True).fit(COUNTS)
    assert lda.lower_bounds_[-1] > first
    assert lda.lower_bounds_[0] > make().fit(COUNTS).lower_bounds_[0]
    lda.set_params(inference="variational-em").fit(COUNTS)
    assert not lda.is_posterior_
    with pytest.raises(ValueError, match="clone the estimator first"):
        lda.set_params(n_components=4).fit(COUNTS)


def test_several_starts_keep_the_best():
    single = [make(random_state=0, n_init=1, init="random").fit(COUNTS)]
    several = make(random_state=0, n_init=6, init="random").fit(COUNTS)
    assert several.lower_bound_ >= single[0].lower_bound_


def test_top_words_and_names():
    lda = make().fit(COUNTS)
    order = np.argsort(-lda.topic_word_[1])[:4].tolist()
    assert lda.top_words(n=4)[1] == order
    words = [f"w{i}" for i in range(V)]
    named = [f"w{i}" for i in order]
    assert lda.top_words(words, 4)[1] == named
    assert lda.top_words(dict(enumerate(words)), 4)[1] == named
    assert lda.top_words({word: i for i, word in enumerate(words)}, 4)[1] == named
    assert make().fit(pd.DataFrame(COUNTS, columns=words)).top_words(n=4)[1] == named
    assert len(lda.top_words(n=1000)[0]) == V
    with pytest.raises(ValueError, match="vocabulary has 2 words, but the topics have 13"):
        lda.top_words(["a", "b"])
    with pytest.raises(ValueError, match="no word for number 2"):
        lda.top_words({"a": 0, "b": 1})
    assert lda.get_feature_names_out()[2] == "latentdirichletallocation2"
    assert list(lda.set_output(transform="pandas").transform(COUNTS).columns) == list(
        lda.get_feature_names_out()
    )


def test_sample():
    lda = make().fit(COUNTS)
    X, theta = lda.sample(2000, length=30)
    assert X.shape == (2000, V)
    np.testing.assert_array_equal(X.sum(axis=1), 30)
    np.testing.assert_allclose(theta.mean(axis=0), 1 / 3, atol=0.05)
    np.testing.assert_allclose(X.sum(axis=0) / X.sum(), theta.mean(axis=0) @ lda.topic_word_,
                               atol=0.01)  # fmt: skip
    X, _ = lda.sample(3, length=[5, 0, 7])
    assert X.sum(axis=1).tolist() == [5, 0, 7]
    refused = {"n_samples": (0,), "length has shape": (2, [1]), "length must be": (1, 1.5)}
    for message, arguments in refused.items():
        with pytest.raises(ValueError, match=message):
            lda.sample(*arguments)


@pytest.mark.parametrize("rung", RUNGS)
def test_model_files(rung, tmp_path):
    for options in ({}, {"topic_word_prior": np.linspace(1, 2, V)}):
        lda = make(rung, **options).fit(COUNTS)
        lda.save(tmp_path / "lda.safetensors")
        again = vemfast.load(tmp_path / "lda.safetensors")
        np.testing.assert_array_equal(again.transform(COUNTS), lda.transform(COUNTS))
        np.testing.assert_array_equal(again.topic_word_prior_, lda.topic_word_prior_)
        assert again.lower_bounds_ == lda.lower_bounds_
        assert again.held_out_score(COUNTS) == lda.held_out_score(COUNTS)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(lda)).components_, lda.components_)


def test_one_ladder():
    result = vemfast.ladder(make(max_iter=15), COUNTS[:30], COUNTS[30:])
    assert [row.rung for row in result] == ["gibbs", "mean-field", "variational-em", "hard-em"]
    assert "intractable" in result.refused["em"] or "sum over all" in result.refused["em"]
    assert all(-4 < row.held_out < -1 for row in result)


def test_callbacks_stop():
    seen = []

    def stop(iteration, objective, elapsed):
        seen.append(objective)
        return iteration == 3

    lda = make(callbacks=stop).fit(COUNTS)
    assert lda.n_iter_ == 3
    assert lda.stop_reason_ == "callback"
    assert seen == lda.lower_bounds_


# ---- what is refused ----


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inference": "em"}, "no inference='em': given a document's words"),
        ({"inference": "variational-em", "topic_word_prior": 0.5}, "0.5 < 1 has no mode"),
        ({"inference": "hard-em", "topic_word_prior": "learn"}, "without bound"),
        ({"inference": "variational-em", "topic_word_prior": "learn"}, "without bound"),
        ({"inference": "hard-em", "topic_word_prior": 1.0, "schedule": "minibatch"}, "must be > 1"),
        ({"inference": "gibbs", "schedule": "memoized"}, "does not run under schedule='memoized'"),
        ({"inference": "gibbs", "max_iter": 7}, "max_iter=7 has no effect with inference='gibbs'"),
        ({"inference": "gibbs", "n_init": 2}, "n_init=2 has no effect"),
        ({"n_draws": 3}, "n_draws=3 has no effect with inference='mean-field'"),
        ({"inference": "gibbs", "evaluate_every": 2}, "evaluate_every=2 has no effect"),
        ({"evaluate_every": 2, "n_init": 2}, "give it to a fit with n_init=1"),
        ({"n_batches": 7, "schedule": "minibatch"}, "n_batches=7 has no effect"),
        ({"tol": 0.1, "schedule": "minibatch"}, "tol=0.1 has no effect"),
        ({"learning_method": "online", "learning_decay": 0.5}, "learning_decay must be in"),
        ({"learning_method": "online", "schedule": "batch"}, "give one of them"),
        ({"learning_method": "online", "schedule": "memoized"}, "give one of them"),
        ({"doc_topic_prior": [1.0, 2.0]}, r"doc_topic_prior has shape \(2,\)"),
        ({"doc_topic_prior": [1.0, 0.0, 1.0]}, "doc_topic_prior must be finite and > 0"),
        ({"doc_topic_prior": "lern"}, "doc_topic_prior"),
        ({"doc_topic_prior": -1.0}, "doc_topic_prior"),
        ({"topic_word_prior": np.ones((13, 3))}, r"topic_word_prior has shape \(13, 3\)"),
        ({"topics_init": np.ones((2, 13))}, r"topics_init has shape \(2, 13\)"),
        (
            {"topics_init": -np.ones((3, 13))},
            "must be finite and >= 0; topic 0, word 0",
        ),
        ({"topics_init": np.eye(3, 13, 13)}, "no word in topic 0"),
        ({"n_components": 0}, "n_components"),
        ({"dtype": "float16"}, "dtype"),
    ],
)
def test_options_that_are_refused(options, message):
    lda = make().fit(COUNTS)
    before = lda.components_
    lda.set_params(**options)
    with pytest.raises(ValueError, match=message):
        lda.fit(COUNTS)
    assert lda.components_ is before


@pytest.mark.parametrize(
    ("rung", "X", "error", "message"),
    [
        ("mean-field", np.zeros((4, 3), dtype=int), ValueError, "no tokens"),  # L2
        ("mean-field", [[], []], ValueError, "no tokens"),
        ("mean-field", -COUNTS, ValueError, "Negative values in data passed .* document 1, word"),
        ("mean-field", np.where(COUNTS == 2, np.nan, COUNTS), ValueError, "NaN"),  # L3
        ("hard-em", COUNTS * 0.5, ValueError, "whole numbers"),  # L4
        ("gibbs", COUNTS * 0.5, ValueError, "whole numbers"),
        ("mean-field", np.array([["a"]]), TypeError, "numbers"),
    ],
)
def test_documents_that_are_refused(rung, X, error, message):
    lda = make(rung)
    with pytest.raises(error, match=message):
        lda.fit(X)
    assert not hasattr(lda, "components_")


def test_other_refusals():
    with pytest.raises(NotFittedError):
        make().transform(COUNTS)
    lda = make().fit(COUNTS)
    with pytest.raises(ValueError, match="X has 4 features, but LatentDirichletAllocation is exp"):
        lda.transform(COUNTS[:, :4])
    with pytest.raises(ValueError, match="document 0: word number 13 is not in"):  # L7
        lda.transform([[(13, 1)]])
    with pytest.raises(ValueError, match="inference='gibbs' takes no sample_weight"):
        make("gibbs").fit(COUNTS, sample_weight=np.ones(len(COUNTS)))
    with pytest.raises(ValueError, match="no tokens"):
        lda.perplexity(np.zeros((2, V)))
    with pytest.raises(ValueError, match="no tokens to hold out"):
        lda.held_out_score(np.zeros((2, V)))
    with pytest.raises(ValueError, match="splits tokens, so counts must be whole"):
        lda.held_out_score(COUNTS * 0.3)
    with pytest.raises(ValueError, match="n must be"):
        lda.top_words(n=0)
    assert clone(lda).get_params()["random_state"] == 0


def test_pyldavis_gets_what_it_takes():
    X = np.array([[2, 0, 1, 0], [0, 0, 0, 0], [1, 0, 5, 0], [0, 0, 0, 3]])
    lda = LatentDirichletAllocation(2, random_state=0).fit(X)
    given = lda.to_pyldavis(X, list("abcd"))
    assert set(given) == {
        "topic_term_dists", "doc_topic_dists", "doc_lengths", "vocab", "term_frequency",
    }  # fmt: skip
    # The word b and the second document have no tokens.
    assert given["vocab"] == ["a", "c", "d"]
    np.testing.assert_array_equal(given["term_frequency"], [3, 6, 3])
    np.testing.assert_array_equal(given["doc_lengths"], [3, 6, 3])
    some = lda.topic_word_[:, [0, 2, 3]]
    np.testing.assert_allclose(given["topic_term_dists"], some / some.sum(axis=1)[:, None])
    np.testing.assert_allclose(given["doc_topic_dists"], lda.transform(X[[0, 2, 3]]), rtol=1e-6)
    assert lda.to_pyldavis(X)["vocab"] == ["0", "2", "3"]
    with pytest.raises(ValueError, match="no tokens"):
        lda.to_pyldavis(np.zeros((2, 4), dtype=int))
