"""Documents: the block, its cuts, and the reader of what users have."""

import pickle

import numpy as np
import pytest
import scipy.sparse

from vemfast.documents import DocumentBlock, as_documents, is_corpus

rng = np.random.default_rng(4)
COUNTS = rng.poisson(0.4, size=(30, 12)) * rng.integers(1, 4, size=(30, 12))
COUNTS[[0, 7, 8, 29]] = 0  # empty documents, at both ends too
CORPUS = [[(int(w), int(row[w])) for w in np.flatnonzero(row)] for row in COUNTS]


def dense(block):
    out = np.zeros((block.n, block.n_words))
    for d in range(block.n):
        words, counts = block.words_of(d)
        out[d, words] += counts
    return out


def test_document_block():
    block = DocumentBlock([0, 2, 2, 3], [5, 1, 0], [2, 1, 4], np.array([1.0, 1.0, 0.5]), offset=9)
    assert (block.n, block.n_words, block.offset, block.total_weight) == (3, 6, 9, 5.0)
    assert (block.indptr.dtype, block.indices.dtype, block.counts.dtype) == ("i8", "i4", "f4")
    np.testing.assert_array_equal(block.indices, [1, 5, 0])
    np.testing.assert_array_equal(block.counts, [1, 2, 4])
    assert block.is_whole
    assert DocumentBlock(np.array([0, 1], dtype=np.int32), [0], [3.0]).total_weight == 3
    assert (block.local, block.pending) == (None, None)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 2], [0, 1], [1]), r"2 indices but counts of shape \(1,\)"),
        (([0, 1], [0, 1], [1, 1]), "indptr must run from 0 to the 2 entries"),
        (([1, 2], [0, 1], [1, 1]), "indptr must run from 0"),
        (([], [], []), "indptr must run from 0"),
        (([0, 2, 1, 2], [0, 1], [1, 1]), "indptr falls after document 1"),
        (([0, 2], [0, -1], [1, 1]), "document 0: word number -1 is negative"),
        (([0, 1, 2], [4, 7], [1, -3]), "document 1, word 7 has -3"),
        (([0, 1, 2], [4, 7], [np.nan, 1]), "document 0, word 4 has NaN"),
        (([0, 1, 2], [4, 7], [1, 1], None, 0, 7), "document 1: word number 7 is not in the vocab"),
        (([0], [], [], None, 0, 0), "n_words must be from 1"),
        (([0, 1], [0], [1], np.array([-1.0])), "number 0 is -1.0"),
        (([0, 1], [0], [1], np.ones(2)), "for 1 documents"),
        (([0, 1], [0.0], [1]), "indices must hold integers"),
        (([0, 1], [0], [1], None, 0, None, np.float16), "float32 or float64; got float16"),
    ],
)
def test_document_block_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        DocumentBlock(*arguments)


def test_repeated_words_are_added_and_zeros_left_out():
    # L14, C7
    indices, counts = np.array([3, 0, 3, 1, 2, 2, 0]), np.array([1.0, 0, 2, 5, 1, 1, 0])
    given = indices.copy(), counts.copy()
    block = DocumentBlock([0, 4, 4, 7], indices, counts, n_words=5)
    np.testing.assert_array_equal(dense(block), [[0, 5, 0, 3, 0], [0] * 5, [0, 0, 2, 0, 0]])
    np.testing.assert_array_equal(block.indptr, [0, 2, 2, 3])
    np.testing.assert_array_equal(indices, given[0])
    np.testing.assert_array_equal(counts, given[1])


def test_counts_are_kept_exactly():
    # L4, L5
    assert DocumentBlock([0, 1], [0], [2**24]).counts.dtype == np.float32
    big = DocumentBlock([0, 1], [0], [2**24 + 1])
    assert big.counts[0] == 2**24 + 1
    tfidf = DocumentBlock([0, 2], [0, 1], [0.1, 2.0])
    assert tfidf.counts[0] == 0.1
    assert not tfidf.is_whole
    assert tfidf.total_weight == 2.1


@pytest.mark.parametrize("n_blocks", [1, 2, 3, 7, 40])
@pytest.mark.parametrize("weighted", [False, True])
def test_cuts_are_of_equal_weight_and_whole(n_blocks, weighted):
    weights = None
    if weighted:
        weights = rng.uniform(0, 2, 30)
        weights[[3, 4, 5, 28]] = 0.0
    block = as_documents(COUNTS, weights)
    block.offset = 100
    parts = block.cut(n_blocks)
    assert 1 <= len(parts) <= n_blocks
    np.testing.assert_array_equal(np.concatenate([dense(part) for part in parts]), COUNTS)
    ends = np.cumsum([0, *(part.n for part in parts)])
    assert [part.offset for part in parts] == (100 + ends[:-1]).tolist()
    assert all(part.total_weight > 0 for part in parts)
    assert sum(part.total_weight for part in parts) == pytest.approx(block.total_weight)
    largest = (block.tokens * (1 if weights is None else weights)).max()
    fair = block.total_weight / n_blocks
    assert max(part.total_weight for part in parts) <= fair + largest + 1e-9
    if weighted:
        np.testing.assert_array_equal(np.concatenate([part.weights for part in parts]), weights)


def test_cuts_start_at_multiples():
    assert all(part.offset % 4 == 0 for part in as_documents(COUNTS).cut(5, align=4))


def test_slices_and_forks():
    block = as_documents(COUNTS, np.arange(30.0))
    block.local = "state"
    part = block.slice(5, 11)
    np.testing.assert_array_equal(dense(part), COUNTS[5:11])
    np.testing.assert_array_equal(part.weights, np.arange(5.0, 11))
    assert (part.offset, part.local) == (5, None)
    assert block.slice(4, 2).n == 0
    other = block.fork()
    assert other.local == "state"
    assert other.indices.base is not None or other.indices is block.indices
    other.local = "own"
    assert block.local == "state"
    assert block.with_weights(None).total_weight == COUNTS.sum()
    again = pickle.loads(pickle.dumps(block))
    np.testing.assert_array_equal(dense(again), COUNTS)


@pytest.mark.parametrize("index_type", [np.int32, np.int64])
@pytest.mark.parametrize("form", ["csr", "csc", "coo", "lil"])
@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.float32])
def test_sparse_matrices_of_any_form(form, index_type, dtype):
    X = scipy.sparse.csr_matrix(COUNTS)
    X = scipy.sparse.csr_matrix((X.data.astype(dtype), X.indices, X.indptr), shape=X.shape)
    X.indices, X.indptr = X.indices.astype(index_type), X.indptr.astype(index_type)
    block = as_documents(X.asformat(form))
    np.testing.assert_array_equal(dense(block), COUNTS)
    assert block.n_words == 12


def test_counts_of_the_other_byte_order():
    X = scipy.sparse.csr_matrix(COUNTS)
    X.data = X.data.astype(">f8")
    np.testing.assert_array_equal(dense(as_documents(X)), COUNTS)
    np.testing.assert_array_equal(dense(as_documents(COUNTS.astype(">i4"))), COUNTS)


def test_corpora_and_dense_arrays():
    class Corpus:  # gensim's are objects that can be iterated again and again
        def __iter__(self):
            return iter(CORPUS)

    for X in (COUNTS, COUNTS.tolist(), COUNTS.astype(object), CORPUS, Corpus(), tuple(CORPUS)):
        np.testing.assert_array_equal(dense(as_documents(X, n_words=12)), COUNTS)
    assert as_documents(CORPUS).n_words == max(w for row in CORPUS for w, _ in row) + 1
    assert [is_corpus(X) for X in (COUNTS, COUNTS.tolist(), CORPUS, [], iter(CORPUS), "ab")] == [
        False, False, True, False, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("X", "error", "message"),
    [
        ([[(0, 1), (1, -2)]], ValueError, "document 0, word 1 has -2"),
        ([[(0, 1)], [(1, 1), (9, 1)]], ValueError, "document 1: word number 9 is not in"),
        ([[(0, 1)], [(1.5, 1)]], ValueError, r"document 1 holds \(1.5, 1\)"),
        ([[(0, 1)], [(1, "x")]], ValueError, "document 1 holds"),
        (np.array([[0.0, np.inf, 1.0]]), ValueError, "document 0, word 1 has infinity"),
        (np.array([[0.0, 1.0, np.nan]]), ValueError, "document 0, word 2 has NaN"),
        (np.array([1.0, 2.0]), ValueError, "reshape one document"),
        (np.array([["a", "b", "c"]]), TypeError, "real numbers"),
        (np.array([[1j, 0, 0]]), TypeError, "real numbers"),
        (np.ones((2, 4)), ValueError, "X has 4 features, but 3 words are expected"),
        (scipy.sparse.csr_array(np.ones((2, 4))), ValueError, "X has 4 features, but 3 words"),
    ],
)
def test_what_is_refused(X, error, message):
    # L3, L7, L12
    with pytest.raises(error, match=message):
        as_documents(X, n_words=3)


def broken(change):
    X = scipy.sparse.csr_matrix(COUNTS)
    change(X)
    return X


@pytest.mark.parametrize(
    "change",
    [
        lambda X: X.indices.__setitem__(3, 12),
        lambda X: X.indices.__setitem__(3, -1),
        lambda X: X.indptr.__setitem__(4, X.indptr[5] + 3),
    ],
)
def test_inconsistent_matrices_are_refused(change):
    # C7
    with pytest.raises(ValueError, match="ind"):
        as_documents(broken(change))


def test_unsorted_and_repeated_sparse_entries():
    # C7
    X = scipy.sparse.csr_matrix(
        (np.array([1, 2, 0, 4]), np.array([3, 0, 1, 3]), np.array([0, 4])), shape=(1, 5)
    )
    np.testing.assert_array_equal(dense(as_documents(X)), [[2, 0, 0, 5, 0]])
    assert X.nnz == 4
