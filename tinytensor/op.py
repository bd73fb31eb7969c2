"""What makes an op of two functions: its value on arrays, and its rule. Called on arrays it gives an array; on Tensors it
gives a Tensor and records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, overload

from ._tape import Op

__all__ = ["Array", "Op", "op"]
P = ParamSpec("P")
Array = Any
"""An ndarray or a Python number inside an op; a Tensor, too, where the op is called."""


@overload
def op(forward: Callable[P, Any], /) -> Op[P]: ...
@overload
def op(
    *, aux: tuple[str, ...] = (), view: bool = False, kernel: str | None = None
) -> Callable[[Callable[P, Any]], Op[P]]: ...
def op(
    forward: Callable[..., Any] | None = None,
    /,
    *,
    aux: tuple[str, ...] = (),
    view: bool = False,
    kernel: str | None = None,
) -> Any:
    """Decorator: make an op of a function on arrays. `aux` names what it returns behind its value, for the rule alone;
    `view` says that its value may share its input's memory; `kernel` names the elementwise kernel that is its value on arrays
    of one float dtype, and is called without the function there (a kernel of one input more gets the last one twice).

    Parameters annotated `Array` or `Array | None` may be Tensors; one annotated `Sequence[Array]` makes all of them inputs.
    Without a rule the op gives Tensors that need no gradient.
    """
    if forward is None:
        return lambda f: Op(f, aux, view, kernel)
    return Op(forward, aux, view, kernel)
