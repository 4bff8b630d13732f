"""Rows that come in chunks: the bits of the whole, and the recursion of stepwise EM."""

import pickle

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from vemfast import GaussianMixture

RNG = np.random.default_rng(5)
X = np.concatenate([RNG.normal(0, 1, (9000, 3)), RNG.normal(3, 2, (6000, 3))])
RNG.shuffle(X)
W = RNG.integers(0, 3, len(X)).astype(float)
CUTS = [5, 3000, 3001, 9500, 9500, 14990]
START = {
    "weights_init": [0.5, 0.5],
    "means_init": [[0.0, 0, 0], [2.0, 2, 2]],
    "precisions_init": [np.eye(3)] * 2,
}


@pytest.fixture
def small_parts(monkeypatch):
    """Streams are read a leaf of the sum at a time, so that many parts are added up."""
    monkeypatch.setattr("vemfast.streams._PART_BYTES", 1)


def fitted(data, **options):
    return GaussianMixture(2, random_state=3, tol=0, **options).fit(data)


def assert_same_bits(a, b):
    for name in ("weights_", "means_", "covariances_", "lower_bounds_", "origin_"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    "options",
    [
        {"inference": "em", "max_iter": 4},
        {"inference": "hard-em", "covariance_type": "diag", "max_iter": 4},
        {"inference": "mean-field", "covariance_type": "tied", "max_iter": 4},
        {"inference": "em", "schedule": "memoized", "n_batches": 3, "max_iter": 3},
        {"inference": "mean-field", "schedule": "minibatch", "max_iter": 2},
    ],
    ids=str,
)
def test_chunks_have_the_bits_of_the_whole(small_parts, options, dtype):
    if options.get("schedule") == "minibatch":
        options = {**options, "batch_size": 4000}
    data = X.astype(dtype)
    tol = {} if options.get("schedule") == "minibatch" else {"tol": 0}

    def fit(rows, weights, n_jobs):
        estimator = GaussianMixture(2, random_state=3, n_jobs=n_jobs, **tol, **options)
        return estimator.fit(rows, sample_weight=weights)

    whole = fit(data, W, 2)
    chunks = np.split(data, CUTS)
    assert_same_bits(fit(chunks, W, 1), whole)
    pairs = list(zip(chunks, np.split(W, CUTS), strict=True))
    assert_same_bits(fit(lambda: iter(pairs), None, 2), whole)


def test_gibbs_draws_the_same_from_chunks(small_parts):
    options = {"inference": "gibbs", "n_burn": 2, "n_draws": 3, "n_chains": 2}
    a = GaussianMixture(2, random_state=3, **options).fit(X)
    b = GaussianMixture(2, random_state=3, **options).fit(np.split(X, CUTS))
    np.testing.assert_array_equal(a.posterior_.means, b.posterior_.means)
    np.testing.assert_array_equal(a.posterior_.log_joint, b.posterior_.log_joint)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("dtype", ["<f8", "<f4", ">f8", "<i4"])
def test_a_memory_map_has_the_bits_of_the_array(tmp_path, dtype):
    data = np.round(X * 8).astype(dtype)
    np.save(tmp_path / "rows.npy", data)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    a, b = fitted(data, max_iter=4), fitted(mapped, max_iter=4)
    assert_same_bits(a, b)
    np.testing.assert_array_equal(a.predict(data), b.predict(mapped))
    np.testing.assert_array_equal(a.score_samples(data), b.score_samples(np.split(mapped, CUTS)))


def _moments(rows, theta):
    weights, means, covariances = theta
    joint = np.stack(
        [
            w * multivariate_normal(m, c).pdf(rows)
            for w, m, c in zip(weights, means, covariances, strict=True)
        ],
        axis=1,
    )
    r = joint / joint.sum(axis=1, keepdims=True)
    return r.sum(axis=0), r.T @ rows, np.einsum("nk,ni,nj->kij", r, rows, rows)


def _maximum(counts, sums, squares):
    means = sums / counts[:, None]
    covariances = squares / counts[:, None, None] - means[:, :, None] * means[:, None, :]
    return counts / counts.sum(), means, covariances


@pytest.mark.parametrize("total", [None, 1e5])
def test_partial_fit_is_stepwise_em(total):
    # Cappé and Moulines (2009), by hand: blended moments, each chunk scaled up to all rows.
    chunks = np.split(X, [4000, 7000, 12000])
    online = GaussianMixture(2, reg_covar=0, learning_decay=0.6, total_samples=total, **START)
    theta = [np.asarray(START[name]) for name in START]
    state, seen, before = None, 0, 0
    for t, rows in enumerate(chunks):
        seen += len(rows)
        whole = seen if total is None else total
        part = [m * (whole / len(rows)) for m in _moments(rows, theta)]
        if state is None:
            state = part
        else:
            rate = (t + 10.0) ** -0.6
            grown = whole / before
            state = [
                (1 - rate) * grown * old + rate * new for old, new in zip(state, part, strict=True)
            ]
        before = whole
        theta = _maximum(*state)
        online.partial_fit(rows)
        for name, value in zip(("weights_", "means_", "covariances_"), theta, strict=True):
            np.testing.assert_allclose(getattr(online, name), value, rtol=1e-8, err_msg=name)
    assert online.n_iter_ == 4
    assert online.stop_reason_ == "partial_fit"
    assert not online.converged_


def test_partial_fit_goes_on_after_pickling_and_approaches_the_fit():
    chunks = np.split(X, 15)
    a = GaussianMixture(2, random_state=0)
    b = GaussianMixture(2, random_state=0)
    for chunk in chunks:
        a.partial_fit(chunk)
        b = pickle.loads(pickle.dumps(b.partial_fit(chunk)))
    assert_same_bits(a, b)
    whole = GaussianMixture(2, random_state=0, tol=1e-8, max_iter=1000).fit(X)
    assert a.score(X) > whole.score(X) - 0.01


@pytest.mark.parametrize("inference", ["em", "mean-field", "hard-em"])
@pytest.mark.parametrize(
    ("chunk", "message"),
    [
        (np.full((10, 3), np.nan), "NaN at row 0, column 0"),
        (X[:10, :2], "2 features"),
        (X[:0], "0 sample"),
    ],
)
def test_a_bad_chunk_changes_nothing(inference, chunk, message):
    online = GaussianMixture(2, inference=inference, random_state=0).partial_fit(X[:5000])
    before = pickle.dumps(online)
    with pytest.raises(ValueError, match=message):
        online.partial_fit(chunk)
    assert pickle.dumps(online) == before
    online.partial_fit(X[5000:])
    assert online.n_iter_ == 2


def test_partial_fit_under_gibbs_names_what_works():
    with pytest.raises(ValueError, match="mean-field"):
        GaussianMixture(2, inference="gibbs").partial_fit(X)


def test_a_fit_forgets_the_chunks_before_it():
    once = GaussianMixture(2, random_state=0).fit(X)
    online = GaussianMixture(2, random_state=0).partial_fit(X[:5000]).fit(X)
    assert_same_bits(online, once)
    assert online.partial_fit(X).n_iter_ == 1


def test_a_source_that_fails_leaves_the_earlier_fit():
    estimator = GaussianMixture(2, random_state=0, tol=1e-9).fit(X[:5000])
    before = pickle.dumps(estimator)
    iterations = []
    estimator.callbacks = lambda iteration, **_: iterations.append(iteration)
    passes = []

    def source():
        passes.append(None)
        yield X[:5000]
        if len(passes) > 8:  # in the midst of the iterations
            raise OSError("the disk is gone")
        yield X[5000:]

    with pytest.raises(OSError, match="the disk is gone"):
        estimator.fit(source)
    estimator.callbacks = None
    assert len(iterations) > 1
    assert pickle.dumps(estimator) == before
