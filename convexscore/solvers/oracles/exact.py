"""What the exact oracles share: data, the best turn about every pivot, and the neurons returned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from convexscore.solvers.oracles import angular_sweep as sweeping
from convexscore.solvers.oracles.angular_sweep import RESOLVED, Ints, Matrices, Sweep, Variant
from convexscore.solvers.oracles.base import Floats, Neurons, NeuronSet, Priced, ranking

# T + delta M I counts as zero, relative to the sum of the sizes of its terms.
_MIRRORED = 1e-14
# A kink is moved this far off its pivots (relative to the scale), less if another point is near.
_NUDGE = 1e-10
_BLOCK = 1 << 21


@dataclass(frozen=True, eq=False)
class Merged:
    """Distinct points with the mass of all their copies."""

    points: Floats
    mass: Floats
    group: Ints
    scale: float

    def collect(self, residual: Floats) -> Floats:
        """Residual rows added up over copies."""
        columns = [np.bincount(self.group, column, len(self.points)) for column in residual.T]
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


class Found(NamedTuple):
    """Neurons through a pivot: ``side`` is where a nudge has to put it; ``value`` is a limit."""

    u: Floats
    pivot: Ints
    side: Ints
    value: Floats

    def take(self, which: NDArray) -> Found:
        return Found(*(column[which] for column in self))


def join(found: list[Found]) -> Found:
    """One after the other."""
    return Found(*(np.concatenate(columns) for columns in zip(*found, strict=True)))


class Query(NamedTuple):
    """What depends on the residual, the same for all pivots.

    ``flows``: residuals of the distinct points; ``total``: the matrix E, both as their oracle wants them;
    ``unsigned``: (u, b) and (-u, -b) are equivalent; ``rounding`` of h.
    """

    residual: Floats
    flows: NDArray
    total: Any
    kinds: list[Variant]
    unsigned: bool
    rounding: float


class ExactOracle:
    """The neurons with the largest h(u, b) among *all* neurons, by looking at all their patterns.

    Parameters
    ----------
    neurons : NeuronSet
        The competing neurons; points of any scale.
    """

    # Points this near to a kink through them (relative to the scale) belong to it.
    _on_kink: float

    def __init__(self, neurons: Neurons) -> None:
        self.neurons = in_memory(neurons)
        self._merged = merge(self.neurons)

    def _moments(self, flows: Floats, trace: float) -> tuple[NDArray, Any, float, float]:
        """``flows``, T + trace I times a / b, its size and that of the terms that were added."""
        raise NotImplementedError

    def _search(self, query: Query, chosen: Ints, n_best: int, floor: float) -> tuple[Found, int]:
        """Candidates with a pivot among the ``chosen`` and how many lines or planes were looked at.

        The best is among them, and ``n_best`` others where there are as many better than the floor.
        """
        raise NotImplementedError

    def price(
        self,
        residual: Floats,
        *,
        n_best: int,
        floor: float = 0.0,
        current: object = None,
        effort: int = 1,
        pivots: Ints | None = None,
        separation: float = 1e-6,
    ) -> Priced:
        """The best kink about every pivot and the best inside cells, at most ``n_best`` of them.

        Parameters
        ----------
        residual : (n, d) array, rows m_i (s(x_i) - l_i); columns add up to zero
        n_best : int >= 1
        floor : float
            Neurons with h <= floor are not returned; ``largest`` is not affected.
        current, effort : ignored
            The search needs no starts.
        pivots : indices of points, optional
            Only lines through these (in space, through two of these); then ``exact`` is False unless
            all are named.
        separation : float, default=1e-6
            A neuron as close as this to a better one (in u, and in b relative to the scale of the
            points) is left out; larger values give more diverse neurons.

        Returns
        -------
        Priced
            ``value`` is h at the returned neurons as evaluated in floating point, ``largest`` the
            supremum, which for score matching is a limit.
        """
        neurons, merged = self.neurons, self._merged
        n = len(merged.points)
        chosen = np.arange(n) if pivots is None else np.unique(merged.group[pivots])
        trace = neurons.divergence * merged.mass.sum()
        flows, total, size, terms = self._moments(merged.collect(residual), trace)
        mirrored = size <= _MIRRORED * terms
        query = Query(
            residual, flows, total, sweeping.variants(neurons, mirrored=mirrored),
            mirrored and not (neurons.conservative and neurons.sign), neurons.rounding(residual),
        )  # fmt: skip
        found, n_tried = self._search(query, chosen, n_best, floor)
        largest = float(found.value.max())
        found = found.take(found.value > floor)
        bias = -np.einsum("kd,kd->k", found.u, merged.points[found.pivot]) / merged.scale
        order = ranking(found.value, found.u, bias, query.rounding)
        code = np.column_stack([found.u, bias])[order]
        best = found.take(order[_distinct(code, n_best, separation, unsigned=query.unsigned)])
        b = self._place(best.u, best.pivot, best.side)
        value = neurons.evaluate(residual, best.u, b)
        order = ranking(value, best.u, b / merged.scale, query.rounding)
        return Priced(best.u[order], b[order], value[order], largest, len(chosen) == n, n_tried)

    def _best_turns(
        self,
        query: Query,
        sweep: Sweep,
        matrices: Matrices,
        total: Matrices,
        pivot: Ints,
        mass: Floats,
        frame: Floats,
        count: int,
    ) -> Found:
        """Of each kind of neuron the ``count`` best rotations (with ties), each at its best angle.

        ``mass`` (rows, 1) is that on the centre, all of it on one side: h is convex in the active mass;
        ``frame`` (rows, 2, d) holds the plane of the rotation.
        """
        neurons = self.neurons
        half = neurons.activation.even
        rounding = query.rounding / half
        scale = self._merged.scale if neurons.divergence else 0.0
        g = sweeping.squares(sweep.lever)
        found = []
        for kind in query.kinds:
            here = matrices.shift(total, kind.orientation, kind.side * neurons.divergence * mass)
            row, arc = sweeping.summits(sweep, g, here, kind.flip, count, rounding)
            start, end = sweep.lever[row, arc], sweep.lever[row, arc + 1]
            best = here.take(row, arc)
            theta, value = sweeping.best_angles(best, start, end, kind.flip, rounding, scale)
            u = np.cos(theta)[:, None] * frame[row, 0] + np.sin(theta)[:, None] * frame[row, 1]
            side = np.full(len(row), kind.side * kind.orientation)
            found.append(Found(kind.orientation * u, pivot[row], side, half * value))
        return join(found)

    def _place(self, u: Floats, pivot: Ints, side: Ints) -> Floats:
        """Biases of kinks through the pivots; with a divergence term moved, so that ``side`` is theirs.

        The move is at most 1e-10 scale and half of the distance to the nearest other point.
        """
        merged = self._merged
        through = -np.einsum("kd,kd->k", u, merged.points[pivot])
        if not self.neurons.divergence:
            return through
        nearest = np.full(len(pivot), np.inf)
        step = max(1, _BLOCK // max(1, len(pivot)))
        for start in range(0, len(merged.points), step):
            distance = np.abs(merged.points[start : start + step] @ u.T + through)
            distance[distance <= self._on_kink * merged.scale] = np.inf
            nearest = np.minimum(nearest, distance.min(axis=0))
        return through + side * np.minimum(_NUDGE * merged.scale, 0.5 * nearest)


def _distinct(code: Floats, n_best: int, separation: float, *, unsigned: bool) -> Ints:
    """The first ``n_best`` rows none of which is ``separation``-close to an earlier one in all entries.

    ``unsigned``: a row and its negative are the same.  O(n_best k).
    """
    left, kept = np.arange(len(code)), np.zeros(0, dtype=np.intp)
    while len(left) and len(kept) < n_best:
        row = code[left[0]]
        near = (np.abs(code[left] - row) <= separation).all(axis=1)
        if unsigned:
            near |= (np.abs(code[left] + row) <= separation).all(axis=1)
        kept, left = np.append(kept, left[0]), left[~near]
    return kept
