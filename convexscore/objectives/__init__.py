"""The training objective: points, labels and weights, and the options that name it."""

from convexscore.objectives.objective import (
    DEFAULT_DRAWS,
    ScoreObjective,
    denoising,
    score_matching,
)
from convexscore.objectives.options import DiffusionOptions, PathOptions, ScoreOptions
from convexscore.objectives.smoothed_labels import smoothed_score
from convexscore.objectives.standardization import Standardization, standardization

__all__ = [
    "DEFAULT_DRAWS",
    "DiffusionOptions",
    "PathOptions",
    "ScoreObjective",
    "ScoreOptions",
    "Standardization",
    "denoising",
    "score_matching",
    "smoothed_score",
    "standardization",
]
