"""How a table's columns become a network's inputs and targets, and its outputs labels again. Fitted once to the training rows, kept
with the weights as JSON, and the same bits on every machine: sums are exact, the rest is one rounding an element."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import lt
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from tinytensor.data.table import Table, is_text, listed, read_number
from tinytensor.tensor import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CategoryColumn", "NumberColumn", "TableEncoding"]

Task: TypeAlias = Literal["classification", "regression"]
Label: TypeAlias = "str | int | float"

_VERSION = 1
_MOST_CATEGORIES = 64  # of a text column, one input each
_MOST_CLASSES = 1000
_FEW_NUMBERS = 20  # distinct whole numbers of a target that is taken for classes
_MOST_COLUMNS = 100_000
_LONGEST = 1000  # characters of a name, a category or a reason
_MOST_INT = 2**53  # whole numbers up to it are the same in float64
_FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class NumberColumn:
    """A column of numbers: (value - mean) / std, 0 where it is missing; with `missing`, a second input that is 1 there."""

    name: str
    mean: float
    std: float
    missing: bool

    @property
    def features(self) -> list[str]:
        """The names of the inputs it becomes."""
        return [self.name, *([f"{self.name} missing"] if self.missing else [])]


@dataclass(frozen=True)
class CategoryColumn:
    """A column of texts: an input for each of `categories`, 1 where the text is that one; all are 0 for a text that the training rows
    had not. With `missing`, one more input that is 1 where there is none."""

    name: str
    categories: tuple[str, ...]
    missing: bool

    @property
    def features(self) -> list[str]:
        """The names of the inputs it becomes."""
        return [f"{self.name}={text}" for text in self.categories] + ([f"{self.name} missing"] if self.missing else [])


@dataclass(frozen=True)
class TableEncoding:
    """How the columns of a table become float32 features (N, D), and its target classes or a number: made by `fit`.

    `columns`: the columns used, in the order of their features. `dropped`: why others are not, by name. `classes`: the labels of a
    classification, in order; None for a regression, whose target is (value - mean) / std. Equal encodings compare equal.
    """

    target: str
    task: Task
    columns: tuple[NumberColumn | CategoryColumn, ...]
    classes: tuple[Label, ...] | None
    target_mean: float
    target_std: float
    dropped: dict[str, str]

    @classmethod
    def fit(
        cls, table: Table, target: str, task: Task | None = None, rows: NDArray[np.int64] | Sequence[int] | None = None
    ) -> TableEncoding:
        """The encoding of `table`, or of its `rows` alone, of which the column `target` is to be predicted from the others.

        Numbers are standardised by their mean and standard deviation (1 for a constant); where some are missing, an input says
        so. Text of up to 64 values gets one input for each. Left out, with the reason in `dropped`, are columns with one value only or
        none, texts that differ in every row (names, ids) or are too many or too long, and columns that count the rows of the whole
        table from 0 or 1, unless there is no other.

        `task`: "classification" or "regression"; None takes text for classes, and whole numbers too if there are at most 20
        different ones with three rows each on average. Labels are sorted, text by code point.

        Raises ValueError for a target that is not there or lacks values, infinite numbers, text to be regressed on, fewer than two classes,
        and where no column is left to learn from.
        """
        if task not in (None, "classification", "regression"):
            raise ValueError(f"TableEncoding.fit: task must be 'classification' or 'regression', got {task!r}")
        part = table if rows is None else table.rows(rows)
        values = _target(part, target, "TableEncoding.fit")
        columns: list[NumberColumn | CategoryColumn] = []
        counting: list[NumberColumn | CategoryColumn] = []
        dropped: dict[str, str] = {}
        for name, column in part.columns.items():
            if name != target:
                found = _fit_column(name, column)
                if isinstance(found, str):
                    dropped[name] = found
                else:  # a part of a count, or one in another order, shows no count
                    (counting if _counts(table[name]) else columns).append(found)
        if columns:
            dropped |= {column.name: "counts the rows" for column in counting}
        else:
            columns = counting
        if not columns:
            why = listed(f"{name!r}: {reason}" for name, reason in dropped.items()) or "there is none beside the target"
            raise ValueError(f"TableEncoding.fit: no column to learn from ({why})")
        classes: tuple[Label, ...] | None = None
        mean, std = 0.0, 1.0
        if (task or _guess(values)) == "classification":
            classes = _classes(values, target)
        elif is_text(values):
            raise ValueError(
                f"TableEncoding.fit: the target {target!r} is text, such as {values[0]!r}: task must be classification"
            )
        else:
            mean, std = _mean_std(target, values)
        chosen: Task = "regression" if classes is None else "classification"
        return _check(cls(target, chosen, tuple(columns), classes, mean, std, dropped), "TableEncoding.fit")

    @property
    def feature_names(self) -> list[str]:
        """A name for each of the D features."""
        return [name for column in self.columns for name in column.features]

    @property
    def outputs(self) -> int:
        """How many numbers a network for it gives a row: one for each class, or 1."""
        return 1 if self.classes is None else len(self.classes)

    def encode(self, table: Table) -> NDArray[np.float32]:
        """The features (N, D), float32, of a table with the same columns; the target and others beside them may be there or not.

        Raises ValueError for columns that are not there, text where the training rows had numbers, and numbers that are infinite or
        too large for float32.
        """
        absent = [column.name for column in self.columns if column.name not in table]
        if absent:
            raise ValueError(
                f"TableEncoding.encode: no column {listed(map(repr, absent))} in a table of {listed(map(repr, table.names))}"
            )
        features = np.zeros((len(table), len(self.feature_names)), np.float32)
        at = 0
        for column in self.columns:
            if isinstance(column, NumberColumn):
                _encode_numbers(column, table[column.name], features, at)
            else:
                _encode_texts(column, table[column.name], features, at)
            at += len(column.features)
        return features

    def encode_target(self, table: Table) -> NDArray[np.int64] | NDArray[np.float32]:
        """The target: class indices (N,), int64, or standardised numbers (N, 1), float32, as a network's output is.

        Raises ValueError where the column is not there, lacks values, or has a class that the training rows had not.
        """
        values = _target(table, self.target, "TableEncoding.encode_target")
        if self.classes is None:
            numbers = _numeric(self.target, values)
            return _scaled(self.target, numbers, self.target_mean, self.target_std).astype(np.float32)[:, None]
        find = _finder(self.classes)
        indices = np.array([find(value) for value in values.tolist()], np.int64)
        if (indices < 0).any():
            row = int(np.argmax(indices < 0))
            raise ValueError(
                f"TableEncoding.encode_target: row {row + 1} of {self.target!r} is {values[row]!r}, "
                f"the classes are {listed(map(repr, self.classes))}"
            )
        return indices

    def decode(self, output: Tensor | NDArray[Any] | Sequence[Any]) -> list[Any]:
        """What a network's output says, in the table's own terms: a list of N labels for scores (N, C), of which the largest
        counts, or for class indices (N,); of N floats for a regression's (N, 1) or (N,).

        Raises ValueError for other shapes, and for indices that are no class.
        """
        values = np.asarray(output.detach().numpy() if isinstance(output, Tensor) else output)
        if self.classes is None:
            if values.ndim not in (1, 2) or (values.ndim == 2 and values.shape[1] != 1):
                raise ValueError(f"TableEncoding.decode: expected numbers (N, 1) or (N,), got shape {values.shape}")
            return [float(v) * self.target_std + self.target_mean for v in values.reshape(-1).tolist()]
        if values.ndim == 2 and values.shape[1] == len(self.classes):
            values = values.argmax(1)
        elif values.ndim != 1 or (values.dtype.kind not in "ui" and values.size):
            raise ValueError(
                f"TableEncoding.decode: expected scores (N, {len(self.classes)}) or whole class indices (N,), "
                f"got {values.dtype} {values.shape}"
            )
        if values.size and not 0 <= int(values.min()) <= int(values.max()) < len(self.classes):
            raise ValueError(
                f"TableEncoding.decode: class indices from {values.min()} to {values.max()}, there are {len(self.classes)} classes"
            )
        return [self.classes[int(i)] for i in values]

    def to_dict(self) -> dict[str, Any]:
        """The encoding in plain dicts, lists, texts and numbers, ready for JSON; `from_dict` gives it back."""
        columns: list[dict[str, Any]] = []
        for column in self.columns:
            if isinstance(column, NumberColumn):
                columns.append({"name": column.name, "mean": column.mean, "std": column.std, "missing": column.missing})
            else:
                columns.append({"name": column.name, "categories": list(column.categories), "missing": column.missing})
        return {
            "version": _VERSION,
            "target": self.target,
            "task": self.task,
            "columns": columns,
            "classes": None if self.classes is None else list(self.classes),
            "target_mean": self.target_mean,
            "target_std": self.target_std,
            "dropped": dict(self.dropped),
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> TableEncoding:
        """The encoding that `to_dict` wrote. ValueError, saying what is wrong, for anything else, whoever wrote it."""
        where = "TableEncoding.from_dict"
        fields = ("version", "target", "task", "columns", "classes", "target_mean", "target_std", "dropped")
        _expect(
            isinstance(state, Mapping) and set(state) == set(fields), where, f"expected the keys {', '.join(fields)}"
        )
        _expect(state["version"] == _VERSION, where, f"version must be {_VERSION}, got {state['version']!r:.100}")
        _expect(isinstance(state["columns"], list), where, "columns must be a list")
        columns: list[NumberColumn | CategoryColumn] = []
        for column in state["columns"]:
            keys = set(column) if isinstance(column, Mapping) else set()
            if keys == {"name", "mean", "std", "missing"}:
                columns.append(NumberColumn(column["name"], column["mean"], column["std"], column["missing"]))
            elif keys == {"name", "categories", "missing"} and isinstance(column["categories"], list):
                columns.append(CategoryColumn(column["name"], tuple(column["categories"]), column["missing"]))
            else:
                raise ValueError(
                    f"{where}: a column has the keys name, missing, and mean and std or categories (a list)"
                )
        classes, dropped = state["classes"], state["dropped"]
        _expect(classes is None or isinstance(classes, list), where, "classes must be a list, or null")
        _expect(isinstance(dropped, Mapping), where, "dropped must map names to reasons")
        made = cls(
            state["target"], state["task"], tuple(columns), None if classes is None else tuple(classes),
            state["target_mean"], state["target_std"], dict(dropped),
        )  # fmt: skip
        return _check(made, where)


def _check(made: TableEncoding, where: str) -> TableEncoding:
    """An encoding whose every value is of its type and within bounds; ValueError otherwise."""
    _expect(_is_name(made.target), where, "the target must be a text of up to 1000 characters")
    _expect(made.task in ("classification", "regression"), where, f"no task {made.task!r:.100}")
    _expect(
        (made.task == "classification") == (made.classes is not None),
        where,
        "a classification, and it alone, has classes",
    )
    _expect(
        1 <= len(made.columns) + len(made.dropped) <= _MOST_COLUMNS, where, f"expected 1 to {_MOST_COLUMNS} columns"
    )
    _expect(bool(made.columns), where, "no column to learn from")
    names: list[Any] = [*(column.name for column in made.columns), *made.dropped, made.target]
    _expect(all(map(_is_name, names)), where, "names of columns must be texts of up to 1000 characters")
    _expect(len(set(names)) == len(names), where, "a column is named twice")
    _expect(all(_is_name(reason) for reason in made.dropped.values()), where, "reasons must be texts")
    for column in made.columns:
        _expect(isinstance(column.missing, bool), where, f"missing of {column.name!r} must be true or false")
        if isinstance(column, NumberColumn):
            _expect(
                _is_scale(column.mean, column.std), where, f"mean and std of {column.name!r} must be finite, std > 0"
            )
        else:
            _check_labels(column.categories, 1, _MOST_CATEGORIES, f"{where}: categories of {column.name!r}", (str,))
    _expect(
        _is_scale(made.target_mean, made.target_std), where, "target_mean and target_std must be finite, the latter > 0"
    )
    if made.classes is not None:
        text = isinstance(made.classes[0], str) if made.classes else False
        _check_labels(
            made.classes, 2, _MOST_CLASSES, f"{where}: classes of {made.target!r}", (str,) if text else (int, float)
        )
    return made


def _check_labels(labels: tuple[Any, ...], least: int, most: int, where: str, types: tuple[type, ...]) -> None:
    _expect(least <= len(labels) <= most, where, f"expected {least} to {most}, got {len(labels)}")
    for label in labels:
        _expect(type(label) in types, where, f"expected {' or '.join(t.__name__ for t in types)}, got {label!r:.100}")
        if isinstance(label, str):
            _expect(len(label) <= _LONGEST, where, f"a text of {len(label)} characters, at most {_LONGEST}")
        else:
            _expect(_is_finite(label), where, f"expected finite numbers, got {label!r:.100}")
    _expect(all(map(lt, labels, labels[1:])), where, "expected different values in ascending order")


def _expect(holds: bool, where: str, what: str) -> None:
    if not holds:
        raise ValueError(f"{where}: {what}")


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST


def _is_finite(value: Any) -> bool:
    if type(value) is int:
        return abs(value) <= _MOST_INT
    return type(value) is float and math.isfinite(value)


def _is_scale(mean: Any, std: Any) -> bool:
    return _is_finite(mean) and _is_finite(std) and std > 0


def _target(table: Table, target: str, where: str) -> NDArray[Any]:
    """The target's column, none of whose values is missing."""
    if target not in table:
        raise ValueError(f"{where}: no column {target!r} for the target; there are {listed(map(repr, table.names))}")
    values = table[target]
    absent = np.flatnonzero(_absent(values))
    if len(absent):
        raise ValueError(
            f"{where}: {len(absent)} rows have no {target!r}, the target (row {absent[0] + 1} is the first)"
        )
    if not len(values):
        raise ValueError(f"{where}: the table has no rows")
    return values


def _absent(column: NDArray[Any]) -> NDArray[np.bool_]:
    if is_text(column):
        return np.fromiter((value is None for value in column), np.bool_, len(column))
    absent: NDArray[np.bool_] = np.isnan(column)
    return absent


def _fit_column(name: str, column: NDArray[Any]) -> NumberColumn | CategoryColumn | str:
    """How a column is encoded, or why it is left out."""
    absent = _absent(column)
    present = column[~absent]
    missing = bool(absent.any())
    if not len(present):
        return "no values"
    if not is_text(column):
        first = float(present[0])
        if not missing and (present == first).all():
            return f"always {first:g}"
        return NumberColumn(name, *_mean_std(name, present), missing)
    different = set(present.tolist())
    if len(different) == 1 and not missing:
        return f"always {present[0]!r:.100}"
    if len(different) == len(present) > 1:
        return "a different text in every row, such as an id or a name"
    if len(different) > _MOST_CATEGORIES:
        return f"{len(different)} different texts, more than {_MOST_CATEGORIES}"
    if max(map(len, different)) > _LONGEST:
        return f"texts of more than {_LONGEST} characters"
    return CategoryColumn(name, tuple(sorted(different)), missing)


def _counts(column: NDArray[Any]) -> bool:
    """Whether a column of numbers counts its rows, from 0 or 1."""
    n = len(column)
    return not is_text(column) and n > 2 and any((column == np.arange(k, k + n)).all() for k in (0, 1))


def _mean_std(name: str, values: NDArray[Any]) -> tuple[float, float]:
    """Mean and population standard deviation (1 where it is 0) of numbers, from exact sums: no order of adding can change a bit."""
    n = len(values)
    if not np.isfinite(values).all():
        row = int(np.argmax(~np.isfinite(values)))
        raise ValueError(
            f"TableEncoding.fit: {name!r} has an infinite value ({values[row]}): remove it, or mark it as missing"
        )
    largest = float(np.abs(values).max())
    if largest >= 1e150:  # its square is infinite
        raise ValueError(f"TableEncoding.fit: the values of {name!r} are too large (up to {largest:g})")
    if (values == values[0]).all():  # not left to the sums: the rounded mean may differ from what it is the mean of
        return float(values[0]), 1.0
    if largest * largest * n < 2**62 and (values == np.rint(values)).all():  # pixels, counts: whole numbers, far faster
        whole = values.astype(np.int64)
        total, squares = int(whole.sum()), int((whole * whole).sum())
        return total / n, math.sqrt((n * squares - total * total) / (n * n))
    mean = math.fsum(values.tolist()) / n
    away = values - mean
    return mean, math.sqrt(math.fsum((away * away).tolist()) / n) or 1.0


def _encode_numbers(column: NumberColumn, values: NDArray[Any], features: NDArray[np.float32], at: int) -> None:
    numbers = _numeric(column.name, values)
    absent = np.isnan(numbers)
    features[:, at] = _scaled(column.name, np.where(absent, column.mean, numbers), column.mean, column.std)
    if column.missing:
        features[:, at + 1] = absent


def _numeric(name: str, values: NDArray[Any]) -> NDArray[Any]:
    """A column as numbers; texts are read, as in rows whose neighbours' texts made the column one of text. ValueError for others."""
    if not is_text(values):
        return values
    for row, value in enumerate(values.tolist()):
        if value is not None and not _reads(value):
            raise ValueError(f"TableEncoding: {name!r} must be numbers, row {row + 1} is the text {value!r:.100}")
    return np.array([math.nan if value is None else read_number(value) for value in values.tolist()], np.float64)


def _scaled(name: str, values: NDArray[Any], mean: float, std: float) -> NDArray[Any]:
    """(value - mean) / std. ValueError where float32 cannot hold it."""
    with np.errstate(over="ignore"):
        scaled: NDArray[Any] = (values - mean) / std
    outside = ~(np.abs(scaled) <= _FLOAT32_MAX)
    if outside.any():
        row = int(np.argmax(outside))
        raise ValueError(
            f"TableEncoding: row {row + 1} of {name!r} is {values[row]}, infinite or too large for float32"
        )
    return scaled


def _encode_texts(column: CategoryColumn, values: NDArray[Any], features: NDArray[np.float32], at: int) -> None:
    find = _finder(column.categories)
    absent = _absent(values)
    found = np.fromiter((find(value) for value in values.tolist()), np.int64, len(values))
    rows = np.flatnonzero((found >= 0) & ~absent)
    features[rows, at + found[rows]] = 1.0
    if column.missing:
        features[absent, at + len(column.categories)] = 1.0


def _finder(labels: Sequence[Label]) -> Callable[[Any], int]:
    """The place of a value among labels, -1 where it is none of them. Text that reads as a number and numbers meet by value, since a
    column "1", "2", "x" of the training rows may come as the numbers 1 and 2 later."""
    by_text = {label: i for i, label in enumerate(labels) if isinstance(label, str)}
    by_number = {read_number(str(label)): i for i, label in reversed(list(enumerate(labels))) if _reads(label)}

    def find(value: Any) -> int:
        if isinstance(value, str):
            if value in by_text or by_text or not _reads(value):
                return by_text.get(value, -1)
            value = read_number(value)
        return by_number.get(value, -1)

    return find


def _reads(value: Any) -> bool:
    """Whether a label is a number or reads as one."""
    try:
        read_number(str(value))
    except ValueError:
        return False
    return True


def _guess(values: NDArray[Any]) -> Task:
    if is_text(values):
        return "classification"
    different = np.unique(values)
    whole = bool(np.isfinite(different).all() and (different == np.rint(different)).all())
    few = 2 <= len(different) <= max(2, min(_FEW_NUMBERS, len(values) // 3))
    return "classification" if whole and few else "regression"


def _classes(values: NDArray[Any], target: str) -> tuple[Label, ...]:
    different = sorted(set(values.tolist()))
    if not 2 <= len(different) <= _MOST_CLASSES:
        raise ValueError(
            f"TableEncoding.fit: the target {target!r} has {len(different)} different values, expected 2 to {_MOST_CLASSES} classes"
        )
    if any(isinstance(value, float) and not math.isfinite(value) for value in different):
        raise ValueError(f"TableEncoding.fit: the target {target!r} has infinite values")
    return tuple(int(v) if isinstance(v, float) and v == int(v) and abs(v) <= _MOST_INT else v for v in different)
