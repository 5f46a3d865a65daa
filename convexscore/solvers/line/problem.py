"""From a univariate objective to sorted, standardised, tie-free line data, and back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from convexscore.objectives.objective import ScoreObjective
from convexscore.solvers.line.data import Floats, LineData

# Values closer than this many rounding units of the largest one are the same value: 0.1 + 0.2 and
# 0.3 are a tie, and treating them as two would allow kinks of size 1e16 between them.
TIE_ULPS = 8.0


@dataclass(frozen=True)
class LineProblem:
    """Line data in standard units z = (x - center) / scale, with the values in original units.

    The scale is a power of two and the shift exact, so z has every digit of x.
    Scores scale by 1 / scale, objectives by 1 / scale^2, beta is the same in both.
    """

    data: LineData
    values: Floats  # (P,) distinct data values, original units
    center: float
    scale: float
    tie_tolerance: float
    mean: float  # weighted mean and variance of the standardised data
    variance: float

    @property
    def objective_unit(self) -> float:
        """What one unit of the standardised objective is in original units."""
        return 1.0 / self.scale**2


def prepare(objective: ScoreObjective) -> LineProblem:
    """Sort, merge ties, standardise.  O(n log n) time for the sort, O(n) memory."""
    x = objective.points[:, 0]
    weights = objective.sample_weight
    labels = None if objective.labels is None else objective.labels[:, 0]
    if weights is None and labels is None:
        x = np.sort(x)
        order = None
    else:
        order = np.argsort(x, kind="stable")
        x = x[order]
    tolerance = TIE_ULPS * np.finfo(float).eps * max(abs(float(x[0])), abs(float(x[-1])))
    distinct = np.concatenate(([True], np.diff(x) > tolerance))
    n_values = int(np.count_nonzero(distinct))
    if n_values < 2:
        raise ValueError(
            f"x is constant up to rounding (spread {x[-1] - x[0]:g} at size {abs(x[0]):g}): a score "
            "needs at least 2 distinct values. Subtract the common offset before storing the data."
        )
    mass = np.ones(x.size) if weights is None else weights[order]
    label_mass = None if labels is None else mass * labels[order]
    spread = 0.0
    if n_values < x.size:
        starts = np.flatnonzero(distinct)
        merged = np.add.reduceat(mass, starts)
        if label_mass is not None and labels is not None:
            merged_labels = np.add.reduceat(label_mass, starts)
            group = np.cumsum(distinct) - 1
            away = labels[order] - (merged_labels / merged)[group]
            spread = 0.5 * float(np.dot(mass, away * away))
            label_mass = merged_labels
        x, mass = x[starts], merged
    total = float(mass.sum())
    center = _exact_center(x)
    z = x - center
    # powers of two: standardising costs no digits
    unit = 2.0 ** np.round(np.log2(max(abs(float(z[0])), abs(float(z[-1])))))
    z /= unit
    mean = float(np.dot(mass, z)) / total
    variance = float(np.dot(mass * z, z)) / total - mean * mean
    # far below the range the variance drowns in rounding; any scale of its size will do
    deviation = np.sqrt(max(variance, np.finfo(float).eps))
    within = 2.0 ** np.round(np.log2(deviation))
    z /= within
    scale = float(unit * within)
    if label_mass is not None:
        label_mass = label_mass * scale
    data = LineData(z, mass, label_mass, objective.divergence, spread * scale**2)
    return LineProblem(
        data,
        x,
        center,
        scale,
        tolerance,
        float(mean / within),
        float(max(variance, 0.0) / within**2),
    )


def _exact_center(x: Floats) -> float:
    """A shift that loses no digit of any difference between data values.

    Where all values are within a factor two of each other, subtracting one of them is exact
    (Sterbenz); elsewhere the offset is no larger than the range and needs no removal.
    """
    smallest = float(x[np.argmin(np.abs(x))])
    return smallest if abs(smallest) >= float(x[-1] - x[0]) else 0.0
