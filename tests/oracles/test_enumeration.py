"""The Gaussian mixture against sums over all assignments, closed forms and quadrature.

Nothing here uses the formulas of the code under test: likelihoods come from scipy.stats, evidences
from the textbook closed forms about the sample mean, and divergences from Monte Carlo.
"""

from itertools import product

import numpy as np
import pytest
from scipy import stats as dist
from scipy.integrate import quad
from scipy.special import betaln, gammaln, logsumexp, multigammaln

from vemfast.data import RowBlock
from vemfast.inference import fit
from vemfast.models.base import Step
from vemfast.models.gaussian_config import COVARIANCE_TYPES, GaussianConfig, Prior
from vemfast.models.gaussian_mixture import GaussianMixture as NativeMixture
from vemfast.reference import GaussianMixture as ReferenceMixture
from vemfast.stats import Params, Stats

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

IMPLEMENTATIONS = {"reference": ReferenceMixture, "native": NativeMixture}
implementations = pytest.mark.parametrize(
    "implementation", IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS
)
covariance_types = pytest.mark.parametrize("covariance", COVARIANCE_TYPES)
weight_types = pytest.mark.parametrize("weight_type", ["dirichlet", "dirichlet_process", "equal"])

D = 2
KAPPA0, NU0, ALPHA0 = 0.7, 3.4, 0.9
M0 = np.array([0.2, -0.3])
PSI0 = np.array([[1.1, 0.4], [0.4, 0.8]])
ORIGIN = np.array([0.1, 0.2])
X = np.array([[-1.5, 0.4], [-1.0, 1.1], [0.3, -0.2], [1.6, -1.0], [2.0, 0.1], [1.2, -0.4]])


def scale_of(covariance):
    own = {"full": PSI0, "tied": PSI0, "diag": np.diagonal(PSI0)}
    return own.get(covariance, np.asarray(np.trace(PSI0) / D))


def config_of(covariance, weight_type, n_components):
    prior = Prior(weight_type, ALPHA0, KAPPA0, M0, True, NU0, scale_of(covariance))
    return GaussianConfig(n_components, D, covariance, prior, ORIGIN, np.ones(D), 0.0)


def as_matrices(covariances, covariance, n_components):
    """Return covariances of any type as (K, D, D)."""
    if covariance in ("full", "tied"):
        return np.broadcast_to(covariances, (n_components, D, D))
    spread = {"diag": (n_components, D), "spherical": (n_components, 1), "tied-spherical": (1, 1)}
    variances = np.broadcast_to(covariances.reshape(spread[covariance]), (n_components, D))
    return np.array([np.diag(v) for v in variances])


def log_density(model, params, rows):
    if isinstance(model, ReferenceMixture):
        return model.log_density(params, rows)
    return model.assign(model.predictive(params), np.ascontiguousarray(rows), "log_density", 1)


# ---- the likelihood (O1) ----


@implementations
@covariance_types
@pytest.mark.parametrize("n_components", [1, 2, 3])
def test_log_likelihood_is_the_sum_over_all_assignments(implementation, covariance, n_components):
    model = implementation(config_of(covariance, "dirichlet", n_components))
    params = model.update(None, model.e_step(*start(model)), Step())
    sigmas = as_matrices(params["covariances"], covariance, n_components)
    log_joint = np.array(
        [
            np.log(w) + dist.multivariate_normal(m + ORIGIN, s).logpdf(X)
            for w, m, s in zip(params["weights"], params["means"], sigmas, strict=True)
        ]
    )
    rows = range(len(X))
    total = logsumexp(
        [
            sum(log_joint[k, n] for k, n in zip(z, rows, strict=True))
            for z in assignments(n_components)
        ]
    )
    stats = model.e_step(model.prepare(params), RowBlock(X), Step())
    assert stats.local_bound == pytest.approx(total, rel=1e-12)
    # The statistics are the expectations under the same sum.
    posterior = np.exp(log_joint - logsumexp(log_joint, axis=0))
    np.testing.assert_allclose(stats["counts"], posterior.sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(stats["sums"], posterior @ (X - ORIGIN), rtol=1e-11, atol=1e-13)
    # A hard E-step is the best single assignment.
    hard = model.e_step(model.prepare(params), RowBlock(X), Step("hard"))
    assert hard.local_bound == pytest.approx(log_joint.max(axis=0).sum(), rel=1e-12)


def start(model):
    """Return what an E-step needs, at parameters whose components differ."""
    K = model.config.n_components
    params = Params(model.config.params_layout("point"), "point")
    params["weights"] = np.arange(1, K + 1) / sum(range(1, K + 1))
    params["means"] = X[:K] - ORIGIN
    params["covariances"] = np.eye(D) if model.config.covariance_type in ("full", "tied") else 1.0
    return model.prepare(params), RowBlock(X), Step()


def assignments(n_components, n=6):
    return product(range(n_components), repeat=n)


# ---- the evidence (O1, O6) ----


def log_evidence_given(labels, covariance, n_components, rows=X - ORIGIN):
    """Return log p(X | z), means and covariances integrated out: Murphy (2007), eq. 266 and 167."""
    groups = [rows[labels == k] for k in range(n_components)]
    n_k = np.array([len(g) for g in groups], dtype=float)
    kappa = KAPPA0 + n_k
    total = 0.5 * D * np.sum(np.log(KAPPA0 / kappa)) - 0.5 * D * len(rows) * np.log(np.pi)
    spreads = []
    for g, n, k in zip(groups, n_k, kappa, strict=True):
        mean = g.mean(axis=0) if len(g) else M0
        about = (g - mean).T @ (g - mean)
        spreads.append(about + KAPPA0 * n / k * np.outer(mean - M0, mean - M0))
    if covariance.startswith("tied"):
        n_k, spreads = np.array([n_k.sum()]), [np.sum(spreads, axis=0)]
    for n, spread in zip(n_k, spreads, strict=True):
        if covariance in ("full", "tied"):
            total += multigammaln(0.5 * (NU0 + n), D) - multigammaln(0.5 * NU0, D)
            total += 0.5 * NU0 * np.linalg.slogdet(PSI0)[1]
            total -= 0.5 * (NU0 + n) * np.linalg.slogdet(PSI0 + spread)[1]
        elif covariance == "diag":
            b0 = np.diagonal(PSI0)
            total += D * (gammaln(0.5 * (NU0 + n)) - gammaln(0.5 * NU0))
            total += np.sum(0.5 * NU0 * np.log(b0))
            total -= np.sum(0.5 * (NU0 + n) * np.log(b0 + np.diagonal(spread)))
        else:
            b0 = np.trace(PSI0)  # D times Psi0, summed over the features
            total += gammaln(0.5 * D * (NU0 + n)) - gammaln(0.5 * D * NU0)
            total += 0.5 * D * NU0 * np.log(b0)
            total -= 0.5 * D * (NU0 + n) * np.log(b0 + np.trace(spread))
    return total


def log_prior_of(labels, weight_type, n_components):
    """Return log p(z), weights integrated out.

    Dirichlet process: the model has infinitely many sticks v_k ~ Beta(1, γ), and z may be any
    label; the approximation puts all its mass on labels 1..K, whose sticks alone matter for these
    z: p(z) = Π_k B(1 + N_k, γ + N_{>k}) / B(1, γ) for k = 1..K. Summing over z in {1..K}^n gives
    p(X, z <= K), which the bound cannot exceed, since Jensen's inequality is applied to that sum;
    p(X) is larger still.
    """
    n_k = np.bincount(labels, minlength=n_components).astype(float)
    if weight_type == "equal":
        return -len(labels) * np.log(n_components)
    if weight_type == "dirichlet":
        total = gammaln(n_components * ALPHA0) - gammaln(n_components * ALPHA0 + n_k.sum())
        return total + np.sum(gammaln(ALPHA0 + n_k) - gammaln(ALPHA0))
    behind = n_k.sum() - np.cumsum(n_k)
    return np.sum(betaln(1 + n_k, ALPHA0 + behind) - betaln(1.0, ALPHA0))


def log_evidence(covariance, weight_type, n_components, rows=X - ORIGIN):
    return logsumexp(
        [
            log_prior_of(np.array(z), weight_type, n_components)
            + log_evidence_given(np.array(z), covariance, n_components, rows)
            for z in assignments(n_components, len(rows))
        ]
    )


def test_the_closed_form_is_the_integral():
    # The oracle's own oracle: one feature, two rows, the trapezoid rule over mean and variance.
    x, kappa0, m0, nu0, psi0 = np.array([0.3, 1.1]), 0.7, 0.2, 3.4, 1.1
    t, log_variance = np.linspace(-9, 9, 901), np.linspace(-8, 20, 901)
    mean, variance = np.sinh(t)[:, None], np.exp(log_variance)
    log_p = sum(dist.norm(mean, np.sqrt(variance)).logpdf(row) for row in x)
    log_p += dist.norm(m0, np.sqrt(variance / kappa0)).logpdf(mean)
    log_p += dist.invgamma(0.5 * nu0, scale=0.5 * psi0).logpdf(variance)
    cell = (t[1] - t[0]) * (log_variance[1] - log_variance[0])
    integral = np.sum(np.exp(log_p) * np.cosh(t)[:, None] * variance) * cell
    spread = np.sum((x - x.mean()) ** 2) + kappa0 * 2 / (kappa0 + 2) * (x.mean() - m0) ** 2
    closed = (
        0.5 * np.log(kappa0 / (kappa0 + 2)) - np.log(np.pi)
        + gammaln(0.5 * (nu0 + 2)) - gammaln(0.5 * nu0)
        + 0.5 * nu0 * np.log(psi0) - 0.5 * (nu0 + 2) * np.log(psi0 + spread)
    )  # fmt: skip
    assert np.log(integral) == pytest.approx(closed, abs=1e-5)


@implementations
@covariance_types
@weight_types
def test_one_component_has_the_evidence_itself(implementation, covariance, weight_type):
    model = implementation(config_of(covariance, weight_type, 1))
    result = fit(model, X, inference="mean-field", max_iter=3)
    assert result.lower_bound == pytest.approx(log_evidence(covariance, weight_type, 1), rel=1e-12)
    assert result.lower_bounds[0] == pytest.approx(result.lower_bound, rel=1e-12)


@implementations
@covariance_types
@weight_types
def test_the_bound_at_known_labels_is_exact(implementation, covariance, weight_type):
    # With q(z) on one assignment and q(θ) the posterior given it, the bound is log p(X, z): each
    # term of it, its constants and the KL included, is checked for each of the 64 assignments.
    model = implementation(config_of(covariance, weight_type, 2))
    for z in assignments(2):
        labels = np.array(z)
        stats = labelled(model, labels)
        q = model.update(None, stats, Step("exact", "posterior"))
        bound = model.expected_log_joint(q, stats) + model.global_term(q)
        exact = log_prior_of(labels, weight_type, 2) + log_evidence_given(labels, covariance, 2)
        assert bound == pytest.approx(exact, rel=1e-11)


def labelled(model, labels):
    """Return the statistics of rows with known labels."""
    stats = Stats.zeros(model.layout)
    for row, k in zip(X - ORIGIN, labels, strict=True):
        square = np.outer(row, row)
        own = {
            "full": square[np.tril_indices(D)],
            "tied": square[np.tril_indices(D)],
            "diag": row**2,
            "spherical": row @ row,
            "tied-spherical": row @ row,
        }[model.config.covariance_type]
        stats["counts"][k] += 1
        stats["sums"][k] += row
        where = ... if model.config.is_shared else k
        stats["scatter"][where] += own
    return stats


@implementations
@covariance_types
@weight_types
@pytest.mark.parametrize("n_components", [2, 3])
def test_the_bound_lies_between_the_best_labels_and_the_evidence(
    implementation, covariance, weight_type, n_components
):
    joint = {
        z: log_prior_of(np.array(z), weight_type, n_components)
        + log_evidence_given(np.array(z), covariance, n_components)
        for z in assignments(n_components)
    }
    evidence, best = logsumexp(list(joint.values())), max(joint, key=joint.get)
    model = implementation(config_of(covariance, weight_type, n_components))
    q = model.update(None, labelled(model, np.array(best)), Step("exact", "posterior"))
    options = {"inference": "mean-field", "tol": 1e-10, "max_iter": 500}
    result = fit(model, X, params=q, **options)
    assert result.lower_bounds[0] >= joint[best] - 1e-10
    assert result.lower_bound <= evidence + 1e-10
    for seed in range(3):
        assert fit(model, X, random_state=seed, **options).lower_bound <= evidence + 1e-10


@implementations
@covariance_types
@weight_types
def test_with_known_labels_the_bound_is_below_their_evidence(
    implementation, covariance, weight_type
):
    """log p(X, z of the known rows), enumerated over the others; equal where all are known."""
    model = implementation(config_of(covariance, weight_type, 2))
    z = np.array([0, 1, 0, 1, 1, 0], dtype=np.int32)
    for known in (z, np.where(np.arange(6) < 3, z, -1).astype(np.int32)):
        terms = []
        for other in assignments(2):
            labels = np.array(other)
            if (labels == known)[known >= 0].all():
                prior = log_prior_of(labels, weight_type, 2)
                terms.append(prior + log_evidence_given(labels, covariance, 2))
        block = RowBlock(X, labels=known)
        q = model.update(None, labelled(model, z), Step("exact", "posterior"))
        found = fit(model, block, params=q, inference="mean-field", tol=1e-10, max_iter=500)
        if (known >= 0).all():
            assert found.lower_bound == pytest.approx(terms[0], rel=1e-11)
        else:
            exact = log_prior_of(z, weight_type, 2) + log_evidence_given(z, covariance, 2)
            assert exact < found.lower_bound < logsumexp(terms)


def test_the_process_has_at_least_the_mass_of_its_first_sticks():
    # p(X) of the infinite model, by the partitions of six rows: above the sum over z <= K, and
    # approached by it as K grows.
    def partitions(n):
        if n == 0:
            yield []
            return
        for rest in partitions(n - 1):
            for k in range(max(rest, default=-1) + 2):
                yield [*rest, k]

    terms = []
    for z in partitions(5):
        n_k = np.bincount(z)
        log_p = len(n_k) * np.log(ALPHA0) + np.sum(gammaln(n_k))
        log_p += gammaln(ALPHA0) - gammaln(ALPHA0 + 5)
        terms.append(log_p + log_evidence_given(np.array(z), "full", len(n_k), X[:5] - ORIGIN))
    whole = logsumexp(terms)
    parts = [log_evidence("full", "dirichlet_process", K, X[:5] - ORIGIN) for K in (1, 2, 3, 5)]
    assert np.all(np.diff(parts) > 0)
    assert parts[-1] < whole
    assert parts[-1] == pytest.approx(whole, abs=0.2)


# ---- priors and divergences ----


def random_posterior(model):
    """Return a posterior away from the optimum."""
    stats = model.e_step(*start(model))
    return model.update(None, stats, Step("exact", "posterior"))


def frozen_weights(weight_type, concentration):
    """Return distributions whose draws and log densities describe the weights or sticks."""
    if weight_type == "dirichlet":
        return [dist.dirichlet(concentration)]
    return [dist.beta(a, b) for a, b in concentration.T]


def frozen_covariance(covariance, nu, psi):
    if covariance in ("full", "tied"):
        return [dist.invwishart(nu, psi)]
    copies = 1 if covariance == "diag" else D
    return [dist.invgamma(0.5 * copies * nu, scale=0.5 * copies * p) for p in np.atleast_1d(psi)]


def draws_of(frozen, n, rng):
    draws = np.array([np.asarray(f.rvs(n, random_state=rng)) for f in frozen])
    return draws[0] if draws.ndim > 2 else draws.T


def log_pdf(frozen, draws):
    if draws.ndim > 2:
        return np.asarray(frozen[0].logpdf(np.moveaxis(draws, 0, -1)))
    return sum(f.logpdf(x) for f, x in zip(frozen, draws.T, strict=True))


@implementations
@covariance_types
def test_kl_of_means_and_covariances_is_its_monte_carlo_estimate(implementation, covariance):
    K, n = 2, 20000
    model = implementation(config_of(covariance, "equal", K))
    q = random_posterior(model)
    rng = np.random.default_rng(0)
    shared = covariance.startswith("tied")
    nu = np.atleast_1d(q["degrees_of_freedom"])
    psi = q["scale"][None] if shared else q["scale"]
    ratio = np.zeros(n)
    sigmas = []
    for nu_g, psi_g in zip(nu, psi, strict=True):
        posterior, prior = (
            frozen_covariance(covariance, nu_g, psi_g),
            frozen_covariance(covariance, NU0, scale_of(covariance)),
        )
        sigma = draws_of(posterior, n, rng)
        ratio += log_pdf(posterior, sigma) - log_pdf(prior, sigma)
        full = (
            sigma if sigma.ndim > 2 else np.array([np.diag(np.broadcast_to(v, D)) for v in sigma])
        )
        sigmas.append(full)
    for k in range(K):
        sigma = sigmas[0 if shared else k]
        m, kappa = q["means"][k], q["mean_precision"][k]
        root = np.linalg.cholesky(sigma)
        z = rng.normal(size=(n, D))
        mean = m + np.einsum("nij,nj->ni", root, z) / np.sqrt(kappa)
        away = np.linalg.solve(root, (mean - M0)[..., None])[..., 0]
        log_q = 0.5 * D * np.log(kappa) - 0.5 * (z**2).sum(axis=1)
        log_p = 0.5 * D * np.log(KAPPA0) - 0.5 * KAPPA0 * (away**2).sum(axis=1)
        ratio += log_q - log_p
    error = ratio.std() / np.sqrt(n)
    assert error < 0.05
    assert -model.global_term(q) == pytest.approx(ratio.mean(), abs=4 * error)


@implementations
@pytest.mark.parametrize("weight_type", ["dirichlet", "dirichlet_process"])
def test_kl_of_weights(implementation, weight_type):
    K = 3
    model = implementation(config_of("diag", weight_type, K))
    without = implementation(config_of("diag", "equal", K))
    q = random_posterior(model)
    kl = without.global_term(random_posterior(without)) - model.global_term(q)
    posterior = frozen_weights(weight_type, q["concentration"])
    if weight_type == "dirichlet":
        rng = np.random.default_rng(1)
        draws = posterior[0].rvs(40000, random_state=rng).T
        ratio = posterior[0].logpdf(draws) - dist.dirichlet([ALPHA0] * K).logpdf(draws)
        assert kl == pytest.approx(ratio.mean(), abs=4 * ratio.std() / 200)
        return
    prior = dist.beta(1, ALPHA0)
    exact = sum(
        quad(lambda v, f=f: f.pdf(v) * (f.logpdf(v) - prior.logpdf(v)), 0, 1, epsabs=1e-10)[0]
        for f in posterior
    )
    assert kl == pytest.approx(exact, abs=1e-7)


@implementations
@covariance_types
@weight_types
def test_log_prior_of_a_point(implementation, covariance, weight_type):
    K = 2
    model = implementation(config_of(covariance, weight_type, K))
    params = Params(model.config.params_layout("point"), "point")
    params["weights"] = np.array([0.3, 0.7]) if weight_type != "equal" else 0.5
    params["means"] = [[0.5, -0.1], [1.0, 2.0]]
    matrices = np.array([[[0.9, 0.2], [0.2, 0.5]], [[1.4, -0.3], [-0.3, 0.7]]])
    own = {
        "full": matrices,
        "tied": matrices[0],
        "diag": [[0.9, 0.5], [1.4, 0.7]],
        "spherical": [0.8, 1.3],
        "tied-spherical": 0.8,
    }
    params["covariances"] = own[covariance]
    shared = covariance.startswith("tied")
    groups = params["covariances"][None] if shared else params["covariances"]
    frozen = frozen_covariance(covariance, NU0, scale_of(covariance))
    expected = 0.0
    for sigma in groups:
        if sigma.ndim == 2:
            expected += frozen[0].logpdf(sigma)
        else:
            expected += sum(f.logpdf(v) for f, v in zip(frozen, np.atleast_1d(sigma), strict=True))
    for m, sigma in zip(
        params["means"], as_matrices(params["covariances"], covariance, K), strict=True
    ):
        expected += dist.multivariate_normal(M0, sigma / KAPPA0).logpdf(m)
    if weight_type == "dirichlet":
        expected += dist.dirichlet([ALPHA0] * K).logpdf(params["weights"])
    if weight_type == "dirichlet_process":  # the one free stick of two
        expected += dist.beta(1, ALPHA0).logpdf(params["weights"][0])
    assert model.global_term(params) == pytest.approx(expected, rel=1e-12)


# ---- draws and densities ----


@implementations
@covariance_types
@pytest.mark.parametrize("weight_type", ["dirichlet", "dirichlet_process"])
def test_draws_have_the_moments_of_the_posterior(implementation, covariance, weight_type):
    K, n = 2, 1200
    model = implementation(config_of(covariance, weight_type, K))
    stats = 4 * model.e_step(*start(model))
    q = model.update(None, stats, Step("exact", "posterior"))
    points = [
        model.update(None, stats, Step("sampled", "sampled", seed=4, iteration=i)) for i in range(n)
    ]

    def assert_mean(draws, expected):
        error = draws.std(axis=0) / np.sqrt(n)
        z = (draws.mean(axis=0) - expected) / error
        assert np.abs(z).max() < 4.5

    weights = np.array([p["weights"] for p in points])
    if weight_type == "dirichlet":
        assert_mean(weights, dist.dirichlet(q["concentration"]).mean())
        assert_mean(
            weights**2, dist.dirichlet(q["concentration"]).var() + weights.mean(axis=0) ** 2
        )
    else:  # blocked sticks: v_1 ~ Beta(a_1, b_1), v_2 = 1
        a, b = q["concentration"][:, 0]
        assert_mean(weights[:, :1], [a / (a + b)])
        assert_mean((weights[:, :1] - a / (a + b)) ** 2, dist.beta(a, b).var())
    nu, psi, kappa = q["degrees_of_freedom"], q["scale"], q["mean_precision"][:, None]
    copies = 1 if covariance == "diag" else D
    if covariance in ("full", "tied"):
        mean = psi / (nu - D - 1)[..., None, None]
    else:
        nu = nu[:, None] if covariance == "diag" else nu
        mean = copies * psi / (copies * nu - 2)
    assert_mean(np.array([p["covariances"] for p in points]).reshape(n, -1), mean.reshape(-1))
    means = np.array([p["means"] for p in points])
    assert_mean(means.reshape(n, -1), q["means"].reshape(-1))
    spread = np.diagonal(as_matrices(mean, covariance, K), axis1=1, axis2=2) / kappa
    assert_mean(((means - q["means"]) ** 2).reshape(n, -1), spread.reshape(-1))


@implementations
@covariance_types
def test_draws_of_means_follow_the_drawn_covariance(implementation, covariance):
    # (m - m_k)ᵀ Σ⁻¹ (m - m_k) κ is chi-squared of D, whatever Σ was drawn.
    K, n = 2, 600
    model = implementation(config_of(covariance, "dirichlet", K))
    stats = model.e_step(*start(model))
    q = model.update(None, stats, Step("exact", "posterior"))
    distances = []
    for i in range(n):
        point = model.update(None, stats, Step("sampled", "sampled", seed=9, iteration=i))
        sigmas = as_matrices(point["covariances"], covariance, K)
        for k in range(K):
            away = point["means"][k] - q["means"][k]
            distances.append(q["mean_precision"][k] * away @ np.linalg.solve(sigmas[k], away))
    assert dist.kstest(distances, dist.chi2(D).cdf).pvalue > 1e-3


@implementations
@covariance_types
def test_predictive_density_is_a_ratio_of_evidences(implementation, covariance):
    model = implementation(config_of(covariance, "dirichlet", 1))
    q = fit(model, X, inference="mean-field", max_iter=3).params
    rows = np.array([[0.4, 0.3], [-3.0, 2.5], [8.0, -9.0]])
    one = np.zeros(len(X), dtype=int)
    before = log_evidence_given(one, covariance, 1)
    for row, density in zip(rows, log_density(model, q, rows), strict=True):
        both = np.vstack([X, row]) - ORIGIN
        after = log_evidence_given(np.append(one, 0), covariance, 1, both)
        assert density == pytest.approx(after - before, rel=1e-11)


@implementations
@covariance_types
@weight_types
def test_predictive_density_integrates_to_one(implementation, covariance, weight_type):
    model = implementation(config_of(covariance, weight_type, 2))
    q = random_posterior(model)
    # Substituting x = sinh(t) brings the heavy tails within reach of the trapezoid rule.
    t = np.linspace(-9, 9, 401)
    x, slope = np.sinh(t), np.cosh(t)
    grid = np.stack(np.meshgrid(x, x, indexing="ij"), axis=-1).reshape(-1, D)
    density = np.exp(log_density(model, q, grid)).reshape(len(t), len(t))
    step = t[1] - t[0]
    total = np.einsum("ij,i,j->", density, slope, slope) * step**2
    assert total == pytest.approx(1.0, abs=2e-4)
