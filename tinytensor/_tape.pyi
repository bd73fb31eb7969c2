"""The compiled core of the tape, for type checkers."""

from collections.abc import Callable, Iterable
from types import CodeType, TracebackType
from typing import Any, Generic, ParamSpec, overload
from weakref import ReferenceType

import numpy as np
import numpy.typing as npt

from .tensor import Tensor

P = ParamSpec("P")
A = npt.NDArray[Any]

HOOK_GRADIENT: int
HOOK_RETAIN: int
HOOK_AFTER: int

class Freed: ...

FREED: Freed
_Which = tuple[Any, tuple[int, ...], np.dtype[Any]] | None

class Mode:
    enabled: bool
    anomaly: int
    inspecting: bool

mode: Mode

class RemovableHandle:
    def __init__(self, remove: Callable[[], object]) -> None: ...
    def remove(self) -> None: ...
    def __enter__(self) -> RemovableHandle: ...
    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None: ...

class AccumulateGrad:
    name: str
    next_functions: tuple[()]
    variable: Tensor
    def __init__(self, variable: Tensor) -> None: ...

class PostAccumulate:
    def __init__(self, function: Callable[[Tensor], object]) -> None: ...

class TensorCore:
    _data: A
    _grad: Tensor | None
    _grad_ours: bool
    _hooks: dict[int, Any] | None
    _kin: list[ReferenceType[Tensor]] | None
    _node: Node | None
    _requires: bool
    _slot: int
    requires_grad: bool
    grad: Tensor | None
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def ndim(self) -> int: ...
    @property
    def is_leaf(self) -> bool: ...
    @property
    def grad_fn(self) -> Node | None: ...

class Node:
    op: Op[...]
    parents: tuple[Any, ...]
    slots: tuple[int, ...] | None
    kept: Any
    number: int
    hooks: list[tuple[int, int, Callable[..., Any]]] | None
    code: CodeType | None
    offset: int
    def __init__(
        self,
        op: Op[...],
        parents: tuple[Any, ...],
        slots: tuple[int, ...] | None,
        kept: tuple[Any, ...],
        outputs: tuple[tuple[tuple[int, ...], Any], ...],
        code: CodeType | None,
        offset: int,
    ) -> None: ...
    @property
    def outputs(self) -> tuple[tuple[tuple[int, ...], np.dtype[Any]], ...]: ...
    @property
    def name(self) -> str: ...
    @property
    def line(self) -> str: ...
    @property
    def next_functions(self) -> tuple[tuple[Node | AccumulateGrad | None, int], ...]: ...
    def register_prehook(self, hook: Callable[[tuple[Tensor | None, ...]], Any]) -> RemovableHandle: ...
    def register_hook(
        self, hook: Callable[[tuple[Tensor | None, ...], tuple[Tensor | None, ...]], Any]
    ) -> RemovableHandle: ...
    def add_hook(self, kind: int, slot: int, hook: Callable[..., Any]) -> RemovableHandle: ...
    def remove_hook(self, entry: tuple[int, int, Callable[..., Any]]) -> None: ...
    def let_go(self, source: Callable[[int], Node], index: int) -> None: ...
    def replace_kept(self, old: A, new: A) -> None: ...

class Op(Generic[P]):
    __name__: str
    forward: Callable[..., Any]
    function: Callable[..., Any] | None
    kernel: int
    inputs: tuple[str, ...]
    parameters: tuple[str, ...]
    many: str | None
    def __init__(self, forward: Callable[P, Any], aux: tuple[str, ...], view: bool, kernel: str | None) -> None: ...
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Tensor: ...
    @overload
    def rule(self, function: Callable[..., Any], /) -> Callable[..., Any]: ...
    @overload
    def rule(self, /, **when: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]: ...

class Composed:
    __name__: str
    function: Callable[..., Any]
    parameters: tuple[str, ...]
    positional: int
    rest: str | None
    def __init__(self, function: Callable[..., Any], module: str) -> None: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...

def set_respell(function: Callable[..., Any]) -> None: ...
def set_operators(add: Op[...], sub: Op[...], mul: Op[...], div: Op[...]) -> None: ...
def set_tensor_class(kind: type[Tensor]) -> None: ...
def new(array: A) -> Tensor: ...
def made(array: A, node: Node, slot: int) -> Tensor: ...
def here(what: str) -> tuple[CodeType | None, int, str]: ...
def call_post_accumulate(leaf: TensorCore) -> None: ...
def newest_number() -> int: ...
def number_of(node: Node) -> int: ...
def bind_view(base: Tensor, t: Tensor) -> int: ...
def check_made(name: str, given: list[Any], results: list[Any], node: Node | None) -> None: ...
def cause(mark: tuple[Any, ...]) -> str: ...
def where(code: CodeType | None, offset: int) -> str: ...
def accumulate(leaf: TensorCore, g: Any) -> None: ...
def check_versions(node: Node) -> None: ...
def keep_value(node: Node, slot: int, value: A) -> None: ...
def part(node: Node) -> None: ...
def kept_names(node: Node) -> list[tuple[str, int, Any, bool, _Which]]: ...
def noted(node: Node) -> tuple[Any, bool, int, bool, Any, list[A | None] | None, list[tuple[Any, _Which]] | None]: ...
def changed_leaves(node: Node) -> list[Tensor]: ...
def walk_of(leaf: Tensor) -> int: ...
def open_again(node: Node) -> Any: ...
def close_again(node: Node, before: Any) -> None: ...
def try_rule(node: Node, g: Any) -> list[A | None] | None: ...
def run(
    roots: Iterable[tuple[Any, int, Any]],
    create_graph: bool,
    retain_graph: bool,
    wanted: dict[Any, int] | None = None,
) -> list[Any]: ...
def root_gradient(t: TensorCore, gradient: Any, create_graph: bool, what: str) -> Any: ...
def backward(
    tensors: Iterable[Tensor], gradients: Iterable[Any], retain_graph: bool | None = None, create_graph: bool = False
) -> None: ...

class Batch:
    def __call__(self) -> None: ...

def make_steps(batches: list[Batch]) -> None: ...
def sgd_step(
    params: list[Tensor],
    states: dict[Tensor, dict[str, Any]],
    lr: float,
    momentum: float,
    dampening: float,
    weight_decay: float,
    nesterov: bool,
    maximize: bool,
) -> Batch: ...
def adam_step(
    params: list[Tensor],
    states: dict[Tensor, dict[str, Any]],
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    amsgrad: bool,
    decoupled: bool,
    maximize: bool,
) -> Batch: ...
def nadam_step(
    params: list[Tensor],
    states: dict[Tensor, dict[str, Any]],
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    momentum_decay: float,
    decoupled: bool,
    maximize: bool,
) -> Batch: ...
def radam_step(
    params: list[Tensor],
    states: dict[Tensor, dict[str, Any]],
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    decoupled: bool,
    maximize: bool,
) -> Batch: ...
def adamax_step(
    params: list[Tensor],
    states: dict[Tensor, dict[str, Any]],
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
) -> Batch: ...
def rmsprop_step(
    params: list[Tensor],
    states: dict[Tensor, dict[str, Any]],
    lr: float,
    alpha: float,
    eps: float,
    weight_decay: float,
    momentum: float,
    centered: bool,
    maximize: bool,
) -> Batch: ...
def adagrad_step(
    params: list[Tensor],
    states: dict[Tensor, dict[str, Any]],
    lr: float,
    lr_decay: float,
    eps: float,
    weight_decay: float,
    initial_accumulator_value: float,
    maximize: bool,
) -> Batch: ...
def adadelta_step(
    params: list[Tensor],
    states: dict[Tensor, dict[str, Any]],
    lr: float,
    rho: float,
    eps: float,
    weight_decay: float,
    maximize: bool,
) -> Batch: ...
def lion_step(
    params: list[Tensor],
    states: dict[Tensor, dict[str, Any]],
    lr: float,
    beta1: float,
    beta2: float,
    weight_decay: float,
    maximize: bool,
) -> Batch: ...
def lerp_step(params: list[Tensor], targets: list[Tensor], weight: float) -> Batch: ...
