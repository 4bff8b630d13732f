"""Marginals and conditionals of bits, counts and codes against sums of the joint distribution."""

import itertools

import discrete
import numpy as np
import pytest
from scipy import stats
from sklearn.exceptions import NotFittedError

import vemfast
from vemfast import BernoulliMixture, CategoricalMixture, PoissonMixture

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

D = 4
OWN = {
    "bernoulli": (BernoulliMixture, {}),
    "poisson": (PoissonMixture, {}),
    "categorical": (CategoricalMixture, {"n_categories": discrete.SIZES[:D]}),
}
RUNGS = {
    "em": {},
    "mean-field": {"inference": "mean-field"},
    "gibbs": {"inference": "gibbs", "n_burn": 3, "n_draws": 5, "n_chains": 1},
}
families = pytest.mark.parametrize("family", discrete.FAMILIES)
rungs = pytest.mark.parametrize("rung", RUNGS)


def fitted(family, rung="em", **options):
    own, needed = OWN[family]
    rows = discrete.rows_of(family, n_features=D)
    options = {"random_state": 0, **RUNGS[rung], **needed, **options}
    if "gibbs" not in rung:
        options |= {"max_iter": 5}
    return own(3, **options).fit(rows)


def values_of(family, column):
    """Return all values of a column; of counts, all that are not next to impossible."""
    if family == "categorical":
        return range(discrete.SIZES[column])
    return range(2) if family == "bernoulli" else range(150)


def probability(mixture, rows, columns=range(D)):
    """Return that of rows of some columns at the point attributes, from the textbook."""
    total = 0.0
    for k, weight in enumerate(mixture.weights_):
        each = np.full(len(rows), weight)
        for value, d in zip(np.transpose(rows).astype(int), columns, strict=True):
            if isinstance(mixture, CategoricalMixture):
                each *= mixture.probabilities_[d][k][value]
            elif isinstance(mixture, BernoulliMixture):
                each *= stats.bernoulli(mixture.probabilities_[k, d]).pmf(value)
            else:
                each *= stats.poisson(mixture.rates_[k, d]).pmf(value)
        total = total + each
    return total


@rungs
@families
def test_the_marginal_is_the_sum_over_the_others(family, rung):
    mixture = fitted(family, rung)
    pair = mixture.marginal([2, 0])
    for point in list(itertools.product(values_of(family, 2), values_of(family, 0)))[:20:3]:
        others = itertools.product(values_of(family, 1), values_of(family, 3))
        rows = [[point[1], a, point[0], b] for a, b in others]
        expected = probability(mixture, rows).sum()
        assert np.exp(pair.score_samples([point])) == pytest.approx(expected, rel=1e-11)
    one = mixture.marginal(1)
    all_of_it = np.array(list(values_of(family, 1)))[:, None]
    assert np.exp(one.score_samples(all_of_it)).sum() == pytest.approx(1.0, rel=1e-11)
    np.testing.assert_allclose(
        np.exp(one.score_samples(all_of_it)), probability(mixture, all_of_it, [1]), rtol=1e-11
    )


@rungs
@families
def test_the_conditional_is_the_joint_over_the_marginal(family, rung):
    mixture = fitted(family, rung)
    rest = np.array(list(itertools.product(values_of(family, 0), values_of(family, 2))))[::5]
    for given in ({1: 0, 3: 1}, {3: 0, -3: 1}):
        values = {column % D: value for column, value in given.items()}
        rows = np.zeros((len(rest), D))
        rows[:, [0, 2]] = rest
        rows[:, list(values)] = list(values.values())
        whole = probability(mixture, rows)
        of_given = probability(mixture, [list(values.values())], list(values))
        part = mixture.conditional(given)
        np.testing.assert_allclose(
            np.exp(part.score_samples(rest)), whole / of_given, rtol=1e-10, atol=1e-300
        )


@families
def test_conditions_compose_and_components_keep_their_places(family):
    mixture = fitted(family)
    at_once = mixture.conditional({0: 1, 2: 0})
    for chain in (
        mixture.conditional({0: 1}).conditional({1: 0}),
        mixture.conditional({2: 0}).conditional({0: 1}),
        mixture.marginal([3, 2, 1, 0]).conditional({3: 1, 1: 0}).marginal([1, 0]),
    ):
        np.testing.assert_allclose(chain.weights_, at_once.weights_, rtol=1e-12, atol=1e-15)
        shown = "rates_" if family == "poisson" else "probabilities_"
        for a, b in zip(getattr(chain, shown), getattr(at_once, shown), strict=True):
            np.testing.assert_array_equal(a, b)


@families
def test_a_part_samples_predicts_saves_and_fits(family, tmp_path):
    mixture = fitted(family, "mean-field")
    part = mixture.conditional({1: 1})
    assert type(part) is type(mixture)
    assert part.inference == "em"
    assert not hasattr(part, "lower_bound_")
    rows, labels = part.sample(50)
    assert rows.shape == (50, 3)
    assert set(labels) <= {0, 1, 2}
    np.testing.assert_allclose(part.predict_proba(rows).sum(axis=1), 1.0)
    part.save(tmp_path / "part")
    again = vemfast.load(tmp_path / "part")
    np.testing.assert_array_equal(again.score_samples(rows), part.score_samples(rows))
    assert part.fit(rows).n_features_in_ == 3


@families
def test_the_mixture_stays_as_it_was(family):
    mixture = fitted(family)
    rows = discrete.rows_of(family, n_features=D)
    before = mixture.score_samples(rows)
    for part in (mixture.marginal([0, 1]), mixture.conditional({0: 1})):
        part.weights_[:] = 7.0
        shown = part.rates_ if family == "poisson" else part.probabilities_
        for values in shown:
            values[:] = 7.0
    np.testing.assert_array_equal(mixture.score_samples(rows), before)


def test_columns_by_name():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(discrete.rows_of("poisson", n_features=3), columns=list("abc"))
    mixture = PoissonMixture(2, random_state=0, max_iter=5).fit(frame)
    part = mixture.conditional({"b": 2})
    assert part.feature_names_in_.tolist() == ["a", "c"]
    assert mixture.marginal("c").feature_names_in_.tolist() == ["c"]
    np.testing.assert_array_equal(part.weights_, mixture.conditional({1: 2}).weights_)


def test_missing_entries_and_thresholds_are_those_of_the_whole():
    mixture = fitted("bernoulli", missing="marginalize", binarize=0.5)
    part = mixture.conditional({1: 0.9})
    np.testing.assert_array_equal(part.weights_, mixture.conditional({1: 1}).weights_)
    assert np.isfinite(part.score_samples([[np.nan, 0.7, 0.1]])).all()


def test_a_value_that_no_component_can_have():
    rows = np.array([[0, 1], [0, 3], [0, 0]])
    mixture = PoissonMixture(1).fit(rows)
    with pytest.raises(ValueError, match="given is impossible: no component can have these values"):
        mixture.conditional({0: 1})
    assert mixture.conditional({0: 0}).weights_.tolist() == [1.0]


@pytest.mark.parametrize(
    ("family", "call", "error", "said"),
    [
        ("poisson", lambda m: m.marginal([]), ValueError, "columns names no column"),
        ("poisson", lambda m: m.marginal([0, 0]), ValueError, "columns names column 0 twice"),
        ("poisson", lambda m: m.conditional([1]), TypeError, r"such as \{0: 1.5\}; got \[1\]"),
        ("poisson", lambda m: m.conditional({0: np.nan}), ValueError, "must be finite; got nan"),
        ("poisson", lambda m: m.conditional({1: 0.5}), ValueError, "columns are .1.: X contains 0"),
        ("bernoulli", lambda m: m.conditional({0: 2}), ValueError, "where BernoulliMixture takes"),
        ("categorical", lambda m: m.conditional({1: 2}), ValueError, "whose codes are 0 to 1"),
        ("bernoulli", lambda m: m.conditional(dict.fromkeys(range(D), 1)), ValueError, "names all"),
    ],
)
def test_bad_input_is_named(family, call, error, said):
    with pytest.raises(error, match=said):
        call(fitted(family))


@families
def test_before_a_fit(family):
    for call in (lambda m: m.marginal([0]), lambda m: m.conditional({0: 1})):
        with pytest.raises(NotFittedError):
            call(OWN[family][0]())
