"""Where chains on a fitted score start, how long their steps are, and whether they make sense."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

from convexscore._tools.exceptions import DataWarning
from convexscore.scores.network import TwoLayerNetwork
from convexscore.scores.piecewise import PiecewiseLinearScore

Floats = NDArray[np.float64]

# Rows of the data kept as starts of chains.
MOST_STARTS = 5_000
# Step sizes are this over the steepest slope; the stability limit of Langevin is 4.
_STEP = 0.2
# Median asymmetry of the Jacobian from which a field counts as far from a gradient.
_ROTATIONAL = 0.5


def start_on_line(
    score: PiecewiseLinearScore, count: int, rng: np.random.Generator
) -> tuple[Floats, float]:
    """Over-dispersed start and step for a score of one column."""
    low, high = float(score.knots[0]), float(score.knots[-1])
    if score.is_integrable:
        low, high = float(score.ppf(0.001)), float(score.ppf(0.999))
    grid = np.linspace(low, high, 513) if high > low else np.array([low])
    steepest = float(np.abs(score.derivative(grid)).max())
    if steepest == 0.0:
        steepest = 1.0 / max(high - low, np.finfo(float).tiny) ** 2
    start = rng.uniform(low, high, count) if high > low else np.full(count, low)
    return start, _STEP / steepest


def start_at_data(
    score: TwoLayerNetwork, rows: Floats, count: int, rng: np.random.Generator
) -> tuple[Floats, float]:
    """Random rows of the data, and a step for the steepest Jacobian at them."""
    jacobian = score.jacobian(rows)
    steepest = float(np.linalg.norm(jacobian, ord=2, axis=(1, 2)).max())
    if steepest == 0.0:
        steepest = 1.0 / float(rows.var(axis=0).max())
    return rows[rng.integers(len(rows), size=count)], _STEP / steepest


def warn_if_rotational(score: TwoLayerNetwork, points: Floats, *, stacklevel: int = 2) -> None:
    """Warn where Langevin's stationary law would not be the one of the score."""
    asymmetry = float(np.median(score.jacobian_asymmetry(points)))
    if asymmetry > _ROTATIONAL:
        warnings.warn(
            f"the fitted field is far from a gradient: the median asymmetry |J - J'| / |J| of its "
            f"Jacobian on the data is {asymmetry:.2g} (0 for a gradient). Langevin then has no "
            "log-density to follow; refit with conservative=True, a larger beta, or more data.",
            DataWarning,
            stacklevel=stacklevel + 1,
        )
