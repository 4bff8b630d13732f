"""Geweke's joint distribution test of the Gibbs sampler.

There are two ways to draw (θ, X) from the joint distribution. Marginal: θ from the prior, then X
given θ; that is `generative.py`, which knows nothing of the library. Successive: in turn X given θ,
and the sampler's θ given X. A sampler that is right has the same expectations either way; an error
in a draw of labels, weights, means or covariances, in a count, or in the use of random numbers
changes them.

J. Geweke: Getting it right: joint distribution tests of posterior simulators. JASA 99, 2004.
"""

from dataclasses import replace

import numpy as np
import pytest
from oracles.generative import GenerativeMixture, Points, as_matrices, rows_given
from scipy.special import logsumexp

from vemfast.data import RowBlock
from vemfast.models.base import Step
from vemfast.models.gaussian_config import COVARIANCE_TYPES, GaussianConfig, Prior
from vemfast.models.gaussian_mixture import GaussianMixture as NativeMixture
from vemfast.stats import Params

D, K, N_ROWS = 2, 3, 10
# Away from the prior mean, so that forgetting to move between the coordinates shows.
ORIGIN = np.array([0.4, -0.3])
SCALE = np.array([[8.0, 3.2], [3.2, 6.0]])
BOUND = 4.0
WEIGHT_TYPES = ("dirichlet", "dirichlet_process")


def mixture_of(covariance, weights):
    """Return priors under which components overlap, so that labels are really drawn."""
    scale = {"full": SCALE, "tied": SCALE, "diag": np.diagonal(SCALE)}
    return GenerativeMixture(
        covariance_type=covariance,
        weight_type=weights,
        n_components=K,
        concentration=1.3,
        mean=np.array([0.5, -1.0]),
        precision=4.0,
        freedom=9.0,
        scale=scale.get(covariance, np.trace(SCALE) / D),
    )


def sampler_of(mixture):
    prior = Prior(
        mixture.weight_type,
        mixture.concentration,
        mixture.precision,
        mixture.mean - ORIGIN,
        True,
        mixture.freedom,
        np.asarray(mixture.scale),
    )
    return NativeMixture(
        GaussianConfig(K, D, mixture.covariance_type, prior, ORIGIN, np.ones(D), reg_covar=0.0)
    )


# ---- one iteration, right and wrong ------------------------------------------------------------


def right(model, params, X, step):
    stats = model.e_step(model.prepare(params), RowBlock(X), step)
    return model.update(params, stats, step.next)


def a_count_misses_its_decrement(model, params, X, step):
    stats = model.e_step(model.prepare(params), RowBlock(X), step)
    stats["counts"][0] += 1.0
    return model.update(params, stats, step.next)


def same_seed_in_each_thread(model, params, X, step):
    table, half = model.prepare(params), N_ROWS // 2
    parts = [model.e_step(table, RowBlock(rows), step) for rows in (X[:half], X[half:])]
    return model.update(params, parts[0] + parts[1], step.next)


def same_uniform_for_each_row(model, params, X, step):
    table = model.prepare(params)
    parts = [model.e_step(table, RowBlock(row[None]), step) for row in X]
    return model.update(params, sum(parts[1:], parts[0]), step.next)


def same_uniforms_in_each_iteration(model, params, X, step):
    stats = model.e_step(model.prepare(params), RowBlock(X), replace(step, iteration=0))
    return model.update(params, stats, step.next)


def best_labels_instead_of_drawn_ones(model, params, X, step):
    stats = model.e_step(model.prepare(params), RowBlock(X), replace(step, local_rule="hard"))
    return model.update(params, stats, step.next)


def responsibilities_instead_of_labels(model, params, X, step):
    stats = model.e_step(model.prepare(params), RowBlock(X), replace(step, local_rule="exact"))
    return model.update(params, stats, step.next)


def expected_means_instead_of_drawn_ones(model, params, X, step):
    stats = model.e_step(model.prepare(params), RowBlock(X), step)
    point = model.update(params, stats, step.next)
    point["means"] = model.update(params, stats, Step("sampled", "posterior"))["means"]
    return point


# An iteration, or the fields of the prior that the update gets wrong.
MUTATIONS = {
    "a count misses its decrement": a_count_misses_its_decrement,
    "the same seed in each thread": same_seed_in_each_thread,
    "the same uniform for each row": same_uniform_for_each_row,
    "weights drawn without their prior": {"weight_concentration": 0.05},
}
MORE_MUTATIONS = {
    "the same uniforms in each iteration": same_uniforms_in_each_iteration,
    "best labels": best_labels_instead_of_drawn_ones,
    "responsibilities": responsibilities_instead_of_labels,
    "expected means": expected_means_instead_of_drawn_ones,
    "means drawn without their prior": {"mean_precision": 0.05},
    "prior mean not centred": {"mean": np.array([0.5, -1.0])},
    "covariances drawn with too few degrees of freedom": {"degrees_of_freedom": 9.0 - D},
}


# ---- the two ways ------------------------------------------------------------------------------


def marginal(mixture, n, rng):
    points = mixture.points(n, rng)
    return points, rows_given(points, N_ROWS, rng)


def successive(mixture, n, rng, mutation, seed):
    model, iteration = sampler_of(mixture), right
    if isinstance(mutation, dict):
        model = NativeMixture(replace(model.config, prior=replace(model.config.prior, **mutation)))
    elif mutation is not None:
        iteration = mutation
    params = Params(model.config.params_layout("point"), "point")
    params["weights"], params["means"] = 1.0 / K, mixture.mean - ORIGIN
    params["covariances"] = 2 * np.eye(D) if mixture.is_matrix else 2.0
    n_start = 50  # forgets this start
    buffers = np.empty((n + n_start, params.buffer.size))
    rows = np.empty((n + n_start, N_ROWS, D))
    for i in range(n + n_start):
        buffers[i] = params.buffer
        rows[i] = rows_given(as_points(model, params.buffer), N_ROWS, rng)
        params = iteration(model, params, rows[i], Step("sampled", "sampled", seed, i))
    return as_points(model, buffers[n_start:]), rows[n_start:]


def as_points(model, buffers):
    """Return buffers of parameters, with leading axes or not, in the data's coordinates."""
    lead = buffers.shape[:-1]
    weights, means, covariances = np.split(buffers, [K, K + K * D], axis=-1)
    covariances = covariances.reshape((*lead, *model.config.covariance_shape))
    return Points(
        weights,
        means.reshape(*lead, K, D) + ORIGIN,
        as_matrices(covariances, model.config.covariance_type, K, D),
    )


def functions(mixture, points, rows):
    """Return ten functions of (θ, X), shape (draws, 10); each has a finite variance."""
    w, m, sigma = points
    precision = np.linalg.inv(sigma)
    log_det = np.linalg.slogdet(sigma)[1]
    away = m[:, 1] - mixture.mean
    across = np.array([1.0, -2.0])
    difference = rows[:, :, None, :] - m[:, None]
    square = np.einsum("rnki,rkij,rnkj->rnk", difference, precision, difference)
    log_joint = (np.log(w) - 0.5 * log_det)[:, None] - 0.5 * square
    return np.stack(
        [
            w[:, 0],
            np.sum(w**2, axis=1),
            np.log(w[:, -1]),
            m[:, 0, 0],
            m[:, 0, 0] * m[:, 0, 1],
            np.einsum("ri,rij,rj->r", away, precision[:, 1], away),
            log_det[:, 0],
            np.einsum("i,rij,j->r", across, precision[:, -1], across),
            logsumexp(log_joint, axis=2).sum(axis=1),
            w[:, 0] * rows[:, :, 0].mean(axis=1),
        ],
        axis=1,
    )


def z_scores(mixture, n, mutation=None, seed=1, n_batches=50):
    """Return the ten differences of means in standard errors; the chain's is of batch means."""
    rng = np.random.default_rng(seed)
    a = functions(mixture, *marginal(mixture, n, rng))
    b = functions(mixture, *successive(mixture, n, rng, mutation, seed))
    batches = b.reshape(n_batches, -1, b.shape[1]).mean(axis=1)
    variance = a.var(axis=0, ddof=1) / n + batches.var(axis=0, ddof=1) / n_batches
    return (b.mean(axis=0) - a.mean(axis=0)) / np.sqrt(variance)


# ---- the test ----------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", WEIGHT_TYPES)
@pytest.mark.parametrize("covariance", COVARIANCE_TYPES)
def test_both_ways_have_the_same_expectations(covariance, weights):
    z = z_scores(mixture_of(covariance, weights), 6000)
    assert np.abs(z).max() < BOUND, z


@pytest.mark.nightly
@pytest.mark.parametrize("weights", WEIGHT_TYPES)
@pytest.mark.parametrize("covariance", COVARIANCE_TYPES)
def test_both_ways_have_the_same_expectations_in_long_runs(covariance, weights):
    z = z_scores(mixture_of(covariance, weights), 100_000, n_batches=100)
    assert np.abs(z).max() < BOUND, z


@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=MUTATIONS)
def test_a_wrong_sampler_is_caught(mutation):
    z = z_scores(mixture_of("full", "dirichlet"), 6000, mutation)
    assert np.abs(z).max() > BOUND, z


@pytest.mark.nightly
@pytest.mark.parametrize("weights", WEIGHT_TYPES)
@pytest.mark.parametrize("covariance", COVARIANCE_TYPES)
@pytest.mark.parametrize(
    "mutation", (MUTATIONS | MORE_MUTATIONS).values(), ids=MUTATIONS | MORE_MUTATIONS
)
def test_a_wrong_sampler_is_caught_whatever_the_type(mutation, covariance, weights):
    z = z_scores(mixture_of(covariance, weights), 30_000, mutation)
    assert np.abs(z).max() > BOUND, z
