"""V1 to V12, and the common cases as the autoencoder meets them, each with its message."""

import os
import signal
import threading
import warnings

import numpy as np
import pytest
import scipy.sparse
from reliability.helpers import run_python
from sklearn.exceptions import NotFittedError
from vae_data import LIKELIHOODS, ROWS, autoencoder, fitted, weights

from vemfast import DegenerateWarning, NumericalError, VariationalAutoencoder
from vemfast.data import RowBlock
from vemfast.models.base import Step
from vemfast.models.vae_config import NetworkState, VaeConfig
from vemfast.reference.vae import VariationalAutoencoder as Twin
from vemfast.reference.vae import divergences

X = ROWS["bernoulli"]


def test_V1_log_variances_are_clamped_in_the_value_and_the_gradient():
    twin = Twin(VaeConfig(6, 2, (4,), dtype=np.float64))
    block, step = RowBlock(X), Step("factorised", "point", 1, 1)
    state = twin.init([block], step)
    for end, least in ((1000.0, 20.0), (-1000.0, -30.0)):
        weights = state.weights.copy()
        moved = NetworkState.at(state.layout, weights)
        moved["encoder_intercepts_1"][2:] = end
        assert (twin.encode(moved, block)[1] == least).all()
        gradient = twin.e_step(moved, block, step)
        assert np.isfinite(gradient.buffer).all()
        assert (gradient["encoder_intercepts_1"][2:] == 0).all()
        assert (gradient["encoder_intercepts_1"][:2] != 0).all()


@pytest.mark.parametrize(("value", "said"), [(1.5, "0 to 1"), (-0.5, "0 to 1")])
def test_V2_bernoulli_rows_outside_the_unit_interval(value, said):
    rows = X.copy()
    rows[3, 2] = value
    for bad in (rows, scipy.sparse.csr_array(rows)):
        with pytest.raises(ValueError, match=rf"values from .*{value}.*takes {said}"):
            autoencoder().fit(bad)
    with pytest.raises(ValueError, match="takes 0 to 1"):
        autoencoder().fit((X * 255).astype(np.uint8))
    with pytest.raises(ValueError, match="counts >= 0"):
        autoencoder("poisson").fit(ROWS["poisson"] - 1)


def test_V3_what_is_not_finite_ends_with_the_last_good_weights():
    rows = ROWS["poisson"]
    vae = fitted("poisson", max_iter=2)
    vae.set_params(warm_start=True, max_iter=50, learning_rate_init=1e8)
    with pytest.raises(NumericalError, match="3 times in a row"):
        vae.fit(rows)
    assert vae.stop_reason_ == "numerical"
    assert np.isfinite(weights(vae)).all()


def test_V4_V7_batches_of_one_row_and_larger_than_the_data():
    for n, batch in ((41, 40), (3, 1000), (1, 1), (2, 2)):
        vae = fitted(rows=X[:n], batch_size=batch)
        assert np.isfinite(weights(vae)).all()
        assert np.isfinite(vae.loss_curve_).all()


@pytest.mark.parametrize("noise", ["spherical", "diag"])
def test_V5_constant_rows_end_at_the_floor_of_the_variance(noise):
    rows = np.full((60, 6), 0.3)
    vae = fitted(
        "gaussian",
        rows,
        noise=noise,
        variance_floor=0.01,
        max_iter=60,
        learning_rate_init=0.05,
        inference="hard-em",
    )
    assert (vae.noise_variance_ >= 0.01 * (1 - 1e-6)).all()
    assert np.isfinite(vae.score(rows))


def test_V6_collapse_is_warned_about():
    noise = np.random.default_rng(0).random((150, 6))
    with pytest.warns(DegenerateWarning, match=r"latent dimension\(s\) 0, 1 is below 0.01"):
        autoencoder(max_iter=60, learning_rate_init=0.01, beta=4.0).fit(noise)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_V8_the_divergence_is_never_negative(likelihood):
    for scale in (1e-6, 1e-3, 1.0, 10.0):
        mean, log_variance = scale * np.random.default_rng(1).normal(size=(2, 5000, 3))
        assert (divergences(mean, log_variance) >= 0).all()
        single = divergences(mean.astype(np.float32), log_variance.astype(np.float32))
        assert (single >= 0).all()


@pytest.mark.parametrize("value", [0, -1, 2.5, True])
def test_V9_C10_width_of_z(value):
    with pytest.raises((ValueError, TypeError), match="n_components"):
        VariationalAutoencoder(value).fit(X)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_V10_single_precision_is_near_double(likelihood):
    rows = ROWS[likelihood]
    bounds = []
    for dtype in (np.float32, np.float64):
        twin = Twin(VaeConfig(6, 2, (16,), likelihood=likelihood, dtype=dtype))
        block, step = RowBlock(rows), Step("factorised", "point", 1, 1)
        state = twin.init([block], step)
        bounds.append(twin.e_step(state, block, step).local_bound)
    assert bounds[0] == pytest.approx(bounds[1], rel=1e-5)


def test_V11_exploding_rows_are_to_be_standardised():
    rows = ROWS["gaussian"].copy()
    rows[4, 1] = 1e20
    with pytest.raises(ValueError, match="standardise"):
        autoencoder("gaussian").fit(rows)
    with pytest.raises(ValueError, match="standardise"):
        fitted("gaussian").transform(rows)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_V12_the_same_bits_for_a_seed_and_any_number_of_threads(likelihood):
    # Wide enough that a batch is shared among threads.
    options = {"hidden_layer_sizes": (200, 101), "batch_size": 90, "max_iter": 2}
    one = fitted(likelihood, n_jobs=1, **options)
    for n_jobs in (1, 2, 3):
        other = fitted(likelihood, n_jobs=n_jobs, **options)
        np.testing.assert_array_equal(weights(other), weights(one))
        assert other.loss_curve_ == one.loss_curve_
        np.testing.assert_array_equal(other.elbo(ROWS[likelihood]), one.elbo(ROWS[likelihood]))
    seed = fitted(likelihood, random_state=4, **options)
    assert not np.array_equal(weights(seed), weights(one))


# ---- the common cases --------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_C1_what_is_not_finite_is_named(value):
    rows = X.copy()
    rows[17, 3] = value
    vae = fitted()
    for bad in (rows, scipy.sparse.csr_array(rows)):
        for use in (autoencoder().fit, vae.transform, vae.elbo, vae.partial_fit):
            with pytest.raises(ValueError, match="at row 17, column 3"):
                use(bad)


def test_C2_C3_C4_shapes_and_types():
    for bad in (np.empty((0, 3)), np.empty((3, 0)), X[:, 0], X.astype(complex)):
        with pytest.raises(ValueError, match=r"sample|feature|2D array|omplex"):
            autoencoder().fit(bad)
    with pytest.raises(TypeError, match=r"strings|numbers"):
        autoencoder().fit(np.full((4, 2), "a"))
    with pytest.raises(ValueError, match="partial_fit for each chunk"):
        autoencoder().fit(iter([X, X]))


def test_C6_layouts_of_memory():
    expected = weights(fitted())
    rows = X.copy()
    rows.flags.writeable = False
    misaligned = np.frombuffer(b"0" + X.tobytes(), dtype=np.uint8)[1:].view(np.float64)
    for same in (
        rows,
        np.asfortranarray(X),
        np.repeat(X, 2, axis=1)[:, ::2],
        X[::-1][::-1],
        X.astype(">f8"),
        misaligned.reshape(X.shape),
        X.tolist(),
    ):
        np.testing.assert_array_equal(weights(fitted(rows=same)), expected)


def test_C7_sparse_forms():
    rows = np.round(X)
    thin = scipy.sparse.csr_matrix(rows)
    expected = weights(fitted(rows=rows))
    long = thin.copy()
    long.indices, long.indptr = long.indices.astype(np.int64), long.indptr.astype(np.int64)
    doubled = scipy.sparse.coo_matrix(
        (np.full(2 * thin.nnz, 0.5), (np.tile(thin.tocoo().row, 2), np.tile(thin.tocoo().col, 2))),
        shape=rows.shape,
    )
    for same in (long, doubled, scipy.sparse.csr_array(thin)):
        np.testing.assert_array_equal(weights(fitted(rows=same)), expected)
    broken = thin.copy()
    broken.indices = broken.indices + 5
    with pytest.raises(ValueError, match=r"indices|column"):
        autoencoder().fit(broken)


def test_C8_C9_use():
    vae = fitted()
    for use in (vae.transform, vae.elbo, vae.score_samples, vae.reconstruct, vae.log_marginal):
        with pytest.raises(ValueError, match=r"4 features.*6 features"):
            use(X[:, :4])
    with pytest.raises(ValueError, match="expected"):
        vae.inverse_transform(np.zeros((3, 5)))
    for name in ("transform", "inverse_transform", "elbo", "sample", "score", "to_torch"):
        with pytest.raises(NotFittedError):
            getattr(autoencoder(), name)(*([] if name in ("sample", "to_torch") else [X]))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_iter", 0),
        ("batch_size", 0),
        ("hidden_layer_sizes", (0,)),
        ("hidden_layer_sizes", (2.5,)),
        ("hidden_layer_sizes", "many"),
        ("activation", "step"),
        ("likelihood", "cauchy"),
        ("learning_rate_init", 0.0),
        ("beta", -1.0),
        ("beta_2", 1.0),
        ("validation_fraction", 1.0),
    ],
)
def test_C11_options_out_of_range(name, value):
    vae = fitted()
    before = weights(vae)
    with pytest.raises(ValueError, match=name.replace("_sizes", "").replace("_", ".")):
        vae.set_params(**{name: value}).fit(X)
    np.testing.assert_array_equal(weights(vae), before)


@pytest.mark.parametrize("bad", [-1.0, np.nan, 0.0])
def test_C14_weights(bad):
    w = np.zeros(150) if bad == 0 else np.r_[bad, np.ones(149)]
    with pytest.raises(ValueError, match="sample_weight"):
        autoencoder().fit(X, sample_weight=w)


def test_C17_a_callback_that_raises_leaves_the_last_pass():
    def fail(iteration, objective, elapsed):
        if iteration == 2:
            raise RuntimeError("enough")

    vae = autoencoder(callbacks=fail)
    with pytest.raises(RuntimeError, match="enough"):
        vae.fit(X)
    assert vae.n_iter_ == 2


@pytest.mark.parametrize("seed", [3, np.int64(3), None])
def test_C19_random_states(seed):
    fitted(random_state=seed)
    for kind in (np.random.default_rng, np.random.RandomState):
        a, b = (weights(fitted(random_state=kind(5))) for _ in range(2))
        np.testing.assert_array_equal(a, b)


# ---- faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize("within", ["callback", "pass"])
def test_F1_an_interrupt_leaves_the_last_full_pass(within):
    """From a callback, and by a timer in the midst of the native passes."""
    rows = np.tile(X, (40, 20))
    seen = []

    def call(iteration, objective, elapsed):
        seen.append(iteration)
        if iteration == 1 and within == "callback":
            signal.raise_signal(signal.SIGINT)

    options = {"callbacks": call, "hidden_layer_sizes": (200,), "max_iter": 10**6}
    vae = autoencoder(on_interrupt="return", **options)
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    if within == "pass":
        timer.start()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DegenerateWarning)
        vae.fit(rows)
    assert vae.stop_reason_ == "interrupted"
    assert vae.n_iter_ in (seen[-1], seen[-1] + 1)
    assert np.isfinite(weights(vae)).all()


def test_F9_a_second_fit_of_one_object_is_refused():
    vae = autoencoder(callbacks=lambda **_: vae.fit(X))
    with pytest.raises(RuntimeError, match="fit already running"):
        vae.fit(X)


def test_F13_no_compilation_and_no_torch():
    code = "import sys, vemfast; vemfast.VariationalAutoencoder; print('torch' in sys.modules)"
    assert run_python(code).stdout.split() == ["False"]
