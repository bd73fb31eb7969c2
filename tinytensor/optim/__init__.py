"""Optimizers with PyTorch's names and formulas; each step is one C call per parameter group."""

from tinytensor.optim import lr_scheduler
from tinytensor.optim.adam import Adam, AdamW
from tinytensor.optim.optimizer import Optimizer
from tinytensor.optim.sgd import SGD

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "lr_scheduler"]
