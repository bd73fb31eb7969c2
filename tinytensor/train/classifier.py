"""Training of an image classifier: the recipe, the loop, the evaluation, the checkpoint."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tinytensor import nn, optim
from tinytensor.data import ImageData, batches
from tinytensor.nn import functional as F
from tinytensor.optim import lr_scheduler
from tinytensor.random import manual_seed
from tinytensor.serialize import load, load_metadata, save
from tinytensor.tape import no_grad
from tinytensor.tensor import Tensor

__all__ = [
    "ACTIVATIONS",
    "DTYPES",
    "OPTIMIZERS",
    "SCHEDULES",
    "Checkpoint",
    "Classifier",
    "EpochRecord",
    "Evaluation",
    "TrainConfig",
    "TrainingRun",
    "load_checkpoint",
    "train",
]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}
DTYPES = ("float32", "float64")
SCHEDULES = ("onecycle", "cosine", "linear", "constant")
_FORMAT = "tinytensor classifier 1"
_EVALUATION_BATCH = 1000


class _Defaults(NamedTuple):
    lr: float
    weight_decay: float


OPTIMIZERS = {
    "adamw": _Defaults(lr=4e-3, weight_decay=1e-2),
    "adam": _Defaults(lr=4e-3, weight_decay=0.0),
    "sgd": _Defaults(lr=0.1, weight_decay=0.0),
    "nesterov": _Defaults(lr=0.1, weight_decay=0.0),
}


@dataclass(frozen=True)
class TrainConfig:
    """A recipe. The default one was chosen on 55,000 / 5,000 of MNIST's training images (`holdout=5000`).

    `hidden` lists the widths of the hidden layers. `optimizer` is "adamw", "adam", "sgd" (plain) or
    "nesterov" (SGD with Nesterov momentum 0.9); `lr` (the peak of the schedule) and `weight_decay` default to
    what suits it. `schedule` changes the learning rate step by step: "onecycle", "cosine" or "linear" (both
    fall to 0), "constant". `holdout` keeps that many of the last training images out of training, to be
    evaluated after each epoch. Raises ValueError for a value out of range.
    """

    hidden: tuple[int, ...] = (256,)
    activation: str = "relu"
    dropout: float = 0.0
    optimizer: str = "nesterov"
    lr: float | None = None
    schedule: str = "onecycle"
    weight_decay: float | None = None
    batch_size: int = 128
    epochs: int = 4
    seed: int = 0
    dtype: str = "float32"
    holdout: int = 0

    def __post_init__(self) -> None:
        for name, choices in (
            ("activation", ACTIVATIONS),
            ("optimizer", OPTIMIZERS),
            ("schedule", SCHEDULES),
            ("dtype", DTYPES),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}")
        for width in self.hidden:
            if width < 1:
                raise ValueError(f"hidden widths must be at least 1, got {width}")
        for name, least in (("batch_size", 1), ("epochs", 1), ("seed", 0), ("holdout", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must be at least 0 and less than 1, got {self.dropout}")
        if not 0 < self.peak_lr < math.inf:
            raise ValueError(f"lr must be a positive number, got {self.lr}")
        if not 0 <= self.decay < math.inf:
            raise ValueError(f"weight_decay must be 0 or a positive number, got {self.weight_decay}")

    @property
    def peak_lr(self) -> float:
        """`lr`, or the optimizer's default."""
        return OPTIMIZERS[self.optimizer].lr if self.lr is None else self.lr

    @property
    def decay(self) -> float:
        """`weight_decay`, or the optimizer's default."""
        return OPTIMIZERS[self.optimizer].weight_decay if self.weight_decay is None else self.weight_decay


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch did; accuracies are fractions, `lr` is the last step's, seconds are the epoch's own.

    Loss and accuracy are means over the epoch's batches, each taken before its step and with dropout on.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    lr: float
    seconds: float
    samples_per_second: float
    holdout_loss: float | None = None
    holdout_accuracy: float | None = None


class Evaluation(NamedTuple):
    """Mean cross-entropy, fraction of right answers, and the predicted classes int64 (N,)."""

    loss: float
    accuracy: float
    predictions: NDArray[np.int64]


@dataclass(frozen=True)
class _Description:
    """What a checkpoint says of its network: enough to build it and to feed it."""

    image_shape: tuple[int, int]
    classes: int
    hidden: tuple[int, ...]
    activation: str
    dropout: float
    dtype: str
    scale: float
    shift: float

    def layer_sizes(self) -> list[tuple[int, int]]:
        widths = [math.prod(self.image_shape), *self.hidden, self.classes]
        return list(pairwise(widths))


class Classifier:
    """A multilayer perceptron for images, with the scaling of bytes that it was trained with.

    `model` maps (N, height, width) of scaled pixels, `pixel * scale + shift`, to logits (N, classes).
    """

    def __init__(self, description: _Description) -> None:
        self.description = description
        layers: list[nn.Module] = [nn.Flatten()]
        *hidden, last = description.layer_sizes()
        dtype = np.dtype(description.dtype)
        for inputs, outputs in hidden:
            layers += [nn.Linear(inputs, outputs, dtype=dtype), ACTIVATIONS[description.activation]()]
            if description.dropout:
                layers.append(nn.Dropout(description.dropout))
        self.model = nn.Sequential(*layers, nn.Linear(*last, dtype=dtype))

    def evaluate(self, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> Evaluation:
        """Classify uint8 `images` (N, height, width), N >= 1, and compare with `labels` int64 (N,).

        Raises ValueError for images of another size, or for a label that the network has no output for.
        """
        description = self.description
        if images.shape[1:] != description.image_shape:
            expected, got = ("x".join(map(str, shape)) for shape in (description.image_shape, images.shape[1:]))
            raise ValueError(f"the network takes images of {expected}, these are {got}")
        if labels.max() >= description.classes:
            raise ValueError(f"the network has {description.classes} classes, a label is {labels.max()}")
        training = self.model.training
        self.model.eval()
        total, predictions = 0.0, []
        with no_grad():
            for x, y in self.batches(images, labels, _EVALUATION_BATCH, shuffle=False):
                logits = self.model(x)
                total += F.cross_entropy(logits, y, reduction="sum").item()
                predictions.append(logits.numpy().argmax(axis=1))
        self.model.train(training)
        guessed = np.concatenate(predictions)
        return Evaluation(total / len(labels), float((guessed == labels).mean()), guessed)

    def batches(
        self, images: NDArray[np.uint8], labels: NDArray[np.int64], size: int, shuffle: bool = True
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """`tinytensor.data.batches` in this network's dtype and scaling."""
        own = self.description
        return batches(
            images, labels, size, shuffle=shuffle, dtype=np.dtype(own.dtype), scale=own.scale, shift=own.shift
        )


class TrainingRun(NamedTuple):
    """A trained network, the record of each epoch, the loss of each step, and the time from first shuffle to
    last step."""

    classifier: Classifier
    history: list[EpochRecord]
    step_losses: list[float]
    seconds: float


def train(
    config: TrainConfig,
    data: ImageData,
    on_step: Callable[[int, float], None] | None = None,
    on_epoch: Callable[[EpochRecord, Classifier], None] | None = None,
) -> TrainingRun:
    """Train a classifier on `data`'s training images as `config` says; the test images are not looked at.

    `on_step(samples, loss)` is called after each step, `on_epoch(record, classifier)` after each epoch; both
    count in the time. Seeds the default generator with `config.seed`, from which weights, order and dropout
    are drawn.

    Raises ValueError if the holdout leaves nothing to train on or the labels have no sensible number of
    classes, and FloatingPointError, before the step's update, if the loss is infinite or NaN.
    """
    images, labels, held_images, held_labels = _split(data, config.holdout)
    description = _describe(config, images, data.classes)
    _check_memory(description, min(config.batch_size, len(images)))
    manual_seed(config.seed)
    classifier = Classifier(description)
    model = classifier.model
    optimizer = _optimizer(config, model)
    count = len(images)
    scheduler = _scheduler(config, optimizer, config.epochs * math.ceil(count / config.batch_size))
    history: list[EpochRecord] = []
    step_losses: list[float] = []
    # The logits are kept and compared once an epoch: cheaper than an argmax a step.
    outputs = np.empty((count, data.classes), config.dtype)
    targets = np.empty(count, np.int64)

    started = time.perf_counter()
    for epoch in range(1, config.epochs + 1):
        epoch_started = time.perf_counter()
        done, total = 0, 0.0
        for x, y in classifier.batches(images, labels, config.batch_size):
            logits = model(x)
            loss = F.cross_entropy(logits, y)
            value = loss.item()
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"the loss is {value} at step {len(step_losses) + 1}, in epoch {epoch}: training diverged, try a lower "
                    f"learning rate (it is {config.peak_lr}); inside `with tt.detect_anomaly():` the first op that makes NaN "
                    "or inf is named"
                )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            lr = optimizer.param_groups[0]["lr"]
            if scheduler is not None:
                scheduler.step()

            size = len(y)
            outputs[done : done + size] = logits.detach().numpy()
            targets[done : done + size] = y.numpy()
            done += size
            total += value * size
            step_losses.append(value)
            if on_step is not None:
                on_step(size, value)
        seconds = time.perf_counter() - epoch_started
        elapsed = time.perf_counter() - started
        record = EpochRecord(
            epoch,
            train_loss=total / count,
            train_accuracy=float((outputs.argmax(axis=1) == targets).mean()),
            lr=lr,
            seconds=seconds,
            samples_per_second=count / seconds,
        )
        if config.holdout:
            held = classifier.evaluate(held_images, held_labels)
            record = replace(record, holdout_loss=held.loss, holdout_accuracy=held.accuracy)
        history.append(record)
        if on_epoch is not None:
            on_epoch(record, classifier)
    return TrainingRun(classifier, history, step_losses, elapsed)


class Checkpoint(NamedTuple):
    """A copy of a network's parameters, with the text that `load_checkpoint` needs to rebuild it."""

    state: dict[str, NDArray[Any]]
    metadata: dict[str, str]

    @classmethod
    def take(cls, classifier: Classifier, config: TrainConfig, record: EpochRecord) -> Checkpoint:
        """Copy the network as it is now, after the epoch of `record`."""
        state = {name: value.numpy().copy("K") for name, value in classifier.model.state_dict().items()}
        metadata = {
            "format": _FORMAT,
            "classifier": json.dumps(asdict(classifier.description)),
            "config": json.dumps(asdict(config)),
            "epoch": json.dumps(asdict(record)),
        }
        return cls(state, metadata)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the checkpoint as safetensors; errors as in `tinytensor.save`."""
        save(self.state, path, self.metadata)


def load_checkpoint(path: str | os.PathLike[str]) -> Classifier:
    """Rebuild the network that `Checkpoint.save` wrote.

    Raises OSError if the file cannot be read, ValueError if it is damaged or was not written by tinytensor's
    training.
    """
    name = os.fspath(path)
    metadata = load_metadata(path)
    if metadata.get("format") != _FORMAT:
        raise ValueError(f"{name}: not a checkpoint of tinytensor's training (no format {_FORMAT!r} in its metadata)")
    try:
        description = _read_description(metadata["classifier"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{name}: damaged description of the network ({error})") from None
    state = load(path)
    # Counted before the network is built, so that a forged width cannot ask for all the memory.
    expected = sum((inputs + 1) * outputs for inputs, outputs in description.layer_sizes())
    found = sum(value.numel() for value in state.values())
    if found != expected:
        raise ValueError(f"{name}: the network it describes has {expected} parameters, the file holds {found}")
    classifier = Classifier(description)
    try:
        classifier.model.load_state_dict(state)
    except (KeyError, RuntimeError, ValueError) as error:
        raise ValueError(f"{name}: its tensors do not fit the network it describes ({error})") from None
    return classifier


def _read_description(text: str) -> _Description:
    values = json.loads(text)
    names = {field.name for field in fields(_Description)}
    if not isinstance(values, Mapping) or set(values) != names:
        raise ValueError(f"expected the entries {', '.join(sorted(names))}")
    shape, hidden, classes = values["image_shape"], values["hidden"], values["classes"]
    sizes = [*shape, *hidden, classes]
    if len(shape) != 2 or not all(type(size) is int and size >= 1 for size in sizes):
        raise ValueError(f"sizes must be whole numbers of at least 1, got {sizes}")
    if values["activation"] not in ACTIVATIONS or values["dtype"] not in DTYPES:
        raise ValueError(f"unknown activation or dtype: {values['activation']!r}, {values['dtype']!r}")
    dropout, scale, shift = (float(values[name]) for name in ("dropout", "scale", "shift"))
    if not (0 <= dropout < 1 and math.isfinite(scale) and math.isfinite(shift)):
        raise ValueError(f"dropout, scale or shift out of range: {dropout}, {scale}, {shift}")
    height, width = shape
    return _Description(
        (height, width), classes, tuple(hidden), values["activation"], dropout, values["dtype"], scale, shift
    )


def _split(
    data: ImageData, holdout: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]:
    """Training images and labels without the last `holdout`, then those."""
    images, labels = data.train_images, data.train_labels
    kept = len(images) - holdout
    if kept < 1:
        raise ValueError(f"holdout {holdout} leaves none of the {len(images)} training images to train on")
    if not 2 <= data.classes <= max(2, len(images)):
        raise ValueError(f"labels up to {data.classes - 1} in {len(images)} training images make no sensible classes")
    return images[:kept], labels[:kept], images[kept:], labels[kept:]


def _describe(config: TrainConfig, images: NDArray[np.uint8], classes: int) -> _Description:
    """Scale pixels to mean 0 and deviation 1, measured on every tenth image by exact whole-number sums."""
    counts = np.bincount(images[::10].reshape(-1), minlength=256).tolist()
    total = sum(counts)
    first = sum(count * value for value, count in enumerate(counts))
    second = sum(count * value * value for value, count in enumerate(counts))
    deviation = math.sqrt(total * second - first * first) / total or 1.0
    return _Description(
        image_shape=(images.shape[1], images.shape[2]),
        classes=classes,
        hidden=config.hidden,
        activation=config.activation,
        dropout=config.dropout,
        dtype=config.dtype,
        scale=1 / deviation,
        shift=-first / total / deviation,
    )


def _check_memory(description: _Description, batch: int) -> None:
    """Refuse what cannot fit, since the system would rather kill the process than refuse it the memory."""
    sizes = description.layer_sizes()
    numbers = 4 * sum(inputs * outputs for inputs, outputs in sizes)  # parameters, gradients, two moments
    numbers += 2 * batch * sum(outputs for _, outputs in sizes)  # values and their gradients
    needed = numbers * np.dtype(description.dtype).itemsize
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > available:
        widths = ",".join(map(str, description.hidden))
        raise MemoryError(
            f"training hidden layers of {widths} in batches of {batch} takes {needed / 1e9:.0f} GB of memory, "
            f"this machine has {available / 1e9:.0f}"
        )


def _optimizer(config: TrainConfig, model: nn.Module) -> optim.Optimizer:
    lr, decay = config.peak_lr, config.decay
    if config.optimizer == "adamw":
        return optim.AdamW(model.parameters(), lr=lr, weight_decay=decay)
    if config.optimizer == "adam":
        return optim.Adam(model.parameters(), lr=lr, weight_decay=decay)
    if config.optimizer == "nesterov":
        return optim.SGD(model.parameters(), lr=lr, momentum=0.9, nesterov=True, weight_decay=decay)
    return optim.SGD(model.parameters(), lr=lr, weight_decay=decay)


def _scheduler(config: TrainConfig, optimizer: optim.Optimizer, steps: int) -> lr_scheduler.LRScheduler | None:
    if config.schedule == "onecycle":
        cycle = config.optimizer != "sgd"  # plain SGD has no momentum to cycle
        return lr_scheduler.OneCycleLR(optimizer, max_lr=config.peak_lr, total_steps=steps, cycle_momentum=cycle)
    if config.schedule == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
    if config.schedule == "linear":
        return lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=steps)
    return None
