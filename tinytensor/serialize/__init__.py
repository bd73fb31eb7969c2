"""Tensors in files: safetensors, which holds arrays and text and can run no code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from tinytensor.creation import from_numpy
from tinytensor.tensor import Tensor

from . import safetensors, structure
from .files import atomically, open_regular, write_atomically

__all__ = ["atomically", "load", "load_metadata", "save", "write_atomically"]

_KNOWN = ("float32", "float64", "int64", "bool", "uint8")
_STRUCTURE = "tinytensor.structure"  # the metadata's entry for what of a nested structure is no tensor


def save(
    obj: Any,
    path: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write `obj` to `path` in the safetensors format, with `metadata` as text beside it; `load` gives it back.

    A flat mapping from names to Tensors (or arrays of their dtypes), as of `model.state_dict()`, becomes a plain safetensors
    file. So does any nested structure of dicts (with str or int keys), OrderedDicts, Counters, lists, tuples, Tensors, arrays,
    NumPy scalars, int, float, bool, str and None; its tensors are named by their paths, and what else there is goes as JSON
    into the file's metadata. A Tensor that comes twice is written twice. Values are written in C order, whatever their
    strides; other mappings become dicts.

    The file appears whole or not at all: it is written under another name in the same folder, flushed to the disk, and
    renamed; a link stays, and what it points to is replaced.

    Raises TypeError naming the path of a value that is none of these, or for metadata that is not text; ValueError for
    structures of more than 100 levels (as one that contains itself) and names that are no Unicode; OSError if the file cannot
    be written, and then an old one is untouched.
    """
    text = dict(metadata or {})
    for key, value in text.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"save: metadata must map str to str, got {key!r}: {type(value).__name__}")
    if _STRUCTURE in text:
        raise ValueError(f"save: the metadata's entry {_STRUCTURE!r} is save's own")
    if _is_flat(obj):
        arrays = {name: value.detach().numpy() if isinstance(value, Tensor) else value for name, value in obj.items()}
    else:
        import json

        arrays, skeleton = structure.take_apart(obj)
        text[_STRUCTURE] = json.dumps(skeleton, allow_nan=False, separators=(",", ":"))
    with atomically(path) as file:
        safetensors.write(file, arrays, text)


def load(path: str | os.PathLike[str]) -> Any:
    """Read what `save` wrote, or any other safetensors file: `model.load_state_dict(tt.load("model.safetensors"))`.

    A plain safetensors file, as PyTorch's users write too, gives a dict from names to Tensors, in the order of its header. In
    a nested structure, Tensors and Parameters come back as Tensors, arrays as arrays. Nothing requires grad. Dtypes that
    tinytensor has not are widened without loss: F16, BF16, F8_E4M3 and F8_E5M2 to float32; I8, I16, I32, U16, U32 and U64 to
    int64.

    Raises OSError if the file cannot be read, or is a pipe or a device; ValueError if it is damaged, is of another format, or
    holds complex numbers or integers beyond int64. Nothing in a file can run code, or ask for more memory than its own size
    accounts for.
    """
    with open_regular(path) as file:
        try:
            stored, metadata = safetensors.read(file)
            if _STRUCTURE not in metadata:
                return {name: from_numpy(value.widened(name)) for name, value in stored.items()}
            return _restored(metadata[_STRUCTURE], stored)
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from None


def load_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read only the text that was saved beside the tensors; errors as in `load`."""
    with open_regular(path) as file:
        try:
            metadata = safetensors.read_metadata(file)
        except ValueError as error:
            raise ValueError(f"{os.fspath(path)}: {error}") from None
    metadata.pop(_STRUCTURE, None)
    return metadata


def _is_flat(obj: Any) -> bool:
    return isinstance(obj, Mapping) and all(
        type(name) is str
        and (isinstance(value, Tensor) or (isinstance(value, np.ndarray) and value.dtype.name in _KNOWN))
        for name, value in obj.items()
    )


def _restored(text: str, stored: Mapping[str, safetensors.Stored]) -> Any:
    try:
        return structure.restore(safetensors.parse_json(text), stored)
    except ValueError as error:
        raise ValueError(f"its structure is damaged ({error})") from None
