"""Exact pricing in the plane: every neuron, by turning a line about every data point."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convexscore.solvers.oracles import angular_sweep as sweeping
from convexscore.solvers.oracles.angular_sweep import Ints, Matrices, Sweep
from convexscore.solvers.oracles.base import Floats, Neurons
from convexscore.solvers.oracles.exact import ExactOracle, Found, Query, join

# Arcs handled together: their arrays of complex numbers (256 kB each) stay in cache.
_BLOCK = 1 << 14
# Bytes for the sorted events (18 to 20 per pair of points); what does not fit is sorted again.
_MEMORY = 400e6
_COMPLEX = np.array([1.0, 1.0j])


class PlaneOracle(ExactOracle):
    r"""The neurons with the largest h(u, b) among *all* neurons, d = 2.

    For fixed u the measure is convex in b between data points (the residuals add up to zero, so
    it is constant beyond them): the supremum is approached by lines through a data point x_j.
    While such a line turns, the set of active points changes only where it meets another point; in
    between G = A u with a constant 2 x 2 matrix A and the largest :math:`\|A u\|` (or
    :math:`u^\top A u`) on the arc is known in closed form.  The divergence term jumps at
    events and at the pivot; all one-sided limits are taken.

    Parameters
    ----------
    neurons : NeuronSet
        The competing neurons; n points in the plane, of any scale.

    Notes
    -----
    O(n^2 log n) once, O(n^2) per call; memory O(n^2), at most 400 MB plus O(n).  Points that
    coincide are merged.  With a divergence term, patterns do not count if every line that gives them is
    within 1e-13 scale of a point that it should leave on one side: these are collinearities blurred
    by rounding.

    The sweep over directions is the plane case of the arrangement of hyperplanes used in
    Pilanci and Ergen, "Neural networks are convex regularizers" (2020).

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore.solvers.oracles.plane import PlaneOracle
    >>> from convexscore.solvers.oracles.base import NeuronSet
    >>> points = np.array([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    >>> oracle = PlaneOracle(NeuronSet(points, np.ones(3), 0.0, "abs"))
    >>> residual = np.array([[1.0, 0.0], [-2.0, 0.0], [1.0, 0.0]])
    >>> round(oracle.price(residual, n_best=1).largest, 9)  # |x_1|: 1 + 0 + 1
    2.0
    """

    _on_kink = 2e-15  # rounding of the distance of a point from a line through it

    def __init__(self, neurons: Neurons) -> None:
        super().__init__(neurons)
        self._z = self._merged.points @ _COMPLEX
        self._cache: dict[int, Sweep] = {}
        self._cached = 0

    def _moments(self, flows: Floats, trace: float) -> tuple[NDArray, Matrices, float, float]:
        z, activation = self._z, self.neurons.activation
        tilt = activation.odd / activation.even
        flow = flows @ _COMPLEX
        alpha, beta = tilt * (0.5 * (z.conj() @ flow) + trace), tilt * (0.5 * (z @ flow))
        terms = float(np.abs(flow) @ np.abs(z)) + trace
        by_code, total = (
            np.concatenate([flow, flow, [0.0]]),
            Matrices(np.array(alpha), np.array(beta)),
        )
        return by_code, total, float(abs(alpha) + abs(beta)), terms

    def _search(self, query: Query, chosen: Ints, n_best: int, floor: float) -> tuple[Found, int]:
        """The best line of every pivot, for each kind of neuron."""
        n, mass, delta = len(self._z), self._merged.mass, self.neurons.divergence
        step = max(1, _BLOCK // n)
        found = []
        for start in range(0, len(chosen), step):
            rows = chosen[start : start + step]
            sweep = self._sweep(rows, len(chosen) == n)
            counts = sweep.counts(mass, delta)
            matrices = sweeping.arc_matrices(sweep, query.flows[sweep.code], counts)
            frame = np.broadcast_to(np.eye(2), (len(rows), 2, 2))
            found.append(
                self._best_turns(
                    query, sweep, matrices, query.total, rows, mass[rows, None], frame, len(rows)
                )
            )
        return join(found), len(chosen) * (n + 1) * len(query.kinds)

    def _sweep(self, rows: Ints, whole: bool) -> Sweep:
        """The sorted events of some pivots; kept for the next call if there is room."""
        key = int(rows[0])
        if whole and key in self._cache:
            return self._cache[key]
        relative = self._z[None, :] - self._z[rows, None]
        at_centre = np.arange(len(self._z)) == rows[:, None]
        sweep = sweeping.sort_events(
            relative, at_centre, self._merged.scale, self.neurons.divergence
        )
        size = sweep.code.nbytes + sweep.lever.nbytes + sweep.thin.nbytes
        if whole and self._cached + size <= _MEMORY:
            self._cached += size
            self._cache[key] = sweep
        return sweep
