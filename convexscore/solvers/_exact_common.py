"""What both exact oracles do with their data and with the neurons they found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convexscore.solvers.oracle_result import Floats, NeuronSet

# A kink is moved this far off its pivots (relative to the scale), less if another point is near.
_NUDGE = 1e-10
_BLOCK = 1 << 21


@dataclass(frozen=True, eq=False)
class Merged:
    """Distinct points with the mass of all their copies."""

    points: Floats
    mass: Floats
    group: NDArray[np.intp]
    scale: float

    def collect(self, residual: Floats) -> Floats:
        """Residual rows added up over copies."""
        n = len(self.points)
        columns = [np.bincount(self.group, column, minlength=n) for column in residual.T]
        return np.stack(columns, axis=1)


def merge(neurons: NeuronSet) -> Merged:
    """Copies of a point are active together: they act as one."""
    points, group = np.unique(neurons.points, axis=0, return_inverse=True)
    group = group.reshape(-1)
    mass = np.bincount(group, neurons.mass, minlength=len(points))
    scale = float(np.abs(points).max())
    return Merged(points, mass, group, scale if scale > 0.0 else 1.0)


def distinct(
    u: Floats, b: Floats, n_best: int, separation: float, *, unsigned: bool
) -> NDArray[np.intp]:
    """The first ``n_best`` neurons none of which is ``separation``-close to an earlier one.

    ``unsigned``: (u, b) and (-u, -b) are the same.  O(n_best k).
    """
    code = np.column_stack([u, b])
    left = np.arange(len(b))
    kept = []
    while len(left) and len(kept) < n_best:
        first = left[0]
        kept.append(first)
        rest = code[left]
        apart = np.abs(rest - code[first]).max(axis=1) > separation
        if unsigned:
            apart &= np.abs(rest + code[first]).max(axis=1) > separation
        apart[0] = False
        left = left[apart]
    return np.array(kept, dtype=np.intp)


def place(
    neurons: NeuronSet, merged: Merged, u: Floats, pivot: NDArray[np.intp], side: NDArray[np.intp]
) -> tuple[Floats, Floats]:
    """Biases through the pivots; with a divergence term moved so that they are on ``side``.

    The move is a tenth of nothing: at most 1e-10 scale and half of the distance to any other point.
    """
    through = -np.einsum("kd,kd->k", u, merged.points[pivot])
    if not neurons.divergence:
        return u, through
    nearest = np.full(len(pivot), np.inf)
    step = max(1, _BLOCK // max(1, len(pivot)))
    for start in range(0, len(merged.points), step):
        distance = np.abs(merged.points[start : start + step] @ u.T + through)
        here = (pivot >= start) & (pivot < start + step)
        distance[pivot[here] - start, np.flatnonzero(here)] = np.inf
        nearest = np.minimum(nearest, distance.min(axis=0))
    return u, through + side * np.minimum(_NUDGE * merged.scale, 0.5 * nearest)
