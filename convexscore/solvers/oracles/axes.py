"""Axes through two points, the arcs of the planes about them, and the 3 x 3 matrices next to these."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convexscore.solvers.oracles import angular_sweep as sweeping
from convexscore.solvers.oracles.angular_sweep import Complex, Ints, Matrices, Sweep
from convexscore.solvers.oracles.base import Floats
from convexscore.solvers.oracles.exact import Merged

# Points this near to an axis, relative to the scale, are on it.
ON_AXIS = 2e-14


@dataclass(frozen=True, eq=False)
class Axes:
    """Some axes with their frames and sweeps.

    ``frame`` (rows, 3, 3) has the rows f1, f2, e; ``along`` is the coordinate on e relative to the
    first point, ``length`` that of the second; ``matrices`` belong to the turning plane; ``total``
    is E in the frame.
    """

    pairs: Ints
    frame: Floats
    length: Floats
    along: Floats
    on_axis: NDArray[np.bool_]
    sweep: Sweep
    flat: Complex
    upright: Floats
    counts: Floats | None
    matrices: Matrices
    total: Matrices


@dataclass(frozen=True, eq=False)
class Form:
    """Symmetric 3 x 3 matrices: base and swing in the plane, cross = M13 + i M23, corner = M33.

    ``linear``: of the measure itself, otherwise of its square.
    """

    base: Floats
    swing: Complex
    cross: Complex
    corner: Floats
    linear: bool

    @staticmethod
    def of(matrices: Matrices, flip: int) -> Form:
        """Of the measure, or of its square if that is a norm."""
        base, swing = matrices.form(flip)
        alpha, beta, third, column, corner = matrices
        if flip:
            return Form(base, swing, 0.5 * flip * (column + third), flip * corner, True)
        cross = column * alpha.conj()
        cross += column.conj() * beta
        cross += third * corner
        size = column.real**2 + column.imag**2 + corner**2
        return Form(base, swing, cross, size, False)

    def bound(self) -> Floats:
        """Upper bound of the largest eigenvalue from trace and Frobenius norm."""
        trace = 2.0 * self.base + self.corner
        square = self.base**2 + self.swing.real**2 + self.swing.imag**2
        square += self.cross.real**2 + self.cross.imag**2
        square *= 2.0
        square += self.corner**2
        trace /= 3.0
        square -= 3.0 * trace * trace
        np.maximum(square, 0.0, out=square)
        square *= 2.0 / 3.0
        return trace + np.sqrt(square, out=square)

    def dense(self, which: Ints) -> Floats:
        """(k, 3, 3) matrices of some."""
        base, swing, cross = self.base[which], self.swing[which], self.cross[which]
        out = np.empty((len(which), 3, 3))
        out[:, 0, 0], out[:, 1, 1] = base + swing.real, base - swing.real
        out[:, 0, 1] = out[:, 1, 0] = -swing.imag
        out[:, 0, 2] = out[:, 2, 0] = cross.real
        out[:, 1, 2] = out[:, 2, 1] = cross.imag
        out[:, 2, 2] = self.corner[which]
        return out


def _frames(direction: Floats) -> Floats:
    """Orthonormal rows f1, f2, e for each unit vector e."""
    seed = np.eye(3)[np.argmin(np.abs(direction), axis=1)]
    first = np.cross(seed, direction)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    return np.stack([first, np.cross(direction, first), direction], axis=1)


def _gather(values: NDArray, code: NDArray, mirror: int) -> NDArray:
    """Values by Sweep.code: times ``mirror`` where a point leaves, 0 without a point."""
    empty = np.zeros((len(values), 1), dtype=values.dtype)
    return np.take_along_axis(np.hstack([values, mirror * values, empty]), code, axis=1)


def turn_about(merged: Merged, flows: Floats, divergence: float, edge: Floats, pairs: Ints) -> Axes:
    """Sort the events of some axes and add up the matrices along them; ``edge`` is E."""
    points = merged.points
    span = points[pairs[:, 1]] - points[pairs[:, 0]]
    length = np.linalg.norm(span, axis=1)
    span[length == 0.0] = [0.0, 0.0, 1.0]
    frame = _frames(span / np.linalg.norm(span, axis=1, keepdims=True))
    local = frame @ points.T
    local -= frame @ points[pairs[:, 0]][:, :, None]
    relative = local[:, 0] + 1j * local[:, 1]
    along = local[:, 2]
    on_axis = np.abs(relative) <= ON_AXIS * merged.scale
    on_axis[np.arange(len(pairs))[:, None], pairs] = True
    sweep = sweeping.sort_events(relative, on_axis, merged.scale, divergence)
    turned = frame @ flows.T
    flat, upright = turned[:, 0] + 1j * turned[:, 1], turned[:, 2]
    counts = sweep.counts(merged.mass, divergence)
    gathered = _gather(flat, sweep.code, 1), _gather(upright, sweep.code, 1)
    plane = sweeping.arc_matrices(sweep, gathered[0], counts)
    third = sweeping.running(2.0 * gathered[1] * sweep.lever)
    matrices = Matrices(plane.alpha, plane.beta, third)
    total = _solid(frame @ edge @ frame.transpose(0, 2, 1))
    return Axes(pairs, frame, length, along, on_axis, sweep, flat, upright, counts, matrices, total)


def _solid(matrix: Floats) -> Matrices:
    """Dense (k, 3, 3) matrices as columns (k, 1)."""
    m = matrix[:, :, :, None]
    first, second = m[:, 0, 0] + 1j * m[:, 1, 0], m[:, 0, 1] + 1j * m[:, 1, 1]
    third = m[:, 2, 0] + 1j * m[:, 2, 1]
    return Matrices(
        0.5 * (first - 1j * second), 0.5 * (first + 1j * second), third,
        m[:, 0, 2] + 1j * m[:, 1, 2], m[:, 2, 2],
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Sides:
    """The cells next to the arcs, seen from one of the two points on the axis.

    ``off_axis``: matrix without the points on the axis; ``column``, ``corner``, ``weight``: what these
    add to it, times +-1; ``heights``: coordinates on the axis of the events' points.
    """

    off_axis: Matrices
    heights: Floats
    column: Complex
    corner: Floats
    weight: Floats

    @staticmethod
    def about(axes: Axes, mass: Floats, end: int) -> Sides:
        """Pivot ``pairs[:, end]``."""
        height = axes.along - (axes.length[:, None] if end else 0.0)
        height[np.arange(len(height)), axes.pairs[:, end]] = 0.0
        code = axes.sweep.code
        heights = _gather(height, code, -1)
        column = 2.0 * heights * _gather(axes.flat, code, 1)
        corner = 2.0 * heights * _gather(axes.upright, code, 1)
        if axes.counts is not None:
            corner += axes.counts
        axial = np.where(axes.on_axis, height, 0.0)
        return Sides(
            axes.matrices._replace(
                column=sweeping.running(column), corner=sweeping.running(corner)
            ),
            heights,
            np.einsum("kn,kn->k", np.abs(axial), axes.flat),
            np.einsum("kn,kn->k", np.abs(axial), axes.upright),
            np.sign(axial) @ mass,
        )

    def cells(self, up: int, row: Ints, arc: Ints) -> Matrices:
        """Matrices of some cells on the side ``up`` of their arcs, without their pivot's mass."""
        here = self.off_axis.take(row, arc)
        return here._replace(
            column=here.column + up * self.column[row], corner=here.corner + up * self.corner[row]
        )
