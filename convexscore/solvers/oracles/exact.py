"""What both exact oracles do with their data and with the neurons they found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from convexscore.solvers.oracles.base import Floats, Neurons, NeuronSet

# Lines all of which are this near to a point (relative to the scale) cannot tell its sides apart.
RESOLVED = 1e-13
# T + delta M I counts as zero, relative to the sum of the sizes of its terms.
MIRRORED = 1e-14
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


def in_memory(neurons: Neurons) -> NeuronSet:
    """Neurons whose points an exact oracle can look at, pair by pair.

    Raises
    ------
    ValueError
        If the points are not in memory.
    """
    if not isinstance(neurons, NeuronSet):
        raise ValueError(
            f"neurons must have their points in memory (a NeuronSet) to be priced exactly; got "
            f"{type(neurons).__name__} over {type(neurons.data).__name__}. Use AscentOracle."
        )
    return neurons


def merge(neurons: NeuronSet) -> Merged:
    """Copies of a point, up to rounding, are active together: they act as one."""
    points, inverse = np.unique(neurons.points, axis=0, return_inverse=True)
    group = inverse.reshape(-1).astype(np.intp)
    scale = float(np.abs(points).max()) or 1.0
    near = cKDTree(points).query_pairs(RESOLVED * scale, output_type="ndarray")
    if len(near):
        n = len(points)
        graph = coo_matrix((np.ones(len(near)), near.T), shape=(n, n))
        label = connected_components(graph, directed=False)[1]
        points = points[np.unique(label, return_index=True)[1]]
        group = label[group].astype(np.intp)
    mass = np.bincount(group, neurons.mass, minlength=len(points)).astype(np.float64)
    return Merged(points, mass, group, scale)


def leading(value: Floats, count: int, rounding: float) -> NDArray[np.intp]:
    """Indices of the ``count`` largest and of those that rounding cannot tell from the last."""
    if len(value) <= count:
        return np.arange(len(value))
    last = np.partition(value, len(value) - count)[len(value) - count]
    return np.flatnonzero(value >= last - rounding)


def distinct(
    u: Floats,
    pivot: NDArray[np.intp],
    merged: Merged,
    n_best: int,
    separation: float,
    *,
    unsigned: bool,
) -> NDArray[np.intp]:
    """The first ``n_best`` neurons none of which is ``separation``-close to an earlier one.

    Close: in every entry of u and in the bias over the scale of the points.

    ``unsigned``: (u, b) and (-u, -b) are the same.  O(n_best k).
    """
    b = np.einsum("kd,kd->k", u, merged.points[pivot]) / merged.scale
    code = np.column_stack([u, b])
    kept = np.zeros(0, dtype=np.intp)
    width = 4 * n_best
    for start in range(0, len(b), width):
        block = np.arange(start, min(start + width, len(b)))
        block = block[~_close(code[block], code[kept], separation, unsigned).any(axis=1)]
        near = _close(code[block], code[block], separation, unsigned)
        alive = np.ones(len(block), dtype=bool)
        for k in range(len(block)):
            if alive[k]:
                alive[k + 1 :] &= ~near[k, k + 1 :]
        kept = np.concatenate([kept, block[alive]])
        if len(kept) >= n_best:
            break
    return kept[:n_best]


def _close(first: Floats, second: Floats, separation: float, unsigned: bool) -> NDArray[np.bool_]:
    out = np.zeros((len(first), len(second)), dtype=bool)
    for sign in (1.0, -1.0) if unsigned else (1.0,):
        same = np.ones(out.shape, dtype=bool)
        for column, other in zip(first.T, second.T, strict=True):
            same &= np.abs(column[:, None] - sign * other) <= separation
        out |= same
    return out


def place(
    neurons: NeuronSet,
    merged: Merged,
    u: Floats,
    pivot: NDArray[np.intp],
    side: NDArray[np.intp],
    on_kink: float,
) -> Floats:
    """Biases of kinks through the pivots; with a divergence term moved, so that ``side`` is theirs.

    The move is at most 1e-10 scale and half of the distance to the nearest other point, where points
    within ``on_kink`` (relative to the scale) belong to the kink.
    """
    through = -np.einsum("kd,kd->k", u, merged.points[pivot])
    if not neurons.divergence:
        return through
    nearest = np.full(len(pivot), np.inf)
    step = max(1, _BLOCK // max(1, len(pivot)))
    for start in range(0, len(merged.points), step):
        distance = np.abs(merged.points[start : start + step] @ u.T + through)
        distance[distance <= on_kink * merged.scale] = np.inf
        nearest = np.minimum(nearest, distance.min(axis=0))
    return through + side * np.minimum(_NUDGE * merged.scale, 0.5 * nearest)
