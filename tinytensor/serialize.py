"""Tensors in files: safetensors, which holds arrays and text and can run no code."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor.creation import from_numpy
from tinytensor.tensor import Tensor

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["load", "load_metadata", "save", "write_atomically"]

_DTYPES = {
    "F32": "float32",
    "F64": "float64",
    "I64": "int64",
    "BOOL": "bool",
    "U8": "uint8",
}  # file's name: NumPy's
_KNOWN = ", ".join(_DTYPES.values())


def save(
    state_dict: Mapping[str, Tensor | NDArray[Any]],
    path: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write named tensors (or arrays) to `path` in the safetensors format, with `metadata` as text beside
    them.

    The file appears whole or not at all: it is written under another name in the same folder, flushed to the
    disk, and renamed. Values are written in C order, whatever the tensor's strides.

    Raises TypeError for a value that is no tensor or for metadata that is not text, ImportError without the
    `safetensors` package (`pip install tinytensor[train]`), OSError if the file cannot be written.
    """
    arrays = {name: _array(name, value) for name, value in state_dict.items()}
    for key, text in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(text, str):
            raise TypeError(f"save: metadata must map str to str, got {key!r}: {type(text).__name__}")
    write_atomically(path, _safetensors().numpy.save(arrays, dict(metadata) if metadata else None))


def load(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file: `model.load_state_dict(tt.load("checkpoint.safetensors"))`.

    Raises OSError if the file cannot be read, ValueError if it is damaged, is no safetensors file, or holds a
    dtype that tinytensor has not, ImportError without the `safetensors` package.
    """
    tensors = {}
    with _open(path) as file:
        for name in file.keys():  # noqa: SIM118 (not a dict)
            if (dtype := file.get_slice(name).get_dtype()) not in _DTYPES:
                raise ValueError(f"{os.fspath(path)}: tensor {name!r} is {dtype}, load knows {_KNOWN}")
            tensors[name] = _tensor(file.get_tensor(name))
    return tensors


def load_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read only the text that was saved beside the tensors; errors as in `load`."""
    with _open(path) as file:
        return dict(file.metadata() or {})


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Replace the file at `path` by `content`, so that no reader, and no crash, ever sees a part of it."""
    target = Path(os.path.realpath(path))  # replace what a link points to, not the link
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _safetensors() -> ModuleType:
    try:
        import safetensors.numpy
    except ImportError:
        raise ImportError("saving and loading need safetensors: pip install tinytensor[train]") from None
    return safetensors


@contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[Any]:
    library = _safetensors()
    with open(path, "rb"):  # the plain OSError of a file that is missing, a folder or forbidden
        pass
    try:
        with library.safe_open(path, framework="numpy") as file:
            yield file
    except library.SafetensorError as error:
        raise ValueError(f"{os.fspath(path)}: damaged or not a safetensors file ({error})") from None


def _array(name: str, value: Tensor | NDArray[Any]) -> NDArray[Any]:
    array = value.detach().numpy() if isinstance(value, Tensor) else value
    if not isinstance(name, str) or not isinstance(array, np.ndarray) or array.dtype.name not in _DTYPES.values():
        got = f"{name!r}: {getattr(array, 'dtype', type(array).__name__)}"
        raise TypeError(f"save: expected names with tensors of {', '.join(_DTYPES)}, got {got}")
    return np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")


def _tensor(array: NDArray[Any]) -> Tensor:
    if array.dtype == np.bool_:
        array = array.view(np.uint8) != 0  # a byte of 2 from the file must not become a bool of 2
    return from_numpy(array if array.flags.writeable else array.copy())
