"""Batches: every image once, with its label, scaled; the order is the generator's."""

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.data import batches

IMAGES = np.random.default_rng(0).integers(0, 256, (50, 3, 4), dtype=np.uint8)
LABELS = np.arange(50)


def test_each_image_comes_once_with_its_label_and_scaled():
    seen = []
    for x, y in batches(IMAGES, LABELS, 8, tt.Generator(1), scale=0.5, shift=-3.0):
        assert isinstance(x, tt.Tensor) and isinstance(y, tt.Tensor)
        assert x.dtype == tt.float32 and y.dtype == tt.int64
        assert x.shape == (len(y), 3, 4)
        np.testing.assert_array_equal(x.numpy(), IMAGES[y.numpy()] * np.float32(0.5) - np.float32(3))
        seen.append(y.numpy())
    assert [len(part) for part in seen] == [8, 8, 8, 8, 8, 8, 2]
    order = np.concatenate(seen)
    assert sorted(order) == list(range(50)) and list(order) != list(range(50))


def test_bytes_become_fractions_by_default():
    x, _ = next(batches(np.array([[0, 51, 255]], np.uint8), np.zeros(1, np.int64), 1, dtype=np.float64))
    np.testing.assert_allclose(x.numpy(), [[0, 0.2, 1]], rtol=1e-15)


def order_of(generator):
    return np.concatenate([y.numpy() for _, y in batches(IMAGES, LABELS, 7, generator)]).tolist()


def test_order_is_the_generators():
    generator = tt.Generator(5)
    first, second = order_of(generator), order_of(generator)
    assert first != second
    assert order_of(tt.Generator(5)) == first
    tt.manual_seed(5)
    assert order_of(None) == first


def test_without_shuffling_the_order_is_given():
    assert np.concatenate([y.numpy() for _, y in batches(IMAGES, LABELS, 7, shuffle=False)]).tolist() == list(range(50))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_float_images_tensors_and_non_contiguous_images(dtype):
    values = np.random.default_rng(0).standard_normal((6, 8)).astype(dtype)[:, ::2]
    labels = tt.tensor(np.arange(6), dtype=tt.uint8)
    x, y = next(batches(tt.from_numpy(values), labels, 6, shuffle=False, dtype=dtype))
    np.testing.assert_array_equal(x.numpy(), values)
    assert y.tolist() == [0, 1, 2, 3, 4, 5] and y.dtype == tt.int64


def test_batches_are_new_memory():
    (first, _), (second, _) = list(batches(IMAGES, LABELS, 25, shuffle=False))
    assert not np.shares_memory(first.numpy(), second.numpy())


def test_no_images_no_batches():
    assert list(batches(np.zeros((0, 3), np.uint8), np.zeros(0, np.int64), 4)) == []


@pytest.mark.parametrize(
    ("error", "images", "labels", "size", "message"),
    [
        (ValueError, IMAGES, LABELS[:-1], 8, r"got \(50, 3, 4\) and \(49,\)"),
        (ValueError, IMAGES, LABELS[:, None], 8, r"got \(50, 3, 4\) and \(50, 1\)"),
        (ValueError, IMAGES, LABELS, 0, "batch_size must be at least 1, got 0"),
        (TypeError, IMAGES.astype(np.int16), LABELS, 8, "got int16 and int64"),
        (TypeError, IMAGES, LABELS.astype(np.float32), 8, "got uint8 and float32"),
    ],
)
def test_errors_come_at_the_call(error, images, labels, size, message):
    with pytest.raises(error, match=message):
        batches(images, labels, size)
