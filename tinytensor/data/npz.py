"""Data sets in NumPy's .npz files, read without pickle and without believing what their headers promise."""

from __future__ import annotations

import errno
import math
import os
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy

from tinytensor.data.mnist import ImageData
from tinytensor.serialize.files import open_regular

if TYPE_CHECKING:
    import zipfile

    from numpy.typing import NDArray

__all__ = ["load_npz"]

_ALWAYS, _RATIO = 64 << 20, 100  # bytes unpacked that raise no question, and beyond them for each byte of the file
_PARTS = ("x_train", "y_train", "x_test", "y_test")


def load_npz(path: str | os.PathLike[str], x: str = "x", y: str = "y") -> tuple[NDArray[Any], ...]:
    """Read a data set from a .npz file: `(x, y)`, the arrays of these names, with as many rows; or, where the file has instead
    `x_train`, `y_train`, `x_test` and `y_test` (as Keras' mnist.npz), those four.

    The four come as an ImageData where they fit one, that is uint8 images (N, height, width) of one size with whole labels (N,)
    from 0 up (int64 then); otherwise as a tuple in the same order. Arrays are C-contiguous, in the machine's byte order, and
    yours to change. Arrays of Python objects are refused, so that nothing in the file is run.

    Raises OSError if the file cannot be opened or is a pipe or a device, and ValueError, naming the file, if it is damaged, is no .npz file, lacks the
    arrays, holds arrays whose rows do not match, or would unpack to more than 100 times its size and 64 MiB.
    """
    import struct
    import zipfile

    name = str(path)
    if not Path(path).exists():
        raise FileNotFoundError(f"{name}: no such file")
    try:
        with open_regular(path) as raw, zipfile.ZipFile(raw) as archive:
            known = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
            wanted = (x, y) if x in known and y in known else _PARTS
            if not all(part in known for part in wanted):
                has = ", ".join(list(known)[:12]) or "nothing"
                raise ValueError(f"expected the arrays {x} and {y}, or {', '.join(_PARTS)}; it holds {has}")
            size, unpacked = os.fstat(raw.fileno()).st_size, sum(known[part].file_size for part in wanted)
            if unpacked > _ALWAYS + _RATIO * size:
                raise ValueError(
                    f"{size} bytes that unpack to {unpacked}: np.load reads it, if you trust it, and np.savez writes it unpacked"
                )
            arrays = [_read(archive, known[part], part) for part in wanted]
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{name}: not a whole .npz file ({error!s:.300})") from None
    except OSError as error:
        if error.errno != errno.EINVAL or error.filename is not None:
            raise
        raise ValueError(f"{name}: not a whole .npz file (it points to a place before its beginning)") from None
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    for i in range(0, len(arrays), 2):
        a, b = arrays[i : i + 2]
        if not a.ndim or not b.ndim or len(a) != len(b):
            raise ValueError(f"{name}: {wanted[i]} {a.shape} and {wanted[i + 1]} {b.shape} must have as many rows")
    return _images(arrays) or tuple(arrays)


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> NDArray[Any]:
    """One array. Its memory is taken only after the size that its header promises has been compared with the file's."""
    if entry.compress_type not in (0, 8):  # stored, deflated
        raise ValueError(f"{name}: compression {entry.compress_type} of zip files, NumPy writes 0 and 8 only")
    with archive.open(entry) as file:
        try:
            version = npy.read_magic(file)
            if version not in ((1, 0), (2, 0)):
                raise ValueError(f"version {version}, expected (1, 0) or (2, 0)")
            shape, fortran, dtype = (
                npy.read_array_header_1_0(file) if version == (1, 0) else npy.read_array_header_2_0(file)
            )
        except zlib.error:
            raise
        except Exception as error:  # NumPy lets out what its parser of headers raises, SyntaxError and others
            raise ValueError(f"{name}: not an .npy array ({' '.join(str(error).split()):.200})") from None
        if dtype.hasobject:
            raise ValueError(f"{name}: holds Python objects, which are not read: they could run code")
        if dtype.kind not in "biuf":
            raise ValueError(f"{name}: expected numbers, got {dtype}")
        size = math.prod(shape) * dtype.itemsize
        if any(not 0 <= n < 2**62 for n in shape) or size > entry.file_size:
            raise ValueError(
                f"{name}: its header promises {shape} {dtype} = {size} bytes, the file holds {entry.file_size}"
            )
        content = file.read(size + 1)
    if len(content) != size:
        raise ValueError(f"{name}: its header promises {size} bytes, found {len(content)} or more")
    values = np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
    return np.array(values, dtype.newbyteorder("="), order="C")


def _images(arrays: list[NDArray[Any]]) -> ImageData | None:
    """Four arrays as images and labels, if that is what they are."""
    if len(arrays) != 4:
        return None
    train, train_labels, test, test_labels = arrays
    images = (
        all(a.dtype == np.uint8 and a.ndim == 3 and a.size for a in (train, test)) and train.shape[1:] == test.shape[1:]
    )
    labels = all(a.ndim == 1 and a.dtype.kind in "ui" and a.min(initial=0) >= 0 for a in (train_labels, test_labels))
    if not images or not labels:
        return None
    return ImageData(train, train_labels.astype(np.int64), test, test_labels.astype(np.int64))
