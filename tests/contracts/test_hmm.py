"""The laws of `vemfast.testing` over every implementation of hidden Markov models."""

import hmm_data
import numpy as np
import pytest

from vemfast import testing
from vemfast.models.base import Step
from vemfast.models.hmm import HiddenMarkov
from vemfast.reference import DiscreteMixture, GaussianMixture
from vemfast.reference import HiddenMarkov as ReferenceHmm
from vemfast.sequences import SequenceBlock

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

IMPLEMENTATIONS = {"reference": ReferenceHmm, "native": HiddenMarkov}
OTHERS = [own for name, own in IMPLEMENTATIONS.items() if name != "reference"]
RUNGS = ("gibbs", "mean-field", "em", "variational-em", "hard-em")
CHAINS = {
    "dense": {},
    "left-right": {
        "start_support": np.array([True, True, False]),
        "transition_support": np.triu(np.ones((3, 3), dtype=bool)),
    },
    "frozen": {
        "transition_frozen": np.array([[0.6, np.nan, np.nan], [np.nan] * 3, [0.1, 0.2, 0.7]])
    },
}


def prior_for(rung):
    return "conjugate" if rung in ("gibbs", "mean-field") else "flat"


def legal(rung, chain, prior, n_mix=1):
    if chain == "left-right" and rung == "variational-em":
        return False
    if n_mix > 1 and rung not in ("em", "hard-em"):
        return False
    return prior == "conjugate" or rung not in ("gibbs", "mean-field")


CASES = [
    pytest.param(family, chain, prior, rung, whole, id=f"{family}-{chain}-{prior}-{rung}-{whole}")
    for family in hmm_data.ALL
    for chain in CHAINS
    for prior in ("flat", "conjugate")
    for whole in ("whole", "missing")
    for rung in RUNGS
    if legal(rung, chain, prior)
    # Each family, chain and prior with each rung, but not all of their combinations.
    and (chain == "dense") + (prior == prior_for(rung)) + (whole == "whole") >= 2
    and (chain == "dense" or family in hmm_data.FAMILIES)
]
DETERMINISTIC = [case for case in CASES if "gibbs" not in case.values]
FEW = [
    case
    for case in CASES
    if case.values[0] in ("full", "poisson") and (case.values[1] != "dense" or "whole" in case.id)
]


def block_of(family, whole="whole", weights=hmm_data.WEIGHTS, **options):
    rows = hmm_data.rows_of(family, missing=whole == "missing")
    return hmm_data.block_of(family, rows, weights=weights, offset=41, **options)


def config_of(family, chain="dense", prior="flat", whole="whole", n_components=3, **options):
    rows = hmm_data.rows_of(family, missing=whole == "missing")
    if n_components == 3:
        options = CHAINS[chain] | options
    marginalize = whole == "missing"
    return hmm_data.config_of(family, rows, n_components, prior, marginalize, **options)


@pytest.fixture(params=IMPLEMENTATIONS)
def make(request):
    """Return a function that builds one implementation."""

    def build(*case, **options):
        return IMPLEMENTATIONS[request.param](config_of(*case, **options))

    return build


cases = pytest.mark.parametrize(("family", "chain", "prior", "rung", "whole"), CASES)
few = pytest.mark.parametrize(("family", "chain", "prior", "rung", "whole"), FEW)
few_deterministic = pytest.mark.parametrize(
    ("family", "chain", "prior", "rung", "whole"),
    [case for case in FEW if "gibbs" not in case.values],
)
deterministic = pytest.mark.parametrize(
    ("family", "chain", "prior", "rung", "whole"), DETERMINISTIC
)


@few
def test_statistics_are_a_vector_space(make, family, chain, prior, rung, whole):
    testing.check_stats_laws(make(family, chain, prior, whole), block_of(family, whole), rung)


@pytest.mark.parametrize("rung", RUNGS)
def test_same_bits_for_any_number_of_threads(make, rung):
    for family in ("diag", "poisson"):
        model = make(family, prior=prior_for(rung))
        testing.check_same_bits_for_threads(model, block_of(family), rung)


@few_deterministic
def test_both_forms_of_the_bound_agree(make, family, chain, prior, rung, whole):
    model = make(family, chain, prior, whole)
    testing.check_bound_identity(model, block_of(family, whole), rung)


def never_falls(model, family, rung, whole, schedule, **options):
    """O4, at 1e-10."""
    testing.check_monotone(model, block_of(family, whole), rung, schedule, **options)


@pytest.mark.parametrize("schedule", ["batch", "memoized"])
@few_deterministic
def test_the_bound_never_falls(make, family, chain, prior, rung, whole, schedule):
    model = make(family, chain, prior, whole)
    never_falls(model, family, rung, whole, schedule, max_iter=6)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["batch", "memoized"])
@deterministic
def test_the_bound_never_falls_in_any_family(make, family, chain, prior, rung, whole, schedule):
    never_falls(make(family, chain, prior, whole), family, rung, whole, schedule)


@pytest.mark.nightly
@deterministic
def test_the_bound_never_falls_from_any_start(make, seeds, family, chain, prior, rung, whole):
    for seed in seeds:
        for n_components, schedule in ((2, "batch"), (5, "memoized")):
            model = make(family, chain, prior, whole, n_components)
            never_falls(model, family, rung, whole, schedule, random_state=seed)


@pytest.mark.parametrize("rung", ["em", "hard-em"])
@pytest.mark.parametrize("family", ["full", "diag"])
def test_states_of_several_gaussians_never_fall(make, family, rung):
    model = make(family, n_mix=2)
    for schedule in ("batch", "memoized"):
        testing.check_monotone(model, block_of(family), rung, schedule, max_iter=10)
    testing.check_bound_identity(model, block_of(family), rung)


@pytest.mark.nightly
@pytest.mark.parametrize("rung", ["em", "hard-em"])
@pytest.mark.parametrize("family", ["full", "tied", "diag", "spherical"])
def test_states_of_several_gaussians_never_fall_from_any_start(make, seeds, family, rung):
    for seed in seeds:
        for n_components, schedule in ((2, "batch"), (3, "memoized")):
            model = make(family, n_components=n_components, n_mix=2)
            testing.check_monotone(model, block_of(family), rung, schedule, random_state=seed)


# Not of variational-em, whose q is part of where it stands.
@pytest.mark.parametrize("rung", ["mean-field", "em", "hard-em"])
def test_a_long_fit_ends_at_a_fixed_point(make, rung):
    model = make("poisson", prior=prior_for(rung))
    testing.check_fixed_point(model, block_of("poisson"), rung, rtol=1e-5, max_iter=60)


@pytest.mark.parametrize("implementation", OTHERS)
@cases
def test_twins_agree(implementation, family, chain, prior, rung, whole):
    config = config_of(family, chain, prior, whole)
    model, twin = implementation(config), ReferenceHmm(config)
    testing.check_twin(model, twin, block_of(family, whole), rung, rtol=1e-10)


@pytest.mark.parametrize("implementation", OTHERS)
@pytest.mark.parametrize("rung", RUNGS[1:4])
@pytest.mark.parametrize("family", hmm_data.ALL)
def test_twins_agree_in_float32(implementation, family, rung):
    config = config_of(family, prior=prior_for(rung))
    model, twin = implementation(config), ReferenceHmm(config)
    block = block_of(family, dtype=np.float32)
    testing.check_twin(model, twin, block, rung, rtol=1e-4)


# Longer than is worked through in one piece; and than what of the best path is kept at once.
@pytest.mark.parametrize(("rule", "K", "n"), [("sampled", 3, 70_001), ("hard", 64, 98_500)])
@pytest.mark.parametrize("implementation", OTHERS)
def test_paths_of_long_sequences_are_those_of_the_twin(implementation, rule, K, n):
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(n, 1)) + 2.0 * (np.arange(n) // 50 % 5)[:, None]
    config = hmm_data.config_of("diag", rows, K, "flat")
    model, twin = implementation(config), ReferenceHmm(config)
    params = hmm_data.a_point(model)
    block = SequenceBlock(rows)
    found, expected = (
        own.e_step(own.prepare(params), block, Step(rule, "point", 5, 2)) for own in (model, twin)
    )
    for name in ("starts", "transitions", "counts"):
        np.testing.assert_array_equal(found[name], expected[name])
    assert found.local_bound == pytest.approx(expected.local_bound, rel=1e-11)
    np.testing.assert_allclose(found["sums"], expected["sums"], rtol=1e-9, atol=1e-7)


# ---- what sequences are to each other ----


@pytest.mark.parametrize("rule", ["exact", "hard", "factorised"])
@pytest.mark.parametrize("family", hmm_data.FAMILIES)
def test_H13_H15_sequences_add_up_and_copies_are_weights(make, family, rule):
    model = make(family)
    params, step = hmm_data.a_point(model), Step(rule)
    table, block = model.prepare(params), block_of(family, weights=None)
    whole = model.e_step(table, block, step)
    apart = [model.e_step(table, block.slice(s, s + 1), step) for s in range(block.n)]
    testing._same_stats(sum(apart[1:], apart[0]), whole, 1e-12, "sequences do not add up")
    rows = hmm_data.rows_of(family)
    twice = hmm_data.block_of(
        family, np.concatenate([rows, rows]), np.concatenate([hmm_data.LENGTHS] * 2)
    )
    double = model.e_step(table, block.with_weights(np.full(block.n, 2.0)), step)
    testing._same_stats(double, model.e_step(table, twice, step), 1e-12, "copies are not weights")


@pytest.mark.parametrize("family", hmm_data.FAMILIES)
def test_equal_rows_are_a_mixture(make, family):
    """A chain that forgets is a mixture: score, posteriors and statistics of one E-step."""
    model = make(family)
    params = hmm_data.a_point(model)
    weights = np.array([0.2, 0.5, 0.3])
    params["startprob"], params["transmat"] = weights, weights
    block = block_of(family)
    stats = model.e_step(model.prepare(params), block, Step())
    emission = model.config.emission
    gaussian = hasattr(emission, "covariance_type")
    mixture = (GaussianMixture if gaussian else DiscreteMixture)(emission)
    same = type(params)(emission.params_layout("point"), "point")
    for name in same.layout.names:
        same[name] = weights if name == "weights" else params[name]
    own = mixture.e_step(mixture.prepare(same), block.steps(), Step())
    assert stats.local_bound == pytest.approx(own.local_bound, rel=1e-12)
    for name in own.layout.names:
        np.testing.assert_allclose(stats[name], own[name], rtol=1e-10, atol=1e-11)
    rows = block.rows.X if gaussian else block.rows
    np.testing.assert_allclose(
        model.posteriors(model.prepare(params), block),
        mixture.responsibilities(same, rows),
        rtol=1e-10,
        atol=1e-13,
    )
    np.testing.assert_allclose(
        model.score(model.prepare(params), block),
        [part.sum() for part in np.split(mixture.log_density(same, rows), block.starts[1:-1])],
        rtol=1e-11,
    )


@pytest.mark.parametrize("family", hmm_data.FAMILIES)
def test_O7_states_are_only_names(make, family):
    model = make(family)
    params, block = hmm_data.a_point(model), block_of(family)
    order = np.array([2, 0, 1])
    other = params.copy()
    other["startprob"] = params["startprob"][order]
    other["transmat"] = params["transmat"][np.ix_(order, order)]
    for name in model.config.emission_fields:
        axis = 0 if hasattr(model.config.emission, "covariance_type") else 1
        other[name] = np.take(params[name], order, axis=axis)
    for rule in ("exact", "hard", "factorised"):
        a = model.e_step(model.prepare(params), block, Step(rule))
        b = model.e_step(model.prepare(other), block, Step(rule))
        assert b.local_bound == pytest.approx(a.local_bound, rel=1e-12)
        np.testing.assert_allclose(b["counts"], a["counts"][order], rtol=1e-10)
        np.testing.assert_allclose(
            b["transitions"], a["transitions"][np.ix_(order, order)], rtol=1e-9, atol=1e-12
        )


@pytest.mark.parametrize("family", hmm_data.FAMILIES)
def test_H11_missing_steps_are_powers_of_the_transitions(make, family):
    rows = hmm_data.rows_of(family)[:5]
    rows[1:4] = np.nan
    model = make(family, whole="missing")
    params = hmm_data.a_point(model)
    table = model.prepare(params)
    ends = model.score(table, hmm_data.block_of(family, rows, [5]))
    jump = params.copy()
    jump["transmat"] = np.linalg.matrix_power(params["transmat"], 4)
    short = hmm_data.block_of(family, rows[[0, 4]], [2])
    np.testing.assert_allclose(ends, model.score(model.prepare(jump), short), rtol=1e-12)


@pytest.mark.parametrize("rung", ["gibbs", "mean-field", "em", "hard-em"])
def test_H8_H14_zeros_stay_and_frozen_entries_too(make, rung):
    for chain in ("left-right", "frozen"):
        model = make("diag", chain, prior_for(rung))
        length = {"n_burn": 1, "n_draws": 8} if rung == "gibbs" else {"max_iter": 9, "tol": 0}
        result = testing.fit(model, block_of("diag"), inference=rung, random_state=0, **length)
        config = model.config
        for name, support, frozen in (
            ("start", config.start_support, config.start_frozen),
            ("transition", config.transition_support, config.transition_frozen),
        ):
            if rung == "mean-field":
                rows = result.params[f"{name}_concentration"]
                assert np.array_equal(rows > 0, support & np.isnan(frozen))
                continue
            rows = result.params["startprob" if name == "start" else "transmat"]
            assert not rows[~support].any()
            np.testing.assert_array_equal(rows[~np.isnan(frozen)], frozen[~np.isnan(frozen)])
            np.testing.assert_allclose(rows.sum(axis=-1), 1, rtol=1e-13)


def test_variational_em_refuses_zeros(make):
    model = make("diag", "left-right")
    with pytest.raises(ValueError, match=r"impossible.*use 'em', which is exact"):
        testing.fit(model, block_of("diag"), inference="variational-em")


@pytest.mark.parametrize("rung", ["gibbs", "mean-field"])
def test_a_posterior_needs_proper_priors(make, rung):
    model = make("poisson")
    with pytest.raises(ValueError, match="proper priors of start, transitions and emissions"):
        testing.fit(model, block_of("poisson"), inference=rung)


def test_a_point_needs_priors_with_a_mode(make):
    model = make("poisson", start_prior=[0.5, 1, 1])
    with pytest.raises(ValueError, match=r"concentration of 0.5 < 1 \(start_prior\) has no mode"):
        testing.fit(model, block_of("poisson"), inference="em")
    # Where an entry is ruled out its concentration does not matter.
    model = make("poisson", start_prior=[0.5, 1, 1], start_support=[False, True, True])
    testing.fit(model, block_of("poisson"), inference="em", max_iter=2)


def test_transitions_that_vanish_by_themselves_do_not_hurt_variational_em(make):
    """A zero that nobody asked for: 0 log 0 is 0, and the bound does not fall."""
    model = make("poisson")
    params = hmm_data.a_point(model)
    params["transmat"][0] = [1.0, 0.0, 0.0]
    params["transmat"][1] = [0.0, 0.5, 0.5]
    block = block_of("poisson")
    table = model.prepare(params)
    first = model.e_step(table, block, Step("factorised"))
    assert np.isfinite(first.buffer).all()
    block.local = first.local
    again = model.e_step(table, block, Step("factorised"))
    assert again.local_bound >= first.local_bound - 1e-10 * abs(first.local_bound)
    assert first["transitions"][0, 1] == again["transitions"][0, 1] == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start_support": [False] * 3}, "start_support has no entry that may be above zero"),
        ({"transition_support": np.eye(3)[:, [0, 0, 0]] > 2}, "transition_support, row 0 has no"),
        ({"start_frozen": [0.5, 0.4, 0.3]}, "holds 1.2 of the probability; it must be exactly 1"),
        ({"start_frozen": [0.9, 0.2, np.nan]}, "holds 1.1 of the probability; it must be at most"),
        ({"start_frozen": [0.5, 0.4, 0.0]}, "holds 0.9 of the probability; it must be exactly 1"),
        ({"start_frozen": [-0.5, np.nan, np.nan]}, "values from 0 to 1"),
        ({"start_prior": [1.0, 2.0]}, r"start_prior must have the shape \(3,\); got \(2,\)"),
        ({"transition_prior": np.zeros((3, 3))}, "transition_prior must be finite and > 0"),
        ({"n_sweeps": 0}, "n_sweeps must be >= 1"),
    ],
)
def test_what_a_configuration_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        config_of("poisson", **options)


def test_an_empty_part_has_no_statistics(make):
    model = make("poisson")
    table = model.prepare(hmm_data.a_point(model))
    empty = block_of("poisson").slice(2, 2)
    assert isinstance(empty, SequenceBlock)
    for rule in ("exact", "hard", "sampled", "factorised"):
        assert not model.e_step(table, empty, Step(rule)).buffer.any()
