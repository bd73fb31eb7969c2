"""Tables: named columns of numbers or texts, and the reader of CSV files (RFC 4180, with the liberties that files take)."""

from __future__ import annotations

import io
import math
import os
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, cast

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Table", "read_csv"]

_DELIMITERS = "\t;,"  # the rarer in ordinary text first: 1,5;2,5 is two numbers with decimal commas
_SNIFFED = 50  # rows looked at to tell the delimiter
_CELLS = 1 << 20  # fields turned into columns at a time: what bounds the texts held besides the columns
_LONGEST = 1 << 26  # characters of a line: a file without line ends, or a bomb of zeros, must not fill the memory
_MOST_COLUMNS = 100_000
_ALWAYS, _RATIO = 64 << 20, 100  # bytes unpacked that raise no question, and beyond them for each byte of a packed file


class Table:
    """Columns of one length by name. A column is a float64 array (N,), in which NaN is a missing value, or an object array (N,) of
    str, in which None is.

    Made of sequences or arrays: numbers and booleans become float64; text (with None where it is missing) stays. `columns` maps
    names to columns, `names` is their tuple, `len(table)` is N, `table[name]` is a column. Raises TypeError for other values,
    ValueError for columns that are not vectors of one length, or for none.
    """

    columns: dict[str, NDArray[Any]]

    def __init__(self, columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> None:
        if not columns:
            raise ValueError("Table: expected at least one column")
        self.columns = {}
        for name, values in columns.items():
            if not isinstance(name, str):
                raise TypeError(f"Table: names of columns must be text, got {name!r}")
            self.columns[name] = _column(name, values)
        sizes = {name: len(column) for name, column in self.columns.items()}
        if len(set(sizes.values())) != 1:
            raise ValueError(
                f"Table: expected columns of one length, got {listed(f'{n!r}: {k}' for n, k in sizes.items())}"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, in their order."""
        return tuple(self.columns)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, name: str) -> NDArray[Any]:
        try:
            return self.columns[name]
        except KeyError:
            raise KeyError(f"no column {name!r}; there are {listed(map(repr, self.columns))}") from None

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    def rows(self, indices: Sequence[int] | NDArray[np.int64] | slice) -> Table:
        """The rows at `indices`, in that order: `table.rows(order[:100])`. IndexError for rows that do not exist, TypeError for
        indices that are no whole numbers."""
        index = indices if isinstance(indices, slice) else np.asarray(indices)
        if isinstance(index, np.ndarray):
            if index.ndim != 1 or (index.dtype.kind not in "ui" and index.size):
                raise TypeError(f"Table.rows: expected a vector of whole numbers, got {index.dtype} {index.shape}")
            index = index.astype(np.int64)
        return Table({name: column[index] for name, column in self.columns.items()})

    def __repr__(self) -> str:
        kinds = (f"{name} ({'text' if is_text(column) else 'number'})" for name, column in self.columns.items())
        return f"Table({len(self)} rows: {listed(kinds)})"


def is_text(column: NDArray[Any]) -> bool:
    """Whether a column of a Table holds text, and not numbers."""
    return column.dtype == object


def read_csv(
    path: str | os.PathLike[str],
    *,
    delimiter: str | None = None,
    header: bool | None = None,
    missing: Sequence[str] = ("", "NA", "N/A", "nan", "NULL", "null", "?"),
) -> Table:
    """Read a CSV file, plain or gzip (told apart by its first bytes), in UTF-8, into a Table.

    `delimiter`: one character; None finds out which of tab, semicolon and comma it is. `header`: whether the first row names the
    columns; None takes it for names unless one of its fields is a number. Without names the columns are called column_1,
    column_2 ... `missing`: what stands for a missing value. Blanks around a field do not count, nor do empty lines; fields may
    be quoted, and hold delimiters, doubled quotes and line ends then.

    A column is of numbers if all its values are, missing ones aside (those are NaN), and of text otherwise (None). Numbers are
    written with a decimal point.

    Raises FileNotFoundError or another OSError if the file cannot be opened, and ValueError, which names the file and the line,
    for rows of different lengths, names that come twice, unclosed quotes, bytes that are not UTF-8, damaged gzip data, gzip that
    unpacks to more than 100 times its size and 64 MiB, and files without any row.
    """
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        raise ValueError(
            f"read_csv: delimiter must be one character other than a quote or a line end, got {delimiter!r}"
        )
    if isinstance(missing, str):
        raise TypeError(f"read_csv: missing must be a sequence of texts, such as [{missing!r}], got one text")
    name = str(path)
    if not Path(path).exists():
        raise FileNotFoundError(f"{name}: no such file")
    try:
        return _read(_opener(Path(path)), delimiter, header, frozenset(missing))
    except UnicodeDecodeError as error:
        line, byte = _not_utf8(Path(path)), error.object[error.start]
        raise ValueError(f"{name}: line {line} is not UTF-8 text (byte {byte:02x}): save it as UTF-8") from None
    except (EOFError, zlib.error) as error:
        raise ValueError(f"{name}: damaged gzip data ({error!s:.300})") from None
    except OSError as error:
        if error.errno is None:  # gzip's own, of a header or a checksum
            raise ValueError(f"{name}: damaged gzip data ({error!s:.300})") from None
        raise
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _opener(path: Path) -> Callable[[], io.TextIOBase]:
    """What opens the file from its beginning, each time that it is called."""
    if not path.is_file():
        raise ValueError("not a regular file")
    with open(path, "rb") as file:
        first = file.read(2)
    if first in (b"\xff\xfe", b"\xfe\xff"):
        raise ValueError("UTF-16 text: save it as UTF-8")
    if first != b"\x1f\x8b":
        return lambda: open(path, encoding="utf-8-sig", newline="")
    import gzip

    most = _ALWAYS + _RATIO * path.stat().st_size
    with gzip.open(path) as unpacked:  # before any row is read: that takes fifty times as long
        while unpacked.read(1 << 20):
            if unpacked.tell() > most:
                raise ValueError(f"it unpacks to more than {_RATIO} times its size: unpack it first, if you trust it")
    return lambda: io.TextIOWrapper(cast("IO[bytes]", gzip.open(path)), encoding="utf-8-sig", newline="")


def _not_utf8(path: Path) -> int:
    """The first line that is not UTF-8."""
    import gzip

    with open(path, "rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    with gzip.open(path) if packed else open(path, "rb") as file:
        number = 0
        for line in iter(lambda: file.readline(_LONGEST), b""):
            number += 1
            try:
                line.decode()
            except UnicodeDecodeError:
                break
    return number


def _read(
    opened: Callable[[], io.TextIOBase], delimiter: str | None, header: bool | None, missing: frozenset[str]
) -> Table:
    with opened() as file:
        delimiter = delimiter or _delimiter(file)
    with opened() as file:
        line, first = next(_rows(_lines(file), delimiter), (0, []))
    if not first:
        raise ValueError("no rows: the file is empty")
    if len(first) > _MOST_COLUMNS:
        raise ValueError(f"line {line}: {len(first)} columns, at most {_MOST_COLUMNS} are read")
    if header is None:
        header = not any(_is_number(field) for field in first if field not in missing) and any(
            field not in missing for field in first
        )
    names = [field if header and field else f"column_{i + 1}" for i, field in enumerate(first)]
    seen: dict[str, int] = {}
    for i, name in enumerate(names):
        if name in seen:
            raise ValueError(
                f"line {line}: two columns are called {name!r} (columns {seen[name] + 1} and {i + 1}): rename one, "
                "or give header=False if the first row is data"
            )
        seen[name] = i
    marked = any(_is_number(mark) and not math.isnan(float(mark)) for mark in missing)  # such as -999
    columns = None if marked else _numbers(opened, delimiter, header, len(names))
    if columns is None:
        columns = _columns(opened, delimiter, header, names, missing, marked)
    if not len(columns[0]):
        raise ValueError(f"no rows below the header (columns {listed(map(repr, names))})")
    return Table(dict(zip(names, columns)))


def _delimiter(file: io.TextIOBase) -> str:
    """The delimiter that divides the first rows most evenly."""
    import csv

    start = file.read(_CELLS)
    head = list(islice(io.StringIO(start, newline=""), _SNIFFED))
    if len(start) == _CELLS and len(head) > 1:
        head.pop()  # may be cut
    found = []
    for candidate in _DELIMITERS:
        reader = csv.reader(head, delimiter=candidate, skipinitialspace=True)
        counts = []
        try:
            for row in reader:
                if any(field.strip() for field in row):
                    counts.append(len(row))
        except csv.Error:  # a quote that is closed below the first rows, or never
            pass
        if counts and counts[0] > 1:
            found.append((sum(count == counts[0] for count in counts) / len(counts), candidate))
    return max(found, key=lambda pair: pair[0])[1] if found else ","  # of equals the first


def _lines(file: io.TextIOBase) -> Iterator[str]:
    """The lines of a file. ValueError for one that is absurdly long."""
    for number, line in enumerate(iter(lambda: file.readline(_LONGEST), ""), 1):
        if len(line) >= _LONGEST:
            raise ValueError(f"line {number}: more than {_LONGEST} characters: this is no CSV file")
        yield line


def _rows(file: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Each row with the line on which it ends, its fields without blanks around them; empty lines are left out."""
    import csv

    # a quote after ", " opens a field too; between blanks that divide fields there is nothing to skip
    reader = csv.reader(file, delimiter=delimiter, strict=True, skipinitialspace=delimiter != " ")
    columns = 0
    while True:
        try:
            row = [field.strip() for field in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            raise ValueError(f"line {reader.line_num}: {error} (is a quote not closed?)") from None
        if not row or (row == [""] and columns != 1):  # blanks; in a column of its own "" is a missing value
            continue
        columns = columns or len(row)
        yield reader.line_num, row


def _numbers(
    opened: Callable[[], io.TextIOBase], delimiter: str, header: bool, count: int
) -> list[NDArray[Any]] | None:
    """The columns of a file that holds `count` of them and nothing but numbers, by NumPy's reader in C, which is a few times
    faster; None for any other file."""
    with opened() as file:
        lines = (line for line in _lines(file) if line.strip("\r\n"))
        sample = list(islice(lines, 20))
        rows = [row for _, row in _rows(sample, delimiter)][header:] if not any('"' in line for line in sample) else []
        if not rows or any(len(row) != count or not all(map(_is_number, row)) for row in rows):
            return None
        body = chain(sample[header:], lines)
        try:
            table = np.loadtxt(body, np.float64, delimiter=delimiter, comments=None, ndmin=2)
        except UnicodeDecodeError:
            raise
        except ValueError:  # text, gaps or a row of another length: the other reader says which and where
            return None
    return list(table.T) if table.shape[1] == count else None


def _columns(
    opened: Callable[[], io.TextIOBase],
    delimiter: str,
    header: bool,
    names: list[str],
    missing: frozenset[str],
    marked: bool,
) -> list[NDArray[Any]]:
    """The columns of any file, row by row; `marked`: numbers may stand for missing values. A column is taken for numbers until it
    has a text: then the file is read once more."""
    text = [False] * len(names)
    while True:
        before = sum(text)
        columns: list[Any] = [[] if is_text else array("d") for is_text in text]
        same: dict[str, str] = {}  # equal texts are kept once
        with opened() as file:
            rows = islice(_rows(_lines(file), delimiter), int(header), None)
            while chunk := list(islice(rows, max(1, _CELLS // len(names)))):
                for line, row in chunk:
                    if len(row) != len(names):
                        raise ValueError(f"line {line}: {len(row)} fields, the first row has {len(names)}")
                for i, fields in enumerate(zip(*(row for _, row in chunk))):
                    if text[i]:
                        columns[i] += [None if field in missing else same.setdefault(field, field) for field in fields]
                        continue
                    try:
                        if marked:
                            columns[i].extend([_NAN if field in missing else read_number(field) for field in fields])
                        else:
                            columns[i].extend(_floats(fields, missing))
                    except ValueError:
                        text[i] = True
                        columns[i] = []
        if sum(text) == before:
            return [_objects(c) if is_text else np.array(c, np.float64) for c, is_text in zip(columns, text)]


_NAN = float("nan")


def _floats(fields: Sequence[str], missing: frozenset[str]) -> list[float]:
    """Fields as numbers, fast where none is missing. ValueError for text."""
    joined = "".join(fields)
    if joined.isascii() and "_" not in joined:
        try:
            return list(map(float, fields))
        except ValueError:
            pass
    return [_NAN if field in missing else read_number(field) for field in fields]


def read_number(field: str) -> float:
    """A number as files write it: Python's own 1_000 and digits of other scripts are text. ValueError for text."""
    if "_" in field or not field.isascii():
        raise ValueError
    return float(field)


def _is_number(field: str) -> bool:
    try:
        read_number(field)
    except ValueError:
        return False
    return True


def _column(name: str, values: Sequence[Any] | NDArray[Any]) -> NDArray[Any]:
    kind: Literal["text", "number", "other"]
    if isinstance(values, np.ndarray):
        if values.ndim != 1:
            raise ValueError(f"Table: column {name!r} must be a vector, got shape {values.shape}")
        if values.dtype.kind in "biuf":
            return np.ascontiguousarray(values, np.float64) if values.dtype != np.float64 else values
        values = values.tolist()
    elif isinstance(values, str):
        raise TypeError(f"Table: column {name!r} must be a sequence of values, got the text {values!r}")
    values = list(values)  # of what can be gone through once, too
    kinds = {_kind(value) for value in values}
    kind = "other" if "other" in kinds or {"text", "number"} <= kinds else "text" if "text" in kinds else "number"
    if kind == "other":
        shown = next((v for v in values if _kind(v) == "other"), None)
        reason = f"got {shown!r}" if shown is not None else "got both"
        raise TypeError(f"Table: column {name!r} must hold numbers or texts (None where missing), {reason}")
    if kind == "text":
        return _objects([str(value) if isinstance(value, str) else None for value in values])
    return np.array([_NAN if value is None else float(value) for value in values], np.float64)


def _kind(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "missing"
    if isinstance(value, str):
        return "text"
    return "number" if isinstance(value, (int, float, np.number, np.bool_)) else "other"


def _objects(values: list[Any]) -> NDArray[Any]:
    column = np.empty(len(values), object)
    column[:] = values
    return column


def listed(items: Iterable[str]) -> str:
    """At most a dozen of them, for a message."""
    shown = list(islice(items, 13))
    return ", ".join(shown[:12]) + (", ..." if len(shown) > 12 else "")
