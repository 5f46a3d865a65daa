"""What users fit: scores, diffusion models, paths, closed forms, and certificates of given networks."""

from convexscore.models.certify import certify, smallest_beta
from convexscore.models.closed_forms import GaussianRegime, gaussian_regime
from convexscore.models.diffusion import ConvexDiffusion, fit_convex_diffusion
from convexscore.models.levels import LevelFit, LevelTable
from convexscore.models.path import RegularizationPath, regularization_path
from convexscore.models.score import ConvexScore, fit_convex_score

__all__ = [
    "ConvexDiffusion",
    "ConvexScore",
    "GaussianRegime",
    "LevelFit",
    "LevelTable",
    "RegularizationPath",
    "certify",
    "fit_convex_diffusion",
    "fit_convex_score",
    "gaussian_regime",
    "regularization_path",
    "smallest_beta",
]
