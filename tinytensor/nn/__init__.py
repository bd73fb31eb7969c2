"""Layers, losses and initialisers with PyTorch's names and meaning."""

from tinytensor.nn import functional, init
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
from tinytensor.nn.containers import Sequential
from tinytensor.nn.dropout import Dropout
from tinytensor.nn.linear import Flatten, Identity, Linear
from tinytensor.nn.loss import CrossEntropyLoss, MSELoss, NLLLoss
from tinytensor.nn.module import Module
from tinytensor.nn.parameter import Parameter

__all__ = [
    "ELU", "GELU", "SELU", "CrossEntropyLoss", "Dropout", "Flatten", "Identity", "LeakyReLU", "Linear",
    "LogSoftmax", "MSELoss", "Module", "NLLLoss", "Parameter", "ReLU", "Sequential", "SiLU", "Sigmoid",
    "Softmax", "Softplus", "Tanh", "functional", "init",
]  # fmt: skip
