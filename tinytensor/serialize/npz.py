"""NumPy's .npz: a zip archive of .npy files. Read without pickle and without more memory than a file's size accounts for.

Source: numpy.org/doc/stable/reference/generated/numpy.lib.format.html. Read here, as NumPy's reader asks for the memory that a
header declares before it knows whether the bytes are there.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from .safetensors import Stored, code_of

if TYPE_CHECKING:
    from zipfile import ZipFile, ZipInfo

    from numpy.typing import NDArray

__all__ = ["PICKLE", "read", "write"]

PICKLE = (
    "this is a pickle, as torch.save writes, which could run any code and is never read here; in PyTorch, convert it: "
    'safetensors.torch.save_file(torch.load(path, weights_only=True), "model.safetensors")'
)
_MAX_HEADER = 10_000  # bytes of an array's description, as in NumPy
_ALWAYS, _RATIO = 64 << 20, 100  # bytes unpacked that raise no question, and beyond them for each byte of the file
_KINDS = {"b1", "u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8"}


def write(file: IO[bytes], arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write named arrays as `np.savez` does; the bytes depend on them alone. ValueError for names that a zip cannot hold."""
    import zipfile

    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            if "\0" in name or len(name.encode(errors="replace")) > 60_000:
                raise ValueError(f"save: no name for an entry of an .npz file: {name[:40]!r}")
            with archive.open(zipfile.ZipInfo(name + ".npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def read(file: IO[bytes]) -> dict[str, Stored]:
    """The arrays of an archive, by name without ".npy". ValueError for what is damaged, is no .npz, or holds something else."""
    import zipfile

    try:
        with zipfile.ZipFile(file) as archive:
            infos = archive.infolist()
            if any(info.filename.endswith("data.pkl") for info in infos):
                raise _Refused(PICKLE)
            size, unpacked = os.fstat(file.fileno()).st_size, sum(info.file_size for info in infos)
            if unpacked > _ALWAYS + _RATIO * size:
                raise _Refused(
                    f"{size} bytes that unpack to {unpacked}: np.load reads it, if you trust it, and np.savez writes it unpacked"
                )
            found: dict[str, Stored] = {}
            for info in infos:
                name = info.filename.removesuffix(".npy")
                if name == info.filename:
                    raise _Refused(
                        f"entry {name[:100]!r} of the archive is no array: expected an .npz file, of .npy files"
                    )
                if name in found:
                    raise ValueError(f"the name {name[:100]!r} comes twice")
                found[name] = _member(archive, info, name)
            return found
    except _Refused:
        raise
    except MemoryError:
        raise
    except Exception as error:  # zipfile and zlib know a dozen kinds for what is damaged
        raise ValueError(f"damaged or not an .npz file ({str(error)[:300]})") from None


class _Refused(ValueError):
    """A file that is whole, but not one to be read."""


def _member(archive: ZipFile, info: ZipInfo, name: str) -> Stored:
    import zipfile

    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _Refused(f"array {name[:100]!r} is packed by method {info.compress_type}; expected stored or deflated")
    with archive.open(info) as member:
        magic = member.read(8)
        if magic[:6] != b"\x93NUMPY" or magic[6:] not in (b"\1\0", b"\2\0", b"\3\0"):
            raise ValueError(f"array {name[:100]!r} has no header")
        prefix = member.read(2 if magic[6] == 1 else 4)
        length = int.from_bytes(prefix, "little")
        if length > _MAX_HEADER:
            raise ValueError(f"array {name[:100]!r} has a header of {length} bytes")
        descr, fortran, shape = _header(member.read(length))
        if type(descr) is str and descr[1:2] == "O":
            raise _Refused(f"array {name[:100]!r} holds Python objects: they are pickled, which could run any code")
        if type(descr) is not str or descr[:1] not in "<>|=" or descr[1:] not in _KINDS:
            raise _Refused(f"array {name[:100]!r} is of {str(descr)[:100]!r}, which no tensor can be")
        dtype = np.dtype(descr.replace("b1", "u1"))
        size = info.file_size - len(magic) - len(prefix) - length
        if math.prod(shape) * dtype.itemsize != size:
            raise ValueError(f"array {name[:100]!r} of {descr} and shape {shape} has {size} bytes")
        flat = np.empty(math.prod(shape), dtype)
        if size and member.readinto(flat.view(np.uint8).data) != size:  # type: ignore[attr-defined]
            raise ValueError(f"array {name[:100]!r} is cut")
        member.read(1)  # at its end the checksum is compared
    array = flat.reshape(shape[::-1]).T if fortran else flat.reshape(shape)
    code = "BOOL" if descr[1:] == "b1" else code_of(dtype)
    assert code is not None
    return Stored(code, np.asarray(array, dtype.newbyteorder("="), order="C"))


def _header(text: bytes) -> tuple[Any, bool, tuple[int, ...]]:
    """What the literal of a dict in an .npy file says: dtype, whether columns come first, shape."""
    import ast

    try:
        found = ast.literal_eval(text.decode().strip())
        descr, fortran, shape = found["descr"], found["fortran_order"], found["shape"]
    except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError):
        raise ValueError("an array's header is damaged") from None
    whole = type(shape) is tuple and all(type(size) is int and 0 <= size < 2**63 for size in shape)
    if not whole or type(fortran) is not bool or len(found) != 3:
        raise ValueError("an array's header is damaged")
    return descr, fortran, shape
