"""Training: the loop for any model; the networks of the command line, configurations and recipes."""

from .callbacks import Callback, EarlyStopping
from .config import DataConfig, TrainConfig
from .evaluation import Scores, evaluate
from .fit import fit
from .history import History
from .network import Checkpoint, Evaluation, Network, load_checkpoint
from .recipes import RECIPES
from .run import Run
from .samples import Samples, load_samples
from .train import TrainingRun, train

__all__ = [
    "RECIPES", "Callback", "Checkpoint", "DataConfig", "EarlyStopping", "Evaluation", "History", "Network", "Run", "Samples",
    "Scores", "TrainConfig", "TrainingRun", "evaluate", "fit", "load_checkpoint", "load_samples", "train",
]  # fmt: skip
