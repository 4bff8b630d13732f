"""Blocks of sequences and what they are made of."""

import numpy as np
import pytest
import scipy.sparse

from vemfast.data import RowBlock
from vemfast.execution.local_state import accept, forked
from vemfast.indexed import IndexedBlock
from vemfast.sequences import SequenceBlock, check_lengths, joined, naming_steps, split

X = np.arange(24.0).reshape(8, 3)


def test_sequence_block():
    block = SequenceBlock(RowBlock(X, offset=7), [3, 5], np.array([2.0, 0.5]))
    assert (block.n, block.n_steps, block.offset, block.total_weight) == (2, 8, 7, 8.5)
    assert block.starts.tolist() == [0, 3, 8]
    assert block.dtype == np.float64
    np.testing.assert_array_equal(block.steps().weights, [2, 2, 2, 0.5, 0.5, 0.5, 0.5, 0.5])
    whole = SequenceBlock(X)
    assert (whole.n, whole.total_weight, whole.steps().weights) == (1, 8, None)
    assert SequenceBlock(IndexedBlock(X.astype(np.uint8)), [8]).n_features == 3


def test_parts_share_the_rows_and_know_where_they_are():
    labels = np.arange(8, dtype=np.int32)
    block = SequenceBlock(RowBlock(X, offset=7), [3, 1, 4], np.array([1.0, 2.0, 3.0]), labels, 5)
    part = block.slice(1, 3)
    assert (part.n, part.offset, part.first, part.total_weight) == (2, 10, 6, 14)
    assert np.shares_memory(part.rows.X, X)
    np.testing.assert_array_equal(part.rows.X, X[3:])
    np.testing.assert_array_equal(part.labels, labels[3:])
    assert block.slice(2, 2).n == 0
    assert block.with_weights(None).total_weight == 8
    assert block.with_weights(None).labels is not None


@pytest.mark.parametrize("n_blocks", [1, 2, 3, 7])
def test_cuts_are_between_sequences_and_even(n_blocks):
    rng = np.random.default_rng(n_blocks)
    lengths = rng.integers(1, 9, 40)
    weights = rng.uniform(0, 2, 40)
    weights[-3:] = 0
    rows = np.zeros((lengths.sum(), 1))
    block = SequenceBlock(rows, lengths, weights)
    parts = block.cut(n_blocks)
    assert len(parts) == n_blocks
    assert sum(part.n for part in parts) == 40
    assert np.concatenate([part.lengths for part in parts]).tolist() == lengths.tolist()
    assert sum(part.total_weight for part in parts) == pytest.approx(block.total_weight)
    for part in parts:
        assert part.total_weight == pytest.approx(block.total_weight / n_blocks, abs=16)


def test_there_are_no_more_parts_than_sequences():
    assert [part.n for part in SequenceBlock(X, [3, 5]).cut(5)] == [1, 1]
    nothing = SequenceBlock(X, [3, 5], np.zeros(2))
    assert [part.n for part in nothing.cut(2)] == [2]


def test_state_waits_and_forks():
    block = SequenceBlock(X, [3, 5])
    (fork,) = forked([block])
    fork.pending = np.ones((8, 2))
    accept([fork])
    assert fork.local is not None
    assert block.local is None
    assert fork.slice(0, 1).local is None


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([3, 4], "lengths add up to 7, X has 8 steps"),
        ([3, 0, 5], "sequence 1 has 0"),
        ([9, -1], "sequence 1 has -1"),
        ([3.5, 4.5], "must hold integers; got float64"),
        ([[3, 5]], r"must be 1-D; got shape \(1, 2\)"),
    ],
)
def test_H1_lengths(lengths, message):
    with pytest.raises(ValueError, match=message):
        SequenceBlock(X, lengths)
    with pytest.raises(ValueError, match=message):
        joined(X, lengths)
    with pytest.raises(ValueError, match=message):
        check_lengths(lengths, 8)


def test_what_a_block_refuses():
    with pytest.raises(ValueError, match="for 1 sequences"):
        SequenceBlock(X, [8], np.ones(8))
    with pytest.raises(ValueError, match="must not have weights of their own"):
        SequenceBlock(RowBlock(X, np.ones(8)), [8])
    with pytest.raises(ValueError, match=r"labels of shape \(3,\) for 8 steps"):
        SequenceBlock(X, [8], None, np.zeros(3))


@pytest.mark.parametrize(
    "several",
    [[X[:3], X[3:]], (X[:3], X[3:]), [X[:3].tolist(), X[3:].tolist()], [X[:3], X[3:].tolist()]],
)
def test_a_list_of_arrays_is_one_array_with_lengths(several):
    rows, lengths = joined(several)
    np.testing.assert_array_equal(rows, X)
    assert lengths.tolist() == [3, 5]


def test_other_forms():
    rows, lengths = joined(X.reshape(2, 4, 3))
    np.testing.assert_array_equal(rows, X)
    assert lengths.tolist() == [4, 4]
    rows, lengths = joined(X)
    assert rows is X
    assert lengths.tolist() == [8]
    assert joined(X.tolist())[1].tolist() == [8]
    sparse, lengths = joined([scipy.sparse.csr_array(X[:3]), scipy.sparse.coo_array(X[3:])])
    np.testing.assert_array_equal(sparse.toarray(), X)
    assert lengths.tolist() == [3, 5]
    assert [part.shape for part in split(X, np.array([3, 5]))] == [(3, 3), (5, 3)]


@pytest.mark.parametrize(
    ("several", "lengths", "message"),
    [
        ([X, X[:, :2]], None, "sequence 1 has 2 features, but sequence 0 has 3"),
        ([X, X[:0]], None, "sequence 1 has no steps"),
        ([X, X[0]], None, r"sequence 1 has 1 dimension.*reshape\(-1, 1\)"),
        ([X, X], [8, 8], "whose lengths are known"),
        (X[0], None, r"1 dimension\(s\); reshape"),
        (X[:0], None, "no steps"),
        (np.float64(3), None, r"got 0 dimension"),
    ],
)
def test_what_does_not_fit_together(several, lengths, message):
    with pytest.raises(ValueError, match=message):
        joined(several, lengths)


def test_rows_are_named_by_sequence_and_step():
    def refuse(row):
        raise ValueError(f"X contains NaN at row {row}, column 2")

    lengths = np.array([3, 5])
    with (
        pytest.raises(ValueError, match="NaN at sequence 0, step 2, column 2"),
        naming_steps(lengths),
    ):
        refuse(2)
    with (
        pytest.raises(ValueError, match="NaN at sequence 1, step 0, column 2"),
        naming_steps(lengths),
    ):
        refuse(3)
    with pytest.raises(ValueError, match="NaN at step 7, column"), naming_steps(np.array([8])):
        refuse(7)
