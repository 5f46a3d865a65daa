"""Pricing in any dimension: local ascents from many starts, all in matrix products."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from convexscore.solvers.oracles.ascent_starts import (
    ascent_direction,
    climb,
    dual,
    fresh_directions,
    scan_biases,
    unit_rows,
)
from convexscore.solvers.oracles.base import Floats, NeuronSet, Priced, ranking

# Relative to the scale of the points: a point this close to a kink is a pivot; a kink is moved
# this far off its pivots, so that rounding cannot change which of them count as active.
_ON_KINK = 1e-8
_NUDGE = 1e-10
# Neurons closer than this (direction; bias over scale) are one neuron.
_SAME, _NEARLY_SAME = 1e-3, 2e-2
_POOL = 16
# Neurons finished exactly, at least; per call, numbers that may be swept beyond these; rounds.
_FINISHED, _SWEPT, _ROUNDS = 4, 20_000, 100_000
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
    neurons : NeuronSet
        The competing neurons; n points in d dimensions.
    n_starts : int, default=64
        Starts of a call (the current neurons and those found last time take at most half).
    random_state : numpy.random.Generator
        Source of the starts; every call draws fresh ones.
    max_steps : int, default=12
        Moves of a start that survives the first selection.

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
        self,
        neurons: NeuronSet,
        *,
        n_starts: int = 64,
        random_state: np.random.Generator,
        max_steps: int = 12,
    ) -> None:
        if n_starts < 1:
            raise ValueError(f"n_starts must be an int >= 1; got {n_starts}. The default is 64.")
        if max_steps < 1:
            raise ValueError(f"max_steps must be an int >= 1; got {max_steps}. The default is 12.")
        self.neurons = neurons
        self.n_starts = n_starts
        self.max_steps = max_steps
        self._rng = random_state
        self._scale = max(float(np.abs(neurons.points).max()), 1e-300)
        self._pool_u, self._pool_b = np.zeros((0, neurons.dim)), np.zeros(0)

    def price(
        self,
        residual: Floats,
        *,
        n_best: int,
        current: tuple[Floats, Floats] | None = None,
        n_starts: int | None = None,
        floor: float = 0.0,
        effort: int = 1,
    ) -> Priced:
        """The best distinct neurons found, at most ``n_best``, with h > ``floor``.

        Parameters
        ----------
        residual : (n, d) array, rows m_i (s(x_i) - l_i).
        n_best : int >= 1
        current : (u, b) of the neurons in the network, optional
            Starts, because the next violators are often close to them.
        n_starts : int, optional
            For this call only (for example more of them for a final certificate).
        floor : float
            Neurons with h <= floor are not returned; ``largest`` is not affected.
        effort : int
            0 leaves out the exact finish, whose last digits a column does not need; k > 1 multiplies
            the starts by k.
        """
        count = self.n_starts * max(1, effort) if n_starts is None else n_starts
        if count < 1 or n_best < 1:
            raise ValueError(
                f"n_starts and n_best must be ints >= 1; got {count} and {n_best}. "
                f"Omit n_starts for the oracle's own {self.n_starts}."
            )
        u, b = self._starts(residual, count, current)
        n_tried = len(b)
        n, d = residual.shape
        finished = max(_FINISHED, min(32, _SWEPT // (n * (d + 2))))
        first = min(3, self.max_steps)
        u, b, h = climb(self.neurons, residual, u, b, steps=first)
        keep = self._distinct(
            residual, u, b, h, max(2 * n_best, count // 4, finished), _NEARLY_SAME
        )
        u, b, h = climb(self.neurons, residual, u[keep], b[keep], steps=self.max_steps - first)
        keep = self._distinct(residual, u, b, h, len(b), _NEARLY_SAME)
        u, b = u[keep], b[keep]
        if effort > 0:
            u, b = self._finish(residual, u, b, min(finished, len(keep)))
        u, b, h = self._off_kink(residual, u, b)
        keep = self._distinct(residual, u, b, h, len(b), _SAME)
        u, b, h = u[keep], b[keep], h[keep]
        self._pool_u, self._pool_b = u[:_POOL], b[:_POOL]
        best = np.flatnonzero(h > floor)[:n_best]
        return Priced(u[best], b[best], h[best], float(h.max()), exact=False, n_tried=n_tried)

    def _starts(
        self, residual: Floats, count: int, current: tuple[Floats, Floats] | None
    ) -> tuple[Floats, Floats]:
        known_u, known_b = self._pool_u, self._pool_b
        if current is not None and len(current[1]):
            u, b = unit_rows(np.asarray(current[0], float)), np.asarray(current[1], float)
            known_u, known_b = np.concatenate([u, known_u]), np.concatenate([b, known_b])
        if len(known_b):
            h = self.neurons.evaluate(residual, known_u, known_b)
            keep = self._distinct(residual, known_u, known_b, h, max(1, count // 2), _SAME)
            known_u, known_b = known_u[keep], known_b[keep]
        wanted = max(0, count - len(known_b))
        directions = fresh_directions(self.neurons, residual, wanted, self._rng)
        biases = scan_biases(self.neurons, residual, directions)
        return np.concatenate([known_u, directions]), np.concatenate([known_b, biases])

    def _distinct(
        self, residual: Floats, u: Floats, b: Floats, h: Floats, count: int, same: float
    ) -> list[int]:
        """Indices of the best ``count`` distinct neurons, best first."""
        lifted = np.column_stack([u, b / self._scale])
        kept: list[int] = []
        for i in ranking(h, u, b / self._scale, self.neurons.rounding(residual)):
            others = lifted[kept]
            near = (np.abs(others - lifted[i]) < same).all(axis=1).any()
            if not self.neurons.activation.odd:
                near = near or (np.abs(others + lifted[i]) < same).all(axis=1).any()
            if not near:
                kept.append(int(i))
            if len(kept) == count:
                break
        return kept

    def _off_kink(self, residual: Floats, u: Floats, b: Floats) -> tuple[Floats, Floats, Floats]:
        """Honest h on the better side of the pivots, with a margin against rounding."""
        # A kink beyond the data is the same neuron as one just outside, with less cancellation.
        radius = 1.01 * np.linalg.norm(self.neurons.points, axis=1).max()
        b = np.clip(b, -radius, radius)
        if not self.neurons.divergence:
            return u, b, self.neurons.evaluate(residual, u, b)
        pre = u @ self.neurons.points.T + b[:, None]
        # Pivots are on the kink up to rounding only: move it past all of them.
        near = np.where(np.abs(pre) < _ON_KINK * self._scale, pre, 0.0)
        margin = _NUDGE * self._scale
        sides = np.stack([b - near.min(axis=1) + margin, b - near.max(axis=1) - margin])
        rows = np.arange(len(b))
        h = np.stack([self.neurons.evaluate(residual, u, side) for side in sides])
        better = np.argmax(h, axis=0)
        return u, sides[better, rows], h[better, rows]

    def _finish(self, residual: Floats, u: Floats, b: Floats, count: int) -> tuple[Floats, Floats]:
        """Exact moves of the best ``count``: each round the best of several whole pencils."""
        n, d = residual.shape
        rounds = int(np.clip(_ROUNDS // (n * (d + 2)), 4, 40))
        value = np.full(count, -np.inf)
        idle = np.zeros(count, dtype=int)
        on_kink = _ON_KINK * self._scale
        for _ in range(rounds):
            todo = np.flatnonzero(idle < 3)
            if not len(todo):
                break
            owner, tangent, tau = [], [], []
            for j in todo:
                directions = self._pencils(residual, u[j], b[j])
                owner += [j] * len(directions)
                tangent.append(directions[:, :-1])
                tau.append(directions[:, -1])
            owners = np.array(owner)
            start = (u[owners], b[owners], np.concatenate(tangent), np.concatenate(tau))
            rows = max(1, _BLOCK // (n * (d + 2)))
            parts = [
                sweep(self.neurons, residual, *(a[i : i + rows] for a in start), on_kink=on_kink)
                for i in range(0, len(owners), rows)
            ]
            new_u, new_b, new_h = (np.concatenate(part) for part in zip(*parts, strict=True))
            for j in todo:
                mine = np.flatnonzero(owners == j)
                top = mine[np.argmax(new_h[mine])]
                gain = new_h[top] - value[j]
                idle[j] = 0 if gain > 1e-6 * abs(new_h[top]) else idle[j] + 1
                if new_h[top] > value[j]:
                    u[j], b[j], value[j] = new_u[top], new_b[top], new_h[top]
        return u, b

    def _pencils(self, residual: Floats, u: Floats, b: float) -> Floats:
        """Directions (t, tau) of pencils ``cos(u, b) + sin(t, tau)`` worth a whole sweep.

        One is a shift of the bias.  One keeps all points on the kink there and follows the
        gradient; at a ridge of h this is the direction along the ridge.  Two let one of these
        points go, which leaves a vertex of the arrangement along one of its edges.
        """
        points, scale, d = self.neurons.points, self._scale, self.neurons.dim
        pre = points @ u + b
        on = np.flatnonzero(np.abs(pre) <= _ON_KINK * scale)
        slope = self.neurons.activation.derivative(pre)
        slope[on] = self.neurons.activation.odd
        gradient = self.neurons.gradient(residual, u[None], np.array([b]))
        g = dual(self.neurons, gradient, u[None])[0]
        weight = (residual @ g) * slope
        pull = ascent_direction(
            self.neurons, gradient, u[None], (weight @ points)[None], slope[None]
        )[0]
        ahead = np.append(pull / scale, weight.sum())
        on = self._rng.permutation(on)[:d]
        lifted = np.column_stack([points[on] / scale, np.ones(len(on))])
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
    neurons: NeuronSet,
    residual: Floats,
    u: Floats,
    b: Floats,
    tangent: Floats,
    tau: Floats,
    *,
    on_kink: float,
) -> tuple[Floats, Floats, Floats]:
    r"""Exact maximum of h over the pencils :math:`\cos\theta\,(u, b) + \sin\theta\,(t, \tau)`.

    Each point crosses the kink at one angle of (-pi/2, pi/2).  Between crossings G is
    ``cos A + sin B`` and h^2 (h for ridge neurons) a quadratic form in (cos, sin), whose maximum
    is at the ends or at its principal axis.  A zero row of ``tangent`` shifts the bias.

    Returns
    -------
    u, b, h : the best neuron of each pencil; O(n log n + n d) per pencil.
    """
    p = u @ neurons.points.T + b[:, None]
    q = tangent @ neurons.points.T + tau[:, None]
    # Points of the pencil's axis never cross: as sup over both sides, count all of them or none.
    flat = (np.abs(p) <= on_kink) & (np.abs(q) <= on_kink)
    p[flat], q[flat] = 0.0, 0.0
    crossing = np.arctan2(np.where(q < 0, p, -p), np.abs(q))
    crossing[flat] = 0.0
    order, limit, far = _window(crossing, p, max(_WINDOW // (neurons.dim + 2), 64))
    theta = np.take_along_axis(crossing, order, axis=1)
    masses = [np.broadcast_to(neurons.mass, p.shape)]
    if neurons.divergence and flat.any():
        masses.append(np.where(flat, 0.0, neurons.mass))
    moves = np.einsum("kd,kd->k", tangent, tangent) > 0.5
    best_f = np.full(len(b), -np.inf)
    best_theta = np.zeros(len(b))
    for mass in masses:
        form = _forms(neurons, residual, u, tangent, (p, q, mass), order, far)
        two_sided = neurons.conservative and not neurons.sign
        f, angle = _best_angles(form, theta, limit, moves, two_sided=two_sided)
        better = f > best_f
        best_f, best_theta = np.where(better, f, best_f), np.where(better, angle, best_theta)
    cos, sin = np.cos(best_theta)[:, None], np.sin(best_theta)[:, None]
    new_u = cos * u + sin * tangent
    norm = np.linalg.norm(new_u, axis=1)
    h = best_f if neurons.conservative else np.sqrt(np.maximum(best_f, 0.0))
    return new_u / norm[:, None], (cos[:, 0] * b + sin[:, 0] * tau) / norm, h


def _window(
    crossing: Floats, p: Floats, size: int
) -> tuple[NDArray[np.int64], Floats, Floats | None]:
    """The first ``size`` crossings either way, in order; where the next one is; who else is active.

    Sorting all points of a large sample to move a kink past a few of them is a waste.
    """
    if crossing.shape[1] <= size:
        return np.argsort(crossing, axis=1), np.full((len(p), 1), 0.5 * np.pi), None
    away = np.abs(crossing)
    near = np.argpartition(away, size, axis=1)
    limit = np.take_along_axis(away, near[:, size : size + 1], axis=1)
    near = near[:, :size]
    order = np.argsort(np.take_along_axis(crossing, near, axis=1), axis=1)
    far = np.sign(p)
    np.put_along_axis(far, near, 0.0, axis=1)
    return np.take_along_axis(near, order, axis=1), limit, far


def _forms(
    neurons: NeuronSet,
    residual: Floats,
    u: Floats,
    tangent: Floats,
    weights: tuple[Floats, Floats, Floats],
    order: NDArray[np.int64],
    far: Floats | None,
) -> tuple[Floats, Floats, Floats]:
    """Quadratic forms (cos^2, cos sin, sin^2) of every arc, each (k, arcs)."""
    p, q, mass = weights
    d = residual.shape[1]

    def gather(values: Floats) -> Floats:
        return np.take_along_axis(values, order, axis=1)[:, :, None]

    near, near_q = residual[order], gather(q)
    sense = np.where(near_q < 0, -1.0, 1.0)
    terms = np.concatenate([near * gather(p), near * near_q, gather(mass)], axis=2)
    sums = np.empty((len(p), order.shape[1] + 1, 2 * d + 1))
    # The points that turn inactive are those that are active before the first crossing.
    sums[:, 0] = (terms * (sense < 0)).sum(axis=1)
    np.cumsum(terms * sense, axis=1, out=sums[:, 1:])
    sums[:, 1:] += sums[:, :1]
    sigma = neurons.activation
    if sigma.negative_slope:
        sums = sigma.slope_jump * sums + sigma.negative_slope * terms.sum(axis=1)[:, None]
    if far is not None:
        far = sigma.odd * np.abs(far) + sigma.even * far
        outside = [(far * p) @ residual, (far * q) @ residual, (far * mass).sum(axis=1)[:, None]]
        sums += np.concatenate(outside, axis=1)[:, None]
    count = neurons.divergence * sums[:, :, -1:]
    first = sums[:, :, :d] + count * u[:, None]
    second = sums[:, :, d:-1] + count * tangent[:, None]
    left, right = (u[:, None], tangent[:, None]) if neurons.conservative else (first, second)
    return (
        np.einsum("kad,kad->ka", *np.broadcast_arrays(left, first)),
        np.einsum("kad,kad->ka", *np.broadcast_arrays(left, second))
        + np.einsum("kad,kad->ka", *np.broadcast_arrays(right, first)),
        np.einsum("kad,kad->ka", *np.broadcast_arrays(right, second)),
    )


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
    candidates: list[tuple[Floats, NDArray[np.bool_] | None]] = [(left, None), (right, None)]
    for angle in [axis, axis + 0.5 * np.pi] if two_sided else [axis]:
        wrapped = np.where(angle > 0.5 * np.pi, angle - np.pi, angle)
        inside = (wrapped > left) & (wrapped < right) & moves[:, None]
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
        if allowed is not None:
            value = np.where(allowed, value, -np.inf)
        top = np.argmax(value, axis=1)
        better = value[rows, top] > best
        best = np.where(better, value[rows, top], best)
        where = np.where(better, angle[rows, top], where)
    return best, where
