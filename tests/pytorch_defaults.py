"""Defaults of PyTorch's functions, methods and classes that tinytensor has under the same name, with the same parameter.

They lie in pytorch_defaults.json, {"nn.Linear": {"bias": true, ...}, ...}, so that a machine without PyTorch has them, too. Where
PyTorch is installed, `python tests/pytorch_defaults.py` writes that file again. What is written in C tells its defaults in the
first line of its docstring.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tinytensor

FILE = Path(__file__).with_suffix(".json")
ROOMS = (
    "", "Tensor", "autograd", "func", "linalg", "nn", "nn.functional", "nn.init", "nn.utils", "optim", "optim.lr_scheduler",
    "optim.swa_utils", "testing", "utils.data",
)  # fmt: skip


def room(package: Any, name: str) -> Any:
    for part in filter(None, name.split(".")):
        package = getattr(package, part)
    return package


def found(package: Any, name: str) -> Any:
    """What has a dotted name in a package; data sets live in another room here."""
    try:
        return room(package, name.replace("utils.data.", "data.") if package is tinytensor else name)
    except AttributeError:
        return None


def defaults(function: Callable[..., Any], name: str) -> dict[str, Any]:
    """Those that are numbers, texts, booleans, None or tuples of them."""
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):
        said = re.match(rf"\s*(?:\w+\.)*{re.escape(name)}\(([^)]*)\)", function.__doc__ or "")
        pairs = [part.partition("=") for part in said[1].split(",")] if said else []
        given = {key.strip(" *\\"): value.strip() for key, equals, value in pairs if equals}
    else:
        given = {key: repr(p.default) for key, p in signature.parameters.items() if p.default is not p.empty}
    result = {}
    for key, text in given.items():
        try:
            result[key] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            continue
    return result


def recorded() -> dict[str, dict[str, Any]]:
    names: dict[str, dict[str, Any]] = json.loads(FILE.read_text())["defaults"]
    return names


def common(torch: Any) -> dict[str, dict[str, Any]]:
    """PyTorch's defaults of all names and parameters that are here, too."""
    rows = {}
    for place in ROOMS:
        for short in sorted(dir(room(torch, place))):
            dotted = f"{place}.{short}" if place else short
            theirs, ours = found(torch, dotted), found(tinytensor, dotted)
            if short.startswith("_") or not callable(theirs) or not callable(ours):
                continue
            try:
                own = inspect.signature(ours).parameters
            except (ValueError, TypeError):
                continue
            row = {key: value for key, value in defaults(theirs, short).items() if key in own}
            if row:
                rows[dotted] = row
    return rows


if __name__ == "__main__":
    import torch
    import torch.optim.swa_utils
    import torch.utils.data

    rows = common(torch)
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items())
    FILE.write_text(f'{{"made by": "PyTorch {torch.__version__}", "defaults": {{\n{lines}\n}}}}\n')
    print(f"{sum(map(len, rows.values()))} of {len(rows)} names")
