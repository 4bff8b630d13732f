"""The laws of `vemfast.testing` over every implementation of the discrete mixtures."""

from dataclasses import replace

import discrete
import numpy as np
import pytest

from vemfast import testing
from vemfast.models.base import Step
from vemfast.models.discrete_config import LARGEST_PROBABILITY
from vemfast.models.discrete_mixture import DiscreteMixture
from vemfast.reference import DiscreteMixture as ReferenceMixture
from vemfast.stats import Params

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

IMPLEMENTATIONS = {"reference": ReferenceMixture, "native": DiscreteMixture}
OTHERS = [own for name, own in IMPLEMENTATIONS.items() if name != "reference"]
# variational-em has the rules of em here; one test holds the two together.
RUNGS = ("gibbs", "mean-field", "em", "hard-em")
PRIORS = {
    "flat": {},
    "conjugate": {"weight_type": "dirichlet", "weight_concentration": 1.7, "proper": True},
    "process": {"weight_type": "dirichlet_process", "weight_concentration": 0.8, "proper": True},
    "equal": {"weight_type": "equal", "proper": True},
}
# How the same rows are stored; "missing" ones with a fifth of the entries gone.
STORED = {
    "bernoulli": ("dense", "sparse", "missing", "sparse missing"),
    "poisson": ("dense", "sparse", "missing", "sparse missing"),
    "categorical": ("dense", "missing"),
}


def legal(prior, rung):
    proper = rung in ("gibbs", "mean-field")
    return {"process": proper, "conjugate": True, "equal": True}.get(prior, not proper)


def prior_for(rung):
    return "flat" if legal("flat", rung) else "conjugate"


CASES = [
    pytest.param(family, stored, prior, rung, id=f"{family}-{stored}-{prior}-{rung}")
    for family in discrete.FAMILIES
    for stored in STORED[family]
    for prior in PRIORS
    for rung in RUNGS
    if legal(prior, rung) and (stored == "dense" or prior in ("flat", "conjugate"))
]
DETERMINISTIC = [case for case in CASES if "gibbs" not in case.values]
SOFT = [case for case in DETERMINISTIC if "hard-em" not in case.values]

ROWS = {family: discrete.rows_of(family) for family in discrete.FAMILIES}
WEIGHTS = np.random.default_rng(11).uniform(0.5, 2.0, 150)
WEIGHTS[::9] = 0.0


def block_of(family, stored, weights=WEIGHTS, **options):
    rows = ROWS[family]
    if "missing" in stored:
        rows = discrete.with_missing(rows)
        # A row without anything is dropped before a fit.
        weights = np.where(np.isnan(rows).all(axis=1), 0.0, weights)
    return discrete.block_of(family, rows, weights, 41, sparse="sparse" in stored, **options)


def config_of(family, stored, prior, n_components=3):
    return discrete.config_of(
        family, n_components, marginalize="missing" in stored, **PRIORS[prior]
    )


@pytest.fixture(params=IMPLEMENTATIONS)
def make(request):
    """Return a function that builds one implementation."""

    def build(family, stored, prior, n_components=3):
        return IMPLEMENTATIONS[request.param](config_of(family, stored, prior, n_components))

    return build


cases = pytest.mark.parametrize(("family", "stored", "prior", "rung"), CASES)
deterministic = pytest.mark.parametrize(("family", "stored", "prior", "rung"), DETERMINISTIC)
soft = pytest.mark.parametrize(("family", "stored", "prior", "rung"), SOFT)
families = pytest.mark.parametrize("family", discrete.FAMILIES)


# ---- the laws ----


@cases
def test_statistics_are_a_vector_space(make, family, stored, prior, rung):
    testing.check_stats_laws(make(family, stored, prior), block_of(family, stored), rung)


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("stored", ["dense", "missing"])
@families
def test_same_bits_for_any_number_of_threads(make, family, stored, rung):
    block = block_of(family, stored)
    testing.check_same_bits_for_threads(make(family, stored, prior_for(rung)), block, rung)


@deterministic
def test_both_forms_of_the_bound_agree(make, family, stored, prior, rung):
    testing.check_bound_identity(make(family, stored, prior), block_of(family, stored), rung)


@pytest.mark.parametrize("schedule", ["batch", "memoized"])
@deterministic
def test_the_bound_never_falls(make, family, stored, prior, rung, schedule):
    testing.check_monotone(make(family, stored, prior), block_of(family, stored), rung, schedule)


@pytest.mark.nightly
@deterministic
def test_the_bound_never_falls_from_any_start(make, seeds, family, stored, prior, rung):
    for seed in seeds:
        for n_components, schedule in ((2, "batch"), (5, "memoized"), (8, "batch")):
            model = make(family, stored, prior, n_components)
            block = block_of(family, stored)
            testing.check_monotone(model, block, rung, schedule, random_state=seed)


LEGAL = [(prior, rung) for prior in PRIORS for rung in RUNGS[1:] if legal(prior, rung)]


@pytest.mark.parametrize(("prior", "rung"), LEGAL)
@families
def test_a_long_fit_ends_at_a_fixed_point(make, family, prior, rung):
    config = discrete.config_of(family, 3, 6, marginalize=True, **PRIORS[prior])
    rows = discrete.rows_of(family, n_features=6, apart=True)
    block = discrete.block_of(family, discrete.with_missing(rows, 0.05))
    model = type(make(family, "dense", prior))(config)
    testing.check_fixed_point(model, block, rung, rtol=1e-6, max_iter=400)


@families
def test_variational_em_is_em(make, family):
    model, block = make(family, "dense", "conjugate"), block_of(family, "dense")
    em, variational = (testing.check_monotone(model, block, r) for r in ("em", "variational-em"))
    assert em.lower_bounds == variational.lower_bounds


@pytest.mark.parametrize("implementation", OTHERS)
@cases
def test_twins_agree(implementation, family, stored, prior, rung):
    config = config_of(family, stored, prior)
    model, twin = implementation(config), ReferenceMixture(config)
    testing.check_twin(model, twin, block_of(family, stored), rung, rtol=1e-11)


@pytest.mark.parametrize("implementation", OTHERS)
@soft
def test_twins_agree_in_float32(implementation, family, stored, prior, rung):
    config = config_of(family, stored, prior)
    model, twin = implementation(config), ReferenceMixture(config)
    block = block_of(family, stored, dtype=np.float32)
    testing.check_twin(model, twin, block, rung, rtol=3e-5)


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("family", ["bernoulli", "poisson"])
@pytest.mark.parametrize("missing", ["", " missing"])
def test_dense_is_sparse(make, family, rung, missing):
    model = make(family, missing, prior_for(rung))
    step = testing._step(model, rung)
    table = model.prepare(model.init([block_of(family, missing)], step))
    dense, sparse = (
        model.e_step(table, block_of(family, stored + missing), step)
        for stored in ("dense", "sparse")
    )
    testing._same_stats(sparse, dense, 1e-12, "sparse rows are not the dense ones")


# ---- codes as bytes and as integers, priors, and the edges of the parameters ----


@pytest.mark.parametrize("missing", ["dense", "missing"])
def test_codes_are_the_same_as_bytes_and_as_integers(make, missing):
    model, block = make("categorical", missing, "flat"), block_of("categorical", missing)
    assert block.rows.dtype == np.uint8
    wide = block.rows.astype(np.int32)
    wide[block.rows == 255] = -1
    other = type(block)(wide, block.weights, block.offset)
    table = model.prepare(model.init([block], Step()))
    a, b = model.e_step(table, block, Step()), model.e_step(table, other, Step())
    testing._same_stats(a, b, 1e-13, "codes as integers are not those as bytes")


@families
def test_the_mode_is_the_maximum(make, family):
    for prior in ("flat", "conjugate"):
        model, block = make(family, "missing", prior), block_of(family, "missing")
        name = model.config.table_name
        stats = model.e_step(model.prepare(model.init([block], Step())), block, Step())
        mode = model.update(None, stats, Step())
        best = model.expected_log_joint(mode, stats) + model.global_term(mode)
        for seed in range(60):
            other, noise = mode.copy(), np.random.default_rng(seed)
            size = 10.0 ** -noise.integers(1, 5)
            theta = other[name] * np.exp(size * noise.normal(size=mode[name].shape))
            if family == "bernoulli":
                theta = np.minimum(theta, LARGEST_PROBABILITY)
            if family == "categorical":
                first = model.config.column_offsets[:-1]
                sums = np.add.reduceat(theta, first, axis=0)
                theta /= np.repeat(sums, model.config.n_categories, axis=0)
            other[name] = theta
            weights = other["weights"] * np.exp(size * noise.normal(size=3))
            other["weights"] = weights / weights.sum()
            value = model.expected_log_joint(other, stats) + model.global_term(other)
            assert value <= best + 1e-9


@families
def test_an_empty_component_keeps_its_place_and_loses_its_weight(make, family):
    model, block = make(family, "dense", "flat"), block_of(family, "dense")
    name = model.config.table_name
    start = model.init([block], Step())
    start["weights"] = [0.5, 0.0, 0.5]
    stats = model.e_step(model.prepare(start), block, Step())
    assert stats["counts"][1] == 0
    assert np.isfinite(stats.buffer).all()
    moved = model.update(start, stats, Step())
    assert moved["weights"][1] == 0
    np.testing.assert_array_equal(moved[name][:, 1], start[name][:, 1])
    after = model.e_step(model.prepare(moved), block, Step())
    assert np.isfinite(after.buffer).all()
    assert after.local_bound >= stats.local_bound
    assert np.isfinite(model.expected_log_joint(moved, after))


def impossible(family):
    """Return a point of two components, of which the first has zeros, and rows."""
    config = discrete.config_of(family, 2)
    params = Params(config.params_layout("point"), "point")
    params["weights"] = [0.25, 0.75]
    if family == "categorical":
        params["probabilities"] = 1 / np.repeat(discrete.SIZES[:3], discrete.SIZES[:3])[:, None]
        params["probabilities"][:3, 0] = [0.5, 0.5, 0.0]
        rows = [[0, 1, 2], [2, 1, 2]]
    else:
        params[config.table_name] = 0.5
        params[config.table_name][0, 0] = 0.0
        rows = [[0, 1, 1], [1, 1, 1]]
    return config, params, np.array(rows, dtype=float)


@families
def test_a_row_that_a_component_cannot_have(make, family):
    config, params, rows = impossible(family)
    model = type(make(family, "dense", "flat"))(config)
    block = discrete.block_of(family, rows)
    for rule in ("exact", "hard", "sampled"):
        stats = model.e_step(model.prepare(params), block, Step(rule, seed=3))
        assert np.isfinite(stats.buffer).all()
        # The second row is all of the second component.
        alone = model.e_step(model.prepare(params), block.slice(1, 2), Step(rule, seed=3))
        np.testing.assert_array_equal(alone["counts"], [0.0, 1.0])


@families
def test_a_row_that_no_component_can_have(make, family):
    config, params, rows = impossible(family)
    params[config.table_name][:] = params[config.table_name][:, :1]
    model = type(make(family, "dense", "flat"))(config)
    block = discrete.block_of(family, rows)
    stats = model.e_step(model.prepare(params), block, Step())
    assert stats.local_bound == -np.inf
    assert np.isfinite(stats["counts"]).all()
    assert stats["counts"].sum() == pytest.approx(2.0)


def test_a_probability_of_one_loses_no_digit(make):
    # With log(1 - p) = -1e300 in the constant, what the other features say would be lost.
    config = discrete.config_of("bernoulli", 2)
    model = type(make("bernoulli", "dense", "flat"))(config)
    params = Params(config.params_layout("point"), "point")
    params["weights"] = 0.5
    params["probabilities"] = [[1.0, 1.0], [0.3, 0.3], [0.2, 0.9]]
    block = discrete.block_of("bernoulli", np.array([[1.0, 1.0, 0.0]]))
    stats = model.e_step(model.prepare(params), block, Step())
    assert stats.local_bound == pytest.approx(np.log(0.5 * 0.3 * (0.8 + 0.1)), rel=1e-12)
    mode = model.update(None, stats, Step())
    assert mode["probabilities"].max() == LARGEST_PROBABILITY


@families
@pytest.mark.parametrize("rung", ["mean-field", "gibbs"])
def test_a_posterior_needs_proper_priors(make, family, rung):
    what = "rates" if family == "poisson" else "probabilities"
    model, block = make(family, "dense", "flat"), block_of(family, "dense")
    with pytest.raises(ValueError, match=f"no inference='{rung}': .* weights and {what}; use 'em'"):
        testing.fit(model, block, inference=rung)


@families
@pytest.mark.parametrize("rung", ["em", "variational-em", "hard-em"])
def test_a_point_needs_a_prior_with_a_mode(make, family, rung):
    make_model = type(make(family, "dense", "flat"))
    config, block = config_of(family, "dense", "conjugate"), block_of(family, "dense")
    less = config.prior.a.copy()
    less[1] = 0.5
    model = make_model(replace(config, prior=replace(config.prior, a=less)))
    with pytest.raises(ValueError, match=r"parameter of 0.5 < 1 has no mode; use 'mean-field'"):
        testing.fit(model, block, inference=rung)
    model = make_model(config_of(family, "dense", "process"))
    with pytest.raises(ValueError, match="no useful mode; use 'mean-field'"):
        testing.fit(model, block, inference=rung)


def test_draws_have_the_mean_of_their_posterior(make):
    for family in discrete.FAMILIES:
        model, block = make(family, "missing", "conjugate"), block_of(family, "missing")
        stats = model.e_step(model.prepare(model.init([block], Step())), block, Step())
        q = model.update(None, stats, Step(parameter_rule="posterior"))
        twin = ReferenceMixture(model.config)
        name, n = model.config.table_name, 150
        draws = np.array(
            [model.update(None, stats, Step("sampled", "sampled", 5, i))[name] for i in range(n)]
        )
        z = (draws.mean(axis=0) - twin.components.mean(twin._posterior_of(q))) / (
            draws.std(axis=0) / np.sqrt(n)
        )
        assert np.abs(z).max() < 4.5


def test_only_terms_of_counts_cancel():
    step = Step("exact", "point", 0, 0, 1)
    for family in discrete.FAMILIES:
        model = DiscreteMixture(config_of(family, "dense", "flat", 1))
        block = discrete.block_of(family, ROWS[family], WEIGHTS)
        point = model.update(None, model.e_step(model._any_table(), block, step), step)
        stats = model.e_step(model.prepare(point), block, step)
        size = model.size_of_terms(point, stats)
        if family == "poisson":
            rates = point["rates"][:, 0]
            terms = ROWS[family] * np.abs(np.log(rates)) + rates
            assert size == pytest.approx(WEIGHTS @ terms.sum(axis=1), rel=1e-12)
            assert size > 1.5 * abs(stats.local_bound)
        else:
            assert size == 0
