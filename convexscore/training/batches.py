"""What one gradient is taken on: points with a one below, labels and masses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convexscore._tools.typing import Floats
from convexscore.objectives.objective import ScoreObjective


@dataclass(frozen=True, eq=False)
class Batch:
    """Points that all runs share, or (R, ...) points that each run has of its own; one a column.

    Attributes
    ----------
    points : (d + 1, n) or (R, d + 1, n), columns ``[x, 1]``; in one dimension in increasing order.
    labels : (d, n) or (R, d, n).
    mass : (n,) or (R, n), weight of each point in the sum (of a batch: times n / batch size).
    """

    points: Floats
    labels: Floats
    mass: Floats

    @property
    def size(self) -> int:
        """Points a run sees."""
        return int(self.points.shape[-1])

    def take(
        self, runs: slice | NDArray[np.intp] = slice(None), columns: slice = slice(None)
    ) -> Batch:
        """Some points of some runs; shared points stay shared."""
        mine = (Ellipsis, columns) if self.points.ndim == 2 else (runs, Ellipsis, columns)
        return Batch(self.points[mine], self.labels[mine], self.mass[mine])


def joined(points: Floats, labels: Floats, mass: Floats) -> Floats:
    """Rows [x, 1, label, mass] (..., n, 2 d + 2) of points and labels (..., n, d) and masses (..., n)."""
    return np.concatenate([points, np.ones_like(mass)[..., None], labels, mass[..., None]], axis=-1)


def rows_of(problem: ScoreObjective) -> Floats:
    """The rows of a problem, with labels 0 for score matching and masses 1 without weights."""
    labels, weights = problem.labels, problem.sample_weight
    return joined(
        problem.points,
        np.zeros_like(problem.points) if labels is None else labels,
        np.ones(problem.n_samples) if weights is None else weights,
    )


def columns_of(rows: Floats, share: float = 1.0) -> Batch:
    """Rows [x, 1, label, mass] as a batch, on the line sorted; masses are multiplied by ``share``."""
    d = rows.shape[-1] // 2 - 1
    if d == 1:
        order = np.argsort(rows[..., :1], axis=-2, kind="stable")
        rows = np.take_along_axis(rows, order, axis=-2)
    columns = np.ascontiguousarray(np.swapaxes(rows, -1, -2))
    columns[..., -1, :] *= share
    return Batch(columns[..., : d + 1, :], columns[..., d + 1 : -1, :], columns[..., -1, :])
