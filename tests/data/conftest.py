"""A writer of IDX files, independent of the reader under test."""

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}


def idx_bytes(array: np.ndarray) -> bytes:
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, CODES[array.dtype.name], array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@pytest.fixture
def to_idx() -> Callable[[np.ndarray], bytes]:
    """The bytes of the IDX file that holds an array."""
    return idx_bytes


@pytest.fixture
def digits_folder(tmp_path: Path) -> Path:
    """A folder of four small IDX files, two of them gzipped: 60 and 20 images of 5 x 4, labels 0 to 2."""
    generator = np.random.default_rng(1)
    for part, count, suffix in (("train", 60, ""), ("t10k", 20, ".gz")):
        pack = gzip.compress if suffix else bytes
        images = generator.integers(0, 256, (count, 5, 4), dtype=np.uint8)
        labels = (np.arange(count) % 3).astype(np.uint8)
        (tmp_path / f"{part}-images-idx3-ubyte{suffix}").write_bytes(pack(idx_bytes(images)))
        (tmp_path / f"{part}-labels-idx1-ubyte{suffix}").write_bytes(pack(idx_bytes(labels)))
    return tmp_path
