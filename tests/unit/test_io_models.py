"""Model files: the same predictions to the bit, for ever."""

import errno
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from model_files import METHODS, X, assert_same, fitted, forge, same, saved
from sklearn.exceptions import NotFittedError

import vemfast
from vemfast import GaussianMixture
from vemfast.io import atomic, container
from vemfast.io.schemas import SCHEMAS
from vemfast.models.gaussian_config import COVARIANCE_TYPES

CORPUS = Path(__file__).parents[1] / "data" / "models"


# ---- round trips ----------------------------------------------------------------------------


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("method", METHODS)
def test_what_is_loaded_is_the_same_to_the_bit(tmp_path, covariance_type, method):
    estimator = fitted(covariance_type=covariance_type, **METHODS[method])
    estimator.save(tmp_path / "model.safetensors")
    loaded = vemfast.load(tmp_path / "model.safetensors")
    assert_same(estimator, loaded)
    for call in ("predict", "predict_proba", "score_samples"):
        np.testing.assert_array_equal(getattr(estimator, call)(X), getattr(loaded, call)(X))
    assert loaded.means_.flags.writeable
    for name in ("covariances_", "precisions_", "precisions_cholesky_"):
        assert type(getattr(estimator, name)) is type(getattr(loaded, name)) is np.ndarray
    assert loaded.fit(X).converged_ in (True, False)


def test_the_same_model_makes_the_same_file(tmp_path):
    first = saved(tmp_path).read_bytes()
    assert saved(tmp_path).read_bytes() == first
    vemfast.load(tmp_path / "model.safetensors").save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == first


def test_parameters_that_are_arrays_and_names_of_columns(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b", "größe"])
    starts = X[:2].tolist()
    estimator = GaussianMixture(np.int64(2), means_init=starts, tol=np.float64(0.5)).fit(frame)
    estimator.save(tmp_path / "m")
    loaded = vemfast.load(tmp_path / "m")
    assert same(loaded.feature_names_in_, estimator.feature_names_in_)
    np.testing.assert_array_equal(loaded.means_init, starts)
    assert (loaded.n_components, loaded.tol) == (2, 0.5)
    np.testing.assert_array_equal(loaded.predict(frame), estimator.predict(frame))


def test_callbacks_and_generators_stay_behind(tmp_path):
    estimator = GaussianMixture(
        2, callbacks=[lambda **_: None], random_state=np.random.default_rng(0)
    ).fit(X)
    estimator.save(tmp_path / "m")
    loaded = vemfast.load(tmp_path / "m")
    assert loaded.callbacks is None
    assert loaded.random_state is None
    np.testing.assert_array_equal(loaded.predict_proba(X), estimator.predict_proba(X))


def test_a_sampler_that_was_stopped_before_its_first_draw(tmp_path):
    estimator = GaussianMixture(
        2,
        inference="gibbs",
        n_chains=1,
        random_state=0,
        callbacks=lambda iteration, **_: iteration == 3,
    ).fit(X)
    assert estimator.posterior_.log_joint.shape == (1, 0)
    estimator.save(tmp_path / "m")
    loaded = vemfast.load(tmp_path / "m")
    assert_same(loaded.set_params(callbacks=estimator.callbacks), estimator)


def test_every_fitted_attribute_has_a_row_in_the_schema():
    for options in METHODS.values():
        estimator = fitted(**options)
        schema = SCHEMAS[type(estimator).__name__]
        rows = {name.partition(".")[0] for name in schema.fields(estimator, 3)}
        assert {name for name in vars(estimator) if name.endswith("_")} <= rows


def test_pickle_works_too():
    estimator = fitted()
    assert_same(estimator, pickle.loads(pickle.dumps(estimator)))


# ---- what is not saved ----------------------------------------------------------------------


def test_save_refuses_what_load_would_refuse(tmp_path):
    path = tmp_path / "m"
    with pytest.raises(NotFittedError):
        GaussianMixture().save(path)
    with pytest.raises(ValueError, match=r"fit again \(weights_: shape \(2,\), expected \(5\)\)"):
        fitted().set_params(n_components=5).save(path)
    with pytest.raises(ValueError, match="tol=inf cannot be saved"):
        fitted().set_params(tol=np.inf).save(path)

    class Other(GaussianMixture):
        pass

    with pytest.raises(TypeError, match="Other is not a class that has model files"):
        vemfast.io.save(Other(2).fit(X), path)
    assert not path.exists()


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_an_io_error_leaves_the_old_file(tmp_path, monkeypatch, call):
    path = saved(tmp_path)
    old = path.read_bytes()

    def fail(*args):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(atomic.os, call, fail)
    with pytest.raises(OSError, match="Input/output error"):
        fitted(covariance_type="diag").save(path)
    assert path.read_bytes() == old


# ---- versions -------------------------------------------------------------------------------


def test_a_later_minor_version_may_hold_more(tmp_path):
    full = saved(tmp_path)

    def change(document, tensors):
        document["version"] = "1.7"
        document["parameters"]["colour"] = "blue"
        document["fitted"]["mood_"] = "good"
        tensors["extra_"] = np.zeros(2)

    assert_same(vemfast.load(forge(full, change)), vemfast.load(full))


CORPUS_FILES = sorted(CORPUS.glob("*.safetensors"))


@pytest.mark.parametrize("path", CORPUS_FILES, ids=[path.stem for path in CORPUS_FILES])
def test_files_of_every_release_load_for_ever(path):
    # Beside each file: rows, and their log densities when it was saved.
    expected = json.loads(path.with_suffix(".json").read_text())
    estimator = vemfast.load(path)
    assert type(estimator).__name__ == expected["estimator"]
    np.testing.assert_allclose(
        estimator.score_samples(np.array(expected["rows"])), expected["log_density"], rtol=1e-10
    )


def test_the_corpus_covers_every_class_and_covariance():
    stems = {path.stem for path in CORPUS_FILES}
    version = "{}.{}".format(*container.VERSION)
    assert {f"gaussian_mixture-{version}-{kind}" for kind in COVARIANCE_TYPES} <= stems
    assert f"gaussian_mixture-{version}-mean-field" in stems
    assert f"gaussian_mixture-{version}-gibbs" in stems
    for family in ("bernoulli", "poisson", "categorical"):
        kinds = ("em", "mean-field", "gibbs")
        assert {f"{family}_mixture-{version}-{kind}" for kind in kinds} <= stems
