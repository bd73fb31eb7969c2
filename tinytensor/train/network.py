"""A network with what its inputs and outputs mean: what a checkpoint holds, and what predicts."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinytensor import nn
from tinytensor.data import ImageDataset, TensorDataset
from tinytensor.data.encoding import TableEncoding
from tinytensor.metrics import mean_absolute_error, mean_squared_error, r2_score
from tinytensor.nn import functional as F
from tinytensor.ops.activation import softmax
from tinytensor.serialize import load, load_metadata, save
from tinytensor.tape import no_grad
from tinytensor.tensor import Tensor
from tinytensor.train.config import ACTIVATIONS, DTYPES, NORMS, DataConfig, TrainConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Checkpoint", "Description", "Evaluation", "ImageInput", "Network", "TableInput", "load_checkpoint"]

_FORMAT = "tinytensor network 2"
_EVALUATION_BATCH = 1000


@dataclass(frozen=True)
class ImageInput:
    """Images of bytes (height, width), each pixel taken as pixel * scale + shift. `source` says which data they are like."""

    height: int
    width: int
    scale: float
    shift: float
    source: str = ""

    @property
    def features(self) -> int:
        """Numbers that the network is given."""
        return self.height * self.width


@dataclass(frozen=True)
class TableInput:
    """Rows of a table, as `encoding` makes numbers of them."""

    encoding: TableEncoding

    @property
    def features(self) -> int:
        """Numbers that the network is given."""
        return len(self.encoding.feature_names)


@dataclass(frozen=True)
class Description:
    """All that is needed to build a network and to feed it. outputs: 1 for a regression, else the classes; classes: their names."""

    input: ImageInput | TableInput
    outputs: int
    task: str
    classes: tuple[str, ...]
    hidden: tuple[int, ...]
    activation: str
    norm: str
    dropout: float
    input_dropout: float
    dtype: str

    def layer_sizes(self) -> list[tuple[int, int]]:
        """Inputs and outputs of each Linear."""
        return list(pairwise([self.input.features, *self.hidden, self.outputs]))

    def to_json(self) -> str:
        """The description as text, for `from_json`."""
        values = {name: getattr(self, name) for name in _PLAIN}
        if isinstance(self.input, ImageInput):
            values["image"] = asdict(self.input)
        else:
            values["table"] = self.input.encoding.to_dict()
        return json.dumps(values)

    @classmethod
    def from_json(cls, text: str) -> Description:
        """Read what `to_json` wrote. ValueError or TypeError for anything else, a size or number out of range included."""
        values = json.loads(text)
        if not isinstance(values, Mapping) or len({"image", "table"} & set(values)) != 1:
            raise ValueError("expected the entries of a network with images or a table")
        if set(values) - {"image", "table"} != set(_PLAIN):
            raise ValueError(f"expected the entries {', '.join(_PLAIN)}")
        given: ImageInput | TableInput
        if "image" in values:
            image = values["image"]
            if not isinstance(image, Mapping) or set(image) != {own.name for own in fields(ImageInput)}:
                raise ValueError("expected height, width, scale, shift and source of its images")
            scale, shift = float(image["scale"]), float(image["shift"])
            _require_sizes([image["height"], image["width"]])
            if not (math.isfinite(scale) and math.isfinite(shift)):
                raise ValueError(f"scale or shift out of range: {scale}, {shift}")
            given = ImageInput(image["height"], image["width"], scale, shift, str(image["source"]))
        else:
            given = TableInput(TableEncoding.from_dict(values["table"]))
        _require_sizes([*values["hidden"], values["outputs"]])
        for name, choices in (
            ("activation", ACTIVATIONS),
            ("norm", NORMS),
            ("dtype", DTYPES),
            ("task", ("classification", "regression")),
        ):
            if values[name] not in choices:
                raise ValueError(f"unknown {name} {values[name]!r}")
        if isinstance(given, ImageInput):
            fits = values["task"] == "classification"
        else:
            fits = (values["task"], values["outputs"]) == (given.encoding.task, given.encoding.outputs)
        if not fits:
            raise ValueError(f"a {values['task']} with {values['outputs']} outputs does not fit its inputs")
        classes = tuple(values["classes"])
        if not all(isinstance(name, str) for name in classes) or len(classes) not in (0, values["outputs"]):
            raise ValueError(f"{len(classes)} names for {values['outputs']} outputs")
        dropout, input_dropout = float(values["dropout"]), float(values["input_dropout"])
        if not (0 <= dropout < 1 and 0 <= input_dropout < 1):
            raise ValueError(f"dropout out of range: {dropout}, {input_dropout}")
        return cls(
            given,
            values["outputs"],
            values["task"],
            classes,
            tuple(values["hidden"]),
            values["activation"],
            values["norm"],
            dropout,
            input_dropout,
            values["dtype"],
        )


_PLAIN = tuple(own.name for own in fields(Description) if own.name != "input")


def _require_sizes(sizes: list[Any]) -> None:
    if not all(type(size) is int and 1 <= size < 2**31 for size in sizes):
        raise ValueError(f"sizes must be whole numbers of at least 1, got {sizes}")


class Evaluation(NamedTuple):
    """Mean loss over N samples; `scores` by name: "accuracy" (a fraction) of a classification, "r2", "mse" and "mae" (of the
    target as it was given) of a regression; `predictions`: classes int64 (N,) or values float64 (N,)."""

    loss: float
    scores: dict[str, float]
    predictions: NDArray[Any]

    @property
    def accuracy(self) -> float:
        """Fraction of right answers. KeyError for a regression."""
        return self.scores["accuracy"]


class Network:
    """A multilayer perceptron with what it needs to know of its inputs.

    `model` maps scaled images (N, height, width), or a table's features (N, D), to logits (N, classes), or to one standardized
    value (N, 1).
    """

    def __init__(self, description: Description) -> None:
        self.description = own = description
        dtype = np.dtype(own.dtype)
        layers: list[nn.Module] = [nn.Flatten()]
        if own.input_dropout:
            layers.append(nn.Dropout(own.input_dropout))
        *hidden, last = own.layer_sizes()
        norm = NORMS[own.norm]
        for inputs, outputs in hidden:
            layers.append(nn.Linear(inputs, outputs, dtype=dtype))
            if norm is not None:
                layers.append(norm(outputs, dtype=dtype))
            layers.append(ACTIVATIONS[own.activation]())
            if own.dropout:
                layers.append(nn.Dropout(own.dropout))
        self.model: nn.Module = nn.Sequential(*layers, nn.Linear(*last, dtype=dtype))

    @property
    def classifies(self) -> bool:
        """Whether it names classes; else it predicts a number."""
        return self.description.task == "classification"

    def loss_function(self, label_smoothing: float = 0.0) -> Callable[[Any, Any], Tensor]:
        """Cross-entropy of logits, or the squared error of standardized values."""
        if not self.classifies:
            return F.mse_loss
        return nn.CrossEntropyLoss(label_smoothing=label_smoothing) if label_smoothing else F.cross_entropy

    def dataset(self, x: NDArray[Any], y: NDArray[Any]) -> ImageDataset | TensorDataset:
        """Samples as the network takes them. x: images uint8 (N, height, width), or features (N, D); y: classes int64 (N,), or
        standardized values (N, 1). ValueError for samples of another size, or for a class that the network has no output for."""
        own = self.description
        dtype = np.dtype(own.dtype)
        if isinstance(own.input, ImageInput):
            expected: tuple[int, ...] = (own.input.height, own.input.width)
            what = "images"
        else:
            expected, what = (own.input.features,), "rows"
        if x.shape[1:] != expected:
            sizes = ["x".join(map(str, shape)) for shape in (expected, x.shape[1:])]
            raise ValueError(f"the network takes {what} of {sizes[0]}, these are {sizes[1]}")
        if self.classifies and len(y) and y.max() >= own.outputs:
            raise ValueError(f"the network has {own.outputs} classes, a label is {y.max()}")
        if isinstance(own.input, ImageInput):
            return ImageDataset(x, y, dtype, own.input.scale, own.input.shift)
        return TensorDataset(Tensor(x.astype(dtype)), Tensor(y if self.classifies else y.astype(dtype)))

    def outputs(self, x: NDArray[Any]) -> Tensor:
        """What the model makes of N >= 0 samples, in evaluation mode: (N, outputs)."""
        empty = np.zeros(len(x), np.int64) if self.classifies else np.zeros((len(x), 1))
        data = self.dataset(x, empty)
        result = np.empty((len(x), self.description.outputs), self.description.dtype)
        training = self.model.training
        self.model.eval()
        with no_grad():
            for start in range(0, len(x), _EVALUATION_BATCH):
                chosen = np.arange(start, min(start + _EVALUATION_BATCH, len(x)))
                result[chosen] = self.model(data.batch(chosen)[0]).numpy()
        self.model.train(training)
        return Tensor(result)

    def predict(self, x: NDArray[Any]) -> NDArray[Any]:
        """Probabilities (N, classes), or the predicted values (N,) as the target was given."""
        outputs = self.outputs(x)
        if self.classifies:
            return softmax(outputs, 1).numpy()
        assert isinstance(self.description.input, TableInput)
        return np.asarray(self.description.input.encoding.decode(outputs), np.float64)

    def evaluate(self, x: NDArray[Any], y: NDArray[Any]) -> Evaluation:
        """Compare with `y` on N >= 1 samples; shapes and errors as in `dataset`."""
        data = self.dataset(x, y)
        outputs = self.outputs(x)
        targets = data.batch(np.arange(len(y)))[1]
        loss = self.loss_function()(outputs, targets).item()
        if self.classifies:
            guessed = outputs.numpy().argmax(axis=1)
            return Evaluation(loss, {"accuracy": float((guessed == y).mean())}, guessed)
        assert isinstance(self.description.input, TableInput)
        decode = self.description.input.encoding.decode
        predicted, wanted = (np.asarray(decode(a.reshape(-1)), np.float64) for a in (outputs.numpy(), y))
        scores = {
            name: float(score(predicted, wanted))
            for name, score in (("r2", r2_score), ("mse", mean_squared_error), ("mae", mean_absolute_error))
        }
        return Evaluation(loss, scores, predicted)

    def weights_hash(self) -> str:
        """SHA-256 over names, shapes and bytes of all parameters and buffers: equal for equal bits."""
        import hashlib

        digest = hashlib.sha256()
        for name, value in self.model.state_dict().items():
            array = np.ascontiguousarray(value.numpy())
            digest.update(f"{name}{array.dtype.str}{array.shape}".encode())
            digest.update(array.tobytes())
        return digest.hexdigest()


class Checkpoint(NamedTuple):
    """A copy of a network's parameters, with the text that `load_checkpoint` needs to rebuild it."""

    state: dict[str, NDArray[Any]]
    metadata: dict[str, str]

    @classmethod
    def take(
        cls,
        network: Network,
        model: nn.Module,
        config: TrainConfig,
        data: DataConfig,
        record: Mapping[str, Any],
        environment: Mapping[str, Any],
    ) -> Checkpoint:
        """Copy `model`, the network's own or one like it (of averages), as it is now, after the epoch of `record`."""
        state = {name: value.numpy().copy("K") for name, value in model.state_dict().items()}
        metadata = {
            "format": _FORMAT,
            "network": network.description.to_json(),
            "config": json.dumps(asdict(config)),
            "data": json.dumps(asdict(data)),
            "epoch": json.dumps(dict(record)),
            "environment": json.dumps(dict(environment)),
        }
        return cls(state, metadata)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the checkpoint as safetensors; errors as in `tinytensor.save`."""
        save(self.state, path, self.metadata)


def load_checkpoint(path: str | os.PathLike[str]) -> Network:
    """Rebuild the network that `Checkpoint.save` wrote.

    Raises OSError if the file cannot be read, ValueError if it is damaged or was not written by tinytensor's
    training.
    """
    name = os.fspath(path)
    metadata = load_metadata(path)
    if metadata.get("format") != _FORMAT:
        raise ValueError(f"{name}: not a checkpoint of tinytensor's training (no format {_FORMAT!r} in its metadata)")
    try:
        description = Description.from_json(metadata["network"])
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{name}: damaged description of the network ({error!s:.300})") from None
    state = load(path)
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{name}: its tensors do not fit the network it describes (they are nested)")
    # Counted before the network is built, so that a forged width cannot ask for all the memory.
    expected = sum((inputs + 1) * outputs for inputs, outputs in description.layer_sizes())
    found = sum(value.numel() for value in state.values())
    if found < expected:
        raise ValueError(f"{name}: the network it describes has {expected} parameters, the file holds {found}")
    network = Network(description)
    try:
        network.model.load_state_dict(state)
    except (KeyError, RuntimeError, ValueError) as error:
        raise ValueError(f"{name}: its tensors do not fit the network it describes ({error!s:.300})") from None
    return network
