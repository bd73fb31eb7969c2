"""Layers, losses and initialisers with PyTorch's names and meaning."""

from tinytensor.nn import functional, init, utils
from tinytensor.nn.activation import (
    ELU,
    GELU,
    SELU,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from tinytensor.nn.containers import ModuleDict, ModuleList, Sequential
from tinytensor.nn.dropout import Dropout
from tinytensor.nn.linear import Flatten, Identity, Linear, Maxout, Unflatten
from tinytensor.nn.loss import (
    BCELoss,
    BCEWithLogitsLoss,
    CosineEmbeddingLoss,
    CrossEntropyLoss,
    GaussianNLLLoss,
    HingeEmbeddingLoss,
    HuberLoss,
    KLDivLoss,
    L1Loss,
    MarginRankingLoss,
    MSELoss,
    MultiMarginLoss,
    NLLLoss,
    PoissonNLLLoss,
    SmoothL1Loss,
    SoftMarginLoss,
    TripletMarginLoss,
)
from tinytensor.nn.module import Module
from tinytensor.nn.parameter import Parameter

__all__ = [
    "ELU", "GELU", "SELU", "BCELoss", "BCEWithLogitsLoss", "CosineEmbeddingLoss", "CrossEntropyLoss", "Dropout", "Flatten",
    "GaussianNLLLoss", "HingeEmbeddingLoss", "HuberLoss", "Identity", "KLDivLoss", "L1Loss", "LeakyReLU", "Linear",
    "LogSoftmax", "MSELoss", "MarginRankingLoss", "Maxout", "Module", "ModuleDict", "ModuleList", "MultiMarginLoss", "NLLLoss", "Parameter", "PoissonNLLLoss", "ReLU",
    "Sequential", "SiLU", "Sigmoid", "SmoothL1Loss", "SoftMarginLoss", "Softmax", "Softplus", "Tanh", "TripletMarginLoss",
    "Unflatten", "functional", "init", "utils",
]  # fmt: skip
