"""Tables, and CSV files as people and programs write them."""

from __future__ import annotations

import csv
import gzip
import io
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinytensor as tt
from tinytensor.data import Table, read_csv

MODULE = sys.modules["tinytensor.data.table"]
IRIS = Path(__file__).parent.parent.parent / "examples" / "iris.csv"
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str | bytes], Path]:
    def written(content: str | bytes) -> Path:
        path = tmp_path / "table.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return written


def values(table: Table) -> dict[str, list[Any]]:
    return {name: column.tolist() for name, column in table.columns.items()}


PLAIN = {"a": [1.0, -2.5], "b": ["x", "y z"]}
SAME = {
    "plain": "a,b\n1,x\n-2.5,y z\n",
    "no last line end": "a,b\n1,x\n-2.5,y z",
    "CRLF": "a,b\r\n1,x\r\n-2.5,y z\r\n",
    "CR": "a,b\r1,x\r-2.5,y z\r",
    "BOM": "\ufeffa,b\n1,x\n-2.5,y z\n",
    "semicolons": "a;b\n1;x\n-2.5;y z\n",
    "tabs": "a\tb\n1\tx\n-2.5\ty z\n",
    "quotes": '"a","b"\n"1","x"\n"-2.5","y z"\n',
    "blanks and empty lines": "\n a , b\n\n1 , x\n  \n-2.5 ,y z\n\n",
    "exponents": "a,b\n1e0,x\n-25E-1,y z\n",
    "gzip": gzip.compress(b"a,b\n1,x\n-2.5,y z\n"),
}


@pytest.mark.parametrize("case", SAME)
def test_spellings_of_one_table(write: Callable[[str | bytes], Path], case: str) -> None:
    table = read_csv(write(SAME[case]))
    assert values(table) == PLAIN
    assert table["a"].dtype == np.float64 and table["b"].dtype == object


def test_quoted_fields_hold_anything(write: Callable[[str | bytes], Path]) -> None:
    table = read_csv(write('a,"b, or c"\n1,"one, two"\n2,"say ""hi"""\n3,"two\nlines"\n4,5" pipe\n5, "five, six"\n'))
    assert values(table)["b, or c"] == ["one, two", 'say "hi"', "two\nlines", '5" pipe', "five, six"]


@pytest.mark.parametrize(
    ("text", "delimiter"),
    [
        ("a;b\n1,5;2,5\n", ";"),
        ("1,5;2,5\n3,5;4,5\n", ";"),
        ("name\tnote\nx\ta, b\ny\tc; d\n", "\t"),
        ("a,b\n1;2,3\n4,5\n", ","),
        ("a,b\nx;y,1\n", ","),
        ("a\n1\n", ","),
    ],
)
def test_the_delimiter_is_found(write: Callable[[str | bytes], Path], text: str, delimiter: str) -> None:
    assert values(read_csv(write(text))) == values(read_csv(write(text), delimiter=delimiter))


def test_a_delimiter_that_is_given(write: Callable[[str | bytes], Path]) -> None:
    assert values(read_csv(write("a|b,c\n1|2\n"), delimiter="|")) == {"a": [1.0], "b,c": [2.0]}
    for wrong in ("", "ab", '"', "\n"):
        with pytest.raises(ValueError, match="delimiter must be one character"):
            read_csv(write("a\n1\n"), delimiter=wrong)


@pytest.mark.parametrize(
    ("text", "header", "names", "rows"),
    [
        ("a,b\n1,2\n", None, ("a", "b"), 1),
        ("1,2\n3,4\n", None, ("column_1", "column_2"), 2),
        ("x,1.5\ny,2\n", None, ("column_1", "column_2"), 2),
        ("?,?\n1,2\n", None, ("column_1", "column_2"), 2),
        (",a\n1,2\n", None, ("column_1", "a"), 1),
        ("x,y\nz,w\n", None, ("x", "y"), 1),
        ("x,y\nz,w\n", False, ("column_1", "column_2"), 2),
        ("1,2\n3,4\n", True, ("1", "2"), 1),
    ],
)
def test_the_header(
    write: Callable[[str | bytes], Path], text: str, header: bool | None, names: tuple[str], rows: int
) -> None:
    table = read_csv(write(text), header=header)
    assert table.names == names and len(table) == rows


def test_missing_values_and_kinds(write: Callable[[str | bytes], Path]) -> None:
    table = read_csv(write("n,t,none,u,late\n1,x,,1_0,1\n,?,NA,2,2\nnan,y,?,3,three\n"))
    np.testing.assert_array_equal(table["n"], [1.0, np.nan, np.nan])
    assert table["t"].tolist() == ["x", None, "y"]
    np.testing.assert_array_equal(table["none"], [np.nan] * 3)
    assert table["u"].tolist() == ["1_0", "2", "3"]  # Python's own spelling of numbers is text
    assert table["late"].tolist() == ["1", "2", "three"]


@pytest.mark.parametrize("mark", ["NA", "N/A", "NULL", "null", "NaN", "nan", "?"])
def test_what_programs_write_for_a_missing_number(write: Callable[[str | bytes], Path], mark: str) -> None:
    np.testing.assert_array_equal(read_csv(write(f"a,b\n1,2\n3,{mark}\n"))["b"], [2.0, np.nan])


@pytest.mark.parametrize("text", ["a,b\n1,-999\n-999,2\n", "a,b\n1,-999\n-999,2\nx,y\n"], ids=["numbers", "text"])
def test_a_number_may_stand_for_a_missing_value(write: Callable[[str | bytes], Path], text: str) -> None:
    table = read_csv(write(text), missing=["-999"])
    for name, row in (("a", 1), ("b", 0)):
        column = table[name]
        absent = [v is None for v in column] if column.dtype == object else np.isnan(column).tolist()
        assert [i for i, v in enumerate(absent) if v] == [row]


def test_one_text_is_no_sequence_of_marks(write: Callable[[str | bytes], Path]) -> None:
    with pytest.raises(TypeError, match=r"such as \['NA'\], got one text"):
        read_csv(write("a\n1\n"), missing="NA")


def test_texts_that_come_late_keep_every_row(
    write: Callable[[str | bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MODULE, "_CELLS", 64)  # many pieces of 21 rows
    rows = [[str(i), "x" if i == 777 else str(i), "" if i % 7 else str(i / 8)] for i in range(1000)]
    table = read_csv(write("a,b,c\n" + "".join(",".join(row) + "\n" for row in rows)))
    np.testing.assert_array_equal(table["a"], np.arange(1000.0))
    assert table["b"].tolist() == [row[1] for row in rows]
    np.testing.assert_array_equal(table["c"], [np.nan if i % 7 else i / 8 for i in range(1000)])


ERRORS = {
    "empty": (b"", "no rows: the file is empty"),
    "empty lines": (b"\n\n  \n", "no rows: the file is empty"),
    "only a BOM": (b"\xef\xbb\xbf", "no rows: the file is empty"),
    "header only": (b"a,b\n", r"no rows below the header \(columns 'a', 'b'\)"),
    "short row": (b"a,b\n1,2\n3\n5,6\n", "line 3: 1 fields, the first row has 2"),
    "long row": (b"a,b\n1,2\n3,4,5\n", "line 3: 3 fields, the first row has 2"),
    "short row of text": (b'a,b\n"x\ny",2\nz\n', "line 4: 1 fields, the first row has 2"),
    "equal names": (b"a,b,a\n1,2,3\n", r"line 1: two columns are called 'a' \(columns 1 and 3\).*header=False"),
    "open quote": (b'a,b\n1,"x\n2,y\n', r"line \d: .*quote not closed"),
    "text after a quote": (b'a,b\n1,"x"y\n', "line 2: .*quote not closed"),
    "Latin-1": ("a,b\n1,caf\xe9\n".encode("latin-1"), r"line 2 is not UTF-8 text \(byte e9\): save it as UTF-8"),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), "UTF-16 text: save it as UTF-8"),
    "cut gzip": (gzip.compress(bytes(range(256)) * 99)[:60], "damaged gzip data"),
    "wrong gzip": (b"\x1f\x8b\x08\x00" + b"\xff" * 99, "damaged gzip data"),
    "gzip of Latin-1": (gzip.compress("a,b\n1,2\n1,caf\xe9\n".encode("latin-1")), "line 3 is not UTF-8 text"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_damaged_files_are_named_with_the_line(write: Callable[[str | bytes], Path], case: str) -> None:
    content, message = ERRORS[case]
    path = write(content)
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: {message}") as caught:
        read_csv(path)
    assert type(caught.value) is ValueError and "\n" not in str(caught.value)


def test_sizes_are_bounded(write: Callable[[str | bytes], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MODULE, "_MOST_COLUMNS", 3)
    with pytest.raises(ValueError, match="line 1: 4 columns, at most 3"):
        read_csv(write("a,b,c,d\n1,2,3,4\n"))
    monkeypatch.setattr(MODULE, "_LONGEST", 100)
    for text in ("a" * 1000, "a,b\n" + "1" * 1000 + ",2\n"):
        with pytest.raises(ValueError, match=r"line \d: more than 100 characters: this is no CSV file"):
            read_csv(write(gzip.compress(text.encode())))
    with pytest.raises(ValueError, match="line 2: field larger than field limit"):
        monkeypatch.undo()
        read_csv(write("a,b\n" + "x" * 200_000 + ",2\n"))


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"absent.csv: no such file"):
        read_csv(tmp_path / "absent.csv")
    with pytest.raises(ValueError, match="not a regular file"):
        read_csv(tmp_path)


def test_numbers_are_read_alike_by_both_readers(
    write: Callable[[str | bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = np.random.default_rng(0).standard_normal((500, 7)) * 10.0 ** np.arange(-9, 12, 3)
    text = ",".join("abcdefg") + "\n" + "".join(",".join(map(repr, row)) + "\n" for row in numbers.tolist())
    slow = read_csv(write(text.replace("a,", '"a",', 1) + "0,0,0,0,0,0,?\n")).rows(slice(500))
    monkeypatch.setattr(MODULE, "_columns", None)  # the other reader is not needed
    fast = read_csv(write(text))
    for i, name in enumerate("abcdefg"):
        np.testing.assert_array_equal(fast[name], numbers[:, i])
        np.testing.assert_array_equal(slow[name], numbers[:, i])


FIELDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=8).map(str.strip)


@QUICK
@given(
    rows=st.integers(1, 4).flatmap(
        lambda n: st.lists(st.lists(FIELDS, min_size=n, max_size=n), min_size=1, max_size=9)
    ),
    delimiter=st.sampled_from([",", ";", "\t"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_what_the_csv_module_writes_comes_back(
    write: Callable[[str | bytes], Path], rows: list[list[str]], delimiter: str, quoting: Any, end: str
) -> None:
    names = [f"n{i}" for i in range(len(rows[0]))]
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter, quoting=quoting, lineterminator=end).writerows([names, *rows])
    table = read_csv(write(out.getvalue()), delimiter=delimiter)
    for i, name in enumerate(names):
        expected = [row[i] if row[i] not in ("", "NA", "N/A", "nan", "NULL", "null", "?") else None for row in rows]
        if table[name].dtype == object:
            assert table[name].tolist() == expected
        else:
            np.testing.assert_array_equal(table[name], [np.nan if v is None else float(v) for v in expected])


@QUICK
@given(content=st.binary(max_size=200) | st.text(' "\n\r,;\t1a.?-\0é', max_size=60).map(str.encode))
def test_any_bytes_give_a_table_or_a_value_error(write: Callable[[str | bytes], Path], content: bytes) -> None:
    try:
        table = read_csv(write(content))
    except ValueError as error:
        assert type(error) is ValueError
    else:
        assert len(table) > 0 and table.names


def test_names_of_the_package() -> None:
    assert all(getattr(tt.data, name) for name in tt.data.__all__)
    assert tt.data.read_csv is read_csv
    with pytest.raises(AttributeError, match=r"tinytensor.data.* no attribute 'read_xml'"):
        tt.data.read_xml  # noqa: B018


def test_iris() -> None:
    table = read_csv(IRIS)
    assert (
        table.names == ("sepal_length", "sepal_width", "petal_length", "petal_width", "species") and len(table) == 150
    )
    assert [round(float(table[name].sum()), 1) for name in table.names[:4]] == [876.5, 458.6, 563.7, 179.9]
    assert table["species"].tolist() == ["setosa"] * 50 + ["versicolor"] * 50 + ["virginica"] * 50


def test_a_table_of_columns() -> None:
    table = Table(
        {
            "whole": np.arange(3),
            "yes": [True, False, None],
            "text": ["a", None, "b"],
            "numpy text": np.array(["u", "v", "w"]),
            "gaps": np.array(["u", None, float("nan")], object),
        }
    )
    assert len(table) == 3 and "text" in table and "other" not in table
    assert table["whole"].dtype == table["yes"].dtype == np.float64
    np.testing.assert_array_equal(table["yes"], [1.0, 0.0, np.nan])
    assert table["text"].tolist() == ["a", None, "b"] and table["gaps"].tolist() == ["u", None, None]
    assert repr(table).startswith("Table(3 rows: whole (number), yes (number), text (text), ")
    assert values(table.rows([2, 0]).rows(slice(1)))["numpy text"] == ["w"]
    assert len(table.rows([])) == 0
    with pytest.raises(KeyError, match="no column 'other'; there are 'whole', 'yes'"):
        table["other"]
    with pytest.raises(IndexError):
        table.rows([3])
    for wrong in ([True, False, True], [0.0], [[0]]):
        with pytest.raises(TypeError, match=r"Table.rows: expected a vector of whole numbers"):
            table.rows(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ({"a": [1], "b": [1, 2]}, ValueError, "columns of one length, got 'a': 1, 'b': 2"),
        ({}, ValueError, "at least one column"),
        ({"a": np.zeros((2, 2))}, ValueError, r"must be a vector, got shape \(2, 2\)"),
        ({"a": [1, "x"]}, TypeError, "got both"),
        ({"a": [b"x"]}, TypeError, "got b'x'"),
        ({"a": "text"}, TypeError, "must be a sequence"),
        ({1: [1]}, TypeError, "must be text, got 1"),
    ],
)
def test_what_is_no_table(columns: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Table(columns)


def test_columns_that_can_be_gone_through_once():
    assert Table({"n": (i for i in range(3)), "t": map(str, range(3))})["t"].tolist() == ["0", "1", "2"]
