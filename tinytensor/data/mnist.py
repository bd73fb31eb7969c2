"""MNIST, bundled with the package, and any data set kept in four IDX files of the same names."""

from __future__ import annotations

import io
import os
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinytensor.data.idx import IDXError, parse_idx, read_idx

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ImageData", "mnist"]

# SHA-256 of the bundled files as they lie on disk: hashing 11 MB costs a tenth of hashing what they unpack to.
_SHA256 = {
    "train-images-idx3-ubyte": "0b367032e93c5d0cea0925647cfdb18614af8ee15f83e6f2fc2ad904a6835971",
    "train-labels-idx1-ubyte": "1787548bbe0bff1ec2ecdc0ef292b02df999e2d1a6002d27500982c652b17203",
    "t10k-images-idx3-ubyte": "1a1a05eab793c14bb050b398624a11b0ffd1a2953baed553b1b9bd079e2a20be",
    "t10k-labels-idx1-ubyte": "b91679a0acfe4ba0e50a2437a903084cba1f5f92592b016a25a7dfd00455798b",
}


class ImageData(NamedTuple):
    """Images with their classes, in two parts; unpacks as `train_images, train_labels, test_images,
    test_labels`.

    Images are uint8 arrays (N, height, width), of one height and width in both parts; labels are int64 arrays
    (N,) of values >= 0. Both are C-contiguous and yours to change.
    """

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]

    @property
    def classes(self) -> int:
        """Number of classes: the largest label of either part, plus one."""
        return 1 + max(int(labels.max(initial=-1)) for labels in (self.train_labels, self.test_labels))


def mnist(root: str | os.PathLike[str] | None = None) -> ImageData:
    """Read MNIST (60,000 training and 10,000 test images of 28 x 28) from the installed package, offline.

    With `root`, reads that folder's `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`,
    `t10k-images-idx3-ubyte` and `t10k-labels-idx1-ubyte` instead: Fashion-MNIST, KMNIST, your own. Each may
    be plain or end in `.gz`, and may be spelt with a dot (`train-images.idx3-ubyte`).

    Raises FileNotFoundError or NotADirectoryError naming what is missing, and IDXError (a ValueError) for a
    damaged file or for images and labels that do not belong together. The bundled files are checked by
    SHA-256. Data: Y. LeCun, C. Cortes, C. J. C. Burges; CC BY-SA 3.0.
    """
    if root is None:
        parts = [_read_bundled(name) for name in _SHA256]
    else:
        parts = [_read_found(Path(root), name) for name in _SHA256]
    for (images, images_name), (labels, labels_name) in (parts[:2], parts[2:]):
        _check_part(images, images_name, labels, labels_name)
    (train_images, train_name), (train_labels, _), (test_images, test_name), (test_labels, _) = parts
    if train_images.shape[1:] != test_images.shape[1:]:
        raise IDXError(
            f"{test_name}: images of {_size(test_images)}, but those of {train_name} are of {_size(train_images)}"
        )
    return ImageData(train_images, train_labels.astype(np.int64), test_images, test_labels.astype(np.int64))


def _read_bundled(name: str) -> tuple[NDArray[Any], str]:
    file = resources.files("tinytensor.data").joinpath("mnist_files").joinpath(name + ".gz")
    try:
        raw = file.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{file}: this MNIST file came with tinytensor and is gone; reinstall it") from None
    import hashlib  # not before it is needed: it loads OpenSSL

    digest = hashlib.sha256(raw).hexdigest()
    if digest != _SHA256[name]:
        raise IDXError(f"{file}: damaged (SHA-256 {digest}, expected {_SHA256[name]}); reinstall tinytensor")
    return parse_idx(io.BytesIO(raw), len(raw), str(file)), str(file)


def _read_found(root: Path, name: str) -> tuple[NDArray[Any], str]:
    if not root.is_dir():
        problem = "not a folder" if root.exists() else "no such folder"
        raise NotADirectoryError(f"{root}: {problem} (the data are read from a folder of four IDX files)")
    for spelling in (name, name.replace("-idx", ".idx")):
        for suffix in ("", ".gz"):
            path = root / (spelling + suffix)
            if path.exists():
                return read_idx(path), str(path)
    raise FileNotFoundError(f"{root}: no {name} or {name}.gz in this folder")


def _check_part(images: NDArray[Any], images_name: str, labels: NDArray[Any], labels_name: str) -> None:
    if images.ndim != 3 or images.dtype != np.uint8 or 0 in images.shape:
        raise IDXError(
            f"{images_name}: expected uint8 images of shape (N, height, width), got {images.dtype} {images.shape}"
        )
    if labels.ndim != 1 or labels.dtype.kind not in "ui" or labels.min(initial=0) < 0:
        raise IDXError(f"{labels_name}: expected whole labels >= 0 of shape (N,), got {labels.dtype} {labels.shape}")
    if len(images) != len(labels):
        raise IDXError(f"{labels_name}: {len(labels)} labels for the {len(images)} images of {images_name}")


def _size(images: NDArray[Any]) -> str:
    return f"{images.shape[1]} x {images.shape[2]}"
