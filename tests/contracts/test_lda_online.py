"""The minibatch pass by the words that occur, against the driver's own pass and the twin."""

import lda_data
import numpy as np
import pytest
from lda_data import WEIGHTS, block_of, config_of

from vemfast.inference import fit
from vemfast.inference.minibatch import blend, estimate, rate_of
from vemfast.models.base import Step
from vemfast.models.lda import LatentDirichletAllocation as Native
from vemfast.models.lda_config import Start
from vemfast.reference import LatentDirichletAllocation as Reference

TOPICS = lda_data.topics_of()
PRIORS = {
    "a number": lambda point: 1.3 if point else 0.4,
    "by word": lambda point: (1.1 if point else 0.2) + np.linspace(0, 1, lda_data.V)[:, None],
    "by word and topic": lambda point: (1.05 if point else 0.1) + 2 * TOPICS,
}


class Plain(Native):
    """The model without a pass of its own."""

    def sweep(self, *arguments):
        return None


def fitted(build, config, n_jobs=1, offset=10.0, weights=WEIGHTS, **options):
    rung = options.pop("rung")
    return fit(
        build(config, Start(topics=TOPICS)),
        block_of(weights=weights),
        inference=rung,
        schedule="minibatch",
        n_batches=6,
        max_iter=3,
        random_state=3,
        n_jobs=n_jobs,
        learning_offset=offset,
        **options,
    )


OPENING = "vemfast.models.lda_starts._OPENING"


@pytest.mark.parametrize("offset", [0.0, 10.0])  # 0: the first batch takes it all
@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("learn_alpha", [None, "vector", "symmetric"])
@pytest.mark.parametrize("rung", ["mean-field", "variational-em", "hard-em"])
def test_a_pass_equals_update_score_and_blend_of_every_batch(
    rung, learn_alpha, prior, offset, monkeypatch
):
    if offset == 0:
        monkeypatch.setattr(OPENING, 1)  # the last batch alone, so that rates begin with 1
    point = rung != "mean-field"
    config = config_of(rung, eta=PRIORS[prior](point), alpha=0.4, learn_alpha=learn_alpha)
    assert Native(config).sweep.__func__ is Native.sweep
    own, plain, twin = (
        fitted(build, config, rung=rung, offset=offset) for build in (Native, Plain, Reference)
    )
    for other, close in ((plain, 1e-11), (twin, 1e-9)):
        np.testing.assert_allclose(own.params.buffer, other.params.buffer, close, close)
        np.testing.assert_allclose(own.stats.buffer, other.stats.buffer, close, close)
        np.testing.assert_allclose(own.lower_bounds, other.lower_bounds, close)


@pytest.mark.parametrize("rung", ["mean-field", "hard-em"])
def test_a_pass_has_the_same_bits_for_any_number_of_threads(rung):
    config = config_of(rung, learn_alpha="vector", dtype="float32")
    one, three = (fitted(Native, config, n_jobs, rung=rung) for n_jobs in (1, 3))
    assert one.params.buffer.tobytes() == three.params.buffer.tobytes()
    assert one.stats.buffer.tobytes() == three.stats.buffer.tobytes()


@pytest.mark.parametrize("rung", ["mean-field", "variational-em", "hard-em"])
def test_an_online_fit_begins_with_all_documents_as_so_many_batches(rung):
    config, block = config_of(rung, alpha=0.4, learn_alpha="vector"), block_of(weights=WEIGHTS)
    found = fitted(Native, config, rung=rung, offset=2.0)
    model = Native(config, Start(topics=TOPICS))
    local_rule = "hard" if rung == "hard-em" else "factorised"
    step = Step(local_rule, "posterior" if rung == "mean-field" else "point")
    params = model.init([block], step)
    stats = model.e_step(model.prepare(params), block, step)
    assert found.lower_bounds[0] == pytest.approx(stats.local_bound + model.global_term(params))
    blocks = block.cut(6)
    for number in range(18):
        params = model.update(params, stats, step)
        part = estimate(model, params, blocks[number % 6], step, block.total_weight)
        stats = blend(stats, part, rate_of(6 + number, 0.7, 2.0))
    np.testing.assert_allclose(found.params.buffer, params.buffer, 1e-9)
    np.testing.assert_allclose(found.stats.buffer, stats.buffer, 1e-9)


def test_no_more_documents_than_it_takes_begin(monkeypatch):
    blocks = block_of(weights=WEIGHTS).cut(9)
    monkeypatch.setattr(OPENING, blocks[-1].n + 1)
    block, batches = Native(config_of()).opening(blocks)
    assert (block.n, batches) == (blocks[-1].n + blocks[-2].n, 2)
    np.testing.assert_array_equal(block.weights, WEIGHTS[-block.n :])
    np.testing.assert_array_equal(block.tokens, lda_data.COUNTS[-block.n :].sum(axis=1))
    assert block.offset == blocks[-2].offset


def test_what_forgets_fast_and_long_does_not_underflow(monkeypatch):
    monkeypatch.setattr(OPENING, 1)
    # Rates near one: the decay of everything before is a factor that reaches 1e-100 many times.
    config = config_of()
    results = [
        fit(
            build(config, Start(topics=TOPICS)), block_of(), inference="mean-field",
            schedule="minibatch", n_batches=8, max_iter=40, learning_offset=0.0,
            learning_decay=0.51,
        )
        for build in (Native, Plain)
    ]  # fmt: skip
    own, plain = results
    np.testing.assert_allclose(own.params.buffer, plain.params.buffer, 1e-9)


def test_a_prior_that_is_learned_takes_the_plain_pass():
    config = config_of(eta=0.4, learn_eta="symmetric")
    model, block = Native(config, Start(topics=TOPICS)), block_of()
    step = Step("factorised", "posterior")
    params = model.init([block], step)
    stats = model.e_step(model.prepare(params), block, step)
    assert model.sweep(params, stats, [block], step, iter(())) is None


def test_a_pass_leaves_its_arguments_as_they_were():
    model, block = Native(config_of(learn_alpha="vector"), Start(topics=TOPICS)), block_of()
    step = Step("factorised", "posterior")
    params = model.init([block], step)
    stats = model.e_step(model.prepare(params), block, step)
    before = params.buffer.tobytes(), stats.buffer.tobytes()
    after, blended = model.sweep(params, stats, block.cut(4), step.next, iter([0.5, 0.4, 0.3, 0.2]))
    assert (params.buffer.tobytes(), stats.buffer.tobytes()) == before
    assert np.abs(after.buffer - params.buffer).max() > 1e-3
    assert blended["documents"][0] == pytest.approx(block.n, rel=0.2)


def test_a_batch_of_other_words_or_fractions_is_refused():
    model, block = Native(config_of("hard-em"), Start(topics=TOPICS)), block_of()
    step = Step("hard", "point")
    params = model.init([block], step)
    stats = model.e_step(model.prepare(params), block, step)
    broken = block_of(lda_data.COUNTS / 2.0)
    with pytest.raises(ValueError, match="whole numbers"):
        model.sweep(params, stats, [broken], step, iter([0.5]))
    wider = block_of(np.pad(lda_data.COUNTS, ((0, 0), (0, 1)), constant_values=1))
    with pytest.raises(ValueError, match="14 words"):
        model.sweep(params, stats, [wider], step, iter([0.5]))


@pytest.mark.parametrize("n_topics", [16, 19, 22])  # the last vector whole, or up to either half
@pytest.mark.parametrize("eta", [0.01, 0.4])
def test_rows_of_floats_equal_those_of_doubles(eta, n_topics):
    # Straight from exp(psi), or, where the whole row is tiny, in double: bounds and statistics.
    rng = np.random.default_rng(0)
    block = block_of(weights=None)
    table = eta + rng.gamma(0.05, 40.0, (lda_data.V, n_topics))
    table[4] = eta
    found = []
    for dtype in ("float64", "float32"):
        config = config_of(eta=eta, dtype=dtype, n_components=n_topics, alpha=0.3)
        model = Native(config)
        step = Step("factorised", "posterior")
        own = block_of(dtype=np.dtype(dtype), weights=None)
        found.append(model.e_step(model.prepare(config.params("posterior", table)), own, step))
    double, single = found
    assert single.local_bound == pytest.approx(double.local_bound, rel=1e-6)
    np.testing.assert_allclose(single["sstats"], double["sstats"], atol=2e-4 * block.total_weight)
    assert single.entropy == pytest.approx(double.entropy, rel=1e-4)
