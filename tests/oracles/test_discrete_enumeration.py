"""The discrete mixtures against sums over all assignments and closed forms.

Nothing here uses the formulas of the code under test: likelihoods come from scipy.stats, evidences
from the textbook closed forms of the conjugate pairs.
"""

from itertools import product

import discrete
import numpy as np
import pytest
from scipy import stats as dist
from scipy.special import betaln, gammaln, logsumexp

from vemfast.inference import fit
from vemfast.models.base import Step
from vemfast.models.discrete_mixture import DiscreteMixture
from vemfast.reference import DiscreteMixture as ReferenceMixture
from vemfast.stats import Params, Stats

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

IMPLEMENTATIONS = {"reference": ReferenceMixture, "native": DiscreteMixture}
implementations = pytest.mark.parametrize(
    "implementation", IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS
)
families = pytest.mark.parametrize("family", discrete.FAMILIES)
weight_types = pytest.mark.parametrize("weight_type", ["dirichlet", "dirichlet_process", "equal"])
missing = pytest.mark.parametrize("missing", [False, True], ids=["whole", "missing"])

D, ALPHA0 = 2, 0.9
ROWS = {
    "bernoulli": np.array([[1, 0], [1, 1], [0, 1], [0, 0], [1, 0], [1, 0]], dtype=float),
    "poisson": np.array([[2, 0], [7, 1], [0, 3], [1, 300], [4, 2], [5, 0]], dtype=float),
    "categorical": np.array([[2, 0], [1, 1], [0, 1], [1, 0], [2, 0], [2, 1]], dtype=float),
}


def rows_of(family, missing):
    rows = ROWS[family].copy()
    if missing:
        rows[[0, 3, 4], [1, 0, 1]] = np.nan
    return rows


def config_of(family, n_components, weight_type="dirichlet", missing=True):
    return discrete.config_of(
        family,
        n_components,
        D,
        weight_type=weight_type,
        weight_concentration=ALPHA0,
        proper=True,
        marginalize=missing,
    )


def columns_of(family):
    """Return, for each column, the features that its codes are."""
    if family != "categorical":
        return [np.array([d]) for d in range(D)]
    ends = np.cumsum(discrete.SIZES[:D])
    return [np.arange(end - size, end) for end, size in zip(ends, discrete.SIZES, strict=False)]


def log_pmf(family, x, d, theta):
    """Return log p(x) of one value in column d, given one component's parameters (F,)."""
    if family == "bernoulli":
        return dist.bernoulli(theta[d]).logpmf(x)
    if family == "poisson":
        return dist.poisson(theta[d]).logpmf(x)
    return np.log(theta[columns_of(family)[d][int(x)]])


def log_likelihoods(family, rows, theta):
    """Return log p(x_n | θ_k), (n, K); a missing entry counts nothing."""
    return np.array(
        [
            [
                sum(log_pmf(family, x, d, own) for d, x in enumerate(row) if not np.isnan(x))
                for own in theta.T
            ]
            for row in rows
        ]
    )


def assignments(n_components, n=6):
    return product(range(n_components), repeat=n)


def a_point(model):
    """Return a point whose components differ."""
    K, F = model.config.n_components, model.config.n_indexed
    rng = np.random.default_rng(K)
    params = Params(model.config.params_layout("point"), "point")
    params["weights"] = np.arange(1, K + 1) / sum(range(1, K + 1))
    theta = rng.uniform(0.1, 0.9, (F, K))
    if model.config.family == "poisson":
        theta *= 8
    if model.config.family == "categorical":
        for column in columns_of("categorical"):
            theta[column] /= theta[column].sum(axis=0)
    params[model.config.table_name] = theta
    return params


# ---- the likelihood (O1) ----


STORED = [(f, False) for f in discrete.FAMILIES] + [("bernoulli", True), ("poisson", True)]


@implementations
@pytest.mark.parametrize(("family", "sparse"), STORED)
@missing
@pytest.mark.parametrize("n_components", [1, 2, 3])
def test_log_likelihood_is_the_sum_over_all_assignments(
    implementation, family, missing, sparse, n_components
):
    model = implementation(config_of(family, n_components, missing=missing))
    params, rows = a_point(model), rows_of(family, missing)
    block = discrete.block_of(family, rows, sparse=sparse)
    theta = params[model.config.table_name]
    log_joint = log_likelihoods(family, rows, theta) + np.log(params["weights"])
    total = logsumexp(
        [sum(log_joint[n, k] for n, k in enumerate(z)) for z in assignments(n_components)]
    )
    stats = model.e_step(model.prepare(params), block, Step())
    assert stats.local_bound == pytest.approx(total, rel=1e-12)
    # The statistics are the expectations under the same sum.
    posterior = np.exp(log_joint - logsumexp(log_joint, axis=1, keepdims=True))
    np.testing.assert_allclose(stats["counts"], posterior.sum(axis=0), rtol=1e-12)
    expected = np.zeros_like(theta)
    for row, r in zip(rows, posterior, strict=True):
        for d, x in enumerate(row):
            if not np.isnan(x):
                column = columns_of(family)[d]
                expected[column[int(x)] if family == "categorical" else d] += r * (
                    1 if family == "categorical" else x
                )
    np.testing.assert_allclose(stats["sums"], expected, rtol=1e-11, atol=1e-13)
    if missing and family != "categorical":
        np.testing.assert_allclose(
            stats["absent"], np.isnan(rows).T @ posterior, rtol=1e-11, atol=1e-13
        )
    # A hard E-step is the best single assignment.
    hard = model.e_step(model.prepare(params), block, Step("hard"))
    assert hard.local_bound == pytest.approx(log_joint.max(axis=1).sum(), rel=1e-12)


# ---- the evidence (O1, O6) ----


def log_evidence_given(family, rows, labels, config):
    """Return log p(X | z), the parameters of the components integrated out."""
    a, b = config.prior.a, config.prior.b
    total = 0.0
    for k in range(config.n_components):
        for d, column in enumerate(columns_of(family)):
            x = rows[labels == k, d]
            x = x[~np.isnan(x)]
            if family == "bernoulli":
                total += betaln(a[d] + x.sum(), b[d] + (1 - x).sum()) - betaln(a[d], b[d])
            elif family == "poisson":
                shape, rate = a[d] + x.sum(), b[d] + x.size
                total += a[d] * np.log(b[d]) - gammaln(a[d]) - gammaln(x + 1).sum()
                total += gammaln(shape) - shape * np.log(rate)
            else:
                alpha = a[column]
                n = np.bincount(x.astype(int), minlength=column.size)
                total += gammaln(alpha.sum()) - gammaln(alpha.sum() + x.size)
                total += np.sum(gammaln(alpha + n) - gammaln(alpha))
    return total


def log_prior_of(labels, weight_type, n_components):
    """Return log p(z), weights integrated out (see test_enumeration.py of the process)."""
    n_k = np.bincount(labels, minlength=n_components).astype(float)
    if weight_type == "equal":
        return -len(labels) * np.log(n_components)
    if weight_type == "dirichlet":
        total = gammaln(n_components * ALPHA0) - gammaln(n_components * ALPHA0 + n_k.sum())
        return total + np.sum(gammaln(ALPHA0 + n_k) - gammaln(ALPHA0))
    behind = n_k.sum() - np.cumsum(n_k)
    return np.sum(betaln(1 + n_k, ALPHA0 + behind) - betaln(1.0, ALPHA0))


def log_joint_of(family, rows, z, config):
    z = np.array(z)
    of_labels = log_prior_of(z, config.prior.weight_type, config.n_components)
    return of_labels + log_evidence_given(family, rows, z, config)


def log_evidence(family, rows, config):
    each = assignments(config.n_components, len(rows))
    return logsumexp([log_joint_of(family, rows, z, config) for z in each])


@implementations
@families
@weight_types
@missing
def test_one_component_has_the_evidence_itself(implementation, family, weight_type, missing):
    config, rows = config_of(family, 1, weight_type, missing), rows_of(family, missing)
    result = fit(
        implementation(config), discrete.block_of(family, rows), inference="mean-field", max_iter=3
    )
    assert result.lower_bound == pytest.approx(log_evidence(family, rows, config), rel=1e-12)
    assert result.lower_bounds[0] == pytest.approx(result.lower_bound, rel=1e-12)


@implementations
@families
@weight_types
@missing
def test_the_bound_is_below_the_evidence(implementation, family, weight_type, missing):
    config, rows = config_of(family, 2, weight_type, missing), rows_of(family, missing)
    block = discrete.block_of(family, rows)
    evidence = log_evidence(family, rows, config)
    for seed in range(5):
        result = fit(
            implementation(config), block, inference="mean-field", max_iter=200, random_state=seed
        )
        assert np.all(np.array(result.lower_bounds) < evidence)
    assert evidence - result.lower_bound < 5.0  # and not by far


@implementations
@families
@weight_types
@missing
def test_the_bound_at_known_labels_is_exact(implementation, family, weight_type, missing):
    config, rows = config_of(family, 3, weight_type, missing), rows_of(family, missing)
    model, twin = implementation(config), ReferenceMixture(config)
    block = discrete.block_of(family, rows)
    base = -np.nansum(gammaln(rows + 1)) if family == "poisson" else 0.0
    for z in ([0, 0, 1, 1, 2, 2], [0, 0, 0, 0, 0, 1], [2, 2, 2, 2, 2, 2]):
        stats = Stats(model.layout)
        r = np.eye(3)[z]
        for Z, _, _ in twin._chunks(block):
            twin._add(stats, Z, r)
        q = model.update(None, stats, Step(parameter_rule="posterior"))
        bound = model.expected_log_joint(q, stats) + base + model.global_term(q)
        assert bound == pytest.approx(log_joint_of(family, rows, z, config), rel=1e-12)


# ---- the predictive density ----


@implementations
@families
@missing
def test_the_predictive_density_is_a_ratio_of_evidences(implementation, family, missing):
    config, rows = config_of(family, 1, missing=missing), rows_of(family, missing)
    model = implementation(config)
    params = fit(model, discrete.block_of(family, rows), inference="mean-field", max_iter=2).params
    new = ROWS[family][[1, 3]]
    if missing:
        new[1, 0] = np.nan
    ratios = [
        log_evidence(family, np.vstack([rows, row]), config) - log_evidence(family, rows, config)
        for row in new
    ]
    density = log_density(model, params, discrete.block_of(family, new))
    np.testing.assert_allclose(density, ratios, rtol=1e-11)


@implementations
@families
def test_the_predictive_density_sums_to_one(implementation, family):
    config = config_of(family, 2, "dirichlet")
    model = implementation(config)
    block = discrete.block_of(family, np.minimum(ROWS[family], 9))
    params = fit(model, block, inference="mean-field", max_iter=20, random_state=1).params
    values = {"bernoulli": [2, 2], "categorical": discrete.SIZES[:D], "poisson": [400, 400]}[family]
    grid = np.array(list(product(*map(range, values))), dtype=float)
    density = log_density(model, params, discrete.block_of(family, grid))
    assert np.exp(logsumexp(density)) == pytest.approx(1.0, abs=1e-9)


def log_density(model, params, block):
    if isinstance(model, ReferenceMixture):
        return model.log_density(params, block)
    return model.assign(model.predictive(params), block, "log_density", 1)
