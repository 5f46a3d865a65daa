"""What a denoiser is, what one that iterates says about its convergence, and the exact one of a law."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.typing import Floats
from convexscore.schedules.levels import Level
from convexscore.targets.base import Law


@dataclass(frozen=True)
class Convergence:
    """How the iterations of a denoiser went, over all points it was asked for.

    Attributes
    ----------
    n_points : int
        Rows of z.
    n_unconverged : int
        Those whose residual was above ``tol`` when the iterations ended.
    n_iterations : int
        The most that one point took.
    residual : float
        The largest at the end of the iterations, in units of X.
    tol : float
        What the residual was to be below.

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore.denoisers import Convergence
    >>> first = Convergence.of(np.array([1e-9, 2e-8]), n_iterations=12, tol=1e-6)
    >>> both = first + Convergence.of(np.array([0.3]), n_iterations=100, tol=1e-6)
    >>> both.converged, both.n_unconverged, both.n_points, both.n_iterations
    (False, 1, 3, 100)
    """

    n_points: int
    n_unconverged: int
    n_iterations: int
    residual: float
    tol: float

    @classmethod
    def of(cls, residuals: Floats, *, n_iterations: int, tol: float) -> Convergence:
        """Of one call, from the last residual of every point; NaN counts as not converged."""
        unconverged = int(np.count_nonzero(~(residuals <= tol)))
        worst = float(np.max(residuals, initial=0.0))
        return cls(len(residuals), unconverged, n_iterations, worst, tol)

    @property
    def converged(self) -> bool:
        """Whether every point did."""
        return self.n_unconverged == 0

    def __add__(self, other: Convergence) -> Convergence:
        """Of both calls together, against the stricter of their tolerances."""
        return Convergence(
            self.n_points + other.n_points,
            self.n_unconverged + other.n_unconverged,
            max(self.n_iterations, other.n_iterations),
            float(np.maximum(self.residual, other.residual)),
            min(self.tol, other.tol),
        )


@runtime_checkable
class Denoiser(Protocol):
    r"""A posterior mean :math:`E[X | \lambda X + \sigma G = z]`, exact or approximate.

    Called with ``z`` of shape (n, dim), or (n,) for dim = 1, and levels that are floats or arrays
    (n,) with one a row; returns the shape of ``z``. ``report`` sums up all calls so far of a
    denoiser that iterates, so that it can be read after a sampler's run; it is None before the
    first call, and always for a closed form.
    """

    @property
    def dim(self) -> int: ...

    @property
    def report(self) -> Convergence | None: ...

    def __call__(self, z: ArrayLike, scale: Level, sigma: Level) -> Floats: ...


@dataclass(frozen=True)
class Exact:
    r"""The posterior mean of a law itself, to hold approximate denoisers against.

    Parameters
    ----------
    law : Law
        Anything with ``dim`` and ``denoise(z, scale, sigma)``.

    Raises
    ------
    TypeError
        If it has not.

    Examples
    --------
    >>> from convexscore import denoisers, scores, targets
    >>> law = targets.Gaussian([0.0], 3.0)
    >>> denoiser = denoisers.Exact(law)
    >>> denoiser([4.0], 1.0, 1.0)  # three quarters of it are signal
    array([3.])
    >>> scores.ve_score(denoiser)([4.0], 1.0)
    array([-1.])
    """

    law: Law

    def __post_init__(self) -> None:
        if not (callable(getattr(self.law, "denoise", None)) and hasattr(self.law, "dim")):
            raise TypeError(
                f"law must have dim and denoise(z, scale, sigma); got {type(self.law).__name__}. "
                f"See convexscore.targets for laws that have."
            )

    @property
    def dim(self) -> int:
        return self.law.dim

    @property
    def report(self) -> None:
        """Nothing iterates."""

    def __call__(self, z: ArrayLike, scale: Level, sigma: Level) -> Floats:
        return self.law.denoise(z, scale, sigma)
