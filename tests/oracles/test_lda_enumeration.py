"""Latent Dirichlet allocation against sums over all assignments and closed forms (O3, O6).

Nothing here uses the formulas of the code under test: given the topics of all tokens, words and
topics are draws from Dirichlet-multinomial distributions, whose probabilities are products of
rising factorials.
"""

from itertools import product

import numpy as np
import pytest
from lda_data import IMPLEMENTATIONS, block_of, config_of
from scipy import stats as dist
from scipy.special import gammaln, logsumexp

from vemfast.inference import fit
from vemfast.models.base import Step
from vemfast.models.lda_config import Start
from vemfast.stats import Stats

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

implementations = pytest.mark.parametrize(
    "implementation", IMPLEMENTATIONS.values(), ids=IMPLEMENTATIONS
)

V, K = 4, 2
ALPHA, ETA = np.array([0.7, 0.4]), 0.6
DOCUMENTS = np.array([[2, 1, 0, 0], [0, 1, 1, 2], [1, 0, 0, 1], [0, 0, 0, 0], [0, 2, 0, 0]])
TOPICS = np.array([[0.5, 0.1], [0.3, 0.2], [0.15, 0.3], [0.05, 0.4]])


def log_polya(counts, concentration):
    """Return log p of a sequence of draws with these counts: rising factorials."""
    concentration = np.broadcast_to(concentration, np.shape(counts))
    steps = [np.log(a + i) for n, a in zip(counts, concentration, strict=True) for i in range(n)]
    return sum(steps) - sum(np.log(concentration.sum() + i) for i in range(sum(counts)))


def tokens_of(counts):
    return np.repeat(np.arange(V), counts)


def log_joints(counts, topics, alpha=ALPHA, n_topics=K):
    """Return log p(w, z | α, β) of one document for all z, in the order of `product`."""
    words = tokens_of(counts)
    found = []
    for z in product(range(n_topics), repeat=words.size):
        own = np.bincount(np.array(z, dtype=int), minlength=n_topics)
        found.append(log_polya(own, alpha) + np.log(topics[words, np.array(z, dtype=int)]).sum())
    return np.array(found)


def log_evidence(documents, alpha, eta):
    """Return log p(w | α, η): topics and proportions integrated out."""
    words = [tokens_of(counts) for counts in documents]
    n = sum(own.size for own in words)
    found = []
    for z in product(range(K), repeat=n):
        total, first = 0.0, 0
        by_topic = np.zeros((K, V), dtype=int)
        for own in words:
            labels = np.array(z[first : first + own.size], dtype=int)
            first += own.size
            total += log_polya(np.bincount(labels, minlength=K), alpha)
            np.add.at(by_topic, (labels, own), 1)
        found.append(total + sum(log_polya(row, eta) for row in by_topic))
    return logsumexp(found)


def point_of(model, topics=TOPICS):
    return model.config.params("point", topics)


def make(implementation, rung, n_components=K, **options):
    options = {"alpha": ALPHA, "inner_tol": 1e-12, "max_inner": 500, **options}
    return implementation(config_of(rung, V, n_components, **options))


# ---- the bound and what it bounds ----


def test_the_oracle_adds_up_to_one():
    # Over all documents of three tokens in order.
    total = 0.0
    for words in product(range(V), repeat=3):
        for z in product(range(K), repeat=3):
            own = np.bincount(z, minlength=K)
            total += np.exp(log_polya(own, ALPHA)) * TOPICS[list(words), list(z)].prod()
    assert total == pytest.approx(1.0, rel=1e-12)


@implementations
def test_the_bound_given_topics_is_below_the_likelihood(implementation):
    model = make(implementation, "variational-em")
    _, bounds = model.infer(point_of(model), block_of(DOCUMENTS))
    exact = np.array([logsumexp(log_joints(counts, TOPICS)) for counts in DOCUMENTS])
    assert (bounds <= exact + 1e-12).all()
    assert (exact - bounds < 0.5).all()  # and not far
    assert bounds[3] == pytest.approx(0.0, abs=1e-12)


@implementations
@pytest.mark.parametrize("alpha", [0.05, 0.5, 5.0])
def test_the_bound_given_topics_is_sharp_where_topics_are_apart(implementation, alpha):
    # Where each word has one topic, z is known, and q(z) q(θ) is the posterior.
    model = make(implementation, "variational-em", alpha=alpha)
    topics = np.array([[0.7, 0.0], [0.3, 0.0], [0.0, 0.6], [0.0, 0.4]])
    _, bounds = model.infer(point_of(model, topics), block_of(DOCUMENTS))
    with np.errstate(divide="ignore"):
        exact = [logsumexp(log_joints(c, topics, np.full(K, alpha))) for c in DOCUMENTS]
    np.testing.assert_allclose(bounds, exact, atol=1e-10)


@implementations
@pytest.mark.parametrize("seed", range(4))
def test_the_objective_of_mean_field_is_below_the_evidence(implementation, seed):
    documents = DOCUMENTS[[0, 1, 2]]  # nine tokens
    model = make(implementation, "mean-field", eta=ETA)
    result = fit(
        model, block_of(documents), inference="mean-field", tol=0, max_iter=100, random_state=seed
    )
    exact = log_evidence(documents, ALPHA, ETA)
    assert result.lower_bound < exact
    assert result.lower_bound > exact - 3.5


@implementations
@pytest.mark.parametrize("rung", ["mean-field", "variational-em"])
def test_one_topic_is_a_closed_form(implementation, rung):
    # O6: the posterior of the topic is Dirichlet(η + counts), and the bound is the evidence.
    totals = DOCUMENTS.sum(axis=0)
    eta = np.array([0.3, 1.1, 2.0, 0.6])[:, None] + (1.0 if rung == "variational-em" else 0.0)
    model = make(implementation, rung, n_components=1, alpha=0.8, eta=eta)
    result = fit(model, block_of(DOCUMENTS), inference=rung, tol=0, max_iter=2, random_state=0)
    gamma, _ = model.infer(result.params, block_of(DOCUMENTS))
    np.testing.assert_allclose(gamma[:, 0], 0.8 + DOCUMENTS.sum(axis=1), rtol=1e-12)
    if rung == "mean-field":
        np.testing.assert_allclose(result.params["lambda"], eta + totals[:, None], rtol=1e-12)
        assert result.lower_bound == pytest.approx(log_polya(totals, eta[:, 0]), abs=1e-10)
    else:
        mode = totals + eta[:, 0] - 1
        mode /= mode.sum()
        np.testing.assert_allclose(result.params["topics"][:, 0], mode, rtol=1e-12)
        log_prior = dist.dirichlet(eta[:, 0]).logpdf(mode)
        expected = totals @ np.log(mode) + log_prior
        assert result.lower_bound == pytest.approx(expected, abs=1e-10)


@implementations
def test_one_word_is_certain(implementation):
    # V = 1: each topic is that word; the evidence is 1.
    model = implementation(config_of("mean-field", 1, 3))
    counts = np.array([[3], [0], [1]])
    result = fit(model, block_of(counts), inference="mean-field", tol=0, max_iter=3, random_state=0)
    assert model.global_term(result.params) == pytest.approx(0.0, abs=1e-12)
    assert result.lower_bound <= 1e-12
    np.testing.assert_allclose(result.stats["sstats"].sum(), 4.0)


# ---- hard labels ----


@implementations
def test_hard_labels_are_a_maximum_that_no_token_leaves(implementation):
    model = make(implementation, "hard-em", eta=1.5)
    params = point_of(model)
    step = Step("hard", "point")
    reached = 0
    for seed in range(30):
        counts = np.random.default_rng(seed).multinomial(6, [0.3, 0.3, 0.2, 0.2])
        stats = model.e_step(model.prepare(params), block_of(counts[None]), step)
        values = log_joints(counts, TOPICS)
        assignments = list(product(range(K), repeat=6))
        value = values[assignments.index(tuple(stats.local.tolist()))]
        assert stats.local_bound == pytest.approx(value, abs=1e-11)
        for i in range(6):
            other = stats.local.copy()
            other[i] = 1 - other[i]
            assert values[assignments.index(tuple(other.tolist()))] <= value + 1e-11
        reached += value >= values.max() - 1e-11
    assert reached >= 20  # coordinate ascent ends at the best of all mostly, and not always


@implementations
def test_from_given_labels_hard_em_only_climbs(implementation):
    model = make(implementation, "hard-em", eta=1.5)
    table, step = model.prepare(point_of(model)), Step("hard", "point")
    counts = np.array([2, 1, 1, 2])
    values = log_joints(counts, TOPICS)
    for number, z in enumerate(product(range(K), repeat=6)):
        block = block_of(counts[None])
        block.local = np.array(z, dtype=np.int32)
        stats = model.e_step(table, block, step)
        assert stats.local_bound >= values[number] - 1e-11
        bits = 2 ** np.arange(6)[::-1]
        place = int(stats.local @ bits)
        assert stats.local_bound == pytest.approx(values[place], abs=1e-11)
        assert (values[place ^ bits] <= values[place] + 1e-11).all()  # no token would leave


@implementations
def test_the_ladder_at_one_point(implementation):
    # em >= variational-em >= hard-em, where the factorised q starts from that of the hard labels.
    model = make(implementation, "variational-em")
    table = model.prepare(point_of(model))
    block = block_of(DOCUMENTS)
    z = model.e_step(table, block, Step("hard", "point")).local
    ends = np.cumsum(DOCUMENTS.sum(axis=1))
    labels = np.split(z, ends[:-1])
    block.local = np.array([ALPHA + np.bincount(own, minlength=K) for own in labels])
    for d, counts in enumerate(DOCUMENTS):
        part = block.slice(d, d + 1)
        part.local = block.local[d : d + 1]
        soft = model.e_step(table, part, Step("factorised", "point")).local_bound
        certain = model.e_step(table, block.slice(d, d + 1), Step("hard", "point")).local_bound
        values = log_joints(counts, TOPICS)
        assert certain <= values.max() + 1e-11
        assert certain <= soft + 1e-11
        assert soft <= logsumexp(values) + 1e-11


# ---- Gibbs ----


@implementations
@pytest.mark.parametrize("sweeps", [2, 6])
def test_draws_of_labels_have_the_posterior_for_a_law(implementation, sweeps):
    # As many documents as chains. The start is another law, which some sweeps forget.
    counts, n = np.array([1, 0, 2, 1]), 1500
    model = make(implementation, "gibbs", eta=ETA)
    table = model.prepare(point_of(model))
    block = block_of(np.tile(counts, (n, 1)))
    for iteration in range(sweeps + 1):
        step = Step("sampled", "sampled", seed=8, iteration=iteration)
        block.local = model.e_step(table, block, step).local
    weights = 2 ** np.arange(4)[::-1]
    found = np.bincount(block.local.reshape(n, 4) @ weights, minlength=16)
    values = log_joints(counts, TOPICS)
    expected = n * np.exp(values - logsumexp(values))
    if sweeps > 2:
        assert dist.chisquare(found, expected).pvalue > 1e-3
    else:  # a start that has the law already would hide a sweep that does nothing
        assert found.sum() == n


@implementations
def test_the_first_draw_is_sequential(implementation):
    counts, n = np.array([1, 0, 2, 0]), 3000
    model = make(implementation, "gibbs", eta=ETA)
    block = block_of(np.tile(counts, (n, 1)))
    step = Step("sampled", "sampled", seed=3)
    z = model.e_step(model.prepare(point_of(model)), block, step).local.reshape(n, 3)
    expected = []
    for labels in product(range(K), repeat=3):
        probability, before = 1.0, ALPHA.copy()
        for w, k in zip([0, 2, 2], labels, strict=True):
            p = before * TOPICS[w]
            probability *= p[k] / p.sum()
            before[k] += 1
        expected.append(n * probability)
    found = np.bincount(z @ [4, 2, 1], minlength=8)
    assert dist.chisquare(found, expected).pvalue > 1e-3


@implementations
def test_the_trace_is_the_log_joint_of_labels_and_topics(implementation):
    model = make(implementation, "gibbs", eta=ETA)
    stats = model.e_step(
        model.prepare(point_of(model)), block_of(DOCUMENTS[:2]), Step("sampled", "sampled", 3)
    )
    z = np.split(stats.local, [3])
    expected = 0.0
    for counts, own in zip(DOCUMENTS[:2], z, strict=True):
        expected += log_polya(np.bincount(own, minlength=K), ALPHA)
        expected += np.log(TOPICS[tokens_of(counts), own]).sum()
    assert stats.local_bound == pytest.approx(expected, abs=1e-11)
    log_prior = sum(dist.dirichlet(np.full(V, ETA)).logpdf(topic) for topic in TOPICS.T)
    assert model.global_term(point_of(model)) == pytest.approx(log_prior, abs=1e-11)


@implementations
def test_draws_of_topics_have_the_posterior_for_a_law(implementation):
    model = make(implementation, "gibbs", eta=ETA)
    stats = Stats(model.layout)
    stats["sstats"] = [[3.0, 0.0], [1.0, 7.0], [0.0, 0.2], [2.0, 1.0]]
    stats["documents"] = 2.0
    start = point_of(model)
    draws = np.array(
        [
            model.update(start, stats, Step("sampled", "sampled", seed=5, iteration=i))["topics"]
            for i in range(1500)
        ]
    )
    np.testing.assert_allclose(draws.sum(axis=1), 1.0, rtol=1e-12)
    concentration = ETA + stats["sstats"]
    for k in range(K):
        for w in range(V):
            a, rest = concentration[w, k], concentration[:, k].sum() - concentration[w, k]
            assert dist.kstest(draws[:, w, k], dist.beta(a, rest).cdf).pvalue > 1e-4


@pytest.mark.slow
@implementations
def test_gibbs_has_the_posterior_of_labels_with_topics_unknown(implementation):
    # Which tokens share a topic: known by enumeration, whatever the topics are called.
    documents = DOCUMENTS[[0, 2, 4]]
    words = np.concatenate([tokens_of(counts) for counts in documents])
    ends = np.cumsum(documents.sum(axis=1))
    log_p, together = [], []
    pairs = np.triu_indices(words.size, 1)
    for z in product(range(K), repeat=words.size):
        z = np.array(z)
        total = sum(
            log_polya(np.bincount(own, minlength=K), ALPHA) for own in np.split(z, ends[:-1])
        )
        for k in range(K):
            total += log_polya(np.bincount(words[z == k], minlength=V), ETA)
        log_p.append(total)
        together.append((z[pairs[0]] == z[pairs[1]]).astype(float))
    p = np.exp(np.array(log_p) - logsumexp(log_p))
    expected = p @ np.array(together)

    model = make(implementation, "gibbs", eta=ETA)
    block, n = block_of(documents), 6000
    params = model.init([block], Step("sampled", "sampled", seed=2))
    found = np.empty((n, pairs[0].size))
    for i in range(n):
        step = Step("sampled", "sampled", seed=2, iteration=i)
        stats = model.e_step(model.prepare(params), block, step)
        block.local = stats.local
        found[i] = stats.local[pairs[0]] == stats.local[pairs[1]]
        params = model.update(params, stats, step)
    batches = found[100:].reshape(59, 100, -1).mean(axis=1)
    z = (batches.mean(axis=0) - expected) / (batches.std(axis=0, ddof=1) / np.sqrt(len(batches)))
    assert np.abs(z).max() < 4.5


# ---- learned hyperparameters ----


@implementations
def test_a_learned_prior_is_where_the_bound_is_flat(implementation):
    # O5: by finite differences of the objective.
    model = make(implementation, "mean-field", eta=0.5, learn_alpha="vector", learn_eta="symmetric")
    block = block_of(np.tile(DOCUMENTS, (3, 1)))
    step = Step("factorised", "posterior")
    start = model.init([block], step)
    stats = model.e_step(model.prepare(start), block, step)
    learned = model.update(start, stats, step.next)

    def objective(alpha, scale):
        params = learned.copy()
        params["alpha"], params["eta_scale"] = alpha, scale
        return model.expected_log_joint(params, stats) + model.global_term(params)

    alpha, scale = learned["alpha"], learned["eta_scale"][0]
    assert not np.allclose(alpha, ALPHA, rtol=1e-3)
    assert abs(scale - 0.5) > 1e-3
    for k in range(K):
        h = 1e-4 * alpha[k] * np.eye(K)[k]
        slope = (objective(alpha + h, scale) - objective(alpha - h, scale)) / (2 * h[k])
        assert abs(slope * alpha[k]) < 1e-4
    h = 1e-4 * scale
    slope = (objective(alpha, scale + h) - objective(alpha, scale - h)) / (2 * h)
    assert abs(slope * scale) < 1e-4


@implementations
# Hard labels make proportions purer than they are.
@pytest.mark.parametrize("rung", ["mean-field", "variational-em", "gibbs"])
def test_learned_priors_find_the_scale_of_the_data(implementation, rung):
    rng = np.random.default_rng(0)
    topics = np.kron(np.eye(2), np.full((4, 1), 0.25))
    alpha = np.array([0.2, 0.6])
    theta = rng.dirichlet(alpha, 250)
    counts = np.array([rng.multinomial(40, p) for p in theta @ topics.T])
    config = config_of(rung, 8, 2, alpha=1.0, learn_alpha="vector", max_inner=20)
    model = implementation(config, Start(topics=0.8 * topics + 0.025))
    options = {"n_burn": 10, "n_draws": 1} if rung == "gibbs" else {"max_iter": 12, "tol": 0}
    learned = fit(model, block_of(counts), inference=rung, random_state=0, **options).params
    np.testing.assert_allclose(learned["alpha"], alpha, rtol=0.25)


def test_gammaln_is_not_needed_for_the_oracle():
    # Rising factorials are ratios of gamma functions: the oracle's own check.
    counts, a = np.array([3, 0, 2]), np.array([0.3, 1.2, 0.5])
    expected = gammaln(a.sum()) - gammaln(a.sum() + 5) + (gammaln(a + counts) - gammaln(a)).sum()
    assert log_polya(counts, a) == pytest.approx(expected, rel=1e-12)
