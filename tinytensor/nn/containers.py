"""Sequential: modules called one after the other; ModuleList, ModuleDict, ParameterList, ParameterDict: kept by place or name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar, overload

from tinytensor.nn.activation import fused
from tinytensor.nn.linear import Linear
from tinytensor.nn.module import Module
from tinytensor.nn.parameter import Parameter
from tinytensor.tensor import Tensor

__all__ = ["ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"]
T = TypeVar("T")


class Sequential(Module):
    """Call modules in order, each on the result of the one before.

    Takes the modules as arguments (named "0", "1", ...) or one dict from name to module. Indexing gives a
    module, slicing a Sequential that shares the modules.
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            named = modules[0]
        else:
            named = {str(i): module for i, module in enumerate(modules)}  # type: ignore[misc]  # add_module checks
        for name, module in named.items():
            self.add_module(name, module)

    def forward(self, x: Any) -> Any:
        """Return the last module's result; with no modules, x. A Linear and the activation behind it run as one op."""
        modules: list[Any] = list(self._modules.values())
        behind = iter((*modules[1:], None))
        skip = False
        for module in modules:
            after = next(behind)
            if skip:
                skip = False
            elif type(module) is Linear and module.runs_plainly() and (activation := fused(after)) is not None:
                x = module(x, activation=activation)
                skip = True
            else:
                x = module(x)
        return x

    def append(self, module: Module) -> Sequential:
        """Add a module at the end, named by its position. Returns self."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, sequential: Iterable[Module]) -> Sequential:
        """Add modules at the end. Returns self."""
        for module in sequential:
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> Sequential:
        """Put a module before `index`, and name all by position. Returns self. TypeError for what is no Module, IndexError for
        an index outside the length."""
        if not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        if not -len(self) <= index <= len(self):
            raise IndexError(f"index {index} is out of range for a Sequential of {len(self)} modules")
        modules = list(self)
        modules.insert(index, module)
        self._modules = {str(i): module for i, module in enumerate(modules)}
        return self

    def pop(self, key: int) -> Module:
        """Take a module out and return it."""
        module = self[key]
        del self[key]
        return module

    def __add__(self, other: Any) -> Sequential:
        return Sequential(*self, *other) if isinstance(other, Sequential) else NotImplemented

    def __iadd__(self, other: Any) -> Sequential:
        return self.extend(list(other)) if isinstance(other, Sequential) else NotImplemented

    def __mul__(self, times: int) -> Sequential:
        return Sequential(*(list(self) * self._times(times)))

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Sequential:
        return self.extend(list(self) * (self._times(times) - 1))

    def _times(self, times: int) -> int:
        if not isinstance(times, int):
            raise TypeError(f"a Sequential is repeated a whole number of times, got {type(times).__name__}")
        if times < 1:
            raise ValueError(f"a Sequential is repeated once or more, got {times}")
        return times

    def _name_at(self, index: int) -> str:
        names = list(self._modules)
        try:
            return names[index]
        except IndexError:
            raise IndexError(f"index {index} is out of range for a Sequential of {len(names)} modules") from None

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Module | Sequential | None:
        if isinstance(index, slice):
            return type(self)(dict(list(self._modules.items())[index]))  # type: ignore[arg-type]
        return self._modules[self._name_at(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._name_at(index), module)

    def __delitem__(self, index: int | slice) -> None:
        names = list(self._modules)[index] if isinstance(index, slice) else [self._name_at(index)]
        for name in names:
            del self._modules[name]
        # PyTorch renames the rest by position, so that append cannot meet a name that is taken.
        self._modules = {str(i): module for i, module in enumerate(self._modules.values())}

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())  # type: ignore[arg-type]


class ModuleList(Module):
    """Modules in a list, registered under "0", "1", ...; it has no forward of its own."""

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self.extend(modules or ())

    def _place(self, index: int) -> int:
        try:
            return range(len(self))[index]
        except IndexError:
            raise IndexError(f"index {index} is out of range for a ModuleList of {len(self)} modules") from None

    def _renumber(self, modules: Iterable[Module | None]) -> None:
        self._modules = {str(i): module for i, module in enumerate(modules)}

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> ModuleList: ...
    def __getitem__(self, index: int | slice) -> Module | ModuleList:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return list(self)[self._place(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, str(self._place(index)), module)

    def __delitem__(self, index: int | slice) -> None:
        left = list(self)
        del left[index if isinstance(index, slice) else self._place(index)]
        self._renumber(left)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())  # type: ignore[arg-type]

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return type(self)([*self, *other])

    def __iadd__(self, other: Iterable[Module]) -> ModuleList:
        return self.extend(other)

    def append(self, module: Module) -> ModuleList:
        """Add a module at the end. Returns self."""
        self.add_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> ModuleList:
        """Add modules at the end. Returns self."""
        for module in modules:
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> None:
        """Put a module before `index`, as list.insert does. TypeError for what is no Module."""
        if not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        modules = list(self)
        modules.insert(index, module)
        self._renumber(modules)

    def pop(self, index: int = -1) -> Module:
        """Take a module out and return it."""
        module = self[index]
        del self[index]
        return module


class _Named(Module, Generic[T]):
    """What ModuleDict and ParameterDict share: entries of one table, under their keys."""

    def _entries(self) -> dict[str, Any]:
        raise NotImplementedError

    def __setitem__(self, key: str, value: Any) -> None:
        raise NotImplementedError

    def __getitem__(self, key: str) -> T:
        entry: T = self._entries()[key]
        return entry

    def __delitem__(self, key: str) -> None:
        del self._entries()[key]

    def __len__(self) -> int:
        return len(self._entries())

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries())

    def __contains__(self, key: object) -> bool:
        return key in self._entries()

    def keys(self) -> Iterable[str]:
        """The names."""
        return self._entries().keys()

    def values(self) -> Iterable[T]:
        """What is kept, in the order of the names."""
        return self._entries().values()

    def items(self) -> Iterable[tuple[str, T]]:
        """Names and what is kept under them."""
        return self._entries().items()

    def get(self, key: str, default: Any = None) -> Any:
        """What is kept under a name, or default."""
        return self._entries().get(key, default)

    def clear(self) -> None:
        """Take all out."""
        self._entries().clear()

    def pop(self, key: str) -> T:
        """Take one out and return it."""
        entry: T = self._entries().pop(key)
        return entry

    def update(self, entries: Mapping[str, Any] | _Named[Any] | Iterable[tuple[str, Any]]) -> None:
        """Add those of a mapping, of another of this kind, or of (name, entry) pairs; a name that is there gets the new one."""
        for key, value in entries.items() if isinstance(entries, (Mapping, _Named)) else entries:
            self[key] = value


class ModuleDict(_Named[Module]):
    """Modules in a dictionary, registered under their keys; it has no forward of its own."""

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        self.update(() if modules is None else modules)

    def _entries(self) -> dict[str, Any]:
        return self._modules

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)


def _sizes(p: Any) -> str:
    return f"Parameter containing: [{p.dtype} of size {'x'.join(map(str, p.shape))}]"


class ParameterList(Module):
    """Parameters in a list, registered under "0", "1", ...; Tensors become Parameters. It has no forward of its own."""

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self.extend(() if values is None else values)

    @overload
    def __getitem__(self, index: int) -> Parameter: ...
    @overload
    def __getitem__(self, index: slice) -> ParameterList: ...
    def __getitem__(self, index: int | slice) -> Parameter | ParameterList:
        if isinstance(index, slice):
            return type(self)(list(self)[index])
        return list(self)[index]

    def __setitem__(self, index: int, value: Any) -> None:
        self.register_parameter(str(range(len(self))[index]), _as_parameter(value))

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self._parameters.values())  # type: ignore[arg-type]

    def __iadd__(self, values: Iterable[Any]) -> ParameterList:
        return self.extend(values)

    def append(self, value: Any) -> ParameterList:
        """Add a Parameter at the end. Returns self."""
        self.register_parameter(str(len(self)), _as_parameter(value))
        return self

    def extend(self, values: Iterable[Any]) -> ParameterList:
        """Add Parameters at the end. Returns self. TypeError for one Tensor alone: its rows are no Parameters."""
        if isinstance(values, Tensor):
            raise TypeError(f"{type(self).__name__}: expected several Parameters or Tensors, got one; put it in a list")
        for value in list(values):
            self.append(value)
        return self

    def extra_repr(self) -> str:
        return "\n".join(f"  ({i}): {_sizes(p)}" for i, p in enumerate(self))


class ParameterDict(_Named[Parameter]):
    """Parameters in a dictionary, registered under their keys; Tensors become Parameters. It has no forward of its own."""

    def __init__(self, parameters: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None) -> None:
        super().__init__()
        self.update(() if parameters is None else parameters)

    def _entries(self) -> dict[str, Any]:
        return self._parameters

    def __setitem__(self, key: str, value: Any) -> None:
        self.register_parameter(key, _as_parameter(value))

    def extra_repr(self) -> str:
        return "\n".join(f"  ({name}): {_sizes(p)}" for name, p in self.items())


def _as_parameter(value: Any) -> Parameter:
    if isinstance(value, Parameter):
        return value
    if not isinstance(value, Tensor):
        raise TypeError(f"expected a Parameter or a Tensor, got {type(value).__name__}")
    return Parameter(value)
