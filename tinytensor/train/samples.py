"""The samples of a run: images or rows, for training and for the test, as arrays."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from tinytensor.data import (
    FASHION_CLASSES,
    KMNIST_CLASSES,
    ImageData,
    TableEncoding,
    fashion_mnist,
    kmnist,
    mnist,
    read_csv,
)
from tinytensor.random import Generator, randperm
from tinytensor.train.config import DataConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Samples", "load_samples"]


class Samples(NamedTuple):
    """x: images uint8 (N, height, width), or a table's features float32 (N, D). y: classes int64 (N,), or standardized values (N, 1).
    classes: their names, if they have any; outputs: how many there are, 1 for a regression. encoding: how a table became numbers."""

    train_x: NDArray[Any]
    train_y: NDArray[Any]
    test_x: NDArray[Any]
    test_y: NDArray[Any]
    task: str = "classification"
    outputs: int = 10
    classes: tuple[str, ...] = ()
    source: str = ""
    encoding: TableEncoding | None = None

    @classmethod
    def of_images(cls, data: ImageData, source: str = "", classes: tuple[str, ...] = ()) -> Samples:
        """The samples of a data set of images."""
        return cls(*data, outputs=data.classes, source=source, classes=classes if len(classes) == data.classes else ())

    @classmethod
    def of_rows(cls, path: str | os.PathLike[str], encoding: TableEncoding) -> Samples:
        """All rows of a table as test samples, encoded as those of the training were."""
        table = read_csv(path)
        x, y = encoding.encode(table), _targets(encoding, table)
        return cls(x[:0], y[:0], x, y, encoding.task, encoding.outputs, _names(encoding), "", encoding)


def load_samples(
    data: DataConfig,
    seed: int = 0,
    holdout: int = 0,
    encoding: TableEncoding | None = None,
    download: bool = False,
) -> Samples:
    """Read what `data` names. A table's rows are shuffled by `seed`, `data.test_share` of them (rounded) kept for the test, and the encoding
    fitted to the others without the last `holdout`, unless one is given. Errors as of the readers; ValueError for a table with fewer than two
    rows to train on."""
    if data.csv is None:
        if data.data is not None:
            return Samples.of_images(mnist(data.data))
        if data.source == "mnist":
            return Samples.of_images(mnist(), "mnist")
        if data.source == "fashion":
            return Samples.of_images(fashion_mnist(download=download), "fashion", tuple(FASHION_CLASSES))
        return Samples.of_images(kmnist(download=download), "kmnist", tuple(KMNIST_CLASSES))
    assert data.target is not None
    table = read_csv(data.csv)
    order = randperm(len(table), generator=Generator(seed)).numpy()
    kept = round(len(table) * data.test_share)
    test, train = table.rows(order[:kept]), table.rows(order[kept:])
    if len(train) - holdout < 2:
        raise ValueError(
            f"{data.csv}: {len(table)} rows leave {len(train) - holdout} to train on, {kept} for the test, {holdout} held out"
        )
    if encoding is None:
        task: Any = None if data.task == "auto" else data.task
        encoding = TableEncoding.fit(table, data.target, task, order[kept : len(table) - holdout])
    x, y = encoding.encode(train), _targets(encoding, train)
    test_x, test_y = (encoding.encode(test), _targets(encoding, test)) if kept else (x[:0], y[:0])
    return Samples(x, y, test_x, test_y, encoding.task, encoding.outputs, _names(encoding), "", encoding)


def _names(encoding: TableEncoding) -> tuple[str, ...]:
    return tuple(map(str, encoding.classes or ()))


def _targets(encoding: TableEncoding, table: Any) -> NDArray[Any]:
    y = encoding.encode_target(table)
    return y if encoding.task == "classification" else y.reshape(-1, 1)
