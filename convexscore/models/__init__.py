"""What users fit: scores, diffusion models, paths, closed forms, and certificates of given networks."""

from importlib import import_module
from typing import TYPE_CHECKING

from convexscore.models.certify import certify, smallest_beta
from convexscore.models.closed_forms import GaussianRegime, gaussian_regime
from convexscore.models.path import RegularizationPath, regularization_path
from convexscore.models.score import ConvexScore, fit_convex_score

if TYPE_CHECKING:
    from convexscore.models.diffusion import ConvexDiffusion, fit_convex_diffusion
    from convexscore.models.levels import LevelFit, LevelTable

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

# Jobs, samplers and all levels are no business of somebody who fits or loads a score.
_LATER = {
    "ConvexDiffusion": "diffusion",
    "fit_convex_diffusion": "diffusion",
    "LevelFit": "levels",
    "LevelTable": "levels",
}

if not TYPE_CHECKING:

    def __getattr__(name):
        if name in _LATER:
            return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
