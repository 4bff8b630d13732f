"""`vemfast.select`: the grid, the race of the starts, the criteria."""

import warnings
from pathlib import Path

import numpy as np
import pytest

import vemfast
from vemfast import GaussianMixture, NumericalError, PoissonMixture
from vemfast.errors import DegenerateWarning
from vemfast.inference.monitor import FitResult
from vemfast.inference.racing import Race, Runner
from vemfast.models.base import Step
from vemfast.models.gaussian_config import COVARIANCE_TYPES

FAITHFUL = np.loadtxt(
    Path(__file__).parents[1] / "data" / "faithful.csv", delimiter=",", skiprows=1
)
_rng = np.random.default_rng(0)
BLOBS = np.concatenate([_rng.normal(c, 1.0, (80, 2)) for c in (0.0, 6.0, 12.0)])


def choose(X=BLOBS, estimator=None, **options):
    options = {"n_components": range(1, 6), "n_init": 3, "random_state": 0, **options}
    return vemfast.select(X, estimator, **options)


# ---- what is chosen ----


def test_old_faithful_as_mclust_chooses():
    """R's Mclust(faithful): EEE, 3 components, BIC -2314.3 (there higher is better)."""
    found = vemfast.select(
        FAITHFUL,
        GaussianMixture(tol=1e-6, max_iter=1000),
        n_components=range(1, 6),
        covariance_type=COVARIANCE_TYPES,
        n_init=8,
        random_state=0,
    )
    assert found.best_params_ == {"n_components": 3, "covariance_type": "tied"}
    assert found.best_score_ == pytest.approx(2314.3, abs=0.2)
    assert found.best_estimator_.lower_bound_ == pytest.approx(-1126.34, abs=0.1)
    assert len(found.table) == 25


@pytest.mark.parametrize("criterion", ["bic", "icl", "elbo"])
def test_planted_components(criterion):
    found = choose(criterion=criterion)
    assert found.best_params_ == {"n_components": 3}
    sign = -1 if criterion == "elbo" else 1
    scores = [sign * row[criterion] for row in found.table]
    assert scores[2] == min(scores) == sign * found.best_score_
    assert found.best_estimator_.inference == ("mean-field" if criterion == "elbo" else "em")


def test_any_mixture():
    rng = np.random.default_rng(0)
    X = rng.poisson(rng.choice([2.0, 12.0, 40.0], (300, 1)), (300, 2))
    found = choose(X, PoissonMixture)
    assert type(found.best_estimator_) is PoissonMixture
    assert found.best_params_ == {"n_components": 3}
    bits = (rng.random((200, 8)) < np.where(np.arange(200)[:, None] < 100, 0.1, 0.9)).astype(float)
    assert choose(bits, vemfast.BernoulliMixture).best_params_ == {"n_components": 2}
    codes = bits.astype(int)
    assert choose(codes, vemfast.CategoricalMixture()).best_params_ == {"n_components": 2}


# ---- the numbers ----


@pytest.mark.parametrize("inference", ["em", "mean-field", "hard-em"])
@pytest.mark.filterwarnings("ignore::vemfast.errors.DegenerateWarning")
def test_the_table_says_what_the_estimators_say(inference):
    found = choose(estimator=GaussianMixture(inference=inference), covariance_type=["full", "diag"])
    best = found.best_estimator_
    row = next(row for row in found.table if found.best_params_.items() <= row.items())
    assert row["bic"] == pytest.approx(best.bic(BLOBS), rel=1e-12)
    assert row["icl"] == pytest.approx(best.icl(BLOBS), rel=1e-9)
    assert row["objective"] == best.lower_bound_
    assert (row["n_iter"], row["converged"]) == (best.n_iter_, best.converged_)
    assert ("elbo" in row) == (inference == "mean-field")


def test_a_weight_of_two_is_two_rows():
    weights = np.where(np.arange(len(BLOBS)) % 3 == 0, 2.0, 1.0)
    weighted = choose(n_components=3, sample_weight=weights)
    doubled = choose(np.repeat(BLOBS, weights.astype(int), axis=0), n_components=3)
    for name in ("bic", "icl", "objective"):
        assert weighted.best_score_ == pytest.approx(doubled.best_score_, rel=1e-6)
        assert weighted.table[0][name] == pytest.approx(doubled.table[0][name], rel=1e-6)


def test_chunks_and_missing_values():
    whole = choose()
    chunks = choose([BLOBS[:100], BLOBS[100:]])
    assert chunks.table == whole.table
    holes = BLOBS.copy()
    holes[::9, 0] = np.nan
    holes[5] = np.nan
    found = choose(holes, GaussianMixture(missing="marginalize"))
    assert found.best_params_ == {"n_components": 3}
    assert found.best_score_ == pytest.approx(found.best_estimator_.bic(holes), rel=1e-12)


# ---- the race ----


def test_the_race_finds_what_all_starts_find_with_fewer_iterations():
    options = {"tol": 1e-7, "max_iter": 3000, "random_state": 3}
    found = vemfast.select(
        FAITHFUL,
        GaussianMixture(init_params="random_from_data", **options),
        n_components=[3, 4],
        n_init=12,
    )
    for row in found.table:
        K = row["n_components"]
        all_of_them = GaussianMixture(K, n_init=12, init_params="random_from_data", **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DegenerateWarning)
            all_of_them.fit(FAITHFUL)
        assert row["given_up"] > 0
        if not row["degenerate"]:
            assert row["objective"] == pytest.approx(all_of_them.lower_bound_, abs=1e-3)


def runner(bound, gain, running=True):
    result = FitResult(None, None, bound, [bound], 8, not running, "max_iter")
    return Runner(Step(), result, gain, None, running)


def test_a_start_is_hopeless_in_the_worse_half_if_it_gains_less_than_it_lacks():
    class Sound:
        def diagnose(self, params, stats):
            return []

    race = Race(Sound(), [], None, None)
    race.runners = [
        runner(-100.0, 1.0),  # the best
        runner(-101.0, 0.1),  # slow, but in the better half
        runner(-102.0, 0.1),
        runner(-105.0, 6.0),  # fast
        runner(-105.0, 4.0),  # hopeless
        runner(-300.0, 9.0, running=False),  # had ended by itself
    ]
    race.give_up_hopeless()
    assert [r.is_hopeless for r in race.runners] == [False] * 4 + [True, False]
    race.runners[3].gain = 5.0
    race.give_up_hopeless()
    assert [r.is_running for r in race.runners] == [True, True, True, False, False, False]


@pytest.mark.parametrize("n_jobs", [1, 2, 4])
def test_threads_change_nothing(n_jobs):
    X = np.tile(BLOBS, (40, 1))
    found = choose(X, n_components=[2, 3], n_init=4, n_jobs=n_jobs)
    alone = choose(X, n_components=[2, 3], n_init=4, n_jobs=1)
    assert found.table == alone.table
    np.testing.assert_array_equal(found.best_estimator_.means_, alone.best_estimator_.means_)


def test_rounds_are_one_fit():
    estimator = GaussianMixture(4, tol=1e-8, max_iter=500, random_state=2)
    found = vemfast.select(FAITHFUL, estimator, n_components=4, n_init=1)
    plain = GaussianMixture(4, tol=1e-8, max_iter=500, random_state=2).fit(FAITHFUL)
    best = found.best_estimator_
    assert best.lower_bounds_ == plain.lower_bounds_
    assert (best.n_iter_, best.stop_reason_) == (plain.n_iter_, plain.stop_reason_)


# ---- trouble ----


def test_a_collapsed_candidate_ranks_behind_sound_ones():
    X = np.concatenate([BLOBS, np.full((12, 2), 50.0)])
    found = choose(X, n_components=[1, 4])
    by_size = {row["n_components"]: row for row in found.table}
    assert by_size[4]["degenerate"]
    assert by_size[4]["bic"] < found.best_score_
    assert found.best_params_ == {"n_components": 1}


def test_failures_are_counted_and_stop_nothing():
    X = np.concatenate([BLOBS, np.full((12, 2), 50.0)])
    found = choose(X, GaussianMixture(reg_covar=0), n_components=[1, 4])
    assert found.best_params_ == {"n_components": 1}
    assert found.table[1]["failed"] == 3
    assert np.isnan(found.table[1]["bic"])
    with pytest.raises(NumericalError, match="covariance not positive definite"):
        choose(X, GaussianMixture(reg_covar=0), n_components=[4])


def test_only_the_chosen_fit_is_warned_of():
    with pytest.warns(match="not converged after max_iter=1 ") as seen:
        choose(FAITHFUL, GaussianMixture(max_iter=1), n_components=[3, 4])
    assert len(seen) == 1
    assert seen[0].filename == __file__


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"criterion": "aic"}, ValueError, "criterion must be one of bic, icl, elbo"),
        ({"criterion": "elbo", "estimator": GaussianMixture()}, ValueError, "needs inference"),
        ({"estimator": GaussianMixture(inference="gibbs")}, ValueError, "gibbs has draws"),
        ({"estimator": GaussianMixture(schedule="memoized")}, ValueError, "schedule='batch'"),
        ({"estimator": GaussianMixture(warm_start=True)}, ValueError, "warm_start=False"),
        ({"estimator": object()}, TypeError, "must be a mixture or a hidden Markov model"),
        ({"estimator": PoissonMixture, "covariance_type": "full"}, ValueError, "no covariance_t"),
        ({"n_components": []}, ValueError, "n_components is empty"),
        ({"n_components": [2, 2]}, ValueError, "n_components has a value twice"),
        ({"n_components": [2, 0]}, ValueError, "n_components"),
        ({"n_components": [999]}, ValueError, "at least as many rows"),
        ({"covariance_type": "round"}, ValueError, "covariance_type"),
        ({"n_init": 0}, ValueError, "n_init must be an integer >= 1"),
        ({"n_init": True}, ValueError, "n_init must be an integer >= 1"),
        ({"X": [[np.nan, 1.0]]}, ValueError, "NaN at row 0"),
    ],
)
def test_bad_options_are_named(options, error, said):
    with pytest.raises(error, match=said):
        choose(**options)


def test_the_estimator_stays_as_it_was():
    estimator = GaussianMixture(7, n_init=2, covariance_type="diag")
    before = dict(vars(estimator))
    found = choose(estimator=estimator)
    assert vars(estimator) == before
    assert found.best_estimator_.covariance_type == "diag"
    assert found.best_estimator_.n_init == 3


def test_it_prints_as_a_table():
    found = choose()
    lines = str(found).splitlines()
    assert len(lines) == 6
    assert [line.endswith("<-") for line in lines] == [False, False, False, True, False, False]
    pandas = pytest.importorskip("pandas")
    assert isinstance(found.to_pandas(), pandas.DataFrame)
