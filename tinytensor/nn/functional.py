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
from tinytensor.ops.likelihood import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    gaussian_nll_loss,
    kl_div,
    poisson_nll_loss,
)
from tinytensor.ops.loss import cross_entropy, huber_loss, l1_loss, mse_loss, nll_loss, smooth_l1_loss
from tinytensor.ops.margin import (
    cosine_embedding_loss,
    hinge_embedding_loss,
    margin_ranking_loss,
    multi_margin_loss,
    pairwise_distance,
    soft_margin_loss,
    triplet_margin_loss,
)
from tinytensor.ops.pointwise import sigmoid, tanh
from tinytensor.ops.product import linear

__all__ = [
    "binary_cross_entropy", "binary_cross_entropy_with_logits", "cosine_embedding_loss", "cross_entropy", "dropout", "elu",
    "gaussian_nll_loss", "gelu", "hinge_embedding_loss", "huber_loss", "kl_div", "l1_loss", "leaky_relu", "linear", "log_softmax",
    "margin_ranking_loss", "mse_loss", "multi_margin_loss", "nll_loss", "one_hot", "pairwise_distance", "poisson_nll_loss", "relu",
    "selu", "sigmoid", "silu", "smooth_l1_loss", "soft_margin_loss", "softmax", "softplus", "tanh", "triplet_margin_loss",
]  # fmt: skip
