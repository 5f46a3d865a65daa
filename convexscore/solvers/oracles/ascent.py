"""Pricing in any dimension: local ascents from many starts, all in matrix products."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from convexscore._tools.typing import Floats
from convexscore.solvers.oracles.ascent_starts import (
    Landscape,
    climb,
    fresh_directions,
    in_blocks,
    scan_biases,
    unit_rows,
)
from convexscore.solvers.oracles.base import Block, Neurons, Priced, Residual, norms, ranking

# Relative to the scale of the points: a point this close to a kink is a pivot; a kink is moved
# this far off its pivots, so that rounding cannot change which of them count as active.
_ON_KINK = 1e-8
_NUDGE = 1e-10
# Points that a pencil meets within this angle are met together.
_THIN = 1e-12
# Neurons closer than this (direction; bias over scale) are one neuron.
_SAME, _NEARLY_SAME = 1e-3, 2e-2
_POOL = 16
# Neurons finished exactly, at least; per call, numbers that may be swept beyond these; rounds.
_FINISHED, _SWEPT, _ROUNDS = 4, 20_000, 100_000
# Moves before and after the first selection.
_FIRST_STEPS, _STEPS = 3, 9
# A sweep crosses at most this many points, divided by d + 2.
_WINDOW = 1024
# Numbers held by one block of pencils.
_BLOCK = 1 << 18


class AscentOracle:
    r"""Local search for the neurons with the largest :math:`h(u, b)`, in any dimension.

    Each call scans the biases of many directions, moves all of them uphill by monotone
    power-method steps, keeps the distinct best and finishes these by exact maximisation over
    pencils of hyperplanes through the points on their kink.  Nothing proves that the global
    supremum was found: ``exact`` is always False and ``n_tried`` says how many starts there were.

    Parameters
    ----------
    neurons : Neurons
        The competing neurons; n points in d dimensions, wherever they are.
    n_starts : int, default=64
        Starts of a call (the current neurons and those found last time take at most half).
    random_state : numpy.random.Generator
        Source of the starts; every call draws fresh ones.

    Notes
    -----
    O(n d n_starts) per step.  For fixed u, h is convex in b between data points, so the best kink
    passes through a data point; with pivots fixed, G is linear in (u, b) between crossings.

    Examples
    --------
    >>> import numpy as np
    >>> from convexscore.solvers.oracles.ascent import AscentOracle
    >>> from convexscore.solvers.oracles.base import NeuronSet
    >>> points = np.array([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    >>> neurons = NeuronSet(points, np.ones(3), 0.0, "abs")
    >>> residual = np.array([[1.0, 0.0], [-2.0, 0.0], [1.0, 0.0]])
    >>> oracle = AscentOracle(neurons, random_state=np.random.default_rng(0))
    >>> round(oracle.price(residual, n_best=1).largest, 9)  # |x_1|: 1 + 0 + 1
    2.0
    """

    def __init__(
        self, neurons: Neurons, *, n_starts: int = 64, random_state: np.random.Generator
    ) -> None:
        self.neurons = neurons
        self.n_starts = n_starts
        self._rng = random_state
        self._scale = max(neurons.reach[0], 1e-300)
        self._pool = np.zeros((0, neurons.dim)), np.zeros(0)

    def price(
        self,
        residual: Residual,
        *,
        n_best: int,
        current: tuple[Floats, Floats] | None = None,
        floor: float = 0.0,
        effort: int = 1,
    ) -> Priced:
        """The best distinct neurons found, at most ``n_best``, with h > ``floor``.

        Parameters
        ----------
        residual : rows m_i (s(x_i) - l_i), an (n, d) array where the points are in memory.
        n_best : int >= 1
        current : (u, b) of the neurons in the network, optional
            Starts, because the next violators are often close to them.
        floor : float
            Neurons with h <= floor are not returned; ``largest`` is not affected.
        effort : int
            0 leaves out the exact finish, whose last digits a column does not need; k > 1 multiplies
            the starts by k.
        """
        count = self.n_starts * max(1, effort)
        land = Landscape(self.neurons, residual, self.neurons.rounding(residual))
        u, b = self._starts(land, count, current)
        n_tried = len(b)
        finished = max(_FINISHED, min(32, _SWEPT // self._size))
        u, b, h = climb(land, u, b, steps=_FIRST_STEPS)
        several = max(2 * n_best, count // 4, finished)
        u, b = self._distinct(land, u, b, h, several, _NEARLY_SAME)[:2]
        u, b, h = climb(land, u, b, steps=_STEPS)
        u, b = self._distinct(land, u, b, h, len(b), _NEARLY_SAME)[:2]
        if effort > 0:
            u, b = self._finish(land, u, b, min(finished, len(b)))
        u, b, h = self._off_kink(land, u, b)
        u, b, h = self._distinct(land, u, b, h, len(b), _SAME)
        self._pool = u[:_POOL], b[:_POOL]
        best = np.flatnonzero(h > floor)[:n_best]
        return Priced(u[best], b[best], h[best], float(h.max()), exact=False, n_tried=n_tried)

    @property
    def _size(self) -> int:
        """Numbers that the pass of a pencil holds."""
        return self.neurons.n_samples * (self.neurons.dim + 2)

    def _starts(
        self, land: Landscape, count: int, current: tuple[Floats, Floats] | None
    ) -> tuple[Floats, Floats]:
        u, b = self._pool
        if current is not None:
            u, b = np.concatenate([unit_rows(current[0]), u]), np.concatenate([current[1], b])
        if len(b):
            h = land.evaluate(u, b)
            u, b = self._distinct(land, u, b, h, max(1, count // 2), _SAME)[:2]
        directions = fresh_directions(land, max(0, count - len(b)), self._rng)
        biases = scan_biases(land, directions)
        return np.concatenate([u, directions]), np.concatenate([b, biases])

    def _distinct(
        self, land: Landscape, u: Floats, b: Floats, h: Floats, count: int, same: float
    ) -> tuple[Floats, Floats, Floats]:
        """The best ``count`` distinct neurons, best first."""
        lifted = np.column_stack([u, b / self._scale])
        kept: list[int] = []
        for i in ranking(h, u, b / self._scale, land.rounding):
            others = lifted[kept]
            near = (np.abs(others - lifted[i]) < same).all(axis=1).any()
            if not self.neurons.activation.odd:
                near = near or (np.abs(others + lifted[i]) < same).all(axis=1).any()
            if not near:
                kept.append(int(i))
            if len(kept) == count:
                break
        return u[kept], b[kept], h[kept]

    def _off_kink(self, land: Landscape, u: Floats, b: Floats) -> tuple[Floats, Floats, Floats]:
        """Honest h on the better side of the pivots, with a margin against rounding."""
        # A kink beyond the data is the same neuron as one just outside, with less cancellation.
        radius = 1.01 * self.neurons.reach[1]
        b = np.clip(b, -radius, radius)
        if not self.neurons.divergence:
            return u, b, land.evaluate(u, b)

        def kernel(block: Block) -> tuple[Floats, Floats]:
            pre = u @ block.points.T + b[:, None]
            near = np.where(np.abs(pre) < _ON_KINK * self._scale, pre, 0.0)
            return near.min(axis=1), near.max(axis=1)

        # Pivots are on the kink up to rounding only: move it past all of them.
        low, high = zip(*self.neurons.data.collect(kernel), strict=True)
        margin = _NUDGE * self._scale
        sides = np.stack([b - np.min(low, axis=0) + margin, b - np.max(high, axis=0) - margin])
        h = np.stack([land.evaluate(u, side) for side in sides])
        better = land.first_best(h.T), np.arange(len(b))
        return u, sides[better], h[better]

    def _finish(self, land: Landscape, u: Floats, b: Floats, count: int) -> tuple[Floats, Floats]:
        """Exact moves of the best ``count``: each round the best of several whole pencils."""
        value, idle = np.full(count, -np.inf), np.zeros(count, dtype=int)
        for _ in range(int(np.clip(_ROUNDS // self._size, 4, 40))):
            todo = np.flatnonzero(idle < 3)
            if not len(todo):
                break
            pencils = [self._pencils(land, u[j], b[j]) for j in todo]
            owners = np.repeat(todo, [len(some) for some in pencils])
            ahead = np.concatenate(pencils)
            start = u[owners], b[owners], ahead[:, :-1], ahead[:, -1]
            moves = partial(sweep, land, on_kink=_ON_KINK * self._scale)
            new_u, new_b, new_h = in_blocks(moves, max(1, _BLOCK // self._size), *start)
            for j in todo:
                mine = np.flatnonzero(owners == j)
                top = mine[land.first_best(new_h[mine][None])[0]]
                gain = new_h[top] - value[j]
                idle[j] = 0 if gain > 1e-6 * abs(new_h[top]) else idle[j] + 1
                if gain > land.rounding:
                    u[j], b[j], value[j] = new_u[top], new_b[top], new_h[top]
        return u, b

    def _pencils(self, land: Landscape, u: Floats, b: float) -> Floats:
        """Directions (t, tau) of pencils ``cos(u, b) + sin(t, tau)`` worth a whole sweep.

        One is a shift of the bias.  One keeps all points on the kink there and follows the
        gradient; at a ridge of h this is the direction along the ridge.  Two let one of these
        points go, which leaves a vertex of the arrangement along one of its edges.
        """
        scale, d, sigma = self._scale, self.neurons.dim, self.neurons.activation

        def slopes(block: Block) -> tuple[Floats, Floats, NDArray[np.bool_]]:
            pre = block.points @ u + b
            on = np.abs(pre) <= _ON_KINK * scale
            slope = sigma.derivative(pre)
            slope[on] = sigma.odd  # it is for rounding to say which side these are on
            return sigma.value(pre), slope, on

        def first(block: Block, rows: Floats) -> tuple[Floats, ...]:
            value, slope, on = slopes(block)
            return value @ rows, slope @ block.mass, block.points[on]

        def second(block: Block, rows: Floats) -> tuple[Floats, Floats]:
            weight = (rows @ g) * slopes(block)[1]
            return weight @ block.points, weight.sum()

        sums, masses, pivots = zip(*self.neurons.data.collect(first, land.residual), strict=True)
        active = np.array([sum(masses)])
        gradient = (sum(sums) + self.neurons.divergence * active * u)[None]
        g = land.dual(gradient, u[None])[0]
        pulled, total = land.total(second)
        pull = land.direction(gradient, u[None], pulled[None], active)[0]
        ahead = np.append(pull / scale, total)
        on = self._rng.permutation(np.concatenate(pivots))[:d]
        lifted = np.column_stack([on / scale, np.ones(len(on))])
        kept = 1.0 - np.eye(len(on))[: min(len(on), 2)]
        systems = np.concatenate([np.ones((1, len(on))), kept])[:, :, None] * lifted
        normal = np.broadcast_to(np.append(u, b / scale), (len(systems), 1, d + 1))
        _, size, basis = np.linalg.svd(np.concatenate([systems, normal], axis=1))
        out = [np.append(np.zeros(d), scale)]
        for values, vectors in zip(size, basis, strict=True):
            free = vectors[int((values > 1e-9).sum()) :]
            step = free.T @ (free @ ahead)
            if not np.linalg.norm(step) > 1e-12 * np.linalg.norm(ahead):
                step = free.T @ self._rng.standard_normal(len(free))
            # Back to points of the original scale, t orthogonal to u; the pencil is the same.
            along = step[:-1] @ u
            tangent, tau = step[:-1] - along * u, step[-1] * scale - along * b
            norm = np.linalg.norm(tangent)
            if norm > 1e-9 * np.linalg.norm(step):
                out.append(np.append(tangent, tau) / norm)
        return np.array(out)


def sweep(
    land: Landscape, u: Floats, b: Floats, tangent: Floats, tau: Floats, *, on_kink: float
) -> tuple[Floats, Floats, Floats]:
    r"""Exact maximum of h over the pencils :math:`\cos\theta\,(u, b) + \sin\theta\,(t, \tau)`.

    Each point crosses the kink at one angle of (-pi/2, pi/2).  Between crossings G is
    ``cos A + sin B`` and h^2 (h for ridge neurons) a quadratic form in (cos, sin), whose maximum
    is at the ends or at its principal axis.  A zero row of ``tangent`` shifts the bias.

    Returns
    -------
    u, b, h : the best neuron of each pencil; O(n log n + n d) per pencil.
    """
    neurons, pencils = land.neurons, (u, b, tangent, tau)
    size = max(_WINDOW // (neurons.dim + 2), 64)
    kernel = partial(_crossings, neurons, pencils, size, on_kink)
    near, limit, outside = _window(neurons.data.collect(kernel, land.residual), neurons, size)
    masses = [near.mass]
    if neurons.divergence and near.flat.any():
        masses.append(np.where(near.flat, 0.0, near.mass))
    moves = norms(tangent) > 0.5
    best = np.stack([np.full(len(b), -np.inf), np.zeros(len(b))])
    for mass in masses:
        form = _forms(neurons, u, tangent, near, mass, outside)
        two_sided = neurons.conservative and not neurons.sign
        found = _best_angles(form, near.angle, limit, moves, two_sided=two_sided)
        best = np.where(found[0] > best[0], found, best)
    top, theta = best
    cos, sin = np.cos(theta), np.sin(theta)
    new_u = cos[:, None] * u + sin[:, None] * tangent
    length = norms(new_u)
    h = top if neurons.conservative else np.sqrt(np.maximum(top, 0.0))
    return new_u / length[:, None], (cos * b + sin * tau) / length, h


@dataclass(frozen=True, eq=False)
class _Crossings:
    """Points that k pencils meet, (k, m): the angle, p and q of cos p + sin q, mass, whether on the axis
    of the pencil, and the residual (k, m, d)."""

    angle: Floats
    p: Floats
    q: Floats
    mass: Floats
    flat: NDArray[np.bool_]
    residual: Floats

    def take(self, order: NDArray[np.int64]) -> _Crossings:
        rows = np.arange(len(order))[:, None]
        return _Crossings(*(field[rows, order] for field in vars(self).values()))

    def terms(self, mass: Floats) -> Floats:
        """(k, m, 2 d + 1): what each point adds to G on the axes of the pencil and to the mass."""
        sides = self.residual * self.p[:, :, None], self.residual * self.q[:, :, None]
        return np.concatenate([*sides, mass[:, :, None]], axis=2)


def _crossings(
    neurons: Neurons,
    pencils: tuple[Floats, Floats, Floats, Floats],
    size: int,
    on_kink: float,
    block: Block,
    residual: Floats,
) -> tuple[_Crossings, Floats]:
    """The ``size`` nearest crossings in a block and the next, and the sums over all its points."""
    u, b, tangent, tau = pencils
    p = u @ block.points.T + b[:, None]
    q = tangent @ block.points.T + tau[:, None]
    # Points of the pencil's axis never cross: as sup over both sides, count all of them or none.
    p[np.abs(p) <= on_kink] = 0.0
    flat = (p == 0.0) & (np.abs(q) <= on_kink)
    q[flat] = 0.0
    angle = np.arctan2(np.where(q < 0, p, -p), np.abs(q))
    angle[flat] = 0.0
    sums = np.zeros((len(p), 2 * block.dim + 1))
    if neurons.n_samples > size:
        slope = _slope(neurons, p)
        sides = (slope * p) @ residual, (slope * q) @ residual
        sums = np.concatenate([*sides, (slope @ block.mass)[:, None]], axis=1)
    if block.n_samples > size:
        near = np.argpartition(np.abs(angle), size, axis=1)[:, : size + 1]
    else:
        near = np.broadcast_to(np.arange(block.n_samples), p.shape)
    at = np.arange(len(p))[:, None], near
    return _Crossings(angle[at], p[at], q[at], block.mass[near], flat[at], residual[near]), sums


def _slope(neurons: Neurons, p: Floats) -> Floats:
    """Of the activation at p, 0 at the kink."""
    side = np.sign(p)
    out: Floats = neurons.activation.odd * np.abs(side) + neurons.activation.even * side
    return out


def _window(
    parts: list[tuple[_Crossings, Floats]], neurons: Neurons, size: int
) -> tuple[_Crossings, Floats, Floats | None]:
    """The first ``size`` crossings either way, in order; where the next one is; what the others add to G.

    Sorting all points of a large sample to move a kink past a few of them is a waste.
    """
    near = parts[0][0]
    if len(parts) > 1:
        columns = zip(*(vars(part).values() for part, _ in parts), strict=True)
        near = _Crossings(*(np.concatenate(column, axis=1) for column in columns))
    if neurons.n_samples <= size:
        limit = np.full((len(near.angle), 1), 0.5 * np.pi)
        return near.take(np.argsort(near.angle, axis=1)), limit, None
    away = np.abs(near.angle)
    first = np.argpartition(away, size, axis=1)
    limit = np.take_along_axis(away, first[:, size : size + 1], axis=1)
    near = near.take(first[:, :size])
    near = near.take(np.argsort(near.angle, axis=1))
    own = np.einsum("km,kmt->kt", _slope(neurons, near.p), near.terms(near.mass))
    return near, limit, sum(sums for _, sums in parts) - own


def _forms(
    neurons: Neurons,
    u: Floats,
    tangent: Floats,
    near: _Crossings,
    mass: Floats,
    outside: Floats | None,
) -> tuple[Floats, Floats, Floats]:
    """Quadratic forms (cos^2, cos sin, sin^2) of every arc, each (k, arcs)."""
    d = neurons.dim
    terms = near.terms(mass)
    sense = np.where(near.q < 0, -1.0, 1.0)[:, :, None]
    sums = np.empty((len(u), terms.shape[1] + 1, 2 * d + 1))
    # The points that turn inactive are those that are active before the first crossing.
    sums[:, 0] = (terms * (sense < 0)).sum(axis=1)
    np.cumsum(terms * sense, axis=1, out=sums[:, 1:])
    sums[:, 1:] += sums[:, :1]
    sigma = neurons.activation
    if sigma.negative_slope:
        sums = sigma.slope_jump * sums + sigma.negative_slope * terms.sum(axis=1)[:, None]
    if outside is not None:
        sums += outside[:, None]
    count = neurons.divergence * sums[:, :, -1:]
    first = sums[:, :, :d] + count * u[:, None]
    second = sums[:, :, d:-1] + count * tangent[:, None]
    left, right = (u[:, None], tangent[:, None]) if neurons.conservative else (first, second)

    def inner(one: Floats, other: Floats) -> Floats:
        return np.einsum("kad,kad->ka", *np.broadcast_arrays(one, other))

    return inner(left, first), inner(left, second) + inner(right, first), inner(right, second)


def _best_angles(
    form: tuple[Floats, Floats, Floats],
    theta: Floats,
    limit: Floats,
    moves: NDArray[np.bool_],
    *,
    two_sided: bool,
) -> tuple[Floats, Floats]:
    """Largest value of the forms over their arcs and the angle where it is, per pencil."""
    aa, ab, bb = form
    left, right = np.hstack([-limit, theta]), np.hstack([theta, limit])
    axis = 0.5 * np.arctan2(ab, aa - bb)
    # no neuron of the pencil has the pattern between two points that are met together
    wide = right - left > _THIN
    candidates = [(left, wide), (right, wide)]
    for angle in [axis, axis + 0.5 * np.pi] if two_sided else [axis]:
        wrapped = np.where(angle > 0.5 * np.pi, angle - np.pi, angle)
        inside = (wrapped > left) & (wrapped < right) & wide & moves[:, None]
        candidates.append((wrapped, inside))
    rows = np.arange(len(theta))
    best, where = np.full(len(theta), -np.inf), np.zeros(len(theta))
    for angle, allowed in candidates:
        cos, sin = np.cos(angle), np.sin(angle)
        # A shifted bias: (u, b + tau tan(theta)), and the ends of the pencil are at infinity.
        length = np.where(moves[:, None], 1.0, cos * cos)
        value = aa * cos * cos + ab * cos * sin + bb * sin * sin
        finite = length > 1e-16
        value = np.where(finite, value / np.where(finite, length, 1.0), -np.inf)
        if two_sided:
            value = np.where(finite, np.abs(value), -np.inf)
        value = np.where(allowed, value, -np.inf)
        top = np.argmax(value, axis=1)
        better = value[rows, top] > best
        best = np.where(better, value[rows, top], best)
        where = np.where(better, angle[rows, top], where)
    return best, where
