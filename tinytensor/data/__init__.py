"""Data: IDX files, MNIST, and batches gathered and scaled in one pass."""

from tinytensor.data.batches import batches
from tinytensor.data.idx import IDXError, read_idx
from tinytensor.data.mnist import ImageData, mnist

__all__ = ["IDXError", "ImageData", "batches", "mnist", "read_idx"]
