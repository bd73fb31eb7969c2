"""A configuration and samples become a trained network."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinytensor import nn, optim
from tinytensor.data import ImageData
from tinytensor.data.transforms import RandomDistortion
from tinytensor.random import manual_seed
from tinytensor.train.callbacks import Callback
from tinytensor.train.config import TrainConfig
from tinytensor.train.fit import OPTIMIZERS, fit
from tinytensor.train.history import History
from tinytensor.train.network import Description, ImageInput, Network, TableInput
from tinytensor.train.samples import Samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TrainingRun", "train"]


class TrainingRun(NamedTuple):
    """A trained network, the record of its epochs, and how long they took in all, in seconds."""

    network: Network
    history: History
    seconds: float


def train(
    config: TrainConfig,
    data: Samples | ImageData,
    callbacks: Sequence[Callback] = (),
    *,
    on_network: Callable[[Network], None] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    save_every: int | str | timedelta = "epoch",
    resume: bool = False,
) -> TrainingRun:
    """Train a network on `data`'s training samples as `config` says; the test samples are not looked at.

    Seeds the default generator with `config.seed`, from which weights, order, dropout and distortion are drawn. `on_network` gets the
    network before training. callbacks, checkpoint, save_every and resume are `fit`'s; nothing is printed.

    Raises ValueError if the holdout leaves nothing to train on, the labels have no sensible number of classes, images are to be
    distorted or labels smoothed and there are none, or batch normalization would meet a batch of one sample; FloatingPointError and what else `fit` raises.
    """
    samples = Samples.of_images(data) if isinstance(data, ImageData) else data
    x, y, held_x, held_y = _split(samples, config.holdout)
    description = _describe(config, samples, x)
    _check_memory(description, min(config.batch_size, len(x)))
    if config.label_smoothing and description.task != "classification":
        raise ValueError("label_smoothing is of classes: the target of these samples is a number")
    if config.norm == "batch" and (config.batch_size == 1 or len(x) % config.batch_size == 1):
        raise ValueError(
            f"norm batch needs at least two samples a batch, {len(x)} in batches of {config.batch_size} leave one alone: take "
            "another batch_size, or norm layer"
        )
    manual_seed(config.seed)
    network = Network(description)
    if on_network is not None:
        on_network(network)
    optimizer = _optimizer(config, network.model)
    history = fit(
        network.model,
        network.dataset(x, y),
        network.loss_function(config.label_smoothing),
        optimizer,
        config.epochs,
        validation=network.dataset(held_x, held_y) if config.holdout else None,
        batch_size=config.batch_size,
        transform=_distortion(config, description),
        metrics=() if network.classifies else ("r2",) if config.holdout else None,
        schedule=None if config.schedule == "constant" else config.schedule,
        clip_grad_norm=config.clip_grad_norm,
        accumulate=config.accumulate,
        ema=config.ema or None,
        early_stopping=config.early_stopping or None,
        checkpoint=checkpoint,
        save_every=None if checkpoint is None else save_every,
        resume=resume,
        callbacks=callbacks,
        progress=False,
    )
    return TrainingRun(network, history, math.fsum(history["seconds"]))


def _split(samples: Samples, holdout: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Training samples without the last `holdout`, then those."""
    x, y = samples.train_x, samples.train_y
    kept = len(x) - holdout
    what = "images" if samples.encoding is None else "rows"
    if kept < 1:
        raise ValueError(f"holdout {holdout} leaves none of the {len(x)} training {what} to train on")
    if samples.encoding is None and not 2 <= samples.outputs <= max(2, len(x)):
        raise ValueError(f"labels up to {samples.outputs - 1} in {len(x)} training images make no sensible classes")
    return x[:kept], y[:kept], x[kept:], y[kept:]


def _describe(config: TrainConfig, samples: Samples, x: NDArray[Any]) -> Description:
    given: ImageInput | TableInput
    if samples.encoding is None:
        scale, shift = _scaling(x)
        given = ImageInput(x.shape[1], x.shape[2], scale, shift, samples.source)
    else:
        given = TableInput(samples.encoding)
    return Description(
        given,
        samples.outputs,
        samples.task,
        samples.classes,
        config.hidden,
        config.activation,
        config.norm,
        config.dropout,
        config.input_dropout,
        config.dtype,
    )


def _scaling(images: NDArray[np.uint8]) -> tuple[float, float]:
    """Factor and summand that bring pixels to mean 0 and deviation 1, measured on every tenth image by exact whole-number sums."""
    counts = np.bincount(images[::10].reshape(-1), minlength=256).tolist()
    total = sum(counts)
    first = sum(count * value for value, count in enumerate(counts))
    second = sum(count * value * value for value, count in enumerate(counts))
    deviation = math.sqrt(total * second - first * first) / total or 1.0
    return 1 / deviation, -first / total / deviation


def _check_memory(description: Description, batch: int) -> None:
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


def _distortion(config: TrainConfig, description: Description) -> RandomDistortion | None:
    if not config.distorts:
        return None
    if not isinstance(description.input, ImageInput):
        raise ValueError("shift, rotate, scale, shear and elastic distort images: the samples are rows of a table")
    own = description.input
    return RandomDistortion(
        degrees=config.rotate,
        translate=(config.shift / own.width, config.shift / own.height),
        scale=(1 - config.scale, 1 + config.scale),
        shear=config.shear,
        alpha=config.elastic,
        sigma=config.elastic_sigma,
        fill=own.shift,  # what a black pixel has become
    )


def _optimizer(config: TrainConfig, model: nn.Module) -> optim.Optimizer:
    lr, decay, parameters = config.peak_lr, config.decay, model.parameters()
    if config.optimizer == "nesterov":
        return optim.SGD(parameters, lr=lr, momentum=0.9, nesterov=True, weight_decay=decay)
    made: optim.Optimizer = OPTIMIZERS[config.optimizer](parameters, lr=lr, weight_decay=decay)
    return made
