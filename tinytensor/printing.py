"""How a tensor prints: PyTorch's layout, at most 1000 elements in full, floats with four digits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

if TYPE_CHECKING:
    from .tensor import Tensor

PRECISION, THRESHOLD, EDGE, WIDTH = 4, 1000, 3, 80


class _Formatter:
    """One width and one notation for all elements, chosen as PyTorch does."""

    def __init__(self, values: npt.NDArray[Any]) -> None:
        self.float = values.dtype.kind == "f"
        self.whole = self.scientific = False
        self.width = 1
        flat = values.reshape(-1)
        if not self.float:
            self.width = max((len(str(v)) for v in flat.tolist()), default=1)
            return
        finite = np.abs(flat[np.isfinite(flat) & (flat != 0)].astype(np.float64))
        if finite.size:
            high, low = float(finite.max()), float(finite.min())
            self.whole = bool((finite == np.ceil(finite)).all())
            self.scientific = high > 1e8 if self.whole else high / low > 1000 or high > 1e8 or low < 1e-4
        else:
            self.whole = bool(flat.size)
        counted = flat[np.isfinite(flat) & (flat != 0)]  # nan, inf and 0 do not widen, as in PyTorch
        self.width = max((len(self._text(v)) for v in counted.tolist()), default=1)

    def _text(self, v: Any) -> str:
        if not self.float:
            return str(v)
        if v != v or v in (float("inf"), float("-inf")):
            return str(v)
        if self.scientific:
            return f"{v:.{PRECISION}e}"
        return f"{v:.0f}." if self.whole else f"{v:.{PRECISION}f}"

    def __call__(self, v: Any) -> str:
        return self._text(v).rjust(self.width)


def _body(a: npt.NDArray[Any], f: _Formatter, indent: int, short: bool) -> str:
    if a.ndim == 0:
        return f(a.item())
    n = a.shape[0]
    cut = short and n > 2 * EDGE
    parts = [*range(EDGE), None, *range(n - EDGE, n)] if cut else list(range(n))
    if a.ndim == 1:
        words = ["..." if i is None else f(a[i].item()) for i in parts]
        per_line = max(1, (WIDTH - indent) // (f.width + 2))
        lines = [", ".join(words[i : i + per_line]) for i in range(0, len(words), per_line)]
        return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"
    rows = ["..." if i is None else _body(a[i], f, indent + 1, short) for i in parts]
    return "[" + ("," + "\n" * (a.ndim - 1) + " " * (indent + 1)).join(rows) + "]"


def _edges(a: npt.NDArray[Any]) -> npt.NDArray[Any]:
    for d in range(a.ndim):
        if a.shape[d] > 2 * EDGE:
            a = np.concatenate([a.take(range(EDGE), d), a.take(range(a.shape[d] - EDGE, a.shape[d]), d)], d)
    return a


def tensor_repr(t: Tensor) -> str:
    """`tensor([1., 2.], requires_grad=True)`; the dtype is told where it is not the one that such numbers get."""
    from .tensor import get_default_dtype

    a = t._data
    prefix = "tensor("
    if type(t).__name__ == "Parameter":
        prefix = "Parameter containing:\ntensor("
    short = a.size > THRESHOLD
    suffix = []
    if a.size == 0:
        body = "[]"
        if a.ndim != 1:
            suffix.append(f"size={a.shape}")
    else:
        body = _body(a, _Formatter(_edges(a) if short else a), len("tensor("), short)
    usual = a.dtype in (np.dtype("int64"), np.dtype("bool")) if a.dtype.kind != "f" else a.dtype == get_default_dtype()
    if not usual or (a.size == 0 and a.dtype.kind != "f"):
        suffix.append(f"dtype=tinytensor.{a.dtype}")
    if t._node is not None:
        suffix.append(f"grad_fn={t._node!r}")
    elif t._requires:
        suffix.append("requires_grad=True")
    return prefix + ", ".join([body, *suffix]) + ")"
