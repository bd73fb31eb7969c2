"""The differentiable functions under PyTorch's `torch.nn.functional` names: what the modules call."""

from tinytensor.ops.activation import (
    alpha_dropout,
    celu,
    dropout,
    dropout1d,
    dropout2d,
    elu,
    gelu,
    glu,
    gumbel_softmax,
    hardshrink,
    hardsigmoid,
    hardswish,
    hardtanh,
    leaky_relu,
    log_softmax,
    logsigmoid,
    mish,
    prelu,
    relu,
    relu6,
    rrelu,
    selu,
    silu,
    softmax,
    softmin,
    softplus,
    softshrink,
    softsign,
    tanhshrink,
    threshold,
)
from tinytensor.ops.attention import scaled_dot_product_attention
from tinytensor.ops.embedding import embedding
from tinytensor.ops.index import one_hot
from tinytensor.ops.loss import cross_entropy, mse_loss, nll_loss
from tinytensor.ops.normalization import (
    batch_norm,
    cosine_similarity,
    group_norm,
    instance_norm,
    layer_norm,
    normalize,
    pairwise_distance,
    rms_norm,
)
from tinytensor.ops.pointwise import sigmoid, tanh
from tinytensor.ops.product import linear

__all__ = [
    "alpha_dropout", "batch_norm", "celu", "cosine_similarity", "cross_entropy", "dropout", "dropout1d", "dropout2d", "elu",
    "embedding", "gelu", "glu", "group_norm", "gumbel_softmax", "hardshrink", "hardsigmoid", "hardswish", "hardtanh",
    "instance_norm", "layer_norm", "leaky_relu", "linear", "log_softmax", "logsigmoid", "mish", "mse_loss", "nll_loss",
    "normalize", "one_hot", "pairwise_distance", "prelu", "relu", "relu6", "rms_norm", "rrelu",
    "scaled_dot_product_attention", "selu", "sigmoid", "silu", "softmax", "softmin", "softplus", "softshrink", "softsign",
    "tanh", "tanhshrink", "threshold",
]  # fmt: skip
