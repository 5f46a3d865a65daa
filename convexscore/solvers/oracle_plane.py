"""Exact pricing in the plane: every neuron, by turning a line about every data point."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from convexscore.solvers import _angular_sweep as sweeping
from convexscore.solvers._angular_sweep import Matrices, Peaks, Sweep, Variant
from convexscore.solvers._exact_common import Merged, distinct, merge, place
from convexscore.solvers.oracle_result import Floats, NeuronSet, Priced

# Arcs handled together: their arrays of complex numbers (128 kB each) stay in cache.
_BLOCK = 1 << 13
# A point must be this far from a line, relative to the scale, for its side to be reliable.
_RESOLVED = 1e-14


class PlaneOracle:
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
    memory : float, default=4e8
        Bytes for the sorted events (18 to 20 per pair of points); what does not fit is sorted again
        by every call.
    n_threads : int, default=1
        Threads that share the pivots.

    Notes
    -----
    O(n^2 log n) once, O(n^2) per call; memory O(n^2), at most ``memory`` plus O(n).  Points that
    coincide are merged.  Patterns whose lines are all nearer than 1e-14 scale to a point that they
    should leave on one side are collinearities blurred by rounding and do not count.

    The sweep over directions is the plane case of the arrangement of hyperplanes used in
    Pilanci and Ergen, "Neural networks are convex regularizers" (2020).

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore.solvers.oracle_plane import PlaneOracle
    >>> from convexscore.solvers.oracle_result import NeuronSet
    >>> points = np.array([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    >>> oracle = PlaneOracle(NeuronSet(points, np.ones(3), 0.0, "abs"))
    >>> residual = np.array([[1.0, 0.0], [-2.0, 0.0], [1.0, 0.0]])
    >>> round(oracle.price(residual, n_best=1).largest, 9)  # |x_1|: 1 + 0 + 1
    2.0
    """

    def __init__(self, neurons: NeuronSet, *, memory: float = 400e6, n_threads: int = 1) -> None:
        if neurons.dim != 2:
            raise ValueError(
                f"neurons must have points in the plane, shape (n, 2); got {neurons.points.shape}. "
                "Use SpaceOracle for three dimensions and AscentOracle for more."
            )
        if n_threads < 1:
            raise ValueError(f"n_threads must be an int >= 1; got {n_threads}. The default is 1.")
        self.neurons = neurons
        self.memory = float(memory)
        self.n_threads = n_threads
        self._merged = merge(neurons)
        self._z = self._merged.points @ np.array([1.0, 1.0j])
        self._step = max(1, _BLOCK // len(self._z))
        self._cache: dict[int, Sweep] = {}
        self._cached = 0

    def price(
        self,
        residual: Floats,
        *,
        n_best: int,
        floor: float = 0.0,
        current: object = None,
        pivots: NDArray[np.intp] | None = None,
        deep: bool = False,
        separation: float = 1e-6,
    ) -> Priced:
        """The best line of every pivot (one for each kind of neuron), at most ``n_best`` of them.

        Parameters
        ----------
        residual : (n, 2) array, rows m_i (s(x_i) - l_i); columns add up to zero
        n_best : int >= 1
        floor : float
            Neurons with h <= floor are not returned; ``largest`` is not affected.
        current : ignored
            The search needs no starts.
        pivots : indices of points, optional
            Only lines through these; then ``exact`` is False unless all are named.
        deep : bool, default=False
            All local maxima over the arcs of a pivot instead of the best one.
        separation : float, default=1e-6
            A neuron as close as this to a better one (in u, and in b relative to the scale of the
            points) is left out; larger values give more diverse neurons.

        Returns
        -------
        Priced
            ``value`` is h at the returned neurons as evaluated in floating point, ``largest`` the
            supremum, which for score matching is a limit.
        """
        if n_best < 1:
            raise ValueError(f"n_best must be an int >= 1; got {n_best}.")
        merged = self._merged
        chosen = np.arange(len(self._z)) if pivots is None else np.unique(merged.group[pivots])
        whole = len(chosen) == len(self._z)
        flows = merged.collect(residual) @ np.array([1.0, 1.0j])
        total = _total(flows, self._z, self.neurons.divergence * merged.mass.sum())
        size = float(np.abs(flows) @ np.abs(self._z)) + abs(total.alpha)
        mirrored = abs(total.alpha) + abs(total.beta) <= 1e-14 * size
        kinds = sweeping.variants(self.neurons, mirrored=mirrored)
        starts = range(0, len(chosen), self._step)
        blocks = [chosen[start : start + self._step] for start in starts]
        found = self._map(lambda rows: self._block(rows, whole, flows, total, kinds, floor, deep), blocks)
        peaks = sweeping.join([peak for _, peak in found])
        largest = max(top for top, _ in found)
        n_tried = len(chosen) * (len(self._z) + 1) * len(kinds)
        peaks = peaks.take(np.argsort(-peaks.value, kind="stable"))
        sign = np.array([kind.orientation for kind in kinds])[peaks.kind]
        u = np.stack([np.cos(peaks.theta), np.sin(peaks.theta)], axis=1)
        b = -np.einsum("kd,kd->k", u, merged.points[peaks.row])
        symmetric = mirrored or self.neurons.activation == "abs"
        unsigned = symmetric and not (self.neurons.conservative and self.neurons.sign)
        first = distinct(
            u * sign[:, None], b * sign / merged.scale, n_best, separation, unsigned=unsigned
        )
        side = np.array([kind.side for kind in kinds])[peaks.kind[first]]
        u, b = place(self.neurons, merged, u[first], peaks.row[first], side)
        u, b = u * sign[first, None], b * sign[first]
        value = self.neurons.evaluate(residual, u, b)
        order = np.argsort(-value, kind="stable")
        return Priced(u[order], b[order], value[order], largest, whole, n_tried)

    def _map(self, function, blocks: list) -> list:
        if self.n_threads == 1 or len(blocks) == 1:
            return [function(block) for block in blocks]
        with ThreadPoolExecutor(self.n_threads) as pool:
            return list(pool.map(function, blocks))

    def _sweep(self, rows: NDArray[np.intp], whole: bool) -> Sweep:
        """The sorted events of some pivots; kept for the next call if there is room."""
        if whole and rows[0] in self._cache:
            return self._cache[int(rows[0])]
        relative = self._z[None, :] - self._z[rows, None]
        at_centre = np.arange(len(self._z)) == rows[:, None]
        scale = self._merged.scale
        sweep = sweeping.sort_events(relative, at_centre, np.full(len(rows), _RESOLVED * scale), scale)
        if whole and self._cached + sweep.nbytes <= self.memory:
            self._cached += sweep.nbytes
            self._cache[int(rows[0])] = sweep
        return sweep

    def _block(
        self,
        rows: NDArray[np.intp],
        whole: bool,
        flows: NDArray[np.complex128],
        total: Matrices,
        kinds: list[Variant],
        floor: float,
        deep: bool,
    ) -> tuple[float, Peaks]:
        """Supremum over the lines through some pivots, and their best lines with h > floor."""
        neurons, mass = self.neurons, self._merged.mass
        delta = neurons.divergence
        sweep = self._sweep(rows, whole)
        gathered = np.concatenate([flows, flows, [0.0]])[sweep.code]
        count = None
        if delta:
            count = (2.0 * delta * np.concatenate([mass, -mass, [0.0]]))[sweep.code]
        matrices = sweeping.arc_matrices(sweep, gathered, count)
        g = sweeping.squares(sweep.lever)
        half = 0.5 if neurons.activation == "relu" else 1.0
        level = floor / half if neurons.conservative else (max(floor, 0.0) / half) ** 2
        largest, peaks = -np.inf, []
        for index, kind in enumerate(kinds):
            edge = kind.orientation if neurons.activation == "relu" else 0
            trace = kind.side * delta * mass[rows]
            here = matrices.shift(total, edge, trace[:, None])
            base, swing = here.form(conservative=neurons.conservative, flip=kind.flip)
            value = sweeping.arc_maxima(base, swing, g, sweep.thin)
            if deep:
                row, arc = np.nonzero(sweeping.summits(value) & (value > level))
                best = np.argmax(value.max(axis=1))
                row = np.append(row, best)
                arc = np.append(arc, np.argmax(value[best]))
            else:
                row, arc = np.arange(len(rows)), np.argmax(value, axis=1)
            theta, measure = sweeping.best_angles(
                here.take(row, arc), sweep.lever[row, arc], sweep.lever[row, arc + 1],
                scale=self._merged.scale, inside=bool(delta), neurons=neurons, flip=kind.flip,
            )  # fmt: skip
            measure *= half
            largest = max(largest, float(measure.max()))
            peak = Peaks(rows[row], arc, np.full(len(row), index), theta, measure)
            peaks.append(peak.take(measure > floor))
        return largest, sweeping.join(peaks)


def _total(flows: NDArray[np.complex128], z: NDArray[np.complex128], trace: float) -> Matrices:
    """E = sum_i R_i x_i^T + trace I."""
    alpha = np.array(0.5 * (z.conj() @ flows) + trace)
    return Matrices(alpha, np.array(0.5 * (z @ flows)))
