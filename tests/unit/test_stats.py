"""Statistics and parameters: one buffer, named views, a vector space."""

import copy
import pickle

import numpy as np
import pytest

from vemfast.stats import Layout, Params, Stats, SumTree

LAYOUT = Layout({"counts": (3,), "sums": (3, 2), "total": ()})


def random_stats(seed):
    return Stats(LAYOUT, np.random.default_rng(seed).normal(size=LAYOUT.size + 2))


def test_layout():
    assert LAYOUT.size == 3 + 6 + 1
    assert LAYOUT.names == ("counts", "sums", "total")
    assert LAYOUT.shapes == ((3,), (3, 2), ())
    assert Layout({"counts": (3,), "sums": [3, 2], "total": ()}) == LAYOUT
    assert Layout({"sums": (3, 2), "counts": (3,), "total": ()}) != LAYOUT
    assert LAYOUT != "counts"
    assert hash(pickle.loads(pickle.dumps(LAYOUT))) == hash(LAYOUT)
    assert pickle.loads(pickle.dumps(LAYOUT)) == LAYOUT
    assert "counts" in repr(LAYOUT)
    with pytest.raises(ValueError, match="'counts' has a negative length"):
        Layout({"counts": (-1,)})


def test_fields_are_views_in_the_documented_order():
    stats = Stats(LAYOUT, np.arange(12.0))
    assert (stats.local_bound, stats.entropy) == (0.0, 1.0)
    np.testing.assert_array_equal(stats["counts"], [2, 3, 4])
    np.testing.assert_array_equal(stats["sums"], [[5, 6], [7, 8], [9, 10]])
    assert stats["total"] == 11
    stats["sums"][1, 0] = -1
    stats["total"] = 3
    stats.local_bound, stats.entropy = 20, 21
    np.testing.assert_array_equal(stats.buffer, [20, 21, 2, 3, 4, 5, 6, -1, 8, 9, 10, 3])
    with pytest.raises(KeyError, match="missing"):
        stats["missing"]


@pytest.mark.parametrize(
    "buffer",
    [np.zeros(11), np.zeros(12, dtype=np.float32), np.zeros(24)[::2], np.zeros((3, 4))],
    ids=["size", "dtype", "stride", "shape"],
)
def test_a_buffer_that_does_not_fit_is_refused(buffer):
    with pytest.raises(ValueError, match=r"contiguous float64 array of shape \(12,\)"):
        Stats(LAYOUT, buffer)


def test_vector_space():
    a, b, zero = random_stats(0), random_stats(1), Stats.zeros(LAYOUT)
    np.testing.assert_array_equal((a + zero).buffer, a.buffer)
    np.testing.assert_array_equal((zero + a).buffer, a.buffer)
    np.testing.assert_array_equal((a + b).buffer, a.buffer + b.buffer)
    np.testing.assert_array_equal((a - b).buffer, a.buffer - b.buffer)
    np.testing.assert_array_equal((2.5 * a).buffer, (a * 2.5).buffer)
    np.testing.assert_array_equal((2.5 * a).buffer, 2.5 * a.buffer)
    assert (a + b).local_bound == a.local_bound + b.local_bound
    assert (a + b).entropy == a.entropy + b.entropy


def test_in_place_operators_change_this_buffer_alone():
    a, b = random_stats(0), random_stats(1)
    kept, buffer, other = a.copy(), a.buffer, b.buffer.copy()
    a += b
    a -= b
    a *= 2.0
    assert a.buffer is buffer
    np.testing.assert_allclose(a.buffer, 2 * kept.buffer, rtol=1e-12)
    np.testing.assert_array_equal(b.buffer, other)


def test_different_layouts_do_not_mix():
    other = Stats(Layout({"counts": (10,)}))
    for operation in ("__add__", "__sub__", "__iadd__", "__isub__"):
        with pytest.raises(ValueError, match="different layouts"):
            getattr(random_stats(0), operation)(other)


@pytest.mark.parametrize(
    "clone", [copy.copy, copy.deepcopy, lambda s: pickle.loads(pickle.dumps(s))]
)
def test_copies_and_pickles(clone):
    stats = random_stats(3)
    again = clone(stats)
    assert again.layout == LAYOUT
    np.testing.assert_array_equal(again.buffer, stats.buffer)
    params = Params(LAYOUT, "posterior", np.arange(10.0))
    again = clone(params)
    assert (again.kind, again.layout) == ("posterior", LAYOUT)
    np.testing.assert_array_equal(again.buffer, params.buffer)


def test_copy_is_independent():
    stats, params = random_stats(3), Params(LAYOUT, "point")
    stats.copy()["counts"][:] = 7
    params.copy()["counts"][:] = 7
    assert not np.any(stats["counts"] == 7)
    assert not np.any(params["counts"])


def test_params_have_no_header():
    params = Params(LAYOUT, "point", np.arange(10.0))
    np.testing.assert_array_equal(params["counts"], [0, 1, 2])
    assert params["total"] == 9
    params["sums"] = 0.0
    np.testing.assert_array_equal(params.buffer[3:9], 0)
    assert "point" in repr(params)
    with pytest.raises(ValueError, match="'point' or 'posterior'; got 'draw'"):
        Params(LAYOUT, "draw")


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 13])
def test_sum_tree_is_the_sum_whatever_was_replaced(n):
    terms = [random_stats(i) for i in range(n)]
    tree = SumTree(terms)
    np.testing.assert_allclose(
        tree.total.buffer, np.sum([t.buffer for t in terms], axis=0), rtol=1e-12, atol=1e-12
    )
    for i in np.random.default_rng(n).permutation(n):
        terms[i] = random_stats(100 + i)
        tree.replace(int(i), terms[i])
        # The same bits as a tree built afresh: nothing drifts.
        np.testing.assert_array_equal(tree.total.buffer, SumTree(terms).total.buffer)


def test_sum_tree_leaves_no_residue():
    huge = Stats(LAYOUT, np.full(12, 1e20))
    tree = SumTree([random_stats(0), huge, random_stats(1)])
    tree.replace(1, Stats.zeros(LAYOUT))
    expected = SumTree([random_stats(0), Stats.zeros(LAYOUT), random_stats(1)])
    np.testing.assert_array_equal(tree.total.buffer, expected.total.buffer)


def test_sum_tree_needs_a_term():
    with pytest.raises(ValueError, match="at least one term"):
        SumTree([])
