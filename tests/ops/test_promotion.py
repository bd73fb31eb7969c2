"""What dtype a result has where inputs are numbers, bools and foreign arrays, and what is no input at all."""

from __future__ import annotations

import functools
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


F, L = tt.nn.functional, tt.linalg


@pytest.mark.parametrize(
    "f",
    [
        tt.sum, tt.mean, tt.prod, tt.nansum, tt.nanmean, L.matrix_norm, L.vector_norm, L.norm,
        *(functools.partial(g, dim=-1) for g in (tt.cumsum, tt.cumprod, tt.softmax, tt.log_softmax, F.softmin, tt.sum, tt.mean, L.vector_norm)),
        functools.partial(L.matrix_norm, ord="nuc"), functools.partial(L.norm, ord=1, dim=(0, 1)), tt.Tensor.sum, tt.Tensor.prod, tt.Tensor.mean,
    ],
)  # fmt: skip
def test_an_asked_dtype_is_that_in_which_is_computed(f: Any) -> None:
    x = tt.tensor([[0.1, 0.7, -1.3], [2.1, 0.3, 0.9]], requires_grad=True)
    y, wanted = f(x, dtype=tt.float64), f(x.detach().to(tt.float64))
    assert y.dtype == wanted.dtype == tt.float64
    np.testing.assert_array_equal(y.detach().numpy(), wanted.numpy())
    y.sum().backward()
    assert x.grad is not None and x.grad.dtype == tt.float32 and x.grad.shape == x.shape
