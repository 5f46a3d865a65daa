"""What a picture of a planar arrangement needs: corners, cones, and which cells to point out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convexscore.arrangements.arrangement import Arrangement
from convexscore.arrangements.hyperplanes import Floats

# Corners of the cells are on the grid up to here; beyond they are below the line width.
_MAX_CORNERS = 40


def wide_and_different(cells: Arrangement, count: int) -> NDArray[np.intp]:
    """Rows of wide cells with active and inactive points, of different numbers where possible."""
    active, n = cells.n_active, cells.patterns.shape[1]
    mixed = (active > 0) & (active < n) if cells.bias else np.ones(len(cells), dtype=bool)
    order = np.argsort(-cells.margin, kind="stable")
    order = order[mixed[order]]
    chosen: list[int] = []
    for only_new in (True, False):
        for row in order:
            if len(chosen) == count:
                break
            known = active[row] in active[chosen]
            # a cell and its opposite are the same line
            turned = (cells.u[chosen] == -cells.u[row]).all(axis=1).any()
            if row not in chosen and not turned and not (only_new and known):
                chosen.append(int(row))
    return np.array(chosen, dtype=np.intp)


def crossing_angles(middle: Floats) -> Floats:
    """Grid of directions in [0, 2 pi] with the crossings of the curves on it."""
    grid = np.linspace(0.0, 2.0 * np.pi, 721)
    if middle.shape[0] > _MAX_CORNERS:
        return grid
    first, second = np.triu_indices(middle.shape[0], 1)
    between = middle[first] - middle[second]
    between = between[between.any(axis=1)]
    crossing = np.mod(np.arctan2(between[:, 0], -between[:, 1]), np.pi)
    return np.union1d(grid, np.concatenate([crossing, crossing + np.pi]))


def cones(X: Floats) -> list[tuple[float, float]]:
    """Start and end, in degrees, of the cones between the lines orthogonal to the points."""
    X = X[X.any(axis=1)]
    if X.shape[0] == 0:
        return [(0.0, 360.0)]
    line = np.sort(np.mod(np.degrees(np.arctan2(X[:, 0], -X[:, 1])), 180.0))
    edges = np.concatenate([line, line + 180.0, line[:1] + 360.0])
    wide = np.flatnonzero(np.diff(edges) > 1e-7)
    return [(float(edges[k]), float(edges[k + 1])) for k in wide]
