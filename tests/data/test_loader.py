"""DataLoader and samplers: order, batches, threads, state."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest

import tinytensor as tt
from tinytensor.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    ImageDataset,
    IterableDataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    default_convert,
)

COUNT = 23


class Numbers(Dataset[Any]):
    """Sample i is (i, its square), one after the other: no batch at once."""

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> tuple[int, float]:
        return int(index), float(index * index)


class Stream(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(range(7))


def tensors() -> TensorDataset:
    return TensorDataset(tt.arange(COUNT), tt.arange(COUNT) ** 2.0)


def seen(loader: Any) -> list[list[int]]:
    return [x.tolist() for x, _ in loader]


# ----------------------------------------------------------------------------------------------------------- the order
@pytest.mark.parametrize("data", [Numbers(), tensors()], ids=["samples", "at once"])
@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("drop_last", [False, True])
def test_in_order(data: Any, workers: int, drop_last: bool) -> None:
    loader = DataLoader(data, 5, num_workers=workers, drop_last=drop_last)
    got = seen(loader)
    whole = [list(range(i, min(i + 5, COUNT))) for i in range(0, COUNT, 5)]
    assert got == (whole[:-1] if drop_last else whole)
    assert len(loader) == len(got)
    for x, y in loader:
        assert y.tolist() == (x.double() ** 2).tolist()


@pytest.mark.parametrize("workers", [0, 2])
def test_shuffled_orders_are_fixed_by_the_seed(workers: int) -> None:
    first, second = (
        DataLoader(d, 4, shuffle=True, num_workers=workers, generator=tt.Generator(7)) for d in (Numbers(), tensors())
    )
    a, b = seen(first), seen(first)
    assert sorted(i for batch in a for i in batch) == list(range(COUNT))
    assert a != b
    assert [seen(second), seen(second)] == [a, b]
    tt.manual_seed(7)
    default = DataLoader(tensors(), 4, shuffle=True, num_workers=workers)
    assert [seen(default), seen(default)] == [a, b]


def test_images_come_scaled() -> None:
    images = np.arange(COUNT * 6, dtype=np.uint8).reshape(COUNT, 2, 3)
    x, y = next(iter(DataLoader(ImageDataset(images, np.arange(COUNT)), 4)))
    assert x.dtype == tt.float32
    np.testing.assert_allclose(x, images[:4] / np.float32(255), rtol=1e-6)
    assert y.tolist() == [0, 1, 2, 3]


def test_samples_alone() -> None:
    assert [int(i) for i, _ in DataLoader(Numbers(), None)] == list(range(COUNT))
    assert next(iter(DataLoader(Numbers(), None, collate_fn=lambda s: s[0] + 100))) == 100


def test_samplers_of_ones_own() -> None:
    class Back(Sampler[int]):
        def __iter__(self) -> Iterator[int]:
            return iter(range(COUNT - 1, -1, -1))

        def __len__(self) -> int:
            return COUNT

    assert seen(DataLoader(tensors(), 10, sampler=Back()))[0] == list(range(22, 12, -1))
    pairs = [[0, 1], [5], [2, 2, 2]]
    loader = DataLoader(tensors(), batch_sampler=pairs)
    assert seen(loader) == pairs
    assert len(loader) == 3


def test_attributes_of_ones_own_mean_nothing() -> None:
    """`batch` is a number here, and `draws` is set as any attribute may be."""

    class Own(Numbers):
        def __init__(self) -> None:
            self.batch = 4
            self.draws = True

        def sample(self, index: int, generator: tt.Generator | None = None) -> tuple[int, float]:
            return index, float(tt.rand(1, generator=generator).item())

    drawn = [[y.tolist() for _, y in DataLoader(Own(), 8, num_workers=n, generator=tt.Generator(1))] for n in (0, 2)]
    assert drawn[0] == drawn[1]

    class Foreign(list[int]):
        def batch(self, batch_size: int) -> None:
            raise AssertionError("not ours")

    assert [x.tolist() for x in DataLoader(Foreign([1, 2, 3]), 2)] == [[1, 2], [3]]


def test_streams() -> None:
    assert [b.tolist() for b in DataLoader(Stream(), 3)] == [[0, 1, 2], [3, 4, 5], [6]]
    assert [b.tolist() for b in DataLoader(Stream(), 3, drop_last=True)] == [[0, 1, 2], [3, 4, 5]]
    assert list(DataLoader(Stream(), None)) == list(range(7))
    with pytest.raises(TypeError, match="Stream has no length"):
        len(DataLoader(Stream(), 3))


# ------------------------------------------------------------------------------------------------------------ samplers
def test_sequential_random_and_batch_samplers() -> None:
    assert list(SequentialSampler("abc")) == [0, 1, 2]
    order = list(RandomSampler(range(9), generator=tt.Generator(1)))
    assert sorted(order) == list(range(9))
    more = RandomSampler(range(3), num_samples=8, generator=tt.Generator(1))
    drawn = list(more)
    assert len(drawn) == len(more) == 8
    assert sorted(drawn[:3]) == sorted(drawn[3:6]) == [0, 1, 2]
    again = list(RandomSampler(range(3), True, 500, tt.Generator(1)))
    assert set(again) == {0, 1, 2}
    assert any(a == b for a, b in zip(again[::3], again[1::3]))
    assert sorted(SubsetRandomSampler([5, 6, 9], tt.Generator(0))) == [5, 6, 9]
    assert list(BatchSampler(range(5), 2, False)) == [[0, 1], [2, 3], [4]]
    assert list(BatchSampler(range(5), 2, True)) == [[0, 1], [2, 3]]
    assert list(RandomSampler([])) == []


@pytest.mark.parametrize("replacement", [True, False])
def test_weights(replacement: bool) -> None:
    """Index 2 is drawn three times as often as index 0, and index 1 never; of one draw each, also without replacement."""
    weights = [1.0, 0.0, 3.0]
    generator = tt.Generator(11)
    drawn = (
        list(WeightedRandomSampler(weights, 4000, True, generator))
        if replacement
        else [next(iter(WeightedRandomSampler(weights, 1, False, generator))) for _ in range(1000)]
    )
    counts = np.bincount(drawn, minlength=3) / len(drawn)
    assert counts[1] == 0
    assert abs(counts[2] - 0.75) < 0.05
    if not replacement:
        assert sorted(WeightedRandomSampler(weights, 2, False)) == [0, 2]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomSampler(range(3), num_samples=0), "num_samples must be at least 1"),
        (lambda: WeightedRandomSampler([1.0, -1.0], 1), "finite numbers >= 0"),
        (lambda: WeightedRandomSampler([0.0], 1), "finite numbers >= 0"),
        (lambda: WeightedRandomSampler([1.0, np.nan], 1), "finite numbers >= 0"),
        (lambda: WeightedRandomSampler([1.0, 0.0], 2, False), "2 samples of 1 indices"),
        (lambda: BatchSampler(range(3), 0, False), "batch_size must be a whole number >= 1"),
        (lambda: DataLoader(Numbers(), 0), "batch_size must be None or a whole number >= 1, got 0"),
        (lambda: DataLoader(Numbers(), num_workers=-1), "num_workers must be at least 0"),
        (lambda: DataLoader(Numbers(), prefetch_factor=2), "needs num_workers > 0"),
        (lambda: DataLoader(Numbers(), worker_init_fn=print), "worker_init_fn needs num_workers > 0"),
        (lambda: DataLoader(Numbers(), sampler=[1], shuffle=True), "sampler and shuffle exclude"),
        (lambda: DataLoader(Numbers(), 4, batch_sampler=[[1]]), "batch_sampler excludes"),
        (lambda: DataLoader(Numbers(), None, drop_last=True), "drop_last needs a batch_size"),
        (lambda: DataLoader(Stream(), 2, shuffle=True), "a stream .* takes no shuffle"),
        (lambda: DataLoader(Numbers()).load_state_dict({}), "it lacks"),
    ],
)
def test_arguments_that_are_wrong(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


# ----------------------------------------------------------------------------------------------------------- collation
class Pair(NamedTuple):
    a: Any
    b: Any


def test_collation() -> None:
    batch = default_collate([{"x": tt.ones(2), "n": 1, "s": "a", "p": Pair(np.zeros(3, np.uint8), 0.5)}] * 2)
    assert batch["x"].tolist() == [[1, 1], [1, 1]]
    assert batch["n"].dtype == tt.int64
    assert batch["s"] == ["a", "a"]
    assert isinstance(batch["p"], Pair)
    assert batch["p"].a.dtype == tt.uint8
    assert batch["p"].b.dtype == tt.float64
    assert default_collate([np.float32(1.5), np.float32(2)]).dtype == tt.float32
    assert default_collate([True, False]).dtype == tt.bool
    assert default_convert(Pair(np.ones(1), "s")).a.tolist() == [1]
    assert default_convert({"k": [np.int64(3), None]})["k"][1] is None


@pytest.mark.parametrize(
    ("batch", "error", "message"),
    [
        ([tt.ones(2), tt.ones(3)], ValueError, r"tensors of shapes \[\(2,\), \(3,\)\] cannot be stacked"),
        ([(1, 2), (1,)], ValueError, "samples of 2 parts and of others"),
        ([object(), object()], TypeError, "got object: give a collate_fn"),
        ([np.array([None]), np.array([1])], TypeError, "got ndarray of object: give a collate_fn"),
        ([np.complex64(1), np.complex64(2)], TypeError, "got complex64: give a collate_fn"),
    ],
)
def test_what_cannot_be_collated(batch: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        default_collate(batch)


# ------------------------------------------------------------------------------------------------------------- threads
class Failing(Numbers):
    def __getitem__(self, index: int) -> tuple[int, float]:
        if index == 9:
            raise KeyError("sample 9 is broken")
        return super().__getitem__(index)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_exception_comes_where_its_batch_would_have(workers: int) -> None:
    batches = iter(DataLoader(Failing(), 4, num_workers=workers))
    assert [next(batches)[0].tolist() for _ in range(2)] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    with pytest.raises(KeyError, match="sample 9 is broken"):
        next(batches)


def test_a_thread_that_cannot_begin_says_why() -> None:
    def broken(number: int) -> None:
        raise KeyError(f"worker {number} has no file")

    with pytest.raises(KeyError, match="worker 0 has no file"):
        next(iter(DataLoader(Numbers(), 4, num_workers=1, worker_init_fn=broken)))


def test_ctrl_c_at_any_line_ends_the_loop_and_the_threads() -> None:
    """At the n-th line or call of Python's that the main thread comes to in a loop, its own library's included."""
    loader, traced, before = DataLoader(tensors(), 8, num_workers=2), sys.gettrace(), signal.getsignal(signal.SIGINT)
    left = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            signal.raise_signal(signal.SIGINT)
        return trace

    def interrupted(at: int) -> bool:
        nonlocal left
        left = at
        try:
            sys.settrace(trace)
            try:
                for _ in loader:
                    pass
            finally:
                sys.settrace(None)
        except KeyboardInterrupt:
            return True
        assert left > 0, f"the signal at event {at} was lost"
        return False

    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        count = next(n for n in range(1, 10_000) if not interrupted(n))
    finally:
        sys.settrace(traced)
        signal.signal(signal.SIGINT, before)
    assert count > 100
    for t in threading.enumerate():
        if t.name.startswith("tinytensor-loader"):
            t.join(60)
            assert not t.is_alive()


def test_threads_begin_end_and_fetch_no_more_than_told() -> None:
    asked: list[int] = []
    numbers: list[int] = []

    class Watched(Numbers):
        def __getitem__(self, index: int) -> tuple[int, float]:
            asked.append(index)
            return super().__getitem__(index)

    before = threading.active_count()
    batches = iter(DataLoader(Watched(), 1, num_workers=2, prefetch_factor=3, worker_init_fn=numbers.append))
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    assert len(asked) <= 7
    assert set(numbers) <= {0, 1}
    assert numbers


# --------------------------------------------------------------------------------------------------------------- state
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("stop", [0, 1, 3, 6])
@pytest.mark.parametrize("own", [True, False])
def test_a_loader_goes_on_where_another_was(workers: int, stop: int, own: bool) -> None:
    """After some batches of the second epoch: the rest of it, and the third, are the same."""

    def loader() -> Any:
        return DataLoader(tensors(), 4, shuffle=True, num_workers=workers, generator=tt.Generator(5) if own else None)

    tt.manual_seed(5)
    first = loader()
    seen(first)
    epoch = iter(first)
    for _ in range(stop):
        next(epoch)
    state = json.loads(json.dumps(first.state_dict()))
    rest = [seen(epoch), seen(first)]
    tt.manual_seed(99)
    second = loader()
    second.load_state_dict(state)
    assert [seen(second), seen(second)] == rest


@pytest.mark.parametrize(
    "choose",
    [
        lambda: {"sampler": RandomSampler(tensors()), "generator": tt.Generator(3), "batch_size": 4},
        lambda: {"sampler": RandomSampler(tensors(), generator=tt.Generator(5)), "batch_size": 4},
        lambda: {"batch_sampler": BatchSampler(RandomSampler(tensors(), generator=tt.Generator(5)), 4, False)},
        lambda: {"batch_sampler": BatchSampler(RandomSampler(tensors()), 4, False), "generator": tt.Generator(3)},
    ],
    ids=["sampler of the seed's", "sampler of its own", "batches of its own", "batches of the seed's"],
)
def test_the_state_is_that_of_what_the_sampler_draws_from(choose: Any) -> None:
    tt.manual_seed(5)
    first = DataLoader(tensors(), **choose())
    seen(first)
    epoch = iter(first)
    next(epoch)
    state = first.state_dict()
    rest = [seen(epoch), seen(first)]
    tt.manual_seed(99)
    second = DataLoader(tensors(), **choose())
    second.load_state_dict(state)
    assert [seen(second), seen(second)] == rest


def test_what_else_draws_from_the_generator_changes_no_order() -> None:
    """Dropout between iter and the first batch, and in the epoch, draws from the generator that orders are drawn from, too."""

    def run(stop: int) -> tuple[Any, list[Any]]:
        loader, got = DataLoader(tensors(), 4, shuffle=True), []
        epoch = iter(loader)
        tt.rand(3)
        for x, _ in epoch:
            got.append(x.tolist())
            if len(got) == stop:
                return loader.state_dict(), got
            tt.rand(5)
        return None, got

    tt.manual_seed(5)
    _, whole = run(99)
    tt.manual_seed(5)
    state, begun = run(2)
    tt.manual_seed(0)
    loader = DataLoader(tensors(), 4, shuffle=True)
    loader.load_state_dict(state)
    assert begun + seen(loader) == whole


def test_a_state_between_epochs() -> None:
    first = DataLoader(tensors(), 4, shuffle=True, generator=tt.Generator(5))
    seen(first)
    state = first.state_dict()
    assert state["position"] == 0
    assert state["start"] is None
    second = DataLoader(tensors(), 4, shuffle=True, generator=tt.Generator(1))
    second.load_state_dict(state)
    assert seen(second) == seen(first)


def test_a_stream_is_not_resumed() -> None:
    first = DataLoader(Stream(), 2)
    next(iter(first))
    second = DataLoader(Stream(), 2)
    second.load_state_dict(first.state_dict())
    with pytest.raises(ValueError, match="cannot be resumed in the middle"):
        next(iter(second))


def test_a_subset_in_a_loader() -> None:
    assert seen(DataLoader(Subset(tensors(), [4, 2, 0]), 2)) == [[4, 2], [0]]
