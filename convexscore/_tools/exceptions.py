"""Errors and warnings of the package, each named for what went wrong."""

from __future__ import annotations

from sklearn.exceptions import ConvergenceWarning as _SklearnConvergenceWarning


class NotIntegrableError(ValueError):
    """The score belongs to no probability density; the message says which tail fails."""


class UnboundedObjectiveError(ValueError):
    """Score matching is unbounded below at this ``beta``; the message names the limit."""


class SolverError(RuntimeError):
    """A reference (conic) solver failed; the message carries its status."""


class ConvergenceWarning(_SklearnConvergenceWarning):
    """A solver stopped before its tolerance: number reached, number wanted, remedy."""


class DataWarning(UserWarning):
    """The data are usable but something about them will surprise (ties, tiny beta, ...)."""
