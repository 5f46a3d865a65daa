"""What one gradient is taken on: points with a one below, labels and masses."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convexscore.objectives.objective import ScoreObjective

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Batch:
    """Points that all runs share, or (R, ...) points that each run has of its own; one a column.

    Attributes
    ----------
    points : (d + 1, n) or (R, d + 1, n), columns ``[x, 1]``; in one dimension in increasing order.
    labels : (d, n) or (R, d, n), or None for zeros.
    mass : (n,) or (R, n), weight of each point in the sum (of a batch: times n / batch size).
    """

    points: Floats
    labels: Floats | None
    mass: Floats

    @property
    def size(self) -> int:
        """Points a run sees."""
        return int(self.points.shape[-1])

    def part(self, runs: slice, columns: slice) -> Batch:
        """Some points of some runs."""
        mine = (Ellipsis, columns) if self.points.ndim == 2 else (runs, Ellipsis, columns)
        labels = None if self.labels is None else self.labels[mine]
        return Batch(self.points[mine], labels, self.mass[mine])

    def of_runs(self, streams: NDArray[np.intp]) -> Batch:
        """For each run the points of its stream; shared points stay shared."""
        if self.points.ndim == 2:
            return self
        labels = None if self.labels is None else self.labels[streams]
        return Batch(self.points[streams], labels, self.mass[streams])


def columns_of(points: Floats, labels: Floats | None, mass: Floats) -> Batch:
    """Rows of points (..., n, d) and labels as a batch; on the line sorted."""
    if points.shape[-1] == 1:
        order = np.argsort(points[..., 0], axis=-1, kind="stable")
        points = np.take_along_axis(points, order[..., None], axis=-2)
        mass = np.take_along_axis(mass, order, axis=-1)
        if labels is not None:
            labels = np.take_along_axis(labels, order[..., None], axis=-2)
    *runs, n, d = points.shape
    with_ones = np.ones((*runs, d + 1, n))
    with_ones[..., :d, :] = np.swapaxes(points, -1, -2)
    turned = None if labels is None else np.ascontiguousarray(np.swapaxes(labels, -1, -2))
    return Batch(with_ones, turned, np.ascontiguousarray(mass))


def full_batch(problem: ScoreObjective) -> Batch:
    """All points of a problem."""
    weights = problem.sample_weight
    mass = np.ones(problem.n_samples) if weights is None else weights
    return columns_of(problem.points, problem.labels, mass)
