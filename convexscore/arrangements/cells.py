r"""Cells of a central hyperplane arrangement, one point inside each, up to sign.

Deletion and restriction: the cells that hyperplane H_k adds to those of H_1, ..., H_{k-1} are as many
as the cells which the first k - 1 cut H_k itself into, and each has one of these on its boundary.  So
the cells of H_k, an arrangement of one dimension less, lifted a little to both sides of H_k for
k = 1, ..., N, visit every cell.  In the plane the recursion ends with a sweep over sorted angles.

All cells come in pairs v, -v; only one of each pair is kept.  Half the number of cells is the sum over
k of half the number of cells in H_k, which checks the result.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from convexscore.arrangements.hyperplanes import SAME, Bools, Floats

# Signs of products of unit vectors below this are rounding.
_ROUNDING = 1e-13
# Largest block of cells times hyperplanes worked on at once (numbers, 8 bytes each).
_BLOCK = 1 << 20


class CellSearch:
    """Points inside the cells of an arrangement; ``complete`` says whether the count came out right.

    Representatives are drawn from a stream of its own with a fixed seed: generic, so that they lie on
    no later hyperplane, and the same at every call.
    """

    def __init__(self) -> None:
        self._rng = np.random.default_rng(20240214)
        self.complete = True

    def batches(self, normals: Floats) -> Iterator[Floats]:
        """Unit vectors (q, r), block by block: one of each pair of opposite cells.

        The work before the p-th cell grows with p, not with the number of all cells; for N
        hyperplanes in R^r all take O(N^r) operations, the size of the patterns themselves.
        """
        count, rank = normals.shape
        if count == 0:
            direction = self._rng.standard_normal((1, rank))
            yield direction / np.linalg.norm(direction, axis=1)[:, None]
        elif rank == 1:
            yield np.ones((1, 1))
        elif rank == 2:
            yield from self._sweep(normals)
        else:
            yield from self._incremental(normals)

    def _sweep(self, normals: Floats) -> Iterator[Floats]:
        """One direction in every arc between the lines orthogonal to the normals; O(N log N)."""
        line = np.sort(np.mod(np.arctan2(normals[:, 0], -normals[:, 1]), np.pi))
        width = np.diff(line, append=line[0] + np.pi)
        arcs = np.flatnonzero(width > SAME)
        if arcs.size == 0:  # one line
            arcs, width = np.zeros(1, dtype=np.intp), np.full_like(width, np.pi)
        block = max(1, _BLOCK // normals.shape[0])
        for start in range(0, arcs.size, block):
            chosen = arcs[start : start + block]
            share = self._rng.uniform(0.4, 0.6, chosen.size)
            angle = line[chosen] + share * width[chosen]
            yield np.column_stack([np.cos(angle), np.sin(angle)])

    def _incremental(self, normals: Floats) -> Iterator[Floats]:
        seen: set[bytes] = set()
        expected = 0
        block = max(1, _BLOCK // normals.shape[0])
        for k in range(normals.shape[0]):
            mirror = _mirror(normals[k])
            earlier = (normals[:k] - np.outer(normals[:k] @ mirror, mirror))[:, 1:]
            length = np.linalg.norm(earlier, axis=1)
            if (length <= SAME).any():
                continue  # H_k is one of the earlier hyperplanes
            # at most as many as there are cells already: no harm to laziness
            inside = np.concatenate(list(self.batches(earlier / length[:, None])))
            expected += inside.shape[0]
            on = np.column_stack([np.zeros(inside.shape[0]), inside])
            on -= np.outer(on @ mirror, mirror)
            for start in range(0, on.shape[0], block):
                found = self._both_sides(on[start : start + block], normals, k, seen)
                if found.shape[0]:
                    yield found
        self.complete &= expected == len(seen)

    def _both_sides(self, on: Floats, normals: Floats, k: int, seen: set[bytes]) -> Floats:
        """Lift points of H_k to both sides without crossing H_1, ..., H_{k-1}; keep new cells."""
        height = on @ normals.T
        slope = normals @ normals[k]
        # height + t slope = 0 at t = 1 / rate; positive t on one side, negative on the other
        with np.errstate(divide="ignore", invalid="ignore"):
            rate = -slope[:k] / height[:, :k]
        fresh = []
        for side in (1.0, -1.0):
            reach = 1.0 / (side * rate).max(axis=1, initial=1.0)
            # later hyperplanes may pass close: the best of three heights
            best = np.full(on.shape[0], -1.0)
            lift = np.zeros(on.shape[0])
            for low in (0.2, 0.4, 0.6):
                trial = reach * self._rng.uniform(low, low + 0.2, on.shape[0])
                value = height + side * np.outer(trial, slope)
                margin = np.abs(value).min(axis=1) / np.hypot(1.0, trial)
                lift = np.where(margin > best, trial, lift)
                best = np.maximum(best, margin)
            points = on + side * np.outer(lift, normals[k])
            points /= np.linalg.norm(points, axis=1)[:, None]
            points = points[best > _ROUNDING]
            value = points @ normals.T
            turn = value[:, 0] < 0
            points[turn] *= -1.0
            fresh.append(points[unseen((value > 0) ^ turn[:, None], seen)])
        return np.concatenate(fresh)


def _mirror(normal: Floats) -> Floats:
    """w with (I - w w^T) normal = +-e_1: the reflection that makes e_1's complement the hyperplane."""
    w = normal.copy()
    w[0] += np.copysign(1.0, w[0])
    return w * np.sqrt(2.0) / np.linalg.norm(w)


def unseen(patterns: Bools, seen: set[bytes]) -> list[int]:
    """Rows that are not in ``seen`` yet, which are added."""
    fresh = []
    for row, packed in enumerate(np.packbits(patterns, axis=1)):
        key = packed.tobytes()
        if key not in seen:
            seen.add(key)
            fresh.append(row)
    return fresh


def centre(points: Floats, normals: Floats, rounds: int = 6) -> Floats:
    """Move points (q, r) away from the hyperplanes of their cells, without leaving them.

    Each round goes along the normal of the nearest hyperplane to the middle of the chord of the cell.
    """
    value = points @ normals.T
    margin = np.abs(value).min(axis=1)
    for _ in range(rounds):
        nearest = np.abs(value).argmin(axis=1)
        row = np.arange(points.shape[0])
        step = normals[nearest] * np.sign(value[row, nearest])[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            crossing = -value / (step @ normals.T)
        ahead = np.where(crossing > 0, crossing, np.inf).min(axis=1)
        behind = np.where(crossing < 0, crossing, -np.inf).max(axis=1)
        length = 0.5 * (np.minimum(ahead, 1.0) + np.maximum(behind, -1.0))
        moved = points + length[:, None] * step
        moved /= np.linalg.norm(moved, axis=1)[:, None]
        moved_value = moved @ normals.T
        moved_margin = np.abs(moved_value).min(axis=1)
        same = ((moved_value > 0) == (value > 0)).all(axis=1)
        better = same & (moved_margin > margin)
        if not better.any():
            break
        points = np.where(better[:, None], moved, points)
        value = np.where(better[:, None], moved_value, value)
        margin = np.where(better, moved_margin, margin)
    return points
