"""`tinytensor train`: a run with its files."""

from __future__ import annotations

import math
import os
import sys
import time
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinytensor import _kernels, nn
from tinytensor.cli.arguments import DOWNLOAD, Parser, add_common, add_options, count, load_here, say
from tinytensor.cli.using import CHECKPOINT, HISTORY
from tinytensor.data import DataLoader
from tinytensor.train.callbacks import Callback
from tinytensor.train.config import DataConfig, TrainConfig, read_toml, write_toml
from tinytensor.train.environment import environment
from tinytensor.train.history import History
from tinytensor.train.network import Checkpoint, Evaluation, Network
from tinytensor.train.progress import Lines, epoch_line, progress_of
from tinytensor.train.recipes import RECIPES, TABLE
from tinytensor.train.run import Run
from tinytensor.train.samples import Samples
from tinytensor.train.train import TrainingRun, train

if TYPE_CHECKING:
    from tinytensor.viz.checkup import Diagnose
    from tinytensor.viz.health import Finding

__all__ = ["add_command"]

_INTERRUPTED = 130
_WATCHED = 1000  # samples that --diagnose looks at
_LINES = 30  # about so many epochs get a line; the file has all of them
_SAVE_EVERY = 10.0  # seconds: how much of a long training a crash may cost
_CONFIG, _STATE, _CURVES, _DIGITS = "run.toml", "state.safetensors", "curves.png", "digits.png"


def add_command(commands: Any) -> None:
    """Add `train`."""
    recipes = "\n".join(
        f"  {name:<20} {own.summary}\n{'':<22} {own.reference}\n{'':<22} reached: {own.reached}"
        for name, own in RECIPES.items()
    )
    trainer: Parser = commands.add_parser(
        "train",
        usage="tinytensor train [OPTION ...]",
        help="train a network on MNIST, on other images or on a table",
        description="Train a multilayer perceptron on MNIST (bundled), on other images, or on a table. An option given here goes before the same "
        "in --config FILE, that before --recipe NAME, and that before the defaults shown.",
        epilog="examples:\n  tinytensor train\n  tinytensor train --hidden 512,256 --optimizer adamw --epochs 10 --out runs/large\n"
        "  tinytensor train --csv iris.csv --target species --out runs/iris\n  tinytensor train --recipe best\n"
        f"  tinytensor train --config runs/large/{_CONFIG} --seed 1 --out runs/again\n  tinytensor train --resume --out runs/large\n\n"
        f"recipes:\n{recipes}\n\nfiles in the run's folder:\n"
        f"  {_CONFIG:<24} all options as they were used, versions, processor\n  {CHECKPOINT:<24} the network: for eval, predict and info\n"
        f"  {_STATE:<24} where the training was: for --resume\n  {HISTORY:<24} a line an epoch\n  {_CURVES + ', ' + _DIGITS:<24} pictures\n\n"
        "exit status: 0 done, 1 data or files, 2 command line, 3 training diverged, 130 interrupted",
    )
    add_options(trainer, DataConfig)
    add_options(trainer, TrainConfig)
    run = trainer.add_argument_group("the run")
    run.add_argument("--recipe", choices=RECIPES, metavar="NAME", help=f"a recipe by name: {', '.join(RECIPES)}")
    run.add_argument(
        "--config", type=Path, metavar="FILE", help=f"options from a TOML file, such as the {_CONFIG} of another run"
    )
    run.add_argument(
        "--resume",
        action="store_true",
        help="go on with the run in the --out folder where it was stopped or killed; ends with the same bits",
    )
    run.add_argument(
        "--save-every",
        type=count,
        metavar="STEPS",
        help="save the state for --resume so often (default: every 10 seconds)",
    )
    run.add_argument(
        "--out",
        type=Path,
        default=Path("runs/latest"),
        metavar="DIR",
        help="folder for its files (default: runs/latest)",
    )
    run.add_argument("--download", action="store_true", help=DOWNLOAD)
    run.add_argument(
        "--quiet", action="store_true", help="print the last line only (findings of --diagnose: on standard error)"
    )
    run.add_argument("--json", action="store_true", help="print JSON, an object a line, in place of text")
    run.add_argument(
        "--diagnose",
        action="store_true",
        help="look at the network's health before training and after each epoch, and print what is found",
    )
    run.add_argument("--no-plots", action="store_true", help="draw no pictures")
    add_common(run)
    trainer.set_defaults(run=_train, parser=trainer)


def _resolve(options: Namespace) -> tuple[DataConfig, TrainConfig]:
    """The options of the run: those given, else the file's, else the recipe's, else the defaults."""
    given = [
        {name: getattr(options, name) for name in _names(kind) if hasattr(options, name)}
        for kind in (DataConfig, TrainConfig)
    ]
    if options.resume:
        return _resumed(options, given[0], given[1])
    sources = [f"--{name}" for name in ("source", "data", "csv") if name in given[0]]
    if len(sources) > 1:
        options.parser.error(f"{' and '.join(sources)} exclude each other: one run has one source")
    data: dict[str, Any] = {}
    chosen: dict[str, Any] = {}
    if options.recipe is not None:
        data.update(RECIPES[options.recipe].data)
        chosen.update(RECIPES[options.recipe].train)
    file: dict[str, dict[str, Any]] = (
        read_toml(options.config) if options.config is not None else {"data": {}, "train": {}}
    )
    for own in (file["data"], given[0]):
        if "data" in own or "source" in own:  # another source takes the place of the one before
            data = {}
        elif "csv" in own:
            data.pop("data", None)
        data.update(own)
    if data.get("csv") is not None:
        data.pop("source", None)
        chosen = {**TABLE, **chosen}
    chosen.update(file["train"])
    chosen.update(given[1])
    try:
        return DataConfig(**data), TrainConfig(**chosen)
    except (TypeError, ValueError) as error:
        if options.config is not None:
            raise ValueError(f"{options.config}: {error}") from None
        return options.parser.error(str(error))  # type: ignore[no-any-return]


def _resumed(options: Namespace, data: dict[str, Any], chosen: dict[str, Any]) -> tuple[DataConfig, TrainConfig]:
    path = options.out / _CONFIG
    if options.recipe is not None or options.config is not None:
        options.parser.error(
            "--resume takes the options of the run that it goes on with: give no --recipe and no --config"
        )
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no run to resume in this folder")
    file = read_toml(path)
    for section, given in (("data", data), ("train", chosen)):
        for name, value in given.items():
            was = file[section].get(name)
            if (tuple(was) if isinstance(was, list) else was) != value:
                options.parser.error(
                    f"--resume: the run in {options.out} has {name} = {was}, not {value}: leave the option out, or start a new run"
                )
    try:
        return DataConfig(**file["data"]), TrainConfig(**file["train"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None


def _names(kind: type[Any]) -> list[str]:
    return [own.name for own in fields(kind)]


def _train(options: Namespace) -> int:
    data, config = _resolve(options)
    samples = load_here(data, config.seed, config.holdout, download=options.download)
    with _kernels.Flushing():  # as fit has it
        stamp = environment()
    files = _Files(options, data, config, stamp)
    output = _Output(options, config)
    missing = files.missing() + output.missing()
    if missing:
        print(f"note: {'; '.join(missing)}: pip install 'tinytensor[train]'", file=sys.stderr)
    output.start(samples, data, stamp)

    def begin(network: Network) -> None:
        files.begin(network)
        if options.diagnose:
            output.watch(network, samples)

    try:
        run = train(
            config,
            samples,
            [files, output],
            on_network=begin,
            checkpoint=files.state,
            save_every=options.save_every or timedelta(seconds=_SAVE_EVERY),
            resume=options.resume,
        )
    except KeyboardInterrupt:
        output.close()
        written = files.save()
        kept = f"epoch {len(files.history)} is kept in {', '.join(written)}" if written else "no epoch was finished"
        again = (
            f"; go on with: tinytensor train --resume --out {options.out}"
            if files.state is not None and files.state.exists()
            else ""
        )
        if options.json:
            say(
                {"event": "interrupted", "command": "train", "message": f"{kept}{again}", "status": _INTERRUPTED},
                sys.stderr,
            )
        else:
            print(f"interrupted: {kept}{again}", file=sys.stderr)
        return _INTERRUPTED
    finally:
        output.close()
    files.finish(run)
    written = files.save()
    test = run.network.evaluate(samples.test_x, samples.test_y) if not config.holdout and len(samples.test_y) else None
    written += files.draw(run, samples, test)
    output.end(run, test, written)
    return 0


class _Output(Callback):
    """What a person, or with --json a machine, sees: lines on standard output, and on a terminal tqdm's bar below them."""

    def __init__(self, options: Namespace, config: TrainConfig) -> None:
        self._json, self._quiet = options.json, options.quiet
        self._config = config
        self._said = time.perf_counter()
        self._checkup: Diagnose | None = None
        self._with_bar = not options.quiet and not options.json
        self._shown = progress_of(stream="stdout") if self._with_bar else Lines("stdout")

    def missing(self) -> list[str]:
        """What it cannot show, and what that needs."""
        return ["the progress bar needs tqdm"] if self._with_bar and not find_spec("tqdm") else []

    def start(self, samples: Samples, data: DataConfig, stamp: dict[str, Any]) -> None:
        """Say what is trained on what."""
        config = self._config
        images = samples.encoding is None
        inputs = math.prod(samples.train_x.shape[1:])
        network = "-".join(map(str, (inputs, *config.hidden, samples.outputs)))
        count = len(samples.train_x) - config.holdout
        if self._json:
            self._event(
                "start", network=network, samples=count, data=asdict(data), train=asdict(config), environment=stamp
            )
        elif not self._quiet:
            cores = stamp["threads"]
            self.say(
                f"{network} {config.activation}, {count} {'images' if images else 'rows'}, {config.optimizer} lr {config.peak_lr:g} "
                f"{config.schedule}, batch {config.batch_size}, {config.dtype}, {cores} thread{'s' if cores > 1 else ''}"
            )
            if samples.encoding is not None:
                for column, reason in samples.encoding.dropped.items():
                    self.say(f"left out: column {column!r}: {reason}")

    def watch(self, network: Network, samples: Samples) -> None:
        """Look at the network's health from now on, on the first training samples."""
        from tinytensor.viz.checkup import Diagnose

        count = min(_WATCHED, len(samples.train_x) - self._config.holdout)
        data = network.dataset(samples.train_x[:count], samples.train_y[:count])
        self._checkup = Diagnose(next(iter(DataLoader(data, count))), report=self._found)

    def _found(self, epoch: int, finding: Finding) -> None:
        if self._json:
            self._event("finding", epoch=epoch, **asdict(finding))
        elif self._quiet:  # of standard output the last line only
            print(f"epoch {epoch}: {finding}", file=sys.stderr)
        else:
            self.say(f"epoch {epoch}: {finding}")

    def on_train_begin(self, run: Run) -> None:
        """Say from where it goes on."""
        if self._checkup is not None:
            self._checkup.on_train_begin(run)
        if run.step and not self._quiet:
            self._event("resume", epoch=run.epoch, step=run.step) if self._json else self.say(
                f"resumed in epoch {run.epoch}, after step {run.step}"
            )

    def on_epoch_begin(self, run: Run) -> None:
        """Start the bar anew."""
        self._shown.on_epoch_begin(run)

    def on_step_end(self, run: Run) -> None:
        """Move the bar on."""
        self._shown.on_step_end(run)

    def on_epoch_end(self, run: Run) -> None:
        """Print the epoch's line."""
        row = run.history.rows[-1]
        if self._json:
            self._event("epoch", **row)
        elif not self._quiet and self._is_time(run):
            self.say(epoch_line(row, run.epochs))
        if self._checkup is not None:
            self._checkup.on_epoch_end(run)

    def on_train_end(self, run: Run) -> None:
        """Say that the network was healthy, where it was looked at and was."""
        healthy = self._checkup is not None and not any(made.findings for _, made in self._checkup.diagnoses)
        if healthy and not self._json and not self._quiet:
            self.say("no findings")

    def _is_time(self, run: Run) -> bool:
        """Whether this epoch gets a line: the last, each of few or long ones, and of many short ones some."""
        now = time.perf_counter()
        chosen = run.epoch % -(-run.epochs // _LINES) == 0 or run.epoch == run.epochs or now - self._said > 1
        if chosen:
            self._said = now
        return chosen

    def end(self, run: TrainingRun, test: Evaluation | None, written: list[str]) -> None:
        """Say what came out: the last line is the result."""
        config, name = self._config, "test"
        scores: dict[str, Any] = {}
        if test is not None:
            scores = {"loss": test.loss, **test.scores}
        elif config.holdout:
            name = "holdout"
            scores = {
                key.removeprefix("val_"): value for key, value in run.history.rows[-1].items() if key.startswith("val_")
            }
            if config.early_stopping and (best := run.history.best()) is not None:
                scores = {key.removeprefix("val_"): value for key, value in best.items() if key.startswith("val_")}
        if self._json:
            found = {f"{name}_{key}": value for key, value in scores.items()}
            self._event(
                "end",
                **found,
                seconds=run.seconds,
                seed=config.seed,
                weights_sha256=run.network.weights_hash(),
                files=written,
            )
            return
        if not self._quiet:
            if run.history.stopped is not None:
                self.say(f"stopped: {run.history.stopped}")
            self.say(f"wrote {', '.join(written)}")
        result = f"{name} accuracy {100 * scores['accuracy']:.2f} %" if "accuracy" in scores else f"{name} R2 {scores['r2']:.4f}" if "r2" in scores else "trained"  # fmt: skip
        print(f"{result} in {run.seconds:.1f} s (seed {config.seed})")

    def say(self, line: str) -> None:
        """Print a line, above the bar if there is one."""
        self._shown.say(line)

    def close(self) -> None:
        """Take the bar away."""
        self._shown.close()

    def _event(self, event: str, **values: Any) -> None:
        say({"event": event, **values})


class _Files(Callback):
    """The files of a run in its folder, made at once, so that a folder that cannot be written is known before training."""

    def __init__(self, options: Namespace, data: DataConfig, config: TrainConfig, stamp: dict[str, Any]) -> None:
        self.history = History()
        self._folder: Path = options.out
        self._data, self._config, self._stamp = data, config, stamp
        self._checkpoint: Checkpoint | None = None
        self._network: Network | None = None
        self._losses: list[float] = []
        self._saved = time.perf_counter()
        images = data.csv is None
        self._pictures = (
            ([_CURVES, _DIGITS] if images and not config.holdout else [_CURVES]) if not options.no_plots else []
        )
        self._can_draw = find_spec("matplotlib") is not None
        self._can_save = find_spec("safetensors") is not None
        self._folder.mkdir(parents=True, exist_ok=True)
        if not os.access(self._folder, os.W_OK | os.X_OK):
            raise PermissionError(f"{self._folder}: may not write in this folder")
        self.state = self._folder / _STATE if self._can_save else None
        for leftover in self._folder.glob(".*.tmp"):  # of a run that was killed while it wrote
            if leftover.name.startswith(tuple(f".{name}." for name in (CHECKPOINT, HISTORY, _CONFIG, _STATE))):
                leftover.unlink(missing_ok=True)
        if options.resume and self.state is None:
            raise ImportError(f"--resume needs safetensors, to read {_STATE}: pip install 'tinytensor[train]'")
        if not options.resume:
            # Of the run that was here before: --resume must not take it up, with these options least of all.
            (self._folder / _STATE).unlink(missing_ok=True)
            write_toml(self._folder / _CONFIG, data, config, stamp)

    def missing(self) -> list[str]:
        """Which files this installation cannot write, and what they need."""
        notes = [] if self._can_save else [f"{CHECKPOINT} and {_STATE} need safetensors"]
        if self._pictures and not self._can_draw:
            notes.append(f"{' and '.join(self._pictures)} need{'' if len(self._pictures) > 1 else 's'} matplotlib")
        return notes

    def on_train_begin(self, run: Run) -> None:
        """Know the epochs that were over before the training resumed."""
        self.history = run.history

    def on_epoch_end(self, run: Run) -> None:
        """Keep what `save` will write; in a long training, write it now and then."""
        if self._can_save:
            self._keep(run.judged())
        if time.perf_counter() - self._saved > _SAVE_EVERY:
            self.save()

    def on_step_end(self, run: Run) -> None:
        """Note the loss, for the picture."""
        self._losses.append(run.loss)

    def state_dict(self) -> dict[str, Any]:
        """The losses so far."""
        return {"losses": np.array(self._losses)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` returned."""
        self._losses = state["losses"].tolist()

    def finish(self, run: TrainingRun) -> None:
        """Keep the network that training ended with."""
        self.history = run.history
        self._network = run.network
        if self._can_save:
            self._keep(run.network.model)

    def begin(self, network: Network) -> None:
        """Take note of the network that will be trained."""
        self._network = network

    def _keep(self, model: nn.Module) -> None:
        assert self._network is not None
        self._checkpoint = Checkpoint.take(
            self._network, model, self._config, self._data, self.history.rows[-1], self._stamp
        )

    def save(self) -> list[str]:
        """Write checkpoint and history of the finished epochs, if any; returns the files' names."""
        written = []
        if self._checkpoint is not None:
            self._checkpoint.save(self._folder / CHECKPOINT)
            written.append(str(self._folder / CHECKPOINT))
        if self.history.rows:
            self.history.save_csv(self._folder / HISTORY)
            written.append(str(self._folder / HISTORY))
        self._saved = time.perf_counter()
        return written

    def draw(self, run: TrainingRun, samples: Samples, test: Evaluation | None) -> list[str]:
        """Draw the curves and, of an evaluation on test images, the images; returns the files' names."""
        if not self._pictures or not self._can_draw:
            return []
        from tinytensor.viz import plot_digits

        paths = [self._folder / name for name in self._pictures]
        run.history.plot(
            paths[0], step_losses=self._losses, test=None if test is None else {"loss": test.loss, **test.scores}
        )
        if test is not None and len(paths) > 1:
            plot_digits(samples.test_x, samples.test_y, test.predictions, paths[1], samples.classes)
        return [str(path) for path in paths]
