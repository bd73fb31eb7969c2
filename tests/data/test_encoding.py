"""Columns as features and targets, against the definition computed in exact fractions; and files that nobody should have written."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tinytensor as tt
from tinytensor.data import Table, TableEncoding
from tinytensor.data.encoding import CategoryColumn, NumberColumn

NAN = float("nan")


def people() -> Table:
    return Table(
        {
            "id": [f"id{i}" for i in range(8)],
            "age": [20.5, 30, NAN, 40, 25, 35, 31, 29],
            "city": ["Rome", "Bonn", None, "Rome", "Oslo", "Bonn", "Rome", "Oslo"],
            "children": [0, 2, 1, 3, 0, 0, 1, 1],
            "planet": ["Earth"] * 8,
            "legs": [2] * 8,
            "number": range(1, 9),
            "income": [1.5, 2.5, 2.0, 4.0, 1.0, 3.5, 2.5, 2.0],
            "likes": ["tea", "beer", "tea", "beer", "tea", "wine", "wine", "tea"],
        }
    )


def moments(values: list[float]) -> tuple[float, float]:
    """Mean and population variance, exact until the end."""
    exact = [Fraction(v) for v in values]
    mean = sum(exact) / len(exact)
    return float(mean), float(sum((v - mean) ** 2 for v in exact) / len(exact))


def test_features_are_what_they_are_said_to_be() -> None:
    table = people()
    encoding = TableEncoding.fit(table, "likes")
    assert encoding.feature_names == [
        "age", "age missing", "city=Bonn", "city=Oslo", "city=Rome", "city missing", "children", "income",
    ]  # fmt: skip
    assert encoding.dropped == {
        "id": "a different text in every row, such as an id or a name",
        "planet": "always 'Earth'",
        "legs": "always 2",
        "number": "counts the rows",
    }
    x = encoding.encode(table)
    assert x.shape == (8, 8) and x.dtype == np.float32 and x.flags.c_contiguous
    age = table["age"]
    mean, variance = moments([v for v in age.tolist() if v == v])
    np.testing.assert_allclose(x[:, 0], np.where(np.isnan(age), 0, (age - mean) / math.sqrt(variance)), rtol=1e-6)
    assert x[:, 1].tolist() == [0, 0, 1, 0, 0, 0, 0, 0]
    assert x[:, 2:6].tolist() == [
        [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0],
    ]  # fmt: skip
    mean, variance = moments(table["children"].tolist())
    np.testing.assert_allclose(x[:, 6], (table["children"] - mean) / math.sqrt(variance), rtol=1e-6)


def test_classes_there_and_back() -> None:
    table = people()
    encoding = TableEncoding.fit(table, "likes")
    assert (encoding.task, encoding.classes, encoding.outputs) == ("classification", ("beer", "tea", "wine"), 3)
    y = encoding.encode_target(table)
    assert y.dtype == np.int64 and y.tolist() == [1, 0, 1, 0, 1, 2, 2, 1]
    assert encoding.decode(y) == table["likes"].tolist()
    scores = np.eye(3, dtype=np.float32)[y]
    for output in (scores, tt.tensor(scores, requires_grad=True), scores.tolist()):
        assert encoding.decode(output) == table["likes"].tolist()
    assert encoding.decode([]) == encoding.decode(np.zeros((0, 3))) == []


def test_a_regression_there_and_back() -> None:
    table = people()
    encoding = TableEncoding.fit(table, "income")
    assert (encoding.task, encoding.classes, encoding.outputs) == ("regression", None, 1)
    y = encoding.encode_target(table)
    assert y.shape == (8, 1) and y.dtype == np.float32
    mean, variance = moments(table["income"].tolist())
    np.testing.assert_allclose(y[:, 0], (table["income"] - mean) / math.sqrt(variance), rtol=1e-6)
    for output in (y, y[:, 0], tt.tensor(y), y.tolist()):
        np.testing.assert_allclose(encoding.decode(output), table["income"], rtol=1e-6)
    assert all(type(v) is float for v in encoding.decode(y))


@pytest.mark.parametrize(
    ("values", "task", "found", "classes"),
    [
        (["b", "a", "b", "c"], None, "classification", ("a", "b", "c")),
        ([3, 1, 2, 3, 1, 2, 1, 2, 3], None, "classification", (1, 2, 3)),
        ([0, 1, 1], None, "classification", (0, 1)),
        ([1, 2, 3, 4], None, "regression", None),
        ([0.5, 1, 0.5, 1, 0.5, 1], None, "regression", None),
        (list(range(21)) * 10, None, "regression", None),
        (list(range(20)) * 10, None, "classification", tuple(range(20))),
        ([7, 7, 7], None, "regression", None),
        ([0.5, 1, 0.5, 1], "classification", "classification", (0.5, 1)),
        ([3, 1, 2, 3, 1, 2, 1, 2, 3], "regression", "regression", None),
        ([1e300, 1.0, 1e300], "classification", "classification", (1, 1e300)),
        ([-1, 1, 1], None, "classification", (-1, 1)),
    ],
)
def test_which_task_it_is(values: list[Any], task: Any, found: str, classes: Any) -> None:
    table = Table({"x": np.arange(len(values)) * 0.5, "y": values})
    encoding = TableEncoding.fit(table, "y", task)
    assert (encoding.task, encoding.classes) == (found, classes)
    assert [type(c) for c in encoding.classes or ()] == [type(c) for c in classes or ()]
    decoded = encoding.decode(encoding.encode_target(table))
    assert decoded == values or (found == "regression" and np.allclose(decoded, values, atol=1e-5))


def test_a_table_to_predict_has_less_and_more() -> None:
    encoding = TableEncoding.fit(people(), "likes")
    new = Table(
        {
            "surplus": ["?"],
            "income": [2.0],
            "children": [None],
            "age": [NAN],
            "city": ["Paris"],
        }
    )
    x = encoding.encode(new)[0]
    assert x[:6].tolist() == [0, 1, 0, 0, 0, 0]  # an unknown city is none of those known, and not missing
    assert x[6] == 0  # the mean: the training rows had no gap to learn from
    for absent in ("age", "city"):
        some = Table({name: column for name, column in new.columns.items() if name != absent})
        with pytest.raises(ValueError, match=f"no column '{absent}' in a table of 'surplus', 'income'"):
            encoding.encode(some)


def test_texts_that_read_as_numbers_meet_numbers() -> None:
    train = Table({"grade": ["1", "02", "x", "1", "02", "x"], "y": ["0", "1", "no", "0", "1", "no"]})
    encoding = TableEncoding.fit(train, "y")
    new = Table({"grade": [1.0, 2.0, 3.0, NAN], "y": [0.0, 1.0, 0.0, 1.0]})
    assert encoding.feature_names == ["grade=02", "grade=1", "grade=x"]
    assert encoding.encode(new).tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]]
    assert encoding.encode_target(new).tolist() == [0, 1, 0, 1]
    whole = TableEncoding.fit(Table({"x": [0.5, 1, 2], "y": [0, 1, 1]}), "y")
    assert whole.encode_target(Table({"y": ["1", "0"]})).tolist() == [1, 0]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.floats(-1e100, 1e100) | st.integers(-300, 300).map(float), min_size=2, max_size=40))
def test_moments_are_exact_and_orders_do_not_matter(values: list[float]) -> None:
    table = Table({"x": [*values, NAN], "y": ["a", *["b"] * len(values)]})
    columns = [TableEncoding.fit(table.rows(order), "y").columns[0] for order in (slice(None), slice(None, None, -1))]
    assert columns[0] == columns[1] and isinstance(columns[0], NumberColumn)
    mean, variance = moments(values)
    scale = max(map(abs, values))
    assert math.isclose(columns[0].mean, mean, rel_tol=1e-15, abs_tol=1e-300)
    # what the deviations lose by one rounding each; 1 stands for 0
    assert math.isclose(columns[0].std, math.sqrt(variance) or 1.0, rel_tol=1e-12, abs_tol=4e-16 * scale) or (
        math.sqrt(variance) <= 4e-16 * scale
    )


def test_a_constant_with_gaps_keeps_its_gaps() -> None:
    table = Table({"x": [3, NAN, 3], "t": ["u", None, "u"], "y": ["a", "b", "a"]})
    encoding = TableEncoding.fit(table, "y")
    assert encoding.columns == (NumberColumn("x", 3.0, 1.0, True), CategoryColumn("t", ("u",), True))
    assert encoding.encode(table).tolist() == [[0, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0]]


@pytest.mark.parametrize("value", [0.1, 0.7, 1 / 3, 1e100, -1e-100, 123456.789])
@pytest.mark.parametrize("count", [3, 6, 7, 49, 93])
def test_a_constant_is_one_whatever_its_mean_rounds_to(value: float, count: int) -> None:
    table = Table({"x": [value] * count + [NAN], "y": ["a", *["b"] * count]})
    assert TableEncoding.fit(table, "y").columns == (NumberColumn("x", value, 1.0, True),)


def test_numbers_among_texts_are_read_where_they_stand_alone() -> None:
    encoding = TableEncoding.fit(Table({"x": [1, 2, 4], "y": [0.5, 1, 2]}), "y")
    mixed = Table({"x": ["2", None, "4", "many"], "y": ["1", "2", "0.5", "much"]}).rows([0, 1, 2])
    plain = Table({"x": [2, NAN, 4], "y": [1, 2, 0.5]})
    np.testing.assert_array_equal(encoding.encode(mixed), encoding.encode(plain))
    np.testing.assert_array_equal(encoding.encode_target(mixed), encoding.encode_target(plain))


def test_columns_that_are_left_out() -> None:
    n = 200
    table = Table(
        {
            "empty": [None] * n,
            "many": [f"t{i % 65}" for i in range(n)],
            "most": [f"t{i % 64}" for i in range(n)],
            "long": ["x" * 1001, "y"] * (n // 2),
            "from zero": range(n),
            "year": range(1900, 1900 + n),
            "y": [0, 1] * (n // 2),
        }
    )
    encoding = TableEncoding.fit(table, "y")
    assert [column.name for column in encoding.columns] == ["most", "year"]
    assert encoding.dropped == {
        "empty": "no values",
        "many": "65 different texts, more than 64",
        "long": "texts of more than 1000 characters",
        "from zero": "counts the rows",
    }


def test_what_counts_the_rows_of_the_file_does_so_in_a_part_of_them() -> None:
    """Shuffled and divided, as for a training: a number of the row must not be learnt from."""
    n = 40
    table = Table({"Id": range(1, n + 1), "x": [math.sin(i) for i in range(n)], "y": [0.5 * i for i in range(n)]})
    order = tt.randperm(n).numpy()[:30]
    encoding = TableEncoding.fit(table, "y", rows=order)
    assert encoding.dropped == {"Id": "counts the rows"}
    assert dataclasses.replace(TableEncoding.fit(table.rows(order), "y"), dropped={}, columns=encoding.columns) == (
        dataclasses.replace(encoding, dropped={})
    )


def test_a_count_of_the_rows_is_learnt_from_where_there_is_nothing_else() -> None:
    table = Table({"x": range(50), "always": [1] * 50, "y": [2 * i + 1.5 for i in range(50)]})
    encoding = TableEncoding.fit(table, "y")
    assert encoding.feature_names == ["x"]
    assert encoding.dropped == {"always": "always 1"}


@pytest.mark.parametrize(
    ("columns", "target", "task", "message"),
    [
        ({"x": [1, 2], "y": ["a", "b"]}, "z", None, "no column 'z' for the target; there are 'x', 'y'"),
        ({"x": [1, 2], "y": ["a", "b"]}, "y", "sorting", "task must be"),
        ({"x": [1, 2], "y": ["a", "b"]}, "y", "regression", "'y' is text, such as 'a'"),
        ({"x": [1, 2, 4], "y": ["a", None, None]}, "y", None, r"2 rows have no 'y', the target \(row 2 is the first\)"),
        ({"x": [1, 2, 4], "y": [1, NAN, 2]}, "y", None, r"1 rows have no 'y', the target \(row 2"),
        ({"x": [1, 2], "y": ["a", "a"]}, "y", None, "1 different values, expected 2 to 1000 classes"),
        ({"x": [5] * 9, "y": list("ab") * 4 + ["a"]}, "y", None, "no column to learn from"),
        ({"x": np.arange(1001) / 2, "y": list(map(str, range(1001)))}, "y", None, "1001 different values"),
        (
            {"x": [1, 1], "n": ["u", "v"], "y": [1, 2]},
            "y",
            None,
            "no column to learn from .'x': always 1, 'n': a different",
        ),
        ({"y": [1, 2]}, "y", None, "there is none beside the target"),
        ({"x": [1.0, math.inf, 3], "y": [1, 2, 1]}, "y", None, "'x' has an infinite value"),
        ({"x": [1, 2, 4], "y": [1, math.inf, 1]}, "y", None, "'y' has an infinite value"),
        ({"x": [1, 2, 4], "y": [1, math.inf, 1]}, "y", "classification", "'y' has infinite values"),
        ({"x": [1e308, -1e308, 1], "y": [1, 2, 1]}, "y", None, "values of 'x' are too large"),
        ({"x": [1.7e308, -1.7e308, -1.7e308], "y": [1, 2, 1]}, "y", None, "values of 'x' are too large"),
        ({"x": np.zeros(0), "y": np.zeros(0)}, "y", None, "the table has no rows"),
        ({"x": [1, 2], "y": ["a", "b" * 1001]}, "y", None, "1001 characters"),
        ({"x" * 1001: [1, 2], "y": ["a", "b"]}, "y", None, "names of columns must be texts of up to 1000"),
    ],
)
def test_what_cannot_be_fitted(columns: dict[str, Any], target: str, task: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"TableEncoding.fit: .*{message}"):
        TableEncoding.fit(Table(columns), target, task)


def test_what_cannot_be_encoded() -> None:
    classes = TableEncoding.fit(Table({"x": [1, 2, 4], "y": ["a", "b", "a"]}), "y")
    numbers = TableEncoding.fit(Table({"x": [1, 2, 4], "y": [0.5, 1, 2]}), "y")
    with pytest.raises(ValueError, match="'x' must be numbers, row 2 is the text 'many'"):
        classes.encode(Table({"x": ["1", "many"]}))
    tiny = TableEncoding.fit(Table({"x": [0, 1e-100, 0], "y": ["a", "b", "a"]}), "y")
    with pytest.raises(ValueError, match=r"row 1 of 'x' is 1e\+300, infinite or too large"):
        tiny.encode(Table({"x": [1e300]}))
    for wrong in (math.inf, 1e300):
        with pytest.raises(ValueError, match=r"row 2 of 'x' is .*infinite or too large"):
            classes.encode(Table({"x": [1, wrong]}))
        with pytest.raises(ValueError, match=r"row 1 of 'y' is .*infinite or too large"):
            numbers.encode_target(Table({"y": [wrong]}))
    with pytest.raises(ValueError, match=r"row 2 of 'y' is 'c', the classes are 'a', 'b'"):
        classes.encode_target(Table({"y": ["a", "c"]}))
    with pytest.raises(ValueError, match="1 rows have no 'y'"):
        classes.encode_target(Table({"y": ["a", None]}))
    with pytest.raises(ValueError, match="'y' must be numbers, row 1 is the text 'a'"):
        numbers.encode_target(Table({"y": ["a"]}))


def test_what_cannot_be_decoded() -> None:
    classes = TableEncoding.fit(Table({"x": [1, 2, 4], "y": ["a", "b", "a"]}), "y")
    numbers = TableEncoding.fit(Table({"x": [1, 2, 4], "y": [0.5, 1, 2]}), "y")
    for wrong in (np.zeros((4, 3)), np.zeros(4), np.zeros((1, 2, 2))):
        with pytest.raises(ValueError, match=r"expected scores \(N, 2\) or whole class indices"):
            classes.decode(wrong)
    for index in (-1, 2):
        with pytest.raises(ValueError, match="there are 2 classes"):
            classes.decode([0, index])
    for wrong in (np.zeros((4, 2)), np.zeros(())):
        with pytest.raises(ValueError, match=r"expected numbers \(N, 1\) or \(N,\)"):
            numbers.decode(wrong)


@pytest.mark.parametrize("target", ["likes", "income", "children"])
def test_json_there_and_back(target: str) -> None:
    encoding = TableEncoding.fit(people(), target, None if target != "children" else "classification")
    again = TableEncoding.from_dict(json.loads(json.dumps(encoding.to_dict(), allow_nan=False)))
    assert again == encoding
    np.testing.assert_array_equal(again.encode(people()), encoding.encode(people()))
    assert again.decode(again.encode_target(people())) == encoding.decode(encoding.encode_target(people()))


def good() -> dict[str, Any]:
    return TableEncoding.fit(people(), "likes").to_dict()


HOSTILE: dict[str, tuple[tuple[Any, ...], Any]] = {
    "version": (("version",), 2),
    "target no text": (("target",), ["likes"]),
    "target long": (("target",), "x" * 1001),
    "target is a column": (("target",), "age"),
    "task": (("task",), "sorting"),
    "task without classes": (("classes",), None),
    "task with classes": (("task",), "regression"),
    "no columns": (("columns",), []),
    "columns no list": (("columns",), {"name": "age"}),
    "column no dict": (("columns", 0), "age"),
    "column with a key too many": (("columns", 0, "code"), "import os"),
    "mean NaN": (("columns", 0, "mean"), NAN),
    "mean text": (("columns", 0, "mean"), "0"),
    "mean bool": (("columns", 0, "mean"), True),
    "mean huge": (("columns", 0, "mean"), 10**400),
    "std 0": (("columns", 0, "std"), 0.0),
    "std negative": (("columns", 0, "std"), -1.0),
    "std infinite": (("columns", 0, "std"), math.inf),
    "missing no bool": (("columns", 0, "missing"), 1),
    "name no text": (("columns", 0, "name"), None),
    "name unhashable": (("columns", 0, "name"), []),
    "name twice": (("columns", 0, "name"), "city"),
    "categories text": (("columns", 1, "categories"), "abc"),
    "categories empty": (("columns", 1, "categories"), []),
    "categories many": (("columns", 1, "categories"), [f"{i:03}" for i in range(65)]),
    "categories numbers": (("columns", 1, "categories"), [1, 2]),
    "categories twice": (("columns", 1, "categories"), ["a", "a"]),
    "categories not sorted": (("columns", 1, "categories"), ["b", "a"]),
    "category long": (("columns", 1, "categories"), ["x" * 1001]),
    "classes text": (("classes",), "abc"),
    "one class": (("classes",), ["a"]),
    "no class": (("classes",), []),
    "classes mixed": (("classes",), ["a", 1]),
    "classes lists": (("classes",), [[1], [2]]),
    "classes huge": (("classes",), [0, 10**400]),
    "classes bools": (("classes",), [False, True]),
    "classes infinite": (("classes",), [0, math.inf]),
    "classes many": (("classes",), list(range(1001))),
    "target_std": (("target_std",), 0),
    "target_mean": (("target_mean",), None),
    "dropped list": (("dropped",), ["id"]),
    "dropped reason": (("dropped", "id"), 3),
    "dropped and used": (("dropped", "age"), "used"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_file_that_nobody_should_have_written(case: str) -> None:
    path, value = HOSTILE[case]
    state = copy.deepcopy(good())
    inner: Any = state
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(ValueError, match=r"^TableEncoding.from_dict: .") as caught:
        TableEncoding.from_dict(state)
    assert len(str(caught.value)) < 300


def test_keys_are_exactly_those_that_are_known() -> None:
    for key in good():
        state = good()
        del state[key]
        with pytest.raises(ValueError, match="expected the keys version, target"):
            TableEncoding.from_dict(state)
    with pytest.raises(ValueError, match="expected the keys"):
        TableEncoding.from_dict(good() | {"more": 1})
    with pytest.raises(ValueError, match="expected the keys"):
        TableEncoding.from_dict([])  # type: ignore[arg-type]
