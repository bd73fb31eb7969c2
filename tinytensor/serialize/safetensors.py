"""Safetensors files, and arrays of the dtypes that NumPy or tinytensor has not.

The `safetensors` package reads them: it holds every field of a file's header against its size. What it gives is bytes; widening
them is done here, and so is writing.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from functools import cache
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Stored", "code_of", "read", "read_metadata", "write"]

_MAX_HEADER = 100_000_000  # bytes, as in the package
# The file's name of a dtype: that of the array that holds its bytes.
_STORED = {
    "BOOL": "u1",
    "U8": "u1",
    "I8": "i1",
    "F8_E5M2": "u1",
    "F8_E4M3": "u1",
    "I16": "<i2",
    "U16": "<u2",
    "F16": "<f2",
    "BF16": "<u2",
    "I32": "<i4",
    "U32": "<u4",
    "F32": "<f4",
    "F64": "<f8",
    "I64": "<i8",
    "U64": "<u8",
}
# how arrays follow one another in a file, the last first: the package's order, which keeps each aligned
_ORDER = ("BOOL", "U8", "I8", "I16", "U16", "F16", "I32", "U32", "F32", "F64", "I64", "U64")
_FOREIGN = {"F8_E5M2", "F8_E4M3", "BF16"}  # NumPy has none of these
_CODES = {
    "bool": "BOOL",
    **{np.dtype(held).name: code for code, held in _STORED.items() if code not in {"BOOL", *_FOREIGN}},
}


class Stored(NamedTuple):
    """An array as a file holds it: bfloat16 as uint16, 8-bit floats and bool as uint8."""

    code: str
    bytes: NDArray[Any]

    def exact(self) -> NDArray[Any]:
        """The array in its own dtype; ValueError where NumPy has none such."""
        if self.code in _FOREIGN:
            raise ValueError(f"NumPy has no {self.code}")
        # a byte of 2 from the file must not become a bool of 2
        return np.asarray(self.bytes != 0) if self.code == "BOOL" else self.bytes

    def widened(self, name: str) -> NDArray[Any]:
        """The array in one of our five dtypes, with the same values: shorter floats as float32, other integers as int64.

        ValueError naming the tensor for unsigned integers that int64 cannot hold.
        """
        a = self.bytes
        if self.code == "F16":
            return a.astype(np.float32)
        if self.code == "BF16":
            return np.asarray(a.astype(np.uint32) << 16).view(np.float32)  # the upper half of a float32
        if self.code == "F8_E5M2":
            return (
                np.asarray(a.astype(np.uint16) << 8).view(np.float16).astype(np.float32)
            )  # the upper half of a float16
        if self.code == "F8_E4M3":
            return np.asarray(np.take(_e4m3_values(), a))
        if self.code == "U64" and a.size and int(a.max()) >= 2**63:
            raise ValueError(f"tensor {name!r} is U64 and holds {int(a.max())}, which int64 cannot")
        if self.code in ("I8", "I16", "U16", "I32", "U32", "U64"):
            return a.astype(np.int64)
        return self.exact()


@cache
def _e4m3_values() -> NDArray[np.float32]:
    """The values of the 8-bit floats of 4 exponent bits, bias 7, without infinities (Micikevicius et al. 2022)."""

    def value(byte: int) -> float:
        exponent, mantissa = byte >> 3 & 15, byte & 7
        if byte & 0x7F == 0x7F:
            return math.nan
        size = math.ldexp(8 + mantissa, exponent - 10) if exponent else math.ldexp(mantissa, -9)
        return -size if byte & 0x80 else size

    return np.array([value(byte) for byte in range(256)], np.float32)


def code_of(dtype: np.dtype[Any]) -> str | None:
    """The format's name of a NumPy dtype, or None."""
    return _CODES.get(dtype.name)


def write(file: IO[bytes], arrays: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Write a file of named arrays, of dtypes that `code_of` knows, and text: the package's own bytes, one array at a time.

    Not by the package, which holds all of it twice more in memory and ends the process where it gets none. ValueError for names
    or text that no file can hold, ImportError without the package, as nothing could read the file.
    """
    import json

    _library()
    if "__metadata__" in arrays:
        raise ValueError("save: '__metadata__' is no name for a tensor: in the file it means the text beside them")
    codes = {name: _CODES[a.dtype.name] for name, a in arrays.items()}
    order = sorted(arrays, key=lambda name: (-_ORDER.index(codes[name]), name))
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name in order:
        begin, end = end, end + arrays[name].nbytes
        header[name] = {"dtype": codes[name], "shape": arrays[name].shape, "data_offsets": [begin, end]}
    try:
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"save: a name, or text of the metadata, cannot be written ({error!s:.300})") from None
    text += b" " * (-len(text) % 8)
    if len(text) > _MAX_HEADER:
        raise ValueError(
            f"save: names and text that no file can hold (header too large: {len(text)} bytes, at most {_MAX_HEADER})"
        )
    file.write(len(text).to_bytes(8, "little") + text)
    for name in order:
        a = arrays[name]
        file.write(np.asarray(a, a.dtype.newbyteorder("<"), order="C").reshape(-1).view(np.uint8).data)


def read(file: IO[bytes]) -> tuple[dict[str, Stored], dict[str, str]]:
    """Arrays by name, in the header's order, and the text.

    ValueError for what is damaged, or a dtype that is not known; ImportError without the package.
    """
    import json

    library = _library()
    try:
        length = _header_length(file)
        content = file.read()
        views = dict(library.deserialize(content))
        # Of the same bytes: a training may put another file in this one's place at any time.
        header = json.loads(content[8 : 8 + length].decode())
    # The package skips fields that it does not know, however deep; json does not.
    except (library.SafetensorError, ValueError, RecursionError) as error:
        raise _damaged(error) from None
    metadata = header.pop("__metadata__", None) or {}
    return {name: _stored(name, **views[name]) for name in header}, metadata


def read_metadata(file: IO[bytes], path: str | os.PathLike[str]) -> dict[str, str]:
    """The text alone of the file at `path`, without reading its arrays; errors as of `read`."""
    library = _library()
    try:
        _header_length(file)
        with library.safe_open(os.fsdecode(path), framework="numpy") as opened:
            return dict(opened.metadata() or {})
    except (library.SafetensorError, ValueError) as error:
        raise _damaged(error) from None


def _library() -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError("saving and loading need safetensors: pip install 'tinytensor[train]'") from None
    return safetensors


def _header_length(file: IO[bytes]) -> int:
    """The header's length; ValueError where the first bytes are not a safetensors file's, which is then not read whole."""
    size = os.fstat(file.fileno()).st_size
    start = file.read(9)
    file.seek(0)
    length = int.from_bytes(start[:8], "little")
    if length > min(size - 8, _MAX_HEADER):
        raise ValueError(f"a file of {size} bytes with a header of {length}")
    if start[8:] != b"{":
        raise ValueError("no header")
    return length


def _damaged(error: Exception) -> ValueError:
    # A hostile name in the package's message could be megabytes long, or control a terminal.
    text = "".join(c if c.isprintable() else "?" for c in str(error)[:300])
    return ValueError(f"damaged or not a safetensors file ({text})")


def _stored(name: str, dtype: str, shape: list[int], data: bytearray) -> Stored:
    if dtype not in _STORED:
        about = "complex numbers are out of tinytensor's scope" if dtype[:1] == "C" else "it cannot be read"
        short = name if len(name) <= 100 else name[:100] + "..."
        raise ValueError(
            f"tensor {short!r} is {dtype}: {about}; load knows float32, float64, int64, bool and uint8, "
            f"and widens {', '.join(code for code in _STORED if code not in ('BOOL', 'U8', 'F32', 'F64', 'I64'))}"
        )
    try:
        array = np.frombuffer(data, _STORED[dtype]).reshape(shape)
    except ValueError as error:  # more dimensions, or more beside a 0, than NumPy takes
        raise _damaged(error) from None
    return Stored(dtype, array.astype(array.dtype.newbyteorder("="), copy=False))
