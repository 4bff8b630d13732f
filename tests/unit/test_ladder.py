"""The ladder: every legal rung, one start, one table."""

import numpy as np
import pytest

from vemfast import GaussianMixture, ladder
from vemfast.inference import METHODS


@pytest.fixture
def data():
    rng = np.random.default_rng(5)
    centres = np.array([[0.0, 0.0], [5.0, 1.0], [-1.0, 6.0]])
    return np.concatenate([rng.normal(c, 1.0, (60, 2)) for c in centres])


def test_every_rung_from_one_start(data):
    result = ladder(GaussianMixture(3, random_state=0, n_jobs=1), data)
    assert [row.rung for row in result] == list(METHODS)
    assert result.refused == {}
    assert result["gibbs"].distance == 0.0
    # Well separated: every rung finds the same three clusters.
    assert all(row.distance < 0.5 for row in result)
    starts = [row.estimator.means_init for row in result]
    assert all(np.array_equal(start, starts[0]) for start in starts)
    # At one start, the bounds of the point rungs are ordered.
    first = {row.rung: row.estimator.lower_bounds_[0] for row in result}
    assert first["em"] == first["variational-em"] >= first["hard-em"]
    held_out = data[::5]
    assert result["em"].held_out == result["em"].estimator.score(held_out)


def test_the_estimator_is_not_changed_and_a_given_test_set_is_used(data):
    estimator = GaussianMixture(2, random_state=1, inference="gibbs", n_draws=20, n_burn=10)
    before = estimator.get_params()
    result = ladder(estimator, data[:150], data[150:])
    assert estimator.get_params() == before
    assert not hasattr(estimator, "means_")
    assert result["gibbs"].estimator.posterior_.weights.shape == (4, 20, 2)
    assert result["em"].estimator.n_draws == 200  # its default: "em" has no draws
    assert result["em"].held_out == result["em"].estimator.score(data[150:])


def test_a_refused_rung_is_listed_with_its_reason(data):
    estimator = GaussianMixture(
        3, weight_concentration_prior_type="dirichlet_process", random_state=0, n_jobs=1
    ).set_params(inference="mean-field")
    result = ladder(estimator, data)
    assert [row.rung for row in result] == ["gibbs", "mean-field"]
    assert "use inference='mean-field'" in result.refused["em"]
    text = str(result)
    assert text.splitlines()[0].split()[:2] == ["rung", "objective"]
    assert "em: weight_concentration_prior_type" in text


def test_weights_go_with_their_rows(data):
    weights = np.arange(len(data)) % 3.0
    result = ladder(GaussianMixture(3, random_state=0, n_jobs=1), data, sample_weight=weights)
    kept = np.arange(len(data)) % 5 != 0
    start = {name: getattr(result["em"].estimator, name) for name in ("weights_init", "means_init")}
    start["precisions_init"] = result["em"].estimator.precisions_init
    alone = GaussianMixture(3, **start).fit(data[kept], sample_weight=weights[kept])
    assert alone.lower_bound_ == result["em"].objective
