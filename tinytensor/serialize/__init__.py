"""Tensors in files: safetensors and .npz, which hold arrays and text and can run no code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from tinytensor.creation import from_numpy
from tinytensor.device import check_device
from tinytensor.tensor import Tensor

from . import npz, safetensors, structure
from .files import atomically, open_regular, write_atomically

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["atomically", "load", "load_metadata", "save", "write_atomically"]

_KNOWN = ("float32", "float64", "int64", "bool", "uint8")
_STRUCTURE = "tinytensor.structure"  # the metadata's entry for what of a nested structure is no tensor


def save(
    obj: Any,
    path: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write `obj` to `path` in the safetensors format (or .npz), with `metadata` as text beside it; `load` gives it back.

    A flat mapping from names to Tensors (or arrays of their dtypes), as of `model.state_dict()`, becomes a plain safetensors
    file. So does any nested structure of dicts (with str or int keys), OrderedDicts, Counters, lists, tuples, Tensors, arrays,
    NumPy scalars, int, float, bool, str and None; its tensors are named by their paths, and what else there is goes as JSON
    into the file's metadata. A Tensor that comes twice is written twice. Values are written in C order, whatever their
    strides; other mappings become dicts.

    Where `path` ends in ".npz", the file is what `np.savez` writes, for `np.load`: of a flat mapping, without metadata.

    The file appears whole or not at all: it is written under another name in the same folder, flushed to the disk, and
    renamed; a link stays, and what it points to is replaced.

    Raises TypeError naming the path of a value that is none of these, for metadata that is not text, and for more than a flat
    mapping in an .npz; ValueError for structures of more than 100 levels (as one that contains itself) and names that are no
    Unicode; OSError if the file cannot be written, and then an old one is untouched; ImportError without the `safetensors`
    package (`pip install 'tinytensor[train]'`), which an .npz does not need.
    """
    text = dict(metadata or {})
    for key, value in text.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"save: metadata must map str to str, got {key!r}: {type(value).__name__}")
    if _STRUCTURE in text:
        raise ValueError(f"save: the metadata's entry {_STRUCTURE!r} is save's own")
    arrays = _flat(obj)
    if os.fsdecode(path).endswith(".npz"):
        if arrays is None or text:
            structure.take_apart(obj)  # names what can be in no file
            what = "metadata" if text else f"a nested {type(obj).__name__}"
            raise TypeError(
                f"save: an .npz file takes a flat mapping from names to tensors, got {what}; use .safetensors"
            )
        with atomically(path) as file:
            npz.write(file, arrays)
        return
    if arrays is None or any(array.dtype.name not in _KNOWN for array in arrays.values()):
        import json

        arrays, skeleton = structure.take_apart(obj)
        text[_STRUCTURE] = json.dumps(skeleton, allow_nan=False, separators=(",", ":"))
    with atomically(path) as file:
        safetensors.write(file, arrays, text)


def load(path: str | os.PathLike[str], map_location: Any = None, *, weights_only: bool = True) -> Any:
    """Read what `save` wrote, or any safetensors or .npz file: `model.load_state_dict(tt.load("model.safetensors"))`.

    A plain safetensors file, as PyTorch's users write too, gives a dict from names to Tensors, in the order of its header (which
    the safetensors package sorts by dtype and name). So does an .npz file, known by its content and not its name. In a nested
    structure, Tensors and Parameters come back as Tensors, arrays as arrays. Nothing requires grad. Tensors of dtypes that
    tinytensor has not are widened without loss: F16, BF16, F8_E4M3 and F8_E5M2 to float32; I8, I16, I32, U16, U32 and U64 to
    int64. map_location and weights_only are PyTorch's: there is no device but the CPU, and nothing but weights and plain data is ever
    read, so that False is refused.

    Raises OSError if the file cannot be read, or is a pipe or a device; ValueError if it is damaged, is of another format
    (pickles of torch.save are recognised, and not read), or holds complex numbers, Python objects or integers beyond int64.
    ImportError without the `safetensors` package, which an .npz does not need. Nothing in a file can run code. Memory is asked
    for only after sizes were held against that of the file; a packed .npz may be 100 times as large as its file, and 64 MiB.
    """
    check_device(map_location)
    if not weights_only:
        raise ValueError(f"{os.fspath(path)}: load reads no pickled objects, weights_only=False asks for some")
    with open_regular(path) as file:
        try:
            stored, metadata = (npz.read(file), {}) if _is_zip(file) else safetensors.read(file)
            if _STRUCTURE not in metadata:
                return {name: from_numpy(value.widened(name)) for name, value in stored.items()}
            return _restored(metadata[_STRUCTURE], stored)
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from None


def load_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read only the text that was saved beside the tensors (none in an .npz); errors as in `load`."""
    with open_regular(path) as file:
        try:
            metadata = {} if _is_zip(file) else safetensors.read_metadata(file, path)
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from None
    metadata.pop(_STRUCTURE, None)
    return metadata


def _flat(obj: Any) -> dict[str, NDArray[Any]] | None:
    """The arrays of a mapping that holds nothing else, under names; otherwise None."""
    if not isinstance(obj, Mapping) or not all(type(name) is str for name in obj):
        return None
    arrays = {name: value.detach().numpy() if isinstance(value, Tensor) else value for name, value in obj.items()}
    is_array = (isinstance(value, np.ndarray) and safetensors.code_of(value.dtype) for value in arrays.values())
    return arrays if all(is_array) else None


def _is_zip(file: IO[bytes]) -> bool:
    """Whether a file is an archive, as .npz is. ValueError for a pickle, also one inside of an archive."""
    start = file.read(9)
    file.seek(0)
    # The first byte of a pickle could be that of a header's length, but then the ninth is the header's brace.
    if start[:1] == b"\x80" and start[1:2] in (b"\2", b"\3", b"\4", b"\5") and start[8:] != b"{":
        raise ValueError(npz.PICKLE)
    return start[:4] in (b"PK\3\4", b"PK\5\6") and start[8:] != b"{"


def _restored(text: str, stored: Mapping[str, safetensors.Stored]) -> Any:
    try:
        return structure.restore(text, stored)
    except ValueError as error:
        raise ValueError(f"its structure is damaged ({error!s:.300})") from None
