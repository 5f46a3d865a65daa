"""The exact denoiser of a law."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import ArrayLike

from convexscore.denoisers.base import Floats
from convexscore.schedules.levels import Level
from convexscore.targets.base import Law


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
