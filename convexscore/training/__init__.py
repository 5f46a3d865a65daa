"""Training by gradients: the non-convex side of the same problem, with gaps to its global optimum.

`train` runs SGD, Adam or L-BFGS on a problem from `convexscore.objectives`, many restarts and learning
rates at once; `train_score_network` does so on data.
"""

from convexscore.training.history import log_epochs
from convexscore.training.lbfgs import LBFGS
from convexscore.training.optimizers import SGD, Adam
from convexscore.training.result import TrainingRuns
from convexscore.training.sources import FreshNoise
from convexscore.training.train import train, train_score_network

__all__ = [
    "LBFGS",
    "SGD",
    "Adam",
    "FreshNoise",
    "TrainingRuns",
    "log_epochs",
    "train",
    "train_score_network",
]
