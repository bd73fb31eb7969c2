"""Sequential: modules called one after the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, overload

from tinytensor.nn.activation import fused
from tinytensor.nn.linear import Linear
from tinytensor.nn.module import Module

__all__ = ["Sequential"]


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
                x = module(x, activation)
                skip = True
            else:
                x = module(x)
        return x

    def append(self, module: Module) -> Sequential:
        """Add a module at the end, named by its position. Returns self."""
        self.add_module(str(len(self)), module)
        return self

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
