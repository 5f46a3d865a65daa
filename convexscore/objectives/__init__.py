"""The training objective: points, labels, weights, and what they are made from."""

from convexscore.objectives.objective import (
    DEFAULT_DRAWS,
    Denoising,
    ScoreMatching,
    ScoreObjective,
    denoising,
    score_matching,
)
from convexscore.objectives.smoothed_labels import smoothed_score

__all__ = [
    "DEFAULT_DRAWS",
    "Denoising",
    "ScoreMatching",
    "ScoreObjective",
    "denoising",
    "score_matching",
    "smoothed_score",
]
