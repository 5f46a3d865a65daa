"""Globally optimal two-layer score networks by convex optimisation, each with a certificate."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Public names and where they live; imported on first use so that `import convexscore` is fast.
_PUBLIC = {
    "fit_convex_score": "models.score",
    "ConvexScore": "models.score",
    "fit_convex_diffusion": "models.diffusion",
    "ConvexDiffusion": "models.diffusion",
    "error_decomposition": "ddpm_errors",
    "ErrorDecomposition": "ddpm_errors",
    "error_sweep": "ddpm_errors",
    "ErrorSweep": "ddpm_errors",
    "ddpm_density": "ddpm_errors",
    "certify": "models.certify",
    "regularization_path": "models.path",
    "RegularizationPath": "models.path",
    "BetaSelection": "selection.cross_validation",
    "gaussian_regime": "models.closed_forms",
    "GaussianRegime": "models.closed_forms",
    "smallest_beta": "models.certify",
    "TwoLayerNetwork": "scores.network",
    "PiecewiseLinearScore": "scores.piecewise",
    "Certificate": "solvers.certificate",
    "Outcome": "solvers.certificate",
    "ConvergenceWarning": "_tools.exceptions",
    "DataWarning": "_tools.exceptions",
    "NotIntegrableError": "_tools.exceptions",
    "SolverError": "_tools.exceptions",
    "UnboundedObjectiveError": "_tools.exceptions",
    "load": "persistence",
    "save": "persistence",
}
_SUBPACKAGES = (
    "arrangements",
    "ddpm_errors",
    "denoisers",
    "metrics",
    "objectives",
    "plotting",
    "programs",
    "samplers",
    "schedules",
    "scores",
    "solvers",
    "targets",
    "training",
)

__all__ = ["__version__", *_PUBLIC, *_SUBPACKAGES]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        value = getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
        globals()[name] = value
        return value
    if name in _SUBPACKAGES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
