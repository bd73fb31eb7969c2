"""Data: data sets, samplers and loaders, IDX files, MNIST, and batches gathered and scaled in one pass."""

from typing import Any

from tinytensor.data.batches import batches
from tinytensor.data.dataset import (
    ConcatDataset,
    Dataset,
    ImageDataset,
    IterableDataset,
    Subset,
    TensorDataset,
    random_split,
)
from tinytensor.data.idx import IDXError, read_idx
from tinytensor.data.loader import DataLoader, default_collate, default_convert
from tinytensor.data.mnist import ImageData, mnist
from tinytensor.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

__all__ = [
    "BatchSampler", "ConcatDataset", "DataLoader", "Dataset", "IDXError", "ImageData", "ImageDataset", "IterableDataset",
    "RandomSampler", "Sampler", "SequentialSampler", "Subset", "SubsetRandomSampler", "TensorDataset", "WeightedRandomSampler",
    "batches", "default_collate", "default_convert", "mnist", "random_split", "read_idx", "transforms",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """`transforms`, imported when it is asked for: not every program pays for it."""
    if name == "transforms":
        import importlib

        return importlib.import_module(f"{__name__}.transforms")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
