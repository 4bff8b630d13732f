"""The laws of `vemfast.testing` over every implementation of latent Dirichlet allocation."""

import lda_data
import numpy as np
import pytest
from lda_data import DETERMINISTIC, FACTORISED, IMPLEMENTATIONS, RUNGS, WEIGHTS, block_of, config_of
from scipy import sparse

from vemfast import testing
from vemfast.execution.threads import e_step
from vemfast.inference import fit
from vemfast.models.base import Step
from vemfast.models.lda import LatentDirichletAllocation as Native
from vemfast.models.lda_config import Start
from vemfast.stats import Stats

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

OTHERS = [own for name, own in IMPLEMENTATIONS.items() if name != "reference"]
LEARNED = {
    "fixed": {},
    "vector": {"learn_alpha": "vector"},
    "symmetric": {"learn_alpha": "symmetric", "alpha": 0.7},
    "all": {"learn_alpha": "vector", "learn_eta": "symmetric"},
}
CASES = [
    pytest.param(rung, learned, id=f"{rung}-{learned}")
    for rung in RUNGS
    for learned in LEARNED
    if learned != "all" or rung in ("gibbs", "mean-field")
]
DETERMINISTIC_CASES = [case for case in CASES if "gibbs" not in case.values]


@pytest.fixture(params=IMPLEMENTATIONS)
def make(request):
    """Return a function that builds one implementation."""

    def build(rung, learned="fixed", start=None, **options):
        config = config_of(rung, **{**LEARNED[learned], **options})
        return IMPLEMENTATIONS[request.param](config, start)

    return build


def block_for(rung, **options):
    return block_of(weights=None if rung == "gibbs" else WEIGHTS, **options)


# ---- the laws ----


@pytest.mark.parametrize("rung", DETERMINISTIC)
def test_statistics_are_a_vector_space(make, rung):
    testing.check_stats_laws(make(rung), block_for(rung), rung)


def test_statistics_of_draws_add_up_over_any_cut(make):
    model, block = make("gibbs"), block_of()
    step = Step("sampled", "sampled", seed=5, iteration=3)
    table = model.prepare(model.init([block], step))
    whole = model.e_step(table, block, step)
    parts = [model.e_step(table, part, step) for part in block.cut(4)]
    testing._same_stats(sum(parts[1:], parts[0]), whole, 1e-12, "cuts do not add up")
    np.testing.assert_array_equal(np.concatenate([part.local for part in parts]), whole.local)


@pytest.mark.parametrize("rung", RUNGS)
def test_statistics_of_many_documents_add_up(rung):
    # So many that the native pass goes through them chunk by chunk (8 MB of proportions each), and
    # through the words range by range.
    n, n_words, n_topics = 2100, 1100, 1000
    rng = np.random.default_rng(0)
    counts = sparse.random(n, n_words, 4 / n_words, "csr", np.float64, rng, data_rvs=np.ones)
    options = {"alpha": 0.1, "max_inner": 4, "n_words": n_words, "n_components": n_topics}
    model = Native(config_of(rung, **options))
    step = testing._step(model, rung)
    topics = lda_data.topics_of(n_words, n_topics)
    table = model.prepare(model.config.params("point", topics))
    weights = None if rung == "gibbs" else np.tile([1.0, 2.0, 0.5], n // 3)
    block = block_of(counts, weights)
    whole = model.e_step(table, block, step)
    parts = [model.e_step(table, block.slice(d, d + 700), step) for d in range(0, n, 700)]
    testing._same_stats(sum(parts[1:], parts[0]), whole, 1e-11, "chunks do not add up")
    np.testing.assert_array_equal(np.concatenate([part.local for part in parts]), whole.local)


@pytest.mark.parametrize("rung", RUNGS)
def test_same_bits_for_any_number_of_threads(make, rung):
    testing.check_same_bits_for_threads(make(rung, "vector"), block_for(rung), rung)


@pytest.mark.parametrize(("rung", "learned"), CASES)
def test_both_forms_of_the_bound_agree(make, rung, learned):
    testing.check_bound_identity(make(rung, learned), block_for(rung), rung)


@pytest.mark.parametrize("init", ["random", "documents", "spread"])
@pytest.mark.parametrize("schedule", ["batch", "memoized"])
@pytest.mark.parametrize(("rung", "learned"), DETERMINISTIC_CASES)
def test_the_bound_never_falls(make, rung, learned, schedule, init):
    # O4. With a loose inner tolerance, which only warm starts make safe.
    model = make(rung, learned, Start(init), max_inner=3, inner_tol=1e-2)
    testing.check_monotone(model, block_for(rung), rung, schedule, max_iter=20)


@pytest.mark.nightly
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("rung", "learned"), DETERMINISTIC_CASES)
def test_the_bound_never_falls_from_any_start(make, seeds, rung, learned, dtype):
    block = block_for(rung, dtype=np.dtype(dtype))
    rtol = 1e-10 if dtype == "float64" else 1e-8  # single precision rounds to 6e-8 a word
    for seed in seeds:
        sizes = {"max_inner": 1 + seed % 5, "n_components": 2 + seed % 4, "dtype": dtype}
        for init, schedule in (("random", "batch"), ("spread", "memoized")):
            model = make(rung, learned, Start(init), **sizes)
            testing.check_monotone(model, block, rung, schedule, rtol=rtol, random_state=seed)


def test_from_afresh_each_time_the_bound_may_fall(make):
    # Why there is local state: without it a loose inner loop is no ascent.
    model = make("mean-field", max_inner=1, inner_tol=0.0, start=Start("random"))
    block = block_of()
    params = fit(model, block, inference="mean-field", tol=0, max_iter=30, random_state=0).params
    step = Step("factorised", "posterior")
    warm, cold = block.fork(), block
    bounds = []
    for _ in range(40):
        stats = model.e_step(model.prepare(params), warm, step)
        warm.local = stats.local
        bounds.append(stats.local_bound)
    assert (np.diff(bounds) > -1e-9).all()
    assert model.e_step(model.prepare(params), cold, step).local_bound < bounds[-1] - 0.1


@pytest.mark.parametrize("rung", FACTORISED)
def test_a_long_fit_ends_at_a_fixed_point(make, rung):
    # O4. Together with the documents' states: afresh, a document may end at another one.
    model = make(rung, max_inner=5, inner_tol=0.0)
    step, block = testing._step(model, rung), block_of(lda_data.COUNTS[:15])
    params, moves = model.init([block], step), []
    for _ in range(300):
        stats = model.e_step(model.prepare(params), block, step)
        block.local = stats.local
        moved = model.update(params, stats, step)
        moves.append(np.abs(moved.buffer - params.buffer).max())
        params = moved
    assert moves[-1] < 1e-6 < moves[0]


@pytest.mark.parametrize("implementation", OTHERS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("rung", "learned"), CASES)
def test_twins_agree(implementation, rung, learned, weighted):
    if rung == "gibbs" and weighted:
        pytest.skip("gibbs takes no weights")
    config = config_of(rung, **LEARNED[learned])
    model, twin = implementation(config), IMPLEMENTATIONS["reference"](config)
    block = block_of(weights=WEIGHTS if weighted else None)
    testing.check_twin(model, twin, block, rung, rtol=1e-9)
    step = testing._step(twin, rung)  # and from where the last E-step ended
    params = twin.init([block], step)
    for _ in range(4):
        own, stats = (m.e_step(m.prepare(params), block, step) for m in (model, twin))
        testing._same_stats(own, stats, 1e-9, "E-steps differ")
        np.testing.assert_allclose(own.local, stats.local, rtol=1e-8)
        block.local = stats.local
        step = step.next
        params = twin.update(params, stats, step)


@pytest.mark.parametrize("implementation", OTHERS)
@pytest.mark.parametrize("eta", ["matrix", "column", "flat"])
@pytest.mark.parametrize("rung", RUNGS)
def test_twins_agree_with_priors_of_any_shape(implementation, rung, eta):
    shape = (lda_data.V, {"matrix": lda_data.K, "column": 1, "flat": 1}[eta])
    prior = np.random.default_rng(3).uniform(1.0, 2.0, shape) if eta != "flat" else np.ones(shape)
    config = config_of(rung, eta=prior)
    model, twin = implementation(config), IMPLEMENTATIONS["reference"](config)
    testing.check_twin(model, twin, block_of(), rung, rtol=1e-9)


@pytest.mark.parametrize("implementation", OTHERS)
@pytest.mark.parametrize("rung", FACTORISED)
def test_twins_agree_in_float32(implementation, rung):
    config = config_of(rung, max_inner=30, inner_tol=0.0, dtype="float32")
    model, twin = implementation(config), IMPLEMENTATIONS["reference"](config)
    testing.check_twin(model, twin, block_for(rung, dtype=np.float32), rung, rtol=1e-4)


# ---- blocks, rules and the edges of the data ----


@pytest.mark.parametrize("rung", RUNGS)
def test_an_empty_document_counts_and_adds_nothing(make, rung):
    # L1
    model, step = make(rung), testing._step(make(rung), rung)
    counts = lda_data.COUNTS[:2]
    assert counts[0].sum() == 0
    params = model.init([block_of()], step)
    stats = model.e_step(model.prepare(params), block_of(counts[:1]), step)
    assert stats.local_bound == pytest.approx(0.0, abs=1e-12)
    assert stats["documents"] == 1
    assert not stats["sstats"].any()
    if rung in FACTORISED:
        np.testing.assert_allclose(stats.local[0], params["alpha"], rtol=1e-14)


@pytest.mark.parametrize("rung", RUNGS)
def test_repeated_documents_are_weights(make, rung):
    if rung == "gibbs":
        pytest.skip("gibbs takes no weights")
    model, step = make(rung), testing._step(make(rung), rung)
    times = np.random.default_rng(0).integers(0, 4, len(lda_data.COUNTS))
    table = model.prepare(model.init([block_of()], step))
    weighted = model.e_step(table, block_of(weights=times.astype(float)), step)
    repeated = model.e_step(table, block_of(np.repeat(lda_data.COUNTS, times, axis=0)), step)
    testing._same_stats(weighted, repeated, 1e-11, "weights are not repetitions")


@pytest.mark.parametrize("rung", ["gibbs", "hard-em"])
def test_tokens_must_be_whole(make, rung):
    # L4
    model, step = make(rung), testing._step(make(rung), rung)
    table = model.prepare(model.init([block_of()], step))
    counts = lda_data.COUNTS.astype(float)
    d, w = np.argwhere(counts > 0)[5]
    counts[d, w] += 0.5
    with pytest.raises(ValueError, match=rf"document {d + 17}, word {w} has a count of .*\.5"):
        model.e_step(table, block_of(counts), step)


def test_gibbs_takes_no_weights(make):
    model, step = make("gibbs"), Step("sampled", "sampled")
    table = model.prepare(model.init([block_of()], step))
    with pytest.raises(ValueError, match="no document weights"):
        model.e_step(table, block_of(weights=WEIGHTS), step)


@pytest.mark.parametrize("rung", FACTORISED)
def test_fractions_are_taken(make, rung):
    # L4: of tf-idf
    counts = np.random.default_rng(2).gamma(0.3, 1.0, lda_data.COUNTS.shape)
    counts[counts < 0.2] = 0
    testing.check_monotone(make(rung, "vector"), block_of(counts), rung)


@pytest.mark.parametrize("rung", FACTORISED)
def test_counts_of_a_million(make, rung):
    # L5, L10
    counts = lda_data.COUNTS * 40_000
    result = testing.check_monotone(make(rung, "vector"), block_of(counts), rung, max_iter=10)
    assert np.isfinite(result.params.buffer).all()


@pytest.mark.parametrize("rung", RUNGS)
def test_an_unseen_word_has_its_prior(make, rung):
    # L6: and never the logarithm of zero in the objective
    counts = lda_data.COUNTS.copy()
    counts[:, 4] = 0
    eta = 1.0 if rung in ("variational-em", "hard-em") else 0.4
    model = make(rung, eta=eta)
    options = {"n_burn": 2, "n_draws": 3} if rung == "gibbs" else {"tol": 0, "max_iter": 5}
    result = fit(model, block_of(counts), inference=rung, random_state=0, **options)
    assert np.isfinite(result.lower_bounds).all()
    if rung == "mean-field":
        np.testing.assert_array_equal(result.params["lambda"][4], eta)
    elif rung == "gibbs":
        assert (result.params["topics"][4] > 0).all()
    else:
        filled = result.stats["sstats"].sum(axis=0) > 0
        np.testing.assert_array_equal(result.params["topics"][4, filled], 0.0)
        # A document that has the word is impossible, and says so without NaN.
        result.params["topics"][4] = 0.0
        counts[4, 4] = 1
        gamma, bounds = model.infer(result.params, block_of(counts))
        assert np.isneginf(bounds[4])
        assert np.isfinite(np.delete(bounds, 4)).all()
        assert np.isfinite(gamma).all()


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize(("n_components", "n_words"), [(1, 13), (20, 13), (3, 1), (1, 1)])
def test_shapes_at_the_edge(make, rung, n_components, n_words):
    # L8
    counts = lda_data.COUNTS[:, :n_words]
    for learned in ("vector", "all" if rung in ("gibbs", "mean-field") else "symmetric"):
        model = make(rung, learned, n_components=n_components, n_words=n_words)
        if rung == "gibbs":
            result = fit(model, block_of(counts), inference=rung, n_burn=2, n_draws=3)
        else:
            result = testing.check_monotone(model, block_of(counts), rung, max_iter=8)
        assert np.isfinite(result.params.buffer).all()
        assert (result.params["alpha"] > 0).all()


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("tiny", [1e-10, 1e-3])
def test_tiny_priors(make, rung, tiny):
    # L9, L15
    eta = 1.0 if rung in ("variational-em", "hard-em") else tiny
    for learned in ("fixed", "vector", "symmetric"):
        model = make(rung, learned, alpha=tiny, eta=eta)
        if rung == "gibbs":
            result = fit(model, block_of(), inference=rung, n_burn=2, n_draws=3, random_state=0)
        else:
            result = testing.check_monotone(model, block_of(), rung, max_iter=10)
        assert np.isfinite(result.params.buffer).all()
        assert (result.params["alpha"] > 0).all()


def test_many_words_and_topics_do_not_underflow(make):
    # L11: E[log β] of a wide vocabulary is far below what exp takes in float32
    counts = np.zeros((2, 13), dtype=int)
    counts[0, :3] = 5
    counts[1, 2:6] = 3
    model = make("mean-field", n_components=40, alpha=1e-3, eta=1e-6)
    block = block_of(counts)
    step = Step("factorised", "posterior")
    params = model.init([block], step)
    params["lambda"] = 1e-4
    params["lambda"][:6] = np.random.default_rng(0).uniform(1e-4, 3.0, (6, 40))
    stats = model.e_step(model.prepare(params), block, step)
    assert np.isfinite(stats.buffer).all()
    assert stats["sstats"].sum() == pytest.approx(counts.sum())
    testing.check_twin(model, IMPLEMENTATIONS["reference"](model.config), block, "mean-field",
                       rtol=1e-8, params=params)  # fmt: skip


# ---- updates and starts ----


@pytest.mark.parametrize("rung", ["variational-em", "hard-em"])
def test_the_mode_is_the_maximum(make, rung):
    for eta in (1.0, 1.7, np.random.default_rng(1).uniform(1, 2, (lda_data.V, lda_data.K))):
        model, block = make(rung, "vector", eta=eta), block_of()
        step = testing._step(model, rung)
        start = model.init([block], step)
        stats = model.e_step(model.prepare(start), block, step)
        mode = model.update(start, stats, step.next)
        best = model.expected_log_joint(mode, stats) + model.global_term(mode)
        for seed in range(60):
            other, noise = mode.copy(), np.random.default_rng(seed)
            size = 10.0 ** -noise.integers(1, 5)
            topics = other["topics"] * np.exp(size * noise.normal(size=other["topics"].shape))
            other["topics"] = topics / topics.sum(axis=0)
            other["alpha"] = other["alpha"] * np.exp(size * noise.normal(size=lda_data.K))
            value = model.expected_log_joint(other, stats) + model.global_term(other)
            assert value <= best + 1e-9


def test_a_topic_without_tokens_keeps_its_words(make):
    model = make("variational-em", eta=1.0)
    step = Step("factorised", "point")
    start = model.init([block_of()], step)
    stats = Stats(model.layout)
    stats["sstats"][:, 0] = 1.0
    stats["documents"] = 1.0
    moved = model.update(start, stats, step)
    np.testing.assert_array_equal(moved["topics"][:, 1:], start["topics"][:, 1:])
    np.testing.assert_allclose(moved["topics"][:, 0], 1 / lda_data.V)


@pytest.mark.parametrize("rung", RUNGS)
@pytest.mark.parametrize("init", ["random", "documents", "spread"])
def test_starts_are_seeded_and_proper(make, rung, init):
    model, block = make(rung, start=Start(init)), block_for(rung)
    step = testing._step(model, rung)
    a, b = (model.init([block], step) for _ in range(2))
    np.testing.assert_array_equal(a.buffer, b.buffer)
    other = model.init([block], Step(step.local_rule, step.parameter_rule, seed=99))
    assert not np.array_equal(a.buffer, other.buffer)
    table = a["lambda" if rung == "mean-field" else "topics"]
    assert (table > 0).all()
    if rung != "mean-field":
        np.testing.assert_allclose(table.sum(axis=0), 1.0)
    np.testing.assert_array_equal(a["alpha"], model.config.alpha)


def test_spread_documents_are_of_different_groups():
    # Three groups of documents without a common word: one of each, from any seed.
    counts = np.kron(np.eye(3, dtype=int), np.ones((10, 4), dtype=int))
    model = IMPLEMENTATIONS["reference"](config_of(n_words=12), Start("spread"))
    for seed in range(20):
        start = model.init([block_of(counts)], Step("factorised", "point", seed=seed))
        groups = start["topics"].reshape(3, 4, 3).sum(axis=1).argmax(axis=0)
        assert sorted(groups) == [0, 1, 2]


def test_given_topics_are_the_start(make):
    topics = lda_data.topics_of()
    model = make("variational-em", start=Start(topics=topics))
    np.testing.assert_array_equal(
        model.init([block_of()], Step("factorised", "point"))["topics"], topics
    )
    posterior = model.init([block_of()], Step("factorised", "posterior"))
    expected = 1.3 + topics * lda_data.COUNTS.sum() / lda_data.K
    np.testing.assert_allclose(posterior["lambda"], expected, rtol=1e-12)


def test_seeded_topics_through_the_prior(make):
    # A prior that gives two words to a topic draws the topic to them.
    eta = np.full((lda_data.V, lda_data.K), 0.1)
    eta[2, 1] = eta[7, 1] = 500.0
    model = make("mean-field", eta=eta)
    params = fit(model, block_of(), inference="mean-field", random_state=0, max_iter=20).params
    assert set(np.argsort(params["lambda"][:, 1])[-2:]) == {2, 7}


@pytest.mark.parametrize("rung", DETERMINISTIC)
def test_documents_in_any_order(make, rung):
    # O7
    order = np.random.default_rng(0).permutation(len(lda_data.COUNTS))
    start = Start(topics=lda_data.topics_of())
    bounds = [
        fit(make(rung, start=start), block_of(counts), inference=rung, tol=0, max_iter=6)
        for counts in (lda_data.COUNTS, lda_data.COUNTS[order])
    ]
    np.testing.assert_allclose(bounds[0].lower_bounds, bounds[1].lower_bounds, rtol=1e-10)


def test_infer_is_the_e_step(make):
    model, block = make("mean-field"), block_of()
    params = model.init([block], Step("factorised", "posterior"))
    gamma, bounds = model.infer(params, block)
    stats = e_step(model, model.prepare(params), [block], Step("factorised", "posterior"))
    np.testing.assert_allclose(block.pending, gamma, rtol=1e-12)
    assert bounds.sum() == pytest.approx(stats.local_bound, rel=1e-12)


# ---- what is refused ----


def test_em_says_why_not_and_what_to_use(make):
    for config in ({}, {"learn_alpha": "vector"}):
        model = make("mean-field", **config)
        with pytest.raises(
            ValueError,
            match=r"no inference='em': given a document's words .* use 'variational-em'",
        ):
            fit(model, block_of(), inference="em")


def test_rungs_that_a_prior_rules_out(make):
    with pytest.raises(ValueError, match=r"concentration of 0.4 < 1 has no mode; use 'mean-field'"):
        fit(make("mean-field"), block_of(), inference="variational-em")
    for rung in ("hard-em", "variational-em"):
        with pytest.raises(ValueError, match="grows without bound"):
            fit(make("mean-field", "all"), block_of(), inference=rung)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0.0}, "alpha must be finite and > 0; it holds .*0.0"),
        ({"alpha": [1.0, -2.0, 1.0]}, "alpha must be finite and > 0; it holds .*-2.0"),
        ({"alpha": [1.0, np.nan, 1.0]}, "alpha must be finite"),
        ({"alpha": np.ones(4)}, r"alpha has shape \(4,\); give one number, or one for each of 3"),
        ({"eta": -1.0}, "eta must be finite and > 0"),
        ({"eta": np.ones(13)}, r"eta has shape \(13,\)"),
        ({"eta": np.ones((3, 13))}, r"eta has shape \(3, 13\)"),
        ({"eta": np.ones((13, 3)), "learn_eta": "symmetric"}, "starts from one number"),
        ({"learn_alpha": "symmetric"}, "starts from one number"),
        ({"learn_alpha": "yes"}, "learn_alpha must be one of"),
        ({"learn_eta": "vector"}, "learn_eta must be one of"),
        ({"max_inner": 0}, "max_inner must be >= 1"),
        ({"inner_tol": -1.0}, "inner_tol >= 0"),
        ({"dtype": "float16"}, "dtype must be"),
        ({"n_components": 0, "alpha": 1.0}, "must be >= 1; got 0"),
    ],
)
def test_config_refuses(options, message):
    # L9
    with pytest.raises(ValueError, match=message):
        config_of(**options)
