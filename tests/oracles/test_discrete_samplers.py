"""The Gibbs samplers of the discrete mixtures: Geweke's test, calibration, densities of draws.

As `test_joint_distribution.py` and `test_calibration.py` are for the Gaussian mixture; priors, rows
and densities come from NumPy and scipy.stats.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import discrete
import numpy as np
import pytest
from oracles.test_calibration import N_DRAWS, distances
from oracles.test_calibration import band as band_of_five
from scipy import stats as dist
from scipy.special import logsumexp

from vemfast import BernoulliMixture, CategoricalMixture, PoissonMixture
from vemfast.indexed import IndexedBlock
from vemfast.models.base import Step
from vemfast.models.discrete_mixture import DiscreteMixture
from vemfast.stats import Params

# Of so few rows some samples are all alike.
pytestmark = pytest.mark.filterwarnings("ignore::vemfast.DegenerateWarning")

D, BOUND = 2, 4.0
OFFSETS = np.concatenate(([0], np.cumsum(discrete.SIZES[:D])))
families = pytest.mark.parametrize("family", discrete.FAMILIES)
weight_types = pytest.mark.parametrize("weights", ["dirichlet", "dirichlet_process"])


@dataclass(frozen=True)
class Generative:
    """A mixture with proper conjugate priors; its points are weights (K,) and a table (F, K)."""

    family: str
    weight_type: str
    n_components: int
    concentration: float
    a: np.ndarray
    b: np.ndarray

    def points(self, n, rng):
        """Return n draws from the prior: (n, K) and (n, F, K)."""
        K = self.n_components
        if self.weight_type == "dirichlet":
            weights = rng.dirichlet(np.full(K, self.concentration), n)
        else:
            sticks = rng.beta(1.0, self.concentration, (n, K))
            sticks[:, -1] = 1.0
            left = np.cumprod(1.0 - sticks, axis=1)
            weights = sticks * np.concatenate([np.ones((n, 1)), left[:, :-1]], axis=1)
        if self.family == "bernoulli":
            return weights, rng.beta(self.a[:, None], self.b[:, None], (n, D, K))
        if self.family == "poisson":
            return weights, rng.gamma(self.a[:, None], 1 / self.b[:, None], (n, D, K))
        columns = [rng.dirichlet(self.a[first:last], (n, K)) for first, last in pairwise(OFFSETS)]
        return weights, np.swapaxes(np.concatenate(columns, axis=-1), 1, 2)

    def rows(self, weights, table, n, rng):
        """Return n rows given each point, (..., n, D)."""
        ends = np.cumsum(weights, axis=-1)[..., None, :]
        u = rng.random((*ends.shape[:-2], n, 1)) * ends[..., -1:]
        labels = np.sum(ends[..., :-1] <= u, axis=-1)
        own = np.take_along_axis(table, labels[..., None, :], axis=-1)  # (..., F, n)
        own = np.swapaxes(own, -1, -2)
        if self.family == "bernoulli":
            return (rng.random(own.shape) < own).astype(float)
        if self.family == "poisson":
            return rng.poisson(own).astype(float)
        out = []
        for first, last in pairwise(OFFSETS):
            reached = np.cumsum(own[..., first:last], axis=-1)
            v = rng.random((*own.shape[:-1], 1)) * reached[..., -1:]
            out.append(np.sum(reached[..., :-1] <= v, axis=-1))
        return np.stack(out, axis=-1).astype(float)

    def log_rows(self, weights, table, X):
        """Return log p(x, z = k) of each row, (..., n, K), for each point."""
        out = np.log(weights)[..., None, :]
        for d in range(D):
            x, theta = X[..., d, None], table[..., d, :][..., None, :]
            if self.family == "bernoulli":
                out = out + dist.bernoulli.logpmf(x, theta)
            elif self.family == "poisson":
                out = out + dist.poisson.logpmf(x, theta)
            else:
                feature = OFFSETS[d] + x.astype(int)
                out = out + np.log(np.take_along_axis(table, feature, axis=-2))
        return out

    def log_likelihood(self, weights, table, X):
        return logsumexp(self.log_rows(weights, table, X), axis=1).sum()

    def log_prior(self, weights, table):
        if self.weight_type == "dirichlet":
            total = dist.dirichlet([self.concentration] * self.n_components).logpdf(weights)
        else:
            behind = np.cumsum(weights[::-1])[::-1]
            total = dist.beta(1.0, self.concentration).logpdf(weights[:-1] / behind[:-1]).sum()
        if self.family == "bernoulli":
            return total + dist.beta(self.a[:, None], self.b[:, None]).logpdf(table).sum()
        if self.family == "poisson":
            law = dist.gamma(self.a[:, None], scale=1 / self.b[:, None])
            return total + law.logpdf(table).sum()
        for first, last in pairwise(OFFSETS):
            total += sum(dist.dirichlet(self.a[first:last]).logpdf(p) for p in table[first:last].T)
        return total

    def options(self):
        """Return the estimator's options that say the same."""
        out = {
            "n_components": self.n_components,
            "weight_concentration_prior_type": self.weight_type,
            "weight_concentration_prior": self.concentration,
        }
        if self.family == "bernoulli":
            return out | {"alpha_prior": self.a, "beta_prior": self.b}
        if self.family == "poisson":
            return out | {"shape_prior": self.a, "rate_prior": self.b}
        concentrations = [self.a[first:last] for first, last in pairwise(OFFSETS)]
        return out | {"concentration_prior": concentrations, "n_categories": discrete.SIZES[:D]}


def mixture_of(family, weights, n_components=3):
    """Return priors under which components overlap, so that labels are really drawn."""
    a = {"bernoulli": [1.5, 2.5], "poisson": [3.0, 5.0], "categorical": [1.5, 2.5, 2.0, 1.8, 3.0]}
    b = {"bernoulli": [2.0, 1.4], "poisson": [0.8, 1.6], "categorical": []}
    return Generative(family, weights, n_components, 1.3, *map(np.array, (a[family], b[family])))


# ---- Geweke's joint distribution test (O8) -------------------------------------------------------

N_ROWS = 8


# Where a model integrates missing entries out, these are missing.
HIDDEN = np.random.default_rng(3).permuted(np.tile([True, False, False, False], 4)).reshape(8, 2)


def block_of(family, X):
    return IndexedBlock(X if family == "poisson" else X.astype(np.uint8))


def right(model, params, X, step):
    family = model.config.family
    if model.config.marginalize:
        X = np.where(HIDDEN, np.nan if family == "poisson" else 255, X)
    stats = model.e_step(model.prepare(params), block_of(family, X), step)
    return model.update(params, stats, step.next)


def missing_entries_are_zeros(model, params, X, step):
    return right(model, params, np.where(HIDDEN, 0, X), step)


def a_count_misses_its_decrement(model, params, X, step):
    stats = model.e_step(model.prepare(params), block_of(model.config.family, X), step)
    stats["counts"][0] += 1.0
    return model.update(params, stats, step.next)


def a_sum_misses_its_decrement(model, params, X, step):
    stats = model.e_step(model.prepare(params), block_of(model.config.family, X), step)
    stats["sums"][0, 0] += 1.0
    if model.config.family == "bernoulli":
        stats["counts"][0] = max(stats["counts"][0], stats["sums"][0, 0])
    return model.update(params, stats, step.next)


def same_seed_in_each_thread(model, params, X, step):
    table, half, family = model.prepare(params), N_ROWS // 2, model.config.family
    parts = [model.e_step(table, block_of(family, rows), step) for rows in (X[:half], X[half:])]
    return model.update(params, parts[0] + parts[1], step.next)


def responsibilities_instead_of_labels(model, params, X, step):
    return right(model, params, X, replace(step, local_rule="exact"))


def best_labels_instead_of_drawn_ones(model, params, X, step):
    return right(model, params, X, replace(step, local_rule="hard"))


MUTATIONS = {
    "a count misses its decrement": a_count_misses_its_decrement,
    "a sum misses its decrement": a_sum_misses_its_decrement,
    "the same seed in each thread": same_seed_in_each_thread,
    "best labels": best_labels_instead_of_drawn_ones,
    "weights drawn without their prior": {"weight_concentration": 0.05},
    "table drawn with another prior": {"a": 0.3},
    "missing entries are zeros": missing_entries_are_zeros,
}


def functions(mixture, weights, table, X):
    """Return ten functions of (θ, X), (draws, 10)."""
    joint = mixture.log_rows(weights, table, X)
    mean = X.mean(axis=(1, 2))
    return np.stack(
        [
            weights[:, 0],
            np.sum(weights**2, axis=1),
            np.log(weights[:, -1]),
            table[:, 0, 0],
            table[:, 0, 0] * table[:, 1, 0],
            np.log(table[:, -1, 1]),
            table[:, 0, -1] ** 2,
            logsumexp(joint, axis=2).sum(axis=1),
            weights[:, 0] * mean,
            table[:, 1, 1] * mean,
        ],
        axis=1,
    )


def successive(mixture, n, rng, mutation, seed, marginalize):
    K, family = mixture.n_components, mixture.family
    b = mixture.b if mixture.b.size else None
    config = discrete.config_of(
        family,
        K,
        D,
        weight_type=mixture.weight_type,
        weight_concentration=mixture.concentration,
        proper=True,
        a=mixture.a,
        b=b,
        marginalize=marginalize,
    )
    iteration = right
    if isinstance(mutation, dict):
        change = {k: v * mixture.a if k == "a" else v for k, v in mutation.items()}
        config = replace(config, prior=replace(config.prior, **change))
    elif mutation is not None:
        iteration = mutation
    model = DiscreteMixture(config)
    params = Params(config.params_layout("point"), "point")
    params["weights"] = 1.0 / K
    params[config.table_name] = 0.5
    n_start = 50  # forgets this start
    weights = np.empty((n + n_start, K))
    table = np.empty((n + n_start, config.n_indexed, K))
    rows = np.empty((n + n_start, N_ROWS, D))
    for i in range(n + n_start):
        weights[i], table[i] = params["weights"], params[config.table_name]
        rows[i] = mixture.rows(weights[i], table[i], N_ROWS, rng)
        params = iteration(model, params, rows[i], Step("sampled", "sampled", seed, i))
    return weights[n_start:], table[n_start:], rows[n_start:]


def z_scores(mixture, n, mutation=None, seed=1, n_batches=50, marginalize=False):
    """Return the ten differences of means in standard errors; the chain's is of batch means."""
    rng = np.random.default_rng(seed)
    weights, table = mixture.points(n, rng)
    a = functions(mixture, weights, table, mixture.rows(weights, table, N_ROWS, rng))
    b = functions(mixture, *successive(mixture, n, rng, mutation, seed, marginalize))
    batches = b.reshape(n_batches, -1, b.shape[1]).mean(axis=1)
    variance = a.var(axis=0, ddof=1) / n + batches.var(axis=0, ddof=1) / n_batches
    return (b.mean(axis=0) - a.mean(axis=0)) / np.sqrt(variance)


missing = pytest.mark.parametrize("marginalize", [False, True])


@families
@missing
def test_both_ways_have_the_same_expectations(family, marginalize):
    z = z_scores(mixture_of(family, "dirichlet"), 1500, marginalize=marginalize)
    assert np.abs(z).max() < BOUND, z


@pytest.mark.slow
@weight_types
@families
@missing
def test_both_ways_have_the_same_expectations_in_long_runs(family, weights, marginalize):
    z = z_scores(mixture_of(family, weights), 20_000, marginalize=marginalize)
    assert np.abs(z).max() < BOUND, z


@pytest.mark.nightly
@families
@pytest.mark.parametrize("mutation", MUTATIONS.values(), ids=MUTATIONS)
def test_a_wrong_sampler_is_caught(family, mutation):
    z = z_scores(mixture_of(family, "dirichlet"), 20_000, mutation)
    assert np.abs(z).max() > BOUND, z


# ---- densities of draws --------------------------------------------------------------------------

ESTIMATORS = {
    "bernoulli": BernoulliMixture,
    "poisson": PoissonMixture,
    "categorical": CategoricalMixture,
}


def tables_of(draws):
    """Return all chains' draws one after another, (draws, F, K)."""
    shown = draws.rates if hasattr(draws, "rates") else draws.probabilities
    shown = np.concatenate(shown, axis=-1) if isinstance(shown, list) else shown
    return np.swapaxes(shown.reshape(-1, *shown.shape[2:]), 1, 2)


@families
@weight_types
def test_densities_of_the_draws(family, weights):
    mixture = mixture_of(family, weights)
    rng = np.random.default_rng(0)
    point = [array[0] for array in mixture.points(1, rng)]
    X = mixture.rows(*point, 40, rng)
    options = mixture.options() | {"inference": "gibbs", "random_state": 0}
    model = ESTIMATORS[family](n_burn=5, n_draws=6, n_chains=2, thin=2, **options).fit(X)
    draws = model.posterior_
    points = list(zip(draws.weights.reshape(12, 3), tables_of(draws), strict=True))
    log_likelihood = np.array([mixture.log_likelihood(*point, X) for point in points])
    log_joint = log_likelihood + [mixture.log_prior(*point) for point in points]
    np.testing.assert_allclose(draws.log_likelihood.ravel(), log_likelihood, rtol=1e-10)
    np.testing.assert_allclose(draws.log_joint.ravel(), log_joint, rtol=1e-10)
    best = np.argmax(log_joint)
    np.testing.assert_array_equal(model.weights_, points[best][0])
    assert model.lower_bound_ == pytest.approx(log_joint[best], rel=1e-10)
    density = logsumexp([mixture.log_rows(*point, X[:5]) for point in points], axis=(0, 2))
    np.testing.assert_allclose(model.score_samples(X[:5]), density - np.log(12), rtol=1e-10)
    assert len(np.unique(draws.weights[..., 0])) == 12, "chains or draws repeat each other"


# ---- calibration (O9) ----------------------------------------------------------------------------


def label_free(mixture, weights, table, log_joint, log_likelihood):
    """Return five functions of θ that do not depend on labels, (draws, 5)."""
    return np.stack(
        [
            np.ravel(log_joint),
            np.ravel(log_likelihood),
            weights.max(axis=1),
            np.sum(weights * table[:, 0], axis=1),
            np.sum(weights * np.log(table[:, 1]), axis=1),
        ],
        axis=1,
    )


def rank_distances(mixture, fitted, n, seed=0):
    rng = np.random.default_rng(seed)
    truths = mixture.points(n, rng)
    ranks = np.empty((n, 5), dtype=int)
    for i in range(n):
        truth = [array[i] for array in truths]
        X = mixture.rows(*truth, 12, rng)
        options = fitted.options() | {"n_burn": 50, "n_draws": N_DRAWS, "thin": 6, "n_chains": 1}
        model = ESTIMATORS[fitted.family](
            inference="gibbs", random_state=i, n_jobs=1, **options
        ).fit(X)
        draws = model.posterior_
        own = label_free(
            fitted, draws.weights[0], tables_of(draws), draws.log_joint, draws.log_likelihood
        )
        log_likelihood = fitted.log_likelihood(*truth, X)
        log_joint = log_likelihood + fitted.log_prior(*truth)
        true = label_free(fitted, *(array[None] for array in truth), log_joint, log_likelihood)
        ranks[i] = np.sum(own < true, axis=0)
    return distances(np.array([np.bincount(column, minlength=N_DRAWS + 1) for column in ranks.T]))


@pytest.mark.nightly
@families
@weight_types
def test_ranks_of_500_replicates_are_uniform(family, weights):
    mixture = mixture_of(family, weights, 2)
    assert rank_distances(mixture, mixture, 500).max() < band_of_five(500)


@pytest.mark.nightly
@families
def test_ranks_of_500_replicates_under_another_prior_are_not(family):
    mixture = mixture_of(family, "dirichlet", 2)
    wrong = replace(mixture, a=2.5 * mixture.a)
    assert rank_distances(mixture, wrong, 500).max() > band_of_five(500)
