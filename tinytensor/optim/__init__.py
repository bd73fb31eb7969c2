"""Optimizers with PyTorch's names and formulas; each step is one C call per parameter group."""

from tinytensor.optim import lr_scheduler, swa_utils
from tinytensor.optim.adagrad import Adadelta, Adagrad, RMSprop
from tinytensor.optim.adam import Adam, Adamax, AdamW, NAdam, RAdam
from tinytensor.optim.lbfgs import LBFGS
from tinytensor.optim.lion import Lion
from tinytensor.optim.optimizer import Optimizer
from tinytensor.optim.sgd import SGD

__all__ = [
    "LBFGS", "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Lion", "NAdam", "Optimizer", "RAdam",
    "RMSprop", "lr_scheduler", "swa_utils",
]  # fmt: skip
