"""Four IDX files that are easy to learn."""

import struct

import numpy as np
import pytest


@pytest.fixture(scope="package")
def data(tmp_path_factory):
    """A folder of four IDX files: 90 and 45 images of 6 x 5 in 3 classes, which are easy to learn."""
    folder = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(0)
    for part, count in (("train", 90), ("t10k", 45)):
        labels = (np.arange(count) % 3).astype(np.uint8)
        images = generator.integers(0, 120, (count, 6, 5), dtype=np.uint8)
        images[np.arange(count), labels * 2] += 100
        header = struct.pack(">4B3I", 0, 0, 8, 3, *images.shape)
        (folder / f"{part}-images-idx3-ubyte").write_bytes(header + images.tobytes())
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">4BI", 0, 0, 8, 1, count) + labels.tobytes())
    return folder
