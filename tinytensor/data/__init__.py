"""Data: data sets, samplers and loaders; MNIST and its relatives, IDX, CSV and NPZ files; and batches gathered and scaled in one
pass."""

from typing import TYPE_CHECKING, Any

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
from tinytensor.data.mnist import FASHION_CLASSES, KMNIST_CLASSES, ImageData, fashion_mnist, kmnist, mnist
from tinytensor.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

if TYPE_CHECKING:
    from tinytensor.data import transforms
    from tinytensor.data.download import DownloadError
    from tinytensor.data.encoding import TableEncoding
    from tinytensor.data.npz import load_npz
    from tinytensor.data.table import Table, read_csv

_LATER = {
    "DownloadError": "download", "Table": "table", "TableEncoding": "encoding", "load_npz": "npz", "read_csv": "table",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Tables and files from elsewhere, imported when they are asked for: not every program pays for them."""
    if name in _LATER or name == "transforms":
        import importlib

        module = importlib.import_module(f"{__name__}.{_LATER.get(name, name)}")
        return module if name == "transforms" else getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "FASHION_CLASSES", "KMNIST_CLASSES", "BatchSampler", "ConcatDataset", "DataLoader", "Dataset", "DownloadError",
    "IDXError", "ImageData", "ImageDataset", "IterableDataset", "RandomSampler", "Sampler", "SequentialSampler", "Subset",
    "SubsetRandomSampler", "Table", "TableEncoding", "TensorDataset", "WeightedRandomSampler", "batches", "default_collate",
    "default_convert", "fashion_mnist", "kmnist", "load_npz", "mnist", "random_split", "read_csv", "read_idx", "transforms",
]  # fmt: skip
