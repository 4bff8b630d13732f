"""The callback that scores held-out documents during a fit."""

import lda_data
import numpy as np
import pytest

from vemfast import GaussianMixture, LatentDirichletAllocation
from vemfast.metrics import HeldOutScore

COUNTS = lda_data.corpus(n=80, length=30)
TRAIN, TEST = COUNTS[:60], COUNTS[60:]


@pytest.mark.parametrize(
    "options",
    [
        {"inference": "mean-field"},
        {"inference": "variational-em", "doc_topic_prior": "learn"},
        {"inference": "hard-em", "schedule": "memoized", "n_batches": 3},
        {"inference": "mean-field", "schedule": "minibatch", "batch_size": 20},
    ],
)
def test_scores_are_those_of_shorter_fits(options):
    watch = HeldOutScore(TEST, every=2)
    base = {"random_state": 0, "n_jobs": 1, **options}
    lda = LatentDirichletAllocation(3, max_iter=5, callbacks=watch, **base).fit(TRAIN)
    assert watch.iterations == [0, 2, 4]
    assert len(watch.scores) == len(watch.seconds) == 3
    assert (np.diff(watch.seconds) >= 0).all()
    assert watch.curve == list(zip(watch.seconds, watch.scores, strict=True))
    plain = LatentDirichletAllocation(3, max_iter=4, **base).fit(TRAIN)
    assert watch.scores[-1] == plain.held_out_score(TEST)
    longer = LatentDirichletAllocation(3, max_iter=5, **base).fit(TRAIN)
    np.testing.assert_array_equal(lda.components_, longer.components_)


def test_gibbs_is_scored_draw_by_draw():
    watch = HeldOutScore(TEST, every=3)
    options = {"inference": "gibbs", "n_burn": 5, "n_draws": 1, "thin": 1, "random_state": 0}
    lda = LatentDirichletAllocation(3, callbacks=watch, **options).fit(TRAIN)
    assert watch.iterations == [0, 3, 6]
    assert watch.scores[-1] == lda.held_out_score(TEST)


def test_other_callbacks_are_called_as_before():
    seen = []
    watch = HeldOutScore(TEST, every=1)

    def tell(iteration, objective, elapsed):
        seen.append(iteration)
        return iteration == 3

    lda = LatentDirichletAllocation(3, callbacks=[tell, watch], random_state=0).fit(TRAIN)
    assert seen == watch.iterations == [0, 1, 2, 3]
    assert lda.stop_reason_ == "callback"


def test_patience_stops_a_fit_that_no_longer_gains():
    watch = HeldOutScore(TEST, every=1, patience=2)
    options = {"max_iter": 300, "random_state": 0, "callbacks": watch}
    lda = LatentDirichletAllocation(3, **options).fit(TRAIN)
    assert lda.stop_reason_ == "callback"
    assert lda.n_iter_ == watch.iterations[-1] < 300
    best = int(np.argmax(watch.scores))
    assert len(watch.scores) - 1 - best == 2


def test_a_new_fit_begins_anew():
    watch = HeldOutScore(TEST, every=4)
    lda = LatentDirichletAllocation(3, max_iter=4, random_state=0, callbacks=watch)
    first = (lda.fit(TRAIN), list(watch.scores))[1]
    lda.fit(TRAIN)
    assert watch.scores == first


def test_what_cannot_be_scored_is_refused_before_the_fit():
    def fitted(X, **options):
        watch = HeldOutScore(X)
        return LatentDirichletAllocation(3, callbacks=watch, **options).fit(TRAIN)

    with pytest.raises(ValueError, match="held-out documents: X has 5 features"):
        fitted(TEST[:, :5])
    with pytest.raises(ValueError, match=r"held-out documents: .*whole numbers"):
        fitted(TEST * 0.5)
    with pytest.raises(ValueError, match="held-out documents: X has no tokens"):
        fitted(0 * TEST)
    with pytest.raises(ValueError, match="n_init=1"):
        fitted(TEST, n_init=2)
    with pytest.raises(ValueError, match="every must be an integer >= 1"):
        HeldOutScore(TEST, every=0)
    with pytest.raises(ValueError, match="patience must be an integer >= 1"):
        HeldOutScore(TEST, patience=0)
    with pytest.raises(ValueError, match="for the callbacks of LatentDirichletAllocation"):
        GaussianMixture(2, callbacks=HeldOutScore(TEST)).fit(TRAIN.astype(float))


def test_it_is_drawn():
    pytest.importorskip("matplotlib").use("Agg")
    from vemfast import plot

    watch = HeldOutScore(TEST, every=1)
    LatentDirichletAllocation(3, max_iter=3, random_state=0, callbacks=watch).fit(TRAIN)
    (line,) = plot.held_out({"mean-field": watch}).lines
    np.testing.assert_array_equal(line.get_xydata(), watch.curve)
