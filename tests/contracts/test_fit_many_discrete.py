"""fit_many gives the fits that the mixtures of bits, counts and codes would give, one by one."""

import warnings

import numpy as np
import pytest
import scipy.sparse
from reliability.helpers import KINDS, quiet

from vemfast import (
    BernoulliMixture,
    CategoricalMixture,
    GaussianMixture,
    LatentDirichletAllocation,
    PoissonMixture,
    fit_many,
)
from vemfast.errors import DegenerateWarning
from vemfast.estimators.fits import STOP_REASONS

FAMILIES = [name for name in KINDS if name != "gaussian"]
RUNGS = ("em", "variational-em", "hard-em", "mean-field")


def data_sets(kind, count=5, dtype=np.float64, far=True):
    """Rows of three groups in each, of different lengths, orders and features."""
    rng = np.random.default_rng(0)
    source = kind.X if far else kind.near
    sets = []
    for _ in range(count):
        X = rng.permutation(source)[: rng.integers(60, 150), rng.permutation(8)]
        sets.append(X.astype(dtype))
    return sets


def options_of(name):
    # Alone, a data set would not know of a code that only another has.
    return {"n_categories": 3} if name == "categorical" else {}


def assert_same(many, single, rtol=0.0):
    """Hold every fitted attribute to that of a single fit, and the trace to its bits."""
    assert vars(many).keys() == vars(single).keys()
    assert many.n_iter_ == single.n_iter_
    np.testing.assert_allclose(many.lower_bounds_, single.lower_bounds_, rtol=rtol)
    for name, value in vars(single).items():
        if not name.endswith("_"):
            continue  # a parameter
        other = getattr(many, name)
        if isinstance(value, (str, bool)):
            assert other == value, name
            continue
        columns = (value, other) if isinstance(value, (list, tuple)) else ([value], [other])
        for own, theirs in zip(*columns, strict=True):
            np.testing.assert_allclose(theirs, own, rtol=max(rtol, 1e-12), atol=1e-15)


def single_fit(kind, X, w, state, K=3, **options):
    with quiet():
        return kind.estimator(K, random_state=int(state), **options).fit(X, sample_weight=w)


def many_fits(kind, data, K=3, **options):
    with quiet():
        fits = fit_many(data, K, estimator=kind.estimator, **options)
    assert not fits.failed.any(), fits.messages
    return fits


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("inference", RUNGS)
@pytest.mark.parametrize("name", FAMILIES)
def test_equal_to_single_fits_bit_for_bit_in_the_trace(name, inference, dtype):
    kind = KINDS[name]
    data = data_sets(kind, dtype=dtype, far=False)
    rng = np.random.default_rng(1)
    weights = [None, *(rng.integers(0, 4, len(X)).astype(float) for X in data[1:])]
    options = {"inference": inference, "n_init": 2, **options_of(name)}
    fits = many_fits(kind, data, sample_weight=weights, random_state=5, **options)
    # Means of a prior of rates are summed in another order there.
    rtol = 1e-9 if name == "poisson" and inference == "mean-field" else 0.0
    assert len(fits) == len(data)
    for i, (X, w) in enumerate(zip(data, weights, strict=True)):
        single = single_fit(kind, X, w, fits.random_states[i], **options)
        assert_same(fits[i], single, rtol)
        assert fits.lower_bounds(i) == fits[i].lower_bounds_
        np.testing.assert_array_equal(fits.weights[i], fits[i].weights_)
        np.testing.assert_allclose(fits[i].score(X), single.score(X), rtol=1e-12 + rtol)


EVERY = {
    "k-means++": {"init_params": "k-means++"},
    "random": {"init_params": "random", "max_iter": 30},
    "random, weights": {"init_params": "random", "weights_init": [0.2, 0.3, 0.5]},
    "random, mean-field": {"init_params": "random", "inference": "mean-field"},
    "equal weights": {"equal_weights": True},
    "weights": {"weights_init": [0.2, 0.3, 0.5], "inference": "mean-field"},
    "concentration": {"weight_concentration_prior": 2.0},
    "sticks": {"inference": "mean-field"}
    | {"weight_concentration_prior_type": "dirichlet_process"},
    "length": {"tol": 0.0, "max_iter": 7},
    "hard": {"inference": "hard-em", "tol": 0.0, "max_iter": 5},
}
PRIORS = {
    "bernoulli": {"alpha_prior": 1.5, "beta_prior": np.linspace(1.1, 2.0, 8)},
    "poisson": {"shape_prior": 1.5},
    "categorical": {"concentration_prior": 1.7},
}


@pytest.mark.parametrize("case", [*EVERY, "prior", "start"])
@pytest.mark.parametrize("name", FAMILIES)
def test_every_option_acts_as_in_a_single_fit(name, case):
    kind = KINDS[name]
    data = data_sets(kind)
    options = {"prior": PRIORS[name], "start": kind.start(), **EVERY}[case] | options_of(name)
    fits = many_fits(kind, data, random_state=0, **options)
    for i, X in enumerate(data):
        rtol = 1e-9 if name == "poisson" else 0.0
        assert_same(fits[i], single_fit(kind, X, None, fits.random_states[i], **options), rtol)


def test_rates_may_have_a_prior_that_is_given():
    kind, prior = KINDS["poisson"], {"shape_prior": 2.0, "rate_prior": 0.25}
    data = data_sets(kind)
    fits = many_fits(kind, data, random_state=0, **prior)
    own = many_fits(kind, data, random_state=0, shape_prior=2.0)
    for i, X in enumerate(data):
        assert_same(fits[i], single_fit(kind, X, None, fits.random_states[i], **prior))
    assert (np.abs(fits.lower_bound - own.lower_bound) > 0.1).all()


def test_bits_above_a_threshold():
    kind = KINDS["bernoulli"]
    data = [X * 3.0 + 0.1 for X in data_sets(kind)]
    fits = many_fits(kind, data, random_state=0, binarize=1.0)
    plain = many_fits(kind, data_sets(kind), random_state=0)
    np.testing.assert_array_equal(
        fits.components["probabilities_"], plain.components["probabilities_"]
    )


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("inference", ["em", "hard-em"])
def test_a_component_without_rows_is_seeded_again_as_in_a_single_fit(name, inference):
    kind = KINDS[name]
    data = [X for X in data_sets(kind) if len(np.unique(X, axis=0)) > 3]
    options = kind.start() | {"weights_init": [0.5, 0.5, 0.0], "inference": inference}
    options |= options_of(name)
    fits = many_fits(kind, data, random_state=0, **options)
    seeded = 0
    for i, X in enumerate(data):
        single = single_fit(kind, X, None, fits.random_states[i], **options)
        assert_same(fits[i], single, 1e-12)
        seeded += single.weights_.min() > 0
    assert seeded  # else this says nothing


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("inference", ["em", "mean-field"])
def test_arrays_are_those_of_the_fits_whatever_the_threads(name, inference):
    kind = KINDS[name]
    data = np.stack([X[:60] for X in data_sets(kind, 7)])
    options = {"random_state": 1, "inference": inference, **options_of(name)}
    one = many_fits(kind, data, n_jobs=1, **options)
    two = many_fits(kind, list(data), n_jobs=2, **options)
    assert one.lower_bound.tobytes() == two.lower_bound.tobytes()
    assert one.weights.shape == (7, 3)
    for attribute, value in one.components.items():
        columns = value if isinstance(value, list) else [value]
        of_all = (
            two.components[attribute] if isinstance(value, list) else [two.components[attribute]]
        )
        for d, (a, b) in enumerate(zip(columns, of_all, strict=True)):
            assert a.tobytes() == b.tobytes()
            fitted = [getattr(fit, attribute) for fit in one]
            own = [f[d] for f in fitted] if isinstance(value, list) else fitted
            np.testing.assert_array_equal(a, own)
    assert (one.weight_concentration is None) == (inference == "em")
    assert [STOP_REASONS[code] for code in one.stop_reason] == [fit.stop_reason_ for fit in one]


def test_a_large_data_set_among_small_ones_has_the_same_bits():
    kind = KINDS["bernoulli"]
    small = data_sets(kind, 2)
    large = np.tile(kind.X, (3000, 1))  # more work than one thread is given
    fits = many_fits(kind, [small[0], large, small[1]], 4, random_state=0, max_iter=3)
    single = single_fit(kind, large, None, fits.random_states[1], 4, max_iter=3)
    assert_same(fits[1], single)


# ---- what is wrong with one data set ----

BAD = {
    "bernoulli": (2.0, "X contains 2 at row 3, column 1, where BernoulliMixture takes 0 and 1"),
    "poisson": (0.5, "X contains 0.5 at row 3, column 1, where PoissonMixture takes whole numbers"),
    "categorical": (-1.0, "X contains -1 at row 3, column 1; codes are >= 0"),
}


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize(
    "what", ["value", "NaN", "few rows", "features", "text", "sparse", "weights", "no rows"]
)
def test_a_bad_data_set_is_named_and_the_others_are_fitted(name, what):
    kind, place = KINDS[name], 2
    data, weights = data_sets(kind), [None] * 5
    bad = data[place].copy()
    if what in ("value", "NaN"):
        value, message = BAD[name] if what == "value" else (np.nan, "X contains NaN at row 3, col")
        bad[3, 1] = value
    elif what == "weights":
        weights[place], message = np.full(len(bad), -1.0), "sample_weight[0] is -1"
    else:
        bad, message = {
            "few rows": (bad[:2], "n_components=3 needs at least as many rows, but X has n_samp"),
            "features": (bad[:, :7], "X has 7 features, but 8 are expected"),
            "text": (np.full((60, 8), "a"), "X must be a 2-D array of numbers"),
            "sparse": (scipy.sparse.csr_matrix(bad), "X is sparse; fit_many takes dense rows"),
            "no rows": (bad[:0], "at least one row"),
        }[what]
    options = {"estimator": kind.estimator, "random_state": 0, **options_of(name)}
    data[place] = bad
    with quiet(), pytest.warns(UserWarning, match="1 of 5 data sets could not be fitted.*set 2: "):
        fits = fit_many(data, 3, sample_weight=weights, **options)
    assert list(fits.messages) == [place]
    assert message in fits.messages[place]
    assert np.isnan(fits.weights[place]).all()
    assert not fits.converged[place]
    assert fits.lower_bounds(place) == []
    with pytest.raises(ValueError, match="data set 2 could not be fitted: "):
        fits[place]
    others = np.arange(5) != place
    whole = many_fits(
        kind, data_sets(kind), **{k: v for k, v in options.items() if k != "estimator"}
    )
    assert fits.weights[others].tobytes() == whole.weights[others].tobytes()
    last = fits[4]
    np.testing.assert_array_equal(last.weights_, whole[4].weights_)
    assert last.lower_bounds_ == whole[4].lower_bounds_


def test_a_start_that_rules_out_a_row_is_told_of_its_data_set():
    kind = KINDS["bernoulli"]
    table = kind.start()["probabilities_init"]
    table[:, 0] = 0.0
    data = [X.copy() for X in data_sets(kind, 3)]
    for X in data:
        X[:, 0] = 0.0
    data[1][7, 0] = 1.0
    with quiet(), pytest.warns(UserWarning, match="1 of 3"):
        fits = fit_many(data, 3, estimator=BernoulliMixture, probabilities_init=table)
    assert "probabilities_init rules out row 7 of X" in fits.messages[1]
    assert list(fits.messages) == [1]


def test_empty_components_and_ends_before_convergence_are_told_once():
    same = np.ones((20, 3))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fits = fit_many([same] * 4, 2, estimator=PoissonMixture, inference="hard-em", max_iter=50)
    assert fits.degenerate.all()
    assert [w.category for w in caught] == [DegenerateWarning]
    assert all(w.filename == __file__ for w in caught)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"inference": "gibbs"}, ValueError, "inference='gibbs'"),
        ({"init_params": "random_from_data"}, ValueError, "init_params='random_from_data'"),
        ({"missing": "marginalize"}, ValueError, "missing='marginalize'"),
        ({"freeze": ("weights",)}, ValueError, "freeze"),
        ({"schedule": "memoized"}, ValueError, "schedule='memoized'"),
        ({"accelerate": True}, ValueError, "accelerate=True"),
        ({"lengths": [[3]]}, ValueError, "lengths are of sequences"),
        ({"tol": -1}, ValueError, "tol"),
        ({"n_components": 0}, ValueError, "n_components"),
        ({"weights_init": [0.5, 0.6, 0.1]}, ValueError, "weights_init"),
        ({"alpha_prior": 0.5}, ValueError, "has no mode"),
        ({"rates_init": np.ones((3, 8))}, TypeError, "no parameter 'rates_init'"),
    ],
)
def test_bad_parameters_are_refused_at_once(parameters, error, message):
    data = data_sets(KINDS["bernoulli"])
    with pytest.raises(error, match=message):
        fit_many(data, **({"n_components": 3, "estimator": BernoulliMixture} | parameters))


def test_data_that_are_none():
    for data, message in (
        ([], "data is empty"),
        ([None, "a"], "no data set can be read; of data set 0"),
        (np.ones((4, 3)), "sequence of 2-D arrays"),
    ):
        with pytest.raises(ValueError, match=message):
            fit_many(data, 2, estimator=PoissonMixture)
    with pytest.raises(ValueError, match="1 data sets, but there are 2"):
        fit_many([np.ones((4, 3))] * 2, 2, estimator=PoissonMixture, sample_weight=[None])


def test_an_estimator_gives_what_is_not_said():
    kind = KINDS["categorical"]
    data = data_sets(kind)
    estimator = CategoricalMixture(3, inference="mean-field", random_state=3, tol=1e-5)
    with quiet():
        fits = fit_many(data, estimator=estimator)
        again = fit_many(
            data, 3, estimator=CategoricalMixture, random_state=3, tol=1e-5, inference="mean-field"
        )
    assert fits.lower_bound.tobytes() == again.lower_bound.tobytes()
    assert fits[0].n_categories_.tolist() == [3] * 8  # of all data sets together
    assert estimator.n_components == 3
    assert not hasattr(estimator, "weights_")


def test_a_gaussian_mixture_may_be_said_as_well():
    data = np.random.default_rng(0).normal(size=(5, 40, 2))
    with quiet():
        fits = fit_many(data, 2, random_state=1, covariance_type="diag")
        named = fit_many(data, 2, estimator=GaussianMixture, random_state=1, covariance_type="diag")
        own = GaussianMixture(2, covariance_type="diag", random_state=1)
        again = fit_many(data, estimator=own)
    assert fits.means.tobytes() == named.means.tobytes() == again.means.tobytes()
    with pytest.raises(TypeError, match="estimator must be a mixture"):
        fit_many(data, 2, estimator=LatentDirichletAllocation)
