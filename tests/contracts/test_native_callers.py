"""Callers without Python get the numbers of Python: models by files, used and fitted through C."""

import warnings
from ctypes import byref, c_size_t, c_void_p

import numpy as np
import pytest
import scipy.sparse
from native_library import (
    INTERRUPTED,
    INVALID_ARGUMENT,
    MODEL_FILE,
    SYSTEM,
    NativeModel,
    StatusError,
    call_of,
    fit_gaussian_mixture,
    lib,
    rows_of,
)

import vemfast

GIBBS = {"inference": "gibbs", "n_burn": 3, "n_draws": 4, "n_chains": 2}
PROCESS = {
    "inference": "mean-field",
    "weight_concentration_prior_type": "dirichlet_process",
}


def clouds(n=90, D=3):
    rng = np.random.default_rng(5)
    return np.concatenate([rng.normal(0, 1, (n, D)), rng.normal(3, 2, (n, D))])


def native(estimator, tmp_path):
    """Return the model from the estimator's file, which it writes back byte for byte."""
    path, again = tmp_path / "model.safetensors", tmp_path / "again.safetensors"
    estimator.save(path)
    model = NativeModel(path)
    assert lib.vemfast_class_name(model.handle).decode() == type(estimator).__name__
    model.save(again)
    assert again.read_bytes() == path.read_bytes()
    return model


def fitted(estimator, X, *args):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few iterations
        return estimator.fit(X, *args)


def assert_mixture(estimator, model, X, exact=True):
    np.testing.assert_array_equal(model.predict(X), estimator.predict(X))
    np.testing.assert_array_equal(model.responsibilities(X), estimator.predict_proba(X))
    density = estimator.score_samples(X)
    if exact:
        np.testing.assert_array_equal(model.score_samples(X), density)
        assert model.score(X) == estimator.score(X)
    else:
        np.testing.assert_allclose(model.score_samples(X), density, rtol=1e-12)
    np.testing.assert_array_equal(
        model.responsibilities(X, call_of(2)), model.responsibilities(X, call_of(1))
    )


# ---- the same numbers ------------------------------------------------------------------------


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical", "tied-spherical"])
@pytest.mark.parametrize("options", [{}, PROCESS, GIBBS, {"equal_weights": True}], ids=range(4))
def test_gaussian_mixture(tmp_path, covariance_type, options):
    X = clouds()
    estimator = vemfast.GaussianMixture(
        2, covariance_type=covariance_type, random_state=0, **options
    )
    model = native(fitted(estimator, X), tmp_path)
    assert_mixture(estimator, model, X)
    np.testing.assert_array_equal(model.array("means_"), estimator.means_)
    strided = np.asfortranarray(X[::-1])[::2]
    np.testing.assert_array_equal(model.score_samples(strided), estimator.score_samples(strided))
    single = X.astype(np.float32)
    np.testing.assert_array_equal(model.score_samples(single), estimator.score_samples(single))
    weights = np.arange(len(X), dtype=np.float64)
    np.testing.assert_allclose(
        model.score(X, weights), estimator.score(X, sample_weight=weights), rtol=1e-13
    )


@pytest.mark.parametrize("options", [{}, PROCESS, GIBBS], ids=["em", "mean-field", "gibbs"])
@pytest.mark.parametrize("family", ["gaussian", "bernoulli", "poisson", "categorical"])
def test_missing_values(tmp_path, family, options):
    X = clouds() if family == "gaussian" else discrete_rows(family)
    X[::7, 1] = np.nan
    X[5] = np.nan  # nothing is observed
    kind = getattr(vemfast, f"{family.capitalize()}Mixture")
    estimator = fitted(kind(2, missing="marginalize", random_state=0, **options), X)
    model = native(estimator, tmp_path)
    exact = not (family == "poisson" and options is PROCESS)
    assert_mixture(estimator, model, X, exact)
    np.testing.assert_array_equal(model.responsibilities(X)[5], estimator.weights_)
    assert model.predict(X)[5] == np.argmax(estimator.weights_)
    if options is not GIBBS:
        assert model.score_samples(X)[5] == 0.0


def discrete_rows(family):
    rng = np.random.default_rng(3)
    group = np.repeat([0, 1], 60)
    if family == "bernoulli":
        p = np.array([[0.9, 0.2, 0.5, 0.1, 0.7], [0.1, 0.7, 0.6, 0.9, 0.2]])
        return (rng.random((120, 5)) < p[group]).astype(np.float64)
    if family == "poisson":
        return rng.poisson(np.array([[1.0, 6.0], [8.0, 0.5]])[group]).astype(np.float64)
    return np.column_stack([rng.integers(0, 3 + group), rng.integers(0, 2, 120)]).astype(np.float64)


@pytest.mark.parametrize("options", [{}, PROCESS, GIBBS], ids=["em", "mean-field", "gibbs"])
@pytest.mark.parametrize("family", ["bernoulli", "poisson", "categorical"])
def test_discrete_mixtures(tmp_path, family, options):
    X = discrete_rows(family)
    kinds = {
        "bernoulli": vemfast.BernoulliMixture,
        "poisson": vemfast.PoissonMixture,
        "categorical": vemfast.CategoricalMixture,
    }
    estimator = fitted(kinds[family](2, random_state=0, **options), X)
    model = native(estimator, tmp_path)
    exact = not (family == "poisson" and options is PROCESS)
    assert_mixture(estimator, model, X, exact)


def test_binarized_and_missing_bits(tmp_path):
    X = clouds()
    X[::5, 0] = np.nan
    estimator = vemfast.BernoulliMixture(
        2, binarize=0.5, missing="marginalize", max_iter=5, random_state=0
    )
    assert_mixture(fitted(estimator, X), native(estimator, tmp_path), X)


CHAINS = {
    "gaussian-full": (vemfast.GaussianHMM, {"covariance_type": "full"}, None),
    "gaussian-diag": (vemfast.GaussianHMM, {}, None),
    "gaussian-mean-field": (vemfast.GaussianHMM, {"inference": "mean-field"}, None),
    "gmm": (vemfast.GMMHMM, {"n_mix": 2}, None),
    "gmm-full": (vemfast.GMMHMM, {"n_mix": 2, "covariance_type": "full"}, None),
    "bernoulli": (vemfast.BernoulliHMM, {}, "bernoulli"),
    "poisson": (vemfast.PoissonHMM, {}, "poisson"),
    "categorical": (vemfast.CategoricalHMM, {}, "categorical"),
}


@pytest.mark.parametrize("name", CHAINS)
def test_hidden_markov_models(tmp_path, name):
    kind, options, family = CHAINS[name]
    X = clouds(60) if family is None else discrete_rows(family)
    if family == "categorical":
        X = X[:, :1].copy()
    lengths = [50, 1, len(X) - 51]
    estimator = kind(2, n_iter=4, random_state=0, **options)
    given = X if family is None else X.astype(np.int64)
    fitted(estimator, given, lengths)
    model = native(estimator, tmp_path)
    joint, states = model.decode(X, lengths)
    expected_joint, expected = estimator.decode(given, lengths)
    np.testing.assert_array_equal(states, expected)
    assert joint.sum() == expected_joint
    np.testing.assert_array_equal(
        model.posteriors(X, lengths), estimator.predict_proba(given, lengths)
    )
    np.testing.assert_array_equal(
        model.score_sequences(X, lengths), estimator.score_sequences(given, lengths)
    )
    np.testing.assert_array_equal(model.score_sequences(X), estimator.score_sequences(given))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("inference", ["mean-field", "variational-em"])
def test_latent_dirichlet_allocation(tmp_path, inference, dtype):
    rng = np.random.default_rng(2)
    X = scipy.sparse.csr_array(rng.poisson(rng.gamma(0.3, 2.0, (40, 30))))
    X.sort_indices()
    estimator = vemfast.LatentDirichletAllocation(
        4, inference=inference, max_iter=4, dtype=dtype, random_state=0
    )
    model = native(fitted(estimator, X), tmp_path)
    np.testing.assert_array_equal(model.transform_documents(X), estimator.transform(X))
    np.testing.assert_array_equal(model.score_documents(X), estimator.score_samples(X))


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian", "poisson"])
def test_variational_autoencoder(tmp_path, likelihood):
    X = {
        "bernoulli": discrete_rows("bernoulli"),
        "gaussian": clouds(60),
        "poisson": discrete_rows("poisson"),
    }[likelihood]
    estimator = vemfast.VariationalAutoencoder(
        2, hidden_layer_sizes=(7, 5), likelihood=likelihood, max_iter=2, random_state=0
    )
    model = native(fitted(estimator, X), tmp_path)
    np.testing.assert_array_equal(model.transform(X), estimator.transform(X))
    np.testing.assert_array_equal(model.transform(np.asfortranarray(X)), estimator.transform(X))
    Z = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)
    np.testing.assert_allclose(
        model.inverse_transform(Z), estimator.inverse_transform(Z), rtol=1e-5, atol=1e-7
    )


# ---- fits ------------------------------------------------------------------------------------

INFERENCES = ("em", "hard-em", "mean-field", "variational-em")  # of vemfast_inference


@pytest.mark.parametrize("inference", INFERENCES)
@pytest.mark.parametrize(
    ("number", "covariance_type"),
    list(enumerate(["full", "tied", "diag", "spherical", "tied-spherical"])),
)
def test_a_native_fit_is_the_fit_of_python(tmp_path, number, covariance_type, inference):
    X = clouds()
    code = INFERENCES.index(inference)
    objectives = []

    def callback(context, iteration, objective):
        assert iteration == len(objectives)
        objectives.append(objective)
        return 0

    model = fit_gaussian_mixture(
        X, 3, n_components=2, covariance_type=number, inference=code, callback=callback
    )
    model.save(tmp_path / "native")
    loaded = vemfast.load(tmp_path / "native")
    estimator = vemfast.GaussianMixture(
        2, covariance_type=covariance_type, inference=inference, random_state=3
    )
    fitted(estimator, X)
    assert loaded.lower_bounds_ == objectives
    assert loaded.covariance_type == covariance_type
    assert (loaded.inference, loaded.n_iter_) == (inference, len(objectives) - 1)
    assert loaded.stop_reason_ == estimator.stop_reason_
    np.testing.assert_allclose(loaded.lower_bounds_, estimator.lower_bounds_, rtol=1e-12)
    for name in ("weights_", "means_", "covariances_", "precisions_"):
        np.testing.assert_allclose(
            getattr(loaded, name), getattr(estimator, name), rtol=1e-9, atol=1e-12
        )
    np.testing.assert_array_equal(loaded.predict_proba(X), model.responsibilities(X))
    np.testing.assert_array_equal(loaded.score_samples(X), model.score_samples(X))
    if covariance_type in ("full", "tied"):
        product = loaded.precisions_ @ loaded.covariances_
        np.testing.assert_allclose(product, np.broadcast_to(np.eye(3), product.shape), atol=1e-9)


def test_a_callback_stops_a_fit(tmp_path):
    model = fit_gaussian_mixture(
        clouds(), n_components=2, tol=0.0, callback=lambda context, iteration, _: iteration == 2
    )
    model.save(tmp_path / "m")
    loaded = vemfast.load(tmp_path / "m")
    assert (loaded.stop_reason_, loaded.n_iter_, loaded.converged_) == ("callback", 2, False)


def test_a_poll_interrupts():
    X = np.random.default_rng(0).normal(size=(20_000, 2))
    with pytest.raises(StatusError) as info:
        fit_gaussian_mixture(
            X, n_components=3, tol=0.0, max_iter=100_000, call=call_of(1, lambda context: 1)
        )
    assert info.value.status == INTERRUPTED


# ---- bad input -------------------------------------------------------------------------------


@pytest.fixture
def mixture(tmp_path):
    return native(fitted(vemfast.GaussianMixture(2, max_iter=3), clouds()), tmp_path)


def complaint(status, call):
    with pytest.raises(StatusError) as info:
        call()
    assert info.value.status == status
    return info.value.message


def test_null_pointers_and_wrong_sizes(mixture):
    X = clouds()
    n = len(X)
    given, out = rows_of(X), np.empty(n)
    data = c_void_p(out.ctypes.data)

    def score(handle, rows, call=None, size=n, to=data):
        return lib.vemfast_score_samples(handle, rows, call, to, c_size_t(size))

    bad = [
        (None, byref(given)),
        (mixture.handle, None),
        (mixture.handle, byref(given), None, n - 1),
        (mixture.handle, byref(given), None, n, None),
    ]
    for arguments in bad:
        assert score(*arguments) == INVALID_ARGUMENT
        assert lib.vemfast_message()
    given.struct_size = 1
    assert score(mixture.handle, byref(given)) == INVALID_ARGUMENT
    given = rows_of(X)
    given.data = None
    assert score(mixture.handle, byref(given)) == INVALID_ARGUMENT
    given = rows_of(X)
    given.n_rows = -1
    assert score(mixture.handle, byref(given)) == INVALID_ARGUMENT
    assert lib.vemfast_load(None, byref(c_void_p())) == INVALID_ARGUMENT
    assert lib.vemfast_load(b"x", None) == INVALID_ARGUMENT
    assert lib.vemfast_class_name(None) is None
    assert lib.vemfast_n_features(None) == 0
    lib.vemfast_free(None)
    zero = call_of(0)
    assert score(mixture.handle, byref(rows_of(X)), byref(zero)) == INVALID_ARGUMENT


def test_bad_rows(mixture):
    X = clouds()
    message = complaint(INVALID_ARGUMENT, lambda: mixture.predict(X[:, :2].copy()))
    assert message == "X has 2 features, but the model has 3"
    X[4, 1] = np.nan
    message = complaint(INVALID_ARGUMENT, lambda: mixture.score_samples(X))
    expected = "X contains NaN at row 4, column 1; drop or impute such rows"
    assert message == expected + ", or fit with missing='marginalize'"
    assert "X contains NaN at row 4" in complaint(
        INVALID_ARGUMENT, lambda: fit_gaussian_mixture(X, n_components=2)
    )


def test_models_of_another_kind(mixture, tmp_path):
    X = clouds()
    for call in (
        lambda: mixture.decode(X),
        lambda: mixture.transform(X),
        lambda: mixture.transform_documents(scipy.sparse.csr_array(np.ones((2, 3)))),
    ):
        assert "the model is a GaussianMixture, not" in complaint(INVALID_ARGUMENT, call)
    message = complaint(INVALID_ARGUMENT, lambda: mixture.array("colour_"))
    assert "has no array colour_; it has covariances_, " in message


def test_bad_files(tmp_path):
    path = tmp_path / "m"
    path.write_bytes(b"nothing")
    message = complaint(MODEL_FILE, lambda: NativeModel(path))
    assert message.startswith(f"{path}: not a safetensors file, or damaged: ")
    complaint(SYSTEM, lambda: NativeModel(tmp_path / "nowhere"))


def test_bad_counts_codes_and_lengths(tmp_path):
    X = discrete_rows("poisson")
    model = native(fitted(vemfast.PoissonHMM(2, n_iter=2, random_state=0), X.astype(int)), tmp_path)
    assert "row 1, column 0" in complaint(
        INVALID_ARGUMENT, lambda: model.decode(np.array([[1.0, 2.0], [0.5, 1.0]]))
    )
    for lengths in ([len(X) - 1], [len(X), 1], [0, len(X)], [-1, len(X) + 1], [2**62, 2**62]):
        assert "lengths" in complaint(
            INVALID_ARGUMENT, lambda lengths=lengths: model.decode(X, lengths)
        )


def test_bad_documents(tmp_path):
    X = scipy.sparse.csr_array(np.random.default_rng(0).poisson(1.0, (9, 6)))
    model = native(fitted(vemfast.LatentDirichletAllocation(2, max_iter=2), X), tmp_path)
    for change in (
        {"indices": X.indices + 6},
        {"indices": X.indices[::-1].copy()},
        {"data": -X.data},
        {"data": X.data * np.nan},
        {"indptr": X.indptr[::-1].copy()},
    ):
        bad = scipy.sparse.csr_array(X)
        bad.__dict__.update(change)
        complaint(INVALID_ARGUMENT, lambda bad=bad: model.transform_documents(bad))


def test_options_of_a_fit_that_cannot_be():
    X = clouds()
    for options in (
        {"n_components": 0},
        {"n_components": 2, "covariance_type": 9},
        {"n_components": 2, "inference": -1},
        {"n_components": 2, "max_iter": 0},
        {"n_components": 2, "tol": -1.0},
        {"n_components": 1000},
        {"n_components": 2, "struct_size": 3},
    ):
        complaint(INVALID_ARGUMENT, lambda options=options: fit_gaussian_mixture(X, **options))


def test_messages_are_those_of_the_thread():
    import threading

    found = []

    def other():
        found.append(lib.vemfast_message())

    assert lib.vemfast_load(None, byref(c_void_p())) == INVALID_ARGUMENT
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert found == [b""]
    assert lib.vemfast_message() == b"path is a null pointer"


def test_the_versions():
    assert lib.vemfast_version().decode() == vemfast.__version__
    assert lib.vemfast_c_abi() == 1
