"""Tables from files: every kind, and every complaint in one line with file and line."""

import builtins
import gzip

import numpy as np
import pytest

from vemfast.io import TableError, read_table

X = np.array([[1.5, -2.0, 3e-7], [4.0, 5.25, 6.0], [0.1, 1e9, -0.0]])
NAMES = ("width", "height", "depth")
ROWS = "\n".join(",".join(map(repr, row)) for row in X.tolist()) + "\n"


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def complaint(path, **options):
    with pytest.raises(TableError) as info:
        read_table(path, **options)
    message = str(info.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message.removeprefix(str(path))


# ---- what is read ---------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int16, ">f8"])
def test_npy_is_mapped_in_its_own_type(tmp_path, dtype):
    np.save(tmp_path / "x.npy", X.astype(dtype))
    table = read_table(tmp_path / "x.npy")
    assert isinstance(table.X, np.memmap)
    assert table.X.dtype == dtype
    assert table.names is None
    np.testing.assert_array_equal(table.X, X.astype(dtype))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz(tmp_path, save):
    save(tmp_path / "one.npz", points=X)
    np.testing.assert_array_equal(read_table(tmp_path / "one.npz").X, X)
    save(tmp_path / "two.npz", a=X, b=X[:1])
    np.testing.assert_array_equal(read_table(tmp_path / "two.npz", array="b").X, X[:1])
    assert complaint(tmp_path / "two.npz") == ": say which array; it holds a, b"
    assert complaint(tmp_path / "two.npz", array="c") == ": no array 'c'; it holds a, b"


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt", ".csv.gz", ".CSV"])
@pytest.mark.parametrize("separator", [",", ";", "\t", " ", ", "])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("header", [False, True])
def test_text(tmp_path, suffix, separator, newline, header):
    text = (",".join(NAMES) + "\n" if header else "") + ROWS
    content = text.replace(",", separator).replace("\n", newline).encode()
    path = write(tmp_path / f"x{suffix}", gzip.compress(content) if "gz" in suffix else content)
    table = read_table(path)
    np.testing.assert_array_equal(table.X, X)
    assert table.names == (NAMES if header else None)


def test_text_with_comments_blank_lines_quotes_and_a_byte_order_mark(tmp_path):
    content = '\ufeff# a comment\n\n"wi,dth",height\n1,2\n  \n# and\n"3",4'
    table = read_table(write(tmp_path / "x.csv", content))
    assert table.names == ("wi,dth", "height")
    np.testing.assert_array_equal(table.X, [[1, 2], [3, 4]])


def test_one_column_is_still_a_table(tmp_path):
    assert read_table(write(tmp_path / "x.csv", "1\n2\n")).X.shape == (2, 1)
    assert read_table(write(tmp_path / "y.csv", "only\n1\n2\n")).names == ("only",)
    assert read_table(write(tmp_path / "z.csv", "1,2\n")).X.shape == (1, 2)


def test_a_header_of_numbers_can_be_said_to_be_one(tmp_path):
    path = write(tmp_path / "x.csv", "0,1\n5,6\n")
    assert read_table(path).X.shape == (2, 2)
    assert read_table(path, header=True).names == ("0", "1")
    mixed = write(tmp_path / "y.csv", "2019,name\n5,6\n")
    assert complaint(mixed) == (
        ", line 1: numbers beside 'name'; say whether this line is a header"
    )
    assert read_table(mixed, header=True).names == ("2019", "name")


def test_columns_by_name_and_by_number(tmp_path):
    named = write(tmp_path / "x.csv", "a,b,species\n1,2,x # y\n3,4,y\n")
    table = read_table(named, columns=["b", "0"])
    assert table.names == ("b", "a")
    np.testing.assert_array_equal(table.X, [[2, 1], [4, 3]])
    assert complaint(named, columns=["c"]) == ": no column 'c'; it has a, b, species"
    assert read_table(named, if_named=["b"]).names == ("b",)
    assert read_table(named, columns=["a"], if_named=["b"]).names == ("a",)
    np.save(tmp_path / "x.npy", X)
    assert read_table(tmp_path / "x.npy", if_named=["b"]).X.shape == (3, 3)
    np.testing.assert_array_equal(read_table(tmp_path / "x.npy", columns=["2"]).X, X[:, [2]])
    assert complaint(tmp_path / "x.npy", columns=["3"]) == ": no column '3'; it has numbers 0 to 2"


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "x.parquet"
    columns = {"a": [1, 2], "b": [0.5, np.nan], "s": ["x", "y"], "n": [1.0, None]}
    parquet.write_table(pyarrow.table(columns), path)
    table = read_table(path, columns=["b", "a"])
    assert table.names == ("b", "a")
    np.testing.assert_array_equal(table.X, [[0.5, 1], [np.nan, 2]])
    assert complaint(path) == ": column 's' holds string, not numbers"
    assert complaint(path, columns=["n"]) == (
        ": column 'n' is empty at row 1; missing values are not taken"
    )
    parquet.write_table(pyarrow.table({"a": np.float32([1, 2])}), path)
    assert read_table(path).X.dtype == np.float32
    assert "not a Parquet file" in complaint(write(path, b"PAR1 not really PAR1"))


def test_missing_values(tmp_path):
    expected = [[1.0, np.nan, 2.5], [np.nan, np.nan, 4.0]]
    for content in ("a,b,c\n1,,2.5\nNA, ,4\n", "1,NaN,2.5\nnan,,4\n", ',NA,"2.5"\n,,4\n'):
        path = write(tmp_path / "x.csv", content)
        rows = read_table(path, missing=True).X
        np.testing.assert_array_equal(rows[-1], expected[-1])
        if content[0] in "a1":
            np.testing.assert_array_equal(rows, expected)
        with pytest.raises(TableError):
            read_table(path)
    for bad in ("1,inf\n", "1,n/a\n", "1,1_0\n2,3\n", "1,2\n-,4\n"):
        with pytest.raises(TableError):
            read_table(write(tmp_path / "x.csv", bad), header=False, missing=True)


def test_nulls_in_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    pq.write_table(
        pyarrow.table({"a": [1, None, 3], "b": [0.5, 1.5, None]}), tmp_path / "x.parquet"
    )
    rows = read_table(tmp_path / "x.parquet", missing=True).X
    np.testing.assert_array_equal(rows, [[1.0, 0.5], [np.nan, 1.5], [3.0, np.nan]])
    with pytest.raises(TableError, match="column 'a' is empty at row 1"):
        read_table(tmp_path / "x.parquet")


def test_parquet_without_pyarrow(tmp_path, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **options):
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    path = write(tmp_path / "x.parquet", b"PAR1")
    assert complaint(path) == ": Parquet files are read by the package pyarrow: pip install pyarrow"


# ---- what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", ": no rows"),
        ("# only this\n", ": no rows"),
        ("a,b\n", ": no rows"),
        ("1,2\n3\n", ", line 2: 1 columns; the lines before have 2"),
        ("1,2\n\n3,4,5\n", ", line 3: 3 columns; the lines before have 2"),
        ("1 2\n3\n", ", line 2: 1 columns; the lines before have 2"),
        ("a,b\n1,x\n", ", line 2: column 1 (b) is 'x', not a number"),
        ("1,2\n# c\n3,1_0\n", ", line 3: column 1 is '1_0', not a number"),
        ("1,2\n3,\n", ", line 2: column 1 is empty; missing values are not taken"),
        ("1,2\nnan,4\n", ", line 2: column 0 is 'nan'; only finite numbers are taken"),
        ("1,2\n3,1e999\n", ", line 2: column 1 is '1e999'; only finite numbers are taken"),
        ("a;b\n1,5;2\n", ", line 2: column 0 (a) is '1,5', not a number; "
         "numbers have a decimal point"),
        (b"\xff\xfe\x00", ": not text in UTF-8 ("),
    ],
)  # fmt: skip
def test_bad_text_is_named_by_its_line(tmp_path, content, message):
    assert complaint(write(tmp_path / "x.csv", content)).startswith(message)


def test_a_line_of_another_length_is_seen_also_with_chosen_columns(tmp_path):
    path = write(tmp_path / "x.csv", "1,2,a\n3,4,5,b\n")
    assert complaint(path, columns=["0"], header=False) == (
        ", line 2: 4 columns; the lines before have 3"
    )


def test_damaged_gzip(tmp_path):
    good = gzip.compress(ROWS.encode() * 50)
    for content in (ROWS.encode(), good[:-20], good[:40] + b"?" + good[41:]):
        message = complaint(write(tmp_path / "x.csv.gz", content))
        assert message.startswith(": damaged gzip file (")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros(3), ": an array of shape (3,); a table is (rows, columns)"),
        (np.zeros((0, 3)), ": no rows"),
        (np.zeros((2, 2), complex), ": holds complex128, not real numbers"),
        (np.array([["a"]]), ": holds <U1, not real numbers"),
        (np.array([[None]]), ": not a NumPy file of numbers ("),
    ],
)
def test_bad_arrays(tmp_path, array, message):
    np.save(tmp_path / "x.npy", array)
    assert complaint(tmp_path / "x.npy").startswith(message)


def test_files_that_are_no_tables(tmp_path):
    for content in (b"", b"nonsense", b"\x93NUMPY\x01\x00"):
        message = complaint(write(tmp_path / "x.npy", content))
        assert message.startswith(": not a NumPy file of numbers (")
        message = complaint(write(tmp_path / "x.npz", content))
        assert message.startswith(": not a NumPy archive of numbers (")
    np.savez(tmp_path / "x.npz", X)
    content = (tmp_path / "x.npz").read_bytes()
    for end in range(0, len(content), 7):
        complaint(write(tmp_path / "x.npz", content[:end]))


def test_kinds_and_options_that_do_not_fit(tmp_path):
    assert complaint(write(tmp_path / "x.xls", "")).startswith(": files of the kind '.xls' are not")
    assert complaint(write(tmp_path / "x.npy.gz", "")).startswith(": files of the kind '.gz' are")
    assert complaint(tmp_path / "x.csv", array="X").startswith(": only an .npz file holds several")
    assert complaint(tmp_path / "x.npy", header=True).startswith(": only text files have or lack")
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / "missing.csv")
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / "missing.npy")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(IsADirectoryError):
        read_table(tmp_path / "folder.csv")
