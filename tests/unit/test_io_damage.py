"""No damaged or forged model file gets through, and none does worse than a ModelFileError."""

import json
import os
import re
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_files import METHODS, assert_same, complaint, forge, saved
from safetensors.numpy import save as save_tensors

import vemfast
from vemfast import GaussianMixture, ModelFileError
from vemfast.io import container

# ---- damage ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("small"), covariance_type="tied-spherical")


def test_a_file_cut_at_any_byte_is_refused(small, tmp_path):
    content = small.read_bytes()
    path = tmp_path / "cut"
    for end in range(len(content)):
        path.write_bytes(content[:end])
        complaint(path)
    path.write_bytes(content + b"\0")
    complaint(path)


@pytest.mark.parametrize("flip", [0xFF, 0x01, 0x20])
def test_a_file_with_any_byte_flipped_is_refused_or_the_same(small, tmp_path, flip):
    content = bytearray(small.read_bytes())
    expected = vemfast.load(small)
    path = tmp_path / "flipped"
    unnoticed = 0
    for position in range(len(content)):
        content[position] ^= flip
        path.write_bytes(content)
        content[position] ^= flip
        try:
            loaded = vemfast.load(path)
        except ModelFileError:
            continue
        assert_same(loaded, expected)
        unnoticed += 1
    assert unnoticed <= 8  # the padding of the header, at most


def with_document(text):
    return save_tensors({}, {"vemfast": text})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a safetensors file, or damaged: "),
        (b"\0" * 8, "not a safetensors file, or damaged: "),
        (b"\xff" * 16, "not a safetensors file, or damaged: "),
        ((1 << 62).to_bytes(8, "little") + b"{}", "not a safetensors file, or damaged: "),
        (b"\x02\0\0\0\0\0\0\0{}", "format: a safetensors file, but not a vemfast-model"),
        (save_tensors({"a": np.zeros(3)}), "format: a safetensors file, but not a"),
        (save_tensors({"a": np.zeros(3)}, {"format": "pt"}), "format: a safetensors file, but"),
        (with_document("{}"), "format: None, not 'vemfast-model'"),
        (with_document("[" * 100_000), "metadata: not a JSON document ("),
        (with_document("[1]"), "metadata: not a JSON object"),
        (with_document('{"format":NaN}'), "metadata: not a JSON document (NaN is not JSON)"),
        (with_document('{"a":1,"a":2}'), "metadata: not a JSON document (a key stands twice)"),
        (with_document('{"format":"vemfast-model","version":"1.0"}'), "sha256: missing"),
        (with_document("9" * 5000), "metadata: not a JSON "),
    ],
    ids=range(14),
)
def test_what_is_no_model_file(tmp_path, content, message):
    path = tmp_path / "m"
    path.write_bytes(content)
    assert complaint(path).startswith(message)


def test_a_pipe_a_folder_and_nothing(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = os.open(tmp_path / "pipe", os.O_RDWR)
    try:
        assert complaint(tmp_path / "pipe") == "not a regular file"
    finally:
        os.close(writer)
    with pytest.raises(IsADirectoryError):
        vemfast.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        vemfast.load(tmp_path / "nothing")


_TYPES = ["F64", "F32", "BF16", "F8_E5M2", "I64", "BOOL", "C64", "U8", "F4", "F63"]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
_QUICK = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)


@_QUICK
@given(
    st.dictionaries(
        st.sampled_from(["weights_", "means_", "__metadata__", "a"]),
        st.fixed_dictionaries(
            {
                "dtype": st.sampled_from(_TYPES),
                "shape": st.lists(st.integers(-1, 4) | st.just(1 << 62), max_size=3),
                "data_offsets": st.tuples(st.integers(-1, 64), st.integers(0, 64)),
            }
        )
        | st.dictionaries(st.sampled_from(["vemfast", "b"]), st.text(max_size=20))
        | _JSON,
    ),
    st.integers(-3, 3),
    st.binary(max_size=64),
)
def test_made_up_headers_are_refused(tmp_path, header, error, body):
    text = json.dumps(header).encode()
    path = tmp_path / "m"
    path.write_bytes(max(len(text) + error, 0).to_bytes(8, "little") + text + body)
    complaint(path)


@_QUICK
@given(
    st.sampled_from(["estimator", "parameters", "fitted", "format", "version"]),
    st.data(),
    _JSON
    | st.sampled_from(["full", "diag", "gibbs", "GaussianMixture", "os.system", -1, 0, 1, 1 << 80]),
)
def test_a_made_up_value_is_refused_or_a_model(small, tmp_path, part, data, value):
    def change(document, tensors):
        nested = document[part]
        if isinstance(nested, dict) and data.draw(st.booleans()):
            nested[data.draw(st.sampled_from(sorted(nested)))] = value
        else:
            document[part] = value

    try:
        path = forge(small, change, tmp_path / "forged")
    except ValueError:  # NaN, which no document holds
        return
    try:
        loaded = vemfast.load(path)
    except ModelFileError:
        return
    assert type(loaded) is GaussianMixture
    assert np.isfinite(loaded.means_).all()


# ---- forgery --------------------------------------------------------------------------------


def replaced(name, change):
    def act(document, tensors):
        tensors[name] = change(tensors[name])

    return act


def scaled(factor):
    return lambda array: array * factor


def with_nan(array):
    array = array.copy()
    array.flat[0] = np.nan
    return array


def skewed(array):
    array = array.copy()
    array[0, 0, 1] += 1.0
    return array


def dropped(name):
    return lambda document, tensors: tensors.pop(name)


def said(part, name, value):
    def act(document, tensors):
        document[part][name] = value

    return act


FULL_FORGERIES = [
    (replaced("weights_", scaled(1.1)), "weights_: not between|weights_: sums to"),
    (replaced("weights_", scaled(0.5)), "weights_: sums to 0.5"),
    (replaced("weights_", lambda w: w + np.array([1.0, -1.0])), "weights_: not between 0 and 1"),
    (replaced("weights_", with_nan), "weights_: not finite"),
    (replaced("weights_", lambda w: w[:1]), r"weights_: shape \(1,\), expected \(2\)"),
    (replaced("weights_", lambda w: w.astype(np.float32)), "weights_: holds float32, not float64"),
    (replaced("means_", with_nan), "means_: not finite"),
    (replaced("means_", lambda m: m.T), r"means_: shape \(3, 2\), expected \(2, 3\)"),
    (replaced("covariances_", scaled(-1.0)), "covariances_: diagonal: not positive"),
    (replaced("covariances_", with_nan), "covariances_: diagonal: not finite"),
    (replaced("covariances_", skewed), "covariances_: not symmetric"),
    (
        replaced("covariances_", lambda c: np.ones_like(c) + np.eye(3) * -1e-3),
        "covariances_: not positive definite",
    ),
    (replaced("precisions_cholesky_", np.ones_like), "precisions_cholesky_: not upper triangular"),
    (replaced("origin_", lambda o: o[:2]), r"origin_: shape \(2,\), expected \(3\)"),
    (replaced("lower_bounds_", lambda t: t[:0]), r"lower_bounds_: shape \(0,\), expected \(1\)"),
    (dropped("covariances_"), "covariances_: missing"),
    (
        lambda document, tensors: tensors.update(extra_=np.zeros(2)),
        "extra_: does not belong to a GaussianMixture",
    ),
    (
        lambda document, tensors: tensors.update(mean_precision_=np.ones(2)),
        "weight_concentration_: missing",
    ),
    (
        lambda document, tensors: tensors.update(n_iter_=np.zeros(())),
        "n_iter_: does not belong to a GaussianMixture",
    ),
    (said("fitted", "n_iter_", -1), "n_iter_: -1 is less than 0"),
    (said("fitted", "n_iter_", 1.5), "n_iter_: 1.5 is not a int"),
    (said("fitted", "n_iter_", True), "n_iter_: True is not a int"),
    (said("fitted", "converged_", 1), "converged_: 1 is not a bool"),
    (said("fitted", "stop_reason_", "luck"), "stop_reason_: 'luck' is none of"),
    (said("fitted", "lower_bound_", 3), "lower_bound_: 3 is not a float"),
    (said("fitted", "n_features_in_", 0), "n_features_in_: missing, or not a positive number"),
    (said("fitted", "n_features_in_", 4), r"origin_: shape \(3,\), expected \(4\)"),
    (said("fitted", "feature_names_in_", ["a"]), r"feature_names_in_: shape \(1,\), expected"),
    (said("fitted", "feature_names_in_", "abc"), "feature_names_in_: not a list of names"),
    (said("fitted", "means_", 1), "means_: stands twice"),
    (said("fitted", "fit", "x"), "fit: does not belong"),
    (said("parameters", "n_components", 0), "parameters: The 'n_components' parameter of"),
    (said("parameters", "n_components", 3), r"weights_: shape \(2,\), expected \(3\)"),
    (said("parameters", "covariance_type", "diag"), "covariances_: shape"),
    (said("parameters", "covariance_type", "round"), "parameters: The 'covariance_type'"),
    (said("parameters", "callbacks", "print"), "parameters: callbacks cannot come from a file"),
    (said("parameters", "tol", {}), "parameters: tol cannot come from a file"),
    (said("parameters", "colour", 1), "parameters: there is no parameter 'colour'"),
    (
        lambda document, tensors: document.update(estimator="os.system"),
        "estimator: 'os.system' is none of .*BernoulliMixture, CategoricalMixture",
    ),
    (lambda document, tensors: document.pop("fitted"), "fitted: missing, or not a dict"),
    (lambda document, tensors: document.update(parameters=[]), "parameters: missing, or not"),
    (
        lambda document, tensors: document.update(version="2.0"),
        r"version: the file has format 2.0, this vemfast reads up to 1.x; use a newer vemfast",
    ),
    (lambda document, tensors: document.update(version="0.9"), "version: there is no format 0.9"),
    (lambda document, tensors: document.update(version=1), "version: 1 is not a version"),
    (lambda document, tensors: document.update(format="x"), "format: 'x', not 'vemfast-model'"),
]


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("full"))


@pytest.mark.parametrize(("change", "message"), FULL_FORGERIES, ids=range(len(FULL_FORGERIES)))
def test_a_forged_file_is_refused_by_the_name_of_the_field(full, change, message):
    assert re.match(message, complaint(forge(full, change)))


@pytest.mark.parametrize(
    ("options", "change", "message"),
    [
        ("mean-field", replaced("mean_precision_", scaled(0)), "mean_precision_: not positive"),
        ("mean-field", replaced("degrees_of_freedom_", scaled(0)), "degrees_of_freedom_: not abov"),
        ("mean-field", dropped("mean_precision_"), "mean_precision_: missing"),
        ("process", lambda d, t: d["parameters"].update(equal_weights=True), "weight_concentrat"),
        ("gibbs", replaced("posterior_.weights", scaled(2)), "posterior_.weights: not between"),
        ("gibbs", replaced("posterior_.means", lambda m: m[:1]), "posterior_.means: shape"),
        ("gibbs", replaced("posterior_.covariances", scaled(-1)), "posterior_.covariances: diag"),
        ("gibbs", dropped("posterior_.log_joint"), "posterior_.log_joint: missing"),
    ],
)
def test_a_forged_posterior_is_refused(tmp_path, options, change, message):
    path = saved(tmp_path, **METHODS[options])
    assert complaint(forge(path, change)).startswith(message)


def test_extreme_numbers_raise_no_other_warning_or_error(full):
    rng = np.random.default_rng(0)
    extremes = np.array([0.0, -1.0, 1e308, -1e308, 5e-324, np.inf, -np.inf, np.nan, 1.0])
    names = sorted(container.read(full)[1])
    for _ in range(200):
        name = names[rng.integers(len(names))]

        def change(document, tensors, name=name):
            tensors[name] = rng.choice(extremes, tensors[name].shape)

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                loaded = vemfast.load(forge(full, change))
            except ModelFileError:
                continue
        assert np.isfinite(loaded.covariances_).all()


# ---- the discrete mixtures ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "change", "message"),
    [
        ("categorical", {"n_categories_": [4.0, 2.0]}, "probabilities_.0: shape (2, 3), but n_cat"),
        ("categorical", {"n_categories_": [2.5, 2.0]}, "n_categories_: not numbers of codes"),
        ("categorical", {"n_categories_": [3.0, 2.0, 2.0]}, "n_categories_: shape (3,), expected "),
        ("categorical", {"probabilities_.1": np.full((2, 2), 0.6)}, "probabilities_.1: "),
        ("categorical", {"probabilities_.1": None}, "probabilities_.1: missing"),
        ("categorical", {"probabilities_.2": np.full((2, 2), 0.5)}, "probabilities_.2: does not b"),
        ("bernoulli", {"probabilities_": np.full((2, 2), 1.5)}, "probabilities_: above 1"),
        ("bernoulli", {"probabilities_": np.full((2, 2), np.nan)}, "probabilities_: not finite"),
        ("poisson", {"rates_": np.full((2, 2), -1.0)}, "rates_: negative"),
        ("poisson", {"rates_": np.ones((2, 3))}, "rates_: shape (2, 3), expected (2, 2)"),
    ],
)
def test_a_forged_discrete_mixture_is_refused(tmp_path, family, change, message):
    rows = np.array([[0, 0], [1, 1], [0, 1], [1, 0], [1, 1]])
    kinds = {
        "bernoulli": vemfast.BernoulliMixture(2, random_state=0),
        "categorical": vemfast.CategoricalMixture(2, n_categories=[3, 2], random_state=0),
        "poisson": vemfast.PoissonMixture(2, random_state=0),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kinds[family].fit(rows).save(tmp_path / "m")

    def forged(document, tensors):
        for name, value in change.items():
            tensors.pop(name, None)
            if value is not None:
                tensors[name] = np.array(value)

    assert complaint(forge(tmp_path / "m", forged)).startswith(message)


def test_no_number_of_features_makes_loading_long(tmp_path):
    vemfast.CategoricalMixture(1).fit(np.array([[0], [1]])).save(tmp_path / "m")

    def forged(document, tensors):
        document["fitted"]["n_features_in_"] = 10**15

    message = "n_features_in_: 1000000000000000, more than the file has numbers"
    assert complaint(forge(tmp_path / "m", forged)) == message
