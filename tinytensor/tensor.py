"""Tensor: an array, its gradient, its place on the tape. Operators and methods are attached by `ops`."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeAlias

import numpy as np

from . import _kernels, _tape, tape
from ._tape import RemovableHandle as RemovableHandle
from .device import CPU, device

if TYPE_CHECKING:
    import numpy.typing as npt

    from .viz.explain import Explanation

DTypeLike: TypeAlias = "npt.DTypeLike"
float32 = np.dtype("float32")
float64 = np.dtype("float64")
int64 = np.dtype("int64")
uint8 = np.dtype("uint8")
bool_ = np.dtype("bool")
_DTYPES = (float32, float64, int64, uint8, bool_)
_default: list[np.dtype[Any]] = [float32]
_next_handle = itertools.count().__next__


def get_default_dtype() -> np.dtype[Any]:
    """The dtype that floats get when none is told: float32, or float64 after set_default_dtype."""
    return _default[0]


def set_default_dtype(dtype: DTypeLike) -> None:
    """Make float32 or float64 the dtype of new floats. TypeError for any other."""
    d = np.dtype(dtype)
    if d.kind != "f" or d not in _DTYPES:
        raise TypeError(f"set_default_dtype: expected float32 or float64, got {d}")
    _default[0] = d


def check_dtype(dtype: DTypeLike, what: str) -> np.dtype[Any]:
    """`dtype` as one of the five supported; TypeError for others."""
    if dtype is float:
        return _default[0]
    try:
        d = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"{what}: {dtype!r} is no dtype: use float32, float64, int64, bool or uint8") from None
    if d not in _DTYPES:
        if d.kind == "c":
            raise TypeError(f"{what}: complex numbers are out of tinytensor's scope, got {d}")
        raise TypeError(f"{what}: dtype {d} is not supported: use float32, float64, int64, bool or uint8")
    return d


def as_supported(a: npt.NDArray[Any], what: str) -> npt.NDArray[Any]:
    """An array in a dtype we compute in: small integers become int64, half floats float32."""
    if not a.dtype.isnative:
        a = a.astype(a.dtype.newbyteorder("="))
    if a.dtype in _DTYPES:
        return a
    if a.dtype.kind in "iu" and a.dtype != np.dtype("uint64"):
        return a.astype(np.int64)
    if a.dtype == np.dtype("float16"):
        return a.astype(np.float32)
    check_dtype(a.dtype, what)
    raise AssertionError


class Tensor(_tape.TensorCore):
    """An n-dimensional array of float32, float64, int64, bool or uint8 that remembers how it was made.

    Make one with `tt.tensor(data)`. Names, arguments and meaning are PyTorch's. `.numpy()` shares the memory.
    """

    __slots__ = ()
    __array_ufunc__ = None  # ndarray * Tensor comes to Tensor.__rmul__
    __array_priority__ = 1000

    _new = _wrap = staticmethod(_tape.new)
    _made = staticmethod(_tape.made)

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        array = data._data if isinstance(data, Tensor) else data
        if not isinstance(array, np.ndarray):
            raise TypeError(f"Tensor: expected an ndarray or Tensor, got {type(data).__name__}; use tt.tensor(data)")
        self._data = _kernels.owned(as_supported(array, "Tensor"))
        if requires_grad:
            self.requires_grad_()

    # ------------------------------------------------------------------------------------------------- what it is
    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self._data.nbytes

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self._data.itemsize

    def dim(self) -> int:
        """Number of dimensions."""
        return self._data.ndim

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        return self._data.shape if dim is None else self._data.shape[dim]

    def numel(self) -> int:
        """Number of elements."""
        return self._data.size

    nelement, ndimension = numel, dim

    def element_size(self) -> int:
        """Bytes of one element."""
        return self._data.itemsize

    def stride(self, dim: int | None = None) -> Any:
        """Steps between neighbours of each dimension, in elements."""
        steps = tuple(s // self._data.itemsize for s in self._data.strides)
        return steps if dim is None else steps[dim]

    def is_contiguous(self) -> bool:
        """Whether the elements lie one after the other in C order."""
        return self._data.flags.c_contiguous

    def is_floating_point(self) -> bool:
        """Whether the dtype is float32 or float64."""
        return self._data.dtype.kind == "f"

    @property
    def device(self) -> device:
        """`tt.device("cpu")`."""
        return CPU

    @property
    def is_cuda(self) -> bool:
        """False."""
        return False

    def cpu(self) -> Tensor:
        """This tensor: it is on the CPU."""
        return self

    @property
    def data(self) -> Tensor:
        """The same memory without history; assign to replace it (shape and dtype stay)."""
        return Tensor._new(self._data)

    @data.setter
    def data(self, value: Tensor) -> None:
        array = value._data if isinstance(value, Tensor) else np.asarray(value)
        if array.shape != self.shape or array.dtype != self.dtype:
            raise ValueError(f"data: expected {self.dtype} {self.shape}, got {array.dtype} {array.shape}")
        self._data = _kernels.owned(array)

    # ------------------------------------------------------------------------------------------------- gradient
    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for gradients (or not) of this leaf. TypeError for integers, RuntimeError for what an op made."""
        if requires_grad and self._data.dtype.kind != "f":
            raise TypeError(
                f"requires_grad: only float32 and float64 tensors have gradients, this is {self.dtype}; use .to(tt.float32)"
            )
        if not requires_grad and self._node is not None:
            raise RuntimeError("requires_grad: this tensor was made by an op; use detach() for one without history")
        self._requires = bool(requires_grad)
        return self

    def backward(
        self,
        gradient: Any = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Sequence[Tensor] | None = None,
    ) -> None:
        """Add the gradient of this tensor to `.grad` of every leaf (or of `inputs`) that it came from.

        gradient: the upstream gradient, in this tensor's shape; may be left out for one element. The graph's kept values are
        freed unless retain_graph (default: create_graph). RuntimeError where there is no history or it was freed.
        """
        if inputs is None:
            tape.backward([self], [gradient], retain_graph, create_graph)
            return
        from .autograd import backward

        backward([self], [gradient], retain_graph, create_graph, inputs)

    def explain(self, gradient: Any = None) -> Explanation:
        """How this tensor was made and how gradients flow back: a table, one row per node in backward order, with values,
        upstream, local and downstream gradients. Before or after backward; changes nothing. `print` it, or let a notebook show it.

        gradient: the upstream gradient; without it, that of the backward that passed here last, or 1 for a single element.
        RuntimeError where the tensor does not require grad.
        """
        from .viz.explain import explain

        return explain(self, gradient)

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call `hook(gradient)` when this tensor's gradient is known; a Tensor that it returns takes the gradient's place.

        Hooks run in the order of registration, each on what the one before made of it: those of a tensor that an op made
        before its rule runs, those of a leaf at the end of the walk. RuntimeError where no gradient comes, and from backward
        where a hook changes the gradient in place or returns another shape.
        """
        if not self._requires:
            raise RuntimeError("register_hook: this tensor does not require grad")
        if self._node is not None:
            return self._node.add_hook(_tape.HOOK_GRADIENT, self._slot, hook)
        return self._add_hook(hook)

    def _add_hook(self, hook: Any) -> RemovableHandle:
        self._hooks = {} if self._hooks is None else self._hooks
        key, ref = _next_handle(), weakref.ref(self)
        self._hooks[key] = hook

        def remove() -> None:
            t = ref()
            if t is not None and t._hooks is not None:
                t._hooks.pop(key, None)

        return RemovableHandle(remove)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> RemovableHandle:
        """Call `hook(self)` each time backward has added to this leaf's `.grad`; what it returns is ignored.

        All such hooks run at the end of the walk. RuntimeError for a tensor that an op made or that requires no gradient.
        """
        if self._node is not None:
            raise RuntimeError(
                "register_post_accumulate_grad_hook: only leaves accumulate; use register_hook or retain_grad"
            )
        if not self._requires:
            raise RuntimeError("register_post_accumulate_grad_hook: this tensor does not require grad")
        return self._add_hook(_tape.PostAccumulate(hook))

    def retain_grad(self) -> None:
        """Keep `.grad` of a tensor that an op made, too: as its hooks leave it. A leaf keeps it anyway. RuntimeError where no
        gradient comes."""
        if not self._requires:
            raise RuntimeError("retain_grad: this tensor does not require grad")
        if self._node is not None and not self.retains_grad:
            self._node.add_hook(_tape.HOOK_RETAIN, self._slot, _Retain(self))

    @property
    def retains_grad(self) -> bool:
        """Whether an op made it and its `.grad` is kept all the same."""
        return self._retaining() is not None

    def _retaining(self) -> tuple[int, int, Any] | None:
        hooks = () if self._node is None else self._node.hooks or ()
        return next((e for e in hooks if isinstance(e[2], _Retain) and e[2].tensor() is self), None)

    def _rebase(self, node: tape.Node, slot: int) -> None:
        """Come from another node, after a change in place; retain_grad goes along."""
        old, entry = self._node, self._retaining()
        self._node, self._slot, self._requires = node, slot, True
        if old is not None and entry is not None:
            old.remove_hook(entry)
            node.add_hook(_tape.HOOK_RETAIN, slot, entry[2])

    def detach(self) -> Tensor:
        """The same memory without history."""
        return Tensor._new(self._data)

    def detach_(self) -> Tensor:
        """Forget the history of this tensor."""
        self._node = None
        self._slot = 0
        self._requires = False
        if self._kin is not None:  # like detach(): what it and its views know of each other ends here
            self._kin[:] = [r for r in self._kin if r() is not self]
            self._kin = None
        return self

    # ------------------------------------------------------------------------------------------------- to NumPy and Python
    def numpy(self) -> npt.NDArray[Any]:
        """The memory as an ndarray. RuntimeError while it requires grad: use detach().numpy()."""
        if self._requires:
            raise RuntimeError("numpy: this tensor requires grad; use t.detach().numpy()")
        return self._data

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        a = self.numpy()
        if dtype is not None and a.dtype != np.dtype(dtype):
            if copy is False:
                raise ValueError(f"cannot give {a.dtype} as {np.dtype(dtype)} without a copy")
            return a.astype(dtype)
        return a.copy() if copy else a

    def item(self) -> Any:
        """The one element as a Python number. ValueError when there are more, or none."""
        if self._data.size != 1:
            raise ValueError(f"item: only a tensor with one element is a number, this has shape {self.shape}")
        return self._data.item()

    def tolist(self) -> Any:
        """Nested lists of Python numbers."""
        return self._data.tolist()

    def __bool__(self) -> bool:
        if self._data.size != 1:
            raise ValueError(f"the truth of a tensor of shape {self.shape} is ambiguous: use .any() or .all()")
        return bool(self._data.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self._data.dtype.kind not in "iub":
            raise TypeError(f"only integer tensors of one element can be used as an index, got {self.dtype}")
        return int(self.item())

    def __len__(self) -> int:
        if self._data.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return int(self._data.shape[0])

    def __iter__(self) -> Iterator[Tensor]:
        if self._data.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return (self[i] for i in range(self._data.shape[0]))

    def __contains__(self, value: Any) -> bool:
        return bool((self._data == (value._data if isinstance(value, Tensor) else value)).any())

    __hash__ = object.__hash__

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if self._data.ndim == 0 else object.__format__(self, spec)

    def __repr__(self) -> str:
        from .printing import tensor_repr

        return tensor_repr(self)

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        if self._node is not None:
            raise RuntimeError("pickle: only leaves can be pickled; use detach()")
        return _rebuild, (type(self), self._data, self._requires)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if self._node is not None:
            raise RuntimeError("deepcopy: only leaves can be copied deeply; use detach().clone()")
        t = _rebuild(type(self), self._data.copy(order="K"), self._requires)
        memo[id(self)] = t
        if self._grad is not None:
            t._grad = self._grad.detach()._copied()
        return t

    def _copied(self) -> Tensor:
        return Tensor._new(_kernels.owned(self._data.copy(order="K")))

    if TYPE_CHECKING:  # attached by ops
        T: Tensor
        mT: Tensor

        def __getattr__(self, name: str) -> Any: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        def __setitem__(self, index: Any, value: Any) -> None: ...
        def __add__(self, other: Any) -> Tensor: ...
        def __radd__(self, other: Any) -> Tensor: ...
        def __sub__(self, other: Any) -> Tensor: ...
        def __rsub__(self, other: Any) -> Tensor: ...
        def __mul__(self, other: Any) -> Tensor: ...
        def __rmul__(self, other: Any) -> Tensor: ...
        def __truediv__(self, other: Any) -> Tensor: ...
        def __rtruediv__(self, other: Any) -> Tensor: ...
        def __floordiv__(self, other: Any) -> Tensor: ...
        def __rfloordiv__(self, other: Any) -> Tensor: ...
        def __mod__(self, other: Any) -> Tensor: ...
        def __rmod__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __matmul__(self, other: Any) -> Tensor: ...
        def __rmatmul__(self, other: Any) -> Tensor: ...
        def __neg__(self) -> Tensor: ...
        def __pos__(self) -> Tensor: ...
        def __abs__(self) -> Tensor: ...
        def __invert__(self) -> Tensor: ...
        def __and__(self, other: Any) -> Tensor: ...
        def __or__(self, other: Any) -> Tensor: ...
        def __xor__(self, other: Any) -> Tensor: ...
        def __lshift__(self, other: Any) -> Tensor: ...
        def __rlshift__(self, other: Any) -> Tensor: ...
        def __rshift__(self, other: Any) -> Tensor: ...
        def __rrshift__(self, other: Any) -> Tensor: ...
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...
        def __eq__(self, other: Any) -> Tensor: ...  # type: ignore[override]
        def __ne__(self, other: Any) -> Tensor: ...  # type: ignore[override]


_tape.set_tensor_class(Tensor)


class _Retain:
    """The hook of retain_grad. It must not keep the tensor: the tensor's node keeps the hook."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = weakref.ref(tensor)

    def __call__(self, gradient: Tensor) -> None:
        t = self.tensor()
        if t is not None:
            t._grad = gradient.clone() if t._grad is None else t._grad + gradient


def _rebuild(kind: type[Tensor], array: npt.NDArray[Any], requires_grad: bool) -> Tensor:
    if (
        type(array) is not np.ndarray or not array.flags.writeable
    ):  # joblib gives large arrays as read-only maps of a file
        array = np.array(array)
    t = kind.__new__(kind)
    Tensor.__init__(t, array)
    t._requires = requires_grad
    return t
