"""Module: the base class of layers and models. A tree of modules that owns parameters and buffers.

The names, the order of every listing, the texts of errors and the printed form are PyTorch's.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import numpy as np

from tinytensor.anomaly import AnomalyError, module_calls, path_of, place_of, running
from tinytensor.device import asked_of_to
from tinytensor.nn.hooks import Hooks, StateHooks
from tinytensor.nn.parameter import Parameter
from tinytensor.tape import no_grad
from tinytensor.tensor import RemovableHandle, Tensor

__all__ = ["IncompatibleKeys", "Module"]

M = TypeVar("M", bound="Module")


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict` could not match: names the module wanted, and names it did not know."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


class Module:
    """Base class of every layer and model.

    Subclasses call `super().__init__()`, assign parameters, buffers and other modules to attributes (which
    registers them), and define `forward`. Calling the module calls `forward`.
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _non_persistent_buffers: set[str]
    _module_hooks: Hooks | None = None  # of the instance while it has any

    def __init__(self) -> None:
        self.__dict__.update(training=True, _parameters={}, _buffers={}, _modules={}, _non_persistent_buffers=set())

    # --- calling ----------------------------------------------------------------------------------

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; every subclass defines it. Raises NotImplementedError here."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run `forward`, with the hooks around it. An error that leaves it says in which module it arose: in its message where an
        op or a module of tinytensor raised it, in a note (shown by Python 3.11 and later) where the user's code did."""
        try:
            if self._module_hooks is not None:
                return self._module_hooks.call(self, args, kwargs)
            return self.forward(*args, **kwargs)
        except Exception:  # without a name: `running` looks into this frame, which would hold its own error in a cycle
            _note_place()
            raise

    # --- hooks ------------------------------------------------------------------------------------

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before forward; what it returns, but None, takes the place of the positional arguments.

        with_kwargs: `hook(module, args, kwargs)`, which may return both as a pair. prepend: before the hooks that are there.
        """
        return self._hook("before", (hook, with_kwargs), prepend)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False, always_call: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args, output)` after forward; what it returns, but None, takes the output's place.

        with_kwargs: `hook(module, args, kwargs, output)`. always_call: also where forward raises, with None for the output.
        """
        return self._hook("after", (hook, with_kwargs, always_call), prepend)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_output)` when the gradients of the outputs are known; a Tensor or tuple that it returns takes
        their place. grad_output: a tuple, None for what has no gradient."""
        return self._hook("backward_before", hook, prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` when the gradients of the positional arguments are known; a Tensor or
        tuple that it returns takes grad_input's place. grad_input has zeros for Tensors that no gradient reached, None for what
        is no Tensor. Where no argument requires grad it is called with the gradients of the outputs and Nones, and may replace
        nothing. With such a hook the arguments and outputs are views, which cannot be changed in place."""
        return self._hook("backward_after", hook, prepend)

    def _hook(self, kind: str, entry: Any, prepend: bool) -> RemovableHandle:
        if self._module_hooks is None:
            self.__dict__["_module_hooks"] = Hooks()
        assert self._module_hooks is not None
        key = self._module_hooks.add(kind, entry, prepend)
        ref = weakref.ref(self)

        def remove() -> None:
            module = ref()
            if module is not None and module._module_hooks is not None and module._module_hooks.discard(kind, key):
                del module.__dict__["_module_hooks"]  # the last one

        return RemovableHandle(remove)

    def runs_plainly(self) -> bool:
        """Whether calling it runs its class's forward and nothing else, so that a fused op may stand for it."""
        return "forward" not in self.__dict__ and self._module_hooks is None

    # --- registration -----------------------------------------------------------------------------

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter under `name`; None keeps the name without a parameter.

        Raises TypeError when `param` is not a Parameter, KeyError when the name is taken, empty or has a dot,
        ValueError when the parameter is not a leaf.
        """
        self._check_name("parameter", name, "_parameters")
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(
                f"cannot assign '{type(param).__name__}' object to parameter '{name}' (nn.Parameter or None required)"
            )
        if param is not None and not param.is_leaf:
            raise ValueError(
                f"cannot assign non-leaf Tensor to parameter '{name}'. Model parameters must be created "
                f"explicitly; to express '{name}' as a function of another Tensor, compute it in forward()."
            )
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a Tensor that is state but no parameter; `persistent=False` keeps it out of `state_dict`.

        Raises TypeError when `tensor` is no Tensor, KeyError when the name is taken, empty or has a dot.
        """
        self._check_name("buffer", name, "_buffers")
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' (Tensor or None required)"
            )
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers.discard(name)
        else:
            self._non_persistent_buffers.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module under `name`.

        Raises TypeError when `module` is no Module, KeyError when the name is taken, empty or has a dot.
        """
        self._check_name("module", name, "_modules")
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._modules[name] = module

    register_module = add_module

    def _check_name(self, kind: str, name: str, table: str) -> None:
        if table not in self.__dict__:
            raise AttributeError(f"cannot assign {kind} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{kind} name should be a string. Got {type(name).__name__}")
        if "." in name:
            raise KeyError(f'{kind} name can\'t contain "."')
        if name == "":
            raise KeyError(f'{kind} name can\'t be empty string ""')
        if hasattr(self, name) and name not in self.__dict__[table]:
            raise KeyError(f"attribute '{name}' already exists")

    def __getattr__(self, name: str) -> Any:
        # Called only when the instance dictionary and the class do not have the name.
        for table in ("_parameters", "_buffers", "_modules"):
            entries = self.__dict__.get(table)
            if entries is not None and name in entries:
                return entries[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        tables = self.__dict__
        parameters = tables.get("_parameters")
        if isinstance(value, Parameter):
            self._forget(name, keep="_parameters")
            self.register_parameter(name, value)
            return
        if parameters is not None and name in parameters:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{type(value).__name__}' as parameter '{name}' (nn.Parameter or None expected)"
                )
            self.register_parameter(name, None)
            return
        modules = tables.get("_modules")
        if isinstance(value, Module):
            if modules is None:
                raise AttributeError("cannot assign module before Module.__init__() call")
            self._forget(name, keep="_modules")
            modules[name] = value
            return
        if modules is not None and name in modules:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{type(value).__name__}' as child module '{name}' (nn.Module or None expected)"
                )
            modules[name] = None
            return
        buffers = tables.get("_buffers")
        if buffers is not None and name in buffers:
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(f"cannot assign '{type(value).__name__}' as buffer '{name}' (Tensor or None expected)")
            buffers[name] = value
            return
        object.__setattr__(self, name, value)

    def _forget(self, name: str, keep: str) -> None:
        """Drop `name` everywhere but in the table `keep`, so that one name means one thing."""
        for table in ("_parameters", "_buffers", "_modules"):
            if table != keep and table in self.__dict__:
                self.__dict__[table].pop(name, None)
        self.__dict__.pop(name, None)

    def __delattr__(self, name: str) -> None:
        for table in (self._parameters, self._buffers, self._modules):
            if name in table:
                del table[name]
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._parameters, *self._buffers, *self._modules})

    # --- listings ---------------------------------------------------------------------------------

    def named_modules(self, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """Yield (path, module) for this module and all below, parents first; a shared module comes once."""
        return self._walk(set() if remove_duplicate else None, prefix)

    def _walk(self, seen: set[Module] | None, prefix: str) -> Iterator[tuple[str, Module]]:
        if seen is not None:
            if self in seen:
                return
            seen.add(self)
        yield prefix, self
        for name, child in self._modules.items():
            if child is not None:
                yield from child._walk(seen, f"{prefix}.{name}" if prefix else name)

    def modules(self) -> Iterator[Module]:
        """Yield this module and all below it, each once."""
        for _, module in self.named_modules():
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield (name, module) for the direct children, each once."""
        seen: set[Module] = set()
        for name, child in self._modules.items():
            if child is not None and child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator[Module]:
        """Yield the direct children, each once."""
        for _, child in self.named_children():
            yield child

    def _named_entries(
        self, table: str, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules = self.named_modules(prefix, remove_duplicate) if recurse else iter([(prefix, self)])
        for path, module in modules:
            for name, entry in getattr(module, table).items():
                if entry is None or id(entry) in seen:
                    continue
                if remove_duplicate:
                    seen.add(id(entry))
                yield (f"{path}.{name}" if path else name), entry

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield (path, parameter); a shared parameter comes once, under its first path."""
        return self._named_entries("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield every parameter once, in the order of registration: what an optimizer takes."""
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield (path, buffer); a shared buffer comes once, under its first path."""
        return self._named_entries("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Yield every buffer once."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    # --- found by path ----------------------------------------------------------------------------

    def get_submodule(self, target: str) -> Module:
        """The module at a path such as "body.0"; "" is this one. AttributeError where there is none."""
        module = self
        for name in target.split(".") if target else ():
            found = module._modules.get(name)
            if found is None:
                raise AttributeError(f"{type(module).__name__} has no module `{name}` (looking for `{target}`)")
            module = found
        return module

    def set_submodule(self, target: str, module: Module) -> None:
        """Put a module at the path of one that is there. AttributeError where none is, TypeError for what is no Module."""
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if parent._modules.get(name) is None:
            raise AttributeError(f"{type(parent).__name__} has no module `{name}` (looking for `{target}`)")
        if not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        parent._modules[name] = module

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a path such as "body.0.weight". AttributeError where there is none."""
        found: Parameter = self._entry("_parameters", "parameter", target)
        return found

    def get_buffer(self, target: str) -> Tensor:
        """The buffer at a path. AttributeError where there is none."""
        found: Tensor = self._entry("_buffers", "buffer", target)
        return found

    def _entry(self, table: str, what: str, target: str) -> Any:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        found = getattr(module, table).get(name)
        if found is None:
            raise AttributeError(f"{type(module).__name__} has no {what} `{name}` (looking for `{target}`)")
        return found

    # --- state ------------------------------------------------------------------------------------

    def _own_state(self) -> Iterator[tuple[str, Tensor]]:
        """Yield (name, tensor): this module's parameters and persistent buffers, not those below."""
        for name, parameter in self._parameters.items():
            if parameter is not None:
                yield name, parameter
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._non_persistent_buffers:
                yield name, buffer

    def state_dict(
        self, destination: dict[str, Any] | None = None, *, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """Return a flat dict from path to Tensor: all parameters and persistent buffers, and under `_extra_state` what a module's
        `get_extra_state` gives.

        The Tensors are detached and share the module's memory (`keep_vars=True` gives the very parameters). A `destination` is
        filled and returned; `prefix` is put before each name as it is. Hooks of each module run before and after its part.
        """
        state = {} if destination is None else destination
        self._save_into(state, prefix, keep_vars)
        return state

    def _save_into(self, state: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        hooks = self.__dict__.get("_state_hooks")
        for before in hooks.pick("save_before") if hooks is not None else ():
            before(self, prefix, keep_vars)
        for name, tensor in self._own_state():
            state[prefix + name] = tensor if keep_vars else tensor.detach()
        if type(self).get_extra_state is not Module.get_extra_state:
            state[f"{prefix}_extra_state"] = self.get_extra_state()
        for name, module in self._modules.items():
            if module is not None:
                module._save_into(state, f"{prefix}{name}.", keep_vars)
        for after in hooks.pick("save_after") if hooks is not None else ():
            after(self, state, prefix, {})

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy Tensors (or arrays) into the parameters and buffers of the same path, cast to their dtype.

        The memory of the module stays its own, unless `assign`: then Tensors of the state take the place of the module's, with
        their dtype. `strict=False` lets missing and unexpected names pass; both are returned. Raises RuntimeError naming every
        misfit (and then has changed nothing), TypeError when `state_dict` is not a mapping. Hooks of a module run before
        anything is looked at, on a copy of the mapping, and after all is there.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        state = dict(state_dict)
        places = list(self.named_modules(remove_duplicate=False))
        for path, module in places:
            hooks = module.__dict__.get("_state_hooks")
            for before in hooks.pick("load_before") if hooks is not None else ():
                before(module, state, f"{path}." if path else "", {}, strict, [], [], [])
        own: dict[str, tuple[Module, str, Tensor]] = {}
        extra: dict[str, Module] = {}
        for path, module in places:
            dot = f"{path}." if path else ""
            own.update({dot + name: (module, name, tensor) for name, tensor in module._own_state()})
            if type(module).set_extra_state is not Module.set_extra_state:
                extra[f"{dot}_extra_state"] = module
        missing = [path for path in (*own, *extra) if path not in state]
        unexpected = [path for path in state if path not in own and path not in extra]
        problems: list[str] = []
        if strict and missing:
            problems.append(f"Missing key(s) in state_dict: {_quoted(missing)}. ")
        if strict and unexpected:
            problems.append(f"Unexpected key(s) in state_dict: {_quoted(unexpected)}. ")
        for path, (_, _, target) in own.items():
            if path not in state:
                continue
            source = state[path]
            if not isinstance(source, (Tensor, np.ndarray)):
                problems.append(
                    f'While copying the parameter named "{path}", expected Tensor or array from checkpoint '
                    f"but received {type(source)}"
                )
            elif tuple(source.shape) != tuple(target.shape):
                problems.append(
                    f"size mismatch for {path}: copying a param with shape {tuple(source.shape)} from "
                    f"checkpoint, the shape in current model is {tuple(target.shape)}."
                )
        if problems:
            heading = f"Error(s) in loading state_dict for {type(self).__name__}:"
            raise RuntimeError("\n\t".join([heading, *problems]))
        with no_grad():
            for path, (module, name, target) in own.items():
                if path in state and assign:
                    module._assign(name, state[path])
                elif path in state:
                    target.copy_(state[path])
        for path, module in extra.items():
            if path in state:
                module.set_extra_state(state[path])
        result = IncompatibleKeys(missing, unexpected)
        for _, module in reversed(places):
            hooks = module.__dict__.get("_state_hooks")
            for after in hooks.pick("load_after") if hooks is not None else ():
                after(module, result)
        return result

    def _assign(self, name: str, value: Any) -> None:
        """Let a parameter or buffer be `value` itself."""
        if name in self._buffers:
            self._buffers[name] = value if isinstance(value, Tensor) else Tensor(value)
            return
        old = self._parameters[name]
        assert old is not None
        self._parameters[name] = value if isinstance(value, Parameter) else Parameter(value, old.requires_grad)

    def get_extra_state(self) -> Any:
        """What a subclass keeps in its state beside Tensors; defined together with `set_extra_state`."""
        raise RuntimeError(f"{type(self).__name__}: get_extra_state is not defined; define it and set_extra_state")

    def set_extra_state(self, state: Any) -> None:
        """Take back what `get_extra_state` gave."""
        raise RuntimeError(f"{type(self).__name__}: set_extra_state is not defined; define it and get_extra_state")

    def register_state_dict_pre_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call `hook(module, prefix, keep_vars)` before this module's part of a state_dict is made."""
        return self._state_hook("save_before", hook)

    def register_state_dict_post_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata)` when a state_dict is made; it may change the mapping in place."""
        return self._state_hook("save_after", hook)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)` before a
        state_dict is read; it may rename keys in the mapping. The last three are empty lists, which nothing reads."""
        return self._state_hook("load_before", hook)

    def register_load_state_dict_post_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call `hook(module, incompatible_keys)` after a state_dict was taken over."""
        return self._state_hook("load_after", hook)

    def _state_hook(self, kind: str, hook: Callable[..., None]) -> RemovableHandle:
        hooks: StateHooks = self.__dict__.setdefault("_state_hooks", StateHooks())
        return RemovableHandle(hooks.add(kind, hook))

    # --- modes, dtype, gradients ------------------------------------------------------------------

    def train(self: M, mode: bool = True) -> M:
        """Set training mode here and below (Dropout works only in it). Returns self."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self: M) -> M:
        """Set evaluation mode: `train(False)`. Returns self."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Switch gradients of all parameters on or off (freezing). Returns self."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop every parameter's gradient, or with `set_to_none=False` fill it with zeros."""
        for parameter in self.parameters():
            grad = parameter.grad
            parameter.grad = None if set_to_none or grad is None else grad.detach().zero_()

    def apply(self: M, fn: Callable[[Module], object]) -> M:
        """Call `fn` on every module below and then on this one, as initialisers want. Returns self."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def to(self: M, *args: Any, dtype: Any = None, device: Any = None, non_blocking: bool = False) -> M:
        """Cast floating-point parameters, their gradients and buffers to a floating dtype, told alone, by a Tensor, or behind a
        device, which is the CPU (non_blocking means nothing here). Returns self.

        Parameters keep their identity (an optimizer that holds them goes on) and their memory layout.
        Raises TypeError for a dtype that is not floating point, RuntimeError for another device.
        """
        dtype, _ = asked_of_to(args, dtype, device)
        if dtype is None:
            return self
        target = np.dtype(dtype)
        if target.kind != "f":
            raise TypeError(f"nn.Module.to only accepts floating point dtypes, but got desired dtype={target}")
        with no_grad():
            for parameter in self.parameters():
                _cast(parameter, target)
            for buffer in self.buffers():
                _cast(buffer, target)
        return self

    def cpu(self: M) -> M:
        """Returns self: it is on the CPU."""
        return self

    def type(self: M, dst_type: Any) -> M:
        """Cast as `to` does. Returns self."""
        return self.to(dtype=dst_type)

    def float(self: M) -> M:
        """Cast to float32: `to(tt.float32)`."""
        return self.to(np.float32)

    def double(self: M) -> M:
        """Cast to float64: `to(tt.float64)`."""
        return self.to(np.float64)

    # --- printing ---------------------------------------------------------------------------------

    def _brief(self) -> str:
        """Return the type, with the sizes where they matter, for errors: `Linear 128 -> 10`."""
        return type(self).__name__

    def extra_repr(self) -> str:
        """Return what `repr` shows between this module's own brackets, e.g. its sizes."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        lines = extra.split("\n") if extra else []
        if len(lines) == 1 and not self._modules:
            return f"{type(self).__name__}({extra})"
        for name, child in self._modules.items():
            lines.append(f"({name}): " + repr(child).replace("\n", "\n  "))
        return type(self).__name__ + ("(\n  " + "\n  ".join(lines) + "\n)" if lines else "()")


def _cast(tensor: Tensor, dtype: np.dtype[Any]) -> None:
    if tensor.dtype.kind != "f" or tensor.dtype == dtype:
        return
    grad = tensor.grad
    # The data setter keeps a dtype; the optimizers know the Tensor, so it must stay the same object.
    tensor._data = Tensor(tensor._data.astype(dtype))._data
    if grad is not None:
        tensor.grad = grad.detach().to(dtype)


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


module_calls.add(Module.__call__.__code__)


def _note_place() -> None:
    """Write into the error under way, as it leaves the innermost module, where in the tree of modules that is."""
    error = sys.exc_info()[1]
    if error is None or getattr(error, "_placed", False):
        return
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    ours = trace is not None and str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0] == "tinytensor"
    modules = running()
    error.__dict__["_placed"] = True
    if isinstance(error, AnomalyError) or not modules:
        return
    if ours and type(error) in (IndexError, RuntimeError, TypeError, ValueError) and len(error.args) == 1:
        error.args = (f"{place_of(modules)}: {error.args[0]}",)
        return
    path, kind, root = path_of(modules), type(modules[-1]).__name__, type(modules[0]).__name__
    note = f"in module {path} ({kind}) of {root}" if path else f"in module {kind}"
    error.__dict__["__notes__"] = [*getattr(error, "__notes__", []), note]
