"""What a diffusion model looks at when nobody says: noise levels and copies for the data at hand."""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import ArrayLike

from convexscore._tools.typing import Floats
from convexscore._tools.validation import check_count, check_positive
from convexscore.objectives.options import refuse_without_effect
from convexscore.schedules.levels import check_levels, geometric_levels
from convexscore.solvers.space.training import bandwidth

_N_LEVELS = 20
# Largest noise in standard deviations of the data: what is left of their law is its second moments.
_LARGEST_LEVEL = 10.0
# Smallest level: the final denoising step takes as much variance as it hides, so it lies below a
# bandwidth.  At least so many standard deviations: narrower features are not looked for unless
# sigma_min says so.
_SMALLEST_LEVEL = 1e-3
# Noisy points that stand for the smoothed law, at least; two copies of a point are a pair of opposite
# displacements, whose label noise nearly cancels.
_LINE_POINTS, _SPACE_POINTS = 8000, 2000
_LEAST_DRAWS, _MOST_DRAWS = 2, 50


def moments(z: Floats, weights: Floats | None) -> tuple[Floats, Floats]:
    """Mean (d,) and covariance (d, d) of weighted points."""
    share = np.full(len(z), 1.0 / len(z)) if weights is None else weights / weights.sum()
    mean = share @ z
    away = z - mean
    return mean, (share[:, None] * away).T @ away


def noisy_copies(n: int, d: int, *, n_draws: int | None) -> int:
    """Noisy copies of each of n points."""
    if n_draws is not None:
        return check_count(n_draws, name="n_draws")
    wanted = _LINE_POINTS if d == 1 else _SPACE_POINTS
    return min(_MOST_DRAWS, max(_LEAST_DRAWS, ceil(wanted / n)))


def noise_levels(
    z: Floats,
    weights: Floats | None,
    covariance: Floats,
    *,
    levels: ArrayLike | None,
    n_levels: int | None,
    sigma_max: float | None,
    sigma_min: float | None,
) -> Floats:
    """Decreasing VE noise levels: those given, or a geometric ladder for points of this covariance.

    Raises
    ------
    ValueError
        If they are no levels, or the ends of a ladder come with levels.
    """
    count = _N_LEVELS if n_levels is None else check_count(n_levels, name="n_levels", minimum=2)
    if levels is not None:
        ends = {"n_levels": n_levels, "sigma_max": sigma_max, "sigma_min": sigma_min}
        for name, value in ends.items():
            refuse_without_effect(name, value, "levels, which say everything", "levels=None")
        return check_levels(levels, at_least=2)
    spread = np.sqrt(np.trace(covariance) / len(covariance))
    top, low = _LARGEST_LEVEL * spread if sigma_max is None else sigma_max, sigma_min
    if low is None:
        size = len(z) if weights is None else float(weights.sum() ** 2 / (weights**2).sum())
        low = max(bandwidth(z / spread, size), _SMALLEST_LEVEL) * spread
        if low >= check_positive(top, name="sigma_max"):
            raise ValueError(
                f"sigma_max = {top:g} is not above the default sigma_min = {low:.3g} (from a "
                "bandwidth of the data); give sigma_min as well, or a larger sigma_max."
            )
    return geometric_levels(top, low, count)
