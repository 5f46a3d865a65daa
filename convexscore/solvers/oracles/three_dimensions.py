"""Exact pricing in space: every neuron, by turning a plane about every line through two points."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from convexscore.solvers.oracles import angular_sweep as sweeping
from convexscore.solvers.oracles.angular_sweep import Ints, Variant
from convexscore.solvers.oracles.axes import ON_AXIS, Axes, Form, Sides, turn_about
from convexscore.solvers.oracles.base import Floats, Neurons, NeuronSet, Priced, ranking
from convexscore.solvers.oracles.exact import (
    MIRRORED,
    Merged,
    distinct,
    in_memory,
    leading,
    merge,
    place,
)

_BLOCK = 1 << 13
# Neurons that a block of axes may return, per neuron asked for.
_PER_BLOCK = 4
# Maxima inside cells above this share of the largest are worth returning.
_WORTH = 0.5
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
    Time O(n^3 log n) per call, memory O(n^2).  Coincident points are merged.  Collinear and coplanar
    points are exact: coinciding events are one event, and of the points on an axis all go to one
    side, because h is convex in the active mass and so the extreme patterns dominate.  With a
    divergence term, patterns do not count if every plane that gives them is within 1e-13 scale of a
    point that it should leave on one side: these are coplanarities blurred by rounding.

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore.solvers.oracles.three_dimensions import SpaceOracle
    >>> from convexscore.solvers.oracles.base import NeuronSet
    >>> points = np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    >>> oracle = SpaceOracle(NeuronSet(points, np.ones(3), 0.0, "abs"))
    >>> residual = np.array([[1.0, 0.0, 0.0], [-2.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    >>> round(oracle.price(residual, n_best=1).largest, 9)  # |x_1|: 1 + 0 + 1
    2.0
    """

    def __init__(self, neurons: Neurons, *, max_points: int = 200) -> None:
        neurons = in_memory(neurons)
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
        effort: int = 1,
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
            axes = turn_about(
                merged, query.flows, neurons.divergence, query.total, pairs[start : start + step]
            )
            edges = _edge_maxima(axes, query, n_best * _PER_BLOCK)
            largest = max(largest, float(edges.value.max()))
            level = min(largest, max(floor, _WORTH * largest))
            inner, count = _inner_maxima(axes, query, level, n_best * _PER_BLOCK)
            largest = max(largest, float(inner.value.max(initial=-np.inf)))
            found += [edges.above(floor), inner.above(floor)]
            n_tried += count
        all_found = _join(found)
        bias = -np.einsum("kd,kd->k", all_found.u, merged.points[all_found.pivot]) / merged.scale
        all_found = all_found.take(ranking(all_found.value, all_found.u, bias, query.rounding))
        first = distinct(
            all_found.u, all_found.pivot, merged, n_best, separation, unsigned=query.unsigned
        )
        best = all_found.take(first)
        b = place(neurons, merged, best.u, best.pivot, best.side, ON_AXIS)
        value = neurons.evaluate(residual, best.u, b)
        order = ranking(value, best.u, b / merged.scale, query.rounding)
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
    names = _Found.__dataclass_fields__
    return _Found(*(np.concatenate([getattr(f, name) for f in found]) for name in names))


@dataclass(frozen=True, eq=False)
class _Query:
    """What depends on the residual, the same for all axes.

    ``total``: the matrix E; ``half``: factor of the measure; ``rounding``: of h.
    """

    neurons: NeuronSet
    merged: Merged
    flows: Floats
    residual: Floats
    total: Floats
    kinds: list[Variant]
    half: float
    unsigned: bool
    rounding: float


def _ask(neurons: NeuronSet, merged: Merged, flows: Floats, residual: Floats) -> _Query:
    trace = neurons.divergence * merged.mass.sum()
    total = flows.T @ merged.points + trace * np.eye(3)
    size = float(np.abs(flows).sum(axis=1) @ np.abs(merged.points).sum(axis=1)) + trace
    half = neurons.activation.even
    total *= neurons.activation.odd / half
    mirrored = float(np.abs(total).sum()) <= MIRRORED * size
    kinds = sweeping.variants(neurons, mirrored=mirrored)
    unsigned = mirrored and not (neurons.conservative and neurons.sign)
    rounding = neurons.rounding(residual)
    return _Query(neurons, merged, flows, residual, total, kinds, half, unsigned, rounding)


def _pairs(chosen: Ints) -> Ints:
    """All pairs of points, shuffled: good neurons early make the bounds inside cells effective."""
    if len(chosen) == 1:
        return np.array([[chosen[0], chosen[0]]])
    pairs = chosen[np.stack(np.triu_indices(len(chosen), 1), axis=1)]
    return np.random.default_rng(0).permutation(pairs)


def _edge_maxima(axes: Axes, query: _Query, count: int) -> _Found:
    """Best plane about each axis, the ``count`` best of each kind and ties with the last of these.

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
        rounding = query.rounding / query.half
        arc, top = sweeping.first_best(value, rounding, conservative=neurons.conservative)
        measure = top if neurons.conservative else np.sqrt(np.maximum(top, 0.0))
        row = leading(measure, count, rounding)
        arc = arc[row]
        start, end = axes.sweep.lever[row, arc], axes.sweep.lever[row, arc + 1]
        theta, measure = sweeping.best_angles(
            here.take(row, arc), start, end,
            conservative=neurons.conservative, flip=kind.flip, rounding=rounding,
        )  # fmt: skip
        if neurons.divergence:
            theta = sweeping.inside(theta, start, end, merged.scale)
        u = (
            np.cos(theta)[:, None] * axes.frame[row, 0]
            + np.sin(theta)[:, None] * axes.frame[row, 1]
        )
        side = np.full(len(row), kind.side * kind.orientation)
        found.append(_Found(kind.orientation * u, axes.pairs[row, 0], side, query.half * measure))
    return _join(found)


def _inner_maxima(axes: Axes, query: _Query, level: float, count: int) -> tuple[_Found, int]:
    """Neurons better than ``level`` inside the cells next to the arcs, and how many were tried.

    A cell whose maximum is inside has an edge on which h has a local maximum inside the arc: where the
    shrinking sets {h >= t}, caps about the maximum, stop touching the boundary, they are tangent
    to it.  Only such arcs are looked at.  The ``count`` best neurons are returned and ties with the
    last of these.
    """
    neurons, merged = query.neurons, query.merged
    g = sweeping.squares(axes.sweep.lever)
    n_arcs = g.shape[1] - 1
    found = [_nothing()]
    for end in (0, 1):
        sides, pivot = Sides.about(axes, merged.mass, end), axes.pairs[:, end]
        for kind, up in product(query.kinds, (1, -1)):
            trace = neurons.divergence * (up * sides.weight + kind.side * merged.mass[pivot])
            if up == 1 or neurons.divergence:  # otherwise as before
                plane = axes.matrices.shift(axes.total.plane, kind.orientation, trace[:, None])
                base, swing = plane.form(conservative=neurons.conservative, flip=kind.flip)
                row, arc = sweeping.tops_inside(base, swing, g, axes.sweep.thin)
            cell = sides.cells(axes, up, row, arc).shift(
                axes.total.take(row, 0), kind.orientation, trace[row]
            )
            form = cell.form(conservative=neurons.conservative, flip=kind.flip)
            fit, u = _inside_cells(axes, form, sides.heights, up, level / query.half, row, arc)
            found.append(_evaluate(query, pivot[fit], u, kind))
    inner = _join(found)
    best = leading(inner.value, count, query.rounding)
    return inner.take(best), 4 * len(query.kinds) * len(g) * n_arcs


def _nothing() -> _Found:
    none = np.zeros(0, dtype=np.intp)
    return _Found(np.zeros((0, 3)), none, none, np.zeros(0))


def _inside_cells(
    axes: Axes, form: Form, heights: Floats, up: int, level: float, row: Ints, arc: Ints
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
    if not len(pivot):
        return _nothing()
    u = kind.orientation * u
    side = np.full(len(pivot), kind.side * kind.orientation)
    b = place(query.neurons, query.merged, u, pivot, side, ON_AXIS)
    value = query.neurons.evaluate(query.residual, u, b)
    return _Found(u, pivot, side, value)
