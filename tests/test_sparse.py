"""Products with a matrix of few entries: the bits of the product with its zeros."""

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import _kernels

FEW = np.random.RandomState(1).rand(300, 64)
FEW[FEW > 0.2] = 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("given", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("columns", [1, 3, 8, 20, 37, 64, 128, 129, 300])
def test_products_without_zeros_have_the_bits_of_those_with(dtype, given, columns):
    rng = np.random.RandomState(0)
    A = (FEW * 255).astype(given) if given == "uint8" else FEW.astype(given)
    A[7] = 0
    starts, places, values = _kernels.to_sparse(A, np.dtype(dtype))
    np.testing.assert_array_equal(places, np.nonzero(A)[1])
    np.testing.assert_array_equal(values, A[A != 0].astype(dtype))
    rows, A = rng.permutation(len(A)), A.astype(dtype)
    b, bias, g = (rng.randn(*shape).astype(dtype) for shape in ((64, columns), (columns,), (len(A), columns)))
    packed = (starts[rows], starts[rows + 1], places, values)
    for threads in (1, 2, 3):
        with tt.threads(threads):
            np.testing.assert_array_equal(
                _kernels.sparse_product(*packed, b, bias), _kernels.linear(A[rows], b.T, bias)[0]
            )
            np.testing.assert_array_equal(
                _kernels.sparse_product(*packed, g, width=64), _kernels.matmul(np.ascontiguousarray(A[rows].T), g)
            )


def test_what_is_compressed_says_what_does_not_fit():
    starts, places, values = _kernels.to_sparse(np.eye(3), np.dtype(np.float64))
    b, bias = np.ones((3, 2)), np.zeros(2)
    with pytest.raises(IndexError, match="row 2 has the entries 2 to 4 of 3"):
        _kernels.sparse_product(starts[:3], starts[1:] + np.arange(3) // 2, places, values, b, bias)
    with pytest.raises(ValueError, match="does not fit b"):
        _kernels.sparse_product(starts[:3], starts[1:], places, values, b, np.zeros(3))
    with pytest.raises(ValueError, match="does not have A's 3 rows"):
        _kernels.sparse_product(starts[:3], starts[1:], places, values, b[:2], width=3)
    with pytest.raises(TypeError, match="expected uint8, float32 or float64 rows"):
        _kernels.to_sparse(np.ones((2, 2), int), np.dtype(np.float64))
    places, *_ = _kernels.to_sparse(np.zeros((0, 4), np.uint8), np.dtype(np.float32))
    assert list(places) == [0]
