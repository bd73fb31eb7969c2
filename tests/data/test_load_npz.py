"""NPZ files: the two layouts, and files that are damaged or lie."""

from __future__ import annotations

import io
import os
import re
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinytensor.data import ImageData, load_npz


class Trap:
    """What pickle would run."""

    def __reduce__(self) -> Any:
        return (exec, ("raise SystemExit('ran')",))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.npz"


def keras(**change: Any) -> dict[str, Any]:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 4, 3), dtype=np.uint8)
    labels = np.arange(9, dtype=np.uint8) % 3
    return {"x_train": pixels[:6], "y_train": labels[:6], "x_test": pixels[6:], "y_test": labels[6:]} | change


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("dtype", ["float32", ">f8", "int16", "bool"])
def test_x_and_y(path: Path, save: Any, dtype: str) -> None:
    x = np.asfortranarray(np.arange(24).reshape(6, 4) % 7).astype(dtype)
    save(path, x=x, y=np.arange(6), more=np.array(["text"]))
    got, labels = load_npz(path)
    np.testing.assert_array_equal(got, x)
    assert labels.tolist() == list(range(6))
    assert got.flags.c_contiguous and got.flags.writeable and got.dtype == np.dtype(dtype).newbyteorder("=")


def test_other_names(path: Path) -> None:
    np.savez(path, features=np.ones((2, 3)), labels=np.zeros(2, np.int64))
    assert [a.shape for a in load_npz(str(path), "features", y="labels")] == [(2, 3), (2,)]


def test_four_parts_that_are_images(path: Path) -> None:
    np.savez_compressed(path, **keras())
    data = load_npz(path)
    assert isinstance(data, ImageData) and data.classes == 3
    assert data.train_labels.dtype == data.test_labels.dtype == np.int64
    for part, expected in zip(data, keras().values()):
        np.testing.assert_array_equal(part, expected)


@pytest.mark.parametrize(
    "change",
    [
        {"x_train": np.zeros((6, 4, 3), np.float32)},
        {"x_train": np.zeros((6, 4, 4), np.uint8)},
        {"x_train": np.zeros((6, 4), np.uint8)},
        {"y_test": np.zeros(3, np.float32)},
        {"y_test": np.array([0, 1, -1])},
    ],
)
def test_four_parts_that_are_none(path: Path, change: dict[str, Any]) -> None:
    arrays = keras(**change)
    np.savez(path, **arrays)
    data = load_npz(path)
    assert type(data) is tuple
    for part, expected in zip(data, arrays.values(), strict=True):
        np.testing.assert_array_equal(part, expected)
        assert part.dtype == expected.dtype


def header(shape: str, dtype: str = "<f4", version: bytes = b"\1\0") -> bytes:
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "x: not an .npy array"),
        (b"abc", "x: not an .npy array"),
        (header("(4,)")[:40], "x: not an .npy array"),
        (header("(4,)") + b"\0" * 15, "x: its header promises 16 bytes, found 15"),
        (header("(4,)") + b"\0" * 17, "x: its header promises 16 bytes, found 17"),
        (
            header("(1000000000000, 1000)"),
            r"x: its header promises \(1000000000000, 1000\) float32 = 4000000000000000 bytes",
        ),
        (header("(0, 10000000000000000000000)"), "its header promises"),
        (header("(-4,)") + b"\0" * 16, "its header promises"),
        (header("(4,)", version=b"\x09\0"), "x: not an .npy array .*version"),
        (header("(4,)", "|O"), "Python objects"),
        (header("(1,)", "<U2") + b"\0" * 8, "x: expected numbers, got <U2"),
        (header("(__import__('os').system('true'),)"), "x: not an .npy array"),
        (header("(" * 200), "x: not an .npy array"),
    ],
)
def test_arrays_that_lie(path: Path, content: bytes, message: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", content)
        archive.writestr("y.npy", header("(4,)") + b"\0" * 16)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=rf"(?s)^{re.escape(str(path))}: .*({message})"):
            load_npz(path)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


def test_pickles_are_not_read(path: Path) -> None:
    np.savez(path, allow_pickle=True, x=np.array([Trap()], object), y=np.zeros(1))
    with pytest.raises(ValueError, match="x: holds Python objects, which are not read"):
        load_npz(path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros(3)}, "expected the arrays x and y, or x_train, y_train, x_test, y_test; it holds x$"),
        ({}, "it holds nothing"),
        ({"x": np.zeros((3, 2)), "y": np.zeros(2)}, r"x \(3, 2\) and y \(2,\) must have as many rows"),
        ({"x": np.float32(1), "y": np.zeros(1)}, "must have as many rows"),
        (keras(y_test=np.zeros(2)), r"x_test \(3, 4, 3\) and y_test \(2,\) must have as many rows"),
    ],
)
def test_arrays_that_do_not_fit(path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: .*{message}"):
        load_npz(path)


def test_no_zip_and_no_file(path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"data.npz: no such file"):
        load_npz(path)
    path.write_bytes(b"PK\3\4 and nothing else")
    with pytest.raises(ValueError, match=r"not a whole \.npz file"):
        load_npz(path)


def test_a_pipe_is_refused_before_it_blocks(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(OSError, match=r"expected a regular file, this is a pipe: .*data.npz"):
        load_npz(path)


def test_compressions_that_numpy_does_not_write(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        for name in "xy":
            archive.writestr(f"{name}.npy", header("(4,)") + b"\0" * 16)
    with pytest.raises(ValueError, match="x: compression 14"):
        load_npz(path)


def packed() -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, x=np.arange(60, dtype=np.float32).reshape(20, 3), y=np.arange(20))
    return out.getvalue()


PACKED = packed()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, len(PACKED) - 1), byte=st.integers(0, 255), cut=st.booleans())
def test_any_damage_is_a_value_error_or_none(path: Path, at: int, byte: int, cut: bool) -> None:
    path.write_bytes(PACKED[:at] if cut else PACKED[:at] + bytes([byte]) + PACKED[at + 1 :])
    try:
        x, y = load_npz(path)
    except ValueError as error:
        assert str(error).startswith(f"{path}: ")
    else:  # in a date, a comment, an attribute
        assert np.array_equal(x, np.arange(60).reshape(20, 3)) and np.array_equal(y, np.arange(20))
