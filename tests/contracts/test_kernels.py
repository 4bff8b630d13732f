"""`vemfast.kernels`, as Cython code calls it, against the estimators and the reference twins.

What a `cimport` finds is the table of capsules of the compiled module: a pointer to each function,
named by its C signature. The tests call those pointers, so no compiler is needed. That `cimport`
itself works, tests/packaging holds.
"""

import ctypes
import itertools
from types import SimpleNamespace

import lda_data
import numpy as np
import pytest
import scipy.special

import vemfast
from vemfast import kernels, special
from vemfast.models.base import Step
from vemfast.reference import LatentDirichletAllocation

CAPSULES = kernels.__pyx_capi__
OK, NULL, SIZE, VALUE, INDEX, SINGULAR, IMPOSSIBLE = range(7)
KINDS = {"full": 0, "tied": 1, "diag": 2, "spherical": 3, "tied-spherical": 4}
CTYPES = {
    "double": ctypes.c_double,
    "int": ctypes.c_int,
    "Py_ssize_t": ctypes.c_ssize_t,
    "char const *": ctypes.c_char_p,
}
ADDRESS = ctypes.pythonapi.PyCapsule_GetPointer
ADDRESS.restype, ADDRESS.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
NAME = ctypes.pythonapi.PyCapsule_GetName
NAME.restype, NAME.argtypes = ctypes.c_char_p, [ctypes.py_object]


def kernel(name):
    """Return a function of arrays (None: a null pointer) and numbers."""
    signature = NAME(CAPSULES[name])
    result, arguments = signature.decode().rstrip(")").split("(", 1)
    types = [CTYPES.get(part.strip(), ctypes.c_void_p) for part in arguments.split(",")]
    function = ctypes.CFUNCTYPE(CTYPES[result.strip()], *types)(ADDRESS(CAPSULES[name], signature))

    def address(argument):
        if not isinstance(argument, np.ndarray):
            return argument
        assert argument.flags.c_contiguous
        return argument.ctypes.data

    return lambda *given: function(*map(address, given))


K = SimpleNamespace(**{name: kernel(name) for name in CAPSULES})


# ---- special functions ----


@pytest.mark.parametrize("name", ["exp", "log", "digamma", "exp_digamma", "lgamma"])
def test_special_functions_of_arrays_are_those_of_the_library(name):
    x = np.random.default_rng(0).gamma(1.0, 3.0, 1003)
    out = np.empty_like(x)
    assert getattr(K, f"{name}_array")(x, x.size, out) == OK
    np.testing.assert_array_equal(out, getattr(special, name)(x))
    assert getattr(K, f"{name}_array")(x, x.size, x) == OK  # in place
    np.testing.assert_array_equal(x, out)


def test_special_functions_of_numbers():
    for x in (1e-3, 0.5, 1.0, 7.25, 300.0):
        np.testing.assert_allclose(K.digamma(x), scipy.special.digamma(x), rtol=1e-13)
        np.testing.assert_allclose(K.lgamma(x), scipy.special.gammaln(x), rtol=1e-13, atol=1e-15)
        expected = np.exp(scipy.special.digamma(x))
        np.testing.assert_allclose(K.exp_digamma(x), expected, rtol=1e-12)
    assert K.digamma(0.0) == -np.inf
    assert np.isnan(K.digamma(-1.0))


def test_logsumexp_of_rows():
    scores = np.random.default_rng(1).normal(0, 50, (37, 5))
    scores[3] = -np.inf
    out = np.empty(37)
    assert K.logsumexp_rows(scores, 37, 5, out) == OK
    np.testing.assert_allclose(out, scipy.special.logsumexp(scores, axis=1), rtol=1e-14)


# ---- mixtures ----


def test_responsibilities_of_log_joints():
    rng = np.random.default_rng(2)
    joint = rng.normal(0, 30, (700, 6))
    joint[rng.uniform(size=joint.shape) < 0.2] = -np.inf
    joint[5] = -np.inf
    out, density = np.empty_like(joint), np.empty(700)
    assert K.responsibilities(joint, 700, 6, out, density) == OK
    expected = scipy.special.logsumexp(joint, axis=1)
    np.testing.assert_allclose(density, expected, rtol=1e-14)
    expected[5] = 0.0
    np.testing.assert_allclose(out, np.exp(joint - expected[:, None]), rtol=1e-12)
    assert not out[5].any()
    assert K.responsibilities(joint, 700, 6, joint, None) == OK
    np.testing.assert_array_equal(joint, out)


def gaussians(kind, seed=3, n=400, D=3, n_components=4):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, D)) * 2 + 100.0
    model = vemfast.GaussianMixture(n_components, covariance_type=kind, max_iter=5, random_state=0)
    with pytest.warns():
        return X, model.fit(X)


@pytest.mark.parametrize("kind", KINDS)
def test_gaussian_responsibilities_are_those_of_the_estimator(kind):
    X, model = gaussians(kind)
    n, D = X.shape
    out, density = np.empty((n, 4)), np.empty(n)
    covariances = np.ascontiguousarray(model.covariances_, dtype=np.float64).reshape(-1)
    given = (X, n, D, 4, KINDS[kind], model.weights_, model.means_, covariances)
    assert K.gaussian_responsibilities(*given, out, density) == OK
    np.testing.assert_allclose(out, model.predict_proba(X), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(density, model.score_samples(X), rtol=1e-11)
    assert K.gaussian_responsibilities(*given, out, None) == OK


# ---- chains ----


def chain(T=9, n_states=3, seed=4):
    rng = np.random.default_rng(seed)
    start, rows = rng.dirichlet(np.ones(n_states)), rng.dirichlet(np.ones(n_states), n_states)
    return start, rows, rng.normal(0, 3, (T, n_states))


def forward_backward(start, rows, scores):
    T, n_states = scores.shape
    posteriors, pairs, evidence = np.empty((T, n_states)), np.empty((n_states,) * 2), np.empty(1)
    status = K.forward_backward(start, rows, scores, T, n_states, posteriors, pairs, evidence)
    return status, posteriors, pairs, float(evidence[0])


def viterbi(start, rows, scores):
    T, n_states = scores.shape
    states, joint = np.empty(T, dtype=np.int32), np.empty(1)
    return K.viterbi(start, rows, scores, T, n_states, states, joint), states, float(joint[0])


def every_path(start, rows, scores):
    """Return all paths, and the log joint of each."""
    T, n_states = scores.shape
    paths = np.array(list(itertools.product(range(n_states), repeat=T)))
    with np.errstate(divide="ignore"):
        joint = np.log(start)[paths[:, 0]] + scores[np.arange(T), paths].sum(axis=1)
        joint += np.log(rows)[paths[:, :-1], paths[:, 1:]].sum(axis=1)
    return paths, joint


@pytest.mark.parametrize("far", [0.0, 3000.0])
def test_a_chain_against_all_of_its_paths(far):
    # A state that cannot be reached and scores best by 3,000 nats: only logarithms can tell.
    start, rows, scores = chain()
    if far:
        start[2] = 0.0
        rows[:2, 2] = 0.0
        scores[:, 2] += far
    paths, joint = every_path(start, rows, scores)
    evidence = scipy.special.logsumexp(joint)
    share = np.exp(joint - evidence)
    status, posteriors, pairs, found = forward_backward(start, rows, scores)
    assert status == OK
    np.testing.assert_allclose(found, evidence, rtol=1e-13)
    for k in range(3):
        expected = (share[:, None] * (paths == k)).sum(axis=0)
        np.testing.assert_allclose(posteriors[:, k], expected, rtol=1e-10, atol=1e-14)
    expected = np.zeros((3, 3))
    np.add.at(expected, (paths[:, :-1], paths[:, 1:]), share[:, None])
    np.testing.assert_allclose(pairs, expected, rtol=1e-10, atol=1e-14)
    status, states, best = viterbi(start, rows, scores)
    assert status == OK
    np.testing.assert_array_equal(states, paths[joint.argmax()])
    np.testing.assert_allclose(best, joint.max(), rtol=1e-13)


@pytest.mark.parametrize("n_states", [1, 5, 8, 37])
def test_a_chain_against_the_estimator(n_states):
    rng = np.random.default_rng(5)
    X = rng.normal(0, 3, (1500, 2))
    model = vemfast.GaussianHMM(n_states, "diag", n_iter=2, tol=0.0, random_state=0)
    with pytest.warns():
        model.fit(X)
    start, rows, means, variances = model.startprob_, model.transmat_, model.means_, model.covars_
    z = (X[:, None] - means) ** 2 / variances + np.log(2 * np.pi * variances)
    scores = np.ascontiguousarray(-0.5 * z.sum(axis=2))
    status, posteriors, _, evidence = forward_backward(start, rows, scores)
    assert status == OK
    np.testing.assert_allclose(evidence, model.score(X), rtol=1e-12)
    np.testing.assert_allclose(posteriors, model.predict_proba(X), rtol=1e-8, atol=1e-12)
    status, states, joint = viterbi(start, rows, scores)
    expected, path = model.decode(X)
    assert status == OK
    np.testing.assert_allclose(joint, expected, rtol=1e-12)
    np.testing.assert_array_equal(states, path)


def test_outputs_of_a_chain_are_optional():
    start, rows, scores = chain()
    _, posteriors, pairs, evidence = forward_backward(start, rows, scores)
    only = np.empty(1)
    assert K.forward_backward(start, rows, scores, 9, 3, None, None, only) == OK
    assert only[0] == evidence
    own = np.empty_like(posteriors)
    assert K.forward_backward(start, rows, scores, 9, 3, own, None, None) == OK
    np.testing.assert_array_equal(own, posteriors)
    own = np.empty_like(pairs)
    assert K.forward_backward(start, rows, scores, 9, 3, None, own, None) == OK
    np.testing.assert_array_equal(own, pairs)


# ---- topics ----


def document(topics, words, counts, alpha, gamma=None):
    n, n_topics = len(words), len(alpha)
    found = SimpleNamespace(
        gamma=np.empty(n_topics) if gamma is None else gamma.copy(),
        shares=np.empty((n, n_topics)),
        log_theta=np.empty(n_topics),
        bound=np.empty(1),
    )
    given = (topics, len(topics), n_topics, words, counts, n, alpha, 200, 1e-6, gamma is not None)
    found.status = K.lda_document(*given, found.gamma, found.shares, found.log_theta, found.bound)
    return found


@pytest.mark.parametrize("kind", ["point", "posterior"])
def test_documents_against_the_twin(kind):
    config = lda_data.config_of("mean-field" if kind == "posterior" else "variational-em")
    twin = LatentDirichletAllocation(config)
    values = lda_data.topics_of()
    if kind == "posterior":
        values = 30 * values + 0.1
    params = config.params(kind, values)
    table = twin.prepare(params)
    topics = np.exp(table.log_topics)
    block = lda_data.block_of()
    sums, sstats, bound = np.zeros(lda_data.K), np.zeros_like(topics), 0.0
    stats = twin.e_step(table, block, Step("factorised", kind))
    for d in range(block.n):
        own = slice(block.indptr[d], block.indptr[d + 1])
        words = block.indices[own].astype(np.int32)
        counts = block.counts[own].astype(np.float64)
        found = document(topics, words, counts, table.alpha)
        assert found.status == OK
        np.testing.assert_allclose(found.gamma, stats.local[d], rtol=1e-9)
        np.testing.assert_allclose(found.shares.sum(axis=1), counts, rtol=1e-12)
        warm = document(topics, words, counts, table.alpha, found.gamma)
        np.testing.assert_allclose(warm.gamma, found.gamma, rtol=1e-4)
        sstats[words] += found.shares
        sums += found.log_theta
        bound += found.bound[0]
    np.testing.assert_allclose(sstats, stats["sstats"], rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(sums, stats["log_theta"], rtol=1e-9)
    np.testing.assert_allclose(bound, stats.local_bound, rtol=1e-10)


# ---- bad input ----


def changed(arguments, at, value):
    return [value if i == at else argument for i, argument in enumerate(arguments)]


def with_value(array, value):
    array = array.copy()
    array.flat[-1] = value
    return array


def cases():
    x, out = np.ones(4), np.ones(4)
    for name in ("exp", "log", "digamma", "exp_digamma", "lgamma"):
        good = [x, 4, out]
        yield f"{name}_array", good, [(0, None, NULL), (1, -1, SIZE), (2, None, NULL)]
    yield "logsumexp_rows", [x, 2, 2, out], [(0, None, NULL), (2, 0, SIZE), (3, None, NULL)]
    yield (
        "responsibilities",
        [x, 2, 2, out, None],
        [
            (0, None, NULL),
            (1, -1, SIZE),
            (2, 0, SIZE),
            (0, with_value(x, np.nan), VALUE),
            (0, with_value(x, np.inf), VALUE),
            (3, None, NULL),
        ],
    )
    eye = np.stack([np.eye(2)] * 2)
    yield (
        "gaussian_responsibilities",
        [np.ones((2, 2)), 2, 2, 2, 0, np.full(2, 0.5), np.ones((2, 2)), eye, out, None],
        [
            (0, None, NULL),
            (1, -1, SIZE),
            (2, 0, SIZE),
            (3, 0, SIZE),
            (4, 5, SIZE),
            (4, -1, SIZE),
            (5, np.array([1.0, -0.1]), VALUE),
            (6, with_value(np.ones(4), np.inf), VALUE),
            (7, np.zeros((2, 2, 2)), SINGULAR),
            (0, with_value(np.ones(4), np.nan), VALUE),
        ],
    )
    start, rows, scores = chain(2, 2)
    for name, outputs in (("forward_backward", (None, None, out)), ("viterbi", (out, None))):
        bad = [(0, None, NULL), (1, None, NULL), (2, None, NULL), (3, 0, SIZE), (4, 0, SIZE)]
        bad += [(0, with_value(start, -0.1), VALUE), (1, with_value(rows, np.nan), VALUE)]
        bad += [(2, with_value(scores, np.nan), VALUE), (2, np.full((2, 2), -np.inf), IMPOSSIBLE)]
        bad += [(0, np.zeros(2), IMPOSSIBLE)]
        if name == "viterbi":
            bad += [(5, None, NULL)]
        yield name, [start, rows, scores, 2, 2, *outputs], bad
    topics, words = np.full((3, 2), 0.3), np.array([0, 2], dtype=np.int32)
    good = [topics, 3, 2, words, np.ones(2), 2, np.ones(2), 10, 1e-3, 0, out, None, None, None]
    yield (
        "lda_document",
        good,
        [
            (0, None, NULL),
            (3, None, NULL),
            (4, None, NULL),
            (6, None, NULL),
            (10, None, NULL),
            (1, 0, SIZE),
            (2, 0, SIZE),
            (5, -1, SIZE),
            (7, 0, SIZE),
            (8, -1.0, VALUE),
            (4, np.zeros(2), VALUE),
            (6, np.zeros(2), VALUE),
            (1, 2, INDEX),
            (3, np.array([0, -1], dtype=np.int32), INDEX),
            (0, -topics, VALUE),
            (0, with_value(topics, np.nan), VALUE),
            (0, np.zeros((3, 2)), IMPOSSIBLE),
        ],
    )


CASES = list(cases())


@pytest.mark.parametrize(("name", "good", "bad"), CASES, ids=[case[0] for case in CASES])
def test_bad_input_gives_its_status(name, good, bad):
    call = getattr(K, name)
    assert call(*good) == OK
    for at, value, expected in bad:
        assert call(*changed(good, at, value)) == expected, (name, at, value)


def test_a_warm_start_must_be_positive():
    words = np.array([0], dtype=np.int32)
    given = (np.ones((2, 2)), words, np.ones(1), np.ones(2))
    assert document(*given, gamma=np.array([1.0, 0.0])).status == VALUE


def test_every_status_has_words():
    said = [K.message(status) for status in range(9)]
    assert len(set(said)) == 9
    assert all(said)
    assert K.message(99) == b"unknown status"


def test_no_rows_are_fine():
    assert K.exp_array(None, 0, None) == OK
    assert K.responsibilities(None, 0, 3, None, None) == OK
    empty = document(np.ones((2, 2)), np.empty(0, dtype=np.int32), np.empty(0), np.full(2, 0.3))
    assert empty.status == OK
    np.testing.assert_array_equal(empty.gamma, [0.3, 0.3])
