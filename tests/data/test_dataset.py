"""Data sets: lengths, samples, batches at once, joins and random parts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.data import ConcatDataset, Dataset, ImageDataset, IterableDataset, Subset, TensorDataset, random_split


class Squares(Dataset[int]):
    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> int:
        return index * index


def test_tensors_side_by_side() -> None:
    x, y = tt.arange(6).reshape(3, 2), tt.tensor([5.0, 6.0, 7.0])
    data = TensorDataset(x, y)
    assert len(data) == 3
    assert [v.tolist() for v in data[-1]] == [[4, 5], 7]
    assert [v.tolist() for v in data[1:]] == [[[2, 3], [4, 5]], [6, 7]]
    assert [v.tolist() for v in data.batch(np.array([2, 0, 2]))] == [[[4, 5], [0, 1], [4, 5]], [7, 5, 7]]
    assert TensorDataset(np.ones((2, 3))).tensors[0].dtype == tt.float64


def test_tensors_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"first dimensions must be equal, got shapes \[\(3,\), \(2, 3\)\]"):
        TensorDataset(tt.ones(3), tt.ones(2, 3))
    with pytest.raises(ValueError, match="first dimensions must be equal"):
        TensorDataset(tt.tensor(1.0))
    with pytest.raises(ValueError, match="at least one tensor"):
        TensorDataset()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_images_are_scaled_as_they_are_gathered(dtype: Any) -> None:
    images = np.arange(24, dtype=np.uint8).reshape(3, 2, 4) * 10
    data = ImageDataset(images, np.array([3, 1, 2], np.uint8), dtype, 1 / 255, -0.5)
    x, y = data.batch(np.array([2, 0]))
    np.testing.assert_allclose(x, images[[2, 0]] / 255 - 0.5, atol=1e-6)
    assert x.dtype == np.dtype(dtype)
    assert y.tolist() == [2, 3]
    one, label = data[-1]
    np.testing.assert_array_equal(one, x[0])
    assert label.item() == 2
    with pytest.raises(IndexError):
        data[3]


def test_images_of_floats_stay_as_they_are() -> None:
    images = np.array([[0.5], [1.0]], np.float32)
    assert ImageDataset(images, np.arange(2)).batch(np.arange(2))[0].tolist() == [[0.5], [1.0]]
    assert ImageDataset(images, np.arange(2), scale=2, shift=1)[0][0].tolist() == [2.0]


@pytest.mark.parametrize(
    ("images", "labels", "error", "message"),
    [
        (
            np.zeros((2, 3), np.int32),
            np.zeros(2, np.int64),
            TypeError,
            "expected uint8, float32 or float64 images.*int32",
        ),
        (np.zeros((2, 3), np.uint8), np.zeros(2), TypeError, "integer labels, got uint8 and float64"),
        (np.zeros((2, 3), np.uint8), np.zeros(3, np.int64), ValueError, r"got \(2, 3\) and \(3,\)"),
    ],
)
def test_images_that_do_not_fit(images: Any, labels: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        ImageDataset(images, labels)


def test_subsets_and_joins() -> None:
    some = Subset(Squares(), [3, 1, 4])
    assert len(some) == 3
    assert [some[i] for i in range(3)] == [9, 1, 16]
    assert not hasattr(some, "batch")
    with pytest.raises(AttributeError, match="no attribute 'other'"):
        some.other  # noqa: B018
    both = some + Squares() + some
    assert len(both) == 16
    assert [both[i] for i in (0, 2, 3, 12, 13, -1)] == [9, 16, 0, 81, 9, 16]
    with pytest.raises(IndexError):
        both[16]
    with pytest.raises(ValueError, match="at least one data set"):
        ConcatDataset([])


def test_a_subset_gathers_at_once_where_its_data_set_does() -> None:
    data = Subset(Subset(TensorDataset(tt.arange(10)), [9, 8, 7, 6]), [2, 0])
    assert data.batch(np.array([1, 0]))[0].tolist() == [9, 7]


@pytest.mark.parametrize(
    "indices", [[9, 8, 7], range(9, 6, -1), np.array([9, 8, 7], np.uint8), tt.tensor([9, 8, 7])], ids=type
)
def test_a_subset_of_any_indices(indices: Any) -> None:
    data = Subset(TensorDataset(tt.arange(10)), indices)
    assert data.batch(np.array([2, 0]))[0].tolist() == [7, 9]


def test_a_subset_does_not_copy_its_indices_for_a_batch() -> None:
    class Counted(list[int]):
        asked = 0

        def __getitem__(self, index: Any) -> Any:
            self.asked += 1
            return super().__getitem__(index)

        def __iter__(self) -> Any:
            raise AssertionError("gone through as a whole")

    indices = Counted(range(1000))
    assert Subset(TensorDataset(tt.arange(1000)), indices).batch(np.array([5, 3]))[0].tolist() == [5, 3]
    assert indices.asked == 2


def test_streams_have_no_length() -> None:
    with pytest.raises(TypeError, match="a stream"):
        ConcatDataset([IterableDataset(), Squares()])
    with pytest.raises(TypeError, match="IterableDataset has no length: define __len__"):
        random_split(IterableDataset(), [1])
    with pytest.raises(NotImplementedError, match="must define __iter__"):
        iter(IterableDataset())
    with pytest.raises(NotImplementedError, match="must define __getitem__"):
        Dataset()[0]


@pytest.mark.parametrize(
    ("lengths", "sizes"),
    [([7, 3], [7, 3]), ([0.75, 0.25], [8, 2]), ([0.5, 0.25, 0.25], [6, 2, 2]), ([10, 0], [10, 0]), ([1.0], [10])],
)
def test_random_parts(lengths: Any, sizes: Any) -> None:
    parts = random_split(Squares(), lengths, tt.Generator(3))
    assert [len(p) for p in parts] == sizes
    assert sorted(int(i) for p in parts for i in p.indices) == list(range(10))
    again = random_split(Squares(), lengths, tt.Generator(3))
    assert [list(p.indices) for p in parts] == [list(p.indices) for p in again]
    other = random_split(Squares(), lengths, tt.Generator(4))
    assert [list(p.indices) for p in parts] != [list(p.indices) for p in other]


@pytest.mark.parametrize("lengths", [[5, 4], [11], [0.5, 0.6], [12, -2], [-0.5, 1.5], [2.7, 8.3], [math.nan, 10]])
def test_parts_that_do_not_add_up(lengths: Any) -> None:
    with pytest.raises(ValueError, match="random_split: "):
        random_split(Squares(), lengths)
