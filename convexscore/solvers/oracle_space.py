"""Exact pricing in space: every neuron, by turning a plane about every line through two points."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from convexscore.solvers import _angular_sweep as sweeping
from convexscore.solvers._angular_sweep import Complex, Ints, Matrices, Sweep, Variant
from convexscore.solvers._exact_common import (
    MIRRORED,
    ON_KINK,
    RESOLVED,
    Merged,
    distinct,
    merge,
    place,
)
from convexscore.solvers.oracle_result import Floats, NeuronSet, Priced

_BLOCK = 1 << 13
# Neurons that a block of axes may return, per neuron asked for.
_PER_BLOCK = 4
# A maximum counts as outside its cell if it violates an inequality by more than this (relative).
_OUTSIDE = 1e-9


class SpaceOracle:
    r"""The neurons with the largest h(u, b) among *all* neurons, d = 3.

    As in the plane, the supremum is approached by planes through a data point x_j.  The directions u
    of these form cells on the sphere, cut out by the great circles on which another point x_k lies
    on the plane; in a cell G = A u with a constant 3 x 3 matrix A.  The maximum of h in a closed
    cell is

    - inside: then it is at the top right singular vector of A (the top eigenvector of its
      symmetric part for ridge potentials), or
    - on an edge: the plane contains x_j and x_k and turns about the line through both, which is
      the kernel of the plane.

    All edges are swept.  A cell with its maximum inside has an arc with a local maximum inside; there
    both cells are looked at for both pivots: if the singular value exceeds the best found so far and
    the singular vector is not on the wrong side of the arc or of its ends, the neuron is evaluated.

    Parameters
    ----------
    neurons : NeuronSet
        The competing neurons; n points in three dimensions.
    max_points : int, default=200
        More distinct points than this are refused, because a call takes O(n^3 log n).

    Notes
    -----
    Time O(n^3 log n) per call, memory O(n^2).  Coincident points are merged; collinear and coplanar
    points are exact (for these several events coincide; intermediate patterns count only where h is
    convex in the active mass, so that the extreme patterns dominate them).  Patterns whose planes
    are all nearer than 1e-13 scale to a point that they should leave on one side do not count.

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore.solvers.oracle_space import SpaceOracle
    >>> from convexscore.solvers.oracle_result import NeuronSet
    >>> points = np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    >>> oracle = SpaceOracle(NeuronSet(points, np.ones(3), 0.0, "abs"))
    >>> residual = np.array([[1.0, 0.0, 0.0], [-2.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    >>> round(oracle.price(residual, n_best=1).largest, 9)  # |x_1|: 1 + 0 + 1
    2.0
    """

    def __init__(self, neurons: NeuronSet, *, max_points: int = 200) -> None:
        if neurons.dim != 3:
            raise ValueError(
                f"neurons must have points in space, shape (n, 3); got {neurons.points.shape}. "
                "Use PlaneOracle for two dimensions and AscentOracle for more."
            )
        self.neurons = neurons
        self._merged = merge(neurons)
        n = len(self._merged.points)
        if n > max_points:
            raise ValueError(
                f"neurons has {n} distinct points; at most max_points={max_points} are priced "
                "exactly, in O(n^3 log n). Raise max_points or use AscentOracle."
            )

    def price(
        self,
        residual: Floats,
        *,
        n_best: int,
        floor: float = 0.0,
        current: object = None,
        pivots: NDArray[np.intp] | None = None,
        separation: float = 1e-6,
    ) -> Priced:
        """The best plane of every axis and the best inside cells, at most ``n_best`` of them.

        Parameters
        ----------
        residual : (n, 3) array, rows m_i (s(x_i) - l_i); columns add up to zero
        n_best : int >= 1
        floor : float
            Neurons with h <= floor are not returned; ``largest`` is not affected.
        current : ignored
            The search needs no starts.
        pivots : indices of points, optional
            Only axes through two of these; then ``exact`` is False unless all are named.
        separation : float, default=1e-6
            A neuron as close as this to a better one (in u, and in b relative to the scale of the
            points) is left out.

        Returns
        -------
        Priced
            ``value`` is h at the returned neurons as evaluated in floating point, ``largest`` the
            supremum, which for score matching is a limit.
        """
        if n_best < 1:
            raise ValueError(f"n_best must be an int >= 1; got {n_best}.")
        merged, neurons = self._merged, self.neurons
        n = len(merged.points)
        chosen = np.arange(n) if pivots is None else np.unique(merged.group[pivots])
        pairs = _pairs(chosen)
        query = _ask(neurons, merged, merged.collect(residual), residual)
        found, largest, n_tried = [], -np.inf, 0
        step = max(1, _BLOCK // n)
        for start in range(0, len(pairs), step):
            axes = _axes(merged, query, pairs[start : start + step])
            edges = _edge_maxima(axes, query, n_best * _PER_BLOCK)
            largest = max(largest, float(edges.value.max()))
            inner, count = _inner_maxima(axes, query, largest)
            if len(inner.value):
                largest = max(largest, float(inner.value.max()))
            found += [edges.above(floor), inner.above(floor)]
            n_tried += count
        all_found = _join(found)
        all_found = all_found.take(np.argsort(-all_found.value, kind="stable"))
        first = distinct(
            all_found.u, all_found.pivot, merged, n_best, separation, unsigned=query.unsigned
        )
        best = all_found.take(first)
        b = place(neurons, merged, best.u, best.pivot, best.side)
        value = neurons.evaluate(residual, best.u, b)
        order = np.argsort(-value, kind="stable")
        return Priced(best.u[order], b[order], value[order], largest, len(chosen) == n, n_tried)


@dataclass(frozen=True, eq=False)
class _Found:
    """Neurons through a pivot: ``side`` is where a nudge has to put it; ``value`` is a limit."""

    u: Floats
    pivot: Ints
    side: Ints
    value: Floats

    def take(self, which: NDArray) -> _Found:
        return _Found(self.u[which], self.pivot[which], self.side[which], self.value[which])

    def above(self, floor: float) -> _Found:
        return self.take(self.value > floor)


def _join(found: list[_Found]) -> _Found:
    return _Found(
        np.concatenate([f.u for f in found]),
        np.concatenate([f.pivot for f in found]),
        np.concatenate([f.side for f in found]),
        np.concatenate([f.value for f in found]),
    )


@dataclass(frozen=True, eq=False)
class _Query:
    """What depends on the residual, the same for all axes (``total``: the matrix E)."""

    neurons: NeuronSet
    merged: Merged
    flows: Floats
    residual: Floats
    total: Floats
    kinds: list[Variant]
    half: float
    unsigned: bool


def _ask(neurons: NeuronSet, merged: Merged, flows: Floats, residual: Floats) -> _Query:
    trace = neurons.divergence * merged.mass.sum()
    total = flows.T @ merged.points + trace * np.eye(3)
    size = float(np.abs(flows).sum(axis=1) @ np.abs(merged.points).sum(axis=1)) + trace
    mirrored = float(np.abs(total).sum()) <= MIRRORED * size
    kinds = sweeping.variants(neurons, mirrored=mirrored)
    half = 0.5 if neurons.activation == "relu" else 1.0
    unsigned = (mirrored or half == 1.0) and not (neurons.conservative and neurons.sign)
    if half == 1.0:
        total = np.zeros((3, 3))
    return _Query(neurons, merged, flows, residual, total, kinds, half, unsigned)


def _pairs(chosen: Ints) -> Ints:
    """All pairs of points, shuffled: good neurons early make the bounds inside cells effective."""
    if len(chosen) == 1:
        return np.array([[chosen[0], chosen[0]]])
    pairs = chosen[np.stack(np.triu_indices(len(chosen), 1), axis=1)]
    return np.random.default_rng(0).permutation(pairs)


@dataclass(frozen=True, eq=False)
class _Axes:
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
    total: Solid


@dataclass(frozen=True, eq=False)
class Solid:
    """A real 3 x 3 matrix in a frame: ``plane`` acts on (f1, f2), ``column``, ``corner`` on e."""

    plane: Matrices
    column: Complex
    corner: Floats

    def take(self, row: Ints, arc: Ints | int) -> Solid:
        return Solid(self.plane.take(row, arc), self.column[row, arc], self.corner[row, arc])

    def shift(self, other: Solid, sign: int, trace: Floats) -> Solid:
        """self + sign * other + trace * I."""
        return Solid(
            self.plane.shift(other.plane, sign, trace),
            self.column + sign * other.column,
            self.corner + (sign * other.corner + trace),
        )

    def form(self, *, conservative: bool, flip: int) -> _Form:
        """The symmetric matrix of the measure (of its square unless conservative)."""
        base, swing = self.plane.form(conservative=conservative, flip=flip)
        third = self.plane.third
        assert third is not None
        if conservative:
            return _Form(base, swing, 0.5 * flip * (self.column + third), flip * self.corner, True)
        cross = self.column * self.plane.alpha.conj()
        cross += self.column.conj() * self.plane.beta
        cross += third * self.corner
        size = self.column.real**2 + self.column.imag**2 + self.corner**2
        return _Form(base, swing, cross, size, False)


@dataclass(frozen=True, eq=False)
class _Form:
    """Symmetric 3 x 3 matrices: base and swing in the plane, cross = M13 + i M23, corner = M33.

    ``linear``: of the measure itself, otherwise of its square.
    """

    base: Floats
    swing: Complex
    cross: Complex
    corner: Floats
    linear: bool

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


def _axes(merged: Merged, query: _Query, pairs: Ints) -> _Axes:
    """Sort the events of some axes and add up the matrices along them."""
    points, flows, neurons = merged.points, query.flows, query.neurons
    span = points[pairs[:, 1]] - points[pairs[:, 0]]
    length = np.linalg.norm(span, axis=1)
    span[length == 0.0] = [0.0, 0.0, 1.0]
    frame = _frames(span / np.linalg.norm(span, axis=1, keepdims=True))
    local = frame @ points.T
    local -= frame @ points[pairs[:, 0]][:, :, None]
    relative = local[:, 0] + 1j * local[:, 1]
    along = local[:, 2]
    on_axis = np.abs(relative) <= ON_KINK * merged.scale
    on_axis[np.arange(len(pairs))[:, None], pairs] = True
    sweep = sweeping.sort_events(relative, on_axis, RESOLVED * merged.scale, merged.scale)
    turned = frame @ flows.T
    flat, upright = turned[:, 0] + 1j * turned[:, 1], turned[:, 2]
    counts = None
    if neurons.divergence:
        mass = 2.0 * neurons.divergence * merged.mass
        counts = np.concatenate([mass, -mass, [0.0]])[sweep.code]
    gathered = _gather(flat, sweep.code, 1), _gather(upright, sweep.code, 1)
    plane = sweeping.arc_matrices(sweep, gathered[0], counts)
    third = sweeping.running(2.0 * gathered[1] * sweep.lever)
    matrices = Matrices(plane.alpha, plane.beta, third)
    total = _solid(frame @ query.total @ frame.transpose(0, 2, 1))
    return _Axes(
        pairs, frame, length, along, on_axis, sweep, flat, upright, counts, matrices, total
    )


def _solid(matrix: Floats) -> Solid:
    """Dense (k, 3, 3) matrices as columns (k, 1)."""
    m = matrix[:, :, :, None]
    alpha: Complex = 0.5 * (m[:, 0, 0] + m[:, 1, 1] + 1j * (m[:, 1, 0] - m[:, 0, 1]))
    beta: Complex = 0.5 * (m[:, 0, 0] - m[:, 1, 1] + 1j * (m[:, 1, 0] + m[:, 0, 1]))
    third = m[:, 2, 0] + 1j * m[:, 2, 1]
    return Solid(Matrices(alpha, beta, third), m[:, 0, 2] + 1j * m[:, 1, 2], m[:, 2, 2])


def _edge_maxima(axes: _Axes, query: _Query, count: int) -> _Found:
    """Best plane about each axis, at most ``count`` of each kind.

    All points on the axis are put on one side: for those on both sides the mass is in between, and h
    is convex in it.
    """
    neurons, merged = query.neurons, query.merged
    on_axis_mass = neurons.divergence * (axes.on_axis @ merged.mass)[:, None]
    g = sweeping.squares(axes.sweep.lever)
    found = []
    for kind in query.kinds:
        here = axes.matrices.shift(axes.total.plane, kind.orientation, kind.side * on_axis_mass)
        base, swing = here.form(conservative=neurons.conservative, flip=kind.flip)
        value = sweeping.arc_maxima(base, swing, g, axes.sweep.thin)
        arc = np.argmax(value, axis=1)
        top = value[np.arange(len(arc)), arc]
        row = np.argsort(-top, kind="stable")[:count]
        arc = arc[row]
        start, end = axes.sweep.lever[row, arc], axes.sweep.lever[row, arc + 1]
        theta, measure = sweeping.best_angles(
            here.take(row, arc), start, end, conservative=neurons.conservative, flip=kind.flip
        )
        if neurons.divergence:
            theta = sweeping.inside(theta, start, end, merged.scale)
        u = (
            np.cos(theta)[:, None] * axes.frame[row, 0]
            + np.sin(theta)[:, None] * axes.frame[row, 1]
        )
        side = np.full(len(row), kind.side * kind.orientation)
        found.append(_Found(kind.orientation * u, axes.pairs[row, 0], side, query.half * measure))
    return _join(found)


def _inner_maxima(axes: _Axes, query: _Query, level: float) -> tuple[_Found, int]:
    """Neurons better than ``level`` inside the cells next to the arcs, and how many were tried.

    A cell whose maximum is inside has an edge on which h has a local maximum inside the arc: where the
    shrinking sets {h >= t}, caps about the maximum, stop touching the boundary, they are tangent
    to it.  Only such arcs are looked at.
    """
    neurons, merged = query.neurons, query.merged
    g = sweeping.squares(axes.sweep.lever)
    n_arcs = g.shape[1] - 1
    found, tried = [], 0
    for end, kind in product((0, 1), query.kinds):
        pivot = axes.pairs[:, end]
        sides = _Sides.about(axes, query, end)
        where = None
        for up in (1, -1):
            trace = neurons.divergence * (up * sides.weight + kind.side * merged.mass[pivot])
            if where is None or neurons.divergence:
                plane = axes.matrices.shift(axes.total.plane, kind.orientation, trace[:, None])
                base, swing = plane.form(conservative=neurons.conservative, flip=kind.flip)
                where = sweeping.tops_inside(base, swing, g, axes.sweep.thin)
            tried += axes.matrices.alpha.size
            row, arc = where // n_arcs, where % n_arcs
            cell = sides.cells(axes, up, row, arc).shift(
                axes.total.take(row, 0), kind.orientation, trace[row]
            )
            form = cell.form(conservative=neurons.conservative, flip=kind.flip)
            row, u = _inside_cells(axes, form, sides.heights, up, level / query.half, row, arc)
            if len(row):
                new = _evaluate(query, pivot[row], u, kind)
                level = max(level, float(new.value.max()))
                found.append(new)
    return (_join(found) if found else _nothing()), tried


def _nothing() -> _Found:
    none = np.zeros(0, dtype=np.intp)
    return _Found(np.zeros((0, 3)), none, none, np.zeros(0))


@dataclass(frozen=True, eq=False)
class _Sides:
    """The cells next to the arcs, seen from one of the two points on the axis.

    ``off_axis``: matrix without the points on the axis; ``column``, ``corner``, ``weight``: what these
    add to it, times +-1; ``heights``: coordinates on the axis of the events' points.
    """

    off_axis: Solid
    heights: Floats
    column: Complex
    corner: Floats
    weight: Floats

    @staticmethod
    def about(axes: _Axes, query: _Query, end: int) -> _Sides:
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
        return _Sides(
            Solid(axes.matrices, sweeping.running(column), sweeping.running(corner)),
            heights,
            np.einsum("kn,kn->k", np.abs(axial), axes.flat),
            np.einsum("kn,kn->k", np.abs(axial), axes.upright),
            np.sign(axial) @ query.merged.mass,
        )

    def cells(self, axes: _Axes, up: int, row: Ints, arc: Ints) -> Solid:
        """Matrices of some cells on the side ``up`` of their arcs, without their pivot's mass."""
        here = self.off_axis.take(row, arc)
        return Solid(
            here.plane, here.column + up * self.column[row], here.corner + up * self.corner[row]
        )


def _inside_cells(
    axes: _Axes, form: _Form, heights: Floats, up: int, level: float, row: Ints, arc: Ints
) -> tuple[Ints, Floats]:
    """Rows and top eigenvectors that are better than ``level`` and not clearly outside their cell.

    Checked are three sides of the cell: the arc's and those of the events at both ends.
    """
    bar = level if form.linear else level**2
    left = np.flatnonzero(form.bound() > bar)
    eigenvalue, eigenvector = np.linalg.eigh(form.dense(left))
    better = eigenvalue[:, 2] > bar
    row, arc, v = row[left][better], arc[left][better], eigenvector[better, :, 2]
    v = v * np.where(v[:, 2] * up < 0.0, -1.0, 1.0)[:, None]
    fits = np.ones(len(row), dtype=bool)
    for event, sign in ((arc, 1.0), (arc + 1, -1.0)):
        lever, height = axes.sweep.lever[row, event], heights[row, event]
        real = axes.sweep.code[row, event] < 2 * axes.along.shape[1]
        reach = lever.real * v[:, 0] + lever.imag * v[:, 1] + height * v[:, 2]
        fits &= ~real | (sign * reach >= -_OUTSIDE * (np.abs(lever) + np.abs(height)))
    return row[fits], np.einsum("kc,kcd->kd", v[fits], axes.frame[row[fits]])


def _evaluate(query: _Query, pivot: Ints, u: Floats, kind: Variant) -> _Found:
    """Neurons as they are, whatever cell they turn out to be in."""
    u = kind.orientation * u
    side = np.full(len(pivot), kind.side * kind.orientation)
    b = place(query.neurons, query.merged, u, pivot, side)
    value = query.neurons.evaluate(query.residual, u, b)
    return _Found(u, pivot, side, value)
