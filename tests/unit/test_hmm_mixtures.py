"""GMMHMM, `partial_fit` of chains, and hmmlearn's letters."""

import numpy as np
import pytest
from reliability.helpers import quiet
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import vemfast
from vemfast import GMMHMM, CategoricalHMM, GaussianHMM, PoissonHMM

LENGTHS = [70, 1, 90, 39]
STATES = np.arange(200) // 20 % 2
_rng = np.random.default_rng(2)
_part = _rng.integers(0, 2, 200)
X = np.c_[8.0 * STATES + 2.5 * _part, 6.0 * STATES - 1.5 * _part] + 0.5 * _rng.normal(size=(200, 2))
COUNTS = _rng.poisson(np.array([[2, 9], [12, 1]])[STATES])
TYPES = ("full", "diag", "spherical")

types = pytest.mark.parametrize("covariance_type", TYPES)


def fitted(covariance_type="diag", rows=X, lengths=LENGTHS, **options):
    with quiet():
        return GMMHMM(2, 2, covariance_type, random_state=0, **options).fit(rows, lengths)


def matrices(estimator):
    """Return the covariances as (K, M, D, D)."""
    covars = estimator.covars_
    if estimator.covariance_type == "full":
        return covars
    if estimator.covariance_type == "spherical":
        covars = np.repeat(covars[:, :, None], 2, axis=2)
    return covars[..., None] * np.eye(2)


def densities(estimator, rows):
    """Return log p(x_t given state), (T, K), from the textbook."""
    covars, out = matrices(estimator), np.empty((len(rows), 2))
    for k in range(2):
        parts = [
            multivariate_normal(estimator.means_[k, m], covars[k, m]).logpdf(rows).reshape(-1)
            for m in range(2)
        ]
        out[:, k] = logsumexp(np.log(estimator.weights_[k])[:, None] + parts, axis=0)
    return out


@types
@pytest.mark.parametrize("inference", ["em", "hard-em"])
def test_states_of_two_components_are_found(covariance_type, inference):
    estimator = fitted(covariance_type, inference=inference)
    assert estimator.weights_.shape == (2, 2)
    assert estimator.means_.shape == (2, 2, 2)
    np.testing.assert_allclose(estimator.weights_.sum(axis=1), 1, rtol=1e-12)
    path = estimator.predict(X, LENGTHS)
    assert max((path == STATES).mean(), (path != STATES).mean()) > 0.98
    np.testing.assert_allclose(
        np.sort(estimator.means_[:, :, 0].ravel()), [0, 2.5, 8, 10.5], atol=0.6
    )
    steps = np.diff(estimator.lower_bounds_)
    assert (steps >= -1e-9 * abs(estimator.lower_bound_)).all()


@types
def test_scores_are_those_of_the_textbook(covariance_type, tmp_path):
    estimator, rows = fitted(covariance_type), X[15:25]
    a = np.log(estimator.startprob_) + densities(estimator, rows[:1])[0]
    with np.errstate(divide="ignore"):
        transmat = np.log(estimator.transmat_)
    for row in rows[1:]:
        a = logsumexp(a[:, None] + transmat, axis=0) + densities(estimator, row[None])[0]
    assert estimator.score(rows) == pytest.approx(logsumexp(a), rel=1e-10)
    online = estimator.filter()
    for row in rows:
        online.update(row)
    assert online.log_likelihood == pytest.approx(logsumexp(a), rel=1e-10)
    free = 1 + 2 + 2 + 8 + {"full": 12, "diag": 8, "spherical": 4}[covariance_type]
    free -= (estimator.startprob_ == 0).sum() + (estimator.transmat_ == 0).sum()
    total = estimator.score(X, LENGTHS)
    assert estimator.aic(X, LENGTHS) == pytest.approx(-2 * total + 2 * free, rel=1e-12)
    estimator.save(tmp_path / "m")
    assert vemfast.load(tmp_path / "m").score(rows) == estimator.score(rows)
    drawn, states = estimator.sample(3000, random_state=0)
    for k in range(2):
        expected = estimator.weights_[k] @ estimator.means_[k]
        assert np.allclose(drawn[states == k].mean(axis=0), expected, atol=0.25)
    _, ahead = estimator.forecast(2, rows)
    assert ahead.shape == (2, 2)


def test_one_component_a_state_is_the_gaussian_chain():
    options = {"random_state": 0, "n_iter": 5, "tol": 0.0}
    with quiet():
        one = GMMHMM(2, 1, **options).fit(X, LENGTHS)
        plain = GaussianHMM(2, **options).fit(X, LENGTHS)
    assert one.lower_bounds_ == plain.lower_bounds_
    np.testing.assert_array_equal(one.means_[:, 0], plain.means_)
    assert one.score(X) == plain.score(X)


@types
def test_an_iteration_is_hmmlearns_but_for_its_covariances(covariance_type):
    """hmmlearn takes squares about the means before the update, which is no mode."""
    hmm = pytest.importorskip("hmmlearn.hmm")
    first = fitted(covariance_type, n_iter=1)
    options = {
        "startprob_init": np.array([0.6, 0.4]),
        "transmat_init": np.array([[0.8, 0.2], [0.3, 0.7]]),
        "weights_init": np.array([[0.5, 0.5], [0.3, 0.7]]),
        "means_init": first.means_ + 0.3,
    }
    inverse = np.linalg.inv if covariance_type == "full" else np.reciprocal
    once = {"n_iter": 1, "tol": 0.0, "reg_covar": 0.0}
    own = fitted(covariance_type, **options, precisions_init=inverse(first.covars_), **once)
    flat = {  # hmmlearn's names of improper priors
        "full": {"covars_prior": 0.0, "covars_weight": -4.0},
        "diag": {"covars_prior": -1.5, "covars_weight": 0.0},
        "spherical": {"covars_prior": -2.0, "covars_weight": 0.0},
    }[covariance_type]
    peer = hmm.GMMHMM(
        2, 2, covariance_type=covariance_type, n_iter=1, tol=-np.inf, init_params="", **flat
    )
    for name in ("startprob", "transmat", "weights", "means"):
        setattr(peer, f"{name}_", options[f"{name}_init"].copy())
    peer.covars_ = first.covars_.copy()
    before = peer.score(X, LENGTHS)
    with quiet():
        peer.fit(X, LENGTHS)
    assert own.lower_bounds_[0] == pytest.approx(before, rel=1e-10)
    np.testing.assert_allclose(own.startprob_, peer.startprob_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(own.transmat_, peer.transmat_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(own.weights_, peer.weights_, rtol=1e-9)
    np.testing.assert_allclose(own.means_, peer.means_, rtol=1e-9)
    moved = own.means_ - options["means_init"]
    square = moved**2
    if covariance_type == "full":
        square = moved[..., :, None] * moved[..., None, :]
    elif covariance_type == "spherical":
        square = square.mean(axis=-1)
    np.testing.assert_allclose(own.covars_ + square, peer.covars_, rtol=1e-7)


def test_components_are_checked():
    with pytest.raises(ValueError, match="inference"):
        GMMHMM(2, 2, inference="gibbs").fit(X)
    with pytest.raises(ValueError, match=r"means_init must begin with \(2, 2\), .*; got \(4, 2\)"):
        GMMHMM(2, 2, means_init=X[:4]).fit(X)
    with pytest.raises(ValueError, match=r"precisions_init must begin with \(2, 2\)"):
        GMMHMM(2, 2, precisions_init=np.ones((4, 2))).fit(X)
    with pytest.raises(ValueError, match=r"row 1 sums to 1\.2"):
        GMMHMM(2, 2, weights_init=[[0.5, 0.5], [0.6, 0.6]]).fit(X)
    rows = X.copy()
    rows[::7, 0] = np.nan
    assert np.isfinite(fitted(rows=rows, missing="marginalize").score(rows, LENGTHS))
    prior = fitted(weights_prior=50.0)
    assert abs(prior.weights_ - 0.5).max() < 0.9 * abs(fitted().weights_ - 0.5).max()
    for n_mix in (1, 2):
        with pytest.raises(ValueError, match=r"weights_prior must be finite and > 0"):
            GMMHMM(2, n_mix, weights_prior=np.full((2, n_mix), -1.0)).fit(X)
        with pytest.raises(ValueError, match="weights_prior must be a number, or have the shape"):
            GMMHMM(2, n_mix, weights_prior=np.ones((2, 3))).fit(X)


# ---- chunk by chunk ----


@pytest.mark.parametrize("inference", ["em", "mean-field", "variational-em", "hard-em"])
def test_sequences_may_come_in_chunks(inference):
    parts = np.split(X, 10)
    model = GaussianHMM(2, inference=inference, random_state=0, total_samples=200)
    traced = []
    for part in parts:
        assert model.partial_fit(part, [12, 8]) is model
        traced.append(model.lower_bound_)
    assert model.lower_bounds_ == traced
    assert (model.n_iter_, model.stop_reason_) == (10, "partial_fit")
    path = model.predict(X)
    assert max((path == STATES).mean(), (path != STATES).mean()) > 0.95
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(X[:, :1])
    with pytest.raises(ValueError, match="sequence 1 has 0"):
        model.partial_fit(X, [200, 0])
    model.set_params(sticky=2.0)
    with pytest.raises(ValueError, match=r"sticky is 2\.0, but was"):
        model.partial_fit(X)
    assert model.n_iter_ == 10


def test_all_sequences_in_one_chunk_are_one_update_of_em():
    options = {"means_init": X[[0, 30]], "transmat_init": [[0.9, 0.1], [0.2, 0.8]]}
    with quiet():
        whole = GaussianHMM(2, n_iter=1, tol=0.0, **options).fit(X, LENGTHS)
        chunk = GaussianHMM(2, **options).partial_fit(X, LENGTHS)
    np.testing.assert_allclose(chunk.transmat_, whole.transmat_, rtol=1e-12)
    np.testing.assert_allclose(chunk.means_, whole.means_, rtol=1e-12)


# ---- letters ----


def test_letters_say_what_a_fit_changes():
    estimator = GaussianHMM(2, init_params="mc", params="tm", random_state=0)
    with pytest.raises(ValueError, match="leaves startprob_ as it is"):
        estimator.fit(X)
    estimator.startprob_ = np.array([0.75, 0.25])
    estimator.transmat_ = np.array([[0.5, 0.5], [0.5, 0.5]])
    estimator.set_params(precisions_init=np.ones((2, 2)))
    with quiet():
        estimator.fit(X)
    np.testing.assert_allclose(estimator.startprob_, [0.75, 0.25], rtol=1e-12)
    np.testing.assert_allclose(estimator.covars_, 1.0, rtol=1e-12)
    assert estimator.transmat_[0, 0] > 0.8
    steps = np.diff(estimator.lower_bounds_)
    assert (steps >= -1e-9 * abs(estimator.lower_bound_)).all()
    table = np.array([[0.7, 0.3], [0.2, 0.8]])
    symbols = CategoricalHMM(2, init_params="st", params="st", random_state=0)
    symbols.emissionprob_ = table
    with quiet():
        symbols.fit(STATES[:, None])
    np.testing.assert_allclose(symbols.emissionprob_, table, rtol=1e-12)
    counts = PoissonHMM(2, init_params="", params="l", random_state=0)
    counts.startprob_, counts.transmat_ = np.array([1.0, 0.0]), np.full((2, 2), 0.5)
    counts.lambdas_ = np.array([[2.0, 9.0], [12.0, 1.0]])
    with quiet():
        counts.fit(COUNTS)
    np.testing.assert_array_equal(counts.transmat_, np.full((2, 2), 0.5))
    assert not np.array_equal(counts.lambdas_, [[2.0, 9.0], [12.0, 1.0]])


def test_letters_are_checked():
    with pytest.raises(ValueError, match="letters out of 'stmc'"):
        GaussianHMM(2, init_params="stmcx").fit(X)
    with pytest.raises(ValueError, match="letters out of 'ste'"):
        CategoricalHMM(2, params="stm").fit(STATES[:, None])
    with pytest.raises(ValueError, match="posterior"):
        GaussianHMM(2, inference="mean-field", params="st").fit(X)
    with pytest.raises(ValueError, match="transmat_frozen then has no effect"):
        GaussianHMM(2, params="smc", transmat_frozen=np.full((2, 2), 0.5)).fit(X)
    for kind, rows in ((GaussianHMM, X), (PoissonHMM, COUNTS), (GMMHMM, X)):
        with pytest.raises(ValueError, match=r"params='st' holds \w+_ as it starts.*give \w+_init"):
            kind(2, params="st").fit(rows)
    with pytest.raises(ValueError, match="lacks 'w'"):
        GMMHMM(2, 2, params="stmc").fit(X)


def test_all_letters_are_as_none():
    one = GaussianHMM(2, random_state=0).fit(X, LENGTHS)
    other = GaussianHMM(2, init_params="stmc", params="stmc", random_state=0).fit(X, LENGTHS)
    assert one.lower_bounds_ == other.lower_bounds_
