"""`tinytensor eval`, `predict`, `info` and `plot`: what is done with the files of a run."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

from tinytensor.cli.arguments import DOWNLOAD, Parser, add_common, count, load_here, say
from tinytensor.data.picture import PREPARATIONS, read_picture
from tinytensor.serialize import load, load_metadata
from tinytensor.train.config import SOURCES, DataConfig
from tinytensor.train.history import History
from tinytensor.train.network import Evaluation, ImageInput, Network, TableInput, load_checkpoint
from tinytensor.train.samples import Samples

__all__ = ["CHECKPOINT", "HISTORY", "add_commands"]

CHECKPOINT, HISTORY = "checkpoint.safetensors", "history.csv"
_WHERE = f"the {CHECKPOINT} of a run, or the run's folder"


def add_commands(commands: Any) -> None:
    """Add eval, predict, info and plot."""
    evaluator: Parser = commands.add_parser(
        "eval",
        help="evaluate a checkpoint on test data",
        description="Evaluate a checkpoint that `tinytensor train` wrote: on the test part of the data that it was trained on, or on other data.",
        epilog="examples:\n  tinytensor eval runs/latest\n  tinytensor eval runs/latest --source fashion\n  tinytensor eval runs/iris --csv more.csv --json",
    )
    evaluator.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help=_WHERE)
    other = evaluator.add_mutually_exclusive_group()
    other.add_argument("--source", choices=SOURCES, help="a data set of images by name")
    other.add_argument("--data", metavar="DIR", help="folder of four IDX files, plain or .gz")
    other.add_argument(
        "--csv", metavar="FILE", help="a table with the columns of the training's: all its rows are test data"
    )
    evaluator.add_argument("--download", action="store_true", help=DOWNLOAD)
    evaluator.add_argument(
        "--confusion", action="store_true", help="also print how often each class was taken for each"
    )
    _add_output(evaluator)
    evaluator.set_defaults(run=_evaluate)

    predictor: Parser = commands.add_parser(
        "predict",
        help="name the class of pictures, or complete a table",
        description="Predict the class of each picture, or the target of each row of a table.",
        epilog="examples:\n  tinytensor predict runs/latest seven.png nine.jpg\n  tinytensor predict runs/latest --top 3 --json scan.png\n"
        "  tinytensor predict runs/iris --csv flowers.csv > answers.csv",
    )
    predictor.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help=_WHERE)
    predictor.add_argument("images", type=Path, nargs="*", metavar="IMAGE", help="PNG, JPEG and others")
    predictor.add_argument("--csv", metavar="FILE", help="predict the rows of this table; prints a line a row, as CSV")
    predictor.add_argument(
        "--top", type=count, default=1, metavar="N", help="show the N likeliest classes (default: 1)"
    )
    predictor.add_argument(
        "--prepare",
        choices=PREPARATIONS,
        help="what is done with a picture of another size: digit cuts it out and centres it as MNIST's were, resize scales the "
        "whole (default: resize for fashion, else digit)",
    )
    predictor.add_argument(
        "--invert",
        choices=("auto", "yes", "no"),
        default="auto",
        help="turn dark on bright around (default: auto, by the border)",
    )
    _add_output(predictor)
    predictor.set_defaults(run=_predict)

    informer: Parser = commands.add_parser(
        "info",
        help="say what a checkpoint holds",
        description="Say what a checkpoint holds: layers, parameters, hash of the weights, how it was trained and where. Any safetensors or .npz "
        "file is listed too.",
        epilog="examples:\n  tinytensor info runs/latest\n  tinytensor info pytorch.safetensors --json",
    )
    informer.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help=_WHERE)
    informer.add_argument("--json", action="store_true", help="print one JSON object")
    informer.set_defaults(run=_info)

    plotter: Parser = commands.add_parser(
        "plot",
        help="draw learning curves",
        description="Draw the learning curves of one or several runs.",
        epilog="examples:\n  tinytensor plot runs/latest\n  tinytensor plot runs/a runs/b --out compared.png",
    )
    plotter.add_argument("runs", type=Path, nargs="+", metavar="RUN", help=f"a run's folder, or its {HISTORY}")
    plotter.add_argument(
        "--out", type=Path, metavar="FILE", help="the PNG (default: curves.png in the folder of the first run)"
    )
    plotter.add_argument("--json", action="store_true", help="print one JSON object")
    plotter.set_defaults(run=_plot)


def _add_output(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, an object a line")
    add_common(parser)


def _file(path: Path) -> Path:
    """The checkpoint itself, where the folder was named."""
    return path / CHECKPOINT if path.is_dir() else path


def _evaluate(options: Namespace) -> int:
    path = _file(options.checkpoint)
    network = load_checkpoint(path)
    samples = _samples(options, path, network)
    if not len(samples.test_y):
        raise ValueError(f"{path}: there are no test samples: --csv FILE gives others")
    result = network.evaluate(samples.test_x, samples.test_y)
    rows = len(samples.test_y)
    if options.json:
        found: dict[str, Any] = {"event": "eval", "samples": rows, "loss": result.loss, **result.scores}
        if options.confusion and network.classifies:
            found["confusion"] = _confusion(network, samples, result).tolist()
        say(found)
        return 0
    if network.classifies:
        right = round(result.accuracy * rows)
        print(f"test accuracy {100 * result.accuracy:.2f} % ({right} of {rows}), loss {result.loss:.4f}")
    else:
        scores = result.scores
        print(
            f"test R2 {scores['r2']:.4f} ({rows} rows), mean absolute error {scores['mae']:.4g}, squared {scores['mse']:.4g}"
        )
    if options.confusion and network.classifies:
        _print_confusion(_confusion(network, samples, result), _names(network))
    return 0


def _samples(options: Namespace, path: Path, network: Network) -> Samples:
    """The data asked for, else those of the training."""
    metadata = load_metadata(path)
    if options.csv is not None:
        if not isinstance(network.description.input, TableInput):
            raise ValueError(f"{path}: this network takes images, --csv is for one that was trained on a table")
        return Samples.of_rows(options.csv, network.description.input.encoding)
    try:
        own = DataConfig(**_recorded(metadata, path, "data"))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: damaged description of its training ({error!s:.300})") from None
    if options.source is not None or options.data is not None:
        if not isinstance(network.description.input, ImageInput):
            raise ValueError(f"{path}: this network takes rows of a table: give --csv FILE")
        own = DataConfig(source=options.source or own.source, data=options.data)
    seed = _recorded(metadata, path, "config").get("seed", 0)
    if type(seed) is not int:
        raise ValueError(f"{path}: damaged description of its training (seed {seed!r})")
    encoding = network.description.input.encoding if isinstance(network.description.input, TableInput) else None
    return load_here(own, seed, encoding=encoding, download=options.download)


def _recorded(metadata: dict[str, str], path: Path, part: str) -> dict[str, Any]:
    """What a checkpoint says of its training. ValueError for what is no JSON object."""
    try:
        found = json.loads(metadata.get(part, "{}"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: damaged description of its training ({part}: {error!s:.300})") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path}: damaged description of its training ({part} is no object)")
    return found


def _names(network: Network) -> list[str]:
    own = network.description
    return list(own.classes) or [str(i) for i in range(own.outputs)]


def _confusion(network: Network, samples: Samples, result: Evaluation) -> Any:
    from tinytensor.metrics import confusion_matrix

    return confusion_matrix(result.predictions, samples.test_y, network.description.outputs)


def _print_confusion(table: Any, names: list[str]) -> None:
    left = max(len("is"), *map(len, names))
    widths = [max(len(name), len(str(column.max()))) for name, column in zip(names, table.T)]
    print(f"\n{'is':<{left}}  taken for")
    print(" " * left, *(f"{name:>{width}}" for name, width in zip(names, widths)))
    for name, row in zip(names, table):
        print(f"{name:<{left}}", *(f"{value:>{width}}" for value, width in zip(row, widths)))


def _predict(options: Namespace) -> int:
    network = load_checkpoint(_file(options.checkpoint))
    own = network.description.input
    if isinstance(own, TableInput):
        if options.csv is None or options.images:
            raise ValueError(
                f"{options.checkpoint}: this network takes rows of a table: give --csv FILE and no pictures"
            )
        if options.top != 1 or options.prepare is not None or options.invert != "auto":
            raise ValueError(
                f"{options.checkpoint}: --top, --prepare and --invert are for pictures, this network takes a table"
            )
        return _predict_rows(options, network, own)
    if options.csv is not None or not options.images:
        raise ValueError(f"{options.checkpoint}: this network takes images: give pictures, and no --csv")
    prepare = options.prepare or ("resize" if own.source == "fashion" else "digit")
    invert = {"auto": None, "yes": True, "no": False}[options.invert]
    names, failed = _names(network), 0
    for path in options.images:
        try:
            image = read_picture(path, (own.height, own.width), prepare, invert)
        except (OSError, ValueError) as error:  # the other pictures are answered all the same
            failed = 1
            text = (
                f"{os.fspath(path)}: {error.strerror}" if isinstance(error, OSError) and error.strerror else str(error)
            )
            if options.json:
                say({"event": "error", "image": str(path), "message": text}, sys.stderr)
            else:
                print(f"tinytensor predict: error: {text}", file=sys.stderr)
            continue
        shares = network.predict(image[None])[0]
        best = np.argsort(-shares, kind="stable")[: options.top]
        if options.json:
            classes = [{"class": names[i], "probability": float(shares[i])} for i in best]
            say({"event": "predict", "image": str(path), "class": names[best[0]], "classes": classes})
        else:
            print(f"{path}: {', '.join(f'{names[i]} ({100 * shares[i]:.1f} %)' for i in best)}")
    return failed


def _predict_rows(options: Namespace, network: Network, own: TableInput) -> int:
    from tinytensor.data import read_csv

    table = read_csv(options.csv)
    predicted = network.predict(own.encoding.encode(table))
    target = own.encoding.target
    if network.classifies:
        answers = [_names(network)[i] for i in predicted.argmax(axis=1)]
        shares = predicted.max(axis=1)
        rows: list[dict[str, Any]] = [{target: a, "probability": float(s)} for a, s in zip(answers, shares)]
    else:
        rows = [{target: float(v)} for v in predicted]
    if options.json:
        for number, row in enumerate(rows, 1):
            say({"event": "predict", "row": number, **row})
        return 0
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    keys = list(rows[0]) if rows else [target]
    writer.writerow([f"predicted {key}" if key == target else key for key in keys])
    writer.writerows([row[key] for key in keys] for row in rows)
    return 0


def _info(options: Namespace) -> int:
    path = _file(options.checkpoint)
    if path.suffix == ".npz":
        metadata: dict[str, str] = {}
    else:
        metadata = load_metadata(path)
    found: dict[str, Any] = {"event": "info", "file": str(path), "bytes": path.stat().st_size}
    if "network" in metadata:
        network = load_checkpoint(path)
        state = network.model.state_dict()
        own = network.description
        found["task"] = own.task
        found["input"] = f"images {own.input.height}x{own.input.width}" if isinstance(own.input, ImageInput) else f"{own.input.features} features of a table"  # fmt: skip
        found["outputs"] = own.outputs
        found["classes"] = list(own.classes)
        found["layers"] = [repr(module) for module in network.model.children()]
        found["parameters"] = sum(p.numel() for p in network.model.parameters())
        found["weights_sha256"] = network.weights_hash()
        for part in ("config", "data", "epoch", "environment"):
            found[part] = _recorded(metadata, path, part)
    else:
        loaded = load(path)
        state = dict(_tensors(loaded))
        found["parameters"] = sum(value.numel() for value in state.values())
        found["metadata"] = {key: value for key, value in metadata.items() if len(value) < 1000}
    found["tensors"] = {name: {"shape": list(value.shape), "dtype": str(value.dtype)} for name, value in state.items()}
    if options.json:
        say(found)
        return 0
    tensors = found.pop("tensors")
    found.pop("event")
    for key, value in found.items():
        if key == "layers":
            print("layers")
            for layer in value:
                print(f"  {layer}")
        elif isinstance(value, dict):
            print(key)
            for name, entry in value.items():
                if entry is not None:
                    print(f"  {name:<18} {entry:.6g}" if isinstance(entry, float) else f"  {name:<18} {entry}")
        elif value != []:
            print(f"{key:<14} {f'{value:,}' if isinstance(value, int) else ', '.join(value) if isinstance(value, list) else value}")  # fmt: skip
    print("tensors")
    width = max(map(len, tensors), default=0)
    for name, entry in tensors.items():
        print(f"  {name:<{width}}  {entry['dtype']:<8} {'x'.join(map(str, entry['shape'])) or 'scalar'}")
    return 0


def _tensors(value: Any, at: str = "") -> Any:
    """Names and tensors of a nested structure."""
    if hasattr(value, "numel"):
        yield at, value
    elif isinstance(value, (dict, list, tuple)):
        for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _tensors(entry, f"{at}.{key}" if at else str(key))


def _plot(options: Namespace) -> int:
    from tinytensor.viz import plot_histories

    files = [run / HISTORY if run.is_dir() else run for run in options.runs]
    out = options.out or files[0].with_name("curves.png")
    plot_histories(dict(zip(_run_names(files), map(History.load_csv, files))), out)
    if options.json:
        say({"event": "plot", "file": str(out)})
    else:
        print(f"wrote {out}")
    return 0


def _run_names(files: list[Path]) -> list[str]:
    """A name a run: its folder's or file's, with as many of the folders above as tell it from the others."""
    parts = [(p.parent if p.name == HISTORY else p.with_suffix("")).parts for p in map(Path.resolve, files)]
    if repeated := [str(file) for i, file in enumerate(files) if parts[i] in parts[:i]]:
        raise ValueError(f"{repeated[0]}: named twice")

    def shortest(own: tuple[str, ...]) -> str:
        tails = (own[-k:] for k in range(1, len(own)))
        return "/".join(next((t for t in tails if sum(p[-len(t) :] == t for p in parts) == 1), own))

    return [shortest(own) for own in parts]
