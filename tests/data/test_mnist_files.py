"""The bundled MNIST, and folders of four IDX files."""

import gzip
import hashlib
import re
import struct
import sys

import numpy as np
import pytest

from tinytensor.data import IDXError, mnist

MODULE = sys.modules["tinytensor.data.mnist"]  # the package's attribute of that name is the function

# Of the original files, decompressed.
SHA256 = (
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)


def test_bundled_files_are_the_original_ones():
    data = mnist()
    assert [part.shape for part in data] == [(60000, 28, 28), (60000,), (10000, 28, 28), (10000,)]
    assert [part.dtype for part in data] == [np.uint8, np.int64, np.uint8, np.int64]
    assert data.classes == 10
    for part, expected in zip(data, SHA256, strict=True):
        values = part.astype(np.uint8)
        header = struct.pack(f">I{values.ndim}I", 0x0800 + values.ndim, *values.shape)
        assert hashlib.sha256(header + values.tobytes()).hexdigest() == expected


def test_damaged_or_missing_bundled_file(monkeypatch):
    monkeypatch.setitem(MODULE._SHA256, "t10k-labels-idx1-ubyte", "0" * 64)
    with pytest.raises(IDXError, match=r"t10k-labels-idx1-ubyte.gz: damaged \(SHA-256 b91679a0.*reinstall"):
        mnist()
    monkeypatch.setattr(MODULE, "_SHA256", {"gone": ""})
    with pytest.raises(FileNotFoundError, match=r"gone.gz: .*reinstall"):
        mnist()


def test_reads_a_folder_plain_and_gzip(digits_folder):
    train_images, train_labels, test_images, test_labels = data = mnist(digits_folder)
    assert (train_images.shape, test_images.shape) == ((60, 5, 4), (20, 5, 4))
    assert train_images.dtype == test_images.dtype == np.uint8
    assert train_labels.dtype == test_labels.dtype == np.int64
    np.testing.assert_array_equal(train_labels, np.arange(60) % 3)
    assert data.classes == 3
    expected = np.random.default_rng(1).integers(0, 256, (60, 5, 4), dtype=np.uint8)
    np.testing.assert_array_equal(train_images, expected)


def test_reads_names_with_a_dot_and_a_path_as_text(digits_folder):
    old = digits_folder / "train-images-idx3-ubyte"
    old.rename(digits_folder / "train-images.idx3-ubyte")
    assert mnist(str(digits_folder)).train_images.shape == (60, 5, 4)


def test_missing_folder_file_and_file_as_folder(digits_folder):
    with pytest.raises(NotADirectoryError, match="absent: no such folder"):
        mnist(digits_folder / "absent")
    with pytest.raises(NotADirectoryError, match="train-labels-idx1-ubyte: not a folder"):
        mnist(digits_folder / "train-labels-idx1-ubyte")
    (digits_folder / "t10k-images-idx3-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"no t10k-images-idx3-ubyte or t10k-images-idx3-ubyte\.gz"):
        mnist(digits_folder)


WRONG = {
    "images of two axes": ("train-images-idx3-ubyte", np.zeros((60, 20), np.uint8), "expected uint8 images"),
    "images of floats": ("train-images-idx3-ubyte", np.zeros((60, 5, 4), np.float32), "expected uint8 images"),
    "no images": ("train-images-idx3-ubyte", np.zeros((0, 5, 4), np.uint8), "expected uint8 images"),
    "labels of two axes": ("train-labels-idx1-ubyte", np.zeros((60, 1), np.uint8), "expected whole labels"),
    "labels of floats": ("train-labels-idx1-ubyte", np.zeros(60, np.float32), "expected whole labels"),
    "negative labels": ("train-labels-idx1-ubyte", np.full(60, -1, np.int8), "expected whole labels >= 0"),
    "labels missing": ("train-labels-idx1-ubyte", np.zeros(59, np.uint8), "59 labels for the 60 images"),
    "other size": ("train-images-idx3-ubyte", np.zeros((60, 4, 4), np.uint8), "images of 5 x 4, but those of .* 4 x 4"),
}


@pytest.mark.parametrize("case", WRONG)
def test_files_that_do_not_belong_together(digits_folder, to_idx, case):
    name, values, message = WRONG[case]
    (digits_folder / name).write_bytes(to_idx(values))
    with pytest.raises(IDXError, match=message):
        mnist(digits_folder)


def test_damaged_file_is_named(digits_folder):
    path = digits_folder / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(b"\0\0\x08\x01"))
    with pytest.raises(IDXError, match=re.escape(f"{path}: truncated")):
        mnist(digits_folder)
