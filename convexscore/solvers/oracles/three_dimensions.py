"""Exact pricing in space: every neuron, by turning a plane about every line through two points."""

from __future__ import annotations

from itertools import product

import numpy as np

from convexscore.solvers.oracles import angular_sweep as sweeping
from convexscore.solvers.oracles.angular_sweep import Ints
from convexscore.solvers.oracles.axes import ON_AXIS, Axes, Form, Sides, turn_about
from convexscore.solvers.oracles.base import Floats
from convexscore.solvers.oracles.exact import ExactOracle, Found, Query, join

_BLOCK = 1 << 13
# Neurons that a block of axes may return, per neuron asked for.
_PER_BLOCK = 4
# Maxima inside cells above this share of the largest are worth returning.
_WORTH = 0.5
# A maximum counts as outside its cell if it violates an inequality by more than this (relative).
_OUTSIDE = 1e-9


class SpaceOracle(ExactOracle):
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

    _on_kink = ON_AXIS

    def _moments(self, flows: Floats, trace: float) -> tuple[Floats, Floats, float, float]:
        points, activation = self._merged.points, self.neurons.activation
        total = flows.T @ points + trace * np.eye(3)
        total *= activation.odd / activation.even
        terms = float(np.abs(flows).sum(axis=1) @ np.abs(points).sum(axis=1)) + trace
        return flows, total, float(np.abs(total).sum()), terms

    def _search(self, query: Query, chosen: Ints, n_best: int, floor: float) -> tuple[Found, int]:
        """The best planes about every axis, and the best inside the cells next to them."""
        merged, delta, count = self._merged, self.neurons.divergence, n_best * _PER_BLOCK
        pairs = _pairs(chosen)
        step = max(1, _BLOCK // len(merged.points))
        found: list[Found] = []
        largest, n_tried = -np.inf, 0
        for start in range(0, len(pairs), step):
            axes = turn_about(merged, query.flows, delta, query.total, pairs[start : start + step])
            edges = self._best_turns(
                query, axes.sweep, axes.matrices, axes.total, axes.pairs[:, 0],
                (axes.on_axis @ merged.mass)[:, None], axes.frame, count,
            )  # fmt: skip
            largest = max(largest, float(edges.value.max()))
            inner = self._inner_maxima(query, axes, min(largest, max(floor, _WORTH * largest)))
            best = sweeping.leading(inner.value, count, query.rounding)
            found += [edges, inner.take(best)]
            largest = max(largest, float(inner.value.max(initial=-np.inf)))
            n_tried += 4 * len(query.kinds) * axes.matrices.alpha.size
        return join(found), n_tried

    def _inner_maxima(self, query: Query, axes: Axes, level: float) -> Found:
        """Neurons better than ``level`` inside the cells next to the arcs.

        A cell whose maximum is inside has an edge on which h has a local maximum inside the arc: where
        the shrinking sets {h >= t}, caps about the maximum, stop touching the boundary, they are
        tangent to it.  Only such arcs are looked at.
        """
        neurons, mass = self.neurons, self._merged.mass
        g, bar = sweeping.squares(axes.sweep.lever), level / neurons.activation.even
        none = np.zeros(0, dtype=np.intp)
        found = [Found(np.zeros((0, 3)), none, none, np.zeros(0))]
        for end in (0, 1):
            sides, pivots = Sides.about(axes, mass, end), axes.pairs[:, end]
            for kind, up in product(query.kinds, (1, -1)):
                trace = neurons.divergence * (up * sides.weight + kind.side * mass[pivots])
                if up == 1 or neurons.divergence:  # otherwise as before
                    plane = axes.matrices.shift(axes.total, kind.orientation, trace[:, None])
                    row, arc = sweeping.tops_inside(axes.sweep, g, plane, kind.flip)
                cell = sides.cells(up, row, arc).shift(
                    axes.total.take(row, 0), kind.orientation, trace[row]
                )
                form = Form.of(cell, kind.flip)
                fit, u = _inside_cells(axes, form, sides.heights, up, bar, row, arc)
                if len(fit):  # as they are, whatever cells they turn out to be in
                    u, pivot = kind.orientation * u, pivots[fit]
                    side = np.full(len(pivot), kind.side * kind.orientation)
                    value = neurons.evaluate(query.residual, u, self._place(u, pivot, side))
                    found.append(Found(u, pivot, side, value))
        return join(found)


def _pairs(chosen: Ints) -> Ints:
    """All pairs of points, shuffled: good neurons early make the bounds inside cells effective."""
    if len(chosen) == 1:
        return np.array([[chosen[0], chosen[0]]])
    pairs = chosen[np.stack(np.triu_indices(len(chosen), 1), axis=1)]
    return np.random.default_rng(0).permutation(pairs)


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
