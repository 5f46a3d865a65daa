"""The training objective: points, labels and weights, and the options that name it."""

from convexscore.objectives.objective import (
    DEFAULT_DRAWS,
    Denoising,
    ScoreMatching,
    ScoreObjective,
    denoising,
    score_matching,
)
from convexscore.objectives.options import (
    Case,
    DiffusionOptions,
    PathOptions,
    Problem,
    ScoreOptions,
    make_problem,
)
from convexscore.objectives.smoothed_labels import smoothed_score
from convexscore.objectives.standardization import Standardization, standardization

__all__ = [
    "DEFAULT_DRAWS",
    "Case",
    "Denoising",
    "DiffusionOptions",
    "PathOptions",
    "Problem",
    "ScoreMatching",
    "ScoreObjective",
    "ScoreOptions",
    "Standardization",
    "denoising",
    "make_problem",
    "score_matching",
    "smoothed_score",
    "standardization",
]
