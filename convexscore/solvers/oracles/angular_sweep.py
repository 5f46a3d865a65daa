r"""A line turning about a data point: the kernel that both exact oracles share.

Points are complex numbers p relative to the centre of rotation and a direction is u = exp(i theta),
0 <= theta < pi.  Point p changes side once, where u is orthogonal to p; with q = -sign(Re p) p (so
Re q <= 0) that is at u = -i q / |q|, and there sign(Re p) changes to the opposite: q joins the
positive side.  A real 2 x 2 matrix acts as u -> alpha u + beta conj(u), so

- |alpha u + beta conj(u)|^2 = |alpha|^2 + |beta|^2 + Re(2 alpha conj(beta) u^2),
- u . (alpha u + beta conj(u)) = Re(alpha) + Re(conj(beta) u^2):

along an arc without events every measure is base + Re(swing g) with g = u^2, and its maximum is at
the angle of conj(swing) if that lies in the arc, otherwise at an end.

The matrix kept per arc is D = sum_i sign_i R_i p_i^T + delta sum_i sign_i m_i I.  With T = sum_i R_i
p_i^T (independent of the pivot because the R_i add up to zero), E = (a / b) (T + delta M I), M the total
mass and m the mass at the pivot, the gradients G = A u of the limits of neurons a z + b |z| through the
pivot are A = b (D +- delta m I + E) for direction u, b (D +- delta m I - E) for -u, + where the pivot
is on the side u points to.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convexscore.solvers.oracles.base import Floats, NeuronSet

Complex = NDArray[np.complex128]
Ints = NDArray[np.intp]
Bools = NDArray[np.bool_]

# Lines all of which are this near to a point (relative to the scale) cannot tell its sides apart.
RESOLVED = 1e-13
# A neuron is turned this far into its arc, if the arc is that wide.
_INSIDE = 1e-9
# Wider arcs are never due to rounding, however near the point is.
_NARROW = 1e-6
_ROUNDING = 1e-12
# Derivatives along an arc this small, relative to the measure, may have either sign.
_SLACK = 1e-12


@dataclass(frozen=True, eq=False)
class Sweep:
    """The events of several rotations, in order of angle.

    Attributes
    ----------
    code : (rows, n + 2) which point changes side: i if it joins the positive side, n + i if it
        leaves, 2 n for an event without a point (both ends of the sweep; theta = pi / 2).
    lever : (rows, n + 2) its q.
    thin : flat indices of the (rows, n + 1) arcs too narrow for floating point.
    """

    code: NDArray
    lever: Complex
    thin: Ints

    def counts(self, mass: Floats, divergence: float) -> Floats | None:
        """2 delta sign_i m_i of the points of the events; None without a divergence."""
        if not divergence:
            return None
        steps = 2.0 * divergence * np.concatenate([mass, -mass, [0.0]])
        return np.asarray(steps[self.code])


def sort_events(points: Complex, at_centre: Bools, scale: float, divergence: float) -> Sweep:
    """Sort the sides' changes of (rows, n) points relative to their centres.

    Points ``at_centre`` never change side; they leave an event at pi / 2 behind, so that no arc is
    wider than a right angle.  An arc is thin if it is narrow and the point at one of its ends is
    unresolved on every line in the arc.  O(n log n) per row.
    """
    rows, n = points.shape
    x, y = points.real, points.imag
    joins = np.signbit(x)
    code = np.empty((rows, n + 2), dtype=np.uint16 if 2 * n < 65536 else np.int32)
    lever = np.empty((rows, n + 2), dtype=np.complex128)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        key = y / x  # minus the cotangent of the angle
    key[at_centre] = 0.0
    order = np.argsort(key, axis=1)
    side = np.where(joins, 0, n) + np.arange(n)
    side[at_centre] = 2 * n
    code[:, [0, -1]] = 2 * n
    code[:, 1:-1] = np.take_along_axis(side, order, axis=1)
    q = np.where(joins, points, -points)
    q.real = -np.abs(x)  # also -0.0, from which the angle pi is told from -pi
    q[at_centre] = -scale
    lever[:, 0] = 1j * scale
    lever[:, -1].real, lever[:, -1].imag = -0.0, -scale
    lever[:, 1:-1] = np.take_along_axis(q, order, axis=1)
    length = np.abs(lever)
    cross = (lever[:, :-1].conj() * lever[:, 1:]).imag
    before, after = length[:, :-1], length[:, 1:]
    thin = cross <= _NARROW * before * after
    if divergence:
        thin &= cross <= RESOLVED * scale * np.maximum(before, after)
    else:
        # h is continuous across events: arcs as narrow as rounding hold no new maximum, and the
        # signs that would show one inside are noise
        thin &= cross <= _ROUNDING * before * after
    return Sweep(code, lever, np.flatnonzero(thin))


class Variant(NamedTuple):
    """One kind of neuron along an arc.

    ``orientation``: direction u or -u; ``side``: where the pivot is; ``flip``: 1 or -1 for the measure
    u.G or its negative, 0 for the norm of G, of which the square is maximised.
    """

    orientation: int
    side: int
    flip: int


def variants(neurons: NeuronSet, *, mirrored: bool) -> list[Variant]:
    """The kinds to look at; ``mirrored``: E = 0, where u and -u have the same gradient."""
    turned = list(product((1,) if mirrored else (1, -1), (1, -1) if neurons.conservative else (0,)))
    if neurons.conservative and neurons.sign:
        turned = [(1, 1), (-1, -1)]
    sides = (1, -1) if neurons.divergence else (1,)
    return [Variant(o, side, flip) for (o, flip), side in product(turned, sides)]


class Matrices(NamedTuple):
    """Real matrices acting on a plane as alpha u + beta conj(u), and in space on the axis e as well.

    In space ``third`` is the row of the component along e, as a complex number, and ``column`` and
    ``corner`` are what the matrix makes of e (where that matters).
    """

    alpha: Complex
    beta: Complex
    third: Any = None
    column: Any = None
    corner: Any = None

    def take(self, row: Ints, arc: Ints | int) -> Matrices:
        return Matrices._make(None if part is None else part[row, arc] for part in self)

    def shift(self, other: Matrices, sign: int, trace: Floats | float) -> Matrices:
        """self + sign * other + trace * I."""
        traces = (trace, 0.0, 0.0, 0.0, trace)
        parts = zip(self, other, traces, strict=True)
        return Matrices._make(None if a is None else a + (sign * b + t) for a, b, t in parts)

    def form(self, flip: int) -> tuple[Floats, Complex]:
        """base and swing of the measure, of its square if that is a norm."""
        if flip:
            return flip * self.alpha.real, flip * self.beta.conj()
        back = self.beta.conj()
        base = self.alpha.real**2 + self.alpha.imag**2 + back.real**2 + back.imag**2
        back *= self.alpha
        back *= 2.0
        if self.third is not None:
            row = self.third.conj()
            base += 0.5 * (row.real**2 + row.imag**2)
            back += 0.5 * (row * row)
        return base, back


def running(increments: NDArray) -> NDArray:
    """sum_i sign_i a_i on every arc, from a_i in the order in which the points change side."""
    total = np.cumsum(increments[:, :-1], axis=1)
    total -= 0.5 * total[:, -1:]
    return total


def arc_matrices(sweep: Sweep, residual: Complex, counts: Floats | None) -> Matrices:
    """D on every arc; ``residual`` is gathered by ``code`` as ``counts`` are.

    Twice each increment, because a point that changes side changes its sign from -1 to 1.
    """
    straight = sweep.lever.conj()
    straight *= residual
    if counts is not None:
        straight.real += counts
    return Matrices(running(straight), running(residual * sweep.lever))


def squares(lever: Complex) -> Complex:
    """g = u^2 at every event."""
    out = lever * lever
    out /= -(lever.real**2 + lever.imag**2)
    return out


def leading(value: Floats, count: int, rounding: float) -> Ints:
    """Indices of the ``count`` largest and of those that rounding cannot tell from the last."""
    if len(value) <= count:
        return np.arange(len(value))
    last = np.partition(value, len(value) - count)[len(value) - count]
    return np.flatnonzero(value >= last - rounding)


def summits(
    sweep: Sweep, g: Complex, matrices: Matrices, flip: int, count: int, rounding: float
) -> tuple[Ints, Ints]:
    """The ``count`` best rows (and ties with the last of these), with the best arc of each.

    The first arc that only ``rounding`` of the measure tells from the best: on symmetric data several
    are equally good and the largest number is anyone's.
    """
    base, swing = matrices.form(flip)
    value = _arc_maxima(base, swing, g, sweep.thin)
    top = value.max(axis=1)
    arc = np.argmax(value >= (top - _of_form(rounding, top, flip))[:, None], axis=1)
    row = leading(top if flip else np.sqrt(np.maximum(top, 0.0)), count, rounding)
    return row, arc[row]


def _arc_maxima(base: Floats, swing: Complex, g: Complex, thin: Ints) -> Floats:
    """max of base + Re(swing g) on every arc; -inf on thin ones.  Ends are read from this arc's side.

    The derivative along the arc is -2 Im(swing g), so a maximum is inside if the imaginary part
    changes from negative to positive; no arc is wider than a right angle, so there is at most one.
    """
    start = swing * g[:, :-1]
    end = swing * g[:, 1:]
    value = np.maximum(start.real, end.real)
    inside = np.flatnonzero((start.imag < 0.0) & (end.imag > 0.0))
    value.flat[inside] = np.abs(swing.flat[inside])
    value += base
    value.flat[thin] = -np.inf
    return value


def _of_form(rounding: float, value: Floats, flip: int) -> Floats | float:
    """Rounding of the measure as rounding of its form, which is its square if it is a norm."""
    return rounding if flip else rounding * (2.0 * np.sqrt(np.maximum(value, 0.0)) + rounding)


def tops_inside(sweep: Sweep, g: Complex, matrices: Matrices, flip: int) -> tuple[Ints, Ints]:
    """Rows and arcs with a local maximum inside the arc, generously."""
    base, swing = matrices.form(flip)
    slack = _SLACK * float(np.abs(base).max(initial=0.0))
    inside = (swing * g[:, :-1]).imag <= slack
    inside &= (swing * g[:, 1:]).imag >= -slack
    inside.flat[sweep.thin] = False
    row, arc = np.nonzero(inside)
    return row, arc


def best_angles(
    matrices: Matrices, start: Complex, end: Complex, flip: int, rounding: float, scale: float
) -> tuple[Floats, Floats]:
    """Angle of the maximum on arcs between two events, and the measure there (as a limit).

    The start where only rounding tells it from the end.  With a ``scale`` of points whose sides matter
    angles are moved off the ends of their arcs by a hair, so that rounding cannot change sides.
    """
    base, swing = matrices.form(flip)
    low, high = _angle_of(start), _angle_of(end)
    top = np.mod(-0.5 * np.angle(swing), np.pi)
    angles = np.stack([low, high, np.clip(top, low, high)])
    values = base + (swing * np.exp(2j * angles)).real
    values[2, (top <= low) | (top >= high)] = -np.inf  # one of the ends
    equal = np.abs(values[1] - values[0]) <= _of_form(rounding, values[0], flip)
    values[1, equal] = np.minimum(values[0], values[1])[equal]
    theta = np.take_along_axis(angles, np.argmax(values, axis=0)[None], axis=0)[0]
    value: Floats = values.max(axis=0)
    if not flip:
        # again without squares, which would lose half of the digits of a small measure
        u = np.exp(1j * theta)
        value = np.abs(matrices.alpha * u + matrices.beta * u.conj())
        if matrices.third is not None:
            value = np.hypot(value, (matrices.third.conj() * u).real)
    if scale:
        near = np.minimum(np.abs(start), np.abs(end))
        margin = np.minimum(np.maximum(_INSIDE, 1e-14 * scale / near), 0.5 * (high - low))
        theta = np.clip(theta, low + margin, high - margin)
    return theta, value


def _angle_of(lever: Complex) -> Floats:
    """Angle in [0, pi] of the direction at which a point changes side."""
    return np.arctan2(-lever.real, lever.imag)
