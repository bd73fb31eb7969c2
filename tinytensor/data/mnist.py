"""MNIST, bundled with the package; Fashion-MNIST and KMNIST, from where they lie on this machine or from the network; and any data
set kept in four IDX files of the same names."""

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

__all__ = ["FASHION_CLASSES", "KMNIST_CLASSES", "ImageData", "fashion_mnist", "kmnist", "mnist"]

# SHA-256 of the bundled files as they lie on disk: hashing 11 MB costs a tenth of hashing what they unpack to.
_SHA256 = {
    "train-images-idx3-ubyte": "0b367032e93c5d0cea0925647cfdb18614af8ee15f83e6f2fc2ad904a6835971",
    "train-labels-idx1-ubyte": "1787548bbe0bff1ec2ecdc0ef292b02df999e2d1a6002d27500982c652b17203",
    "t10k-images-idx3-ubyte": "1a1a05eab793c14bb050b398624a11b0ffd1a2953baed553b1b9bd079e2a20be",
    "t10k-labels-idx1-ubyte": "b91679a0acfe4ba0e50a2437a903084cba1f5f92592b016a25a7dfd00455798b",
}


FASHION_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
KMNIST_CLASSES = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")

_MOST_BYTES = 1 << 26  # of one fetched file: the largest has 26 million


class _Source(NamedTuple):
    """Where a relative of MNIST is found: `checksums` are of the .gz files as `urls` (each with the name added) give them."""

    title: str
    folder: str  # in TINYTENSOR_DATA and in the cache
    system: Path | None  # where Debian's package puts it
    install: str
    urls: tuple[str, ...]
    checksums: dict[str, str]


_FASHION = _Source(
    title="Fashion-MNIST",
    folder="fashion-mnist",
    system=Path("/usr/share/datasets/fashion-mnist"),
    install="apt install dataset-fashion-mnist, ",
    urls=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ),
    checksums={
        "train-images-idx3-ubyte": "sha256:3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte": "sha256:a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte": "sha256:346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte": "sha256:67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
)
_KMNIST = _Source(
    title="KMNIST",
    folder="kmnist",
    system=None,
    install="",
    urls=("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
    checksums={
        "train-images-idx3-ubyte": "md5:bdb82020997e1d708af4cf47b453dcf7",
        "train-labels-idx1-ubyte": "md5:e144d726b3acfaa3e44228e80efcd344",
        "t10k-images-idx3-ubyte": "md5:5c965bf0a639b31b8f53240b1b52f4d7",
        "t10k-labels-idx1-ubyte": "md5:7320c461ea6c1c855c0b718fb2a4b134",
    },
)


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
    if root is not None:
        return _read_folder(Path(root))
    return _together([_read_bundled(name) for name in _SHA256])


def fashion_mnist(root: str | os.PathLike[str] | None = None, *, download: bool = False) -> ImageData:
    """Read Fashion-MNIST: 60,000 training and 10,000 test pictures of clothes, 28 x 28 in grey; `FASHION_CLASSES` names the ten
    classes.

    The four IDX files (as in `mnist`) are taken from the first of these that has them: the folder `root`; `fashion-mnist` in the
    folder that the environment variable TINYTENSOR_DATA names; the user's cache, $XDG_CACHE_HOME/tinytensor/fashion-mnist (by
    default in ~/.cache); Debian's package dataset-fashion-mnist; and, with `download=True`, the network, from which they come
    into the cache (30 MB; a call that is cut is gone on with by the next). Files in the cache are checked against their
    published checksums at each call.

    Raises FileNotFoundError that says how to get the data where there is none, DownloadError (an OSError) where the network does
    not give it, and what `mnist` raises for files that are damaged. Data: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel
    Image Dataset for Benchmarking Machine Learning Algorithms", arXiv:1708.07747; MIT licence.
    """
    return _read_relative(_FASHION, root, download)


def kmnist(root: str | os.PathLike[str] | None = None, *, download: bool = False) -> ImageData:
    """Read Kuzushiji-MNIST: 60,000 training and 10,000 test pictures of ten cursive hiragana, 28 x 28 in grey, named by
    `KMNIST_CLASSES`.

    Looked for and fetched as `fashion_mnist` is (folders called `kmnist`, 21 MB, no Debian package); raises what that raises.
    Data: T. Clanuwat et al., "Deep Learning for Classical Japanese Literature", arXiv:1812.01718; CC BY-SA 4.0.
    """
    return _read_relative(_KMNIST, root, download)


def _read_relative(source: _Source, root: str | os.PathLike[str] | None, fetch: bool) -> ImageData:
    if root is not None:
        return _read_folder(Path(root))
    own = os.environ.get("TINYTENSOR_DATA")
    if own and (Path(own) / source.folder).is_dir():
        return _read_folder(Path(own) / source.folder)
    cache = _cache() / source.folder
    absent = [name for name in _SHA256 if not (cache / f"{name}.gz").exists()]
    if not absent:
        return _together([_read_cached(source, cache, name, fetch) for name in _SHA256])
    if source.system is not None and source.system.is_dir():
        return _read_folder(source.system)
    if fetch:
        return _together([_read_cached(source, cache, name, fetch) for name in _SHA256])
    some = f" ({len(absent)} of the four files are missing in {cache})" if len(absent) < len(_SHA256) else ""
    raise FileNotFoundError(
        f"no {source.title} on this machine{some}: give a folder of its four IDX files as root (or put it at {source.folder} in "
        f"the folder that TINYTENSOR_DATA names), {source.install}or pass download=True to fetch it into {cache}"
    )


def _read_cached(source: _Source, cache: Path, name: str, fetch: bool) -> tuple[NDArray[Any], str]:
    """One file of the cache, once its checksum has been found right; fetched, with `fetch`, where it is absent or damaged."""
    from tinytensor.data.download import checksum_of, download

    path, expected = cache / f"{name}.gz", source.checksums[name]
    kind = expected.partition(":")[0]
    raw = path.read_bytes() if path.exists() else b""
    found = checksum_of(raw, kind)
    if found != expected:
        if not fetch:
            raise IDXError(f"{path}: damaged ({found}, expected {expected}); remove it, or pass download=True")
        download([url + path.name for url in source.urls], path, expected, limit=_MOST_BYTES)
        raw = path.read_bytes()
    return parse_idx(io.BytesIO(raw), len(raw), str(path)), str(path)


def _cache() -> Path:
    """This package's folder among the user's caches (XDG Base Directory Specification: relative paths do not count)."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(named) if os.path.isabs(named) else Path.home() / ".cache") / "tinytensor"


def _read_folder(root: Path) -> ImageData:
    return _together([_read_found(root, name) for name in _SHA256])


def _together(parts: list[tuple[NDArray[Any], str]]) -> ImageData:
    """The four arrays, with the names of their files, once they have been found to belong to one another."""
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
