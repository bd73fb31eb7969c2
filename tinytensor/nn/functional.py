"""The differentiable functions under PyTorch's `torch.nn.functional` names: what the modules call."""

from tinytensor.ops.activation import (
    dropout,
    elu,
    gelu,
    leaky_relu,
    log_softmax,
    relu,
    selu,
    silu,
    softmax,
    softplus,
)
from tinytensor.ops.index import one_hot
from tinytensor.ops.loss import cross_entropy, mse_loss, nll_loss
from tinytensor.ops.pointwise import sigmoid, tanh
from tinytensor.ops.product import linear
from tinytensor.ops.rearrange import pad

__all__ = [
    "cross_entropy", "dropout", "elu", "gelu", "leaky_relu", "linear", "log_softmax", "mse_loss", "nll_loss",
    "one_hot", "pad", "relu", "selu", "sigmoid", "silu", "softmax", "softplus", "tanh",
]  # fmt: skip
