"""Globally optimal two-layer score networks by convex optimisation, each with a certificate."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Public names and where they live; imported on first use so that `import convexscore` is fast.
_PUBLIC = {
    "fit_convex_score": "estimators",
    "ConvexScore": "estimators",
    "fit_convex_diffusion": "diffusion",
    "ConvexDiffusion": "diffusion",
    "error_decomposition": "ddpm_errors",
    "ErrorDecomposition": "ddpm_errors",
    "error_sweep": "ddpm_errors",
    "ErrorSweep": "ddpm_errors",
    "ddpm_density": "ddpm_errors",
    "certify": "certificates",
    "regularization_path": "paths",
    "RegularizationPath": "paths",
    "BetaSelection": "selection",
    "gaussian_regime": "closed_forms",
    "GaussianRegime": "closed_forms",
    "boundedness_limit": "certificates",
    "boundedness_threshold": "solvers.boundedness",
    "TwoLayerNetwork": "networks",
    "PiecewiseLinearScore": "piecewise",
    "Certificate": "solvers.result",
    "ConvergenceWarning": "_exceptions",
    "DataWarning": "_exceptions",
    "NotIntegrableError": "_exceptions",
    "SolverError": "_exceptions",
    "UnboundedObjectiveError": "_exceptions",
    "load": "persistence",
    "save": "persistence",
}
_SUBPACKAGES = (
    "arrangements",
    "ddpm_errors",
    "metrics",
    "objectives",
    "plotting",
    "programs",
    "samplers",
    "schedules",
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
