"""Hidden Markov models against hmmlearn at equal start (O11), and published figures."""

from dataclasses import replace

import hmm_data
import numpy as np
import pytest

from vemfast.inference import fit
from vemfast.models.base import Step
from vemfast.models.hmm import HiddenMarkov
from vemfast.models.hmm_config import HmmConfig
from vemfast.reference import HiddenMarkov as ReferenceHmm

IMPLEMENTATIONS = {"reference": ReferenceHmm, "native": HiddenMarkov}
implementations = pytest.mark.parametrize(
    "implementation", IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS
)
LENGTHS = hmm_data.LENGTHS
ITERATIONS = 5


def peer_of(family, K=3):
    """Return hmmlearn's model without priors, which starts where it is told."""
    hmm = pytest.importorskip("hmmlearn.hmm")
    options = {"n_iter": ITERATIONS, "tol": -np.inf, "init_params": "", "random_state": 0}
    if family in hmm_data.COVARIANCES:
        return hmm.GaussianHMM(
            K,
            family,
            covars_prior=0.0,
            covars_weight={"full": 0, "tied": 0}.get(family, 1),
            **options,
        )
    if family == "poisson":
        return hmm.PoissonHMM(K, **options)
    return hmm.CategoricalHMM(K, n_features=3, **options)


def start(family, config, model, peer):
    """Return a start, and give it to hmmlearn, too."""
    params = hmm_data.a_point(model, seed=3)
    peer.startprob_, peer.transmat_ = params["startprob"].copy(), params["transmat"].copy()
    if family in hmm_data.COVARIANCES:
        peer.means_ = params["means"] + config.emission.origin
        peer._covars_ = params["covariances"].copy()
    elif family == "poisson":
        peer.lambdas_ = params["rates"].T.copy()
    else:
        peer.emissionprob_ = params["probabilities"].T.copy()
    return params


@implementations
@pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical", "poisson", "categorical"])
def test_same_numbers_after_the_same_iterations(implementation, family):
    X = hmm_data.rows_of(family, n_features=1 if family == "categorical" else 2)
    config = hmm_data.config_of(family, X)
    if family in hmm_data.COVARIANCES:
        config = replace(config, emission=replace(config.emission, reg_covar=0.0))
    model, peer = implementation(config), peer_of(family)
    params = start(family, config, model, peer)
    block = hmm_data.block_of(family, X, LENGTHS)
    rows = X.astype(int) if family in ("poisson", "categorical") else X
    # One E-step: score, posteriors, best path.
    table = model.prepare(params)
    assert model.score(table, block).sum() == pytest.approx(peer.score(rows, LENGTHS), rel=1e-9)
    np.testing.assert_allclose(
        model.posteriors(table, block), peer.predict_proba(rows, LENGTHS), rtol=1e-9, atol=1e-12
    )
    joint, path = peer.decode(rows, LENGTHS)
    labels, own = model.decode(table, block)
    np.testing.assert_array_equal(labels, path)
    assert own.sum() == pytest.approx(joint, rel=1e-9)
    # Some iterations.
    peer.fit(rows, LENGTHS)
    history, last = run(model, block, params)
    np.testing.assert_allclose(history, peer.monitor_.history, rtol=1e-9)
    np.testing.assert_allclose(last["startprob"], peer.startprob_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(last["transmat"], peer.transmat_, rtol=1e-9, atol=1e-12)
    if family in hmm_data.COVARIANCES:
        np.testing.assert_allclose(last["means"] + config.emission.origin, peer.means_, rtol=1e-9)
        covars = peer._covars_[:, 0] if family == "spherical" else peer._covars_
        np.testing.assert_allclose(last["covariances"], covars, rtol=1e-9, atol=1e-12)
    elif family == "poisson":
        np.testing.assert_allclose(last["rates"].T, peer.lambdas_, rtol=1e-9)
    else:
        np.testing.assert_allclose(last["probabilities"].T, peer.emissionprob_, rtol=1e-9)


def run(model, block, params):
    """Return the log likelihoods before each of some updates, and the last parameters."""
    history = []
    for _ in range(ITERATIONS):
        stats = model.e_step(model.prepare(params), block, Step())
        history.append(stats.local_bound)
        params = model.update(params, stats, Step())
    return history, params


def test_decoding_by_posteriors_is_no_log_probability_there():
    """What hmmlearn returns as the log probability of a path may be above zero (section 4)."""
    X = hmm_data.rows_of("poisson")
    config = hmm_data.config_of("poisson", X)
    peer = peer_of("poisson")
    start("poisson", config, ReferenceHmm(config), peer)
    assert peer.decode(X.astype(int), LENGTHS, algorithm="map")[0] > 0


# Earthquakes in the world of magnitude 7 or more, 1900 to 2006: W. Zucchini, I. L. MacDonald,
# R. Langrock: Hidden Markov Models for Time Series, 2nd ed., CRC Press, 2016, table 1.1.
EARTHQUAKES = np.array([
    13, 14, 8, 10, 16, 26, 32, 27, 18, 32, 36, 24, 22, 23, 22, 18, 25, 21, 21, 14, 8, 11, 14,
    23, 18, 17, 19, 20, 22, 19, 13, 26, 13, 14, 22, 24, 21, 22, 26, 21, 23, 24, 27, 41, 31, 27,
    35, 26, 28, 36, 39, 21, 17, 22, 17, 19, 15, 34, 10, 15, 22, 18, 15, 20, 15, 22, 19, 16, 30,
    27, 29, 23, 20, 16, 21, 21, 25, 16, 18, 15, 18, 14, 10, 15, 8, 15, 6, 11, 8, 7, 18, 16, 13,
    12, 13, 20, 15, 16, 12, 18, 15, 16, 13, 15, 16, 11, 11,
], dtype=float)[:, None]  # fmt: skip


@implementations
@pytest.mark.parametrize(
    ("rates", "log_likelihood"), [((15, 26), -341.8787), ((13, 20, 30), -328.5275)]
)
def test_earthquakes(implementation, rates, log_likelihood):
    """The book's figures, with a free start."""
    K = len(rates)
    config = HmmConfig(K, hmm_data.emission_of("poisson", EARTHQUAKES, K))
    model = implementation(config)
    transmat = np.full((K, K), 0.1 / (K - 1))
    np.fill_diagonal(transmat, 0.9)
    params = config.point(np.full(K, 1 / K), transmat, rates=np.array([rates], dtype=float))
    block = hmm_data.block_of("poisson", EARTHQUAKES, [107])
    result = fit(model, block, params=params, tol=1e-12, max_iter=2000)
    assert result.lower_bound == pytest.approx(log_likelihood, abs=1e-4)
    if K == 3:
        np.testing.assert_allclose(
            result.params["rates"][0], [13.1338, 19.7132, 29.7097], atol=2e-3
        )


def from_here(model, block, params, n):
    """Return the bounds before each of some mean-field updates, and the last posterior."""
    history, step = [], Step("exact", "posterior")
    for _ in range(n):
        stats = model.e_step(model.prepare(params), block, step)
        history.append(stats.local_bound + model.global_term(params))
        params = model.update(params, stats, step)
    return history, params


@implementations
@pytest.mark.parametrize("family", ["full", "categorical"])
def test_variational_posteriors_are_the_same(implementation, family):
    hmm = pytest.importorskip("hmmlearn.vhmm")
    X = hmm_data.rows_of(family, n_features=1 if family == "categorical" else 2)
    config = hmm_data.config_of(family, X, prior="conjugate")
    model, block = implementation(config), hmm_data.block_of(family, X, LENGTHS)
    first = model.e_step(model.prepare(hmm_data.a_point(model, seed=3)), block, Step())
    params = model.update(None, first, Step("exact", "posterior"))
    kind = {"full": hmm.VariationalGaussianHMM, "categorical": hmm.VariationalCategoricalHMM}
    peer = kind[family](3, n_iter=ITERATIONS, tol=-np.inf, init_params="", implementation="scaling")
    peer.startprob_prior_, peer.transmat_prior_ = config.start_prior, config.transition_prior
    peer.startprob_posterior_ = params["start_concentration"].copy()
    peer.transmat_posterior_ = params["transition_concentration"].copy()
    prior = config.emission.prior
    if family == "full":
        origin = config.emission.origin
        peer.means_prior_ = np.tile(prior.mean + origin, (3, 1))
        peer.beta_prior_ = np.full(3, prior.mean_precision)
        peer.dof_prior_ = np.full(3, prior.degrees_of_freedom)
        peer.scale_prior_ = np.tile(prior.scale, (3, 1, 1))
        peer.means_posterior_ = params["means"] + origin
        peer.beta_posterior_ = params["mean_precision"].copy()
        peer.dof_posterior_ = params["degrees_of_freedom"].copy()
        peer.scale_posterior_ = params["scale"].copy()
        peer._covars_ = params["scale"] / params["degrees_of_freedom"][:, None, None]
        rows = X
    else:
        peer.n_features = config.emission.n_indexed
        peer.emissionprob_prior_ = np.tile(prior.a, (3, 1))
        peer.emissionprob_posterior_ = params["concentrations"].T.copy()
        rows = X.astype(int)
    peer.fit(rows, LENGTHS)
    _, last = from_here(model, block, params, ITERATIONS)
    np.testing.assert_allclose(last["start_concentration"], peer.startprob_posterior_, rtol=1e-9)
    np.testing.assert_allclose(
        last["transition_concentration"], peer.transmat_posterior_, rtol=1e-9
    )
    if family == "full":
        np.testing.assert_allclose(last["means"] + origin, peer.means_posterior_, rtol=1e-9)
        np.testing.assert_allclose(last["mean_precision"], peer.beta_posterior_, rtol=1e-9)
        np.testing.assert_allclose(last["degrees_of_freedom"], peer.dof_posterior_, rtol=1e-9)
        np.testing.assert_allclose(last["scale"], peer.scale_posterior_, rtol=1e-9, atol=1e-12)
    else:
        np.testing.assert_allclose(
            last["concentrations"].T, peer.emissionprob_posterior_, rtol=1e-9
        )
