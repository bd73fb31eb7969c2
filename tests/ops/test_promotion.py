"""What dtype a result has where inputs are numbers, bools and foreign arrays, and what is no input at all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.ops.promotion import array_of, result_type


@pytest.mark.parametrize(
    ("x", "dtype"),
    [(True, "bool"), (2, "int64"), (2.0, "float32"), (np.float64(2), "float64"), (np.int8([2]), "int64"), (np.float16([2]), "float32")],
)  # fmt: skip
def test_arrays_of_numbers(x: Any, dtype: str) -> None:
    assert array_of(x, "test").dtype == dtype


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ((np.ones(2, np.float32), 2.0, None), "float32"), ((None, np.ones(2, np.int64), True), "int64"), ((np.ones(2, bool), True), "bool"),
        ((np.ones(2, bool), 1), "int64"), ((np.ones(2, np.uint8), 1), "uint8"), ((np.ones(2, np.uint8), np.ones(2, np.int64)), "int64"),
        ((np.ones(2, np.float32), np.ones((), np.float64)), "float32"), ((np.ones(2, np.int64), np.ones((), np.float64), 1.0), "float64"),
        ((np.ones(2, np.float32), np.ones(1, np.float64)), "float64"), ((1, 2.0), "float32"), ((True, 1), "int64"),
    ],
)  # fmt: skip
def test_dimensions_go_before_kinds(values: Any, dtype: str) -> None:
    assert result_type(*values) == dtype


def test_what_is_no_number() -> None:
    with pytest.raises(TypeError, match="type promotion: expected a tensor, an array or a number, got None"):
        result_type(None, None)
    with pytest.raises(TypeError, match="test: complex numbers are out of tinytensor's scope"):
        array_of(1j, "test")
    with pytest.raises(TypeError, match="test: expected a Tensor, ndarray or number, got list"):
        array_of([1], "test")


@pytest.mark.parametrize(
    ("name", "wanted"), [("square", [4.0, 9.0]), ("neg", [-2.0, 3.0]), ("abs", [2.0, 3.0]), ("sign", [1.0, -1.0])]
)
def test_foreign_floats_become_ours(name: str, wanted: list[float]) -> None:
    for foreign, dtype in (("float16", "float32"), (">f4", "float32"), (">f8", "float64")):
        got = getattr(tt, name)(np.array([2.0, -3.0], foreign))
        assert (got.dtype, got.tolist()) == (dtype, wanted)


@pytest.mark.parametrize("choice", [(1.0, 2.0), (1, 2.0), (1.0, 2)])
def test_where_of_numbers_is_the_default_float(choice: Any) -> None:
    got = tt.where(tt.tensor([True, False]), *choice)
    assert (got.dtype, got.tolist()) == ("float32", [1.0, 2.0])
    assert tt.where(tt.tensor(False), *choice).item() == 2.0
