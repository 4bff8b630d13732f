"""scikit-learn's users change the import, and their code runs."""

import warnings
from inspect import signature

import lda_data
import numpy as np
import pytest
from sklearn.decomposition import LatentDirichletAllocation as SklearnLda

from vemfast import LatentDirichletAllocation
from vemfast.io import load

COUNTS = lda_data.COUNTS
V = COUNTS.shape[1]


def make(**options):
    base = {"n_components": 3, "random_state": 0, "dtype": "float64"}
    return LatentDirichletAllocation(**{**base, **options})


def test_scikit_learn_s_options_and_defaults():
    theirs, own = SklearnLda().get_params(), LatentDirichletAllocation().get_params()
    assert {k: own[k] for k in own if k in theirs} == theirs
    for name in ("fit", "partial_fit", "transform", "fit_transform", "score", "perplexity"):
        wanted = signature(getattr(SklearnLda, name)).parameters
        assert set(wanted) <= set(signature(getattr(LatentDirichletAllocation, name)).parameters)


@pytest.mark.parametrize("method", ["batch", "online"])
def test_changing_the_import_is_all(method):
    """With every option of scikit-learn's class, few at their defaults."""
    options = {
        "n_components": 3, "doc_topic_prior": 0.3, "topic_word_prior": 0.2,
        "learning_method": method, "learning_decay": 0.6, "learning_offset": 5.0, "max_iter": 6,
        "batch_size": 16, "evaluate_every": 2, "total_samples": 500, "perp_tol": 1e-4,
        "mean_change_tol": 1e-4, "max_doc_update_iter": 50, "n_jobs": 2, "verbose": 0,
        "random_state": 1,
    }  # fmt: skip
    assert set(options) == set(SklearnLda().get_params())
    for kind in (SklearnLda, LatentDirichletAllocation):
        lda = kind(**options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            theta = lda.fit_transform(COUNTS)
        assert theta.shape == (len(COUNTS), 3)
        assert np.isfinite([lda.score(COUNTS), lda.perplexity(COUNTS, sub_sampling=True)]).all()
        assert lda.perplexity(COUNTS) > 1
        for name in ("components_", "exp_dirichlet_component_"):
            assert getattr(lda, name).shape == (3, V)
        assert lda.bound_ > 1
        assert (lda.n_iter_ <= 6, lda.n_features_in_) == (True, V)
        assert list(lda.get_feature_names_out()) == [
            f"latentdirichletallocation{k}" for k in range(3)
        ]
        assert lda.partial_fit(COUNTS).transform(COUNTS, normalize=False).shape == theta.shape


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 7}, "batch_size=7 has no effect"),
        ({"learning_decay": 0.5}, "learning_decay=0.5 has no effect"),
        ({"learning_offset": 50.0}, "learning_offset=50.0 has no effect"),
        ({"total_samples": 50}, "total_samples has no effect on fit"),
        ({"perp_tol": 0.2}, "perp_tol=0.2 has no effect without evaluate_every > 0"),
    ],
)
def test_scikit_learn_s_options_that_do_nothing_are_said_to(options, message):
    expected = make().fit(COUNTS)
    with pytest.warns(UserWarning, match=message) as caught:
        lda = make(**options).fit(COUNTS)
    assert [warning.filename for warning in caught] == [__file__]
    np.testing.assert_array_equal(lda.components_, expected.components_)
    with pytest.raises(ValueError, match=message):  # on a rung that it has not
        make(inference="hard-em", **options).fit(COUNTS)


@pytest.mark.parametrize("schedule", ["batch", "memoized", "minibatch"])
def test_a_perplexity_at_rest_ends_the_fit(schedule):
    settings = {"schedule": schedule, "max_iter": 60}
    whole = make(**settings).fit(COUNTS)
    tokens = COUNTS.sum()
    perplexity = np.exp(-np.array(whole.lower_bounds_) / tokens)
    assert whole.bound_ == pytest.approx(perplexity[-1])
    changes = abs(np.diff(perplexity[3::3]))  # of every third pass
    perp_tol = float(np.sort(changes)[len(changes) // 3]) * (1 + 1e-9)
    last = 3 * (2 + int(np.argmax(changes < perp_tol)))
    assert last < 60
    lda = make(**settings, evaluate_every=3, perp_tol=perp_tol).fit(COUNTS)
    assert (lda.n_iter_, lda.converged_, lda.stop_reason_) == (last, True, "tolerance")
    assert lda.lower_bounds_ == whole.lower_bounds_[: last + 1]
    assert lda.bound_ == pytest.approx(perplexity[last])
    never = make(**settings, evaluate_every=3, perp_tol=0.0).fit(COUNTS)
    assert (never.n_iter_, never.stop_reason_) == (60, "max_iter")


@pytest.mark.parametrize("inference", ["mean-field", "variational-em", "hard-em"])
def test_the_last_perplexity_is_one(inference, tmp_path):
    """Of many words in few documents, where point topics' prior density outweighs the words."""
    X = np.random.default_rng(0).poisson(0.01, size=(30, 3000))
    options = {"inference": inference, "max_iter": 8, "evaluate_every": 1, "perp_tol": 1e-9}
    lda = make(**options).fit(X)
    assert 1 < lda.bound_ < 1e9
    assert lda.n_iter_ == 8 or lda.stop_reason_ == "tolerance"
    if inference != "mean-field":
        own = make(inference=inference, max_iter=1).fit(X)
        assert own.lower_bound_ > 0  # the density is what a perplexity must leave out
    lda.save(tmp_path / "lda.safetensors")
    assert load(tmp_path / "lda.safetensors").bound_ == lda.bound_


def test_point_topics_do_not_end_at_the_second_look():
    lda = make(inference="variational-em", max_iter=40, evaluate_every=2, perp_tol=1e-3)
    lda.fit(COUNTS)
    still = make(inference="variational-em", max_iter=int(lda.n_iter_) - 2).fit(COUNTS)
    assert lda.n_iter_ > 4
    assert abs(still.bound_ - lda.bound_) < 1e-3
