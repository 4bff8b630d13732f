"""The native autoencoder is its NumPy twin: gradients, passes, encoder, decoder, densities."""

import numpy as np
import pytest
import scipy.sparse
from vae_data import LIKELIHOODS, ROWS

from vemfast import _core
from vemfast.data import RowBlock
from vemfast.indexed import IndexedBlock, SparseRows
from vemfast.models.base import Step
from vemfast.models.vae import VariationalAutoencoder as Native
from vemfast.models.vae_config import ACTIVATIONS, VaeConfig
from vemfast.reference.vae import VariationalAutoencoder as Twin
from vemfast.stats import Stats

# Widths on both sides of a tile of any level (6, 14, 16, 32), and of its multiples.
HIDDEN = [(), (1,), (17,), (33, 5), (14, 32, 48)]
SOFT = Step("factorised", "point", seed=9, iteration=2, n_jobs=2)
HARD = Step("hard", "point", seed=9, iteration=2, n_jobs=2)


def pair(likelihood, **options):
    settings = {"hidden": (17,), "batch_size": 37, **options}
    config = VaeConfig(6, settings.pop("n_components", 3), likelihood=likelihood, **settings)
    return Native(config), Twin(config)


def rows(likelihood, dtype=np.float64, missing=False, weighted=True):
    rng = np.random.default_rng(4)
    X = ROWS[likelihood].astype(dtype)
    if missing:
        X[rng.random(X.shape) < 0.3] = np.nan
    return RowBlock(X, rng.random(len(X)) * 2 if weighted else None, offset=1 << 33)


def begin(twin, block):
    state = twin.init([block], SOFT)
    rng = np.random.default_rng(2)  # away from the zeros of the start
    noise = rng.normal(0, 0.1, state.weights.shape).astype(np.float32)
    return type(state).at(state.layout, state.weights + noise)


def sweep(model, state, blocks, step):
    """Make a pass; gradients are not blended, so the last statistics and the rates do not count."""
    return model.sweep(state, Stats(model.layout), blocks, step, iter(()))


def assert_gradients(found, expected):
    size = np.abs(expected.buffer[2:]).max()
    np.testing.assert_allclose(found.buffer[2:], expected.buffer[2:], atol=1e-5 * size, rtol=1e-4)
    assert found.local_bound == pytest.approx(expected.local_bound, rel=2e-6)


@pytest.mark.parametrize("step", [SOFT, HARD], ids=["soft", "hard"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_gradients(likelihood, activation, step):
    native, twin = pair(likelihood, activation=activation)
    block = rows(likelihood)
    state = begin(twin, block)
    assert_gradients(native.e_step(state, block, step), twin.e_step(state, block, step))


@pytest.mark.parametrize("hidden", HIDDEN, ids=str)
@pytest.mark.parametrize("options", [{}, {"n_components": 1}, {"n_components": 18}], ids=str)
def test_widths(hidden, options):
    native, twin = pair("bernoulli", hidden=hidden, **options)
    block = rows("bernoulli")
    state = begin(twin, block)
    assert_gradients(native.e_step(state, block, SOFT), twin.e_step(state, block, SOFT))


@pytest.mark.parametrize(
    "options",
    [
        {"beta": 0.4},
        {"kl_warmup": 7.0},
        {"noise": "diag"},
        {"batch_size": 1},
        {"batch_size": 400},
        {"missing": True},
        {"weighted": False},
        {"dtype": np.float32},
    ],
    ids=str,
)
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_configurations_and_rows(likelihood, options):
    of_rows = {k: options[k] for k in ("missing", "weighted", "dtype") if k in options}
    native, twin = pair(likelihood, **{k: v for k, v in options.items() if k not in of_rows})
    block = rows(likelihood, **of_rows)
    state = begin(twin, block)
    assert_gradients(native.e_step(state, block, SOFT), twin.e_step(state, block, SOFT))


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_passes(likelihood):
    """A pass: the same batches, noise and steps. Adam turns rounding at zero gradients into steps,
    so that weights are compared by what they do."""
    native, twin = pair(likelihood, learning_rate=1e-3)
    block = rows(likelihood)
    states = [begin(twin, block)] * 2
    step = SOFT
    for _ in range(2):
        results = [
            sweep(model, state, [block.slice(0, 40), block.slice(40, 150)], step)
            for model, state in zip((native, twin), states, strict=True)
        ]
        states, step = [state for state, _ in results], step.next
        bounds = [stats.local_bound for _, stats in results]
        assert bounds[0] == pytest.approx(bounds[1], rel=1e-5)
        assert results[0][1]["weight"] == pytest.approx(block.total_weight)
    assert states[0].updates == states[1].updates == 10
    np.testing.assert_allclose(states[0].weights, states[1].weights, atol=2e-4)
    away = np.linalg.norm(states[0].weights - states[1].weights)
    assert away < 0.02 * np.linalg.norm(states[1].weights - begin(twin, block).weights)


@pytest.mark.parametrize("end", [1000.0, -1000.0])
def test_clamped_log_variances(end):
    native, twin = pair("bernoulli")
    block = rows("bernoulli")
    state = begin(twin, block)
    if end > 0:  # codes of a spread of e^10: keep what the decoder makes of them small
        state["decoder_coefs_0"][...] *= 1e-4
    state["encoder_intercepts_1"][3:] = end
    found, expected = (model.e_step(state, block, SOFT) for model in (native, twin))
    assert_gradients(found, expected)
    assert (found["encoder_intercepts_1"][3:] == 0).all()


def test_large_factors_of_gradients():
    """Gradients are then looked at before a weight changes, and not made on the way."""
    native, twin = pair("gaussian", noise="diag", activation="tanh", learning_rate=1e-3)
    block = rows("gaussian")
    block.X[:, 1] *= 3e9
    state = twin.init([block], SOFT)
    found, expected = (sweep(model, state, [block], SOFT) for model in (native, twin))
    assert found[0].updates == expected[0].updates == 5
    assert found[1].local_bound == pytest.approx(expected[1].local_bound, rel=1e-5)
    np.testing.assert_allclose(found[0].weights, expected[0].weights, rtol=1e-3, atol=2e-4)


def test_moments_of_an_unused_weight_do_not_become_subnormal():
    """They fade for ever, and a pass would take longer the more of them there are."""
    models = pair("bernoulli")
    X = ROWS["bernoulli"].copy()
    X[:, 2] = 0  # the encoder's weights of this column get no gradient
    block = RowBlock(X)
    state = begin(models[1], block)
    faded = np.full_like(state.weights, 1.2e-18)
    state = type(state)(state.layout, state.weights, faded, 0 * faded, 9, 0, 0)
    for model in models:
        after = sweep(model, state, [block], SOFT)[0]
        unused = after.layout.view(after.first, "encoder_coefs_0")[2]
        np.testing.assert_array_equal(unused, 0)
        assert after.second.min() >= np.float32(1e-30)
        np.testing.assert_array_equal(after["encoder_coefs_0"][2], state["encoder_coefs_0"][2])


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_use(likelihood):
    native, twin = pair(likelihood)
    block = rows(likelihood, missing=True)
    state = begin(twin, block)
    for found, expected in zip(
        native.encode(state, block, 2), twin.encode(state, block), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-5)
    z = twin.encode(state, block)[0]
    found, expected = native.decode(state, z, 2), twin.decode(state, z)
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)
    found = native.log_density(state, block, z, 2, gradient=True)
    expected = twin.log_density(state, block, z, gradient=True)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-4, atol=1e-4)
    assert native.log_density(state, block, z)[1] is None
    keys = np.array([0, 5, 2**40, 2**64 - 1], dtype=np.uint64)
    np.testing.assert_allclose(native.noise(3, 4, keys), twin.noise(3, 4, keys), rtol=1e-6)


def test_storage_of_rows():
    """Bytes, sparse rows and odd strides are the numbers that they say."""
    native, twin = pair("poisson")
    X = ROWS["poisson"]
    X = np.minimum(X, 200)
    dense = RowBlock(X)
    state = begin(twin, dense)
    expected = native.e_step(state, dense, SOFT).buffer
    thin = scipy.sparse.csr_matrix(X)
    parts = (thin.indptr.astype(np.int64), thin.indices)
    for same in (
        IndexedBlock(X.astype(np.uint8)),
        IndexedBlock(SparseRows(*parts, thin.data, 6)),
        IndexedBlock(SparseRows(*parts, thin.data.astype(np.float32), 6)),
        RowBlock(np.asfortranarray(X)),
        RowBlock(np.repeat(X, 2, axis=0)[::2]),
        RowBlock(np.ascontiguousarray(X[::-1])[::-1]),
    ):
        np.testing.assert_array_equal(native.e_step(state, same, SOFT).buffer, expected)
    hole = X.astype(np.uint8)
    hole[3, 2] = 255
    with_nan = X.copy()
    with_nan[3, 2] = np.nan
    np.testing.assert_array_equal(
        native.e_step(state, IndexedBlock(hole), SOFT).buffer,
        native.e_step(state, RowBlock(with_nan), SOFT).buffer,
    )
    ones = scipy.sparse.csr_matrix((X > 0).astype(float))
    bits = SparseRows(ones.indptr.astype(np.int64), ones.indices, None, 6)
    np.testing.assert_array_equal(
        native.e_step(state, IndexedBlock(bits), SOFT).buffer,
        native.e_step(state, RowBlock((X > 0).astype(float)), SOFT).buffer,
    )


def test_a_row_does_not_depend_on_its_neighbours():
    native, twin = pair("gaussian", hidden=(33, 5))
    X = np.concatenate([ROWS["gaussian"]] * 4)
    state = begin(twin, RowBlock(X))
    whole = native.encode(state, RowBlock(X), 2)[0]
    for part in (slice(0, 1), slice(7, 9), slice(250, 600)):
        np.testing.assert_array_equal(native.encode(state, RowBlock(X[part]))[0], whole[part])


def test_the_state_before_a_pass_stays_as_it_was():
    native, twin = pair("bernoulli")
    block = rows("bernoulli")
    state = begin(twin, block)
    before = state.weights.copy(), state.first.copy(), state.second.copy()
    sweep(native, state, [block], SOFT)
    for array, kept in zip((state.weights, state.first, state.second), before, strict=True):
        np.testing.assert_array_equal(array, kept)


def test_arguments_are_checked():
    native, twin = pair("bernoulli")
    block = rows("bernoulli")
    state = begin(twin, block)
    with pytest.raises(ValueError, match="4 features where the network has 6"):
        native.encode(state, RowBlock(np.zeros((3, 4))))
    with pytest.raises(ValueError, match="z must be 150 x 3"):
        native.log_density(state, block, np.zeros((150, 2)))
    short = type(state).at(state.layout, state.weights[:-1])
    with pytest.raises(ValueError, match="numbers where the network has"):
        native.encode(short, block)
    with pytest.raises(ValueError, match="computes in float32"):
        Native(VaeConfig(6, 2, dtype=np.float64))


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (5, 7, 3), (6, 384, 16), (13, 385, 33), (40, 800, 65)]
)
def test_products(shape, n_threads):
    M, K, N = shape
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=s).astype(np.float32) for s in ((M, K), (K, N)))
    expected = a.astype(np.float64) @ b
    for kind, left, right in (
        ("plain", a, b),
        ("right transposed", a, np.ascontiguousarray(b.T)),
        ("left transposed", np.ascontiguousarray(a.T), b),
    ):
        product = _core.VaeProduct(kind, left, right, n_threads)
        product.compute()
        np.testing.assert_allclose(product.result(), expected, atol=1e-5 * np.sqrt(K))
