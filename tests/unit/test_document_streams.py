"""Topics of corpora that are read chunk by chunk."""

import tracemalloc

import lda_data
import numpy as np
import pytest
import scipy.sparse

from vemfast import LatentDirichletAllocation
from vemfast.cli import main
from vemfast.document_streams import DocumentStream, is_document_stream
from vemfast.documents import as_documents
from vemfast.io import CorpusError, load, stream_corpus, write_corpus

COUNTS = scipy.sparse.csr_matrix(lda_data.corpus(n=90, length=30))
WEIGHTS = np.random.default_rng(2).uniform(0.5, 2.0, COUNTS.shape[0])
RUNGS = ("mean-field", "variational-em", "hard-em")


class Source:
    """Chunks of given sizes, to be read again and again; it counts how often."""

    def __init__(self, sizes, weights=None, X=COUNTS):
        self.X, self.weights = X, weights
        self.ends = np.cumsum([0, *sizes])
        self.readings = 0

    def __iter__(self):
        self.readings += 1
        for start, stop in zip(self.ends[:-1], self.ends[1:], strict=True):
            part = self.X[start:stop]
            yield part if self.weights is None else (part, self.weights[start:stop])


SIZES = {"even": [30, 30, 30], "uneven": [1, 0, 52, 7, 30], "one": [90], "each": [1] * 90}


def online(**options):
    defaults = {"max_iter": 3, "batch_size": 16, "random_state": 0, "n_jobs": 1}
    return LatentDirichletAllocation(3, learning_method="online", **{**defaults, **options})


def assert_same(one, other):
    np.testing.assert_array_equal(one.components_, other.components_)
    np.testing.assert_array_equal(one.doc_topic_prior_, other.doc_topic_prior_)
    assert one.lower_bounds_ == other.lower_bounds_


@pytest.mark.parametrize("init", ["random", "documents", "spread"])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("rung", RUNGS)
def test_a_fit_to_chunks_is_that_to_all_documents(rung, sizes, init):
    options = {"inference": rung, "init": init, "doc_topic_prior": "learn"}
    in_memory = online(**options).fit(COUNTS)
    assert_same(online(**options).fit(Source(SIZES[sizes])), in_memory)


def test_threads_and_a_plain_pass_change_nothing():
    options = {"topic_word_prior": "learn"}  # no native pass
    in_memory = online(**options).fit(COUNTS)
    assert_same(online(**options, n_jobs=2).fit(Source([40, 50])), in_memory)


def test_weights_come_with_chunks_or_beside_them():
    in_memory = online().fit(COUNTS, sample_weight=WEIGHTS)
    assert_same(online().fit(Source([40, 50], WEIGHTS)), in_memory)
    assert_same(online().fit(Source([40, 50]), sample_weight=WEIGHTS), in_memory)
    with pytest.raises(ValueError, match="sample_weight is given, too"):
        online().fit(Source([40, 50], WEIGHTS), sample_weight=WEIGHTS)


def test_lists_and_callables_are_sources():
    chunks = [COUNTS[:50], COUNTS[50:]]
    in_memory = online().fit(COUNTS)
    assert_same(online().fit(chunks), in_memory)
    assert_same(online().fit(lambda: iter(chunks)), in_memory)
    assert_same(online().fit([chunk.toarray() for chunk in chunks]), in_memory)


def test_a_corpus_of_pairs_is_no_source():
    documents = [[(0, 2.0), (3, 1.0)], [(1, 4.0)]]

    class Corpus:
        def __iter__(self):
            return iter(documents)

    assert not is_document_stream(documents)
    assert not is_document_stream(Corpus())
    assert not is_document_stream(COUNTS)
    assert online().fit(Corpus()).n_features_in_ == 4


def test_it_is_read_once_a_pass_and_thrice_before():
    # For sizes, the start, and the objective of the start; and its first item is looked at.
    source = Source([40, 50])
    online(max_iter=4).fit(source)
    assert source.readings == 1 + 3 + 4


def test_more_candidates_for_the_start_than_are_looked_at(monkeypatch):
    monkeypatch.setattr("vemfast.models.lda_starts._MOST_CANDIDATES", 20)
    assert_same(online().fit(Source([40, 50])), online().fit(COUNTS))


@pytest.mark.parametrize("schedule", ["batch", "memoized"])
def test_other_schedules_say_which_one_takes_chunks(schedule):
    lda = LatentDirichletAllocation(3, schedule=schedule)
    with pytest.raises(ValueError, match="learning_method='online'"):
        lda.fit(Source([90]))


def test_what_is_wrong_is_named_by_its_chunk():
    bad = COUNTS.toarray().astype(float)
    bad[47, 3] = -1.0
    with pytest.raises(ValueError, match=r"chunk 1 of X: .*document 7, word 3 has -1"):
        online().fit(Source([40, 50], X=scipy.sparse.csr_matrix(bad)))
    bad[47, 3] = 0.5
    with pytest.raises(ValueError, match=r"chunk 1 of X: document 7, word 3 has a count of 0\.5"):
        online(inference="hard-em").fit(Source([40, 50], X=scipy.sparse.csr_matrix(bad)))
    with pytest.raises(ValueError, match=r"chunk 1 of X: .*12 features"):
        online().fit([COUNTS[:40], COUNTS[40:, :12]])
    with pytest.raises(ValueError, match="can be read only once"):
        online().fit(iter([COUNTS]))
    with pytest.raises(ValueError, match="no tokens"):
        online().fit([0 * COUNTS])


def test_batches_are_those_in_memory():
    block = as_documents(COUNTS).with_weights(WEIGHTS)
    stream = DocumentStream(Source([40, 50]), lambda chunk: as_documents(chunk))
    parts = stream.block(WEIGHTS).cut(7)
    expected = block.cut(7)
    assert [(p.offset, p.n, p.total_weight) for p in parts] == [
        (p.offset, p.n, p.total_weight) for p in expected
    ]
    for part, same in zip(parts, expected, strict=True):
        found = part.whole()
        np.testing.assert_array_equal(found.indptr, same.indptr)
        np.testing.assert_array_equal(found.indices, same.indices)
        np.testing.assert_array_equal(found.counts, same.counts)
        np.testing.assert_array_equal(found.weights, same.weights)


def test_documents_are_judged_chunk_by_chunk():
    lda = online().fit(COUNTS)
    np.testing.assert_array_equal(lda.transform(Source([40, 50])), lda.transform(COUNTS))
    chunks = [COUNTS[:40], COUNTS[40:]]
    np.testing.assert_array_equal(lda.transform(iter(chunks)), lda.transform(COUNTS))
    np.testing.assert_array_equal(lda.transform(Source(SIZES["uneven"])), lda.transform(COUNTS))
    assert lda.score(chunks) == lda.score(COUNTS)
    weighted = lda.score(COUNTS, sample_weight=WEIGHTS)
    assert weighted != lda.score(COUNTS)
    assert lda.score(Source([40, 50], WEIGHTS)) == weighted
    each = lda.score_samples(COUNTS)
    tokens = np.asarray(COUNTS.sum(axis=1)).ravel()
    expected = np.exp(-(WEIGHTS @ each) / (WEIGHTS @ tokens))
    assert lda.perplexity(Source([40, 50], WEIGHTS)) == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match="sample_weight is given, too"):
        lda.score(Source([40, 50], WEIGHTS), sample_weight=WEIGHTS)
    for use in (lda.held_out_score, lda.to_pyldavis):
        with pytest.raises(ValueError, match="documents in memory"):
            use(chunks)
    assert lda.perplexity(chunks) == pytest.approx(lda.perplexity(COUNTS), rel=1e-12)
    for bad in (np.nan, -1.0):
        weights = np.where(np.arange(len(WEIGHTS)) == 3, bad, WEIGHTS)
        for use in (lda.score, lda.perplexity):
            with pytest.raises(ValueError, match=r"finite and >= 0; sample_weight\[3\] is"):
                use(Source([40, 50], weights))
    with pytest.raises(ValueError, match="chunk 1 of X"):
        lda.transform([COUNTS[:40], COUNTS[40:, :5]])
    with pytest.raises(ValueError, match="chunks are empty, or there are none"):
        lda.transform(iter([]))


@pytest.mark.parametrize("name", ["c.ldac", "docword.c.txt.gz"])
def test_a_file_is_fitted_by_fit_and_by_partial_fit(name, tmp_path):
    write_corpus(tmp_path / name, COUNTS)
    stream = stream_corpus(tmp_path / name, chunk_documents=20)
    assert stream.n_words == COUNTS.shape[1]
    assert_same(online().fit(stream), online().fit(COUNTS))

    lda = LatentDirichletAllocation(3, total_samples=90, random_state=0)
    for chunk in stream:
        lda.partial_fit(chunk)
    same = LatentDirichletAllocation(3, total_samples=90, random_state=0)
    for start in range(0, 90, 20):
        same.partial_fit(COUNTS[start : start + 20])
    assert_same(lda, same)
    with pytest.raises(ValueError, match="call it for each chunk"):
        lda.partial_fit(stream)


def test_a_file_without_documents_has_no_words(tmp_path):
    (tmp_path / "c.ldac").write_text("")
    with pytest.raises(CorpusError, match="there is no document"):
        stream_corpus(tmp_path / "c.ldac")


def test_the_command_reads_chunk_by_chunk(tmp_path, capsys):
    path, model = str(tmp_path / "c.ldac"), str(tmp_path / "m")
    write_corpus(path, COUNTS)
    options = ["-k", "3", "--seed", "0", "--max-iter", "2", "--batch-size", "16", "-o", model]
    assert main(["fit", "lda", path, "--stream", *options]) == 0
    printed = capsys.readouterr().out
    assert "rows         90 x 13\n" in printed
    same = online(max_iter=2).fit(COUNTS)
    assert f"{same.lower_bound_ / COUNTS.sum():.6g} a token" in printed
    np.testing.assert_array_equal(load(model).components_, same.components_)
    assert main(["fit", "lda", path, "--stream", "--schedule", "batch", "-o", model]) == 2
    assert "learning_method='online'" in capsys.readouterr().err


def test_memory_holds_chunks_and_not_the_corpus(monkeypatch):
    monkeypatch.setattr("vemfast.streams._PART_BYTES", 1 << 20)
    for name in ("_MOST_CANDIDATES", "_OPENING"):  # kept whole, whatever the corpus
        monkeypatch.setattr(f"vemfast.models.lda_starts.{name}", 500)
    # 200 chunks of 200 documents with 50 words each: 8 bytes an entry, 16 MB in all.
    indptr, counts = np.arange(0, 10_001, 50), np.ones(10_000)

    def chunks():
        for number in range(200):
            words = (np.arange(10_000) * 2 + number) % 100
            yield scipy.sparse.csr_matrix((counts, words, indptr), shape=(200, 100))

    lda = online(batch_size=1000, max_iter=1)
    tracemalloc.start()
    lda.fit(chunks)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8e6
