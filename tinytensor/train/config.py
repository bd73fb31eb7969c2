"""What a training is told: one table of options, for Python, the command line and TOML files alike."""

from __future__ import annotations

import difflib
import json
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import Field, asdict, dataclass, field, fields
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple, TypeVar

from tinytensor import nn
from tinytensor.serialize import write_atomically
from tinytensor.serialize.files import open_regular

__all__ = ["ACTIVATIONS", "DTYPES", "NORMS", "OPTIMIZERS", "SCHEDULES", "SOURCES", "DataConfig", "Option", "TrainConfig", "options", "read_toml", "write_toml"]  # fmt: skip

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
NORMS: dict[str, Callable[..., nn.Module] | None] = {
    "none": None,
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
    "rms": nn.RMSNorm,
}
DTYPES = ("float32", "float64")
SCHEDULES = ("onecycle", "cosine", "linear", "constant")
SOURCES = ("mnist", "fashion", "kmnist")
_POSITIVE = 5e-324  # the least number above 0
TASKS = ("auto", "classification", "regression")


class _Defaults(NamedTuple):
    lr: float
    weight_decay: float


OPTIMIZERS = {
    "adamw": _Defaults(lr=4e-3, weight_decay=1e-2),
    "adam": _Defaults(lr=4e-3, weight_decay=0.0),
    "nadam": _Defaults(lr=4e-3, weight_decay=0.0),
    "radam": _Defaults(lr=4e-3, weight_decay=0.0),
    "lion": _Defaults(lr=5e-4, weight_decay=1e-2),
    "rmsprop": _Defaults(lr=1e-3, weight_decay=0.0),
    "adagrad": _Defaults(lr=2e-2, weight_decay=0.0),
    "sgd": _Defaults(lr=0.1, weight_decay=0.0),
    "nesterov": _Defaults(lr=0.1, weight_decay=0.0),
}


@dataclass(frozen=True)
class Option:
    """What a field of a configuration may be: `help` for people, and its range [least, below), or its choices."""

    help: str
    group: str
    choices: tuple[str, ...] = ()
    least: float = -math.inf
    below: float = math.inf
    metavar: str = "N"
    shown: str | None = None  # the default, where it is not the field's own

    def problem(self, name: str, value: Any) -> str | None:
        """What is wrong with a value of the right type, or None."""
        if self.choices and value not in self.choices:
            return f"{name} must be one of {', '.join(self.choices)}, got {value!r}"
        if isinstance(value, (int, float)) and not isinstance(value, bool) and not self.least <= value < self.below:
            bounds = "above 0" if self.least == _POSITIVE else f"at least {self.least:g}"
            return (
                f"{name} must be {bounds}{f' and below {self.below:g}' if self.below < math.inf else ''}, got {value}"
            )
        return None


def _option(default: Any, help: str, group: str, **more: Any) -> Any:
    return field(default=default, metadata={"option": Option(help, group, **more)})


def options(kind: type[Any]) -> dict[str, tuple[Field[Any], Option]]:
    """The fields of a configuration class with what each may be, by name."""
    return {own.name: (own, own.metadata["option"]) for own in fields(kind)}


_NETWORK, _RECIPE, _DISTORTION, _DATA = "the network", "the recipe", "distortion of training images", "the data"
_rates = ", ".join(f"{name} {own.lr:g}" for name, own in OPTIMIZERS.items())
_decays = ", ".join(f"{name} {own.weight_decay:g}" for name, own in OPTIMIZERS.items() if own.weight_decay)


@dataclass(frozen=True)
class TrainConfig:
    """How a network looks and is trained. The defaults were chosen on 55,000 / 5,000 of MNIST's training images.

    hidden: widths of the hidden layers. optimizer: "sgd" is plain, "nesterov" SGD with Nesterov momentum; `lr` (the peak of
    the schedule) and `weight_decay` default to what suits it. schedule changes the learning rate step by step: "onecycle",
    "cosine" or "linear" (both fall to 0), "constant". holdout keeps that many of the last training samples out of training, to
    be evaluated after each epoch. ema: the network kept is an average of the weights, decay a step; 0 takes the last weights.
    shift ... elastic distort each training image anew each epoch (RandomDistortion). The other fields: `options(TrainConfig)`.
    ValueError for a value out of range, TypeError for one of another type.
    """

    hidden: tuple[int, ...] = _option((256,), "widths of the hidden layers, or none", _NETWORK, metavar="256,128")
    activation: str = _option("relu", "of the hidden layers", _NETWORK, choices=tuple(ACTIVATIONS))
    norm: str = _option("none", "normalization behind each hidden layer", _NETWORK, choices=tuple(NORMS))
    dropout: float = _option(0.0, "after each hidden layer", _NETWORK, least=0, below=1, metavar="P")
    input_dropout: float = _option(0.0, "of the inputs", _NETWORK, least=0, below=1, metavar="P")
    dtype: str = _option("float32", "of weights and inputs", _NETWORK, choices=DTYPES)
    optimizer: str = _option(
        "nesterov", "sgd is plain, nesterov is SGD with momentum 0.9", _RECIPE, choices=tuple(OPTIMIZERS)
    )
    lr: float | None = _option(None, "peak learning rate", _RECIPE, least=_POSITIVE, metavar="RATE", shown=_rates)
    schedule: str = _option("onecycle", "of the learning rate", _RECIPE, choices=SCHEDULES)
    weight_decay: float | None = _option(
        None, "L2 strength (decoupled in adamw, lion)", _RECIPE, least=0, metavar="RATE", shown=f"{_decays}, else 0"
    )
    batch_size: int = _option(128, "samples a step", _RECIPE, least=1)
    accumulate: int = _option(1, "batches whose gradients make one step", _RECIPE, least=1)
    epochs: int = _option(4, "times through the data", _RECIPE, least=1)
    label_smoothing: float = _option(0.0, "share of the target given to all classes", _RECIPE, least=0, below=1, metavar="P")  # fmt: skip
    clip_grad_norm: float | None = _option(
        None, "scale gradients to at most this norm", _RECIPE, least=_POSITIVE, metavar="NORM", shown="off"
    )
    ema: float = _option(0.0, "keep an average of the weights, of this decay a step", _RECIPE, least=0, below=1, metavar="DECAY")  # fmt: skip
    seed: int = _option(0, "of weights, order, dropout and distortion", _RECIPE, least=0)
    holdout: int = _option(
        0,
        "to choose a recipe: keep the last N training samples out of training, evaluate on them, and leave the test samples alone",
        _RECIPE,
        least=0,
    )
    early_stopping: int = _option(0, "end when the holdout's loss has not fallen for N epochs, and keep the best; 0: off", _RECIPE, least=0)  # fmt: skip
    shift: float = _option(0.0, "by up to so many pixels", _DISTORTION, least=0, metavar="PIXELS")
    rotate: float = _option(0.0, "by up to so many degrees", _DISTORTION, least=0, metavar="DEGREES")
    scale: float = _option(0.0, "larger or smaller by up to this share", _DISTORTION, least=0, below=1, metavar="SHARE")
    shear: float = _option(0.0, "by up to so many degrees", _DISTORTION, least=0, below=90, metavar="DEGREES")
    elastic: float = _option(0.0, "alpha of the elastic distortion of Simard et al. 2003", _DISTORTION, least=0, metavar="ALPHA")  # fmt: skip
    elastic_sigma: float = _option(4.0, "its smoothness", _DISTORTION, least=_POSITIVE, metavar="PIXELS")

    def __post_init__(self) -> None:
        _check(self)
        if self.early_stopping and not self.holdout:
            raise ValueError("early_stopping needs samples to watch: set holdout too")

    @property
    def peak_lr(self) -> float:
        """`lr`, or the optimizer's default."""
        return OPTIMIZERS[self.optimizer].lr if self.lr is None else self.lr

    @property
    def decay(self) -> float:
        """`weight_decay`, or the optimizer's default."""
        return OPTIMIZERS[self.optimizer].weight_decay if self.weight_decay is None else self.weight_decay

    @property
    def distorts(self) -> bool:
        """Whether training images are distorted."""
        return any((self.shift, self.rotate, self.scale, self.shear, self.elastic))


@dataclass(frozen=True)
class DataConfig:
    """Where the samples come from: a named data set of images (`source`), a folder of four IDX files (`data`), or a table (`csv`)
    with its column `target`, of which `test_share`, drawn by the training's seed, is kept for the test. At most one of `data` and `csv`."""

    source: str = _option("mnist", "a data set of images by name", _DATA, choices=SOURCES)
    data: str | None = _option(
        None, "folder of four IDX files, plain or .gz, in place of --source", _DATA, metavar="DIR"
    )
    csv: str | None = _option(None, "a table, in place of images; .gz too", _DATA, metavar="FILE")
    target: str | None = _option(None, "the column of the table to learn", _DATA, metavar="COLUMN")
    task: str = _option("auto", "what the target asks for", _DATA, choices=TASKS)
    test_share: float = _option(
        0.2, "share of the table's rows kept for the test", _DATA, least=0, below=1, metavar="P"
    )

    def __post_init__(self) -> None:
        _check(self)
        if self.data is not None and self.csv is not None:
            raise ValueError("data and csv exclude each other: one run has one source")
        if (self.csv is None) != (self.target is None):
            raise ValueError(
                "csv needs target, the column to learn" if self.csv else "target is a column of a table: give csv too"
            )
        for name in ("task", "test_share"):
            if self.csv is None and getattr(self, name) != options(DataConfig)[name][0].default:
                raise ValueError(f"{name} is of a table: images have classes and test images of their own")


def _check(config: Any) -> None:
    for name, (own, option) in options(type(config)).items():
        value = getattr(config, name)
        if value is None and own.default is None:
            continue
        kind = str(own.type).split(" |")[0]
        if kind == "tuple[int, ...]":
            if not isinstance(value, (tuple, list)) or any(
                isinstance(w, bool) or not isinstance(w, int) for w in value
            ):
                raise TypeError(f"{name} must be a list of whole numbers, got {value!r}")
            object.__setattr__(config, name, tuple(value))
            for width in value:
                if width < 1:
                    raise ValueError(f"{name} widths must be at least 1, got {width}")
            continue
        expected: Any = {"int": int, "float": (int, float), "str": str}[kind]
        if isinstance(value, bool) or not isinstance(value, expected):
            raise TypeError(f"{name} must be a {_TYPE_NAMES[kind]}, got {value!r}")
        if kind == "str" and not value.isprintable() and any("\ud800" <= c <= "\udfff" for c in value):
            raise ValueError(f"{name} must be text in UTF-8, which a file of options can hold, got {value!r}")
        if problem := option.problem(name, value):
            raise ValueError(problem)


_TYPE_NAMES = {"int": "whole number", "float": "number", "str": "text"}
Config = TypeVar("Config", TrainConfig, DataConfig)
_MOST_TOML = 100_000  # bytes
# a.a.a...: tomllib takes memory by the square of a key's parts, bare or quoted; points in comments, texts and numbers are none
_DEEP = re.compile(rb"""(?:\.[ \t]*(?:[\w-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*')[ \t]*){64}""")
_SECTIONS: dict[str, type[Any]] = {"data": DataConfig, "train": TrainConfig}


def write_toml(
    path: str | os.PathLike[str], data: DataConfig, train: TrainConfig, environment: Mapping[str, Any]
) -> None:
    """Write a resolved configuration as TOML: [data], [train], and [environment], which says where it ran and is not read back."""
    lines = ["# what this run was told; tinytensor train --config FILE repeats it"]
    for title, section in (("data", asdict(data)), ("train", asdict(train)), ("environment", environment)):
        lines += ["", f"[{title}]"]
        for name, value in section.items():
            lines.append(f"# {name} = (its default)" if value is None else f"{name} = {_toml(value)}")
    write_atomically(path, ("\n".join(lines) + "\n").encode())


def _toml(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def read_toml(path: str | os.PathLike[str]) -> dict[str, dict[str, Any]]:
    """The sections "data" and "train" of a configuration file, entries by name, each checked alone.

    OSError if it cannot be read, or is a pipe or a device; ValueError, with the file's name, for what is no TOML, has more than a
    hundred thousand bytes, a key of more than 64 parts, an unknown section or entry (with the one that was meant, if there is one near), or
    a value that cannot be."""
    name = os.fspath(path)
    parse, broken = _toml_reader()
    with open_regular(path) as file:
        text = file.read(_MOST_TOML + 1)
    if len(text) > _MOST_TOML:
        raise ValueError(f"{name}: more than {_MOST_TOML:,} bytes are no file of options")
    if _DEEP.search(text):
        raise ValueError(f"{name}: a key of more than 64 parts is no option")
    try:
        sections = parse(text.decode())
    except (broken, ValueError, RecursionError) as error:  # ValueError: of a number of too many digits
        raise ValueError(f"{name}: not a TOML file ({error!s:.300})") from None
    found: dict[str, dict[str, Any]] = {"data": {}, "train": {}}
    for title, entries in sections.items():
        if title == "environment":
            continue
        if title not in found or not isinstance(entries, dict):
            raise ValueError(f"{name}: unknown entry {title[:100]!r}: expected the sections [data] and [train]")
        known = options(_SECTIONS[title])
        for key in entries:
            if key not in known:
                near = difflib.get_close_matches(key[:100], known, 1)
                raise ValueError(
                    f"{name}: [{title}] has no option {key[:100]!r}{f': did you mean {near[0]!r}?' if near else ''}"
                )
        found[title] = dict(entries)
    return found


def _toml_reader() -> tuple[Callable[[str], dict[str, Any]], type[Exception]]:
    for name in ("tomllib", "tomli"):  # the first is Python's own, from 3.11 on
        if find_spec(name):
            reader = import_module(name)
            return reader.loads, reader.TOMLDecodeError
    raise ImportError("configuration files need tomli on Python 3.10: pip install 'tinytensor[train]'")
