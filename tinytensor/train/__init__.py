"""Training: the loop for any model, the classifier of the command line, recipes."""

from .callbacks import Callback, EarlyStopping
from .classifier import (
    ACTIVATIONS,
    DTYPES,
    OPTIMIZERS,
    SCHEDULES,
    Checkpoint,
    Classifier,
    EpochRecord,
    Evaluation,
    TrainConfig,
    TrainingRun,
    load_checkpoint,
    train,
)
from .evaluation import Scores, evaluate
from .fit import fit
from .history import History
from .run import Run

__all__ = [
    "ACTIVATIONS", "DTYPES", "OPTIMIZERS", "SCHEDULES", "Callback", "Checkpoint", "Classifier", "EarlyStopping", "EpochRecord",
    "Evaluation", "History", "Run", "Scores", "TrainConfig", "TrainingRun", "evaluate", "fit", "load_checkpoint", "train",
]  # fmt: skip
