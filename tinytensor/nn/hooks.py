"""Hooks of a module: functions called before and after its forward and its backward."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tinytensor.function import Function
from tinytensor.tensor import Tensor

if TYPE_CHECKING:
    from tinytensor.nn.module import Module

__all__ = ["Hooks", "StateHooks"]
_next_key = itertools.count().__next__


class Hooks:
    """What is called around one module, in order: `before` and `after` forward, `backward_before` and `backward_after`."""

    def __init__(self) -> None:
        self.before: dict[int, tuple[Callable[..., Any], bool]] = {}
        self.after: dict[int, tuple[Callable[..., Any], bool, bool]] = {}
        self.backward_before: dict[int, Callable[..., Any]] = {}
        self.backward_after: dict[int, Callable[..., Any]] = {}

    def add(self, kind: str, entry: Any, prepend: bool) -> int:
        """Put a hook behind the others of its kind, or before them; its key."""
        key = _next_key()
        before: dict[int, Any] = getattr(self, kind)
        setattr(self, kind, {key: entry, **before} if prepend else {**before, key: entry})
        return key

    def discard(self, kind: str, key: int) -> bool:
        """Take a hook away; whether none is left."""
        getattr(self, kind).pop(key, None)
        return not (self.before or self.after or self.backward_before or self.backward_after)

    def call(self, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The module's forward with its hooks."""
        called: set[int] = set()
        try:
            return self._call(module, args, kwargs, called)
        except Exception:
            for key, (hook, with_kwargs, always) in list(self.after.items()):
                if not always or key in called:
                    continue
                try:
                    hook(module, args, kwargs, None) if with_kwargs else hook(module, args, None)
                except Exception as error:  # the first error is the one to report
                    warnings.warn(f"a forward hook with always_call=True raised {error!r}; ignored", stacklevel=2)
            raise

    def _call(self, module: Module, args: tuple[Any, ...], kwargs: dict[str, Any], called: set[int]) -> Any:
        for hook, with_kwargs in list(self.before.values()):
            if with_kwargs:
                pair = hook(module, args, kwargs)
                if pair is not None:
                    if not isinstance(pair, tuple) or len(pair) != 2:
                        raise RuntimeError(
                            f"a forward pre-hook with kwargs must return None or a pair (args, kwargs), got {pair!r}"
                        )
                    args, kwargs = pair
            else:
                result = hook(module, args)
                if result is not None:
                    args = result if isinstance(result, tuple) else (result,)
        passage = _Passage(module, self) if self.backward_before or self.backward_after else None
        if passage is not None:
            args = passage.enter(args)
        output = module.forward(*args, **kwargs)
        for key, (hook, with_kwargs, _) in list(self.after.items()):
            called.add(key)
            result = hook(module, args, kwargs, output) if with_kwargs else hook(module, args, output)
            if result is not None:
                output = result
        return output if passage is None else passage.leave(output)


class StateHooks:
    """What is called when one module's state is made or taken over, in order, by kind."""

    def __init__(self) -> None:
        self.entries: dict[int, tuple[str, Callable[..., None]]] = {}

    def add(self, kind: str, hook: Callable[..., None]) -> Callable[[], None]:
        """Put a hook behind the others; what takes it away."""
        key = _next_key()
        self.entries[key] = (kind, hook)

        def remove() -> None:
            self.entries.pop(key, None)

        return remove

    def pick(self, kind: str) -> list[Callable[..., None]]:
        """The hooks of one kind."""
        return [hook for of, hook in self.entries.values() if of == kind]


class _Passage:
    """One call of a module with backward hooks: the identity on what goes in and what comes out, whose rules call them."""

    def __init__(self, module: Module, hooks: Hooks) -> None:
        self.module = module
        self.before, self.after = list(hooks.backward_before.values()), list(hooks.backward_after.values())
        self.grad_output: tuple[Any, ...] | None = None
        self.inputs = 0
        self.entered = False

    def enter(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments as what a backward hook watches."""
        self.inputs = len(args)
        if not self.after:
            return args
        passed: tuple[Any, ...] = ModuleInput.apply(self, *args)
        self.entered = any(isinstance(a, Tensor) and a.grad_fn is not None for a in passed)
        return passed if self.entered else args

    def leave(self, output: Any) -> Any:
        """The output, and the gradients that come to it, as what backward hooks watch."""
        many = isinstance(output, tuple)
        outs = ModuleOutput.apply(self, *(output if many else (output,)))
        return outs if many else outs[0]

    def left(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        """The gradients of the outputs are known."""
        for hook in self.before:
            grads = _replaced(grads, hook(self.module, grads), "pre-hook", "grad_output")
        self.grad_output = grads
        if not self.entered:
            for hook in self.after:
                result = hook(self.module, (None,) * self.inputs, grads)
                if result is not None and any(
                    r is not None for r in (result if isinstance(result, tuple) else (result,))
                ):
                    raise RuntimeError("a backward hook of a module whose arguments require no grad must return None")
            self.grad_output = None
        return grads

    def entering(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        """The gradients of the arguments are known."""
        outputs, self.grad_output = self.grad_output, None
        for hook in self.after:
            grads = _replaced(grads, hook(self.module, grads, outputs), "hook", "grad_input")
        return grads


def _replaced(grads: tuple[Any, ...], result: Any, what: str, name: str) -> tuple[Any, ...]:
    if result is None:
        return grads
    found = result if isinstance(result, tuple) else (result,)
    if len(found) != len(grads):
        raise RuntimeError(f"a backward {what} returned {len(found)} gradients, but {name} has {len(grads)}")
    return found


class ModuleInput(Function):
    @staticmethod
    def forward(ctx: Any, passage: _Passage, *args: Any) -> Any:
        ctx.passage = passage
        ctx.mark_non_differentiable(*[a for a in args if isinstance(a, Tensor) and not a.requires_grad])
        return args

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return None, *ctx.passage.entering(grads)


class ModuleOutput(Function):
    @staticmethod
    def forward(ctx: Any, passage: _Passage, *args: Any) -> Any:
        ctx.passage = passage
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*[a for a in args if isinstance(a, Tensor) and not a.requires_grad])
        return args

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return None, *ctx.passage.left(grads)
