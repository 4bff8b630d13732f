"""Streams: what counts as one, how chunks are re-cut, and what a source may not do."""

from itertools import count

import numpy as np
import pytest
from scipy import sparse

from vemfast import GaussianMixture, streams
from vemfast.data import RowBlock
from vemfast.execution.threads import e_step
from vemfast.indexed import IndexedBlock, SparseRows
from vemfast.inference import fit
from vemfast.models.base import Model, Step
from vemfast.stats import Layout, Stats, SumTree, fold
from vemfast.streams import Stream, is_stream, sum_parts

X = np.random.default_rng(0).normal(size=(1000, 3))


def pieces(rows, *cuts):
    return np.split(rows, cuts)


class Again:
    """A source that can be iterated again, and counts how often it was."""

    def __init__(self, chunks):
        self.chunks = chunks
        self.times = 0

    def __iter__(self):
        self.times += 1
        return iter(self.chunks)


# ---- what is a stream --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        [X],
        (X, X),
        [(X, np.ones(1000))],
        ((X, np.ones(1000)),),
        [sparse.csr_array(X)],
        lambda: iter([X]),
        Again([X]),
        iter([X]),
    ],
    ids=["list", "tuple", "pairs", "tuple of a pair", "sparse", "callable", "iterable", "iterator"],
)
def test_streams(source):
    assert is_stream(source)


@pytest.mark.parametrize(
    "source",
    [X, X.tolist(), [], [X[0]], sparse.csr_array(X), "rows", {"a": X}, None, 3.0, np.float64, X[0]],
    ids=lambda source: type(source).__name__,
)
def test_no_streams(source):
    assert not is_stream(source)


def test_a_one_shot_iterator_is_refused_with_what_to_do():
    with pytest.raises(ValueError, match=r"generator, which can be read only once.*partial_fit"):
        Stream(chunk for chunk in [X])


def test_a_callable_that_returns_no_iterator():
    with pytest.raises(ValueError, match="must return an iterator of chunks; it returned a NoneT"):
        Stream(lambda: None)


# ---- cuts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 13, 100])
def test_fold_is_the_tree_of_sums(n):
    rng = np.random.default_rng(n)
    layout = Layout({"a": (3,)})
    terms = [Stats(layout, rng.normal(size=5) * 10.0 ** rng.integers(-8, 8)) for _ in range(n)]
    expected = SumTree(terms).total.buffer
    assert np.array_equal(fold(iter(terms)).buffer, expected)


def test_fold_of_nothing():
    with pytest.raises(ValueError, match="at least one term"):
        fold([])


@pytest.mark.parametrize("cuts", [(), (1,), (100, 100, 613), tuple(range(0, 1000, 7))])
@pytest.mark.parametrize("leaf_rows", [8, 64, 300])
def test_parts_are_powers_of_two_of_leaves_whatever_the_chunks(monkeypatch, cuts, leaf_rows):
    monkeypatch.setattr(streams, "_PART_BYTES", 5_000)
    weights = np.random.default_rng(1).uniform(size=1000)
    block = Stream(pieces(X, *cuts)).block(weights)
    parts = [(p.n, p.offset, p.X.copy(), p.weights.copy()) for p in block.parts(leaf_rows)]
    sizes = [part[0] for part in parts]
    assert set(sizes[:-1]) <= {leaf_rows << (max(208 // leaf_rows, 1).bit_length() - 1)}
    assert [part[1] for part in parts] == list(np.cumsum([0, *sizes[:-1]]))
    assert np.array_equal(np.concatenate([part[2] for part in parts]), X)
    assert np.array_equal(np.concatenate([part[3] for part in parts]), weights)


def test_batches_are_those_of_the_rows_in_memory():
    weights = np.ones(1000)
    weights[200:400] = 0
    whole = RowBlock(X, weights)
    block = Stream(pieces(X, 13, 500, 777)).block(weights)
    for mine, theirs in zip(block.cut(5), whole.cut(5), strict=True):
        (part,) = mine.parts(None)
        assert (mine.offset, mine.n, mine.total_weight) == (
            theirs.offset,
            theirs.n,
            theirs.total_weight,
        )
        assert np.array_equal(part.X, theirs.X)
        assert np.array_equal(part.weights, theirs.weights)


def test_a_pass_over_batches_opens_the_source_once():
    source = Again(pieces(X, 300, 400))
    stream = Stream(source)
    assert (source.times, stream.passes) == (1, 1)
    for batch in stream.block().cut(7):
        for _ in batch.parts():
            pass
    assert source.times == 2


def test_a_source_may_use_its_memory_again(monkeypatch):
    monkeypatch.setattr(streams, "_PART_BYTES", 2_000)

    def source():
        buffer = np.empty((37, 3))
        for start in range(0, 999, 37):
            buffer[:] = X[start : start + 37]
            yield buffer

    block = Stream(source).block()
    assert np.array_equal(np.concatenate([p.X.copy() for p in block.parts(50)]), X[:999])
    assert np.array_equal(block.whole().X, X[:999])


def test_rows_taken_by_number():
    chosen = np.array([0, 5, 299, 300, 301, 999])
    weights = np.arange(1000.0)
    taken = Stream(pieces(X, 300)).block(weights).take(chosen)
    assert np.array_equal(taken.X, X[chosen])
    assert np.array_equal(taken.weights, chosen)


def test_distinct_rows_of_a_stream():
    rows = np.repeat(X[:4], 250, axis=0)
    weights = np.ones(1000)
    weights[250:500] = 0
    block = Stream(pieces(rows, 100, 600)).block(weights)
    assert block.distinct_rows(10) == 3
    assert block.distinct_rows(2) == 2


def test_empty_chunks_are_left_out():
    stream = Stream([X[:0], X[:10], X[:0], X[10:], X[:0]])
    assert stream.n == 1000
    assert np.array_equal(stream.block().whole().X, X)


def test_float32_stays_and_is_widened_after_float64():
    stream = Stream([X[:10].astype(np.float32), X[10:20].astype(np.float32)])
    assert stream.dtype == np.float32
    mixed = Stream([X[:10], X[10:20].astype(np.float32)]).block().whole()
    assert np.array_equal(mixed.X, np.concatenate([X[:10], X[10:20].astype(np.float32)]))


def test_weights_come_with_the_chunks():
    weights = np.arange(1000.0)
    stream = Stream([(X[:400], weights[:400]), (X[400:], weights[400:])])
    assert np.array_equal(stream.weights, weights)


@pytest.mark.parametrize("values", [True, False], ids=["counts", "bits"])
def test_indexed_rows(values):
    counts = np.random.default_rng(2).poisson(0.4, size=(500, 6)).astype(np.float64)

    def convert(chunk):
        m = sparse.csr_array(chunk)
        data = m.data if values else None
        return IndexedBlock(
            SparseRows(m.indptr.astype(np.int64), m.indices.astype(np.int32), data, 6)
        )

    whole = convert(counts)
    block = Stream(pieces(counts, 7, 100, 400), convert).block(np.ones(500))
    again = block.whole()
    assert again.keys() == whole.keys()
    chosen = np.array([3, 50, 399, 400])
    assert block.take(chosen).keys() == [whole.keys()[i] for i in chosen]
    dense = Stream(pieces(counts, 7, 100), lambda chunk: IndexedBlock(chunk)).block()
    assert np.array_equal(dense.whole().rows, counts)
    assert np.array_equal(dense.take(chosen).rows, counts[chosen])


# ---- what a source may not do ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chunks", "message"),
    [
        ([X, X[:, :2]], "chunk 1 of X has 2 features, the first has 3"),
        ([X, X[:0, :2]], "chunk 1 of X has 2 features, the first has 3"),
        ([X, X[0]], "chunk 1 of X: X must be a 2-D array"),
        ([X, X.astype(complex)], "chunk 1 of X: X is complex"),
        ([X[:0]], "X has no rows"),
        ([X.astype(np.float32), X], "chunk 1 of X is float64, the first is float32"),
        ([(X, np.ones(5))], "chunk 0 of X has 1000 rows, and weights of shape"),
        ([(X, np.ones(1000)), X], "some chunks of X come with weights and some without.*chunk 1"),
        ([X, (X, np.ones(1000))], "some chunks of X come with weights and some without.*chunk 1"),
    ],
)
def test_chunks_that_do_not_go_together(chunks, message):
    with pytest.raises(ValueError, match=message):
        Stream(chunks)


def test_weights_of_chunks_that_are_judged():
    mixture = GaussianMixture(2, random_state=0, tol=0.1).fit(X)
    weights = np.linspace(0, 2, len(X))
    memory = np.empty(500)

    def reused():  # a reader with room for the weights of one chunk
        for start in (0, 500):
            memory[:] = weights[start : start + 500]
            yield X[start : start + 500], memory

    assert mixture.score(reused) == mixture.score(X, sample_weight=weights)
    with pytest.raises(ValueError, match="chunk 0 of X has 500 rows, and weights of shape"):
        mixture.score([(X[:500], weights[:499]), (X[500:], weights[499:])])
    with pytest.raises(ValueError, match=r"chunk 0 of X: .*2D array"):
        mixture.predict(number for number in np.ones(2))
    with pytest.raises(ValueError, match="it must return an iterator of chunks; it returned a int"):
        mixture.predict(lambda: 3)
    with pytest.raises(ValueError, match=r"some without.*chunk 1"):
        mixture.score([(X[:500], weights[:500]), X[500:]])


@pytest.mark.parametrize(
    ("later", "message"),
    [
        ([X[:600]], "pass 2 over its chunks ends after 600 rows, the first had 1000"),
        ([], "pass 2 over its chunks ends after 0 rows, the first had 1000"),
        ([X, X[:1]], "pass 2 over its chunks gives more than the 1000 rows"),
        ([X[:990], X[:20]], "pass 2 over its chunks gives more than the 1000 rows"),
        ([X[:, :1]], "chunk 0 of X has 1 features"),
    ],
)
def test_a_source_that_changes_between_passes(later, message):
    source = Again([X])
    block = Stream(source).block()
    source.chunks = later
    with pytest.raises(ValueError, match=message) as caught:
        list(block.parts())
    assert caught.value.from_data


def test_what_a_source_raises_comes_out_as_it_is():
    class LostError(Exception):
        pass

    lost = LostError("the disk is gone")

    calls = []

    def failing():
        calls.append(1)
        yield X[:500]
        if len(calls) > 1:
            raise lost
        yield X[500:]

    block = Stream(failing).block()
    with pytest.raises(LostError) as caught:
        list(block.parts())
    assert caught.value is lost
    assert lost.from_data


# ---- a model of one's own ----------------------------------------------------------------------


class Means(Model):
    """One Gaussian of unit variance: the mean of the rows."""

    layout = Layout({"count": (), "sums": (3,)})

    def init(self, blocks, step):
        return np.zeros(3)

    def e_step(self, params, block, step):
        stats = Stats(self.layout)
        stats["count"], stats["sums"] = block.n, block.X.sum(axis=0)
        stats.local_bound = -0.5 * ((block.X - params) ** 2).sum()
        return stats

    def update(self, params, stats, step):
        return stats["sums"] / stats["count"]

    def global_term(self, params):
        return 0.0


@pytest.mark.parametrize("schedule", ["batch", "minibatch"])
@pytest.mark.parametrize("n_jobs", [1, 3])
def test_a_model_in_python_reads_a_stream(schedule, n_jobs):
    options = {"schedule": schedule, "max_iter": 5, "n_jobs": n_jobs, "random_state": 0}
    in_memory = fit(Means(), X, **options)
    streamed = fit(Means(), Stream(pieces(X, 1, 400)), **options)
    assert np.array_equal(in_memory.params, streamed.params)
    assert in_memory.lower_bounds == streamed.lower_bounds


def test_threads_read_no_more_blocks_than_they_work_on():
    most, begun = 0, count()
    batches = Stream(pieces(X, 500)).block().cut(50)

    class Watched(Means):
        def e_step(self, params, block, step):
            nonlocal most
            most = max(most, source.given - next(begun))
            return super().e_step(params, block, step)

    class Counting(list):
        given = 0

        def __iter__(self):
            for item in list.__iter__(self):
                self.given += 1
                yield item

    source = Counting(batches)
    total = e_step(Watched(), np.zeros(3), source, Step(n_jobs=2))
    assert total["count"] == 1000
    assert most <= 5


def test_a_sum_over_a_block_in_memory_is_one_term():
    block = RowBlock(X)
    assert sum_parts(lambda part: part, block, 8) is block
