"""fit_many gives the fits that GaussianMixture would give, one by one."""

import warnings

import numpy as np
import pytest

from vemfast import GaussianMixture, fit_many
from vemfast.errors import DegenerateWarning
from vemfast.estimators import many
from vemfast.estimators.many import STOP_REASONS
from vemfast.execution.threads import effective_n_jobs
from vemfast.models.gaussian_config import COVARIANCE_TYPES

RUNGS = ("em", "variational-em", "hard-em", "mean-field")

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::vemfast.errors.DegenerateWarning"
)


def data_sets(count=6, dtype=np.float64, seed=0):
    """Two groups of rows in each, of different lengths, units and places."""
    rng = np.random.default_rng(seed)
    sets = []
    for _ in range(count):
        X = rng.normal(size=(rng.integers(40, 200), 3)) + 4 * rng.integers(0, 2, (1, 1))
        X[: len(X) // 2] += 4
        sets.append((X * [1, 20, 0.3] + rng.normal(size=3)).astype(dtype))
    return sets


def assert_same(many, single, tolerance=0.0):
    """Hold every fitted attribute to that of a single fit, and the trace to its bits."""
    assert vars(many).keys() == vars(single).keys()
    if not tolerance:
        assert many.lower_bounds_ == single.lower_bounds_
    for name, value in vars(single).items():
        if not name.endswith("_"):
            continue  # a parameter
        other = getattr(many, name)
        if isinstance(value, (str, bool)):
            assert other == value, name
            continue
        np.testing.assert_allclose(
            np.asarray(other, float), np.asarray(value, float), rtol=1e-12, atol=tolerance
        )


@pytest.mark.parametrize("inference", RUNGS)
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equal_to_single_fits_bit_for_bit_in_the_trace(inference, covariance_type, dtype):
    data = data_sets(4, dtype)
    rng = np.random.default_rng(1)
    weights = [None, *(rng.integers(0, 4, len(X)).astype(float) for X in data[1:])]
    options = {"covariance_type": covariance_type, "inference": inference, "n_init": 2}
    fits = fit_many(data, 3, sample_weight=weights, random_state=5, **options)
    assert not fits.failed.any()
    for i, (X, w) in enumerate(zip(data, weights, strict=True)):
        state = int(fits.random_states[i])
        single = GaussianMixture(3, random_state=state, **options).fit(X, sample_weight=w)
        assert_same(fits[i], single)


@pytest.mark.parametrize(
    "options",
    [
        {"init_params": "k-means++"},
        {"init_params": "random", "max_iter": 30},
        {"equal_weights": True, "covariance_type": "tied-spherical", "inference": "hard-em"},
        {"weight_concentration_prior": 2.0, "mean_precision_prior": 0.1},
        {"degrees_of_freedom_prior": 6.0, "covariance_type": "diag"},
        {"covariance_prior": np.diag([1.0, 30.0, 0.1]), "mean_prior": [0.0, 1.0, 2.0]}
        | {"mean_precision_prior": 1.0},
        {"inference": "mean-field", "weight_concentration_prior_type": "dirichlet_process"},
        {"inference": "mean-field", "equal_weights": True, "covariance_type": "tied"},
        {"means_init": np.arange(9.0).reshape(3, 3)},
        {"means_init": np.arange(9.0).reshape(3, 3), "weights_init": [0.2, 0.3, 0.5]}
        | {"precisions_init": np.ones(3), "covariance_type": "spherical"},
        {"weights_init": [0.2, 0.3, 0.5], "inference": "mean-field"},
        {"tol": 0.0, "max_iter": 7},
        {"reg_covar": 0.0},
        {"reg_covar": 0.0, "inference": "mean-field"},
    ],
    ids=lambda options: " ".join(options),
)
def test_every_option_acts_as_in_a_single_fit(options):
    data = data_sets()
    fits = fit_many(data, 3, random_state=0, **options)
    assert not fits.failed.any(), fits.messages
    for i, X in enumerate(data):
        single = GaussianMixture(3, random_state=int(fits.random_states[i]), **options).fit(X)
        assert_same(fits[i], single)


def test_the_arrays_hold_what_the_mixtures_do():
    fits = fit_many(data_sets(), 3, random_state=0, inference="mean-field", covariance_type="tied")
    assert fits.weights.shape == (6, 3)
    assert fits.means.shape == (6, 3, 3)
    assert fits.covariances.shape == (6, 3, 3)
    assert fits.degrees_of_freedom.shape == (6,)
    assert fits.mean_precision.shape == (6, 3)
    for i, mixture in enumerate(fits):
        np.testing.assert_array_equal(mixture.means_, fits.means[i])
        assert mixture.lower_bound_ == fits.lower_bound[i] == fits.lower_bounds(i)[-1]
        assert mixture.n_iter_ == fits.n_iter[i]
        assert mixture.stop_reason_ == STOP_REASONS[fits.stop_reason[i]]
        assert mixture.converged_ == fits.converged[i]
    assert fits[-1].lower_bound_ == fits.lower_bound[5]
    assert len(fits) == 6
    with pytest.raises(IndexError):
        fits[6]
    with pytest.raises(TypeError):
        fits[1:3]


def test_a_mixture_taken_out_predicts_and_owns_its_arrays():
    data = data_sets()
    fits = fit_many(data, 2, random_state=0)
    before = fits.means.copy()
    mixture = fits[1]
    assert mixture.predict_proba(data[1]).sum(axis=1) == pytest.approx(1)
    mixture.means_[:] = 0
    np.testing.assert_array_equal(fits.means, before)


@pytest.mark.parametrize("n_jobs", [1, 2, 3])
def test_same_bits_for_any_number_of_threads(n_jobs):
    data = data_sets(40)
    alone = fit_many(data, 3, random_state=0, n_jobs=1)
    fits = fit_many(data, 3, random_state=0, n_jobs=n_jobs)
    for name in ("weights", "means", "covariances", "lower_bound", "n_iter"):
        assert getattr(fits, name).tobytes() == getattr(alone, name).tobytes()


def test_threads_are_those_of_the_estimator_if_nothing_else_is_said(monkeypatch):
    asked = []
    native = many._core.fit_many

    def seen(sets, states, n_threads, **options):
        asked.append(n_threads)
        return native(sets, states, n_threads, **options)

    monkeypatch.setattr(many._core, "fit_many", seen)
    fit_many(data_sets(3), 3, estimator=GaussianMixture(n_jobs=1), random_state=0)
    fit_many(data_sets(3), 3, estimator=GaussianMixture(n_jobs=1), n_jobs=2, random_state=0)
    assert asked == [1, effective_n_jobs(2)]


def test_a_large_data_set_among_small_ones_takes_all_threads_to_the_same_bits():
    rng = np.random.default_rng(0)
    large = np.concatenate([rng.normal(size=(250_000, 4)), rng.normal(6, 1, (250_000, 4))])
    data = [rng.normal(size=(50, 4)), large, rng.normal(size=(60, 4))]
    fits = [fit_many(data, 2, random_state=0, n_jobs=n, max_iter=3) for n in (1, 2)]
    assert fits[0].means.tobytes() == fits[1].means.tobytes()
    single = GaussianMixture(2, random_state=int(fits[0].random_states[1]), max_iter=3).fit(large)
    assert_same(fits[0][1], single)


def test_a_data_set_keeps_its_result_when_more_are_added():
    data = data_sets(5)
    few, more = (fit_many(data[:n], 3, random_state=2) for n in (2, 5))
    assert few.means.tobytes() == more.means[:2].tobytes()
    assert len(set(more.random_states.tolist())) == 5


def test_what_holds_the_same_numbers_gives_the_same_fits():
    rng = np.random.default_rng(0)
    block = rng.integers(-50, 50, (4, 80, 2))
    block[:, :40] += 100
    whole = np.asarray(block, dtype=np.float64)
    wide = np.zeros((80, 5))
    expected = fit_many(list(whole), 2, random_state=0)
    forms = {
        "array": whole,
        "integers": block,
        "transposed": np.ascontiguousarray(whole.transpose(0, 2, 1)).transpose(0, 2, 1),
        "byte order": whole.astype(">f8"),
        "lists": block.tolist(),
        "tuple": tuple(whole),
        "generator": (X for X in whole),
        "mixed": [whole[0].tolist(), block[1], np.asfortranarray(whole[2]), whole[3][::-1][::-1]],
    }
    for X in whole[:1]:
        wide[:, 1:5:2] = X
        forms["strided"] = [wide[:, 1:5:2], *whole[1:]]
    for name, data in forms.items():
        fits = fit_many(data, 2, random_state=0)
        assert fits.means.tobytes() == expected.means.tobytes(), name


def test_data_are_not_changed():
    data = data_sets()
    before = [X.copy() for X in data]
    for X in data:
        X.setflags(write=False)
    fit_many(data, 3, random_state=0)
    for X, copy in zip(data, before, strict=True):
        np.testing.assert_array_equal(X, copy)


def test_an_empty_component_is_seeded_anew_as_in_a_single_fit():
    data = data_sets()
    options = {"means_init": [[0.0, 0, 0], [4, 80, 1.2], [1e3, 1e3, 1e3]], "max_iter": 60}
    fits = fit_many(data, 3, random_state=0, **options)
    assert not fits.failed.any()
    for i, X in enumerate(data):
        single = GaussianMixture(3, random_state=int(fits.random_states[i]), **options).fit(X)
        assert_same(fits[i], single, tolerance=1e-12)
        assert (single.weights_ > 0).all()


def test_degenerate_estimates_are_marked():
    data = [*data_sets(2), np.repeat([[0.0, 0, 0], [1, 1, 1]], 30, axis=0)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fits = fit_many(data, 2, random_state=0)
    assert fits.degenerate.tolist() == [False, False, True]
    assert [w.category for w in caught] == [DegenerateWarning]
    assert "1 of 3 fits are degenerate" in str(caught[0].message)
    assert caught[0].filename == __file__
