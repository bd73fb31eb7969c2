"""The safetensors format: the length of a header, the header (JSON: names, dtypes, shapes, offsets, text), the arrays' bytes.

Source: github.com/huggingface/safetensors, README, "Format". Read and written here, so that every field of a hostile file is
checked before memory is asked for, and dtypes that NumPy has not (bfloat16) can be widened.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Stored", "code_of", "parse_json", "read", "read_metadata", "write"]

_MAX_HEADER = 100_000_000  # bytes, as in the library
_MAX_DIMS = 64  # NumPy's
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
    """Write named arrays, of dtypes that `code_of` knows, and text. ValueError for names or text that no file can hold."""
    import json

    # Longest elements first: every array then begins at a multiple of its element's size.
    order = sorted(arrays, key=lambda name: -arrays[name].itemsize)
    ends: dict[str, int] = {}
    end = 0
    for name in order:
        end = ends[name] = end + arrays[name].nbytes
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    for name, array in arrays.items():
        if name == "__metadata__":
            raise ValueError("save: '__metadata__' is no name for a tensor: in the file it means the text beside them")
        offsets = [ends[name] - array.nbytes, ends[name]]
        header[name] = {"dtype": _CODES[array.dtype.name], "shape": list(array.shape), "data_offsets": offsets}
    try:
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"save: a name, or text of the metadata, cannot be written ({error})") from None
    text += b" " * (-len(text) % 8)
    if len(text) > _MAX_HEADER:
        raise ValueError(f"save: names and text of {len(text)} bytes, the format takes {_MAX_HEADER}")
    file.write(len(text).to_bytes(8, "little") + text)
    for name in order:
        file.write(_bytes(np.asarray(arrays[name], arrays[name].dtype.newbyteorder("<"), order="C")))


def _bytes(array: NDArray[Any]) -> memoryview:
    """The memory of a contiguous array."""
    return array.reshape(-1).view(np.uint8).data


def read(file: IO[bytes]) -> tuple[dict[str, Stored], dict[str, str]]:
    """Arrays by name, in the header's order, and the text. ValueError for what is damaged, or a dtype that is not known."""
    entries, metadata, start = _layout(file)
    found = {}
    for name, entry in entries.items():
        if entry.code not in _STORED:
            about = "complex numbers are out of tinytensor's scope" if entry.code[:1] == "C" else "it cannot be read"
            raise ValueError(
                f"tensor {_short(name)} is {_short(entry.code)}: {about}; load knows float32, float64, int64, bool and uint8, "
                f"and widens {', '.join(code for code in _STORED if code not in ('BOOL', 'U8', 'F32', 'F64', 'I64'))}"
            )
        array = np.empty(entry.shape, _STORED[entry.code])
        file.seek(start + entry.begin)
        if array.size and file.readinto(_bytes(array)) != array.nbytes:  # type: ignore[attr-defined]
            raise ValueError("damaged or not a safetensors file (it became shorter while it was read)")
        found[name] = Stored(entry.code, array.astype(array.dtype.newbyteorder("="), copy=False))
    return found, metadata


def read_metadata(file: IO[bytes]) -> dict[str, str]:
    """The text alone; errors as of `read`."""
    return _layout(file)[1]


class _Entry(NamedTuple):
    code: str
    shape: tuple[int, ...]
    begin: int
    end: int


def _layout(file: IO[bytes]) -> tuple[dict[str, _Entry], dict[str, str], int]:
    """The checked header: entries, text, and where the arrays begin."""
    try:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise ValueError(f"a file of {size} bytes" + (f" with a header of {length}" if size >= 8 else ""))
        if length > _MAX_HEADER:
            raise ValueError(f"a header of {length} bytes, more than {_MAX_HEADER}")
        text = file.read(length)
        if text[:1] != b"{" or len(text) != length:
            raise ValueError("no header")
        header = parse_json(text)
        metadata = header.pop("__metadata__", {})
        if type(metadata) is not dict or not all(type(value) is str for value in metadata.values()):
            raise ValueError("its metadata is not text")
        entries = {name: _entry(name, fields) for name, fields in header.items()}
        _check_offsets(entries, size - 8 - length)
    except ValueError as error:
        raise ValueError(f"damaged or not a safetensors file ({error})") from None
    return entries, metadata, 8 + length


def _entry(name: str, fields: Any) -> _Entry:
    if type(fields) is not dict or set(fields) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"tensor {_short(name)} lacks dtype, shape or data_offsets")
    code, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if type(code) is not str or not _whole(shape) or not _whole(offsets) or len(offsets) != 2 or len(shape) > _MAX_DIMS:
        raise ValueError(f"tensor {_short(name)} has no valid dtype, shape or data_offsets")
    begin, end = offsets
    if code in _STORED and math.prod(shape) * np.dtype(_STORED[code]).itemsize != end - begin:
        raise ValueError(f"tensor {_short(name)} of {code} and shape {shape} has {end - begin} bytes")
    return _Entry(code, tuple(shape), begin, end)


def _whole(values: Any) -> bool:
    return type(values) is list and all(type(value) is int and 0 <= value < 2**63 for value in values)


def _check_offsets(entries: Mapping[str, _Entry], size: int) -> None:
    """The arrays lie one behind the other, without gaps, from the first byte behind the header to the last of the file."""
    at = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1][2:]):
        if entry.begin != at or entry.end < at:
            raise ValueError(f"tensor {_short(name)} lies at {entry.begin} to {entry.end}, expected from {at}")
        at = entry.end
    if at != size:
        raise ValueError(f"its tensors have {at} bytes, behind the header are {size}")


def parse_json(text: bytes | str) -> Any:
    """JSON without what only hostile files hold: names that come twice, NaN, numbers of thousands of digits, endless depth."""
    import json

    try:
        return json.loads(
            text.decode() if isinstance(text, bytes) else text,
            object_pairs_hook=_unique,
            parse_int=_limited(int),
            parse_float=_limited(float),
            parse_constant=_refuse,
        )
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the name {_short(name)} comes twice")
        found[name] = value
    return found


def _limited(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        if len(text) > 40:
            raise ValueError(f"a number of {len(text)} characters")
        return kind(text)

    return convert


def _refuse(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def _short(text: str) -> str:
    """A name for a message, which a hostile file could make megabytes long."""
    return repr(text if len(text) <= 100 else text[:100] + "...")
