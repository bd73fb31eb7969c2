"""The `tinytensor` command: `train` a classifier on MNIST or its relatives, `eval` a checkpoint."""

from __future__ import annotations

import argparse
import csv
import io
import math
import os
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from tinytensor import get_num_threads, threads
from tinytensor.data import ImageData, mnist
from tinytensor.serialize import write_atomically
from tinytensor.train import (
    ACTIVATIONS,
    DTYPES,
    OPTIMIZERS,
    SCHEDULES,
    Checkpoint,
    Classifier,
    EpochRecord,
    Evaluation,
    TrainConfig,
    TrainingRun,
    load_checkpoint,
    train,
)

__all__ = ["main"]

_INTERRUPTED = 130  # what a shell reports of a program ended by Ctrl-C
_SAVE_EVERY = 10.0  # seconds: how much of a long training a crash may cost
_DEFAULT = "(default: %(default)s)"
_CHECKPOINT, _HISTORY, _CURVES, _DIGITS = "checkpoint.safetensors", "history.csv", "curves.png", "digits.png"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line `arguments` (default: the process's) and return its exit status.

    0: done; 1: the data, the files or the numbers went wrong; 2: the command line did; 130: Ctrl-C. Each
    failure writes one line to standard error. `--help` and a wrong command line leave by SystemExit, as
    argparse does.
    """
    options = _parser().parse_args(arguments)
    try:
        with threads(options.threads) if options.threads else nullcontext():
            return _train(options) if options.command == "train" else _evaluate(options)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return _INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit complains again
        return 1
    except MemoryError as error:
        return _fail(options.command, _text(error) or "not enough memory")
    except (OSError, ValueError, FloatingPointError, ImportError) as error:
        return _fail(options.command, _text(error))


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="tinytensor", description="Train and evaluate small networks.", allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True, metavar="{train,eval}")
    default = TrainConfig()

    trainer = commands.add_parser(
        "train",
        allow_abbrev=False,
        help="train a network on MNIST",
        description="Train a multilayer perceptron on MNIST (bundled), or on any data in four IDX files.",
    )
    network = trainer.add_argument_group("the network")
    network.add_argument(
        "--hidden",
        type=_widths,
        default=default.hidden,
        metavar="256,128",
        help=f"widths of the hidden layers, or none (default: {','.join(map(str, default.hidden))})",
    )
    network.add_argument("--activation", choices=ACTIVATIONS, default=default.activation, help=_DEFAULT)
    network.add_argument(
        "--dropout",
        type=_fraction,
        default=default.dropout,
        metavar="P",
        help=f"after each hidden layer {_DEFAULT}",
    )
    network.add_argument("--dtype", choices=DTYPES, default=default.dtype, help=_DEFAULT)

    recipe = trainer.add_argument_group("the recipe")
    recipe.add_argument(
        "--optimizer",
        choices=OPTIMIZERS,
        default=default.optimizer,
        help=f"sgd is plain, nesterov is SGD with momentum 0.9 {_DEFAULT}",
    )
    rates = ", ".join(f"{name} {defaults.lr:g}" for name, defaults in OPTIMIZERS.items())
    recipe.add_argument("--lr", type=_positive, metavar="RATE", help=f"peak learning rate (default: {rates})")
    recipe.add_argument(
        "--schedule", choices=SCHEDULES, default=default.schedule, help=f"of the learning rate {_DEFAULT}"
    )
    decays = ", ".join(f"{name} {defaults.weight_decay:g}" for name, defaults in OPTIMIZERS.items())
    recipe.add_argument("--weight-decay", type=_not_negative, metavar="RATE", help=f"(default: {decays})")
    recipe.add_argument(
        "--batch-size", type=_count, default=default.batch_size, metavar="N", help=f"images a step {_DEFAULT}"
    )
    recipe.add_argument(
        "--epochs",
        type=_count,
        default=default.epochs,
        metavar="N",
        help=f"times through the data {_DEFAULT}",
    )
    recipe.add_argument(
        "--seed",
        type=_natural,
        default=default.seed,
        metavar="N",
        help=f"of weights, order and dropout {_DEFAULT}",
    )
    recipe.add_argument(
        "--holdout",
        type=_natural,
        default=default.holdout,
        metavar="N",
        help="to choose a recipe: keep the last N training images out of training, evaluate on them, and leave the "
        f"test images alone {_DEFAULT}",
    )

    run = trainer.add_argument_group("the run")
    _add_common(run)
    run.add_argument(
        "--out",
        type=Path,
        default=Path("runs/latest"),
        metavar="DIR",
        help=f"folder for its files {_DEFAULT}",
    )
    run.add_argument("--quiet", action="store_true", help="print the last line only")
    run.add_argument("--no-plots", action="store_true", help="draw no pictures")

    evaluator = commands.add_parser(
        "eval",
        allow_abbrev=False,
        help="evaluate a checkpoint on the test images",
        description="Evaluate a checkpoint that `tinytensor train` wrote on the test images.",
    )
    evaluator.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help=f"the {_CHECKPOINT} of a run")
    _add_common(evaluator)
    return parser


def _add_common(group: argparse._ActionsContainer) -> None:
    group.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder of four IDX files, plain or .gz (default: the bundled MNIST)",
    )
    group.add_argument("--threads", type=_count, metavar="N", help="threads of the kernels (default: what the CPU has)")


def _number(text: str, kind: type[int] | type[float], what: str, least: float, below: float = math.inf) -> Any:
    """`text` as an int or float in [least, below), or argparse's error that `what` was expected."""
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not least <= value < below:
        raise argparse.ArgumentTypeError(f"expected {what}, got {text!r}")
    return value


def _count(text: str) -> int:
    return int(_number(text, int, "a whole number of at least 1", 1, 2**63))


def _natural(text: str) -> int:
    return int(_number(text, int, "a whole number of at least 0", 0, 2**63))


def _positive(text: str) -> float:
    return float(_number(text, float, "a number above 0", 5e-324))


def _not_negative(text: str) -> float:
    return float(_number(text, float, "a number of at least 0", 0))


def _fraction(text: str) -> float:
    return float(_number(text, float, "a number of at least 0 and below 1", 0, 1))


def _widths(text: str) -> tuple[int, ...]:
    if text == "none":
        return ()
    return tuple(_number(width, int, "widths such as 256,128, or none", 1, 2**31) for width in text.split(","))


def _train(options: argparse.Namespace) -> int:
    config = TrainConfig(**{field.name: getattr(options, field.name) for field in fields(TrainConfig)})
    data = mnist(options.data)
    files = _Files(options.out, config, pictures=not options.no_plots)
    with _Progress(config.epochs * max(0, len(data.train_images) - config.holdout), options.quiet) as progress:
        missing = files.missing() + progress.missing()
        if missing:
            print(f"note: {'; '.join(missing)}: pip install 'tinytensor[train]'", file=sys.stderr)
        progress.say(_headline(config, data))

        def on_epoch(record: EpochRecord, classifier: Classifier) -> None:
            files.add(record, classifier)
            progress.say(_epoch_line(record, config.epochs))

        try:
            run = train(config, data, progress.step, on_epoch)
        except KeyboardInterrupt:
            progress.close()
            written = files.save()
            kept = f"epoch {len(files.history)} is kept in {', '.join(written)}" if written else "no epoch was finished"
            print(f"interrupted: {kept}", file=sys.stderr)
            return _INTERRUPTED

    written = files.save()
    if config.holdout:
        name, accuracy = "holdout", run.history[-1].holdout_accuracy or 0.0
        written += files.draw(run)
    else:
        evaluation = run.classifier.evaluate(data.test_images, data.test_labels)
        name, accuracy = "test", evaluation.accuracy
        written += files.draw(run, data, evaluation)
    progress.say(f"wrote {', '.join(written)}")
    print(f"{name} accuracy {100 * accuracy:.2f} % in {run.seconds:.1f} s (seed {config.seed})")
    return 0


def _evaluate(options: argparse.Namespace) -> int:
    classifier = load_checkpoint(options.checkpoint)
    data = mnist(options.data)
    result = classifier.evaluate(data.test_images, data.test_labels)
    count = len(data.test_labels)
    right = round(result.accuracy * count)
    print(f"test accuracy {100 * result.accuracy:.2f} % ({right} of {count}), loss {result.loss:.4f}")
    return 0


def _headline(config: TrainConfig, data: ImageData) -> str:
    count, height, width = data.train_images.shape
    network = "-".join(map(str, (height * width, *config.hidden, data.classes)))
    cores = get_num_threads()
    return (
        f"{network} {config.activation}, {count - config.holdout} images, {config.optimizer} lr {config.peak_lr:g} "
        f"{config.schedule}, batch {config.batch_size}, {config.dtype}, {cores} thread{'s' if cores > 1 else ''}"
    )


def _epoch_line(record: EpochRecord, epochs: int) -> str:
    line = f"epoch {record.epoch:{len(str(epochs))}}/{epochs}  loss {record.train_loss:.4f}"
    line += f"  accuracy {100 * record.train_accuracy:.2f} %"
    if record.holdout_loss is not None and record.holdout_accuracy is not None:
        line += f"  holdout loss {record.holdout_loss:.4f}  accuracy {100 * record.holdout_accuracy:.2f} %"
    return f"{line}  {record.seconds:.2f} s  {record.samples_per_second:,.0f} samples/s"


class _Progress:
    """What a person sees while it trains: lines on standard output, and tqdm's bar, on a terminal, below
    them."""

    def __init__(self, samples: int, quiet: bool) -> None:
        self._quiet = quiet
        self._bar: Any = None
        self._loss = math.nan
        if not quiet and find_spec("tqdm"):
            from tqdm import tqdm

            # disable=None: no bar where standard error is no terminal
            self._bar = tqdm(total=samples, unit=" samples", unit_scale=True, disable=None, leave=False)

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

    def missing(self) -> list[str]:
        return [] if self._quiet or self._bar is not None else ["the progress bar needs tqdm"]

    def say(self, line: str) -> None:
        if self._quiet:
            return
        if self._bar is not None:
            self._bar.write(line, file=sys.stdout)
        else:
            print(line)
        sys.stdout.flush()

    def step(self, samples: int, loss: float) -> None:
        """Move the bar on by a batch."""
        if self._bar is None or self._bar.disable:
            return
        self._loss = loss if math.isnan(self._loss) else 0.98 * self._loss + 0.02 * loss
        self._bar.set_postfix_str(f"loss {self._loss:.4f}", refresh=False)
        self._bar.update(samples)


class _Files:
    """The files of a run in `folder`, made at once, so that a folder that cannot be written is known before
    training."""

    def __init__(self, folder: Path, config: TrainConfig, pictures: bool) -> None:
        self.history: list[EpochRecord] = []
        self._folder = folder
        self._config = config
        self._checkpoint: Checkpoint | None = None
        self._saved = time.perf_counter()
        self._can_save = find_spec("safetensors") is not None
        self._pictures = ([_CURVES] if config.holdout else [_CURVES, _DIGITS]) if pictures else []
        self._can_draw = find_spec("matplotlib") is not None
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(f"{folder}: may not write in this folder")

    def missing(self) -> list[str]:
        """Which files this installation cannot write, and what they need."""
        notes = [] if self._can_save else [f"{_CHECKPOINT} needs safetensors"]
        if self._pictures and not self._can_draw:
            notes.append(f"{' and '.join(self._pictures)} need matplotlib")
        return notes

    def add(self, record: EpochRecord, classifier: Classifier) -> None:
        """Keep what `save` will write; in a long training, write it now and then."""
        self.history.append(record)
        if self._can_save:
            self._checkpoint = Checkpoint.take(classifier, self._config, record)
        if time.perf_counter() - self._saved > _SAVE_EVERY:
            self.save()

    def save(self) -> list[str]:
        """Write checkpoint and history of the finished epochs, if any; returns the files' names."""
        written = []
        if self._checkpoint is not None:
            self._checkpoint.save(self._folder / _CHECKPOINT)
            written.append(str(self._folder / _CHECKPOINT))
        if self.history:
            text = io.StringIO()
            table = csv.DictWriter(text, [field.name for field in fields(EpochRecord)], lineterminator="\n")
            table.writeheader()
            table.writerows(asdict(record) for record in self.history)
            write_atomically(self._folder / _HISTORY, text.getvalue().encode())
            written.append(str(self._folder / _HISTORY))
        self._saved = time.perf_counter()
        return written

    def draw(self, run: TrainingRun, data: ImageData | None = None, evaluation: Evaluation | None = None) -> list[str]:
        """Draw the curves and, of an evaluation on the test images, the digits; returns the files' names."""
        if not self._pictures or not self._can_draw:
            return []
        from tinytensor.viz import plot_curves, plot_digits

        paths = [self._folder / name for name in self._pictures]
        plot_curves(run.history, run.step_losses, paths[0], evaluation.accuracy if evaluation else None)
        if data is not None and evaluation is not None:
            plot_digits(data.test_images, data.test_labels, evaluation.predictions, paths[1])
        return [str(path) for path in paths]


def _text(error: Exception) -> str:
    """The message of `error` on one line, without errno's number."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{os.fspath(error.filename)}: {error.strerror}"
    return " ".join(str(error).split())


def _fail(command: str, message: str) -> int:
    print(f"tinytensor {command}: error: {message}", file=sys.stderr)
    return 1
