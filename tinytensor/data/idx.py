"""Reader of IDX files, the format of MNIST and its relatives (http://yann.lecun.com/exdb/mnist/, "FILE
FORMATS")."""

from __future__ import annotations

import math
import os
import stat
import zlib
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["IDXError", "read_idx"]

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 18  # compressed bytes a read: large enough to be fast, small enough to stay in cache
_MOST_NUMPY_DIMS = 64
_DEFLATE_LIMIT = 1032  # DEFLATE cannot expand one byte into more (zlib's technical notes)


class IDXError(ValueError):
    """A file is not a whole, well-formed IDX file; the message names the file and says what is wrong."""


class _Source(Protocol):
    """What the reader needs of a file: both methods as in `io.RawIOBase`."""

    def read(self, size: int, /) -> bytes: ...
    def readinto(self, view: memoryview, /) -> int: ...


class _Gunzip:
    """The decompressed bytes of a gzip file: members are joined, zlib checks CRC and length of each."""

    def __init__(self, raw: _Source) -> None:
        self._raw = raw
        self._inflate = zlib.decompressobj(wbits=31)

    def readinto(self, view: memoryview) -> int:
        """Put 1 to `len(view)` bytes into `view`; 0 at the end of the file. Raises IDXError if it is cut
        short."""
        while True:
            if self._inflate.eof:
                piece = self._inflate.unused_data or self._raw.read(_CHUNK)
                while piece and not (piece := piece.lstrip(b"\0")):  # gzip allows padding with zeros
                    piece = self._raw.read(_CHUNK)
                if not piece:
                    return 0
                self._inflate = zlib.decompressobj(wbits=31)
            else:
                piece = self._inflate.unconsumed_tail or self._raw.read(_CHUNK)
                if not piece:
                    raise IDXError("truncated: the gzip stream ends in the middle")
            out = self._inflate.decompress(piece, len(view))
            if out:
                view[: len(out)] = out
                return len(out)

    def read(self, size: int) -> bytes:
        """Return `size` bytes, fewer only at the end of the file."""
        buffer = bytearray(size)
        return bytes(buffer[: _fill(self, memoryview(buffer))])


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read the IDX file at `path`, plain or gzip (told apart by its first bytes, not by its name).

    Returns a new writable C-contiguous array of the shape in the header, in the machine's byte order; its
    dtype is the file's: uint8, int8, int16, int32, float32 or float64.

    Raises OSError if the file cannot be opened, and IDXError if it is truncated, has bytes too many, is no
    IDX file, or claims a size that it cannot hold. Memory is allocated only after that size has been checked.
    """
    name = str(path)
    if not stat.S_ISREG(os.stat(path).st_mode):  # before opening: a pipe would block
        raise IDXError(f"{name}: not a regular file")
    with open(path, "rb") as file:
        return parse_idx(file, os.fstat(file.fileno()).st_size, name)


def parse_idx(file: Any, size: int, name: str) -> NDArray[Any]:
    """Read an IDX array from an open seekable binary file of `size` bytes, called `name` in errors; see
    `read_idx`."""
    try:
        first = file.read(2)
        file.seek(0)
        if first == _GZIP_MAGIC:
            return _parse(_Gunzip(file), None, size * _DEFLATE_LIMIT)
        return _parse(file, size, size)
    except zlib.error as error:
        raise IDXError(f"{name}: damaged gzip data ({error!s:.300})") from None
    except IDXError as error:
        raise IDXError(f"{name}: {error}") from None


def _parse(source: _Source, size: int | None, limit: int) -> NDArray[Any]:
    """Read header and values from `source`, which holds exactly `size` bytes if known and at most `limit`."""
    dtype, shape = _header(source)
    header = 4 + 4 * len(shape)
    expected = header + math.prod(shape) * dtype.itemsize
    claim = f"its header promises {_describe(shape, dtype)} = {expected} bytes"
    if expected > limit:
        raise IDXError(f"truncated or foreign: {claim}, the file holds at most {limit}")
    if size is not None and size > expected:
        raise IDXError(f"{size - expected} trailing bytes: {claim}, the file holds {size}")
    if math.prod(n for n in shape if n) > 2**62:
        raise IDXError(f"absurd shape: {claim}")

    values = np.empty(shape, dtype)
    read = _fill(source, values.reshape(-1).view(np.uint8).data)
    if read < values.nbytes:
        raise IDXError(f"truncated: {claim}, found {header + read}")
    if source.read(1):
        raise IDXError(f"trailing bytes: {claim}, the file holds more")
    return values.astype(dtype.newbyteorder("="), copy=False)


def _header(source: _Source) -> tuple[np.dtype[Any], tuple[int, ...]]:
    magic = source.read(4)
    if len(magic) < 4:
        raise IDXError(f"truncated: {len(magic)} bytes, an IDX header has at least 4")
    if magic[:2] != b"\0\0":
        raise IDXError(f"not an IDX file: it starts with {magic.hex(' ')}, an IDX file with 00 00")
    code, ndim = magic[2], magic[3]
    if code not in _DTYPES:
        known = ", ".join(f"{known:02x}" for known in _DTYPES)
        raise IDXError(f"not an IDX file: type code {code:02x}, IDX knows {known}")
    if ndim > _MOST_NUMPY_DIMS:
        raise IDXError(f"{ndim} dimensions, an array has at most {_MOST_NUMPY_DIMS}")
    sizes = source.read(4 * ndim)
    if len(sizes) < 4 * ndim:
        raise IDXError(f"truncated: the header of {ndim} dimensions ends after {4 + len(sizes)} bytes")
    return np.dtype(_DTYPES[code]), tuple(int(n) for n in np.frombuffer(sizes, ">u4"))


def _fill(source: _Source, view: memoryview) -> int:
    """Read into `view` until it is full or the source ends; returns the number of bytes read."""
    done = 0
    while done < len(view):
        count = source.readinto(view[done:])
        if not count:
            break
        done += count
    return done


def _describe(shape: tuple[int, ...], dtype: np.dtype[Any]) -> str:
    sizes = " x ".join(map(str, shape)) or "one"
    return f"{sizes} {dtype.newbyteorder('=').name} values"
