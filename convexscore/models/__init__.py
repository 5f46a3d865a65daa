"""What users fit: scores, paths, closed forms, and certificates of given networks.

Diffusion models are in ``convexscore.models.diffusion``: jobs, samplers and levels are no business of
somebody who fits or loads a score.
"""

from convexscore.models.certify import certify, smallest_beta
from convexscore.models.closed_forms import GaussianRegime, gaussian_regime
from convexscore.models.path import RegularizationPath, regularization_path
from convexscore.models.score import ConvexScore, fit_convex_score

__all__ = [
    "ConvexScore",
    "GaussianRegime",
    "RegularizationPath",
    "certify",
    "fit_convex_score",
    "gaussian_regime",
    "regularization_path",
    "smallest_beta",
]
