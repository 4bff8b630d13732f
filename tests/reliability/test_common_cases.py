"""Bad input and hard input that every model is held to: C1 to C20, each with its message."""

import tracemalloc
import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from reliability.helpers import (
    DETERMINISTIC,
    FITTED,
    KINDS,
    METHODS,
    RUNGS,
    SCHEDULES,
    TYPES,
    X,
    degenerate_messages,
    fitted,
    mixture,
    quiet,
    quiet_fit,
    run_python,
    same_bits,
)
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from vemfast import DegenerateWarning, NumericalError
from vemfast.data import RowBlock
from vemfast.models.base import Model, Step


@pytest.fixture(scope="module", params=KINDS)
def kind(request):
    return KINDS[request.param]


@pytest.fixture(scope="module", params=[name for name in KINDS if name != "gaussian"])
def discrete_kind(request):
    return KINDS[request.param]


@pytest.fixture(scope="module")
def fit3(kind):
    return kind.mixture(3).fit(kind.X)


def with_value(kind, value, dtype=np.float64, row=17, column=3):
    rows = kind.X.astype(dtype)
    rows[row, column] = value
    return rows


# ---- C1: not finite ----

AS = {
    "array": np.asarray,
    "Fortran": np.asfortranarray,
    "strided": lambda rows: np.repeat(rows, 2, axis=1)[:, ::2],
    "list": lambda rows: rows.tolist(),
    "objects": lambda rows: rows.astype(object),
    "frame": pd.DataFrame,
}


@pytest.mark.parametrize("form", AS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
@pytest.mark.parametrize(
    ("value", "said"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")]
)
def test_C1_what_is_not_finite_is_named_with_row_and_column(kind, fit3, form, dtype, value, said):
    rows = AS[form](with_value(kind, value, dtype))
    message = rf"X contains {said}.* at row 17, column 3; drop or impute such rows"
    with pytest.raises(ValueError, match=message):
        kind.mixture(3).fit(rows)
    with quiet(UserWarning):  # scikit-learn's, of a frame's feature names
        for method in METHODS:
            with pytest.raises(ValueError, match=message):
                getattr(fit3, method)(rows)


def test_C1_the_first_of_several_is_named(kind):
    rows = with_value(kind, np.nan)
    rows[12, 2] = np.inf
    with pytest.raises(ValueError, match=r"infinity \(inf\) at row 12, column 2"):
        kind.mixture(3).fit(rows)


def test_C1_a_missing_value_of_pandas_is_nan(kind):
    frame = pd.DataFrame(kind.X).astype("Float64")
    frame.iloc[17, 3] = pd.NA
    with pytest.raises(ValueError, match="X contains NaN at row 17, column 3"):
        kind.mixture(3).fit(frame)


def test_C1_none_among_objects_is_nan(kind):
    with pytest.raises(ValueError, match="X contains NaN at row 17, column 3"):
        kind.mixture(3).fit(with_value(kind, None, object))


# ---- C2, C3: shapes ----


def test_C2_no_rows(kind):
    with pytest.raises(ValueError, match=r"Found array with 0 sample\(s\) \(shape=\(0, 3\)\)"):
        kind.mixture(1).fit(np.empty((0, 3)))


def test_C2_no_features(kind):
    with pytest.raises(ValueError, match=r"Found array with 0 feature\(s\) \(shape=\(3, 0\)\)"):
        kind.mixture(1).fit(np.empty((3, 0)))


def test_C2_no_rows_to_predict(fit3):
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        fit3.predict(np.empty((0, fit3.n_features_in_)))


@pytest.mark.parametrize("method", ["fit", *METHODS])
def test_C3_one_dimension_comes_with_a_reshape_hint(kind, fit3, method):
    estimator = kind.mixture(3) if method == "fit" else fit3
    with pytest.raises(ValueError, match=r"Reshape your data .*array\.reshape\(-1, 1\)"):
        getattr(estimator, method)(kind.X[:, 0])


def test_C3_three_dimensions(kind):
    with pytest.raises(ValueError, match="Found array with dim 3, while dim <= 2 is required"):
        kind.mixture(3).fit(kind.X[None])


# ---- C4: what is not real numbers ----


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        (X + 1j, ValueError, "Complex data not supported"),
        (X.astype(str), TypeError, "X must hold numbers; got <U"),
        (X.astype("S"), TypeError, r"X must hold numbers; got \|S"),
        (np.array([["1", 2.0]] * 5, dtype=object), TypeError, "it contains strings"),
        ([["1", "2"]] * 5, TypeError, "X must hold numbers; got <U1"),
        (X.astype("M8[s]"), TypeError, r"X must hold numbers; got datetime64\[s\]"),
        (X.astype("m8[s]"), TypeError, r"X must hold numbers; got timedelta64\[s\]"),
        (pd.DataFrame({"a": ["1", "2", "3"], "b": [1, 2, 3]}), TypeError, "contains strings"),
        (pd.DataFrame({"a": pd.date_range("2020", periods=5)}), TypeError, "datetime64"),
        (np.array([[{}, 1.0]] * 5), TypeError, "argument must be a string or a real number"),
        ([[1.0, 2.0], [3.0]], ValueError, "inhomogeneous"),
    ],
)
def test_C4_what_is_not_real_numbers(rows, error, message):
    with pytest.raises(error, match=message):
        mixture(1).fit(rows)


# ---- C5: types ----


@pytest.mark.parametrize("dtype", [np.float16, np.int8, np.uint64, np.int32, bool, np.longdouble])
def test_C5_other_numbers_are_cast_to_float64(dtype):
    rows = (X > 0) if dtype is bool else np.abs(X).astype(dtype)
    a = quiet_fit(mixture(2), rows)
    b = quiet_fit(mixture(2), rows.astype(np.float64))
    assert same_bits(a, b)
    assert same_bits(a.score_samples(rows), b.score_samples(rows.astype(np.float64)))


def test_C5_float32_rows_are_counted_in_float64():
    # One more than float32 can count, and a sum that float32 would lose the last rows of.
    n = (1 << 24) + 3
    rows = np.broadcast_to(np.array([[1.0, 3.0]], dtype=np.float32), (n, 2))
    e = mixture(1, covariance_type="diag", max_iter=1)
    with quiet():
        e.fit(rows, sample_weight=None)
    assert same_bits(e.means_, np.array([[1.0, 3.0]]))
    assert e.score(rows[:5]) * n == pytest.approx(e.lower_bound_, rel=1e-6)


def test_C5_float32_and_float64_agree():
    a = mixture(3).fit(X.astype(np.float32))
    b = mixture(3).fit(X.astype(np.float32).astype(np.float64))
    for name in FITTED:
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=1e-4, atol=1e-4)
        assert getattr(a, name).dtype == np.float64


# ---- C6: layouts ----


def misaligned(rows):
    buffer = np.empty(rows.nbytes + 1, dtype=np.uint8)
    view = buffer[1:].view(rows.dtype).reshape(rows.shape)
    view[:] = rows
    assert not view.flags.aligned
    return view


def read_only(rows):
    rows = rows.copy()
    rows.flags.writeable = False
    return rows


def odd_strides(rows):
    packed = np.zeros(len(rows), dtype=[("x", rows.dtype, rows.shape[1]), ("pad", "u1")])
    packed["x"] = rows
    assert packed["x"].strides[0] % rows.itemsize
    return packed["x"]


LAYOUTS = {
    "read-only": read_only,
    "Fortran": np.asfortranarray,
    "backward rows": lambda rows: rows[::-1].copy()[::-1],
    "backward columns": lambda rows: rows[:, ::-1].copy()[:, ::-1],
    "every second": lambda rows: np.repeat(np.repeat(rows, 2, 0), 2, 1)[::2, ::2],
    "misaligned": misaligned,
    "odd strides": odd_strides,
    "big-endian": lambda rows: rows.astype(rows.dtype.newbyteorder(">")),
    "little-endian": lambda rows: rows.astype(rows.dtype.newbyteorder("<")),
    "matrix subclass": lambda rows: rows.view(np.recarray),
    "frame": lambda rows: pd.DataFrame(rows).to_numpy(),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_C6_the_layout_does_not_matter(kind, layout, dtype):
    plain = kind.X.astype(dtype)
    rows = LAYOUTS[layout](plain)
    weights = np.linspace(0.5, 2, len(kind.X))
    a, b = kind.mixture(3).fit(plain, sample_weight=weights), kind.mixture(3)
    b.fit(rows, sample_weight=LAYOUTS[layout](weights[:, None])[:, 0])
    assert same_bits(a, b)
    for method in METHODS:
        assert same_bits(getattr(a, method)(plain), getattr(b, method)(rows))
    assert np.array_equal(rows, plain)  # and it is left as it was


@pytest.mark.parametrize("order", ["C", "F"])
def test_C6_a_memory_map(tmp_path, order):
    file = np.memmap(tmp_path / "rows", dtype=np.float64, mode="w+", shape=X.shape, order=order)
    file[:] = X
    file.flush()
    rows = np.memmap(tmp_path / "rows", dtype=np.float64, mode="r", shape=X.shape, order=order)
    assert same_bits(mixture(3).fit(rows), mixture(3).fit(X))


def test_C6_rows_that_can_be_used_in_place_are_not_copied():
    rows = np.asfortranarray(np.random.default_rng(0).normal(size=(600_000, 8)))[::2]
    estimator = mixture(1, max_iter=1)
    with quiet():
        estimator.fit(rows[:1000])
        tracemalloc.start()
        estimator.fit(rows)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < rows.nbytes / 2  # the sample that a start looks at, and no copy of the rows


# ---- C7: sparse ----


@pytest.mark.parametrize("make", [scipy.sparse.csr_array, scipy.sparse.csc_matrix])
def test_C7_sparse_rows_are_refused_with_the_way_out(make):
    with pytest.raises(TypeError, match=r"Sparse data was passed.*dense data is required.*toarray"):
        mixture(3).fit(make(X))


def unsorted(rows):
    out = rows.copy()
    for first, last in pairwise(out.indptr):
        out.indices[first:last] = out.indices[first:last][::-1].copy()
        out.data[first:last] = out.data[first:last][::-1].copy()
    out.has_sorted_indices = False
    return out


def with_duplicates(rows):
    """Return the rows with each count stored as itself less one, and one; zeros are stored, too."""
    whole = rows.tocoo()
    both = np.concatenate([whole.data - 1, np.ones_like(whole.data)])
    row, column = (np.tile(of, 2) for of in whole.coords)
    order = np.argsort(row, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=rows.shape[0]))])
    return scipy.sparse.csr_array((both[order], column[order], indptr), shape=rows.shape)


def wide_indices(rows):
    out = rows.copy()
    out.indices, out.indptr = out.indices.astype(np.int64), out.indptr.astype(np.int64)
    return out


FORMS = {
    "csr": scipy.sparse.csr_array,
    "csr matrix": scipy.sparse.csr_matrix,
    "csc": scipy.sparse.csc_array,
    "coo": scipy.sparse.coo_array,
    "lil": scipy.sparse.lil_array,
    "wide indices": wide_indices,
    "unsorted": unsorted,
    "duplicates and zeros": with_duplicates,
    "integers": lambda rows: rows.astype(np.int32),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["bernoulli", "poisson"])
def test_C7_the_form_of_sparse_rows_does_not_matter(name, form):
    kind = KINDS[name]
    plain = scipy.sparse.csr_array(kind.X)
    rows = FORMS[form](plain)
    before = rows.copy()
    a, b = kind.mixture(3).fit(plain), kind.mixture(3).fit(rows)
    assert same_bits(a, b)
    for method in METHODS:
        assert same_bits(getattr(a, method)(plain), getattr(b, method)(rows))
    assert (rows != before).nnz == 0
    if form == "duplicates and zeros":
        assert rows.nnz == before.nnz == 2 * plain.nnz


@pytest.mark.parametrize("name", ["bernoulli", "poisson"])
def test_C7_sparse_rows_that_are_damaged_are_refused(name):
    kind = KINDS[name]
    rows = scipy.sparse.csr_array(kind.X)
    n_features = rows.shape[1]
    outside = rows.copy()
    outside.indices[5] = n_features
    with pytest.raises(ValueError, match=rf"indices must be < {n_features}"):
        kind.mixture(3).fit(outside)
    falling = rows.copy()
    falling.indptr[4] = falling.indptr[6]
    with pytest.raises(ValueError, match=r"indptr.*decreas"):
        kind.mixture(3).fit(falling)
    bad = rows.copy().astype(float)
    bad.data[7] = 0.5
    with pytest.raises(ValueError, match=r"X contains 0.5 at row \d+, column \d+, where"):
        kind.mixture(3).fit(bad)
    bad.data[7] = np.nan
    with pytest.raises(ValueError, match=r"X contains NaN at row \d+, column \d+"):
        kind.mixture(3).fit(bad)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("bernoulli", 2, "X contains 2 at row 17, column 3, where BernoulliMixture takes 0 and 1"),
        ("bernoulli", 0.5, "X contains 0.5 at row 17, column 3.*say binarize"),
        ("poisson", 0.5, "X contains 0.5 at row 17, column 3, where PoissonMixture takes whole"),
        (
            "poisson",
            -1,
            "Negative values in data passed to PoissonMixture: X contains -1 at row",
        ),
        ("poisson", 1e17, r"X contains 1e\+17 at row 17, column 3, above 2\*\*53"),
        (
            "categorical",
            1.5,
            "X contains 1.5 at row 17, column 3, where CategoricalMixture takes",
        ),
        ("categorical", -1, "Negative values .*X contains -1 at row 17, column 3; codes are >= 0"),
        ("categorical", 2e9, r"X contains code 2000000000 in column 3: codes count from 0 without"),
    ],
)
def test_C4_a_number_that_is_not_of_the_family_is_named(name, value, message):
    kind = KINDS[name]
    with pytest.raises(ValueError, match=message):
        kind.mixture(3).fit(with_value(kind, value))
    with pytest.raises(ValueError, match=r"at row 17, column 3|in column 3"):
        kind.mixture(3).fit(kind.X).predict(with_value(kind, value))


@pytest.mark.parametrize("dtype", [np.float16, np.int8, np.uint64, np.int32, bool, np.longdouble])
def test_C5_bits_counts_and_codes_of_any_type(discrete_kind, dtype):
    kind = discrete_kind
    rows = (kind.X > 0) if dtype is bool else kind.X.astype(dtype)
    a = quiet_fit(kind.mixture(2), rows)
    b = quiet_fit(kind.mixture(2), rows.astype(np.float64))
    assert same_bits(a, b)
    assert same_bits(a.score_samples(rows), b.score_samples(rows.astype(np.float64)))


@pytest.mark.parametrize("inference", RUNGS)
def test_C13_fewer_distinct_rows_of_bits_counts_or_codes(discrete_kind, inference):
    rows = np.repeat(np.unique(discrete_kind.X, axis=0)[[0, -1]], 9, axis=0)
    estimator = discrete_kind.mixture(4, inference)
    messages = degenerate_messages(estimator, rows)
    assert any("X has only 2 distinct rows, fewer than n_components=4" in m for m in messages)
    assert np.isfinite(discrete_kind.shown(estimator)).all()
    assert not np.isnan(estimator.score_samples(rows)).any()


# ---- C8, C9: use ----


@pytest.mark.parametrize("method", METHODS)
def test_C8_another_number_of_features_names_both(kind, fit3, method):
    name, n_features = kind.estimator.__name__, kind.X.shape[1]
    message = f"X has 3 features, but {name} is expecting {n_features}"
    with pytest.raises(ValueError, match=message):
        getattr(fit3, method)(kind.X[:, :3])


@pytest.mark.parametrize("method", METHODS)
def test_C9_before_fit(kind, method):
    message = f"This {kind.estimator.__name__} instance is not fitted yet"
    with pytest.raises(NotFittedError, match=message):
        getattr(kind.mixture(3), method)(kind.X)


@pytest.mark.parametrize("method", ["sample", "to_arviz"])
def test_C9_before_fit_without_rows(kind, method):
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        getattr(kind.mixture(3), method)()


def test_C9_saving_before_fit(kind, tmp_path):
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        kind.mixture(3).save(tmp_path / "model")


# ---- C10, C11: parameters ----


@pytest.mark.parametrize("value", [0, -1, 2.5, 2.0, "3", None, np.True_])
def test_C10_n_components(kind, value):
    name = kind.estimator.__name__
    message = rf"'n_components' parameter of {name} must be an int in the range \[1, inf\)"
    with pytest.raises(ValueError, match=message) as caught:
        kind.mixture(value).fit(kind.X)
    assert isinstance(caught.value, TypeError)
    assert repr(value) in str(caught.value)


def test_C10_true_is_not_one(kind):
    with pytest.raises(
        ValueError, match=r"'n_components' parameter .* must be a number, not a bool"
    ):
        kind.mixture(True).fit(kind.X)


@pytest.mark.parametrize("inference", ["em", "gibbs"])
def test_C10_numpy_integers_are_integers(kind, inference):
    options = {"n_burn": 100, "n_draws": 2, "thin": 64}
    if inference == "em":
        options = {"batch_size": 50, "max_iter": 120}
    schedule = {"schedule": "memoized"} if inference == "em" else {}
    small = {name: np.int8(value) for name, value in options.items()}
    a = quiet_fit(kind.mixture(np.int8(3), inference, **small, **schedule), kind.X)
    b = quiet_fit(kind.mixture(3, inference, **options, **schedule), kind.X)
    assert same_bits(a, b)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("max_iter", 0, r"an int in the range \[1, inf\)"),
        ("max_iter", 1.5, r"an int in the range \[1, inf\)"),
        ("max_iter", True, "a number, not a boolean"),
        ("tol", -1e-3, r"a float in the range \[0.0, inf\)"),
        ("tol", np.nan, r"a float in the range \[0.0, inf\)"),
        ("tol", np.inf, r"a float in the range \[0.0, inf\)"),
        ("tol", "small", r"a float in the range \[0.0, inf\)"),
        ("reg_covar", -1e-6, r"a float in the range \[0.0, 1.0\)"),
        ("reg_covar", 1.0, r"a float in the range \[0.0, 1.0\)"),
        ("n_init", 0, r"an int in the range \[1, inf\)"),
        ("covariance_type", "fulll", "a str among"),
        ("inference", "vb", "a str among"),
        ("schedule", "online", "a str among"),
        ("init_params", "best", "a str among"),
        ("n_jobs", 1.5, "an instance of 'int' or None"),
        ("n_jobs", True, "a number, not a boolean"),
        ("warm_start", 1, "an instance of 'bool'"),
        ("verbose", -1, r"an int in the range \[0, inf\)"),
        ("on_interrupt", "stop", "a str among"),
        ("random_state", "seed", "must be"),
        ("random_state", -1, "must be"),
        ("callbacks", 3, "a callable"),
    ],
)
def test_C11_a_bad_parameter_is_named_with_its_value(name, value, message):
    with pytest.raises(ValueError, match=rf"'{name}' parameter of GaussianMixture .*{message}"):
        mixture(3, **{name: value}).fit(X)


def test_C11_a_callback_that_cannot_be_called(kind):
    with pytest.raises(TypeError, match=r"callbacks\[1\] is not callable: 'print'"):
        kind.mixture(3, callbacks=[print, "print"]).fit(kind.X)


def test_C11_zero_jobs(kind):
    with pytest.raises(ValueError, match="n_jobs=0 has no meaning; use None, a positive number"):
        kind.mixture(3, n_jobs=0).fit(kind.X)


BAD = {
    "rows": lambda kind, e: e.fit(with_value(kind, np.nan)),
    "weights": lambda kind, e: e.fit(kind.X, sample_weight=-np.ones(len(kind.X))),
    "size": lambda kind, e: e.set_params(n_components=len(kind.X) + 1).fit(kind.X),
    "parameter": lambda kind, e: e.set_params(tol=-1.0).fit(kind.X),
    "start": lambda kind, e: e.set_params(**{f"{kind.attribute}init": np.zeros((2, 2))}).fit(
        kind.X
    ),
    "prior": lambda kind, e: e.set_params(weight_concentration_prior=0.5).fit(kind.X),
    "combination": lambda kind, e: e.set_params(n_batches=3).fit(kind.X),
    "callback": lambda kind, e: e.set_params(callbacks=[None]).fit(kind.X),
}


@pytest.mark.parametrize("what", BAD)
def test_C11_a_fit_that_is_refused_leaves_the_last_one(kind, what):
    estimator = kind.mixture(3).fit(kind.X)
    before = dict(fitted(estimator))
    with pytest.raises((ValueError, TypeError)):
        BAD[what](kind, estimator)
    assert fitted(estimator).keys() == before.keys()
    assert all(fitted(estimator)[name] is before[name] for name in before)


# ---- C12, C13: few rows ----


@pytest.mark.parametrize("inference", RUNGS)
def test_C12_more_components_than_rows_names_both(kind, inference):
    message = "n_components=5 needs at least as many rows, but X has n_samples=3"
    with pytest.raises(ValueError, match=message):
        kind.mixture(5, inference).fit(kind.X[:3])


def test_C12_rows_without_weight_do_not_count(kind):
    with pytest.raises(ValueError, match="X has n_samples=2 of positive weight"):
        kind.mixture(3).fit(kind.X[:5], sample_weight=[1, 0, 0, 2, 0])


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("inference", RUNGS)
def test_C13_fewer_distinct_rows_than_components(inference, covariance_type):
    rows = np.repeat(X[:4], 5, axis=0)
    estimator = mixture(6, inference, covariance_type=covariance_type)
    messages = degenerate_messages(estimator, rows)
    said = "X has only 4 distinct rows, fewer than n_components=6: components coincide or stay empt"
    assert any(said in message for message in messages)
    for name in FITTED:
        assert np.isfinite(getattr(estimator, name)).all()
    assert not np.isnan(estimator.score_samples(rows)).any()


def test_C13_minus_zero_is_zero_and_rows_without_weight_do_not_count():
    rows = np.array([[0.0, 1.0], [-0.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    assert RowBlock(rows).distinct_rows(4) == 3
    assert RowBlock(rows, np.array([1.0, 1.0, 0.0, 1.0])).distinct_rows(4) == 2
    assert RowBlock(np.zeros((10_000, 2))).distinct_rows(2) == 1


# ---- C14: weights ----


@pytest.mark.parametrize("method", ["fit", "score"])
@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (np.where(np.arange(150) == 7, -1, 1), ValueError, r"sample_weight\[7\] is -1"),
        (np.where(np.arange(150) == 7, np.nan, 1), ValueError, r"sample_weight\[7\] is nan"),
        (np.where(np.arange(150) == 7, np.inf, 1), ValueError, r"sample_weight\[7\] is inf"),
        (np.zeros(150), ValueError, "sample_weight is zero everywhere; at least one row needs"),
        (np.ones(149), ValueError, r"sample_weight.shape == \(149,\), expected \(150,\)"),
        (np.ones((150, 1)), ValueError, r"sample_weight.shape == \(150, 1\), expected \(150,\)"),
        ("even", TypeError, "sample_weight must hold real numbers; got <U4"),
        (np.full(150, 1j), TypeError, "sample_weight must hold real numbers; got complex128"),
        (np.full(150, 1e308), ValueError, "out of range.* float64 rows take 1e-100 to 1e[+]100"),
        (np.full(150, 1e-310), ValueError, "weights count rows, so rescale them"),
    ],
)
def test_C14_bad_weights(kind, fit3, method, weights, error, message):
    estimator = kind.mixture(3) if method == "fit" else fit3
    with pytest.raises(error, match=message):
        getattr(estimator, method)(kind.X, sample_weight=weights)


def test_C14_weights_that_float32_cannot_hold(kind):
    with pytest.raises(ValueError, match=r"out of range.*float32 rows take 1e-30 to 1e[+]30"):
        kind.mixture(3).fit(kind.X.astype(np.float32), sample_weight=np.full(150, 1e-40))


def test_C14_one_number_is_the_weight_of_every_row(kind):
    assert same_bits(
        kind.mixture(3).fit(kind.X, sample_weight=2),
        kind.mixture(3).fit(kind.X, sample_weight=np.full(150, 2.0)),
    )


def close(a, b, rtol=1e-12):
    """Whether two fits agree, relative to the largest entry of each attribute."""
    for name in (*FITTED, "lower_bounds_"):
        x, y = np.asarray(getattr(a, name)), np.asarray(getattr(b, name))
        np.testing.assert_allclose(x, y, rtol=0, atol=rtol * np.abs(y).max(), err_msg=name)


START = {"means_init": X[:3] * 0.5, "tol": 0.0, "max_iter": 8}


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("inference", DETERMINISTIC)
def test_C14_a_row_of_weight_zero_is_no_row(inference, covariance_type):
    rng = np.random.default_rng(3)
    weights = np.where(rng.random(150) < 0.4, 0.0, rng.uniform(0.5, 3, 150))
    weights[10], weights[11] = 0.0, 0.0
    rows = X.copy()
    rows[10], rows[11] = 1e6, -1e6  # would change everything
    options = {"covariance_type": covariance_type, **START}
    a = quiet_fit(mixture(3, inference, **options), rows, sample_weight=weights)
    kept = weights > 0
    b = quiet_fit(mixture(3, inference, **options), rows[kept], sample_weight=weights[kept])
    close(a, b)
    assert a.score(rows, sample_weight=weights) == pytest.approx(
        b.score(rows[kept], sample_weight=weights[kept]), rel=1e-12
    )


def nearly(kind, a, b, rtol=1e-12):
    """Assert that two fits of a kind agree."""
    for x, y in (
        (a.weights_, b.weights_),
        (kind.shown(a), kind.shown(b)),
        (a.lower_bounds_, b.lower_bounds_),
    ):
        np.testing.assert_allclose(x, y, rtol=0, atol=rtol * np.abs(y).max())


@pytest.mark.parametrize("inference", DETERMINISTIC)
def test_C14_weights_of_bits_counts_and_codes_are_numbers_of_rows(discrete_kind, inference):
    kind, options = discrete_kind, {**discrete_kind.start(), "tol": 0.0, "max_iter": 8}
    weights = np.random.default_rng(5).integers(0, 4, 150).astype(float)
    weights[:3] = 1.0
    rows = kind.X.copy()
    rows[weights == 0] = rows[weights == 0].max() if kind.name == "bernoulli" else 0.0
    a = quiet_fit(kind.mixture(3, inference, **options), rows, sample_weight=weights)
    repeated = np.repeat(rows, weights.astype(int), axis=0)
    b = quiet_fit(kind.mixture(3, inference, **options), repeated)
    nearly(kind, a, b)
    kept = weights > 0
    c = quiet_fit(kind.mixture(3, inference, **options), rows[kept], sample_weight=weights[kept])
    nearly(kind, a, c)
    assert a.score(rows, sample_weight=weights) == pytest.approx(b.score(repeated), rel=1e-12)


@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random_from_data"])
@pytest.mark.parametrize("n", [150, 60_000])
def test_C14_a_start_of_bits_counts_or_codes_sees_no_row_of_weight_zero(
    discrete_kind, init_params, n
):
    kind = discrete_kind
    rows = np.resize(np.random.default_rng(0).permutation(kind.near), (n, kind.near.shape[1]))
    weights = np.where(np.random.default_rng(4).random(n) < 0.997, 0.0, 1.0)
    weights[:20] = 1.0
    options = {"init_params": init_params, "tol": 0.0, "max_iter": 2}
    if kind.name == "categorical":
        options["n_categories"] = 3
    a = quiet_fit(kind.mixture(3, **options), rows, sample_weight=weights)
    b = quiet_fit(kind.mixture(3, **options), rows[weights > 0], sample_weight=weights[weights > 0])
    nearly(kind, a, b, 1e-10)


@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random_from_data"])
@pytest.mark.parametrize("n", [150, 60_000])
def test_C14_a_start_does_not_see_rows_of_weight_zero(init_params, n):
    rows = np.resize(X, (n, 4)) + np.random.default_rng(0).normal(size=(n, 4))
    weights = np.where(np.random.default_rng(4).random(n) < 0.997, 0.0, 1.0)
    weights[:20] = 1.0
    options = {"init_params": init_params, "tol": 0.0, "max_iter": 2}
    a = quiet_fit(mixture(3, **options), rows, sample_weight=weights)
    b = quiet_fit(mixture(3, **options), rows[weights > 0], sample_weight=weights[weights > 0])
    close(a, b, 1e-10)


@pytest.mark.parametrize("covariance_type", TYPES)
@pytest.mark.parametrize("inference", DETERMINISTIC)
def test_C14_a_row_of_weight_two_is_two_rows(inference, covariance_type):
    weights = np.random.default_rng(5).integers(0, 4, 150)
    options = {"covariance_type": covariance_type, **START}
    a = quiet_fit(mixture(3, inference, **options), X, sample_weight=weights)
    b = quiet_fit(mixture(3, inference, **options), np.repeat(X, weights, axis=0))
    close(a, b)


# ---- C15, C16: memory ----


def test_C15_more_than_two_to_the_31_rows_have_room_in_every_count():
    # Sizes only; the arithmetic on as many elements is in the slow test below.
    block = RowBlock(np.broadcast_to(np.float32(1.5), (1 << 33, 2)))
    assert block.n == 1 << 33
    assert block.total_weight == float(1 << 33)
    parts = block.cut(3)
    assert sum(part.n for part in parts) == 1 << 33
    assert parts[-1].offset + parts[-1].n == 1 << 33


def sliding(n, n_features, dtype=np.float32):
    """Rows that share their memory: row i starts one element after row i - 1."""
    base = np.random.default_rng(0).normal(size=n + n_features).astype(dtype)
    strides = (base.itemsize, base.itemsize)
    return np.lib.stride_tricks.as_strided(base, (n, n_features), strides, writeable=False)


@pytest.mark.slow
def test_C15_more_than_two_to_the_31_elements():
    n, D = 2_200_000, 1000
    rows = sliding(n, D)
    assert rows.size > 1 << 31
    estimator = mixture(2, covariance_type="spherical", means_init=[[-1] * D, [1] * D], max_iter=1)
    quiet_fit(estimator, rows)
    labels = estimator.predict(rows)
    last = slice(n - 5000, n)
    assert np.array_equal(labels[last], estimator.predict(rows[last].copy()))
    # The last rows count in the statistics: means of all, by a cumulated sum over the base.
    column = np.array([rows[:, 0].mean(dtype=np.float64), rows[:, -1].mean(dtype=np.float64)])
    np.testing.assert_allclose((estimator.weights_ @ estimator.means_)[[0, -1]], column, atol=1e-6)


@pytest.mark.slow
def test_C15_more_than_two_to_the_31_bits():
    n, D = 2_200_000, 1000
    base = (np.random.default_rng(0).random(n + D) < 0.3).astype(np.uint8)
    rows = np.lib.stride_tricks.as_strided(base, (n, D), (1, 1), writeable=False)
    start = np.broadcast_to([[0.2], [0.4]], (2, D))
    estimator = KINDS["bernoulli"].mixture(2, probabilities_init=start, max_iter=1)
    quiet_fit(estimator, rows)
    labels = estimator.predict(rows)
    last = slice(n - 5000, n)
    assert np.array_equal(labels[last], estimator.predict(rows[last].copy()))
    column = np.array([base[:n].mean(), base[D - 1 : D - 1 + n].mean()])
    found = estimator.weights_ @ estimator.probabilities_
    np.testing.assert_allclose(found[[0, -1]], column, rtol=1e-10)


@pytest.mark.nightly
def test_C15_more_than_two_to_the_31_rows():
    n = (1 << 31) + 5
    rows = np.broadcast_to(np.array([[1.0]], dtype=np.float32), (n, 1))
    model, point = mixture(1).fit(X[:, :1])._fitted()
    stats = model.e_step(model.prepare(point), RowBlock(rows), Step(n_jobs=2))
    assert stats["counts"][0] == n


MEMORY = """
import resource, sys
import numpy as np
from reliability.helpers import fitted, mixture, quiet, same_bits

def used():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()

def limited(extra, task):
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used() + extra, hard))
    try:
        return task()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
"""


def test_C15_what_does_not_fit_is_a_memory_error_with_its_size():
    code = """
rows = np.random.default_rng(0).normal(size=(500_000, 2))
estimator = mixture(40, max_iter=1, n_jobs=1, init_params="random_from_data")
with quiet():
    estimator.fit(rows[:1000])
before = dict(fitted(estimator))
try:
    limited(50 << 20, lambda: estimator.predict_proba(rows))
except MemoryError as error:
    print(error)
assert fitted(estimator) == before
assert estimator.predict_proba(rows[:10]).shape == (10, 40)
"""
    result = run_python(MEMORY + code, MALLOC_ARENA_MAX="1")
    assert result.returncode == 0, result.stderr
    assert "Unable to allocate 153. MiB" in result.stdout
    assert "(500000, 40)" in result.stdout


STARVED = {
    # Statistics of 100 components in 2000 dimensions: 3 MB a buffer, several buffers a thread.
    "gaussian": """
rows, make = rng.normal(size=(1500, 2000)), mixture
options = {"covariance_type": "diag", "max_iter": 1, "means_init": rows[:100].copy()}
""",
    # The same, half as large; those of 20 components are looked up four bits at a time.
    **{
        f"bernoulli {K}": f"""
rows, make = (rng.random((4000, 2000)) < 0.3).astype(np.uint8), BernoulliMixture
options = {{"max_iter": 1, "probabilities_init": 0.25 + 0.5 * rows[:{K}]}}
"""
        for K in (20, 100)
    },
}


@pytest.mark.parametrize("which", STARVED)
def test_C16_an_allocation_that_fails_in_a_thread_leaves_the_last_fit(which):
    code = (
        """
from vemfast import BernoulliMixture
rng = np.random.default_rng(0)
"""
        + STARVED[which]
        + """
K = len(next(options[name] for name in options if name.endswith("init")))
estimator = make(K, n_jobs=4, **options)
with quiet():
    estimator.fit(rows, sample_weight=rng.random(len(rows)))
before = dict(fitted(estimator))
outcomes = []
for megabytes in (0, 4, 8, 16, 1000):
    try:
        with quiet():
            limited(megabytes << 20, lambda: estimator.fit(rows))
        outcomes.append("fit")
        before = dict(fitted(estimator))
    except MemoryError as error:
        outcomes.append("memory")
        assert "unable to allocate" in str(error).lower(), error
        now = fitted(estimator)
        assert now.keys() == before.keys() and all(now[k] is before[k] for k in now)
print(outcomes)
with quiet():
    assert same_bits(estimator, make(K, n_jobs=1, **options).fit(rows))
"""
    )
    result = run_python(MEMORY + code, MALLOC_ARENA_MAX="1", OMP_NUM_THREADS="4")
    assert result.returncode == 0, result.stderr
    assert "memory" in result.stdout
    assert "'fit']" in result.stdout


def step_by_step(kind, monkeypatch):
    """Let no iteration be native as a whole, for one calls none of what a test puts in its way."""
    monkeypatch.setattr(kind.model, "iterate", Model.iterate)


def test_C16_want_of_memory_between_iterations_leaves_the_last_fit(kind, monkeypatch):
    estimator = kind.mixture(3).fit(kind.X)
    before = dict(fitted(estimator))
    update = kind.model.update
    calls = []

    def starved(self, params, stats, step):
        calls.append(step.iteration)
        if step.iteration == 3:
            raise MemoryError("no room for 8 bytes")
        return update(self, params, stats, step)

    monkeypatch.setattr(kind.model, "update", starved)
    step_by_step(kind, monkeypatch)
    with pytest.raises(MemoryError, match="no room for 8 bytes"):
        estimator.set_params(tol=0.0).fit(kind.X[::-1])
    assert max(calls) == 3
    assert fitted(estimator) == before


# ---- C17, C18: what ends a fit early ----


class StopHereError(Exception):
    pass


@pytest.mark.parametrize("error", [StopHereError, MemoryError, KeyboardInterrupt, NumericalError])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_C17_a_callback_raises(kind, schedule, error):
    def callback(*, iteration, objective, elapsed):
        if iteration == 3:
            raise error("enough")

    estimator = kind.mixture(3, schedule=schedule, callbacks=callback)
    if schedule != "minibatch":
        estimator.set_params(tol=0.0)
    with pytest.raises(error, match="enough"):
        estimator.fit(kind.near)
    assert estimator.n_iter_ == 3
    assert estimator.converged_ is False
    assert estimator.stop_reason_ == ("interrupted" if error is KeyboardInterrupt else "callback")
    options = {} if schedule == "minibatch" else {"tol": 0.0}
    whole = quiet_fit(kind.mixture(3, schedule=schedule, max_iter=3, **options), kind.near)
    assert same_bits(kind.shown(estimator), kind.shown(whole))
    assert estimator.lower_bounds_ == whole.lower_bounds_
    if schedule == "batch":  # the parameters are those of the last objective
        assert estimator.score(kind.near) * 150 == pytest.approx(estimator.lower_bound_, rel=1e-12)


def test_C17_a_callback_raises_at_once_and_the_start_is_kept(kind):
    def callback(**_):
        raise StopHereError

    estimator = kind.mixture(3, callbacks=callback)
    with pytest.raises(StopHereError):
        estimator.fit(kind.X)
    assert (estimator.n_iter_, len(estimator.lower_bounds_)) == (0, 1)


def test_C17_a_callback_raises_in_the_second_of_two_starts(kind):
    seen = []

    def callback(*, iteration, objective, elapsed):
        seen.append(iteration)
        if seen.count(0) == 2 and iteration == 1:
            raise StopHereError

    estimator = kind.mixture(3, n_init=2, callbacks=callback, n_jobs=1)
    with pytest.raises(StopHereError):
        estimator.fit(kind.X)
    first = kind.mixture(3).fit(kind.X)  # which ran to its end
    assert same_bits(kind.shown(estimator), kind.shown(first))


def falling_at(kind, iteration, monkeypatch, drop=1.0):
    term = kind.model.global_term
    calls = []

    def fallen(self, params):
        calls.append(None)
        return term(self, params) - (drop if len(calls) == iteration + 1 else 0.0)

    monkeypatch.setattr(kind.model, "global_term", fallen)
    step_by_step(kind, monkeypatch)
    return calls


def no_terms(self, params, stats):
    """Stand for a model whose objective and weight say how much rounding explains."""
    return 0.0


def test_C18_a_fall_stops_restores_and_is_never_converged(kind, monkeypatch):
    good = quiet_fit(kind.mixture(3, tol=0.0, max_iter=3), kind.near)
    calls = falling_at(kind, 4, monkeypatch, drop=1e3)
    estimator = kind.mixture(3, tol=0.0)
    with pytest.raises(NumericalError, match=r"the objective fell at iteration 4, from -\d+") as e:
        estimator.fit(kind.near)
    assert len(calls) == 5
    assert (estimator.stop_reason_, estimator.converged_) == ("numerical", False)
    assert estimator.n_iter_ == 3
    assert same_bits(kind.shown(estimator), kind.shown(good))
    assert estimator.lower_bounds_ == good.lower_bounds_
    assert "rounding explains" in str(e.value)


def test_C18_a_fall_of_a_native_iteration_is_one_too(monkeypatch):
    whole = KINDS["gaussian"].model.iterate

    def fallen(self, params, stats, blocks, step):
        found = whole(self, params, stats, blocks, step)
        assert found is not None
        return (*found[:2], found[2] - 1e3) if step.iteration == 3 else found

    monkeypatch.setattr(KINDS["gaussian"].model, "iterate", fallen)
    estimator = KINDS["gaussian"].mixture(3, tol=0.0)
    with pytest.raises(NumericalError, match="the objective fell at iteration 3"):
        estimator.fit(KINDS["gaussian"].near)
    assert (estimator.stop_reason_, estimator.n_iter_) == ("numerical", 2)


def test_C18_a_fall_that_the_tolerance_would_take_for_convergence(kind, monkeypatch):
    falling_at(kind, 1, monkeypatch, drop=1e3)
    with pytest.raises(NumericalError, match="fell at iteration 1"):
        kind.mixture(3, tol=1e3).fit(kind.X)


@pytest.mark.parametrize(("dtype", "tau"), [(np.float64, 1e-9), (np.float32, 2e-6)])
def test_C18_only_rounding_is_forgiven(kind, monkeypatch, dtype, tau):
    rows = kind.X.astype(dtype)
    monkeypatch.setattr(kind.model, "size_of_terms", no_terms)
    scale = abs(quiet_fit(kind.mixture(3, tol=0.0, max_iter=60), rows).lower_bound_)
    falling_at(kind, 60, monkeypatch, drop=0.5 * tau * scale)
    assert quiet_fit(kind.mixture(3, tol=0.0, max_iter=60), rows).n_iter_ == 60
    monkeypatch.undo()
    monkeypatch.setattr(kind.model, "size_of_terms", no_terms)
    falling_at(kind, 60, monkeypatch, drop=3 * tau * scale)
    with pytest.raises(NumericalError, match="fell at iteration 60") as caught:
        kind.mixture(3, tol=0.0, max_iter=60).fit(rows)
    assert ("float64 rows would round less" in str(caught.value)) == (dtype is np.float32)


def test_C18_what_is_not_a_number_is_not_an_objective(kind, monkeypatch):
    falling_at(kind, 2, monkeypatch, drop=np.nan)
    estimator = kind.mixture(3, tol=0.0)
    with pytest.raises(NumericalError, match="the objective is nan at iteration 2"):
        estimator.fit(kind.X)
    assert estimator.n_iter_ == 1
    assert np.isfinite(estimator.lower_bound_)


# ---- C19, C20: seeds and convergence ----


@pytest.mark.parametrize("inference", ["em", "gibbs"])
@pytest.mark.parametrize(
    "state",
    [7, np.int64(7), lambda: np.random.RandomState(7), lambda: np.random.default_rng(7)],
    ids=["int", "numpy int", "RandomState", "Generator"],
)
def test_C19_equal_states_give_equal_fits(kind, inference, state):
    def make():
        return state() if callable(state) else state

    a = quiet_fit(kind.mixture(3, inference, random_state=make(), init_params="random"), kind.X)
    b = quiet_fit(kind.mixture(3, inference, random_state=make(), init_params="random"), kind.X)
    assert same_bits(a, b)
    other = quiet_fit(kind.mixture(3, inference, random_state=8, init_params="random"), kind.X)
    assert not same_bits(a.lower_bounds_, other.lower_bounds_)


def test_C19_a_generator_is_advanced_and_an_int_is_not(kind):
    generator = np.random.default_rng(7)
    estimator = kind.mixture(3, random_state=generator, init_params="random", max_iter=2)
    first, second = (kind.shown(quiet_fit(estimator, kind.X)) for _ in range(2))
    assert not same_bits(first, second)
    estimator.set_params(random_state=7)
    first, second = (kind.shown(quiet_fit(estimator, kind.X)) for _ in range(2))
    assert same_bits(first, second)


def test_C19_none_draws_anew_and_leaves_the_global_state(kind):
    np.random.seed(0)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    estimator = kind.mixture(3, random_state=None, init_params="random", max_iter=1)
    first, second = (kind.shown(quiet_fit(estimator, kind.X)) for _ in range(2))
    assert not same_bits(first, second)
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_C20_not_converged_is_warned_of_once(kind):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        kind.mixture(3, tol=0.0, max_iter=2, n_init=5).fit(kind.X)
    assert [w.category for w in caught] == [ConvergenceWarning]
    assert "not converged after max_iter=2 iterations; increase max_iter or tol" in str(
        caught[0].message
    )
    assert caught[0].filename == __file__


@pytest.mark.parametrize(("inference", "schedule"), [("gibbs", "batch"), ("em", "minibatch")])
def test_C20_what_does_not_converge_by_nature_is_not_warned_of(kind, inference, schedule):
    batches = {} if schedule == "batch" else {"batch_size": 75}
    estimator = kind.mixture(3, inference, schedule=schedule, **batches).fit(kind.X)
    assert estimator.converged_ is False
    assert estimator.stop_reason_ == "max_iter"


@pytest.mark.parametrize("inference", DETERMINISTIC)
def test_C20_a_fit_that_converged_says_nothing(kind, inference):
    estimator = kind.mixture(3, inference).fit(kind.X)
    assert estimator.converged_ is True
    assert estimator.stop_reason_ == "tolerance"


def test_warnings_as_errors_come_after_the_fit_is_kept():
    estimator = mixture(3, tol=0.0, max_iter=2)
    with pytest.raises(ConvergenceWarning):
        estimator.fit(X)
    assert estimator.n_iter_ == 2
    estimator = mixture(6)
    with pytest.raises(DegenerateWarning):
        estimator.fit(np.repeat(X[:4], 5, axis=0))
    assert estimator.means_.shape == (6, 4)
