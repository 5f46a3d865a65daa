"""Exact pricing in the plane: every neuron, by turning a line about every data point."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convexscore.solvers.oracles import angular_sweep as sweeping
from convexscore.solvers.oracles.angular_sweep import Ints, Matrices, Peaks, Sweep, Variant
from convexscore.solvers.oracles.base import Floats, Neurons, Priced, ranking
from convexscore.solvers.oracles.exact import (
    MIRRORED,
    RESOLVED,
    distinct,
    in_memory,
    merge,
    place,
)

# Arcs handled together: their arrays of complex numbers (256 kB each) stay in cache.
_BLOCK = 1 << 14
# Local maxima that a block of pivots may return, per neuron asked for.
_PER_BLOCK = 8
# Rounding of the distance of a point from a line through it, relative to the scale.
_ON_KINK = 2e-15
_COMPLEX = np.array([1.0, 1.0j])


@dataclass(frozen=True, eq=False)
class _Query:
    """What depends on the residual, the same for all pivots.

    ``flows``: residuals for Sweep.code; ``total``: the matrix E; ``half``: factor b of the measure;
    ``level``: floor in units of the form; ``unsigned``: (u, b) and (-u, -b) are equivalent;
    ``per_block``: local maxima to return, 0 for the best of every pivot; ``rounding`` of the form's
    root (of the form itself for ridge potentials).
    """

    flows: NDArray[np.complex128]
    total: Matrices
    kinds: list[Variant]
    half: float
    level: float
    unsigned: bool
    per_block: int
    rounding: float


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

    def __init__(self, neurons: Neurons, *, memory: float = 400e6, n_threads: int = 1) -> None:
        neurons = in_memory(neurons)
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
        self._z = self._merged.points @ _COMPLEX
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
        effort: int = 1,
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
        query = self._ask(residual, floor, _PER_BLOCK * n_best if deep else 0)
        blocks = [chosen[k : k + self._step] for k in range(0, len(chosen), self._step)]
        peaks = sweeping.join(self._map(lambda rows: self._block(rows, whole, query), blocks))
        orientation, side, flip = np.array(query.kinds).T[:, peaks.kind]
        theta, value = sweeping.best_angles(
            Matrices(peaks.alpha, peaks.beta), peaks.start, peaks.end,
            conservative=self.neurons.conservative, flip=flip, rounding=query.rounding,
        )  # fmt: skip
        value *= query.half
        largest = float(value.max())
        if self.neurons.divergence:
            theta = sweeping.inside(theta, peaks.start, peaks.end, merged.scale)
        u = orientation[:, None] * np.stack([np.cos(theta), np.sin(theta)], axis=1)
        pays = np.flatnonzero(value > floor)
        bias = -np.einsum("kd,kd->k", u[pays], merged.points[peaks.row[pays]]) / merged.scale
        rounding = query.half * query.rounding
        pays = pays[ranking(value[pays], u[pays], bias, rounding)]
        u, pivot, side = u[pays], peaks.row[pays], (side * orientation)[pays]
        first = distinct(u, pivot, merged, n_best, separation, unsigned=query.unsigned)
        u, b = u[first], place(self.neurons, merged, u[first], pivot[first], side[first], _ON_KINK)
        value = self.neurons.evaluate(residual, u, b)
        order = ranking(value, u, b / merged.scale, rounding)
        n_tried = len(chosen) * (len(self._z) + 1) * len(query.kinds)
        return Priced(u[order], b[order], value[order], largest, whole, n_tried)

    def _ask(self, residual: Floats, floor: float, per_block: int) -> _Query:
        neurons, merged = self.neurons, self._merged
        flows = merged.collect(residual) @ _COMPLEX
        trace = neurons.divergence * merged.mass.sum()
        z = self._z
        tilt = neurons.activation.odd / neurons.activation.even
        alpha, beta = 0.5 * (z.conj() @ flows) + trace, 0.5 * (z @ flows)
        total = Matrices(np.array(tilt * alpha), np.array(tilt * beta))
        size = float(np.abs(flows) @ np.abs(z)) + trace
        mirrored = float(abs(total.alpha) + abs(total.beta)) <= MIRRORED * size
        kinds = sweeping.variants(neurons, mirrored=mirrored)
        half = neurons.activation.even
        level = floor / half if neurons.conservative else (max(floor, 0.0) / half) ** 2
        unsigned = mirrored and not (neurons.conservative and neurons.sign)
        return _Query(
            np.concatenate([flows, flows, [0.0]]), total, kinds, half, level, unsigned, per_block,
            neurons.rounding(residual) / half,
        )  # fmt: skip

    def _map(self, function: Callable[[Ints], Peaks], blocks: list[Ints]) -> list[Peaks]:
        if self.n_threads == 1 or len(blocks) == 1:
            return [function(block) for block in blocks]
        with ThreadPoolExecutor(self.n_threads) as pool:
            return list(pool.map(function, blocks))

    def _sweep(self, rows: Ints, whole: bool) -> Sweep:
        """The sorted events of some pivots; kept for the next call if there is room."""
        key = int(rows[0])
        if whole and key in self._cache:
            return self._cache[key]
        relative = self._z[None, :] - self._z[rows, None]
        at_centre = np.arange(len(self._z)) == rows[:, None]
        scale = self._merged.scale
        tol = RESOLVED * scale if self.neurons.divergence else 0.0
        sweep = sweeping.sort_events(relative, at_centre, tol, scale)
        if whole and self._cached + sweep.nbytes <= self.memory:
            self._cached += sweep.nbytes
            self._cache[key] = sweep
        return sweep

    def _block(self, rows: Ints, whole: bool, query: _Query) -> Peaks:
        """The best lines through some pivots: those with h > floor and the best of all."""
        neurons, mass = self.neurons, self._merged.mass
        delta = neurons.divergence
        sweep = self._sweep(rows, whole)
        count = None
        if delta:
            count = (2.0 * delta * np.concatenate([mass, -mass, [0.0]]))[sweep.code]
        matrices = sweeping.arc_matrices(sweep, query.flows[sweep.code], count)
        g = sweeping.squares(sweep.lever)
        peaks = []
        for index, kind in enumerate(query.kinds):
            here = matrices.shift(
                query.total, kind.orientation, kind.side * delta * mass[rows, None]
            )
            base, swing = here.form(conservative=neurons.conservative, flip=kind.flip)
            value = sweeping.arc_maxima(base, swing, g, sweep.thin)
            row, arc = sweeping.chosen_arcs(
                value, query.level, query.per_block, query.rounding,
                conservative=neurons.conservative,
            )  # fmt: skip
            peaks.append(
                Peaks(
                    rows[row],
                    np.full(len(row), index),
                    here.alpha[row, arc],
                    here.beta[row, arc],
                    sweep.lever[row, arc],
                    sweep.lever[row, arc + 1],
                    value[row, arc],
                )
            )
        return sweeping.join(peaks)
