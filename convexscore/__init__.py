"""Globally optimal two-layer score networks by convex optimisation, each with a certificate."""

from importlib import import_module
from pkgutil import iter_modules
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# The same names twice: for type checkers, and with where they live for `import convexscore`, which
# loads none of them. A test compares the two.
if TYPE_CHECKING:
    from convexscore import arrangements as arrangements
    from convexscore import ddpm_errors as ddpm_errors
    from convexscore import denoisers as denoisers
    from convexscore import metrics as metrics
    from convexscore import models as models
    from convexscore import objectives as objectives
    from convexscore import persistence as persistence
    from convexscore import plotting as plotting
    from convexscore import programs as programs
    from convexscore import samplers as samplers
    from convexscore import schedules as schedules
    from convexscore import scores as scores
    from convexscore import selection as selection
    from convexscore import solvers as solvers
    from convexscore import targets as targets
    from convexscore import training as training
    from convexscore._tools.exceptions import ConvergenceWarning as ConvergenceWarning
    from convexscore._tools.exceptions import DataWarning as DataWarning
    from convexscore._tools.exceptions import NotIntegrableError as NotIntegrableError
    from convexscore._tools.exceptions import SolverError as SolverError
    from convexscore._tools.exceptions import UnboundedObjectiveError as UnboundedObjectiveError
    from convexscore.models import ConvexScore as ConvexScore
    from convexscore.models import certify as certify
    from convexscore.models import fit_convex_score as fit_convex_score
    from convexscore.models import regularization_path as regularization_path
    from convexscore.models import smallest_beta as smallest_beta
    from convexscore.models.diffusion import ConvexDiffusion as ConvexDiffusion
    from convexscore.models.diffusion import fit_convex_diffusion as fit_convex_diffusion
    from convexscore.persistence import load as load
    from convexscore.persistence import save as save
    from convexscore.scores import PiecewiseLinearScore as PiecewiseLinearScore
    from convexscore.scores import TwoLayerNetwork as TwoLayerNetwork
    from convexscore.solvers import Certificate as Certificate
    from convexscore.solvers import Outcome as Outcome

_HOMES = {
    "_tools.exceptions": (
        "ConvergenceWarning", "DataWarning", "NotIntegrableError", "SolverError",
        "UnboundedObjectiveError",
    ),
    "models": ("ConvexScore", "certify", "fit_convex_score", "regularization_path", "smallest_beta"),
    "models.diffusion": ("ConvexDiffusion", "fit_convex_diffusion"),
    "persistence": ("load", "save"),
    "scores": ("PiecewiseLinearScore", "TwoLayerNetwork"),
    "solvers": ("Certificate", "Outcome"),
}  # fmt: skip
_PUBLIC = {name: home for home, names in _HOMES.items() for name in names}
_SUBPACKAGES = tuple(
    room.name
    for room in iter_modules(__path__)
    if room.name not in ("_tools", "cli") and room.ispkg
)

__all__ = ["__version__", *_PUBLIC, *_SUBPACKAGES]

# Not for type checkers, to whom it would say that every name exists.
if not TYPE_CHECKING:

    def __getattr__(name):
        if name in _PUBLIC:
            value = getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
            globals()[name] = value
            return value
        if name in _SUBPACKAGES:
            return import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
