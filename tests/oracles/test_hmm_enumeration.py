"""Hidden Markov models against sums over all paths of states (O2), and closed forms.

Nothing here uses the recursions of the code under test: each of the K^T paths is looked at by
itself, with densities from scipy.stats.
"""

from dataclasses import replace
from itertools import pairwise, product

import hmm_data
import numpy as np
import pytest
from scipy import stats as dist
from scipy.special import logsumexp

from vemfast.models.base import Step
from vemfast.models.hmm import HiddenMarkov
from vemfast.reference import HiddenMarkov as ReferenceHmm
from vemfast.reference import configure

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

IMPLEMENTATIONS = {"reference": ReferenceHmm, "native": HiddenMarkov}
implementations = pytest.mark.parametrize(
    "implementation", IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS
)
families = pytest.mark.parametrize("family", hmm_data.ALL)
missing = pytest.mark.parametrize("missing", [False, True], ids=["whole", "missing"])

T = 6
CHAINS = {
    "dense": {},
    "left-right": {
        "start_support": np.array([True, False, False]),
        "transition_support": np.triu(np.ones((3, 3), dtype=bool)),
    },
    "frozen": {
        "transition_frozen": np.array([[0.6, np.nan, np.nan], [np.nan] * 3, [0.1, 0.2, 0.7]])
    },
}


def full_covariances(covariances, kind, K, D):
    return {
        "full": lambda c: c,
        "tied": lambda c: np.broadcast_to(c, (K, D, D)),
        "diag": lambda c: c[:, :, None] * np.eye(D),
        "spherical": lambda c: c[:, None, None] * np.eye(D),
        "tied-spherical": lambda c: np.broadcast_to(c * np.eye(D), (K, D, D)),
    }[kind](covariances)


def log_emissions(config, params, X):
    """Return log p(x_t | component), (T, K n_mix); what is NaN is left out of the density."""
    emission, K = config.emission, config.n_components * config.n_mix
    out = np.zeros((len(X), K))
    if hasattr(emission, "covariance_type"):
        full = full_covariances(
            params["covariances"], emission.covariance_type, K, emission.n_features
        )
        for t, row in enumerate(X):
            seen = ~np.isnan(row)
            if seen.any():
                for k in range(K):
                    mean = params["means"][k] + emission.origin
                    normal = dist.multivariate_normal(mean[seen], full[k][np.ix_(seen, seen)])
                    out[t, k] = normal.logpdf(row[seen])
        return out
    theta = params[emission.table_name]
    for d, column in enumerate(X.T):
        seen = ~np.isnan(column)
        x = column[seen, None]
        if emission.family == "bernoulli":
            out[seen] += dist.bernoulli.logpmf(x, theta[d])
        elif emission.family == "poisson":
            out[seen] += dist.poisson.logpmf(x, theta[d])
        else:
            out[seen] += np.log(theta[emission.column_offsets[d] + x[:, 0].astype(int)])
    return out


def state_scores(config, params, X):
    own = log_emissions(config, params, X)
    if config.n_mix == 1:
        return own
    joint = own.reshape(len(X), config.n_components, -1) + np.log(params["mix_weights"])
    return logsumexp(joint, axis=2)


def all_paths(scores, startprob, transmat):
    """Return the paths, (P, T), and their log joints with the observations, (P,)."""
    n, K = scores.shape
    paths = np.array(list(product(range(K), repeat=n)))
    with np.errstate(divide="ignore"):
        log_start, log_rows = np.log(startprob), np.log(transmat)
    joints = log_start[paths[:, 0]] + scores[np.arange(n), paths].sum(axis=1)
    joints += log_rows[paths[:, :-1], paths[:, 1:]].sum(axis=1)
    return paths, joints


def expectations(paths, joints, K):
    """Return log p(x), gamma (T, K), the sum of xi (K, K) and the entropy of the paths."""
    total = logsumexp(joints)
    p = np.exp(joints - total)
    gamma = np.array([[p[paths[:, t] == k].sum() for k in range(K)] for t in range(paths.shape[1])])
    xi = np.zeros((K, K))
    for t in range(paths.shape[1] - 1):
        np.add.at(xi, (paths[:, t], paths[:, t + 1]), p)
    entropy = -np.sum(p[p > 0] * np.log(p[p > 0]))
    return total, gamma, xi, entropy


def problem(implementation, family, chain="dense", is_missing=False, n_mix=1, labels=None):
    X = hmm_data.rows_of(family, missing=is_missing)[:T]
    options = dict(CHAINS[chain]) | ({"n_mix": n_mix} if n_mix > 1 else {})
    fit_rows = hmm_data.rows_of(family)
    config = hmm_data.config_of(family, fit_rows, marginalize=is_missing, **options)
    model = implementation(config)
    params = hmm_data.a_point(model)
    if hasattr(config.emission, "covariance_type"):  # the rows lie about the origin
        X = X - np.nanmean(X, axis=0) + config.emission.origin
    block = hmm_data.block_of(family, X, [T], labels=labels, offset=7)
    return model, params, X, block


@implementations
@families
@pytest.mark.parametrize("chain", CHAINS)
@missing
def test_the_e_step_is_the_sum_over_all_paths(implementation, family, chain, missing):
    model, params, X, block = problem(implementation, family, chain, missing)
    K = model.config.n_components
    paths, joints = all_paths(
        state_scores(model.config, params, X), params["startprob"], params["transmat"]
    )
    total, gamma, xi, entropy = expectations(paths, joints, K)
    table = model.prepare(params)
    stats = model.e_step(table, block, Step())
    assert stats.local_bound == pytest.approx(total, rel=1e-12)
    np.testing.assert_allclose(stats["starts"], gamma[0], rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(stats["transitions"], xi, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(stats["counts"], gamma.sum(axis=0), rtol=1e-11)
    if not missing and "sums" in stats.layout.names and hasattr(model.config.emission, "origin"):
        np.testing.assert_allclose(
            stats["sums"], gamma.T @ (X - model.config.emission.origin), rtol=1e-10, atol=1e-12
        )
    bases = 0.0
    if family == "poisson":
        bases = -sum(np.log(float(np.prod(range(1, int(x) + 1)))) for x in X[~np.isnan(X)])
    if not (missing and hasattr(model.config.emission, "origin")):
        assert stats.entropy == pytest.approx(entropy + bases, rel=1e-10, abs=1e-11)
    # What is left of the interface says the same.
    assert model.score(table, block) == pytest.approx(total, rel=1e-12)
    np.testing.assert_allclose(model.posteriors(table, block), gamma, rtol=1e-10, atol=1e-14)


@implementations
@families
@pytest.mark.parametrize("chain", CHAINS)
def test_viterbi_is_the_best_of_all_paths(implementation, family, chain):
    model, params, X, block = problem(implementation, family, chain)
    paths, joints = all_paths(
        state_scores(model.config, params, X), params["startprob"], params["transmat"]
    )
    best = paths[joints.argmax()]
    labels, joint = model.decode(model.prepare(params), block)
    assert labels.tolist() == best.tolist()
    assert joint == pytest.approx(joints.max(), rel=1e-12)
    stats = model.e_step(model.prepare(params), block, Step("hard"))
    assert stats.local_bound == pytest.approx(joints.max(), rel=1e-12)
    np.testing.assert_array_equal(stats["counts"], np.bincount(best, minlength=3))
    np.testing.assert_array_equal(stats["starts"], np.eye(3)[best[0]])
    assert stats["transitions"].sum() == T - 1
    assert all(stats["transitions"][i, j] >= 1 for i, j in pairwise(best))


@implementations
@pytest.mark.parametrize("chain", CHAINS)
def test_sampled_paths_have_their_frequencies(implementation, chain):
    model, params, X, _ = problem(implementation, "poisson", chain)
    X = X[:3]
    K = model.config.n_components
    paths, joints = all_paths(
        state_scores(model.config, params, X), params["startprob"], params["transmat"]
    )
    p = np.exp(joints - logsumexp(joints))
    # Many copies of the sequence are drawn in one E-step, with uniforms of their own.
    n = 600
    many = hmm_data.block_of("poisson", np.tile(X, (n, 1)), np.full(n, 3))
    table = model.prepare(params)
    stats = model.e_step(table, many, Step("sampled", "sampled", 3, 1))
    _, gamma, xi, _ = expectations(paths, joints, K)
    for name, expected in (
        ("starts", gamma[0]),
        ("transitions", xi),
        ("counts", gamma.sum(axis=0)),
    ):
        spread = np.sqrt(np.maximum(expected, 1e-9) * n) * 1.5
        assert np.all(np.abs(stats[name] - n * expected) < 4.5 * spread + 1e-9), name
    assert stats.local_bound == pytest.approx(n * logsumexp(joints), rel=1e-10)
    # One by one they are whole paths with the right frequencies, and not only the right margins.
    found, m = np.zeros(len(paths)), 150
    for i in range(m):
        one = hmm_data.block_of("poisson", X, [3], offset=3 * i)
        own = model.e_step(table, one, Step("sampled", "sampled", 5, 2))
        fits = [
            np.array_equal(np.bincount(z, minlength=K), own["counts"])
            and own["starts"][z[0]] == 1
            and all(own["transitions"][a, b] >= 1 for a, b in pairwise(z))
            for z in paths
        ]
        found[np.flatnonzero(fits)[0]] += 1
    assert np.all(np.abs(found - m * p) < 4.5 * np.sqrt(m * p * (1 - p)) + 1e-6)


@implementations
@pytest.mark.parametrize("family", hmm_data.FAMILIES)
def test_known_states_leave_the_other_paths_out(implementation, family):
    labels = np.array([-1, 2, -1, -1, 0, -1])
    model, params, X, block = problem(implementation, family, labels=labels)
    paths, joints = all_paths(
        state_scores(model.config, params, X), params["startprob"], params["transmat"]
    )
    kept = np.all((labels < 0) | (paths == labels), axis=1)
    total, gamma, xi, _ = expectations(paths[kept], joints[kept], 3)
    stats = model.e_step(model.prepare(params), block, Step())
    assert stats.local_bound == pytest.approx(total, rel=1e-12)
    np.testing.assert_allclose(stats["counts"], gamma.sum(axis=0), rtol=1e-11)
    np.testing.assert_allclose(stats["transitions"], xi, rtol=1e-11, atol=1e-14)
    assert model.e_step(model.prepare(params), block, Step("hard")).local_bound == pytest.approx(
        joints[kept].max(), rel=1e-12
    )


@implementations
@pytest.mark.parametrize("kind", ["full", "diag"])
def test_states_of_several_gaussians(implementation, kind):
    model, params, X, block = problem(implementation, kind, n_mix=2)
    own = log_emissions(model.config, params, X).reshape(T, 3, 2) + np.log(params["mix_weights"])
    scores = logsumexp(own, axis=2)
    paths, joints = all_paths(scores, params["startprob"], params["transmat"])
    total, gamma, _, _ = expectations(paths, joints, 3)
    stats = model.e_step(model.prepare(params), block, Step())
    assert stats.local_bound == pytest.approx(total, rel=1e-12)
    shares = gamma[:, :, None] * np.exp(own - scores[:, :, None])
    np.testing.assert_allclose(stats["counts"], shares.sum(axis=0).ravel(), rtol=1e-11)
    best = all_paths(own.max(axis=2), params["startprob"], params["transmat"])[1].max()
    hard = model.e_step(model.prepare(params), block, Step("hard"))
    assert hard.local_bound == pytest.approx(best, rel=1e-12)


@implementations
def test_probabilities_of_all_sequences_sum_to_one(implementation):
    emission = hmm_data.config_of("categorical", hmm_data.rows_of("categorical"))
    model = implementation(emission)
    params = hmm_data.a_point(model)
    codes = list(product(range(3), range(2)))
    every = np.array([step for seq in product(codes, repeat=3) for step in seq], dtype=float)
    block = hmm_data.block_of("categorical", every, np.full(len(codes) ** 3, 3))
    assert np.exp(model.score(model.prepare(params), block)).sum() == pytest.approx(1, rel=1e-12)


@implementations
@pytest.mark.parametrize("family", hmm_data.FAMILIES)
def test_the_factorised_bound_is_that_of_its_q(implementation, family):
    model, params, X, block = problem(implementation, family)
    table = model.prepare(params)
    stats = model.e_step(table, block, Step("factorised"))
    q = stats.local
    scores = state_scores(model.config, params, X)
    paths, joints = all_paths(scores, params["startprob"], params["transmat"])
    weights = np.prod(q[np.arange(T), paths], axis=1)
    assert weights.sum() == pytest.approx(1, rel=1e-12)
    there = weights > 0
    bound = np.sum(weights[there] * (joints[there] - np.log(weights[there])))
    assert stats.local_bound == pytest.approx(bound, rel=1e-11)
    xi = np.zeros((3, 3))
    for t in range(T - 1):
        np.add.at(xi, (paths[:, t], paths[:, t + 1]), weights)
    np.testing.assert_allclose(stats["transitions"], xi, rtol=1e-10)
    # It is below the likelihood, above the best path, and rises from sweep to sweep to where each
    # q is the best for the others.
    exact = model.e_step(table, block, Step()).local_bound
    last = -np.inf
    for _ in range(60):
        stats = model.e_step(table, block, Step("factorised"))
        assert exact >= stats.local_bound >= last - 1e-12 * abs(exact)
        block.local, last = stats.local, stats.local_bound
    assert last >= model.e_step(table, block, Step("hard")).local_bound - 1e-9
    q = block.local
    for t in range(T):
        others = np.prod(np.delete(q[np.arange(T), paths], t, axis=1), axis=1)
        logs = np.array([np.sum((others * joints)[paths[:, t] == k]) for k in range(3)])
        np.testing.assert_allclose(np.exp(logs - logsumexp(logs)), q[t], rtol=1e-6, atol=1e-9)


@implementations
@pytest.mark.parametrize("family", hmm_data.FAMILIES)
def test_expected_scores_are_means_over_draws(implementation, family):
    """E log p(x, z, θ) of each path, under the posterior that the draws are from."""
    X = hmm_data.rows_of(family)
    config = hmm_data.config_of(family, X, 2, prior="conjugate")
    model, block = implementation(config), hmm_data.block_of(family, X)
    q = model.init([block], Step("exact", "posterior", 1))
    stats = model.e_step(model.prepare(q), block, Step("exact", "posterior"))
    # Two steps, of known states: a hard E-step is the log joint of that path.
    fixed = [
        hmm_data.block_of(family, X[:2], [2], labels=np.array(path))
        for path in product(range(2), repeat=2)
    ]
    table = model.prepare(model.update(None, stats, Step("exact", "posterior")))
    expected = [model.e_step(table, own, Step("hard")).local_bound for own in fixed]
    n, drawn = 150, []
    for i in range(n):
        own = model.prepare(model.update(None, stats, Step("sampled", "sampled", 9, i)))
        drawn.append([model.e_step(own, b, Step("hard")).local_bound for b in fixed])
    z = (np.mean(drawn, axis=0) - expected) / (np.std(drawn, axis=0) / np.sqrt(n))
    assert np.abs(z).max() < 4.5
    # The bound sums over these sub-normalised paths.
    two = hmm_data.block_of(family, X[:2], [2])
    exact = model.e_step(table, two, Step("exact", "posterior"))
    assert exact.local_bound == pytest.approx(logsumexp(expected), rel=1e-12)


# ---- H2, H4, H10, closed forms ----


@implementations
@families
def test_one_step_is_a_mixture_of_the_start(implementation, family):
    model, params, X, _ = problem(implementation, family)
    block = hmm_data.block_of(family, X[:1], [1])
    scores = state_scores(model.config, params, X[:1])[0] + np.log(params["startprob"])
    stats = model.e_step(model.prepare(params), block, Step())
    assert stats.local_bound == pytest.approx(logsumexp(scores), rel=1e-12)
    np.testing.assert_allclose(stats["starts"], np.exp(scores - logsumexp(scores)), rtol=1e-11)
    assert not stats["transitions"].any()


@implementations
@families
@pytest.mark.parametrize("rule", ["exact", "hard", "factorised", "sampled"])
def test_one_state_is_the_family_itself(implementation, family, rule):
    X = hmm_data.rows_of(family)
    config = hmm_data.config_of(family, X, 1)
    model = implementation(config)
    params = hmm_data.a_point(model)
    block = hmm_data.block_of(family, X, weights=hmm_data.WEIGHTS)
    stats = model.e_step(model.prepare(params), block, Step(rule))
    w = np.repeat(hmm_data.WEIGHTS, hmm_data.LENGTHS)
    total = w @ log_emissions(config, params, X)[:, 0]
    assert stats.local_bound == pytest.approx(total, rel=1e-12)
    assert stats["counts"][0] == pytest.approx(w.sum())
    assert stats["starts"][0] == pytest.approx(hmm_data.WEIGHTS.sum())
    if rule in ("exact", "hard") and family in hmm_data.COVARIANCES:
        # The update is the closed form: weighted mean and covariance (O6).
        moved = model.update(params, stats, Step())
        mean = w @ X / w.sum()
        np.testing.assert_allclose(moved["means"][0] + config.emission.origin, mean, rtol=1e-11)
        assert moved["transmat"][0, 0] == 1


@implementations
def test_an_impossible_sequence_is_named(implementation):
    X = hmm_data.rows_of("categorical")
    model = implementation(hmm_data.config_of("categorical", X))
    params = hmm_data.a_point(model)
    theta = params["probabilities"]
    theta[2] = 0.0  # the first column has no code 2
    theta[:2] /= theta[:2].sum(axis=0)
    rows = np.array([[0, 1], [1, 1], [0, 0], [1, 0], [2, 1], [0, 0]], dtype=float)
    block = hmm_data.block_of("categorical", rows, [2, 4])
    table = model.prepare(params)
    scores = model.score(table, block)
    assert np.isfinite(scores[0])
    assert scores[1] == -np.inf
    for ask in (
        lambda b: model.e_step(table, b, Step()),
        lambda b: model.e_step(table, b, Step("hard")),
        lambda b: model.e_step(table, b, Step("sampled")),
        lambda b: model.e_step(table, b, Step("factorised")),
        lambda b: model.decode(table, b),
        lambda b: model.posteriors(table, b),
    ):
        with pytest.raises(ValueError, match="sequence 1 impossible from t=2"):
            ask(block)
        with pytest.raises(ValueError, match="sequence 1 impossible from t=2"):
            ask(block.slice(1, 2))
    without = block.with_weights(np.array([1.0, 0.0]))
    assert np.isfinite(model.e_step(table, without, Step()).local_bound)


@implementations
def test_a_path_that_zeros_forbid(implementation):
    # A chain that goes up by one state a step, and codes that say the state.
    config = hmm_data.config_of(
        "categorical",
        np.zeros((4, 1)),
        transition_support=np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]], dtype=bool),
    )
    model = implementation(config)
    params = hmm_data.a_point(model)
    params["probabilities"] = np.eye(3)
    ok = hmm_data.block_of("categorical", np.array([[0], [1], [2], [0]], dtype=float), [4])
    assert model.score(model.prepare(params), ok)[0] == pytest.approx(
        np.log(params["startprob"][0])
    )
    bad = hmm_data.block_of("categorical", np.array([[0], [1], [0], [1]], dtype=float), [4])
    assert model.score(model.prepare(params), bad)[0] == -np.inf
    with pytest.raises(ValueError, match="sequence 0 impossible from t=2"):
        model.decode(model.prepare(params), bad)


@implementations
def test_an_outlier_that_only_an_unreachable_state_explains(implementation):
    """A step whose scaled total underflows is still right: 1,000 nats and more."""
    X = np.zeros((30, 1))
    X[12] = 60.0
    config = hmm_data.config_of(
        "spherical",
        X,
        2,
        start_support=np.array([True, False]),
        transition_support=np.eye(2, dtype=bool),
    )
    model = implementation(config)
    origin = config.emission.origin
    params = config.point(
        [1.0, 0.0], np.eye(2), means=np.array([[0.0], [60.0]]) - origin, covariances=[1.0, 1.0]
    )
    block = hmm_data.block_of("spherical", X, [30])
    expected = dist.norm.logpdf(X[:, 0]).sum()
    stats = model.e_step(model.prepare(params), block, Step())
    assert stats.local_bound == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(stats["counts"], [30, 0], atol=1e-12)
    single = hmm_data.block_of("spherical", X, [30], dtype=np.float32)
    assert model.e_step(model.prepare(params), single, Step()).local_bound == pytest.approx(
        expected, rel=1e-5
    )


# ---- starts, transitions and their priors ----


@implementations
@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("prior", ["flat", "conjugate"])
def test_the_mode_is_the_maximum(implementation, chain, prior):
    X = hmm_data.rows_of("poisson")
    config = hmm_data.config_of("poisson", X, prior=prior, **CHAINS[chain])
    model, block = implementation(config), hmm_data.block_of("poisson", X)
    stats = model.e_step(model.prepare(hmm_data.a_point(model)), block, Step())
    mode = model.update(None, stats, Step())
    best = model.expected_log_joint(mode, stats) + model.global_term(mode)
    for seed in range(60):
        rng = np.random.default_rng(seed)
        size = 10.0 ** -rng.integers(1, 5)
        other = mode.copy()
        for name, frozen in (
            ("startprob", config.start_frozen[None]),
            ("transmat", config.transition_frozen),
        ):
            rows = np.atleast_2d(other[name])
            moved = rows * np.exp(size * rng.normal(size=rows.shape))
            other[name] = hmm_data.fill(moved, frozen).reshape(other[name].shape)
        value = model.expected_log_joint(other, stats) + model.global_term(other)
        assert value <= best + 1e-9
    if chain == "left-right":
        assert mode["startprob"].tolist() == [1, 0, 0]
        assert not np.tril(mode["transmat"], -1).any()
    if chain == "frozen":
        assert mode["transmat"][0, 0] == 0.6
        np.testing.assert_array_equal(mode["transmat"][2], [0.1, 0.2, 0.7])
    np.testing.assert_allclose(mode["transmat"].sum(axis=1), 1, rtol=1e-14)


@implementations
@pytest.mark.parametrize("chain", CHAINS)
def test_log_prior_and_kl_of_the_rows(implementation, chain):
    X = hmm_data.rows_of("poisson")
    config = hmm_data.config_of("poisson", X, prior="conjugate", **CHAINS[chain])
    model = implementation(config)
    point = hmm_data.a_point(model)
    # The density of the emissions alone, by a model whose rows are flat.
    flat = implementation(replace(config, start_prior=None, transition_prior=None))
    own = model.global_term(point) - flat.global_term(point)
    expected = 0.0
    rows = [(config.start_prior, config.start_support, config.start_frozen, point["startprob"])]
    rows += list(
        zip(
            config.transition_prior,
            config.transition_support,
            config.transition_frozen,
            point["transmat"],
            strict=True,
        )
    )
    for alpha, support, frozen, p in rows:
        free = support & np.isnan(frozen)
        if free.sum() > 1:
            share = p[free] / (1 - np.nansum(frozen))
            expected += dist.dirichlet(alpha[free]).logpdf(share / share.sum())
    assert own == pytest.approx(expected, rel=1e-10)
    # KL(q || p) is E_q log q - log p, over draws of q.
    block = hmm_data.block_of("poisson", X)
    stats = model.e_step(model.prepare(point), block, Step())
    stats["sums"], stats["counts"] = 0.0, 0.0  # emissions at their prior: no KL of theirs
    q = model.update(None, stats, Step("exact", "posterior"))
    draws, rng = np.zeros(20_000), np.random.default_rng(0)
    concentrations = [q["start_concentration"], *q["transition_concentration"]]
    for (alpha, support, frozen, _), a in zip(rows, concentrations, strict=True):
        free = support & np.isnan(frozen)
        assert np.array_equal(a > 0, free)
        if free.sum() > 1:
            p = rng.dirichlet(a[free], draws.size).T
            draws += dist.dirichlet(a[free]).logpdf(p) - dist.dirichlet(alpha[free]).logpdf(p)
    kl = -model.global_term(q)
    z = (np.mean(draws) - kl) / (np.std(draws) / np.sqrt(len(draws)))
    assert abs(z) < 4.5


@implementations
@pytest.mark.parametrize("chain", CHAINS)
def test_draws_of_rows_have_the_moments_of_the_posterior(implementation, chain):
    X = hmm_data.rows_of("poisson")
    config = hmm_data.config_of("poisson", X, prior="conjugate", **CHAINS[chain])
    model, block = implementation(config), hmm_data.block_of("poisson", X)
    stats = model.e_step(model.prepare(hmm_data.a_point(model)), block, Step())
    q = model.update(None, stats, Step("exact", "posterior"))
    n = 400
    draws = [model.update(None, stats, Step("sampled", "sampled", 5, i)) for i in range(n)]
    for name, frozen in (
        ("start", config.start_frozen[None]),
        ("transition", config.transition_frozen),
    ):
        point = {"start": "startprob", "transition": "transmat"}[name]
        drawn = np.array([np.atleast_2d(d[point]) for d in draws])
        alpha = np.atleast_2d(q[f"{name}_concentration"])
        mean = hmm_data.fill(alpha, frozen)
        spread = drawn.std(axis=0)
        fixed = spread < 1e-12  # frozen, or alone in its row
        np.testing.assert_allclose(drawn[0][fixed], mean[fixed], rtol=1e-12)
        z = (drawn.mean(axis=0) - mean)[~fixed] / (spread[~fixed] / np.sqrt(n))
        assert np.abs(z).max(initial=0) < 4.5
        left = 1 - np.nansum(frozen, axis=1, keepdims=True)
        total = alpha.sum(axis=1, keepdims=True)
        share = alpha / np.where(total > 0, total, 1)
        sd = left * np.sqrt(share * (1 - share) / (total + 1))
        np.testing.assert_allclose(spread[~fixed], sd[~fixed], rtol=0.2)


@implementations
def test_a_state_that_is_never_left_keeps_its_row(implementation):
    X = hmm_data.rows_of("poisson")
    block = hmm_data.block_of("poisson", X)
    model = implementation(hmm_data.config_of("poisson", X))
    params = hmm_data.a_point(model)
    params["startprob"] = [0.5, 0.5, 0.0]
    params["transmat"][:2] = [[0.7, 0.3, 0.0], [0.4, 0.6, 0.0]]
    params["transmat"][2] = [0.2, 0.3, 0.5]
    stats = model.e_step(model.prepare(params), block, Step())
    assert stats["counts"][2] == 0
    moved = model.update(params, stats, Step())
    np.testing.assert_allclose(moved["transmat"][2], [0.2, 0.3, 0.5], rtol=1e-14)
    np.testing.assert_allclose(moved["transmat"].sum(axis=1), 1, rtol=1e-14)
    fresh = model.update(None, stats, Step())
    np.testing.assert_allclose(fresh["transmat"][2], [1 / 3] * 3)
    # With a prior it is the prior's mode.
    prior = np.full((3, 3), 2.0)
    prior[2] = [1.0, 2.0, 4.0]
    model = implementation(hmm_data.config_of("poisson", X, transition_prior=prior))
    moved = model.update(params, stats, Step())
    np.testing.assert_allclose(moved["transmat"][2], [0, 0.25, 0.75], rtol=1e-14)


def test_configure_is_not_told_of_weights():
    assert configure(np.zeros((3, 1)), 2, weight_type="none").prior.weight_type == "none"
