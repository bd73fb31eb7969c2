"""How the command line is read: options from the tables of the configurations, numbers with their ranges."""

from __future__ import annotations

import argparse
import json
import math
from typing import Any, NoReturn, TextIO

from tinytensor.data.encoding import TableEncoding
from tinytensor.train.config import DataConfig, Option, options
from tinytensor.train.samples import Samples, load_samples

__all__ = ["DOWNLOAD", "Parser", "add_common", "add_options", "count", "load_here", "say"]


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def __init__(self, *arguments: Any, **more: Any) -> None:
        more.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        more["allow_abbrev"] = False
        super().__init__(*arguments, **more)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def add_options(parser: argparse.ArgumentParser, kind: type[Any]) -> None:
    """An option for each field of a configuration class, in the groups that it names. One that is not given leaves no trace."""
    groups: dict[str, Any] = {}
    for name, (own, option) in options(kind).items():
        if option.group not in groups:
            groups[option.group] = parser.add_argument_group(option.group)
        default = option.shown or _shown(own.default)
        groups[option.group].add_argument(
            f"--{name.replace('_', '-')}",
            default=argparse.SUPPRESS,
            help=f"{option.help} (default: {default})".replace("%", "%%"),
            **_reading(str(own.type).split(" |")[0], option),
        )


def _shown(default: Any) -> str:
    if isinstance(default, tuple):
        return ",".join(map(str, default)) or "none"
    return "none" if default is None else f"{default:g}" if isinstance(default, float) else str(default)


def _reading(kind: str, option: Option) -> dict[str, Any]:
    if option.choices:
        return {"choices": option.choices}
    if kind == "tuple[int, ...]":
        return {"type": _widths, "metavar": option.metavar}
    if kind == "str":
        return {"type": str, "metavar": option.metavar}
    bounds = "above 0" if option.least == 5e-324 else f"of at least {option.least:g}"
    if option.below < math.inf:
        bounds += f" and below {option.below:g}"
    whole = kind == "int"

    def read(text: str) -> Any:
        return _number(text, int if whole else float, f"a {'whole ' if whole else ''}number {bounds}", option.least, option.below)  # fmt: skip

    return {"type": read, "metavar": option.metavar}


DOWNLOAD = "fetch the data set into the user's cache, if it is not there"


def load_here(
    data: DataConfig, seed: int, holdout: int = 0, encoding: TableEncoding | None = None, *, download: bool
) -> Samples:
    """`load_samples`, whose advice names options of the command line where a data set is not on this machine."""
    try:
        return load_samples(data, seed, holdout, encoding, download)
    except FileNotFoundError as error:
        if error.filename is not None or data.data is not None or data.csv is not None or download:
            raise
        package = ", apt install dataset-fashion-mnist brings it" if data.source == "fashion" else ""
        raise FileNotFoundError(
            f"no {data.source} on this machine: --data DIR names its folder, --download fetches it{package}"
        ) from None


def say(value: dict[str, Any], file: TextIO | None = None) -> None:
    """Print an object of JSON on a line of its own; NaN and infinity, which JSON does not have, become null."""
    print(json.dumps(_finite(value), allow_nan=False), file=file, flush=True)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def add_common(group: argparse._ActionsContainer) -> None:
    """Options of every command that computes."""
    group.add_argument("--threads", type=count, metavar="N", help="threads of the kernels (default: what the CPU has)")


def _number(text: str, kind: type[int] | type[float], what: str, least: float, below: float = math.inf) -> Any:
    """`text` as an int or float in [least, below), or argparse's error that `what` was expected."""
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not least <= value < min(below, 2**63 if kind is int else math.inf):
        raise argparse.ArgumentTypeError(f"expected {what}, got {text!r}")
    return value


def count(text: str) -> int:
    """A whole number of at least 1."""
    return int(_number(text, int, "a whole number of at least 1", 1, 2**63))


def _widths(text: str) -> tuple[int, ...]:
    if text == "none":
        return ()
    return tuple(_number(width, int, "widths such as 256,128, or none", 1, 2**31) for width in text.split(","))
