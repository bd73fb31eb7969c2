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
from tinytensor.ops.convolution import conv1d, conv2d, conv_transpose1d, conv_transpose2d, fold, unfold
from tinytensor.ops.index import one_hot
from tinytensor.ops.loss import cross_entropy, mse_loss, nll_loss
from tinytensor.ops.pointwise import sigmoid, tanh
from tinytensor.ops.pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    avg_pool1d,
    avg_pool2d,
    max_pool1d,
    max_pool2d,
)
from tinytensor.ops.product import linear

__all__ = [
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_max_pool1d", "adaptive_max_pool2d", "avg_pool1d", "avg_pool2d",
    "conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d", "fold", "max_pool1d", "max_pool2d", "unfold",
    "cross_entropy", "dropout", "elu", "gelu", "leaky_relu", "linear", "log_softmax", "mse_loss", "nll_loss",
    "one_hot", "relu", "selu", "sigmoid", "silu", "softmax", "softplus", "tanh",
]  # fmt: skip
