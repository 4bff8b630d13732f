"""Fits without Python are those of the estimators, bit for bit from the same start."""

import warnings

import numpy as np
import pytest
import scipy.sparse
from native_library import (
    INTERRUPTED,
    INVALID_ARGUMENT,
    StatusError,
    call_of,
    fit,
    fit_documents,
    fit_many,
    fit_many_documents,
)

import vemfast

RUNGS = ("em", "variational-em", "hard-em", "mean-field")


def fitted(estimator, *args, **data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few iterations
        return estimator.fit(*args, **data)


def arrays_of(estimator):
    """Return the fitted arrays by the names they have in a file."""
    out = {}
    for name, value in vars(estimator).items():
        if not name.endswith("_") or name in ("n_features_in_", "posterior_"):
            continue
        if isinstance(value, tuple) or (isinstance(value, list) and np.ndim(value[0]) == 0):
            out[name] = np.array(value)
        elif isinstance(value, list):
            out |= {f"{name}.{i}": one for i, one in enumerate(value)}
        elif isinstance(value, np.ndarray):
            out[name] = value
    return out


def assert_same(model, estimator, tmp_path):
    """All arrays, and the file read by Python."""
    for name, value in arrays_of(estimator).items():
        if name.startswith("precisions"):  # of LAPACK in Python
            np.testing.assert_allclose(model.array(name), value, rtol=1e-12, atol=1e-13)
        else:
            np.testing.assert_array_equal(model.array(name), value, err_msg=name)
    path = tmp_path / "model.safetensors"
    model.save(path)
    again = vemfast.load(path)
    assert type(again) is type(estimator)
    assert again.n_iter_ == estimator.n_iter_
    assert again.lower_bound_ == estimator.lower_bound_
    assert again.stop_reason_ == estimator.stop_reason_
    for name, value in arrays_of(again).items():
        np.testing.assert_array_equal(model.array(name), value, err_msg=name)
    assert arrays_of(again).keys() == arrays_of(estimator).keys()
    mine, theirs = again.get_params(), estimator.get_params()
    for name in theirs.keys() - {"random_state"}:
        np.testing.assert_array_equal(mine[name], theirs[name], err_msg=name)


def rows_of(family, n=60, seed=3):
    rng = np.random.default_rng(seed)
    group = np.repeat([0, 1], n)
    if family == "Gaussian":
        return rng.normal(size=(2 * n, 3)) + 3 * group[:, None]
    if family == "Bernoulli":
        p = np.array([[0.9, 0.2, 0.5, 0.1, 0.7], [0.1, 0.7, 0.6, 0.9, 0.2]])
        return (rng.random((2 * n, 5)) < p[group]).astype(np.float64)
    if family == "Poisson":
        return rng.poisson(np.array([[1.0, 6.0], [8.0, 0.5]])[group]).astype(np.float64)
    return np.column_stack([rng.integers(0, 3 + group), rng.integers(0, 2, 2 * n)]).astype(float)


FAMILIES = ("Gaussian", "Bernoulli", "Poisson", "Categorical")


# ---- mixtures --------------------------------------------------------------------------------


@pytest.mark.parametrize("inference", RUNGS)
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("start", ["kmeans", "random"])
def test_mixtures(tmp_path, family, inference, start):
    X, name = rows_of(family), f"{family}Mixture"
    options = {"inference": inference, "init_params": start, "max_iter": 7, "n_init": 2}
    estimator = fitted(getattr(vemfast, name)(3, random_state=4, **options), X)
    model = fit(name, X, {"n_components": 3, **options}, random_state=4)
    assert_same(model, estimator, tmp_path)
    threads = fit(name, X, {"n_components": 3, **options}, random_state=4, call=call_of(2))
    np.testing.assert_array_equal(threads.array("lower_bounds_"), model.array("lower_bounds_"))


GIVEN = {
    "Gaussian": {"means_init": [[0.0, 0.0, 0.0], [3.0, 3.0, 3.0]], "covariance_type": "diag"},
    "Bernoulli": {"probabilities_init": [[0.0, 0.3, 0.5, 0.1, 0.6], [0.2, 0.6, 0.5, 1.0, 0.2]]},
    "Poisson": {"rates_init": [[1.0, 5.0], [7.0, 0.0]]},
    "Categorical": {},
}
PRIORS = {
    "Gaussian": {"mean_precision_prior": 0.5, "mean_prior": [1.0, 0.0, 2.0]},
    "Bernoulli": {"alpha_prior": 1.5, "beta_prior": [1.1, 1.2, 1.3, 1.4, 1.5]},
    "Poisson": {"shape_prior": 2.0, "rate_prior": [0.5, 1.0]},
    "Categorical": {"concentration_prior": 1.25},
}


@pytest.mark.parametrize("inference", ["em", "mean-field"])
@pytest.mark.parametrize("family", FAMILIES)
def test_given_starts_priors_and_weights(tmp_path, family, inference):
    X, name = rows_of(family), f"{family}Mixture"
    options = {"inference": inference, "max_iter": 5, "weights_init": [0.25, 0.75]}
    options |= {"weight_concentration_prior": 1.5} | GIVEN[family] | PRIORS[family]
    if family == "Bernoulli":  # its zeros are raised under a proper prior
        X = np.minimum(X, 1.0)
    weights = np.linspace(0.0, 2.0, len(X))
    estimator = fitted(
        getattr(vemfast, name)(2, random_state=0, **options), X, sample_weight=weights
    )
    model = fit(name, X, {"n_components": 2, **options}, weights=weights)
    assert_same(model, estimator, tmp_path)


@pytest.mark.parametrize("family", ["Gaussian", "Poisson"])
@pytest.mark.parametrize("excess", [0.0, 5e-7])
def test_given_weights_are_divided_as_in_python(family, excess):
    X, name = rows_of(family), f"{family}Mixture"
    weights = np.full(10, 0.1)  # one after another they add up to less than one
    weights[0] += excess
    options = {"weights_init": weights, "max_iter": 5}
    if family == "Gaussian":
        options["means_init"] = X[:10]
    estimator = fitted(getattr(vemfast, name)(10, random_state=0, **options), X)
    model = fit(name, X, {"n_components": 10, **options})
    for array in ("lower_bounds_", "weights_"):
        np.testing.assert_array_equal(model.array(array), arrays_of(estimator)[array])


def test_a_categorical_start_has_an_array_a_column():
    X = rows_of("Categorical")
    columns = [np.array([[0.5, 0.25, 0.125, 0.125], [0.1, 0.2, 0.3, 0.4]]), np.full((2, 2), 0.5)]
    estimator = vemfast.CategoricalMixture(2, probabilities_init=columns, max_iter=5)
    parameters = {f"probabilities_init.{d}": column for d, column in enumerate(columns)}
    model = fit("CategoricalMixture", X, {"n_components": 2, "max_iter": 5, **parameters})
    for name, value in arrays_of(fitted(estimator, X)).items():
        np.testing.assert_array_equal(model.array(name), value, err_msg=name)


@pytest.mark.parametrize("kind", ["dirichlet", "dirichlet_process"])
def test_a_process_has_sticks(tmp_path, kind):
    X = rows_of("Poisson")
    options = {"inference": "mean-field", "weight_concentration_prior_type": kind, "max_iter": 5}
    estimator = fitted(vemfast.PoissonMixture(4, random_state=1, **options), X)
    model = fit("PoissonMixture", X, {"n_components": 4, **options}, random_state=1)
    assert_same(model, estimator, tmp_path)


def test_single_precision_and_strides():
    X = np.asfortranarray(rows_of("Bernoulli").astype(np.float32))[::2]
    estimator = fitted(vemfast.BernoulliMixture(2, random_state=0, max_iter=5), X)
    model = fit("BernoulliMixture", X, {"n_components": 2, "max_iter": 5})
    np.testing.assert_array_equal(model.array("probabilities_"), estimator.probabilities_)


# ---- chains ----------------------------------------------------------------------------------

LENGTHS = np.array([50, 30, 1, 39])


@pytest.mark.parametrize("inference", RUNGS)
@pytest.mark.parametrize("family", FAMILIES)
def test_chains(tmp_path, family, inference):
    X, name = rows_of(family), f"{family}HMM"
    options = {"inference": inference, "n_iter": 6, "n_init": 2}
    estimator = fitted(getattr(vemfast, name)(3, random_state=4, **options), X, LENGTHS)
    model = fit(name, X, {"n_components": 3, **options}, LENGTHS, random_state=4)
    assert_same(model, estimator, tmp_path)


@pytest.mark.parametrize("family", FAMILIES)
def test_chains_with_zeros_priors_and_weights(tmp_path, family):
    X, name = rows_of(family), f"{family}HMM"
    options = {
        "n_iter": 5,
        "init_params": "k-means++",
        "startprob_init": [0.7, 0.3, 0.0],
        "startprob_prior": [1.5, 2.0, 1.0],
        "transmat_prior": 1.25,
        "sticky": 2.0,
        "transmat_support": [[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0]],
    }
    weights = np.array([1.0, 0.5, 0.0, 2.0])
    estimator = getattr(vemfast, name)(3, random_state=2, **options)
    fitted(estimator, X, LENGTHS, sample_weight=weights)
    model = fit(name, X, {"n_components": 3, **options}, LENGTHS, weights, random_state=2)
    assert_same(model, estimator, tmp_path)


@pytest.mark.parametrize("inference", ["em", "mean-field"])
@pytest.mark.parametrize("covariance_type", ["full", "tied", "spherical", "tied-spherical"])
def test_covariances_of_states(tmp_path, covariance_type, inference):
    X = rows_of("Gaussian")
    options = {"covariance_type": covariance_type, "inference": inference, "n_iter": 5}
    estimator = fitted(vemfast.GaussianHMM(2, random_state=1, **options), X)
    model = fit("GaussianHMM", X, {"n_components": 2, **options}, random_state=1)
    assert_same(model, estimator, tmp_path)


MIXED = {
    "plain": {},
    "full": {"covariance_type": "full", "inference": "hard-em", "n_init": 2},
    "spherical": {"covariance_type": "spherical", "init_params": "k-means++"},
    "one component": {"n_mix": 1},
    "priors": {
        "weights_prior": [[2.0, 1.5], [1.0, 3.0]],
        "covars_weight": 4.0,
        "sticky": 1.0,
    },
    "given": {
        "weights_init": [[0.25, 0.75], [0.5, 0.5]],
        "means_init": np.arange(12.0).reshape(2, 2, 3) / 4,
        "weights_prior": 1.25,
    },
    "missing": {"missing": "marginalize"},
}


@pytest.mark.parametrize("options", MIXED.values(), ids=MIXED)
def test_states_of_several_components(tmp_path, options):
    X = rows_of("Gaussian")
    options = {"n_mix": 2, "n_iter": 6, **options}
    if "missing" in options:
        X[::5, 1] = np.nan
        X[7] = np.nan
    estimator = fitted(vemfast.GMMHMM(2, random_state=4, **options), X, LENGTHS)
    model = fit("GMMHMM", X, {"n_components": 2, **options}, LENGTHS, random_state=4)
    assert_same(model, estimator, tmp_path)
    threads = fit(
        "GMMHMM", X, {"n_components": 2, **options}, LENGTHS, random_state=4, call=call_of(2)
    )
    np.testing.assert_array_equal(threads.array("means_"), model.array("means_"))


def test_groups_that_are_too_small_for_the_components_of_a_state(tmp_path):
    X = np.r_[rows_of("Gaussian")[:30], [[90.0, 90.0, 90.0]]].astype(np.float32)
    options = {"n_mix": 3, "n_iter": 4}
    weights = np.array([2.0])
    estimator = vemfast.GMMHMM(2, random_state=1, **options)
    fitted(estimator, X, sample_weight=weights)
    model = fit("GMMHMM", X, {"n_components": 2, **options}, weights=weights, random_state=1)
    assert_same(model, estimator, tmp_path)


# ---- missing values --------------------------------------------------------------------------


@pytest.mark.parametrize("inference", RUNGS)
@pytest.mark.parametrize("family", FAMILIES)
def test_missing_values_of_mixtures(tmp_path, family, inference):
    X, name = rows_of(family), f"{family}Mixture"
    X[::4, 1] = np.nan
    X[9] = np.nan  # nothing is observed
    weights = np.linspace(0.0, 2.0, len(X)) if inference == "em" else None
    options = {"inference": inference, "missing": "marginalize", "max_iter": 6, "n_init": 2}
    estimator = getattr(vemfast, name)(3, random_state=4, **options)
    fitted(estimator, X, sample_weight=weights)
    model = fit(name, X, {"n_components": 3, **options}, weights=weights, random_state=4)
    assert_same(model, estimator, tmp_path)


@pytest.mark.parametrize("covariance_type", ["tied", "diag", "spherical", "tied-spherical"])
def test_missing_values_of_other_covariances(tmp_path, covariance_type):
    X = rows_of("Gaussian").astype(np.float32)
    X[::4, 1] = np.nan
    options = {"covariance_type": covariance_type, "missing": "marginalize", "max_iter": 6}
    estimator = fitted(vemfast.GaussianMixture(3, random_state=4, **options), X)
    model = fit("GaussianMixture", X, {"n_components": 3, **options}, random_state=4)
    assert_same(model, estimator, tmp_path)


@pytest.mark.parametrize("inference", RUNGS)
@pytest.mark.parametrize("family", FAMILIES)
def test_missing_values_of_chains(tmp_path, family, inference):
    X, name = rows_of(family), f"{family}HMM"
    X[::4, 1] = np.nan
    X[9] = np.nan
    options = {"inference": inference, "missing": "marginalize", "n_iter": 6}
    estimator = fitted(getattr(vemfast, name)(3, random_state=4, **options), X, LENGTHS)
    model = fit(name, X, {"n_components": 3, **options}, LENGTHS, random_state=4)
    assert_same(model, estimator, tmp_path)


# ---- topics ----------------------------------------------------------------------------------


def corpus():
    rng = np.random.default_rng(8)
    topics = rng.dirichlet(np.full(30, 0.1), 3)
    X = np.array([rng.multinomial(25, p) for p in rng.dirichlet(np.full(3, 0.3), 40) @ topics])
    X[7] = 0  # an empty document
    return scipy.sparse.csr_matrix(X), rng.random((3, 30))


TOPICS = {
    "mean-field": {"inference": "mean-field", "tol": 1e-4},
    "learned": {"doc_topic_prior": "learn", "topic_word_prior": "learn"},
    "symmetric": {"doc_topic_prior": "learn-symmetric", "topic_word_prior": 0.1},
    "variational-em": {"inference": "variational-em", "doc_topic_prior": [0.2, 0.3, 0.4]},
    "hard-em": {"inference": "hard-em"},
    "double": {"dtype": "float64", "mean_change_tol": 1e-5, "max_doc_update_iter": 30},
}


@pytest.mark.parametrize("options", TOPICS.values(), ids=TOPICS)
def test_topics_from_given_ones(tmp_path, options):
    X, first = corpus()
    options = {**options, "max_iter": 6, "topics_init": first}
    estimator = fitted(vemfast.LatentDirichletAllocation(3, **options), X)
    model = fit_documents(X, {"n_components": 3, **options})
    assert_same(model, estimator, tmp_path)


@pytest.mark.parametrize("start", ["spread", "documents"])
def test_topics_find_their_own_start(start):
    X, _ = corpus()
    parameters = {"n_components": 3, "init": start, "max_iter": 30}
    model = fit_documents(X, parameters, random_state=1)
    trace = model.array("lower_bounds_")
    assert (np.diff(trace) >= -2e-6 * np.abs(trace[1:])).all()
    again = fit_documents(X, parameters, random_state=1, call=call_of(2))
    np.testing.assert_array_equal(again.array("components_"), model.array("components_"))
    best = max(
        vemfast.LatentDirichletAllocation(3, init=start, max_iter=30, random_state=i)
        .fit(X)
        .lower_bound_
        for i in range(3)
    )
    assert trace[-1] > best - 0.02 * abs(best)
    # More topics than documents with tokens, and all documents alike.
    few = scipy.sparse.csr_matrix(np.ones((2, 4)))
    assert fit_documents(few, {"n_components": 5, "init": start}).array("components_").shape == (
        5,
        4,
    )


# ---- autoencoders ----------------------------------------------------------------------------

NETS = {
    "bernoulli": {"hidden_layer_sizes": [8], "kl_warmup": 2, "beta": 0.5},
    "deep": {"hidden_layer_sizes": [7, 6], "activation": "tanh", "batch_size": 50},
    "hard-em": {"inference": "hard-em", "hidden_layer_sizes": [8], "prior": False},
    "poisson": {"likelihood": "poisson", "hidden_layer_sizes": [8], "learning_rate_init": 1e-2},
}


@pytest.mark.parametrize("options", NETS.values(), ids=NETS)
def test_autoencoders(tmp_path, options):
    X = rows_of("Bernoulli")  # whose sums are exact in any order
    options = {**options, "max_iter": 4}
    estimator = vemfast.VariationalAutoencoder(2, random_state=6, **options)
    parameters = {"n_components": 2, **options}
    model = fit("VariationalAutoencoder", X, parameters, random_state=6)
    assert_same(model, fitted(estimator, X), tmp_path)
    again = fit("VariationalAutoencoder", X, parameters, random_state=6, call=call_of(2))
    np.testing.assert_array_equal(again.array("encoder_coefs_.0"), model.array("encoder_coefs_.0"))


@pytest.mark.parametrize("noise", ["spherical", "diag"])
def test_gaussian_autoencoders(noise):
    X = rows_of("Gaussian")
    options = {"likelihood": "gaussian", "noise": noise, "hidden_layer_sizes": [8], "max_iter": 4}
    weights = np.linspace(0.5, 2.0, len(X))
    estimator = vemfast.VariationalAutoencoder(2, random_state=6, **options)
    fitted(estimator, X, sample_weight=weights)
    parameters = {"n_components": 2, **options}
    model = fit("VariationalAutoencoder", X, parameters, weights=weights, random_state=6)
    for name, value in arrays_of(estimator).items():  # the columns' means have other last bits
        np.testing.assert_allclose(model.array(name), value, rtol=1e-3, atol=1e-5, err_msg=name)


# ---- callbacks, and what stops a fit -----------------------------------------------------------


def test_a_callback_sees_the_trace_and_stops():
    seen = []

    def stop(_, iteration, objective):
        seen.append((iteration, objective))
        return int(iteration == 2)

    X, topics = rows_of("Bernoulli"), corpus()[0]
    models = [
        fit("BernoulliMixture", X, {"n_components": 2, "tol": 0}, callback=stop),
        fit("BernoulliHMM", X, {"n_components": 2, "tol": 0}, callback=stop),
        fit("GaussianHMM", X, {"n_components": 2, "tol": 0}, callback=stop),
        fit("VariationalAutoencoder", X, {"hidden_layer_sizes": [4]}, callback=stop),
        fit_documents(topics, {"n_components": 3}, callback=stop),
    ]
    for i, model in enumerate(models):
        own = seen[3 * i : 3 * i + 3]
        assert [iteration for iteration, _ in own] == [0, 1, 2]
        np.testing.assert_array_equal(model.array("lower_bounds_"), [value for _, value in own])


def test_a_poll_stops_a_fit():
    X = np.tile(rows_of("Bernoulli"), (400, 4))
    for name in ("BernoulliMixture", "BernoulliHMM", "VariationalAutoencoder"):
        last = "n_iter" if name.endswith("HMM") else "max_iter"
        parameters = {"n_components": 10, last: 10**6}
        if name != "VariationalAutoencoder":
            parameters["tol"] = 0
        with pytest.raises(StatusError) as caught:
            fit(name, X, parameters, call=call_of(2, lambda _: 1))
        assert caught.value.status == INTERRUPTED


# ---- many ------------------------------------------------------------------------------------


MANY = {
    "GaussianMixture": "Gaussian",
    "PoissonMixture": "Poisson",
    "PoissonHMM": "Poisson",
    "GaussianHMM": "Gaussian",
    "GMMHMM": "Gaussian",
    "VariationalAutoencoder": "Bernoulli",
}


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("name", MANY)
def test_many_are_as_one(name, n_threads):
    family = MANY[name]
    data = [rows_of(family, 20 + i, seed=i) for i in range(9)]
    data[4] = data[4][:, :1]
    data[5] = data[5][:0]
    states = 100 + np.arange(len(data))
    is_chain = name.endswith("HMM")
    lengths = [[5, len(X) - 5] if len(X) else [1] for X in data] if is_chain else None
    parameters = {"n_components": 2, "n_iter" if is_chain else "max_iter": 5}
    if name == "VariationalAutoencoder":
        parameters["hidden_layer_sizes"] = [4]
    if name == "GMMHMM":
        parameters["n_mix"] = 2
    models, message = fit_many(name, data, parameters, states, lengths, call_of(n_threads))
    assert message.startswith("data set 5: ")
    assert "X has 0 rows" in message or "X has 0 steps" in message or "n_samples=0" in message
    for i, model in enumerate(models):
        if i == 5:
            assert model is None
            continue
        own = fit(name, data[i], parameters, lengths and lengths[i], random_state=states[i])
        last = "transmat_" if is_chain else "weights_"
        for array in ("lower_bounds_", "decoder_coefs_.1" if family == "Bernoulli" else last):
            np.testing.assert_array_equal(model.array(array), own.array(array))


@pytest.mark.parametrize("n_threads", [1, 2])
def test_many_corpora_are_as_one(n_threads):
    X, _ = corpus()
    corpora = [X[i : i + 8 + i] for i in range(9)]
    corpora[4] = X[7:8]  # no token at all
    states = 50 + np.arange(len(corpora))
    parameters = {"n_components": 2, "inference": "variational-em", "max_iter": 6}
    models, message = fit_many_documents(corpora, parameters, states, call_of(n_threads))
    assert message == "data set 4: there are no tokens: all documents are empty"
    for i, model in enumerate(models):
        if i == 4:
            assert model is None
            continue
        own = fit_documents(corpora[i], parameters, random_state=states[i])
        for array in ("lower_bounds_", "components_"):
            np.testing.assert_array_equal(model.array(array), own.array(array))


def test_many_are_those_of_python():
    data = [rows_of("Bernoulli", 20 + i, seed=i) for i in range(5)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fits = vemfast.fit_many(
            data, 2, estimator=vemfast.BernoulliMixture, max_iter=5, random_state=1
        )
    parameters = {"n_components": 2, "max_iter": 5}
    models, _ = fit_many("BernoulliMixture", data, parameters, fits.random_states)
    for i, model in enumerate(models):
        np.testing.assert_array_equal(model.array("probabilities_"), fits[i].probabilities_)


# ---- bad input -------------------------------------------------------------------------------


def refused(match, *args, **kwargs):
    with pytest.raises(StatusError, match=match) as caught:
        (fit if isinstance(args[0], str) else fit_documents)(*args, **kwargs)
    assert caught.value.status == INVALID_ARGUMENT


def test_bad_parameters_are_named():
    X = rows_of("Bernoulli")
    name = "BernoulliMixture"
    refused("takes no n_compnents; it takes alpha_prior", name, X, {"n_compnents": 2})
    refused("takes no batch_size", name, X, {"batch_size": 2})
    refused("n_components must be >= 1", name, X, {"n_components": 0})
    refused("n_components must be a whole number", name, X, {"n_components": 1.5})
    refused("n_components must be finite", name, X, {"n_components": np.nan})
    refused("n_components must be a number", name, X, {"n_components": "2"})
    refused("n_components must be a number", name, X, {"n_components": [2.0]})
    refused("inference='gibbs' is not what a fit", name, X, {"inference": "gibbs"})
    refused("tol must be >= 0", name, X, {"tol": -1.0})
    refused("weights_init must have the shape", name, X, {"weights_init": [0.5, 0.5]})
    refused("weights_init must sum to 1", name, X, {"weights_init": [0.5]})
    for one in (name, "GaussianMixture"):
        refused("equal_weights is set", one, X, {
            "n_components": 2, "equal_weights": True, "weights_init": [0.9, 0.1]
        })  # fmt: skip
    refused("must be from 0 to 1", name, X, {"probabilities_init": [[2.0] * 5]})
    refused("alpha_prior must be > 0", name, X, {"alpha_prior": 0.0})
    refused("has no mode", name, X, {"alpha_prior": 0.5})
    refused("needs at least as many rows", name, X[:1], {"n_components": 2})
    refused("'Mixture' is no mixture", "Mixture", X, {})
    refused("'NoHMM' is no chain", "NoHMM", X, {})
    mixed = "GMMHMM"
    refused("'em' or 'hard-em'", mixed, X, {"inference": "mean-field"})
    refused("covariance_type='tied'", mixed, X, {"covariance_type": "tied"})
    refused("concentrations >= 1", mixed, X, {"n_mix": 2, "weights_prior": 0.5})
    refused("weights_init must sum to 1", mixed, X, {"n_mix": 2, "weights_init": [[0.5, 0.6]]})
    refused("weights_init must have the shape", mixed, X, {"n_mix": 2, "weights_init": [1.0]})
    refused("means_init must have the shape", mixed, X, {"n_mix": 2, "means_init": [[0.0] * 5]})
    refused("use vemfast_fit_documents", "LatentDirichletAllocation", X, {})
    refused("not sequences", name, X, {}, [len(X)])
    chain = "PoissonHMM"
    refused("startprob_init must sum to 1", chain, X, {"startprob_init": [0.5]})
    refused("structural zero", chain, X, {
        "n_components": 2, "transmat_init": np.full((2, 2), 0.5), "transmat_support": np.eye(2)
    })  # fmt: skip
    refused("no entry that may be above zero", chain, X, {"startprob_support": [0.0]})
    refused("exact", chain, X, {
        "n_components": 2, "inference": "variational-em", "startprob_support": [1.0, 0.0]
    })  # fmt: skip
    refused("lengths add up to 5", chain, X, {}, [5])
    refused(r"sample_weight\[1\] is -1", chain, X, {}, [60, 60], np.array([1.0, -1.0]))
    normal = "GaussianHMM"
    refused("means_weight must be > 0", normal, X, {"means_weight": -1.0})
    refused("covars_weight must be > 0", normal, X, {"covars_weight": -1.0})
    refused("covars_prior must be > 0", normal, X, {"covars_prior": [-1.0] * X.shape[1]})
    refused("means_prior has no effect unless means_weight", normal, X, {"means_prior": 0.5})
    net = "VariationalAutoencoder"
    refused("missing", net, X, {"missing": "marginalize"})
    refused("of inference='hard-em'", net, X, {"prior": True})
    refused("of likelihood='gaussian'", net, X, {"noise": "diag"})
    refused("hidden_layer_sizes must be whole numbers", net, X, {"hidden_layer_sizes": [2.5]})
    refused("takes no early_stopping", net, X, {"early_stopping": True})
    refused("one layer or more", net, X, {"hidden_layer_sizes": [], "activation": "tanh"})
    refused("has no weight; leave it out", net, X, {}, None, np.eye(len(X))[0] + 0.0)


@pytest.mark.parametrize(
    ("name", "parameters", "match"),
    [
        ("Mixture", {}, "'Mixture' is no mixture"),
        ("NoHMM", {}, "'NoHMM' is no chain"),
        ("PoissonMixture", {"n_components": 0}, "n_components must be >= 1"),
        ("PoissonHMM", {"n_components": "2"}, "n_components must be a number"),
    ],
)
def test_many_are_refused_before_there_is_a_fit(name, parameters, match):
    with pytest.raises(StatusError, match=match) as caught:
        fit_many(name, [rows_of("Poisson")], parameters, [0])
    assert caught.value.status == INVALID_ARGUMENT


def test_bad_data_is_named():
    X = rows_of("Bernoulli")
    X[17, 3] = np.nan
    for name in ("GaussianMixture", "BernoulliMixture", "PoissonHMM", "VariationalAutoencoder"):
        refused("X contains NaN at row 17, column 3", name, X, {})
    both = {"missing": "marginalize"}
    for name in ("GaussianMixture", "PoissonMixture"):
        refused("X has no observed value in", name, X * np.nan, both)
    X[17, 3] = np.inf
    refused(
        "infinity .* at row 17, column 3; drop or impute such rows$", "GaussianMixture", X, both
    )
    X[17, 3] = 2.5
    refused("X contains 2.5 at row 17, column 3", "BernoulliMixture", X, {})
    refused("X contains 2.5 at row 17, column 3", "PoissonHMM", X, {})
    refused("X contains 2.5 at row 17, column 3", "VariationalAutoencoder", X, {})
    codes, narrow = rows_of("Categorical"), {"n_categories": [3, 2]}
    codes[5] = [3.0, 0.0]
    what = "X contains 3 at row 5, column 0, which is not a code from 0 to 2; .* more codes"
    refused(what, "CategoricalMixture", codes[:20], narrow)
    documents, _ = corpus()
    refused("has word 11, but", documents, {}, 10)
    refused("all documents are empty", documents[7:8], {})
    documents.data = documents.data + 0.5
    refused("counts must be whole numbers", documents, {"inference": "hard-em"})
    refused("has no mode", documents, {"inference": "hard-em", "topic_word_prior": 0.5})
    refused("topics_init has no word in topic 0", documents, {"topics_init": np.zeros((10, 30))})
