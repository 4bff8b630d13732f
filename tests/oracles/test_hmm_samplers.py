"""The Gibbs sampler of hidden Markov models: Geweke's joint distribution test, and calibration.

As `test_joint_distribution` and `test_calibration` do for mixtures. Draws of a family's parameters
are tested there; here it is paths, starts and transitions that matter, with symbols as emissions.
"""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from oracles.test_calibration import N_DRAWS, distances
from scipy.stats import dirichlet

from vemfast import CategoricalHMM, SequenceBlock
from vemfast.estimators.hmm import Steps
from vemfast.indexed import IndexedBlock
from vemfast.models.base import Step
from vemfast.models.hmm import HiddenMarkov

K, V = 2, 3
LENGTHS = np.array([3, 1, 3, 1, 3])
N_STEPS = int(LENGTHS.sum())
PRIORS = {
    "start": np.array([1.5, 0.8]),
    "transitions": np.array([[2.0, 0.7], [0.9, 1.6]]),
    "symbols": 1.2,
}
BOUND = 4.0


def estimator(priors, **options):
    return CategoricalHMM(
        K,
        inference="gibbs",
        startprob_prior=priors["start"],
        transmat_prior=priors["transitions"],
        emissionprob_prior=priors["symbols"],
        n_features=V,
        **options,
    )


@lru_cache
def sampler():
    X = np.arange(N_STEPS)[:, None] % V
    return estimator(PRIORS)._model(Steps(X, LENGTHS), None)[0]


def drawn_from_the_prior(rng, priors=PRIORS):
    """Return start (K,), transitions (K, K) and symbols (K, V)."""
    return (
        rng.dirichlet(priors["start"]),
        np.array([rng.dirichlet(row) for row in priors["transitions"]]),
        rng.dirichlet(np.full(V, priors["symbols"]), K),
    )


def symbols_given(theta, rng):
    start, transitions, table = theta
    out = []
    for length in LENGTHS:
        z = rng.choice(K, p=start)
        for _ in range(length):
            out.append(rng.choice(V, p=table[z]))
            z = rng.choice(K, p=transitions[z])
    return np.array(out, dtype=np.int32)[:, None]


# ---- Geweke ------------------------------------------------------------------------------------


def statistics(theta, X):
    start, transitions, table = theta
    a, b, c = start[0], transitions[0, 0], transitions[1, 1]
    same = sum(np.sum(part[1:] == part[:-1]) for part in np.split(X[:, 0], np.cumsum(LENGTHS)[:-1]))
    return [
        a, a**2, b, c, b * c, table[0, 0], table[1, 2], b * table[0, 0], np.sum(X == 0), same
    ]  # fmt: skip


def right(model, params, rows, step):
    block = SequenceBlock(rows, LENGTHS)
    return model.update(params, model.e_step(model.prepare(params), block, step), step.next)


def one_draw_for_all_sequences(model, params, rows, step):
    """As if each thread began anew with the same random numbers."""
    table, total, start = model.prepare(params), None, 0
    for length in LENGTHS:
        part = IndexedBlock(rows.rows[start : start + length])
        stats = model.e_step(table, SequenceBlock(part), step)
        total = stats if total is None else total + stats
        start += length
    return model.update(params, total, step.next)


def a_transition_too_many(model, params, rows, step):
    stats = model.e_step(model.prepare(params), SequenceBlock(rows, LENGTHS), step)
    stats["transitions"][0, 0] += 1.0
    return model.update(params, stats, step.next)


def best_paths(model, params, rows, step):
    return right(model, params, rows, replace(step, local_rule="hard"))


def with_config(**changes):
    def iteration(model, params, rows, step):
        return right(HiddenMarkov(replace(model.config, **changes)), params, rows, step)

    return iteration


MUTATIONS = {
    "the same numbers in each thread": one_draw_for_all_sequences,
    "a wrong count": a_transition_too_many,
    "best paths": best_paths,
    "transitions drawn without their prior": with_config(transition_prior=np.full((K, K), 0.05)),
    "starts drawn without their prior": with_config(start_prior=np.full(K, 0.05)),
}


def largest_z(n, iteration=right, seed=0):
    """Return the largest difference of both ways, in standard errors by batch means."""
    rng = np.random.default_rng(seed)
    model = sampler()
    one = np.empty((n, 10))
    for i in range(n):
        theta = drawn_from_the_prior(rng)
        one[i] = statistics(theta, symbols_given(theta, rng))
    theta = drawn_from_the_prior(rng)
    params = model.config.point(theta[0], theta[1], probabilities=theta[2].T)
    other = np.empty((n, 10))
    step = Step("sampled", "sampled", seed, 0)
    for i in range(n):
        theta = params["startprob"], params["transmat"], params["probabilities"].T
        theta = tuple(p / p.sum(axis=-1, keepdims=True) for p in theta)  # to NumPy's taste
        X = symbols_given(theta, rng)
        other[i] = statistics(theta, X)
        params = iteration(model, params, IndexedBlock(X), step)
        step = step.next
    batches = other.reshape(50, -1, 10).mean(axis=1)
    error = np.sqrt(one.var(axis=0) / n + batches.var(axis=0, ddof=1) / 50)
    return np.abs((one.mean(axis=0) - other.mean(axis=0)) / error).max()


def test_both_ways_agree():
    assert largest_z(3_000) < BOUND


@pytest.mark.nightly
def test_both_ways_agree_at_length():
    assert largest_z(40_000, seed=1) < BOUND


@pytest.mark.nightly
@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=MUTATIONS)
def test_a_wrong_iteration_is_seen(mutation):
    assert largest_z(20_000, mutation) > BOUND


# ---- calibration -------------------------------------------------------------------------------


def log_prior(theta, priors):
    start, transitions, table = theta
    total = dirichlet.logpdf(start, priors["start"])
    total += sum(
        dirichlet.logpdf(row, own)
        for row, own in zip(transitions, priors["transitions"], strict=True)
    )
    return total + sum(dirichlet.logpdf(row, np.full(V, priors["symbols"])) for row in table)


def log_likelihood(theta, X):
    start, transitions, table = theta
    total = 0.0
    for part in np.split(X[:, 0], np.cumsum(LENGTHS)[:-1]):
        a = start * table[:, part[0]]
        for x in part[1:]:
            a = (a @ transitions) * table[:, x]
        total += np.log(a.sum())
    return total


def functions(theta, X, priors):
    fit, (start, transitions, table) = log_likelihood(theta, X), theta
    return [fit + log_prior(theta, priors), fit, start[0], np.trace(transitions), table[0, 0]]


def largest_distance(n, priors=PRIORS, fitted=PRIORS):
    rng = np.random.default_rng(3)
    ranks = np.empty((n, 5), dtype=int)
    for i in range(n):
        truth = drawn_from_the_prior(rng, priors)
        X = symbols_given(truth, rng)
        model = estimator(
            fitted, n_burn=50, n_draws=N_DRAWS, thin=6, n_chains=1, random_state=i, n_jobs=1
        )
        draws = model.fit(X, LENGTHS).posterior_
        each = zip(draws.startprob[0], draws.transmat[0], draws.probabilities[0][0], strict=True)
        own = np.array([functions(theta, X, fitted) for theta in each])
        np.testing.assert_allclose(own[:, 0], draws.log_joint[0], rtol=1e-9)
        ranks[i] = np.sum(own < functions(truth, X, fitted), axis=0)
    counts = np.array([np.bincount(column, minlength=N_DRAWS + 1) for column in ranks.T])
    uniform = np.full(N_DRAWS + 1, 1 / (N_DRAWS + 1))
    simulated = distances(np.random.default_rng(0).multinomial(n, uniform, size=20_000))
    return distances(counts).max() / np.quantile(simulated, 1 - 0.01 / 5)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_ranks_are_uniform():
    assert largest_distance(40) < 1


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_ranks_of_500_replicates_are_uniform():
    assert largest_distance(500) < 1


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    "change",
    [
        {"transitions": np.array([[0.5, 3.0], [3.0, 0.5]])},
        {"start": np.array([0.3, 4.0])},
        {"symbols": 4.0},
    ],
    ids=["transitions", "start", "symbols"],
)
def test_ranks_under_another_prior_are_not(change):
    assert largest_distance(500, fitted=PRIORS | change) > 1
