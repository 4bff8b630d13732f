"""Blocks: what is accepted without a copy, what is converted, what is refused and how."""

import numpy as np
import pytest

from vemfast.data import RowBlock, as_rows, make_blocks

X = np.arange(24.0).reshape(8, 3)


def misaligned(array):
    raw = np.zeros(array.nbytes + 1, dtype=np.uint8)
    view = raw[1:].view(array.dtype).reshape(array.shape)
    view[...] = array
    return view


def odd_strides(array):
    """Rows whose stride is no multiple of the item size."""
    record = np.dtype({"names": ["x", "pad"], "formats": [(array.dtype, 3), "u1"]}, align=False)
    records = np.zeros(len(array), dtype=record)
    records["x"] = array
    return records["x"]


@pytest.mark.parametrize(
    "array",
    [
        X,
        X.astype(np.float32),
        np.asfortranarray(X),
        X[::-1],
        X[:, ::-1],
        X[::2, ::2],
        np.broadcast_to(X[:1], (5, 3)),
    ],
    ids=["C", "float32", "F", "reversed rows", "reversed columns", "strided", "broadcast"],
)
def test_used_without_a_copy(array):
    array = array.view()
    array.flags.writeable = False
    rows = as_rows(array)
    assert rows is array
    assert RowBlock(rows).X is array


@pytest.mark.parametrize(
    ("array", "dtype"),
    [
        (X.astype(np.float16), np.float64),
        (X.astype(np.int8), np.float64),
        (X > 3, np.float64),
        (X.astype(object), np.float64),
        (X.astype(">f8"), np.float64),
        (X.astype(">f4"), np.float32),
        (misaligned(X), np.float64),
        (misaligned(X.astype(np.float32)), np.float32),
        (odd_strides(X), np.float64),
        (X.astype(np.longdouble), np.float64),
        (X.tolist(), np.float64),
    ],
    ids=[
        "float16",
        "int8",
        "bool",
        "object",
        "big-endian",
        "big-endian float32",
        "misaligned",
        "misaligned float32",
        "odd strides",
        "longdouble",
        "list",
    ],
)
def test_converted_once(array, dtype):
    rows = as_rows(array)
    assert rows.dtype == dtype
    assert rows.dtype.isnative
    assert rows.flags.aligned
    np.testing.assert_array_equal(rows, np.asarray(array, dtype=dtype))
    RowBlock(rows)


def test_a_memory_map_is_not_read(tmp_path):
    np.save(tmp_path / "x.npy", X)
    rows = as_rows(np.load(tmp_path / "x.npy", mmap_mode="r"))
    assert not rows.flags.owndata
    np.testing.assert_array_equal(RowBlock(rows).X, X)


@pytest.mark.parametrize(
    ("array", "error", "message"),
    [
        (X[0], ValueError, r"got 1 dimension\(s\); reshape with X.reshape\(-1, 1\)"),
        (X[None], ValueError, r"got 3 dimension\(s\)$"),
        (X + 1j, ValueError, "X is complex"),
        (np.array([["a", "b"]]), TypeError, "must hold numbers; got <U1"),
        (np.array([["a", 1]], dtype=object), ValueError, "could not convert string to float"),
    ],
)
def test_refused(array, error, message):
    with pytest.raises(error, match=message):
        as_rows(array)


@pytest.mark.parametrize(
    "array", [X.astype(int), X.astype(">f8"), misaligned(X), odd_strides(X), X[0]]
)
def test_row_block_does_not_convert(array):
    with pytest.raises(ValueError, match="as_rows"):
        RowBlock(array)


def test_row_block():
    block = RowBlock(X, offset=100)
    assert (block.n, block.offset, block.total_weight, block.weights) == (8, 100, 8.0, None)
    part = block.slice(2, 5)
    assert (part.n, part.offset, part.total_weight) == (3, 102, 3.0)
    assert np.shares_memory(part.X, X)
    weighted = RowBlock(X, np.arange(8.0)).slice(2, 5)
    assert weighted.total_weight == 2 + 3 + 4


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(3), r"weights of shape \(3,\) for 8 rows"),
        (np.array([1, 1, -2, 1, 1, 1, 1, 1.0]), "finite and >= 0; number 2 is -2.0"),
        (np.array([1, 1, 1, np.nan, 1, 1, 1, 1]), "number 3 is nan"),
        (np.array([np.inf, 1, 1, 1, 1, 1, 1, 1]), "number 0 is inf"),
    ],
)
def test_weights_are_checked(weights, message):
    with pytest.raises(ValueError, match=message):
        RowBlock(X, weights)


@pytest.mark.parametrize(("n_batches", "align"), [(1, 1), (3, 1), (3, 2), (8, 1), (20, 1), (4, 5)])
def test_make_blocks_covers_the_rows_in_order(n_batches, align):
    weights = np.arange(1.0, 9.0)
    blocks = make_blocks(X, weights, n_batches, align)
    assert len(blocks) <= n_batches
    np.testing.assert_array_equal(np.concatenate([b.X for b in blocks]), X)
    np.testing.assert_array_equal(np.concatenate([b.weights for b in blocks]), weights)
    assert [b.offset for b in blocks] == np.cumsum([0, *(b.n for b in blocks[:-1])]).tolist()
    assert all(b.offset % align == 0 for b in blocks)


def test_a_cut_keeps_the_global_offset():
    parts = RowBlock(X, offset=50).cut(4)
    assert [part.offset for part in parts] == [50, 52, 54, 56]


def test_make_blocks_leaves_out_blocks_without_weight():
    blocks = make_blocks(X, [0, 0, 1, 1, 0, 0, 1, 1], n_batches=4)
    assert [b.offset for b in blocks] == [2, 6]


def test_make_blocks_refuses():
    with pytest.raises(ValueError, match="sample_weight adds up to zero"):
        make_blocks(X, np.zeros(8))
    with pytest.raises(ValueError, match="no rows"):
        make_blocks(X[:0])
    with pytest.raises(ValueError, match="n_batches and align must be >= 1; got 0 and 1"):
        make_blocks(X, n_batches=0)
