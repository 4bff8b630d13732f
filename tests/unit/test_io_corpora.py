"""Corpora: what is written is read again, chunks add up to the whole, and errors name the line."""

from __future__ import annotations

import gzip
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from vemfast.io import (
    CorpusError,
    read_corpus,
    read_vocabulary,
    stream_corpus,
    write_corpus,
)

FILES = {
    "ldac": "c.ldac",
    "ldac, gzipped": "c.ldac.gz",
    "uci": "docword.c.txt",
    "uci, gzipped": "docword.c.txt.gz",
    "mtx": "c.mtx",
    "svmlight": "c.svmlight",
    "npz": "c.npz",
}
COUNTS = np.array([[2, 0, 1, 0], [0, 0, 0, 0], [0, 3, 0, 0], [1, 1, 1, 0]], dtype=float)


@pytest.fixture(params=FILES.values(), ids=FILES.keys())
def file(request: pytest.FixtureRequest, tmp_path: Any) -> Any:
    return tmp_path / request.param


@given(
    counts=st.lists(
        st.lists(st.integers(0, 3) | st.just(10**6), min_size=5, max_size=5),
        min_size=1,
        max_size=8,
    )
)
@settings(max_examples=15, deadline=None)
def test_what_is_written_is_read(tmp_path_factory: Any, counts: list[list[int]]) -> None:
    folder = tmp_path_factory.mktemp("corpus")
    for name in FILES.values():
        write_corpus(folder / name, sparse.csr_array(np.array(counts)))
        found = read_corpus(folder / name, n_words=5).counts
        assert found.shape == (len(counts), 5)
        np.testing.assert_array_equal(found.toarray(), counts)


def test_fractions_come_back_exactly(file: Any) -> None:
    counts = np.array([[1 / 3, 0.0], [0.0, 1e-7]])
    write_corpus(file, counts)
    found = read_corpus(file, n_words=2).counts.toarray()
    np.testing.assert_allclose(found, counts, rtol=1e-15)


def test_the_width_is_told_by_file_or_words(tmp_path: Any) -> None:
    write_corpus(tmp_path / "c.ldac", COUNTS)
    write_corpus(tmp_path / "docword.c.txt", COUNTS)
    (tmp_path / "words").write_text("a\nb\nc\nd\n")
    assert read_corpus(tmp_path / "c.ldac").counts.shape == (4, 3)
    assert read_corpus(tmp_path / "docword.c.txt").counts.shape == (4, 4)
    corpus = read_corpus(tmp_path / "c.ldac", tmp_path / "words")
    assert corpus.vocabulary == ("a", "b", "c", "d")
    assert corpus.counts.shape == (4, 4)
    assert read_corpus(tmp_path / "c.ldac", ["a", "b", "c", "d"]).vocabulary == ("a", "b", "c", "d")
    with pytest.raises(ValueError, match="n_words=5, but the vocabulary has 4"):
        read_corpus(tmp_path / "c.ldac", tmp_path / "words", n_words=5)
    assert (read_corpus(tmp_path / "c.ldac", n_words=9).counts.toarray()[:, :4] == COUNTS).all()


@pytest.mark.parametrize("name", ["c.ldac", "c.ldac.gz", "docword.c.txt", "docword.c.txt.gz"])
@pytest.mark.parametrize("documents", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("lines", [1, 5, 1 << 15])
def test_chunks_are_the_whole(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, name: str, documents: int, lines: int
) -> None:
    monkeypatch.setattr("vemfast.io.corpora_text._CHUNK_LINES", lines)
    rng = np.random.default_rng(documents)
    counts = rng.poisson(0.4, (13, 6)) * rng.integers(0, 2, (13, 1))
    counts[[0, 4, 5, 12]] = 0  # documents without words, at both ends, too
    write_corpus(tmp_path / name, counts)
    stream = stream_corpus(tmp_path / name, n_words=6, chunk_documents=documents)
    for _ in range(2):  # again and again
        chunks = list(stream)
        assert [chunk.shape[0] for chunk in chunks[:-1]] == [documents] * (len(chunks) - 1)
        assert all(chunk.shape[1] == 6 for chunk in chunks)
        np.testing.assert_array_equal(sparse.vstack(chunks).toarray(), counts)


def test_repeated_words_are_added_and_order_does_not_matter(tmp_path: Any) -> None:
    (tmp_path / "c.ldac").write_text("3 2:1 0:1 2:4\n")
    np.testing.assert_array_equal(
        read_corpus(tmp_path / "c.ldac").counts.toarray(), [[1.0, 0.0, 5.0]]
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 0:1\n2 0:1\n", "line 2 says 2 entries and has 1"),
        ("1 0:1\n\n1 0:1\n", "line 2 is empty; an empty document is written as 0"),
        ("1 0:1\n1 0=1\n", "line 2: '0=1' stands where"),
        ("1 0:1\n1 -1:2\n", "line 2: '-1:2' stands where"),
        ("1 0:1\n1 0:x\n", "line 2: a count is not a number"),
        ("1 0:1\n1 0:-3\n", "line 2, word 0: the count -3 is not a number >= 0"),
        ("1 0:1\n1 0:nan\n", "line 2, word 0: the count nan"),
        ("1 0:1\n1 5:1\n", "line 2 has word 5, but there are 5 words"),
        ("1 0:1\n1 99999999999:1\n", "line 2 has word 99999999999"),
        ("", "there is no document"),
    ],
)
def test_broken_ldac(tmp_path: Any, text: str, message: str) -> None:
    (tmp_path / "c.ldac").write_text(text)
    with pytest.raises(CorpusError, match=message) as raised:
        read_corpus(tmp_path / "c.ldac", n_words=5)
    assert "c.ldac" in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2\n3\n", "line 3 is to be the number of entries"),
        ("2\nx\n1\n1 1 1\n", "line 2 is to be the number of words; got 'x'"),
        ("0\n3\n0\n", "line 1 is to be the number of documents"),
        ("2\n3\n2\n1 1 1\n1 4 1\n", "line 5 names document 1 and word 4"),
        ("2\n3\n2\n1 1 1\n3 1 1\n", "line 5 names document 3"),
        ("2\n3\n2\n1 1 1\n0 1 1\n", "line 5 names document 0"),
        ("2\n3\n2\n1 1 1\n1.5 1 1\n", "line 5 names document 1.5"),
        ("2\n3\n2\n1 1 1\n2 1\n", "line 5: '2 1' is not 'document word count'"),
        ("2\n3\n2\n1 1 1\n2 1 a\n", "line 5: '2 1 a' is not"),
        ("2\n3\n2\n2 1 1\n1 1 1\n", "line 5: documents are not in order"),
        ("2\n3\n3\n1 1 1\n2 1 1\n", "line 3 says 3 entries, and there are 2"),
        ("2\n3\n2\n1 1 1\n1 2 -1\n", "line 5: the count -1 is not a number >= 0"),
        ("2\n3\n2\n1 1 1\n2 1 inf\n", "line 5: the count inf"),
    ],
)
@pytest.mark.parametrize("lines", [1, 1 << 15])
def test_broken_uci(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, text: str, message: str, lines: int
) -> None:
    monkeypatch.setattr("vemfast.io.corpora_text._CHUNK_LINES", lines)
    (tmp_path / "docword.c.txt").write_text(text)
    with pytest.raises(CorpusError, match=message):
        read_corpus(tmp_path / "docword.c.txt")


def test_uci_words_beyond_the_vocabulary(tmp_path: Any) -> None:
    write_corpus(tmp_path / "docword.c.txt", COUNTS)
    with pytest.raises(CorpusError, match="line 2 says 4 words; expected at most 3"):
        read_corpus(tmp_path / "docword.c.txt", n_words=3)


@pytest.mark.parametrize("name", ["c.mtx", "c.svmlight", "c.npz"])
def test_broken_files_of_libraries(tmp_path: Any, name: str) -> None:
    (tmp_path / name).write_bytes(b"what is this?")
    with pytest.raises(CorpusError, match=name):
        read_corpus(tmp_path / name)
    write_corpus(tmp_path / name, COUNTS)
    with pytest.raises(CorpusError, match=r"2, but there are 2 words|not a svmlight file"):
        read_corpus(tmp_path / name, n_words=2)


def test_negative_counts_are_refused(file: Any) -> None:
    file.write_text("an earlier file")
    with pytest.raises(CorpusError, match="document 1, word 0: the count -1 is not a number >= 0"):
        write_corpus(file, np.array([[1, 0], [-1, 0]]))
    assert file.read_text() == "an earlier file"


def test_a_cut_gzip_file(tmp_path: Any) -> None:
    whole = gzip.compress(b"1 0:1\n" * 1000)
    (tmp_path / "c.ldac.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorpusError, match="the compressed file is broken"):
        read_corpus(tmp_path / "c.ldac.gz")


def test_formats_that_are_not_known(tmp_path: Any) -> None:
    with pytest.raises(CorpusError, match="the name does not tell the format"):
        read_corpus(tmp_path / "c.txt")
    with pytest.raises(CorpusError, match="format must be one of ldac, uci"):
        read_corpus(tmp_path / "c.txt", format="xml")
    with pytest.raises(CorpusError, match="'mtx' is not read in chunks"):
        stream_corpus(tmp_path / "c.mtx", 3)
    with pytest.raises(ValueError, match="n_words must be >= 1"):
        stream_corpus(tmp_path / "c.ldac", 0)
    with pytest.raises(FileNotFoundError):
        read_corpus(tmp_path / "absent.ldac")
    (tmp_path / "c.txt").write_text("1 0:2\n")
    assert read_corpus(tmp_path / "c.txt", format="ldac").counts.toarray().tolist() == [[2.0]]


def test_vocabularies(tmp_path: Any) -> None:
    (tmp_path / "words").write_bytes("é\nb \n".encode())
    assert read_vocabulary(tmp_path / "words") == ("é", "b")
    (tmp_path / "words").write_text("a\n\nb\n")
    with pytest.raises(CorpusError, match="line 2 is empty"):
        read_vocabulary(tmp_path / "words")
    (tmp_path / "words").write_bytes(b"a\n\xff\n")
    with pytest.raises(CorpusError, match="line 2 is not UTF-8"):
        read_vocabulary(tmp_path / "words")
