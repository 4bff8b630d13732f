"""The use of fitted chains: decoding, filters, forecasts, samples, criteria."""

import pickle

import numpy as np
import pytest
from hmm_fits import LENGTHS, ROWS, all_paths, fitted, kinds, shown
from reliability.helpers import quiet
from scipy.special import logsumexp

from vemfast import BernoulliHMM, CategoricalHMM, GaussianHMM, PoissonHMM
from vemfast.estimators import HmmFilter


@kinds
def test_use_is_that_of_all_paths(kind):
    estimator, rows = fitted(kind), ROWS[kind][20:27]
    paths, joint = all_paths(estimator, rows)
    total = logsumexp(joint)
    assert estimator.score(rows) == pytest.approx(total, rel=1e-11)
    posterior = np.exp(joint - total)
    expected = np.array([[posterior[paths[:, t] == k].sum() for k in range(3)] for t in range(7)])
    np.testing.assert_allclose(estimator.predict_proba(rows), expected, atol=1e-11)
    value, path = estimator.decode(rows)
    assert value == pytest.approx(joint.max(), rel=1e-11)
    np.testing.assert_array_equal(path, paths[joint.argmax()])
    value, path = estimator.decode(rows, algorithm="map")
    np.testing.assert_array_equal(path, expected.argmax(axis=1))
    assert value == pytest.approx(joint[(paths == path).all(axis=1)][0], rel=1e-11)
    assert estimator.score_samples(rows)[0] == pytest.approx(total, rel=1e-11)


@kinds
def test_a_filter_sees_what_has_been(kind):
    estimator, rows = fitted(kind), ROWS[kind][:7]
    paths, _ = all_paths(estimator, rows)
    lagged = estimator.filter(lag=2)
    for t in range(1, 8):
        own = lagged.update(rows[t - 1])
        paths, joint = all_paths(estimator, rows[:t])
        p = np.exp(joint - logsumexp(joint))
        np.testing.assert_allclose(own, [p[paths[:, -1] == k].sum() for k in range(3)], atol=1e-11)
        assert lagged.log_likelihood == pytest.approx(logsumexp(joint), rel=1e-11)
        behind = paths[:, max(t - 3, 0)]
        np.testing.assert_allclose(
            lagged.smoothed(), [p[behind == k].sum() for k in range(3)], atol=1e-11
        )
    again = pickle.loads(pickle.dumps(lagged))
    np.testing.assert_array_equal(again.update(rows[0]), lagged.update(rows[0]))
    ahead = estimator.filter()
    for row in rows:
        ahead.update(row)
    states, expected = estimator.forecast(4, rows)
    np.testing.assert_allclose(ahead.forecast(4), states, atol=1e-13)
    step = estimator.predict_proba(rows)[-1] @ np.linalg.matrix_power(estimator.transmat_, 4)
    np.testing.assert_allclose(states[-1], step, atol=1e-13)
    np.testing.assert_allclose(expected[-1], step @ shown(estimator), rtol=1e-12)


def test_a_filter_does_not_follow_later_fits():
    estimator = fitted(GaussianHMM)
    first, second = estimator.filter(), estimator.filter()
    rows = ROWS[GaussianHMM]
    with quiet():
        estimator.fit(rows[:50] + 100.0)
    for row in rows[:5]:
        first.update(row)
    for row in rows[:5]:
        second.update(row)
    assert (
        first.log_likelihood
        == second.log_likelihood
        == pytest.approx(fitted(GaussianHMM).score(rows[:5]), rel=1e-11)
    )


@kinds
def test_samples_come_from_the_model(kind):
    estimator = fitted(kind)
    rows, states = estimator.sample(4000, random_state=1)
    assert rows.shape == (4000, ROWS[kind].shape[1])
    counts = np.zeros((3, 3))
    np.add.at(counts, (states[:-1], states[1:]), 1)
    visits = counts.sum(axis=1, keepdims=True)
    error = np.sqrt(estimator.transmat_ * (1 - estimator.transmat_) / visits)
    assert (abs(counts / visits - estimator.transmat_) <= 4.5 * error + 1e-12).all()
    again, _ = estimator.sample(4000, random_state=1)
    np.testing.assert_array_equal(rows, again)
    for k in range(3):
        own = rows[states == k]
        expected = shown(estimator)[k]
        if kind is CategoricalHMM:
            own = (own == np.arange(6)).astype(float)
        error = own.std(axis=0) / np.sqrt(len(own))
        assert (abs(own.mean(axis=0) - expected) <= 4.5 * error + 5.0 / len(own)).all()


@kinds
def test_criteria_count_free_parameters(kind):
    estimator, rows = fitted(kind), ROWS[kind]
    own = {GaussianHMM: 12, CategoricalHMM: 15, BernoulliHMM: 12, PoissonHMM: 6}[kind]
    zeros = (estimator.startprob_ == 0).sum() + (estimator.transmat_ == 0).sum()
    free = own + 2 + 6 - zeros
    total = estimator.score(rows, LENGTHS)
    assert estimator.aic(rows, LENGTHS) == pytest.approx(-2 * total + 2 * free, rel=1e-12)
    assert estimator.bic(rows, LENGTHS) == pytest.approx(-2 * total + free * np.log(200), rel=1e-12)


def test_the_stationary_distribution_stays():
    estimator = fitted(GaussianHMM, lengths=None)
    p = estimator.get_stationary_distribution()
    assert p.sum() == pytest.approx(1, rel=1e-12)
    np.testing.assert_allclose(p @ estimator.transmat_, p, atol=1e-12)


@kinds
@pytest.mark.parametrize("inference", ["em", "gibbs"])
def test_a_filter_carries_what_it_needs(kind, inference):
    """Of a sampler's fit no draws, of any fit no parameters that do not pickle."""
    estimator = fitted(kind, inference, callbacks=lambda **facts: False)
    if inference == "gibbs":
        estimator.posterior_.transmat = np.zeros((1, 200_000, 3, 3))
    made = HmmFilter(estimator, lag=1)
    data = pickle.dumps(made)
    assert len(data) < 40_000
    again = pickle.loads(data)
    for row in ROWS[kind][:3]:
        np.testing.assert_array_equal(again.update(row), made.update(row))
    assert made.log_likelihood == pytest.approx(estimator.score(ROWS[kind][:3]), rel=1e-11)


def test_numbers_of_steps_are_checked():
    estimator, rows = fitted(GaussianHMM), ROWS[GaussianHMM]
    for bad in (1.7, 0, -1, True, "2"):
        for act in (estimator.filter().forecast, lambda h: estimator.forecast(h, rows)):
            with pytest.raises(ValueError, match="h must be an integer >= 1"):
                act(bad)
        with pytest.raises(ValueError, match="n_samples must be an integer >= 1"):
            estimator.sample(bad)
    for bad in (0.5, -1, True):
        with pytest.raises(ValueError, match="lag must be an integer >= 0"):
            estimator.filter(lag=bad)


def test_a_sample_begins_with_the_state_that_is_given():
    """As hmmlearn's `currstate`."""
    estimator = fitted(GaussianHMM)
    estimator.transmat_ = np.roll(np.eye(3), 1, axis=1)  # from each state to the next
    for state in range(3):
        _, path = estimator.sample(4, random_state=0, currstate=state)
        np.testing.assert_array_equal(path, (state + np.arange(4)) % 3)
    for bad in (3, -1, 1.0, True, "1"):
        with pytest.raises(ValueError, match="currstate must be"):
            estimator.sample(4, currstate=bad)


def test_samples_are_hmmlearns_in_kind():
    hmm = pytest.importorskip("hmmlearn.hmm")
    estimator = fitted(GaussianHMM)
    peer = hmm.GaussianHMM(3)
    peer.startprob_, peer.transmat_ = estimator.startprob_, estimator.transmat_
    peer.means_, peer.covars_ = estimator.means_, estimator.covars_
    for state in range(3):
        assert peer.sample(5, 0, currstate=state)[1][0] == state
        assert estimator.sample(5, 0, currstate=state)[1][0] == state
