"""Training: the loop for any model, the classifier of the command line, recipes."""

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

__all__ = [
    "ACTIVATIONS", "DTYPES", "OPTIMIZERS", "SCHEDULES", "Checkpoint", "Classifier", "EpochRecord", "Evaluation", "TrainConfig",
    "TrainingRun", "load_checkpoint", "train",
]  # fmt: skip
