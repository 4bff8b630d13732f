"""`ladder` and `select` of hidden Markov models."""

import numpy as np
import pytest
from hmm_fits import LENGTHS, ROWS, kinds
from reliability.helpers import quiet

from vemfast import GMMHMM, CategoricalHMM, GaussianHMM, GaussianMixture, ladder, select
from vemfast.inference import METHODS

_rng = np.random.default_rng(0)
STATES = np.arange(400) // 20 % 2
X = np.c_[5.0 * STATES, -4.0 * STATES] + _rng.normal(size=(400, 2))
PARTS = [40] * 10


@kinds
def test_every_rung_from_one_start(kind):
    options = {"n_burn": 20, "n_draws": 20, "n_chains": 2}
    test = ROWS[kind][:40]
    with quiet():
        result = ladder(kind(3, random_state=0, **options), ROWS[kind], test, lengths=LENGTHS)
    assert [row.rung for row in result] == list(METHODS)
    assert result["gibbs"].distance == 0.0
    own = ("startprob_init", "transmat_init")
    for row in result:
        assert row.held_out == pytest.approx(row.estimator.score(test) / 40, rel=1e-12)
        for name in own:
            np.testing.assert_array_equal(
                getattr(row.estimator, name), getattr(result["em"].estimator, name)
            )
    first = {row.rung: row.estimator.lower_bounds_[0] for row in result}
    for lower in ("variational-em", "hard-em"):
        assert first["em"] >= first[lower] - 1e-9 * abs(first["em"])
    # The common start is where the estimator itself would begin.
    with quiet():
        alone = kind(3, random_state=0).fit(ROWS[kind], LENGTHS)
    assert first["em"] == pytest.approx(alone.lower_bounds_[0], rel=1e-9)


def test_sequences_are_held_out():
    with quiet():
        result = ladder(GaussianHMM(2, random_state=0, n_chains=1), X, lengths=PARTS)
    held = np.concatenate([X[:40], X[200:240]])
    em = result["em"]
    assert em.held_out == pytest.approx(em.estimator.score(held, [40, 40]) / 80, rel=1e-12)
    assert all(row.distance < 0.2 for row in result)
    with quiet():
        listed = ladder(GaussianHMM(2, random_state=0, n_chains=1), np.split(X, 10))
    assert listed["em"].objective == em.objective
    with pytest.raises(ValueError, match=r"one sequence.*X_test"):
        ladder(GaussianHMM(2), X)
    with pytest.raises(ValueError, match="GaussianMixture takes no lengths"):
        ladder(GaussianMixture(2), X, lengths=PARTS)


def test_rungs_that_states_of_mixtures_lack_are_told():
    with quiet():
        result = ladder(GMMHMM(2, 2, random_state=0), X, lengths=PARTS)
    assert [row.rung for row in result] == ["em", "hard-em"]
    assert "inference" in result.refused["mean-field"]
    with quiet():
        zeros = ladder(
            GaussianHMM(2, random_state=0, transmat_support=[[1, 1], [0, 1]], n_chains=1),
            [X[:40]] * 6,
        )
    assert "'em'" in zeros.refused["variational-em"]


def test_the_number_of_states_is_found():
    with quiet():
        found = select(
            X, GaussianHMM, n_components=range(1, 5), n_init=2, lengths=PARTS, random_state=0
        )
    assert found.best_params_ == {"n_components": 2}
    best = found.best_estimator_
    row = found.table[1]
    assert row["bic"] == pytest.approx(best.bic(X, PARTS), rel=1e-10)
    joint = best.decode(X, PARTS)[0]
    icl = row["bic"] - 2 * (joint - best.score(X, PARTS))
    assert row["icl"] == pytest.approx(icl, rel=1e-10)
    # It is what a fit with as many starts finds.
    with quiet():
        alone = GaussianHMM(2, n_init=2, random_state=0).fit(X, PARTS)
    assert best.lower_bound_ == pytest.approx(alone.lower_bound_, rel=1e-9)


def test_the_bound_may_choose_and_types_too():
    with quiet():
        by_bound = select(
            np.split(X, 10), GaussianHMM(inference="mean-field", random_state=0),
            n_components=[1, 2, 3], covariance_type=["diag", "full"], criterion="elbo", n_init=2,
        )  # fmt: skip
        codes = select(
            2 * STATES[:, None] + _rng.integers(0, 2, (400, 1)),
            CategoricalHMM(random_state=0),
            n_components=[1, 2],
            n_init=2,
        )
    assert by_bound.best_params_["n_components"] == 2
    assert codes.best_params_ == {"n_components": 2}
    with pytest.raises(ValueError, match="gibbs has draws"):
        select(X, GaussianHMM(inference="gibbs"))
    with pytest.raises(ValueError, match="schedule='batch'"):
        select(X, GaussianHMM(schedule="memoized"))
    with pytest.raises(ValueError, match="GaussianMixture takes no lengths"):
        select(X, lengths=PARTS)
