"""The kernels that resample and smooth images, against float64 NumPy, exact where nothing has to be interpolated."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor import _kernels as K

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
SHAPES = [(3, 1, 28, 28), (2, 3, 5, 7), (4, 2, 1, 1), (1, 1, 1, 9), (2, 1, 33, 16), (1, 2, 17, 1)]


def identity(count: int) -> np.ndarray:
    return np.tile(np.eye(2, 3), (count, 1, 1))


def some_maps(count: int) -> np.ndarray:
    return identity(count) + np.random.default_rng(3).uniform(-0.4, 0.4, (count, 2, 3))


def reference(x: Any, matrix: Any, field: Any, fill: float) -> np.ndarray:
    """Bilinear samples, pixel by pixel, in float64."""
    out = np.empty(x.shape, np.float64)
    _, _, height, width = x.shape

    def at(image: Any, i: int, j: int) -> float:
        return float(image[i, j]) if 0 <= i < height and 0 <= j < width else fill

    for b, c, i, j in np.ndindex(x.shape):
        y, z = matrix[b] @ (i, j, 1) + (0 if field is None else field[b, :, i, j])
        if not (-1 < y < height and -1 < z < width):
            out[b, c, i, j] = fill
            continue
        k, m = int(np.floor(y)), int(np.floor(z))
        v, u = y - k, z - m
        top = (1 - u) * at(x[b, c], k, m) + u * at(x[b, c], k, m + 1)
        under = (1 - u) * at(x[b, c], k + 1, m) + u * at(x[b, c], k + 1, m + 1)
        out[b, c, i, j] = (1 - v) * top + v * under
    return out


@DTYPES
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("with_field", [False, True])
def test_against_the_definition(dtype: str, shape: tuple[int, ...], with_field: bool) -> None:
    rng = np.random.default_rng(0)
    x, matrix = rng.random(shape).astype(dtype), some_maps(shape[0])
    field = rng.uniform(-2, 2, (shape[0], 2, *shape[2:])).astype(dtype) if with_field else None
    got = K.warp(x, matrix, field, -0.5)
    assert got.dtype == dtype and got.flags.c_contiguous and not np.shares_memory(got, x)
    # a coordinate is rounded to a few ulp of the image's size, and a pixel changes by up to 1.5 within one
    atol = 40 * max(shape) * np.finfo(dtype).eps
    np.testing.assert_allclose(got, reference(x, matrix, field, -0.5), rtol=0, atol=atol)


@DTYPES
@pytest.mark.parametrize("shape", SHAPES)
def test_the_identity_is_exact(dtype: str, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    np.testing.assert_array_equal(K.warp(x, identity(shape[0]), None, 7.0), x)
    np.testing.assert_array_equal(K.warp(x, identity(shape[0]), np.zeros((shape[0], 2, *shape[2:]), dtype), 7.0), x)


@DTYPES
def test_shifts_by_whole_pixels_are_exact(dtype: str) -> None:
    x = np.random.default_rng(0).standard_normal((3, 2, 28, 30)).astype(dtype)
    matrix = identity(3)
    matrix[:, :, 2] = [(2, -3), (0, 5), (-27, 29)]
    want = np.full_like(x, 9)
    want[0, :, :-2, 3:] = x[0, :, 2:, :-3]
    want[1, :, :, :-5] = x[1, :, :, 5:]
    want[2, :, 27:, :1] = x[2, :, :1, 29:]
    np.testing.assert_array_equal(K.warp(x, matrix, None, 9.0), want)
    field = np.zeros((3, 2, 28, 30), dtype)
    field += matrix[:, :, 2, None, None].astype(dtype)
    np.testing.assert_array_equal(K.warp(x, identity(3), field, 9.0), want)


@DTYPES
@pytest.mark.parametrize("size", [1, 2, 27, 28])
def test_quarter_turns_and_mirrors_are_exact(dtype: str, size: int) -> None:
    x = np.random.default_rng(0).standard_normal((2, 1, size, size)).astype(dtype)
    turn = np.array([[0, 1, 0], [-1, 0, size - 1]], np.float64)  # (i, j) is read from (j, size - 1 - i)
    np.testing.assert_array_equal(K.warp(x, np.stack([turn, turn])), np.rot90(x, -1, (2, 3))[..., ::-1, ::-1])
    mirror = np.array([[1, 0, 0], [0, -1, size - 1]], np.float64)
    np.testing.assert_array_equal(K.warp(x, np.stack([mirror, mirror])), x[..., ::-1])


@DTYPES
def test_nan_and_infinity_reach_only_what_is_mixed_of_them(dtype: str) -> None:
    x = np.ones((2, 1, 6, 6), dtype)
    x[0, 0, 2, 3], x[1, 0, 2, 3] = np.nan, np.inf
    np.testing.assert_array_equal(K.warp(x, identity(2)), x)
    matrix = identity(2)
    matrix[:, 1, 2] = 0.5  # every pixel from the middle between it and the next one in its row
    got = K.warp(x, matrix, None, 1.0)
    bad = np.zeros((6, 6), bool)
    bad[2, 2:4] = True
    np.testing.assert_array_equal(np.isfinite(got[:, 0]), [~bad, ~bad])
    assert np.isnan(got[0, 0][bad]).all() and (got[:, 0][:, ~bad] == 1).all()


@DTYPES
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, -1e300, 3e9, -1.0, 6.0])
def test_coordinates_outside_or_no_numbers_give_fill(dtype: str, value: float) -> None:
    x = np.ones((1, 2, 6, 6), dtype)
    for row in (0, 1):
        matrix = identity(1)
        matrix[0, row] = 0, 0, value
        np.testing.assert_array_equal(K.warp(x, matrix, None, -4.0), np.full_like(x, -4))
        matrix[0, row] = value, value, 0
        got = K.warp(x, matrix, None, -4.0)
        assert (got[..., 1:, :] == -4).all() and set(got.flat) <= {1, -4}
        field = np.zeros((1, 2, 6, 6), np.float64)
        field[0, row, 3, 4] = value - 3 - row
        with np.errstate(over="ignore"):
            got = K.warp(x, identity(1), field.astype(dtype), -4.0)
        want = np.ones_like(x)
        want[..., 3, 4] = -4
        np.testing.assert_array_equal(got, want)


@DTYPES
def test_a_fill_equal_to_the_image_leaves_it_exactly(dtype: str) -> None:
    x = np.full((4, 1, 9, 11), 0.1, dtype)
    fill = float(x.flat[0])
    np.testing.assert_array_equal(K.warp(x, some_maps(4), None, fill), x)


def test_strided_images_and_swapped_bytes() -> None:
    base = np.random.default_rng(0).random((10, 14, 2, 4)).astype(np.float32)
    x = base[::2, ::-1].transpose(3, 2, 0, 1)
    matrix = np.asfortranarray(some_maps(4))
    want = K.warp(np.ascontiguousarray(x), np.ascontiguousarray(matrix))
    np.testing.assert_array_equal(K.warp(x, matrix), want)
    np.testing.assert_array_equal(K.warp(x.astype(">f4"), matrix), want)


@pytest.mark.parametrize("shape", [(0, 1, 28, 28), (2, 0, 4, 4), (2, 1, 0, 4), (2, 1, 4, 0)])
def test_empty(shape: tuple[int, ...]) -> None:
    x = np.zeros(shape, np.float32)
    field = np.zeros((shape[0], 2, *shape[2:]), np.float32)
    assert K.warp(x, identity(shape[0]), field).shape == shape
    assert K.smooth(x, np.ones(3)).shape == shape


X = np.zeros((2, 1, 4, 5), np.float32)


@pytest.mark.parametrize(
    ("error", "call", "message"),
    [
        (ValueError, lambda: K.warp(X[0], identity(1)), r"warp: expected images \(B, C, H, W\), got \(1, 4, 5\)"),
        (ValueError, lambda: K.warp(X, identity(3)), r"expected matrix \(2, 2, 3\) .*, got \(3, 2, 3\)"),
        (ValueError, lambda: K.warp(X, identity(2), X), r"expected field \(2, 2, 4, 5\) .*, got \(2, 1, 4, 5\)"),
        (TypeError, lambda: K.warp(X.astype(np.uint8), identity(2)), "warp: expected float32 or float64, got uint8"),
        (TypeError, lambda: K.warp(X, identity(2).astype(np.float32)), "warp matrix: expected float64, got float32"),
        (TypeError, lambda: K.warp(X, identity(2), np.zeros((2, 2, 4, 5))), "warp field: expected float32, got float64"),
        (ValueError, lambda: K.smooth(X, np.ones(4)), r"an odd number of taps, got \(2, 1, 4, 5\) and \(4,\)"),
        (ValueError, lambda: K.smooth(X[0, 0, 0], np.ones(3)), r"expected planes \(..., H, W\)"),
        (TypeError, lambda: K.smooth(X, np.ones(3, np.float32)), "smooth taps: expected float64"),
    ],
)  # fmt: skip
def test_errors(error: type[Exception], call: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_images_that_an_index_could_not_reach_are_refused() -> None:
    huge = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (1, 0, 50000, 50000), (0, 0, 0, 0))
    with pytest.raises(ValueError, match="50000 x 50000 are too large"):
        K.warp(huge, identity(1))
    most = 0x7FFFFFFF // 4 - 3  # (height + 3) (width + 3) stays below 2^31
    assert K.warp(np.zeros((0, 1, most, 1), np.float32), identity(0)).shape == (0, 1, most, 1)
    for h, w in ((most + 1, 1), (1, most + 1)):
        with pytest.raises(ValueError, match=f"{h} x {w} are too large"):
            K.warp(np.zeros((0, 1, h, w), np.float32), identity(0))


# ------------------------------------------------------------------------------------------------------------ smoothing
@DTYPES
@pytest.mark.parametrize("shape", [(2, 28, 28), (3, 5, 7), (1, 1), (2, 2, 40, 65), (64, 3), (3, 64)])
@pytest.mark.parametrize("radius", [0, 1, 5, 16])
def test_smoothing_is_two_products_with_a_band(dtype: str, shape: tuple[int, ...], radius: int) -> None:
    rng = np.random.default_rng(0)
    x, taps = rng.standard_normal(shape).astype(dtype), rng.standard_normal(2 * radius + 1)

    def band(n: int) -> np.ndarray:
        away = np.arange(n) - np.arange(n)[:, None]
        return np.where(abs(away) <= radius, taps[np.clip(away + radius, 0, 2 * radius)], 0)

    got = K.smooth(x, taps)
    want = band(shape[-2]) @ x.astype(np.float64) @ band(shape[-1]).T
    assert got.dtype == dtype and got.shape == shape
    np.testing.assert_allclose(got, want, rtol=0, atol=60 * (2 * radius + 1) * np.finfo(dtype).eps)


@DTYPES
def test_smoothing_takes_any_strides(dtype: str) -> None:
    x = np.random.default_rng(0).standard_normal((6, 5, 4)).astype(dtype).T[..., ::-1]
    np.testing.assert_array_equal(K.smooth(x, np.ones(3)), K.smooth(np.ascontiguousarray(x), np.ones(3)))


# ------------------------------------------------------------------------------------------------------------ same bits
PROGRAM = """
import hashlib
import sys
import numpy as np
import tinytensor as tt
from tinytensor import _kernels
from tinytensor.data.transforms import Compose, RandomDistortion, RandomErasing
_kernels.set_thread_work(1)
_kernels.set_helpful(False)
tt.set_num_threads(int(sys.argv[1]))
digest = hashlib.sha256()
for dtype in (tt.float32, tt.float64):
    for shape in ((67, 28, 28), (5, 3, 9, 33)):
        x = tt.rand(*shape, dtype=dtype, generator=tt.Generator(1))
        change = Compose([RandomDistortion(20, (0.1, 0.2), (0.8, 1.3), (-10, 20, -5, 5), alpha=34), RandomErasing()])
        digest.update(change(x, tt.Generator(2)).numpy().tobytes())
print(digest.hexdigest())
"""
# by whether multiply-add is fused; a change here is a change of everybody's results: say why
BITS = {
    True: "50fc7d50472ce0ad88df46441ea669cc915ff31044afe5befc23a1d85797054c",
    False: "9a4976618293e8148729db69b0cba976a67fdba660aa9554aa665e940a0c8ce6",
}


def bits(threads: int, isa: str) -> str:
    env = {**os.environ, "TINYTENSOR_ISA": isa}
    command = [sys.executable, "-c", PROGRAM, str(threads)]
    return subprocess.run(
        command, cwd=Path(tt.__file__).parent.parent, env=env, capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.parametrize("threads", [1, 3, 16])
def test_the_same_bits_on_any_number_of_threads(threads: int) -> None:
    assert bits(threads, K.isa()) == BITS[K.fused()]


@pytest.mark.parametrize("isa", [i for i in K.isas() if i != K.isa()])
def test_the_same_bits_on_other_instruction_sets(isa: str) -> None:
    assert bits(2, isa) == BITS[isa != "generic"]


def test_threads_change_no_bit_here() -> None:
    x = np.random.default_rng(0).standard_normal((301, 1, 28, 28)).astype(np.float32)
    with tt.threads(1):
        one = K.warp(x, some_maps(301)), K.smooth(x, np.ones(9))
    with tt.threads(3):
        three = K.warp(x, some_maps(301)), K.smooth(x, np.ones(9))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(one, three))
